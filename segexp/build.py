"""The composition root: the only place where a stage meets the next.

    backbone(data) -> decoder(backbone.spec) -> head(decoder.spec, data) -> loss(data) -> postprocess(data) -> metrics(data)

A chain is built on the meta device first: whatever doesn't fit is refused before weights are made or data are opened.
"""

from __future__ import annotations

import functools
import logging
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning import Trainer
from pytorch_lightning.loggers.logger import Logger
from torch import nn

from segexp.augmentation.mixing import check_mixing
from segexp.callbacks.checkpoint import Checkpoint, PlainCheckpointIO
from segexp.callbacks.confusion import ConfusionFile
from segexp.callbacks.evaluation import EvaluationCallback, RunInfo
from segexp.callbacks.guarded import Guarded
from segexp.callbacks.metrics_file import MetricsFile
from segexp.callbacks.records import PerImageRecords
from segexp.callbacks.speed import Speed
from segexp.check.options import built_options, topped
from segexp.config import complete, make, outputs_dir, resolve
from segexp.data.folds import Folds
from segexp.data.inside import fenced
from segexp.datamodule import DataModule, LoaderOptions
from segexp.doctor.survey import survey
from segexp.errors import ConfigError, WeightsError, WiringError
from segexp.functional.bands import MAX_PIXELS, limit_pixels
from segexp.functional.files import read_json
from segexp.functional.interpreters import usable_cores
from segexp.functional.keys import key
from segexp.functional.orders import repeat_factors
from segexp.layers.renorm import renorm
from segexp.metrics.several import Metrics
from segexp.model import Model
from segexp.optim.compiled import compile_stages
from segexp.optim.recompute import check_checkpoint, checkpoint_stages
from segexp.optim.stages import check_freeze, freeze_stages
from segexp.overrides import suggest
from segexp.probe import check_levels, unreached
from segexp.ranks.layout import Layout, layout, ranks_of
from segexp.runs.directory import RunDirectory
from segexp.runs.find import find
from segexp.runs.recompose import recompose
from segexp.runs.settings import check_settings
from segexp.strategies.environment import Ranks
from segexp.strategies.sync_norm import SyncNorm
from segexp.task import Task
from segexp.types import DataSpec
from segexp.weights.checkpoints import newest, pointed, sha256
from segexp.weights.foreign import backbone_part, load_weights
from segexp.weights.load import load_model, read_state
from segexp.wiring import check, fits

log = logging.getLogger(__name__)

STAGES = ("backbone", "decoder", "head", "loss", "postprocess", "metrics")
STEP_POLICIES = ("on_oom", "skip_nonfinite", "compile")  # of the section `trainer`: for this project, not for Lightning
PIXELS = ("mean", "std")  # of the section `backbone`, as the machinery is: how images are normalised
BACKBONE_MACHINERY = ("freeze", "norm_eval", "checkpoint_stages", *PIXELS)  # of `backbone`: for any, not for its constructor
CARE = ("on_bad", "max_bad", "allow_overlap", "allow_outside", "max_pixels")  # of the section `data`: what is borne
DATA_MACHINERY = ("split", "limit", "folds", "fold", "fold_seed", "sampling", "loader", *CARE)  # not for the data set itself


@dataclass
class Chain:
    """Stages that fit each other."""

    model: Model
    loss: Any
    metrics: Metrics


@dataclass
class Experiment:
    """Everything that a run needs."""

    dataset: Any
    task: Task
    datamodule: DataModule
    frozen: list[str]  # parameters that the loss can't reach
    parent: dict[str, Any] | None = None  # where its weights come from, if from a file or a run


