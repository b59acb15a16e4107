"""Parity with torchvision and segmentation-models-pytorch: python -m tests.weights.parity prints the whole table."""

import sys
import tempfile
import time
from pathlib import Path

import segmentation_models_pytorch as smp
import torch
from torchvision.models import segmentation

from tests.weights.peers import CLASSES, difference, imported, logits, normalised, peer_logits, randomised, resized

ODD, WIDE, LARGE = (129, 129), (65, 97), (512, 512)
V3 = ("model=deeplabv3", "decoder.rates=[12,24,36]")
FCN = ("decoder=identity", "head=fcn", "backbone.output_stride=8")
MOBILE = (
    "backbone=torchvision",
    "backbone.name=mobilenet_v3_large",
    "backbone.output_stride=16",
    "backbone.first_block_dilation=full",
    "backbone.level_block=first",
)
AUX = ("head=semantic_aux", "loss=auxiliary")
FCN_AUX = ("head/parts.main=fcn",)
PLUS = ("model=deeplabv3plus", "decoder.rates=[12,24,36]", "decoder.separable=true", "decoder.post_conv=true")
PLUS += ("decoder.fuse_convs=1", "decoder.align_corners=true")
FULL = "backbone.first_block_dilation=full"
ENCODERS = {
    "resnet18": ("backbone=resnet18",),
    "resnet50": ("backbone=resnet50",),
    "resnet101": ("backbone=resnet101",),
    "mobilenet_v2": ("backbone=smp", "backbone.name=mobilenet_v2"),
}

# name -> what makes the peer, the module that gives its logits, our overrides
TORCHVISION = {
    "deeplabv3_resnet50": ({}, "classifier", (*V3, "backbone=resnet50")),
    "deeplabv3_resnet50 aux": ({"aux_loss": True}, "classifier", (*V3, "backbone=resnet50", *AUX)),
    "deeplabv3_resnet101": ({}, "classifier", (*V3, "backbone=resnet101")),
    "deeplabv3_mobilenet_v3_large": ({}, "classifier", (*V3, *MOBILE)),
    "deeplabv3_mobilenet_v3_large aux": ({"aux_loss": True}, "classifier", (*V3, *MOBILE, *AUX, "head.parts.aux.level=c3")),
    "fcn_resnet50": ({}, "classifier", (*FCN, "backbone=resnet50")),
    "fcn_resnet50 aux": (
        {"aux_loss": True},
        "classifier",
        ("model=fcn", "decoder.convs=1", "decoder.concat=false", *AUX, "backbone=resnet50"),
    ),
    "fcn_resnet101": ({}, "classifier", (*FCN, "backbone=resnet101")),
    "lraspp_mobilenet_v3_large": ({}, "classifier", ("model=lraspp", *MOBILE)),
}
SMP = {
    f"{kind} {encoder} os{stride}": (
        kind,
        encoder,
        stride,
        (*(V3 if kind == "DeepLabV3" else PLUS), *keys, f"backbone.output_stride={stride}", FULL),
    )
    for kind in ("DeepLabV3", "DeepLabV3Plus")
    for encoder, keys in ENCODERS.items()
    for stride in (8, 16)
}


def torchvision_rows(name, sizes, folder):
    """(size, difference of the logits, at full size, of the auxiliary head if any), in units of the bound."""
    options, last, overrides = TORCHVISION[name]
    make = getattr(segmentation, name.split()[0])
    net = randomised(make(weights=None, weights_backbone=None, num_classes=CLASSES, **options))
    model, report = imported(net, overrides, folder)
    assert report.scheme == "tv"
    assert not report.idle
    for size in sizes:
        x = normalised(size)
        low, full = peer_logits(net, last, x)
        found = logits(model, x)
        row = [difference(found.logits, low), difference(resized(found.logits, size, False), full["out"])]
        if options:
            row.append(difference(resized(found.aux["aux"].logits, size, False), full["aux"]))
        yield size, row


def smp_rows(name, sizes, folder):
    """As for torchvision; the library takes multiples of the output stride only, so that the nearest sizes stand for others."""
    kind, encoder, stride, overrides = SMP[name]
    options = {"encoder_weights": None, "encoder_output_stride": stride, "classes": CLASSES}
    net = randomised(getattr(smp, kind)(encoder, **options))
    model, report = imported(net, overrides, folder)
    assert report.scheme == "smp"
    for odd in sizes:
        size = tuple(side // 32 * 32 for side in odd)
        x = normalised(size)
        low, full = peer_logits(net, "segmentation_head.0", x)
        found = logits(model, x)
        yield size, [difference(found.logits, low), difference(resized(found.logits, size, True), full)]


def main(names):
    torch.set_num_threads(1)
    worst = 0.0
    for table, rows in ((TORCHVISION, torchvision_rows), (SMP, smp_rows)):
        for name in table:
            if names and not any(part in name for part in names):
                continue
            sizes = (ODD, WIDE, LARGE) if name in ("deeplabv3_resnet50", "DeepLabV3Plus resnet50 os16") else (ODD, WIDE)
            with tempfile.TemporaryDirectory() as folder:
                began = time.monotonic()
                for size, row in rows(name, sizes, Path(folder)):
                    worst = max(worst, *row)
                    figures = "  ".join(f"{value * 1e-4:.1e}" for value in row)
                    print(f"{name:34} {size[0]}x{size[1]:<4} {figures}  {time.monotonic() - began:5.1f} s", flush=True)
    print(f"largest difference: {worst * 1e-4:.2e} x max(1, standard deviation); the bound is 1e-4")
    return int(worst > 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
