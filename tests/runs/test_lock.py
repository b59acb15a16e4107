"""One winner, losers who know the winner's name, and a dead holder that keeps nothing."""

import errno
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

from segexp.errors import ConfigError, HeldError
from segexp.runs.lock import Lock, describe, held

STARTER = """
import sys, time
from pathlib import Path
from segexp.errors import HeldError
from segexp.runs.lock import held
folder, start = Path(sys.argv[1]), float(sys.argv[2])
time.sleep(max(0, start - time.time()))
try:
    with held(folder / "lock"):
        with (folder / "inside").open("a") as file:
            file.write("in\\n")
        time.sleep(1.5)
        print("won")
except HeldError as error:
    print(error.what)
    sys.exit(error.exit_code)
"""


HOLDER = """
import sys, time
from pathlib import Path
from segexp.runs.lock import Lock
Lock(Path(sys.argv[1])).take()
print("in", flush=True)
time.sleep(60)
"""


def test_twenty_starters_one_winner_and_all_others_name_it(tmp_path):
    start = time.time() + 2.5
    starters = [
        subprocess.Popen([sys.executable, "-c", STARTER, str(tmp_path), str(start)], stdout=subprocess.PIPE, text=True) for _ in range(20)
    ]
    said = [starter.communicate(timeout=60)[0].strip() for starter in starters]
    winner = [starter.pid for starter, text in zip(starters, said, strict=True) if text == "won"]
    assert len(winner) == 1
    assert [starter.returncode for starter in starters].count(HeldError.exit_code) == 19
    name = f"process {winner[0]} on {socket.gethostname()} (since "
    assert all(text.startswith(name) for text in said if text != "won")
    assert (tmp_path / "inside").read_text() == "in\n"


def test_a_clean_end_leaves_no_name_and_a_death_does(tmp_path):
    path = tmp_path / "lock"
    with held(path) as before:
        assert before is None
        assert json.loads(path.read_text())["pid"] == os.getpid()
    assert path.read_text() == ""
    dying = subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], stdout=subprocess.PIPE)
    dying.stdout.readline()
    with pytest.raises(HeldError, match=f"process {dying.pid} on .* has this run; .*; fix: wait for it, or stop it: kill {dying.pid}"):
        Lock(path).take()
    dying.kill()
    dying.wait()
    with held(path) as before:
        assert before["pid"] == dying.pid
        assert describe(before).startswith(f"process {dying.pid} on ")


FORKING = """
import os, sys, time
from pathlib import Path
from segexp.runs.lock import Lock
Lock(Path(sys.argv[1])).take()
if os.fork() == 0:
    print(os.getpid(), flush=True)
time.sleep(60)
"""


def test_a_forked_child_does_not_keep_the_lock(tmp_path):
    """Loader workers are forked and may outlive the process that has the run."""
    path = tmp_path / "lock"
    holder = subprocess.Popen([sys.executable, "-c", FORKING, str(path)], stdout=subprocess.PIPE)
    child = int(holder.stdout.readline())
    try:
        with pytest.raises(HeldError):
            Lock(path).take()
        holder.kill()
        holder.wait()
        os.kill(child, 0)  # it lives
        with held(path) as before:
            assert before["pid"] == holder.pid
    finally:
        os.kill(child, signal.SIGKILL)


def test_an_empty_name_is_told_as_such(tmp_path):
    path = tmp_path / "lock"
    lock = Lock(path)
    lock.take()
    os.ftruncate(lock.file, 0)
    with pytest.raises(HeldError, match="another process has this run"):
        Lock(path).take()
    lock.leave()
    lock.leave()


def test_a_lock_that_cannot_be_opened_is_told_with_its_file(tmp_path, monkeypatch):
    def refuse(path, *_):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    with monkeypatch.context() as patch:
        patch.setattr("segexp.runs.lock.os.open", refuse)
        with pytest.raises(ConfigError) as caught:
            Lock(tmp_path / "lock").take()
    assert caught.value.what == "the run's lock can't be opened: Permission denied"
    assert caught.value.where == str(tmp_path / "lock")
    assert caught.value.fix.endswith("paths.outputs=<another folder>")
    with held(tmp_path / "lock") as before:
        assert before is None


@pytest.fixture
def taken(tmp_path):
    """A lock that a process has which hasn't written its name yet: the file still names one that has died."""
    with subprocess.Popen([sys.executable, "-c", ""]) as dead:
        dead.wait(timeout=60)
    path = tmp_path / "lock"
    with held(path):
        name = json.loads(path.read_text())
        path.write_text(json.dumps(name | {"pid": dead.pid}))
        with path.open("r+") as file:
            assert json.load(file)["pid"] == dead.pid
            with pytest.raises(BlockingIOError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield path, name, dead.pid


def test_the_name_of_a_dead_holder_is_not_told_while_the_winner_writes_its_own(taken, monkeypatch):
    path, name, _ = taken
    monkeypatch.setattr("segexp.runs.lock.PATIENCE", 30)
    writer = threading.Timer(0.1, path.write_text, [json.dumps(name)])
    writer.start()
    with pytest.raises(HeldError, match=f"process {os.getpid()} on .* has this run; .*kill {os.getpid()}$"):
        Lock(path).take()
    writer.join()


def test_the_name_of_a_dead_holder_is_not_told_either_if_the_winner_never_writes(taken, monkeypatch):
    path, _, dead = taken
    monkeypatch.setattr("segexp.runs.lock.PATIENCE", 0)
    with pytest.raises(HeldError, match=r"another process has this run; .*; fix: wait for it$") as caught:
        Lock(path).take()
    assert str(dead) not in str(caught.value)