def chain(
    spec: DataSpec,
    *,
    backbone: Callable[..., nn.Module],
    decoder: Callable[..., nn.Module],
    head: Callable[..., nn.Module],
    loss: Callable[..., Any],
    postprocess: Callable[..., Any],
    metrics: Mapping[str, Callable[..., Any]],
    protocol: Any = None,
    fusion: Callable[..., Any] | None = None,
    norm: Mapping[str, Any] | None = None,
    pixels: Mapping[str, Sequence[float] | None] | None = None,
    alternatives: Callable[..., Mapping[str, Any]] | None = None,
    annotations: Callable[[], Mapping[str, DataSpec]] | None = None,
) -> Chain:
    """Complete each stage with what the one before it says of itself.

    Args:
        spec: the classes.
        backbone, decoder, head, loss, postprocess, metrics: the stages, lacking only what they get here.
        protocol: how an evaluation predicts images; in one pass unless given.
        fusion: how the network is run on an image, lacking only the head; once unless given.
        norm: of the whole model, see `segexp.layers.renorm`.
        pixels: `mean` and `std` that images are normalised by, in grey levels of 0..255 per channel; the backbone's own
            where one isn't given.
        alternatives: `(group, spec, features) -> built options`, for the message of an error.
        annotations: the classes with each annotation that the data set can be read with, for the message, too.

    Raises:
        WiringError: links that don't fit, all at once.
    """
    body = complete(backbone, spec)
    _normalise_by(body, spec, pixels or {})
    neck = complete(decoder, body.spec)
    levels = {**body.spec, **neck.spec}
    top, criterion, finish = topped(head, spec, body.spec, levels, alternatives), complete(loss, spec), complete(postprocess, spec)
    figures = Metrics({name: complete(metric, spec) for name, metric in metrics.items()})
    others = functools.partial(alternatives, spec=spec, features=levels) if alternatives else None
    mixed = complete(fusion, top) if fusion else None
    last = mixed or top  # what emits the output
    check(spec, last, criterion, finish, figures, alternatives=others, annotations=annotations)
    if protocol is not None and not fits(last.output_type, protocol.accepts):
        what = f"{type(protocol).__name__} averages {protocol.accepts.__name__}, which {type(last).__name__} doesn't emit"
        raise WiringError(what, where="protocol", fix="what fits here: protocol=whole")
    model = Model(body, neck, top, finish, protocol, mixed)
    renorm(model, **norm or {})
    return Chain(model, criterion, figures)


def _normalise_by(backbone: Any, spec: DataSpec, pixels: Mapping[str, Sequence[float] | None]) -> None:
    for name, values in pixels.items():
        if values is None:
            continue
        numbers = isinstance(values, Sequence) and all(isinstance(v, int | float) for v in values) and (name == "mean" or min(values) > 0)
        if not numbers or len(values) != spec.in_channels:
            wanted = f"{spec.in_channels} {'positive ' if name == 'std' else ''}grey levels of 0 to 255, one per channel, are wanted"
            example = ",".join(["127.5"] * spec.in_channels)
            raise ConfigError(wanted, where=f"backbone.{name}={values}", fix=f"backbone.{name}=[{example}]")
        setattr(backbone, name, tuple(value / 255 for value in values))


def open_dataset(config: DictConfig) -> Any:
    """The data set of a config, or one fold of it; no file is read yet."""
    section = resolve(config)["data"]
    limit_pixels(section.get("max_pixels", MAX_PIXELS))
    dataset = fenced(make({name: value for name, value in section.items() if name not in DATA_MACHINERY}, key="data"), section)
    if section.get("folds") is None:
        return dataset
    return Folds(dataset, section["folds"], section["fold"], section["fold_seed"])


def sampling(config: DictConfig, dataset: Any) -> Callable[[], torch.Tensor] | None:
    """What gives the weights of training samples; None where all are drawn equally often.

    Raises:
        ConfigError: there is no such way to draw them.
    """
    section = resolve(config)["data"]
    way = section.get("sampling", "uniform")
    if way not in ("uniform", "balanced"):
        raise ConfigError("no such way to draw samples", where=f"data.sampling={way}", fix="data.sampling=uniform|balanced")
    if way == "uniform":
        return None
    return functools.partial(_balanced, dataset, Path(config.paths.outputs) / ".cache", section["limit"], section["loader"]["workers"])


def _balanced(dataset: Any, cache: Path, limit: int | None, workers: int) -> torch.Tensor:
    print("data.sampling=balanced: counting the classes of the training images, once", flush=True)
    return repeat_factors(torch.from_numpy(survey(dataset, "train", cache, workers=workers, limit=limit).pixels.copy()))  # contiguous


def stages(config: DictConfig) -> dict[str, Any]:
    """The stages of a config as callables that `chain` completes."""
    if not config.get("metrics"):
        raise ConfigError("no metrics are chosen", where="metrics", fix="metrics=[semantic]")
    body = {name: value for name, value in resolve(config)["backbone"].items() if name not in BACKBONE_MACHINERY}
    found = {name: make(body if name == "backbone" else config[name], key=name) for name in STAGES}
    norm = OmegaConf.to_container(config.norm) if config.get("norm") else None
    pixels = {name: resolve(config)["backbone"].get(name) for name in PIXELS}
    return found | {"norm": norm, "pixels": pixels} | {name: make(config.get(name), key=name) for name in ("protocol", "fusion")}


