"""What a job of a sweep can do to its process; each is named by a config."""

import os
import signal
import sys
import time
from pathlib import Path


def fine():
    return


def exit_0():
    sys.exit(0)


def leave():
    os._exit(0)


def leave_5():
    os._exit(5)


def segfault():
    os.kill(os.getpid(), signal.SIGSEGV)


def kill():
    os.kill(os.getpid(), signal.SIGKILL)


def kill_once():
    marker = Path("killed-once")
    if not marker.exists():
        marker.touch()
        kill()


def sleep():
    time.sleep(600)


def sleep_deaf():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    Path(f"deaf-{os.getpid()}").touch()
    time.sleep(600)


def memory():
    raise MemoryError


def error():
    raise RuntimeError("a bug")


def orphan():
    """Leave a process behind, as a loader worker that hangs."""
    pid = os.fork()
    if pid == 0:
        time.sleep(600)
    Path("orphan").write_text(str(pid))


def process_state():
    """Change what a careless job may leave behind, and fail."""
    import torch

    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(7)
    os.environ["OMP_NUM_THREADS"] = "7"
    error()
