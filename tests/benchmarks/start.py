"""Time from `segexp train` to the first step, beside importing torch, torchvision and Lightning alone; and of help and slips.

python -m tests.benchmarks.start
"""

import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SEGEXP = Path(sys.executable).parent / "segexp"
FIRST = """
import os, time
import segexp.task
from segexp.cli.main import main

def stop(self, *_):
    print("first", time.time(), flush=True)
    os._exit(0)

segexp.task.Task.on_train_batch_end = stop
main(["train", "name=start", "run.again=true"])
"""


def seconds(*command, cwd):
    began = time.perf_counter()
    done = subprocess.run([str(c) for c in command], cwd=cwd, capture_output=True, text=True, check=False)
    return time.perf_counter() - began, done.stdout + done.stderr


def main(rounds=5):
    with tempfile.TemporaryDirectory() as folder:
        rows = {}
        for _ in range(rounds):
            imports, _ = seconds(sys.executable, "-c", "import torch, torchvision, pytorch_lightning", cwd=folder)
            began = time.time()
            _, text = seconds(sys.executable, "-c", FIRST, cwd=folder)
            first = float(re.search(r"first ([\d.]+)", text)[1]) - began
            rows.setdefault("imports alone", []).append(imports)
            rows.setdefault("first step", []).append(first)
            rows.setdefault("first step beyond imports", []).append(first - imports)
            for name, command in (
                ("segexp --help", ["--help"]),
                ("misspelt group", ["train", "modle=deeplabv3plus"]),
                ("misspelt option", ["train", "backbone=resnet8"]),
                ("misspelt key", ["train", "trainer.max_epoch=3"]),
            ):
                rows.setdefault(name, []).append(seconds(SEGEXP, *command, cwd=folder)[0])
    for name, values in rows.items():
        print(f"{name:28} median {statistics.median(values):6.2f} s  (min {min(values):.2f}, max {max(values):.2f}, n={len(values)})")


if __name__ == "__main__":
    main()
