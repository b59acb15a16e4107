"""The conformance card of a chain: its levels, strides, rates, receptive field, size and cost, and the published model it equals."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from torch import nn

from segexp.catalogue import nodes, plain
from segexp.config import compose, session
from segexp.functional.receptive_field import Reach, ReceptiveField
from segexp.heads.aspp_sum import RATES as ASPP_SUM
from segexp.layers.aspp import RATES as ASPP
from segexp.layers.aspp import atrous_rates
from segexp.model import Model
from segexp.probe import macs
from segexp.published import PUBLISHED, Published
from segexp.types import DataSpec, Size

SECTIONS = ("backbone", "decoder", "head", "fusion", "norm")  # what a network is made of
APART = ("weights", "freeze", "norm_eval", "checkpoint_stages", "mean", "std", "drop_path", "dropout", "momentum")  # how it is trained
SMALLEST = 64  # pixels a side of the image that reaches are followed on, so that it stays a map at every stride


@dataclass(frozen=True)
class Row:
    """One level.

    Args:
        stage: `backbone` or `decoder`, or `head` for its logits.
        channels, stride: of the level.
        reach: what of the image one of its cells sees.
    """

    stage: str
    level: str
    channels: int
    stride: int
    reach: Reach


@dataclass(frozen=True)
class Card:
    """What a chain is.

    Args:
        rows: its levels in the order that data flow, the head's logits last where it emits one map.
        rates: the dilations of each stage's convolutions, ascending.
        parameters: of each stage.
        macs: multiply-accumulates of one image.
        size: (height, width) of that image.
    """

    rows: tuple[Row, ...]
    rates: dict[str, tuple[int, ...]]
    parameters: dict[str, int]
    macs: int
    size: Size

    def sees(self, stage: str) -> str:
        """The receptive fields of a stage's levels."""
        return ", ".join(f"{row.level} {row.reach}" for row in self.rows if row.stage == stage) or "-"

    def shown_rates(self, stage: str) -> str:
        """The dilations of a stage, as papers write them."""
        return "/".join(map(str, self.rates[stage])) or "-"

    @property
    def total(self) -> int:
        """Parameters of the whole model."""
        return sum(self.parameters.values())


def card(model: Model, spec: DataSpec, size: Size) -> Card:
    """Look at a model on the meta device; nothing is computed.

    Args:
        model: on the meta device.
        spec: of the data set.
        size: (height, width) of the image that the multiply-accumulates are told for.
    """
    stages = model.stages()
    return Card(
        rows=_rows(model, spec),
        rates={name: rates(stage) for name, stage in stages},
        parameters={name: sum(p.numel() for p in stage.parameters()) for name, stage in stages},
        macs=macs(model, spec, size),
        size=size,
    )


def published(config: DictConfig, spec: DataSpec) -> list[Published]:
    """The published models that a config's network equals, whatever its classes and the way that it is trained."""
    if spec.in_channels != 3:
        return []
    ours = _network(config)
    with session():
        return [row for row in PUBLISHED if _may_equal(row, ours) and _network(compose("train", row.overrides)) == ours]


def _may_equal(row: Published, ours: dict[str, Any]) -> bool:
    """Whether the keys that a row gives are ours; that spares most compositions, which take seconds together."""
    given = OmegaConf.from_dotlist([override for override in row.overrides if "." in override.partition("=")[0]])
    return all(ours.get(path) == value for path, value in _telling(plain(given)) if not path.endswith(".rates"))


def _network(config: DictConfig) -> dict[str, Any]:
    """The keys that make a network, by path; rates that follow from the output stride anyway are as if they weren't given."""
    tree = {name: OmegaConf.to_container(config.get(name) or OmegaConf.create(), resolve=False) for name in SECTIONS}
    found = dict(_telling(tree))
    for path, usual in (("decoder.rates", ASPP), ("head.rates", ASPP_SUM)):
        if found.get(path) and tuple(found[path]) == atrous_rates(found["backbone.output_stride"], published=usual):
            found[path] = None
    return found


def _telling(tree: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """(Path, value) of the keys that say which network it is."""
    for path, value in nodes({name: tree[name] for name in SECTIONS if name in tree}):
        if path.rsplit(".", 1)[-1] not in APART and not isinstance(value, dict):
            yield path, value


def rates(stage: nn.Module) -> tuple[int, ...]:
    """The dilations of the convolutions whose kernels have more than one cell."""
    found = {module.dilation[0] for module in stage.modules() if isinstance(module, nn.Conv2d) and module.kernel_size != (1, 1)}
    return tuple(sorted(found))


def _rows(model: Model, spec: DataSpec) -> tuple[Row, ...]:
    was = model.training
    side = max(SMALLEST, 2 * model.backbone.pad_to)
    images = torch.zeros(1, spec.in_channels, side, side, device="meta")
    with torch.no_grad(), ReceptiveField(images) as field:
        features = model.eval().features(images)
        output = model.head(features, (images.shape[-2:],), None)
    model.train(was)
    rows = [
        Row(name, level, place.channels, place.stride, field.of(features[level]))
        for name, stage in model.stages()[:2]
        for level, place in stage.spec.items()
        if name == "backbone" or level not in model.backbone.spec
    ]
    logits: Any = getattr(output, "logits", None)
    if isinstance(logits, torch.Tensor):
        rows.append(Row("head", "logits", logits.shape[1], output.stride, field.of(logits)))
    return tuple(rows)
