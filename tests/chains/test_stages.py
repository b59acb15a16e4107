"""The tiny stages one by one: who is matched with whom, and that what encodes the truth is decoded to it."""

import pytest
import torch
from torchvision.models.detection._utils import Matcher

from segexp.functional.keys import generator
from segexp.functional.segments import centers, offsets
from segexp.targets import derive
from segexp.types import Batch, CenterOffset, Detected, Level, MaskQueries, MaskRoiOutput, Prediction, Targets
from tests.chains.batches import SPEC
from tests.chains.center_offset import CenterGrouping, heatmap
from tests.chains.fcos import BACKGROUND, IGNORED, FcosHead, FcosLoss, shares
from tests.chains.mask_rcnn import anchors, match, sample
from tests.chains.mask_rcnn_loss import RoiMasks
from tests.chains.metrics import PanopticQuality
from tests.chains.queries import MaskSetLoss, QueryHead, QueryPanoptic

CAR, PERSON = (SPEC.names.index(name) for name in ("car", "person"))


def boxes_of(*boxes, crowd=()):
    """Cars with these boxes; those in `crowd` are crowds."""
    n = len(boxes)
    flags = torch.tensor([i in crowd for i in range(n)], dtype=torch.bool)
    return Targets(boxes=torch.tensor(boxes, dtype=torch.float32).view(n, 4), labels=torch.full((n,), CAR), crowd=flags)


def test_points_belong_to_the_smallest_object_of_their_level_and_not_to_crowds():
    head = FcosHead({"p2": Level(32, 4), "p3": Level(32, 8)}, SPEC, levels=("p2", "p3"))
    output = head({"p2": torch.zeros(1, 32, 8, 8), "p3": torch.zeros(1, 32, 4, 4)}, ((32, 32),))
    target = boxes_of((0, 0, 12, 12), (4, 4, 8, 8), (0, 0, 32, 32), (16, 0, 32, 8), crowd=(3,))
    matched = FcosLoss(SPEC, reach=2.0).assign(output, target)
    fine, coarse = matched[:64].view(8, 8), matched[64:].view(4, 4)
    assert fine[:3, :3].tolist() == [[0, 0, 0], [0, 1, 0], [0, 0, 0]]  # points at 2, 6, 10: the small box holds (6, 6) alone
    assert fine[:2, 4:].unique().tolist() == [IGNORED] and fine[3:].unique().tolist() == [BACKGROUND]
    assert coarse[1:3, 1:3].unique().tolist() == [2]  # farther than 16 pixels to a side: for stride 8, within 12 pixels of the centre
    assert coarse[0, :2].tolist() == [BACKGROUND] * 2 and coarse[0, 2:].tolist() == [IGNORED] * 2


def test_an_object_weighs_one_however_many_points_it_has():
    matched = torch.tensor([0, 0, 0, 2, BACKGROUND, IGNORED])
    assert shares(matched, 3).tolist() == pytest.approx([1 / 3, 1 / 3, 1 / 3, 1, 0.5, 0])
    assert shares(torch.tensor([BACKGROUND, BACKGROUND]), 0).tolist() == [1, 1]


def test_candidates_in_a_crowd_are_ignored_and_never_matched():
    target = boxes_of((0, 0, 40, 40), (50, 50, 60, 60), crowd=(0,))
    candidates = torch.tensor([[0.0, 0, 40, 40], [30, 30, 50, 50], [51, 50, 60, 60], [30, 0, 48, 40]])
    matched = match(Matcher(0.5, 0.5), candidates, target)
    assert matched.tolist() == [IGNORED, BACKGROUND, 1, IGNORED]  # the last lies 10/18 inside
    assert match(Matcher(0.5, 0.5), candidates, boxes_of()).tolist() == [BACKGROUND] * 4
    assert match(Matcher(0.5, 0.5), candidates[:0], target).tolist() == []


def test_a_sample_follows_from_its_key():
    matched = torch.tensor([0, BACKGROUND, IGNORED, 1, BACKGROUND, BACKGROUND, 2, BACKGROUND] * 8)
    draws = [sample(matched, 16, 0.25, generator(k, "anchors")) for k in (1, 1, 2)]
    for positive, negative in draws:
        assert len(positive) == 4 and len(negative) == 12
        assert (matched[positive] >= 0).all() and (matched[negative] == BACKGROUND).all()
    assert torch.equal(draws[0][0], draws[1][0]) and torch.equal(draws[0][1], draws[1][1])
    assert not torch.equal(draws[0][1], draws[2][1])


def test_anchors_have_the_area_and_the_ratios_asked_for():
    made = anchors((2, 3), 8, 4.0, (0.5, 1.0, 2.0), torch.device("cpu"))
    side = made[:, 2:] - made[:, :2]
    assert made.shape == (18, 4)
    torch.testing.assert_close(side.prod(1), torch.full((18,), 32.0**2))
    torch.testing.assert_close((side[:, 1] / side[:, 0]).view(6, 3), torch.tensor([[0.5, 1.0, 2.0]]).expand(6, 3))
    middle = (made[:, :2] + made[:, 2:]) / 2
    torch.testing.assert_close(middle[[0, 3, 9]], torch.tensor([[4.0, 4], [12, 4], [4, 12]]))


