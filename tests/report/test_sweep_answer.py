"""The first sentence of a sweep's page says no more than the comparison supports."""

from dataclasses import replace
from pathlib import Path

import pytest

from segexp.report.answer import answer
from segexp.statistics.board import Entry, Leaderboard, Pair

LABELS = ("a", "b", "c", "d", "e", "f")


def board(*supported, entries=3, seeds=3):
    """Settings of which the first is compared with as many as are given."""
    runs = tuple(Path(str(i)) for i in range(seeds))
    made = tuple(
        Entry(label, (), {}, runs, tuple(range(seeds)), (0.9 - i / 10,) * seeds, 0.9 - i / 10, 0.01 if seeds > 1 else None)
        for i, label in enumerate(LABELS[:entries])
    )
    pairs = tuple(Pair(0, i + 1, 0.1 * (i + 1), 0.05, 0.15, 0.01, 0.02, yes) for i, yes in enumerate(supported))
    return Leaderboard("val/miou", True, made, pairs, images=100)


def test_better_than_all():
    found = answer(board(True, True), LABELS)
    assert found.verdict == "sure"
    assert found.text.startswith("`a` is best with val/miou 0.9000 (mean of 3 seeds, sd 0.0100), and that it is better than each of the 2")
    assert found.text.endswith("others compared is supported.")
    assert found.more == ("It leads the next by 0.1000 (95 % interval 0.0500 to 0.1500).",)
    assert "better than the other is supported" in answer(board(True, entries=2), LABELS).text


def test_not_better_than_some():
    found = answer(board(False, True), LABELS)
    assert found.verdict == "unsure"
    assert found.text.endswith("but it is not supported that it is better than `b`.")
    assert found.more == ("It is supported to be better than 1 of the 2 others compared.",)


@pytest.mark.parametrize(("level", "listed"), [(2, "`b` or `c`"), (3, "`b`, `c` or `d`"), (5, "`b`, `c`, `d` and 2 more")])
def test_few_are_named_and_many_counted(level, listed):
    assert answer(board(*[False] * level, entries=level + 1), LABELS).text.endswith(f"better than {listed}.")


def test_few_seeds_and_what_was_not_compared_are_said():
    one = answer(board(True, True, entries=5, seeds=1), LABELS)
    assert one.verdict == "partly"
    assert "(1 seed): what was trained is better than each of the 2 others compared" in one.text
    assert one.text.endswith("with other seeds it could be otherwise.")
    assert one.more[1].startswith("With one seed of a setting")
    assert one.more[2] == "2 settings further down were not compared."
    assert answer(board(True, True, seeds=2), LABELS).more[1].startswith("With 2 seeds of a setting")


def test_few_images_are_said():
    few = replace(board(True, True), images=20)
    assert answer(few, LABELS).more[1] == "With 20 images the intervals are rough; with 100 or more they can be relied on."


def test_where_nothing_can_be_said():
    assert answer(None, (), "no run is done").text == "Nothing can be compared yet: no run is done."
    assert answer(board(entries=1), LABELS).text.endswith("Nothing to compare it with.")
    found = answer(board(), LABELS)
    assert found.verdict == "open"
    assert found.text.endswith("can't be said: nothing could be compared.")
