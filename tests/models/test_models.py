"""Every model with every backbone: by overrides only; what can't be is refused before data are opened, with what fits."""

import math

import pytest

from segexp.build import checked, open_dataset
from segexp.cli.main import main
from segexp.config import compose, session
from segexp.decoders.levels import ANY_STRIDES
from segexp.errors import SegexpError, WiringError
from tests.models.steps import BACKBONES, MODELS, step

LIGHT = ["mobilenet_v2", "regnety_002", "convnext_atto", "efficientnet_lite0", "resnet18"]
STEPS = [(model, LIGHT[number % len(LIGHT)], ("64x96", "65x97")[number % 2]) for number, model in enumerate(MODELS)]
STRIDES = {"deeplabv1": 8, "deeplabv2": 8, "deeplabv3": 8, "lraspp": 8, "fcn": 8, "pspnet": 8, "dpt": 2}  # the others 4
OF_OBJECTS = ("fcos", "retinanet", "faster_rcnn", "mask_rcnn", "panoptic_fpn")
STRIDES |= dict.fromkeys(("unet", "unetplusplus", "linknet", "manet"), 1)


@pytest.fixture(scope="module", autouse=True)
def _one_session():
    with session():
        yield


def chain(*overrides):
    config = compose("train", list(overrides))
    return checked(config, open_dataset(config).spec)


def test_there_are_the_models_of_the_documentation():
    known = {
        "deeplabv1",
        "deeplabv2",
        "deeplabv3",
        "deeplabv3plus",
        "lraspp",
        "dpt",
        "fcn",
        "fpn",
        "linknet",
        "manet",
        "pan",
        "pspnet",
        "segformer",
    }
    assert known | {"unet", "unetplusplus", "upernet"} <= set(MODELS)


@pytest.mark.parametrize("model", [model for model in MODELS if model not in OF_OBJECTS])
def test_it_fits_every_backbone(model):
    for backbone in BACKBONES:
        found = chain(f"model={model}", f"backbone={backbone}")
        levels = found.model.backbone.spec | found.model.decoder.spec
        level = getattr(found.model.head, "level", None) or getattr(found.model.head, "low", "semantic")
        assert levels[level].stride == found.model.head.stride == STRIDES.get(model, 4), backbone


@pytest.mark.parametrize("model", OF_OBJECTS)
def test_a_pyramid_fits_every_backbone(model):
    for backbone in BACKBONES:
        found = chain(f"model={model}", f"backbone={backbone}")
        strides = [level.stride for name, level in found.model.decoder.spec.items() if name.startswith("p")]
        assert strides == [(8 if model in ("fcos", "retinanet") else 4) << n for n in range(5)], backbone


@pytest.mark.parametrize(("model", "backbone", "size"), STEPS)
def test_one_step(model, backbone, size):
    loss, still = step(model, backbone, size)
    assert math.isfinite(loss)
    # Every parameter of decoder and head has learned; of a single image, what is pooled over it is taken off by the next norm.
    assert not [name for name in still if size == "64x96" or ".pool." not in name]


@pytest.mark.parametrize(("model", "backbone"), [("dpt", "vit_tiny"), ("segformer", "mit_b0"), ("unet", "mit_b0")])
def test_transformers(model, backbone):
    found = chain(f"model={model}", f"backbone={backbone}")
    assert found.model.decoder.spec["semantic"].stride == found.model.head.stride


def refused(*overrides):
    with pytest.raises(SegexpError) as caught:
        chain(*overrides)
    return caught.value


def test_a_level_that_a_backbone_lacks():
    error = refused("backbone=convnext_atto")  # the default decoder ends at c1
    assert isinstance(error, WiringError)
    assert (error.what, error.where) == ("DeepLabV3Plus needs the level c1", "it is given c2, c3, c4, c5")
    assert error.fix == "decoder.low=c2|c3|c4|c5; or a backbone that has what lacks"
    chain("backbone=convnext_atto", "decoder.low=c2")
    error = refused("model=unet", "backbone=convnext_atto", "decoder.levels=[c1,c3,c5]")
    assert error.what == "U-Net needs the level c1"
    assert "decoder.levels=[c2,c3,c4,c5]" in error.fix


def test_strides_that_jump_name_decoders_that_take_them():
    jump = "decoder.levels=[c2,c5]"
    error = refused("model=linknet", "backbone=resnet10t", jump)
    assert str(error) == (
        "LinkNet needs levels whose strides double; it is given c2 at 4, c5 at 32; "
        "fix: decoder=deeplabv3plus|fpn|pan|segformer|unet|upernet"
    )
    for decoder in ANY_STRIDES:
        chain(f"decoder={decoder}", "backbone=resnet10t", "backbone.output_stride=16")
    for decoder in ("fpn", "pan", "unet"):
        chain(f"decoder={decoder}", "backbone=resnet10t", "backbone.output_stride=32", jump)


def test_it_is_refused_before_data_are_opened(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["train", "data=camvid", f"paths.data={tmp_path}/none", "backbone=convnext_atto"]) == 2
    assert "error[wiring]: DeepLabV3Plus needs the level c1" in capsys.readouterr().err
