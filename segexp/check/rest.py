"""What only the built parts, the disk and the machine can tell of a config before its run: the second half of `segexp check`.

Each part is looked at once for all jobs that have it alike; a part that fails is told once, with its jobs.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segexp.catalogue import nodes, plain, suggest
from segexp.check.values import Wrong
from segexp.config import complete, make, resolve
from segexp.errors import ConfigError, SegexpError, known
from segexp.runs.identity import shipped_rules
from segexp.search.settings import settings

if TYPE_CHECKING:
    from omegaconf import DictConfig

CHAIN = ("backbone", "decoder", "head", "fusion", "loss", "postprocess", "protocol", "metrics", "mixing", "norm", "monitor", "sweep")
NOT_OF_A_CHAIN = ("split", "limit", "fold", "fold_seed", "sampling", "loader")  # of the section `data`
SAMPLES = 2  # decoded of each split
STEPS = 100  # of a schedule that is made to see whether it can be


class Rest:
    """The checks of the rest, with what has been found already.

    Args:
        data: look at the data and at pretrained weights; without, only at what holds on any machine.
    """

    def __init__(self, *, data: bool = True) -> None:
        self.data = data
        self.known: dict[tuple[str, str], list[Wrong]] = {}
        self.chains: dict[str, Any] = {}
        self.datasets: dict[str, Any] = {}

    def __call__(self, config: DictConfig) -> list[Wrong]:
        """Everything that is wrong with a config whose values passed."""
        tree = resolve(config)
        data = {name: value for name, value in tree["data"].items() if name not in NOT_OF_A_CHAIN}
        chain = _text({name: tree.get(name) for name in CHAIN} | {"data": data, "compile": tree["trainer"].get("compile")})
        found = self._once("chain", chain, lambda: self._chain(config, chain))
        if chain in self.chains:
            optimizer = chain + _text([tree["optimizer"], tree["scheduler"]])
            found = found + self._once("optimizer", optimizer, lambda: _told(lambda: _optimizer(config, self.chains[chain].model)))
        found = found + self._once("callbacks", _text(tree.get("callbacks")), lambda: _callbacks(config))
        found = found + self._once("trainer", _text(tree["trainer"]), lambda: _told(lambda: _trainer(config), "trainer"))
        if chain in self.chains:
            found = found + self._once("outputs", _text(tree["paths"]) + chain, lambda: _told(lambda: _outputs(config, self.chains[chain])))
        found = found + self._once(
            "weights", _text([tree["weights"], tree["backbone"], tree["paths"]]), lambda: _told(lambda: _weights(config))
        )
        if self.data and chain in self.chains:
            samples = chain + _text([tree["data"], tree["augmentation"], tree["trainer"].get("devices")])
            found = found + self._once("data", samples, lambda: _samples(config, self.chains[chain], self.datasets[chain]))
        return found + self._once("paths", _text(plain(config)), lambda: list(_absolute(config)))

    def _once(self, part: str, key: str, look: Callable[[], list[Wrong]]) -> list[Wrong]:
        if (part, key) not in self.known:
            self.known[part, key] = look()
        return self.known[part, key]

    def _chain(self, config: DictConfig, key: str) -> list[Wrong]:
        from segexp.build import check_scalars, checked, open_dataset

        def look() -> None:
            self.datasets[key] = open_dataset(config)
            self.chains[key] = checked(config, self.datasets[key].spec)
            check_scalars(config, self.chains[key])
            _searched(config, self.chains[key])

        return _told(look)


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)


def _told(look: Callable[[], Any], key: str = "") -> list[Wrong]:
    """What a look raises, as faults; a machine's lack of memory or a bug of ours is told as well."""
    try:
        with _hushed():
            look()
    except Exception as error:
        return [_wrong(error, key)]
    return []


@contextlib.contextmanager
def _hushed() -> Iterator[None]:
    """Without the tips and warnings of libraries."""
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    with warnings.catch_warnings(), Path(os.devnull).open("w") as nowhere, contextlib.redirect_stdout(nowhere):
        warnings.simplefilter("ignore")
        yield


