"""Merging pixels' classes and detections: values by hand, bounds, order, and what a slow literal form makes of noise."""

import pytest
import torch

from segexp.errors import ConfigError
from segexp.postprocess.panoptic_merge import PanopticMerge
from segexp.types import ClassInfo, DataSpec, Prediction

THINGS = (1, 2)
DATA = DataSpec(tuple(ClassInfo(f"c{i}", is_thing=i in THINGS) for i in range(5)), frozenset({"segments"}))


class Classes:
    accepts = torch.Tensor
    provides = frozenset({"semantic"})

    def __init__(self, data):
        pass

    def __call__(self, output, sizes, original_sizes):
        return [Prediction(semantic=x) for x in output]


class Things(Classes):
    accepts = Prediction
    provides = frozenset({"boxes", "masks"})

    def __call__(self, output, sizes, original_sizes):
        return output


def detections(masks, labels, scores):
    masks = torch.as_tensor(masks).bool()
    boxes = []
    for mask in masks:
        y, x = mask.nonzero(as_tuple=True)
        boxes.append([x.min() - 0.3, y.min() - 0.3, x.max() + 1.2, y.max() + 1.2] if len(x) else [0, 0, 1, 1])
    return Prediction(boxes=torch.tensor(boxes).reshape(-1, 4), masks=masks, labels=torch.tensor(labels), scores=torch.tensor(scores))


def merged(semantic, things, size=None, **options):
    semantic = torch.tensor(semantic, dtype=torch.uint8)
    merge = PanopticMerge(DATA, parts={"semantic": Classes, "roi": Things}, **({"stuff_area": 0} | options))
    size = size or tuple(semantic.shape)
    return merge({"semantic": [semantic], "roi": [things]}, (size,), (tuple(semantic.shape),))[0]


def test_by_hand():
    things = detections(
        [[[0, 1, 1, 0, 0, 0]], [[0, 0, 1, 1, 0, 0]], [[0, 1, 1, 1, 0, 0]], [[0, 0, 0, 0, 0, 1]]], [1, 2, 1, 2], [0.9, 0.8, 0.7, 0.4]
    )
    found = merged([[0, 1, 1, 3, 1, 3]], things)
    # of the second half is taken, which is not more than half; of the third all; the last isn't certain enough; pixel 4 is void
    assert found.segments.tolist() == [[3, 1, 1, 2, 0, 4]]
    assert found.segments.dtype == torch.int32
    assert found.segment_labels.tolist() == [1, 2, 0, 3]
    assert found.segment_scores.tolist() == pytest.approx([0.9, 0.8, 1, 1])
    assert (found.semantic.tolist(), found.masks.shape, len(found.boxes)) == ([[0, 1, 1, 3, 1, 3]], (4, 1, 6), 4)


def test_the_most_certain_comes_first():
    things = detections([[[1, 1, 1, 0]], [[0, 1, 1, 1]]], [1, 2], [0.6, 0.7])
    assert merged([[0] * 4], things, overlap=0.7).segments.tolist() == [[2, 1, 1, 1]]
    assert merged([[0] * 4], things, overlap=0.6).segments.tolist() == [[2, 1, 1, 1]]
    assert merged([[0] * 4], things, overlap=0.6).segment_labels.tolist() == [2, 0]
    assert merged([[0] * 4], things, threshold=0.65).segment_labels.tolist() == [2, 0]
    assert merged([[0] * 4], things, threshold=0.6, overlap=1.0).segment_labels.tolist() == [2, 1]


def test_stuff_that_is_small_is_void_by_pixels_of_the_input():
    nothing = detections(torch.zeros(0, 2, 4), [], [])
    nothing = Prediction(boxes=torch.zeros(0, 4), masks=nothing.masks, labels=torch.zeros(0).long(), scores=torch.zeros(0))
    rows = [[0, 0, 0, 3], [0, 0, 3, 3]]
    assert merged(rows, nothing, stuff_area=3).segments.tolist() == [[1, 1, 1, 2], [1, 1, 2, 2]]
    assert merged(rows, nothing, stuff_area=4).segments.tolist() == [[1, 1, 1, 0], [1, 1, 0, 0]]
    assert merged(rows, nothing, stuff_area=2, size=(1, 2)).segments.tolist() == [[0] * 4] * 2  # 2 of the input are 8 here
    assert merged(rows, nothing, stuff_area=9).segment_labels.tolist() == []


def test_empty_masks_and_detections_of_stuff_take_nothing():
    things = detections([[[0, 0, 0, 0]], [[1, 1, 0, 0]]], [1, 0], [0.9, 0.9])
    found = merged([[3] * 4], things)
    assert (found.segments.tolist(), found.segment_labels.tolist()) == ([[1] * 4], [3])


def test_a_slow_literal_form():
    rng = torch.Generator().manual_seed(0)
    for _ in range(20):
        ys, xs = torch.arange(24)[:, None], torch.arange(32)
        places = torch.rand(9, 3, generator=rng) * torch.tensor([24, 32, 9]) + torch.tensor([0, 0, 1])
        masks = torch.stack([(ys - y) ** 2 + (xs - x) ** 2 < r * r for y, x, r in places])
        labels, scores = torch.randint(1, 3, (9,), generator=rng), torch.rand(9, generator=rng)
        semantic = torch.randint(0, 5, (6, 8), generator=rng).repeat_interleave(4, 0).repeat_interleave(4, 1)
        wanted, classes = torch.zeros(24, 32, dtype=torch.int64), []
        for i in scores.argsort(descending=True).tolist():
            free = masks[i] & (wanted == 0)
            if scores[i] >= 0.3 and masks[i].any() and (masks[i] & (wanted > 0)).sum() / masks[i].sum() <= 0.5 and free.any():
                classes.append(int(labels[i]))
                wanted[free] = len(classes)
        for stuff in (0, 3, 4):
            region = (semantic == stuff) & (wanted == 0)
            if region.sum() >= 40:
                classes.append(stuff)
                wanted[region] = len(classes)
        found = merged(semantic.tolist(), detections(masks, labels.tolist(), scores.tolist()), threshold=0.3, stuff_area=40)
        assert torch.equal(found.segments.long(), wanted)
        assert found.segment_labels.tolist() == classes


def test_what_it_is_made_of():
    merge = PanopticMerge(DATA, parts={"semantic": Classes, "roi": Things})
    assert merge.accepts == {"semantic": torch.Tensor, "roi": Prediction}
    assert merge.provides == {"segments", "semantic", "masks", "boxes"}


@pytest.mark.parametrize(("options", "message"), [
    ({"threshold": 2}, "postprocess.threshold=2; fix: postprocess.threshold=0.5"),
    ({"overlap": "a"}, "postprocess.overlap=a"),
    ({"stuff_area": -1}, "postprocess.stuff_area=-1; fix: postprocess.stuff_area=64"),
    ({"parts": {}}, "it needs one part at least; postprocess.parts"),
    ({"parts": {"roi": Things}}, "no part provides semantic; postprocess.parts: roi; fix: postprocess=panoptic_merge has both"),
    ({"parts": {"a": Classes, "b": Classes}}, "no part provides boxes and masks"),
    ({"parts": {"a": Classes, "b": Things, "c": Things}}, "a part for the semantic map and one for the detections are wanted"),
])  # fmt: skip
def test_refusals(options, message):
    with pytest.raises(ConfigError) as error:
        PanopticMerge(DATA, **({"parts": {"semantic": Classes, "roi": Things}} | options))
    assert message in str(error.value)
