"""A wish to stop that other ranks share."""

import os
import signal

import pytest

from segexp.functional.signals import STOPPING, Stop


class Ended(Exception):
    """In place of the end of the process."""


@pytest.fixture
def stop(monkeypatch):
    def end(code):
        raise Ended(code)

    monkeypatch.setattr(os, "_exit", end)
    made = Stop()
    made.install()
    yield made
    made.restore()


def test_a_second_signal_ends_the_process(stop):
    signal.raise_signal(signal.SIGUSR1)
    assert stop.signal == "SIGUSR1"
    with pytest.raises(Ended, match="75"):
        signal.raise_signal(signal.SIGUSR1)


def test_the_signal_that_another_rank_had_before_is_not_a_second_one(stop):
    stop.ask(signal.SIGUSR2)
    assert stop.signal == "SIGUSR2"
    signal.raise_signal(signal.SIGUSR2)
    with pytest.raises(Ended, match="75"):
        signal.raise_signal(signal.SIGUSR2)


def test_nor_is_it_after_the_run_has_handed_it_on(stop):
    inner = Stop()
    inner.install()
    inner.ask(signal.SIGUSR2)
    inner.restore()
    assert stop.signal == "SIGUSR2"
    signal.raise_signal(signal.SIGUSR2)  # while the job is about to be queued again


def test_nor_where_it_comes_when_all_is_over(stop):
    stop.restore()
    before = {number: signal.getsignal(number) for number in STOPPING}
    stop.install()
    stop.ask(signal.SIGUSR2)
    stop.restore()
    signal.raise_signal(signal.SIGUSR2)  # whose default would end the process, with another code than 75
    assert stop.signal == "SIGUSR2" and not stop.awaited
    for number, handler in before.items():
        signal.signal(number, handler)


def test_what_is_asked_after_a_signal_changes_nothing(stop):
    signal.raise_signal(signal.SIGUSR1)
    stop.ask(signal.SIGTERM)
    assert stop.signal == "SIGUSR1"
    with pytest.raises(Ended):
        signal.raise_signal(signal.SIGTERM)
