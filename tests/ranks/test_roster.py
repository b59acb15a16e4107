"""The roster, over real connections of this machine."""

import socket
import threading
import time

import pytest

from segexp.errors import DataError, RankError
from segexp.ranks.roster import Line, Member, Roster, Trouble, error_of

HERE = ("127.0.0.1", 0)


def never(error):
    raise AssertionError(error)


@pytest.fixture
def roster():
    made = Roster(HERE, 3, "run", Trouble(never), lambda rank: f" (as rank {rank} does)")
    yield made
    made.end()
    made.close()


def member(roster, rank, run="run", stuck=never, grace=60.0):
    made = Member(("127.0.0.1", roster.port), rank, run, Trouble(stuck, grace), patience=5)
    until = time.monotonic() + 5
    while run == "run" and rank in (1, 2) and rank not in roster.lines and time.monotonic() < until:
        time.sleep(0.01)
    return made


def test_all_meet_hear_the_word_and_leave_in_peace(roster):
    first = member(roster, 1)
    roster.go(step=7)
    second = member(roster, 2)  # it comes after the word
    roster.gather(5)
    assert first.go() == second.go() == {"step": 7}
    first.leave()
    second.leave()
    time.sleep(0.2)
    assert roster.trouble.error is None


def test_the_first_rank_may_end_before_it_begins(roster):
    other = member(roster, 1)
    roster.end()
    ending = threading.Thread(target=roster.close, kwargs={"wait": 5.0})
    ending.start()
    late = member(roster, 2)
    ending.join()
    assert other.go() is late.go() is None
    assert other.trouble.error is late.trouble.error is None


def test_a_rank_that_dies_is_named_to_all(roster):
    first, second = member(roster, 1), member(roster, 2)
    roster.gather(5)
    first.line.close()
    said = roster.trouble.within(5)
    assert isinstance(said, RankError)
    assert said.what.startswith("rank 1 (process ") and said.what.endswith("has died (as rank 1 does)")
    assert second.trouble.within(5).what == said.what


def test_the_error_of_a_rank_is_that_of_all(roster):
    first, second = member(roster, 1), member(roster, 2)
    roster.gather(5)
    first.leave(DataError("it is broken", where="sample 3", fix="mend it"))
    said = roster.trouble.within(5)
    assert isinstance(said, DataError) and (said.what, said.where, said.fix) == ("it is broken", "sample 3, rank 1", "mend it")
    assert isinstance(second.trouble.within(5), DataError)


def test_the_end_of_the_first_rank_is_told(roster):
    other = member(roster, 1)
    roster.end(DataError("here it is broken"))
    assert other.trouble.within(5).what == "here it is broken"


def test_a_first_rank_that_dies_is_told():
    server = socket.create_server(HERE)
    other = Member(("127.0.0.1", server.getsockname()[1]), 2, "run", Trouble(never), patience=5)
    server.accept()[0].close()
    assert other.trouble.within(5).what == "rank 0 has died"
    assert other.go() is None


def test_one_that_waits_on_is_ended(roster):
    ended = threading.Event()
    other = member(roster, 1, stuck=lambda error: ended.set(), grace=0.1)
    roster.end(DataError("broken"))
    assert ended.wait(5)
    assert other.trouble.error is not None


def test_one_that_has_left_is_not_ended(roster):
    stuck = []
    other = member(roster, 1, stuck=stuck.append, grace=0.2)
    roster.end(DataError("broken"))
    assert other.trouble.within(5)
    other.leave()
    time.sleep(0.5)
    assert other.trouble.over and stuck == []


def test_the_first_end_counts_and_is_told_once(roster):
    line = Line(socket.create_connection(("127.0.0.1", roster.port)))
    line.say(rank=1, pid=7, host="here", run="run")
    while 1 not in roster.lines:
        time.sleep(0.01)
    roster.end(DataError("broken"))
    roster.end(DataError("and then another"))
    roster.end()
    line.connection.settimeout(0.5)
    heard = [line.hear(), line.hear(), line.hear()]
    assert heard[0]["trouble"]["what"] == "broken" and heard[1:] == [{"bye": True}, None]


def test_strangers_are_turned_away(roster):
    for rank, run in ((1, "another"), (0, "run"), (3, "run"), ("1", "run")):
        said = member(roster, rank, run).trouble.within(5)
        assert said.what.startswith(f"rank 0 doesn't wait for this rank {rank}: it has another config") and said.fix
    plain = socket.create_connection(("127.0.0.1", roster.port))
    plain.sendall(b"GET / HTTP/1.0\r\n\r\n")
    assert plain.recv(100) == b""
    assert roster.lines == {} and roster.trouble.error is None


def test_ranks_that_do_not_come_are_named(roster):
    member(roster, 2)
    with pytest.raises(RankError, match=r"rank 1 of 3 hasn't joined within 1 s"):
        roster.gather(1)


def test_a_look_at_those_that_are_awaited_may_end_the_waiting(roster):
    def look():
        raise RankError("it ended before")

    with pytest.raises(RankError, match="it ended before"):
        roster.gather(5, look)


def test_without_a_first_rank_there_is_an_error():
    with socket.create_server(HERE) as free:
        port = free.getsockname()[1]
    with pytest.raises(RankError, match=rf"rank 0 can't be reached within 0 s.*127.0.0.1:{port}"):
        Member(("127.0.0.1", port), 1, "run", Trouble(never), patience=0.3)


def test_a_port_that_is_taken_is_named():
    with socket.create_server(HERE) as taken, pytest.raises(RankError, match=f"can't meet at port {taken.getsockname()[1]}"):
        Roster(taken.getsockname(), 2, "run", Trouble(never))


def test_an_error_of_an_unknown_kind_is_a_plain_one():
    assert error_of({"code": "no such", "what": "x"}).line() == "segexp: error[failed]: x"
