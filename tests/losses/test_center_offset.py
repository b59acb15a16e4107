"""The loss of Panoptic-DeepLab: published values, values by hand, what counts and what doesn't."""

import json
import math
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from segexp.errors import ConfigError
from segexp.functional.centers import center_targets
from segexp.losses.center_offset import CenterOffsetLoss
from segexp.types import Batch, CenterOffset, ClassInfo, DataSpec, Targets

GOLDEN = Path(os.environ.get("SEGEXP_SHARED", Path(__file__).parents[3] / "shared")) / "reference" / "golden"
golden = pytest.mark.skipif(not GOLDEN.exists(), reason=f"no golden arrays in {GOLDEN}: set SEGEXP_SHARED")


def spec(classes, things):
    return DataSpec(tuple(ClassInfo(f"c{i}", is_thing=i in things) for i in range(classes)), frozenset({"segments"}))


SPEC = spec(3, {1, 2})


def truth(rows, labels, crowd=()):
    flags = torch.tensor([number in crowd for number in range(1, len(labels) + 1)], dtype=torch.bool)
    return Targets(segments=torch.tensor(rows, dtype=torch.int32), segment_labels=torch.tensor(labels), segment_crowd=flags)


def batch_of(*targets):
    sizes = tuple(tuple(t.segments.shape) for t in targets)
    return Batch(torch.zeros(()), sizes, sizes, list(targets), [], ("",) * len(targets))


def figures(loss, output, *targets):
    sums, counts = loss(output, batch_of(*targets)), loss.count(list(targets))
    assert sums.keys() == counts.keys() == {"semantic", "center", "offset"}
    return {name: float(value.detach()) / counts[name] for name, value in sums.items()}


@golden
@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"reduction": "batch"}, "DeepLabCE_top0p2"),
        ({"reduction": "batch", "fraction": 1.0}, "DeepLabCE_top1"),
        ({"reduction": "batch", "small_instance_weight": 1.0}, "DeepLabCE_top0p2_noweights"),
        ({"reduction": "nonzero"}, "tf_topk0p2_nonzero_mean"),
        ({"reduction": "nonzero", "fraction": 1.0}, "tf_top1_nonzero_mean"),
        ({"fraction": 1.0, "small_instance_weight": 1.0}, "RegularCE"),
    ],
)
def test_published_values(options, name):
    wanted = json.loads((GOLDEN / "panoptic_losses.json").read_text())
    arrays, scene = np.load(GOLDEN / "panoptic_postprocess.npz"), np.load(GOLDEN / "panoptic_targets.npz")
    semantic, center, offset = (torch.from_numpy(arrays[k]).float()[None] for k in ("sem_logits", "center", "offset"))
    panoptic, listed = torch.from_numpy(scene["panoptic_id"]), json.loads(str(scene["segments"]))
    segments = sum((panoptic == one["id"]).int() * number for number, one in enumerate(listed, 1))
    crowd = [number for number, one in enumerate(listed, 1) if one["iscrowd"]]
    target = truth(segments.tolist(), [one["category_id"] for one in listed], crowd)
    loss = CenterOffsetLoss(spec(19, set(arrays["thing_list"].tolist())), small_instance_area=400, **options)
    found = figures(loss, CenterOffset(semantic, center, offset, 1), target)
    assert found["semantic"] == pytest.approx(wanted[name], rel=1e-5)
    assert found["center"] == pytest.approx(wanted["center_mse_x200"], rel=1e-5)
    assert found["offset"] == pytest.approx(wanted["offset_l1_x0p01"], rel=1e-5)


# 1 stuff, 2 and 3 things, 4 a crowd of a thing's class, 0 void
ROWS = [[1, 1, 2, 2, 2, 0, 4, 3]]
LABELS, CROWD = [0, 1, 2, 1], (4,)


def still(width=8, size=1):
    return CenterOffset(torch.zeros(1, 3, size, width), torch.zeros(1, 1, size, width), torch.zeros(1, 2, size, width), 1)


@pytest.mark.parametrize(
    ("options", "counts"),
    [
        ({}, (1, 6, 8)),  # int(0.2 x 7 labelled); not void, not the crowd; 2 x 4 pixels of things
        ({"fraction": 1.0}, (7, 6, 8)),
        ({"fraction": 1.0, "ignore_crowd_in_semantic": True}, (6, 6, 8)),
        ({"fraction": 1.0, "ignore_stuff_in_offset": False}, (7, 6, 12)),
        ({"fraction": 1.0, "reduction": "batch"}, (8, 6, 8)),
        ({"reduction": "nonzero"}, (1, 1, 1)),
    ],
)
def test_counts_by_hand(options, counts):
    assert tuple(CenterOffsetLoss(SPEC, **options).count([truth(ROWS, LABELS, CROWD)]).values()) == counts


def test_values_by_hand():
    target = truth(ROWS, LABELS, CROWD)
    options = {"fraction": 1.0, "sigma": 0.3, "center_weight": 1.0, "offset_weight": 1.0, "small_instance_weight": 3.0}
    found = figures(CenterOffsetLoss(SPEC, **options), still(), target)
    assert found["semantic"] == pytest.approx(math.log(3) * (2 + 3 * 5) / 7, rel=1e-5)
    wide = math.exp(-1 / (2 * 0.09))  # a pixel from a peak: at 3, 6 (the crowd's) and 7
    assert found["center"] == pytest.approx((1 + 1 + 2 * wide**2) / 6, rel=1e-5)
    assert found["offset"] == pytest.approx((1 + 0 + 1 + 0) / 8, rel=1e-5)
    apart = figures(CenterOffsetLoss(SPEC, **options | {"small_instance_area": 2, "small_instance_weight": 2.0}), still(), target)
    assert apart["semantic"] == pytest.approx(math.log(3) * (2 + 3 + 2 * 2) / 7, rel=1e-5)


