"""Levels, strides, weights and refusals of timm's networks."""

import pytest
import timm
import torch
import torchvision

from segexp.backbones.timm_cnn import TimmCNN
from segexp.errors import ConfigError, WeightsError
from segexp.types import ClassInfo, DataSpec

RGB = DataSpec((ClassInfo("a"),), frozenset({"semantic"}))
GREY = DataSpec((ClassInfo("a"),), frozenset({"semantic"}), in_channels=1)


@pytest.mark.parametrize("name", ["resnet10t", "mobilenetv2_050", "tf_efficientnet_lite0", "convnext_atto"])
@pytest.mark.parametrize("stride", [8, 16, 32])
def test_levels_are_what_the_spec_says(name, stride):
    net = TimmCNN(RGB, name=name, output_stride=stride).eval()
    assert max(level.stride for level in net.spec.values()) == stride == net.pad_to
    assert list(net.spec)[-1] == "c5"
    out = net(torch.zeros(1, 3, 64, 96))
    for level, (channels, s) in net.spec.items():
        assert out[level].shape == (1, channels, 64 // s, 96 // s)


def test_output_stride_16_keeps_names_by_depth():
    spec = TimmCNN(RGB, name="resnet10t", output_stride=16).spec
    assert (spec["c4"].stride, spec["c5"].stride) == (16, 16)


def test_the_first_block_of_a_dilated_stage_keeps_the_previous_dilation():
    net = TimmCNN(RGB, name="resnet18", output_stride=8).net
    assert [block.conv1.dilation[0] for block in net.layer3] == [1, 2]
    assert [block.conv1.dilation[0] for block in net.layer4] == [2, 4]


def test_weights_go_in_by_name_and_only_the_classifier_is_left_over():
    net, whole = TimmCNN(RGB, name="convnext_atto"), timm.create_model("convnext_atto")
    left = net.load(whole.half().state_dict(), "a file")
    assert left == ["head.fc.bias", "head.fc.weight", "head.norm.bias", "head.norm.weight"]
    assert torch.equal(net.net.stem_0.weight, whole.stem[0].weight.float())
    assert net.net.stem_0.weight.dtype == torch.float32


def test_rgb_weights_fit_other_channel_counts():
    whole = timm.create_model("resnet10t")
    net = TimmCNN(GREY, name="resnet10t")
    net.load(whole.state_dict(), "a file")
    assert net.net.conv1[0].weight.shape[1] == 1
    assert torch.allclose(net.net.conv1[0].weight[:, 0], whole.conv1[0].weight.sum(1), atol=1e-6)
    assert len(net.mean) == 1
    assert net.mean[0] == pytest.approx(sum(TimmCNN(RGB, name="resnet10t").mean) / 3)


def test_weights_of_another_network_are_refused():
    state = timm.create_model("resnet10t").state_dict()
    with pytest.raises(
        WeightsError,
        match=r"of \d+ weights of resnet18 are not in the file, first \S+; w.safetensors; fix: give weights of timm's resnet18",
    ):
        TimmCNN(RGB, name="resnet18").load(state, "w.safetensors")
    state["layer1.0.conv1.weight"] = torch.zeros(1, 1, 3, 3)
    with pytest.raises(WeightsError, match=r"layer1.0.conv1.weight has shape \(1, 1, 3, 3\), the network wants"):
        TimmCNN(RGB, name="resnet10t").load(state, "w.safetensors")


def test_refusals_say_what_would_do():
    with pytest.raises(ConfigError, match=r"timm has no network 'resnet19'; backbone\.name; fix: did you mean resnet18"):
        TimmCNN(RGB, name="resnet19")
    with pytest.raises(ConfigError, match=r"output stride 12; backbone.output_stride; fix: backbone\.output_stride=8\|16\|32"):
        TimmCNN(RGB, name="resnet18", output_stride=12)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("hrnet_w18_small", "something other than a convolution sets a stride"),
        ("swin_tiny_patch4_window7_224", "takes no image of any size"),
        ("edgenext_xx_small", "attention over tokens has no dilation"),
    ],
)
def test_where_no_convolution_sets_the_stride_an_output_stride_is_refused(name, why):
    with torch.device("meta"):
        with pytest.raises(
            ConfigError, match=rf"{name} can't .*{why}.*; backbone.output_stride; fix: backbone.output_stride=32, or .*resnet50"
        ):
            TimmCNN(RGB, name=name, output_stride=16)
        TimmCNN(RGB, name=name, output_stride=32)


