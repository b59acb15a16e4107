"""The losses of Faster and Mask R-CNN: torchvision's sums on the same samples, what counts, gradients without objects."""

from unittest.mock import patch

import pytest
import torch
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.roi_heads import fastrcnn_loss, maskrcnn_loss

from segexp.errors import ConfigError, WiringError
from segexp.functional.boxes import encode
from segexp.functional.rois import BOX_WEIGHTS
from segexp.losses import roi
from segexp.losses.roi import RoiLoss, box_error, masks_within
from segexp.types import Batch, Targets
from tests.heads.two_stage import CLASSES, DATA, named, ours, pyramid, scene, theirs

SIZE = (96, 128)


def batch_of(*targets, size=SIZE):
    sizes = (size,) * len(targets)
    return Batch(torch.zeros(len(targets), 3, *size), sizes, sizes, list(targets), [], tuple(map(str, range(len(targets)))))


def emitted(*targets, size=SIZE):
    head = ours()
    return head, head(pyramid(len(targets), size), (size,) * len(targets), list(targets))


@torch.no_grad()
def test_torchvisions_second_stage():
    targets = [scene(key=1), scene(key=2, count=2)]
    _, out = emitted(*targets)
    found, sampled = RoiLoss(DATA, masks=True)(out, batch_of(*targets)), out.sampled
    assert [len(p) for p in sampled.proposals] == [64, 64]  # so that a mean over both is that of the images' means
    shift = [torch.where(label == CLASSES, 0, label + 1) for label in sampled.labels]  # torchvision's background is 0
    logits = torch.cat(sampled.class_logits).roll(1, 1)
    deltas = torch.cat(sampled.deltas).roll(4, 1)
    vectors = [encode(t.boxes[m], p, BOX_WEIGHTS) for t, m, p in zip(targets, sampled.matched, sampled.proposals, strict=True)]
    classes, boxes = fastrcnn_loss(logits, deltas, shift, vectors)
    assert float(found["roi_class"]) / 2 == pytest.approx(float(classes), rel=1e-5)
    assert float(found["roi_box"]) / 2 == pytest.approx(float(boxes), rel=1e-5)
    masks = 0.0
    for i, target in enumerate(targets):
        shown = sampled.labels[i] < CLASSES
        seen = sampled.proposals[i][shown], sampled.matched[i][shown]
        masks += float(maskrcnn_loss(sampled.mask_logits[i], [seen[0]], [target.masks.float()], [target.labels], [seen[1]]))
    assert float(found["mask"]) == pytest.approx(masks, rel=1e-5)


@torch.no_grad()
def test_torchvisions_first_stage():
    size = (128, 192)  # torchvision guesses strides from sizes: right where they divide
    targets = [scene(size, key=1), scene(size, key=2, count=2)]
    head, out = emitted(*targets, size=size)
    model, drawn = theirs(head).rpn, []

    def recorded(matched, *rest):
        drawn.append((matched, chosen := sample(matched, *rest)))
        return chosen

    sample = roi.sample
    with patch.object(roi, "sample", recorded):
        found = RoiLoss(DATA, masks=True)(out, batch_of(*targets, size=size))
    assert [len(chosen) for _, chosen in drawn] == [256, 256]
    anchors = model.anchor_generator(ImageList(torch.zeros(2, 3, *size), [size] * 2), list(named(pyramid(2, size)).values()))
    assert torch.equal(anchors[0], out.first.anchors)
    labels, boxes = model.assign_targets_to_anchors(anchors, [{"boxes": t.boxes} for t in targets])
    for (matched, _), wanted in zip(drawn, labels, strict=True):
        assert torch.equal(torch.where(matched >= 0, 1, torch.where(matched == -1, 0, -1)).float(), wanted)

    def picks(_):
        flags = [torch.zeros(len(out.first.anchors), dtype=torch.uint8).index_fill(0, chosen, 1) for _, chosen in drawn]
        return tuple([f * (m >= 0) if positive else f * (m < 0) for f, (m, _) in zip(flags, drawn, strict=True)] for positive in (1, 0))

    model.fg_bg_sampler = picks
    vectors = model.box_coder.encode(boxes, anchors)
    objectness, box = model.compute_loss(out.first.objectness, out.first.deltas.reshape(-1, 4), labels, vectors)
    assert float(found["rpn_objectness"]) / 2 == pytest.approx(float(objectness), rel=1e-5)
    assert float(found["rpn_box"]) / 2 == pytest.approx(float(box), rel=1e-5)


def test_the_error_of_a_box_by_hand():
    anchor, box = torch.tensor([[0.0, 0, 10, 10]]), torch.tensor([[1.0, 0, 11, 10]])
    error = box_error(torch.tensor([[0.0, 0, 0, 0]]), box, anchor, BOX_WEIGHTS)  # the vector is (10 * 0.1, 0, 0, 0)
    assert float(error) == pytest.approx(1 - 1 / 18)
    assert float(box_error(torch.tensor([[1.1, 0, 0, 0]]), box, anchor, BOX_WEIGHTS)) == pytest.approx(0.1**2 / 2 * 9, rel=1e-4)


