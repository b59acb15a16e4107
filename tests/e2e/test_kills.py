"""Ten kills at the worst moments: each run ends as if it had never been disturbed (`make soak` has hundreds, at random ones)."""

import copy

import pytest

from segexp.weights.checkpoints import pointed
from tests.soak.bench import short_bench
from tests.soak.trial import TINY, Blow, differences, ending, lost, newest_order, struck

SHORT = [*TINY, "data.train=12", "trainer.max_epochs=3"]  # 18 steps
WRITE = "segexp.weights.checkpoints:_Hashed.write"
ALONE = {
    "beginning, before the manifest": ("segexp.runs.directory:write_json", 1),
    "within the first checkpoint": (WRITE, 60),
    "before a checkpoint's record": ("segexp.weights.checkpoints:write_json", 2),
    "before the pointer to a checkpoint": ("segexp.weights.checkpoints:point", 2, "'last'"),
    "validating": ("segexp.task:Task.validation_step", 2),
    "testing": ("segexp.task:Task.test_step", 1),
    "between the result and the status": ("segexp.runs.directory:write_json", 1, "'done'"),
}
WORKERS = {
    "training": ("segexp.task:Task.training_step", 9),
    "going on, before the log is cut": ("os:truncate", 1),
    "before older checkpoints are removed": ("segexp.weights.checkpoints:_prune", 3),
}


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    with short_bench(tmp_path_factory.mktemp("kills"), SHORT) as made:
        yield made


def blow(at, call, holding=""):
    return Blow(trap={"at": [at], "call": call, "holding": holding})


@pytest.mark.slow
@pytest.mark.parametrize(("workers", "moments"), [(0, ALONE), (2, WORKERS)], ids=["alone", "with workers"])
def test_a_run_that_is_killed_ends_like_one_that_is_not(bench, workers, moments):
    whole = bench.whole()["ending"]  # also where there are workers
    trial = bench.trial(f"workers-{workers}", f"data.loader.workers={workers}", "callbacks.checkpoint.every_n_train_steps=2")
    row = struck(trial, [blow(*moment) for moment in moments.values()], whole, told=workers > 0)
    deaths = dict(zip(moments, row["deaths"], strict=True))
    assert row["problems"] == []
    if workers == 0:
        assert deaths["beginning, before the manifest"]["step"] == 0
        assert deaths["within the first checkpoint"]["saving"] == ["step-2.ckpt"]
        assert deaths["before a checkpoint's record"]["saving"] == ["step-4.ckpt"]
        assert deaths["between the result and the status"]["step"] == 18


def test_what_is_lost_would_be_noticed(bench):
    trial = bench.trial("ruined")
    trial.finish()
    found, order = ending(trial.run), newest_order(trial.run)
    assert (differences(found, found), lost(trial.run, order)) == ([], [])
    other = copy.deepcopy(found)
    other["result"]["val"]["miou"] += 1e-6
    assert [text.split(":")[0] for text in differences(other, found)] == ["result"]
    path = pointed(trial.run.checkpoints, "last")
    path.write_bytes(path.read_bytes()[:-1])
    invalid, older = lost(trial.run, order)
    assert invalid.startswith("not valid: it has ")
    assert older == "the newest checkpoint was (18, True) and is (12, True)"
