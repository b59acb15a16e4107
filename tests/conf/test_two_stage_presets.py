"""Faster R-CNN, Mask R-CNN and Panoptic-FPN: what a word composes, what is refused, and two steps of each with an evaluation."""

import pytest
import torch
from pytorch_lightning import Trainer

from segexp.build import build, chain, checked, open_dataset, prepare, stages
from segexp.config import compose
from segexp.errors import WiringError

SMALL = ["data=shapes", "backbone=resnet18", "data.train=4", "data.val=2", "data.loader.batch_size=2", "decoder.width=32"]


def keys(place, masks):
    """Of a head that is quick to train."""
    small = {"sizes": "[8,16,32,64,128]", "width": 32, "samples": 16, "proposals_before": "[50,50]", "proposals_after": "[20,10]"}
    return [f"{place}.{name}={value}" for name, value in (small | ({"mask_width": 16} if masks else {})).items()]


@pytest.mark.parametrize(
    ("given", "head", "metrics", "monitor"),
    [
        (["model=faster_rcnn"], "RoiHead", ["detection"], "val/map"),
        (["model=mask_rcnn"], "RoiHead", ["instance"], "val/mask_map"),
        (["task=instance"], "RoiHead", ["instance"], "val/mask_map"),
        (["model=mask_rcnn", "task=detection"], "RoiHead", ["detection"], "val/map"),
        (["model=panoptic_fpn"], "MultiHead", ["panoptic"], "val/pq"),
        (["model=panoptic_fpn", "task=instance"], "MultiHead", ["instance"], "val/mask_map"),
        (["model=panoptic_fpn", "task=semantic"], "MultiHead", ["semantic"], "val/miou"),
        (["model=panoptic_deeplab", "task=instance"], "CenterOffsetHead", ["instance"], "val/mask_map"),
        (["model=mask_rcnn", "backbone.output_stride=16"], "RoiHead", ["instance"], "val/mask_map"),
    ],
)
def test_words_compose(given, head, metrics, monitor):
    config = compose("train", [*given, "backbone=resnet18", "data=shapes"])
    assert (list(config.metrics), config.monitor) == (metrics, monitor)
    assert config.head._target_.endswith(head)
    assert checked(config, open_dataset(config).spec)


@pytest.mark.parametrize(
    ("given", "what"),
    [
        (["model=faster_rcnn", "task=instance"], "metrics=instance needs predicted masks, but RoiDetections provides boxes"),
        (
            ["model=mask_rcnn", "loss=semantic_roi"],
            "MultiLoss accepts {semantic: SemanticLogits, roi: MaskRoiOutput}, but RoiHead emits Mask",
        ),
        (["model=mask_rcnn", "head=roi"], "RoiLoss accepts MaskRoiOutput, but RoiHead emits RoiOutput"),
        (["model=panoptic_fpn", "postprocess=mask_roi"], "RoiDetections accepts MaskRoiOutput, but MultiHead emits {semantic: "),
    ],
)
def test_chains_that_do_not_fit(given, what):
    config = compose("train", [*given, "backbone=resnet18", "data=shapes"])
    with torch.device("meta"), pytest.raises(WiringError) as caught:
        chain(open_dataset(config).spec, **stages(config))
    assert what in caught.value.what


@pytest.mark.parametrize(
    ("model", "place", "terms"),
    [
        ("faster_rcnn", "head", {"rpn_objectness", "rpn_box", "roi_class", "roi_box"}),
        ("mask_rcnn", "head", {"rpn_objectness", "rpn_box", "roi_class", "roi_box", "mask"}),
        (
            "panoptic_fpn",
            "head.parts.roi",
            {"semantic/ce", "roi/rpn_objectness", "roi/rpn_box", "roi/roi_class", "roi/roi_box", "roi/mask"},
        ),
    ],
)
def test_two_steps_and_an_evaluation(model, place, terms):
    config = compose("train", [f"model={model}", *SMALL, *keys(place, model != "faster_rcnn")])
    prepare(config)
    experiment = build(config)
    assert experiment.frozen == []
    before = {name: p.detach().clone() for name, p in experiment.task.model.named_parameters()}
    quiet = {"enable_progress_bar": False, "enable_checkpointing": False, "enable_model_summary": False, "logger": False}
    trainer = Trainer(accelerator="cpu", max_steps=2, num_sanity_val_steps=0, use_distributed_sampler=False, **quiet)
    trainer.fit(experiment.task, datamodule=experiment.datamodule)
    figures = experiment.task.figures["val"]
    assert {name.removeprefix("loss/") for name in figures if name.startswith("loss/")} == terms
    assert config.monitor.removeprefix("val/") in figures
    assert figures["loss"] > 0
    moved = [name for name, p in experiment.task.model.named_parameters() if not torch.equal(p, before[name])]
    assert {name.split(".")[0] for name in moved} == {"backbone", "decoder", "head"}
