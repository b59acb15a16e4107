"""One sample under the magnifier: what is counted of it, and what is wrong with it."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from segexp.doctor.findings import Finding
from segexp.doctor.hashes import digest, looks
from segexp.doctor.headers import Header, fault, header, noticed, turned
from segexp.doctor.labels import interpolated, palette, raw_values
from segexp.errors import SegexpError, known
from segexp.functional.images import read_labels
from segexp.targets import derive
from segexp.types import DataSpec, Targets
from segexp.wiring import TARGET_LATTICE, derivable

Examined = tuple[np.ndarray, list[Finding]]
KINDS = ("segments", "masks", "boxes", "semantic", "label", "present")
EXPLAINING = frozenset({"jpeg-labels", "exif-rotation", "size-mismatch", "multi-page"})  # what the header tells of a refused sample


def facts_type(data: DataSpec) -> np.dtype:
    """What is kept of a sample, in a few hundred bytes.

    `read`: whether it could be; `stamp`: of its files; `size`: (height, width); `bits`: per channel; `constant`: one colour
    throughout; `labelled`: whether it has labels; `picture`, `labels`: hashes of the decoded content; `looks`: the perceptual hash;
    `void`: pixels without a label; `pixels`: of each class; `sums`: of the values of each channel and of their squares,
    the values in [0, 1].
    """
    return np.dtype(
        [
            ("read", "?"),
            ("stamp", "<u8"),
            ("size", "<i4", (2,)),
            ("bits", "u1"),
            ("constant", "?"),
            ("labelled", "?"),
            ("picture", "<u8"),
            ("labels", "<u8"),
            ("looks", "<u8", (4,)),
            ("void", "<i8"),
            ("pixels", "<i8", (data.num_classes,)),
            ("sums", "<f8", (2, data.in_channels)),
        ]
    )


class Examiner(Dataset):
    """The samples of a split as (facts, findings); the findings lack the id, which depends on the split.

    Args:
        split: what a data set's `open` returns; with `paths` its files are looked into, too.
        data: the classes.
    """

    def __init__(self, split: Any, data: DataSpec) -> None:
        self.split, self.data = split, data

    def __getitem__(self, index: int) -> Examined:
        facts = np.zeros((), facts_type(self.data))
        try:
            picture, labels = self.split.paths(index) if hasattr(self.split, "paths") else (None, None)
        except SegexpError as error:
            return facts, [Finding("list-broken", error.what, (error.where,) if error.where else (), fix=error.fix)]
        heads = header(picture), header(labels)
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", r"image .*, segment ", UserWarning)  # it becomes a finding
                sample = self.split[index]
            error = None if sample["image"].shape[0] == self.data.in_channels else self._channels(sample["image"].shape[0])
        except Exception as failure:  # a plugin's data set may fail in any way
            error = known(failure)
        findings, own = _header_findings(picture, labels, heads, self.data), self._own(index)
        if error is not None:
            if any(finding.what in error.what for finding in own) and not faulty(picture, labels):
                return facts, findings + own
            return facts, diagnosed(picture, labels, heads, error, findings) + own
        return facts, findings + own + self._look(facts, sample, picture, labels, heads)

    def _own(self, index: int) -> list[Finding]:
        """What the split itself knows to be wrong with a sample."""
        try:
            return [Finding(*fault) for fault in self.split.faults(index)] if hasattr(self.split, "faults") else []
        except SegexpError as error:
            return [Finding("refused", error.what, (error.where,) if error.where else (), fix=error.fix)]

    def _channels(self, got: int) -> SegexpError:
        return SegexpError(f"the picture has {got} channels, the data set {self.data.in_channels}", fix="mend the data set")

    def _look(self, facts: np.ndarray, sample: dict, picture: Path | None, labels: Path | None, heads: tuple) -> list[Finding]:
        """Fill the facts; returns what the pixels tell."""
        image, data = sample["image"].as_subclass(Tensor), self.data
        measure(facts, image)
        about = tuple(str(path) for path in (picture, labels) if path is not None)
        findings = [Finding("constant-picture", f"every pixel has the value {image[:, 0, 0].tolist()}", about[:1])] * bool(
            facts["constant"]
        )
        semantic, strange = count(facts, sample, data)
        if strange:
            return [*findings, Finding("label-value", strange, about[-1:])]
        facts["read"] = True
        objects = {"masks", "boxes"} & set(sample) and semantic is None  # a picture without any is a sample all the same
        if facts["labelled"] and not facts["pixels"].any() and not objects:
            findings.append(Finding("all-ignored", "no pixel has a class", about[-1:]))
        ids = "segments" in sample and heads[1] is not None and heads[1].mode == "P"  # segment ids that were given a palette
        plain = heads[1] is not None and not heads[1].colors and heads[1].frames == 1 and not ids
        if labels is not None and semantic is not None and plain:
            findings += _label_findings(labels, semantic.numpy(), data)
        return findings


def measure(facts: np.ndarray, image: Tensor) -> None:
    """Note size, hashes and sums of a picture, integers [C,H,W]."""
    wide = image.dtype != torch.uint8
    largest = 65535.0 if wide else 255.0
    values = image.flatten(1).double() / largest
    facts["size"] = tuple(image.shape[-2:])
    facts["bits"] = 16 if wide else 8
    facts["constant"] = bool((image == image[:, :1, :1]).all())
    facts["picture"] = digest(np.ascontiguousarray(image.numpy()).data.cast("B"))
    facts["looks"] = looks(image, largest)
    facts["sums"] = torch.stack([values.sum(1), values.square().sum(1)]).numpy()


def count(facts: np.ndarray, sample: dict[str, Any], data: DataSpec) -> tuple[Tensor | None, str]:
    """Note how many pixels each class has; of a set without masks, those of boxes, or of the whole picture.

    Returns:
        The class map uint8 [H,W], or None where the sample has none; and what is wrong with its class ids, or nothing.
    """
    kinds = [kind for kind in KINDS if kind in sample]
    facts["labelled"] = bool(kinds)
    if not kinds:
        return None, ""
    names = {"segments": "segment_labels", "masks": "labels", "boxes": "labels", "label": "label"}
    ids = [int(i) for kind, name in names.items() if kind in sample for i in torch.as_tensor(sample[name]).reshape(-1).tolist()]
    if strange := sorted({i for i in ids if not 0 <= i < data.num_classes and i != data.ignore_index}):
        return None, f"class ids that the data set doesn't have: {strange[:8]}"
    if "semantic" not in derivable(kinds, TARGET_LATTICE):
        targets = derive(sample, {kinds[0]}, data)
        _count_objects(facts, targets)
        return None, ""
    semantic = derive(sample, {"semantic"}, data).semantic.to(torch.uint8)
    pixels = torch.bincount(semantic.flatten(), minlength=256)
    strange = [i for i in pixels.nonzero().flatten().tolist() if i >= data.num_classes and i != data.ignore_index]
    if strange:
        return semantic, "class ids that the data set doesn't have: " + ", ".join(f"{i} in {int(pixels[i])} pixels" for i in strange[:8])
    facts["pixels"], facts["void"] = pixels[: data.num_classes].numpy(), int(pixels[data.ignore_index])
    facts["labels"] = digest(semantic.contiguous().numpy().data.cast("B"))
    return semantic, ""


def _count_objects(facts: np.ndarray, targets: Targets) -> None:
    if targets.masks is not None:
        labels, areas = targets.labels, targets.masks.flatten(1).sum(1)
    elif targets.boxes is not None:
        sides = (targets.boxes[:, 2:] - targets.boxes[:, :2]).clamp(min=0)
        labels, areas = targets.labels, sides.prod(1).round().long()
    else:
        labels, areas = targets.label.reshape(-1).long(), torch.tensor([int(facts["size"].prod())])
    inside = labels < len(facts["pixels"])
    np.add.at(facts["pixels"], labels[inside].numpy(), areas[inside].numpy())


def _header_findings(picture: Path | None, labels: Path | None, heads: tuple, data: DataSpec) -> list[Finding]:
    findings = []
    for path, head, role in zip((picture, labels), heads, ("image", "labels"), strict=True):
        if path is not None and head is not None:
            findings += noticed(path, head, role, data.in_channels)
    if picture is not None and labels is not None and heads[0] is not None and heads[1] is not None:
        found = turned(picture, heads[0], labels, heads[1])
        findings += [found] if found else []
    return findings


def _label_findings(path: Path, semantic: np.ndarray, data: DataSpec) -> list[Finding]:
    raw = raw_values(path)
    soft = interpolated(raw)
    found = [Finding("resampled-labels", soft, (str(path),))] if soft else []
    other = palette(path, raw, semantic, data)
    return [*found, other] if other else found


def faulty(picture: Path | None, labels: Path | None) -> list[Finding]:
    """Why the files of a sample can't be read."""
    files = ((picture, "image"), (labels, "labels"))
    return [found for path, role in files if path is not None and (found := fault(path, role))]


