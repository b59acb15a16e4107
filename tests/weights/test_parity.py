"""Published networks with random weights go through the importer and give the same logits."""

import pytest
import torch
from torch import nn
from torchvision import models

from segexp.build import load_backbone
from segexp.errors import ConfigError, WeightsError
from segexp.weights.looks import KAZ_PIXELS, looks_like
from segexp.weights.schemes import SCHEMES
from tests.weights.panoptic_references import BowPanoptic, D2Panoptic
from tests.weights.parity import ODD, TORCHVISION, WIDE, smp_rows, torchvision_rows
from tests.weights.peers import CLASSES, difference, imported, logits, normalised, ours, peer_logits, randomised
from tests.weights.references import D2, VF3, AlignedXception, Bow, Kaz, Multi, VFMobile, VFPlus, block, separable

TINY = ("backbone=timm", "backbone.name=resnet26")  # bottlenecks like resnet50's, half as many
OS16, OS8, FULL, GRID = (
    "backbone.output_stride=16",
    "backbone.output_stride=8",
    "backbone.first_block_dilation=full",
    "backbone.multi_grid=[1,2]",
)
V3, PLUS, CAFFE = ("model=deeplabv3", OS16), ("model=deeplabv3plus", OS16), ("backbone.layout=caffe", FULL)
DENSE, MOBILE = "decoder.separable=false", ("backbone=mobilenet_v2", "backbone.layout=pad_first")
D2_SEPARABLE = ("decoder.separable=two_norms", "decoder.fuse_convs=1", "decoder.fuse_kernel=5")
BOW_PLUS = ("decoder.separable=two_norms", "decoder.aspp_separable=false", "decoder.align_corners=true", "decoder.pool_norm=false")
BETA = ("backbone.stem=beta", FULL, GRID, "decoder.pool_norm=bias")

IN_THE_SUITE = ("deeplabv3_resnet50 aux", "deeplabv3_mobilenet_v3_large aux", "fcn_resnet50 aux", "lraspp_mobilenet_v3_large")


@pytest.mark.parametrize("name", IN_THE_SUITE)
def test_torchvision(tmp_path, name):
    sizes = (WIDE,) if "resnet" in name else (ODD, WIDE)  # the whole table: python -m tests.weights.parity
    for size, row in torchvision_rows(name, sizes, tmp_path):
        assert max(row) <= 1, size


def test_the_table_holds_every_model_of_torchvision():
    assert {name.split()[0] for name in TORCHVISION} == set(models.list_models(module=models.segmentation))


@pytest.mark.parametrize(
    "name", [f"{kind} {body}" for kind in ("DeepLabV3", "DeepLabV3Plus") for body in ("resnet18 os8", "mobilenet_v2 os16")]
)
def test_segmentation_models_pytorch(tmp_path, name):
    for size, row in smp_rows(name, (ODD, WIDE), tmp_path):
        assert max(row) <= 1, size


