"""A search from its command to its best run, with runs that take no time."""

import json
import shlex
import sys
from pathlib import Path

import pytest

from segexp.runs.directory import RunDirectory
from tests.search.conftest import LR, record, search, starts, trials


def test_a_search_makes_its_trials_says_which_is_best_and_starts_nothing_again(place, capsys):
    command = ("sweep=tpe", "sweep.trials=6", LR, "seed=0,1", "sweep.startup=3")
    assert search(*command) == 0
    out = capsys.readouterr().out
    found, folder = record()
    rows = found["jobs"]
    assert [row["trial"] for row in rows] == list(range(6))
    assert {row["state"] for row in rows} == {"done"}
    best = max(rows, key=lambda row: row["values"]["val/miou"])
    assert out.splitlines()[-2].startswith(f"best: trial {best['trial'] + 1}, val/miou 0.")
    assert shlex.split(out.splitlines()[-1])[-2:] == best["overrides"]
    assert all(len(row["overrides"]) == 2 and (folder / row["path"] / "result.json").exists() for row in rows)
    assert (found["unfinished"], found["search"]["sampler"], found["search"]["trials"]) == (False, "tpe", 6)
    before = starts()
    assert search(*reversed(command)) == 0  # in another order
    assert "6 trials: 6 done, 0 pruned, 0 failed, 0 to run" in capsys.readouterr().out
    assert starts() == before
    assert record()[0]["jobs"] == rows
    assert search("sweep=tpe", "sweep.trials=8", LR, "seed=0,1", "sweep.startup=3") == 0  # more of the same search
    assert (len(record()[0]["jobs"]), record()[0]["jobs"][:6]) == (8, rows)


def test_a_drawn_run_is_a_plain_run(place):
    assert search("sweep=random", "sweep.trials=1", LR) == 0
    (row,) = record()[0]["jobs"]
    from segexp.config import compose, resolve

    config = compose("train", row["overrides"])
    assert RunDirectory.of(config, Path(resolve(config)["paths"]["outputs"])).id == row["run"]


def test_several_at_a_time_make_exactly_so_many(place):
    assert search("sweep=tpe", "sweep.trials=12", "sweep.startup=4", LR, "launcher.jobs=4") == 0
    found = trials()
    assert [trial[:2] for trial in found] == [(number, "COMPLETE") for number in range(12)]
    assert sum(starts().values()) == len({row["run"] for row in record()[0]["jobs"]}) == 12


def test_pruned_trials_end_at_a_rung_and_the_rest_goes_on(place, capsys):
    assert search("sweep=asha", "sweep.trials=15", "sweep.startup=4", LR) == 0
    rows, folder = record()[0]["jobs"], record()[1]
    pruned = [json.loads((folder / row["path"] / "result.json").read_text()) for row in rows if row["state"] == "pruned"]
    assert len(pruned) >= 5
    assert {result["pruned"] for result in pruned} <= {1, 3}  # the rungs before the end at 9
    assert all(result["steps"] == result["pruned"] for result in pruned)
    assert {row["state"] for row in rows} == {"done", "pruned"}
    assert f"{len(pruned)} pruned" not in capsys.readouterr().err
    reports = {trial[0]: trial[4] for trial in trials()}
    assert all(len(reports[row["trial"]]) in ((1, 3) if row["state"] == "pruned" else (9,)) for row in rows)
    states = {RunDirectory(folder / row["path"]).state() for row in rows}
    assert states == {"done", "pruned"}


def test_a_failed_trial_counts_and_the_search_goes_on(place, capsys):
    assert search("sweep=random", "sweep.trials=4", LR, "+loss.fault=error,fine", "loss._target_=tests.sweeps.losses.Faulty") == 0
    rows = record()[0]["jobs"]
    states = {row["state"] for row in rows}
    assert states == {"done", "failed"}
    out, err = capsys.readouterr()
    assert "RuntimeError: a bug" in err
    assert "best: trial" in out
    assert [trial[1] for trial in trials()] == ["FAIL" if row["state"] == "failed" else "COMPLETE" for row in rows]
    before = starts()
    assert search("sweep=random", "sweep.trials=4", LR, "+loss.fault=error,fine", "loss._target_=tests.sweeps.losses.Faulty") == 0
    assert starts() == before
    assert "RuntimeError: a bug" in capsys.readouterr().err  # is said again


def test_a_search_in_which_all_fail_fails(place, capsys):
    assert search("sweep=random", "sweep.trials=2", LR, "+loss.fault=error", "loss._target_=tests.sweeps.losses.Faulty") == 1
    assert "segexp: error[failed]: none of 2 trials ended well;" in capsys.readouterr().err


def test_several_objectives_have_several_best(place, capsys):
    assert search("sweep=pareto", "sweep.trials=12", "sweep.startup=4", LR, "seed=range(0,9)") == 0
    out = capsys.readouterr().out
    assert "trials that no other beats in all of val/miou, parameters:" in out
    assert record()[0]["search"]["directions"] == ["maximize", "minimize"]
    assert all(set(row["values"]) == {"val/miou", "parameters"} for row in record()[0]["jobs"])


def test_groups_are_drawn_and_what_hangs_on_a_choice_only_with_it(place):
    condition = "sweep.when={optimizer.momentum: 'optimizer=sgd'}"
    assert search("sweep=random", "sweep.trials=8", "optimizer=adamw,sgd", "optimizer.momentum=interval(0.5,0.99)", condition) == 0
    for _, state, params, *_, overrides in trials():
        drawn = dict(text.split("=") for text in overrides)
        assert state == "COMPLETE"
        assert ("optimizer.momentum" in drawn) == (drawn["optimizer"] == "sgd") == ("optimizer=sgd/optimizer.momentum" in params)
    assert {trial[2]["optimizer"] for trial in trials()} == {"adamw", "sgd"}


