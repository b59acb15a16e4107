"""The processes of a search's jobs without torch: a run has some validations, whose figures follow from its config.

`loss.fault` as in `tests.sweeps.stub`; `seconds-<n>` in the working directory makes each validation take so long.
"""

import os
import signal
import sys
import time
import types
from pathlib import Path

from segexp.errors import StoppedError
from segexp.functional.files import read_json, write_json
from segexp.functional.signals import Stop
from segexp.runs.directory import RunDirectory
from segexp.runs.lock import held
from segexp.sweeps import child, server
from tests.sweeps import faults

VALIDATIONS = 9


def figure(config, validation):
    """Best at lr 1e-2, and better with time."""
    import math

    far = abs(math.log10(config.optimizer.lr) + 2) + 0.1 * config.seed
    return round(1 - 0.2 * far - 0.5 / validation, 6)


def execute(config, overrides, search=None):
    """A run in the shape of `segexp.runs.execute` that goes on behind its last validation."""
    directory = RunDirectory.of(config, Path(config.paths.outputs))
    directory.path.mkdir(parents=True, exist_ok=True)
    stop = Stop()
    stop.install()
    with held(directory.lock):
        known = directory.path / "validations.json"
        done = read_json(known)["figures"] if known.exists() else []
        directory.result_file.unlink(missing_ok=True)
        write_json(directory.status, directory.read_status() | {"state": "running"})
        with Path("started.txt").open("a") as file:
            file.write(f"{directory.id} {len(done)} {os.getpid()}\n")
        print(f"run {directory.id} starts behind {len(done)}", flush=True)
        try:
            if fault := config.loss.get("fault"):
                getattr(faults, fault)()
            pruned = validate(config, directory, known, done, search, stop)
        except StoppedError as error:
            directory.update(state="preempted", error=error.as_dict())
            raise
        except Exception as error:
            directory.fail(error, "")
            raise
        result = {"monitor": "val/miou", "val": {"miou": done[-1]}, "steps": len(done), "seconds": 0.1, "parameters": 100 - config.seed}
        told = {"pruned": len(done), "search": {key: search[key] for key in ("study", "trial")}} if pruned else {}
        directory.finish(result | told)


def validate(config, directory, known, done, search, stop):
    """The validations that are missing; True if the run is to end before its last."""
    from segexp.search.study import reporter

    report = reporter(search) if search else lambda step, value: False
    ends = [report(step, value) for step, value in enumerate(done, 1)]
    while not any(ends[-1:]) and len(done) < VALIDATIONS:
        stop.check(str(directory.path))
        time.sleep(float(os.environ.get("STUB_SECONDS", "0")))
        done.append(figure(config, len(done) + 1))
        write_json(known, {"figures": done})
        kill_at("validation", len(done))
        ends.append(report(len(done), done[-1]))
    return bool(ends) and ends[-1] and len(done) < VALIDATIONS


def kill_at(what, number):
    """Kill this process once, where `STUB_KILL=<what>:<number>` says so."""
    if os.environ.get("STUB_KILL") == f"{what}:{number}" and not Path("killed").exists():
        Path("killed").touch()
        os.kill(os.getppid() if what == "parent" else os.getpid(), signal.SIGKILL)


def fake(name, **members):
    sys.modules[name] = types.ModuleType(name)
    vars(sys.modules[name]).update(members)


if __name__ == "__main__":
    cuda = types.SimpleNamespace(_is_in_bad_fork=lambda: False)
    fake("torch", cuda=cuda, set_num_threads=lambda count: None)
    fake("segexp.runs.execute", execute=execute)
    server.preload = lambda: __import__("optuna")
    if len(sys.argv) == 2:
        sys.exit(child.main())
    server.main()
