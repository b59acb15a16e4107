"""The head of Faster and Mask R-CNN: torchvision's detections and samples, what it emits, what it refuses."""

import pytest
import torch
from torchvision.models.detection.image_list import ImageList

from segexp.errors import ConfigError, WiringError
from segexp.functional.boxes import iou
from segexp.heads.roi import RoiHead
from segexp.types import Level, MaskRoiOutput, RoiOutput, Targets
from tests.heads.two_stage import CLASSES, DATA, SPEC, named, ours, pyramid, scene, theirs

SIZES = ((96, 128), (80, 100))


def test_torchvisions_detections():
    head, features = ours(), pyramid()
    model = theirs(head)
    with torch.no_grad():
        found = head(features, SIZES).detected
        images = ImageList(torch.zeros(2, 3, 96, 128), list(SIZES))
        proposals, _ = model.rpn(images, named(features))
        wanted, _ = model.roi_heads(named(features), proposals, list(SIZES))
    for i, image in enumerate(wanted):
        assert len(image["boxes"]) == len(found.boxes[i]) > 20
        assert torch.equal(found.labels[i], image["labels"] - 1)
        assert torch.allclose(found.boxes[i], image["boxes"], atol=1e-4)
        assert torch.allclose(found.scores[i], image["scores"], atol=1e-4)
        assert torch.allclose(found.mask_logits[i].sigmoid(), image["masks"][:, 0], atol=1e-4)
        assert bool((found.boxes[i] >= 0).all() and (found.boxes[i].amax(0)[2:] <= torch.tensor(SIZES[i][::-1])).all())


def test_what_the_loss_needs():
    head, targets = ours(), [scene(key=1), scene(key=2, count=0)]
    with torch.no_grad():
        out = head(pyramid(), SIZES[:1] * 2, targets)
    assert isinstance(out, MaskRoiOutput)
    assert out.detected is None
    assert out.first.objectness.shape == (2, len(out.first.anchors))
    assert out.first.deltas.shape == (2, len(out.first.anchors), 4)
    sampled = out.sampled
    proposals, labels, matched = sampled.proposals[0], sampled.labels[0], sampled.matched[0]
    assert len(proposals) == 64
    overlaps = iou(proposals, targets[0].boxes)
    shown = labels < CLASSES
    assert 3 <= int(shown.sum()) <= 16
    assert torch.equal(shown, overlaps.max(1).values >= 0.5)
    assert torch.equal(labels[shown], targets[0].labels[matched[shown]])
    assert torch.equal(overlaps[shown].argmax(1), matched[shown])
    assert all(bool((proposals == box).all(1).any()) for box in targets[0].boxes)  # the objects are proposals, too
    assert bool((sampled.labels[1] == CLASSES).all())
    shapes = [[tuple(x.shape) for x in part] for part in (sampled.class_logits, sampled.deltas, sampled.mask_logits)]
    assert shapes == [[(64, 4)] * 2, [(64, 16)] * 2, [(int(shown.sum()), 3, 28, 28), (0, 3, 28, 28)]]


def test_samples_are_drawn_by_the_key_of_the_image_alone():
    head, features = ours(), pyramid()
    with torch.no_grad():
        both = head(features, SIZES[:1] * 2, [scene(key=1), scene(key=2)]).sampled
        torch.manual_seed(7)
        alone = head({n: x[1:] for n, x in features.items()}, SIZES[:1], [scene(key=2)]).sampled
        other = head({n: x[1:] for n, x in features.items()}, SIZES[:1], [scene(key=3)]).sampled
    assert torch.allclose(both.proposals[1], alone.proposals[0], atol=1e-3)
    assert not torch.allclose(other.proposals[0], alone.proposals[0], atol=1e-3)


def test_the_mode_changes_nothing():
    head, features = ours(), pyramid(1)
    with torch.no_grad():
        quiet = [head(features, SIZES[:1]).detected.boxes[0], head(features, SIZES[:1], [scene()]).sampled.class_logits[0]]
        head.train()
        loud = [head(features, SIZES[:1]).detected.boxes[0], head(features, SIZES[:1], [scene()]).sampled.class_logits[0]]
    assert all(torch.equal(a, b) for a, b in zip(quiet, loud, strict=True))


def test_crowds_are_neither_shown_nor_background():
    target = scene()
    target.crowd = torch.tensor([False, True, False])
    with torch.no_grad():
        sampled = ours().forward(pyramid(1), SIZES[:1], [target]).sampled
    assert not (sampled.labels[0] == 1).any()
    crowd, proposals = target.boxes[1], sampled.proposals[0][sampled.labels[0] == CLASSES]
    inside = (torch.minimum(proposals[:, 2:], crowd[2:]) - torch.maximum(proposals[:, :2], crowd[:2])).clamp(min=0).prod(1)
    assert bool((inside <= 0.5 * (proposals[:, 2:] - proposals[:, :2]).prod(1)).all())


