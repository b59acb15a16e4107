"""The origins of a config's values are the composed config, and each has its line."""

import random
import subprocess
import sys
from pathlib import Path

import pytest

from segexp.blame import blame, choices, explain, select
from segexp.catalogue import nodes, plain
from segexp.config import compose, session
from segexp.errors import ConfigError
from segexp.overrides import options
from tests.config_tree import write_tree

CONF = Path(__file__).resolve().parents[1] / "conf"
# of each kind six values: text, numbers, null, lists, dicts, keys that are new or go away
VALUES = [
    "seed=7",
    "name='é: x'",
    "trainer.max_epochs=3",
    "optimizer.lr=1e-3",
    "trainer.gradient_clip_val=null",
    "data.loader.cache=true",
    "resume.override=[optimizer.lr,seed]",
    "trainer.limit_val_batches=[1,{a: 2}]",
    "optimizer={lr: 0.5, weight_decay: 0.0}",
    "data={loader: {workers: 3}}",
    "norm={type: group}",
    "+optimizer.extra=4",
    "+notes.deep.below=text",
    "+notes={a: 1, b: [2]}",
    "++seed=9",
    "++data.loader={batch_size: 2, later: 5}",
    "~monitor",
    "~optimizer.weight_decay",
    "~data.loader",
    "~seed",
    "monitor=${name}/x",
    "data.limit=${seed}",
    "errors={}",
    "paths.data=${oc.env:HOME,x}/y",
]
CHOICES = {
    "data": ["camvid", "voc", "shapes"],
    "optimizer": ["sgd", "adamw"],
    "scheduler": ["step", "constant"],
    "trainer": ["cpu"],
    "callbacks": ["ema"],
    "loss": ["ce_dice", "focal", "ce_lovasz"],
    "metrics": ["[semantic,boundary]", "[panoptic,semantic]", "boundary"],
    "debug": ["fast", "overfit"],
    "model": ["unet", "deeplabv3", "panoptic_deeplab", "mask_rcnn"],
    "experiment": ["camvid_lite0", "nuclei_instance", "deeplabv3_voc"],
    "task": ["panoptic", "classification"],
}


def drawn(count):
    """Override sets that compose, some sharing their group choices."""
    generator, found = random.Random(0), []
    while len(found) < count:
        chosen = [f"{group}={generator.choice(CHOICES[group])}" for group in generator.sample(sorted(CHOICES), generator.randint(0, 4))]
        for _ in range(8):
            values = generator.sample(VALUES, generator.randint(1, 5))
            cut = generator.randint(0, len(values))
            overrides = values[:cut] + chosen + values[cut:]
            try:
                config = compose("train", overrides)
            except ConfigError:
                continue
            found.append((overrides, config))
    return found[:count]


def leaves(config):
    return {key: value for key, value in nodes(plain(config)) if not (isinstance(value, dict) and value)}


def test_200_random_override_sets_are_explained_key_by_key():
    with session():
        for overrides, config in drawn(200):
            found = blame("train", overrides)
            assert {key: repr(origin.value) for key, origin in found.items()} == {k: repr(v) for k, v in leaves(config).items()}, overrides
            for origin in found.values():
                assert origin.place.override in ("", *overrides)
                assert origin.place.override or origin.place.line > 0, (overrides, origin)


@pytest.mark.parametrize("group", ["experiment", "model", "debug"])
def test_every_leaf_of_every_shipped_preset_has_a_line_that_names_it(group):
    with session():
        for option in options(group):
            found, chosen = explain("train", [f"{group}={option}"])
            for key, origin in found.items():
                line = origin.place.file.read_text().splitlines()[origin.place.line - 1]
                assert key.rpartition(".")[2] in line or origin.value == {}, (option, key, str(origin.place))
            for name, origin in chosen.items():
                if not origin.place.override:
                    line = origin.place.file.read_text().splitlines()[origin.place.line - 1]
                    assert name.partition("@")[0] in line and name.rpartition(".")[2] in line, (option, name, str(origin.place))


def test_the_whole_chain_of_a_key():
    found = blame("train", ["experiment=camvid_lite0", "optimizer.lr=3"])["optimizer.lr"]
    assert found.value == 3 and str(found.place) == "override optimizer.lr=3"
    assert [(setting.value, setting.place.name, setting.group) for setting in found.replaced] == [
        (2e-3, "experiment/camvid_lite0", "experiment"),
        (3e-3, "optimizer/adamw", "optimizer"),
    ]
    assert all("lr: " in setting.place.file.read_text().splitlines()[setting.place.line - 1] for setting in found.replaced)