def _wrong(error: BaseException, key: str = "") -> Wrong:
    said = known(error)
    named = re.match(r"([a-z_]+(?:\.[\w\[\]]+)*)(?==|: |$|,)", said.where)
    groups = getattr(error, "groups", ())
    if groups:
        return Wrong(groups[0], said.what, said.fix, None, said.where)
    return Wrong(named[1] if named else key, said.what, said.fix, None, said.where)


# ------------------------------------------------------------------------------------------------- parts


def _searched(config: DictConfig, chain: Any) -> None:
    """Refuse a search for a figure that no metric of the chain gives: else its first run would end before that is said."""
    if config.sweep.sampler == "grid":
        return
    figures = [f"{split}/{name}" for split in ("val", "test") for name in ("loss", *chain.metrics.compute())]
    for metric in settings(resolve(config)["sweep"], config.monitor).metrics:
        if metric.startswith(("val/", "test/")) and metric not in figures and not metric.partition("/")[2].startswith("loss/"):
            near = suggest(metric, figures) or [name for name in figures if name.startswith("val/") and name.count("/") == 1]
            fix = f"sweep.metric={'|'.join(near)}"
            raise ConfigError("no metric gives this figure", where=f"sweep.metric={metric}", fix=fix)


def _optimizer(config: DictConfig, model: Any) -> None:
    """Make optimizer and schedule on the meta device."""
    optimizer = complete(make(config.optimizer, key="optimizer"), model)
    complete(make(config.scheduler, key="scheduler"), optimizer, STEPS)


def _callbacks(config: DictConfig) -> list[Wrong]:
    import functools

    from segexp.callbacks.evaluation import RunInfo

    found = []
    for name, node in (config.get("callbacks") or {}).items():
        with tempfile.TemporaryDirectory() as folder:
            run = RunInfo(Path(folder), config.monitor)

            def look(node: Any = node, run: RunInfo = run, key: str = f"callbacks.{name}") -> None:
                made = make(node, key=key)
                if isinstance(made, functools.partial):
                    complete(made, run)

            found += _told(look, f"callbacks.{name}")
    return found


def _trainer(config: DictConfig) -> None:
    """Let Lightning say whether the devices are there and the keys go together."""
    from segexp.build import STEP_POLICIES

    section = {name: value for name, value in resolve(config)["trainer"].items() if name not in STEP_POLICIES}
    quiet = {"enable_progress_bar": False, "enable_checkpointing": False, "enable_model_summary": False, "logger": False}
    if section.get("profiler"):
        section["profiler"] = None  # it would make files
    with tempfile.TemporaryDirectory() as folder:
        try:
            complete(make(section, key="trainer"), **quiet, default_root_dir=folder)
        except ConfigError as error:
            raise _of_devices(error, section) from error


def _of_devices(error: ConfigError, section: Mapping[str, Any]) -> ConfigError:
    """What Lightning says of devices, with the key that it is about."""
    said = error.what.lower()
    for name, marks, fix in (
        ("accelerator", ("backend found", "accelerator", "cuda is not available"), "auto|cpu"),
        ("devices", ("device", "gpu"), "1"),
        ("strategy", ("strategy",), "auto"),
    ):
        if name in section and any(mark in said for mark in marks):
            return ConfigError(error.what.rpartition(": ")[2], where=f"trainer.{name}={section[name]}", fix=f"trainer.{name}={fix}")
    return error


def _outputs(config: DictConfig, chain: Any) -> None:
    """The folder of runs can be written, and three checkpoints find room."""
    from segexp.weights.checkpoints import require_space

    outputs = Path(config.paths.outputs).absolute()
    there = next(folder for folder in (outputs, *outputs.parents) if folder.exists())
    if not outputs.is_dir() and there != outputs.parent:
        raise ConfigError(
            "runs can't be written: the folder above it doesn't exist", where=f"paths.outputs={outputs}", fix="paths.outputs=<folder>"
        )
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        raise ConfigError(
            f"runs can't be written: {there} is no folder that may be written",
            where=f"paths.outputs={outputs}",
            fix="paths.outputs=<folder>",
        )
    weights = sum(value.numel() * value.element_size() for value in chain.model.state_dict().values())
    require_space(there, 3 * weights)  # with two moments of the optimizer


