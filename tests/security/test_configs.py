"""Payloads of class 3: texts of configs. Tags, aliases, depth and resolvers run nothing, fill no memory and show no secret."""

import os

import pytest
from omegaconf import OmegaConf

from segexp.build import load
from segexp.cli.main import main
from segexp.config import compose, resolve
from segexp.errors import ConfigError, SegexpError
from tests.security.conftest import TINY

SECRET = "hunter2-hunter2"
DEEP = 400  # levels


def laughs(levels=12, times=10):
    """A text of a few lines that unfolds to 10^12 values."""
    lines = ["a0: &a0 [x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * times)}]" for n in range(1, levels)]
    return "\n".join(lines)


STORED = {  # what is appended to a stored config -> what is said
    "python/object/apply": ("x: !!python/object/apply:os.system ['touch MARKER']", "could not determine a constructor"),
    "python/object/new": ("x: !!python/object/new:os.system ['touch MARKER']", "could not determine a constructor"),
    "python/name": ("x: !!python/name:os.system", "could not determine a constructor"),
    "python/module": ("x: !!python/module:segexp_canary", "could not determine a constructor"),
    "python/tuple of apply": ("x: !!python/tuple [!!python/object/apply:eval ['1']]", "could not determine a constructor"),
    "a tag by its whole name": ("x: !<tag:yaml.org,2002:python/object/apply:os.system> ['touch MARKER']", "could not determine"),
    "a tag of the document": ("--- !!python/object/apply:os.system ['touch MARKER']", "expected a single document"),
    "aliases": (laughs(), "it has aliases"),
    "a merge key": ("x: &x {a: 1}\ny: {<<: *x}", "it has aliases"),
    "an alias of itself": ("x: &x [*x]", "it has aliases"),
    "depth": ("x: " + "[" * DEEP + "]" * DEEP, "maximum recursion depth"),
    "depth of mappings": ("x: " + "{a: " * DEEP + "}" * DEEP, "maximum recursion depth"),
    "a key twice": ("seed: 1\nseed: 2", "found duplicate key"),
    "bytes": ("x: \x00", "special characters are not allowed"),
}


@pytest.mark.parametrize("kind", STORED)
def test_a_stored_config_is_plain_text(kind, run, marker, capsys):
    text, said = STORED[kind]
    path = run / "config.yaml"
    path.write_text(f"{path.read_text()}\n{text.replace('MARKER', str(marker))}\n")
    with pytest.raises(ConfigError) as caught:
        load(run)
    assert caught.value.what.startswith("the stored config can't be read: ") and said in caught.value.what
    assert caught.value.where == str(path)
    assert main(["evaluate", str(run)]) == 2 and said in capsys.readouterr().err


FILES = {  # an experiment's file of somebody else
    "python/object/apply": "x: !!python/object/apply:os.system ['touch MARKER']",
    "python/module": "x: !!python/module:segexp_canary",
    "depth": "x: " + "[" * DEEP + "]" * DEEP,
    "a default from elsewhere": "defaults: ['/../../../etc/passwd']",
    "an absolute default": "defaults: ['/MARKER@x']",
    "a search path within": "hydra: {searchpath: ['file:///etc']}",
    "a package": "defaults: [{'/head@_here_.x.y': 'pkg://os'}]",
    "allow": "allow: [os]",
}


def chosen(text, folder, marker):
    """What is typed for an experiment of this text."""
    (folder / "conf" / "experiment").mkdir(parents=True)
    (folder / "conf" / "experiment" / "nice.yaml").write_text("# @package _global_\n" + text.replace("MARKER", str(marker)) + "\n")
    return [*TINY, f"hydra.searchpath=[file://{folder}/conf]", "experiment=nice", f"paths.outputs={folder}/runs"]


@pytest.mark.parametrize("kind", FILES)
def test_an_experiment_of_somebody_else_is_refused(kind, tmp_path, marker, capsys):
    assert main(["train", *chosen(FILES[kind], tmp_path, marker)]) in (1, 2)
    assert "segexp: error[" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