def test_who_chose_an_option():
    found = choices("train", ["experiment=camvid_lite0", "debug=fast"])
    assert [(one.value, one.place.name, bool(one.place.override)) for one in found["decoder"].settings] == [
        ("deeplabv3plus", "model/deeplabv3plus", False),
        ("deeplabv3plus_light", "task/semantic", False),
        ("deeplabv3plus_light", "train", False),
    ]
    assert str(found["debug"].place) == "override debug=fast" and found["debug"].replaced[0].value == "none"
    assert found["metrics"].value == "semantic" and found["metrics"].place.name == "task/semantic"
    both = choices("train", ["metrics=[panoptic,semantic]"])["metrics"]
    assert both.value == "[panoptic, semantic]" and both.place.override == "metrics=[panoptic,semantic]"


def test_an_option_that_builds_on_another_blames_the_file_that_says_it():
    found = blame("train", ["backbone=efficientnet_lite0_in1k"])
    weights, stride = found["backbone.weights"], found["backbone.output_stride"]
    assert weights.place.name == "backbone/efficientnet_lite0_in1k" and weights.replaced[0].place.name == "backbone/efficientnet_lite0"
    assert stride.place.name == "backbone/efficientnet_lite0" and stride.settings[0].group == "backbone"
    assert weights.refers == ("paths.weights",) and found["paths.weights"].refers == ("paths.data",)


def test_sections_and_values_that_replace_each_other(tmp_path):
    conf = write_tree(tmp_path / "conf")
    (conf / "head" / "odd.yaml").write_text("x: &all\n  a: 1\ny:\n  <<: *all\n  b: 2\nz: null\n")
    (conf / "experiment" / "odd.yaml").write_text(
        "# @package _global_\ndefaults:\n  - override /head: odd\n  - _self_\nhead:\n  x: 3\n  z:\n    deep: [1]\n"
    )
    found = blame("train", ["experiment=odd", "head.y.b=5"], conf=conf)
    assert [(s.value, s.place.line) for s in found["head.x"].settings] == [(3, 6), ({"a": 1}, 2)]
    assert [(s.value, s.place.line) for s in found["head.z.deep"].settings] == [([1], 8), (None, 6)]
    assert [(s.value, s.place.line) for s in found["head.y.a"].settings] == [(1, 2)]  # what the anchor holds stands there
    assert [s.value for s in found["head.y.b"].settings] == [5, 2]


def test_a_folder_of_ones_own(tmp_path):
    (tmp_path / "mine" / "optimizer").mkdir(parents=True)
    (tmp_path / "mine" / "experiment").mkdir()
    (tmp_path / "mine" / "optimizer" / "slow.yaml").write_text("defaults: [adamw]\nlr: 1e-6\n")
    (tmp_path / "mine" / "experiment" / "own.yaml").write_text(
        "# @package _global_\ndefaults:\n  - override /optimizer: slow\n  - _self_\nseed: 5\n"
    )
    found, chosen = explain("train", [f"hydra.searchpath=[file://{tmp_path}/mine]", "experiment=own"])
    assert found["optimizer.lr"].place.file == tmp_path / "mine/optimizer/slow.yaml" and found["optimizer.lr"].place.line == 2
    assert found["optimizer.lr"].replaced[0].place.file == CONF / "optimizer/adamw.yaml"
    assert (found["seed"].place.file, found["seed"].place.line) == (tmp_path / "mine/experiment/own.yaml", 5)
    assert chosen["optimizer"].place.file == tmp_path / "mine/experiment/own.yaml" and chosen["optimizer"].place.line == 3


def test_an_installed_package(monkeypatch):
    installed = Path(__file__).parent / "plugins" / "installed"
    monkeypatch.syspath_prepend(installed)
    found = blame("train", ["backbone=mylab_tiny"])
    assert found["backbone._target_"].place.file == installed / "mylab/conf/backbone/mylab_tiny.yaml"


def test_sections_are_selected_and_slips_are_told():
    found, chosen = explain("train", ["metrics=[panoptic,semantic]"])
    below, groups = select(found, chosen, "optimizer")
    assert set(groups) == {"optimizer"} and all(key.startswith("optimizer.") for key in below) and "optimizer.lr" in below
    assert list(select(found, chosen, "optimizer.betas[1]")[0]) == ["optimizer.betas"]
    assert select(found, chosen, "experiment")[1]["experiment"].value == "none"
    for slip, fix in {"optimizr.lr": "did you mean optimizer.lr", "batch_size": "did you mean data.loader.batch_size"}.items():
        with pytest.raises(ConfigError) as caught:
            select(found, chosen, slip)
        assert caught.value.what == f"there is no key {slip}" and caught.value.fix.startswith(fix)


def test_overrides_are_checked_as_everywhere():
    with pytest.raises(ConfigError, match="did you mean backbone=resnet50"):
        blame("train", ["backbone=resnet5"])
    with pytest.raises(ConfigError, match=r"one config has one value of each key; seed=1,2; fix: choose one value of each"):
        blame("train", ["seed=1,2"])


def test_torch_is_not_needed():
    code = "import sys; from segexp.blame import blame; blame('train', ['model=unet']); assert 'torch' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0
