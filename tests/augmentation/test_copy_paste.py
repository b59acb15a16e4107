"""Copy-paste: pixels, masks, segments and flags stay together, and nothing but the key decides."""

import pytest
import torch
from torchvision import tv_tensors

from segexp.augmentation.copy_paste import CopyPaste, objects, paste
from segexp.augmentation.scale_crop import ScaleCrop
from segexp.config import compose, make
from segexp.data.shapes import Shapes
from segexp.datamodule import Samples
from segexp.errors import ConfigError
from segexp.functional.keys import generator
from segexp.functional.orders import Draw
from segexp.targets import derive
from segexp.types import ClassInfo, DataSpec

SPEC = DataSpec((ClassInfo("sky"), ClassInfo("car", True), ClassInfo("cat", True)), frozenset({"segments"}))


def of_segments(rows, labels, crowd, value, size=(3, 6)):
    plain = torch.tensor(rows, dtype=torch.int32)
    return {
        "image": tv_tensors.Image(torch.full((3, *size), value, dtype=torch.uint8)),
        "segments": tv_tensors.Mask(plain),
        "segment_labels": torch.tensor(labels),
        "segment_crowd": torch.tensor(crowd),
        "meta": {"id": "train/a", "size": size},
    }


BASE = of_segments([[1, 1, 1, 1, 1, 1], [1, 2, 2, 2, 2, 1], [1, 3, 1, 1, 1, 0]], [0, 1, 2], [False] * 3, 10)
OTHER = of_segments([[1, 1, 2, 2, 2], [1, 3, 3, 3, 4]], [0, 2, 1, 1], [False, False, False, True], 99, (2, 5))


def test_segments_worked_out_by_hand():
    assert objects(OTHER, SPEC).tolist() == [1, 2]  # neither stuff nor the crowd
    out = paste(BASE, OTHER, torch.tensor([2]), (1, 0), 0.1, SPEC)
    expected = [[1, 1, 1, 1, 1, 1], [1, 2, 2, 2, 2, 1], [1, 3, 3, 3, 1, 0]]  # segment 3 is gone, the pasted one is the third
    assert (out["segments"].tolist(), out["segment_labels"].tolist()) == (expected, [0, 1, 1])
    assert out["image"][0].tolist() == [[10] * 6, [10] * 6, [10, 99, 99, 99, 10, 10]]
    assert BASE["segments"][2, 1] == 3, "what was read stays as it is"


def test_hardly_visible_objects_become_crowds():
    out = paste(BASE, OTHER, torch.tensor([2]), (0, 0), 0.5, SPEC)  # covers three of the four pixels of segment 2
    assert out["segments"].tolist()[1] == [1, 4, 4, 4, 2, 1]
    assert out["segment_crowd"].tolist() == [False, True, False, False]
    assert paste(BASE, OTHER, torch.tensor([2]), (0, 0), 0.25, SPEC)["segment_crowd"].any().item() is False


def with_masks(sample):
    targets = derive(sample, {"masks"}, SPEC)
    found = {"masks": tv_tensors.Mask(targets.masks), "labels": targets.labels, "crowd": targets.crowd}
    return {name: sample[name] for name in ("image", "meta")} | found


def test_masks_agree_with_segments():
    base, other = with_masks(BASE), with_masks(OTHER)
    for corner, chosen in (((1, 0), [1, 2]), ((0, 1), [2]), ((0, 0), [1])):
        theirs = derive(paste(BASE, OTHER, torch.tensor(chosen), corner, 0.5, SPEC), {"masks", "boxes"}, SPEC)
        mine = derive(paste(base, other, torch.tensor(chosen) - 1, corner, 0.5, SPEC), {"masks", "boxes"}, SPEC)
        for name in ("masks", "boxes", "labels", "crowd"):
            assert torch.equal(getattr(mine, name), getattr(theirs, name)), name
    assert objects(other, SPEC).tolist() == [0, 1]


def test_what_reaches_beyond_is_cut_and_dropped():
    small = of_segments([[1, 1], [1, 1]], [0], [False], 5, (2, 2))
    out = paste(small, OTHER, torch.tensor([1, 2]), (0, 0), 0.1, SPEC)  # of segment 2, which begins in column 2, nothing is seen
    assert (out["segments"].tolist(), out["segment_labels"].tolist()) == ([[1, 1], [1, 2]], [0, 1])


def samples(**keys):
    augment = ScaleCrop(crop=(48, 64), jitter=(0.5, 2.0), pad=True, steps={"copy_paste": CopyPaste(**{"probability": 1.0} | keys)})
    data = Shapes(train=6, height=48, width=64)
    needs = frozenset({"segments", "masks"})
    return Samples(data.open("train"), augment, data.spec, seed=0, needs=needs, truth=None), augment, data


def test_objects_that_all_lie_beyond_the_canvas_change_nothing():
    out = paste(BASE, OTHER, torch.tensor([2]), (2, 0), 0.1, SPEC)  # its only row would be the fourth of three
    assert all(torch.equal(out[name], BASE[name]) for name in ("image", "segments", "segment_labels", "segment_crowd"))


def test_a_sample_depends_on_its_key_alone():
    first, second = samples()[0], samples()[0]
    [second[Draw(0, index)] for index in (3, 1)]  # another order
    for index in (0, 2):
        a, b = first[Draw(1, index)], second[Draw(1, index)]
        assert torch.equal(a.image, b.image)
        assert torch.equal(a.targets.segments, b.targets.segments)


def test_pasted_objects_are_there():
    mine, _, data = samples(share=1.0)
    bare = Samples(mine.split, ScaleCrop(crop=(48, 64), jitter=(0.5, 2.0), pad=True), data.spec, seed=0, needs=mine.needs, truth=None)
    more = 0
    for index in range(6):
        a, b = mine[Draw(0, index)], bare[Draw(0, index)]
        changed = (a.image != b.image).any(0)
        more += int(changed.any())
        same = ~changed
        assert a.image.shape == b.image.shape
        assert int(a.targets.segments.max()) == len(a.targets.segment_labels)
        assert torch.equal((a.targets.segments > 0)[same], (b.targets.segments > 0)[same])
    assert more >= 4


def test_an_evaluation_pastes_nothing():
    _, augment, data = samples()
    seen = Samples(data.open("val"), augment, data.spec, seed=0, needs=frozenset({"segments"}), truth=frozenset({"segments"}))[Draw(0, 0)]
    assert torch.equal(seen.image, data.open("val")[0]["image"])


def test_what_it_needs_is_said():
    with pytest.raises(ConfigError, match="no split to draw from"):
        ScaleCrop(steps={"copy_paste": CopyPaste()})(dict(BASE), generator(0))
    boxes = {"image": BASE["image"], "boxes": torch.zeros(1, 4), "labels": torch.zeros(1), "meta": {}}
    step = CopyPaste().reading(lambda _: boxes, 1, SPEC, lambda sample, _: dict(sample))
    with pytest.raises(ConfigError, match=r"needs the objects' masks.*fix: data with masks or segments"):
        step(boxes, generator(0))
    with pytest.raises(ConfigError, match=r"copy_paste\.share=2"):
        CopyPaste(share=2)


def test_the_preset_jitters_widely_and_pastes():
    augment = make(compose("train", ["augmentation=copy_paste", "augmentation.crop=[48,64]"]).augmentation)
    assert (augment.jitter, augment.pad, list(augment.steps)) == ((0.1, 2.0), True, ["copy_paste"])
    window = augment.draw((48, 64), generator(3))
    assert window.size[0] <= 48
