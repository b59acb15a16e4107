"""segexp import <checkpoint> [scheme=auto] [overrides]: a checkpoint of another project becomes a run.

  segexp import deeplabv3_resnet101_coco.pth model=deeplabv3 backbone=resnet101 head=semantic_aux loss=auxiliary \\
    data=voc paths.data=<folder>
  segexp import best.pth model=deeplabv3plus backbone=resnet50 data=cityscapes scheme=smp

The overrides build the model that the weights are for; where they don't fit, the error says what the file looks like. The data
set gives the classes, and its files needn't be there. Only plain tensors are read: .safetensors, or what torch loads with
weights_only=True. scheme=tv|timm|smp|vf|kaz|bow|d2 says whose names the weights have; auto goes by the names.

The run is done: segexp evaluate, segexp predict and segexp.build.load take it, weights.file=run:<id> starts from it. Its
import.json names each weight of the file with its place, and those that are left over because they serve training only.
  weights.skip_head=true   leave out the head: for other classes, to train from
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segexp.cli.arguments import split
from segexp.errors import ConfigError

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from segexp.build import Experiment
    from segexp.runs.directory import RunDirectory
    from segexp.weights.foreign import Imported

USAGE = "segexp import <checkpoint> [scheme=auto] [overrides]"


def run(arguments: Sequence[str]) -> int:
    """Import a checkpoint."""
    (name,), typed, _ = split(arguments, positional=1, usage=USAGE)
    scheme = next((argument.partition("=")[2] for argument in reversed(typed) if argument.startswith("scheme=")), "auto")
    overrides = [argument for argument in typed if not argument.startswith("scheme=")]
    file = Path(name)
    config = _composed(file, overrides)
    from segexp.runs.directory import RunDirectory, probe
    from segexp.runs.execute import finished
    from segexp.runs.lock import held

    directory = RunDirectory.of(config, Path(config.paths.outputs))
    if finished(directory) is not None:
        print(f"{directory.path} is imported already")
        return 0
    print("loading torch and the weights", flush=True)
    experiment, report = _filled(config, file, scheme)  # whatever doesn't fit is said before anything is written
    probe(directory.outputs)
    directory.path.mkdir(parents=True, exist_ok=True)
    with held(directory.lock):
        _write(directory, config, typed, file, experiment, report)
    _tell(directory, experiment, report)
    return 0


def _composed(file: Path, overrides: Sequence[str]) -> DictConfig:
    """The config of the run: that of its model, with the digest of the file, so that another file makes another run."""
    from segexp.config import compose, resolve
    from segexp.runs.settings import check_settings
    from segexp.weights.checkpoints import require_file, sha256

    if any(override.partition("=")[0] == "weights.file" for override in overrides):
        raise ConfigError("the weights are those of the checkpoint", where="weights.file", fix="leave weights.file out")
    require_file(file)
    config = compose("train", [*overrides, f"weights.imported={sha256(file)}"])
    resolve(config)
    check_settings(config)
    return config


def _filled(config: DictConfig, file: Path, scheme: str) -> tuple[Experiment, Imported | None]:
    """The experiment of a config with the file's weights."""
    from segexp.build import build, prepare
    from segexp.weights.foreign import load_weights
    from segexp.weights.load import HEAD

    if scheme != "auto":
        from segexp.weights.schemes import scheme_named

        scheme_named(scheme)
    prepare(config)
    experiment = build(config, weights=False)
    return experiment, load_weights(experiment.task.model, file, scheme=scheme, without=HEAD if config.weights.skip_head else None)


def _write(
    directory: RunDirectory, config: DictConfig, typed: Sequence[str], file: Path, experiment: Experiment, report: Imported | None
) -> None:
    """The files of a run that is done: the config, where the weights come from, and they themselves as its last checkpoint."""
    import shlex

    from segexp.functional.files import write_atomic, write_json
    from segexp.runs.identity import identity
    from segexp.runs.manifest import manifest
    from segexp.weights.checkpoints import name_of, point, write

    command = shlex.join(["segexp", "import", str(file), *typed])
    source = {"source": str(file), "file": str(file.absolute()), "sha256": config.weights.imported}
    source |= {"without": "head." if config.weights.skip_head else None, "scheme": report.scheme if report else "segexp"}
    found = {"command": command, "spec": experiment.task.data.to_dict(), "frozen": experiment.frozen, "parent": source}
    directory.begin(config, typed, manifest(config, identity(config), typed) | found)
    write_atomic(directory.overrides, command + "\n")
    write_json(directory.path / "import.json", source | (report.as_dict() if report else {}))
    state = {f"model.{name}": value for name, value in experiment.task.model.state_dict().items()}
    record = {"step": 0, "files": {"metrics.jsonl": 0}}
    write(directory.checkpoints / f"{name_of(0)}.ckpt", {"state_dict": state}, record)
    point(directory.checkpoints, "last", name_of(0))
    directory.finish(_result(config, experiment, directory))


def _result(config: DictConfig, experiment: Experiment, directory: RunDirectory) -> dict[str, Any]:
    """What `result.json` has of a run that was never trained here: no figures."""
    from segexp.report.record import read_run, settings

    parameters = sum(p.numel() for p in experiment.task.model.parameters())
    figures = {"val": {}, "monitor": config.monitor, "best": None, "curves": {}, "config": settings(read_run(directory.path).config)}
    return figures | {"steps": 0, "seconds": 0.0, "speed": None, "parameters": parameters}


def _tell(directory: RunDirectory, experiment: Experiment, report: Imported | None) -> None:
    """What was done, and what to do next."""
    parameters = sum(p.numel() for p in experiment.task.model.parameters())
    if report:
        print(
            f"{len(report.placed.places)} weights by {report.title}'s names (scheme={report.scheme}), {parameters / 1e6:.2f} M parameters"
        )
        for kind, names in (("left out", report.skipped), ("not used, because they serve training only", report.idle)):
            if names:
                print(f"{kind}: {', '.join(names)}")
        if report.fresh:
            print(f"random: {', '.join(report.fresh)}")
    print(f"run       {directory.path}")
    print(f"next      segexp evaluate {directory.id}")
