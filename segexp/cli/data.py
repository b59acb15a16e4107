"""segexp data check|stats|browse|to-panoptic [options] [overrides]: the data doctor, figures, a look at samples, COCO-panoptic.

  segexp data check data=camvid                  every split, also a test without labels: broken files, wrong labels, leakage, ...
  segexp data check data=camvid data.split=val   one split only
  segexp data check data=folder data.root=<folder> data.loader.workers=4
  segexp data stats data=camvid                  images, sizes, pixels of each class, class weights to paste, mean and deviation
  segexp data browse data=camvid                 contact sheets and a page of samples with their labels painted
  segexp data browse data=camvid --count=60 --class=Pedestrian

Errors are told before warnings, of each kind a few; all are in outputs/data/<set>/check.json, each with its files and what to do.
What has been read is kept under outputs/.cache and read again only where a file has changed, so a second check is quick.
  --show=5       check: findings that are shown of each kind
  --strict       check: warnings count as errors
  --count=24     browse: samples of each split, evenly spaced
  --class=<name> browse: only samples that hold this class
  data.limit=100 only so many samples of each split
  data.loader.workers=4  processes that read

to-panoptic makes a panoptic set of two folders of masks with the same file names: classes as grey values, and instances as numbers
(0 none, 1, 2, ...; they may begin anew in each class), or as a folder of the picture's name with a mask for each object. It writes
<out>/annotations/panoptic_<split>.json and the PNG of ids beside it, which data=coco_panoptic, and others' tools, read.
  segexp data to-panoptic --semantic=labels/train --instances=objects/train --classes=sky:0,road:1,car:2 --things=car --out=mine
  segexp data to-panoptic --instances=cells/val --classes=background,cell --things=cell --out=mine --split=val
  --classes=<name>:<value>,...  every class with its value in the semantic masks; names alone have 0, 1, ...
  --things=<name>,...  classes that have objects; all others are stuff
  --ignore=255   values without a label, one or several, none of which is a class's: they become void
  --loose=crowd  pixels of a thing without a number: crowd (a group that no metric counts) | void | object (one object)
  --images=<folder>  the pictures, of the masks' names and sizes; the JSON then has their file names
  --split=train  train | val | test

exit codes: 0 no error was found, 1 errors were found (check), 2 the command is wrong or the data set isn't there
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from segexp.cli.arguments import split, valued
from segexp.errors import ConfigError

USAGE = "segexp data check|stats|browse|to-panoptic [options] [overrides]"
ACTIONS = ("check", "stats", "browse", "to-panoptic")
OPTIONS = {"--show": "check", "--count": "browse", "--class": "browse"}  # those with a value, and whose they are
EVERY = 10.0  # seconds between two lines of progress where the output is no terminal


def run(arguments: Sequence[str]) -> int:
    """Do what is asked for; 1 where a check finds errors."""
    if given := next((a for a in arguments if a.startswith("--strict=")), None):
        raise ConfigError("--strict takes no value", where=given, fix="--strict")
    if "to-panoptic" in arguments:
        return _to_panoptic(arguments)
    options, rest = valued(arguments, list(OPTIONS))
    (named,), overrides, flags = split(rest, positional=1, flags=("--strict",), usage=USAGE)
    action = _action(named)
    _check_options(action, options, flags)
    job = _job(overrides)
    return {"check": _check, "stats": _stats, "browse": _browse}[action](job, options, bool(flags))


def _to_panoptic(arguments: Sequence[str]) -> int:
    from segexp.cli.to_panoptic import OPTIONS, USAGE, run

    options, rest = valued(arguments, OPTIONS)
    split(rest, positional=1, usage=USAGE)
    if extra := [argument for argument in rest if argument != "to-panoptic"]:
        raise ConfigError("to-panoptic takes options only", where=extra[0], fix=USAGE)
    return run(options)


def _action(named: str) -> str:
    from difflib import get_close_matches

    if named not in ACTIONS:
        near = get_close_matches(named, ACTIONS, 1, 0.5)
        raise ConfigError(f"there is no command 'data {named}'", where=USAGE, fix=f"segexp data {near[0] if near else '|'.join(ACTIONS)}")
    return named


def _check_options(action: str, options: dict[str, str], flags: set[str]) -> None:
    for name, value in options.items():
        if OPTIONS[name] != action:
            mine = [option for option, owner in OPTIONS.items() if owner == action] or ["--help"]
            raise ConfigError(f"data {action} has no option {name}", where=USAGE, fix=", ".join(mine))
        if name != "--class" and not re.fullmatch(r"[1-9]\d*", value):
            raise ConfigError(f"{name} must be a whole number above 0", where=f"{name}={value}", fix=f"{name}=24")
    if flags and action != "check":
        raise ConfigError(f"data {action} has no option --strict", where=USAGE, fix="segexp data check --strict")


@dataclass
class Job:
    """A data set, and where things about it go."""

    dataset: Any
    name: str
    outputs: Path
    splits: list[str] | None  # None where no split is named
    workers: int
    limit: int | None
    crop: tuple[int, int] | None
    shown: Progress = field(default_factory=lambda: Progress())

    @property
    def folder(self) -> Path:
        """For what is written about the set; made where it isn't there."""
        path = self.outputs / "data" / self.name
        path.mkdir(parents=True, exist_ok=True)
        return path

    @property
    def scanning(self) -> dict[str, Any]:
        """What every scan is told."""
        return {"cache": self.outputs / ".cache", "workers": self.workers, "limit": self.limit, "progress": self.shown}

    def names(self) -> list[str]:
        """The splits to look at."""
        names = self.splits or list(self.dataset.splits)
        if not names:
            self.dataset.open("train")  # says why
        return names


