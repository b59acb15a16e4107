"""Curves: which names share a chart, what is drawn of many points, and SVG that fits into a page."""

import math
import re
from itertools import pairwise
from xml.etree import ElementTree

import pytest

from segexp.report.charts import MAX_LINES, curves, downsample, means, noisy

LINE = [(0.0, 0.1), (10.0, 0.3)]


def test_downsample_keeps_few_points_as_they_are():
    points = [(float(i), 0.0) for i in range(500)]
    assert downsample(points) is points


def test_downsample_keeps_extremes_in_order_and_at_most_the_limit():
    points = [(float(i), 5.0 if i == 777 else -3.0 if i == 4001 else math.sin(i)) for i in range(10_000)]
    kept = downsample(points)
    assert len(kept) <= 500
    assert (777.0, 5.0) in kept and (4001.0, -3.0) in kept
    assert all(a[0] < b[0] for a, b in pairwise(kept))


def test_downsample_by_hand():
    assert downsample([(0, 1), (1, 3), (2, 2), (3, 7), (4, 7), (5, 6)], limit=4) == [(0, 1), (1, 3), (3, 7), (5, 6)]


def test_means_by_hand():
    assert means([(0, 1), (1, 3), (2, 5), (3, 9)], windows=2) == [(0.5, 2.0), (2.5, 7.0)]


def test_noisy_is_many_ups_and_downs():
    assert not noisy([(0, 0), (1, 1), (2, 0)])  # up and down once: twice the range
    assert noisy([(i, i % 2) for i in range(10)])


def test_names_are_grouped_by_what_they_show():
    names = [
        "train/loss",
        "val/loss",
        "train/loss/ce",
        "train/loss/dice",
        "train/lr",
        "val/miou",
        "val/pixel_acc",
        "val/iou/road",
        "test/miou",
        "train/norm",
    ]
    charts = curves(dict.fromkeys(names, LINE), "val/pixel_acc")
    assert [(c.title, [line.name for line in c.lines]) for c in charts] == [
        ("Loss", ["train/loss", "val/loss"]),
        ("Terms of the loss", ["train/loss/ce", "train/loss/dice"]),
        ("Evaluation", ["val/pixel_acc", "val/miou"]),
        ("Learning rate", ["train/lr"]),
        ("train/norm", ["train/norm"]),
    ]


def test_a_single_term_is_the_loss_itself():
    charts = curves({"train/loss": LINE, "train/loss/ce": LINE, "val/loss/ce": LINE})
    assert [c.title for c in charts] == ["Loss"]


def test_figures_of_another_scale_have_their_own_chart():
    charts = curves({"val/miou": LINE, "val/images_per_s": [(0.0, 40.0)]})
    assert [c.title for c in charts] == ["Evaluation", "val/images_per_s"]


def test_many_lines_are_spread_over_charts():
    charts = curves({f"val/m{i}": LINE for i in range(MAX_LINES + 1)})
    assert [len(c.lines) for c in charts] == [MAX_LINES, 1]


def test_no_series_no_charts():
    assert curves({}) == [] == curves({"train/loss": []})


def test_noise_is_drawn_under_its_means():
    points = [(float(i), float(i % 2)) for i in range(3000)]
    (chart,) = curves({"train/loss": points})
    assert chart.smoothed and chart.lines[0].points == 3000 and chart.lines[0].last == 1.0
    drawn = [path.count("L") + 1 for path in re.findall(r'<path d="([^"]*)"[^>]*var\(--line-0\)', chart.svg)]
    assert len(drawn) == 2 and max(drawn) <= 500


@pytest.mark.parametrize("points", [LINE, [(5.0, 1.0)], [(0.0, 1e-7), (1.0, 1e-7)]])
def test_svg_is_well_formed_and_needs_nothing_from_outside(points):
    svg = "".join(c.svg for c in curves({"train/loss": points, "train/lr": points}))
    root = ElementTree.fromstring(f"<page>{svg}</page>")
    assert [e.tag for e in root] == ["svg", "svg"]
    assert "http" not in svg and "font-family" not in svg and "<style" not in svg and "#fe" not in svg
    assert "var(--line-0)" in svg and "var(--muted)" in svg


def test_ids_differ_between_charts_and_references_meet_them():
    svg = "".join(c.svg for c in curves({"train/loss": LINE, "val/loss": LINE, "train/lr": LINE, "val/miou": LINE}))
    ids = re.findall(r'\sid="([^"]*)"', svg)
    assert len(ids) == len(set(ids)) > 0
    assert set(re.findall(r'(?:href="|url\()#([^")]+)', svg)) == set(ids)


def test_the_same_series_give_the_same_bytes():
    assert curves({"train/loss": LINE})[0].svg == curves({"train/loss": LINE})[0].svg
