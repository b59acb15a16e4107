"""Training curves as inline SVG whose colours are the page's CSS variables, so that one drawing serves light and dark."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from segexp.report.record import Series

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Points = list[tuple[float, float]]
MAX_POINTS = 500
WINDOWS = 60  # a noisy line with more than twice as many points is drawn faint, under its means over so many windows
NOISY = 4  # ups and downs that add up to so many times the range
MAX_LINES = 6
# matplotlib wants colours: these stand for CSS variables and are replaced in the finished SVG
LINES = tuple(f"#fe{i}fe" for i in range(10, 10 + MAX_LINES))
TEXT, GRID = "#fe20fe", "#fe21fe"
VARIABLES = {color: f"var(--line-{i})" for i, color in enumerate(LINES)} | {TEXT: "var(--muted)", GRID: "var(--edge)"}


@dataclass(frozen=True)
class Line:
    """One line of a chart's legend."""

    name: str
    last: float
    points: int
    variable: str  # CSS colour


@dataclass(frozen=True)
class Chart:
    """A titled SVG with its legend; `smoothed` says that means are drawn over the logged values."""

    title: str
    svg: str
    lines: tuple[Line, ...]
    smoothed: bool


def curves(series: Series, monitored: str = "") -> list[Chart]:
    """The charts of a run: loss, its terms, learning rate, figures of evaluation, then whatever else was logged.

    Args:
        series: logged values by name.
        monitored: a figure to draw first among those of evaluation.
    """
    charts = []
    for title, names in _groups(series, monitored):
        for start in range(0, len(names), MAX_LINES):
            part = {name: series[name] for name in names[start : start + MAX_LINES]}
            charts.append(chart(title, part, f"chart{len(charts)}"))
    return charts


def downsample(points: Points, limit: int = MAX_POINTS) -> Points:
    """At most `limit` points that keep the extremes: of each window the lowest and the highest value, in order."""
    if len(points) <= limit:
        return points
    windows = limit // 2
    kept: Points = []
    for i in range(windows):
        window = points[i * len(points) // windows : (i + 1) * len(points) // windows]
        kept += sorted({min(window, key=lambda p: p[1]), max(window, key=lambda p: p[1])})
    return kept


def means(points: Points, windows: int = WINDOWS) -> Points:
    """The mean step and value of each of `windows` parts of equal length."""
    parts = [points[i * len(points) // windows : (i + 1) * len(points) // windows] for i in range(windows)]
    return [(sum(s for s, _ in part) / len(part), sum(v for _, v in part) / len(part)) for part in parts if part]


def noisy(points: Points) -> bool:
    """Does the line go up and down so much that its course is hard to see?"""
    values = [v for _, v in points]
    return sum(abs(b - a) for a, b in pairwise(values)) > NOISY * (max(values) - min(values))


def _groups(series: Series, monitored: str) -> list[tuple[str, list[str]]]:
    """Names by chart. Figures of single classes stay out, the table has them; and those of the test, which are single points."""
    left = [name for name, points in series.items() if points and name.count("/") < 2 and not name.startswith("test/")]
    terms = [name for name, points in series.items() if points and re.fullmatch(r"(train|val)/loss/.+", name)]
    losses = [name for name in left if name.endswith("/loss")]
    rates = [name for name in left if re.fullmatch(r"(train/)?lr(-.*)?", name)]
    judged = sorted(
        (n for n in left if n.startswith("val/") and n not in losses and max(abs(v) for _, v in series[n]) <= 1),
        key=lambda n: n != monitored,
    )
    rest = [n for n in left if n not in {*losses, *rates, *judged}]
    groups = [("Loss", losses), ("Evaluation", judged), ("Learning rate", rates)]
    if len({name.split("/", 2)[2] for name in terms}) > 1:  # one term is the loss itself
        groups.insert(1, ("Terms of the loss", terms))
    return [(title, names) for title, names in groups if names] + [(name, [name]) for name in rest]


def chart(title: str, part: Series, prefix: str, *, whole: bool = True) -> Chart:
    """Draw lines.

    Args:
        title: of the chart.
        part: name -> points, at most `MAX_LINES`.
        prefix: of its ids, of no other chart of the page.
        whole: numbers below are whole ones.
    """
    import io

    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with rc_context({"svg.fonttype": "none", "svg.hashsalt": prefix, "font.size": 10, "path.simplify": False}):
        drawing = Figure(figsize=(5.2, 2.7), dpi=72, layout="constrained")  # 72 to the inch: a point is a CSS pixel
        FigureCanvasSVG(drawing)
        axes = drawing.add_subplot()
        drawn = [_draw(axes, points, color) for points, color in zip(part.values(), LINES, strict=False)]
        _dress(axes, whole=whole)
        target = io.StringIO()
        drawing.savefig(target, format="svg", transparent=True, metadata={"Date": None})
    legend = tuple(
        Line(name, points[-1][1], len(points), VARIABLES[color]) for (name, points), color in zip(part.items(), LINES, strict=False)
    )
    return Chart(title, inline(target.getvalue(), prefix), legend, any(drawn))


def _draw(axes: Axes, points: Points, color: str) -> bool:
    """Draw a line; many noisy points faintly, under their means. Says whether it did so."""
    steps, values = zip(*downsample(points), strict=True)
    if len(points) <= 2 * WINDOWS or not noisy(points):
        axes.plot(steps, values, color=color, linewidth=1.8, marker="o" if len(points) <= 30 else None, markersize=3)
        return False
    axes.plot(steps, values, color=color, linewidth=0.8, alpha=0.35)
    axes.plot(*zip(*means(points), strict=True), color=color, linewidth=1.8)
    return True


def _dress(axes: Axes, *, whole: bool) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(GRID)
    axes.grid(axis="y", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=TEXT, length=0, pad=5)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=whole))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter(FuncFormatter(_below if whole else lambda x, _: f"{x:g}"))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:.1e}".replace("e-0", "e-") if 0 < abs(y) < 1e-3 else f"{y:.4g}"))
    axes.margins(x=0.02, y=0.08)


def _below(x: float, _: int) -> str:
    return f"{x:,.0f}" if abs(x) < 100_000 else f"{x / 1000:,.0f}k"


def inline(svg: str, prefix: str) -> str:
    """Make matplotlib's file fit into a page: no header, metadata, fonts or style sheet, own ids, colours from CSS."""
    svg = svg[svg.index("<svg") :].strip()
    svg = re.sub(r'<svg [^>]*(viewBox="[^"]*")[^>]*>', r"<svg \1>", svg, count=1)
    svg = re.sub(r"<(metadata|style)\b.*?</\1>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"font-family: [^;]*; ", "", svg)
    used = set(re.findall(r'(?:href="|url\()#([^")]+)', svg))
    svg = re.sub(r'\sid="([^"]*)"', lambda m: f' id="{prefix}-{m[1]}"' if m[1] in used else "", svg)
    svg = re.sub(r'(?:xlink:)?(href="|url\()#', rf"\1#{prefix}-", svg)
    for color, variable in VARIABLES.items():
        svg = svg.replace(color, variable)
    return svg
