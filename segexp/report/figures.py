"""The figures of a page, from a run's record: headline tiles, facts, the table of classes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from segexp.report.record import RunRecord, number, section

HEADLINES = (
    ("miou", "mIoU"),
    ("pq", "PQ"),
    ("map", "mAP"),
    ("mask_map", "mask mAP"),
    ("top1", "top-1"),
    ("pixel_acc", "pixel accuracy"),
    ("mean_acc", "mean accuracy"),
    ("dice", "Dice"),
    ("boundary_iou", "boundary IoU"),
    ("sq", "SQ"),
    ("rq", "RQ"),
    ("pq_things", "PQ things"),
    ("pq_stuff", "PQ stuff"),
    ("map50", "mAP 50"),
    ("map75", "mAP 75"),
    ("top5", "top-5"),
    ("loss", "loss"),
)
MAX_TILES = 5  # of one split


@dataclass(frozen=True)
class Tile:
    """One headline figure."""

    label: str
    value: str
    detail: str
    main: bool = False


@dataclass(frozen=True)
class ClassRow:
    """One class: its figures in the order of the table's columns, None where the class is absent."""

    name: str
    color: str
    share: float | None  # of the labelled pixels
    values: tuple[float | None, ...]


@dataclass(frozen=True)
class ClassTable:
    """Figures per class; `columns` are (split, figure)."""

    columns: tuple[tuple[str, str], ...]
    rows: tuple[ClassRow, ...]
    has_share: bool


def figure(value: float | None) -> str:
    """A number as people read it: four decimals where that says enough, so that columns align; a dash for none."""
    if value is None:
        return "–"
    size = abs(value)
    if size >= 1000:
        return f"{value:,.0f}"
    return f"{value:.4f}" if size == 0 or 0.001 <= size < 10 else f"{value:.4g}"


def duration(seconds: Any) -> str:
    """E.g. `1 h 02 min`, `3 min 20 s`, `4.2 s`; empty where it isn't known."""
    value = number(seconds)
    if value is None or value < 0:
        return ""
    if value < 60:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def monitor(record: RunRecord) -> str:
    """The name of the figure that says which checkpoint is best, e.g. `val/miou`; empty where none is set."""
    name = record.config.get("monitor")
    return name if isinstance(name, str) else ""


def splits(record: RunRecord) -> Iterator[tuple[str, dict[str, Any]]]:
    """The splits that have final figures, in the order val, test."""
    for split in ("val", "test"):
        if section(record.result.get(split)):
            yield split, record.result[split]


def tiles(record: RunRecord) -> list[tuple[str, list[Tile]]]:
    """Headline figures by split: of `result.json`; of an unfinished run the last logged ones."""
    found = [(split, _split_tiles(record, split, figures, "")) for split, figures in splits(record)]
    if found:
        return found
    last = {name: points[-1] for name, points in record.series.items()}
    for split in ("val", "train"):
        figures = {name.removeprefix(f"{split}/"): value for name, (_, value) in last.items() if name.startswith(f"{split}/")}
        when = max((step for name, (step, _) in last.items() if name.startswith(f"{split}/")), default=0)
        found.append((split, _split_tiles(record, split, figures, f"last logged, step {when:,.0f}")))
    return [(split, row) for split, row in found if row]


def _split_tiles(record: RunRecord, split: str, figures: dict[str, Any], detail: str) -> list[Tile]:
    watched = monitor(record)
    chosen = [(key, label) for key, label in HEADLINES if key in figures]
    chosen.sort(key=lambda pair: f"{split}/{pair[0]}" != watched)
    return [
        Tile(label, figure(number(figures[key])), " · ".join(filter(None, (split, detail or _best(record, f"{split}/{key}")))), i == 0)
        for i, (key, label) in enumerate(chosen[:MAX_TILES])
    ]


def _best(record: RunRecord, name: str) -> str:
    best = section(record.result.get("best"))
    value, step = number(best.get("value", best.get("score"))), number(best.get("step"))
    if name != monitor(record) or value is None:
        return ""
    return f"best {figure(value)}" + ("" if step is None else f" at step {step:,.0f}")


