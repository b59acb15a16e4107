"""A user's package joins by an entry point: options in any group, no fork, nothing imported to find them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from segexp.build import stages
from segexp.config import complete, compose, make, plugin_folders, session
from segexp.errors import ConfigError, WiringError
from segexp.functional.keys import generator
from segexp.overrides import check_overrides, describe_option, options
from segexp.probe import example
from segexp.types import Batch, SemanticLogits, Targets

INSTALLED = Path(__file__).resolve().parent / "installed"
ROOT = Path(__file__).resolve().parents[2]
CHOICES = ["backbone=mylab_tiny", "loss=mylab_l1", "data=mylab_dots"]


@pytest.fixture
def mylab(monkeypatch):
    monkeypatch.syspath_prepend(INSTALLED)
    yield
    for name in [name for name in sys.modules if name.split(".")[0] == "mylab"]:
        del sys.modules[name]


def python(*arguments: str, cwd: Path, **env: str) -> subprocess.CompletedProcess:
    paths = os.pathsep.join([str(INSTALLED), str(ROOT)])
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", **env}
    return subprocess.run([sys.executable, *arguments], cwd=cwd, env=environment, capture_output=True, text=True, check=False)


# ------------------------------------------------------------------------------------------------- composing


def test_without_the_package_its_options_are_not_there():
    assert "mylab_tiny" not in options("backbone")
    with pytest.raises(ConfigError, match=r"the group backbone has no option 'mylab_tiny'"):
        compose("train", ["backbone=mylab_tiny"])


def test_its_options_compose_and_are_listed(mylab):
    assert plugin_folders() == (("mylab", INSTALLED / "mylab" / "conf"),)
    found = compose("train", [*CHOICES, "backbone.width=4"])
    assert found.backbone._target_ == "mylab.backbone.Tiny" and found.backbone.width == 4
    assert found.data.size == 64 and found.data.loader.batch_size > 0
    assert found.loss._target_.startswith("mylab.")
    assert "mylab_tiny" in options("backbone")
    assert describe_option("data", "mylab_dots") == "Bright discs on a dark ground"


def test_slips_in_its_options_are_told(mylab):
    with session():
        with pytest.raises(ConfigError, match=r"did you mean backbone=mylab_tiny"):
            check_overrides("train", ["backbone=mylab_tny"])
        with pytest.raises(ConfigError, match=r"there is no key backbone.widht; .*did you mean backbone.width"):
            check_overrides("train", ["backbone=mylab_tiny", "backbone.widht=3"])


def test_nothing_of_it_is_imported_to_compose(tmp_path):
    code = "from segexp.config import compose; print(compose('train', ['backbone=mylab_tiny']).backbone.width)"
    done = python("-c", code, cwd=tmp_path, MYLAB_REFUSES_IMPORT="1")
    assert (done.returncode, done.stdout) == (0, "8\n"), done.stderr


def test_other_hydra_programs_see_nothing_of_it(mylab, tmp_path):
    from hydra import initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra

    compose("train", CHOICES)
    (tmp_path / "main.yaml").write_text("a: 1\n")
    with initialize_config_dir(str(tmp_path), version_base="1.3"):
        assert "backbone" not in GlobalHydra.instance().config_loader().list_groups("")


def test_it_joins_beside_the_users_search_path(mylab, tmp_path):
    (tmp_path / "backbone").mkdir()
    (tmp_path / "backbone" / "mine.yaml").write_text("_target_: mylab.backbone.Tiny\n_partial_: true\nwidth: 3\n")
    search = f"hydra.searchpath=[file://{tmp_path}]"
    assert compose("train", [search, "backbone=mine", "data=mylab_dots"]).backbone.width == 3


def broken(folder: Path, value: str) -> None:
    info = folder / "otherlab-2.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: otherlab\nVersion: 2.1\n")
    (info / "entry_points.txt").write_text(f"[segexp.conf]\nother = {value}\n")


@pytest.mark.parametrize("value", ["otherlab.conf", "otherlab", "os.conf", "sys", "otherlab.conf:groups"])
def test_a_broken_entry_point_names_its_distribution(tmp_path, monkeypatch, value):
    broken(tmp_path, value)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError) as caught:
        compose("train")
    assert caught.value.what == f"otherlab 2.1 says that its configs are in {value}, and there is no such folder"
    assert caught.value.where == "entry point other of the group segexp.conf"
    assert caught.value.fix == "mend or uninstall otherlab"


# ------------------------------------------------------------------------------------------------- its parts


def test_its_parts_keep_the_contracts(mylab):
    config = compose("train", CHOICES)
    data = make({"_target_": config.data._target_, "size": 40, "length": 3})
    backbone, loss = (complete(stages(config)[name], data.spec) for name in ("backbone", "loss"))
    features = backbone(torch.zeros(2, 3, 64, 96))
    assert {name: (level.channels, 64 // level.stride) for name, level in backbone.spec.items()} == {
        name: (x.shape[1], x.shape[2]) for name, x in features.items()
    }
    sample = data.open("train")[1]
    assert sample["image"].shape == (3, 40, 40) and set(sample["semantic"].unique().tolist()) <= {0, 1, 255}
    targets = [Targets(semantic=torch.tensor([[0, 1], [1, 255]]))]
    batch = Batch(torch.zeros(1, 3, 2, 2), ((2, 2),), ((2, 2),), targets, [], ("a",))
    logits = torch.zeros(1, 2, 2, 2, requires_grad=True)  # every class has probability 1/2: |1/2 - 1| + |1/2 - 0| at 3 pixels
    value = loss(SemanticLogits(logits, 1), batch)["l1"]
    value.backward()
    assert value.item() == pytest.approx(3.0) and loss.count(targets) == {"l1": 3.0}
    assert not logits.grad[0, :, 1, 1].any()


def test_the_ignored_pixel_counts_nothing(mylab):
    spec = make({"_target_": "mylab.data.Dots"}).spec
    loss = complete(make(compose("train", CHOICES).loss), spec)
    targets = [Targets(semantic=torch.full((2, 2), 255))]
    batch = Batch(torch.zeros(1, 3, 2, 2), ((2, 2),), ((2, 2),), targets, [], ("a",))
    logits = torch.randn(1, 2, 2, 2, generator=generator("ignored"))
    assert loss(SemanticLogits(logits, 1), batch)["l1"].item() == 0


# ------------------------------------------------------------------------------------------------- a run


def test_a_run_of_its_parts(tmp_path):
    done = python("-m", "segexp.cli.main", "train", *CHOICES, "debug=fast", f"paths.outputs={tmp_path}/runs", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    (result,) = (tmp_path / "runs").rglob("result.json")
    assert 0 <= json.loads(result.read_text())["val"]["miou"] <= 1
    versions = json.loads((result.parent / "manifest.json").read_text())["versions"]
    assert versions["mylab"] == "1.0"


def test_a_sixth_task_needs_no_line_of_this_package(tmp_path):
    typed = [
        "task=mylab_depth",
        "backbone=mylab_tiny",
        "trainer.max_epochs=2",
        "data.loader.batch_size=4",
        f"paths.outputs={tmp_path}/runs",
    ]
    done = python("-m", "segexp.cli.main", "train", *typed, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    (result,) = (tmp_path / "runs").rglob("result.json")
    assert 0 < json.loads(result.read_text())["val"]["depth_mae"] < 10
    records = [json.loads(line) for line in (result.parent / "per_image.jsonl").read_text().splitlines()]
    assert len(records) == 8
    assert list((result.parent / "images").glob("*.png"))
    again = python("-m", "segexp.cli.main", "evaluate", str(result.parent), cwd=tmp_path)
    assert again.returncode == 0 and "depth_mae" in again.stdout, again.stdout + again.stderr
    for other in ("loss=cross_entropy", "metrics=[semantic]", "data=shapes"):
        refused = python("-m", "segexp.cli.main", "train", *typed, other, cwd=tmp_path)
        assert refused.returncode == 2 and "depth" in refused.stderr, refused.stderr


def test_a_loss_of_an_own_kind_without_an_example_is_told(mylab):
    from mylab.depth import Hills
    from mylab.loss import L1

    loss = complete(make({"_target_": "mylab.depth.DepthLoss", "_partial_": True}), make({"_target_": "mylab.depth.Hills"}).spec)
    assert loss.count(example(Hills().spec, {"depth"}, loss).targets) == {"depth": 2 * 64 * 64}
    with pytest.raises(WiringError, match=r"L1 has no example of depth, a kind of annotation of its own; loss; fix: give it a method"):
        example(Hills().spec, {"depth"}, L1(Hills().spec))
