"""The config of a trained run with overrides: what may be swapped, what may be set, and what is refused in which words."""

import subprocess
import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from segexp.config import compose, session
from segexp.errors import ConfigError
from segexp.runs.recompose import recompose


@pytest.fixture(scope="module", autouse=True)
def _session():
    with session():  # compositions share what has been read
        yield


@pytest.fixture
def stored(tmp_path):
    """A run's config.yaml that differs from the tree of today: a value, a key of its own, a section that the tree lacks."""
    config = compose("train", ["backbone=resnet50", "data=shapes", "optimizer.lr=0.5", "paths.data=/small"])
    OmegaConf.set_struct(config, False)
    config.backbone.of_the_time = 7
    config.vanished = {"key": "${optimizer.lr}"}
    path = tmp_path / "config.yaml"
    path.write_text(OmegaConf.to_yaml(config, resolve=False))
    return path


def plain(config):
    return OmegaConf.to_container(config, resolve=False)


def refused(stored, *overrides):
    with pytest.raises(ConfigError) as caught:
        recompose(stored, overrides)
    assert caught.value.exit_code == 2
    return caught.value


# ------------------------------------------------------------------ what is allowed


def test_the_protocol_comes_and_goes_also_where_the_run_knew_of_none(stored):
    sliding = recompose(stored, ["protocol=sliding", "protocol.window=[64,96]"])
    assert (sliding.protocol.window, sliding.protocol.overlap) == ([64, 96], 0.5)
    assert "protocol" not in recompose(stored, ["protocol=whole"])
    stored.write_text(OmegaConf.to_yaml(sliding, resolve=False))
    assert recompose(stored, ["protocol=multi_scale"]).protocol == compose("train", ["protocol=multi_scale"]).protocol
    assert "protocol" not in recompose(stored, ["protocol=whole"])


def test_without_overrides_the_stored_config_comes_back(stored):
    config = recompose(stored, [])
    assert config == OmegaConf.load(stored)
    assert (config.backbone.of_the_time, config.vanished.key, config.optimizer.lr) == (7, 0.5, 0.5)
    assert OmegaConf.is_struct(config)


def test_a_data_set_is_swapped_and_single_keys_of_the_model_change(stored):
    config = recompose(stored, ["data=camvid", "backbone.output_stride=8"])
    before = plain(OmegaConf.load(stored))
    assert plain(config)["data"] == plain(compose("train", ["data=camvid"]))["data"]
    assert plain(config)["backbone"] == before["backbone"] | {"output_stride": 8}
    assert before["backbone"]["output_stride"] != 8 and before["backbone"]["of_the_time"] == 7
    rest = [key for key in before if key not in ("data", "backbone")]
    assert [(key, plain(config)[key]) for key in rest] == [(key, before[key]) for key in rest]


@pytest.mark.parametrize("order", [1, -1])
def test_keys_apply_to_the_swapped_node_in_any_order(stored, order):
    config = recompose(stored, ["data=camvid", "data.split=test", "paths.data=/big"][::order])
    assert config.data.root == "/big/camvid" and config.data.split == "test"
    assert "root: ${paths.data}/camvid" in OmegaConf.to_yaml(config)  # the interpolation is kept


def test_a_moved_data_folder_reaches_the_stored_data_set(tmp_path):
    (tmp_path / "config.yaml").write_text(OmegaConf.to_yaml(compose("train", ["data=camvid", "paths.data=/then"])))
    assert recompose(tmp_path / "config.yaml", ["paths.data=/moved"]).data.root == "/moved/camvid"


def test_a_list_of_metrics_is_a_swap(stored):
    assert recompose(stored, ["metrics=[semantic]"]).metrics == compose("train", ["metrics=[semantic]"]).metrics


@pytest.mark.parametrize("swap", ["trainer=cpu", "postprocess=argmax", "augmentation=scale_crop", "paths=default"])
def test_other_groups_that_may_be_swapped(stored, swap):
    group = swap.partition("=")[0]
    assert recompose(stored, [swap])[group] == compose("train", [swap])[group]


def test_keys_are_added_with_a_plus(stored):
    config = recompose(stored, ["+postprocess.extra={a: 1}", "++head.width=9", "++backbone.output_stride=8"])
    assert (config.postprocess.extra, config.head.width, config.backbone.output_stride) == ({"a": 1}, 9, 8)


def test_values_keep_their_types_and_their_interpolations(stored):
    config = recompose(stored, ["optimizer.lr=1e-3", "data.split='null'", "data.limit=null", "monitor=${data.split}"])
    assert (config.optimizer.lr, config.data.split, config.data.limit, config.monitor) == (0.001, "null", None, "null")
    assert "monitor: ${data.split}" in OmegaConf.to_yaml(config)


def test_a_dict_changes_the_keys_that_it_names(stored):
    config = recompose(stored, ["data.loader={eval_batch_size: 3}"])
    assert config.data.loader == plain(OmegaConf.load(stored).data.loader) | {"eval_batch_size": 3}


