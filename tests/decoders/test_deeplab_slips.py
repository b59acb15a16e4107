"""Values of the DeepLab line's keys that make no sense: each refused with the key and what fits."""

import pytest

from segexp.build import checked, open_dataset
from segexp.config import compose
from segexp.errors import ConfigError


@pytest.mark.parametrize(
    ("overrides", "where", "fix"),
    [
        (["decoder.rates=6"], "decoder.rates=6", "decoder.rates=[6,12,18]"),
        (["decoder.rates=[]"], "decoder.rates=[]", "decoder.rates=[6,12,18]"),
        (["decoder.rates=[a]"], "decoder.rates=[a]", "decoder.rates=[6,12,18]"),
        (["decoder.separable=[1]"], "decoder.separable", "two_norms"),
        (["decoder.fuse_convs=-1"], "decoder.fuse_convs", "decoder.fuse_convs=2"),
        (["decoder.fuse_kernel=4"], "decoder.fuse_kernel=4", "decoder.fuse_kernel=3|5"),
        (["decoder.low=[c3,c2]", "decoder.low_width=[64]"], "decoder.low=[c3,c2], decoder.low_width=[64]", "two lists of one length"),
        (["decoder.low=[c2,c3]"], "decoder.low=[c2,c3]", "decoder.low=[c3,c2]"),
        (["decoder.low=[c3,c3]"], "decoder.low=[c3,c3]", "decoder.low=[c3], and as many widths in decoder.low_width"),
        (["decoder.low=[c9,c2]", "decoder.low_width=[1]"], "it is given c1, c2", "decoder.low="),  # not of the widths
        (["decoder.aspp_separable=foo"], "decoder.aspp_separable=foo", "decoder.aspp_separable=false|true|two_norms"),
        (["decoder.width=0"], "decoder.width=0", "decoder.width=256"),
        (["decoder.aspp_width=0"], "decoder.aspp_width=0", "decoder.aspp_width=256"),
        (["model=deeplabv3", "decoder.width=0"], "decoder.width=0", "decoder.width=256"),
        (["backbone.layout=[caffe]"], "backbone.layout=['caffe']", "backbone.layout=v1.5|caffe"),
        (["backbone.stem=[beta]"], "backbone.stem=['beta']", "backbone.stem=7x7|v1c|beta"),
        (["decoder.low_width=wide"], "decoder.low=c2, decoder.low_width=wide", "decoder.low_width=48"),
        (["backbone.layout=pad_first"], "backbone.layout=pad_first", "backbone=mobilenet_v2"),
        (["backbone.layout=tap_first"], "backbone.layout=tap_first", "backbone=xception65"),
        (["backbone.multi_grid=2"], "backbone.multi_grid=2", "backbone.multi_grid=[1,2,4]"),
        (["backbone.multi_grid=[1,2]"], "backbone.multi_grid=[1, 2]", "one for each"),
        (["backbone.stem=deep"], "backbone.stem=deep", "backbone.stem=7x7|v1c|beta"),
        (["backbone.layout=v2"], "backbone.layout=v2", "backbone.layout="),
        (["backbone.first_block_dilation=half"], "backbone.first_block_dilation=half", "backbone.first_block_dilation=previous|full"),
        (["backbone.output_stride=12"], "backbone.output_stride", "backbone.output_stride=8|16|32"),
        (["fusion=multi_scale_max", "loss=auxiliary", "fusion.scales=1"], "fusion.scales=1", "fusion.scales=[1.0,0.75,0.5]"),
        (["fusion=multi_scale_max", "loss=auxiliary", "fusion.scales=[1,a]"], "fusion.scales", "fusion.scales=[1.0,0.75,0.5]"),
    ],
)
def test_slips_name_the_key_and_what_fits(overrides, where, fix):
    config = compose("train", ["model=deeplabv3plus", "backbone=resnet50", *overrides])
    with pytest.raises(ConfigError) as error:
        checked(config, open_dataset(config).spec)
    assert error.value.where.startswith(where) and fix in error.value.fix
