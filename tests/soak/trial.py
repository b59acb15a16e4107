"""A tiny run that is started, struck down, started again; and what it leaves at its end."""

from __future__ import annotations

import hashlib
import json
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from segexp.functional.tensors import load_plain
from segexp.runs.directory import RunDirectory
from segexp.sweeps.jobs import composed, document, judge
from segexp.sweeps.processes import kill_group
from segexp.weights.checkpoints import newest, pointed, record_of

SMALL = (
    *("data.height=32", "data.width=48", "data.train=32", "data.val=3", "data.test=2", "data.loader.batch_size=2"),
    *("backbone=timm", "backbone.name=test_resnet", "optimizer.lr=1e-2", "run.max_attempts=1000"),
    *("trainer.max_epochs=6", "trainer.accelerator=cpu", "trainer.log_every_n_steps=1", "callbacks.panels.count=0"),
)
TINY = (*SMALL, "decoder.width=16")
PATIENCE = 300.0  # seconds for one start
SAME = ("val", "test", "monitor", "best", "parameters", "steps", "curves")  # of a result: all but seconds and settings
Order = tuple[int, bool]


@dataclass(frozen=True)
class Blow:
    """When a start is killed: after so many seconds, or by a trap of `tests.soak.server`; with its whole group?"""

    seconds: float = PATIENCE
    trap: Mapping[str, Any] | None = None
    group: bool = False


class Child(Protocol):
    """A process of a run."""

    pid: int

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code; raises TimeoutExpired."""
        ...

    def poll(self) -> int | None:
        """Its exit code; None while it runs."""
        ...

    def kill(self, number: int) -> None:
        """Send it a signal."""
        ...


class Starter(Protocol):
    """What starts runs: a fork server with traps, or something like it."""

    def start(self, document: Mapping[str, Any], output: Path) -> Child:
        """Start the run of a document (see `segexp.sweeps.child`)."""
        ...


class Trial:
    """One run in a folder of its own.

    Args:
        server: what starts it.
        folder: of the runs and the log; it is made.
        overrides: of the config.
    """

    def __init__(self, server: Starter, folder: Path, overrides: Sequence[str]) -> None:
        self.server, self.folder, self.log = server, folder, folder / "log.txt"
        self.job = composed(1, [*overrides, f"paths.outputs={folder / 'outputs'}"])
        assert not self.job.error, self.job.error
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def run(self) -> RunDirectory:
        """Its directory."""
        return self.job.run

    def start(self, **extras: Any) -> Child:
        """Start it; `extras` join the document."""
        return self.server.start({**document(self.job, 1, other_disk(self.folder)), **extras}, self.log)

    def finish(self) -> float:
        """Let it run to its end; returns the seconds that it took.

        Raises:
            AssertionError: it fails; has its last words.
        """
        began = time.monotonic()
        code = ended(self.start(), PATIENCE)
        assert code == 0, f"exit {code}: {self.said()}"
        return time.monotonic() - began

    def text(self) -> str:
        """Its log; empty before the first start has opened it."""
        return self.log.read_text() if self.log.exists() else ""

    def said(self) -> str:
        """The last line of its log."""
        return (self.text().strip().splitlines() or [""])[-1]

    def step(self) -> int:
        """How many steps are in its log."""
        lines = self.run.metrics.read_text().splitlines() if self.run.metrics.exists() else []
        return sum('"name": "train/loss"' in line for line in lines)


def other_disk(folder: Path) -> dict[str, str]:
    """A variable that puts temporary files on another file system than a folder, if there is one."""
    memory = Path("/dev/shm")
    return {"TMPDIR": str(memory)} if memory.is_dir() and memory.stat().st_dev != folder.stat().st_dev else {}


def ended(child: Child, seconds: float) -> int | None:
    """The exit code; None while it still runs after so many seconds."""
    try:
        return child.wait(seconds)
    except subprocess.TimeoutExpired:
        return None


def strike(trial: Trial, blow: Blow, *, told: bool = False) -> dict[str, Any] | None:
    """Start a trial and kill it.

    Args:
        trial: not running.
        blow: when.
        told: say so in its directory, as a sweep does.

    Returns:
        `step`, `saving` (was it within a save?) and `problems`; None if it ended by itself.
    """
    before, best, status = unfinished(trial.run), newest_order(trial.run), trial.run.read_status()
    child = trial.start(**({"trap": blow.trap} if blow.trap else {}))
    code = ended(child, blow.seconds)
    if code is None:
        _kill(child, group=blow.group)
        code = child.wait(PATIENCE)
    if code == 0:
        return None
    said = [] if code == -signal.SIGKILL else [f"exit {code}: {trial.said()}"]
    if told:
        judge(trial.job, code, status)
    saving = sorted(name.rpartition(".tmp.")[0] or name for name in unfinished(trial.run) - before)
    return {"step": trial.step(), "saving": saving, "problems": said + lost(trial.run, best)}


def _kill(child: Child, *, group: bool) -> None:
    if group:
        kill_group(child.pid)
    child.kill(signal.SIGKILL)


def unfinished(run: RunDirectory) -> set[str]:
    """What a save leaves when it is cut short: temporary files, and checkpoints without a record."""
    names = {path.name for path in run.checkpoints.glob("*")} if run.checkpoints.exists() else set()
    return {name for name in names if ".tmp." in name or (name.endswith(".ckpt") and name[:-5] + ".json" not in names)}


def newest_order(run: RunDirectory) -> Order | None:
    """Where the newest valid checkpoint stands in the order of all; None where there is none."""
    found, _ = newest(run.checkpoints)
    return (record_of(found)["step"], not record_of(found)["pending"]) if found else None


def lost(run: RunDirectory, before: Order | None) -> list[str]:
    """What a kill has spoilt: checkpoints with a record that aren't valid, or a newest one older than before."""
    _, faults = newest(run.checkpoints)
    now = newest_order(run)
    gone = before is not None and (now is None or now < before)
    return [f"not valid: {fault}" for fault in faults] + ([f"the newest checkpoint was {before} and is {now}"] if gone else [])


