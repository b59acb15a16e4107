"""The samples of a split as a training or an evaluation sees them: read, verified, augmented, or left out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from segexp.data.bad_samples import Bad, Lost
from segexp.data.objects import refuse, summary
from segexp.errors import DataError, SegexpError
from segexp.functional.keys import key
from segexp.functional.orders import Draw
from segexp.targets import derive
from segexp.types import DataSpec, Size, Targets


@dataclass
class Item:
    """One sample, ready to be batched."""

    image: Tensor  # uint8 or int32 [C,H,W]
    targets: Targets
    truth: Targets | None
    original: Size
    id: str
    bad: list[Bad] = field(default_factory=list)  # samples in whose place it stands


class Samples(Dataset):
    """A split seen through the augmentation.

    Args:
        split: what a data set's `open` returns.
        augment: `(sample, generator or None) -> sample`.
        spec: the classes.
        seed: of the run.
        needs: kinds of annotation for training targets.
        truth: kinds at original size; None in training, where the augmentation gets a generator.
        cache: keep decoded samples.
        limit: only the first so many are drawn.
        skip: leave out samples that can't be read, up to so many for one that is drawn; None = such a sample is an error.
            In training the next good one takes its place, in an evaluation none.
        name: of the data set and the split, for messages.
    """

    def __init__(
        self,
        split: Any,
        augment: Callable[..., dict[str, Any]],
        spec: DataSpec,
        *,
        seed: int,
        needs: frozenset[str],
        truth: frozenset[str] | None,
        cache: bool = False,
        limit: int | None = None,
        skip: int | None = None,
        name: tuple[str, str] = ("", ""),
    ) -> None:
        self.split, self.augment, self.spec, self.seed = split, augment, spec, seed
        self.needs, self.truth, self.skip, self.name = needs, truth, skip, name
        self.length = len(split) if limit is None else min(limit, len(split))
        self.kept: dict[int, dict[str, Any]] | None = {} if cache else None
        self.broken: dict[int, DataError] = {}  # those that are known, where they are left out
        self.met: list[Bad] = []  # on the way to one item
        reading = getattr(augment, "reading", None)  # of an augmentation that may look at a second sample
        if reading and truth is None:
            self.augment = reading(self._other, self.length, spec)

    def __getitem__(self, draw: Draw) -> Item | Lost | SegexpError:
        try:
            return self._item(draw)
        except SegexpError as error:  # workers would flatten it to a traceback: hand it over whole
            return error

    def _item(self, draw: Draw) -> Item | Lost:
        self.met = []
        for index in self._candidates(draw.index):
            try:
                return replace(self._made(draw, index), bad=self.met)
            except DataError as error:
                self._leave_out(index, error)
        return Lost(self.met, fatal=self.truth is None)

    def _candidates(self, index: int) -> Iterator[int]:
        """A sample, and those that may take its place, in the order of the data set."""
        others = 0 if self.skip is None or self.truth is not None else min(self.skip, self.length - 1)
        return ((index + place) % self.length for place in range(others + 1))

    def _leave_out(self, index: int, error: DataError) -> None:
        if self.skip is None:
            raise error
        self.broken[index] = error
        self.met.append(Bad(self.name[1], sample_id(self.split, index), error.where, error.code, error.what))

    def _made(self, draw: Draw, index: int) -> Item:
        """The item of a draw, of the sample that is drawn or one in its place."""
        again = (draw.repeat,) if draw.repeat else ()
        sample, seed = self._read(index), key(self.seed, "sample", draw.epoch, draw.index, *again)
        rng = torch.Generator().manual_seed(seed) if self.truth is None else None
        seen = self.augment(sample, rng)
        targets = derive(seen, self.needs, self.spec, key=seed)
        truth = None if self.truth is None else derive(sample, self.truth, self.spec, key=seed)
        meta = sample["meta"]
        return Item(seen["image"].as_subclass(Tensor), targets, truth, tuple(meta["size"]), meta["id"])

    def _other(self, index: int) -> dict[str, Any]:
        """The second sample of an augmentation."""
        for candidate in self._candidates(index):
            try:
                return self._read(candidate)
            except DataError as error:
                self._leave_out(candidate, error)
        raise DataError("no second sample can be read", where=self.met[-1].path, fix="mend the files that bad_samples.csv lists")

    def _read(self, index: int) -> dict[str, Any]:
        if self.kept is not None and index in self.kept:
            return self.kept[index]
        if index in self.broken:
            raise self.broken[index]
        try:
            sample = self.split[index]
            verify(sample, self.spec)
        except DataError as error:
            raise self._named(error, index) from error
        except (SegexpError, MemoryError, torch.OutOfMemoryError):
            raise
        except Exception as error:  # of a data set that doesn't know it; with files it is theirs, as a rule
            fix = "replace the file; if it isn't that, data.loader.workers=0 errors.traceback=true shows where it comes from"
            raise self._named(DataError(f"reading it fails: {type(error).__name__}: {error}", fix=fix), index) from error
        if self.kept is not None:
            self.kept[index] = sample
        return sample

    def _named(self, error: DataError, index: int) -> DataError:
        """The same error, which says of which sample and which file it is."""
        paths = [str(path) for path in self.split.paths(index) if path] if hasattr(self.split, "paths") else []
        where = [error.where] if error.where else []
        if paths and not any(path in str(error) for path in paths):
            where += paths[:1]
        if (name := f"sample {sample_id(self.split, index)}") not in error.where:
            where.append(name)
        told = f" ({self.name[0]}, split {self.name[1]})" if self.name[0] else ""
        return type(error)(error.what, where=", ".join(where) + told, fix=error.fix)


def sample_id(split: Any, index: int) -> str:
    """What a sample is called."""
    return split.id(index) if hasattr(split, "id") else f"number {index}"


def announce(split: Any, length: int, *, skip: bool = False) -> None:
    """Say once, before a training, how many objects of a split are left out and why.

    Args:
        split: one of objects has `tally`; of others nothing is said.
        length: so many samples are read.
        skip: samples that can't be read are left out, and told of when they are drawn.

    Raises:
        DataError: some objects are refused; here rather than when they would be drawn.
    """
    if not hasattr(split, "tally"):
        return
    try:
        tally = split.tally(length)
        refuse(tally.faults, "")
    except DataError:
        if skip:
            return
        raise
    if text := summary(tally):
        print(f"{split.name}: {text}; segexp data check lists them", flush=True)


def verify(sample: dict[str, Any], spec: DataSpec) -> None:
    """Refuse labels outside the classes, before a device sees them.

    Raises:
        DataError: names the sample, the offending values and their pixels.
    """
    allowed, where = spec.num_classes, f"sample {sample['meta']['id']}"
    if sample["meta"].get("path"):
        where += f", {sample['meta']['path']}"
    if "semantic" in sample:
        counts = torch.bincount(sample["semantic"].flatten().long())
        values = [v for v in counts.nonzero().flatten().tolist() if v >= allowed and v != spec.ignore_index]
        if values:
            pixels = int(sum(counts[v] for v in values))
            raise DataError(
                f"labels {values[:8]} in {pixels} pixels; allowed are 0..{allowed - 1} and {spec.ignore_index} (ignored)",
                where=where,
                fix="map the values, or choose the data set's classes",
            )
    if "label" in sample and not (0 <= int(sample["label"]) < allowed or int(sample["label"]) == spec.ignore_index):
        raise DataError(f"label {int(sample['label'])}; allowed are 0..{allowed - 1}", where=where, fix="map the classes")
    if "present" in sample and tuple(sample["present"].shape) != (allowed,):
        what = f"`present` has the shape {tuple(sample['present'].shape)}; wanted is one number for each of {allowed} classes"
        raise DataError(what, where=where, fix="float32 [K], 1 where the image shows the class")
    for name in ("labels", "segment_labels"):
        if name in sample and len(sample[name]) and not 0 <= int(sample[name].min()) <= int(sample[name].max()) < allowed:
            raise DataError(f"{name} {sample[name].tolist()[:8]}; allowed are 0..{allowed - 1}", where=where, fix="map the classes")