PORTS = {
    "vf v3": (VF3, "vf", (*V3, *TINY)),
    "vf v3 separable": (lambda: VF3(separable), "vf", (*V3, *TINY, "decoder.separable=true")),
    "vf v3+": (VFPlus, "vf", (*PLUS, *TINY, DENSE, "decoder.fuse_convs=1")),
    "vf v3+ separable": (lambda: VFPlus(separable), "vf", (*PLUS, *TINY, "decoder.fuse_convs=1")),
    "vf v3 mobile": (lambda: VF3(block, VFMobile(), 320), "vf", (*V3, *MOBILE)),
    "vf v3+ mobile": (lambda: VFPlus(block, VFMobile(), 24, 320), "vf", (*PLUS, *MOBILE, DENSE, "decoder.fuse_convs=1")),
    "kaz v1": (lambda: Kaz(1, 8), "kaz", ("decoder=identity", "head.level=c5", OS8, *TINY, *CAFFE)),
    "kaz v2": (lambda: Multi(Kaz(2, 8)), "kaz", ("decoder=identity", "head=aspp_sum", OS8, *TINY, *CAFFE)),
    "kaz v3": (lambda: Kaz(3, 16), "kaz", (*V3, *TINY, *CAFFE, GRID, "decoder.post_conv=false")),
    "kaz v3+": (lambda: Kaz("+", 16), "kaz", (*PLUS, *TINY, *CAFFE, GRID, DENSE)),
    "bow v3": (lambda: Bow(False), "bow", (*V3, *TINY, "decoder.pool_norm=false")),
    "bow v3+": (lambda: Bow(True), "bow", (*PLUS, *TINY, *BOW_PLUS)),
    "bow v3 xception41": (
        lambda: Bow(False, AlignedXception(8)),
        "bow",
        (*V3, "backbone=xception41", "norm.eps=1e-5", "decoder.pool_norm=false"),
    ),
    "bow v3+ xception41": (
        lambda: Bow(True, AlignedXception(8)),
        "bow",
        (*PLUS, "backbone=xception41", "backbone.layout=tap_first", "norm.eps=1e-5", *BOW_PLUS),
    ),
    "d2 v3": (lambda: D2(False), "d2", (*V3, *TINY, *BETA, "decoder.post_conv=false")),
    "d2 v3, plain stem": (lambda: D2(False, deep=False), "d2", (*V3, *TINY, *BETA[1:], "decoder.post_conv=false")),
    "d2 v3+": (lambda: D2(True), "d2", (*PLUS, *TINY, *BETA, DENSE)),
    "d2 v3+ separable": (lambda: D2(True, separable=True), "d2", (*PLUS, *TINY, *BETA, *D2_SEPARABLE)),
}


@pytest.mark.parametrize("name", PORTS)
def test_ports_that_are_known_by_their_names(tmp_path, name):
    make, scheme, overrides = PORTS[name]
    net = randomised(make())
    model, report = imported(net, overrides, tmp_path)
    assert report.scheme == scheme
    x = normalised((80, 112) if "mobile" in name else WIDE)  # whose first convolution cuts what isn't a multiple of 16
    with torch.no_grad():
        expected = net(x.flip(1) if scheme == "kaz" else x)  # which reads blue, green, red
    assert difference(logits(model, x).logits, expected) <= 1


BOTH = [f"decoder.parts.{part}" for part in ("semantic", "instance")]
PANOPTIC = ("model=panoptic_deeplab", *TINY, OS16)
D2_PANOPTIC = (
    *PANOPTIC,
    "backbone.stem=beta",
    FULL,
    GRID,
    "decoder.parts.instance.low_width=[64,32]",
    *(f"{p}.pool_norm=bias" for p in BOTH),
)
D2_DENSE = {"separable": "false", "aspp_separable": "null", "fuse_convs": 2, "fuse_kernel": 3}
PANOPTIC_PORTS = {
    "bow": (lambda: BowPanoptic(CLASSES), (*PANOPTIC, *(f"{p}.{key}" for p in BOTH for key in ("pool_norm=false", "align_corners=true")))),
    "d2 separable": (
        lambda: D2Panoptic(CLASSES, True),
        (*D2_PANOPTIC, *(f"{p}.aspp_separable=null" for p in BOTH), "head.center_dense=true"),
    ),
    "d2 dense": (
        lambda: D2Panoptic(CLASSES, False),
        (
            *D2_PANOPTIC,
            *(f"{p}.{k}={v}" for p in BOTH for k, v in D2_DENSE.items()),
            "head.separable=false",
            "head.kernel=3",
            "head.convs=2",
        ),
    ),
}


@pytest.mark.parametrize("name", PANOPTIC_PORTS)
def test_panoptic_ports(tmp_path, name):
    make, overrides = PANOPTIC_PORTS[name]
    net = randomised(make())
    model, report = imported(net, overrides, tmp_path)
    assert report.scheme == name.split()[0]
    x = normalised(WIDE)
    with torch.no_grad():
        expected = net(x)
    found = logits(model, x)
    assert difference(found.semantic, expected["semantic"]) <= 1
    assert difference(found.center, expected["center"]) <= 1
    assert difference(found.offset, 4 * expected["offset"]) <= 1  # which are in cells there


