"""Every model learns eight scenes of `shapes` by heart, from random weights, with resnet18: seconds and mIoU, PQ or AP50 of each.

    python -m tests.benchmarks.overfit [models] [backbones] [<model>/<backbone> ...]

`models`: all models on resnet18 (also where nothing is given); `backbones`: all backbones under DeepLabv3+.

Scenes of 96x128 with five classes. The ragged outlines of trees and the narrow signs and persons are left out: logits at
stride 8 (12x16 cells) can't follow them. Logits that were fitted to the very scenes, without any network, reach mIoU
0.978 at stride 8 and 0.997 at stride 4; with all eight classes 0.915 and 0.968. On scenes of 192x256 with all eight, logits at
stride 8 could reach 0.965, and DeepLabv3 is at 0.942 after 260 seconds. The loss is cross-entropy plus Dice, which small
classes need; PSPNet, which has a single convolution at stride 8, takes no dropout.

Panoptic models learn all eight classes, to PQ 0.90, with their own loss; keys in pixels are those of small scenes, and the
decoders reach down to stride 2.

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

WANTED = {"miou": 0.95, "pq": 0.90, "map50": 0.95}
FIGURES = ("pq", "map50", "miou")  # the first that a model has
CLASSES = "data.classes=[sky,building,road,sidewalk,car]"
SEMANTIC = [CLASSES, "loss=ce_dice"]
SMALL_THINGS = ["decoder.levels=[c2,c3,c4,c5]", "decoder.extra=none", "decoder.width=64", "head.levels=[p2,p3,p4,p5]"]
OWN = {
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


class Learned(Callback):
    """Stops once the figure on the training scenes is what is wanted."""

    def on_validation_end(self, trainer, pl_module):
        name, value = figure(pl_module)
        trainer.should_stop = value >= WANTED[name]


def figure(task):
    """mIoU, PQ of a panoptic model, or AP50 of a detector."""
    return next((name, float(task.figures["val"][name])) for name in FIGURES if name in task.figures["val"])


def overfit(model, *more, backbone="resnet18"):
    """Train on the eight scenes: name and value of the figure, and epochs and seconds until it was enough."""
    began = time.perf_counter()
    config = compose("train", [f"model={model}", f"backbone={backbone}", *SCENES, *RECIPE, *OWN.get(model, SEMANTIC), *more])
    prepare(config)
    experiment = build(config)
    epochs = LONGER.get(model, EPOCHS)
    quiet = {"enable_progress_bar": False, "enable_checkpointing": False, "enable_model_summary": False, "logger": False}
    settings = {"max_epochs": epochs, "check_val_every_n_epoch": CHECK, "num_sanity_val_steps": 0, "use_distributed_sampler": False}
    trainer = Trainer(accelerator="cpu", callbacks=[Learned()], **quiet, **settings)
    trainer.fit(experiment.task, datamodule=experiment.datamodule)
    return *figure(experiment.task), trainer.current_epoch, time.perf_counter() - began


def pairs(asked):
    """(model, backbone) of each thing to train."""
    for name in asked or ["models"]:
        if name == "models":
            yield from ((model, "resnet18") for model in options("model") if model != "none")
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
        enough = "" if value >= WANTED[name] else "  not enough"
        print(f"{model:16} {body:20}  {name:4} {value:.3f}  {epochs:6}  {seconds:7.0f}{enough}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
