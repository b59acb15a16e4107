"""What the data doctor can find: kinds, how bad each is, what to do about it, and how findings are put to a person."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

ERROR, WARNING = "error", "warning"

# kind -> (severity, what to do about it)
KINDS: dict[str, tuple[str, str]] = {
    "missing-image": (ERROR, "restore the file, or remove the sample from the list"),
    "missing-labels": (ERROR, "restore the label file, or remove the sample from the list"),
    "not-a-file": (ERROR, "put the file where the folder is"),
    "no-permission": (ERROR, "give yourself the right to read it (chmod, chown)"),
    "empty-file": (ERROR, "copy the file again"),
    "truncated-file": (ERROR, "copy the file again: its end is missing"),
    "corrupt-file": (ERROR, "copy the file again"),
    "not-an-image": (ERROR, "replace the file: its content is no picture"),
    "huge-picture": (ERROR, "tile it, or check that the file is what it claims to be"),
    "size-mismatch": (ERROR, "make picture and labels the same size"),
    "exif-rotation": (ERROR, "turn the labels, too, or store the picture upright and without its EXIF orientation"),
    "exif-ambiguous": (WARNING, "look whether the labels are turned as the picture is: segexp data browse"),
    "jpeg-labels": (ERROR, "write the labels anew as PNG: JPEG changes values along every edge"),
    "color-labels": (ERROR, "store class indices in one channel, or use a data set that maps colours (data=folder)"),
    "label-value": (ERROR, "map the value to a class, name it as void, or mend the file"),
    "unknown-color": (ERROR, "map the colour to a class, name it as void, or mend the file"),
    "antialiased-labels": (ERROR, "draw or resize the labels without antialiasing (nearest neighbour)"),
    "categories": (ERROR, "give all splits the same categories, each with its own id and name"),
    "no-isthing": (WARNING, "write isthing: 1 into the categories of things, 0 into those of stuff"),
    "category-color": (WARNING, "three whole numbers from 0 to 255; a colour of the default palette stands in"),
    "json-entry": (ERROR, "mend the entry: images have id and file_name, annotations image_id, file_name and segments_info"),
    "json-image-twice": (ERROR, "list each image once, under its own id"),
    "json-annotation-twice": (ERROR, "keep one annotation for each image"),
    "json-no-image": (ERROR, "add the image to the list of images, or remove the annotation"),
    "json-no-picture": (WARNING, "restore the picture, or remove the image from the JSON"),
    "json-size": (ERROR, "write the PNG at the size of the picture, and this size into the JSON"),
    "grey-ids": (ERROR, "write the ids anew as R + 256 G + 65536 B, computed in more than 8 bit"),
    "segment-id": (ERROR, "number the segments 1, 2, ... in PNG and JSON"),
    "segment-twice": (ERROR, "give each segment its own id: a pixel belongs to one segment"),
    "segment-category": (ERROR, "add the category to the JSON, or mend category_id"),
    "segment-crowd": (ERROR, "iscrowd is 1 for a group that nobody told apart, else 0"),
    "segment-unlisted": (ERROR, "add the segment to segments_info, or paint it 0 (void)"),
    "segment-missing": (ERROR, "remove it from segments_info, or restore its pixels"),
    "object-class": (ERROR, "add the class to the data set's, or mend its name"),
    "object-line": (ERROR, "mend the line: class, then x, y, width and height of the box as shares of the picture"),
    "object-twice": (WARNING, "give each object its own id: of those with one id in one image the first counts"),
    "object-id": (WARNING, "number the annotations anew: others' tools know an annotation by its id alone"),
    "box-missing": (WARNING, "give it a box of four numbers, or remove the object: it is left out"),
    "box-inverted": (WARNING, "swap the corners, or remove the object: it is left out"),
    "box-empty": (WARNING, "draw the box anew, or remove the object: it is left out"),
    "box-outside": (WARNING, "check the size of the picture and the unit of the box, or remove the object: it is left out"),
    "box-clipped": (WARNING, "cut the box at the border of the picture: it is done here, others' tools may not"),
    "box-base": (WARNING, "if the first pixel is 0, say data.one_based=false"),
    "mask-missing": (WARNING, "draw its mask, or data.annotation=boxes: without one it is left out"),
    "mask-empty": (WARNING, "check the size of the picture, or remove the object: it is left out"),
    "mask-broken": (ERROR, "mend the segmentation of this annotation"),
    "polygon-points": (WARNING, "draw the polygon anew with at least three points, or remove the object: it is left out"),
    "label-file": (ERROR, "restore the label file"),
    "label-sizes": (ERROR, "write all label files of a picture at its size"),
    "labels-disagree": (ERROR, "make all label files of a picture anew from one source"),
    "segment-area": (ERROR, "JSON and PNG aren't of one version, or the PNG was resized: write both anew, or leave `area` out"),
    "segment-box": (WARNING, "correct the box: others' tools trust it (here the PNG counts)"),
    "stuff-crowd": (WARNING, "iscrowd is for things: stuff has no objects to tell apart"),
    "stuff-twice": (WARNING, "merge them: a class of stuff is one segment of an image"),
    "stuff-instance": (WARNING, "give it the label id alone, without a number"),
    "unannotated": (WARNING, "annotate the image, or leave it out: it is void throughout"),
    "resampled-labels": (WARNING, "resize label maps with nearest neighbour only; look at the edges: segexp data browse"),
    "palette": (WARNING, "check the order of the classes; if the indices are right, write the palette anew"),
    "all-ignored": (WARNING, "leave the sample out: nothing can be learnt from it, and its evaluation counts nothing"),
    "constant-picture": (WARNING, "look at it; leave it out, or replace it"),
    "channels": (ERROR, "convert the pictures to one number of channels, or set the data set's"),
    "mixed-depth": (ERROR, "store all pictures with the same bits per channel: they are scaled by them"),
    "alpha": (WARNING, "flatten the picture onto a background: transparency isn't seen by a model"),
    "multi-page": (ERROR, "keep the one frame that the labels belong to"),
    "wrong-suffix": (WARNING, "name the file by its content"),
    "too-small": (WARNING, "a smaller augmentation.crop, or leave such pictures out: they are enlarged or padded"),
    "refused": (ERROR, "see what the data set says"),
    "duplicate-id": (ERROR, "list each sample once"),
    "duplicate-image": (WARNING, "keep one of them"),
    "conflicting-labels": (ERROR, "the picture is the same: keep the labels that are right"),
    "leakage": (ERROR, "remove it from one of the splits: figures on it say nothing"),
    "near-duplicate": (WARNING, "look at both; if one is a copy of the other, remove it from one of the splits"),
    "unseen-class": (WARNING, "check the class's value in the label files, or leave the class out"),
    "untrained-class": (WARNING, "move samples with it into train, or split anew: it can't be learnt"),
    "empty-split": (ERROR, "check the list or the folder"),
    "list-encoding": (ERROR, "save the list as UTF-8 without a byte order mark"),
    "list-lines": (WARNING, "remove blank lines and spaces around names"),
    "list-broken": (ERROR, "mend the list"),
    "outside-root": (WARNING, "keep the files of a data set below its root: a copy of the folder would lack them"),
    "orphan-labels": (WARNING, "restore the picture, or remove the labels"),
    "orphan-image": (WARNING, "label the picture, or move it elsewhere"),
    "unlisted-sample": (WARNING, "add the sample to a list, or move it elsewhere"),
}
ORDER = {kind: (severity != ERROR, place) for place, (kind, (severity, _)) in enumerate(KINDS.items())}


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, or looks wrong.

    Args:
        kind: a key of `KINDS`, which says how bad it is.
        what: in one line.
        paths: of the files that it is about.
        id: of the sample, where it is about one.
        fix: what to do, where that differs from what `KINDS` says.
    """

    kind: str
    what: str
    paths: tuple[str, ...] = ()
    id: str = ""
    fix: str = ""

    @property
    def severity(self) -> str:
        """`error` or `warning`."""
        return KINDS[self.kind][0]

    def as_dict(self) -> dict[str, Any]:
        """The record of `check.json`."""
        fix = self.fix or KINDS[self.kind][1]
        return {"severity": self.severity, "kind": self.kind, "id": self.id, "what": self.what, "paths": list(self.paths), "fix": fix}

    def line(self) -> str:
        """For the screen, without the kind and the fix."""
        places = f" ({' and '.join(self.paths[:2])}{' ...' if len(self.paths) > 2 else ''})" if self.paths else ""
        return f"{self.id}: {self.what}{places}" if self.id else f"{self.what}{places}"


