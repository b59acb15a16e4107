"""Norms of a whole model are changed after it is built."""

import pytest
import timm
import torch
from torch import nn

from segexp.build import build
from segexp.config import compose
from segexp.errors import ConfigError
from segexp.layers.renorm import groups_of, renorm


def net():
    return nn.Sequential(nn.Conv2d(3, 48, 1), nn.BatchNorm2d(48), nn.Sequential(nn.BatchNorm2d(48)), nn.LayerNorm(4))


def test_what_is_not_given_stays():
    model = net()
    renorm(model)
    assert (model[1].eps, model[1].momentum, type(model[1])) == (1e-5, 0.1, nn.BatchNorm2d)
    renorm(model, eps=1e-3, momentum=0.01)
    assert (model[2][0].eps, model[2][0].momentum, model[3].eps) == (1e-3, 0.01, 1e-5)


def test_group_norm_and_back():
    model = net()
    names = [name for name, _ in model.named_parameters()]
    renorm(model, type="group", eps=1e-3)
    assert (type(model[1]), model[1].num_groups, model[2][0].eps) == (nn.GroupNorm, 24, 1e-3)
    renorm(model, type="batch")
    assert isinstance(model[1], nn.BatchNorm2d)
    assert [name for name, _ in model.named_parameters()] == names


@pytest.mark.parametrize(("channels", "groups"), [(64, 32), (48, 24), (20, 10), (32, 16), (74, 2), (37, 1), (1, 1)])
def test_groups(channels, groups):
    assert groups_of(channels) == groups


@pytest.mark.parametrize(
    ("options", "fix"),
    [({"type": "layer"}, "norm.type=batch|group"), ({"eps": 0}, "norm.eps=1.0e-5"), ({"momentum": 1.5}, "norm.momentum=0.1")],
)
def test_values_that_make_no_sense(options, fix):
    with pytest.raises(ConfigError) as caught:
        renorm(net(), **options)
    assert caught.value.fix.startswith(fix)


@pytest.mark.parametrize("backbone", ["resnet18", "mobilenet_v2"])  # the latter's norms have an activation inside
def test_a_whole_model_by_overrides(backbone):
    overrides = ["model=deeplabv3plus", f"backbone={backbone}", "decoder.width=16", "decoder.dropout=0"]
    built = {kind: build(compose("train", [*overrides, f"norm.type={kind}", "norm.eps=1e-3"])).task.model for kind in ("null", "group")}
    assert not [m for m in built["group"].modules() if isinstance(m, nn.BatchNorm2d)]
    assert {m.eps for m in built["null"].modules() if isinstance(m, nn.BatchNorm2d)} == {1e-3}
    names = [[name for name, _ in model.named_parameters()] for model in built.values()]
    assert names[0] == names[1]
    images = torch.rand(2, 3, 64, 64)
    alone, both = (built["group"].train()(images[:n]).logits[:1] for n in (1, 2))
    torch.testing.assert_close(alone, both, rtol=1e-3, atol=1e-4)  # images of a batch don't mix, in training either
    if backbone == "mobilenet_v2":
        acts = lambda model: [type(m.act).__name__ for m in model.modules() if hasattr(m, "act") and hasattr(m, "drop")]  # noqa: E731
        assert acts(built["null"]) == acts(built["group"])
        assert "ReLU6" in acts(built["group"])


def test_the_activation_within_a_norm_stays_in_either_direction():
    net = timm.create_model("resnetv2_50x1_bit", features_only=True)
    names, acts = list(dict(net.named_parameters())), [type(m.act).__name__ for m in net.modules() if hasattr(m, "drop")]
    assert acts.count("ReLU") > 40
    renorm(net, type="batch")
    assert not [m for m in net.modules() if isinstance(m, nn.GroupNorm)]
    assert [type(m.act).__name__ for m in net.modules() if isinstance(m, nn.BatchNorm2d)] == acts
    assert list(dict(net.named_parameters())) == names
    norm = next(m for m in net.modules() if isinstance(m, nn.BatchNorm2d) and isinstance(m.act, nn.ReLU))
    assert norm(torch.randn(2, norm.num_features, 4, 4)).min() == 0
