"""Weights by name: what is missing, left over, of another shape, on other channels."""

import pytest
import torch
from torch import nn

from segexp.backbones.pretrained import fetched, fill, per_channel, require_name
from segexp.errors import ConfigError, WeightsError


def net(channels=3):
    return nn.Sequential(nn.Conv2d(channels, 2, 1), nn.BatchNorm2d(2))


def put(target, state):
    return fill(target, state, name="net", library="lib", source="w.pth")


def test_all_goes_in_and_the_rest_is_named():
    given, target = net(), net()
    state = given.half().state_dict() | {"fc.weight": torch.zeros(1)}
    assert put(target, state) == ["fc.weight"]
    assert torch.equal(target[0].weight, given[0].weight.float())


def test_counts_of_batches_may_be_missing_and_nothing_else():
    state = net().state_dict()
    del state["1.num_batches_tracked"]
    assert put(net(), state) == []
    del state["1.bias"]
    with pytest.raises(WeightsError, match=r"1 of 7 weights of net are not in the file, first 1.bias; w.pth; fix: give weights of lib's"):
        put(net(), state)


def test_another_shape_is_refused():
    with pytest.raises(WeightsError, match=r"0.bias has shape \(3,\), the network wants \(2,\); w.pth"):
        put(net(), net().state_dict() | {"0.bias": torch.zeros(3)})


def test_colours_for_one_channel_are_summed_and_for_more_repeated_at_the_same_scale():
    state = net().state_dict() | {"0.weight": torch.tensor([1.0, 2.0, 6.0]).view(1, 3, 1, 1).expand(2, 3, 1, 1)}
    grey, many = net(1), net(4)
    put(grey, state)
    put(many, state)
    assert grey[0].weight[0].flatten().tolist() == [9.0]
    assert many[0].weight[0].flatten().tolist() == [0.75, 1.5, 4.5, 0.75]


def test_means_of_other_channels_are_the_colours_mean():
    assert per_channel((0.1, 0.2, 0.6), 3) == (0.1, 0.2, 0.6)
    assert per_channel((0.1, 0.2, 0.6), 2) == pytest.approx((0.3, 0.3))


def test_names_near_a_misspelt_one_are_given():
    with pytest.raises(ConfigError, match=r"lib has no network 'resnet19'; backbone.name; fix: did you mean resnet18; or elsewhere"):
        require_name("resnet19", ["resnet18", "vgg"], library="lib", also="or elsewhere")
    with pytest.raises(ConfigError, match=r"fix: see lib's list$"):
        require_name("qqqq", ["resnet18"], library="lib")


def test_a_failed_download_is_one_line():
    def fail():
        raise OSError("no network\nand more")

    with pytest.raises(WeightsError, match=r"no pretrained weights of net from the hub: no network; backbone.weights=hub; fix: connect"):
        fetched("net", fail)


class Stages(nn.Module):
    """A network of two stages, of which a file may have more or deeper ones."""

    def __init__(self, depth=1, norm=nn.BatchNorm2d):
        super().__init__()
        self.stem = nn.Conv2d(3, 2, 1)
        self.layer1 = nn.Sequential(*(nn.Sequential(nn.Conv2d(2, 2, 1, bias=False), norm(2)) for _ in range(depth)))


def test_weights_of_a_deeper_network_are_refused():
    what = r"^10 weights are of parts that net has, but not of net \(first layer1\.1\.0\.weight, layer1\.1\.1\.bias\); w\.pth; fix: give "
    target, state = Stages(), Stages(3).state_dict()
    with pytest.raises(WeightsError, match=what):
        put(target, state)
    with pytest.raises(WeightsError, match="10 weights are of parts"):
        fill(target, state, name="net", library="lib", source="w.pth", alias=lambda name: name.replace(".", "_"))


def test_parts_beyond_the_last_level_may_be_left_over():
    more = {"layer2.0.0.weight": torch.zeros(1), "stem_norm.weight": torch.zeros(1), "layer1.0.2.num_batches_tracked": torch.zeros(1)}
    assert put(Stages(), Stages().state_dict() | more) == sorted(more)
    inner = {f"features.{name}": value for name, value in (Stages().state_dict() | more).items()}
    target = nn.ModuleDict({"features": Stages()})  # as torchvision's MobileNets: all parts within one
    assert put(target, inner) == sorted(f"features.{name}" for name in more)
    with pytest.raises(WeightsError, match=r"first features\.layer1\.1\.0\.weight"):
        put(target, inner | {"features.layer1.1.0.weight": torch.zeros(1)})


def test_weights_trained_with_batch_norm_need_its_statistics():
    groups = Stages(norm=lambda channels: nn.GroupNorm(1, channels))
    before = {name: value.clone() for name, value in groups.state_dict().items()}
    what = r"layer1\.0\.1\.running_mean is left over: the weights were trained with BatchNorm.*; w\.pth; fix: norm\.type=null, or train"
    with pytest.raises(WeightsError, match=what):
        put(groups, Stages().state_dict())
    assert all(torch.equal(before[name], value) for name, value in groups.state_dict().items())


@pytest.mark.parametrize("value", [float("nan"), float("-inf")])
def test_values_that_are_not_finite_are_refused(value):
    state = net().state_dict()
    state["1.bias"] = torch.tensor([0.0, value])
    with pytest.raises(WeightsError, match=r"^1\.bias has values that are NaN or infinite; w\.pth"):
        put(net(), state)
