"""The official script of panoptic quality, which cityscapesscripts has from COCO."""

import json
from pathlib import Path

import pytest


def judged(truth: Path, found: Path) -> dict[str, float]:
    """`pq sq rq` of all classes, of `_things` and of `_stuff`, of one JSON against another; beside each is the folder of its PNG."""
    official = pytest.importorskip("cityscapesscripts.evaluation.evalPanopticSemanticLabeling", reason="the extra dev has it")
    real, guess = (json.loads(path.read_text()) for path in (truth, found))
    categories = {c["id"]: c for c in real["categories"]}
    by_image = {a["image_id"]: a for a in guess["annotations"]}
    pairs = [(a, by_image[a["image_id"]]) for a in real["annotations"]]
    stat = official.pq_compute_single_core(0, pairs, truth.with_suffix(""), found.with_suffix(""), categories)
    return {
        f"{kind}{name}": value
        for name, things in (("", None), ("_things", True), ("_stuff", False))
        for kind, value in stat.pq_average(categories, things)[0].items()
        if kind != "n"
    }
