"""The presets of the DeepLab line hold the values of the papers and the published code, and can be built."""

import pytest
import torch

from segexp.build import checked, open_dataset
from segexp.config import complete, compose, conf_dir, make, session
from segexp.optim.optimizers import parameter_groups

RECIPES = {  # data, crop, batch, jitter, lr, weight decay, steps, backbone, output stride
    "deeplabv1_voc": ("Voc", 321, 20, (1.0, 1.0), 1e-3, 5e-4, 6000, "vgg16", 8),
    "deeplabv2_voc": ("Voc", 321, 10, (0.5, 1.5), 2.5e-4, 5e-4, 20000, "resnet101", 8),
    "deeplabv3_voc": ("Voc", 513, 16, (0.5, 2.0), 7e-3, 1e-4, 30000, "resnet101", 16),
    "deeplabv3_cityscapes": ("Cityscapes", 769, 16, (0.5, 2.0), 7e-3, 1e-4, 90000, "resnet101", 16),
    "deeplabv3plus_voc": ("Voc", 513, 16, (0.5, 2.0), 7e-3, 4e-5, 30000, "xception65", 16),
    "deeplabv3plus_cityscapes": ("Cityscapes", 769, 16, (0.5, 2.0), 7e-3, 4e-5, 90000, "xception65", 16),
    "lraspp_voc": ("Voc", 480, 32, (0.5, 2.0), 2e-2, 1e-6, -1, "mobilenet_v3_large", 16),
    "lraspp_cityscapes": ("Cityscapes", (512, 1024), 16, (0.5, 2.0), 1e-2, 5e-4, 320000, "mobilenet_v3_large", 16),
}


@pytest.fixture(scope="module")
def configs():
    with session():
        return {name: compose("train", [f"experiment={name}"]) for name in RECIPES}


@pytest.fixture(scope="module")
def models(configs):
    with session():
        return {name: checked(config, open_dataset(config).spec).model for name, config in configs.items()}


def groups(config, model):
    options = {
        key: value for key, value in config.optimizer.items() if key in parameter_groups.__kwdefaults__ or key in ("lr", "weight_decay")
    }
    found = parameter_groups(model, **{"backbone_factor": 1.0, **options})
    return {group["name"]: (group["lr"], group["weight_decay"]) for group in found}


@pytest.mark.parametrize("name", RECIPES)
def test_the_recipe(configs, name):
    c = configs[name]
    batch = c.data.loader.batch_size * c.trainer.accumulate_grad_batches
    tall, wide = c.augmentation.crop
    rate = (c.optimizer.lr, c.optimizer.weight_decay, c.trainer.max_steps)
    found = (
        c.data._target_.rpartition(".")[2],
        tall if tall == wide else (tall, wide),
        batch,
        tuple(c.augmentation.jitter),
        *rate,
        c.backbone.name,
        c.backbone.output_stride,
    )
    assert found == RECIPES[name]
    assert c.optimizer.momentum == 0.9
    assert c.trainer.max_epochs == (30 if name == "lraspp_voc" else -1)


@pytest.mark.parametrize("name", RECIPES)
def test_it_builds_on_the_meta_device(models, name):
    assert all(p.device == torch.device("meta") for p in models[name].parameters())


def test_groups_of_the_first_two(configs, models):
    assert groups(configs["deeplabv1_voc"], models["deeplabv1_voc"]) == {
        "backbone/decay": (1e-3, 5e-4),
        "backbone/bias": (2e-3, 0.0),
        "rest/decay": (1e-3, 5e-4),
        "rest/bias": (2e-3, 0.0),
        "head/decay": (1e-2, 5e-4),
        "head/bias": (2e-2, 0.0),
    }
    second = groups(configs["deeplabv2_voc"], models["deeplabv2_voc"])
    assert (second["head/decay"], second["head/bias"]) == ((pytest.approx(2.5e-3), 5e-4), (pytest.approx(5e-3), 0.0))


@pytest.mark.parametrize(
    ("name", "factors"),
    [
        ("deeplabv1_voc", {0: 1, 1999: 1, 2000: 0.1, 4000: 0.01}),
        ("deeplabv2_voc", {0: 1, 9: 1, 10: (1 - 10 / 20000) ** 0.9, 19999: (10 / 20000) ** 0.9}),
        ("deeplabv3_voc", {0: 1, 15000: 0.5**0.9}),
        ("deeplabv3_cityscapes", {0: 1, 45000: 0.5**0.9}),
    ],
)
def test_schedules(configs, name, factors):
    config = configs[name]
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = complete(make(config.scheduler, key="scheduler"), optimizer, config.trainer.max_steps)
    (factor,) = schedule.lr_lambdas
    assert {step: factor(step) for step in factors} == pytest.approx(factors)


def test_aligned_crops_are_cells(models):
    """Crops of k x 16 + 1 need no padding."""
    assert models["deeplabv3_voc"].padded((513, 513)) == (513, 513)
    assert models["deeplabv3plus_cityscapes"].padded((769, 769)) == (769, 769)


def test_headers_say_what_was_published_and_reached():
    for name in RECIPES:
        header = (conf_dir() / "experiment" / f"{name}.yaml").read_text().partition("defaults:")[0]
        assert "# Reached here: not run" in header
        assert "mIoU" in header
        assert "Not as there" in header
