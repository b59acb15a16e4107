"""Small networks with the layout and the names of ports that aren't installed, written from a sheet of facts about them."""

from collections import OrderedDict

import torch
from torch import nn
from torch.nn import functional as F
from torchvision.models.resnet import Bottleneck, ResNet

CLASSES = 21
DEPTHS = (2, 2, 2, 2)  # timm's resnet26
RATES = (6, 12, 18)
WIDTHS = (64, 128, 256, 512)


def up(x, like, align=False):
    return F.interpolate(x, like.shape[-2:], mode="bilinear", align_corners=align)


def conv(inputs, outputs, kernel=1, stride=1, dilation=1, bias=False, groups=1):
    padding = dilation * (kernel // 2)
    return nn.Conv2d(inputs, outputs, kernel, stride, padding, dilation, groups, bias)


def block(inputs, outputs, kernel=1, dilation=1):
    return nn.Sequential(conv(inputs, outputs, kernel, dilation=dilation), nn.BatchNorm2d(outputs), nn.ReLU())


class Pool(nn.Sequential):
    """The mean of a map through layers, spread over it again."""

    def forward(self, x):
        return super().forward(x).expand(-1, -1, *x.shape[-2:])


class Aspp(nn.Module):
    """In torchvision's form of names; `inner` makes the 3x3 branches, `pool` the last."""

    def __init__(self, inner, pool, inputs=2048):
        super().__init__()
        self.convs = nn.ModuleList([block(inputs, 256), *(inner(inputs, 256, 3, dilation=rate) for rate in RATES), pool])
        self.project = nn.Sequential(conv(1280, 256), nn.BatchNorm2d(256), nn.ReLU(), nn.Dropout(0.1))

    def forward(self, x):
        return self.project(torch.cat([part(x) for part in self.convs], 1))


class Trunk(nn.Module):
    """torchvision's ResNet, of which the levels at strides 4 and 16 are read."""

    def __init__(self):
        super().__init__()
        whole = ResNet(Bottleneck, list(DEPTHS), replace_stride_with_dilation=[False, False, True])
        for name, part in whole.named_children():
            if name not in ("avgpool", "fc"):
                self.add_module(name, part)

    def forward(self, x):
        (_, low), x = self.levels(x)
        return low, x

    def levels(self, x):
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        low = self.layer1(x)
        middle = self.layer2(low)
        return (middle, low), self.layer4(self.layer3(middle))


# -------------------------------------------------------------------------------------------------- VF


class Body(nn.Module):
    def __init__(self, inputs, outputs, kernel, dilation=1):
        super().__init__()
        self.body = nn.Sequential(conv(inputs, inputs, kernel, dilation=dilation, groups=inputs), conv(inputs, outputs))

    def forward(self, x):
        return self.body(x)


def separable(inputs, outputs, kernel, dilation=1):
    return nn.Sequential(Body(inputs, outputs, kernel, dilation), nn.BatchNorm2d(outputs), nn.ReLU())


def vf_pool(inputs=2048):
    return Pool(nn.AdaptiveAvgPool2d(1), conv(inputs, 256), nn.BatchNorm2d(256), nn.ReLU())


class Residual(nn.Module):
    """An inverted residual that pads before its first convolution."""

    def __init__(self, inputs, outputs, stride, dilation, factor):
        super().__init__()
        wide = inputs * factor
        expand = [nn.Sequential(nn.Conv2d(inputs, wide, 1, bias=False), nn.BatchNorm2d(wide), nn.ReLU6())] if factor > 1 else []
        depthwise = nn.Conv2d(wide, wide, 3, stride, 0, dilation, groups=wide, bias=False)
        project = nn.Conv2d(wide, outputs, 1, bias=False), nn.BatchNorm2d(outputs)
        self.conv = nn.Sequential(*expand, nn.Sequential(depthwise, nn.BatchNorm2d(wide), nn.ReLU6()), *project)
        self.pad, self.adds = dilation, stride == 1 and inputs == outputs

    def forward(self, x):
        y = self.conv(F.pad(x, (self.pad,) * 4))
        return x + y if self.adds else y


class VFMobile(nn.Module):
    """MobileNetV2 at output stride 16; its first convolution pads nothing."""

    def __init__(self):
        super().__init__()
        first = nn.Sequential(nn.Conv2d(3, 32, 3, 2, bias=False), nn.BatchNorm2d(32), nn.ReLU6())
        parts, inputs = [first], 32
        rows = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 1), (6, 320, 1, 1))
        for stage, (factor, outputs, depth, stride) in enumerate(rows):
            for i in range(depth):
                dilation = 2 if stage == 6 or (stage == 5 and i) else 1
                parts.append(Residual(inputs, outputs, 1 if i else stride, dilation, factor))
                inputs = outputs
        whole = nn.Sequential(*parts)
        self.low_level_features, self.high_level_features = whole[:4], whole[4:]  # a slice keeps its numbers

    def forward(self, x):
        low = self.low_level_features(x)
        return low, self.high_level_features(low)


