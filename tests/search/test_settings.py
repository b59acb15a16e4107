"""The section `sweep` checked; figures looked up in a result."""

import pytest
from omegaconf import OmegaConf

from segexp.cli.main import main
from segexp.config import conf_dir
from segexp.search.settings import settings, value_of

GRID = OmegaConf.to_container(OmegaConf.load(conf_dir() / "sweep/grid.yaml"))


@pytest.mark.parametrize("path", sorted((conf_dir() / "sweep").glob("*.yaml")), ids=lambda path: path.stem)
def test_all_options_have_all_keys(path):
    assert list(OmegaConf.to_container(OmegaConf.load(path))) == list(GRID)


def test_directions_follow_from_names():
    metrics = ["val/miou", "val/loss", "parameters", "seconds", "speed.train_images_per_s", "val/pq"]
    found = settings(GRID | {"metric": metrics}, None).directions
    assert found == ("maximize", "minimize", "minimize", "minimize", "maximize", "maximize")
    assert settings(GRID | {"direction": "minimize"}, "val/miou").directions == ("minimize",)


def test_the_search_is_the_same_with_more_trials_or_another_storage():
    plain = settings(GRID, "val/miou").plain()
    assert settings(GRID | {"trials": 99, "storage": "sqlite:///x"}, "val/miou").plain() == plain
    assert settings(GRID | {"seed": 1}, "val/miou").plain() != plain


def test_figures_are_found_by_split_and_by_key():
    result = {"val": {"miou": 0.5, "iou/road": 0.9}, "parameters": 7, "speed": {"train_images_per_s": 3.0}}
    assert [value_of(result, name) for name in ("val/miou", "val/iou/road", "parameters", "speed.train_images_per_s")] == [0.5, 0.9, 7, 3.0]
    for name in ("test/miou", "val/pq", "steps", "parameters.x"):
        with pytest.raises(KeyError):
            value_of(result, name)


def test_a_search_without_m_is_not_one_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["train", "sweep=tpe", "sweep.trials=4"]) == 2
    assert "a search has many runs, and this would be one; sweep=tpe; fix: add -m" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