def checked(config: DictConfig, spec: DataSpec) -> Chain:
    """The chain on the meta device: refuses what doesn't fit, and levels that aren't what they claim.

    Raises:
        WiringError: names the broken links, and for each the options that fit.
    """
    with torch.device("meta"):
        found = chain(spec, **stages(config), alternatives=built_options, annotations=functools.partial(_annotations, config, spec))
        check_levels(found.model, spec)
        check_freeze(**_frozen_part(config), backbone=found.model.backbone)
        if config.get("mixing"):
            make(config.mixing, key="mixing")
            check_mixing(found.model.head.needs | found.loss.needs)
        compiled = OmegaConf.select(config, "trainer.compile", default=False)
        check_checkpoint(config.backbone.get("checkpoint_stages", 0), found.model.backbone, compiled=compiled)
    return found


def check_scalars(config: DictConfig, found: Chain) -> None:
    """Refuse a seed that is no whole number, and a monitor that no metric of the chain gives.

    Raises:
        ConfigError: names the key and what it can be.
    """
    if not isinstance(config.seed, int) or isinstance(config.seed, bool):
        raise ConfigError("the seed must be a whole number", where=f"seed={config.seed}", fix="seed=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # figures of nothing are NaN; only their names count here
        figures = ["val/loss", *(f"val/{name}" for name in found.metrics.compute())]
    if config.monitor is not None and config.monitor not in figures and not str(config.monitor).startswith("val/loss/"):
        fits = [*suggest(str(config.monitor), figures), *(name for name in figures if name.count("/") == 1)]
        raise ConfigError("no metric gives this figure", where=f"monitor={config.monitor}", fix=f"monitor={'|'.join(dict.fromkeys(fits))}")


def vet(config: DictConfig, spec: DataSpec | None = None) -> Chain:
    """Refuse a chain that doesn't fit, without weights or data; returns it, on the meta device.

    Args:
        config: as of `build`.
        spec: the classes; the data set's own unless given.

    Raises:
        ConfigError, WiringError: what doesn't fit, and what would.
    """
    found = checked(config, spec or open_dataset(config).spec)
    check_scalars(config, found)
    return found


def build(config: DictConfig, *, spec: DataSpec | None = None, weights: bool = True, vetted: bool = False) -> Experiment:
    """All parts of an experiment from its config.

    Args:
        config: what `segexp.config.compose("train", ...)` gives.
        spec: the classes that the model is built for; the data set's own unless given (an evaluation gives those of
            the training).
        weights: load the weights that training starts from; False where a checkpoint follows.
        vetted: `vet` has been called.

    Raises:
        ConfigError, WiringError, WeightsError: before any data are opened.
    """
    section, dataset = resolve(config)["data"], open_dataset(config)
    spec = spec or dataset.spec
    if not vetted:
        vet(config, spec)
    torch.manual_seed(key(config.seed, "init"))
    parts = chain(spec, **stages(config))
    parent = load_first(parts.model, config) if weights else None
    freeze_stages(parts.model, **_frozen_part(config))
    frozen = unreached(parts.model, parts.loss, spec)
    for name in frozen:
        parts.model.get_parameter(name).requires_grad_(False)
    if frozen:
        log.info("frozen, because the loss can't reach them: %s", ", ".join(frozen))
    checkpoint_stages(parts.model.backbone, config.backbone.get("checkpoint_stages", 0))
    parts.model.to(memory_format=torch.channels_last)
    if OmegaConf.select(config, "trainer.compile", default=False):
        compile_stages(parts.model)
    make_optimizer, make_scheduler = (functools.partial(complete, make(config[g], key=g)) for g in ("optimizer", "scheduler"))
    task = Task(
        parts.model,
        parts.loss,
        parts.metrics,
        spec,
        optimizer=make_optimizer,
        scheduler=make_scheduler,
        seed=config.seed,
        skip_nonfinite=OmegaConf.select(config, "trainer.skip_nonfinite", default=0),
    )
    datamodule = DataModule(
        dataset,
        make(config.augmentation),
        LoaderOptions(**section["loader"]),
        seed=config.seed,
        needs=frozenset(parts.model.head.needs | parts.loss.needs),
        truth=frozenset(parts.metrics.needs),
        count=parts.loss.count,
        split=section["split"],
        limit=section["limit"],
        weights=sampling(config, dataset),
        mixing=make(config.get("mixing"), key="mixing"),
        on_bad=section.get("on_bad", "error"),
        max_bad=section.get("max_bad", 100),
        allow_overlap=section.get("allow_overlap", False),
    )
    return Experiment(dataset, task, datamodule, frozen, parent)


def trainer(config: DictConfig, run: RunInfo, *, training: bool, pieces: int = 1) -> Trainer:
    """Lightning's Trainer of a config; what is written goes into the run's folder.

    Args:
        config: the composed config.
        run: the run, or the evaluation.
        training: with loggers and all callbacks; otherwise only with those of an evaluation.
        pieces: each training batch is cut into so many, whose gradients are accumulated.
    """
    section = {name: value for name, value in resolve(config)["trainer"].items() if name not in STEP_POLICIES}
    mine = layout(config) if training else Layout()  # an evaluation is one process's, however the run was trained
    if not training:
        section |= {"devices": 1, "num_nodes": 1, "strategy": "auto"}
    if section.get("strategy") == "fsdp":
        section["strategy"] = _sharded() if mine.world > 1 else "auto"
    section["accumulate_grad_batches"] = section.get("accumulate_grad_batches", 1) * pieces
    for name in ("limit_train_batches", "val_check_interval"):  # which Lightning counts in pieces
        if isinstance(section.get(name), int):
            section[name] *= pieces
    callbacks = [c(run) if isinstance(c, functools.partial) else c for c in _parts(config.callbacks)]
    callbacks.sort(key=lambda callback: not isinstance(callback, Checkpoint))  # first: see there
    if training and not any(isinstance(callback, Checkpoint) for callback in callbacks):
        fix = "leave callbacks.checkpoint as it is; callbacks.checkpoint.every_n_train_steps=<many> writes few"
        raise ConfigError("a run without checkpoints can't be stopped or go on", where="callbacks", fix=fix)
    if not training:
        callbacks = [c for c in callbacks if isinstance(c, EvaluationCallback)]
    loggers: list[Logger] = []
    if training and mine.rank == 0:  # one record of a run, whatever the number of ranks
        loggers = [MetricsFile(run.folder / "metrics.jsonl")]
        loggers += [Guarded(functools.partial(tracker, save_dir=str(run.folder))) for tracker in _parts(config.logger)]
    settings = {"num_sanity_val_steps": 0, "use_distributed_sampler": False, "default_root_dir": str(run.folder)}
    plugins: list[Any] = [PlainCheckpointIO(), Ranks(mine.world, mine.local, mine.rank)]
    if section.pop("sync_batchnorm", False):
        plugins.append(SyncNorm())
    quiet = {"enable_progress_bar": False, "enable_checkpointing": False, "enable_model_summary": False}
    return complete(
        make(section, key="trainer"),
        logger=loggers or False,
        callbacks=[*callbacks, Speed(), PerImageRecords(run), ConfusionFile(run)],
        plugins=plugins,
        **settings,
        **quiet,
    )


def _sharded() -> Any:
    from segexp.strategies.sharded import ShardedStrategy  # here: it takes a third of a second, and few runs want it

    return ShardedStrategy()


def threads_of(config: DictConfig) -> int:
    """Torch's threads in a process of the run: as the config says, or the environment, or the cores shared out among ranks."""
    local = ranks_of(config)[1]
    if config.run.threads or local == 1 or "OMP_NUM_THREADS" in os.environ:
        return config.run.threads or torch.get_num_threads()
    return max(1, usable_cores() // local)


def prepare(config: DictConfig) -> None:
    """Set what holds for the whole process: threads and determinism."""
    check_settings(config)
    torch.set_num_threads(threads_of(config))
    torch.use_deterministic_algorithms(config.determinism == "strict")


def trained(run: RunDirectory, overrides: Sequence[str] = (), *, data: bool = True) -> tuple[DictConfig, Experiment]:
    """The experiment of a run with its trained weights, the model in eval mode.

    Args:
        run: its directory.
        overrides: of what doesn't change the model (see `segexp.runs.recompose`).
        data: the data set is going to be read, and must have the training's classes; without, it needn't be there.

    Raises:
        ConfigError: an override isn't allowed, or the data set has other classes than the training's.
        WeightsError: there is no checkpoint, or it doesn't fit.
    """
    config = recompose(run.config, overrides)
    config.monitor = None  # no checkpoint is chosen by it any more, and other metrics may be asked for
    prepare(config)
    plain = read_json(run.manifest).get("spec")
    if plain is None:
        raise WeightsError("the run never got as far as building its model", where=str(run.path), fix="train it: see its report.html")
    found = build(config, spec=DataSpec.from_dict(plain), weights=False)  # the run's own follow
    if data and found.dataset.spec.names != found.task.data.names:
        theirs = ", ".join(found.dataset.spec.names)
        raise ConfigError(
            f"the data set's classes ({theirs}) aren't those of the training ({', '.join(found.task.data.names)})",
            where="data",
            fix="evaluate on a data set with the same classes in the same order",
        )
    checkpoint = pointed(run.checkpoints, config.weights.checkpoint)
    if checkpoint is None:
        raise WeightsError(f"no {config.weights.checkpoint} checkpoint", where=str(run.checkpoints), fix="weights.checkpoint=last|best")
    load_model(found.task.model, checkpoint)
    found.task.model.eval()
    return config, found


def load(run: str | Path, overrides: Sequence[str] = (), *, outputs: str | Path | None = None) -> Model:
    """A trained model, ready to be called: `model(images)` gives the head's output, `model.predict(images)` predictions.

    Args:
        run: a run's directory or its id.
        overrides: e.g. `["backbone.output_stride=8"]`.
        outputs: where ids are looked up; `paths.outputs` unless given.
    """
    return trained(find(str(run), Path(outputs) if outputs else outputs_dir()), overrides, data=False)[1].task.model


def load_backbone(backbone: Any, outputs: Path) -> None:
    """Fill a backbone with the weights that its key `weights` names: `hub`, a file, or `run:<directory or id>`."""
    source = getattr(backbone, "weights", None)
    if not source:
        return
    if source == "hub":
        state = backbone.hub_state()
    else:
        state = backbone_part(read_state(_weights_file(source, outputs)), getattr(backbone, "net", backbone).state_dict())
    left = backbone.load(state, source)
    log.info("backbone weights from %s; not used: %s", source, ", ".join(left) or "none")


def load_first(model: Model, config: DictConfig) -> dict[str, Any] | None:
    """The weights that training starts from: the backbone's own, and over them those of `weights.file`.

    Returns:
        For the manifest, where the weights come from: {"source", "file", "sha256", "without"}, and of a foreign file the
        "scheme" of its names; None without `weights.file`.
    """
    outputs = Path(config.paths.outputs)
    load_backbone(model.backbone, outputs)
    source = OmegaConf.select(config, "weights.file")
    if not source:
        return None
    file, without = _weights_file(source, outputs), "head." if config.weights.skip_head else None
    report = load_weights(model, file, without=without)
    parent = {"source": source, "file": str(file), "sha256": sha256(file), "without": without}
    return parent | ({"scheme": report.scheme} if report else {})


def _frozen_part(config: DictConfig) -> dict[str, Any]:
    """What of the backbone doesn't train: `freeze`, so many stages; `norm_eval`, all its BatchNorms' statistics."""
    return {"freeze": config.backbone.get("freeze", 0), "norm_eval": config.backbone.get("norm_eval", False)}


def _weights_file(source: str, outputs: Path) -> Path:
    """The file that `run:<id or directory>` or a path means."""
    if not source.startswith("run:"):
        return Path(source)
    run = find(source.removeprefix("run:"), outputs)
    if (state := run.state()) != "done":
        fix = f"finish it first, or name one of its checkpoints: {run.checkpoints}/step-<n>.ckpt"
        raise WeightsError(f"the run is {state}: its last weights are still to come", where=str(run.path), fix=fix)
    checkpoint, faults = newest(run.checkpoints)
    if checkpoint is None:
        why = f"none of its checkpoints is valid: {faults[0].what}" if faults else "it has no checkpoint"
        raise WeightsError(f"the run can't be started from: {why}", where=str(run.path), fix="train it first")
    return checkpoint


def _parts(section: DictConfig | None) -> list[Any]:
    """The objects of a group of named nodes; a node set to null is left out."""
    return [make(node) for node in (section or {}).values() if node is not None]


def _annotations(config: DictConfig, spec: DataSpec) -> dict[str, DataSpec]:
    """The data set by its annotations; nothing where the classes aren't its own, but of the training that is evaluated."""
    dataset = open_dataset(config)
    source = dataset.dataset if isinstance(dataset, Folds) else dataset
    kinds = getattr(source, "annotations", {}) if source.spec == spec else {}
    return {name: replace(spec, provides=frozenset({kind})) for name, kind in kinds.items()}
