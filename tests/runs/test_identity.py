"""A run's identity: what changes it, what doesn't, and the text that is hashed."""

import hashlib
import math
import random
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from segexp.errors import ConfigError
from segexp.runs.identity import Rules, canonical, identity, shipped_rules, slug

BASE = """
name: base
seed: 0
paths: {root: /home/ann, data: "${paths.root}/data"}
data: {_target_: segexp.data.shapes.Shapes, root: "${paths.data}/shapes", classes: [a, b], loader: {batch_size: 8, workers: 2}}
backbone: {_target_: segexp.backbones.resnet.ResNet, depth: 18, pretrained: true}
optimizer: {_target_: torch.optim.SGD, lr: 0.001, momentum: 0.9}
trainer: {max_epochs: 3, devices: 1, enable_progress_bar: true}
callbacks: {checkpoint: {every_n_train_steps: 100}, ema: {decay: 0.99}}
"""


def config(*overrides):
    return OmegaConf.merge(OmegaConf.create(BASE), OmegaConf.from_dotlist(list(overrides)))


def same(*overrides):
    return identity(config(*overrides)) == identity(config())


# ------------------------------------------------------------------ the table of the rule, row by row


@pytest.mark.parametrize(
    "override",
    [
        "paths.root=/mnt/bob",  # another PROJECT_ROOT through an interpolation
        "paths.data=/mnt/fast",
        "data.loader.workers=16",
        "trainer.devices=auto",
        "trainer.enable_progress_bar=false",
        "trainer.accelerator=gpu",
        "name=other",
        "tags=[x]",
        "logger.wandb.project=p",
        "launcher.jobs=4",
        "run.again=true",
        "resume.mode=must",
        "errors.traceback=true",
        "debug.level=1",
        "progress.refresh=1",
        "callbacks.checkpoint.every_n_train_steps=5",
        "callbacks.progress.rate=5",
        "optimizer.lr=1e-3",  # as 0.001
        "backbone.depth=18.0",  # a whole float is an integer
        "seed=0",  # a default said aloud
        "backbone.stem=null",  # a new key after an upgrade
        "fresh.section=null",  # a new section after an upgrade
    ],
)
def test_what_only_says_where_how_fast_or_nothing_keeps_the_id(override):
    assert same(override)


@pytest.mark.parametrize(
    "override",
    [
        "backbone._target_=segexp.backbones.timm.Timm",
        "backbone.depth=50",
        "optimizer.lr='\"0.001\"'",  # text, not a number
        "backbone.pretrained=1",  # a number, not a truth value
        "seed=1",
        "trainer.max_epochs=4",
        "data.root=/home/ann/data/shapes",  # typed by hand: it stays in the id
        "data.loader.batch_size=16",
        "data.classes=[b,a]",
        "backbone.stem=deep",  # a new key with a value
        "callbacks.ema.decay=0.9",
    ],
)
def test_what_decides_the_result_changes_the_id(override):
    assert not same(override)


def test_one_written_as_a_float_is_one():
    assert identity(config("optimizer.lr=1")) == identity(config("optimizer.lr=1.0"))


def test_composed_and_decomposed_letters_differ():
    assert identity(config("data.title=\u00e9")) != identity(config("data.title=e\u0301"))


def test_the_order_of_keys_does_not_matter():
    plain = OmegaConf.to_container(config())
    turned = {key: dict(reversed(value.items())) if isinstance(value, dict) else value for key, value in reversed(plain.items())}
    assert identity(OmegaConf.create(turned)) == identity(config())


def test_the_id_is_the_sha256_of_the_text_written_by_hand():
    small = OmegaConf.create({"b": {"x": 1.0, "n": None}, "a": "${paths.root}/é", "paths": {"root": "/r"}, "lr": 0.5})
    text = '{"a":"<paths.root>/\\u00e9","b":{"x":1},"lr":0x1.0000000000000p-1}'
    assert identity(small) == hashlib.sha256(text.encode()).hexdigest()[:12] == "06515e25836d"


# ------------------------------------------------------------------ interpolations


def test_the_environment_counts_by_name(monkeypatch):
    made = OmegaConf.create(
        {"a": "${oc.env:SEGEXP_PLACE}/x", "b": "${oc.env:SEGEXP_OTHER,deflt}", "c": "${oc.decode:${oc.env:SEGEXP_PLACE}}"}
    )
    unset = identity(made)
    monkeypatch.setenv("SEGEXP_PLACE", "/here")
    assert identity(made) == unset == identity(OmegaConf.create({"a": "$SEGEXP_PLACE/x", "b": "$SEGEXP_OTHER", "c": "$SEGEXP_PLACE"}))
    assert made.a == "/here/x"  # the built-in resolver is what it was
    assert identity(OmegaConf.create({"a": "${oc.env:SEGEXP_ELSE}/x", "b": made.b, "c": "/here"})) != unset


