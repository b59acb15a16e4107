"""What a sweep's launcher costs: from launch to first training step by fork and by fresh interpreter, and a sweep that is done.

python -m tests.benchmarks.launch [rounds]

The first step is seen in the run's metrics.jsonl, which is looked at every millisecond. Both kinds of process must end with
the same weights. The rerun is `segexp train -m` of 12 jobs that are done, beside importing Hydra and OmegaConf alone.
"""

import hashlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from segexp.sweeps.forks import ForkServer
from segexp.sweeps.jobs import composed, document
from segexp.sweeps.processes import FreshProcess
from segexp.weights.checkpoints import pointed

SEGEXP = Path(sys.executable).parent / "segexp"
TINY = [
    *("data.height=32", "data.width=48", "data.train=8", "data.val=3", "data.test=2", "data.loader.batch_size=2"),
    *("backbone=timm", "backbone.name=test_resnet", "decoder.width=16", "trainer.max_epochs=1", "trainer.accelerator=cpu"),
    *("trainer.log_every_n_steps=1", "callbacks.panels.count=1"),
]


def first_step(start, folder, threads):
    """Seconds from launch to the first logged loss, to the end, and a hash of the weights."""
    job = composed(1, [*TINY, f"paths.outputs={folder}"])
    began = time.perf_counter()
    process = start(document(job, threads, {}), folder / "log.txt")
    while not (job.run.metrics.exists() and "train/loss" in job.run.metrics.read_text()):
        assert process.poll() is None, (folder / "log.txt").read_text()
        time.sleep(0.001)
    first = time.perf_counter() - began
    assert process.wait(300) == 0
    state = torch.load(pointed(job.run.checkpoints, "last"), weights_only=True)["state_dict"]
    digest = hashlib.sha256(b"".join(value.numpy().tobytes() for value in state.values())).hexdigest()
    return first, time.perf_counter() - began, digest


def seconds(*command, cwd):
    began = time.perf_counter()
    subprocess.run([str(part) for part in command], cwd=cwd, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def show(name, values):
    print(f"{name:34} median {statistics.median(values):6.2f} s  (min {min(values):.2f}, max {max(values):.2f}, n={len(values)})")


def main(rounds=5, threads=1):
    digests = set()
    with tempfile.TemporaryDirectory() as scratch:
        began = time.perf_counter()
        with ForkServer(output=Path(scratch, "server.txt")) as server:
            while not server.ready:
                server.receive(60)
            show("fork server ready", [time.perf_counter() - began])
            for name, start in (("fork", server.start), ("fresh", FreshProcess)):
                found = []
                for number in range(rounds):
                    folder = Path(scratch, f"{name}-{number}")
                    folder.mkdir()
                    found.append(first_step(start, folder, threads))
                    digests.add(found[-1][2])
                show(f"{name}: launch to first step", [first for first, _, _ in found])
                show(f"{name}: launch to end", [end for _, end, _ in found])
        print(f"weights equal: {len(digests) == 1} ({2 * rounds} runs, {threads} threads)")
        sweep = [SEGEXP, "train", "-m", *TINY, "seed=range(0,12)", "launcher.jobs=2"]
        show("sweep of 12, first time", [seconds(*sweep, cwd=scratch)])
        done = [seconds(*sweep, cwd=scratch) for _ in range(rounds)]
        imports = [seconds(sys.executable, "-c", "import hydra, omegaconf", cwd=scratch) for _ in range(rounds)]
        show("sweep of 12, all done", done)
        show("sweep of 12, beyond imports", [a - b for a, b in zip(done, imports, strict=True)])


if __name__ == "__main__":
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")  # as segexp sets it
    main(*map(int, sys.argv[1:]))