@pytest.mark.parametrize("name", ["vgg11_bn", "densenet121", "dla34", "regnetz_b16", "mixnet_s", "repvgg_a0", "res2net50_26w_4s"])
def test_any_convolutional_network_can_be_dilated(name):
    with torch.device("meta"):
        net = TimmCNN(RGB, name=name, output_stride=8).eval()
        assert net(torch.zeros(1, 3, 64, 96))["c5"].shape[-2:] == (8, 12)


def whole_resnet(stride):
    torch.manual_seed(0)
    return torchvision.models.resnet50(replace_stride_with_dilation=[False, stride < 16, stride < 32]).eval()


@pytest.mark.parametrize("stride", [8, 16])
def test_the_previous_dilation_is_torchvisions(stride):
    theirs, ours = whole_resnet(stride), TimmCNN(RGB, name="resnet50", output_stride=stride).eval()
    ours.load(theirs.state_dict(), "a file")
    image = torch.randn(1, 3, 65, 97)
    with torch.no_grad():
        x = theirs.maxpool(theirs.relu(theirs.bn1(theirs.conv1(image))))
        assert torch.equal(ours(image)["c5"], theirs.layer4(theirs.layer3(theirs.layer2(theirs.layer1(x)))))


def dilations(net):
    return [block.conv2.dilation[0] for block in (*net.net.layer3, *net.net.layer4)]


def test_dilation_of_the_first_block_and_multi_grid():
    with torch.device("meta"):
        assert dilations(TimmCNN(RGB, name="resnet50", output_stride=8)) == [1, 2, 2, 2, 2, 2, 2, 4, 4]
        full = {"name": "resnet50", "first_block_dilation": "full"}
        assert dilations(TimmCNN(RGB, output_stride=8, **full)) == [2, 2, 2, 2, 2, 2, 4, 4, 4]
        assert dilations(TimmCNN(RGB, output_stride=16, multi_grid=[1, 2, 4], **full)) == [1, 1, 1, 1, 1, 1, 2, 4, 8]
        assert dilations(TimmCNN(RGB, name="resnet50", output_stride=32, multi_grid=[1, 2, 4])) == [1, 1, 1, 1, 1, 1, 1, 2, 4]


def test_a_grid_of_another_length_is_refused():
    with torch.device("meta"):
        for name, blocks in {"resnet18": 2, "convnext_atto": 2, "mobilenetv2_100": 4, "regnety_002": 7}.items():
            what = rf"the last stage of {name} has {blocks} blocks, not 3; backbone.multi_grid=\[1, 2, 4\]; fix: backbone.multi_grid=\[1,1"
            with pytest.raises(ConfigError, match=what):
                TimmCNN(RGB, name=name, multi_grid=[1, 2, 4])
        with pytest.raises(ConfigError, match=r"whole numbers from 1 on; backbone.multi_grid=\[0, 1.5\]"):
            TimmCNN(RGB, name="resnet18", multi_grid=[0, 1.5])


def test_stems_have_the_published_parameters():
    with torch.device("meta"):
        beta, v1c = (TimmCNN(RGB, name="resnet50", stem=stem).net for stem in ("beta", "v1c"))
        assert sum(p.numel() for p in beta.parameters()) == 23_631_808
        assert [beta.conv1[i].out_channels for i in (0, 3, 6)] == [64, 64, 128]
        assert [v1c.conv1[i].out_channels for i in (0, 3, 6)] == [32, 32, 64]
        plain = TimmCNN(RGB, name="resnet50", stem="7x7", layout="v1.5").net
        assert plain.conv1.kernel_size == (7, 7)
        assert [plain.layer2[0].conv1.stride, plain.layer2[0].conv2.stride] == [(1, 1), (2, 2)]