def ordered(findings: Iterable[Finding]) -> list[Finding]:
    """Errors first, then by kind; those of a kind in the order in which they were found."""
    return sorted(findings, key=lambda finding: ORDER[finding.kind])


def told(findings: Sequence[Finding], most: int) -> list[str]:
    """Lines for the screen, of each kind at most `most` findings.

    Args:
        findings: as `ordered` gives them.
        most: findings that are shown of a kind.
    """
    lines = []
    for kind, group in groupby(findings, key=lambda finding: finding.kind):
        same = list(group)
        severity, fix = KINDS[kind]
        lines.append(f"{severity} {kind} ({len(same)}); fix: {fix}")
        for finding in same[:most]:
            lines.append(f"  {finding.line()}" + (f"; fix: {finding.fix}" if finding.fix else ""))
        if len(same) > most:
            lines.append(f"  and {len(same) - most} more of this kind")
    return lines


def counted(findings: Sequence[Finding]) -> str:
    """`2 errors, 1 warning`, or `nothing wrong`."""
    errors = sum(finding.severity == ERROR for finding in findings)
    parts = [(errors, ERROR), (len(findings) - errors, WARNING)]
    return ", ".join(f"{n} {name}{'s' * (n != 1)}" for n, name in parts if n) or "nothing wrong"
