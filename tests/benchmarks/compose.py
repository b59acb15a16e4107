"""Composing the jobs of a sweep, and a sweep of 1,000 jobs that are all done run again: python -m tests.benchmarks.compose [<jobs>]

Goals: 40 ms a job (of one tuple of groups), 60 s for the sweep, in which nothing starts.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from contextlib import chdir, redirect_stdout
from io import StringIO
from pathlib import Path

from segexp.config import session
from segexp.runs.directory import RunDirectory
from segexp.sweeps.driver import compose_all, sweep
from segexp.sweeps.grid import expand
from segexp.sweeps.jobs import composed

RATES = 20


def main(jobs: int) -> None:
    rates = ",".join(f"{rate}e-4" for rate in range(1, RATES + 1))
    overrides = [f"seed=range(0,{jobs // RATES})", f"optimizer.lr={rates}"]
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        with session():
            listed = expand("train", overrides)[:100]
            composed(1, listed[0])  # reads the files
            wall, cpu = time.perf_counter(), time.process_time()
            for own in listed:
                composed(1, own)
            wall, cpu = ((now - then) / len(listed) * 1000 for now, then in ((time.perf_counter(), wall), (time.process_time(), cpu)))
        print(f"composing: {wall:.1f} ms a job, of that {cpu:.1f} ms in this process (goal 40)")
        for job in compose_all(overrides):
            fabricate(job.run)
        for what in ("for the first time", "once more"):
            began = time.perf_counter()
            with redirect_stdout(StringIO()) as said:
                assert sweep(overrides) == 0
            assert f"{jobs} jobs: {jobs} done, 0 failed, 0 to run" in said.getvalue()
            print(f"{jobs} jobs that are done, {what}: {time.perf_counter() - began:.1f} s (goal 60)")
        os.environ["SEGEXP_DATA"] = str(Path(folder) / "elsewhere")
        began = time.perf_counter()
        with redirect_stdout(StringIO()):
            sweep(overrides)
        print(f"and after a change that makes all of them be composed: {time.perf_counter() - began:.1f} s (goal 60)")


def fabricate(run: RunDirectory) -> None:
    """A run directory that says it is done."""
    run.path.mkdir(parents=True)
    run.finish({"monitor": "val/miou", "val": {"miou": 0.5}, "steps": 4, "seconds": 1.0})


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
