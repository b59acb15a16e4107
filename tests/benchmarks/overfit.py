"""Every model learns eight scenes of `shapes` by heart, from random weights, with resnet18: seconds and mIoU, PQ or AP50 of each.

    python -m tests.benchmarks.overfit [models] [tasks] [backbones] [<model>/<backbone> ...]

`models`: all models on resnet18 (also where nothing is given); `tasks`: those without a model of their own; `backbones`: all
backbones under DeepLabv3+.

Scenes of 96x128 with five classes. The ragged outlines of trees and the narrow signs and persons are left out: logits at
stride 8 (12x16 cells) can't follow them. Logits that were fitted to the very scenes, without any network, reach mIoU
0.978 at stride 8 and 0.997 at stride 4; with all eight classes 0.915 and 0.968. On scenes of 192x256 with all eight, logits at
stride 8 could reach 0.965, and DeepLabv3 is at 0.942 after 260 seconds. The loss is cross-entropy plus Dice, which small
classes need; PSPNet, which has a single convolution at stride 8, takes no dropout.

Panoptic models learn all eight classes, to PQ 0.90, with their own loss; keys in pixels are those of small scenes, and the
decoders reach down to stride 2.

Classes of whole pictures are learned to 1.0.

Detectors learn the things of all eight classes to AP50 0.95, on a narrow pyramid that begins at stride 4.
"""

import logging
import sys
import time
import warnings

from pytorch_lightning import Callback, Trainer

from segexp.build import build, prepare
from segexp.config import compose
from segexp.overrides import options

WANTED = {"miou": 0.95, "pq": 0.90, "map50": 0.95, "mask_map50": 0.90, "top1": 1.0, "label_map": 1.0}
TASKS = ("classification", "multi_label")
LESS = {"panoptic_fpn": 0.85}  # PQ: masks of 28x28 cells and classes at stride 4 can't follow every outline
FIGURES = ("pq", "mask_map50", "map50", "miou", "top1", "label_map")  # the first that a model has
CLASSES = "data.classes=[sky,building,road,sidewalk,car]"
SEMANTIC = [CLASSES, "loss=ce_dice"]
SMALL_THINGS = ["decoder.levels=[c2,c3,c4,c5]", "decoder.extra=none", "decoder.width=64", "head.levels=[p2,p3,p4,p5]"]
REGIONS = {"width": 128, "mask_width": 32, "sizes": "[8,16,32,64,128]", "samples": 64}
REGIONS |= {"proposals_before": "[200,100]", "proposals_after": "[100,50]"}
OWN = {
    **dict.fromkeys(TASKS, ()),
    **{m: ["decoder.width=64", "loss.samples=128", *(f"head.{k}={v}" for k, v in REGIONS.items())] for m in ("faster_rcnn", "mask_rcnn")},
    "panoptic_fpn": [
        *("decoder.width=64", "loss.parts.roi.samples=128", "head.parts.semantic.width=64", "loss.weights.semantic=1.0"),
        *("postprocess.stuff_area=0", *(f"head.parts.roi.{k}={v}" for k, v in REGIONS.items())),
    ],
    "fcos": [*SMALL_THINGS, "head.convs=2"],
    "retinanet": [*SMALL_THINGS, "head.norm=true", "head.size=12", "head.scales=2", "loss.distance=giou"],
    "pspnet": [*SEMANTIC, "decoder.dropout=0.0"],
    "deeplabv2": [CLASSES, "loss=auxiliary"],
    "deeplabv1": [*SEMANTIC, "decoder.dropout=0.0"],
    "panoptic_deeplab": [
        *(f"decoder.parts.{part}.low=[c3,c2,c1]" for part in ("semantic", "instance")),
        *("decoder.parts.semantic.low_width=[64,32,32]", "decoder.parts.instance.low_width=[32,16,16]"),
        *("loss.sigma=3", "loss.small_instance_area=256", "loss.fraction=1.0", "postprocess.stuff_area=0", "postprocess.nms_kernel=5"),
    ],
}
SCENES = ["data=shapes", "data.train=8", "data.loader.batch_size=4", "data.loader.cache=true", "debug=overfit"]
RECIPE = ["optimizer.lr=2e-3", "optimizer.weight_decay=0.0", "scheduler.warmup=10", "seed=0"]
NOT_ALONE = ("timm", "torchvision", "smp", "efficientnet_lite0_in1k", "mit_b0", "vit_tiny")  # want a name, a file, or aren't convolutional
EPOCHS, CHECK = 80, 10  # of two steps each; how often mIoU is measured
# with logits at stride 8 and no convolution on finer maps, or with three things to learn
LONGER = {"deeplabv1": 160, "deeplabv2": 160, "lraspp": 160, "panoptic_deeplab": 200}
LONGER |= {"faster_rcnn": 160, "mask_rcnn": 200, "panoptic_fpn": 200}


class Learned(Callback):
    """Stops once the figure on the training scenes is what is wanted of the model."""

    def __init__(self, model):
        self.model = model

    def on_validation_end(self, trainer, pl_module):
        name, value = figure(pl_module)
        trainer.should_stop = value >= wanted(self.model, name)


def wanted(model, name):
    """The least value of a figure."""
    return LESS.get(model, WANTED[name])


def figure(task):
    """mIoU, PQ of a panoptic model, or AP50 of a detector, of masks where it has them."""
    return next((name, float(task.figures["val"][name])) for name in FIGURES if name in task.figures["val"])


def overfit(model, *more, backbone="resnet18"):
    """Train on the eight scenes: name and value of the figure, and epochs and seconds until it was enough."""
    began = time.perf_counter()
    group = "task" if model in TASKS else "model"
    config = compose("train", [f"{group}={model}", f"backbone={backbone}", *SCENES, *RECIPE, *OWN.get(model, SEMANTIC), *more])
    prepare(config)
    experiment = build(config)
    epochs = LONGER.get(model, EPOCHS)
    quiet = {"enable_progress_bar": False, "enable_checkpointing": False, "enable_model_summary": False, "logger": False}
    settings = {"max_epochs": epochs, "check_val_every_n_epoch": CHECK, "num_sanity_val_steps": 0, "use_distributed_sampler": False}
    trainer = Trainer(accelerator="cpu", callbacks=[Learned(model)], **quiet, **settings)
    trainer.fit(experiment.task, datamodule=experiment.datamodule)
    return *figure(experiment.task), trainer.current_epoch, time.perf_counter() - began


def pairs(asked):
    """(model, backbone) of each thing to train."""
    for name in asked or ["models"]:
        if name == "models":
            yield from ((model, "resnet18") for model in options("model") if model != "none")
        elif name == "tasks":
            yield from ((task, "resnet18") for task in TASKS)
        elif name == "backbones":
            yield from (("deeplabv3plus", body) for body in options("backbone") if body not in NOT_ALONE)
        else:
            model, _, body = name.partition("/")
            yield model, body or "resnet18"


def main(asked):
    warnings.simplefilter("ignore")
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    print(f"{'model':16} {'backbone':20}  figure      epochs  seconds")
    for model, body in pairs(asked):
        name, value, epochs, seconds = overfit(model, backbone=body)
        enough = "" if value >= wanted(model, name) else "  not enough"
        print(f"{model:16} {body:20}  {name:4} {value:.3f}  {epochs:6}  {seconds:7.0f}{enough}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
