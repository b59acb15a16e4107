"""Which files of the code aren't what a run began with: its commit and patch against the checkout of today."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from segexp.runs.manifest import git

_NAMES = re.compile(r"^diff --git a/(.*) b/(.*)$", re.MULTILINE)
_BYSTANDERS = frozenset({"docs", "tests", ".ci"})  # folders that can't change a result, unless a target of the config lies there
_CODE = frozenset({".py", ".pyi", ".pyx", ".yaml", ".yml", ".toml", ".c", ".cc", ".cpp", ".cu", ".cuh", ".h", ".so"})
_SECONDS = 20


def changed_code(then: Mapping[str, Any], folder: Path, tops: Collection[str] = (), outputs: Path | None = None) -> list[str] | None:
    """Files that have changed since, as paths within the checkout.

    Args:
        then: of the manifest, `{"commit", "patch", "patch_cut"}`.
        folder: of the checkout.
        tops: the packages that the config's targets lie in; of others, tests are left out.
        outputs: a folder that isn't code, though it may lie in the checkout and hold YAML.

    Returns:
        None where it can't be told: the commit isn't in this checkout, or the patch wasn't kept whole.
    """
    top = git(folder, "rev-parse", "--show-toplevel")
    commit, patch = then["commit"], then["patch"]
    if top is None or patch is None or then.get("patch_cut") or git(folder, "cat-file", "-e", f"{commit}^{{commit}}") is None:
        return None
    root = Path(os.fsdecode(top.rstrip(b"\n")))
    moved = git(root, "diff", "--name-only", "--no-renames", "-z", commit) or b""  # against the files as they are
    new = git(root, "ls-files", "--others", "--exclude-standard", "-z") or b""
    patched = {name for pair in _NAMES.findall(patch) for name in pair}
    names = {os.fsdecode(name) for name in (moved + new).split(b"\0") if name} | patched
    counted = sorted(name for name in names if _counts(name, tops) and not (outputs and (root / name).is_relative_to(outputs)))
    if not counted:
        return []
    before = _contents(root, commit, patch, sorted({*counted, *patched}))
    return None if before is None else [name for name in counted if before[name] != _read(root / name)]


def patch_pieces(patch: str) -> dict[str, str]:
    """File -> its part of a patch."""
    starts = list(_NAMES.finditer(patch))
    ends = [*(match.start() for match in starts[1:]), len(patch)][: len(starts)]
    return {match[2]: patch[match.start() : end] for match, end in zip(starts, ends, strict=True)}


def _counts(name: str, tops: Collection[str]) -> bool:
    first = name.partition("/")[0]
    return Path(name).suffix in _CODE and (first not in _BYSTANDERS or first in tops)


def _contents(root: Path, commit: str, patch: str, names: Collection[str]) -> dict[str, bytes | None] | None:
    """What the files held: the commit's content, with the patch applied in a folder of its own; None if it can't be applied."""
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        for name in names:
            if (content := git(root, "show", f"{commit}:{name}")) is not None:
                (place / name).parent.mkdir(parents=True, exist_ok=True)
                (place / name).write_bytes(content)
        text = "".join(piece for piece in patch_pieces(patch).values() if "\nBinary files " not in piece)  # what can't be applied
        if text and not _applied(text, place):
            return None
        return {name: _read(place / name) for name in names}


def _applied(patch: str, place: Path) -> bool:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    environment |= {"GIT_CEILING_DIRECTORIES": str(place.parent)}  # no checkout around it has a say
    try:
        command = ["git", "apply", "--whitespace=nowarn", "-"]
        done = subprocess.run(command, cwd=place, env=environment, input=patch.encode(), capture_output=True, timeout=_SECONDS)
    except (OSError, subprocess.SubprocessError):
        return False
    return done.returncode == 0


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:  # absent, or a folder now
        return None
