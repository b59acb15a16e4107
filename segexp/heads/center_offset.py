"""Bottom-up panoptic head (Cheng et al., "Panoptic-DeepLab", 2020): class logits, centre heatmap and offset field, one stride."""

from __future__ import annotations

from torch import nn

from segexp.errors import ConfigError, WiringError
from segexp.layers.conv import check_kernel, check_width, conv_block, conv_norm_act
from segexp.types import CenterOffset, DataSpec, Features, FeatureSpec, Sizes, Targets
from segexp.wiring import require


class CenterOffsetHead(nn.Module):
    """Predict classes, and for things a centre score and the vector to the centre, for each pixel.

    Each of the three is convolutions and a 1x1. The offset is regressed in cells and emitted in pixels of the input, so that
    the same weights serve at any stride.

    Args:
        features: what the decoder emits; needs the levels `semantic` and `instance`, of one stride.
        data: the data set's classes; sets the number of semantic channels.
        semantic_width: channels of the semantic branch.
        instance_width: channels of the other two.
        separable: form of the convolutions: False (dense), True (one norm) or `two_norms`.
        kernel: of these, odd.
        convs: of each branch; all but the last keep the channels of the level.
        center_dense: the centre's branch is two dense 3x3 convolutions, whatever the others are (Detectron2).
        align_corners: see `SemanticLogits`.

    Raises:
        ConfigError: no convolution, an even kernel, or a width of 0.
        WiringError: a level is missing, or of another stride.
    """

    output_type = CenterOffset
    needs: frozenset[str] = frozenset()

    def __init__(
        self,
        features: FeatureSpec,
        data: DataSpec,
        *,
        semantic_width: int = 256,
        instance_width: int = 32,
        separable: bool | str = "two_norms",
        kernel: int = 5,
        convs: int = 1,
        center_dense: bool = False,
        align_corners: bool = False,
    ) -> None:
        super().__init__()
        require(features, "semantic", "instance", by="CenterOffsetHead")
        semantic, instance = features["semantic"], features["instance"]
        if semantic.stride != instance.stride:
            raise WiringError(
                f"semantic and instance must have one stride; they have {semantic.stride} and {instance.stride}",
                where="decoder.parts.semantic, decoder.parts.instance",
                fix="decoder.parts.semantic.low=[c3,c2] decoder.parts.instance.low=[c3,c2], or other lists that end with one level",
            )
        check_kernel(kernel, key="head.kernel")
        check_width(semantic_width, key="head.semantic_width", usual=256)
        check_width(instance_width, key="head.instance_width", usual=32)
        if not isinstance(convs, int) or convs < 1:
            raise ConfigError("each branch has one convolution at least", where=f"head.convs={convs}", fix="head.convs=1|2")
        self.stride, self.align_corners = semantic.stride, align_corners
        block = conv_block(separable, key="head.separable")

        def branch(inputs: int, width: int, outputs: int, *, dense: bool = False) -> nn.Sequential:
            count, side, form = (2, 3, conv_norm_act) if dense else (convs, kernel, block)
            layers = [form(inputs, inputs if i < count - 1 else width, side) for i in range(count)]
            return nn.Sequential(*layers, nn.Conv2d(width, outputs, 1))

        self.semantic = branch(semantic.channels, semantic_width, data.num_classes)
        self.center = branch(instance.channels, instance_width, 1, dense=center_dense)
        self.offset = branch(instance.channels, instance_width, 2)

    def forward(self, features: Features, sizes: Sizes, targets: list[Targets] | None = None) -> CenterOffset:
        x = features["instance"]  # [B,C,h,w]
        return CenterOffset(
            semantic=self.semantic(features["semantic"]),  # [B,K,h,w] logits
            center=self.center(x),  # [B,1,h,w]
            offset=self.offset(x) * self.stride,  # [B,2,h,w] (dy, dx) in input pixels
            stride=self.stride,
            align_corners=self.align_corners,
        )
