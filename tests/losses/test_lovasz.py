"""Lovász-softmax by hand, against the paper's loop over classes in float64, and what makes it a surrogate of IoU."""

import pytest
import torch
from segmentation_models_pytorch.losses import LovaszLoss

from segexp.losses.lovasz import Lovasz, jaccard_slopes
from segexp.types import Targets
from tests.losses.semantic import agree, certain, example, found, reference, spec


def slow_lovasz(p, labels, classes):
    """The paper's algorithm, one class after the other."""
    values = []
    for k in classes:
        true = (labels == k).double()
        errors, order = (true - p[k]).abs().sort(descending=True)
        true = true[order]
        jaccard = 1 - (true.sum() - true.cumsum(0)) / (true.sum() + (1 - true).cumsum(0))
        steps = torch.cat([jaccard[:1], jaccard[1:] - jaccard[:-1]])
        values.append(errors @ steps)
    return values


def test_by_hand():
    # probabilities of class 1: 0.8 0.6 0.3 over the labels 1 0 1; errors 0.2, 0.6, 0.7, the same for both classes
    p = torch.tensor([0.8, 0.6, 0.3])
    logits = torch.stack([(1 - p).log(), p.log()])[None, :, None]
    # class 1: 0.7 is of it (1/2), 0.6 joins the union (1/2 -> IoU 1/3: 1/6), 0.2 takes the rest 1/3
    one = 0.7 / 2 + 0.6 / 6 + 0.2 / 3
    # class 0: 0.7 joins the union (1 -> 1/2), 0.6 takes the rest
    zero = 0.7 / 2 + 0.6 / 2
    assert float(found(Lovasz(spec(2)), logits, [torch.tensor([[1, 0, 1]])])[0]) == pytest.approx((one + zero) / 2)


@pytest.mark.parametrize("number", [2, 5])
@pytest.mark.parametrize("classes", ["present", "all"])
@pytest.mark.parametrize("per", ["image", "class"])
def test_against_the_loop(number, classes, per):
    logits, maps = example(number)
    if number == 5:
        maps[0][maps[0] == 3] = 2  # absent

    def slow(p, labels):
        values = slow_lovasz(p, labels, range(number) if classes == "all" else labels.unique().tolist())
        return sum(values) / (len(values) if per == "image" else 1)

    loss = Lovasz(spec(number), classes=classes, per=per)
    assert agree(found(loss, logits, maps), reference(slow, logits, maps))
    pairs = 4 if number == 2 else 10 if classes == "all" else 9
    assert loss.count([Targets(semantic=m) for m in maps]) == {"lovasz": 2 if per == "image" else pairs}


def test_one_image_is_what_segmentation_models_pytorch_gives():
    logits, maps = example(4, images=1)
    maps[0][maps[0] == 3] = 2
    theirs = LovaszLoss("multiclass", per_image=True, ignore_index=255)(logits, maps[0][None])
    assert float(found(Lovasz(spec(4)), logits, maps)[0]) == pytest.approx(float(theirs), rel=1e-5)


def test_certain_answers_cost_1_minus_iou():
    truth, answer = torch.tensor([[0, 0, 1, 1, 2, 2]]), torch.tensor([[0, 1, 1, 1, 2, 0]])
    wanted = 1 - (1 / 3 + 2 / 3 + 1 / 2) / 3
    assert float(found(Lovasz(spec(3)), certain([answer], 3), [truth])[0]) == pytest.approx(wanted)


def test_slopes_of_each_class_sum_to_1_on_a_large_image():
    errors, true = torch.rand(3, 300_000), torch.rand(3, 300_000) < torch.tensor([[0.5], [1e-5], [0.0]])
    labelled = torch.arange(300_000) >= 1000
    slopes = jaccard_slopes(errors, true & labelled, labelled)
    assert torch.allclose(slopes.double().sum(1), torch.ones(3, dtype=torch.float64), atol=1e-5)
    assert slopes.min() >= 0
    assert not slopes[:, :1000].any()
    assert int(slopes[2].argmax()) == 1000 + int(errors[2, 1000:].argmax())
