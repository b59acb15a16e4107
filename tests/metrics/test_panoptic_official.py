"""Files written by `PanopticWriter`, judged by the official script (in cityscapesscripts, which has it from COCO), and our figures."""

import numpy as np
import pytest
import torch

from segexp.formats.coco_panoptic import CityscapesPanopticWriter, PanopticWriter
from segexp.metrics.panoptic import PanopticMetrics
from segexp.types import ClassInfo, DataSpec, Prediction, Targets
from tests.metrics.official import judged

CLASSES = [ClassInfo(f"class {i}", i % 2 == 1) for i in range(6)]
SPEC = DataSpec(tuple(CLASSES), frozenset({"segments"}), values=(3, 7, 8, 40, 90, 133))


def segments(rng, size, count):
    """Boxes on boxes, some pixels void: ids [H,W] and classes, of segments that have a pixel; stuff once."""
    ids = np.zeros(size, np.int32)
    classes = [int(rng.integers(len(CLASSES))) for _ in range(count)]
    stuff = {}
    for number, kind in enumerate(classes, 1):
        top, left = (int(rng.integers(0, side - 4)) for side in size)
        tall, wide = (int(rng.integers(3, side // 2)) for side in size)
        if not CLASSES[kind].is_thing:
            number = stuff.setdefault(kind, number)
        ids[top : top + tall, left : left + wide] = number
    there = np.flatnonzero(np.bincount(ids.ravel(), minlength=count + 1)[1:]) + 1
    table = np.zeros(count + 1, np.int32)
    table[there] = np.arange(1, len(there) + 1)
    return torch.from_numpy(table[ids]), torch.tensor([classes[i - 1] for i in there], dtype=torch.int64)


def changed(rng, ids, labels):
    """A prediction: the truth moved by a few pixels, some segments of another class, some void."""
    moved = torch.roll(ids, (int(rng.integers(-3, 4)), int(rng.integers(-3, 4))), (0, 1))
    return moved, torch.tensor([int(rng.integers(6)) if rng.random() < 0.2 else int(x) for x in labels], dtype=torch.int64)


def compacted(ids, labels):
    """Segments of one stuff class united, none without a pixel."""
    table, kept = torch.zeros(len(labels) + 1, dtype=torch.int64), []
    for number, kind in enumerate(labels.tolist(), 1):
        if not bool((ids == number).any()):
            continue
        if not CLASSES[kind].is_thing and kind in kept:
            table[number] = kept.index(kind) + 1
        else:
            kept.append(kind)
            table[number] = len(kept)
    return table[ids.long()].int(), torch.tensor(kept, dtype=torch.int64)


@pytest.mark.parametrize("writer", [PanopticWriter, CityscapesPanopticWriter])
@pytest.mark.parametrize("seed", range(6))
def test_the_official_script_agrees_on_written_files(tmp_path, capsys, writer, seed):
    rng, metric = np.random.default_rng(seed), PanopticMetrics(SPEC)
    with writer(tmp_path, SPEC, name="truth") as truths, writer(tmp_path, SPEC, name="pred") as predictions:
        for number in range(12):
            size = tuple(int(x) for x in rng.integers(16, 60, 2))
            ids, labels = segments(rng, size, int(rng.integers(1, 14)))
            crowd = torch.tensor([CLASSES[int(k)].is_thing and bool(rng.random() < 0.2) for k in labels], dtype=torch.bool)
            crowd &= torch.tensor([labels[:i].tolist().count(int(k)) == 0 for i, k in enumerate(labels)], dtype=torch.bool)
            guess, kinds = compacted(*changed(rng, ids, labels))
            name = f"city_{number:06}_000000"
            truths.add(name, size, ids, labels, crowd=crowd)
            predictions.add(name, size, guess, kinds, torch.rand(len(kinds)))
            truth = Targets(segments=ids, segment_labels=labels, segment_crowd=crowd)
            metric.update([metric.measure(Prediction(segments=guess, segment_labels=kinds), truth)])
    figures = metric.compute()
    for name, value in judged(tmp_path / "truth.json", tmp_path / "pred.json").items():
        assert float(figures[name]) == pytest.approx(value, abs=1e-12), name
    capsys.readouterr()  # which it fills