def test_hydra_counts_by_name_without_hydra():
    assert identity(OmegaConf.create({"a": "${hydra:runtime.cwd}/x"})) == identity(OmegaConf.create({"a": "$hydra:runtime.cwd/x"}))


def test_dropped_keys_are_never_resolved():
    assert identity(
        OmegaConf.create({"a": 1, "paths": {"root": "${oc.env:SEGEXP_UNSET}", "run": "${now:%Y}", "bad": "${nokey}", "m": "???"}})
    )


@pytest.mark.parametrize("text", ["${now:%Y-%m-%d}", "x/${ now : %H}", "${oc.decode:${now:%Y}}", "${other}"])
def test_the_clock_is_refused_where_it_counts(text):
    with pytest.raises(ConfigError) as caught:
        identity(OmegaConf.create({"data": {"root": text}, "other": "${now:%Y}" if text == "${other}" else ""}))
    assert (
        str(caught.value) == "a run's identity can't depend on the clock; data.root; fix: use ${now:...} only within paths, logger or hydra"
    )


def test_a_key_that_does_not_resolve_is_named():
    with pytest.raises(ConfigError) as caught:
        identity(OmegaConf.create({"data": {"root": "${nokey}/x"}}))
    assert caught.value.what == "Interpolation key 'nokey' not found" and caught.value.where == "data.root"


def test_relative_interpolations_and_whole_sections_resolve():
    made = OmegaConf.create({"a": {"x": 2, "y": "${.x}", "z": "${..b}"}, "b": {"w": "${a.x}"}})
    assert identity(made) == identity(OmegaConf.create({"a": {"x": 2, "y": 2, "z": {"w": 2}}, "b": {"w": 2}}))


def test_the_config_is_left_as_it_was():
    made = config()
    before = OmegaConf.to_yaml(made)
    identity(made)
    assert OmegaConf.to_yaml(made) == before


# ------------------------------------------------------------------ null, neutral, empty


def test_null_keeps_its_place_in_a_list():
    assert identity(OmegaConf.create({"a": [None, 1]})) != identity(OmegaConf.create({"a": [1]}))


def test_what_is_emptied_vanishes_what_was_empty_stays():
    bare = identity(OmegaConf.create({"a": 1}))
    assert identity(OmegaConf.create({"a": 1, "b": {"c": {"d": None}}})) == bare
    assert identity(OmegaConf.create({"a": 1, "b": {}})) != bare
    assert identity(OmegaConf.create({"a": 1, "b": []})) != bare


def test_a_neutral_value_keeps_the_id_another_changes_it():
    rules = Rules(frozenset(), {"ema.decay": 0.0, "loss.weights": [1, 1]})
    bare = identity(OmegaConf.create({"a": 1}), rules)
    assert identity(OmegaConf.create({"a": 1, "ema": {"decay": 0}, "loss": {"weights": [1.0, 1]}}), rules) == bare
    assert identity(OmegaConf.create({"a": 1, "ema": {"decay": 0.1}}), rules) != bare
    assert identity(OmegaConf.create({"a": 1, "ema": {"decay": False}}), rules) != bare


def test_the_shipped_rules_name_each_section_and_no_result_deciding_key():
    rules = shipped_rules()
    assert rules.drop >= {"paths", "logger", "launcher", "hydra", "run", "resume", "errors", "debug", "progress", "name", "tags"}
    assert not rules.drop & {"data", "trainer", "callbacks", "seed", "weights", "determinism", "optimizer", "trainer.precision"}


# ------------------------------------------------------------------ canonical text


class Mode(Enum):
    FAST = 1


class Loud(StrEnum):
    YES = "yes-value"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"),
        (1, "1"),
        (1.0, "1"),
        (-0.0, "0"),
        (1e22, "10000000000000000000000"),
        (0.1, "0x1.999999999999ap-4"),
        ("0x1.999999999999ap-4", '"0x1.999999999999ap-4"'),
        (math.nan, "NaN"),
        (-math.inf, "-Infinity"),
        ("NaN", '"NaN"'),
        ("1", '"1"'),
        (Mode.FAST, '"FAST"'),
        (Loud.YES, '"YES"'),
        (Path("/a/b"), '"/a/b"'),
        ({"b": 1, "a": [None, 2]}, '{"a":[null,2],"b":1}'),
        ({1: "x", "1": "y"}, '{"1":"y",1:"x"}'),
        ('a"é', '"a\\"\\u00e9"'),
    ],
)
def test_canonical_text(value, text):
    assert canonical(value) == text


@pytest.mark.parametrize("value", [b"bytes", {1, 2}, object(), 1j])
def test_what_is_not_plain_is_refused(value):
    with pytest.raises(TypeError, match="has no place in a config"):
        canonical({"key": value})


@dataclass
class Section:
    mode: Mode = Mode.FAST
    size: int = 3
    where: str = "${paths.root}"


@dataclass
class Whole:
    section: Section = field(default_factory=Section)
    paths: dict[str, int] = field(default_factory=lambda: {"root": 7})


