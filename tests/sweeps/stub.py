"""The processes of jobs without torch: the fork server and the child are real, the run takes no time.

What a run does is the `loss.fault` of its config: a function of `tests.sweeps.faults`, or `stop`: wait for a signal.
"""

import os
import sys
import time
import types
from pathlib import Path

from segexp.errors import StoppedError
from segexp.functional.files import write_json
from segexp.functional.signals import Stop
from segexp.runs.directory import RunDirectory
from segexp.runs.lock import held
from segexp.sweeps import child, server
from tests.sweeps import faults


def execute(config, overrides, search=None):
    """A run in the shape of `segexp.runs.execute`: lock, status, result."""
    directory = RunDirectory.of(config, Path(config.paths.outputs))
    directory.path.mkdir(parents=True, exist_ok=True)
    stop = Stop()
    if config.loss.get("fault") == "stop":
        stop.install()
    with held(directory.lock):
        write_json(directory.status, directory.read_status() | {"state": "running"})
        said = {"threads": config.run.threads, "gpus": os.environ.get("CUDA_VISIBLE_DEVICES"), "parent": os.getppid()}
        write_json(directory.path / "process.json", said)
        print(f"run {directory.id} starts", flush=True)
        try:
            work(config.loss.get("fault", "fine"), directory, stop)
        except StoppedError as error:
            directory.update(state="preempted", error=error.as_dict())
            raise
        except Exception as error:
            directory.fail(error, "")
            raise
        finally:
            stop.restore()
        directory.finish({"monitor": "val/miou", "val": {"miou": 0.5}, "steps": 4, "seconds": 1.0})


def work(fault, directory, stop):
    if fault != "stop":
        getattr(faults, fault)()
        return
    until = time.monotonic() + 60
    while not stop.signal and not Path("go-on").exists():
        assert time.monotonic() < until
        time.sleep(0.01)
    stop.check(str(directory.path))


def fake(name, **members):
    sys.modules[name] = types.ModuleType(name)
    vars(sys.modules[name]).update(members)


if __name__ == "__main__":
    cuda = types.SimpleNamespace(_is_in_bad_fork=lambda: "STUB_CUDA" in os.environ)
    fake("torch", cuda=cuda, set_num_threads=lambda count: None)
    fake("segexp.runs.execute", execute=execute)
    server.preload = lambda: None
    if len(sys.argv) == 2:
        sys.exit(child.main())
    if "STUB_THREAD" in os.environ:
        import threading

        threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
    server.main()
