"""Row 55 of the fault table: a rank that dies ends the others (56: tests/e2e/test_rank_evaluation.py)."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.faults.harness import TINY, Said, environment, expect, line
from tests.soak.trial import ending
from tests.sweeps.conftest import alive

TWO = [
    *(*TINY, "trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2", "data.train=32", "optimizer.lr=1e-2"),
    *("callbacks.checkpoint.every_n_train_steps=3", "run.max_attempts=5"),
]  # 16 steps
GONE = 60.0  # seconds in which all ranks have gone


class Ranks:
    """A run of two ranks in an outputs folder: its first rank is a process of ours, the other one a child of that.

    Args:
        outputs: the folder.
    """

    def __init__(self, outputs: Path) -> None:
        self.outputs, self.said = outputs, outputs.with_suffix(".txt")
        with self.said.open("a") as file:
            arguments = line("train", *TWO, f"paths.outputs={outputs}")
            self.first = subprocess.Popen(arguments, env=environment(OMP_NUM_THREADS="1"), stdout=file, stderr=file)

    def run(self):
        """The run's directory."""
        from segexp.runs.directory import RunDirectory

        (path,) = self.outputs.glob("*/*/config.yaml")
        return RunDirectory(path.parent)

    def steps(self):
        """The steps that are logged."""
        lines = [text for path in self.outputs.glob("*/*/metrics.jsonl") for text in path.read_text().splitlines()]
        return [json.loads(text)["step"] for text in lines if '"train/loss"' in text]

    def reach(self, step):
        """Wait for a step; returns the process of the second rank."""
        until = time.monotonic() + 240
        while max(self.steps(), default=0) < step:
            assert time.monotonic() < until
            assert self.first.poll() is None, self.said.read_text()
            time.sleep(0.02)
        (second,) = Path(f"/proc/{self.first.pid}/task/{self.first.pid}/children").read_text().split()
        return int(second)

    def end(self):
        """Wait for its end; the exit code and the last lines."""
        code = self.first.wait(timeout=240)
        return Said(code, "", self.said.read_text())


@pytest.fixture
def start():
    """Starts runs, and ends them with the test."""
    started = []

    def begin(outputs):
        started.append(Ranks(outputs))
        return started[-1]

    yield begin
    for ranks in started:
        ranks.first.kill()
        ranks.first.wait()


@pytest.mark.long
def test_55_a_rank_that_is_killed(tmp_path, start):
    """`python -m tests.soak ranks` has twenty sequences."""
    whole = start(tmp_path / "whole")
    assert whole.end().code == 0, whole.said.read_text()
    outputs = tmp_path / "struck"

    ranks = start(outputs)
    second = ranks.reach(4)
    began = time.monotonic()
    os.kill(second, signal.SIGKILL)
    said = ranks.end()
    assert time.monotonic() - began < GONE
    expect(said, "rank", "rank 1", "SIGKILL")
    status = ranks.run().read_status()
    assert (status["state"], status["error"]["code"]) == ("failed", "rank")

    ranks.said.unlink()
    ranks = start(outputs)
    second = ranks.reach(9)
    began = time.monotonic()
    ranks.first.kill()
    while alive(second):
        assert time.monotonic() - began < GONE
        time.sleep(0.05)
    assert ranks.end().code == -signal.SIGKILL

    ranks = start(outputs)
    said = ranks.end()
    assert said.code == 0, said.err
    assert "going on from step-" in said.err
    assert ranks.steps() == list(range(16))
    assert ending(ranks.run()) == ending(whole.run())
