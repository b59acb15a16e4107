"""A leaderboard as text: CSV for programs, Markdown and LaTeX for people."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable

from segexp.statistics.board import Entry, Leaderboard

BEST, NOT_WORSE = "**", "*"  # marks of the best, and of those not known to be worse
_DIGITS = 4
_TEX = {
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
}


def as_csv(board: Leaderboard) -> str:
    """One row per setting, numbers in full; the keys that vary are columns of their own."""
    keys = sorted({key for entry in board.entries for key in entry.settings})
    names = ("place", "setting", "mark", "mean", "sd", "low", "high", "seeds", "values", "parameters", "seconds", "runs")
    out = io.StringIO()
    rows = csv.writer(out, lineterminator="\n")
    rows.writerow([*names, *keys])
    marks = _marks(board)
    for place, entry in enumerate(board.entries):
        numbers = (entry.mean, entry.sd, entry.low, entry.high)
        lists = [" ".join(map(str, values)) for values in (entry.seeds, entry.values)]
        rest = (entry.parameters, entry.seconds, " ".join(map(str, entry.runs)))
        rows.writerow([place + 1, entry.label, marks[place], *numbers, *lists, *rest, *(entry.settings.get(key) for key in keys)])
    return out.getvalue()


def as_markdown(board: Leaderboard) -> str:
    """A table with what the marks and intervals mean, and what a reader must know, below it."""
    marks = _marks(board)
    header = ["", "setting", f"{board.figure} {'↑' if board.higher_is_better else '↓'}", "95 % interval", "seeds", "parameters", "time"]
    rows = [
        [str(place + 1), _cell(entry.label), f"{_mean(entry, '±')}{_escaped(marks[place])}", *_rest(entry)]
        for place, entry in enumerate(board.entries)
    ]
    lines = [f"| {' | '.join(row)} |" for row in (header, ["---:", "---", "---", "---", "---:", "---:", "---:"], *rows)]
    return "\n".join([*lines, "", *(f"- {_escaped(text)}" for text in explained(board))]) + "\n"


def as_latex(board: Leaderboard) -> str:
    """A `table` for booktabs: the best in bold, those not known to be worse with a star."""
    marks = _marks(board)
    rows = [
        " & ".join([tex(entry.label), _tex_mean(entry, marks[place]), *map(tex, _rest(entry))]) for place, entry in enumerate(board.entries)
    ]
    arrow = r"$\uparrow$" if board.higher_is_better else r"$\downarrow$"
    names = ["setting", f"{tex(board.figure)} {arrow}", r"95\,\% interval", "seeds", "parameters", "time"]
    return "\n".join(
        [
            "% needs \\usepackage{booktabs}",
            r"\begin{table}",
            r"\centering",
            r"\begin{tabular}{llcrrr}",
            r"\toprule",
            " & ".join(names) + r" \\",
            r"\midrule",
            *(f"{row} \\\\" for row in rows),
            r"\bottomrule",
            r"\end{tabular}",
            rf"\caption{{{' '.join(tex(text[0].upper() + text[1:] + '.') for text in explained(board, bold=True))}}}",
            r"\end{table}",
            "",
        ]
    )


def explained(board: Leaderboard, *, bold: bool = False) -> list[str]:
    """What the numbers and marks of a table mean, a sentence each."""
    first = "mean ± standard deviation over seeds" if any(entry.sd is not None for entry in board.entries) else "one run each"
    if not board.images:
        return [first, *board.notes]
    best = "bold" if bold else BEST
    how = f"paired bootstrap on {board.images} images, Holm's correction, 5 %"
    said = f"{best}: the best mean; {NOT_WORSE}: not shown to be worse than it ({how})"
    return [first, said, *board.notes]


def _marks(board: Leaderboard) -> list[str]:
    equal = set(board.not_worse()) if board.images else {0}
    return [BEST if place == 0 else NOT_WORSE if place in equal else "" for place in range(len(board.entries))]


def number(value: float | None) -> str:
    """A figure with four digits after the point; a dash where there is none."""
    return "–" if value is None or not math.isfinite(value) else f"{value:.{_DIGITS}f}"


def _mean(entry: Entry, sign: str) -> str:
    return number(entry.mean) + (f" {sign} {number(entry.sd)}" if entry.sd is not None else "")


def _tex_mean(entry: Entry, mark: str) -> str:
    shown = number(entry.mean)
    shown = rf"\textbf{{{shown}}}" if mark == BEST else shown
    return shown + (rf" $\pm$ {number(entry.sd)}" if entry.sd is not None else "") + (r"$^{*}$" if mark == NOT_WORSE else "")


def _rest(entry: Entry) -> list[str]:
    interval = "–" if entry.low is None else f"{number(entry.low)} to {number(entry.high)}"
    return [interval, str(len(entry.seeds)), _or_dash(entry.parameters, _millions), _or_dash(entry.seconds, duration)]


def _or_dash(value: float | None, shown: Callable[[float], str]) -> str:
    return "–" if value is None else shown(value)


def _millions(count: float) -> str:
    return f"{count / 1e6:.2f} M"


def duration(seconds: float) -> str:
    """Such as `45 s`, `12 min` or `3.4 h`."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 100 * 60 else f"{seconds / 3600:.1f} h"


def _cell(text: str) -> str:
    """As code in a Markdown table."""
    return f"`{text}`".replace("|", r"\|") if "`" not in text else _escaped(text).replace("|", r"\|")


def _escaped(text: str) -> str:
    return text.replace("*", r"\*")


def tex(text: str) -> str:
    """Text for LaTeX, whatever signs it holds."""
    shown = "".join(_TEX.get(sign, sign) for sign in text)
    return shown.replace("±", r"$\pm$").replace("–", "--")
