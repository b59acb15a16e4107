"""From samples to batches: keyed order, keyed augmentation, targets derived in the workers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader

from segexp.data.bad_samples import Bad, BadSamples, Lost
from segexp.data.overlap import refuse_overlap
from segexp.errors import ConfigError, DataError, SegexpError
from segexp.functional.bands import limit_pixels, most_pixels
from segexp.functional.orders import EvaluationOrder, TrainOrder
from segexp.functional.signals import calm, kill_children_at_exit
from segexp.functional.workers import Patience, Rest, end, windows
from segexp.samples import Item, Samples, announce
from segexp.types import Batch, DataSpec, Targets

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
        timeout: seconds without a batch after which loader processes are taken to hang; 0 = never.
        restarts: how often those that died or hung are started anew.
    """

    batch_size: int = 8
    eval_batch_size: int = 8
    workers: int = 0
    persistent_workers: bool = True
    cache: bool = False
    timeout: float = 120.0
    restarts: int = 3


def collate(items: list[Item]) -> Batch:
    """Pad images at the right and bottom to one size, and bring those of 8 bit to 16 where both come together."""
    if not items:  # of a rank without samples
        return Batch(images=torch.zeros(0, 3, 1, 1), sizes=(), original_sizes=(), targets=[], truth=[], ids=())
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


class Window(list[Batch]):
    """The micro-batches of one optimizer step, or a batch of an evaluation; without any where nothing can fill it.

    Args:
        batches: of it.
        bad: samples that were left out on the way.
    """

    def __init__(self, batches: Iterable[Batch] = (), bad: Iterable[Bad] = ()) -> None:
        super().__init__(batches)
        self.bad = list(bad)


