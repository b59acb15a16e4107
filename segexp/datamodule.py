"""From samples to batches: keyed order, keyed augmentation, targets derived in the workers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import torch
from pytorch_lightning import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torch.utils.data.dataloader import _MultiProcessingDataLoaderIter

from segexp.data.objects import refuse, summary
from segexp.errors import ConfigError, DataError, SegexpError
from segexp.functional.keys import key
from segexp.functional.orders import Draw, EvaluationOrder, TrainOrder
from segexp.functional.signals import calm, kill_children_at_exit
from segexp.targets import derive
from segexp.types import Batch, DataSpec, Size, Targets

Count = Callable[[list[Targets]], dict[str, float]]


@dataclass(frozen=True)
class LoaderOptions:
    """How samples become batches (the section `data.loader`).

    Args:
        batch_size: samples of one micro-batch and rank.
        eval_batch_size: the same in evaluation.
        workers: loader processes; 0 reads in the training process. The result doesn't depend on it.
        persistent_workers: they live from epoch to epoch rather than being started anew; nor on this.
        cache: keep decoded samples in memory, in each process that reads them.
    """

    batch_size: int = 8
    eval_batch_size: int = 8
    workers: int = 0
    persistent_workers: bool = True
    cache: bool = False


@dataclass
class Item:
    """One sample, ready to be batched."""

    image: Tensor  # uint8 or int32 [C,H,W]
    targets: Targets
    truth: Targets | None
    original: Size
    id: str


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
        limit: steps of the augmentation that draw other samples draw the first so many.
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
    ) -> None:
        self.split, self.augment, self.spec, self.seed = split, augment, spec, seed
        self.needs, self.truth = needs, truth
        self.kept: dict[int, dict[str, Any]] | None = {} if cache else None
        reading = getattr(augment, "reading", None)  # of an augmentation that may look at a second sample
        if reading and truth is None:
            self.augment = reading(self._read, len(split) if limit is None else min(limit, len(split)), spec)

    def __getitem__(self, draw: Draw) -> Item | SegexpError:
        try:
            return self._item(draw)
        except SegexpError as error:  # workers would flatten it to a traceback: hand it over whole
            return error

    def _item(self, draw: Draw) -> Item:
        again = (draw.repeat,) if draw.repeat else ()
        sample, seed = self._read(draw.index), key(self.seed, "sample", draw.epoch, draw.index, *again)
        rng = torch.Generator().manual_seed(seed) if self.truth is None else None
        seen = self.augment(sample, rng)
        targets = derive(seen, self.needs, self.spec, key=seed)
        truth = None if self.truth is None else derive(sample, self.truth, self.spec, key=seed)
        meta = sample["meta"]
        return Item(seen["image"].as_subclass(Tensor), targets, truth, tuple(meta["size"]), meta["id"])

    def _read(self, index: int) -> dict[str, Any]:
        if self.kept is not None and index in self.kept:
            return self.kept[index]
        sample = self.split[index]
        verify(sample, self.spec)
        if self.kept is not None:
            self.kept[index] = sample
        return sample


def announce(split: Any, length: int) -> None:
    """Say once, before a training, how many objects of a split are left out and why.

    Args:
        split: one of objects has `tally`; of others nothing is said.
        length: so many samples are read.

    Raises:
        DataError: some objects are refused; here rather than when they would be drawn.
    """
    if not hasattr(split, "tally"):
        return
    tally = split.tally(length)
    refuse(tally.faults, "")
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


def collate(items: list[Item]) -> Batch:
    """Pad images at the right and bottom to one size, and bring those of 8 bit to 16 where both come together."""
    if len({item.image.dtype for item in items}) > 1:  # 255 x 257 = 65535: no value changes
        items = [replace(item, image=item.image.int() * 257) if item.image.dtype == torch.uint8 else item for item in items]
    sizes = tuple(tuple(item.image.shape[-2:]) for item in items)
    height, width = (max(side) for side in zip(*sizes, strict=True))
    if all(size == (height, width) for size in sizes):
        images = torch.stack([item.image for item in items])
    else:
        images = items[0].image.new_zeros(len(items), items[0].image.shape[0], height, width)  # [B,C,H,W]
        for row, item in zip(images, items, strict=True):
            row[:, : item.image.shape[1], : item.image.shape[2]] = item.image
    return Batch(
        images=images,
        sizes=sizes,
        original_sizes=tuple(item.original for item in items),
        targets=[item.targets for item in items],
        truth=[item.truth for item in items if item.truth is not None],
        ids=tuple(item.id for item in items),
    )


class Windows:
    """Cut the items of one optimizer step into micro-batches that know the counts of the whole step.

    Args:
        size: of a micro-batch.
        count: what the loss divides by.
        pieces: each micro-batch is cut into so many again, as even as can be.
    """

    def __init__(self, size: int, count: Count | None, pieces: int = 1) -> None:
        self.size, self.count, self.pieces = size, count, pieces

    def __call__(self, items: list[Item | SegexpError]) -> list[Batch] | SegexpError:
        good = []
        for item in items:
            if isinstance(item, SegexpError):
                return item
            good.append(item)
        batches = [collate(piece) for i in range(0, len(good), self.size) for piece in self._cut(good[i : i + self.size])]
        counts = self.count([item.targets for item in good]) if self.count else {}
        for batch in batches:
            batch.counts = counts
        return batches

    def _cut(self, items: list[Item]) -> list[list[Item]]:
        ends = [len(items) * k // self.pieces for k in range(self.pieces + 1)]
        return [items[a:b] for a, b in pairwise(ends) if b > a]


class Flat:
    """Yield the micro-batches of a loader of windows one by one; a broken sample's error is raised here."""

    def __init__(self, loader: DataLoader, length: int) -> None:
        self.loader, self.length = loader, length
        self.sampler = self.batch_sampler = loader.batch_sampler  # where Lightning looks for `set_epoch`

    def __len__(self) -> int:
        return self.length

    @property
    def _iterator(self) -> Any:
        """Where Lightning looks for workers to shut down. Left to the garbage collector, they'd be waited for 5 s."""
        return self.loader._iterator

    @_iterator.setter
    def _iterator(self, value: Any) -> None:
        self.loader._iterator = value

    def __iter__(self) -> Iterator[Batch]:
        for window in self.loader:
            if isinstance(window, SegexpError):
                raise window
            yield from window


