"""Any convolutional network of timm as a backbone, at output stride 8, 16 or 32."""

from __future__ import annotations

import difflib
from typing import Any

from torch import Tensor, nn

from segexp.errors import ConfigError, WeightsError
from segexp.functional.imports import without
from segexp.types import DataSpec, Features, FeatureSpec, Level

with without("wandb"):  # timm imports it for a training script of its own
    import timm
    from timm.models import adapt_input_conv

# a few that dilate, named in messages; any other that takes timm's `output_stride` works too
DILATING = ("resnet18", "resnet50", "tf_efficientnet_lite0", "mobilenetv2_100", "mobilenetv3_large_100", "regnety_008", "convnext_tiny")


class TimmCNN(nn.Module):
    """Features `c1..c5`, named by depth from the end: with output stride 16 both c4 and c5 have stride 16.

    Args:
        data: the data set; sets the number of input channels.
        name: timm's name of the network.
        output_stride: stride of the deepest level; the stages beyond it are dilated, and the first block of a dilated
            stage keeps the previous dilation, as published.
        weights: `null` (random), `hub` (timm's pretrained weights, downloaded), a file, or `run:<directory or id>`.
            Read by `segexp.build`, after the chain was checked.
        drop_path: stochastic depth, for networks that have it.
    """

    net: Any  # timm's modules have attributes that torch's type doesn't know

    def __init__(self, data: DataSpec, *, name: str, output_stride: int = 16, weights: str | None = None, drop_path: float = 0.0) -> None:
        super().__init__()
        self.name, self.weights = name, weights
        self.net = _create(name, output_stride, data.in_channels, drop_path)
        info = self.net.feature_info
        levels = list(zip(info.channels(), info.reduction(), strict=True))
        first = 6 - len(levels)  # the last level is c5
        self.spec: FeatureSpec = {f"c{first + i}": Level(c, s) for i, (c, s) in enumerate(levels) if c > 0}
        self.pad_to = max(level.stride for level in self.spec.values())
        pretrained = timm.get_pretrained_cfg(name)
        self.mean = _per_channel(pretrained.mean if pretrained else (0.485, 0.456, 0.406), data.in_channels)
        self.std = _per_channel(pretrained.std if pretrained else (0.229, 0.224, 0.225), data.in_channels)

    def forward(self, images: Tensor) -> Features:
        """Images [B,C,H,W], normalised and padded to a multiple of `pad_to`."""
        return dict(zip(self.spec, self.net(images), strict=True))

    def hub_state(self) -> dict[str, Tensor]:
        """timm's pretrained weights of this network.

        Raises:
            WeightsError: there are none, or they can't be fetched.
        """
        try:
            return timm.create_model(self.name, pretrained=True).state_dict()
        except Exception as error:  # timm, the hub's client and the network fail in many ways
            reason = str(error).strip().split("\n")[0][:200]
            raise WeightsError(
                f"no pretrained weights of {self.name} from the hub: {reason}",
                where="backbone.weights=hub",
                fix="connect, or give a file: backbone.weights=<file.safetensors>",
            ) from error

    def load(self, state: dict[str, Tensor], source: str) -> list[str]:
        """Copy weights into the network; all of it must be found, only a classifier may be left over.

        Args:
            state: timm's names to tensors, of the whole network or of its features; any float type.
            source: where they come from, for messages.

        Returns:
            The names of `state` that the backbone has no place for (the classifier).

        Raises:
            WeightsError: a weight is missing or has another shape.
        """
        given = {key.replace(".", "_"): key for key in state}  # timm flattens stage names: `stages.0` becomes `stages_0`
        wanted = self.net.state_dict()
        missing = [name for name in wanted if name.replace(".", "_") not in given and not name.endswith("num_batches_tracked")]
        if missing:
            raise WeightsError(
                f"{len(missing)} of {len(wanted)} weights of {self.name} are not in the file, first {missing[0]}",
                where=source,
                fix=f"give weights of timm's {self.name}",
            )
        found = {name: state[key] for name in wanted if (key := given.pop(name.replace(".", "_"), None)) is not None}
        for name, tensor in found.items():
            if tensor.ndim == 4 and tensor.shape[1] == 3 != wanted[name].shape[1] and tensor.shape[2:] == wanted[name].shape[2:]:
                found[name] = tensor = adapt_input_conv(wanted[name].shape[1], tensor)
            if tensor.shape != wanted[name].shape:
                shapes = f"{tuple(tensor.shape)}, the network wants {tuple(wanted[name].shape)}"
                raise WeightsError(f"{name} has shape {shapes}", where=source, fix=f"give weights of timm's {self.name}")
        self.net.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in found.items()}, strict=False)
        return sorted(given.values())


def _create(name: str, output_stride: int, in_channels: int, drop_path: float) -> Any:
    if name not in timm.list_models():
        near = difflib.get_close_matches(name.split(".")[0], timm.list_models(), 3)
        raise ConfigError(
            f"timm has no network {name!r}", where="backbone.name", fix=f"did you mean {' or '.join(near)}" if near else "see timm's list"
        )
    if output_stride not in (8, 16, 32):
        raise ConfigError(f"output stride {output_stride}", where="backbone.output_stride", fix="8, 16 or 32")
    options: dict[str, Any] = {"drop_path_rate": drop_path} if drop_path else {}
    if output_stride != 32:
        options["output_stride"] = output_stride
    try:
        net: Any = timm.create_model(name, pretrained=False, features_only=True, in_chans=in_channels, **options)
    except (AssertionError, TypeError, NotImplementedError, AttributeError, RuntimeError, ValueError) as error:
        raise ConfigError(
            f"{name} can't be built at output stride {output_stride} ({str(error)[:120] or type(error).__name__})",
            where="backbone",
            fix=f"backbone.output_stride=32, or a network that dilates, such as {', '.join(DILATING)}",
        ) from error
    strides = net.feature_info.reduction()
    if max(strides) != output_stride:
        raise ConfigError(
            f"{name} has strides {strides}, not output stride {output_stride}",
            where="backbone",
            fix=f"backbone.output_stride={max(strides)}",
        )
    return net


def _per_channel(values: tuple[float, ...], channels: int) -> tuple[float, ...]:
    """The values as they are for RGB, else their mean for every channel."""
    return tuple(values) if len(values) == channels else (sum(values) / len(values),) * channels
