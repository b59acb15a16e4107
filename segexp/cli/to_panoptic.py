"""`segexp data to-panoptic`: masks of classes and of instances become COCO-panoptic; described in the help of `segexp data`."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from segexp.errors import ConfigError, DataError
from segexp.formats.loose import LOOSE
from segexp.functional.names import MASKS, PICTURES

OPTIONS = ("--semantic", "--instances", "--classes", "--things", "--out", "--ignore", "--loose", "--images", "--split")
USAGE = "segexp data to-panoptic --semantic=<folder> --instances=<folder> --classes=sky:0,road:1,car:2 --things=car --out=<folder>"


@dataclass(frozen=True)
class Order:
    """What the options say."""

    semantic: Path | None
    instances: Path | None
    names: dict[str, int]  # class -> value in the semantic masks
    things: frozenset[str]
    out: Path
    void: frozenset[int]
    loose: str
    images: Path | None
    split: str


def run(options: Mapping[str, str]) -> int:
    """Convert all masks; prints what to type next.

    Raises:
        ConfigError: options that are missing or contradict each other.
        DataError: masks that lack their partner, or can't be used; each with its file.
    """
    order = parse(options)
    from segexp.data.palette import voc_color
    from segexp.formats.coco_panoptic import PanopticWriter
    from segexp.formats.to_panoptic import combined
    from segexp.types import ClassInfo, DataSpec

    infos = tuple(ClassInfo(name, name in order.things, voc_color(i + 1)) for i, name in enumerate(order.names))
    spec = DataSpec(infos, frozenset({"segments"}), values=tuple(range(1, len(infos) + 1)))
    pictures = _files(order.images, PICTURES) if order.images else {}
    images = segments = crowds = stray = 0
    with PanopticWriter(order.out / "annotations", spec, name=f"panoptic_{order.split}") as writer:
        for name, classes, numbers in _pairs(order):
            found = combined(classes, numbers, frozenset(spec.thing_ids), loose=order.loose)
            file_name = _picture(name, order.images, pictures, classes.shape).name if order.images else ""
            writer.add(name, classes.shape, found.segments, found.labels, crowd=found.crowd, file_name=file_name)
            images, segments, crowds = images + 1, segments + len(found.labels), crowds + int(found.crowd.sum())
            stray += found.stray
    print(f"{images} images, {segments} segments, {crowds} of them crowds: {writer.json}")
    if stray:
        print(f"{stray} pixels have an instance number and no class of things: their numbers are left out")
    own = f" data.images={order.images.resolve()}" if order.images else ""
    print(f"look at it  segexp data browse data=coco_panoptic data.root={order.out.resolve()}{own} data.split={order.split}")
    return 0


def parse(options: Mapping[str, str]) -> Order:
    """The options, checked.

    Raises:
        ConfigError: one is missing, or says what can't be.
    """
    for needed in ("--classes", "--things", "--out"):
        if needed not in options:
            raise ConfigError(f"{needed} is missing", where="segexp data to-panoptic", fix=USAGE)
    if not {"--semantic", "--instances"} & set(options):
        raise ConfigError("no masks are named", where="segexp data to-panoptic", fix=USAGE)
    names, things = _names(options["--classes"]), frozenset(filter(None, options["--things"].split(",")))
    if unknown := sorted(things - set(names)):
        raise ConfigError(f"{unknown[0]!r} is no class", where=f"--things={options['--things']}", fix=f"--things={next(iter(names))}")
    if "--semantic" not in options and (len(things) != 1 or len(names) > 2):
        fix = "--semantic=<folder>; without it there is one class of things, and one of stuff at most, for all else"
        raise ConfigError("instances alone don't tell their classes", where="--instances", fix=fix)
    void = frozenset(_whole(value, "--ignore") for value in options.get("--ignore", "255").split(","))
    if "--ignore" in options and (both := [f"{name}:{value}" for name, value in names.items() if value in void]):
        what = f"a value can't be a class and ignored: {', '.join(both)} of --classes"
        raise ConfigError(what, where=f"--ignore={options['--ignore']}", fix="leave it out of one of the two")
    loose, split = options.get("--loose", LOOSE[0]), options.get("--split", "train")
    if loose not in LOOSE:
        raise ConfigError("no such way", where=f"--loose={loose}", fix=f"--loose={'|'.join(LOOSE)}")
    if split not in ("train", "val", "test"):
        raise ConfigError("no such split", where=f"--split={split}", fix="--split=train|val|test")
    folders = [_folder(options, name) for name in ("--semantic", "--instances", "--images")]
    out = _writable(Path(options["--out"]), split)
    return Order(*folders[:2], names, things, out, void - set(names.values()), loose, folders[2], split)


def _writable(out: Path, split: str) -> Path:
    """The folder of the result, where no file stands in its way."""
    inner = out / "annotations" / f"panoptic_{split}"
    if file := next((path for path in (inner, *inner.parents) if path.exists() and not path.is_dir()), None):
        raise ConfigError(f"{file} is a file, where a folder is wanted", where=f"--out={out}", fix="--out=<folder>")
    return out


def _names(text: str) -> dict[str, int]:
    """`sky:0,road:1`, or `sky,road` for 0 and 1."""
    found: dict[str, int] = {}
    for place, part in enumerate(text.split(",")):
        name, colon, value = part.partition(":")
        number = _whole(value, "--classes") if colon else place
        if not name.strip() or name.strip() in found or number in found.values():
            what = f"{part!r} has no name, or a name or value of another class"
            raise ConfigError(what, where=f"--classes={text}", fix="--classes=sky:0,road:1,car:2")
        found[name.strip()] = number
    return found


def _whole(text: str, option: str) -> int:
    if not re.fullmatch(r"\d{1,5}", text.strip()):
        raise ConfigError(f"{text!r} is no value of a mask", where=option, fix=f"{option}=255" if option == "--ignore" else USAGE)
    return int(text)


def _folder(options: Mapping[str, str], name: str) -> Path | None:
    if name not in options:
        return None
    path = Path(options[name])
    if not path.is_dir():
        raise ConfigError("there is no such folder", where=f"{name}={path}", fix=f"{name}=<folder>")
    return path


def _files(folder: Path, endings: Collection[str], *, folders: bool = False) -> dict[str, Path]:
    """Name -> file, by its name without the ending; or folder, by its whole name.

    Args:
        folder: where to look; hidden files don't count.
        endings: of files that count.
        folders: count as well.

    Raises:
        DataError: two of one name.
    """
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        inner = path.is_dir()
        if path.name.startswith(".") or not (folders if inner else path.suffix.lower() in endings):
            continue
        name = path.name if inner else path.stem
        if name in found:
            raise DataError(f"two of one name: {found[name].name} and {path.name}", where=str(folder), fix="take one away, or rename it")
        found[name] = path
    return found


def _picture(name: str, folder: Path, pictures: Mapping[str, Path], size: tuple[int, ...]) -> Path:
    """The picture of a mask, of the same (height, width) by its header where that can be read."""
    from segexp.doctor.headers import header

    if name not in pictures:
        raise DataError("a mask without a picture", where=f"{name} in {folder}", fix="restore the picture, or remove the mask")
    head = header(pictures[name])
    if head is not None and head.seen != size:
        what = f"the picture is {head.seen}, its masks are {tuple(size)} (height, width)"
        raise DataError(what, where=str(pictures[name]), fix="make the sizes equal")
    return pictures[name]


def _pairs(order: Order) -> Iterator[tuple]:
    """(Name, class ids, instance numbers or None) of every picture."""
    import numpy as np

    from segexp.formats.to_panoptic import read_classes, read_numbers

    semantic = _files(order.semantic, MASKS) if order.semantic else {}
    instances = _files(order.instances, MASKS, folders=True) if order.instances else {}
    if order.semantic and order.instances and (alone := sorted(semantic.keys() ^ instances.keys())):
        side = order.semantic if alone[0] in semantic else order.instances
        what = f"{len(alone)} masks lack their partner, the first: {alone[0]}, which is in {side.name} only"
        raise DataError(what, where=f"{order.semantic} and {order.instances}", fix="give both the same names")
    if not semantic and not instances:
        raise DataError("no masks", where=f"{order.semantic or order.instances}", fix=f"files {', '.join(MASKS)}")
    values = {value: class_id for class_id, value in enumerate(order.names.values())}
    (thing,) = [i for i, name in enumerate(order.names) if name in order.things] if not order.semantic else [0]
    rest = next((i for i, name in enumerate(order.names) if name not in order.things), -1)
    for name in sorted(semantic or instances):
        numbers = read_numbers(instances[name]) if instances else None
        if semantic:
            classes = read_classes(semantic[name], values, order.void)
        else:
            classes = np.where(numbers > 0, thing, rest) if numbers is not None else np.zeros((0, 0), int)
        if numbers is not None and numbers.shape != classes.shape:
            sizes = f"the class mask is {classes.shape}, the instance mask {numbers.shape} (height, width)"
            raise DataError(sizes, where=f"{semantic[name]} and {instances[name]}", fix="make the sizes equal")
        yield name, classes, numbers