def test_masks_are_scaled_pasted_and_thresholded():
    logits = torch.full((1, 14, 14), 9.0)
    logits[:, :, 7:] = -9.0  # the left half of the box
    found = Detected([torch.tensor([[8.0, 4, 24, 20]])], [torch.ones(1)], [torch.tensor([CAR])], [logits])
    prediction = RoiMasks(SPEC)(MaskRoiOutput(None, None, found), ((32, 32),), ((64, 96),))[0]
    assert prediction.boxes.tolist() == [[24, 8, 72, 40]]
    mask = prediction.masks[0]
    assert mask.shape == (64, 96) and mask[10:38, 26:46].all()
    assert not mask[:, 50:].any() and not mask[:7].any() and not mask[42:].any() and not mask[:, :23].any()


def scene():
    """Road, a long and a short car that touch, and a person on 32 x 48 pixels; odd sides, so that each has one middle; a strip of void."""
    segments = torch.ones(32, 48, dtype=torch.int32)
    segments[4:15, 4:31], segments[4:15, 31:36], segments[18:29, 8:15], segments[:, 44:] = 2, 3, 4, 0
    labels = torch.tensor([SPEC.names.index("road"), CAR, CAR, PERSON])
    return {"segments": segments, "segment_labels": labels, "segment_crowd": torch.zeros(4, dtype=torch.bool)}


@pytest.mark.parametrize("times", [1, 4])
def test_grouping_the_true_centres_and_offsets_gives_the_true_segments(times):
    truth = derive(scene(), {"segments", "semantic"}, SPEC)
    middle = centers(truth.segments, 4)
    semantic = torch.where(truth.semantic == SPEC.ignore_index, 0, truth.semantic).long()
    output = CenterOffset(
        semantic=torch.nn.functional.one_hot(semantic, SPEC.num_classes).permute(2, 0, 1)[None] * 20.0,
        center=torch.logit(heatmap(middle[1:], (32, 48), 4.0), eps=1e-4)[None, None],
        offset=offsets(truth.segments, middle)[None],
        stride=1,
    )
    original = (32 * times, 48 * times)
    prediction = CenterGrouping(SPEC)(output, ((32, 48),), (original,))[0]
    large = truth.segments.repeat_interleave(times, 0).repeat_interleave(times, 1)
    large = Targets(segments=large, segment_labels=truth.segment_labels, segment_crowd=truth.segment_crowd)
    metric = PanopticQuality(SPEC)
    metric.update([metric.measure(prediction, large)])
    figures = metric.compute()
    assert prediction.segments.shape == original and figures["rq"] == 1
    assert figures["sq"] == 1 if times == 1 else figures["sq"] > 0.95


def queries_of(truth, order):
    """An output that states the truth: query order[i] is segment i + 1; one query is left over."""
    n = len(truth.segment_labels)
    logits, masks = torch.zeros(1, n + 1, SPEC.num_classes + 1), torch.full((1, n + 1, 32, 48), -20.0)
    logits[..., -1] = 20.0
    for i, q in enumerate(order):
        logits[0, q, -1], logits[0, q, truth.segment_labels[i]] = 0.0, 20.0
        masks[0, q][truth.segments == i + 1] = 20.0
    return MaskQueries(logits, masks, 1)


def test_queries_in_any_order_that_state_the_truth_cost_nothing_and_become_the_truth():
    truth = derive(scene(), {"segments"}, SPEC)
    output = queries_of(truth, (3, 0, 4, 1))
    batch = Batch(torch.zeros(1, 3, 32, 48), ((32, 48),), ((32, 48),), [truth], [truth], ("a",))
    loss = MaskSetLoss(SPEC)
    assert all(float(value) < 1e-3 for value in loss(output, batch).values())
    assert loss.count([truth]) == {"cls": 1, "mask": 4, "dice": 4}
    prediction = QueryPanoptic(SPEC)(output, ((32, 48),), ((32, 48),))[0]
    metric = PanopticQuality(SPEC)
    metric.update([metric.measure(prediction, truth)])
    assert metric.compute()["pq"] == 1


def test_queries_do_not_look_beyond_the_valid_area():
    torch.manual_seed(0)
    features = {"mask": torch.randn(1, 32, 16, 16), "p4": torch.randn(1, 32, 4, 4), "p5": torch.randn(1, 32, 2, 2)}
    head = QueryHead({"mask": Level(32, 4), "p4": Level(32, 16), "p5": Level(32, 32)}, SPEC)
    seen = head(features, ((33, 40),)).class_logits
    for name, rows, columns in (("p4", 3, 3), ("p5", 2, 2)):
        features[name][:, :, rows:] += 9.0
        features[name][:, :, :, columns:] += 9.0
    torch.testing.assert_close(head(features, ((33, 40),)).class_logits, seen)
    features["p4"][:, :, 2, 2] += 9.0  # a cell that holds pixels
    assert not torch.allclose(head(features, ((33, 40),)).class_logits, seen)


@pytest.mark.parametrize(("truth", "wanted"), [("segments", 3), ("masks", 2), ("semantic", 3)])
def test_a_query_stands_for_a_segment_an_instance_or_a_class(truth, wanted):
    crowded = scene() | {"segment_crowd": torch.tensor([False, False, True, False])}  # road, car, person remain
    made = derive(crowded, {truth}, SPEC)
    assert MaskSetLoss(SPEC, truth=truth).count([made])["mask"] == wanted


def test_a_prediction_without_a_sure_query_is_all_void():
    truth = derive(scene(), {"segments"}, SPEC)
    output = queries_of(truth, ())
    prediction = QueryPanoptic(SPEC)(output, ((32, 48),), ((64, 96),))[0]
    assert isinstance(prediction, Prediction) and not prediction.segments.any()
    assert prediction.segments.shape == (64, 96) and len(prediction.segment_labels) == len(prediction.segment_scores) == 0
