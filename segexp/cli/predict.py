"""segexp predict <run> <image, folder or video> [overrides] [options]: label pictures with a run's model.

  segexp predict 1a2b3c street.jpg
  segexp predict outputs/camvid_lite0/camvid-...-1a2b3c pictures/ weights.checkpoint=best
  segexp predict 1a2b3c data.split=test                  a split of the run's data set, also one without labels
  segexp predict 1a2b3c pictures/ protocol=multi_scale   at several scales, mirrored as well
  segexp predict 1a2b3c drive.mp4                        a video (pip install 'segexp[video]')
  segexp predict 1a2b3c frames/ --video --fps=10         pictures that are a video's frames, in the order of their names

Written to <run>/predictions/<name>-<id>/, a folder for each source and its overrides: labels/*.png (class ids as palette PNG,
original size), overlays/*.png, and for data sets whose own files have other values than class ids (Cityscapes, ADE20K)
exchange/*.png, as their servers want them. Segments of a panoptic model: panoptic.json and panoptic/*.png, as COCO has them.
Boxes and masks of objects: boxes.json and masks.json, as COCO's evaluation reads results, and images.json with what their ids stand for.
Classes of whole pictures: labels.csv, a line for each with its class or classes (a;b, as data=csv reads them) and the five best scores.
Of a video, and of frames: overlays.mp4 in place of overlays/, a thing with one number and colour as long as it is followed,
and tracks.jsonl, a line for each frame. Of a video, nothing else. What can't be read is listed at the end; the rest is labelled.

options:
  --exchange=coco|cityscapes  the form of segments (default coco)
  --video                     the pictures are frames: also follow things, and write a video
  --fps=<number>              frames a second of what is written (default: the video's own, else 25)

exit codes: 0 all are labelled, 1 a picture can't be read, 2 the command is wrong
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segexp.cli.arguments import split, valued
from segexp.cli.evaluate import named_run, short_hash
from segexp.cli.pictures import Files, Split
from segexp.cli.predict_files import FORMS, PictureFiles
from segexp.cli.predict_video import VIDEOS, ClipFiles, Video, rate_of
from segexp.errors import ConfigError, DataError

if TYPE_CHECKING:
    import torch
    from omegaconf import DictConfig
    from torch import Tensor

    from segexp.build import Experiment
    from segexp.types import Prediction

USAGE = "segexp predict <run> <image, folder or video> [overrides], or segexp predict <run> data.split=<split>"
OPTIONS = ("--exchange", "--fps")


@dataclass(frozen=True)
class Order:
    """What was typed."""

    run: str
    source: str | None
    overrides: list[str]
    form: str | None
    rate: Fraction | None
    video: bool

    @property
    def title(self) -> list[str]:
        """What makes a folder of its own, besides the source."""
        typed = {"form": self.form, "rate": self.rate, "video": self.video or None}
        return [*self.overrides, *(f"--{name}={value}" for name, value in typed.items() if value is not None)]


def run(arguments: Sequence[str]) -> int:
    """Predict every picture."""
    order = parse(arguments)
    source, overrides = order.source, order.overrides
    directory = named_run(order.run, overrides)
    files = _source(Path(source)) if source else None
    from segexp.runs.recompose import recompose

    config = recompose(directory.config, overrides)
    folder = directory.path / "predictions" / _title(source, config.data.split, order.title)
    print(f"loading torch and the model{f'; {files.total} pictures' if files and files.total else ''}", flush=True)
    from segexp.build import trained
    from segexp.runs.execute import logged

    folder.mkdir(parents=True, exist_ok=True)
    with logged(folder / "log.txt"):
        config, experiment = trained(directory, overrides, data=files is None)
        experiment.task.model.to(device(config))
        chosen = files or Split(experiment.dataset.open(config.data.split), config.data.limit)
        total, failures = label(experiment, chosen, _writers(order, experiment, chosen, folder))
    if len(failures) < total:
        print(f"written to {folder}", flush=True)
    _tell(failures, total, source or f"data.split={config.data.split}")
    return 0


def parse(arguments: Sequence[str]) -> Order:
    """The run, the pictures if any are named, overrides and options.

    Raises:
        ConfigError: what was typed makes no sense.
    """
    options, rest = valued(arguments, OPTIONS)
    of_a_split = any(a.startswith("data.split=") for a in rest) and sum("=" not in a and not a.startswith("-") for a in rest) == 1
    named, overrides, flags = split(rest, positional=1 if of_a_split else 2, flags=("--video",), usage=USAGE)
    if not any(o.startswith("data.limit=") for o in overrides):  # of a run that trained on a part, too
        overrides = ["data.limit=null", *overrides]
    if (form := options.get("--exchange")) is not None and form not in FORMS:
        raise ConfigError(f"there is no form {form!r}", where=f"--exchange={form}", fix=f"--exchange={'|'.join(FORMS)}")
    rate = rate_of(options["--fps"]) if "--fps" in options else None
    return Order(named[0], None if of_a_split else named[1], overrides, form, rate, bool(flags))


def _source(path: Path) -> Files | Video:
    """Pictures, or a video, by the ending."""
    return Video(path) if path.suffix.lower() in VIDEOS and not path.is_dir() else Files(path, USAGE)


def _writers(order: Order, experiment: Experiment, chosen: Any, folder: Path) -> list[Any]:
    """What takes the predictions: files for each picture, a clip, or both."""
    task, found = experiment.task, []
    clip = order.video or isinstance(chosen, Video)
    if not isinstance(chosen, Video):
        ids = chosen.image_ids() if isinstance(chosen, Split) else {}
        kinds = task.model.postprocess.provides
        found.append(PictureFiles(folder, task.data, kinds, form=order.form, image_ids=ids, overlays=not clip))
    if clip:
        from segexp.formats.video import RATE

        found.append(ClipFiles(folder, task.data, order.rate or getattr(chosen, "rate", RATE)))
    return found


def _title(source: str | None, split_name: str, overrides: Sequence[str]) -> str:
    """A folder name of its own for each source and settings, the readable part in front."""
    if source is None:
        return f"split-{split_name}-{short_hash(overrides)}"
    path = Path(source).resolve()
    return f"{path.stem or 'pictures'}-{short_hash([str(path), *overrides])}"


def _tell(failures: Sequence[DataError], total: int, source: str) -> None:
    """List the pictures that can't be read, each with why, and fail; nothing where there is none."""
    if failures and total == 1:
        raise failures[0]
    for error in failures:
        print(f"not read  {error.where}: {error.what}", flush=True)
    if failures:
        fix = "mend or remove those listed above; the others are labelled"
        raise DataError(f"{len(failures)} of {total} pictures can't be read", where=source, fix=fix)


