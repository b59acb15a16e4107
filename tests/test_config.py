import functools
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigAttributeError

from segexp import config
from segexp.catalogue import catalogue
from segexp.config import complete, compose, conf_dir, make, resolve, session
from segexp.errors import ConfigError, DataError
from segexp.overrides import describe_option, groups, options
from tests.config_tree import Stage, write_tree

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def conf(tmp_path):
    return write_tree(tmp_path / "conf")


def error_of(call, *args, **kwargs) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        call(*args, **kwargs)
    assert "\n" not in str(caught.value)
    return caught.value


# ------------------------------------------------------------------------------------------------- places and sessions


def test_conf_dir_is_the_checkouts_and_the_wheels_has_precedence(tmp_path, monkeypatch):
    assert conf_dir() == ROOT / "conf"
    package = tmp_path / "site" / "segexp"
    (package / "conf").mkdir(parents=True)
    monkeypatch.setattr(config, "__file__", str(package / "config.py"))
    error = error_of(conf_dir)
    assert error.what == "the configs are missing" and str(package / "conf") in error.where and "train.yaml" not in str(error)
    (package / "conf" / "train.yaml").touch()
    assert conf_dir() == package / "conf"


def test_import_is_light_and_a_slip_is_told_without_torch():
    code = """
        import sys
        import segexp.config, segexp.overrides, segexp.presets
        assert not {"torch", "hydra", "omegaconf"} & set(sys.modules), "at import"
        try:
            segexp.config.compose("train", ["modle=x"])
        except segexp.errors.ConfigError as error:
            print(error.line())
        segexp.config.compose("train", [])
        assert "torch" not in sys.modules, "to compose"
    """
    code = "\n".join(line.strip() if not line.startswith("            ") else line[8:] for line in code.splitlines())
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "segexp: error[config]: there is no group or key modle; modle=x; fix: did you mean model"


def test_session_puts_back_what_was_initialised(conf, tmp_path):
    assert not GlobalHydra.instance().is_initialized()
    other = tmp_path / "other"
    other.mkdir()
    (other / "main.yaml").write_text("a: 1\n")
    with initialize_config_dir(str(other), version_base="1.3"):
        theirs = GlobalHydra.instance().hydra
        with session(conf):
            assert GlobalHydra.instance().hydra is not theirs
        assert GlobalHydra.instance().hydra is theirs
    with pytest.raises(RuntimeError, match="stop"), session(conf):
        raise RuntimeError("stop")
    assert not GlobalHydra.instance().is_initialized()


def test_nested_sessions_of_one_folder_share_what_was_read(conf, tmp_path):
    with session(conf):
        known = catalogue("train")
        compose("train", ["seed=1"], conf=conf)
        assert catalogue("train") is known and list(known.bases) == [()]
        compose("train", ["seed=2", "head=center"], conf=conf)
        assert list(known.bases) == [(), ("head=center",)]
        hydra = GlobalHydra.instance().hydra
        compose("train", conf=write_tree(tmp_path / "second", head__late="width: 1\n"))
        assert GlobalHydra.instance().hydra is hydra
        assert catalogue("train") is known
    with session(conf):
        assert catalogue("train") is not known


# ------------------------------------------------------------------------------------------------- composition


OVERRIDES = [
    [],
    ["seed=3", "optimizer.lr=1e-3", "name='a, b'"],
    ["head=center", "head.sigma=2"],
    ["model=centers", "head.width=3", "trainer.max_epochs=7"],
    ["experiment=centers_long", "head=fcn", "head.dropout=0.5"],
    ["metrics=[semantic,panoptic]", "metrics.panoptic.width=9"],
    ["task=panoptic", "model=queries"],
    ["+tags.owner=me", "+run.extra={a: 1, b: [2, 3]}", "++seed=5"],
    ["~data.loader.workers", "data.loader.batch_size=2"],
    ["optimizer={lr: 0.5, momentum: 0.0}"],
    ["loss=dice", "loss.smooth=0.5", "paths.outputs=/elsewhere"],
]


