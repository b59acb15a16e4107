"""Stages of a backbone from autograd, and what frozen ones and still norms do over training steps."""

import pytest
import torch
from torch import nn

from segexp.backbones.timm_cnn import TimmCNN
from segexp.build import build, checked, open_dataset
from segexp.config import compose
from segexp.errors import ConfigError
from segexp.optim.stages import check_freeze, freeze_stages, frozen_norms, parameter_stages
from segexp.types import ClassInfo, DataSpec, Level
from tests.test_task import SMALL, fit, small

SPEC = DataSpec((ClassInfo("a"),), frozenset({"semantic"}))


class Named(nn.Module):
    """Stages that no name tells: `x` and `n` before the first level, `z` before the second, `y` before the third, `w` unused."""

    pad_to, mean = 4, (0.5, 0.5)
    spec = {"c1": Level(2, 1), "c2": Level(2, 1), "c3": Level(2, 1)}

    def __init__(self):
        super().__init__()
        self.w, self.x, self.y, self.z = (nn.Conv2d(2, 2, 1) for _ in range(4))
        self.n, self.m = nn.BatchNorm2d(2), nn.Sequential(nn.Conv2d(2, 2, 1), nn.BatchNorm2d(2, affine=False))

    def forward(self, images):
        first = self.n(self.x(images))
        second = self.z(first)
        return {"c1": first, "c2": second, "c3": self.m(self.y(second)) + first}


def stages_of(net):
    found = {}
    for name, stage in parameter_stages(net).items():
        found.setdefault(stage, set()).add(name)
    return found


def test_a_stage_is_what_its_level_needs_and_no_earlier_one():
    assert stages_of(Named()) == {
        1: {"x.weight", "x.bias", "n.weight", "n.bias"},
        2: {"z.weight", "z.bias"},
        3: {"y.weight", "y.bias", "m.0.weight", "m.0.bias"},
    }


def test_looking_leaves_everything_as_it_was():
    net = Named()
    net.x.requires_grad_(False)
    net.n.eval()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    parameter_stages(net)
    assert (net.training, net.n.training, net.m[1].training) == (True, False, True)
    assert (net.x.weight.requires_grad, net.y.weight.requires_grad, net.y.weight.grad) == (False, True, None)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_stages_of_a_residual_network(device):
    with torch.device(device):
        stages = parameter_stages(TimmCNN(SPEC, name="resnet18"))
    of = {name.split(".")[1]: stage for name, stage in stages.items()}
    assert of == {"conv1": 1, "bn1": 1, "layer1": 2, "layer2": 3, "layer3": 4, "layer4": 5}


def test_the_stem_of_a_network_without_c1_is_in_its_first_stage():
    stages = parameter_stages(TimmCNN(SPEC, name="convnext_atto"))
    assert {name.split(".")[1]: stage for name, stage in stages.items()} == {
        "stem_0": 1,
        "stem_1": 1,
        "stages_0": 1,
        "stages_1": 2,
        "stages_2": 3,
        "stages_3": 4,
    }


def test_norms_of_frozen_parameters_and_those_without_any():
    net = Named()
    assert frozen_norms(net, set()) == set()
    assert frozen_norms(net, {"n.weight", "n.bias"}) == {"n"}
    assert frozen_norms(net, {"m.0.weight"}) == set()
    assert frozen_norms(net, {"m.0.weight", "m.0.bias"}) == {"m.1"}


class Holder(nn.Module):
    still = ()

    def __init__(self):
        super().__init__()
        self.backbone = Named()


def test_what_is_frozen_is_named():
    model = Holder()
    assert freeze_stages(model, freeze=1, norm_eval=False) == [
        "backbone.n.bias",
        "backbone.n.weight",
        "backbone.x.bias",
        "backbone.x.weight",
    ]
    assert model.still == ("backbone.n",)
    assert freeze_stages(Holder(), freeze=0, norm_eval=False) == []
    held = Holder()
    assert freeze_stages(held, freeze=0, norm_eval=True) == []
    assert held.still == ("backbone.m.1", "backbone.n")


@pytest.mark.parametrize("wrong", [4, -1, 1.5, True, "all"])
def test_stages_that_there_are_not_are_refused(wrong):
    with pytest.raises(ConfigError, match=r"Named has 3 stages \(1 c1, 2 c2, 3 c3\); the first 0 to 3 can be frozen; backbone.freeze="):
        check_freeze(wrong, False, Named())
    with pytest.raises(ConfigError, match=r"true or false is wanted; backbone.norm_eval=1; fix: backbone.norm_eval=true"):
        check_freeze(0, 1, Named())


def test_they_are_refused_before_data_are_opened():
    config = compose("train", [*SMALL, "backbone.freeze=9"])
    with pytest.raises(ConfigError, match=r"TimmCNN has 5 stages \(1 c1, 2 c2, 3 c3, 4 c4, 5 c5\); .* backbone.freeze=9; fix: "):
        checked(config, open_dataset(config).spec)


def moved(folder, *overrides):
    """The names of the backbone's parameters and buffers that four steps and two validations changed."""
    overrides = ("trainer.max_epochs=2", "data.train=4", *overrides)
    before = build(small(*overrides)).task.model.backbone.state_dict()
    after = fit(folder, *overrides)[0].task.model.backbone.state_dict()
    return {name for name, value in before.items() if not torch.equal(value, after[name])}


def test_frozen_stages_do_not_move(tmp_path):
    changed = moved(tmp_path, "backbone.freeze=2")
    assert changed
    assert {name.split(".")[1] for name in changed} == {"layer2", "layer3", "layer4"}
    assert any("running_mean" in name for name in changed)


def test_a_whole_backbone_is_frozen_and_the_rest_trains(tmp_path):
    assert moved(tmp_path, "backbone.freeze=5") == set()


def test_still_norms_keep_their_statistics_and_train_their_weights(tmp_path):
    changed = moved(tmp_path, "backbone.norm_eval=true")
    assert not [name for name in changed if "running" in name or "num_batches" in name]
    assert "net.bn1.weight" in changed
