"""Segment maps against loops and values worked out by hand."""

import torch

from segexp.functional import masks, segments

MAP = torch.tensor([[1, 1, 0, 3], [1, 0, 0, 3], [2, 2, 2, 3]], dtype=torch.int32)


def test_areas():
    assert segments.areas(MAP, 4).tolist() == [3, 3, 3, 0]


def test_compact_drops_the_empty_and_keeps_the_order():
    labels, crowd = torch.tensor([9, 8, 7, 6]), torch.tensor([False, True, False, True])
    holey = torch.where(MAP == 2, 0, MAP)
    out, left, flags = segments.compact(holey, labels, crowd)
    assert out.tolist() == [[1, 1, 0, 2], [1, 0, 0, 2], [0, 0, 0, 2]]
    assert (left.tolist(), flags.tolist()) == ([9, 7], [False, False])


def test_semantic_and_masks():
    semantic = segments.to_semantic(MAP, torch.tensor([4, 5, 4]), 255)
    assert semantic.dtype == torch.uint8
    assert semantic.tolist() == [[4, 4, 255, 4], [4, 255, 255, 4], [5, 5, 5, 4]]
    found = segments.to_masks(MAP, torch.tensor([3, 1]))
    assert torch.equal(found[0], MAP == 3)
    assert torch.equal(found[1], MAP == 1)


def test_centers_and_offsets_by_hand():
    middle = segments.centers(MAP, 4)
    assert torch.allclose(middle[:3], torch.tensor([[1 / 3, 1 / 3], [2, 1], [1, 3]]))
    assert middle[3].isnan().all()
    vectors = segments.offsets(MAP, torch.nan_to_num(middle))
    assert vectors[:, 0, 3].tolist() == [1, 0]  # from (0, 3) to (1, 3)
    assert vectors[:, 2, 0].tolist() == [0, 1]
    assert vectors[:, 0, 2].tolist() == [0, 0]  # void


def test_boxes_of_masks():
    found = torch.zeros(3, 5, 6, dtype=torch.bool)
    found[0, 1:3, 2:5] = True
    found[1, 4, 5] = True
    assert masks.to_boxes(found).tolist() == [[2, 1, 5, 3], [5, 4, 6, 5], [0, 0, 0, 0]]
    assert masks.to_boxes(found[:0]).shape == (0, 4)


def test_moments_equal_sums_over_masks():
    rng = torch.Generator().manual_seed(0)
    for size in ((1, 1), (1, 30), (30, 1), (17, 23)):
        noise = torch.randint(0, 6, size, generator=rng).int()
        for maps in (noise, noise.repeat_interleave(3, 1)):
            pixels, sums = segments.moments(maps, 7)
            assert torch.equal(pixels, segments.areas(maps, 7))
            for number in range(1, 8):
                assert torch.equal(sums[number - 1], (maps == number).nonzero().sum(0))


def test_offsets_of_chosen_segments_only():
    middle = torch.tensor([[0.0, 0.0], [2.0, 1.0], [1.0, 3.0], [float("nan")] * 2])
    some = segments.offsets(MAP, middle, torch.tensor([True, False, True, True]))
    assert some[:, 2].abs().max(0).values.tolist() == [0, 0, 0, 1]
    assert torch.equal(some[:, MAP != 2], segments.offsets(MAP, middle)[:, MAP != 2])


def test_values_of_pixels():
    found = segments.of_pixels(MAP, torch.tensor([7, 8, 9]), 255)
    assert found.tolist() == [[7, 7, 255, 9], [7, 255, 255, 9], [8, 8, 8, 9]]
