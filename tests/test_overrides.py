import pytest

from segexp import overrides as module
from segexp.config import compose, session
from segexp.errors import ConfigError
from segexp.overrides import check_overrides, describe_option, groups, options
from tests.config_tree import write_tree


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """A session that stays open, so that compositions are shared."""
    with session(write_tree(tmp_path_factory.mktemp("conf"))):
        yield


def refused(*overrides: str) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        check_overrides("train", overrides)
    assert "\n" not in str(caught.value)
    return caught.value


# what is typed, what is wrong with it, what to type instead
SLIPS = [
    ("modle=centers", "there is no group or key modle", "did you mean model"),
    ("net=large", "there is no group or key net", "did you mean backbone=large"),
    ("qqq=1", "there is no group or key qqq", "the groups: backbone, data, experiment"),
    ("model=center", "the group model has no option 'center'", "did you mean model=centers"),
    ("model=Centers", "the group model has no option 'Centers'", "did you mean model=centers"),
    ("head=center,fcnn", "the group head has no option 'fcnn'", "did you mean head=fcn"),
    ("head=choice(fcn,centre)", "the group head has no option 'centre'", "did you mean head=center"),
    ("head=glob(x*)", "the group head has no option 'glob(x*)'", "the options of head: center, fcn"),
    ("head=range(2)", "the group head has no option '0' / the group head has no option '1'", "the options of head"),
    ("head=interval(0,1)", "the group head has no option 'interval(0,1)'", "the options of head"),
    ("metrics=[semantic,panoptc]", "the group metrics has no option 'panoptc'", "did you mean metrics=panoptic"),
    ("metrics=[semantic],[sematic]", "the group metrics has no option 'sematic'", "did you mean metrics=semantic"),
    ("trainer=small", "the group trainer has no option 'small'", "'small' is an option of backbone"),
    ("model=null", "the group model can't be null", "use model=none"),
    ("logger=false", "the group logger has no option 'false'", "use logger=none"),
    ("head=null", "the group head can't be null", "the options of head: center, fcn"),
    ("~head=centre", "the group head has no option 'centre'", "did you mean head=center"),
    ("head@other=centre", "the group head has no option 'centre'", "did you mean head=center"),
    ("hydra/launcher=basi", "the group hydra/launcher has no option 'basi'", "did you mean hydra/launcher=basic"),
    ("hydra/lancher=basic", "there is no group 'hydra/lancher'", "did you mean hydra/launcher"),
    ("trainer.max_epoch=3", "there is no key trainer.max_epoch", "did you mean trainer.max_epochs"),
    ("trainer.max_epcohs=1,2,3", "there is no key trainer.max_epcohs", "did you mean trainer.max_epochs"),
    ("optimzer.lr=1", "there is no key optimzer.lr", "did you mean optimizer.lr"),
    ("data.loder.workers=1", "there is no key data.loder.workers", "did you mean data.loader.workers"),
    ("loader.workers=1", "there is no key loader.workers", "did you mean data.loader.workers"),
    ("lr=0.1", "there is no group or key lr", "did you mean optimizer.lr"),
    ("epochs=3", "there is no group or key epochs", "did you mean trainer.max_epochs"),
    ("seeed=3", "there is no group or key seeed", "did you mean seed"),
    (
        "optimizer.nesterov=true",
        "there is no key optimizer.nesterov",
        "the keys of optimizer: lr, momentum; +optimizer.nesterov=true adds a new one",
    ),
    ("=3", "'=3' names no key", "write key=value"),
    ("seed.x=3", "there is no key seed.x: seed is a value, not a section", "set seed itself"),
    ("data.loader=3", "data.loader is a section, not a value", "set one of its keys: batch_size, workers"),
    ("optimizer={lr: 1, momentm: 2}", "there is no key optimizer.momentm", "did you mean optimizer.momentum"),
    ("+trainer.max_epoch=3", "trainer.max_epoch is new, and looks like trainer.max_epochs", "did you mean trainer.max_epochs=3"),
    ("++optimzer.lr=3", "optimzer.lr is new, and looks like optimizer.lr", "did you mean optimizer.lr=3"),
    ("+optimizer.lr=3", "optimizer.lr exists already", "drop the +: optimizer.lr=3"),
    ("~trainer.max_epoch", "there is no key trainer.max_epoch", "did you mean trainer.max_epochs"),
    ("~trainer.profiler", "trainer.profiler is null already, and can't be deleted", "leave out ~trainer.profiler"),
    ("hydra.swep.dir=x", "there is no key hydra.swep.dir", "did you mean hydra.sweep.dir"),
    ("head.sigma=3", "head=fcn has no key sigma", "head.sigma is a key of head=center"),
    ("head.sigmma=3", "head=fcn has no key sigmma", "head.sigma is a key of head=center"),
    ("loss.smooth=0", "loss=ce has no key smooth", "loss.smooth is a key of loss=dice"),
    ("metrics.panoptic.width=1", "there is no key metrics.panoptic.width", "metrics.panoptic.width is a key of metrics=panoptic"),
]