class DataModule(LightningDataModule):
    """Loaders for one data set.

    Args:
        dataset: gives `spec`, `splits`, `open(split)`.
        augment: `(sample, generator or None) -> sample`.
        loader: batch sizes, workers, cache.
        seed: of the run.
        needs: kinds of annotation that head and loss read.
        truth: kinds that the metrics read, at original size.
        count: what the loss divides by, from the targets of an optimizer step.
        split: the split that validation reads.
        limit: only so many samples of each split.
        weights: gives how often each training sample is drawn in relation to others, float64 [N]; asked once, when a training
            begins. All equally often unless given.
        pieces: each training batch is cut into so many (see `trainer.on_oom`).
        mixing: `(batch, classes) -> batch` of training batches on the device; they stay as they are unless given.
    """

    def __init__(
        self,
        dataset: Any,
        augment: Callable[..., dict[str, Any]],
        loader: LoaderOptions,
        *,
        seed: int,
        needs: frozenset[str],
        truth: frozenset[str],
        count: Count,
        split: str = "val",
        limit: int | None = None,
        weights: Callable[[], Tensor] | None = None,
        pieces: int = 1,
        mixing: Callable[[Batch, DataSpec], Batch] | None = None,
    ) -> None:
        super().__init__()
        self.dataset, self.augment, self.options, self.seed = dataset, augment, loader, seed
        self.needs, self.truth, self.count = needs, truth, count
        self.split, self.limit, self.weights, self.pieces = split, limit, weights, pieces
        self.mixing = mixing
        self.start = (0, 0)  # (epoch, optimizer steps of it): where a training goes on
        self.loaders: list[DataLoader] = []

    def samples(self, split: str, *, training: bool) -> Samples:
        """The samples of a split.

        Raises:
            ConfigError: the split is empty.
        """
        opened = self.dataset.open(split)
        if len(opened) == 0:
            raise ConfigError(f"the split {split} is empty", where=f"data, {type(self.dataset).__name__}", fix="name a split with samples")
        return Samples(
            opened,
            self.augment,
            self.dataset.spec,
            seed=self.seed,
            needs=self.needs,
            truth=None if training else self.truth,
            cache=self.options.cache,
            limit=self.limit,
        )

    def train_dataloader(self) -> Flat:
        trainer: Any = self.trainer
        samples, size, world = self.samples("train", training=True), self.options.batch_size, trainer.world_size
        accumulate = trainer.accumulate_grad_batches // self.pieces
        length, rank = self._length(samples), trainer.global_rank
        if not rank:
            announce(samples.split, length)
        weights = self.weights() if self.weights else None
        order = TrainOrder(length, size, accumulate, self.seed, rank, world, start=self.start, weights=weights)
        if not order.batches:
            raise ConfigError(
                f"{order.length} training samples don't fill a batch of {size} x {world} ranks",
                where="data.loader.batch_size",
                fix=f"data.loader.batch_size={max(1, order.length // world)}",
            )
        return Flat(self._loader(samples, order, Windows(size, self.count, self.pieces)), order.batches * self.pieces)

    def val_dataloader(self) -> Flat:
        return self.evaluation(self.split)

    def test_dataloader(self) -> Flat:
        return self.evaluation("test")

    def evaluation(self, split: str) -> Flat:
        """Every sample of a split, in order."""
        samples, size = self.samples(split, training=False), self.options.eval_batch_size
        rank, world = (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
        order = EvaluationOrder(self._length(samples), size, rank, world)
        return Flat(self._loader(samples, order, Windows(size, self.count)), len(order))

    def on_exception(self, exception: BaseException) -> None:
        """End the workers of all loaders: Lightning ends those of the loop alone in which it was interrupted."""
        for loader in self.loaders:
            if isinstance(loader._iterator, _MultiProcessingDataLoaderIter):
                loader._iterator._shutdown_workers()
                loader._iterator = None

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Integers to float32 in [0, 1], on the device; training batches mixed."""
        batch.images = to_float(batch.images)
        trainer = self.trainer
        return self.mixing(batch, self.dataset.spec) if self.mixing and trainer and trainer.training else batch

    def _length(self, samples: Samples) -> int:
        length = len(samples.split)
        return length if self.limit is None else min(length, self.limit)

    def _loader(self, samples: Samples, order: TrainOrder | EvaluationOrder, windows: Windows) -> DataLoader:
        workers = self.options.workers
        if workers:
            kill_children_at_exit()  # they ignore the SIGTERM by which they'd be ended there
        self.loaders.append(
            loader := DataLoader(
                samples,
                batch_sampler=order,
                collate_fn=windows,
                num_workers=workers,
                persistent_workers=self.options.persistent_workers and workers > 0,
                worker_init_fn=calm,
                pin_memory=torch.cuda.is_available(),
            )
        )
        return loader


def to_float(images: Tensor) -> Tensor:
    """Images of 8 bit (uint8) or 16 bit (int32) to float32 in [0, 1]; floats stay as they are."""
    return images if images.is_floating_point() else images.float().div_(255 if images.dtype == torch.uint8 else 65535)