def test_the_grey_levels_of_a_port_are_keys(tmp_path):
    """From pixels to logits: blue, green and red less their means there."""
    make, _, overrides = PORTS["kaz v1"]
    net = randomised(make())
    model, _ = imported(net, (*overrides, *KAZ_PIXELS, "head.align_corners=true"), tmp_path)
    images = torch.rand(1, 3, 65, 97)
    bgr = 255 * images.flip(1) - torch.tensor([104.008, 116.669, 122.675])[:, None, None]
    with torch.no_grad():
        assert difference(model(images).logits, net(bgr)) <= 1


BODIES = {
    "mobilenet_v2 of torchvision": (lambda: models.mobilenet_v2(), ("backbone=mobilenet_v2",), lambda net: net.features[:18]),
    "resnet18 of torchvision": (lambda: models.resnet18(), ("backbone=resnet18",), lambda net: nn.Sequential(*list(net.children())[:-2])),
    "the trunk of a segmenter": (lambda: Bow(False), TINY, lambda net: LastOf(net.backbone)),
}


class LastOf(nn.Module):
    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        return self.net(x)[-1]


@pytest.mark.parametrize("name", BODIES)
def test_a_backbone_takes_its_part_of_any_file(tmp_path, name):
    make, overrides, trunk = BODIES[name]
    net = randomised(make())
    torch.save({"model": {f"module.{key}": value for key, value in net.state_dict().items()}}, tmp_path / "peer.pth")
    stride = OS16 if name == "the trunk of a segmenter" else "backbone.output_stride=32"
    model = ours((*overrides, stride, f"backbone.weights={tmp_path}/peer.pth"))
    load_backbone(model.backbone, tmp_path)
    x = normalised(WIDE)
    with torch.no_grad():
        assert difference(model.backbone(x)["c5"], trunk(net)(x)) <= 1


@pytest.mark.parametrize("name", ["deeplabv3_mobilenet_v3_large aux", "fcn_resnet50", "lraspp_mobilenet_v3_large"])
def test_what_is_proposed_for_a_file_takes_it(tmp_path, name):
    """By the overrides alone that the importer names."""
    options, last, _ = TORCHVISION[name]
    net = randomised(getattr(models.segmentation, name.split()[0])(weights=None, weights_backbone=None, num_classes=CLASSES, **options))
    look = looks_like(net.state_dict(), SCHEMES["tv"])
    assert look is not None
    model, _ = imported(net, look.overrides, tmp_path)
    x = normalised(WIDE)
    assert difference(logits(model, x).logits, peer_logits(net, last, x)[0]) <= 1


def test_a_level_is_of_the_first_block_or_the_last():
    with pytest.raises(
        ConfigError, match=r"no such block of a stride; backbone\.level_block=middle; fix: backbone\.level_block=last\|first"
    ):
        ours((*V3, "backbone=torchvision", "backbone.name=mobilenet_v3_large", "backbone.level_block=middle"))


DEEPER = [
    (models.resnet34, ("backbone=resnet18",), "of parts that resnet18 has, but not of resnet18 (first layer1.2."),
    (models.resnet101, ("backbone=resnet50",), "of parts that resnet50 has, but not of resnet50 (first layer3.10."),
    (models.resnet18, ("backbone=resnet18", "norm.type=group"), "bn1.running_mean is left over"),
    (models.mobilenet_v2, ("backbone=mobilenet_v2", "norm.type=group"), ".running_mean is left over"),  # the file has torchvision's names
]


@pytest.mark.parametrize(("make", "overrides", "what"), DEEPER, ids=["34 into 18", "101 into 50", "group", "group, other names"])
def test_a_backbone_refuses_weights_of_another(tmp_path, make, overrides, what):
    torch.save(make().state_dict(), tmp_path / "peer.pth")
    model = ours((*overrides, f"backbone.weights={tmp_path}/peer.pth"))
    with pytest.raises(WeightsError) as caught:
        load_backbone(model.backbone, tmp_path)
    assert what in caught.value.what


