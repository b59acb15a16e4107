"""The fork server: an interpreter that has imported all that a run needs, and forks a process for each job.

    segexp.sweeps.server <descriptor of a socket> <seconds of grace>

It speaks JSON lines. It is told `{"start": number, "document": {...}, "output": path}`; it says `{"ready": pid}` once,
`{"started": number, "pid": pid}` or `{"refused": number, "why": text}`, and `{"ended": pid, "status": exit code or -signal}`.

It only imports: a thread or a CUDA context would not survive a fork, and a parallel operation of torch would make each child
hang on its first one. The end of the socket is the end of the driver: the children are told to stop, and it leaves.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import pkgutil
import select
import signal
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from segexp.errors import failed
from segexp.sweeps.child import follow, redirect, run
from segexp.sweeps.processes import kill_group

# What a run imports up to its first step and at its end, beside segexp itself.
LIBRARIES = ("torch", "torchvision.transforms.v2", "pytorch_lightning", "timm", "hydra.utils", "hydra.core.plugins", "jinja2", "PIL.Image")
NOT_OURS = ("segexp.cli", "segexp.sweeps")  # what no run needs


def main() -> None:
    """Import, then serve until the socket ends."""
    control, grace = socket.socket(fileno=int(sys.argv[1])), float(sys.argv[2])
    preload()
    Server(control, grace).serve()


def preload() -> None:
    """Import what runs import; what can't be imported here is the affair of the run that needs it."""
    import segexp

    ours = [module.name for module in pkgutil.walk_packages(segexp.__path__, "segexp.", onerror=lambda _: None)]
    for name in (*LIBRARIES, *ours):
        if not name.startswith(NOT_OURS):
            with suppress(Exception):
                importlib.import_module(name)
    gc.collect()
    gc.freeze()  # the collector would write to every page that the children share


class Server:
    """Forks on request, and reports how the children end.

    Args:
        control: the socket to the driver.
        grace: seconds between SIGTERM and SIGKILL for the children of a driver that has gone.
    """

    def __init__(self, control: socket.socket, grace: float) -> None:
        self.control, self.grace = control, grace
        self.children: set[int] = set()
        self.text = b""
        self.woken, self.wakes = socket.socketpair()
        self.woken.setblocking(False)
        self.wakes.setblocking(False)

    def serve(self) -> None:
        """Answer until the driver has gone and no child is left."""
        signal.signal(signal.SIGCHLD, lambda *_: None)  # without a handler it wakes nobody
        signal.set_wakeup_fd(self.wakes.fileno(), warn_on_full_buffer=False)
        self._say({"ready": os.getpid()})
        while self._read():
            self._reap()
            self._wait(None)
        self._leave()

    def _wait(self, seconds: float | None) -> None:
        """Until the driver says something, a child ends, or the time has passed."""
        readable, _, _ = select.select([self.control, self.woken], [], [], seconds)
        if self.woken in readable:
            self.woken.recv(4096)

    def _read(self) -> bool:
        """Do what the driver has asked for; False once it has gone."""
        while select.select([self.control], [], [], 0)[0]:
            found = self._receive()
            if not found:
                return False
            *lines, self.text = (self.text + found).split(b"\n")
            for line in lines:
                self._start(json.loads(line))
        return True

    def _receive(self) -> bytes:
        try:
            return self.control.recv(2**16)
        except ConnectionError:
            return b""

    def _start(self, asked: dict[str, Any]) -> None:
        try:
            require_one_thread()
            pid = self._fork(asked)
        except OSError as error:  # no memory, no process left, or not safe
            self._say({"refused": asked["start"], "why": error.strerror or str(error)})
        else:
            self.children.add(pid)
            self._say({"started": asked["start"], "pid": pid})

    def _fork(self, asked: dict[str, Any]) -> int:
        """Fork a child, and wait until it has said that it can run; returns its number."""
        reader, writer = os.pipe()
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            os.close(reader)
            _become(lambda: self._child(parent, asked, writer))
        os.close(writer)
        with os.fdopen(reader, "rb") as told:
            said = told.read().decode()
        if said != READY:
            os.waitpid(pid, 0)
            raise OSError(said or "the child died at once")
        return pid

    def _child(self, parent: int, asked: dict[str, Any], writer: int) -> int:
        """In the child: cut all ties with the server, say whether it can run, and run."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.setsid()
        follow(parent)
        for end in (self.control, self.woken, self.wakes):
            end.close()
        import torch

        sound = not torch.cuda._is_in_bad_fork()
        os.write(writer, (READY if sound else "CUDA is in use in the fork server").encode())
        os.close(writer)
        if not sound:
            return 1
        redirect(Path(asked["output"]))
        torch.set_num_threads(asked["document"]["threads"])  # OMP_NUM_THREADS has been read long ago
        return run(asked["document"])

    def _reap(self) -> None:
        while self.children and (ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)):
            kill_group(ended.si_pid)  # before its number can be another's
            _, status = os.waitpid(ended.si_pid, 0)
            self.children.discard(ended.si_pid)
            self._say({"ended": ended.si_pid, "status": os.waitstatus_to_exitcode(status)})

    def _say(self, message: dict[str, Any]) -> None:
        with suppress(ConnectionError):  # the driver has gone: the next read says so
            self.control.sendall(json.dumps(message).encode() + b"\n")

    def _leave(self) -> None:
        """End the children of a driver that has gone."""
        self._tell(signal.SIGTERM)
        until = time.monotonic() + self.grace
        while self.children and time.monotonic() < until:
            select.select([self.woken], [], [], until - time.monotonic())
            with suppress(BlockingIOError):
                self.woken.recv(4096)
            self._reap()
        for pid in self.children:
            kill_group(pid)

    def _tell(self, number: int) -> None:
        for pid in self.children:
            os.kill(pid, number)  # not reaped yet, so the number is still its own


READY = "ready"


def require_one_thread() -> None:
    """Refuse to fork where another thread could hold a lock: in the child nobody would ever release it.

    Raises:
        OSError: says how many threads there are.
    """
    threads = sum(1 for _ in Path("/proc/self/task").iterdir())
    if threads > 1:
        raise OSError(f"{threads} threads are alive in the fork server")


def _become(job: Callable[[], int]) -> NoReturn:
    """Run the job and end the process, whatever happens, as an interpreter would at its end."""
    code = 1
    try:
        code = job()
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException as error:
        code = failed(error, show_traceback=True)
    finally:
        with suppress(BaseException):
            atexit._run_exitfuncs()  # loggers send their last lines there
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code & 0xFF)


if __name__ == "__main__":
    main()
