"""What differs between two runs: config, code, data, environment, figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from segexp.errors import SegexpError
from segexp.functional.files import read_json
from segexp.ledger.code import patch_pieces
from segexp.ledger.data_files import differences, read_table
from segexp.report.record import RunRecord, flatten, number, read_run
from segexp.runs.identity import counted_leaves

SECTIONS = ("config", "elsewhere", "code", "data", "environment", "figures")
TITLES = {
    "config": "config (keys that decide the result)",
    "elsewhere": "config (keys that say where and how fast)",
    "code": "code",
    "data": "data",
    "environment": "environment",
    "figures": "figures",
}
_UNSAID = ("git", "versions", "hardware", "spec", "frozen", "resumed", "command", "id", "started", "data")  # told elsewhere, or of each run
_MOST = 12  # names of files that a table lists


@dataclass(frozen=True)
class Change:
    """One entry that differs; None where a run hasn't it."""

    first: Any
    second: Any
    difference: float | None = None  # second - first, of numbers


Section = dict[str, Change]


def compared(first: Path, second: Path) -> dict[str, Section]:
    """What differs, by `SECTIONS`; a section without differences is empty.

    Args:
        first, second: run directories, finished or not.
    """
    one, two = read_run(first), read_run(second)
    counted = _changes(_counted(one), _counted(two))
    everything = _changes(one.config, two.config)
    return {
        "config": counted,
        "elsewhere": {key: change for key, change in everything.items() if key not in counted},
        "code": _code(one.manifest, two.manifest),
        "data": _data(one, two),
        "environment": _changes(_environment(one.manifest), _environment(two.manifest)),
        "figures": {key: _with_difference(change) for key, change in _changes(_figures(one), _figures(two)).items()},
    }


def _changes(first: Mapping[str, Any], second: Mapping[str, Any]) -> Section:
    keys = [*first, *(key for key in second if key not in first)]
    return {key: Change(first.get(key), second.get(key)) for key in keys if not _same(first.get(key), second.get(key))}


def _same(first: Any, second: Any) -> bool:
    return first == second and isinstance(first, bool) == isinstance(second, bool)


def _counted(run: RunRecord) -> dict[str, Any]:
    try:
        config: Any = OmegaConf.load(run.path / "config.yaml")
        return counted_leaves(config)
    except Exception:  # absent, broken, or of another version: `read_run` has noted it, and the other keys are compared all the same
        return {}


def _code(first: Mapping[str, Any], second: Mapping[str, Any]) -> Section:
    """Commits, and the files whose uncommitted changes differ."""
    one, two = (manifest.get("git") or {} for manifest in (first, second))
    found = _changes({"commit": one.get("commit")}, {"commit": two.get("commit")})
    pieces = [patch_pieces(git.get("patch") or "") for git in (one, two)]
    for name, change in sorted(_changes(*pieces).items()):
        found[f"uncommitted {name}"] = Change(_lines(change.first), _lines(change.second))
    return found


def _lines(piece: str | None) -> str | None:
    if piece is None:
        return None
    lines = piece.splitlines()
    added = sum(line.startswith("+") and not line.startswith("+++") for line in lines)
    removed = sum(line.startswith("-") and not line.startswith("---") for line in lines)
    return f"+{added} -{removed} lines"


def _data(first: RunRecord, second: RunRecord) -> Section:
    found = _changes({"fingerprint": first.manifest.get("data")}, {"fingerprint": second.manifest.get("data")})
    try:
        tables = [read_table(run.path) for run in (first, second)]
    except SegexpError as error:
        return found | {"data.json": Change(error.what, None)}
    one, two = tables
    if one is None or two is None or one["how"] != two["how"]:
        return found
    files = differences(one, two)
    for word, names in (("changed", files.changed), ("only in the first", files.gone), ("only in the second", files.new)):
        for name in names:
            found[f"{word}: {name}"] = Change(one["files"].get(name), two["files"].get(name))
    return found


def _environment(manifest: Mapping[str, Any]) -> dict[str, Any]:
    found = dict(manifest.get("versions") or {}) | flatten(manifest.get("hardware") or {})
    return found | {key: value for key, value in manifest.items() if key not in _UNSAID and not isinstance(value, dict)}


def _figures(run: RunRecord) -> dict[str, Any]:
    result = run.result
    splits = {name: part for name in ("val", "test") if isinstance(part := result.get(name), dict)}
    plain = {key: result.get(key) for key in ("steps", "seconds", "parameters")}
    found = flatten({**flatten({"speed": result.get("speed") or {}}), **plain})
    best = flatten({"best": result.get("best") or {}})
    return {f"{name}/{key}": value for name, part in splits.items() for key, value in part.items()} | best | found | _state(run)


def _state(run: RunRecord) -> dict[str, Any]:
    return {"state": run.status.get("state")} if run.status else {}


def _with_difference(change: Change) -> Change:
    one, two = number(change.first), number(change.second)
    return Change(change.first, change.second, None if one is None or two is None else two - one)


# ------------------------------------------------------------------------------------------------ as text


def as_dict(sections: Mapping[str, Section]) -> dict[str, Any]:
    """Plain containers, for JSON."""
    return {name: {key: vars(change) for key, change in section.items()} for name, section in sections.items()}


def as_text(sections: Mapping[str, Section], titles: tuple[str, str]) -> str:
    """A table per section, the two runs side by side."""
    blocks = [f"{TITLES[name]}\n{_block(section, titles)}" for name, section in sections.items() if section]
    same = [TITLES[name] for name in sections if not sections[name]]
    return "\n\n".join(blocks + ([f"the same: {', '.join(same)}"] if same else []))


def _block(section: Section, titles: tuple[str, str]) -> str:
    lines = [("", *titles, "difference" if any(change.difference is not None for change in section.values()) else "")]
    for key, change in list(section.items()) if len(section) <= 4 * _MOST else list(section.items())[: 4 * _MOST]:
        lines.append((key, _word(change.first), _word(change.second), "" if change.difference is None else f"{change.difference:+.6g}"))
    widths = [min(48, max(len(line[column]) for line in lines)) for column in range(4)]
    text = ["  " + "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    more = len(section) - (len(lines) - 1)
    return "\n".join(text + ([f"  and {more} more (--json lists all)"] if more else []))


def _word(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.6g}"
    text = str(value)
    return text if len(text) <= 48 else f"{text[:45]}..."


def names_of(run: Path) -> str:
    """What a column is called: the run's id, or its folder's name."""
    path = run / "manifest.json"
    try:
        return str(read_json(path)["id"])
    except (OSError, SegexpError, KeyError, TypeError):
        return run.name
