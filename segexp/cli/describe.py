"""segexp describe [overrides]: the composed chain: levels, channels, strides, rates, receptive field, parameters, MACs.

  segexp describe
  segexp describe backbone=resnet50 backbone.output_stride=8 data=camvid
  segexp describe model=deeplabv3 backbone=resnet50 backbone.output_stride=8    a published model?

A level `c2 256/4` has 256 channels at stride 4; `sees 35 px` is its receptive field, `+ image` where a value is pooled over
the whole image too. Rates are the dilations of the convolutions.
Nothing is trained, downloaded or opened: the chain is built on the meta device.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from segexp.cli.arguments import split

if TYPE_CHECKING:
    from segexp.types import FeatureSpec


def run(arguments: Sequence[str]) -> int:
    """Print the chain."""
    _, overrides, _ = split(arguments, usage="segexp describe [overrides]")
    from segexp.config import compose, resolve

    config = compose("train", overrides)
    resolve(config)
    from segexp.build import checked, open_dataset
    from segexp.card import card, published
    from segexp.probe import usual_size

    spec = open_dataset(config).spec
    chain = checked(config, spec)
    model: Any = chain.model.eval()
    facts = card(model, spec, usual_size(config.augmentation.get("crop")))
    kinds = f"{spec.num_classes} classes, {spec.in_channels} channels, gives {listed(spec.provides)}"
    rows = [("data", type_of(config.data), kinds, "")]
    for name, stage in model.stages():
        told = levels(stage.spec) if hasattr(stage, "spec") else f"emits {shown(stage.output_type)}"
        rows.append((name, type_of(config[name]), told, f"{facts.parameters[name] / 1e6:.3f} M"))
        rows.append(("", "", f"sees {facts.sees(name)}; rates {facts.shown_rates(name)}", ""))
    loss, post, metrics = chain.loss, model.postprocess, chain.metrics
    rows.append(("loss", type(loss).__name__, f"reads {shown(loss.accepts)}, needs {listed(loss.needs)}", ""))
    rows.append(("postprocess", type(post).__name__, f"provides {listed(post.provides)}", ""))
    names = ", ".join(name for name, _ in metrics.parts())
    rows.append(("metrics", names, f"needs {listed(metrics.needs)}; monitor {config.monitor}", ""))
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    for row in rows:
        print("  ".join(f"{cell:{w}}" for cell, w in zip(row[:3], widths, strict=True)) + f"  {row[3]}")
    height, width = facts.size
    print(f"total {facts.total / 1e6:.3f} M parameters, {facts.macs / 1e9:.2f} GMACs for an image of {height}x{width}")
    print("equals " + (", ".join(map(str, published(config, spec))) or "no published model that this project knows (see docs/deeplab.md)"))
    return 0


def levels(spec: FeatureSpec) -> str:
    """`c1 64/2` = level c1 has 64 channels at stride 2."""
    return ", ".join(f"{name} {level.channels}/{level.stride}" for name, level in spec.items())


def listed(kinds: Iterable[str]) -> str:
    """Kinds of annotation, by name."""
    return ", ".join(sorted(kinds))


def shown(kind: Any) -> str:
    """The name of an output type, or of each field of a record."""
    return ", ".join(f"{k}: {shown(v)}" for k, v in kind.items()) if isinstance(kind, dict) else kind.__name__


def type_of(node: Any) -> str:
    """The last part of a node's target."""
    return str(node["_target_"]).rsplit(".", 1)[-1]
