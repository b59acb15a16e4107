"""Pruning of real trainings: the run ends at its rung with a checkpoint, and goes on as a plain run to where it would have come."""

import json
from pathlib import Path

from segexp.cli.main import main
from segexp.report.record import read_run
from segexp.runs.directory import RunDirectory
from segexp.weights.checkpoints import pointed, record_of
from tests.search.conftest import record, trials
from tests.sweeps.conftest import SMALL

RUNS = [*(text for text in SMALL if not text.startswith(("loss.", "trainer.max_epochs"))), "trainer.max_epochs=4", "run.threads=1"]


def segexp(capfd, *arguments):
    assert main(["train", *arguments]) == 0
    return capfd.readouterr().out


def weights(run):
    import torch

    return torch.load(pointed(run.checkpoints, "last"), weights_only=True)["state_dict"]


def test_pruned_runs_end_at_their_rung_and_go_on_as_plain_runs(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    search = ("sweep=asha", "sweep.sampler=random", "sweep.factor=2", "sweep.trials=4", "sweep.metric=val/loss")
    out = segexp(capfd, "-m", *search, "optimizer.lr=1e-2,1e-3,1e-9", *RUNS)
    rows, folder = record()[0]["jobs"], record()[1]
    pruned = [row for row in rows if row["state"] == "pruned"]
    assert pruned, out
    for row in rows:
        run = RunDirectory(folder / row["path"])
        validations = len(read_run(run.path).series["val/loss"])
        reports = trials()[row["trial"]][4]
        assert validations in (1, 2) if row["state"] == "pruned" else validations == 4
        if row["state"] == "pruned":
            assert list(reports) == list(range(1, validations + 1))
            assert (
                run.result()["pruned"]
                == run.read_status()["step"]
                == record_of(pointed(run.checkpoints, "last"))["step"]
                == 4 * validations
            )
            assert "test" not in run.result()
    run = RunDirectory(folder / pruned[0]["path"])
    said = segexp(capfd, *pruned[0]["overrides"])
    assert f"run {run.id}, attempt 1, going on from " in said
    assert (run.state(), "pruned" in run.result(), "test" in run.result()) == ("done", False, True)
    segexp(capfd, *pruned[0]["overrides"], "paths.outputs=other")  # without a pause
    (whole,) = (RunDirectory(path) for path in Path("other/default").iterdir())
    assert all(bool((value == weights(whole)[name]).all()) for name, value in weights(run).items())
    assert json.loads((whole.path / "result.json").read_text())["val"] == run.result()["val"]
