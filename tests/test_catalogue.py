import pytest

from segexp.catalogue import catalogue, descend, did_you_mean, explained, likeness, paths, suggest
from segexp.config import session
from segexp.errors import ConfigError, DataError
from tests.config_tree import write_tree


@pytest.fixture(scope="module")
def known(tmp_path_factory):
    with session(write_tree(tmp_path_factory.mktemp("conf"))):
        yield catalogue("train")


def test_suggest_gives_the_best_alone_where_it_stands_out():
    assert suggest("optimzer", ["optimizer", "monitor", "metrics"]) == ["optimizer"]
    assert suggest("resnet5", ["resnet50", "resnet18", "resnet34", "mobilenet", "resnet152"]) == ["resnet50", "resnet152"]
    assert suggest("anything", ["xyz", "quux"]) == []
    assert suggest("aaab", ["aaac", "aaad", "aaae", "aaaf"]) == ["aaac", "aaad", "aaae"]


def test_likeness_by_hand():
    assert likeness("lrr", "lr") == pytest.approx(2 * 2 / 5)
    assert likeness("epochs", "max_epochs") == 0.8  # part of it: more than the ratio of 12/16
    assert likeness("ResNet-50", "resnet_50") == 1.0
    assert likeness("a", "banana") == pytest.approx(2 / 7)  # too short to count as a part


def test_did_you_mean():
    assert did_you_mean(["a"]) == "did you mean a"
    assert did_you_mean(["a", "b"]) == "did you mean a or b"
    assert did_you_mean(["a", "b", "c"]) == "did you mean a, b or c"


def test_paths_and_descend():
    tree = {"a": {"b": [{"c": 1}], 3: None}, "d": 2}
    assert list(paths(tree)) == ["a", "a.b", "a.3", "d"]
    assert descend(tree, "a.b[0].c") == (["a", "b", "0", "c"], 1, [])
    assert descend(tree, "a.3") == (["a", "3"], None, [])
    assert descend(tree, "a.x.y") == (["a"], tree["a"], ["x", "y"])
    assert descend(tree, "d.x") == (["d"], 2, ["x"])


def test_groups_options_and_presets(known):
    assert {"head", "hydra/launcher"} <= known.groups
    assert "hydra" not in known.own_groups and known.own_groups == sorted(known.own_groups)
    assert known.options("backbone") == ["large", "small"]
    assert [group for group in known.own_groups if known.is_preset(group)] == ["experiment", "model", "task"]


def test_options_in_folders(tmp_path):
    with session(write_tree(tmp_path, experiment__camvid__short="# @package _global_\nname: short\n")):
        assert "camvid/short" in catalogue("train").options("experiment")
        assert catalogue("train").base(("experiment=camvid/short",)).config.name == "short"


def test_keys_of_an_option_include_what_it_builds_on(known):
    assert known.keys_of("loss", "dice") == {"_target_": "tests.config_tree.Stage", "_partial_": True, "width": 1, "smooth": 1.0}
    assert known.keys_of("backbone", "large")["width"] == 64
    assert known.keys_of("model", "centers") == {}
    assert known.keys_of("model", "nowhere") == {}


def test_base_is_composed_once(known):
    first = known.base(("head=center",))
    assert known.base(("head=center",)) is first
    assert "hydra" not in first.config and "hydra" in first.tree
    assert first.choices["head"] == "center" and first.tree["data"]["root"] == "${paths.outputs}/dots"


def test_explained_passes_own_errors_and_turns_others_into_one_line():
    with pytest.raises(DataError), explained():
        raise DataError("mine")
    with pytest.raises(ConfigError, match=r"^two lines; a=b; fix: ") as caught, explained(groups=["a=b"]):
        raise ValueError("two\n   lines")
    assert isinstance(caught.value.__cause__, ValueError)


@pytest.mark.parametrize("groups", [("task=detection", "model=queries"), ("model=queries", "task=detection")], ids=" ".join)
def test_a_model_that_does_not_serve_a_task(known, groups):
    with pytest.raises(ConfigError) as caught:
        known.base(groups)
    assert caught.value.what == "model queries serves task=panoptic|semantic, not task=detection"
    assert caught.value.where == "model/queries.yaml"
    assert caught.value.fix == "choose one of these, or another model"


def test_a_model_chosen_by_an_experiment_that_does_not_serve_a_task(tmp_path):
    mine = "# @package _global_\ndefaults:\n  - override /model: queries\n"
    with session(write_tree(tmp_path, experiment__mine=mine)), pytest.raises(ConfigError, match=r"^model queries serves task="):
        catalogue("train").base(("experiment=mine", "task=detection"))


def test_a_group_that_is_chosen_twice(known):
    with pytest.raises(ConfigError, match=r"^the group experiment is chosen twice; .*without the \+"):
        known.base(("+experiment=centers_long",))


def test_a_group_that_the_primary_does_not_use(tmp_path):
    with session(write_tree(tmp_path, spare__one="a: 1\n")):
        with pytest.raises(ConfigError, match=r"^the primary config has no place for the group spare"):
            catalogue("train").base(("spare=one",))
        assert catalogue("train").base(("+spare=one",)).config.spare.a == 1


def test_a_file_that_overrides_an_unknown_group_is_named(tmp_path):
    mine = "# @package _global_\ndefaults:\n  - override /modle: centers\n"
    with (
        session(write_tree(tmp_path, experiment__mine=mine)),
        pytest.raises(ConfigError, match=r"no place for the group modle; experiment/mine.yaml:3; fix: did you mean model"),
    ):
        catalogue("train").base(("experiment=mine",))


def test_a_file_that_chooses_an_unknown_option_is_named(tmp_path):
    mine = "# @package _global_\ndefaults:\n  - override /head: centre\n"
    with (
        session(write_tree(tmp_path, experiment__mine=mine)),
        pytest.raises(ConfigError, match=r"^experiment/mine.yaml chooses head=centre, which doesn't exist; .*did you mean head=center"),
    ):
        catalogue("train").base(("experiment=mine",))
