"""Every model with every backbone of the matrix: by overrides only, built on the meta device, and one real training step.

    python -m tests.models.steps [model ...]

prints seconds and loss of each step of the whole matrix at both sizes.
"""

import logging
import sys
import time
import warnings

import torch
from pytorch_lightning import Trainer

from segexp.build import build
from segexp.config import compose
from segexp.overrides import options

MODELS = [name for name in options("model") if name != "none"]
BACKBONES = ["resnet18", "resnet50", "mobilenet_v2", "efficientnet_lite0", "convnext_atto", "regnety_002"]
SIZES = {"64x96": 2, "65x97": 1}  # images of a batch; a batch of one leaves one value per channel where a map is pooled


def step(model, backbone, size):
    """One optimizer step on `shapes`: the loss, and of decoder and head the trainable parameters that stayed as they were."""
    height, width = size.split("x")
    scenes = [f"data.height={height}", f"data.width={width}", "data.train=2", f"data.loader.batch_size={SIZES[size]}"]
    experiment = build(compose("train", [f"model={model}", f"backbone={backbone}", *scenes, "scheduler.warmup=0"]))
    parts = [(name, p) for name, p in experiment.task.model.named_parameters() if p.requires_grad and not name.startswith("backbone.")]
    before = {name: p.detach().clone() for name, p in parts}
    quiet = {"enable_progress_bar": False, "enable_checkpointing": False, "enable_model_summary": False, "logger": False}
    trainer = Trainer(accelerator="cpu", max_steps=1, limit_val_batches=0, use_distributed_sampler=False, **quiet)
    trainer.fit(experiment.task, datamodule=experiment.datamodule)
    after = dict(experiment.task.model.named_parameters())
    still = [name for name, value in before.items() if torch.equal(value, after[name])]
    return float(trainer.callback_metrics["train/loss"]), still


def main(models):
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    began = time.perf_counter()
    for model in models or MODELS:
        for backbone in BACKBONES:
            for size in SIZES:
                start = time.perf_counter()
                loss, still = step(model, backbone, size)
                print(f"{model:14} {backbone:20} {size} {time.perf_counter() - start:5.1f} s  loss {loss:.3f}  {still or ''}", flush=True)
    print(f"{time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main(sys.argv[1:])