def test_the_stored_file_stays_as_it_was(stored):
    before = stored.read_text()
    recompose(stored, ["data=camvid", "seed=5"])
    assert stored.read_text() == before


# ------------------------------------------------------------------ what is refused


def test_a_part_of_the_trained_model_is_refused(stored):
    error = refused(stored, "backbone=resnet18")
    assert str(error) == (
        "backbone is part of the trained model; backbone=resnet18; "
        "fix: override single keys (backbone.<key>=...), or train with backbone=resnet18"
    )


@pytest.mark.parametrize("group", ["decoder", "head", "loss", "task", "model", "experiment", "optimizer", "scheduler"])
def test_so_is_every_other_part(stored, group):
    error = refused(stored, f"{group}=whatever")
    assert error.what == f"{group} is part of the trained model" and "override single keys" in error.fix


@pytest.mark.parametrize("line", ["logger=wandb", "callbacks=default", "debug=fast", "data@other=camvid"])
def test_groups_without_a_meaning_for_a_trained_run_are_refused(stored, line):
    error = refused(stored, line)
    assert error.what.endswith("can't be chosen anew for a trained run") and error.where == line
    assert error.fix == "what can: data, augmentation, postprocess, protocol, metrics, trainer, paths"


def test_a_misspelt_key_names_the_near_one_and_its_siblings(stored):
    error = refused(stored, "backbone.outptu_stride=8")
    assert error.what == "there is no key backbone.outptu_stride" and error.where == "backbone.outptu_stride=8"
    assert error.fix.startswith(
        "did you mean backbone.output_stride; the keys there: freeze, norm_eval, mean, std, checkpoint_stages, _target_, "
    )
    assert error.fix.endswith("; +backbone.outptu_stride=8 adds one") and "of_the_time" in error.fix


def test_a_misspelt_section_names_the_near_one(stored):
    assert refused(stored, "bakcbone.output_stride=8").fix.startswith("did you mean backbone.output_stride; the keys there: name, seed, ")


def test_a_key_below_a_value_is_refused(stored):
    assert refused(stored, "seed.x=1").what == "there is no key seed.x: seed is a value"


def test_a_misspelt_option_names_the_near_one(stored):
    error = refused(stored, "data=camvdi")
    assert "camvdi" in error.what and "data=camvid" in error.fix


@pytest.mark.parametrize("line", ["data.split=a,b", "data=camvid,shapes", "seed=range(3)", "optimizer.lr=interval(0,1)"])
def test_sweeps_are_refused(stored, line):
    error = refused(stored, line)
    assert error.what == "an evaluation is of one config, and this is a sweep" and error.where == line


@pytest.mark.parametrize("line", ["~postprocess", "~data.split=val"])
def test_deletes_are_refused(stored, line):
    error = refused(stored, line)
    assert error.what == "a key of a trained run can't be deleted" and error.fix == f"{line[1:].split('=')[0]}=null"


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("+seed=1", "seed exists already"),
        ("+data=camvid", "data is there already"),
        ("backbone.output_stride=${nokey}", "backbone.output_stride refers to nokey, which doesn't exist"),
        ("data.loader=5", "data.loader is a section, not a value"),
        ("data.loader={nosuch: 1}", "nosuch"),
        ("metrics=[]", "the choice leaves no metrics"),
        ("name=[", "the override 'name=[' can't be read"),
        ("nogroup/sub=x", "there is no group 'nogroup/sub'"),
    ],
)
def test_other_mistakes(stored, line, what):
    assert what in refused(stored, line).what


def test_what_only_a_logger_needs_may_be_absent(stored, monkeypatch):
    monkeypatch.delenv("SEGEXP_NO_KEY", raising=False)
    config = OmegaConf.load(stored)
    config.logger = {"key": "${oc.env:SEGEXP_NO_KEY}"}
    stored.write_text(OmegaConf.to_yaml(config))
    assert "key: ${oc.env:SEGEXP_NO_KEY}" in OmegaConf.to_yaml(recompose(stored, []))
    config.head.width = "${oc.env:SEGEXP_NO_KEY}"
    stored.write_text(OmegaConf.to_yaml(config))
    assert refused(stored).what == "head.width needs the environment variable SEGEXP_NO_KEY, which isn't set"


@pytest.mark.parametrize("content", [None, "", "[1, 2]", "a: [", "a: ${"])
def test_a_config_that_cannot_be_read_is_named(tmp_path, content):
    path = tmp_path / "config.yaml"
    if content is not None:
        path.write_text(content)
    error = refused(path)
    assert error.what.startswith("the stored config ") and error.where == str(path)


def test_torch_is_not_imported(stored):
    script = "import sys; from segexp.runs.recompose import recompose; from pathlib import Path\n"
    script += "recompose(Path(sys.argv[1]), ['data=camvid']); print('torch' in sys.modules)"
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", script, str(stored)], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