def test_masks_within_boxes_by_hand():
    mask = torch.zeros(3, 4, 4, dtype=torch.bool)
    mask[2, :2] = True
    found = masks_within(mask, torch.tensor([2, 0, 2]), torch.tensor([[0.0, 0, 4, 4], [0, 0, 4, 4], [0, 0, 4, 1]]), 2)
    assert found[1].tolist() == [[0, 0], [0, 0]]
    assert found[0].tolist() == [[0.75, 0.75], [0, 0]]  # looked at 0.5 and 1.5: between row 1, the last of the mask, and row 2
    assert found[2].tolist() == [[1, 1], [1, 1]]
    assert masks_within(mask, torch.zeros(0, dtype=torch.int64), torch.zeros(0, 4), 2).shape == (0, 2, 2)


@torch.no_grad()
def test_nothing_is_learned_of_padding():
    head, loss = ours(masks=False), RoiLoss(DATA)
    small, features = scene(), pyramid(1)
    wide = {name: torch.nn.functional.pad(x, (0, x.shape[3])) for name, x in features.items()}  # a second image to the right of it
    first = [loss(head(f, (SIZE,), [small]), batch_of(small))["rpn_objectness"] for f in (features, wide)]
    assert float(first[1]) == pytest.approx(float(first[0]), rel=0.05)  # but for the cells at the border


@torch.no_grad()
def test_images_add_up_and_are_counted():
    targets = [scene(key=1), scene(key=2, count=1)]
    head, features = ours(), pyramid()
    loss = RoiLoss(DATA, masks=True)
    together = loss(head(features, (SIZE,) * 2, targets), batch_of(*targets))
    alone = []
    for i, target in enumerate(targets):
        part = {name: x[i : i + 1] for name, x in features.items()}
        alone.append(loss(head(part, (SIZE,), [target]), batch_of(target)))
    for name, value in together.items():
        assert float(value) == pytest.approx(sum(float(one[name]) for one in alone), rel=1e-3), name
    assert loss.count(targets) == dict.fromkeys(("rpn_objectness", "rpn_box", "roi_class", "roi_box", "mask"), 2.0)
    assert set(RoiLoss(DATA).count([])) == {"rpn_objectness", "rpn_box", "roi_class", "roi_box"}


@pytest.mark.parametrize("targets", [
    [scene(count=0)],
    [Targets(boxes=torch.tensor([[4.0, 4, 4, 9]]), labels=torch.tensor([1]), masks=torch.zeros(1, *SIZE, dtype=torch.bool))],
    [Targets(boxes=torch.tensor([[4.0, 4, 60, 90]]), labels=torch.tensor([1]), crowd=torch.tensor([True]), masks=torch.ones(1, *SIZE) > 0)],
], ids=["no object", "a box without area", "a crowd"])  # fmt: skip
def test_without_objects_losses_are_finite_and_every_parameter_has_a_gradient(targets):
    head, out = emitted(*targets)
    sums = RoiLoss(DATA, masks=True)(out, batch_of(*targets))
    assert {name: float(sums[name].detach()) for name in ("rpn_box", "roi_box", "mask")} == {"rpn_box": 0, "roi_box": 0, "mask": 0}
    assert all(torch.isfinite(value) for value in sums.values())
    torch.stack(list(sums.values())).sum().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in head.parameters())


def test_no_candidate_is_left():
    """A crowd over the whole image: all is ignored."""
    boxes = torch.tensor([[-500.0, -500, 900, 900]])
    target = Targets(boxes=boxes, labels=torch.tensor([0]), crowd=torch.tensor([True]), masks=torch.ones(1, *SIZE) > 0)
    head, out = emitted(target)
    sums = RoiLoss(DATA, masks=True)(out, batch_of(target))
    assert all(float(value.detach()) == 0 for value in sums.values())
    torch.stack(list(sums.values())).sum().backward()
    assert all(p.grad is not None for p in head.parameters())


@torch.no_grad()
def test_weights():
    targets = [scene()]
    _, out = emitted(*targets)
    plain = RoiLoss(DATA, masks=True)(out, batch_of(*targets))
    weighted = RoiLoss(DATA, masks=True, mask_weight=3.0, rpn_box_weight=0.0)(out, batch_of(*targets))
    factors = {name: float(weighted[name] / plain[name]) for name in plain}
    assert factors == pytest.approx({"rpn_objectness": 1, "rpn_box": 0, "roi_class": 1, "roi_box": 1, "mask": 3})


def test_a_head_with_masks_and_a_loss_without():
    _, out = emitted(scene())
    with pytest.raises(WiringError, match=r"the head has masks, and this loss none; loss\.masks=false; fix: loss=mask_roi"):
        RoiLoss(DATA)(out, batch_of(scene()))


@pytest.mark.parametrize(("options", "message"), [
    ({"samples": 0}, "loss.samples=0; fix: loss.samples=256"),
    ({"high": 1.5}, "loss.high=1.5"),
    ({"low": 0.9, "high": 0.3}, "`low` is above `high`; overlaps between them are ignored; loss.low=0.9 loss.high=0.3"),
    ({"roi_box_weight": -1}, "a number from 0 on is wanted; loss.roi_box_weight=-1"),
])  # fmt: skip
def test_refusals(options, message):
    with pytest.raises(ConfigError) as error:
        RoiLoss(DATA, **options)
    assert message in str(error.value)
