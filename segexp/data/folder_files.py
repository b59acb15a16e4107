"""A user's pictures and masks on the disk: how they are laid out, which belong together, which split each is in."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from segexp.errors import ConfigError, DataError
from segexp.functional.keys import key
from segexp.functional.names import MASKS as EXACT

PICTURES = ("images", "image", "imgs", "img", "JPEGImages", "pictures")
MASKS = ("masks", "mask", "labels", "label", "annotations", "annots", "SegmentationClass", "gt")
SPLITS: Mapping[str, tuple[str, ...]] = {"train": ("train", "training"), "val": ("val", "valid", "validation"), "test": ("test", "testing")}
LIST_FOLDERS = ("", "splits", "ImageSets/Segmentation")
LOSSY = (".jpg", ".jpeg", ".webp")  # as masks to be refused by name
MASK_SUFFIXES = (*EXACT, *LOSSY)
ADDED = re.compile(r"[_-](masks?|labels?|gt|seg|segmentation|annotation)$", re.IGNORECASE)  # what names of masks often end in


@dataclass(frozen=True)
class Layout:
    """Where pictures and masks lie, as patterns such as `images/{split}`, or plain folders."""

    images: str
    masks: str

    @property
    def by_folder(self) -> bool:
        """Is there a folder for each split?"""
        return "{split}" in self.images


def find_layout(root: Path, images: str | None, masks: str | None) -> Layout:
    """The layout of a folder, by the names that people use unless named.

    Raises:
        ConfigError: nothing is recognised; says what would be.
    """
    found = _present(root, [images] if images else PICTURES), _present(root, [masks] if masks else MASKS)
    if found[0] and found[1] and ("{split}" in found[0]) == ("{split}" in found[1]):
        return Layout(found[0], found[1])
    fix = "images/ and masks/ (with train/ and val/ within or above them, or with train.txt and val.txt, or without any), "
    fix += "or name them: data.images=<folder> data.masks=<folder>, relative to data.root, {split} standing for the split"
    if not root.is_dir():
        raise ConfigError("there is no such folder", where=f"data.root={root}", fix=f"give a folder with {fix}")
    lacking = "pictures" if not found[0] else "masks" if not found[1] else "pictures and masks in one and the same layout"
    raise ConfigError(f"no {lacking} found", where=f"data.root={root}", fix=fix)


def _present(root: Path, names: Sequence[str]) -> str | None:
    """The first of a folder for each split within, above, or none of them, that exists."""
    forms = [[f"{name}/{{split}}" for name in names], [f"{{split}}/{name}" for name in names], names]
    patterns = names if "{split}" in names[0] else [pattern for form in forms for pattern in form]
    return next((p for p in patterns if _folder(root, p, "train")), None)


def _folder(root: Path, pattern: str, split: str) -> Path | None:
    """The folder of a split, whatever the split is called there."""
    return next((f for name in SPLITS[split] if (f := root / pattern.replace("{split}", name)).is_dir()), None)


@dataclass(frozen=True)
class Pairs:
    """The pictures of a split, relative to `images`, each with its mask relative to `masks` after a tab; '' without one."""

    images: Path
    masks: Path | None
    keys: list[str]

    def place(self) -> Place:
        """What finds the files of a key."""
        return Place(self.images, self.masks)


@dataclass(frozen=True)
class Place:
    """Key -> (picture, mask or None)."""

    images: Path
    masks: Path | None

    def __call__(self, pair: str) -> tuple[Path, Path | None]:
        image, mask = pair.split("\t")
        return self.images / image, self.masks / mask if self.masks and mask else None


def name_of(pair: str) -> str:
    """What a sample is called: the picture's path without its ending."""
    return pair.split("\t")[0].rpartition(".")[0]


def find_splits(root: Path, layout: Layout, *, suffixes: Sequence[str]) -> dict[str, Pairs]:
    """The splits of a folder: its sub-folders, else its lists, else all is `train`; there may be no `val`.

    Raises:
        ConfigError: there are no pictures.
        DataError: masks are missing, names are ambiguous, or a list names what isn't there.
    """
    if layout.by_folder:
        splits = {}
        for split in SPLITS:
            if images := _folder(root, layout.images, split):
                splits[split] = _paired(images, _folder(root, layout.masks, split), suffixes)
    else:
        everything = _paired(root / layout.images, root / layout.masks, suffixes)
        splits = _listed(root, everything) or {"train": everything}
    splits = {split: _complete(pairs, required=split != "test") for split, pairs in splits.items()}
    if not splits["train"].keys:
        fix = f"pictures end in {' '.join(suffixes)}; others: data.suffixes=[.png,...]"
        raise ConfigError("there is no picture", where=str(splits["train"].images), fix=fix)
    return splits


def _paired(images: Path, masks: Path | None, suffixes: Sequence[str]) -> Pairs:
    """Pictures with the masks of the same name; names of masks may end in _mask, _label and the like."""
    pictures = _pictures(images, suffixes)
    painted = _painted(masks, pictures) if masks else {}
    return Pairs(images, masks, [f"{file}\t{painted.get(name, '')}" for name, file in pictures.items()])