def test_the_caffe_layout_strides_in_the_first_convolution():
    with torch.device("meta"):
        net = TimmCNN(RGB, name="resnet101", layout="caffe", output_stride=8).eval()
        assert sum(p.numel() for p in net.parameters()) == 42_500_160
        assert [net.net.layer2[0].conv1.stride, net.net.layer2[0].conv2.stride] == [(2, 2), (1, 1)]
        assert dilations(net)[22:] == [2, 4, 4, 4]  # the stride comes before the 3x3, which is in the stage already
        for height, width in ((65, 97), (64, 96)):
            assert net(torch.zeros(1, 3, height, width))["c5"].shape[-2:] == (-(-height // 8), -(-width // 8))


def test_stem_and_layout_are_for_resnets():
    with torch.device("meta"):
        with pytest.raises(ConfigError, match=r"mobilenetv2_100 is no ResNet of timm; backbone.stem=beta; fix: backbone.stem=null, or"):
            TimmCNN(RGB, name="mobilenetv2_100", stem="beta")
        with pytest.raises(ConfigError, match=r"no such stem; backbone.stem=v9; fix: backbone.stem=7x7\|v1c\|beta"):
            TimmCNN(RGB, name="resnet18", stem="v9")
        with pytest.raises(ConfigError, match=r"no such layout; backbone.layout=v9; fix: backbone.layout=v1.5\|caffe"):
            TimmCNN(RGB, name="resnet18", layout="v9")


@pytest.mark.parametrize(("name", "parameters"), [("xception41", 24_920_560), ("xception65", 37_867_312)])
def test_aligned_xception_is_the_published_one(name, parameters):
    with torch.device("meta"):
        net = TimmCNN(RGB, name=name)
    assert sum(p.numel() for p in net.parameters()) == parameters
    assert (net.spec["c2"].channels, net.spec["c2"].stride) == (256, 4)
    assert {module.eps for module in net.modules() if isinstance(module, torch.nn.BatchNorm2d)} == {1e-3}


def test_the_hub_without_network_fails_in_one_line(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(
        WeightsError, match=r"no pretrained weights of resnet10t from the hub: .*; backbone.weights=hub; fix: connect"
    ) as caught:
        TimmCNN(RGB, name="resnet10t").hub_state()
    assert "\n" not in str(caught.value)


def test_a_block_that_pads_first_has_the_bias_of_its_expansion_at_the_border():
    torch.manual_seed(0)
    net = TimmCNN(RGB, name="mobilenetv2_100", layout="pad_first").eval()
    assert list(net.spec) == ["c2", "c3", "c4", "c5"]  # cells of c1 begin a pixel later
    block = net.net.blocks[1][0]
    block.bn1.bias.data.fill_(1.0)
    seen = []
    block.conv_dw.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        levels = net(torch.rand(1, 3, 64, 96))
    assert torch.allclose(seen[0][:, :, 0], torch.ones(1, 96, 1), atol=1e-6)
    assert {name: x.shape[-2:] for name, x in levels.items()} == {"c2": (16, 24), "c3": (8, 12), "c4": (4, 6), "c5": (4, 6)}


def test_levels_tapped_first_are_those_before_the_relu():
    torch.manual_seed(0)
    nets = [TimmCNN(RGB, name="xception41", layout=layout).eval() for layout in (None, "tap_first")]
    nets[1].load_state_dict(nets[0].state_dict())
    images = torch.rand(1, 3, 64, 96)
    with torch.no_grad():
        after, before = (net(images) for net in nets)
    assert (before["c2"] < 0).any()
    assert before["c4"].shape == (1, 728, 4, 6)  # of the middle blocks, not of the last but one: 1024 channels
    for name in ("c1", "c2", "c3"):
        assert torch.equal(before[name].relu(), after[name])
    assert torch.equal(before["c5"], after["c5"])


def test_a_stride_that_lies_in_a_blur_is_not_moved():
    with torch.device("meta"):
        with pytest.raises(
            ConfigError, match=r"blocks lies in BlurPool2d, .*; backbone.layout=caffe; fix: backbone.layout=null, or backbone=res"
        ):
            TimmCNN(RGB, name="resnetblur50", layout="caffe")
        TimmCNN(RGB, name="resnetblur50", output_stride=32)
