"""Help, slips of the pen and broken input: one line each with the place and the fix, before torch where it can be."""

import subprocess
import sys

import pytest

from segexp.cli.arguments import split
from segexp.cli.main import COMMANDS, main
from segexp.errors import ConfigError


def said(capsys, *arguments):
    code = main(arguments)
    out, err = capsys.readouterr()
    return code, out, err


@pytest.mark.smoke
def test_help_names_every_command_and_the_exit_codes(capsys):
    code, out, _ = said(capsys, "--help")
    assert code == 0
    assert all(f"  {name}" in out for name in COMMANDS)
    assert "exit codes" in out


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_teaches(capsys, name):
    code, out, _ = said(capsys, name, "--help")
    assert code == 0
    assert out.startswith(f"segexp {name}")
    assert out.count(f"segexp {name}") >= 2


WRONG = [
    (["trian"], "there is no command 'trian'", "segexp train"),
    (["backbone=resnet18"], "there is no command 'backbone=resnet18'", "segexp train backbone=resnet18"),
    (["train", "--again"], "unknown option --again", "-m, --multirun, --help"),
    (["train", "resnet18"], "'resnet18' is no override", "resnet18=<value>"),
    (["train", "modle=deeplabv3plus"], "there is no group or key modle", "did you mean model"),
    (["train", "backbone=resnet8"], "resnet8", "backbone=resnet18"),
    (["train", "trainer.max_epoch=3"], "trainer.max_epoch", "trainer.max_epochs"),
    (["train", "optimizer.lr"], "'optimizer.lr' is no override", "optimizer.lr=<value>"),
    (["train", "backbone=null"], "the group backbone can't be null", "mobilenet_v2"),
    (["train", "seed=0,1"], "seed=0,1 is a sweep", "-m"),
    (["train", "optimizer.lr=[1"], "optimizer.lr=[1", ""),
    (["train", "backbone=timm"], "backbone.name has no value", "backbone.name="),
    (["list", "bakbone"], "there is no group 'bakbone'", "segexp list backbone"),
    (["evaluate"], "1 argument missing", "segexp evaluate <run> [overrides]"),
    (["evaluate", "no-such-run"], "there is no run no-such-run", "paths.outputs"),
    (["predict", "no-such-run", "x.jpg"], "there is no run no-such-run", "paths.outputs"),
    (["report", "no-such-run"], "there is no run no-such-run", "paths.outputs"),
    (["train", "+run.thread=2"], "run.thread", "run.threads"),
    (["train", "~seedd"], "seedd", ""),
    (["train", "paths.outputs=/proc/nowhere/x"], "runs can't be written", "paths.outputs=<folder>"),
]


@pytest.mark.parametrize(("arguments", "what", "fix"), WRONG, ids=lambda v: " ".join(v) if isinstance(v, list) else None)
def test_wrong_commands_end_in_one_line_and_code_2(capsys, tmp_path, monkeypatch, arguments, what, fix):
    monkeypatch.chdir(tmp_path)
    code, _, err = said(capsys, *arguments)
    last = err.strip().splitlines()[-1]
    assert code == 2
    assert last.startswith("segexp: error[config]: ")
    assert what in last
    assert fix in last.partition("fix: ")[2]
    assert "Traceback" not in err


def test_slips_never_import_torch(tmp_path):
    code = "import sys; from segexp.cli.main import main; rc = main(sys.argv[1:]); print('torch' in sys.modules, rc)"
    for arguments in (["--help"], ["train", "modle=x"], ["train", "backbone=resnet8"], ["train", "trainer.max_epoch=3"], ["list"]):
        done = subprocess.run([sys.executable, "-c", code, *arguments], cwd=tmp_path, capture_output=True, text=True, check=True)
        assert done.stdout.splitlines()[-1].startswith("False"), arguments


def test_a_reused_trained_run_answers_without_torch(tmp_path, monkeypatch):
    """Done runs print their result; that path must stay as light as help."""
    code = (
        "import sys; from segexp.config import compose; from segexp.runs.directory import RunDirectory; from pathlib import Path;"
        "c = compose('train'); d = RunDirectory.of(c, Path('outputs')); d.begin(c, [], {'id': d.id});"
        "d.finish({'val': {'miou': 0.5}, 'steps': 1, 'seconds': 1.0, 'parameters': 1});"
        "from segexp.cli.main import main; rc = main(['train']); print('torch' in sys.modules, rc)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False 0"
    assert "is done (run.again=true starts it again)" in done.stdout
    assert "miou 0.5000" in done.stdout


def test_the_traceback_is_shown_when_asked_for(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _, _, err = said(capsys, "train", "modle=x", "errors.traceback=true")
    assert "Traceback" in err
    assert err.strip().splitlines()[-1].startswith("segexp: error[config]")


def test_split_of_arguments():
    assert split(["run", "a=1", "-m", "~b"], positional=1, flags=("-m",), usage="u") == (["run"], ["a=1", "~b"], {"-m"})
    with pytest.raises(ConfigError, match="2 arguments missing; u"):
        split([], positional=2, usage="u")
