"""segexp predict <run> <image or folder> [overrides]: label pictures with a run's model.

  segexp predict 1a2b3c street.jpg
  segexp predict outputs/camvid_lite0/camvid-...-1a2b3c pictures/ weights.checkpoint=best
  segexp predict 1a2b3c data.split=test                  a split of the run's data set, also one without labels
  segexp predict 1a2b3c pictures/ protocol=multi_scale   at several scales, mirrored as well

Written to <run>/predictions/<name>/: labels/*.png (class ids as palette PNG, original size), overlays/*.png, and for data
sets whose own files have other values than class ids (Cityscapes, ADE20K) exchange/*.png, as their servers want them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from segexp.cli.arguments import split
from segexp.cli.evaluate import named_run
from segexp.cli.pictures import Files, Split

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
    title = (Path(source).resolve().stem or "pictures") if source else f"split-{config.data.split}"
    folder = directory.path / "predictions" / title
    print(f"loading torch and the model{f'; {len(files)} pictures' if files else ''}", flush=True)
    from segexp.build import trained
    from segexp.runs.execute import logged

    folder.mkdir(parents=True, exist_ok=True)
    with logged(folder / "log.txt"):
        config, experiment = trained(directory, overrides, data=files is None)
        experiment.task.model.to(device(config))
        chosen = files or Split(experiment.dataset.open(config.data.split), config.data.limit)
        for number, (image, prediction) in enumerate(predictions(experiment, chosen)):
            write(folder, chosen.names[number], chosen.short[number], image, prediction, experiment.task.data)
            if (number + 1) % 20 == 0 or number + 1 == len(chosen):
                print(f"{number + 1}/{len(chosen)} pictures", flush=True)
    print(f"written to {folder}")
    return 0


def _arguments(arguments: Sequence[str]) -> tuple[str, str | None, list[str]]:
    """The run, the pictures if any are named, the overrides."""
    of_a_split = any(a.startswith("data.split=") for a in arguments) and sum("=" not in a for a in arguments) == 1
    named, overrides, _ = split(arguments, positional=1 if of_a_split else 2, usage=USAGE)
    if not any(o.startswith("data.limit=") for o in overrides):  # of a run that trained on a part, too
        overrides = ["data.limit=null", *overrides]
    return named[0], None if of_a_split else named[1], overrides


def device(config: DictConfig) -> torch.device:
    """Where an evaluation would run: a GPU if there is one, unless `trainer.accelerator` says otherwise."""
    import torch

    wanted = config.trainer.get("accelerator", "auto") in ("auto", "gpu", "cuda")
    return torch.device("cuda" if wanted and torch.cuda.is_available() else "cpu")


def predictions(experiment: Experiment, chosen: Files | Split) -> Iterator[tuple[Tensor, Prediction]]:
    """Predict one picture after the other, each as evaluation would see it: (image as it was read, prediction)."""
    from torch import Tensor
    from torchvision import tv_tensors

    from segexp.datamodule import Item, collate, to_float
    from segexp.types import Targets

    model = experiment.task.model
    place = next(model.parameters()).device
    for index, name in enumerate(chosen.names):
        image = chosen.image(index, experiment.task.data.in_channels)
        size = tuple(image.shape[-2:])
        seen = experiment.datamodule.augment({"image": tv_tensors.Image(image), "meta": {"id": name, "size": size, "path": name}}, None)
        batch = collate([Item(seen["image"].as_subclass(Tensor), Targets(), None, size, name)]).to(place)
        yield image, model.predict(to_float(batch.images), batch.sizes, batch.original_sizes)[0]


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

    from segexp.callbacks.panels import visible
    from segexp.datamodule import to_float
    from segexp.formats.exchange import write_values_png
    from segexp.formats.index_png import write_index_png
    from segexp.visualize.paint import paint

    for part in ("labels", "overlays", *(["exchange"] if spec.values else [])):
        (folder / part).mkdir(exist_ok=True)
    if prediction.semantic is not None:
        write_index_png(folder / "labels" / f"{name}.png", prediction.semantic, spec)
        if spec.values:
            write_values_png(folder / "exchange" / f"{short}.png", prediction.semantic, spec.values)
    picture = visible(to_float(image), tuple(image.shape[-2:]))
    write_png(paint(picture, prediction, spec), str(folder / "overlays" / f"{name}.png"))