def ending(run: RunDirectory) -> dict[str, Any]:
    """All that a run ends in, as hashes and figures."""
    result = run.result() or {}
    left = [path.name for path in run.path.rglob("*.tmp.*")]
    return {
        "state": run.state(),
        "weights": weights(run),
        "metrics": _sha256(run.metrics.read_bytes()),
        "images": _sha256(run.per_image.read_bytes()),
        "result": {name: result.get(name) for name in SAME},
        "left over": left,
    }


def weights(run: RunDirectory) -> str:
    """A hash of the weights in the last checkpoint."""
    path = pointed(run.checkpoints, "last")
    assert path, f"no last checkpoint in {run.checkpoints}"
    state = load_plain(path)["state_dict"]
    return _sha256(b"".join(name.encode() + value.numpy().tobytes() for name, value in state.items()))


def differences(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """Where an ending isn't the wanted one."""
    return [
        f"{name}: {json.dumps(found.get(name))[:200]} instead of {json.dumps(wanted[name])[:200]}"
        for name in wanted
        if found.get(name) != wanted[name]
    ]


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def struck(trial: Trial, blows: Sequence[Any], wanted: Mapping[str, Any], **how: Any) -> dict[str, Any]:
    """Kill a trial blow by blow, let it finish, and compare its ending.

    Args:
        trial: not running.
        blows: as `by` takes them.
        wanted: its ending.
        how: `by`, a function like `strike`, which it is unless given; the rest is for it.

    Returns:
        `deaths`, as from `strike`, and `problems`: whatever isn't as it was without the kills.
    """
    by, deaths = how.pop("by", strike), []
    for blow in blows:
        if (death := by(trial, blow, **how)) is None:
            break
        deaths.append(death)
    problems = [problem for death in deaths for problem in death.pop("problems")]
    try:
        trial.finish()
        problems += differences(ending(trial.run), wanted)
    except AssertionError as error:
        problems.append(str(error))
    return {"deaths": deaths, "problems": problems}
