"""The conformance card: levels, rates, reaches, counts, and the published model that a network equals."""

import pytest

from segexp.build import checked, open_dataset
from segexp.card import card, published
from segexp.config import compose

TV = ["model=deeplabv3", "backbone=resnet50", "backbone.output_stride=8"]


def of(*overrides):
    config = compose("train", ["data=voc", *overrides])
    spec = open_dataset(config).spec
    return card(checked(config, spec).model, spec, (129, 129))


def test_it_tells_levels_rates_and_reach():
    facts = of("model=deeplabv3", "backbone=resnet50", "backbone.output_stride=8")
    assert [(row.stage, row.level, row.channels, row.stride) for row in facts.rows] == [
        *(("backbone", f"c{i + 1}", c, s) for i, (c, s) in enumerate([(64, 2), (256, 4), (512, 8), (1024, 8), (2048, 8)])),
        ("decoder", "semantic", 256, 8),
        ("head", "logits", 21, 8),
    ]
    assert facts.rates == {"backbone": (1, 2, 4), "decoder": (1, 12, 24, 36), "head": ()}
    # 427 px of ResNet-50; the branch of rate 36 adds 2 x 36 cells of 8 px, the 3x3 convolution after it 2 cells
    assert facts.rows[-1].reach[:2] == (427 + 2 * 36 * 8 + 2 * 8, True)
    assert facts.total == 39_638_869 == sum(facts.parameters.values())


def test_dilation_leaves_the_reach_of_the_backbone():
    reaches = [of("backbone=resnet18", "decoder.low=c2", f"backbone.output_stride={stride}").sees("backbone") for stride in (8, 16, 32)]
    assert len(set(reaches)) == 1 and reaches[0].endswith("c5 435 px")


@pytest.mark.parametrize(
    ("overrides", "pixels"),
    [
        (["model=deeplabv1"], 435),  # 227 px of VGG-16 whose pools are 3x3; 2 cells of 8 px for the mean, 2 x 12 for the rate 12
        (["model=deeplabv3", "backbone=resnet18"], 435 + (2 * 36 + 2) * 8),
        (["model=deeplabv3", "backbone=resnet18", "head.align_corners=true"], 435 + (2 * 36 + 2) * 8),
        (["decoder=identity", "head.level=c5", "backbone=resnet50", "backbone.layout=caffe"], 483),  # Araujo et al., 2019
        (["decoder=identity", "head.level=c5", "backbone=timm", "backbone.name=tf_efficientnet_b0"], 851),
    ],
)
def test_reaches_do_not_depend_on_how_sizes_are_rounded(overrides, pixels):
    assert of(*overrides).rows[-1].reach.pixels == pixels


@pytest.mark.parametrize(
    ("overrides", "names"),
    [
        (TV, ["tv.deeplabv3_resnet50"]),
        ([*TV, "decoder.dropout=0.3", "data=camvid"], ["tv.deeplabv3_resnet50"]),
        ([*TV, "decoder.rates=[12,24,36]"], ["tv.deeplabv3_resnet50"]),
        ([*TV, "data=isbi2012"], []),
        ([*TV, "decoder.rates=[1,2]"], []),
        ([*TV, "backbone.multi_grid=[1,2,4]"], []),
        (["model=unet"], []),
    ],
)
def test_it_names_the_published_model(overrides, names):
    config = compose("train", overrides)
    assert [row.name for row in published(config, open_dataset(config).spec)] == names
