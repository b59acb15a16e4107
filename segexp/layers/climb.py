"""From a deep level of a pyramid up to a shallow one's size (Kirillov et al., "Panoptic Feature Pyramid Networks", 2019)."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from segexp.layers.conv import conv_norm_act
from segexp.layers.renorm import groups_of
from segexp.layers.resample import doubled


def conv_group_act(inputs: int, outputs: int, kernel: int = 1) -> nn.Sequential:
    """Convolution without bias, GroupNorm, ReLU; keeps the size. For detectors, whose batches are too small to norm by."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False),
        nn.GroupNorm(groups_of(outputs), outputs),
        nn.ReLU(inplace=True),
    )


class Climb(nn.Module):
    """3x3 convolutions, each but perhaps the last followed by doubling, from one stride to another.

    Args:
        inputs: channels of the input.
        width: channels of each convolution.
        doublings: from the input's stride to the wanted one; 0 is one convolution without.
        block: `(inputs, outputs, kernel) -> convolution, norm and activation`.
    """

    def __init__(self, inputs: int, width: int, doublings: int, *, block: Callable[[int, int, int], nn.Module] = conv_norm_act) -> None:
        super().__init__()
        self.doublings = doublings
        self.convs = nn.ModuleList(block(width if i else inputs, width, 3) for i in range(max(doublings, 1)))

    def forward(self, x: Tensor) -> Tensor:
        for number, conv in enumerate(self.convs):
            x = conv(x)
            if number < self.doublings:
                x = doubled(x)
        return x
