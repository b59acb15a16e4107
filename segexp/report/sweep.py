"""The page of a sweep, or of any folder of runs: which setting is better, and is that sure? One HTML file that needs nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from segexp.errors import SegexpError
from segexp.functional.files import write_atomic
from segexp.report import document as content
from segexp.report.answer import answer
from segexp.report.failures import failures, of_state, states
from segexp.report.members import Member, members, sweep_command
from segexp.report.page import environment
from segexp.statistics.board import Leaderboard

HERE = Path(__file__).parent
SCRIPTS = ("sweep.js", "sweep_board.js", "sweep_plots.js", "sweep_compare.js")  # one after the other


def write_sweep_report(folder: Path, *, figure: str | None = None) -> Path:
    """Write `report.html` into a folder of runs, and the table of its settings as CSV, Markdown and LaTeX.

    Args:
        folder: a sweep's, an experiment's, or one that holds experiments.
        figure: to compare by, such as `val/miou`; by default what the runs monitor.

    Returns:
        The page's path.

    Raises:
        ConfigError: the folder holds no runs.
        SegexpError: no run has the figure that was asked for.
    """
    folder = Path(folder).resolve()
    runs = members(folder)
    board, why_not = _board(runs, figure)
    _write_tables(folder, board)
    target = folder / "report.html"
    write_atomic(target, render(folder, runs, board, why_not).encode(errors="replace"))
    return target


def render(folder: Path, runs: Sequence[Member], board: Leaderboard | None, why_not: str = "") -> str:
    """The page's HTML.

    Args:
        folder: the page's.
        runs: of the folder.
        board: their comparison; None where there is none.
        why_not: why.
    """
    data = content.document(folder, runs, board)
    labels = [row["label"] for row in data["settings"]]
    best = data["settings"][0]["runs"] if data["settings"] else []
    return (
        environment()
        .get_template("sweep.html.j2")
        .render(
            title=folder.name,
            folder=_above(folder),
            command=sweep_command(folder),
            answer=answer(board, labels, why_not),
            best_command=runs[best[0]].command if best else "",
            images=board.images if board else 0,
            notes=board.notes if board else (),
            states=states(runs),
            failures=failures(runs),
            pruned=of_state(runs, "pruned"),
            unfinished=of_state(runs, "running", "pending", "preempted"),
            pictured=len({run for row in data["pictures"].values() for run in row}),
            data=data,
            text=content.text(data),
            plotly=_plotly(),
            script="\n".join((HERE / name).read_text() for name in SCRIPTS),
        )
    )


def _board(runs: Sequence[Member], figure: str | None) -> tuple[Leaderboard | None, str]:
    """The comparison of the runs that are done, or why there is none; a figure that was asked for must be there."""
    from segexp.statistics.leaderboard import leaderboard

    paths = [run.path for run in runs if run.path]
    read = {run.path: run.result for run in runs if run.path and run.state == "done" and run.result}
    if not any(run.state == "done" for run in runs):
        return None, "no run is done"
    try:
        return leaderboard(paths, figure=figure, results=read), ""
    except SegexpError as error:
        if figure is not None:
            raise
        return None, error.what
    finally:
        for result in read.values():
            result.clear()  # of ten thousand runs they take a hundred megabytes, and the page needs them no more


def _write_tables(folder: Path, board: Leaderboard | None) -> None:
    """The board as a table of each form; those of an earlier one go where there is none any more."""
    from segexp.statistics import tables

    for name, text in (("csv", tables.as_csv), ("md", tables.as_markdown), ("tex", tables.as_latex)):
        path = folder / f"leaderboard.{name}"
        write_atomic(path, text(board)) if board else path.unlink(missing_ok=True)


def _above(folder: Path) -> str:
    """What the folder is, in the head's small print: of a sweep, its experiment."""
    return f"{folder.parents[1].name} / sweep" if folder.parent.name == "sweeps" else "all runs of"


def _plotly() -> str:
    """The library's script, to be put into the page."""
    from plotly.offline import get_plotlyjs

    return get_plotlyjs()
