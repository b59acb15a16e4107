"""Runs of several ranks on a real Slurm of this machine, disturbed and not: `python -m tests.slurm [case ...]`, about five minutes.

Each case is a sweep with `launcher=slurm`; the disturbed runs must end with the weights, figures and files of the first one. One
line per case: what was done, whether it ended as it must, seconds.
"""

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from segexp.runs.directory import RunDirectory
from tests.slurm.cluster import Cluster, missing
from tests.soak.trial import differences, ending
from tests.sweeps.conftest import ROOT, command

RUN = [
    *("data.height=32", "data.width=48", "data.train=40", "data.val=3", "data.test=2", "data.loader.batch_size=2"),
    *("backbone=timm", "backbone.name=test_resnet", "decoder.width=16", "callbacks.panels.count=1", "trainer.max_epochs=15"),
]
RANKS = ["trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2"]
SLURM = ["launcher=slurm", "launcher.poll=1", "launcher.cpus_per_task=1", "launcher.minutes=30"]


class Sweep:
    """A driver in a folder of its own, and what has become of its jobs."""

    def __init__(self, folder, *overrides, flags=()):
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self.log = (folder / "driver.txt").open("ab")
        environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        typed = command("train", "-m", *flags, *overrides)
        self.process = subprocess.Popen(typed, cwd=folder, env=environment, stdout=self.log, stderr=self.log)

    @property
    def rows(self):
        found = list(self.folder.glob("outputs/default/sweeps/*/sweep.json"))
        return json.loads(found[0].read_text())["jobs"] if found else []

    @property
    def numbers(self):
        found = list(self.folder.glob("outputs/default/sweeps/*/slurm.json"))
        return json.loads(found[0].read_text()) if found else {}

    @property
    def run(self):
        (path,) = (path.parent for path in self.folder.glob("outputs/default/*/manifest.json"))
        return RunDirectory(path)

    @property
    def jobs_log(self):
        return "".join(path.read_text() for path in self.folder.glob("outputs/default/sweeps/*/jobs/*.txt"))

    def epoch(self, number, seconds=120):
        """Wait until an epoch is over, and a random part of the next."""
        self.until(lambda: f"epoch {number}/" in self.jobs_log, seconds)
        time.sleep(random.Random(number).uniform(0.1, 0.6))

    def until(self, condition, seconds=120):
        end = time.monotonic() + seconds
        while not condition():
            assert self.process.poll() is None, self.said()
            assert time.monotonic() < end, self.said()
            time.sleep(0.1)

    def said(self):
        return (self.folder / "driver.txt").read_text()

    def end(self, seconds=300):
        code = self.process.wait(seconds)
        self.log.close()
        return code


def ended(sweep, wanted=None):
    """What isn't as it must be of a run that should be done, and have ended as another."""
    code = sweep.end()
    wrong = [] if code == 0 else [f"exit {code}: {sweep.said().splitlines()[-1][:300]}"]
    return wrong or ([] if wanted is None else differences(ending(sweep.run), wanted))


def again(sweep):
    return sweep.jobs_log.count("queued again 1 times"), sweep.jobs_log.count("is to be queued again (")


def undisturbed(cluster, folder, known):
    sweep = Sweep(folder, *RUN, *RANKS, *SLURM)
    wrong = ended(sweep)
    known.update({} if wrong else ending(sweep.run))
    return wrong, f"{known.get('weights', '')[:12]}"


def warned(cluster, folder, known):
    """USR2 in the middle of an epoch, as before a time limit."""
    sweep = Sweep(folder, *RUN, *RANKS, *SLURM)
    sweep.epoch(4)
    cluster.run("scancel", "--signal=USR2", *sweep.numbers.values())
    wrong = ended(sweep, known)
    return wrong + ([] if again(sweep) == (1, 1) else [f"queued again: {again(sweep)}"]), "queued again once by the job"


def preempted(cluster, folder, known):
    """A job of a partition that comes first takes both nodes."""
    sweep = Sweep(folder, *RUN, *RANKS, *SLURM)
    sweep.epoch(6)
    cluster.run("sbatch", "--partition=high", "--nodes=2", "--exclusive", "--output=/dev/null", "--wrap=sleep 2")
    wrong = ended(sweep, known)
    return wrong + ([] if again(sweep) == (1, 0) else [f"queued again: {again(sweep)}"]), "queued again once by Slurm"