def _weights(config: DictConfig) -> None:
    """The files that training would start from are there."""
    from omegaconf import OmegaConf

    from segexp.runs.find import find

    for key in ("weights.file", "backbone.weights"):
        source = OmegaConf.select(config, key)
        if not source or source == "hub":
            continue
        if str(source).startswith("run:"):
            find(str(source).removeprefix("run:"), Path(config.paths.outputs))
        elif not Path(source).is_file():
            raise ConfigError("there is no such file of weights", where=f"{key}={source}", fix=f"{key}=<file>, or {key}=null")


def _samples(config: DictConfig, chain: Any, dataset: Any) -> list[Wrong]:
    """Open each split that a run would read, and decode, augment and verify a few samples of it."""
    found: list[Wrong] = []
    splits = ["train", config.data.split, *(["test"] if "test" in dataset.splits else [])]
    for split in dict.fromkeys(splits):
        found += _told(lambda split=split: _sampled(config, chain, dataset, split), "data")
    return list({one.what: one for one in found}.values())


def _sampled(config: DictConfig, chain: Any, dataset: Any, split: str) -> None:
    from segexp.datamodule import DataModule, LoaderOptions
    from segexp.functional.orders import Draw

    tree = resolve(config)
    module = DataModule(
        dataset,
        make(config.augmentation, key="augmentation"),
        LoaderOptions(**tree["data"]["loader"] | {"cache": False}),
        seed=config.seed,
        needs=frozenset(chain.model.head.needs | chain.loss.needs),
        truth=frozenset(chain.metrics.needs),
        count=chain.loss.count,
        split=split,
        limit=tree["data"]["limit"],
    )
    samples = module.samples(split, training=split == "train")
    length = min(len(samples.split), tree["data"]["limit"] or len(samples.split))
    if split == "train":
        _fills_a_batch(tree, length)
    for index in {0, length // 2} if SAMPLES > 1 else {0}:
        item = samples[Draw(index=index, epoch=0)]
        if isinstance(item, SegexpError):
            raise item


def _fills_a_batch(tree: Mapping[str, Any], length: int) -> None:
    devices = tree["trainer"].get("devices")
    world = devices if isinstance(devices, int) and devices > 0 else len(devices) if isinstance(devices, list) else 1
    size = tree["data"]["loader"]["batch_size"]
    if length < size * world:
        raise ConfigError(
            f"{length} training samples don't fill a batch of {size} x {world} ranks",
            where=f"data.loader.batch_size={size}",
            fix=f"data.loader.batch_size={max(1, length // world)}",
        )


def _absolute(config: DictConfig) -> Iterator[Wrong]:
    """Literal paths of this machine in what makes a run's identity: elsewhere it would be another run."""
    drop = shipped_rules().drop
    for key, value in nodes(plain(config)):
        outside = any(key == name or key.startswith(f"{name}.") for name in drop)
        if isinstance(value, str) and value.startswith(("/", "~/")) and len(value) > 1 and not outside:
            fix = f"{key}=${{paths.data}}/..., and paths.data=<folder>"
            yield Wrong(key, f"{value} is a path of this machine, and part of the run's identity", fix, value, warning=True)


def summary(configs: Sequence[Any], rest: Rest) -> str:
    """What was looked at, in a line."""
    count = {part: sum(name == part for name, _ in rest.known) for part in ("chain", "data")}
    jobs = f"{len(configs)} jobs" if len(configs) > 1 else "1 job"
    looked = f"{count['chain']} chain{'s' * (count['chain'] > 1)} on the meta device"
    data = f", samples of {count['data']} data set{'s' * (count['data'] > 1)}" if count["data"] else ""
    return f"{jobs}: names, keys, types, {looked}, optimizer, callbacks, trainer, outputs, weights{data}"
