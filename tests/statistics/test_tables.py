"""Leaderboards as text."""

import csv
import io
import re
from pathlib import Path

import pytest

from segexp.statistics.board import Entry, Leaderboard, Pair
from segexp.statistics.tables import as_csv, as_latex, as_markdown, duration, tex

BOARD = Leaderboard(
    "val/iou/big_car",
    True,
    (
        Entry(
            *("loss={ce,dice} x=50%", ("a",), {"loss": "ce|dice"}, (Path("r/1"), Path("r/2")), (0, 1), (0.5, 0.7)),
            *(0.6, 0.1, 0.55, 0.65, 12_345_678, 4384.2),
        ),
        Entry("loss=ce", ("b",), {"loss": "ce"}, (Path("r/3"),), (0,), (0.59,), 0.59, None, 0.5, 0.66, 1_000_000, 42.0),
        Entry("loss=focal", ("c",), {"loss": "focal"}, (Path("r/4"),), (0,), (0.3,), 0.3, None, 0.25, 0.36),
        Entry("loss=none|a", ("d",), {"loss": None}, (Path("r/5"),), (0,), (0.1,), 0.1),
    ),
    (Pair(0, 1, 0.01, -0.1, 0.1, 0.5, 0.5, False), Pair(0, 2, 0.3, 0.2, 0.4, 0.001, 0.003, True)),
    120,
    ("1 of 6 runs are left out: 1 failed",),
)  # fmt: skip


def test_csv_has_every_number_in_full():
    rows = list(csv.DictReader(io.StringIO(as_csv(BOARD))))
    assert [(row["place"], row["mark"]) for row in rows] == [("1", "**"), ("2", "*"), ("3", ""), ("4", "")]
    assert (rows[0]["mean"], rows[0]["sd"], rows[0]["values"], rows[0]["seeds"], rows[0]["runs"]) == (
        "0.6",
        "0.1",
        "0.5 0.7",
        "0 1",
        "r/1 r/2",
    )
    assert (rows[0]["setting"], rows[0]["loss"]) == ("loss={ce,dice} x=50%", "ce|dice")
    assert (rows[3]["sd"], rows[3]["low"], rows[3]["parameters"]) == ("", "", "")


def test_markdown_says_what_its_marks_mean():
    lines = as_markdown(BOARD).splitlines()
    assert lines[0] == "|  | setting | val/iou/big_car ↑ | 95 % interval | seeds | parameters | time |"
    assert lines[2] == r"| 1 | `loss={ce,dice} x=50%` | 0.6000 ± 0.1000\*\* | 0.5500 to 0.6500 | 2 | 12.35 M | 73 min |"
    assert lines[3] == r"| 2 | `loss=ce` | 0.5900\* | 0.5000 to 0.6600 | 1 | 1.00 M | 42 s |"
    assert lines[5] == r"| 4 | `loss=none\|a` | 0.1000 | – | 1 | – | – |"
    assert lines[7:] == [
        "- mean ± standard deviation over seeds",
        r"- \*\*: the best mean; \*: not shown to be worse than it (paired bootstrap on 120 images, Holm's correction, 5 %)",
        "- 1 of 6 runs are left out: 1 failed",
    ]


def test_latex_is_escaped_and_marks_the_best():
    text = as_latex(BOARD)
    assert r"loss=\{ce,dice\} x=50\% & \textbf{0.6000} $\pm$ 0.1000 & 0.5500 to 0.6500 & 2 & 12.35 M & 73 min \\" in text
    assert r"loss=ce & 0.5900$^{*}$ &" in text
    assert r"val/iou/big\_car $\uparrow$" in text
    assert r"loss=none\textbar{}a & 0.1000 & -- & 1 & -- & -- \\" in text
    assert text.count("{") - text.count(r"\{") == text.count("}") - text.count(r"\}")
    assert not re.search(r"(?<!\\)[%_](?! needs)", text.replace("95\\,\\%", ""))


def test_without_comparisons_only_the_best_is_marked():
    plain = Leaderboard("val/loss", False, BOARD.entries[1:3])
    assert [row["mark"] for row in csv.DictReader(io.StringIO(as_csv(plain)))] == ["**", ""]
    assert as_markdown(plain).splitlines()[-1] == "- one run each"
    assert "val/loss ↓" in as_markdown(plain)


@pytest.mark.parametrize(("seconds", "text"), [(3.4, "3 s"), (99, "99 s"), (150, "2 min"), (9000, "2.5 h")])
def test_durations(seconds, text):
    assert duration(seconds) == text


def test_every_sign_of_an_override_is_text_to_latex():
    assert tex(r"a_b^c~\d{e}$#&") == r"a\_b\textasciicircum{}c\textasciitilde{}\textbackslash{}d\{e\}\$\#\&"
