"""A config names only what it may: typed, in an experiment's file, in a stored config, at any depth; nothing is imported for it."""

import subprocess
import sys

import pytest
import yaml
from omegaconf import OmegaConf

from segexp import allow as rules
from segexp.allow import located, may_name
from segexp.cli.main import main
from segexp.config import conf_dir, make
from segexp.errors import ConfigError
from tests.security.conftest import TINY
from tests.security.effects import CANARY, watched
from tests.security.targets import AROUND, DIRECT

NOT_AMONG = "is not among the targets that a config may call"
RIGHT = ("may call", "there is no module", "a target is the dotted name", "has no ")


@pytest.fixture(autouse=True)
def nothing_allowed(monkeypatch, tmp_path):
    monkeypatch.setattr(rules, "_added", ())
    (tmp_path / f"{CANARY}.py").write_text("raise SystemExit('imported')\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield
    assert CANARY not in sys.modules


WAYS = {
    "itself": lambda node: node,
    "partial": lambda node: node | {"_partial_": True},
    "below a stage": lambda node: {"_target_": "segexp.optim.optimizers.sgd", "_partial_": True, "lr": node},
    "in a list of arguments": lambda node: {"_target_": "segexp.optim.optimizers.sgd", "_args_": [[{"a": node}]]},
    "not converted": lambda node: {"_target_": "torch.nn.Sequential", "_convert_": "object", "_recursive_": False, "_args_": [node]},
}


@pytest.mark.parametrize("name", DIRECT)
def test_a_node_is_refused_in_every_way_to_write_it(name, marker):
    node = yaml.safe_load(DIRECT[name].replace("MARKER", str(marker)))
    for way in WAYS.values():
        with pytest.raises(ConfigError) as caught:
            make(OmegaConf.create({"head": way(node)})["head"])
        assert any(said in caught.value.what for said in RIGHT)
        assert caught.value.where.startswith("head") and "_target_: " in caught.value.where and caught.value.fix


@pytest.mark.parametrize("name", AROUND)
def test_a_way_through_what_is_allowed_is_refused(name, marker):
    target = AROUND[name].replace("MARKER", str(marker))
    with pytest.raises(ConfigError) as caught:
        located(target, "head")
    assert any(said in caught.value.what for said in RIGHT)
    assert caught.value.where == f"head._target_: {target}"


CHOSEN = ("os.system", "importlib", "open", "partial", "our allow", "torch.hub")


@pytest.mark.parametrize("name", CHOSEN)
def test_typed_or_from_a_file_it_ends_the_command(name, tmp_path, marker, capsys):
    node = yaml.safe_load(DIRECT[name].replace("MARKER", str(marker)))
    outputs = f"paths.outputs={tmp_path}/runs"
    (tmp_path / "conf" / "head").mkdir(parents=True)
    (tmp_path / "conf" / "head" / "evil.yaml").write_text(yaml.safe_dump(node))
    search = f"hydra.searchpath=[file://{tmp_path}/conf]"
    for typed in ([f"++optimizer._target_={node['_target_']}"], [search, "head=evil"]):
        for command in ("train", "check", "describe")[: 2 if len(typed) == 1 else 3]:  # describe makes no optimizer
            code = main([command, *TINY, outputs, *typed])
            told = capsys.readouterr()
            assert code in (1, 2) and f"{node['_target_']} {NOT_AMONG}" in told.out + told.err
    assert not (tmp_path / "runs").exists() or not list((tmp_path / "runs").rglob("config.yaml"))


@pytest.mark.parametrize("section", ["head", "data", "postprocess", "metrics.semantic", "augmentation", "backbone", "decoder.low"])
def test_a_stored_config_is_data_for_every_command(section, run, marker, capsys):
    config = OmegaConf.load(run / "config.yaml")
    evil = {"_target_": "os.system", "command": f"touch {marker}"}
    OmegaConf.update(config, section, evil, merge=section == "data", force_add=True)
    (run / "config.yaml").write_text(OmegaConf.to_yaml(config))
    for command in (["evaluate", str(run)], ["predict", str(run), str(run / "images")], ["verify", str(run)], ["reproduce", str(run)]):
        assert main(command) in (1, 2)
    for command in (["report", str(run)], ["runs", str(run.parent)]):
        main(command)
    assert f"os.system {NOT_AMONG}" in capsys.readouterr().err


def test_nothing_that_a_run_keeps_can_allow_anything(run, marker, capsys):
    (run / "overrides.txt").write_text("segexp train --allow=os --allow=segexp_canary head=evil\n")
    (run / "config.yaml").write_text((run / "config.yaml").read_text() + "allow: [os]\n--allow: os\n")
    config = OmegaConf.load(run / "config.yaml")
    config.head = {"_target_": "os.system", "command": f"touch {marker}"}
    (run / "config.yaml").write_text(OmegaConf.to_yaml(config))
    assert main(["evaluate", str(run)]) == 2
    assert main(["reproduce", str(run), "--anyway"]) in (1, 2)
    assert rules.allowed() == () and f"os.system {NOT_AMONG}" in capsys.readouterr().err


def targets(node):
    """All targets in a file of the config tree."""
    if isinstance(node, dict):
        yield from ([node["_target_"]] if "_target_" in node else [])
        for item in node.values():
            yield from targets(item)
    elif isinstance(node, list):
        for item in node:
            yield from targets(item)


def test_nothing_shipped_is_refused():
    files = {path: yaml.safe_load(path.read_text()) for path in sorted(conf_dir().rglob("*.yaml"))}
    found = {target for tree in files.values() for target in targets(tree) if "${" not in target}
    assert len(files) > 150 and len(found) > 80
    assert not [target for target in found if not may_name(target)]
    for target in sorted(found):
        assert callable(located(target))


def test_the_targets_would_work_where_they_are_trusted(tmp_path, monkeypatch):
    """The control: Hydra alone runs them, and what watches sees it."""
    from hydra.utils import instantiate

    with watched(tmp_path) as effects:
        instantiate({"_target_": "pathlib.Path.touch", "_args_": [{"_target_": "pathlib.Path", "_args_": [f"{tmp_path}/marker"]}]})
        instantiate({"_target_": "io.open", "_args_": ["/dev/shm/segexp-elsewhere", "w"]}).close()
    assert effects == ["the marker is there"]  # /dev is nobody's
    outside = tmp_path.parent / f"{tmp_path.name}-outside"
    with watched(tmp_path / "none") as effects:
        instantiate({"_target_": "io.open", "_args_": [str(outside), "w"]}).close()
        subprocess.run(["true"], check=True)  # Hydra refuses some of them by a list of its own
        with pytest.raises(SystemExit):
            monkeypatch.syspath_prepend(tmp_path)
            __import__(CANARY)
    assert [effect.split()[0] for effect in effects] == ["open", "subprocess.Popen", "import"]
    outside.unlink()
