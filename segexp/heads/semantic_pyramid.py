"""The semantic branch of Panoptic-FPN (Kirillov et al., "Panoptic Feature Pyramid Networks", 2019)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from segexp.errors import ConfigError, WiringError
from segexp.layers.climb import Climb, conv_group_act
from segexp.layers.conv import check_width
from segexp.layers.resample import like
from segexp.types import DataSpec, Features, FeatureSpec, SemanticLogits, Sizes, Targets
from segexp.wiring import require


class SemanticPyramidHead(nn.Module):
    """Levels of a pyramid, each brought to the size of the first by convolutions and doublings, added, and classified.

    All classes of the data set have a logit, things as well: so the branch alone is a semantic model. (In the paper all
    things are one class "other".)

    Args:
        features: what the decoder emits.
        data: the data set's classes; sets the number of channels.
        levels: names, shallow to deep; the logits have the stride of the first.
        width: channels of each convolution.
        dropout: probability of dropping a channel of the sum.

    Raises:
        ConfigError: no level is named, or a width of 0.
        WiringError: a level is missing, or strides that don't double.
    """

    output_type = SemanticLogits
    needs: frozenset[str] = frozenset()

    def __init__(
        self,
        features: FeatureSpec,
        data: DataSpec,
        *,
        levels: Sequence[str] = ("p2", "p3", "p4", "p5"),
        width: int = 128,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        check_width(width, key="head.width", usual=128)
        if not levels:
            raise ConfigError("it reads one level at least", where="head.levels=[]", fix="head.levels=[p2,p3,p4,p5]")
        require(features, *levels, by="SemanticPyramidHead")
        self.levels, self.stride = tuple(levels), features[levels[0]].stride
        doublings = [(features[name].stride // self.stride).bit_length() - 1 for name in levels]
        for name, n in zip(levels, doublings, strict=True):
            if n < 0 or features[name].stride != self.stride * 2**n:
                what = f"{name} has stride {features[name].stride}, which isn't that of {levels[0]}, {self.stride}, doubled some times"
                raise WiringError(what, where="head.levels", fix="name levels from shallow to deep")
        self.climbs = nn.ModuleList(
            Climb(features[name].channels, width, n, block=conv_group_act) for name, n in zip(levels, doublings, strict=True)
        )
        self.dropout = nn.Dropout2d(dropout)
        self.classify = nn.Conv2d(width, data.num_classes, 1)

    def forward(self, features: Features, sizes: Sizes, targets: list[Targets] | None = None) -> SemanticLogits:
        total = self.climbs[0](features[self.levels[0]])  # [B,C,h,w]
        for climb, name in zip(list(self.climbs)[1:], self.levels[1:], strict=True):
            total = total + like(climb(features[name]), total)
        return SemanticLogits(self.classify(self.dropout(total)), self.stride)  # [B,K,h,w]
