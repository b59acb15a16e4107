"""COCO's mask AP against pycocotools, by hand, and what of an image is kept."""

import json

import numpy as np
import pytest
import torch

from segexp.errors import ConfigError
from segexp.metrics.instance import InstanceMetrics, best
from segexp.types import ClassInfo, DataSpec, Prediction, Targets

SPEC = DataSpec(tuple(ClassInfo(name, is_thing=True) for name in ("car", "cat", "cow")), frozenset({"masks"}))
OFFICIAL = [
    *("mask_map", "mask_map50", "mask_map75", "mask_map_small", "mask_map_medium", "mask_map_large"),
    *("mask_mar1", "mask_mar10", "mask_mar100", "mask_mar_small", "mask_mar_medium", "mask_mar_large"),
]


def test_without_the_library_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr("segexp.metrics.instance.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"metrics=\[instance\] needs faster-coco-eval; metrics; fix: pip install 'segexp\[coco\]'"):
        InstanceMetrics(SPEC)


def metric():
    pytest.importorskip("faster_coco_eval")
    return InstanceMetrics(SPEC)


def rectangles(rng, count, size):
    """Masks of rectangles with a few holes, some of them empty: bool [count,*size]."""
    masks = np.zeros((count, *size), dtype=bool)
    for mask in masks:
        (y1, y2), (x1, x2) = (sorted(rng.integers(0, n + 1, size=2)) for n in size)
        mask[y1:y2, x1:x2] = rng.random((y2 - y1, x2 - x1)) < 0.95
    return masks


def scene(rng, size=(120, 150), detections=None):
    """Truth with crowds, and detections: true masks that are shifted, of right and wrong class, or others; scores often equal."""
    count = int(rng.integers(0, 7))
    truth = rectangles(rng, count, size)
    labels, crowd = rng.integers(0, 3, size=count), rng.random(count) < 0.2
    many = int(rng.integers(0, 12)) if detections is None else detections
    masks, kinds = rectangles(rng, many, size), rng.integers(0, 3, size=many)
    for i in range(many if count else 0):
        if rng.random() < 0.8:
            source = rng.integers(0, count)
            masks[i] = np.roll(truth[source], rng.integers(-4, 5, size=2), (0, 1))
            kinds[i] = labels[source]
    scores = (rng.integers(0, 8, size=many) / 8).astype(np.float32)
    return (masks, kinds, scores), (truth, labels, crowd)


def record(part, predicted, wanted):
    (masks, kinds, scores), (truth, labels, crowd) = ([torch.from_numpy(x) for x in side] for side in (predicted, wanted))
    return part.measure(Prediction(masks=masks, labels=kinds, scores=scores), Targets(masks=truth, labels=labels, crowd=crowd))


def figures(scenes, part=None):
    part = part or metric()
    part.update([record(part, *one) for one in scenes])
    return {name: float(value) for name, value in part.compute().items()}


def official(scenes):
    """pycocotools on the masks themselves: its twelve figures, and AP by class."""
    coco = pytest.importorskip("pycocotools.coco")
    from pycocotools import mask as coding
    from pycocotools.cocoeval import COCOeval

    sets = [coco.COCO(), coco.COCO()]
    annotations = [[], []]
    for i, (predicted, wanted) in enumerate(scenes):
        for side, (masks, kinds, flags) in enumerate((wanted, predicted)):
            for mask, kind, flag in zip(masks, kinds, flags, strict=True):
                code = coding.encode(np.asfortranarray(mask.astype(np.uint8)))
                entry = {
                    "id": len(annotations[side]) + 1,
                    "image_id": i,
                    "category_id": int(kind),
                    "segmentation": code,
                    "area": int(mask.sum()),
                }
                annotations[side].append(entry | ({"score": float(flag)} if side else {"iscrowd": int(flag)}))
    images = [{"id": i, "height": 120, "width": 150} for i in range(len(scenes))]
    for data, entries in zip(sets, annotations, strict=True):
        data.dataset = {"images": images, "annotations": entries, "categories": [{"id": k, "name": str(k)} for k in range(3)]}
        data.createIndex()
    evaluation = COCOeval(*sets, "segm")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    by_class = [evaluation.eval["precision"][:, :, k, 0, 2] for k in range(3)]
    values = [*evaluation.stats, *(x[x > -1].mean() if (x > -1).any() else -1 for x in by_class)]
    return [float("nan") if value == -1 else value for value in values]


NAMES = [*OFFICIAL, *(f"mask_map/{name}" for name in SPEC.names)]


@pytest.mark.parametrize("seed", range(6))
def test_random_scenes_have_the_official_figures(seed):
    rng = np.random.default_rng(seed)
    scenes = [scene(rng) for _ in range((1, 5, 12, 12, 12, 30)[seed])]
    found = figures(scenes)
    assert set(found) == set(NAMES)
    assert [found[name] for name in NAMES] == pytest.approx(official(scenes), rel=0, abs=1e-12, nan_ok=True)


def test_more_detections_than_count():
    rng = np.random.default_rng(7)
    scenes = [scene(rng, detections=420) for _ in range(2)]
    part = metric()
    kept = record(part, *scenes[0])["detections"][:, 0]
    assert torch.bincount(kept).tolist() == [min(100, int((scenes[0][0][1] == k).sum())) for k in range(3)]
    assert max(torch.bincount(kept)) == 100
    found = figures(scenes, part)
    assert [found[name] for name in NAMES] == pytest.approx(official(scenes), rel=0, abs=1e-12, nan_ok=True)


def test_what_is_kept_of_an_image_by_hand():
    truth = np.zeros((2, 4, 6), dtype=bool)
    truth[0, :2, :3], truth[1, 2:, :] = True, True
    masks = np.zeros((3, 4, 6), dtype=bool)
    masks[0, :2, :2], masks[1, :, 0], masks[2, 3, :2] = True, True, True
    predicted = masks, np.array([0, 1, 0]), np.array([0.25, 0.5, 0.75], dtype=np.float32)
    found = record(metric(), predicted, (truth, np.array([0, 1]), np.array([False, True])))
    assert found["detections"].tolist() == [[0, 2], [1, 4], [0, 4]]
    assert found["scores"].tolist() == [0.75, 0.5, 0.25]
    assert found["objects"].tolist() == [[0, 6, 0], [1, 12, 1]]
    assert found["overlaps"].tolist() == [[2, 0, 4], [1, 1, 2]]


def test_by_hand_one_object_and_an_iou_of_two_thirds():
    truth = np.zeros((1, 10, 12), dtype=bool)
    truth[0, :, :6] = True
    masks = truth.copy()
    masks[0, :, 4:6] = False
    found = figures([((masks, np.array([1]), np.array([0.5], dtype=np.float32)), (truth, np.array([1]), np.array([False])))])
    assert found["mask_map"] == found["mask_map/cat"] == found["mask_mar1"] == pytest.approx(0.4)  # 0.50, 0.55, 0.60, 0.65
    assert (found["mask_map50"], found["mask_map75"], found["mask_map_small"]) == (1, 0, pytest.approx(0.4))
    assert np.isnan([found["mask_map/car"], found["mask_map_large"], found["mask_mar_medium"]]).all()


def test_truth_as_prediction_is_1():
    rng = np.random.default_rng(8)
    scenes = []
    for _ in range(10):
        _, (truth, labels, _) = scene(rng)
        there = truth.any((1, 2))
        wanted = truth[there], labels[there], np.zeros(there.sum(), dtype=bool)
        scenes.append(((truth[there], labels[there], np.ones(there.sum(), dtype=np.float32)), wanted))
    assert figures(scenes)["mask_map"] == 1


def test_nothing_on_both_sides():
    nothing = np.zeros((0, 5, 6), dtype=bool), np.zeros(0, dtype=np.int64)
    empty = (*nothing, np.zeros(0, dtype=np.float32)), (*nothing, np.zeros(0, dtype=bool))
    assert np.isnan(list(figures([empty]).values())).all()
    assert np.isnan(list(figures([]).values())).all()


@pytest.mark.filterwarnings("ignore:The ``compute`` method")
def test_on_the_meta_device_it_names_its_figures():
    with torch.device("meta"):
        assert set(metric().compute()) == set(NAMES)


def test_a_truth_without_crowd_flags():
    part = metric()
    mask = torch.ones(1, 3, 3, dtype=torch.bool)
    one = part.measure(
        Prediction(masks=mask, labels=torch.tensor([2]), scores=torch.ones(1)), Targets(masks=mask, labels=torch.tensor([2]))
    )
    assert one["objects"].tolist() == [[2, 9, 0]]


def test_figures_do_not_depend_on_ranks_and_begin_anew_after_a_reset():
    rng = np.random.default_rng(9)
    scenes = [scene(rng) for _ in range(9)]
    whole = metric()
    wanted = figures(scenes, whole)
    ranks = [metric() for _ in range(3)]
    for number, part in enumerate(ranks):
        part.update([record(part, *one) for one in scenes[number::3]])
    gathered = metric()
    for name in ("images", "detections", "scores", "objects", "overlaps"):  # as torchmetrics gathers lists
        setattr(gathered, name, torch.cat([x for part in ranks for x in getattr(part, name)]))
    gathered.update([])
    assert {name: float(v) for name, v in gathered.compute().items()} == pytest.approx(wanted, rel=0, abs=0, nan_ok=True)
    whole.reset()
    assert figures(scenes, whole) == pytest.approx(wanted, rel=0, abs=0, nan_ok=True)


def test_a_record_survives_its_line_of_text():
    rng = np.random.default_rng(10)
    part, scenes = metric(), [scene(rng) for _ in range(4)]
    lines = [json.dumps({name: x.tolist() for name, x in record(part, *one).items()}) for one in scenes]
    widths = {"detections": (-1, 2), "scores": (-1,), "objects": (-1, 3), "overlaps": (-1, 3)}
    kinds = {"scores": torch.float32}
    part.update(
        [{n: torch.tensor(x, dtype=kinds.get(n, torch.int64)).reshape(widths[n]) for n, x in json.loads(line).items()} for line in lines]
    )
    found = {name: float(value) for name, value in part.compute().items()}
    assert found == pytest.approx(figures(scenes), rel=0, abs=0, nan_ok=True)


def test_the_best_of_each_class():
    scores, labels = torch.tensor([0.1, 0.9, 0.5, 0.9, 0.5]), torch.tensor([0, 1, 1, 1, 0])
    assert best(scores, labels, 2).tolist() == [1, 3, 4, 0]
    assert best(scores[:0], labels[:0], 2).tolist() == []
