"""The ids of what is shipped: a changed one names other folders, so that finished runs wouldn't be found again.

An id changes if a config or the rule of `segexp/runs/identity.py` does. Where that is meant, run
`python -m tests.runs.test_golden_ids --write`. Where a key was only added, its neutral value in `conf/identity.yaml` keeps ids.
"""

import sys
from pathlib import Path

import pytest

from segexp.config import compose, conf_dir, session
from segexp.functional.files import read_json, write_json
from segexp.runs.identity import identity

GOLDEN = Path(__file__).with_name("golden_ids.json")


def shipped():
    """Name -> overrides of the default, each experiment and each model."""
    found = {"default": []}
    for group in ("experiment", "model"):
        names = sorted(path.stem for path in (conf_dir() / group).glob("*.yaml") if path.stem != "none")
        found |= {f"{group}={name}": [f"{group}={name}"] for name in names}
    return found


def shipped_ids():
    with session():
        return {name: identity(compose("train", overrides)) for name, overrides in shipped().items()}


@pytest.fixture(scope="module")
def ids():
    return shipped_ids()


@pytest.mark.parametrize("name", sorted(shipped()))
def test_the_id_is_the_one_that_was_given_out(ids, name):
    golden = read_json(GOLDEN)
    assert golden.get(name) == ids[name], f"the id of {name} changed: give a new key's neutral value in conf/identity.yaml, or --write"


def test_no_id_is_kept_of_what_is_gone():
    assert sorted(read_json(GOLDEN)) == sorted(shipped())


def test_ids_do_not_depend_on_the_place_or_the_environment(ids, tmp_path, monkeypatch):
    monkeypatch.setenv("SEGEXP_DATA", "/elsewhere")
    monkeypatch.setenv("SEGEXP_OUTPUTS", "/elsewhere/outputs")
    monkeypatch.chdir(tmp_path)
    assert shipped_ids() == ids


@pytest.mark.parametrize("override", ["paths.data=/x", "data.loader.workers=7", "trainer=cpu", "name=x", "run.again=true", "logger=wandb"])
def test_where_and_how_fast_keep_the_default_id(ids, override):
    assert identity(compose("train", [override])) == ids["default"]


if __name__ == "__main__":
    if sys.argv[1:] != ["--write"]:
        sys.exit("python -m tests.runs.test_golden_ids --write")
    write_json(GOLDEN, shipped_ids())
