"""The data doctor: everything that can be found wrong with a data set."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segexp.doctor import across, folders
from segexp.doctor.findings import ERROR, Finding, counted, ordered
from segexp.doctor.scan import Progress, Scan, scan
from segexp.errors import ConfigError, DataError


@dataclass
class Diagnosis:
    """What a check gives.

    Args:
        scans: of the splits that could be opened.
        findings: errors first.
    """

    scans: list[Scan]
    findings: list[Finding]

    @property
    def failed(self) -> bool:
        """Whether there is an error among the findings."""
        return any(finding.severity == ERROR for finding in self.findings)

    def as_dict(self) -> dict[str, Any]:
        """The content of `check.json`."""
        splits = {found.name: {"samples": len(found.rows), "read_anew": found.reread} for found in self.scans}
        return {"summary": counted(self.findings), "splits": splits, "findings": [finding.as_dict() for finding in self.findings]}


def check(
    dataset: Any,
    splits: Sequence[str] | None = None,
    *,
    crop: tuple[int, int] | None = None,
    cache: Path | None = None,
    workers: int = 0,
    limit: int | None = None,
    progress: Progress | None = None,
) -> Diagnosis:
    """Examine a data set.

    Args:
        dataset: with `spec`, `splits` and `open`; with `unlabelled`, too, where it can open splits that have no labels.
        splits: those to look at; all unless given, those without labels among them. What lies beside the lists is
            looked for only where all are.
        crop: (height, width) of a training crop at the pictures' own scale; pictures of `train` should be as large.
        cache: a folder for what was read before.
        workers: processes that read.
        limit: only so many samples of each split.
        progress: is told how far it is.

    Raises:
        ConfigError: the data set isn't there, or has no such split.
    """
    names, root = tuple(splits or dataset.splits), getattr(dataset, "root", None)
    if names and splits is None:
        names += tuple(getattr(dataset, "unlabelled", ()))
    if not names:
        dataset.open("train")  # says why, if anything can
        raise ConfigError("the data set has no split", where=str(root or type(dataset).__name__), fix="see the layout that it needs")
    root = Path(root) if root is not None else None
    findings = [found for name in names if root for found in folders.lists(root, name)]
    findings += [Finding(*fault) for fault in (dataset.file_faults() if hasattr(dataset, "file_faults") else ())]
    scans: list[Scan] = []
    for name in names:
        try:
            scans.append(scan(dataset, name, cache=cache, workers=workers, limit=limit, progress=progress))
        except DataError as error:
            about = (error.where,) if error.where else ()
            findings.append(Finding("list-broken", f"the split {name} can't be opened: {error.what}", about, fix=error.fix))
        except UnicodeDecodeError as error:
            if not any(finding.kind == "list-encoding" for finding in findings):
                findings.append(Finding("list-encoding", f"the split {name} can't be opened: {error}"))
    whole = splits is None and limit is None and len(scans) == len(names)
    for found in scans:
        findings += [*found.findings, *_of_split(found, root, crop)]
    findings += [*across.shared(scans), *across.classes(scans, dataset.spec), *across.depths(scans)]
    files = {found.name: found.split for found in scans if hasattr(found.split, "paths")}
    if whole and files:
        findings += folders.unlisted(files)
    return Diagnosis(scans, ordered(findings))


def _of_split(found: Scan, root: Path | None, crop: tuple[int, int] | None) -> Iterator[Finding]:
    if not len(found.rows):
        yield Finding("empty-split", f"the split {found.name} has no sample", (str(root),) if root else ())
    if hasattr(found.split, "file_faults"):
        yield from (Finding(*fault) for fault in found.split.file_faults())
    yield from across.copies(found)
    if root and hasattr(found.split, "paths"):
        yield from folders.outside(found.split, root)
    if crop and found.name == "train":
        yield from across.small(found, crop)
