"""What a sweep shows while it runs and at its end."""

import pytest
from rich.console import Console

from segexp.functional.files import write_json
from segexp.runs.directory import RunDirectory
from segexp.sweeps.jobs import Job
from segexp.sweeps.sweep import Sweep, find_twins
from segexp.sweeps.table import Display, LiveDisplay, display, summary


@pytest.fixture
def sweep(tmp_path):
    """One job that is done, one that failed, one that runs, and one with the run of the first."""
    folders = [tmp_path / "default" / f"run-{digit * 12}" for digit in "abca"]
    settings = {"run": {"again": False}}
    runs = [RunDirectory(folder) for folder in folders]
    jobs = [Job(number, ["data=shapes", f"seed={seed}"], runs[number - 1], settings=settings) for number, seed in enumerate("0120", 1)]
    find_twins(jobs)
    sweep = Sweep(jobs, "segexp train -m data=shapes seed=0,1,2,0")
    (sweep.folder / "jobs").mkdir(parents=True)
    folders[0].mkdir()
    write_json(folders[0] / "result.json", {"monitor": "val/miou", "val": {"miou": 0.51234}, "steps": 40, "seconds": 12.3})
    jobs[0].state = "done"
    jobs[1].fail("SIGSEGV", "segexp: error[killed]: the process ended by SIGSEGV")
    jobs[2].state = "running"
    sweep.log(jobs[2]).write_text("of an earlier start\nepoch 1\rstep 3 of 40\n\n")
    sweep.write()
    return sweep


def test_the_summary_has_a_row_for_each_job(sweep):
    assert summary(sweep).splitlines() == [
        "   state             figure           steps  s   overrides",
        "1  done              val/miou 0.5123  40     12  seed=0",
        "2  failed (SIGSEGV)                              seed=1",
        "3  running                                       seed=2",
        "4  done              val/miou 0.5123  40     12  seed=0  (the same run as job 1)",
    ]


def test_plain_lines_tell_of_starts_ends_and_how_far_jobs_are(sweep, capsys):
    done, failed, running, _ = sweep.jobs
    with Display(sweep) as shown:
        for job in sweep.jobs[:3]:
            shown.started(job)
        shown.ended(done)
        shown.ended(failed)
        shown.show([running])
        running.log_start = sweep.log(running).stat().st_size
        shown.show([running])
    assert capsys.readouterr().out.splitlines() == [
        "job 1/4 starts: seed=0",
        "job 2/4 starts: seed=1",
        "job 3/4 starts: seed=2",
        "job 1/4 done: val/miou 0.5123, 0 s",
        "job 2/4 failed: SIGSEGV, 0 s, segexp: error[killed]: the process ended by SIGSEGV",
        "job 3/4 0 s: step 3 of 40",
        "job 3/4 0 s: nothing said yet",
    ]


def test_the_live_table_shows_what_ended_what_runs_and_what_that_says(sweep):
    console = Console(width=100)
    with LiveDisplay(sweep) as shown:
        for job in sweep.jobs[:3]:
            shown.started(job)
        shown.ended(sweep.jobs[0])
        shown.ended(sweep.jobs[1])
        with console.capture() as drawn:
            console.print(shown.table([sweep.jobs[2]]))
    lines = [" ".join(line.split()) for line in drawn.get().splitlines()]
    assert lines[:2] == ["2 done, 1 failed, 1 running", "job s state overrides says"]
    assert lines[2] == "1 0 done seed=0 val/miou 0.5123"
    assert lines[3].startswith("2 0 failed (SIGSEGV) seed=1 segexp: error[killed]")
    assert lines[4] == "3 0 running seed=2 step 3 of 40"


def test_the_table_is_live_in_a_terminal_only(sweep, monkeypatch):
    assert type(display(sweep)) is Display
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    assert type(display(sweep)) is LiveDisplay
