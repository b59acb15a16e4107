"""One rank of a test with cut weights: `python -m tests.strategies.worker <scenario> <folder>`; what it saw goes to `<rank>.json`."""

import hashlib
import json
import os
import signal
import sys
from pathlib import Path

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor

from segexp.build import build, checked, trainer
from segexp.callbacks import checkpoint as saving
from segexp.callbacks.evaluation import RunInfo
from segexp.config import compose
from segexp.errors import SegexpError
from segexp.probe import example
from segexp.strategies.sharded import shard
from segexp.weights import sharded
from segexp.weights.checkpoints import read_checkpoint, write

TINY = [
    *("trainer=fsdp", "trainer.accelerator=cpu", "trainer.max_epochs=2", "callbacks.panels.count=0", "callbacks.panels.worst=0"),
    *("data.height=32", "data.width=48", "data.train=8", "data.val=3", "data.test=1", "data.loader.batch_size=2"),
    *("backbone=timm", "backbone.name=test_resnet", "decoder.width=16", "trainer.gradient_clip_val=1.0"),
    *("callbacks.panels.best=0", "data.loader.eval_batch_size=1"),
    *("callbacks.checkpoint.every_n_train_steps=1", "callbacks.checkpoint.keep=4"),
]


def tiny(world, *overrides):
    return compose("train", [*TINY, f"trainer.devices={world}", *overrides])


def whole(value):
    if isinstance(value, DTensor):
        return value.full_tensor()
    if isinstance(value, dict):
        return {key: whole(item) for key, item in value.items()}
    return [whole(item) for item in value] if isinstance(value, list) else value


def digest(*states):
    """Of all tensors of some states by name, in whatever layout."""
    found = hashlib.sha256()
    for keys, value in sharded.leaves([*states]):
        if isinstance(value, torch.Tensor):
            found.update("/".join(map(str, keys)).encode() + value.detach().contiguous().numpy().tobytes())
    return found.hexdigest()


def fit(folder, world, checkpoint=None, *overrides):
    """Train from a checkpoint to the end; (the run's parts, the digest of weights and optimizer)."""
    config = tiny(world, *overrides)
    folder.mkdir(exist_ok=True)
    experiment = build(config, vetted=True)
    lightning = trainer(config, RunInfo(folder, config.monitor), training=True)
    lightning.fit(experiment.task, datamodule=experiment.datamodule, ckpt_path=checkpoint)
    return experiment, lightning, digest(whole(experiment.task.model.state_dict()), whole(lightning.optimizers[0].state_dict()["state"]))


def error_of(work):
    try:
        work()
    except SegexpError as error:
        return f"{type(error).__name__}: {error}"
    return None


def train(folder):
    """Undisturbed, resumed in both forms of checkpoints, failing, and at last killed within a save."""
    checked(tiny(2), build(tiny(2), vetted=True).dataset.spec)
    experiment, lightning, undisturbed = fit(folder / "a", 2)
    strategy, rank = lightning.strategy, lightning.global_rank
    weights = experiment.task.model.state_dict()
    seen = {
        "strategy": type(strategy).__name__,
        "undisturbed": undisturbed,
        "figures": experiment.task.figures,
        "cut": {name: list(value.to_local().shape) for name, value in weights.items() if isinstance(value, DTensor)},
        "bytes": sum(value.to_local().numel() for value in weights.values() if isinstance(value, DTensor)),
        "all": sum(value.numel() for value in weights.values() if isinstance(value, DTensor)),
    }
    seen["resumed"] = fit(folder / "b", 2, folder / "a/checkpoints/step-3.ckpt")[2]  # within an epoch
    if rank == 0:
        state = read_checkpoint(folder / "a/checkpoints/step-2.ckpt")
        write(folder / "file.ckpt", state, {"step": 2})
        last = read_checkpoint(folder / "a/checkpoints/step-4.ckpt")
        model = {name.removeprefix("model."): value for name, value in last["state_dict"].items() if name.startswith("model.")}
        seen["joined"] = digest(model, last["optimizer_states"][0]["state"])
    dist.barrier()
    seen["from a file"] = fit(folder / "c", 2, folder / "file.ckpt")[2]
    lightning.test(experiment.task, datamodule=experiment.datamodule, verbose=False)  # an odd number of images: ranks differ
    seen["test"] = experiment.task.figures["test"]
    seen |= failures(folder / "a/checkpoints", lightning, rank)
    seen["after"] = error_of(lambda: lightning.save_checkpoint(folder / "a/checkpoints/step-8.ckpt"))
    write_seen(folder, rank, seen)
    dist.barrier()
    if rank == 0:  # between the shards and the rename
        sharded.contents = lambda _: os.kill(os.getpid(), signal.SIGKILL)
    lightning.save_checkpoint(folder / "a/checkpoints/step-9.ckpt")


