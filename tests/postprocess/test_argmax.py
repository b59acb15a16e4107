"""The most likely class at original size."""

import torch
from torch.nn import functional as F

from segexp.functional.resize import to_size
from segexp.postprocess.argmax import ArgMax
from segexp.types import ClassInfo, DataSpec, SemanticLogits


def spec(classes):
    return DataSpec(tuple(ClassInfo(str(i)) for i in range(classes)), frozenset({"semantic"}))


def test_equals_upsampling_twice_where_sizes_are_whole_cells():
    logits = torch.randn(2, 5, 6, 8)
    found = ArgMax(spec(5))(SemanticLogits(logits, 4), ((24, 32),) * 2, ((24, 32),) * 2)
    wanted = F.interpolate(logits, (24, 32), mode="bilinear").argmax(1)
    assert torch.equal(torch.stack([p.semantic for p in found]).long(), wanted)


def test_each_image_has_its_own_size_and_padding_never_wins():
    logits = torch.zeros(2, 3, 4, 4)
    logits[:, 1] = 1
    logits[:, 2, :, 2:] = 9  # beyond the valid width of the first image
    found = ArgMax(spec(3))(SemanticLogits(logits, 4), ((16, 6), (16, 16)), ((40, 15), (16, 16)))
    assert found[0].semantic.shape == (40, 15)
    assert found[0].semantic[:, 0].unique().tolist() == [1]
    assert found[1].semantic[0].tolist().count(2) > 6


def test_the_lowest_class_wins_a_tie_and_ids_fit_the_type():
    for classes, dtype in ((4, torch.uint8), (256, torch.uint8), (257, torch.int64)):
        found = ArgMax(spec(classes))(SemanticLogits(torch.zeros(1, classes, 2, 2), 2), ((4, 4),), ((4, 4),))[0].semantic
        assert (found.dtype, found.unique().tolist()) == (dtype, [0])


def test_large_maps_of_two_sizes_are_what_upsampling_all_of_them_gives():
    rng = torch.Generator().manual_seed(0)
    coarse = torch.randn(2, 19, 6, 8, generator=rng)
    logits = F.interpolate(coarse, (64, 96), mode="bicubic") + 0.05 * torch.randn(2, 19, 64, 96, generator=rng)
    sizes, originals = ((256, 384), (230, 300)), ((256, 384), (345, 450))
    found = ArgMax(spec(19))(SemanticLogits(logits, 4), sizes, originals)
    for one, size, original, prediction in zip(logits, sizes, originals, found, strict=True):
        wanted = to_size(one[None], 4, size, original)[0].max(0).indices
        assert int((prediction.semantic.long() != wanted).sum()) <= 2  # where the two highest are equal but for rounding
