"""Published models as overrides: which keys give which of them, and how many parameters that are.

The parameters are those of the published code, counted on the model itself. Names begin with the code: tv torchvision, vainf a
PyTorch port of DeepLabv3 and v3+, smp segmentation-models-pytorch, kaz a PyTorch port of v1 and v2, bowen that of the authors of
Panoptic-DeepLab, d2 Detectron2; the importer's schemes are tv, vf, smp, kaz, bow, d2.
"""

from __future__ import annotations

from dataclasses import dataclass

from segexp.weights.panoptic import BOW_THREE_LOW, D2, D2_DENSE, D2_SEPARABLE, bow


@dataclass(frozen=True)
class Published:
    """A model of published code.

    Args:
        name: with the short name of the code before the point.
        overrides: of `train`, that give it.
        classes: that it was counted with.
        parameters: of the published code.
        but: in what its outputs differ with the same weights; empty where they don't.
    """

    name: str
    overrides: tuple[str, ...]
    classes: int
    parameters: int
    but: str = ""

    def __str__(self) -> str:
        return self.name + (f" (but {self.but})" if self.but else "")


def _row(name: str, parameters: int, classes: int, *parts: tuple[str, ...] | str, but: str = "") -> Published:
    overrides = [part for each in parts for part in ((each,) if isinstance(each, str) else each)]
    last = {part.partition("=")[0]: part for part in overrides}  # what is said again replaces what was said
    return Published(name, tuple(last.values()), classes, parameters, but)


_AUX = ("head=semantic_aux", "loss=auxiliary", "loss.weight=0.5")
_FULL = "backbone.first_block_dilation=full"
_GRID = "backbone.multi_grid=[1,2,4]"


def _os(stride: int) -> str:
    return f"backbone.output_stride={stride}"


def _from(library: str, name: str) -> tuple[str, ...]:
    return f"backbone={library}", f"backbone.name={name}"


# -------------------------------------------------------------------------------------------------------- torchvision

_TV3 = ("model=deeplabv3", "decoder.dropout=0.5", _os(8))
_TV_FCN = ("model=fcn", "decoder=identity", "head=fcn", _os(8))
_TV_MOBILE = (*_from("torchvision", "mobilenet_v3_large"), _os(16), "backbone.level_block=first", _FULL)  # its deepest stage is dilated

# ----------------------------------------------------------------------------------------------------------- VF's port

_VF3 = ("model=deeplabv3", _os(16))
_VF_MOBILE = ("backbone=mobilenet_v2", "backbone.layout=pad_first")
_VF_XCEPTION = "its maps are smaller: there the first two convolutions pad nothing, and the last two too little"
_VF_PLUS = ("model=deeplabv3plus", "decoder.separable=false", "decoder.fuse_convs=1")

# ---------------------------------------------------------------------------------------- segmentation-models-pytorch

# Its last resize has align_corners=True at sizes k x stride, where cells lie on no pixels: the logits before it are what agrees.
_SMP_ASPP = ("decoder.rates=[12,24,36]", "decoder.dropout=0.5", _FULL)
_SMP3 = ("model=deeplabv3", *_SMP_ASPP)
_SMP_PLUS = (
    "model=deeplabv3plus",
    *_SMP_ASPP,
    "decoder.post_conv=true",
    "decoder.fuse_convs=1",
    "decoder.align_corners=true",
)

# ---------------------------------------------------------------------------------------------------------- KAZ's port

_CAFFE = ("backbone=resnet101", "backbone.layout=caffe", _FULL)
_KAZ3 = (*_CAFFE, _GRID, "model=deeplabv3", "decoder.post_conv=false", "decoder.dropout=0.0")
_KAZ_PLUS = (*_CAFFE, _GRID, "model=deeplabv3plus", "decoder.separable=false", "decoder.dropout=0.0")

# --------------------------------------------------------------------------------------------- BOW's and Detectron2's

