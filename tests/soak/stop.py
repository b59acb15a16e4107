"""Signals to stop: the state is saved at once, the exit code says so, and no step is lost."""

from __future__ import annotations

import signal
import statistics
import time
from collections.abc import Sequence
from random import Random

from segexp.errors import StoppedError
from segexp.weights.checkpoints import newest, record_of
from tests.soak.bench import Bench, Row
from tests.soak.trial import PATIENCE, Trial, differences, ended, ending

SEQUENCES = 10
LIMIT = 2.0  # seconds from the signal to the end, beyond a step
SIGNALS = ("SIGTERM", "SIGINT", "SIGUSR1", "SIGUSR2")


def one(bench: Bench, number: int) -> Row:
    """Stop a run two or three times, and let it finish."""
    rng, workers = Random(f"{bench.seed}/stop/{number}"), 2 * (number % 2)
    whole = bench.whole(workers)
    trial = bench.trial(f"stop-{number}", f"data.loader.workers={workers}")
    stops, problems = [], []
    for name in ["SIGTERM", *rng.choices(SIGNALS, k=2)]:
        if (stop := stopped(trial, rng.uniform(0, 0.5) * whole["seconds"], name)) is None:
            break
        problems += stop.pop("problems")
        stops.append(stop)
    try:
        trial.finish()
        problems += differences(ending(trial.run), whole["ending"])
    except AssertionError as error:
        problems.append(str(error))
    return {"workers": workers, "stops": stops, "problems": problems}


def stopped(trial: Trial, seconds: float, name: str) -> Row | None:
    """Start a trial and signal it so long after it took charge of signals; None if it has finished by then.

    Returns:
        `signal`, `step`, `seconds` from the signal to the end, and `problems`.
    """
    before = trial.text()
    child = trial.start()
    while "loading torch" not in trial.text().removeprefix(before) and child.poll() is None:
        time.sleep(0.005)
    if (code := ended(child, seconds)) is None:
        began = time.monotonic()
        child.kill(signal.Signals[name])
        code = child.wait(PATIENCE)
        took = time.monotonic() - began
    if code == 0:
        return None
    problems = [] if code == StoppedError.exit_code else [f"{name}: exit {code}: {trial.said()}"]
    problems += not_saved(trial) + ([f"{name}: {took:.1f} s to the end"] if took > LIMIT else [])
    return {"signal": name, "step": trial.step(), "seconds": took, "problems": problems}


def not_saved(trial: Trial) -> list[str]:
    """What of a stopped run's steps isn't in its newest checkpoint."""
    found, faults = newest(trial.run.checkpoints)
    steps, logged = trial.step(), trial.run.metrics.stat().st_size if trial.run.metrics.exists() else 0
    saved = record_of(found) if found else {"step": 0, "files": {"metrics.jsonl": 0}}
    lost = saved["step"] < steps or saved["files"]["metrics.jsonl"] != logged
    return [str(fault) for fault in faults] + ([f"step {steps} is logged and step {saved['step']} saved"] if lost else [])


def line(row: Row) -> str:
    """A sequence in a line."""
    return f"{row['workers']} workers, " + ", ".join(f"{s['signal']} after step {s['step']}: {s['seconds']:.2f} s" for s in row["stops"])


def summary(rows: Sequence[Row]) -> tuple[dict[str, int | float], list[str]]:
    """Counts and times."""
    seconds = [stop["seconds"] for row in rows for stop in row["stops"]]
    times = {"median seconds to the end": round(statistics.median(seconds), 2), "longest": round(max(seconds), 2)} if seconds else {}
    return {"runs": len(rows), "stops": len(seconds)} | times, []
