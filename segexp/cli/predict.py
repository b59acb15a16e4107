"""segexp predict <run> <image or folder> [overrides]: label pictures with a run's model.

  segexp predict 1a2b3c street.jpg
  segexp predict outputs/camvid_lite0/camvid-...-1a2b3c pictures/ weights.checkpoint=best
  segexp predict 1a2b3c data.split=test                  a split of the run's data set, also one without labels
  segexp predict 1a2b3c pictures/ protocol=multi_scale   at several scales, mirrored as well

Written to <run>/predictions/<name>-<id>/, a folder for each source and its overrides: labels/*.png (class ids as palette PNG,
original size), overlays/*.png, and for data sets whose own files have other values than class ids (Cityscapes, ADE20K)
exchange/*.png, as their servers want them. Pictures that can't be read are listed at the end; the others are labelled.

exit codes: 0 all are labelled, 1 a picture can't be read, 2 the command is wrong
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from segexp.cli.arguments import split
from segexp.cli.evaluate import named_run, short_hash
from segexp.cli.pictures import Files, Split
from segexp.errors import DataError

if TYPE_CHECKING:
    import torch
    from omegaconf import DictConfig
    from torch import Tensor

    from segexp.build import Experiment
    from segexp.types import DataSpec, Prediction

USAGE = "segexp predict <run> <image or folder> [overrides], or segexp predict <run> data.split=<split>"


def run(arguments: Sequence[str]) -> int:
    """Predict every picture."""
    name, source, overrides = _arguments(arguments)
    directory = named_run(name, overrides)
    files = Files(Path(source), USAGE) if source else None
    from segexp.runs.recompose import recompose

    config = recompose(directory.config, overrides)
    folder = directory.path / "predictions" / _title(source, config.data.split, overrides)
    print(f"loading torch and the model{f'; {len(files)} pictures' if files else ''}", flush=True)
    from segexp.build import trained
    from segexp.runs.execute import logged

    folder.mkdir(parents=True, exist_ok=True)
    with logged(folder / "log.txt"):
        config, experiment = trained(directory, overrides, data=files is None)
        experiment.task.model.to(device(config))
        chosen = files or Split(experiment.dataset.open(config.data.split), config.data.limit)
        failures = label(experiment, chosen, folder)
    if len(failures) < len(chosen):
        print(f"written to {folder}", flush=True)
    _tell(failures, len(chosen), source or f"data.split={config.data.split}")
    return 0


def _arguments(arguments: Sequence[str]) -> tuple[str, str | None, list[str]]:
    """The run, the pictures if any are named, the overrides."""
    of_a_split = any(a.startswith("data.split=") for a in arguments) and sum("=" not in a for a in arguments) == 1
    named, overrides, _ = split(arguments, positional=1 if of_a_split else 2, usage=USAGE)
    if not any(o.startswith("data.limit=") for o in overrides):  # of a run that trained on a part, too
        overrides = ["data.limit=null", *overrides]
    return named[0], None if of_a_split else named[1], overrides


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


def label(experiment: Experiment, chosen: Files | Split, folder: Path) -> list[DataError]:
    """Predict and write one picture after the other; returns why some can't be read, in their order."""
    failures, spec = [], experiment.task.data
    for index, name in enumerate(chosen.names):
        try:
            image = chosen.image(index, spec.in_channels)
        except DataError as error:  # one broken file doesn't cost the others their labels
            logging.getLogger(__name__).warning("%s", error)
            failures.append(DataError(error.what, where=error.where or name, fix=error.fix))
        else:
            write(folder, name, chosen.short[index], image, predicted(experiment, image, name), spec)
        if (index + 1) % 20 == 0 or index + 1 == len(chosen):
            print(f"{index + 1}/{len(chosen)} pictures" + (f", {len(failures)} not read" if failures else ""), flush=True)
    return failures


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


def write(folder: Path, name: str, short: str, image: Tensor, prediction: Prediction, spec: DataSpec) -> None:
    """The files of one picture.

    Args:
        folder: holds `labels`, `overlays` and `exchange`.
        name: of the files in the first two.
        short: of that in `exchange`.
        image: uint8 or int32 [C,H,W].
        prediction: at the image's size.
        spec: the data set's classes, and their values in its own files.
    """
    from torchvision.io import write_png

    from segexp.formats.exchange import write_values_png
    from segexp.formats.index_png import write_index_png
    from segexp.visualize.paint import paint
    from segexp.visualize.visible import visible

    for part in ("labels", "overlays", *(["exchange"] if spec.values else [])):
        (folder / part).mkdir(exist_ok=True)
    if prediction.semantic is not None:
        write_index_png(folder / "labels" / f"{name}.png", prediction.semantic, spec)
        if spec.values:
            write_values_png(folder / "exchange" / f"{short}.png", prediction.semantic, spec.values)
    write_png(paint(visible(image), prediction, spec), str(folder / "overlays" / f"{name}.png"))