def test_crowds_have_a_peak_only_where_asked_for():
    target = truth([[3, 1, 1, 1, 2, 2]], [0, 1, 1], (2,))  # the crowd's peak at 4 reaches the stuff at 3, the thing's is at 0
    options = {"sigma": 0.3, "center_weight": 1.0}
    found = {on: figures(CenterOffsetLoss(SPEC, crowd_centers=on, **options), still(6), target)["center"] for on in (True, False)}
    wide = math.exp(-1 / (2 * 0.09))
    assert found[False] == pytest.approx((1 + wide**2) / 4, rel=1e-5)
    assert found[True] == pytest.approx((1 + 2 * wide**2) / 4, rel=1e-5)


def test_void_and_crowds_take_no_gradient_but_the_crowd_its_class():
    output = still()
    for x in (output.semantic, output.center, output.offset):
        x.normal_(generator=torch.Generator().manual_seed(0)).requires_grad_()
    loss = CenterOffsetLoss(SPEC, fraction=1.0)
    torch.stack(list(loss(output, batch_of(truth(ROWS, LABELS, CROWD))).values())).sum().backward()
    assert output.semantic.grad.abs().sum(1)[0, 0].gt(0).tolist() == [True] * 5 + [False, True, True]
    assert output.center.grad[0, 0, 0].ne(0).tolist() == [True] * 5 + [False, False, True]
    assert output.offset.grad.abs().sum(1)[0, 0].gt(0).tolist() == [False] * 2 + [True] * 3 + [False, False, True]


@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize("reduction", ["valid", "nonzero"])
def test_images_of_two_sizes_add_up_at_any_stride(aligned, reduction):
    rng = torch.Generator().manual_seed(0)
    blocks = [torch.randint(0, 5, size, generator=rng).repeat_interleave(5, 0).repeat_interleave(5, 1) for size in ((5, 7), (4, 5))]
    targets = [truth(b.tolist(), LABELS, CROWD) for b in blocks]
    semantic, center, offset = (torch.randn(2, n, 7, 9, generator=rng) for n in (3, 1, 2))
    loss = CenterOffsetLoss(SPEC, reduction=reduction)
    make = lambda part: CenterOffset(semantic[part], center[part], offset[part], 4, align_corners=aligned)  # noqa: E731
    together = loss(make(slice(0, 2)), batch_of(*targets))
    alone = [loss(make(slice(i, i + 1)), batch_of(t)) for i, t in enumerate(targets)]
    for name, value in together.items():
        assert float(value) == pytest.approx(float(sum(one[name] for one in alone)), rel=1e-5)
        assert loss.count(targets)[name] == sum(loss.count([t])[name] for t in targets)


def test_the_truth_itself_has_no_error():
    target = truth([[1, 1, 2, 2, 2, 0, 3, 3]] * 9, [0, 1, 2])
    made = center_targets(target.segments, torch.tensor([False, True, True]))
    certain = torch.nn.functional.one_hot(torch.tensor([[0, 0, 1, 1, 1, 0, 2, 2]] * 9), 3).permute(2, 0, 1)[None] * 100.0
    found = figures(CenterOffsetLoss(SPEC), CenterOffset(certain, made.center[None, None], made.offset[None], 1), target)
    assert found == {"semantic": 0, "center": 0, "offset": 0}


def test_nothing_but_void_and_no_thing():
    loss = CenterOffsetLoss(SPEC)
    void = truth([[0] * 8], [])
    assert loss.count([void]) == {"semantic": 0, "center": 0, "offset": 0}
    assert all(float(value) == 0 for value in loss(still(), batch_of(void)).values())
    stuff = truth([[1] * 8], [0])
    assert loss.count([stuff]) == {"semantic": 1, "center": 8, "offset": 0}
    assert float(loss(still(), batch_of(stuff))["offset"]) == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sigma": 0}, r"a number from 0\.1 on is wanted; loss\.sigma=0; fix: loss\.sigma=8"),
        (
            {"small_instance_area": "abc"},
            r"a number from 0 on is wanted; loss\.small_instance_area=abc; fix: loss\.small_instance_area=",
        ),
        ({"center_weight": -1}, r"a number from 0 on is wanted; loss\.center_weight=-1; fix: loss\.center_weight=1"),
        ({"center_rounding": "up"}, r"no such rounding; loss\.center_rounding=up; fix: loss\.center_rounding=floor\|round"),
        ({"reduction": "mean"}, r"no such reduction; loss\.reduction=mean; fix: loss\.reduction=valid\|batch\|nonzero"),
        ({"fraction": 2.0}, r"the fraction must be above 0 and at most 1; loss\.fraction=2\.0"),
    ],
)
def test_refusals(options, message):
    with pytest.raises(ConfigError, match=message):
        CenterOffsetLoss(SPEC, **options)


def test_no_image_counts_for_nothing():
    assert CenterOffsetLoss(SPEC).count([]) == {"semantic": 0, "center": 0, "offset": 0}