def test_without_masks():
    head = ours(masks=False)
    assert (head.output_type, head.needs, head.mask_head) == (RoiOutput, {"boxes"}, None)
    with torch.no_grad():
        assert head(pyramid(), SIZES).detected.mask_logits is None
        assert head(pyramid(), SIZES, [scene(), scene()]).sampled.mask_logits is None


def test_nothing_is_detected():
    with torch.no_grad():
        found = ours(score_threshold=1.0)(pyramid(), SIZES).detected
    assert [tuple(x.shape) for x in (*found.boxes, *found.scores, *found.mask_logits)] == [(0, 4)] * 2 + [(0,)] * 2 + [(0, 28, 28)] * 2


def test_nothing_is_proposed(monkeypatch):
    monkeypatch.setattr("segexp.heads.roi.propose", lambda *_, **__: torch.zeros(0, 4))
    with torch.no_grad():
        assert [len(x) for x in ours()(pyramid(), SIZES).detected.boxes] == [0, 0]
        sampled = ours()(pyramid(), SIZES[:1] * 2, [scene(), scene(count=0)]).sampled
    assert [x.tolist() for x in sampled.labels] == [[0, 1, 2], []]
    assert [tuple(x.shape) for x in sampled.class_logits] == [(3, 4), (0, 4)]


def test_on_the_meta_device_as_much_is_detected_as_there_can_be():
    with torch.device("meta"):
        head = RoiHead(SPEC, DATA, masks=True, sizes=(16, 32, 64, 128, 256), max_detections=7)
        found = head({name: x.to("meta") for name, x in pyramid(1).items()}, SIZES[:1]).detected
    assert [tuple(x[0].shape) for x in (found.boxes, found.scores, found.labels, found.mask_logits)] == [(7, 4), (7,), (7,), (7, 28, 28)]


def test_a_box_without_area_is_no_proposal():
    target = Targets(boxes=torch.tensor([[5.0, 5, 5, 9]]), labels=torch.tensor([1]), masks=torch.zeros(1, 96, 128, dtype=torch.bool), key=1)
    with torch.no_grad():
        sampled = ours()(pyramid(1), SIZES[:1], [target]).sampled
    assert bool((sampled.labels[0] == CLASSES).all())


@pytest.mark.parametrize(("options", "message"), [
    ({"sizes": [32]}, "1 sizes of anchors for 5 levels; head.sizes=[32]; fix: one for each of head.levels=['p2', 'p3', 'p4', 'p5', 'p6']"),
    ({"ratios": []}, "there are no anchors; head.ratios=[]; fix: head.ratios=[0.5,1.0,2.0]"),
    ({"ratios": [-1]}, "head.ratios=-1"),
    ({"sizes": [0, 1, 2, 3, 4]}, "head.sizes=0"),
    ({"samples": 0}, "a whole number from 1 on is wanted; head.samples=0"),
    ({"positives": 2}, "head.positives=2"),
    ({"proposals_after": 100}, "two numbers are wanted, with targets and without; head.proposals_after=100"),
    ({"proposals_before": [0, 1]}, "a whole number from 1 on is wanted; head.proposals_before=0"),
    ({"roi_levels": []}, "it reads one level at least; head.roi_levels=[]"),
])  # fmt: skip
def test_refusals(options, message):
    with pytest.raises(ConfigError) as error:
        RoiHead(SPEC, DATA, **options)
    assert message in str(error.value)


def test_levels():
    with pytest.raises(WiringError, match="RoiHead needs the levels p2, p3, p4, p5, p6; it is given c5"):
        RoiHead({"c5": Level(8, 32)}, DATA)
    with pytest.raises(WiringError, match="the levels must have the same channels; they have p2 8, p3 8, p4 8, p5 9, p6 8"):
        RoiHead(SPEC | {"p5": Level(9, 32)}, DATA)


def test_stuff_is_no_detection():
    head, every = ours(score_threshold=0.0, nms_threshold=1.0, max_detections=1000), pyramid(1)
    with torch.no_grad():
        assert set(torch.cat(head(every, SIZES[:1]).detected.labels).tolist()) > {0}
        head.is_thing[0] = 0
        found = torch.cat(head(every, SIZES[:1]).detected.labels).tolist()
    assert found and 0 not in found
