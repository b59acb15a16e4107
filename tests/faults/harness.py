"""A command as a user types it, and the rules that hold for every row of the fault table.

U1: the exit code isn't 0. U2: stderr ends with one line `segexp: error[CODE]: what; where; fix: ...`, and has no traceback.
U3: what was on disk is there as it was.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

from segexp.allow import allowed
from segexp.cli.main import main

ROOT = Path(__file__).resolve().parents[2]
TINY = [
    *("data.height=32", "data.width=48", "data.train=8", "data.val=3", "data.test=2", "data.loader.batch_size=2"),
    *("backbone=timm", "backbone.name=test_resnet", "decoder.width=16", "callbacks.panels.count=0"),
    *("trainer.max_epochs=2", "trainer.accelerator=cpu", "trainer.log_every_n_steps=1", "run.threads=1"),
]  # 8 steps
CODES = {"config": 2, "wiring": 2, "nonfinite": 3, "held": 4, "stopped": 75}  # of the kinds of errors; all others 1
LINE = re.compile(r"segexp: error\[(\w+)\]: \S.*; fix: \S.*")


@dataclass(frozen=True)
class Said:
    """What a command ended with."""

    code: int
    out: str
    err: str

    @property
    def last(self) -> str:
        """The last line of stderr."""
        return (self.err.strip().splitlines() or [""])[-1]


def command(*arguments: str) -> Said:
    """A command in this process: quick, for all that ends in a line and an exit code."""
    out, err = StringIO(), StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = main(arguments)
    return Said(code, out.getvalue(), err.getvalue())


def line(*arguments: str) -> list[str]:
    """The command line of a process of its own, which may call the tests."""
    return [sys.executable, "-m", "segexp.cli.main", *(f"--allow={name}" for name in allowed()), *arguments]


def environment(**more: str) -> dict[str, str]:
    """The variables of such a process: it finds the checkout from anywhere."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "GOMP_SPINCOUNT": "0", **more}


def process(*arguments: str, env: Mapping[str, str] | None = None, timeout: float = 120, **settings: Any) -> Said:
    """A command in a process of its own: for all that a process is struck by."""
    ended = subprocess.run(
        line(*arguments), env=environment(**(env or {})), timeout=timeout, capture_output=True, text=True, check=False, **settings
    )
    return Said(ended.returncode, ended.stdout, ended.stderr)


def expect(said: Said, kind: str, *texts: str) -> None:
    """U1 and U2: the exit code of a kind of error, one last line with all of the texts, no traceback."""
    assert said.code == CODES.get(kind, 1), f"exit {said.code}: {said.err}"
    found = [text for text in said.err.splitlines() if text.startswith("segexp: error[")]
    assert found == [said.last], said.err
    match = LINE.fullmatch(said.last)
    assert match, f"not what; where; fix: {said.last}"
    assert match[1] == kind, said.last
    missing = [text for text in texts if text not in said.last]
    assert not missing, f"{missing} not in: {said.last}"
    assert "Traceback" not in said.out + said.err


def snapshot(folder: Path) -> dict[str, str]:
    """Path -> sha256 of every file below a folder, but for locks, which say who looks."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != "lock")
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@contextmanager
def untouched(folder: Path, *, but: Sequence[str] = (), new: bool = False) -> Iterator[None]:
    """U3: within, no file below a folder is lost or changed, and unless `new` is true none is added.

    Args:
        folder: of outputs, or of a run.
        but: parts of paths that may change: what a failed attempt writes of itself.
        new: may there be more files than before?
    """
    before = snapshot(folder)
    yield
    after = snapshot(folder)
    changed = [name for name in before if after.get(name) != before[name] and not any(part in name for part in but)]
    assert not changed, f"lost or changed: {changed}"
    added = sorted(after.keys() - before.keys())
    assert new or not added, f"added: {added}"
