"""segexp predict <run> <image or folder> [overrides]: label pictures with a run's model.

  segexp predict 1a2b3c street.jpg
  segexp predict outputs/camvid_lite0/camvid-...-1a2b3c pictures/ weights.checkpoint=best

Written to <run>/predictions/<name>/: labels/*.png (class ids as palette PNG, original size) and overlays/*.png.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from segexp.cli.arguments import split
from segexp.cli.evaluate import named_run
from segexp.errors import ConfigError

if TYPE_CHECKING:
    from segexp.build import Experiment
    from segexp.types import Prediction

USAGE = "segexp predict <run> <image or folder> [overrides]"
PICTURES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".ppm"})


def run(arguments: Sequence[str]) -> int:
    """Predict every picture."""
    (name, source), overrides, _ = split(arguments, positional=2, usage=USAGE)
    directory = named_run(name, overrides)
    files = pictures(Path(source))
    from segexp.runs.recompose import recompose

    recompose(directory.config, overrides)
    print(f"loading torch and the model; {len(files)} pictures", flush=True)
    from torchvision.io import write_png

    from segexp.build import trained
    from segexp.formats.index_png import write_index_png
    from segexp.functional.images import read_image
    from segexp.runs.execute import logged
    from segexp.visualize.paint import paint

    folder = directory.path / "predictions" / (Path(source).resolve().stem or "pictures")
    for part in ("labels", "overlays"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    with logged(folder / "log.txt"):
        _, experiment = trained(directory, overrides)
        spec, names = experiment.task.data, named(files, Path(source))
        for number, (file, prediction) in enumerate(predictions(experiment, files), 1):
            stem = names[file]
            if prediction.semantic is not None:
                write_index_png(folder / "labels" / f"{stem}.png", prediction.semantic, spec)
            write_png(paint(read_image(file), prediction, spec), str(folder / "overlays" / f"{stem}.png"))
            if number % 20 == 0 or number == len(files):
                print(f"{number}/{len(files)} pictures", flush=True)
    print(f"written to {folder}")
    return 0


def pictures(source: Path) -> list[Path]:
    """The image files at a path, folders searched to any depth.

    Raises:
        ConfigError: there is no picture.
    """
    if source.is_dir():
        found = sorted(p for p in source.rglob("*") if p.suffix.lower() in PICTURES and p.is_file())
        if not found:
            raise ConfigError("the folder holds no picture", where=str(source), fix=f"pictures end in {' '.join(sorted(PICTURES))}")
        return found
    if not source.is_file():
        raise ConfigError("there is no such file or folder", where=str(source), fix=USAGE)
    if source.suffix.lower() not in PICTURES:
        raise ConfigError(
            f"{source.suffix or 'a file without ending'} is no picture", where=str(source), fix=f"one of {' '.join(sorted(PICTURES))}"
        )
    return [source]


def named(files: Sequence[Path], source: Path) -> dict[Path, str]:
    """A name for what is written of each picture; one that two pictures would share keeps its ending."""
    whole = {f: "__".join(f.relative_to(source).parts) if source.is_dir() else f.name for f in files}
    plain = Counter(Path(name).stem for name in whole.values())
    return {f: Path(name).stem if plain[Path(name).stem] == 1 else name.replace(".", "_") for f, name in whole.items()}


def predictions(experiment: Experiment, files: Sequence[Path]) -> Iterator[tuple[Path, Prediction]]:
    """Predict one picture after the other, each as evaluation would see it."""
    from torch import Tensor
    from torchvision import tv_tensors

    from segexp.datamodule import Item, collate, to_float
    from segexp.functional.images import read_image
    from segexp.types import Targets

    model = experiment.task.model
    device = next(model.parameters()).device
    for file in files:
        image = read_image(file)
        size = tuple(image.shape[-2:])
        seen = experiment.datamodule.augment(
            {"image": tv_tensors.Image(image), "meta": {"id": file.name, "size": size, "path": str(file)}}, None
        )
        batch = collate([Item(seen["image"].as_subclass(Tensor), Targets(), None, size, file.name)]).to(device)
        yield file, model.predict(to_float(batch.images), batch.sizes, batch.original_sizes)[0]