def failures(place, lightning, rank):
    """What all ranks say where one of them can't write, or can't end the save, or has a weight that isn't finite."""
    seen, kept = {}, (sharded._Writer.write_data, sharded.contents)

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    if rank == 1:
        sharded._Writer.write_data = full
    seen["shard"] = error_of(lambda: lightning.save_checkpoint(place / "step-5.ckpt"))
    sharded._Writer.write_data = kept[0]
    if rank == 0:
        sharded.contents = full
    seen["end"] = error_of(lambda: lightning.save_checkpoint(place / "step-6.ckpt"))
    sharded.contents = kept[1]
    damaged = place.parent / "damaged.ckpt"
    if rank == 0:
        write(damaged, {"state_dict": {}}, {"step": 1})
        damaged.write_bytes(b"x")
    dist.barrier()
    seen["damaged"] = error_of(lambda: lightning.strategy.load_checkpoint(damaged))
    network = lightning.lightning_module.model
    weight = max(network.parameters(), key=lambda value: value.numel())
    if rank == 1:
        weight.detach().to_local().view(-1)[0] = float("nan")
    seen["finite"] = error_of(lambda: saving._require_finite(lightning.lightning_module, position(lightning)))
    if rank == 1:
        weight.detach().to_local().view(-1)[0] = 0.0
    return seen


def position(lightning):
    from segexp.callbacks.position import position

    return position(lightning, due=False)


def other(folder):
    """The last checkpoint of two ranks on another number of them: nothing is left to train."""
    world = int(os.environ["WORLD_SIZE"])
    batch = f"data.loader.batch_size={4 // world}"
    _, lightning, found = fit(folder / f"on-{world}", world, folder / "a/checkpoints/step-4.ckpt", batch)
    write_seen(folder, f"on-{world}-{lightning.global_rank}", {"state": found, "step": lightning.global_step})


SMALL = ("backbone=timm", "backbone.name=test_resnet")
PARTS = ("semantic.width=16", "instance.width=16", "semantic.dropout=0", "instance.dropout=0")
CHAINS = {  # without dropout: what it leaves out depends on the memory format of the weights
    "semantic, recomputed": [*SMALL, "decoder.width=16", "decoder.dropout=0", "backbone.checkpoint_stages=2"],
    "transformer": [
        "model=dpt",
        "backbone=vit_tiny",
        "backbone.name=test_vit",
        "decoder.width=16",
        "decoder.widths=[8,8,16,16]",
        "decoder.dropout=0",
    ],
    "masks": ["model=mask_rcnn", *SMALL, "decoder.width=16", "head.width=32", "head.mask_width=16"],
    "panoptic": ["model=panoptic_deeplab", *SMALL, *(f"decoder.parts.{part}" for part in PARTS)],
}


def gradients(folder):
    """Of each chain, with cut weights and with whole ones: the largest difference, relative to the largest gradient."""
    dist.init_process_group("gloo")
    mesh, seen = init_device_mesh("cpu", (dist.get_world_size(),)), {}
    for name, overrides in CHAINS.items():
        config = compose("train", [*overrides, "norm.type=group", "trainer.accelerator=cpu", "backbone.weights=null"])
        plain, cut = (build(config, vetted=True).task for _ in range(2))
        needs = plain.model.head.needs | plain.loss.needs
        batch = example(plain.data, needs, plain.loss)
        for task in (plain, cut):
            if task is cut:
                shard(task.model, mesh)
            torch.manual_seed(0)
            task.model.train()
            sum(task.loss(task.model(batch.images, batch.sizes, batch.targets), batch).values()).backward()
        pairs = [(one.grad, whole(two.grad)) for one, two in zip(plain.model.parameters(), cut.model.parameters(), strict=True)]
        pairs = [(one, two) for one, two in pairs if one is not None]
        scale = max(float(one.abs().max()) for one, _ in pairs)
        difference = max(float((one - two).abs().max()) for one, two in pairs) / scale
        seen[name] = {
            "difference": difference,
            "weights": len(pairs),
            "without a part": sum(not p.to_local().numel() for p in cut.model.parameters()),
        }
        saving._require_finite(cut, None)  # also where a rank has no part of a weight
    write_seen(folder, f"gradients-{dist.get_rank()}", seen)


def write_seen(folder, name, seen):
    (folder / f"{name}.json").write_text(json.dumps(seen))


if __name__ == "__main__":
    {"train": train, "other": other, "gradients": gradients}[sys.argv[1]](Path(sys.argv[2]))