def device(config: DictConfig) -> torch.device:
    """Where an evaluation would run: a GPU if there is one, unless `trainer.accelerator` says otherwise."""
    import torch

    wanted = config.trainer.get("accelerator", "auto") in ("auto", "gpu", "cuda")
    return torch.device("cuda" if wanted and torch.cuda.is_available() else "cpu")


def label(experiment: Experiment, chosen: Any, writers: Sequence[Any]) -> tuple[int, list[DataError]]:
    """Predict and write one picture after the other; returns how many there were, and why some can't be read, in their order."""
    failures: list[DataError] = []
    count = 0
    with ExitStack() as stack:
        for writer in writers:
            stack.enter_context(writer)
        for count, (name, short, image) in enumerate(chosen.pictures(experiment.task.data.in_channels), 1):
            try:
                if isinstance(image, DataError):
                    raise image
                prediction = predicted(experiment, image, name)
                for writer in writers:
                    writer.add(name, short, image, prediction)
            except DataError as error:  # one broken file doesn't cost the others their labels
                logging.getLogger(__name__).warning("%s", error)
                failures.append(DataError(error.what, where=error.where or name, fix=error.fix))
            if count % 20 == 0 or count == chosen.total:
                _progress(count, chosen.total, failures)
    if chosen.total is None and count % 20:
        _progress(count, None, failures)
    return count, failures


def _progress(count: int, total: int | None, failures: Sequence[DataError]) -> None:
    done = f"{count} frames" if total is None else f"{count}/{total} pictures"
    print(done + (f", {len(failures)} not read" if failures else ""), flush=True)


def predicted(experiment: Experiment, image: Tensor, name: str) -> Prediction:
    """Predict one picture, uint8 or int32 [C,H,W], as evaluation would see it; at the picture's size."""
    from torch import Tensor
    from torchvision import tv_tensors

    from segexp.datamodule import Item, collate, to_float
    from segexp.types import Targets

    model, size = experiment.task.model, tuple(image.shape[-2:])
    seen = experiment.datamodule.augment({"image": tv_tensors.Image(image), "meta": {"id": name, "size": size, "path": name}}, None)
    batch = collate([Item(seen["image"].as_subclass(Tensor), Targets(), None, size, name)]).to(next(model.parameters()).device)
    return model.predict(to_float(batch.images), batch.sizes, batch.original_sizes)[0]