@pytest.mark.parametrize(("line", "what", "fix"), SLIPS, ids=[line for line, _, _ in SLIPS])
def test_slips(tree, line, what, fix):
    error = refused(line)
    assert error.what == what
    assert error.where == line
    assert error.fix.startswith(fix)


SLIPS_OF_SEVERAL = [
    # an option of the same group that was chosen on the line
    (["head=center", "head.dropout=1"], "head=center has no key dropout", "head.dropout is a key of head=fcn"),
    (["head=center", "head.dropuot=1"], "head=center has no key dropuot", "head.dropout is a key of head=fcn"),
    # what a preset chooses counts, and the command line counts more
    (["model=centers", "head.dropout=1"], "head=center has no key dropout", "head.dropout is a key of head=fcn"),
    (["experiment=centers_long", "head=fcn", "head.sigma=1"], "head=fcn has no key sigma", "head.sigma is a key of head=center"),
    (["experiment=centers_long", "metrics.semantic.width=1"], "there is no key metrics.semantic.width", "metrics.semantic.width is a key"),
    # each option of a sweep has to know the key
    (["head=fcn,center", "head.sigma=1"], "head=fcn has no key sigma", "head.sigma is a key of head=center"),
    (["model=none,centers", "head.dropout=1"], "head=center has no key dropout", "head.dropout is a key of head=fcn"),
]


@pytest.mark.parametrize(("lines", "what", "fix"), SLIPS_OF_SEVERAL, ids=[" ".join(lines) for lines, _, _ in SLIPS_OF_SEVERAL])
def test_slips_that_depend_on_other_overrides(tree, lines, what, fix):
    error = refused(*lines)
    assert error.what == what
    assert error.where == lines[-1]
    assert error.fix.startswith(fix)


RIGHT = [
    [],
    ["seed=1", "name=anything", "monitor=val/iou", "run.threads=2"],
    ["head=center", "head.sigma=1"],
    ["model=centers", "head.sigma=1", "head.width=2"],
    ["experiment=centers_long", "metrics.panoptic.width=1"],
    ["backbone=small,large", "backbone.width=1,2", "seed=range(3)", "optimizer.lr=interval(0,1)"],
    ["backbone=glob(*)", "backbone='small','large'"],
    ["metrics=[semantic,panoptic]", "metrics.panoptic.width=4", "metrics.semantic.width=2"],
    ["metrics=[semantic],[semantic,panoptic]"],
    ["backbone=large", "backbone.stride=8"],
    ["+optimizer.nesterov=true", "+tags.a=1", "++seed=2", "++run.fresh=1"],
    ["+head.parts={c4: {a: 1}}", "+head.dropout2=0.5"],  # a number makes a sibling, not a slip
    ["+optimizer={nesterov: true}", "optimizer={lr: 1}", "run=null", "data.loader=${run}"],
    ["~data.loader", "~experiment", "~logger=none"],
    ["hydra.mode=MULTIRUN", "hydra/launcher=basic", "hydra.sweep.dir=x", "+hydra.job.env_set.A=1", "hydra.launcher=null"],
    ["task=panoptic", "model=queries"],
    ["experiment='centers_long'"],
]


@pytest.mark.parametrize("lines", RIGHT, ids=" ".join)
def test_what_is_right_passes(tree, lines):
    checked = check_overrides("train", lines)
    assert len(checked.groups) + len(checked.values) == len(lines)


