"""segexp bench [overrides]: how fast a chain is and what memory it takes, beside its parameters and MACs.

  segexp bench model=deeplabv3plus backbone=resnet50 --size=512x1024
  segexp bench data=camvid backbone=mobilenet_v2 data.loader.batch_size=4 run.threads=2 --seconds=10
  segexp bench backbone=resnet18 --json > bench.json

Random images, random weights: no picture is read (data=folder looks for its classes in the masks, unless data.classes names them).
Without --size the images are as large as augmentation.crop, else 512x512.
Rows: prediction of one image and of a batch (data.loader.eval_batch_size), a training step (data.loader.batch_size). Peak memory
is what each adds to the process, or on a GPU to what torch has taken. Other work on the machine shows: look at median and 90 %.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from segexp.cli.arguments import split, valued
from segexp.errors import ConfigError

USAGE = "segexp bench [overrides] [--size=<height>x<width>] [--seconds=<of each row>] [--json]"


def run(arguments: Sequence[str]) -> int:
    """Measure and print the table."""
    options, rest = valued(arguments, ("--size", "--seconds"))
    _, overrides, flags = split(rest, flags=("--json",), usage=USAGE)
    size, seconds = parsed_size(options.get("--size")), parsed_seconds(options.get("--seconds", "3"))
    from segexp.config import compose, resolve

    config = compose("train", overrides)
    resolve(config)
    quiet = bool(flags)
    if not quiet:
        print("loading torch and building the model", flush=True)
    import torch

    from segexp.bench import predicting, training
    from segexp.build import build, prepare
    from segexp.probe import macs, usual_size

    prepare(config)
    experiment = build(config, weights=False)
    on_gpu = torch.cuda.is_available() and config.trainer.accelerator in ("auto", "gpu", "cuda")
    task = experiment.task.to("cuda" if on_gpu else "cpu")
    height, width = size or usual_size(config.augmentation.get("crop"))
    loader = config.data.loader
    jobs = [(predicting, 1), (predicting, loader.eval_batch_size), (training, loader.batch_size)]
    rows = []
    for measure, batch in jobs:
        if not quiet:
            print(f"measuring: {measure.__name__}, batch {batch}", flush=True)
        rows.append(measure(experiment, (height, width), batch, seconds, config.trainer.precision))
    head = {
        "parameters": sum(p.numel() for p in task.model.parameters()),
        "macs": macs(experiment.task.model, task.data, (height, width)),
        "size": [height, width],
        "device": torch.cuda.get_device_name() if on_gpu else f"cpu, {torch.get_num_threads()} threads",
    }
    print(json.dumps(head | {"rows": [row.to_dict() for row in rows]}, indent=1) if quiet else table(head, rows))
    return 0


def table(head: dict[str, Any], rows: Sequence[Any]) -> str:
    """The figures for people."""
    height, width = head["size"]
    lines = [
        f"{head['parameters'] / 1e6:.3f} M parameters, {head['macs'] / 1e9:.2f} GMACs for an image of {height}x{width}; {head['device']}",
        f"{'':15} {'batch':>5} {'images/s':>10} {'median':>11} {'90 %':>11} {'peak memory':>13}",
    ]
    for row in rows:
        memory = "-" if row.peak_mib is None else f"{row.peak_mib:.0f} MiB"
        times = f"{1e3 * row.median:8.1f} ms {1e3 * row.slow:8.1f} ms"
        lines.append(f"{row.what:15} {row.batch:5} {row.rate:10.2f} {times} {memory:>13}  ({len(row.seconds)} times)")
    return "\n".join(lines)


def parsed_size(text: str | None) -> tuple[int, int] | None:
    """`512x1024` as (height, width).

    Raises:
        ConfigError: it isn't of that form.
    """
    if text is None:
        return None
    parts = text.lower().split("x")
    if len(parts) not in (1, 2) or not all(part.isdigit() and int(part) > 0 for part in parts):
        raise ConfigError("a size is <height>x<width> in pixels", where=f"--size={text}", fix="--size=512x1024")
    return int(parts[0]), int(parts[-1])


def parsed_seconds(text: str) -> float:
    """A positive number.

    Raises:
        ConfigError: it is none.
    """
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise ConfigError("the seconds of each row are a positive number", where=f"--seconds={text}", fix="--seconds=3")
    return value
