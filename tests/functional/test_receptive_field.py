"""What a cell sees, against hand arithmetic and against the pixels that its gradient reaches."""

import pytest
import torch
import torchvision
from torch import nn

from segexp.functional.receptive_field import Reach, ReceptiveField


def reach(net, side=256):
    image = torch.zeros(1, 3, side, side, device="meta")
    with torch.no_grad(), ReceptiveField(image) as field:
        return field.of(net.to("meta").eval()(image))


def conv(kernel, stride=1, dilation=1, channels=3):
    return nn.Conv2d(channels, 3, kernel, stride, padding=dilation * (kernel // 2), dilation=dilation)


@pytest.mark.parametrize(
    ("net", "pixels"),
    [
        (conv(3), 3),
        (nn.Sequential(conv(3), conv(3)), 5),
        (nn.Sequential(conv(3, stride=2), conv(3)), 3 + 2 * 2),
        (nn.Sequential(conv(3, stride=2), conv(3, dilation=6)), 3 + 2 * 6 * 2),
        (nn.Sequential(conv(1, stride=4), conv(1)), 1),
        (nn.Sequential(nn.MaxPool2d(3, 2, 1), nn.AvgPool2d(2)), 3 + 2),
        (nn.Sequential(nn.MaxPool2d(3, 2, 1, ceil_mode=True), conv(3, stride=2), conv(3)), 3 + 2 * 2 + 2 * 4),
        (nn.Sequential(conv(1, stride=4), nn.ConvTranspose2d(3, 3, 4, 2, 1), conv(3)), 1 + 4 + 2 * 2),
        (nn.Sequential(conv(3, stride=2), nn.Upsample(scale_factor=2, mode="bilinear")), 3 + 2),
    ],
)
def test_kernels_add_up_by_stride_and_dilation(net, pixels):
    assert reach(net)[:2] == (pixels, False)


def test_the_farthest_of_several_branches_counts():
    class Sum(nn.Module):
        def __init__(self):
            super().__init__()
            self.near, self.far = conv(3), conv(3, dilation=12)

        def forward(self, x):
            return torch.cat([self.near(x), self.far(x) * 2], 1) + x.repeat(1, 2, 1, 1)

    assert reach(Sum())[:2] == (25, False)


@pytest.mark.parametrize("pool", [lambda x: x.mean((2, 3), keepdim=True), nn.AdaptiveAvgPool2d(1), nn.AdaptiveAvgPool2d(3)])
def test_a_pooled_value_sees_the_whole_image(pool):
    class Gate(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = conv(3)

        def forward(self, x):
            x = self.conv(x)
            return x * torch.sigmoid(nn.functional.interpolate(pool(x), x.shape[-2:], mode="nearest"))

    assert reach(Gate()).whole and reach(Gate()).pixels == 3


def test_a_mean_over_channels_sees_no_more():
    class Mean(nn.Module):
        def forward(self, x):
            return x.mean(1, keepdim=True)

    assert reach(Mean())[:2] == (1, False)


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2", "vgg11"])
def test_it_is_what_the_gradient_reaches(name):
    """The pixels of a column that a gradient of the cell in the middle gets to, all weights being positive."""
    net = torchvision.models.get_model(name, weights=None)
    net = net.features if hasattr(net, "features") else nn.Sequential(*list(net.children())[:-2])
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.constant_(module.weight, 1 / module.weight[0].numel())
        for child, part in module.named_children():
            if isinstance(part, (nn.ReLU, nn.ReLU6)):
                setattr(module, child, nn.Identity())
            if isinstance(part, nn.MaxPool2d):
                setattr(module, child, nn.AvgPool2d(part.kernel_size, part.stride, part.padding))
    image = torch.ones(1, 3, 1024, 32, dtype=torch.float64, requires_grad=True)
    deep = net.double().eval()(image)
    deep[0, 0, deep.shape[2] // 2, 0].backward()
    touched = image.grad.abs().sum((0, 1, 3)).nonzero().flatten()
    assert reach(net.float())[:2] == (int(touched[-1] - touched[0] + 1), False)


def test_it_is_told_in_pixels():
    assert str(Reach(435, False)) == "435 px"
    assert str(Reach(595.0, True)) == "595 px + image"
