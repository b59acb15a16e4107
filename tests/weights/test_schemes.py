"""Names of published ports find their places by rules alone; no tensors."""

import pytest
import torch
from torch import nn

from segexp.errors import ConfigError, WeightsError
from segexp.weights.dialects import mobilenet_v2, xception
from segexp.weights.foreign import load_foreign, placed
from segexp.weights.schemes import OURS, SCHEMES, detect, scheme_named

GIVEN = [
    ("tv", "backbone.layer1.0.conv1.weight", "backbone.net.layer1.0.conv1.weight"),
    ("tv", "classifier.0.convs.2.1.running_var", "decoder.aspp.branches.2.1.running_var"),
    ("tv", "classifier.0.convs.4.2.bias", "decoder.aspp.pool.project.1.bias"),
    ("tv", "classifier.4.bias", "head.classify.bias"),
    ("tv", "aux_classifier.4.weight", "head.parts.aux.net.2.weight"),
    ("tv", "classifier.low_classifier.bias", "head.classify_low.bias"),
    ("smp", "encoder.layer4.2.bn3.bias", "backbone.net.layer4.2.bn3.bias"),
    ("smp", "decoder.aspp.0.convs.3.0.1.weight", "decoder.aspp.branches.3.1.weight"),
    ("smp", "decoder.block2.1.running_mean", "decoder.stages.0.fuse.0.2.running_mean"),
    ("smp", "decoder.aspp.2.bias", "decoder.refine.2.bias"),
    ("vf", "backbone.high_level_features.4.conv.0.0.weight", "backbone.net.features.4.conv.0.0.weight"),
    ("vf", "classifier.aspp.convs.1.0.body.1.weight", "decoder.aspp.branches.1.1.weight"),
    ("vf", "classifier.classifier.3.bias", "head.classify.bias"),
    ("kaz", "base.layer5.block3.conv3x3.bn.weight", "backbone.net.layer4.2.bn2.weight"),
    ("kaz", "layer2.block1.shortcut.conv.weight", "backbone.net.layer1.0.downsample.0.weight"),
    ("kaz", "aspp.stages.imagepool.conv.bn.bias", "decoder.aspp.pool.project.1.bias"),
    ("kaz", "base.aspp.c3.bias", "head.branches.3.bias"),
    ("bow", "decoder.semantic_decoder.aspp.convs.4.aspp_pooling.1.weight", "decoder.parts.semantic.aspp.pool.project.0.weight"),
    ("bow", "decoder.fuse.1.0.1.weight", "decoder.stages.0.fuse.1.1.weight"),
    ("bow", "decoder.fuse.1.2.weight", "decoder.stages.0.fuse.1.4.weight"),
    ("d2", "backbone.res4.5.shortcut.norm.bias", "backbone.net.layer3.5.downsample.1.bias"),
    ("d2", "sem_seg_head.decoder.res5.project_conv.convs.4.1.bias", "decoder.aspp.pool.project.0.bias"),
    ("d2", "sem_seg_head.decoder.res2.fuse_conv.1.norm.weight", "decoder.stages.0.fuse.1.1.weight"),
    ("timm", "conv1.weight", "backbone.net.conv1.weight"),
]


@pytest.mark.parametrize(("scheme", "theirs", "ours"), GIVEN)
def test_a_name_has_its_place(scheme, theirs, ours):
    assert placed([theirs], [ours], SCHEMES[scheme]).places == {theirs: ours}


def test_a_stem_of_one_convolution_or_three():
    names = ["backbone.stem.conv1.weight", "backbone.stem.conv1.norm.weight"]
    plain, deep = ["backbone.net.conv1.weight", "backbone.net.bn1.weight"], ["backbone.net.conv1.0.weight", "backbone.net.conv1.1.weight"]
    assert list(placed(names, plain, SCHEMES["d2"]).places.values()) == plain
    assert list(placed(names, [*deep, "backbone.net.bn1.weight"], SCHEMES["d2"]).places.values()) == deep


def test_the_norm_of_a_separable_branch_comes_one_place_later():
    name = "classifier.aspp.convs.1.1.weight"
    dense = ["decoder.aspp.branches.1.0.weight", "decoder.aspp.branches.1.1.weight"]
    assert placed([name], dense, SCHEMES["vf"]).places[name] == dense[1]
    assert placed([name], [*dense, "decoder.aspp.branches.1.2.weight"], SCHEMES["vf"]).places[name] == "decoder.aspp.branches.1.2.weight"


