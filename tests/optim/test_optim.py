"""Parameter groups and schedules by hand."""

import pytest
import torch
from torch import nn

from segexp.errors import ConfigError
from segexp.optim.optimizers import adamw, parameter_groups, sgd
from segexp.optim.schedules import constant, poly, step
from segexp.types import Level


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
        self.head = nn.Conv2d(4, 2, 1)


def test_every_trainable_parameter_is_in_one_group():
    net = Net()
    net.head.bias.requires_grad_(False)
    groups = {g["name"]: g for g in parameter_groups(net, lr=1.0, weight_decay=0.1, backbone_factor=0.25)}
    assert {n: (g["lr"], g["weight_decay"], len(g["params"])) for n, g in groups.items()} == {
        "backbone/decay": (0.25, 0.1, 1),
        "backbone/no_decay": (0.25, 0.0, 3),
        "rest/decay": (1.0, 0.1, 1),
    }


def test_factors_of_the_head_and_of_biases():
    options = {"lr": 1.0, "weight_decay": 0.1, "backbone_factor": 0.5, "head_factor": 10.0, "bias_factor": 2.0}
    groups = {g["name"]: (g["lr"], g["weight_decay"], len(g["params"])) for g in parameter_groups(Net(), **options)}
    assert groups == {
        "backbone/decay": (0.5, 0.1, 1),
        "backbone/bias": (1.0, 0.0, 2),  # the norm's, too
        "backbone/no_decay": (0.5, 0.0, 1),
        "head/decay": (10.0, 0.1, 1),
        "head/bias": (20.0, 0.0, 1),
    }


def test_vectors_decay_if_asked_for():
    groups = parameter_groups(Net(), lr=1.0, weight_decay=0.1, backbone_factor=1.0, decay_vectors=True)
    assert {g["name"]: (g["weight_decay"], len(g["params"])) for g in groups} == {"backbone/decay": (0.1, 4), "rest/decay": (0.1, 2)}
    biases = {g["name"]: g["weight_decay"] for g in parameter_groups(Net(), lr=1.0, weight_decay=0.1, backbone_factor=1.0, bias_factor=2.0)}
    assert biases["rest/bias"] == 0.0


@pytest.mark.parametrize("make", [adamw, sgd])
def test_optimizers_take_the_factors(make):
    rates = {group["name"]: group["lr"] for group in make(Net(), lr=1.0, head_factor=10.0, bias_factor=2.0).param_groups}
    assert (rates["head/decay"], rates["head/bias"]) == (10.0, 20.0)


@pytest.mark.parametrize("make", [adamw, sgd])
def test_optimizers_take_a_step(make):
    net = Net()
    optimizer = make(net, lr=0.1)
    before = net.head.weight.clone()
    net.head(net.backbone(torch.randn(2, 3, 8, 8))).sum().backward()
    optimizer.step()
    assert not torch.equal(before, net.head.weight)


def rates(make, steps, **options):
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=2.0)
    schedule = make(optimizer, steps, **options)
    found = []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return found


def test_poly():
    assert rates(poly, 4, power=1.0) == pytest.approx([2.0, 1.5, 1.0, 0.5])
    assert rates(poly, 4, power=0.9)[3] == pytest.approx(2 * 0.25**0.9)
    assert rates(poly, 4, power=1.0, floor=0.4) == pytest.approx([2.0, 1.5, 1.0, 0.8])
    assert rates(poly, 4, power=1.0, warmup=2, warmup_factor=0.0) == pytest.approx([0.0, 0.75, 1.0, 0.5])


def test_poly_that_moves_now_and_then():
    assert rates(poly, 4, power=1.0, every=2) == pytest.approx([2.0, 2.0, 1.0, 1.0])


def test_step():
    assert rates(step, 5, every=2, factor=0.5) == pytest.approx([2.0, 2.0, 1.0, 1.0, 0.5])
    assert rates(step, 3, every=9, warmup=2, warmup_factor=0.0) == pytest.approx([0.0, 1.0, 2.0])


@pytest.mark.parametrize("make", [poly, step])
def test_a_number_of_steps_below_one(make):
    with pytest.raises(ConfigError, match=r"it is a number of steps; scheduler\.every=0"):
        rates(make, 2, every=0)


def test_constant():
    assert rates(constant, 4, warmup=2, warmup_factor=0.5) == pytest.approx([1.0, 1.5, 2.0, 2.0])


class Staged(nn.Module):
    """A backbone of three levels, a convolution and a norm each, and a head."""

    class Backbone(nn.Module):
        pad_to, mean = 4, (0.0, 0.0)
        spec = {"c1": Level(2, 1), "c2": Level(2, 1), "c3": Level(2, 1)}

        def __init__(self):
            super().__init__()
            self.parts = nn.ModuleList(nn.Sequential(nn.Conv2d(2, 2, 1, bias=False), nn.BatchNorm2d(2)) for _ in range(3))

        def forward(self, images):
            found = {}
            for level, part in zip(self.spec, self.parts, strict=True):
                images = found[level] = part(images)
            return found

    def __init__(self):
        super().__init__()
        self.backbone, self.head = self.Backbone(), nn.Conv2d(2, 2, 1)


def test_layer_decay_by_hand():
    groups = parameter_groups(Staged(), lr=1.0, weight_decay=0.1, backbone_factor=0.8, layer_decay=0.5)
    assert {g["name"]: (g["lr"], g["weight_decay"], len(g["params"])) for g in groups} == {
        "backbone/stage1/decay": (pytest.approx(0.1), 0.1, 1),
        "backbone/stage1/no_decay": (pytest.approx(0.1), 0.0, 2),
        "backbone/stage2/decay": (pytest.approx(0.2), 0.1, 1),
        "backbone/stage2/no_decay": (pytest.approx(0.2), 0.0, 2),
        "backbone/stage3/decay": (pytest.approx(0.4), 0.1, 1),
        "backbone/stage3/no_decay": (pytest.approx(0.4), 0.0, 2),
        "rest/decay": (1.0, 0.1, 1),
        "rest/no_decay": (1.0, 0.0, 1),
    }


def test_layer_decay_leaves_frozen_stages_out():
    model = Staged()
    model.backbone.parts[0].requires_grad_(False)
    names = [g["name"] for g in parameter_groups(model, lr=1.0, weight_decay=0.1, backbone_factor=1.0, layer_decay=0.5)]
    assert [name for name in names if "stage1" in name] == []
    assert "backbone/stage2/decay" in names


@pytest.mark.parametrize("make", [adamw, sgd])
def test_optimizers_take_a_layer_decay(make):
    rates = {group["name"]: group["lr"] for group in make(Staged(), lr=2.0, layer_decay=0.5).param_groups}
    assert (rates["backbone/stage1/decay"], rates["backbone/stage3/decay"], rates["rest/decay"]) == (0.25, 1.0, 2.0)
