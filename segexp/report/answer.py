"""The first lines of a sweep's page: which setting is better, and is that sure?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from segexp.functional.bootstrap import FEW_IMAGES, FEW_SEEDS
from segexp.report.figures import figure
from segexp.statistics.board import Leaderboard

NAMED = 3  # settings listed by name before they are counted


@dataclass(frozen=True)
class Answer:
    """What the page says first.

    Args:
        verdict: "sure"; "partly", of the trained models but not of other seeds; "unsure"; or "open" where nothing could be compared.
        text: one sentence; settings stand between backticks.
        more: further ones.
    """

    verdict: str
    text: str
    more: tuple[str, ...] = ()


def answer(board: Leaderboard | None, labels: Sequence[str], why_not: str = "") -> Answer:
    """The answer, in words.

    Args:
        board: the comparison; None where there is none.
        labels: what to call each of its entries.
        why_not: why there is no board.
    """
    labels = [f"`{one}`" for one in labels]
    if board is None or not board.entries:
        return Answer("open", f"Nothing can be compared yet: {why_not or 'no run is done'}.")
    if len(board.entries) == 1:
        return Answer("open", f"There is one setting, {labels[0]}: {_reached(board)}. Nothing to compare it with.", _caveats(board))
    against = {pair.b: pair for pair in board.pairs if pair.a == 0} | {pair.a: pair for pair in board.pairs if pair.b == 0}
    if not against:
        text = f"{labels[0]} is ahead with {_reached(board)}, but whether it is better than the others can't be said"
        return Answer("open", f"{text}: nothing could be compared.", _caveats(board))
    level = [place for place in range(1, len(board.entries)) if place in against and not against[place].supported]
    return _compared(board, labels, level, len(against))


def _compared(board: Leaderboard, labels: Sequence[str], level: Sequence[int], compared: int) -> Answer:
    if not level:
        others = "the other" if compared == 1 else f"each of the {compared} others compared"
        more = tuple(filter(None, (_margin(board), *_caveats(board, compared))))
        if _fewest_seeds(board, compared) < FEW_SEEDS:
            text = f"{labels[0]} is best with {_reached(board)}: what was trained is better than {others}, and that is supported"
            return Answer("partly", f"{text}; with other seeds it could be otherwise.", more)
        return Answer("sure", f"{labels[0]} is best with {_reached(board)}, and that it is better than {others} is supported.", more)
    place = "is level with the next at" if board.entries[0].mean == board.entries[1].mean else "is ahead with"
    text = f"{labels[0]} {place} {_reached(board)}, but it is not supported that it is better than {_listed(level, labels)}."
    beaten = compared - len(level)
    more = f"It is supported to be better than {beaten} of the {compared} others compared." if beaten else ""
    return Answer("unsure", text, tuple(filter(None, (more, *_caveats(board, compared)))))


def _reached(board: Leaderboard) -> str:
    """E.g. `val/miou 0.5123 (mean of 3 seeds, sd 0.0041)`."""
    best = board.entries[0]
    if best.sd is None:
        return f"{board.figure} {figure(best.mean)} (1 seed)"
    return f"{board.figure} {figure(best.mean)} (mean of {len(best.values)} seeds, sd {figure(best.sd)})"


def _margin(board: Leaderboard) -> str:
    """How much it is better than the second."""
    pair = next((pair for pair in board.pairs if {pair.a, pair.b} == {0, 1}), None)
    if pair is None:
        return ""
    return f"It leads the next by {figure(abs(pair.difference))} (95 % interval {figure(pair.low)} to {figure(pair.high)})."


def _caveats(board: Leaderboard, compared: int = 0) -> tuple[str, ...]:
    found = []
    seeds = _fewest_seeds(board, compared)
    if seeds < FEW_SEEDS:
        of = "one seed" if seeds == 1 else f"{seeds} seeds"
        found.append(
            f"With {of} of a setting, how much training differs from seed to seed is hardly known: run 3 or more before you rely on it."
        )
    if 0 < board.images < FEW_IMAGES:
        found.append(f"With {board.images} images the intervals are rough; with {FEW_IMAGES} or more they can be relied on.")
    left = len(board.entries) - 1 - compared
    if compared and left:
        found.append(f"{left:,} settings further down were not compared.")
    return tuple(found)


def _fewest_seeds(board: Leaderboard, compared: int) -> int:
    return min(len(entry.values) for entry in board.entries[: compared + 1])


def _listed(places: Sequence[int], labels: Sequence[str]) -> str:
    names = [labels[place] for place in places[:NAMED]]
    if len(places) > NAMED:
        return f"{', '.join(names)} and {len(places) - NAMED} more"
    return " or ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
