import subprocess
import sys

import pytest

from segexp.check.jobs import check, expanded, numbers, told, verdict
from segexp.cli.main import main
from segexp.config import compose, session
from segexp.errors import ConfigError
from segexp.runs.execute import execute


def test_faults_are_told_once_with_their_jobs():
    jobs = expanded(["seed=0,1", "optimizer.lr=1e-3,fast", "data.train=x"], multirun=True)
    found = check(jobs, names_only=True)
    assert {fault.error.where: fault.jobs for fault in found.faults} == {"data.train=x": [1, 2, 3, 4], "optimizer.lr=fast": [2, 4]}
    assert "wrong in jobs 2, 4: " in told(found) and "wrong in all 4 jobs: " in told(found)
    assert verdict(found).what == "2 things are wrong in 4 of 4 jobs"


def test_the_expensive_part_is_looked_at_once():
    found = check(expanded(["seed=0,1,2", "optimizer.lr=1e-3,1e-2"], multirun=True), data=False)
    assert found.faults == [] and verdict(found) is None
    assert found.said.startswith("6 jobs: names, keys, types, 1 chain on the meta device")


def test_the_ends_of_an_interval():
    assert expanded(["optimizer.lr=interval(1e-4,1e-1)"], multirun=True) == [["optimizer.lr=0.0001"], ["optimizer.lr=0.1"]]
    assert len(expanded(["optimizer.lr=tag(log, interval(1e-4, 1e-1))"], multirun=True)) == 2


def test_the_jobs_of_a_benchmark():
    assert [job[-1] for job in expanded(["benchmark=tiny"], multirun=False)] == ["seed=0", "seed=1", "seed=0", "seed=1"]
    assert main(["check", "--names", "benchmark=tiny"]) == 0


LR = "optimizer.lr=interval(1e-4,1e-1)"


@pytest.mark.parametrize(
    ("overrides", "where"),
    [
        (["sweep=tpe", "sweep.trials=-1", LR], "sweep.trials=-1"),
        (["sweep=pareto", "sweep.pruner=asha", "sweep.metric=[val/miou,parameters]", LR], "sweep.pruner=asha"),
        (["sweep=tpe"], "sweep.space"),
        (["sweep=tpe", "launcher.jobs=1,2"], "launcher.jobs=1"),
    ],
)
def test_a_search_that_makes_no_sense(overrides, where):
    with pytest.raises(ConfigError) as caught:
        expanded(overrides, multirun=True)
    assert caught.value.where == where


def test_what_is_searched_for_is_a_figure_of_the_chain():
    wanted = ["sweep=tpe", "seed=0,1"]
    (fault,) = check(expanded([*wanted, "sweep.metric=val/miuo"], multirun=True), data=False).refused
    assert (fault.error.where, fault.error.fix, fault.jobs) == ("sweep.metric=val/miuo", "sweep.metric=val/miou", [1, 2])
    for metric in ("test/miou", "val/loss", "[val/iou/road,parameters]"):
        assert not check(expanded([*wanted, f"sweep.metric={metric}"], multirun=True), data=False).refused


def test_numbers():
    assert numbers([1, 2, 3, 7], 12) == "jobs 1-3, 7"
    assert numbers([5], 12) == "job 5"


def test_a_path_of_this_machine_is_a_warning(tmp_path):
    with session():
        found = check([["data=camvid", f"data.root={tmp_path}"]], data=False)
    assert [fault.warning for fault in found.faults] == [True] and verdict(found) is None
    assert "is a path of this machine, and part of the run's identity" in found.faults[0].error.what


def test_the_command_says_key_place_and_fix(capsys):
    assert main(["check", "--names", "trainer.max_epoch=3"]) == 2
    assert "did you mean trainer.max_epochs" in capsys.readouterr().err
    assert main(["check", "--names", "seed=3"]) == 0
    assert capsys.readouterr().out.startswith("nothing is wrong: ")


def test_names_come_without_torch():
    code = """
import sys
from segexp.cli.main import main
assert main(["check", "optimizer.lr=1e-3x"]) == 2
assert not {"torch", "pytorch_lightning"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_train_refuses_a_broken_chain_before_there_is_a_run(tmp_path):
    overrides = ["model=fcos", "decoder=feature_pyramid", f"paths.outputs={tmp_path}/outputs"]
    for _ in range(2):  # typed again it says the same
        with pytest.raises(ConfigError, match="decoder=feature_pyramid_p7"):
            execute(compose("train", overrides), overrides)
    assert not (tmp_path / "outputs").exists()


def test_a_value_that_a_program_set_is_not_blamed_on_a_file():
    config = compose("train")
    config.optimizer.lr = "fast"
    with pytest.raises(ConfigError) as caught:
        execute(config)
    assert caught.value.where == "optimizer.lr=fast"