class VF3(nn.Module):
    def __init__(self, inner=block, backbone=None, inputs=2048):
        super().__init__()
        self.backbone, self.classifier = backbone or Trunk(), nn.Module()
        layers = [Aspp(inner, vf_pool(inputs), inputs), *inner(256, 256, 3), conv(256, CLASSES, bias=True)]
        self.classifier.classifier = nn.Sequential(*layers)

    def forward(self, x):
        return self.classifier.classifier(self.backbone(x)[1])


class VFPlus(nn.Module):
    """The shallow level comes first."""

    def __init__(self, inner=block, backbone=None, low=256, inputs=2048):
        super().__init__()
        self.backbone, self.classifier = backbone or Trunk(), nn.Module()
        self.classifier.project = block(low, 48)
        self.classifier.aspp = Aspp(inner, vf_pool(inputs), inputs)
        self.classifier.classifier = nn.Sequential(*inner(304, 256, 3), conv(256, CLASSES, bias=True))

    def forward(self, x):
        low, high = self.backbone(x)
        low = self.classifier.project(low)
        return self.classifier.classifier(torch.cat([low, up(self.classifier.aspp(high), low)], 1))


# -------------------------------------------------------------------------------------------------- KAZ


class ConvBn(nn.Sequential):
    def __init__(self, inputs, outputs, kernel=1, stride=1, dilation=1, relu=True):
        parts = {"conv": conv(inputs, outputs, kernel, stride, dilation), "bn": nn.BatchNorm2d(outputs)}
        super().__init__(OrderedDict(parts | ({"relu": nn.ReLU()} if relu else {})))


class KazBlock(nn.Module):
    """The stride lies in the first 1x1 convolution."""

    def __init__(self, inputs, width, stride, dilation, first):
        super().__init__()
        self.reduce = ConvBn(inputs, width, 1, stride)
        self.conv3x3 = ConvBn(width, width, 3, 1, dilation)
        self.increase = ConvBn(width, 4 * width, relu=False)
        self.shortcut = ConvBn(inputs, 4 * width, 1, stride, relu=False) if first else nn.Identity()

    def forward(self, x):
        return F.relu(self.increase(self.conv3x3(self.reduce(x))) + self.shortcut(x))


def kaz_layer(inputs, width, depth, stride, dilation, grid=(1, 1)):
    blocks = {
        f"block{i + 1}": KazBlock(4 * width if i else inputs, width, 1 if i else stride, dilation * grid[i], not i) for i in range(depth)
    }
    return nn.Sequential(OrderedDict(blocks))


