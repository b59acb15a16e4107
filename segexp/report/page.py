"""The page of one run: one HTML file that needs nothing else, for people."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segexp.errors import ConfigError
from segexp.functional.files import write_atomic
from segexp.report import figures
from segexp.report.charts import WINDOWS, curves
from segexp.report.confusion import confusions
from segexp.report.objects import object_figures
from segexp.report.pictures import galleries
from segexp.report.record import RunRecord, flatten, read_run, section

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

MAX_TEXT = 600  # characters of one value in a table; a patch can be long


def write_report(run: Path) -> Path:
    """Write `<run>/report.html` from the files of the run directory alone.

    Args:
        run: a run directory, finished or not.

    Returns:
        The page's path.

    Raises:
        ConfigError: there is no such directory.
    """
    if not Path(run).is_dir():
        raise ConfigError("there is no such run directory", where=str(run), fix="give a run's folder; they lie in outputs/")
    record = read_run(run)
    target = record.path / "report.html"
    write_atomic(target, render(record).encode(errors="replace"))
    return target


def render(record: RunRecord) -> str:
    """The page as text; a pure function of the record and the pictures it names."""
    return (
        environment()
        .get_template("page.html.j2")
        .render(
            title=record.path.resolve().name,
            folder=record.path.resolve().parent.name,
            state=str(record.status.get("state", "unknown")),
            error=section(record.status.get("error")),
            facts=figures.facts(record),
            command=command(record),
            tiles=figures.tiles(record),
            charts=curves(record.series, figures.monitor(record)),
            windows=WINDOWS,
            table=figures.class_table(record),
            objects=object_figures(record),
            confusions=confusions(record),
            galleries=galleries(record),
            config=grouped(record.config),
            environment=grouped(environment_leaves(record)),
            traceback=record.traceback[-20_000:],
            notes=record.notes,
        )
    )


def environment() -> Environment:
    """The templates of the pages, with what they call."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    found = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    found.filters |= {"figure": figures.figure, "coded": coded}
    return found


def coded(text: str) -> Markup:
    """Plain text as HTML in which what stands between backticks is code."""
    from markupsafe import Markup, escape

    return Markup(re.sub(r"`([^`]*)`", r"<code>\1</code>", str(escape(text))))


def command(record: RunRecord) -> str:
    """What to paste to get this run: `overrides.txt`, else the manifest's command; empty where both are absent."""
    typed = record.command or str(record.manifest.get("command", ""))
    return typed if not typed or typed.startswith("segexp ") else f"segexp train {typed}"


def environment_leaves(record: RunRecord) -> dict[str, Any]:
    """The manifest's leaves without the list of classes, which has a table of its own."""
    leaves = flatten(record.manifest)
    return {key: value for key, value in leaves.items() if ".classes." not in f".{key}"}


def grouped(leaves: dict[str, Any]) -> list[tuple[str, list[tuple[str, str]]]]:
    """Leaves by the first part of their key, plain ones first under an empty name: [(group, [(key, text)])]."""
    groups: dict[str, list[tuple[str, str]]] = {"": []}
    for key, value in leaves.items():
        group, dot, rest = key.partition(".")
        groups.setdefault(group if dot else "", []).append((rest if dot else key, plain(value)))
    return [(group, rows) for group, rows in groups.items() if rows]


def plain(value: Any) -> str:
    """A value as YAML would show it, cut where it is long."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]} … {len(text) - MAX_TEXT:,} characters more in the file"