def limited(cluster, folder, known):
    """A real time limit of one minute."""
    sweep = Sweep(folder, *RUN, *RANKS, *SLURM, "launcher.minutes=1", "launcher.signal_seconds=30")
    wrong = ended(sweep, known)
    times = again(sweep)[1]
    return wrong + ([] if times else ["the limit was never reached"]), f"queued again {times} times"


def rank_killed(cluster, folder, known):
    """SIGKILL of the second rank; then the same command."""
    sweep = Sweep(folder, *RUN, *RANKS, *SLURM)
    sweep.epoch(3)
    begin = time.monotonic()
    os.kill(_rank(1, sweep.numbers), 9)
    code, row, seconds = sweep.end(), sweep.rows[0], time.monotonic() - begin
    wrong = [] if (code, row["state"]) == (1, "failed") else [f"exit {code}, {row['state']} ({row['cause']}): {row['error']}"]
    return wrong + ended(
        Sweep(folder, *RUN, *RANKS, *SLURM), known
    ), f"{row['state']} ({row['cause']}) after {seconds:.0f} s: {row['error']}"


def two_nodes(cluster, folder, known):
    """One rank on each of two nodes is the same run."""
    sweep = Sweep(folder, *RUN, *RANKS, *SLURM, "trainer.devices=1", "trainer.num_nodes=2")
    return ended(sweep, known), "1 rank on each of 2 nodes"


def six(cluster, folder, known):
    """An array: one is fine, one fails (its loss can't be made), one is killed, one is cancelled, one crashes, one leaves."""
    faults = {"fine": "done", "error": "config", "kill": "SIGKILL", "sleep": "cancelled", "segfault": "SIGSEGV", "leave_5": "exit 5"}
    loss = "loss._target_=tests.sweeps.losses.Faulty"
    few = [*RUN, "trainer.max_epochs=1", "trainer.accelerator=cpu"]
    sweep = Sweep(folder, *few, *SLURM, loss, f"+loss.fault={','.join(faults)}", "launcher.jobs=6", flags=["--allow=tests"])
    sweep.until(lambda: sum(row["state"] != "running" for row in sweep.rows) >= 5 and _begun(sweep, "sleep"), 300)
    cluster.run("scancel", sweep.numbers[_row(sweep, "sleep")["run"]])
    code = sweep.end()
    found = {name: _row(sweep, name)["cause"] or _row(sweep, name)["state"] for name in faults}
    wrong = [] if (code, found) == (1, faults) else [f"exit {code}: {found}"]
    return wrong, ", ".join(found.values())


def _row(sweep, fault):
    return next(row for row in sweep.rows if f"+loss.fault={fault}" in row["overrides"])


def _begun(sweep, fault):
    row = _row(sweep, fault)
    found = list(sweep.folder.glob(f"outputs/default/sweeps/*/{row['log']}"))
    return bool(found) and "loading torch" in found[0].read_text()


def _rank(rank, numbers):
    """The process of a rank of the only job."""
    (number,) = numbers.values()
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            words = path.read_bytes().split(b"\0")
            line = (path.parent / "cmdline").read_bytes()
        except OSError:
            continue
        if f"SLURM_JOB_ID={number}".encode() in words and f"SLURM_PROCID={rank}".encode() in words and b"submitit" in line:
            return int(path.parent.name)
    raise AssertionError(f"no rank {rank}")


CASES = {one.__name__: one for one in (undisturbed, warned, preempted, limited, rank_killed, two_nodes, six)}


def main(names):
    if why := missing():
        print(why)
        return 0
    folder, known, failed = Path(tempfile.mkdtemp(prefix="slurm-")), {}, 0
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # or the cluster would outlive us
    with Cluster(folder / "slurm", nodes=2, cpus=8) as cluster:
        os.environ.update(cluster.environment)
        for name, case in CASES.items():
            if names and name not in names and name != "undisturbed":
                continue
            begin = time.monotonic()
            wrong, said = case(cluster, folder / name, known)
            failed += bool(wrong)
            print(
                f"{name:12} {'WRONG' if wrong else 'right':6} {time.monotonic() - begin:4.0f} s  {said}", *wrong, sep="\n    ", flush=True
            )
    print(folder)
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
