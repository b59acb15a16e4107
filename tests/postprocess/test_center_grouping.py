"""Panoptic segments: published arrays, values by hand, and any size."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from segexp.errors import ConfigError
from segexp.functional.centers import center_targets
from segexp.postprocess.center_grouping import CenterGrouping
from segexp.types import CenterOffset, ClassInfo, DataSpec

GOLDEN = Path(os.environ.get("SEGEXP_SHARED", Path(__file__).parents[3] / "shared")) / "reference" / "golden"
golden = pytest.mark.skipif(not GOLDEN.exists(), reason=f"no golden arrays in {GOLDEN}: set SEGEXP_SHARED")
THINGS = tuple(range(11, 19))  # of the published arrays


def spec(classes, things):
    return DataSpec(tuple(ClassInfo(f"c{i}", is_thing=i in things) for i in range(classes)), frozenset({"segments"}))


def published(options):
    """(Arrays, prediction)."""
    arrays = np.load(GOLDEN / "panoptic_postprocess.npz")
    assert tuple(arrays["thing_list"]) == THINGS
    maps = (torch.from_numpy(arrays[name]).float()[None] for name in ("sem_logits", "center", "offset"))
    return arrays, CenterGrouping(spec(19, THINGS), **options)(CenterOffset(*maps, 1), ((96, 160),), ((96, 160),))[0]


@golden
@pytest.mark.parametrize(
    ("tag", "options"),
    [
        ("nms7_top200_stuff64", {"nms_kernel": 7, "top_k": 200, "stuff_area": 64}),
        ("nms13_topNone_stuff2048", {"nms_kernel": 13, "top_k": None, "stuff_area": 2048}),
        ("nms3_top4_stuff0", {"nms_kernel": 3, "top_k": 4, "stuff_area": 0}),
        ("thr0.95_empty", {"threshold": 0.995, "stuff_area": 64}),
    ],
)
def test_published_ids(tag, options):
    arrays, found = published(options)
    table, numbers = [255_000], dict.fromkeys(THINGS, 0)
    for label in found.segment_labels.tolist():
        numbers[label] = numbers.get(label, -1) + 1
        table.append(label * 1000 + numbers[label])
    assert found.segments.dtype == torch.int32
    assert np.array_equal(np.array(table)[found.segments.numpy()], arrays[f"{tag}.panoptic"])


@golden
@pytest.mark.parametrize("score", ["semantic", "both"])
def test_published_scores(score):
    arrays, found = published({"stuff_area": 64, "score": score})
    things = torch.isin(found.segment_labels, torch.tensor(THINGS))
    order = sorted(range(int(things.sum())), key=lambda i: int(found.segment_labels[i]))
    assert found.segment_labels[order].tolist() == arrays["inst_class"].tolist()
    assert np.allclose(found.segment_scores[order], arrays[f"inst_score_{score}"], rtol=1e-5)


def output(rows, peaks, offset=None, things=(1, 2), classes=4, stride=1, sure=20.0):
    """Certain classes, a heatmap of single pixels {(y, x): value}, vectors (dy, dx) or none."""
    labels = torch.tensor(rows)
    heat = torch.zeros(labels.shape)
    for (y, x), value in peaks.items():
        heat[y, x] = value
    offset = torch.zeros(2, *labels.shape) if offset is None else torch.tensor(offset, dtype=torch.float32)
    logits = F.one_hot(labels, classes).permute(2, 0, 1) * sure
    return CenterOffset(logits[None], heat[None, None], offset[None], stride), spec(classes, things)


def grouped(case, size=None, original=None, **options):
    maps, data = case
    size = size or tuple(maps.semantic.shape[-2:])
    return CenterGrouping(data, **({"stuff_area": 0, "nms_kernel": 3} | options))(maps, (size,), (original or size,))[0]


def test_by_hand():
    case = output([[0, 1, 1, 1, 3, 2, 2, 0]], {(0, 1): 0.5, (0, 6): 0.9})
    found = grouped(case, score="center", center_score="peak")
    assert found.segments.tolist() == [[3, 1, 1, 1, 4, 2, 2, 3]]
    assert found.segment_labels.tolist() == [1, 2, 0, 3]
    assert found.segment_scores.tolist() == pytest.approx([0.5, 0.9, 1, 1])
    assert found.semantic.tolist() == [[0, 1, 1, 1, 3, 2, 2, 0]]


def test_a_vector_decides_and_equals_go_to_the_first():
    rows, peaks = [[1] * 7], {(0, 0): 0.9, (0, 6): 0.9}
    assert grouped(output(rows, peaks)).segments.tolist() == [[1, 1, 1, 1, 2, 2, 2]]
    away = [[[0.0] * 7], [[6.0, 0, 0, 0, 0, 0, -6.0]]]
    assert grouped(output(rows, peaks, away)).segments.tolist() == [[2, 1, 1, 1, 2, 2, 1]]


def test_the_class_of_most_pixels_wins_and_of_equals_the_lowest():
    assert grouped(output([[2, 2, 1]], {(0, 1): 0.9})).segment_labels.tolist() == [2]
    assert grouped(output([[2, 1, 2, 1]], {(0, 1): 0.9})).segment_labels.tolist() == [1]


def test_stuff_that_is_small_is_void_and_things_without_a_centre_too():
    rows = [[0, 0, 0, 3, 3, 1]]
    assert grouped(output(rows, {}), stuff_area=3).segments.tolist() == [[1, 1, 1, 0, 0, 0]]
    assert grouped(output(rows, {}), stuff_area=2).segments.tolist() == [[1, 1, 1, 2, 2, 0]]
    nothing = grouped(output(rows, {}), stuff_area=4)
    assert (nothing.segments.unique().tolist(), nothing.segment_labels.tolist(), nothing.segment_scores.tolist()) == ([0], [], [])


def test_a_connected_part_without_a_centre_is_a_thing_by_itself_where_asked_for():
    rows = [[0, 0, 3, 0, 3, 1, 1, 1], [3, 3, 3, 3, 3, 3, 3, 1]]
    case = output(rows, {(0, 0): 0.9}, things=(0, 1))
    plain = grouped(case, stuff_area=0)
    assert plain.segments.tolist() == [[1, 1, 2, 1, 2, 1, 1, 1], [2, 2, 2, 2, 2, 2, 2, 1]]
    assert plain.segment_labels.tolist() == [1, 3]  # four of seven pixels
    found = grouped(case, stuff_area=0, lone_area=2)
    assert found.segments.tolist() == [[1, 1, 3, 1, 3, 2, 2, 2], [3, 3, 3, 3, 3, 3, 3, 2]]  # one pixel is too few
    assert found.segment_labels.tolist() == [0, 1, 3]
    several = grouped(output(rows, {}, things=(0, 1)), stuff_area=0, lone_area=2, score="center", center_score="peak")
    assert several.segments.tolist() == [[1, 1, 3, 0, 3, 2, 2, 2], [3, 3, 3, 3, 3, 3, 3, 2]]
    assert several.segment_scores.tolist() == [0, 0, 1]  # the heatmap says nothing
    larger = grouped(case, original=(4, 16), stuff_area=0, lone_area=2)
    assert larger.segments[::2, ::2].tolist() == found.segments.tolist()


def test_a_centre_that_no_pixel_points_to_makes_no_segment():
    found = grouped(output([[0, 0, 0, 0, 1]], {(0, 0): 0.9, (0, 4): 0.9}), score="center")
    assert (found.segments.tolist(), found.segment_labels.tolist()) == ([[2, 2, 2, 2, 1]], [1, 0])


def test_scores_by_hand():
    case = output([[0, 1, 1, 1, 1, 1]], {(0, 1): 0.8, (0, 3): 0.5}, sure=2.0, things=(1,))
    sure = float(torch.tensor([2.0, 0, 0, 0]).softmax(0)[0])
    wanted = {("center", "middle"): (0.8, 0.0, 1), ("center", "peak"): (0.8, 0.5, 1), ("semantic", "peak"): (sure,) * 3}
    wanted |= {("both", "peak"): (0.8 * sure, 0.5 * sure, sure)}  # pixels 1 and 2 belong to the first, whose middle is at 1.5
    for (score, where), values in wanted.items():
        found = grouped(case, score=score, center_score=where)
        assert found.segment_scores.tolist() == pytest.approx(values, rel=1e-5), (score, where)
    over = grouped(output([[1]], {(0, 0): 3.0}), score="center")
    assert over.segment_scores.tolist() == [1]


def blobs(size=(64, 96)):
    """Segments: a floor of stuff and five round things, two of them of the same class and touching."""
    ys, xs = (torch.arange(n) for n in size)
    segments = torch.ones(size, dtype=torch.int32)
    for number, (y, x, radius) in enumerate(((14, 18, 9), (14, 36, 9), (45, 22, 13), (40, 70, 15), (12, 78, 8)), 2):
        segments[(ys[:, None] - y) ** 2 + (xs - x) ** 2 < radius**2] = number
    return segments, torch.tensor([0, 1, 1, 2, 1, 3])


def perfect(segments, labels, stride=1):
    made = center_targets(segments, labels > 0)
    logits = F.one_hot(labels[segments.long() - 1], 4).permute(2, 0, 1)[None] * 20.0
    return CenterOffset(logits, made.center[None, None], made.offset[None], stride), spec(4, (1, 2, 3))


def same_partition(found, segments, labels):
    pairs = torch.stack([found.segments.flatten(), segments.flatten()], 1).unique(dim=0)
    assert len(pairs) == len(labels) == len(found.segment_labels)
    assert all(found.segment_labels[a - 1] == labels[b - 1] for a, b in pairs.tolist())


def test_the_truth_gives_the_truth():
    segments, labels = blobs()
    found = grouped(perfect(segments, labels))
    same_partition(found, segments, labels)
    assert found.segment_scores.min() > 0.9


def test_at_another_original_size_vectors_and_areas_grow_with_the_image():
    segments, labels = blobs()
    maps = perfect(segments, labels)
    for original in ((128, 192), (64, 192), (96, 100)):
        found = grouped(maps, original=original, stuff_area=int((segments == 1).sum() * 0.9))
        back = F.interpolate(found.segments[None, None].float(), (64, 96), mode="nearest-exact")[0, 0]
        assert found.segments.shape == found.semantic.shape == original
        assert len(found.segment_labels) == len(labels)
        order = {int(segments[y, x]): int(back[y, x]) for y, x in ((14, 18), (14, 36), (45, 22), (40, 70), (12, 78), (63, 0))}
        wanted = torch.tensor([0, *(order[number] for number in range(1, 7))])[segments.long()]
        assert (back == wanted).float().mean() > 0.97
    assert len(grouped(maps, original=(128, 192), stuff_area=int((segments == 1).sum() * 1.1)).segment_labels) == 5


@pytest.mark.parametrize("aligned", [False, True])
def test_padding_is_never_seen_and_images_of_a_batch_have_their_own_sizes(aligned):
    rng = torch.Generator().manual_seed(0)
    semantic, center, offset = (torch.randn(2, n, 17, 25, generator=rng) for n in (4, 1, 2))
    data, sizes, originals = spec(4, (1, 2)), ((61, 90), (40, 97)), ((61, 90), (70, 120))
    maps = CenterOffset(semantic, center, offset * 9, 4, align_corners=aligned)
    together = CenterGrouping(data, stuff_area=0)(maps, sizes, originals)
    for i, (found, size, original) in enumerate(zip(together, sizes, originals, strict=True)):
        one = CenterOffset(semantic[i : i + 1], center[i : i + 1], offset[i : i + 1] * 9, 4, align_corners=aligned)
        alone = CenterGrouping(data, stuff_area=0)(one, (size,), (original,))[0]
        assert torch.equal(found.segments, alone.segments)
        assert found.segments.shape == original
        present = found.segments.unique()
        assert present[present > 0].tolist() == list(range(1, len(found.segment_labels) + 1))
        assert len(found.segment_scores) == len(found.segment_labels)
        assert ((found.segment_scores >= 0) & (found.segment_scores <= 1)).all()


def test_a_data_set_without_things_or_without_stuff():
    rows = [[0, 1, 1]]
    assert grouped(output(rows, {(0, 1): 0.9}, things=())).segment_labels.tolist() == [0, 1]
    assert grouped(output(rows, {(0, 1): 0.9}, things=(0, 1, 2, 3))).segments.tolist() == [[1, 1, 1]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"nms_kernel": 6}, r"the square around a centre has an odd side; postprocess\.nms_kernel=6; fix: postprocess\.nms_kernel=7"),
        ({"nms_kernel": 4.5}, r"a whole number from 1 on is wanted; postprocess\.nms_kernel=4\.5; fix: postprocess\.nms_kernel=7"),
        ({"threshold": "abc"}, r"a number from 0 to below 1 is wanted; postprocess\.threshold=abc; fix: postprocess\.threshold=0\.1"),
        ({"stuff_area": -5}, r"a number from 0 on is wanted; postprocess\.stuff_area=-5; fix: postprocess\.stuff_area=64"),
        ({"top_k": 1}, r"a whole number from 2 on is wanted; postprocess\.top_k=1; fix: postprocess\.top_k=200, or null: all"),
        ({"score": "mean"}, r"no such score; postprocess\.score=mean; fix: postprocess\.score=semantic\|center\|both"),
        ({"center_score": "top"}, r"no such center_score; postprocess\.center_score=top; fix: postprocess\.center_score=middle\|peak"),
    ],
)
def test_refusals(options, message):
    with pytest.raises(ConfigError, match=message):
        CenterGrouping(spec(2, (1,)), **options)