def _job(overrides: list[str]) -> Job:
    from segexp.config import compose, resolve
    from segexp.runs.settings import check_settings

    config = compose("train", overrides)
    check_settings(config)
    section = resolve(config)
    from segexp.build import open_dataset

    dataset, data = open_dataset(config), section["data"]
    named = any(override.lstrip("+").startswith("data.split=") for override in overrides)
    return Job(
        dataset,
        _name(dataset),
        Path(section["paths"]["outputs"]),
        [data["split"]] if named else None,
        data["loader"]["workers"],
        data["limit"],
        _crop(section.get("augmentation") or {}),
    )


def _name(dataset: Any) -> str:
    """What the folder of a data set is called: by its class, and by its own folder where that has another name."""
    if hasattr(dataset, "dataset"):  # folds of another
        return f"{_name(dataset.dataset)}-{type(dataset).__name__.lower()}"
    kind, root = type(dataset).__name__.lower(), getattr(dataset, "root", None)
    own = re.sub(r"\W+", "-", Path(root).resolve().name) if root is not None else ""
    return kind if own.lower() in ("", kind) else f"{kind}-{own}"


def _crop(augmentation: dict[str, Any]) -> tuple[int, int] | None:
    """(Height, width) of what a training crop covers of a picture, by the keys that augmentations have."""
    crop, scale = augmentation.get("crop"), augmentation.get("scale")
    if not crop:
        return None
    factor = scale if isinstance(scale, (int, float)) and scale > 0 else 1.0
    return round(crop[0] / factor), round(crop[1] / factor)


class Progress:
    """How far a scan is, on stderr: one line that changes in a terminal, else a line now and then. Short scans say nothing."""

    def __init__(self) -> None:
        self.name, self.began, self.shown = "", 0.0, 0.0
        self.bar = sys.stderr.isatty()

    def __call__(self, name: str, done: int, total: int) -> None:
        now = time.monotonic()
        if name != self.name:
            self.name, self.began, self.shown = name, now, now
        pause = 0.2 if self.bar else EVERY
        if done == total and self.bar and self.shown > self.began:
            sys.stderr.write("\r\033[K")
        elif now - self.shown >= pause and now - self.began > 1:
            self.shown = now
            left = (now - self.began) / done * (total - done)
            text = f"{name}: {done} of {total} samples read, {left:.0f} s left"
            sys.stderr.write(f"\r\033[K{text}" if self.bar else f"{text}\n")
        sys.stderr.flush()


def _check(job: Job, options: dict[str, str], strict: bool) -> int:
    from segexp.doctor.check import check
    from segexp.doctor.findings import counted, told
    from segexp.functional.files import write_json

    found = check(job.dataset, job.splits, crop=job.crop, **job.scanning)
    for line in told(found.findings, int(options.get("--show", 5))):
        print(line)
    path = job.folder / "check.json"
    write_json(path, {"set": job.name, **found.as_dict()})
    read = ", ".join(f"{scan.name} {len(scan.rows)}" for scan in found.scans) or "none"
    again = sum(scan.reread for scan in found.scans)
    before = sum(len(scan.rows) for scan in found.scans) - again
    print(f"{job.name}: {counted(found.findings)}; samples: {read} ({again} read now, {before} known from before)")
    print(f"all of it  {path}")
    return 1 if found.failed or (strict and found.findings) else 0


def _stats(job: Job, options: dict[str, str], strict: bool) -> int:
    from segexp.doctor.scan import scan
    from segexp.doctor.stats import figures, table
    from segexp.functional.files import write_json

    scans = [scan(job.dataset, name, **job.scanning) for name in job.names()]
    found = figures(scans, job.dataset.spec)
    for line in table(found, job.dataset.spec):
        print(line)
    if any(part["unreadable"] for part in found.values()):
        print("samples that can't be read don't count: segexp data check tells why")
    path = job.folder / "stats.json"
    write_json(path, {"set": job.name, "splits": found})
    print(f"figures  {path}")
    return 0


def _browse(job: Job, options: dict[str, str], strict: bool) -> int:
    from segexp.doctor.browse import browse, evenly

    count, only = int(options.get("--count", 24)), options.get("--class")
    chosen = {}
    for name in job.names():
        candidates = _holders(job, name, only) if only else range(len(job.dataset.open(name)))
        chosen[name] = evenly(candidates, count)
    title = job.name + (f", samples with {only}" if only else "")
    place = "with-" + re.sub(r"[^0-9A-Za-z]+", "-", only) if only else "samples"
    for path in browse(job.dataset, chosen, job.folder / place, title):
        print(path)
    return 0


def _holders(job: Job, split_name: str, only: str) -> Any:
    """Indices of the samples that hold a class."""
    from segexp.doctor.scan import scan
    from segexp.overrides import suggest

    names = job.dataset.spec.names
    if only not in names:
        near = suggest(only, names) or [*names[:8]]
        raise ConfigError(f"{job.name} has no class {only!r}", where=f"--class={only}", fix=" | ".join(f"--class={name}" for name in near))
    return scan(job.dataset, split_name, **job.scanning).rows["pixels"][:, names.index(only)].nonzero()[0]