def diagnosed(picture: Path | None, labels: Path | None, heads: tuple, error: SegexpError, seen: list[Finding]) -> list[Finding]:
    """Why the data set refused a sample: what its files tell, else what it says itself.

    Args:
        picture, labels: the files.
        heads: their headers.
        error: what the data set raised.
        seen: what their headers have told.

    Returns:
        `seen` and what explains the error; the size of a file that can't be decoded says nothing.
    """
    files = [(path, role) for path, role in ((picture, "image"), (labels, "labels")) if path is not None]
    if faults := faulty(picture, labels):
        return [finding for finding in seen if finding.kind != "size-mismatch"] + faults
    if any(finding.kind in EXPLAINING for finding in seen):
        return seen
    about = tuple(str(path) for path, _ in files if str(path) in error.where) or tuple(str(path) for path, _ in files)
    if labels is not None and heads[1] is not None and str(labels) in error.where:
        return [*seen, _refused_labels(labels, heads[1], error)]
    if picture is not None and heads[0] is not None and "channel" in error.what:
        return [*seen, Finding("channels", error.what, about)]
    return [*seen, Finding("refused", error.what, about, fix=error.fix)]


def _refused_labels(path: Path, head: Header, error: SegexpError) -> Finding:
    """Labels that can be decoded, and hold what the data set doesn't take."""
    about = (str(path),)
    if head.colors and _plain_refusal(path) == error.what:
        return Finding("color-labels", error.what, about)
    if soft := interpolated(raw_values(path)):
        return Finding("antialiased-labels", f"{soft}; {error.what}", about)
    return Finding("unknown-color" if head.colors else "label-value", error.what, about)


def _plain_refusal(path: Path) -> str:
    """What reading the file as an index map fails with."""
    try:
        read_labels(path)
    except SegexpError as error:
        return error.what
    return ""
