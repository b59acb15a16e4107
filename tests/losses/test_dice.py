"""Dice by hand, against its formula in float64, and against segmentation-models-pytorch."""

import pytest
import torch
from segmentation_models_pytorch.losses import DiceLoss

from segexp.errors import ConfigError
from segexp.losses.dice import Dice
from segexp.types import SemanticLogits, Targets
from tests.losses.semantic import agree, batch_of, certain, example, found, reference, spec


def test_by_hand():
    labels = torch.tensor([[0, 0], [1, 255]])
    even = torch.zeros(1, 2, 2, 2)  # every probability 1/2: class 0 overlaps 1 of 1.5 and 2, class 1 0.5 of 1.5 and 1
    wanted = 1 - (2 / 3.5 + 1 / 2.5) / 2
    assert float(found(Dice(spec(2), smooth=0), even, [labels])[0]) == pytest.approx(wanted)
    wanted = 1 - (3 / 4.5 + 2 / 3.5) / 2
    assert float(found(Dice(spec(2), weight=2), even, [labels])[0]) == pytest.approx(2 * wanted)
    wanted = 1 - (2 / (0.75 + 2) + 1 / (0.75 + 1)) / 2
    assert float(found(Dice(spec(2), smooth=0, square=True), even, [labels])[0]) == pytest.approx(wanted)


def test_right_is_0_and_wrong_is_1():
    maps = [torch.tensor([[0, 1], [1, 0]])]
    assert float(found(Dice(spec(2), smooth=0), certain(maps, 2), maps)[0]) == pytest.approx(0, abs=1e-6)
    assert float(found(Dice(spec(2), smooth=0), certain([1 - maps[0]], 2), maps)[0]) == pytest.approx(1)


@pytest.mark.parametrize(("smooth", "classes"), [(0.0, "present"), (1.0, "present"), (1.0, "all")])
@pytest.mark.parametrize("square", [False, True])
@pytest.mark.parametrize("per", ["image", "class"])
def test_against_the_formula(smooth, square, classes, per):
    logits, maps = example(5)
    for m in maps:
        m[m == 3] = 2  # absent

    def slow(p, labels):
        values = []
        for k in range(5):
            g = (labels == k).double()
            if classes == "all" or g.any():
                below = (p[k] ** 2 if square else p[k]).sum() + g.sum() + smooth
                values.append(1 - (2 * (p[k] * g).sum() + smooth) / below)
        return sum(values) / (len(values) if per == "image" else 1)

    loss = Dice(spec(5), smooth=smooth, square=square, classes=classes, per=per)
    assert agree(found(loss, logits, maps), reference(slow, logits, maps))
    wanted = 2 if per == "image" else 10 if classes == "all" else 8
    assert loss.count([Targets(semantic=m) for m in maps]) == {"dice": wanted}


@pytest.mark.parametrize("classes", [2, 4])
def test_one_image_with_all_classes_is_what_segmentation_models_pytorch_gives(classes):
    logits, maps = example(classes, images=1)
    theirs = DiceLoss("multiclass", smooth=0.5, ignore_index=255)(logits, maps[0][None])
    assert float(found(Dice(spec(classes)), logits, maps)[0]) == pytest.approx(float(theirs), rel=1e-5)


def test_images_of_other_sizes_and_strides():
    loss, maps = Dice(spec(3)), [torch.randint(0, 3, (8, 12)), torch.randint(0, 3, (5, 7))]
    logits = torch.randn(2, 3, 2, 3)
    together = loss(SemanticLogits(logits, 4), batch_of(maps))["dice"]
    alone = sum(loss(SemanticLogits(logits[i : i + 1], 4), batch_of(maps[i : i + 1]))["dice"] for i in range(2))
    assert float(together) == pytest.approx(float(alone), rel=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"per": "batch"}, r"per is image or class; loss.per=batch; fix: loss.per=image\|class"),
        ({"classes": "some"}, r"classes is present or all; loss.classes=some; fix: loss.classes=present\|all"),
        ({"smooth": -1}, r"smoothing is at least 0; loss.smooth=-1; fix: loss.smooth=1"),
        (
            {"smooth": 0, "classes": "all"},
            r"absent has a score only with smoothing; loss.smooth=0; fix: loss.smooth=1 or loss.classes=present",
        ),
    ],
)
def test_what_is_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        Dice(spec(3), **options)