def test_the_space_of_a_config_is_drawn_from_and_the_command_line_comes_first(place):
    listed = "sweep.space={optimizer.lr: 'tag(log,interval(1e-4,1e-1))', seed: 'range(3,9)', head.dropout: 'choice(0.1,0.2)'}"
    assert search("sweep=random", "sweep.trials=4", listed, "seed=7", "head.dropout=0.3,0.4") == 0
    for trial in trials():
        drawn = dict(text.split("=") for text in trial[5])
        assert (drawn["seed"], drawn["head.dropout"] in ("0.3", "0.4"), 1e-4 <= float(drawn["optimizer.lr"]) <= 1e-1) == ("7", True, True)


def test_a_warm_search_tries_its_lines_first(place):
    assert search("sweep=tpe", "sweep.trials=3", LR, "seed=0,1", "sweep.warm=['optimizer.lr=0.01 seed=1','seed=0']") == 0
    found = trials()
    assert found[0][2] == {"optimizer.lr": 0.01, "seed": "1"}
    assert found[1][2]["seed"] == "0"
    assert len(found) == 3


def test_a_warm_search_tries_the_best_of_another_sweep_first(place):
    assert search("optimizer.lr=1e-3,1e-2,3e-2", "seed=0,1", "name=grid") == 0
    (grid,) = Path("outputs/grid/sweeps").iterdir()
    before = starts()
    assert search("sweep=tpe", "sweep.trials=7", LR, "seed=0,1", f"sweep.warm={grid}", "name=grid") == 0
    (other,) = (folder for folder in Path("outputs/grid/sweeps").iterdir() if folder != grid)
    rows = json.loads((other / "sweep.json").read_text())["jobs"]
    assert [row["overrides"][1:] for row in rows[:3]] == [
        ["optimizer.lr=0.01", "seed=0"],
        ["optimizer.lr=0.01", "seed=1"],
        ["optimizer.lr=0.03", "seed=0"],
    ]
    assert sum(starts().values()) - sum(before.values()) == 2  # five runs are there


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["sweep=tpe", "seed=0"], "a search without anything to draw"),
        (["sweep=tpe", "optimizer.lr=interval(2,1)"], "the interval has no values; optimizer.lr=interval(2,1); fix: interval(low,high)"),
        (["sweep=tpe", "optimizer.lt=interval(0,1)"], "did you mean optimizer.lr"),
        (["sweep=tpe", "backbone=resnet10t,resnet18x", LR], "the group backbone has no option 'resnet18x'"),
        (["sweep=tpe", "sweep.sampler=tpee", LR], "there is no such sampler; sweep.sampler=tpee; fix: did you mean sweep.sampler=tpe"),
        (["sweep=tpe", "sweep.trials=0", LR], "a whole number from 1 on is wanted; sweep.trials=0"),
        (["sweep=asha", "sweep.metric=[val/miou,parameters]", LR], "runs with several objectives can't be pruned; sweep.pruner=asha"),
        (["sweep=tpe", "sweep.direction=up", LR], "1 directions are wanted, minimize or maximize; sweep.direction=up"),
        (["sweep=tpe", "launcher.jobs=1,2", LR], "this is one for the whole search; launcher.jobs=1"),
        (["sweep=tpe,random", LR], "a sweep can't sweep over searches; sweep=tpe"),
        (["sweep=tpe", "run.again=true", LR], "a search has no beginning again"),
        (
            ["sweep=tpe", LR, "sweep.warm=['optimizer.lr=1']"],
            "isn't among what is drawn; sweep.warm: optimizer.lr=1; fix: use 0.0001 to 0.1",
        ),
        (["sweep=tpe", LR, "sweep.warm=nowhere"], "this isn't the folder of a sweep; sweep.warm=nowhere"),
        (["sweep=tpe", LR, "sweep.when={head.sigma: 'head=center'}"], "a condition of what isn't drawn; sweep.when.head.sigma"),
        (["sweep=tpe", LR, "sweep.space={seed: 3}"], "'3' is no set of values; sweep.space.seed"),
        (["sweep.space={seed: 'range(0,3)'}", "head.dropout=0.1,0.2"], "a grid takes what is swept on the command line alone; sweep.space"),
        (["optimizer.lr=interval(0,1)"], "sweep=tpe"),
    ],
)
def test_a_search_that_makes_no_sense_is_refused_before_anything_starts(place, capsys, overrides, said):
    assert search(*overrides) == 2
    assert said in capsys.readouterr().err.splitlines()[-1]
    assert not Path("started.txt").exists()


def test_a_figure_that_no_run_has_is_said_after_the_first(place, capsys):
    assert search("sweep=tpe", "sweep.metric=val/mious", LR) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert "no metric gives this figure" in error
    assert error.endswith("fix: sweep.metric=val/miou")


def test_without_optuna_it_is_named(place, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    assert search("sweep=tpe", LR) == 2
    assert "a search needs optuna; sweep.sampler; fix: pip install 'segexp[search]'" in capsys.readouterr().err


def test_a_study_can_be_kept_in_a_database(place):
    command = ("sweep=asha", "sweep.trials=4", LR, "sweep.storage=sqlite:///search.db")
    assert search(*command) == 0
    before = starts()
    assert search(*command) == 0
    assert (starts(), Path("search.db").exists(), len(record()[0]["jobs"])) == (before, True, 4)
    assert not list(Path("outputs").rglob("study.journal"))
