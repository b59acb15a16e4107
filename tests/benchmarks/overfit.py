"""Every model learns eight scenes of `shapes` by heart, from random weights, with resnet18: seconds and mIoU of each.

    python -m tests.benchmarks.overfit [models] [backbones] [<model>/<backbone> ...]

`models`: all models on resnet18 (also where nothing is given); `backbones`: all backbones under DeepLabv3+.

Scenes of 96x128 with five classes. The ragged outlines of trees and the narrow signs and persons are left out: logits at
stride 8 (12x16 cells) can't follow them. Logits that were fitted to the very scenes, without any network, reach mIoU
0.978 at stride 8 and 0.997 at stride 4; with all eight classes 0.915 and 0.968. On scenes of 192x256 with all eight, logits at
stride 8 could reach 0.965, and DeepLabv3 is at 0.942 after 260 seconds. The loss is cross-entropy plus Dice, which small
classes need; PSPNet, which has a single convolution at stride 8, takes no dropout.
"""

import logging
import sys
import time
import warnings

from pytorch_lightning import Callback, Trainer

from segexp.build import build, prepare
from segexp.config import compose
from segexp.overrides import options

WANTED = 0.95
CLASSES = "data.classes=[sky,building,road,sidewalk,car]"
OWN = {"pspnet": ["decoder.dropout=0.0"], "deeplabv2": ["loss=auxiliary"], "deeplabv1": ["decoder.dropout=0.0"]}
SCENES = ["data=shapes", CLASSES, "data.train=8", "data.loader.batch_size=4", "data.loader.cache=true", "debug=overfit"]
RECIPE = ["loss=ce_dice", "optimizer.lr=2e-3", "optimizer.weight_decay=0.0", "scheduler.warmup=10", "seed=0"]
NOT_ALONE = ("timm", "torchvision", "smp", "efficientnet_lite0_in1k", "mit_b0", "vit_tiny")  # want a name, a file, or aren't convolutional
EPOCHS, CHECK = 80, 10  # of two steps each; how often mIoU is measured
LONGER = {"deeplabv1": 160, "deeplabv2": 160, "lraspp": 160}  # with logits at stride 8 and no convolution on finer maps


class Learned(Callback):
    """Stops once mIoU on the training scenes is what is wanted."""

    def on_validation_end(self, trainer, pl_module):
        trainer.should_stop = pl_module.figures["val"]["miou"] >= WANTED


def overfit(model, *more, backbone="resnet18"):
    """Train on the eight scenes: mIoU on them, and epochs and seconds until it was enough."""
    began = time.perf_counter()
    config = compose("train", [f"model={model}", f"backbone={backbone}", *SCENES, *RECIPE, *OWN.get(model, []), *more])
    prepare(config)
    experiment = build(config)
    epochs = LONGER.get(model, EPOCHS)
    quiet = {"enable_progress_bar": False, "enable_checkpointing": False, "enable_model_summary": False, "logger": False}
    settings = {"max_epochs": epochs, "check_val_every_n_epoch": CHECK, "num_sanity_val_steps": 0, "use_distributed_sampler": False}
    trainer = Trainer(accelerator="cpu", callbacks=[Learned()], **quiet, **settings)
    trainer.fit(experiment.task, datamodule=experiment.datamodule)
    return experiment.task.figures["val"]["miou"], trainer.current_epoch, time.perf_counter() - began


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
    print(f"{'model':14} {'backbone':20}  mIoU  epochs  seconds")
    for model, body in pairs(asked):
        miou, epochs, seconds = overfit(model, backbone=body)
        print(f"{model:14} {body:20} {miou:.3f}  {epochs:6}  {seconds:7.0f}{'' if miou >= WANTED else '  not enough'}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
