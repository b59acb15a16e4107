import pytest

from segexp.catalogue import catalogue
from segexp.config import compose, session
from segexp.errors import ConfigError
from segexp.presets import preset_faults
from tests.config_tree import write_tree


def test_the_shipped_presets_set_only_keys_that_exist():
    with session():
        assert preset_faults() == []


def faults_of(folder, *texts: str) -> list[str]:
    """What is wrong with experiments of these contents, named mine0, mine1, ..."""
    files = {f"experiment__mine{number}": f"# @package _global_\n{text}" for number, text in enumerate(texts)}
    with session(write_tree(folder, **files)):
        return preset_faults(presets=["experiment"])


def test_keys_that_nothing_defines(tmp_path):
    slips = {
        "trainer: {max_epoch: 3}": "trainer.max_epoch, which nothing defines (did you mean trainer.max_epochs)",
        "seeed: 3": "seeed, which nothing defines (did you mean seed)",
        "run: {thread: 3}": "run.thread, which nothing defines (did you mean run.threads)",
        "head: {sigma: 3}": "head.sigma, which nothing defines (remove head.sigma)",
        "data: {loader: {qqq: 3}}": "data.loader.qqq, which nothing defines (did you mean data.loader)",
    }
    assert faults_of(tmp_path, *slips) == [f"experiment/mine{n}.yaml sets {said}" for n, said in enumerate(slips.values())]


def test_keys_that_are_meant(tmp_path):
    right = [
        "seed: 3\nrun: {threads: 2}\ndata: {loader: {workers: 1}}\ntrainer: {max_epochs: 3}",
        "defaults:\n  - override /head: center\n  - _self_\nhead: {sigma: 3}",
        "defaults:\n  - override /loss: dice\n  - _self_\nloss: {smooth: 3, width: 2}",
        "defaults:\n  - override /metrics: [semantic, panoptic]\n  - _self_\nmetrics: {panoptic: {width: 3}}",
        "tags: {anything: 1}",  # an empty section is there to be filled
        "head: {parts: {_target_: tests.config_tree.Stage, width: 3}}",  # a node with its own target
        "hydra: {sweep: {dir: x}}",
    ]
    assert faults_of(tmp_path, *right) == []


def test_composition_refuses_a_slip_in_a_section_that_no_target_guards(tmp_path):
    conf = write_tree(tmp_path, experiment__mine="# @package _global_\nrun: {thread: 3}\nsede: 4\n")
    with pytest.raises(ConfigError) as caught:
        compose("train", ["experiment=mine"], conf=conf)
    assert (
        caught.value.what
        == "experiment/mine.yaml sets run.thread, which nothing defines / experiment/mine.yaml sets sede, which nothing defines"
    )
    assert caught.value.where == "experiment/mine.yaml:2 experiment/mine.yaml:3"
    assert caught.value.fix == "did you mean run.threads; did you mean seed"


def test_composition_leaves_sections_with_a_target_to_make(tmp_path):
    conf = write_tree(tmp_path, experiment__mine="# @package _global_\ntrainer: {max_epoch: 3}\n")
    assert compose("train", ["experiment=mine"], conf=conf).trainer.max_epoch == 3


def test_one_composition_of_groups_is_looked_at_once(tmp_path):
    conf = write_tree(tmp_path)
    with session(conf):
        for seed in range(3):
            compose("train", ["experiment=centers_long", f"seed={seed}"], conf=conf)
        assert catalogue("train").vetted == {("experiment=centers_long",)}