class Kaz(nn.Module):
    """kind: 1 (a 1x1 classifier), 2 (a sum of four), 3, or `+`."""

    def __init__(self, kind, stride, grid=(1, 2)):
        super().__init__()
        self.kind = kind
        steps, dilations = ((1, 2, 1, 1), (1, 1, 2, 4)) if stride == 8 else ((1, 2, 2, 1), (1, 1, 1, 2))
        pool = nn.MaxPool2d(3, 2, 1, ceil_mode=True)
        self.layer1 = nn.Sequential(OrderedDict(conv1=ConvBn(3, 64, 7, 2), pool=pool))
        inputs = 64
        for i, width in enumerate(WIDTHS):
            grids = grid if i == 3 and kind in (3, "+") else (1, 1)
            self.add_module(f"layer{i + 2}", kaz_layer(inputs, width, DEPTHS[i], steps[i], dilations[i], grids))
            inputs = 4 * width
        getattr(self, {1: "_one", 2: "_sum", 3: "_pyramid", "+": "_plus"}[kind])()

    def _one(self):
        self.fc = conv(2048, CLASSES, bias=True)

    def _sum(self):
        self.aspp = nn.Module()
        for i, rate in enumerate((6, 12, 18, 24)):
            self.aspp.add_module(f"c{i}", conv(2048, CLASSES, 3, dilation=rate, bias=True))

    def _pyramid(self):
        self.aspp = nn.Module()
        stages = {"c0": ConvBn(2048, 256)} | {f"c{i + 1}": ConvBn(2048, 256, 3, 1, rate) for i, rate in enumerate(RATES)}
        stages["imagepool"] = Pool(OrderedDict(pool=nn.AdaptiveAvgPool2d(1), conv=ConvBn(2048, 256)))
        self.aspp.stages = nn.ModuleDict(stages)
        self.fc1 = ConvBn(1280, 256)
        self.fc2 = conv(256, CLASSES, bias=True)

    def _plus(self):
        self._pyramid()
        self.reduce = ConvBn(256, 48)
        self.fc2 = nn.Sequential(OrderedDict(conv1=ConvBn(304, 256, 3), conv2=ConvBn(256, 256, 3), conv3=conv(256, CLASSES, bias=True)))

    def forward(self, x):
        low = self.layer2(self.layer1(x))
        x = self.layer5(self.layer4(self.layer3(low)))
        if self.kind == 1:
            return self.fc(x)
        if self.kind == 2:
            return sum(part(x) for part in self.aspp.children())
        x = self.fc1(torch.cat([part(x) for part in self.aspp.stages.values()], 1))
        if self.kind == "+":
            low = self.reduce(low)
            x = torch.cat([up(x, low), low], 1)
        return self.fc2(x)


class Multi(nn.Module):
    """Its wrapper for several scales, whose names begin with `base.`."""

    def __init__(self, base):
        super().__init__()
        self.base = base

    def forward(self, x):
        return self.base(x)


# -------------------------------------------------------------------------------------------------- BOW


class BowPool(nn.Module):
    def __init__(self):
        super().__init__()
        self.aspp_pooling = Pool(nn.AdaptiveAvgPool2d(1), conv(2048, 256), nn.ReLU())  # neither norm nor bias

    def forward(self, x):
        return self.aspp_pooling(x)


def bow_separable(inputs, outputs, kernel=3):
    depthwise = nn.Sequential(conv(inputs, inputs, kernel, groups=inputs), nn.BatchNorm2d(inputs), nn.ReLU())
    return nn.Sequential(depthwise, conv(inputs, outputs), nn.BatchNorm2d(outputs), nn.ReLU())


