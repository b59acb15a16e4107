"""The one label contract, over every file of conf/loss: ignored pixels have no influence and no gradient; images add up."""

import functools
import random
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from segexp.config import compose, conf_dir, make
from segexp.functional.resize import to_size
from segexp.types import AuxiliaryLogits, Batch, CenterOffset, ClassInfo, DataSpec, SemanticLogits, Targets

WITHOUT_MAPS = {"fcos", "retinanet", "roi", "mask_roi", "semantic_roi", "label_ce", "label_bce"}  # of boxes, or of whole images
LOSSES = sorted(p.stem for p in (conf_dir() / "loss").glob("*.yaml") if p.stem not in WITHOUT_MAPS)
SEEDS = range(6)


@functools.cache
def shipped(name):
    """The node of a file of conf/loss as plain containers."""
    return OmegaConf.to_container(compose("train", [f"loss={name}"]).loss, resolve=True)


def weigh(node, weights):
    """A copy of a node with `class_weights` wherever a loss takes them."""
    if isinstance(node, dict):
        return {key: weights if key == "class_weights" else weigh(value, weights) for key, value in node.items()}
    return node


@dataclass
class Case:
    """A loss with weights for its classes, and a batch of images of odd sizes."""

    loss: object
    maps: list  # int64 [H,W] of each image
    logits: list  # of the output, and of an auxiliary head or the other maps of the output where the loss reads them
    strides: tuple
    ignore: int

    def sums(self, logits=None, maps=None):
        """(Sums, gradients of the logits.)"""
        logits = [x.clone().requires_grad_() for x in (self.logits if logits is None else logits)]
        found = self.loss(self.output(*logits), batch_of(self.maps if maps is None else maps, self.ignore))
        torch.stack(list(found.values())).sum().backward()
        return {name: value.detach() for name, value in found.items()}, [x.grad for x in logits]

    def output(self, first, *others):
        if issubclass(self.loss.accepts, CenterOffset):
            return CenterOffset(first, *others, self.strides[0])
        main = SemanticLogits(first, self.strides[0])
        return AuxiliaryLogits(first, main.stride, {"second": SemanticLogits(others[0], self.strides[1])}) if others else main


def truth(labels, ignore):
    """With a segment of each class that is there."""
    present = labels[labels != ignore].unique()
    segments = torch.zeros(labels.shape, dtype=torch.int32)
    for number, label in enumerate(present.tolist(), 1):
        segments[labels == label] = number
    crowd = torch.zeros(len(present), dtype=torch.bool)
    return Targets(semantic=labels, segments=segments, segment_labels=present, segment_crowd=crowd)


def batch_of(maps, ignore):
    sizes = tuple(tuple(m.shape) for m in maps)
    height, width = (max(side) for side in zip(*sizes, strict=True))
    targets = [truth(m, ignore) for m in maps]
    return Batch(torch.zeros(len(maps), 3, height, width), sizes, sizes, targets, [], tuple(str(i) for i in range(len(maps))))