class Windows:
    """Cut the items of one optimizer step into micro-batches that know the counts of the whole step.

    Args:
        size: of a micro-batch.
        count: what the loss divides by.
        pieces: each micro-batch is cut into so many again, as even as can be.
    """

    def __init__(self, size: int, count: Count | None, pieces: int = 1) -> None:
        self.size, self.count, self.pieces = size, count, pieces

    def __call__(self, items: list[Item | Lost | SegexpError]) -> Window | SegexpError:
        good, bad = [], []
        for item in items:
            if isinstance(item, SegexpError):
                return item
            bad += item.bad
            if isinstance(item, Item):
                good.append(item)
            elif item.fatal:
                return Window(bad=bad)
        pieces = [piece for i in range(0, len(good), self.size) for piece in self._cut(good[i : i + self.size])]
        batches = [collate(piece) for piece in pieces or [[]]]
        counts = self.count([item.targets for item in good]) if self.count else {}
        for batch in batches:
            batch.counts = counts
        return Window(batches, bad)

    def _cut(self, items: list[Item]) -> list[list[Item]]:
        ends = [len(items) * k // self.pieces for k in range(self.pieces + 1)]
        return [items[a:b] for a, b in pairwise(ends) if b > a]


class Flat:
    """Yield the micro-batches of a loader of windows one by one; a broken sample's error is raised here.

    Args:
        loader: of windows; its batch sampler is a `Rest`.
        length: micro-batches.
        patience: with its workers.
        left: keeps the samples that are left out, and what is done about them.
    """

    def __init__(self, loader: DataLoader, length: int, patience: Patience, left: tuple[BadSamples, str] | None = None) -> None:
        self.loader, self.length, self.patience, self.left = loader, length, patience, left
        order: Any = loader.batch_sampler
        self.sampler = self.batch_sampler = order.order  # where Lightning looks for `set_epoch`

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
        samples: Any = self.loader.dataset
        for window in windows(self.loader, self.patience, samples.split):
            if isinstance(window, SegexpError):
                raise window
            if window.bad and self.left:
                self.left[0].add(window.bad, self.left[1])
            if not window:
                what = f"none of {len(window.bad)} samples of {' '.join(samples.name)} can be read, from {window.bad[0].id} on"
                raise DataError(f"{what}: {window.bad[0].what}", where=window.bad[0].path, fix="mend the files that bad_samples.csv lists")
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
        on_bad: a sample that can't be read is an `error`, or is left out: `skip`.
        max_bad: so many different ones.
        allow_overlap: a sample may be in `train` and in what is evaluated, or twice in a split.
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
        on_bad: str = "error",
        max_bad: int = 100,
        allow_overlap: bool = True,
    ) -> None:
        super().__init__()
        self.dataset, self.augment, self.options, self.seed = dataset, augment, loader, seed
        self.needs, self.truth, self.count = needs, truth, count
        self.split, self.limit, self.weights, self.pieces = split, limit, weights, pieces
        self.mixing, self.skip, self.allow_overlap = mixing, max_bad if on_bad == "skip" else None, allow_overlap
        self.patience, self.left = Patience(loader.timeout, loader.restarts), None
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
            skip=self.skip,
            name=(type(getattr(self.dataset, "dataset", self.dataset)).__name__, split),
        )

    def train_dataloader(self) -> Flat:
        trainer: Any = self.trainer
        samples, size, world = self.samples("train", training=True), self.options.batch_size, trainer.world_size
        accumulate = trainer.accumulate_grad_batches // self.pieces
        length, rank = self._length(samples), trainer.global_rank
        if not rank:
            announce(samples.split, length, skip=self.skip is not None)
            self._refuse_overlap(samples, length)
        weights = self.weights() if self.weights else None
        order = TrainOrder(length, size, accumulate, self.seed, rank, world, start=self.start, weights=weights)
        if not order.batches:
            raise ConfigError(
                f"{order.length} training samples don't fill a batch of {size} x {world} ranks",
                where="data.loader.batch_size",
                fix=f"data.loader.batch_size={max(1, order.length // world)}",
            )
        return self._flat(samples, order, Windows(size, self.count, self.pieces), order.batches * self.pieces)

    def val_dataloader(self) -> Flat:
        return self.evaluation(self.split)

    def test_dataloader(self) -> Flat:
        return self.evaluation("test")

    def evaluation(self, split: str) -> Flat:
        """Every sample of a split, in order."""
        samples, size = self.samples(split, training=False), self.options.eval_batch_size
        rank, world = (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
        order = EvaluationOrder(self._length(samples), size, rank, world)
        return self._flat(samples, order, Windows(size, self.count), len(order))

    def on_exception(self, exception: BaseException) -> None:
        """End the workers of all loaders: Lightning ends those of the loop alone in which it was interrupted."""
        for loader in self.loaders:
            end(loader)

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Integers to float32 in [0, 1], on the device; training batches mixed."""
        batch.images = to_float(batch.images)
        trainer = self.trainer
        return self.mixing(batch, self.dataset.spec) if self.mixing and trainer and trainer.training else batch

    def _length(self, samples: Samples) -> int:
        length = len(samples.split)
        return length if self.limit is None else min(length, self.limit)

    def _refuse_overlap(self, samples: Samples, length: int) -> None:
        """Once, before a training: no sample twice in it, and none of those that are evaluated."""
        if self.allow_overlap:
            return
        read = {self.split, *(["test"] if "test" in self.dataset.splits else [])}
        others = {split: self.dataset.open(split) for split in sorted(read)}
        refuse_overlap(
            (samples.split, length), {name: (split, min(len(split), self.limit or len(split))) for name, split in others.items()}
        )

    def _flat(self, samples: Samples, order: TrainOrder | EvaluationOrder, cut: Windows, length: int) -> Flat:
        folder, rank = getattr(self.trainer, "default_root_dir", None), getattr(self.trainer, "global_rank", 0)
        if self.left is None and self.skip is not None and folder:
            self.left = BadSamples(Path(folder), self.skip, rank)
        done = "another takes its place" if samples.truth is None else "left out"
        return Flat(self._loader(samples, order, cut), length, self.patience, (self.left, done) if self.left else None)

    def _loader(self, samples: Samples, order: TrainOrder | EvaluationOrder, windows: Windows) -> DataLoader:
        workers = self.options.workers
        if workers:
            kill_children_at_exit()  # they ignore the SIGTERM by which they'd be ended there
        self.loaders.append(
            loader := DataLoader(
                samples,
                batch_sampler=Rest(order),
                collate_fn=windows,
                num_workers=workers,
                persistent_workers=self.options.persistent_workers and workers > 0,
                worker_init_fn=partial(_begin, most_pixels()),
                pin_memory=torch.cuda.is_available(),
            )
        )
        return loader


def _begin(limit: int, worker: int) -> None:
    """What a loader process does first."""
    calm(worker)
    limit_pixels(limit)


def to_float(images: Tensor) -> Tensor:
    """Images of 8 bit (uint8) or 16 bit (int32) to float32 in [0, 1]; floats stay as they are."""
    return images if images.is_floating_point() else images.float().div_(255 if images.dtype == torch.uint8 else 65535)
