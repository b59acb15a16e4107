"""`segexp report` finds what was named: a run, a sweep, or a folder of runs."""

import pytest

from segexp.cli.report import run
from segexp.errors import ConfigError
from tests.report import fabricate


@pytest.fixture
def outputs(tmp_path):
    fabricate.small_sweep(tmp_path / "made")
    return tmp_path


def named(name, outputs, *more):
    return run([name, f"paths.outputs={outputs}", *more])


@pytest.mark.parametrize(
    "name", ["made/sweeps/backbone-optimizer.lr-abcdef012345", "abcdef012345", "abcdef", "backbone-optimizer.lr-abcdef012345"]
)
def test_a_sweep_by_its_folder_and_by_its_id(outputs, name, capsys):
    given = str(outputs / name) if "/" in name else name
    assert named(given, outputs) == 0
    page = outputs / "made" / "sweeps" / "backbone-optimizer.lr-abcdef012345" / "report.html"
    assert page.is_file()
    assert str(page) in capsys.readouterr().out


def test_all_runs_of_an_experiment_by_its_name(outputs, capsys):
    assert named("made", outputs, "--figure=val/loss") == 0
    assert "compared by <b>val/loss</b>, lower is better" in (outputs / "made" / "report.html").read_text()
    assert "MB)" in capsys.readouterr().out


def test_a_run(outputs):
    folder = next((outputs / "made").glob("made-s0-*1"))
    assert named(folder.name, outputs) == 0
    assert (folder / "report.html").is_file()
    with pytest.raises(ConfigError, match="a run's page shows all of its figures"):
        named(folder.name, outputs, "--figure=val/miou")


def test_what_is_not_there(outputs):
    with pytest.raises(ConfigError, match="there is no run nothing"):
        named("nothing", outputs)
    with pytest.raises(ConfigError, match="no override but paths: seed=1"):
        named("made", outputs, "seed=1")
    fabricate.sweep(outputs / "other", [])
    with pytest.raises(ConfigError, match="2 sweeps are called abcdef012345"):
        named("abcdef012345", outputs)