def test_a_typed_config_counts_as_its_plain_form():
    plain = OmegaConf.create({"section": {"mode": "FAST", "size": 3, "where": "<paths.root>"}})
    assert identity(OmegaConf.structured(Whole)) == identity(plain)


leaves = st.one_of(st.none(), st.booleans(), st.integers(-5, 5), st.floats(allow_nan=False), st.text("ab1. ", max_size=3))
trees = st.dictionaries(
    st.sampled_from("pqrstu"), st.recursive(leaves, lambda inner: st.dictionaries(st.sampled_from("xyz"), inner, max_size=3), max_leaves=8)
)


def shuffled(tree, rng):
    if not isinstance(tree, dict):
        return tree
    keys = list(tree)
    rng.shuffle(keys)
    return {key: shuffled(tree[key], rng) for key in keys}


@settings(max_examples=60, deadline=None)
@given(trees, st.randoms(use_true_random=False))
def test_any_order_of_keys_gives_one_id(tree, rng):
    assert identity(OmegaConf.create(shuffled(tree, rng)), Rules()) == identity(OmegaConf.create(tree), Rules())


OVERRIDES = ["seed=3", "optimizer.lr=0.1", "data.classes=[c]", "backbone.stem=deep", "optimizer.nesterov=true", "paths.root=/z"]


@settings(max_examples=30, deadline=None)
@given(st.permutations(OVERRIDES))
def test_any_order_of_overrides_gives_one_id(order):
    assert identity(config(*order)) == identity(config(*OVERRIDES))


@settings(max_examples=60, deadline=None)
@given(trees, trees)
def test_two_configs_share_an_id_only_if_their_leaves_are_equal(one, two):
    def flat(tree, key=()):
        if isinstance(tree, dict):
            found = {k: v for name, item in tree.items() for k, v in flat(item, (*key, name)).items()}
            return {key: "empty"} if not tree and key else found
        if tree is None:
            return {}
        return {key: (isinstance(tree, bool), isinstance(tree, str), tree)}

    made = [identity(OmegaConf.create(tree), Rules()) for tree in (one, two)]
    assert (made[0] == made[1]) == (flat(one) == flat(two))


# ------------------------------------------------------------------ slug


@pytest.mark.parametrize(
    ("data", "decoder", "backbone", "seed", "expected"),
    [
        ("a.b.Shapes", "x.DeepLabV3Plus", {"_target_": "y.TimmCNN", "name": "resnet18"}, 0, "shapes-deeplabv3plus-resnet18-s0"),
        ("a.Shapes", "x.FPN", {"_target_": "mylab.Tiny"}, 7, "shapes-fpn-tiny-s7"),
        ("Shapes", None, {"name": "My/Größe Net"}, None, "shapes-my-gr-e-net"),
        ("x" * 80, "r", {}, 12, "x" * 56 + "-s12"),
    ],
)
def test_slug(data, decoder, backbone, seed, expected):
    config = {"data": {"_target_": data}, "decoder": {"_target_": decoder}, "backbone": backbone, "seed": seed}
    assert slug(OmegaConf.create(config)) == expected


@pytest.mark.parametrize(
    ("decoder", "head", "expected"),
    [
        ("feature_pyramid.FeaturePyramid", "fcos.FcosHead", "d-fcos-b"),
        ("parallel.Parallel", "center_offset.CenterOffsetHead", "d-centeroffset-b"),
        ("identity.Identity", "linear.LinearHead", "d-linear-b"),
        ("deeplabv3.DeepLabV3", "semantic.SemanticHead", "d-deeplabv3-b"),
        ("feature_pyramid.FeaturePyramid", "multi.MultiHead", "d-semantic-roi-b"),
        ("identity.Identity", None, "d-identity-b"),
    ],
)
def test_the_head_names_a_model_whose_decoder_many_share(decoder, head, expected):
    config = {"data": {"_target_": "x.D"}, "decoder": {"_target_": f"segexp.decoders.{decoder}"}, "backbone": {"name": "b"}}
    if head == "multi.MultiHead":
        config["head"] = {"_target_": "segexp.heads.multi.MultiHead", "parts": {"semantic": {}, "roi": {}}}
    elif head:
        config["head"] = {"_target_": f"segexp.heads.{head}"}
    assert slug(OmegaConf.create(config)) == expected


def test_a_config_without_stages_has_a_slug():
    assert slug(OmegaConf.create({"seed": None})) == "run"


def test_a_random_slug_keeps_to_its_letters():
    rng = random.Random(0)
    for _ in range(200):
        word = "".join(chr(rng.randrange(32, 500)) for _ in range(rng.randrange(1, 50))).replace("$", "")
        made = slug(OmegaConf.create({"data": {"_target_": word}, "backbone": {"name": word}, "seed": 3}))
        assert set(made) <= set("abcdefghijklmnopqrstuvwxyz0123456789._-") and 0 < len(made) <= 60