def test_all_errors_are_reported_at_once(tree):
    error = refused("head=centre", "seeed=1", "optimizr.lr=2", "head.anything=3", "trainer.max_epochs=4")
    assert error.what == "the group head has no option 'centre' / there is no group or key seeed / there is no key optimizr.lr"
    assert error.where == "head=centre seeed=1 optimizr.lr=2"
    assert error.fix == "did you mean head=center; did you mean seed; did you mean optimizer.lr"


def test_keys_below_a_misspelt_preset_are_not_judged(tree):
    error = refused("model=centres", "head.sigma=1", "modle=x")
    assert error.where == "model=centres modle=x"


@pytest.mark.parametrize(
    ("line", "fix"),
    [
        ("trainer.max_epochs", "write trainer.max_epochs=<value>"),
        ("name=é", "quote the value, inside the shell's own quotes: \"name='é'\""),
        ("name=[a", "quote the value"),
    ],
)
def test_syntax(tree, line, fix):
    error = refused("seed=1", line)
    assert error.what.startswith(f"the override '{line}' can't be read") and error.fix.startswith(fix)
    assert "^" not in error.what and "https" not in error.what and "Exception" not in error.what


def test_the_first_choice_of_a_sweep_stands_for_it(tree):
    checked = check_overrides("train", ["head=center,fcn", "seed=1,2", "backbone=large"])
    assert checked.groups == ("head=center", "backbone=large")
    assert checked.sweeps == ("head=center,fcn", "seed=1,2")
    assert [override.input_line for override in checked.values] == ["seed=1,2"]


def test_compositions_are_bounded(tree, monkeypatch):
    monkeypatch.setattr(module, "MAX_VARIANTS", 2)
    check_overrides("train", ["head=center,center,fcn", "head.sigma=1"])  # the third isn't composed
    assert refused("head=center,fcn", "head.sigma=1").what == "head=fcn has no key sigma"


# ------------------------------------------------------------------------------------------------- what list shows


def test_groups_in_the_order_of_the_primary(tree):
    assert groups()[:5] == ["paths", "data", "backbone", "head", "loss"]
    assert groups()[-3:] == ["task", "model", "experiment"]


def test_options(tree):
    assert options("postprocess") == ["argmax", "query_panoptic", "query_semantic"]
    with pytest.raises(ConfigError, match=r"there is no group 'heda'.*did you mean head"):
        options("heda")


def test_descriptions(tree):
    assert describe_option("backbone", "small") == "a small one, quick to train"
    assert describe_option("backbone", "large") == "A large one"
    assert describe_option("head", "fcn") == ""
    assert describe_option("hydra/launcher", "basic") == ""


# ------------------------------------------------------------------------------------------------- the shipped configs


@pytest.fixture(scope="module")
def shipped():
    with session():
        yield


def test_every_shipped_option_says_what_it_is(shipped):
    silent = [f"{group}/{option}" for group in groups() for option in options(group) if not describe_option(group, option)]
    assert not silent


@pytest.mark.parametrize(
    ("line", "fix"),
    [
        ("data=shape", "did you mean data=shapes"),
        ("trainer.max_epoch=3", "did you mean trainer.max_epochs"),
        ("optimizer.weigth_decay=0", "did you mean optimizer.weight_decay"),
        ("data.loader.worker=2", "did you mean data.loader.workers"),
        ("determinsm=strict", "did you mean determinism"),
        ("+run.thread=2", "did you mean run.threads=2"),
        ("batch_size=2", "did you mean data.loader.batch_size"),
    ],
)
def test_slips_in_the_shipped_configs(shipped, line, fix):
    assert refused(line).fix == fix


def test_compose_checks_first(shipped):
    with pytest.raises(ConfigError, match=r"there is no key trainer.max_epoch; "):
        compose("train", ["trainer.max_epoch=3"])


def test_a_null_key_takes_a_dict_and_a_section_only_its_keys():
    classes = compose("train", ["data=folder", "data.root=x", "data.classes={cat: 1, dog: [255,0,0]}"]).data.classes
    assert classes == {"cat": 1, "dog": [255, 0, 0]}
    with pytest.raises(ConfigError, match=r"there is no key trainer\.max_epoch; .*did you mean trainer.max_epochs"):
        compose("train", ["trainer={max_epoch: 1}"])
