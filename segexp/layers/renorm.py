"""One kind of norm, epsilon and momentum for a whole model, after it has been built."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from segexp.errors import ConfigError
from segexp.layers.norm import SingleValueNorm

GROUPS = 32  # Wu and He, "Group Normalization", 2018; fewer where the channels have no such divisor
KINDS = ("batch", "group")


class GroupNormAct(nn.GroupNorm):
    """GroupNorm in the place of a BatchNorm that has an activation inside, as timm's have; names of weights stay."""

    drop: Any
    act: Any

    def forward(self, input: Tensor) -> Tensor:
        return self.act(self.drop(super().forward(input)))


class BatchNormAct(SingleValueNorm):
    """BatchNorm in the place of a GroupNorm that has an activation inside, as timm's have; names of weights stay."""

    drop: Any
    act: Any

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.drop(super().forward(x)))


def renorm(model: nn.Module, *, type: str | None = None, eps: float | None = None, momentum: float | None = None) -> None:
    """Change the norms of a freshly built model in place; what isn't given stays. LayerNorms stay as they are.

    Args:
        model: any.
        type: `batch` or `group`, the norm that each BatchNorm and GroupNorm becomes.
        eps: of each of them.
        momentum: of each BatchNorm, in torch's convention: the weight of the new statistics.

    Raises:
        ConfigError: a value that makes no sense.
    """
    _check(type, eps, momentum)
    for name, module in list(model.named_modules()):
        if isinstance(module, (_BatchNorm, nn.GroupNorm)):
            made = _as_kind(module, type)
            if eps is not None:
                made.eps = eps
            if momentum is not None and isinstance(made, _BatchNorm):
                made.momentum = momentum
            if made is not module:
                parent, _, child = name.rpartition(".")
                setattr(model.get_submodule(parent), child, made)


def groups_of(channels: int) -> int:
    """Groups of a GroupNorm: 32, or the largest divisor of the channels below that leaves two in a group (a pooled map has one cell)."""
    return next(n for n in range(max(min(GROUPS, channels // 2), 1), 0, -1) if channels % n == 0)


def _as_kind(module: Any, kind: str | None) -> Any:
    """The norm of another kind with fresh weights, on the module's device; itself where it is of that kind already."""
    is_group = isinstance(module, nn.GroupNorm)
    if kind is None or (kind == "group") == is_group:
        return module
    device, has_act = None if module.weight is None else module.weight.device, hasattr(module, "act")
    made: Any
    if is_group:
        made = (BatchNormAct if has_act else SingleValueNorm)(module.num_channels, module.eps, affine=module.affine, device=device)
    else:
        groups = groups_of(module.num_features)
        made = (GroupNormAct if has_act else nn.GroupNorm)(groups, module.num_features, module.eps, module.affine, device=device)
    if has_act:
        made.drop, made.act = module.drop, module.act
    return made


def _check(kind: Any, eps: Any, momentum: Any) -> None:
    if kind is not None and kind not in KINDS:
        raise ConfigError("no such norm", where=f"norm.type={kind}", fix=f"norm.type={'|'.join(KINDS)}, or null: as built")
    if eps is not None and not (_is_number(eps) and eps > 0):
        raise ConfigError("it is a number above 0", where=f"norm.eps={eps}", fix="norm.eps=1.0e-5, or null: as built")
    if momentum is not None and not (_is_number(momentum) and 0 < momentum <= 1):
        what = "the weight of a batch's statistics is above 0 and at most 1 (TensorFlow's momentum m is 1 - m here)"
        raise ConfigError(what, where=f"norm.momentum={momentum}", fix="norm.momentum=0.1, or null: as built")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