class Bow(nn.Module):
    def __init__(self, plus, backbone=None, low=256):
        super().__init__()
        self.backbone, self.decoder, self.plus = backbone or Trunk(), nn.Module(), plus
        self.decoder.aspp = Aspp(block, BowPool())
        if plus:
            self.decoder.project = block(low, 48)
            self.decoder.fuse = nn.Sequential(bow_separable(304, 256), bow_separable(256, 256))
            self.decoder.classifier = conv(256, CLASSES, bias=True)
        else:
            self.decoder.classifier = nn.Sequential(*block(256, 256, 3), conv(256, CLASSES, bias=True))

    def forward(self, x):
        low, x = self.backbone(x)
        x = self.decoder.aspp(x)
        if self.plus:
            low = self.decoder.project(low)
            x = self.decoder.fuse(torch.cat([up(x, low, align=True), low], 1))
        return self.decoder.classifier(x)


class XceptionPair(nn.Module):
    def __init__(self, inputs, outputs, stride, dilation, relu_first):
        super().__init__()
        depthwise, pointwise = conv(inputs, inputs, 3, stride, dilation, groups=inputs), conv(inputs, outputs)
        first, last = nn.BatchNorm2d(inputs), nn.BatchNorm2d(outputs)
        if relu_first:
            parts = {"relu": nn.ReLU(), "depthwise": depthwise, "bn_depth": first, "pointwise": pointwise, "bn_point": last}
        else:
            parts = {"depthwise": depthwise, "bn_depth": first, "relu1": nn.ReLU(), "pointwise": pointwise, "bn_point": last}
            parts["relu2"] = nn.ReLU()
        self.block = nn.Sequential(OrderedDict(parts))

    def forward(self, x):
        return self.block(x)


class XceptionBlock(nn.Module):
    def __init__(self, widths, stride=1, dilation=1, skip="conv"):
        super().__init__()
        self.skip = skip
        for i in range(3):
            pair = XceptionPair(widths[i], widths[i + 1], stride if i == 2 else 1, dilation, skip != "none")
            self.add_module(f"sep_conv{i + 1}", pair)
        if skip == "conv":
            self.conv, self.bn = conv(widths[0], widths[3], 1, stride), nn.BatchNorm2d(widths[3])

    def forward(self, x):
        second = self.sep_conv2(self.sep_conv1(x))
        whole = self.sep_conv3(second)
        return whole + (self.bn(self.conv(x)) if self.skip == "conv" else x if self.skip == "sum" else 0), second


class AlignedXception(nn.Module):
    """Xception-65 at output stride 16; the low level is the second pair of the second block."""

    def __init__(self, middle=16):
        super().__init__()
        self.middle = middle
        self.conv1, self.bn1 = conv(3, 32, 3, 2), nn.BatchNorm2d(32)
        self.conv2, self.bn2 = conv(32, 64, 3), nn.BatchNorm2d(64)
        self.block1 = XceptionBlock((64, 128, 128, 128), 2)
        self.block2 = XceptionBlock((128, 256, 256, 256), 2)
        self.block3 = XceptionBlock((256, 728, 728, 728), 2)
        for i in range(middle):
            self.add_module(f"block{i + 4}", XceptionBlock((728,) * 4, skip="sum"))
        self.add_module(f"block{middle + 4}", XceptionBlock((728, 728, 1024, 1024)))
        self.add_module(f"block{middle + 5}", XceptionBlock((1024, 1536, 1536, 2048), dilation=2, skip="none"))

    def forward(self, x):
        x = F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))))
        x, low = self.block2(self.block1(x)[0])
        for i in range(3, self.middle + 6):
            x = getattr(self, f"block{i}")(x)[0]
        return low, x


# -------------------------------------------------------------------------------------------------- D2