@pytest.mark.parametrize("overrides", OVERRIDES, ids=" ".join)
def test_compose_equals_hydras_own_composition(conf, overrides):
    from hydra import compose as hydra_compose

    with initialize_config_dir(str(conf), version_base="1.3"):
        expected = hydra_compose("train", overrides)
    found = compose("train", overrides, conf=conf)
    assert isinstance(found, DictConfig)
    assert OmegaConf.to_container(found, resolve=False) == OmegaConf.to_container(expected, resolve=False)


def test_compose_keeps_interpolations_and_refuses_new_keys(conf):
    found = compose("train", conf=conf)
    assert OmegaConf.to_container(found, resolve=False)["data"]["root"] == "${paths.outputs}/dots"
    assert "hydra" not in found
    with pytest.raises(ConfigAttributeError):
        found.run.thread = 3


def test_hydras_keys_are_accepted_and_leave_no_trace(conf):
    plain = compose("train", conf=conf)
    assert compose("train", ["hydra.mode=MULTIRUN", "hydra/launcher=basic"], conf=conf) == plain
    assert compose("train", ["hydra.sweep.dir=/tmp/x"], conf=conf) == plain


# ------------------------------------------------------------------------------------------------- resolving


def test_resolve(conf):
    found = resolve(compose("train", ["paths.outputs=/o"], conf=conf))
    assert found["data"] == {"_target_": "tests.config_tree.Dots", "root": "/o/dots", "loader": {"batch_size": 8, "workers": 0}}


@pytest.mark.parametrize(
    ("override", "what", "fix"),
    [
        ("name=${seeed}", "name refers to seeed, which doesn't exist", "did you mean seed"),
        ("optimizer.lr=${nokey}", "optimizer.lr refers to nokey, which doesn't exist", "give optimizer.lr=..."),
        (
            "paths.outputs=${oc.env:NOT_SET_ANYWHERE}",
            "paths.outputs needs the environment variable NOT_SET_ANYWHERE, which isn't set",
            "export",
        ),
        ("name=???", "name has no value", "give name=..."),
        ("name=${nosuch:1}", "name can't be resolved: Unsupported interpolation type nosuch", "give name=..."),
    ],
)
def test_resolve_names_the_key(conf, override, what, fix):
    error = error_of(resolve, compose("train", [override], conf=conf))
    assert error.what == what and fix in error.fix
    assert error.where.startswith(override.partition("=")[0])


# ------------------------------------------------------------------------------------------------- objects


def test_make_gives_objects_and_partials_of_plain_containers(conf):
    found = compose("train", ["+head.parts={a: {b: [1, 2]}}"], conf=conf)
    head = make(found.head)
    assert isinstance(head, functools.partial) and head.func is Stage
    assert complete(head, "spec").parts == {"a": {"b": [1, 2]}} and type(head("spec").parts["a"]["b"]) is list
    assert make(found.trainer).max_epochs == 3
    assert list(make(found.metrics)) == ["semantic"]
    assert make(None) is None


@pytest.mark.parametrize(
    ("target", "what", "fix"),
    [
        ("tests.config_tree.Stagee", "tests.config_tree has no Stagee", "did you mean tests.config_tree.Stage"),
        ("tests.confg_tree.Stage", "tests has no confg_tree", "did you mean tests.config_tree.Stage"),
        ("segexpp.model.Model", "there is no module segexpp", "did you mean segexp.model.Model"),
        ("nothing_like_it_there.X", "there is no module nothing_like_it_there", "install or write nothing_like_it_there.X"),
        ("tests.config_tree", "tests.config_tree can't be called", "name a class or a function"),
    ],
)
def test_make_names_a_target_that_does_not_exist(conf, target, what, fix):
    error = error_of(make, compose("train", [f"head._target_={target}"], conf=conf).head)
    assert (error.what, error.fix) == (what, fix)
    assert error.where.startswith("head._target_")


