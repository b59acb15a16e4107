"""Run directories as training leaves them, with as many images, classes and seeds as a test wants."""

import json

import numpy as np

SPEC_KEYS = {"ignore_index": 255, "in_channels": 3, "values": None, "provides": ["semantic"]}


def spec(classes):
    return SPEC_KEYS | {"classes": [{"name": f"c{k}", "is_thing": False, "color": [k, k, k]} for k in range(classes)]}


def counts(rng, images, classes, skill, difficulty):
    """Pixels of each image by class: right, predicted, labelled, int [N,K] each; `difficulty` [N] is shared by models."""
    labelled = rng.poisson(rng.gamma(1.0, 2000, (images, classes)))
    share = np.clip(skill + difficulty[:, None] + rng.normal(0, 0.05, (images, classes)), 0.01, 0.99)
    hit = rng.binomial(labelled, share)
    wrong = rng.multinomial((labelled - hit).sum(1), np.full(classes, 1 / classes))
    return hit, hit + wrong, labelled


def miou(hit, predicted, labelled):
    hit, predicted, labelled = (x.sum(0) for x in (hit, predicted, labelled))
    union = predicted + labelled - hit
    return float((hit / np.where(union == 0, np.nan, union))[union > 0].mean())


def write_run(folder, table, *, seed=0, words=(), leaves=None, state="done", data="f00d", ids=None, seconds=10.0):
    """A run whose images have these counts [N,K]; returns its directory.

    Args:
        leaves: of its config, beside metrics, seed and monitor.
    """
    folder.mkdir(parents=True)
    (folder / "status.json").write_text(json.dumps({"state": state, "attempt": 1, "step": 1, "error": None, "failures": 0}))
    (folder / "config.yaml").write_text("seed: 0\n")
    (folder / "overrides.txt").write_text(" ".join(["segexp train", *words, f"seed={seed}"]) + "\n")
    (folder / "manifest.json").write_text(json.dumps({"id": folder.name, "data": data, "spec": spec(table[0].shape[1])}))
    if state != "done":
        return folder
    config = {"metrics.semantic._target_": "segexp.metrics.semantic.SemanticMetrics", "metrics.semantic._partial_": True}
    config |= {"seed": seed, "monitor": "val/miou", "name": folder.parent.name} | (leaves or {})
    result = {"val": {"loss": 1.0, "miou": miou(*table)}, "monitor": "val/miou", "config": config, "curves": {}}
    (folder / "result.json").write_text(json.dumps(result | {"parameters": 1_000_000, "seconds": seconds}))
    names = ids or [f"image {n}" for n in range(len(table[0]))]
    parts = [x.tolist() for x in table]
    lines = [
        {"id": name, "split": "val", "semantic": {"intersection": hit, "predicted": said, "labelled": real, "mistakes": []}}
        for name, hit, said, real in zip(names, *parts, strict=True)
    ]
    (folder / "per_image.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder
