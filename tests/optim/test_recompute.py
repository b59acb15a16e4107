"""Stages that compute their activations anew: the same values, gradients and statistics, fewer tensors kept."""

import copy

import pytest
import torch
from torch import nn

from segexp.backbones.timm_cnn import TimmCNN
from segexp.backbones.torchvision_cnn import TorchvisionCNN
from segexp.build import build, checked, open_dataset
from segexp.config import compose
from segexp.errors import ConfigError
from segexp.optim.recompute import check_checkpoint, checkpoint_stages, stage_ends
from segexp.types import ClassInfo, DataSpec, Level
from tests.test_task import SMALL, fit, small

SPEC = DataSpec((ClassInfo("a"),), frozenset({"semantic"}))


def pair(name, stages, **keys):
    torch.manual_seed(0)
    plain = TimmCNN(SPEC, name=name, **keys).train()
    other = copy.deepcopy(plain)
    return plain, other, checkpoint_stages(other, stages)


def step(net, seed=1):
    """Levels, gradients and buffers after one forward and backward pass."""
    torch.manual_seed(seed)
    images = torch.randn(2, 3, 64, 64)
    levels = net(images)
    sum(level.square().mean() for level in levels.values()).backward()
    return levels, {n: p.grad for n, p in net.named_parameters()}, dict(net.named_buffers())


@pytest.mark.parametrize(
    ("name", "stages", "keys"),
    [
        ("resnet18", 1, {}),
        ("resnet18", 4, {"output_stride": 8}),
        ("mobilenetv2_050", 2, {"drop_path": 0.5}),
        ("convnext_atto", 2, {"drop_path": 0.5}),
        ("xception41", 1, {}),
    ],
)
def test_values_gradients_and_statistics_are_the_same(name, stages, keys):
    plain, other, names = pair(name, stages, **keys)
    assert names
    assert list(plain.state_dict()) == list(other.state_dict())
    for wanted, found in zip(step(plain), step(other), strict=True):
        assert wanted.keys() == found.keys()
        for key, value in wanted.items():
            assert torch.equal(value, found[key]), key


def test_statistics_move_once_a_step():
    _, other, _ = pair("resnet18", 4)
    for _ in range(3):
        step(other)
    assert other.net.layer1[0].bn1.num_batches_tracked == 3


def kept(net):
    """Bytes of the tensors that a training step keeps for the gradient."""

    def note(tensor):
        holds.append(tensor)
        return tensor

    holds = []
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        net.train()(torch.zeros(4, 3, 512, 512, device="meta"))
    return sum(t.untyped_storage().nbytes() for t in {t.untyped_storage()._cdata: t for t in holds}.values())


def test_fewer_tensors_are_kept():
    with torch.device("meta"):
        plain, one, four = (TimmCNN(SPEC, name="resnet50") for _ in range(3))
        assert checkpoint_stages(one, 1) == ["net.layer1"]
        assert checkpoint_stages(four, 4) == ["net.layer1", "net.layer2", "net.layer3", "net.layer4"]
        assert checkpoint_stages(plain, 0) == []
        assert kept(one) < 0.8 * kept(plain)
        assert kept(four) < 0.3 * kept(plain)


def test_an_evaluation_computes_once():
    _, other, _ = pair("resnet18", 1)
    calls = []
    other.net.layer1[0].register_forward_hook(lambda *_: calls.append(1))
    other.eval()(torch.zeros(1, 3, 32, 32))
    with torch.no_grad():
        other.train()(torch.zeros(2, 3, 32, 32))
    assert len(calls) == 2


def test_stages_end_at_stride_4_and_deeper():
    with torch.device("meta"):
        assert stage_ends(TimmCNN(SPEC, name="resnet18")) == ["c2", "c3", "c4", "c5"]
        assert stage_ends(TimmCNN(SPEC, name="convnext_atto")) == ["c2", "c3", "c4", "c5"]


@pytest.mark.parametrize("wrong", [5, -1, 1.5, True, "all"])
def test_stages_that_there_are_not_are_refused(wrong):
    with torch.device("meta"):
        net = TimmCNN(SPEC, name="resnet18")
    what = r"TimmCNN has 4 stages \(1 up to c2, 2 up to c3, 3 up to c4, 4 up to c5\); the first 0 to 4 .*; backbone.checkpoint_stages="
    with pytest.raises(ConfigError, match=what):
        check_checkpoint(wrong, net)


def test_what_can_not_compute_anew_is_refused():
    with torch.device("meta"):
        with pytest.raises(ConfigError, match=r"TorchvisionCNN calls its layers one by one.*; fix: .*=0, or a network of timm"):
            check_checkpoint(1, TorchvisionCNN(SPEC, name="resnet18"))
        with pytest.raises(ConfigError, match=r"a compiled backbone .*; backbone.checkpoint_stages=1; fix: trainer.compile=false"):
            check_checkpoint(1, TimmCNN(SPEC, name="resnet18"), compiled=True)
    config = compose("train", [*SMALL, "backbone.checkpoint_stages=9"])
    with pytest.raises(ConfigError, match=r"the first 0 to 4 can be computed anew; backbone.checkpoint_stages=9"):
        checked(config, open_dataset(config).spec)


class Spoiling(nn.Module):
    """Its block changes its input in place."""

    pad_to, mean, spec = 4, (0.5, 0.5), {"c2": Level(2, 4)}

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(2, 2, 4, 4)
        self.block = nn.Sequential(nn.ReLU(inplace=True), nn.Conv2d(2, 2, 1))

    def forward(self, images):
        return {"c2": self.block(self.stem(images))}


def test_an_input_changed_in_place_is_refused():
    net = Spoiling().train()
    assert checkpoint_stages(net, 1) == ["block"]
    with pytest.raises(ConfigError, match=r"a Sequential can't be computed anew: it changes its input in place; backbone.checkpoint"):
        net(torch.randn(1, 2, 8, 8))


@pytest.mark.parametrize("overrides", [(), ("backbone.freeze=2",), ("backbone.norm_eval=true",)])
def test_a_training_ends_with_the_same_weights(tmp_path, overrides):
    overrides = ("trainer.max_epochs=1", "data.train=4", *overrides)
    ends = []
    for stages in (0, 2):
        task = fit(tmp_path / str(stages), *overrides, f"backbone.checkpoint_stages={stages}")[0].task
        ends.append(task.model.state_dict())
    assert all(torch.equal(value, ends[1][name]) for name, value in ends[0].items())
    start = build(small(*overrides)).task.model.state_dict()
    assert any(not torch.equal(value, ends[1][name]) for name, value in start.items())