def _complete(pairs: Pairs, *, required: bool) -> Pairs:
    """The same, if all have masks; without any where none has and none is required."""
    missing = [pair.partition("\t")[0] for pair in pairs.keys if pair.endswith("\t")]
    if missing and (required or len(missing) < len(pairs.keys)):
        shown = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
        fix = f"add their masks, named like the pictures, to {pairs.masks or 'the folder of masks'}, or take the pictures away"
        raise DataError(f"{len(missing)} of {len(pairs.keys)} pictures have no mask: {shown}", where=str(pairs.images), fix=fix)
    return Pairs(pairs.images, None if missing else pairs.masks, pairs.keys)


def _pictures(folder: Path, suffixes: Sequence[str]) -> dict[str, str]:
    """Path without ending -> path, relative to the folder and sorted.

    Raises:
        DataError: two pictures have one name.
    """
    found: dict[str, str] = {}
    for name, file in _named(folder, suffixes):
        if name in found:
            raise DataError(f"two pictures of one name: {found[name]} and {file}", where=str(folder), fix="rename one, and its mask")
        found[name] = file
    return found


def _painted(folder: Path, pictures: Mapping[str, str]) -> dict[str, str]:
    """Picture's name -> its mask, relative to the folder; a lossy file counts where there is no other.

    Raises:
        DataError: a picture has two masks.
    """
    found: dict[str, list[str]] = {}
    for name, file in _named(folder, MASK_SUFFIXES):
        found.setdefault(name if name in pictures else ADDED.sub("", name), []).append(file)
    chosen = {}
    for name, files in found.items():
        exact = [file for file in files if not file.lower().endswith(LOSSY)] or files
        if name in pictures and len(exact) > 1:
            what = f"two masks of {pictures[name]}: {exact[0]} and {exact[1]}"
            raise DataError(what, where=str(folder), fix="take one away, or move it out of the folder of masks")
        chosen[name] = exact[0]
    return chosen


def _named(folder: Path, suffixes: Sequence[str]) -> list[tuple[str, str]]:
    """(path without ending, path), relative to the folder and sorted, of the files that end so."""
    endings = {suffix.lower().removeprefix(".") for suffix in suffixes}
    parts = [(file, file.rpartition(".")) for file in sorted(_files(folder))]
    return [(name, file) for file, (name, _, ending) in parts if name and ending.lower() in endings]


def _files(folder: Path) -> list[str]:
    """All files below a folder but hidden ones, relative to it."""
    found = []
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        within = Path(place).relative_to(folder).as_posix()
        found += [name if within == "." else f"{within}/{name}" for name in files if not name.startswith(".")]
    return found


def _listed(root: Path, everything: Pairs) -> dict[str, Pairs]:
    """The splits that lists name, if there is one for `train`."""
    files = {split: _list(root, names) for split, names in SPLITS.items()}
    if not files["train"]:
        return {}
    known = {name_of(pair): pair for pair in everything.keys}
    return {split: Pairs(everything.images, everything.masks, _lines(file, known)) for split, file in files.items() if file}


def _list(root: Path, names: Sequence[str]) -> Path | None:
    return next((f for folder in LIST_FOLDERS for name in names if (f := root / folder / f"{name}.txt").is_file()), None)


def _lines(file: Path, known: Mapping[str, str]) -> list[str]:
    """The keys that a list names by name, file or path."""
    found = []
    for number, line in enumerate(file.read_text(encoding="utf-8-sig").splitlines(), 1):
        if not (text := line.strip()):
            continue
        parts = Path(text).parts
        tails = ["/".join(parts[i:]) for i in range(len(parts))]
        name = next((n for tail in tails for n in (tail, tail.rpartition(".")[0]) if n in known), None)
        if name is None:
            raise DataError(f"no picture {text!r}", where=f"{file}, line {number}", fix="mend the list: a picture's name a line")
        found.append(known[name])
    return found


def divided(pairs: Pairs, fraction: float, seed: int) -> dict[str, Pairs]:
    """`train` and `val` by chance; neither is empty.

    Chance is keyed by a picture's name, so that pictures that are added later move no other.

    Raises:
        ConfigError: there are too few.
    """
    if len(pairs.keys) < 2:
        raise ConfigError("one picture can't be divided into train and val", where=str(pairs.images), fix="add pictures")
    drawn = [key(seed, "folder", name_of(pair)) / 2**63 for pair in pairs.keys]
    count = min(max(sum(number < fraction for number in drawn), 1), len(drawn) - 1)
    chosen = set(sorted(range(len(drawn)), key=drawn.__getitem__)[:count])
    parts = [[pair for i, pair in enumerate(pairs.keys) if (i in chosen) == val] for val in (False, True)]
    return {"train": Pairs(pairs.images, pairs.masks, parts[0]), "val": Pairs(pairs.images, pairs.masks, parts[1])}