def test_what_finds_no_place_is_named_on_either_side():
    found = placed(
        ["classifier.4.weight", "classifier.9.weight", "aux_classifier.1.num_batches_tracked"],
        ["head.classify.weight", "head.classify.bias", "decoder.refine.1.num_batches_tracked"],
        SCHEMES["tv"],
    )
    assert found.left == {"classifier.9.weight": ()}
    assert found.missing == ("head.classify.bias",)


def test_two_names_never_share_a_place():
    found = placed(["fc.weight", "fc2.weight"], ["head.classify.weight"], SCHEMES["kaz"])
    assert found.places == {"fc.weight": "head.classify.weight"}
    assert list(found.left) == ["fc2.weight"]


DIALECTS = [
    ("features.0.0.weight", "conv_stem.weight"),
    ("features.0.1.bias", "bn1.bias"),
    ("features.1.conv.0.0.weight", "blocks.0.0.conv_dw.weight"),
    ("features.1.conv.2.bias", "blocks.0.0.bn2.bias"),
    ("features.2.conv.0.0.weight", "blocks.1.0.conv_pw.weight"),
    ("features.6.conv.1.1.running_mean", "blocks.2.2.bn2.running_mean"),
    ("features.17.conv.3.bias", "blocks.6.0.bn3.bias"),
    ("features.18.0.weight", "conv_head.weight"),
    ("layer1.0.conv1.weight", None),
]


@pytest.mark.parametrize(("theirs", "timm"), DIALECTS)
def test_mobilenet_v2_of_torchvision_in_timms_names(theirs, timm):
    assert mobilenet_v2(theirs) == timm


def test_aligned_xception_in_timms_names():
    assert xception("block3.sep_conv2.block.bn_depth.bias") == "blocks.2.stack.conv2.bn_dw.bias"
    assert xception("block20.conv.weight") == "blocks.19.shortcut.conv.weight"
    assert xception("bn2.running_var") == "stem.1.bn.running_var"
    assert xception("block1.rep.0.conv1.weight") is None


WHOSE = [
    (["backbone.net.conv1.weight", "head.classify.weight"], OURS),
    (["backbone.conv1.weight", "classifier.0.convs.0.0.weight", "classifier.4.weight"], "tv"),
    (["backbone.conv1.weight", "classifier.classifier.0.convs.0.0.weight"], "vf"),
    (["encoder.conv1.weight", "segmentation_head.0.weight"], "smp"),
    (["layer1.conv1.conv.weight", "fc.weight"], "kaz"),
    (["base.layer1.conv1.conv.weight"], "kaz"),
    (["backbone.conv1.weight", "decoder.aspp.convs.4.aspp_pooling.1.weight"], "bow"),
    (["backbone.stem.conv1.weight", "sem_seg_head.predictor.weight"], "d2"),
    (["conv1.weight", "layer1.0.conv1.weight", "fc.weight"], "timm"),
    (["stem.0.weight"], "timm"),
]


@pytest.mark.parametrize(("names", "whose"), WHOSE)
def test_names_give_their_source_away(names, whose):
    assert detect(names) == whose


def test_nobodys_names():
    with pytest.raises(WeightsError, match=r"the names of its 2 weights are of no source that is known \(first a\.b, c\); x\.pth"):
        detect(["a.b", "c"], where="x.pth")
    with pytest.raises(
        ConfigError, match=r"there is no scheme of names 'mms'; scheme=mms; fix: scheme=auto, or one of smp, vf, bow, d2, kaz, tv, timm"
    ):
        scheme_named("mms")


class Head(nn.Module):
    """A model whose head's weights have other names than the first that the rules give."""

    def __init__(self):
        super().__init__()
        self.backbone = nn.ModuleDict({"net": nn.ModuleDict({"conv1": nn.Conv2d(3, 2, 1)})})
        self.head = nn.ModuleDict({"classify": nn.Conv2d(2, 2, 1)})


def test_only_what_belongs_to_a_head_first_is_left_out_with_it():
    """torchvision's `classifier.1` is of the decoder, or of an FCN head where the decoder has no place for it."""
    model = Head()
    given = {"backbone.conv1.weight": "net.conv1", "backbone.conv1.bias": "net.conv1"}
    state = {name: torch.zeros_like(model.backbone.get_parameter(f"{at}.{name.split('.')[-1]}")) for name, at in given.items()}
    state |= {"classifier.4.weight": torch.zeros(9, 2, 1, 1)}
    report = load_foreign(model, state, SCHEMES["tv"], where="x.pth", without="head.")
    assert report.skipped == ("classifier.4.weight",)
    with pytest.raises(WeightsError, match=r"1 of the file are left over \(first classifier\.1\.weight\)"):
        load_foreign(model, state | {"classifier.1.weight": torch.zeros(2)}, SCHEMES["tv"], where="x.pth", without="head.")