def test_make_names_what_an_import_lacks(conf, tmp_path, monkeypatch):
    (tmp_path / "needy_part.py").write_text("import not_installed_at_all\n")
    (tmp_path / "broken_part.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(tmp_path)
    error = error_of(make, compose("train", ["head._target_=needy_part.X"], conf=conf).head)
    assert error.what == "needy_part needs not_installed_at_all, which isn't installed"
    error = error_of(make, compose("train", ["head._target_=broken_part.X"], conf=conf).head)
    assert error.what == "broken_part can't be imported: ZeroDivisionError: division by zero"


def test_make_refuses_a_key_that_the_target_does_not_take(conf):
    error = error_of(make, compose("train", ["+trainer.max_epoch_count=1"], conf=conf).trainer)
    assert error.what == "tests.config_tree.Trainer takes no key max_epoch_count"
    assert error.where == "trainer.max_epoch_count"
    assert error.fix == "did you mean max_epochs; it takes max_epochs, profiler"


def test_make_refuses_it_at_once_also_for_partials_and_parts(conf):
    found = compose("train", ["+head.parts={a: {_target_: tests.config_tree.Stage, _partial_: true, widht: 3}}"], conf=conf)
    error = error_of(make, found.head)
    assert error.where == "head.parts.a.widht" and error.fix.startswith("did you mean width; it takes width, dropout")


def test_make_passes_the_projects_own_errors(conf):
    node = OmegaConf.create({"_target_": "tests.config_tree.Dots", "root": "/nowhere"})
    with pytest.raises(DataError, match="no dots in /nowhere"):
        make(node)


def test_make_and_complete_say_the_same_of_a_failing_constructor(conf):
    node = compose("train", ["head.width=-1"], conf=conf).head
    late = error_of(complete, make(node), "spec")
    node._partial_ = False
    early = error_of(make, node)
    assert early.what == late.what == "tests.config_tree.Stage can't be made from these keys: ValueError: negative width"
    assert early.where == late.where == "head"
    assert isinstance(early.__cause__.__cause__, ValueError) and isinstance(late.__cause__, ValueError)


def test_make_says_where_a_node_was_that_has_been_cut_out():
    error = error_of(make, OmegaConf.create({"_target_": "tests.config_tree.Trainer", "max_epoch": 1}), key="trainer")
    assert error.where == "trainer.max_epoch"


def test_make_names_an_interpolation_that_leads_nowhere(conf):
    error = error_of(make, compose("train", ["head.width=${nokey}"], conf=conf).head)
    assert error.what == "head.width refers to nokey, which doesn't exist"


# ------------------------------------------------------------------------------------------------- the shipped configs


def test_helpers_work_without_a_session():
    assert "shapes" in options("data") and groups()[0] == "paths" and describe_option("data", "shapes")


def test_the_shipped_configs_compose():
    found = compose("train", ["seed=3", "trainer.max_epochs=1"])
    assert found.seed == 3 and found.trainer.max_epochs == 1
    assert resolve(found)["seed"] == 3


def test_a_slip_comes_back_quickly_enough_to_be_read_from_the_shipped_configs():
    env = dict(os.environ, OMP_NUM_THREADS="1")
    code = "import segexp.config as c; c.compose('train', ['trainer.max_epoch=3'])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.endswith("there is no key trainer.max_epoch; trainer.max_epoch=3; fix: did you mean trainer.max_epochs")


def test_random_overrides_of_the_shipped_configs_compose_as_hydra_composes_them():
    from hydra import compose as hydra_compose

    rng = random.Random(0)
    values = ["seed=7", "optimizer.lr=0.5", "trainer.max_epochs=2", "data.loader.batch_size=3", "+run.note=x", "~trainer.precision"]
    for _ in range(4):
        chosen = [
            f"{group}={rng.choice(options(group))}" for group in rng.sample(["data", "decoder", "optimizer", "task", "model", "debug"], 3)
        ]
        overrides = rng.sample(chosen + rng.sample(values, 3), 6)
        with session():
            expected = hydra_compose("train", overrides)
            found = compose("train", overrides)
        assert OmegaConf.to_container(found, resolve=False) == OmegaConf.to_container(expected, resolve=False), overrides
