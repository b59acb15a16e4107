"""The same run under other workers, caches, validation frequencies and progress: one hash of the weights. `make soak`."""

import hashlib
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

BASE = ["train", "run.again=true", "data.train=48", "data.val=8", "data.test=2", "trainer.max_epochs=4", "run.threads=1"]
VARIANTS = [
    [],
    ["data.loader.workers=2"],
    ["data.loader.cache=true", "data.loader.eval_batch_size=3"],
    ["trainer.check_val_every_n_epoch=4", "callbacks.progress.every=0.1"],
    ["callbacks.checkpoint.every_n_train_steps=5", "trainer.log_every_n_steps=1"],
]


def weights(folder):
    pointer = next(folder.glob("outputs/*/*/checkpoints/LAST"))
    state = torch.load(pointer.parent / f"{pointer.read_text()}.ckpt", weights_only=True)["state_dict"]
    return hashlib.sha256(b"".join(v.numpy().tobytes() for v in state.values())).hexdigest()


def main():
    hashes = set()
    for variant in VARIANTS:
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run(
                [str(Path(sys.executable).parent / "segexp"), *BASE, *variant], cwd=folder, check=True, stdout=subprocess.DEVNULL
            )
            hashes.add(found := weights(Path(folder)))
            print(f"{found[:16]}  {' '.join(variant) or 'as it is'}", flush=True)
    assert len(hashes) == 1, f"{len(hashes)} different results"
    print(f"{len(VARIANTS)} passed, 0 failed")


if __name__ == "__main__":
    main()
