"""`segexp diff`: each kind of difference in its section, beside each other, and nothing else."""

import json
import shutil

import pytest

from segexp.cli.main import main
from segexp.ledger.diff import compared
from tests.ledger.fabricated import dump
from tests.runs.planned import read


@pytest.fixture
def pair(copied, tmp_path):
    """Two runs that are the same."""
    other = shutil.copytree(copied, tmp_path / "outputs" / "other" / copied.name)
    return copied, other


def change(folder, name, **values):
    dump(folder / name, read(folder, name) | values)


def test_of_the_same_run_nothing_differs(pair, capsys):
    assert not any(compared(*pair).values())
    assert main(["diff", *map(str, pair)]) == 0
    assert capsys.readouterr().out.startswith("the same: config (keys that decide the result), config (keys that say")


def test_keys_that_decide_come_first_and_the_others_apart(pair):
    text = (pair[1] / "config.yaml").read_text()
    assert "batch_size: 2" in text
    assert "workers: 0" in text
    (pair[1] / "config.yaml").write_text(text.replace(" batch_size: 2", " batch_size: 4").replace("workers: 0", "workers: 3"))
    found = compared(*pair)
    assert {key: (c.first, c.second) for key, c in found["config"].items()} == {"data.loader.batch_size": (2, 4)}
    assert {key: (c.first, c.second) for key, c in found["elsewhere"].items()} == {"data.loader.workers": (0, 3)}


def test_code_environment_and_data(pair):
    patch = "diff --git a/a.py b/a.py\n--- a/a.py\n+++ b/a.py\n@@ -1 +1,2 @@\n-x\n+y\n+z\n"
    change(pair[0], "manifest.json", git={"commit": "1" * 40, "patch": "", "patch_cut": False})
    versions = read(pair[1], "manifest.json")["versions"] | {"timm": "0.1"}
    git = {"commit": "2" * 40, "patch": patch, "patch_cut": False}
    change(pair[1], "manifest.json", git=git, versions=versions, threads=7, data="other", hostname="there")
    tables = ({"a.png": "1", "b.png": "2"}, {"a.png": "3", "c.png": "4"})
    for folder, files in zip(pair, tables, strict=True):
        dump(folder / "data.json", {"how": "whole", "files": files})
    found = compared(*pair)
    assert list(found["code"]) == ["commit", "uncommitted a.py"]
    assert (found["code"]["uncommitted a.py"].first, found["code"]["uncommitted a.py"].second) == (None, "+2 -1 lines")
    assert set(found["environment"]) == {"timm", "threads", "hostname"}
    assert list(found["data"]) == ["fingerprint", "changed: a.png", "only in the first: b.png", "only in the second: c.png"]


def test_figures_have_their_difference(pair, capsys):
    result = read(pair[1], "result.json")
    before = result["val"]["miou"]
    change(pair[1], "result.json", val=result["val"] | {"miou": before + 0.25})
    assert compared(*pair)["figures"]["val/miou"].difference == pytest.approx(0.25)
    assert main(["diff", *map(str, pair), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["figures"]["val/miou"]["difference"] == pytest.approx(0.25)
    assert main(["diff", *map(str, pair)]) == 0
    (line,) = (line for line in capsys.readouterr().out.splitlines() if "val/miou" in line)
    assert line.split()[-1] == "+0.25"


def test_unfinished_and_broken_runs_are_compared_as_far_as_can_be(pair):
    (pair[1] / "result.json").unlink()
    (pair[1] / "config.yaml").write_text("a: [")
    found = compared(*pair)
    assert found["figures"]["val/miou"].second is None
    assert not found["environment"]


def test_a_run_that_is_not_there(tmp_path, capsys):
    assert main(["diff", "0123456789ab", "abcdef", f"paths.outputs={tmp_path}"]) == 2
    assert "there is no run 0123456789ab" in capsys.readouterr().err
