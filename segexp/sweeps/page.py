"""The page of a sweep, written at its end: which setting is better, and is that sure?"""

from __future__ import annotations

from pathlib import Path

from segexp.sweeps.sweep import Sweep


def page(whole: Sweep, *, figure: str | None = None) -> Path | None:
    """Write `report.html` and the leaderboard into a sweep's folder, unless all is done and those that are there are newer.

    One that can't be written must not fail a sweep: that is said, and None returned. None as well where no run is done.

    Args:
        whole: the sweep.
        figure: to compare by; by default what the runs monitor.
    """
    results = [job.run.result_file for job in whole.jobs if job.state == "done"]
    if not results:
        return None
    target = whole.folder / "report.html"
    settled = all(job.state in ("done", "pruned") for job in whole.jobs)  # else the page may say "running" of what has failed since
    if settled and target.exists() and all(path.stat().st_mtime_ns <= target.stat().st_mtime_ns for path in results):
        return target
    print("writing the page of the sweep", flush=True)
    try:
        from segexp.report.sweep import write_sweep_report

        return write_sweep_report(whole.folder, figure=figure)
    except Exception as error:
        print(f"warning: no report.html was written ({type(error).__name__}: {error}); segexp report writes it", flush=True)
        return None


def told(whole: Sweep, *, figure: str | None = None, table: bool = False) -> None:
    """Write the page and say where it is, with the leaderboard as a table if it is asked for."""
    if path := page(whole, figure=figure):
        board = whole.folder / "leaderboard.md"
        if table and board.exists():
            print(f"\n{board.read_text(encoding='utf-8')}", flush=True)
        print(f"report    {path}", flush=True)
