"""Boundary AP: against a literal evaluation, by hand, and truth as prediction."""

import numpy as np
import pytest
import torch

from segexp.errors import ConfigError
from segexp.metrics.boundary_instance import BoundaryInstanceMetrics, mask_band
from segexp.metrics.instance import InstanceMetrics
from segexp.types import ClassInfo, DataSpec
from tests.metrics.coco_official import NAMES, Side, figures, mask_scene, official, truth_twice

SPEC = DataSpec(tuple(ClassInfo(name, is_thing=True) for name in ("car", "cat", "cow")), frozenset({"masks"}))
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of pycocotools about numpy
ALL = [*(f"boundary_{name}" for name in NAMES), *(f"boundary_map/{name}" for name in SPEC.names)]


def literal_band(mask, distance):
    """The mask without what is left of it after so many erosions by 3x3, with zeros around the picture."""
    height, width = mask.shape
    left = np.pad(mask, 1)
    for _ in range(distance):
        around = np.pad(left, 1)
        left = np.all([around[y : y + height + 2, x : x + width + 2] for y in range(3) for x in range(3)], axis=0)
    return mask & ~left[1:-1, 1:-1]


def literal_overlaps(ratio):
    """IoUs as the official code has them: the lesser of masks and bands, of masks alone with crowds."""
    coding = pytest.importorskip("pycocotools.mask")

    def overlaps(detections, objects):
        masks = [[coding.decode(x["segmentation"]).astype(bool) for x in side] for side in (detections, objects)]
        distance = max(1, round(ratio * float(np.hypot(*masks[1][0].shape))))
        bands = [[literal_band(mask, distance) for mask in side] for side in masks]
        found = np.zeros((len(detections), len(objects)))
        for d in range(len(detections)):
            for g, entry in enumerate(objects):
                values = []
                for (mine, theirs), counts in (((masks[0][d], masks[1][g]), True), ((bands[0][d], bands[1][g]), not entry["iscrowd"])):
                    whole = mine.sum() if entry["iscrowd"] else (mine | theirs).sum()
                    values += [(mine & theirs).sum() / max(whole, 1)] if counts else []
                found[d, g] = min(values)
        return found

    return overlaps


@pytest.mark.parametrize(
    ("seed", "size", "ratio"), [*((s, (36, 44), 0.02) for s in range(25)), *((s, (70, 60), 0.06) for s in range(25, 32))]
)
def test_a_literal_evaluation_has_the_same_figures(seed, size, ratio):
    rng = np.random.default_rng(seed)
    scenes = [mask_scene(rng, size) for _ in range(3)]
    found = figures(BoundaryInstanceMetrics(SPEC, dilation_ratio=ratio), scenes)
    assert set(found) == set(ALL)
    wanted = official(scenes, "segm", overlaps=literal_overlaps(ratio))
    assert [found[name] for name in ALL] == pytest.approx(wanted, rel=0, abs=1e-9, nan_ok=True)


def test_by_hand_a_large_square_one_pixel_off():
    truth = np.zeros((1, 50, 50), dtype=bool)  # a band of 1 pixel
    truth[0, 5:25, 5:25] = True
    guess = np.roll(truth, 1, 2)
    sides = (
        Side(np.zeros((1, 4), np.float32), np.array([0]), flags, masks)
        for flags, masks in ((np.float32([1]), guess), (np.array([False]), truth))
    )
    scenes = [tuple(sides)]
    # the masks share 380 of 420 pixels, the bands of 76 two rows of 19 and no column: a third
    assert figures(BoundaryInstanceMetrics(SPEC), scenes)["boundary_map50"] == 0
    assert figures(InstanceMetrics(SPEC), scenes)["mask_map"] == pytest.approx(0.9)  # up to an IoU of 0.90


@pytest.mark.parametrize("distance", [1, 2, 5])
def test_a_band_of_any_mask(distance):
    rng = np.random.default_rng(distance)
    for height, width in ((1, 1), (2, 9), (11, 11), (30, 17)):
        mask = rng.random((height, width)) < 0.97
        assert (mask_band(torch.from_numpy(mask), distance).numpy() == literal_band(mask, distance)).all()


def test_truth_as_prediction_is_1():
    found = figures(BoundaryInstanceMetrics(SPEC), truth_twice(np.random.default_rng(8), (36, 44)))
    assert found["boundary_map"] == found["boundary_mar100"] == 1


@pytest.mark.parametrize("ratio", [-0.1, 1, "wide"])
def test_a_ratio_that_is_none(ratio):
    with pytest.raises(ConfigError, match=r"metrics\.boundary_instance\.dilation_ratio"):
        BoundaryInstanceMetrics(SPEC, dilation_ratio=ratio)