def facts(record: RunRecord) -> list[tuple[str, str]]:
    """Short facts of the page's head, those that the files know."""
    manifest, status = record.manifest, record.status
    git = section(manifest.get("git"))
    commit = str(git.get("commit") or manifest.get("commit") or "")[:10]
    changed = bool(git.get("patch") or git.get("dirty") or manifest.get("patch"))
    step, parameters = number(status.get("step")), number(record.result.get("parameters"))
    known = [
        ("attempt", str(status.get("attempt", ""))),
        ("step", "" if step is None else f"{step:,.0f}"),
        ("started", str(manifest.get("started", "")).replace("T", " ").replace("+00:00", " UTC")),
        ("duration", duration(record.result.get("seconds"))),
        ("training", _rate(record, "train_images_per_s")),
        ("evaluation", _rate(record, "eval_images_per_s")),
        ("peak memory", _memory(record)),
        ("parameters", "" if parameters is None else f"{parameters:,.0f}"),
        ("seed", str(record.config.get("seed", manifest.get("seed", "")))),
        ("commit", commit + (" + uncommitted changes" if commit and changed else "")),
        ("monitor", monitor(record)),
    ]
    return [(name, text) for name, text in known if text]


def _rate(record: RunRecord, name: str) -> str:
    value = number(section(record.result.get("speed")).get(name))
    return "" if value is None else f"{value:.3g} images/s"


def _memory(record: RunRecord) -> str:
    """Of the process, and of the GPU where there was one."""
    speed = section(record.result.get("speed"))
    found = ((number(speed.get("peak_memory_mib")), ""), (number(speed.get("peak_gpu_memory_mib")), " on the GPU"))
    return " · ".join(f"{value / 1024:.1f} GiB{where}" for value, where in found if value is not None)


def classes(record: RunRecord) -> list[tuple[str, str]]:
    """(name, CSS colour) of the classes, from the data spec that the manifest keeps."""
    found = _find_classes(record.manifest) or []
    return [(str(c["name"]), _css(c.get("color"))) for c in found]


def _find_classes(value: Any) -> list[dict[str, Any]] | None:
    for key, item in section(value).items():
        if key == "classes" and isinstance(item, list) and item and all("name" in section(c) for c in item):
            return item
        deeper = _find_classes(item)
        if deeper:
            return deeper
    return None


def _css(color: Any) -> str:
    plain = isinstance(color, list) and len(color) == 3 and all(isinstance(c, int) and 0 <= c <= 255 for c in color)
    return "rgb({}, {}, {})".format(*color) if plain else ""


def class_table(record: RunRecord) -> ClassTable:
    """All figures named `<figure>/<class>` of the final evaluations."""
    known = dict(classes(record))
    cells: dict[str, dict[tuple[str, str], float | None]] = {name: {} for name in known}
    columns: list[tuple[str, str]] = []
    for split, figures in splits(record):
        for key, value in figures.items():
            kind, _, name = key.partition("/")
            if name and kind != "loss":
                cells.setdefault(name, {})[split, kind] = number(value)
                columns += [(split, kind)] if (split, kind) not in columns else []
    if not columns:
        return ClassTable((), (), False)
    share = _shares(record, list(known))
    rows = [ClassRow(name, known.get(name, ""), share.get(name), tuple(v.get(c) for c in columns)) for name, v in cells.items() if v]
    return ClassTable(tuple(columns), tuple(rows), bool(share))


def _shares(record: RunRecord, names: list[str]) -> dict[str, float]:
    """Each class's share of the labelled pixels, of the records of the first split that has any."""
    totals, split = [0] * len(names), None
    for image in record.per_image.values():
        labelled = _counts(image).get("labelled", [])
        split = split or image.get("split")
        if len(labelled) == len(names) and image.get("split") == split:
            totals = [a + b for a, b in zip(totals, labelled, strict=True)]
    return {name: n / sum(totals) for name, n in zip(names, totals, strict=True)} if sum(totals) else {}


def _counts(image: dict[str, Any]) -> dict[str, list[int]]:
    """The three lists of an image's semantic record, empty where one is absent or they don't fit."""
    semantic = section(image.get("semantic"))
    lists: dict[str, Any] = {name: semantic.get(name) for name in ("intersection", "predicted", "labelled")}
    plain = all(isinstance(x, list) and all(number(n) is not None for n in x) for x in lists.values())
    return lists if plain and len({len(x) for x in lists.values()}) == 1 else {}
