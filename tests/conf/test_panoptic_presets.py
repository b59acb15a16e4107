"""The presets of panoptic models hold the values of the published recipes, and can be built."""

import pytest
import torch

from segexp.build import checked, open_dataset
from segexp.config import compose, session
from segexp.errors import WiringError

RECIPES = {  # data, crop, batch, jitter, lr, steps, warm-up; window around a centre, stuff area, output stride
    "panoptic_deeplab_cityscapes": ("Cityscapes", (1025, 2049), 32, (0.5, 2.0), 2.5e-4, 60000, 0, 13, 2048, 32),
    "panoptic_deeplab_coco": ("Coco", (641, 641), 64, (0.5, 1.5), 5e-4, 200000, 2000, 41, 4096, 32),
}


@pytest.mark.parametrize("name", RECIPES)
def test_the_recipe(name):
    with session():
        c = compose("train", [f"experiment={name}"])
        model = checked(c, open_dataset(c).spec).model
    found = (
        c.data._target_.rpartition(".")[2],
        tuple(c.augmentation.crop),
        c.data.loader.batch_size,
        tuple(c.augmentation.jitter),
        c.optimizer.lr,
        c.trainer.max_steps,
        c.scheduler.warmup,
        c.postprocess.nms_kernel,
        c.postprocess.stuff_area,
        c.backbone.output_stride,
    )
    assert found == RECIPES[name]
    assert (c.optimizer.weight_decay, c.scheduler.power, c.loss.fraction, c.loss.sigma, c.postprocess.top_k) == (0, 0.9, 0.2, 8, 400)
    assert (c.monitor, list(c.metrics)) == ("val/pq", ["panoptic"])
    assert all(p.device == torch.device("meta") for p in model.parameters())
    assert model.padded((1025, 2049)) == (1025, 2049)


@pytest.mark.parametrize(
    ("given", "metrics", "monitor"),
    [
        (["model=panoptic_deeplab"], ["panoptic"], "val/pq"),
        (["model=panoptic_deeplab", "metrics=[panoptic,semantic,instance]"], ["panoptic", "semantic", "instance"], "val/pq"),
        (["task=panoptic"], ["panoptic"], "val/pq"),
        (["model=panoptic_deeplab", "task=semantic"], ["semantic"], "val/miou"),
        (["model=panoptic_deeplab", "backbone=mobilenet_v2", "loss.sigma=3"], ["panoptic"], "val/pq"),
    ],
)
def test_words_compose(given, metrics, monitor):
    c = compose("train", given)
    assert (list(c.metrics), c.monitor) == (metrics, monitor)
    assert c.head._target_.endswith("CenterOffsetHead")
    assert checked(c, open_dataset(c).spec)


@pytest.mark.parametrize("data", ["cityscapes", "coco"])
def test_a_data_set_read_without_segments_is_refused_with_the_annotation_that_has_them(data):
    config = compose("train", ["model=panoptic_deeplab", "backbone=resnet18", f"data={data}", "data.annotation=semantic"])
    with pytest.raises(WiringError) as caught:
        checked(config, open_dataset(config).spec)
    assert "metrics=panoptic needs segments" in caught.value.what
    assert caught.value.fix == "what fits here: data.annotation=panoptic"


@pytest.mark.parametrize("layout", ["null", "branches"])
def test_an_hrnet_takes_multiples_of_its_stride_alone(layout):
    net = ["backbone=timm", "backbone.name=hrnet_w18_small", "backbone.output_stride=32", f"backbone.layout={layout}"]
    config = compose("train", ["model=panoptic_deeplab", *net, "head.align_corners=true", "data=shapes"])
    with pytest.raises(WiringError) as caught:
        checked(config, open_dataset(config).spec)
    assert caught.value.what == "hrnet_w18_small can't take an image of 65x97: its sides are multiples of 32"
    assert caught.value.where == "head.align_corners=true"
    assert caught.value.fix.startswith("head.align_corners=false, or a backbone")
