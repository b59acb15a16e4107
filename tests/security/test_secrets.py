"""Payloads of class 7: secrets. After real runs, done and failed, with trackers, no file of the run's folder holds one."""

import json
import logging

import pytest

from segexp.cli.main import main
from segexp.losses import cross_entropy
from segexp.runs import manifest
from tests.security.conftest import TINY

SECRETS = {  # variable -> value
    "WANDB_API_KEY": "0123456789abcdef0123456789abcdef01234567",
    "LAB_TOKEN": "hunter2-hunter2",
    "DB_PASSWORD": "correct horse/battery+staple",
    "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    "MLFLOW_TRACKING_PASSWORD": "pa$$'word\"quoted",
}
LITERALS = [  # what is typed -> refused at once
    *("logger.wandb.api_key=abcdef", "+logger.wandb.api_key=abcdef", "+tags.token=abcdef", "+x.password=1234", "+a.b.c.secret=q"),
    *("logger.mlflow.tracking_uri=http://me:pw@host", "+url=https://ghp_abcdef@host", "+u='https://h/?token=abcdef'"),
    *(f"+x={value}" for value in ("hunter2-hunter2", "0123456789abcdef0123456789abcdef01234567")),
    *("+x={api_key: abcdef}", "+x=[{password: abcdef}]", "+hydra.job.env_set={LAB_TOKEN: abcdef}", "seed=1,2 +x.token=a,b"),
]


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)


def held(folder):
    """(file, secret) of all files below a folder, names included; also as JSON and as Python would write it."""
    found = []
    for path in folder.rglob("*"):
        raw = str(path).encode() + (path.read_bytes() if path.is_file() else b"")
        for value in SECRETS.values():
            forms = {value, json.dumps(value)[1:-1], repr(value)[1:-1]}
            found += [(path.name, value) for form in forms if form.encode() in raw]
    return found


@pytest.mark.parametrize("typed", LITERALS)
@pytest.mark.parametrize("command", [["train"], ["train", "-m"], ["check"], ["describe"]])
def test_a_literal_secret_is_refused_before_anything_is_written(typed, command, tmp_path, capsys):
    assert main([*command, f"paths.outputs={tmp_path}/runs", *typed.split(" +", 1)[:1], *["+" + t for t in typed.split(" +")[1:]]]) == 2
    told = capsys.readouterr()
    assert "=${oc.env:NAME}" in told.err and "=***;" in told.err
    assert not [value for value in ("abcdef", "1234", "pw@", *SECRETS.values()) if value in told.out + told.err]
    assert not (tmp_path / "runs").exists()


def test_a_run_with_a_tracker_keeps_none(tmp_path, monkeypatch, capsys):
    patch = (
        "\n".join(f"+{name}={value}" for name, value in SECRETS.items()) + "\n+  password: opensesame\n+url: http://me:opensesame@host\n"
    )
    monkeypatch.setattr(manifest, "_patch", lambda folder: patch.encode())
    typed = [*TINY, f"paths.outputs={tmp_path}", "logger=tensorboard", "+notes.token=${oc.env:LAB_TOKEN}", "+notes.text=mine"]
    assert main(["train", *typed]) == 0
    (folder,) = (tmp_path / "default").glob("shapes-*")
    kept = json.loads((folder / "manifest.json").read_text())
    assert "opensesame" not in kept["git"]["patch"] and "LAB_TOKEN=${oc.env:LAB_TOKEN}" in kept["git"]["patch"]
    assert "+notes.token=${oc.env:LAB_TOKEN}" in (folder / "overrides.txt").read_text()
    assert (folder / "tensorboard").is_dir() and (folder / "report.html").is_file() and list(folder.glob("checkpoints/*.ckpt"))
    assert held(tmp_path) == []
    text = capsys.readouterr()
    assert not [value for value in SECRETS.values() if value in text.out + text.err]


def test_a_run_that_fails_with_a_secret_in_its_error_keeps_none(tmp_path, monkeypatch, capsys):
    def failing(*_):
        logging.getLogger("a.library").warning("login with %s failed", SECRETS["DB_PASSWORD"])
        told = ", ".join(SECRETS.values())
        raise ValueError(f"no connection to http://me:opensesame@host?token=opensesame with {told}")

    monkeypatch.setattr(manifest, "_patch", lambda folder: b"")  # these lines are in it until they are committed
    monkeypatch.setattr(cross_entropy.CrossEntropy, "__call__", failing)
    monkeypatch.setattr(cross_entropy.CrossEntropy, "forward", failing, raising=False)
    assert main(["train", *TINY, f"paths.outputs={tmp_path}", "errors.traceback=true"]) == 1
    (folder,) = (tmp_path / "default").glob("shapes-*")
    assert "no connection to http://me:***@host?token=***" in (folder / "traceback.txt").read_text()
    assert "login with ${oc.env:DB_PASSWORD} failed" in (folder / "log.txt").read_text()
    assert "${oc.env:LAB_TOKEN}" in (folder / "status.json").read_text()
    assert held(tmp_path) == [] and not [path for path in folder.rglob("*") if path.is_file() and b"opensesame" in path.read_bytes()]
    text = capsys.readouterr()
    assert not [value for value in (*SECRETS.values(), "opensesame") if value in text.out + text.err]


def test_what_looks_for_them_finds_them(tmp_path):
    """The control."""
    (tmp_path / "a.json").write_text(json.dumps(SECRETS))
    (tmp_path / f"{SECRETS['LAB_TOKEN']}.txt").touch()
    assert {value for _, value in held(tmp_path)} == set(SECRETS.values())