_BOW = ("backbone=resnet50", "decoder.pool_norm=false", "decoder.dropout=0.5", _os(16), "norm.momentum=0.01")
_ALIGNED = "head.align_corners=true"
_R103 = ("backbone=resnet101", "backbone.stem=beta", _FULL, _GRID, "decoder.pool_norm=bias", _os(16))

# ----------------------------------------------------------------------------------------------- their panoptic models

_PDL = (*bow(dropout="0.5"), "norm.momentum=0.01")
_PDL32 = (*_PDL, *BOW_THREE_LOW, _os(32))
_H48 = (*_from("timm", "hrnet_w48"), "backbone.layout=branches", "head.align_corners=false")
_D2_PDL = ("model=panoptic_deeplab", "backbone=resnet50", "backbone.stem=beta", _FULL, _os(16), *D2)

PUBLISHED: tuple[Published, ...] = (
    _row("tv.deeplabv3_mobilenet_v3_large", 11_025_477, 21, _TV3, _TV_MOBILE, "decoder.rates=[12,24,36]"),
    _row("tv.deeplabv3_resnet50", 39_638_869, 21, _TV3, "backbone=resnet50"),
    _row("tv.deeplabv3_resnet101", 58_630_997, 21, _TV3, "backbone=resnet101"),
    _row("tv.deeplabv3_resnet50_aux", 42_004_074, 21, _TV3, "backbone=resnet50", _AUX),
    _row("tv.fcn_resnet50", 32_957_013, 21, _TV_FCN, "backbone=resnet50"),
    _row("tv.fcn_resnet101", 51_949_141, 21, _TV_FCN, "backbone=resnet101"),
    _row("tv.lraspp_mobilenet_v3_large", 3_221_538, 21, "model=lraspp", _TV_MOBILE),
    _row("vainf.deeplabv3_mobilenet.os16", 5_113_877, 21, _VF3, _VF_MOBILE),
    _row("vainf.deeplabv3_resnet50.os16", 39_638_869, 21, _VF3, "backbone=resnet50"),
    _row("vainf.deeplabv3_resnet101.os16", 58_630_997, 21, _VF3, "backbone=resnet101"),
    _row("vainf.deeplabv3_xception.os16", 36_933_693, 21, _VF3, "backbone=xception", but=_VF_XCEPTION),
    _row("vainf.deeplabv3plus_mobilenet.os16", 5_225_717, 21, _VF_PLUS, _VF_MOBILE, _os(16)),
    _row("vainf.deeplabv3plus_mobilenet.os8", 5_225_717, 21, _VF_PLUS, _VF_MOBILE, _os(8)),
    _row("vainf.deeplabv3plus_resnet50.os16", 39_761_845, 21, _VF_PLUS, "backbone=resnet50", _os(16)),
    _row("vainf.deeplabv3plus_resnet50.os16.sep", 26_614_373, 21, _VF_PLUS, "backbone=resnet50", _os(16), "decoder.separable=true"),
    _row("vainf.deeplabv3plus_resnet101.os16", 58_753_973, 21, _VF_PLUS, "backbone=resnet101", _os(16)),
    _row("vainf.deeplabv3plus_resnet101.os8", 58_753_973, 21, _VF_PLUS, "backbone=resnet101", _os(8)),
    _row("vainf.deeplabv3plus_xception.os16", 37_050_525, 21, _VF_PLUS, "backbone=xception", _os(16), but=_VF_XCEPTION),
    _row("smp.DeepLabV3.mobilenet_v2.os16", 12_653_077, 21, _SMP3, _from("smp", "mobilenet_v2"), _os(16)),
    _row("smp.DeepLabV3.resnet18.os16", 15_904_085, 21, _SMP3, "backbone=resnet18", _os(16)),
    _row("smp.DeepLabV3.resnet50.os16", 39_638_869, 21, _SMP3, "backbone=resnet50", _os(16)),
    _row("smp.DeepLabV3.resnet50.os8", 39_638_869, 21, _SMP3, "backbone=resnet50", _os(8)),
    _row("smp.DeepLabV3.resnet101.os16", 58_630_997, 21, _SMP3, "backbone=resnet101", _os(16)),
    _row("smp.DeepLabV3Plus.mobilenet_v2.os16", 4_383_653, 21, _SMP_PLUS, _from("smp", "mobilenet_v2"), _os(16)),
    _row("smp.DeepLabV3Plus.resnet18.os16", 12_334_437, 21, _SMP_PLUS, "backbone=resnet18", _os(16)),
    _row("smp.DeepLabV3Plus.resnet50.os16", 26_682_725, 21, _SMP_PLUS, "backbone=resnet50", _os(16)),
    _row("smp.DeepLabV3Plus.resnet50.os8", 26_682_725, 21, _SMP_PLUS, "backbone=resnet50", _os(8)),
    _row("smp.DeepLabV3Plus.resnet101.os16", 45_674_853, 21, _SMP_PLUS, "backbone=resnet101", _os(16)),
    _row("kaz.deeplabv1_resnet101", 42_543_189, 21, _CAFFE, "decoder=identity", "head.level=c5", _os(8)),
    _row("kaz.deeplabv2_resnet101", 44_048_532, 21, _CAFFE, "decoder=identity", "head=aspp_sum", _os(8)),
    _row("kaz.deeplabv2_resnet101_msc", 44_048_532, 21, _CAFFE, "model=deeplabv2"),
    _row("kaz.deeplabv2s_resnet101_msc", 44_048_532, 21, _CAFFE, "model=deeplabv2", "head.rates=[3,6,9,12]"),
    _row("kaz.deeplabv3_resnet101.os16", 58_040_661, 21, _KAZ3, _os(16)),
    _row("kaz.deeplabv3_resnet101.os8", 58_040_661, 21, _KAZ3, _os(8)),
    _row("kaz.deeplabv3plus_resnet101.os16", 59_344_309, 21, _KAZ_PLUS, _os(16)),
    _row("bowen.deeplabv3_R50_os16", 39_637_843, 19, "model=deeplabv3", _BOW, _ALIGNED),
    _row(
        "bowen.deeplabv3plus_R50_os16",
        39_210_435,
        19,
        "model=deeplabv3plus",
        _BOW,
        "decoder.separable=two_norms",
        "decoder.aspp_separable=false",
        "decoder.align_corners=true",
        _ALIGNED,
    ),
    _row("bowen.panoptic_R50_os16_base", 54_997_926, 19, _PDL, "backbone=resnet50", _os(16), "head.instance_width=128"),
    _row("bowen.panoptic_R50_os32", 55_308_870, 19, _PDL32, "backbone=resnet50"),
    _row("bowen.panoptic_R101_os32", 74_300_998, 19, _PDL32, "backbone=resnet101"),
    _row("bowen.panoptic_X101_32x8d_os32", 118_543_174, 19, _PDL32, _from("timm", "resnext101_32x8d")),
    _row("bowen.panoptic_MBNV2_os32", 7_719_814, 19, _PDL32, "backbone=mobilenet_v2"),
    _row("bowen.panoptic_X65_os32", 69_632_054, 19, _PDL32, "backbone=xception65", "backbone.layout=tap_first", "norm.momentum=0.001"),
    _row("bowen.panoptic_H48_os4", 72_209_222, 19, _PDL32, _H48, but="in where pixels lie: timm's HRNet takes multiples of 32 only"),
    _row("d2.deeplab_v3_R103_os16_mg124", 58_163_667, 19, "model=deeplabv3", _R103, "decoder.post_conv=false"),
    _row("d2.deeplab_v3_plus_R103_os16_mg124", 59_467_315, 19, "model=deeplabv3plus", _R103, "decoder.separable=false"),
    _row("d2.panoptic_deeplab_R52_os16", 59_770_166, 19, _D2_PDL, D2_DENSE),
    _row("d2.panoptic_deeplab_R52_os16_dsconv", 30_271_350, 19, _D2_PDL, D2_SEPARABLE),
    _row("d2.panoptic_deeplab_R52_os16_coco_dsconv", 30_300_648, 133, _D2_PDL, D2_SEPARABLE),
)