def make_case(name, seed, scale=1.0):
    """Two to six classes, one to three images of any size, a stride, the padding of a network, another void value."""
    rng, noise = random.Random(seed), torch.Generator().manual_seed(seed)
    classes, ignore = 2 + seed % 5, rng.choice((255, 200))
    spec = DataSpec(tuple(ClassInfo(f"c{i}", is_thing=i % 2 == 0) for i in range(classes)), frozenset({"segments"}), ignore_index=ignore)
    loss = make(weigh(shipped(name), [rng.uniform(0.2, 3.0) for _ in range(classes)]))(spec)
    sizes = [(rng.randint(17, 31), rng.randint(17, 45)) for _ in range(1 + seed % 3)]
    maps = [torch.randint(0, classes, (-(-h // 3), -(-w // 3)), generator=noise) for h, w in sizes]
    maps = [m.repeat_interleave(3, 0).repeat_interleave(3, 1)[:h, :w].clone() for m, (h, w) in zip(maps, sizes, strict=True)]
    height, width = (max(side) for side in zip(*sizes, strict=True))
    stride = (1, 2, 4, 8)[seed % 4]
    strides, channels = (stride,), (classes,)
    if issubclass(loss.accepts, AuxiliaryLogits):
        strides, channels = (stride, 2 * stride), (classes, classes)
    if issubclass(loss.accepts, CenterOffset):
        strides, channels = (stride,) * 3, (classes, 1, 2)
    extra = rng.randint(0, 1)  # a network pads its input: the map covers more than the images
    shapes = [(len(sizes), c, -(-height // s) + extra, -(-width // s) + extra) for c, s in zip(channels, strides, strict=True)]
    logits = [torch.randn(shape, generator=noise) * scale for shape in shapes]
    return Case(loss, maps, logits, strides, ignore)


@pytest.fixture(params=LOSSES)
def name(request):
    return request.param


def test_every_loss_is_tested():
    assert {p.stem for p in Path(conf_dir(), "loss").iterdir()} == {*LOSSES} | WITHOUT_MAPS
    assert len(LOSSES) >= 10


def without_influence(case):
    """For each map of logits, the cells [B,1,h,w] that reach no labelled pixel of their image."""
    size = tuple(max(side) for side in zip(*(m.shape for m in case.maps), strict=True))
    labelled = torch.zeros(len(case.maps), 1, *size)
    for row, m in zip(labelled, case.maps, strict=True):
        row[0, : m.shape[0], : m.shape[1]] = m != case.ignore
    found = []
    for logits, stride in zip(case.logits, case.strides, strict=True):
        cells = torch.zeros_like(logits[:, :1]).requires_grad_()
        (to_size(cells, stride, size) * labelled).sum().backward()
        found.append(cells.grad == 0)
    return found


@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_written_at_ignored_pixels_does_not_matter(name, seed):
    case, rng = make_case(name, seed), random.Random(seed)
    for m in case.maps:
        m[:, m.shape[1] // 2 :] = case.ignore
        m[rng.randrange(m.shape[0])] = case.ignore
    unseen = without_influence(case)
    assert all(cells.any() for cells in unseen)
    sums, gradients = case.sums()
    for value in (1e4, -1e4, 3.0):
        other = [torch.where(cells, torch.randn_like(x) * value, x) for x, cells in zip(case.logits, unseen, strict=True)]
        again, again_gradients = case.sums(other)
        for term in sums:
            assert torch.allclose(sums[term], again[term], rtol=1e-6, atol=0), term
        for one, two, cells in zip(gradients, again_gradients, unseen, strict=True):
            assert two[cells.expand_as(two)].abs().max() == 0
            assert torch.allclose(one, two, rtol=1e-5, atol=1e-7 * float(one.abs().max()))
    assert all(g.abs().sum() > 0 for g in gradients)


@pytest.mark.parametrize("seed", SEEDS)
def test_all_pixels_ignored_gives_zero_with_zero_gradient(name, seed):
    case = make_case(name, seed, scale=(1.0, 1e4)[seed % 2])
    maps = [torch.full_like(m, case.ignore) for m in case.maps]
    sums, gradients = case.sums(maps=maps)
    assert all(float(value) == 0 for value in sums.values())
    assert all(gradient.abs().max() == 0 for gradient in gradients)
    assert all(value == 0 for value in counts(case, maps).values())


@pytest.mark.parametrize("seed", [1, 2, 4, 5])
def test_an_image_without_labels_adds_nothing_and_takes_no_gradient(name, seed):
    case = make_case(name, seed)
    case.maps[0].fill_(case.ignore)
    sums, gradients = case.sums()
    rest, rest_gradients = case.sums([x[1:] for x in case.logits], case.maps[1:])
    for term in sums:
        assert torch.allclose(sums[term], rest[term], rtol=1e-5, atol=1e-6)
    for all_of, some in zip(gradients, rest_gradients, strict=True):
        assert all_of[0].abs().max() == 0
        assert torch.allclose(all_of[1:], some, rtol=1e-4, atol=1e-6 * float(some.abs().max()))
    assert counts(case, case.maps) == pytest.approx(counts(case, case.maps[1:]))


def counts(case, maps):
    return case.loss.count([truth(m, case.ignore) for m in maps])


@pytest.mark.parametrize("seed", [1, 2, 4, 5])
def test_sums_gradients_and_counts_add_up_over_images(name, seed):
    case = make_case(name, seed)
    for m in case.maps:
        m[: len(m) // 4] = case.ignore
    sums, gradients = case.sums()
    parts = [case.sums([x[i : i + 1] for x in case.logits], [m]) for i, m in enumerate(case.maps)]
    for term in sums:
        assert torch.allclose(sums[term], sum(part[term] for part, _ in parts), rtol=1e-5, atol=1e-5)
    for k, whole in enumerate(gradients):
        pieces = torch.cat([found[k] for _, found in parts])
        assert torch.allclose(whole, pieces, rtol=1e-4, atol=1e-6 * float(whole.abs().max()))
    single = [counts(case, [m]) for m in case.maps]
    for term, value in counts(case, case.maps).items():
        assert value == pytest.approx(sum(one[term] for one in single))
        assert value > 0
    assert counts(case, case.maps).keys() == sums.keys()


@pytest.mark.parametrize("seed", SEEDS)
def test_extreme_logits_give_finite_sums_and_gradients(name, seed):
    case = make_case(name, seed, scale=1e4)
    case.maps[0][:5] = case.ignore
    if seed == 0:  # certain, and right: where roots and logarithms have no slope
        full = torch.nn.functional.one_hot(case.maps[0].where(case.maps[0] != case.ignore, 0), case.logits[0].shape[1])
        case.logits[0] = (full.permute(2, 0, 1)[None] * 2e4 - 1e4).float()
    sums, gradients = case.sums()
    assert all(torch.isfinite(value) for value in sums.values())
    assert all(torch.isfinite(gradient).all() for gradient in gradients)


def test_one_class_alone_and_a_single_pixel_are_no_exceptions(name):
    case = make_case(name, 1)
    alone = [torch.zeros_like(m) for m in case.maps]
    single = [torch.full_like(m, case.ignore) for m in case.maps]
    for m in single:
        m[3, 4] = 1
    for maps in (alone, single):
        sums, gradients = case.sums(maps=maps)
        assert all(torch.isfinite(value) for value in sums.values())
        assert all(torch.isfinite(gradient).all() for gradient in gradients)