def test_a_backbone_refuses_the_deeper_one_of_a_segmenter(tmp_path):
    net = models.segmentation.fcn_resnet101(weights=None, weights_backbone=None, num_classes=2)
    torch.save(net.state_dict(), tmp_path / "peer.pth")
    model = ours(("backbone=resnet50", f"backbone.weights={tmp_path}/peer.pth"))
    with pytest.raises(WeightsError, match=r"not of resnet50 \(first layer3\.10\."):
        load_backbone(model.backbone, tmp_path)


def test_rates_are_proposed_where_they_do_not_follow_from_the_stride():
    names = {"classifier.0.convs.0.0.weight": torch.zeros(1)}
    small = {"backbone.16.block.0.weight": torch.zeros(1)}
    stages = {f"backbone.layer{i}.{block}.conv3.weight": torch.zeros(1) for i, n in enumerate((3, 4, 6, 3), 1) for block in range(n)}
    deep, mobile = (looks_like(names | body, SCHEMES["tv"]) for body in (stages, small))
    assert deep is not None
    assert mobile is not None
    assert not [key for key in deep.overrides if key.startswith("decoder.rates")]
    assert "decoder.rates=[12,24,36]" in mobile.overrides


@pytest.mark.parametrize(
    ("name", "key"),
    [("fuse_conv.0.weight", "decoder.separable=false"), ("fuse_conv.depthwise.weight", "decoder.fuse_convs=1 decoder.fuse_kernel=5")],
)
def test_the_form_of_a_fusion_is_seen(name, key):
    stages = {f"backbone.res{i}.{block}.conv3.weight": torch.zeros(1) for i, n in enumerate((3, 4, 6, 3), 2) for block in range(n)}
    assert key in str(looks_like(stages | {f"sem_seg_head.decoder.res2.{name}": torch.zeros(1)}, SCHEMES["d2"]))


@pytest.mark.parametrize(
    ("net", "scheme", "key"),
    [
        (lambda: VFPlus(block, VFMobile(), 24, 320), "vf", "backbone=mobilenet_v2 backbone.layout=pad_first"),
        (lambda: Bow(True, AlignedXception(8)), "bow", "backbone=xception41 backbone.layout=tap_first"),
    ],
)
def test_the_layout_of_a_port_is_proposed(net, scheme, key):
    with torch.device("meta"):
        assert key in str(looks_like(net().state_dict(), SCHEMES[scheme]))


@pytest.mark.parametrize("name", PANOPTIC_PORTS)
def test_what_is_proposed_for_a_panoptic_file_takes_it(name):
    """All but the depth of the backbone, of which resnet50's is the nearest that has a name."""
    make, overrides = PANOPTIC_PORTS[name]
    with torch.device("meta"):
        state = make().state_dict()
        state |= {key.replace("layer3.1", f"layer3.{i}").replace("res4.1", f"res4.{i}"): state[key] for key in state for i in range(2, 6)}
        state |= {key.replace("layer1.1", "layer1.2").replace("res2.1", "res2.2"): state[key] for key in state}
        state |= {key.replace("layer4.1", "layer4.2").replace("res5.1", "res5.2"): state[key] for key in state}
        more = {key.replace("layer2.1", f"layer2.{i}").replace("res3.1", f"res3.{i}"): state[key] for key in state for i in (2, 3)}
        look = looks_like(state | more, SCHEMES[name.split()[0]])
        assert look is not None and "backbone=resnet50" in look.overrides
        shapes = {key: value.shape for key, value in ours(look.overrides).state_dict().items() if not key.startswith("backbone.")}
        built = {key: value.shape for key, value in ours(overrides).state_dict().items() if not key.startswith("backbone.")}
    assert shapes == built