NODES = {  # what Hydra's own command would make objects of
    "a callback": "hydra: {callbacks: {a: {_target_: os.system, command: touch MARKER}}}",
    "a launcher": "hydra: {launcher: {_target_: os.system}}",
    "a sweeper": "hydra: {sweeper: {_target_: os.system}}",
    "a folder": "hydra: {run: {dir: MARKER}, sweep: {dir: MARKER}, output_subdir: MARKER}",
    "the environment": "hydra: {job: {env_set: {LD_PRELOAD: MARKER}, chdir: true}}",
}


@pytest.mark.parametrize("kind", NODES)
def test_what_a_file_says_to_hydra_itself_does_nothing(kind, tmp_path, marker, monkeypatch):
    monkeypatch.delenv("LD_PRELOAD", raising=False)
    config = compose("train", chosen(NODES[kind], tmp_path, marker))
    assert "hydra" not in config and "os.system" not in OmegaConf.to_yaml(config) and "LD_PRELOAD" not in os.environ


RESOLVERS = {  # text in a config -> what is said of it
    "hydra": ("${hydra:runtime.cwd}", "can't be resolved"),
    "an unknown one": ("${os.system:ls}", "can't be resolved"),
    "python": ("${eval:1}", "can't be resolved"),
    "a node made of text": ("${oc.create:'{_target_: os.system, command: touch MARKER}'}", ""),
    "decoded text": ("${oc.decode:'!!python/object/apply:os.system [touch MARKER]'}", "can't be resolved"),
    "select": ("${oc.select:evil}", ""),
    "a ring": ("${head.level}", "Recursive interpolation"),
}


@pytest.mark.parametrize("kind", RESOLVERS)
def test_resolvers_of_a_stored_config_call_nothing(kind, run, marker):
    text, said = RESOLVERS[kind]
    config = OmegaConf.load(run / "config.yaml")
    OmegaConf.update(config, "evil", {"_target_": "os.system", "command": f"touch {marker}"}, force_add=True)
    OmegaConf.update(config, "head.level", text.replace("MARKER", str(marker)), force_add=True)
    (run / "config.yaml").write_text(OmegaConf.to_yaml(config))
    with pytest.raises(SegexpError) as caught:
        load(run)
    assert said in caught.value.what and "head.level" in f"{caught.value.what} {caught.value.where}"


def test_the_environment_is_read_for_a_training_and_not_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("LAB_TOKEN", SECRET)
    config = compose(
        "train", [f"paths.outputs={tmp_path}", "logger=mlflow", "logger.mlflow.tracking_uri=http://me:${oc.env:LAB_TOKEN}@host"]
    )
    assert resolve(config)["logger"]["mlflow"]["tracking_uri"] == f"http://me:{SECRET}@host"
    assert SECRET not in OmegaConf.to_yaml(config)


@pytest.mark.parametrize("place", ["name", "data.height", "metrics.semantic.x"])
def test_a_stored_config_that_asks_for_a_secret_shows_none(place, run, marker, monkeypatch, capsys):
    monkeypatch.setenv("LAB_TOKEN", SECRET)
    config = OmegaConf.load(run / "config.yaml")
    OmegaConf.update(config, place, "${oc.env:LAB_TOKEN}", force_add=True)
    (run / "config.yaml").write_text(OmegaConf.to_yaml(config))
    main(["evaluate", str(run)])
    main(["report", str(run)])
    told = capsys.readouterr()
    assert SECRET not in told.out + told.err
    assert not [path for path in run.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()]


def test_a_folder_isn_t_named_by_a_secret(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("LAB_TOKEN", SECRET)
    assert main(["train", *TINY, f"paths.outputs={tmp_path}", "name=${oc.env:LAB_TOKEN}"]) == 2
    assert SECRET not in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_the_texts_would_work_where_they_are_trusted(tmp_path):
    """The control: a loader that trusts runs the tag, and the aliases unfold."""
    import yaml

    marker = tmp_path / "trusted"
    yaml.unsafe_load(STORED["python/object/apply"][0].replace("MARKER", str(marker)))
    assert marker.exists()
    small = yaml.safe_load(laughs(levels=4))
    assert str(small["a3"]).count("x") == 10**3