class NormConv(nn.Conv2d):
    def __init__(self, inputs, outputs, kernel=1, stride=1, dilation=1, relu=True, groups=1):
        super().__init__(inputs, outputs, kernel, stride, dilation * (kernel // 2), dilation, groups, bias=False)
        self.norm, self.relu = nn.BatchNorm2d(outputs), relu

    def forward(self, x):
        x = self.norm(super().forward(x))
        return F.relu(x) if self.relu else x


class D2Block(nn.Module):
    def __init__(self, inputs, width, stride, dilation, first):
        super().__init__()
        self.conv1, self.conv2 = NormConv(inputs, width), NormConv(width, width, 3, stride, dilation)
        self.conv3 = NormConv(width, 4 * width, relu=False)
        self.shortcut = NormConv(inputs, 4 * width, 1, stride, relu=False) if first else None

    def forward(self, x):
        return F.relu(self.conv3(self.conv2(self.conv1(x))) + (x if self.shortcut is None else self.shortcut(x)))


class D2Trunk(nn.Module):
    """With a stem of three convolutions, or of one."""

    def __init__(self, deep, grid):
        super().__init__()
        self.stem = nn.Module()
        first = (NormConv(3, 64, 3, 2), NormConv(64, 64, 3), NormConv(64, 128, 3)) if deep else (NormConv(3, 64, 7, 2),)
        for i, part in enumerate(first):
            self.stem.add_module(f"conv{i + 1}", part)
        inputs, steps, dilations = first[-1].out_channels, (1, 2, 2, 1), (1, 1, 1, 2)
        for i, width in enumerate(WIDTHS):
            blocks = []
            for j in range(DEPTHS[i]):
                dilation = dilations[i] * (grid[j] if i == 3 else 1)
                blocks.append(D2Block(4 * width if j else inputs, width, 1 if j else steps[i], dilation, not j))
            self.add_module(f"res{i + 2}", nn.Sequential(*blocks))
            inputs = 4 * width

    def forward(self, x):
        (_, low), x = self.levels(x)
        return low, x

    def levels(self, x):
        for part in self.stem.children():
            x = part(x)
        low = self.res2(F.max_pool2d(x, 3, 2, 1))
        middle = self.res3(low)
        return (middle, low), self.res5(self.res4(middle))


class D2Separable(nn.Module):
    def __init__(self, inputs, outputs, kernel, dilation=1):
        super().__init__()
        self.depthwise, self.pointwise = NormConv(inputs, inputs, kernel, 1, dilation, groups=inputs), NormConv(inputs, outputs)

    def forward(self, x):
        return self.pointwise(self.depthwise(x))


class D2Aspp(nn.Module):
    def __init__(self, separable=False):
        super().__init__()
        pool = Pool(nn.AdaptiveAvgPool2d(1), conv(2048, 256, bias=True), nn.ReLU())
        branches = [D2Separable(2048, 256, 3, rate) if separable else NormConv(2048, 256, 3, 1, rate) for rate in RATES]
        self.convs = nn.ModuleList([NormConv(2048, 256), *branches, pool])
        self.project = NormConv(1280, 256)

    def forward(self, x):
        return self.project(torch.cat([part(x) for part in self.convs], 1))


class D2(nn.Module):
    """The shallow level comes first."""

    def __init__(self, plus, deep=True, grid=(1, 2), separable=False):
        super().__init__()
        self.plus, self.backbone, self.sem_seg_head = plus, D2Trunk(deep, grid), nn.Module()
        if plus:
            fuse = D2Separable(304, 256, 5) if separable else nn.Sequential(NormConv(304, 256, 3), NormConv(256, 256, 3))
            low = nn.ModuleDict({"project_conv": NormConv(256, 48), "fuse_conv": fuse})
            self.sem_seg_head.decoder = nn.ModuleDict({"res2": low, "res5": nn.ModuleDict({"project_conv": D2Aspp(separable)})})
        else:
            self.sem_seg_head.aspp = D2Aspp()
        self.sem_seg_head.predictor = conv(256, CLASSES, bias=True)

    def forward(self, x):
        low, x = self.backbone(x)
        head = self.sem_seg_head
        if not self.plus:
            return head.predictor(head.aspp(x))
        low, x = head.decoder["res2"]["project_conv"](low), head.decoder["res5"]["project_conv"](x)
        return head.predictor(head.decoder["res2"]["fuse_conv"](torch.cat([low, up(x, low)], 1)))
