"""Secrets are recognised by key, by URL and by the environment; what counts, trains or only looks alike isn't taken for one."""

import subprocess
import sys
from pathlib import Path

import pytest

from segexp.config import compose
from segexp.errors import ConfigError, SegexpError, failed
from segexp.secrets import is_secret, leaves, redacted, redacted_patch, refuse_literals, refuse_typed, secrets

VALUE = "hunter2-hunter2"
ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    monkeypatch.setenv("LAB_API_KEY", VALUE)


LITERAL = {
    "logger.wandb.api_key=abc": "logger.wandb.api_key is a secret",
    "+a.apiKey=xyz": "a.apiKey is a secret",
    "a.token=a,b": "a.token is a secret",
    "a.token=${oc.env:NAME,fallback}": "a.token is a secret",
    "a.password=123": "a.password is a secret",
    "+a.secret.name=q": "a.secret.name is a secret",
    "+x={user: me, password: 'q w'}": "x.password is a secret",
    "a.key=100000000": "a.key is a secret",
    f"x={VALUE}": "x holds the value of the variable LAB_API_KEY",
    f"+notes=[a,b{VALUE}]": "notes holds the value of the variable LAB_API_KEY",
    "logger.mlflow.tracking_uri=https://me:pw@host/x": "logger.mlflow.tracking_uri is a URL with a password",
    "u=https://ghp_abc@host/x": "u is a URL with a password",
    "u=${oc.env:NAME,https://me:pw@host}": "u is a URL with a password",
    "u=https://host/x?a=1&X-Amz-Signature=abc": "u is a URL with a secret",
}


@pytest.mark.parametrize("text", LITERAL)
def test_a_secret_that_is_typed_is_refused_and_not_repeated(text):
    with pytest.raises(ConfigError) as caught:
        refuse_typed(["seed=1", text])
    key = LITERAL[text].split()[0]
    assert caught.value.what == f"{LITERAL[text]}, and what is typed or configured is stored"
    assert caught.value.where == f"{key}=***"
    assert caught.value.fix == f"export it as a variable, and use {key}=${{oc.env:NAME}}"


@pytest.mark.parametrize(
    "text",
    [
        *("a.api_key=${oc.env:NAME}", "a.token='${oc.env:NAME}'", "a.token=${oc.env:NAME,null}", "a.token=Bearer ${oc.env:NAME}"),
        *("x={token: ${oc.env:T}}", "a.token=null", "a.token=true", "a.token=${b.token}", "~a.token"),
        *("u=http://me:${oc.env:PASSWORD}@host/x", "u=http://127.0.0.1:5000", "u=sqlite:///runs.db", "u=ssh://git@host/x"),
        *("backbone.key_dim=64", "x.num_tokens=16", "x.tokens=[a,b]", "x.monitor=val/miou", "x.keys=[a,b]", "x.tokenizer=bpe"),
        *("x=hunter2", "data.file=a@b.txt", "optimizer.lr=1e-3"),
    ],
)
def test_what_names_a_secret_or_only_looks_alike_passes(text):
    assert refuse_typed([text]) is None


def test_a_secret_in_a_file_is_refused_where_it_is_composed(tmp_path):
    (tmp_path / "logger").mkdir()
    path = tmp_path / "logger" / "mine.yaml"
    chosen = [f"hydra.searchpath=[file://{tmp_path}]", "logger=mine"]
    for body, key in (
        ("{api_key: abcdef}", "api_key"),
        ("{token: '${.user}', user: abcdef}", "token"),
        ("[{password: abc}]", "0.password"),
    ):
        path.write_text(f"mine: {body}\n")
        with pytest.raises(ConfigError) as caught:
            compose("train", chosen)
        assert caught.value.where == f"logger.mine.{key}=***"
    path.write_text("mine: {api_key: '${oc.env:LAB_API_KEY}'}\n")
    assert compose("train", chosen)._get_node("logger").mine._get_node("api_key")._value() == "${oc.env:LAB_API_KEY}"


def test_keys():
    assert all(map(is_secret, ("token", "a.hf_token", "WANDB_API_KEY", "apiKey", "db.password.value", "AWS_SECRET_ACCESS_KEY", "x.0.key")))
    assert not any(map(is_secret, ("keyboard", "key_dim", "num_tokens", "monkey", "tokenizer", "a.keys", "0", "name")))


def test_leaves_of_mappings_and_lists():
    assert dict(leaves({"a": [{"b": 1}, 2], "c": {"d": None}})) == {"a.0.b": 1, "a.1": 2, "c.d": None}
    refuse_literals({"a.0.b": 1})


def test_short_values_and_files_are_no_secrets(tmp_path):
    (tmp_path / "key.json").touch()
    found = secrets({"A_KEY": "short", "B_TOKEN": "long-enough", "C_CREDENTIALS": str(tmp_path / "key.json"), "PATH": "/long/enough"})
    assert found == {"long-enough": "B_TOKEN"}


def test_text_loses_its_secrets():
    assert redacted(f"at http://me:pw@host/x?token=abc&b=1: {VALUE}") == "at http://me:***@host/x?token=***&b=1: ${oc.env:LAB_API_KEY}"
    assert redacted("https://ghp_abc@host") == "https://***@host"
    same = "http://me:${oc.env:PASSWORD}@host, a: b@c, 12:30"
    assert redacted(same) == same


def test_a_patch_loses_what_its_lines_assign():
    same = "+token = make_token(x)\n+key = name\n+api_key: ${oc.env:X}\n"
    before = '+API_KEY=abcdefgh\n+  db_password: hunter22\n+x = {"token": "abcdefgh"}\n' + same
    after = '+API_KEY=***\n+  db_password: ***\n+x = {"token": "***"}\n' + same
    assert redacted_patch(before) == after


def test_a_failed_command_doesn_t_show_them(capsys):
    try:
        raise SegexpError(f"no login with {VALUE}", where=f"https://me:{VALUE}@host")
    except SegexpError as error:
        assert failed(error, show_traceback=True) == 1
    told = capsys.readouterr().err
    assert VALUE not in told and "no login with ${oc.env:LAB_API_KEY}" in told and "Traceback" in told


@pytest.mark.parametrize("piece", ["x", "x.", "a-b ", "https://", "token", "+key=\n", "api_key: ", " ", "\n", "x:"])
def test_a_patch_of_one_long_line_costs_no_more_than_its_length(piece):
    code = f"from segexp.secrets import redacted_patch; redacted_patch({piece!r} * (2**20 // {len(piece)}))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, timeout=30, check=False).returncode == 0  # quadratic: hours
