"""Every file of conf/ composes and builds, and every key of a stage is a parameter of its target."""

import inspect
from importlib import import_module

import pytest
import torch
from omegaconf import OmegaConf

from segexp.build import BACKBONE_MACHINERY, DATA_MACHINERY, STEP_POLICIES, checked, open_dataset
from segexp.config import compose, conf_dir, resolve, session
from segexp.overrides import describe_option, groups, options
from segexp.presets import preset_faults

LATE = {
    "backbone=timm": ["backbone.name=resnet18"],
    "backbone=torchvision": ["backbone.name=resnet18"],
    "backbone=smp": ["backbone.name=resnet18"],
    "loss=auxiliary": ["head=semantic_aux"],
    **{f"metrics={name}": ["model=panoptic_deeplab"] for name in ("panoptic", "boundary_panoptic", "instance", "boundary_instance")},
    **{f"{group}=center_offset": ["model=panoptic_deeplab"] for group in ("head", "loss")},
    "postprocess=center_grouping": ["model=panoptic_deeplab"],
    **{option: ["task=classification"] for option in ("head=linear", "head=pooled", "loss=label_ce", "postprocess=top_label")},
    **{option: ["task=multi_label"] for option in ("loss=label_bce", "postprocess=present")},
    **{f"metrics={name}": [f"task={name}"] for name in ("classification", "multi_label")},
    **{f"{group}=retinanet": ["model=retinanet"] for group in ("head", "loss")},
    **{option: ["model=fcos"] for option in ("decoder=feature_pyramid_p7", "head=fcos", "loss=fcos", "postprocess=dense_nms")},
    **{f"{group}=roi": ["model=faster_rcnn"] for group in ("head", "loss", "postprocess")},
    **{f"{group}=mask_roi": ["model=mask_rcnn"] for group in ("head", "loss", "postprocess")},
    **{name: ["model=panoptic_fpn"] for name in ("head=semantic_roi", "loss=semantic_roi", "postprocess=panoptic_merge")},
    "head=semantic_pyramid": ["decoder=feature_pyramid"],
    "decoder=feature_pyramid": ["model=faster_rcnn"],
    "metrics=detection": ["model=fcos"],
    **{f"mixing={name}": ["task=classification"] for name in ("mixup", "cutmix", "both")},
    "data=image_folder": ["task=classification", "data.root=nowhere", "data.classes=[a,b]"],
    "data=csv": ["task=classification", "data.root=nowhere", "data.classes=[a,b]", "data.several=false"],
    "data=sign_digits": ["task=classification"],
    "data=coco_panoptic": ["data.root=nowhere", "data.classes=[{id: 1, name: a, isthing: 1}, {id: 2, name: b}]"],
    "data=bccd": ["model=fcos"],
    "data=voc_xml": ["model=fcos", "data.root=nowhere", "data.classes=[a,b]"],
    "data=yolo": ["model=fcos", "data.root=nowhere", "data.classes=[a,b]"],
    "data=coco_json": ["model=mask_rcnn", "data.root=nowhere", "data.classes=[{id: 1, name: a}, {id: 7, name: b}]"],
    "data=folder": ["data.root=nowhere", "data.classes={a: 0, b: 1}"],
    **{f"backbone={name}": ["decoder.low=c2"] for name in ("convnext_atto", "convnext_tiny", "mit_b0", "vit_tiny")},  # without c1
}
PAIRS = sorted(f"{p.parent.name}={p.stem}" for p in conf_dir().glob("*/*.yaml"))


def command(pair):
    group, option = pair.split("=")
    return [f"{group}=[{option}]" if group == "metrics" else pair, *LATE.get(pair, [])]


@pytest.mark.parametrize("pair", PAIRS)
def test_every_option_composes_and_builds(pair):
    config = compose("train", command(pair))
    resolve(config)
    spec = open_dataset(config).spec
    if pair == "decoder=identity":
        config = compose("train", [*command(pair), "head.level=c2"])
    chain = checked(config, spec)
    assert all(p.device == torch.device("meta") for p in chain.model.parameters())


def nodes(tree):
    if isinstance(tree, dict):
        if "_target_" in tree:
            yield tree
        for value in tree.values():
            yield from nodes(value)


@pytest.mark.parametrize("pair", PAIRS)
def test_every_key_is_a_parameter_of_its_target(pair):
    config = OmegaConf.to_container(compose("train", command(pair)), resolve=False)
    for node in nodes(config):
        module, _, name = node["_target_"].rpartition(".")
        target = getattr(import_module(module), name) if module != "pytorch_lightning.loggers" else None
        if target is None:
            continue
        ours = {"data": set(DATA_MACHINERY), "trainer": set(STEP_POLICIES), "backbone": set(BACKBONE_MACHINERY)}
        keys = {k for k in node if not k.startswith("_")}.difference(*(keys for name, keys in ours.items() if node is config.get(name)))
        parameters = inspect.signature(target).parameters
        assert keys <= set(parameters), f"{node['_target_']}: {keys}"
        if module.startswith("segexp."):  # or any key would be one
            assert all(p.kind != inspect.Parameter.VAR_KEYWORD for p in parameters.values()), node["_target_"]


def test_every_option_says_in_its_first_line_what_it_is():
    assert not [f"{g}/{o}" for g in groups() for o in options(g) if not describe_option(g, o)]


def test_no_preset_adds_a_key():
    with session():
        assert not preset_faults()


def test_presets_say_what_they_reached():
    for path in conf_dir().glob("experiment/*.yaml"):
        if path.stem != "none":
            assert "# Reached here:" in path.read_text(), path.name


@pytest.mark.smoke
def test_the_default_is_the_semantic_task():
    config = compose("train")
    assert (config.monitor, config.data._target_.rpartition(".")[2]) == ("val/miou", "Shapes")
