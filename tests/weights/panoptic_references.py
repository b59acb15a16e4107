"""Small panoptic networks with the layout and the names of two ports, written from a sheet of facts about them."""

import torch
from torch import nn

from tests.weights.references import Aspp, BowPool, D2Aspp, D2Separable, D2Trunk, NormConv, Trunk, block, bow_separable, conv, up

THINGS, CHANNELS = 5, (512, 256)  # of the levels at strides 8 and 4


def separable(inputs, outputs):
    return nn.Sequential(bow_separable(inputs, outputs, 5))


class BowDecoder(nn.Module):
    def __init__(self, width, projected):
        super().__init__()
        self.aspp, widths = Aspp(block, BowPool()), (256, width)
        self.project = nn.ModuleList(block(inputs, outputs) for inputs, outputs in zip(CHANNELS, projected, strict=True))
        self.fuse = nn.ModuleList(separable(inputs + low, width) for inputs, low in zip(widths, projected, strict=True))

    def forward(self, levels, x):
        x = self.aspp(x)
        for level, project, fuse in zip(levels, self.project, self.fuse, strict=True):
            level = project(level)
            x = fuse(torch.cat([up(x, level, align=True), level], 1))
        return x


class BowHead(nn.Module):
    def __init__(self, inputs, width, outputs):
        super().__init__()
        parts = {name: nn.Sequential(separable(inputs, width), conv(width, count, bias=True)) for name, count in outputs.items()}
        self.classifier = nn.ModuleDict(parts)

    def forward(self, x):
        return {name: part(x) for name, part in self.classifier.items()}


class BowPanoptic(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.backbone, self.decoder = Trunk(), nn.Module()
        self.decoder.semantic_decoder, self.decoder.instance_decoder = BowDecoder(256, (64, 32)), BowDecoder(128, (32, 16))
        self.decoder.semantic_head = BowHead(256, 256, {"semantic": classes})
        self.decoder.instance_head = BowHead(128, 32, {"center": 1, "offset": 2})

    def forward(self, x):
        levels, x = self.backbone.levels(x)
        found = self.decoder.semantic_head(self.decoder.semantic_decoder(levels, x))
        return found | self.decoder.instance_head(self.decoder.instance_decoder(levels, x))


class D2Decoder(nn.Module):
    """The shallow level comes first."""

    def __init__(self, width, ds):
        super().__init__()
        levels, inputs = {}, 256
        for name, channels, low in zip(("res3", "res2"), CHANNELS, (64, 32), strict=True):
            dense = nn.Sequential(NormConv(inputs + low, width, 3), NormConv(width, width, 3))
            fuse = D2Separable(inputs + low, width, 5) if ds else dense
            levels[name] = nn.ModuleDict({"project_conv": NormConv(channels, low), "fuse_conv": fuse})
            inputs = width
        self.decoder = nn.ModuleDict(levels | {"res5": nn.ModuleDict({"project_conv": D2Aspp(ds)})})

    def features(self, levels, x):
        x = self.decoder["res5"]["project_conv"](x)
        for name, level in zip(("res3", "res2"), levels, strict=True):
            level = self.decoder[name]["project_conv"](level)
            x = self.decoder[name]["fuse_conv"](torch.cat([level, up(x, level)], 1))
        return x


def d2_head(inputs, width, ds):
    return D2Separable(inputs, width, 5) if ds else nn.Sequential(NormConv(inputs, inputs, 3), NormConv(inputs, width, 3))


class D2Panoptic(nn.Module):
    def __init__(self, classes, ds):
        super().__init__()
        self.backbone, self.sem_seg_head, self.ins_embed_head = D2Trunk(True, (1, 2)), D2Decoder(256, ds), D2Decoder(128, ds)
        self.sem_seg_head.head, self.sem_seg_head.predictor = d2_head(256, 256, ds), conv(256, classes, bias=True)
        instance = self.ins_embed_head
        instance.center_head, instance.center_predictor = d2_head(128, 32, False), conv(32, 1, bias=True)
        instance.offset_head, instance.offset_predictor = d2_head(128, 32, ds), conv(32, 2, bias=True)

    def forward(self, x):
        levels, x = self.backbone.levels(x)
        head, instance = self.sem_seg_head, self.ins_embed_head
        y = instance.features(levels, x)
        center, offset = instance.center_predictor(instance.center_head(y)), instance.offset_predictor(instance.offset_head(y))
        return {"semantic": head.predictor(head.head(head.features(levels, x))), "center": center, "offset": offset}
