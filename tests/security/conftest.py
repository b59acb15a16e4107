"""A folder in which any effect of a payload fails the test, and runs to tamper with."""

import shutil
import tempfile

import pytest
from omegaconf import OmegaConf

from segexp.cli.main import main
from segexp.config import compose, make
from segexp.functional.files import write_json
from tests.security.effects import watched

TINY = [
    *("data.height=32", "data.width=48", "data.train=4", "data.val=2", "data.test=2", "data.loader.batch_size=2"),
    *("backbone=timm", "backbone.name=test_resnet", "decoder.width=16", "trainer.max_epochs=1", "trainer.accelerator=cpu"),
]


@pytest.fixture
def marker(tmp_path, monkeypatch):
    """The file that appears if a payload works; whatever the test does, neither it nor another effect may."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # what git is asked through
    with watched(tmp_path) as effects:
        yield tmp_path / "marker"
    assert effects == []


@pytest.fixture
def run(tmp_path):
    """The folder of a run as an evaluation reads it; nothing was trained."""
    folder = tmp_path / "outputs" / "default" / "shapes-deeplabv3plus-test_resnet-s0-0123456789ab"
    (folder / "checkpoints").mkdir(parents=True)
    config = compose("train", [*TINY, f"paths.outputs={tmp_path}/outputs"])
    (folder / "config.yaml").write_text(OmegaConf.to_yaml(config))
    data = make({"_target_": config.data._target_, "height": 32, "width": 48, "train": 4, "val": 2, "test": 2})
    write_json(folder / "manifest.json", {"id": folder.name[-12:], "spec": data.spec.to_dict()})
    write_json(folder / "status.json", {"state": "done", "attempt": 1, "step": 1, "error": None})
    return folder


@pytest.fixture(scope="session")
def trained_once(tmp_path_factory):
    """The outputs of a real run of two steps."""
    outputs = tmp_path_factory.mktemp("trained") / "outputs"
    assert main(["train", *TINY, f"paths.outputs={outputs}"]) == 0
    return outputs


@pytest.fixture
def trained(trained_once, tmp_path):
    """(Folder of a copy of it that was stopped on its way, the command that goes on with it)."""
    shutil.copytree(trained_once, tmp_path / "outputs")
    (folder,) = (tmp_path / "outputs" / "default").glob("shapes-*")
    (folder / "result.json").unlink()
    write_json(folder / "status.json", {"state": "preempted", "attempt": 1, "step": 2, "error": None, "failures": 0})
    return folder, ["train", *TINY, f"paths.outputs={tmp_path}/outputs"]
