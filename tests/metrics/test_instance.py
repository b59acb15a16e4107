"""COCO's mask AP: against pycocotools on many random data sets, and by hand. What it shares with boxes is in test_detection."""

import numpy as np
import pytest
import torch

from segexp.metrics.instance import InstanceMetrics
from segexp.types import ClassInfo, DataSpec
from tests.metrics.coco_official import NAMES, Side, figures, mask_scene, official, records, truth_twice

SPEC = DataSpec(tuple(ClassInfo(name, is_thing=True) for name in ("car", "cat", "cow")), frozenset({"masks"}))
ALL = [*(f"mask_{name}" for name in NAMES), *(f"mask_map/{name}" for name in SPEC.names)]


def side(masks, labels, flags):
    return Side(np.zeros((len(labels), 4), np.float32), np.array(labels), np.array(flags), np.array(masks))


def assert_official(scenes, part=None):
    found = figures(part or InstanceMetrics(SPEC), scenes)
    assert set(found) == set(ALL)
    assert [found[name] for name in ALL] == pytest.approx(official(scenes, "segm"), rel=0, abs=1e-9, nan_ok=True)


@pytest.mark.parametrize("block", range(6))
def test_random_data_sets_have_the_official_figures(block):
    for seed in range(50 * block, 50 * (block + 1)):
        rng = np.random.default_rng(seed)
        assert_official([mask_scene(rng, (36, 44)) for _ in range(int(rng.integers(1, 5)))])


@pytest.mark.parametrize("seed", range(3))
def test_large_masks_too(seed):
    rng = np.random.default_rng(2000 + seed)
    assert_official([mask_scene(rng, (120, 150)) for _ in range(12)])


def test_more_detections_than_count():
    rng = np.random.default_rng(7)
    scenes, part = [mask_scene(rng, (36, 44), detections=420) for _ in range(2)], InstanceMetrics(SPEC)
    kept = torch.bincount(records(part, scenes[:1])[0]["labels"])
    assert kept.tolist() == [min(100, int((scenes[0][0].labels == k).sum())) for k in range(3)]
    assert max(kept) == 100
    assert_official(scenes, part)


def test_what_is_kept_of_an_image_by_hand():
    truth, masks = np.zeros((2, 4, 6), dtype=bool), np.zeros((3, 4, 6), dtype=bool)
    truth[0, :2, :3], truth[1, 2:, :] = True, True
    masks[0, :2, :2], masks[1, 2:, 0], masks[2, 3, :2] = True, True, True
    guess, real = side(masks, [0, 1, 0], np.float32([0.25, 0.5, 0.75])), side(truth, [0, 1], [False, True])
    (found,) = records(InstanceMetrics(SPEC), [(guess, real)])
    assert (found["labels"].tolist(), found["areas"].tolist(), found["scores"].tolist()) == ([0, 1, 0], [2, 2, 4], [0.75, 0.5, 0.25])
    assert (found["objects"].tolist(), found["object_areas"].tolist()) == ([[0, 0], [1, 1]], [6, 12])
    assert (found["pairs"].tolist(), found["ious"].tolist()) == ([[1, 1], [2, 0]], [1, 4 / 6])


def test_by_hand_one_object_and_an_iou_of_two_thirds():
    truth = np.zeros((1, 10, 12), dtype=bool)
    truth[0, :, :6] = True
    masks = truth.copy()
    masks[0, :, 4:6] = False
    found = figures(InstanceMetrics(SPEC), [(side(masks, [1], np.float32([0.5])), side(truth, [1], [False]))])
    assert [found[name] for name in ("mask_map", "mask_map/cat", "mask_mar1")] == pytest.approx([0.4] * 3)  # 0.50, 0.55, 0.60, 0.65
    assert (found["mask_map50"], found["mask_map75"], found["mask_map_small"]) == (1, 0, pytest.approx(0.4))
    assert np.isnan([found["mask_map/car"], found["mask_map_large"], found["mask_mar_medium"]]).all()


def test_truth_as_prediction_is_1():
    found = figures(InstanceMetrics(SPEC), truth_twice(np.random.default_rng(8), (36, 44)))
    assert found["mask_map"] == found["mask_mar100"] == 1


def test_nothing_on_both_sides():
    nothing = np.zeros((0, 5, 6), dtype=bool)
    empty = side(nothing, np.zeros(0, np.int64), np.zeros(0, np.float32)), side(nothing, np.zeros(0, np.int64), np.zeros(0, bool))
    assert np.isnan(list(figures(InstanceMetrics(SPEC), [empty]).values())).all()
