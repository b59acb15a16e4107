"""FCOS's loss: torchvision's values, values by hand, crowds, images without objects, and independence of how a batch is cut."""

import math

import pytest
import torch

from segexp.errors import ConfigError
from segexp.heads.fcos import FcosHead
from segexp.losses.fcos import FcosLoss
from segexp.types import PointBoxes
from tests.heads.one_stage import DATA, SCENE, VALID, as_theirs, batch_of, images, ours, pyramid, theirs, truth

TERMS = {"class": "classification", "box": "bbox_regression", "quality": "bbox_ctrness"}


def test_as_torchvision():
    head, features = ours(FcosHead), pyramid()
    published = theirs(head, features).train()(images(), as_theirs(SCENE))
    loss = FcosLoss(DATA, reduction="batch")
    sums = loss(head(features, VALID, list(SCENE)), batch_of(*SCENE))
    assert loss.count(list(SCENE)) == {}
    for ours_, theirs_ in TERMS.items():
        torch.testing.assert_close(sums[ours_], published[theirs_], rtol=1e-5, atol=0)


def points(*middles, stride=8, logits=0.0, reach=1.0, levels=None):
    """An output of points (x, y) of one stride with equal logits, whose boxes reach `reach` strides to each side."""
    middle = torch.tensor(middles, dtype=torch.float32)
    anchors = torch.cat([middle - stride / 2, middle + stride / 2], 1)
    boxes = torch.cat([middle - stride * reach, middle + stride * reach], 1)[None]
    scores = torch.full((1, len(middle), 3), logits)
    deltas = torch.full((1, len(middle), 4), reach)
    return PointBoxes(scores, deltas, boxes, anchors, levels or (len(middle),), torch.zeros(1, len(middle), 1))


def test_by_hand():
    # two points stand for the first object, the third for the second, the fourth for none
    output = points((8, 8), (12, 8), (40, 40), (100, 100))
    target = truth((0, 0, 0, 16, 16), (1, 32, 32, 48, 48))
    loss = FcosLoss(DATA)
    sums = loss(output, batch_of(target))
    assert loss.count([target]) == {"class": 2, "box": 2, "quality": 2}
    half = 0.25 * math.log(2)  # (1 - p)^2 of cross-entropy at p = 0.5
    of_object, of_none = (0.25 + 2 * 0.75) * half, 3 * 0.75 * half
    assert float(sums["class"]) == pytest.approx(2 * of_object + 2 / 3 * of_none)  # two objects to three points
    # the second point's box is 4 pixels to the right: of 16 x 20 around both, they share 12 x 16 and cover 20 x 16
    assert float(sums["box"]) == pytest.approx(0.5 * (1 - 12 / 20), abs=1e-5)
    assert float(sums["quality"]) == pytest.approx(2 * math.log(2))


def test_weights_and_focus():
    output, target = points((8, 8), (100, 100)), truth((0, 0, 0, 16, 16))
    loss = FcosLoss(DATA, class_weight=2, box_weight=3, quality_weight=5, alpha=None, gamma=0)
    sums = loss(output, batch_of(target))
    assert float(sums["class"]) == pytest.approx(2 * 6 * math.log(2))
    assert float(sums["box"]) == pytest.approx(0, abs=1e-5)
    assert float(sums["quality"]) == pytest.approx(5 * math.log(2))


def test_levels_take_objects_twice_as_large_each():
    output = points((64, 64), (64, 64), levels=(1, 1))  # of a dilated backbone: both have stride 8

    def quality(side):
        target = truth((0, 64 - side, 64 - side, 64 + side, 64 + side))
        output.quality = torch.tensor([[[5.0], [-5.0]]])
        return float(FcosLoss(DATA)(output, batch_of(target))["quality"])

    right, wrong = math.log1p(math.exp(-5)), math.log1p(math.exp(5))  # of centre-ness 1
    assert [quality(side) for side in (20, 63, 65, 200)] == pytest.approx([right, right, wrong, wrong], rel=1e-4)


def test_points_in_a_crowd_do_not_count():
    output, alone = points((8, 8), (100, 100), (105, 100)), truth((0, 0, 0, 16, 16))
    crowded = truth((0, 0, 0, 16, 16), (1, 90, 90, 120, 120), crowd=[1])
    loss = FcosLoss(DATA)
    assert loss.count([crowded]) == loss.count([alone])
    few = points((8, 8))
    assert float(loss(output, batch_of(crowded))["class"]) == pytest.approx(float(loss(few, batch_of(alone))["class"]))
    assert float(loss(output, batch_of(alone))["class"]) > float(loss(few, batch_of(alone))["class"])


@pytest.mark.parametrize("reduction", ["objects", "batch"])
@pytest.mark.parametrize("targets", [(truth(), truth()), (truth((0, 10, 10, 50, 50), crowd=[0]), truth())])
def test_without_objects_all_parameters_have_a_finite_gradient(reduction, targets):
    head = ours(FcosHead)
    sums = FcosLoss(DATA, reduction=reduction)(head(pyramid(), VALID, list(targets)), batch_of(*targets))
    sum(sums.values()).backward()
    assert [float(sums[name].detach()) for name in ("box", "quality")] == [0, 0]
    assert all(p.grad is not None and p.grad.isfinite().all() for p in head.parameters())


def test_an_object_too_small_for_any_point_is_no_trouble():
    head, target = ours(FcosHead), truth((0, 1, 1, 2, 2), (1, 3, 3, 3, 9))  # the last has no area
    sums = FcosLoss(DATA)(head(pyramid(1), VALID[:1]), batch_of(target))
    assert all(value.isfinite() for value in sums.values())


def test_sums_do_not_depend_on_how_a_batch_is_cut():
    head, loss, features = ours(FcosHead), FcosLoss(DATA), pyramid()
    whole = loss(head(features, VALID), batch_of(*SCENE))
    parts = [loss(head({n: x[i : i + 1] for n, x in features.items()}, VALID[i : i + 1]), batch_of(SCENE[i])) for i in range(2)]
    for name, value in whole.items():
        torch.testing.assert_close(value, parts[0][name] + parts[1][name], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"reduction": "mean"}, r"loss.reduction=mean; fix: loss.reduction=objects\|batch"),
        ({"alpha": 1.5}, "loss.alpha=1.5"),
        ({"gamma": -1}, "loss.gamma=-1"),
        ({"gamma": 0.5}, "loss.gamma=0.5; fix: loss.gamma=0, or 1 or more"),
        ({"box_weight": -1}, "loss.box_weight=-1"),
        ({"radius": 0}, "loss.radius=0"),
    ],
)
def test_values_that_make_no_sense(options, text):
    with pytest.raises(ConfigError, match=text):
        FcosLoss(DATA, **options)
