"""RetinaNet's loss: torchvision's values, values by hand, crowds, images without objects."""

import math

import pytest
import torch

from segexp.errors import ConfigError
from segexp.heads.retinanet import RetinaNetHead
from segexp.losses.retinanet import RetinaNetLoss
from segexp.types import AnchorBoxes
from tests.heads.one_stage import DATA, SCENE, VALID, as_theirs, batch_of, images, ours, pyramid, theirs, truth


@pytest.mark.parametrize("targets", [SCENE, (SCENE[0], truth())])
def test_as_torchvision(targets):
    head, features = ours(RetinaNetHead), pyramid()
    published = theirs(head, features).train()(images(), as_theirs(targets))
    loss = RetinaNetLoss(DATA)
    sums, count = loss(head(features, VALID, list(targets)), batch_of(*targets)), loss.count(list(targets))
    assert count == {"class": 2, "box": 2}
    torch.testing.assert_close(sums["class"] / 2, published["classification"], rtol=1e-5, atol=0)
    torch.testing.assert_close(sums["box"] / 2, published["bbox_regression"], rtol=1e-5, atol=0)


def anchors(*rows, deltas=(0.0, 0, 0, 0)):
    boxes = torch.tensor(rows, dtype=torch.float32)
    number = len(boxes)
    return AnchorBoxes(torch.zeros(1, number, 3), torch.tensor(deltas).expand(1, number, 4), boxes[None], boxes, (number,))


OUTPUT = anchors((0, 0, 10, 10), (0, 0, 10, 20), (0, 0, 10, 22), (50, 50, 60, 60))
HALF = 0.25 * math.log(2)  # (1 - p)^2 of cross-entropy at p = 0.5


def test_by_hand():
    target = truth((0, 0, 0, 10, 10))  # the overlaps are 1, 1/2, 5/11 (ignored) and 0
    sums = RetinaNetLoss(DATA)(OUTPUT, batch_of(target))
    matched, none = (0.25 + 2 * 0.75) * HALF, 3 * 0.75 * HALF
    assert float(sums["class"]) == pytest.approx((2 * matched + none) / 2)
    # onto the object the second anchor moves up by a quarter of its height, and is half as tall
    assert float(sums["box"]) == pytest.approx((0.25 + math.log(2)) / 2)


@pytest.mark.parametrize(
    ("options", "value"),
    [
        ({"distance": "smooth_l1", "beta": 0.5}, (0.25**2 + math.log(2) - 0.25) / 2),
        ({"distance": "giou"}, (1 - 100 / 200) / 2),
        ({"box_weight": 3.0}, 3 * (0.25 + math.log(2)) / 2),
    ],
)
def test_distances_by_hand(options, value):
    sums = RetinaNetLoss(DATA, **options)(OUTPUT, batch_of(truth((0, 0, 0, 10, 10))))
    assert float(sums["box"]) == pytest.approx(value, abs=1e-5)


def test_anchors_in_a_crowd_do_not_count():
    crowded, loss = truth((0, 0, 0, 10, 10), (2, 45, 45, 65, 65), crowd=[1]), RetinaNetLoss(DATA)
    fewer = anchors((0, 0, 10, 10), (0, 0, 10, 20), (0, 0, 10, 22))
    expected = loss(fewer, batch_of(truth((0, 0, 0, 10, 10))))
    assert {n: float(v) for n, v in loss(OUTPUT, batch_of(crowded)).items()} == pytest.approx({n: float(v) for n, v in expected.items()})


@pytest.mark.parametrize("distance", ["l1", "smooth_l1", "giou"])
@pytest.mark.parametrize("targets", [(truth(), truth()), (truth((0, 10, 10, 50, 50), crowd=[0]), truth())])
def test_without_objects_all_parameters_have_a_finite_gradient(distance, targets):
    head = ours(RetinaNetHead)
    sums = RetinaNetLoss(DATA, distance=distance)(head(pyramid(), VALID, list(targets)), batch_of(*targets))
    sum(sums.values()).backward()
    assert float(sums["box"].detach()) == 0
    assert all(p.grad is not None and p.grad.isfinite().all() for p in head.parameters())


def test_an_object_without_area_is_no_trouble():
    sums = RetinaNetLoss(DATA)(OUTPUT, batch_of(truth((0, 0, 0, 10, 10), (1, 52, 52, 52, 58))))
    assert all(value.isfinite() for value in sums.values())


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"low": 0.6}, "loss.low=0.6 loss.high=0.5"),
        ({"distance": "l2"}, r"loss.distance=l2; fix: loss.distance=l1\|smooth_l1\|giou"),
        ({"high": 2}, "loss.high=2"),
        ({"alpha": -0.5}, "loss.alpha=-0.5"),
    ],
)
def test_values_that_make_no_sense(options, text):
    with pytest.raises(ConfigError, match=text):
        RetinaNetLoss(DATA, **options)
