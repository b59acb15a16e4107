"""Values that make no sense are refused before a run is touched, all at once, and cost no attempt."""

import json
from copy import deepcopy
from functools import cache
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from segexp.cli.main import main
from segexp.config import compose
from segexp.errors import ConfigError
from segexp.runs.settings import CHECKS, check_settings
from tests.runs.planned import SMALL, content, folder_of, planned

CASES = {  # key -> (wrong values, right ones)
    "run.again": (["yes", 1, None], [True, False]),
    "run.max_attempts": ([0, 1.5, None, True], [1, 5]),
    "launcher.kind": (["local", None, 1], ["process", "slurm", "ray"]),
    "data.allow_outside": (["no", 0, None], [True, False]),
    "run.threads": ([0, "two", False], [None, 1]),
    "resume.mode": (["maybe", None, True], ["auto", "must", "never"]),
    "resume.override": (["optimizer.lr", [1], None], [[], ["optimizer.lr", "data"]]),
    "resume.allow_env_change": (["no", 0], [True, False]),
    "weights.skip_head": (["head", None], [True, False]),
    "weights.checkpoint": (["newest", None], ["last", "best"]),
    "determinism": (["loose", True, None], ["order", "strict"]),
    "trainer.on_oom": (["half", None], ["error", "halve"]),
    "trainer.skip_nonfinite": ([-1, 0.5, True], [0, 3]),
    "trainer.compile": (["no", 1, None], [True, False]),
    "trainer.sync_batchnorm": (["no", 0, None], [True, False]),
    "backbone.freeze": ([-1, 1.5, None, True], [0, 2]),
    "backbone.norm_eval": (["no", 0, None], [True, False]),
    "trainer.max_epochs": ([0, -2, 2.5, "many", True], [1, -1, None]),
    "trainer.max_steps": ([0, -2, 2.5, False], [1, -1, None]),
    "trainer.accumulate_grad_batches": ([0, 0.5, None], [1, 4]),
    "callbacks.checkpoint.keep": ([0, None, "all"], [1, 9]),
    "callbacks.checkpoint.every_seconds": ([0, -1.0, "often", True], [0.5, 600, None]),
    "callbacks.checkpoint.every_n_train_steps": ([0, 1.5, True], [1, None]),
    "data.loader.workers": ([-1, None, True], [0, 2]),
    "data.loader.persistent_workers": (["head", None], [True, False]),
    "data.loader.batch_size": ([0, 2.0, None], [1, 8]),
    "data.loader.eval_batch_size": ([0, "8"], [1, 8]),
    "data.limit": ([0, -1, True], [1, None]),
    "data.folds": ([1, 0, 2.5, True], [None, 2, 5]),
    "data.fold": ([-1, None, 0.5], [0, 4]),
    "data.fold_seed": ([-1, None, "a"], [0, 7]),
    "data.sampling": (["even", None, True], ["uniform", "balanced"]),
    "data.on_bad": (["leave", None, True], ["error", "skip"]),
    "data.max_bad": ([-1, None, 0.5], [0, 100]),
    "data.allow_overlap": (["no", None, 1], [True, False]),
    "data.max_pixels": ([0, None, 1e6, True], [1, 10**9]),
    "data.loader.restarts": ([-1, None, 0.5], [0, 3]),
    "data.loader.timeout": ([-1, None, "long", True], [0, 0.5, 120]),
}


@cache
def composed():
    return compose("train", SMALL)


def changed(**values):
    config = deepcopy(composed())
    for key, value in values.items():
        OmegaConf.update(config, key, value, force_add=True)
    return config


def test_every_key_that_is_checked_is_tried_here():
    assert set(CASES) == set(CHECKS)
    assert all(OmegaConf.select(composed(), key, default="absent") != "absent" for key in CHECKS)  # each is a key of the config


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, (wrong, _) in CASES.items() for value in wrong])
def test_a_wrong_value_is_refused_and_what_it_must_be_is_said(key, value):
    with pytest.raises(ConfigError) as caught:
        check_settings(changed(**{key: value}))
    _, must, example = CHECKS[key]
    assert (caught.value.what, caught.value.where) == (f"{key} must be {must}", f"{key}={value}")
    assert caught.value.fix == f"{key}={example}"


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, (_, right) in CASES.items() for value in right])
def test_a_right_value_passes(key, value):
    assert check_settings(changed(**{key: value})) is None


@pytest.mark.parametrize("key", [key for key in CASES if key != "resume.mode"])
def test_the_example_of_the_message_is_right(key):
    for text in CHECKS[key][2].split("|"):
        check_settings(OmegaConf.merge(composed(), OmegaConf.from_dotlist([f"{key}={text}"])))


def test_what_a_config_has_not_is_not_asked_for():
    check_settings(OmegaConf.create({"callbacks": {"checkpoint": None}, "run": {"again": False}}))


def test_several_are_told_at_once():
    with pytest.raises(ConfigError) as caught:
        check_settings(changed(**{"run.max_attempts": 0, "resume.mode": "maybe", "data.loader.workers": -1}))
    assert str(caught.value) == (
        "run.max_attempts must be a whole number from 1; resume.mode must be one of auto, must, never; "
        "data.loader.workers must be a whole number from 0; run.max_attempts=0, resume.mode=maybe, data.loader.workers=-1; "
        "fix: run.max_attempts=2 resume.mode=auto|must|never data.loader.workers=2"
    )


def test_before_a_run_has_begun_nothing_is_written(tmp_path, capsys):
    with planned({}):
        assert main(["train", *SMALL, f"paths.outputs={tmp_path}/outputs", "determinism=loose", "trainer.on_oom=half"]) == 2
    err = capsys.readouterr().err
    assert err.startswith("segexp: error[config]: determinism must be one of order, strict / trainer.on_oom must be one of error, halve; ")
    assert not (tmp_path / "outputs").exists()


@pytest.mark.usefixtures("quick")
def test_a_slip_costs_a_run_no_attempt(killed):
    outputs = killed()
    before = content(outputs)
    for _ in range(3):
        with planned({}) as seen:
            assert main(["train", *SMALL, f"paths.outputs={outputs}", "run.max_attempts=0"]) == 2
            assert seen.steps == []
    assert content(outputs) == before
    assert not (folder_of(outputs) / "attempts").exists()


def test_a_slip_in_one_job_of_a_sweep_is_a_row_and_the_others_are_started(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("segexp.sweeps.process.ProcessLauncher.launch", lambda self, whole, waiting, shown: "SIGTERM")
    assert main(["train", "-m", *SMALL, "trainer.accumulate_grad_batches=1,0"]) == 75
    (record,) = Path("outputs/default/sweeps").glob("*/sweep.json")
    rows = json.loads(record.read_text())["jobs"]
    assert [(row["state"], row["cause"]) for row in rows] == [("pending", None), ("failed", "config")]
    assert "trainer.accumulate_grad_batches must be a whole number from 1; trainer.accumulate_grad_batches=0" in rows[1]["error"]
    assert rows[1]["run"] is None
    assert "job 2/2 doesn't compose: " in capsys.readouterr().out
