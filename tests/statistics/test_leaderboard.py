"""Boards from the files of runs alone."""

import json
import subprocess
import sys

import numpy as np
import pytest

from segexp.errors import ConfigError
from segexp.statistics.leaderboard import leaderboard
from tests.statistics.made import counts, miou, write_run

IMAGES = 120


@pytest.fixture
def seen():
    """A source of chance, and how hard each image is."""
    rng = np.random.default_rng(1)
    return rng, rng.normal(0, 0.15, IMAGES)


def runs_of(place, seen, skills, *, seeds=1, **more):
    """Runs of settings lr=0, 1, ... with these skills."""
    rng, hardness = seen
    return [
        write_run(
            place / f"exp/run-{m}-{s}",
            counts(rng, IMAGES, 5, skill, hardness),
            seed=s,
            words=[f"optimizer.lr={m}", "model=fcn"],
            leaves={"optimizer.lr": m},
            **more,
        )
        for m, skill in enumerate(skills)
        for s in range(seeds)
    ]


def test_runs_that_differ_in_the_seed_are_one_setting(tmp_path, seen):
    board = leaderboard(runs_of(tmp_path, seen, [0.6, 0.7], seeds=3), resamples=200)
    best, other = board.entries
    assert (board.figure, board.higher_is_better, board.images) == ("val/miou", True, IMAGES)
    assert (best.label, best.overrides, best.settings) == ("optimizer.lr=1", ("optimizer.lr=1", "model=fcn"), {"optimizer.lr": 1})
    assert best.seeds == (0, 1, 2)
    assert [path.name for path in best.runs] == ["run-1-0", "run-1-1", "run-1-2"]
    assert best.mean == pytest.approx(np.mean(best.values))
    assert best.sd == pytest.approx(np.std(best.values, ddof=1))
    assert best.low < best.mean < best.high
    assert (best.parameters, best.seconds) == (1_000_000, 10.0)
    assert other.mean < best.mean
    assert board.notes == ()


def test_better_is_said_only_where_it_is_supported(tmp_path, seen):
    board = leaderboard(runs_of(tmp_path, seen, [0.7, 0.7, 0.5]), resamples=1000)
    near, clear, other = board.pairs
    assert [(pair.a, pair.b, pair.supported) for pair in board.pairs] == [(0, 1, False), (0, 2, True), (1, 2, True)]
    assert near.low < 0 < near.high
    assert clear.low > 0.05
    assert clear.difference == pytest.approx(board.entries[0].mean - board.entries[2].mean)
    assert clear.p < clear.p_holm < 0.05
    assert other.p <= other.p_holm
    assert board.not_worse() == (0, 1)


def test_one_seed_is_said_to_be_too_few(tmp_path, seen):
    board = leaderboard(runs_of(tmp_path, seen, [0.6, 0.7]), resamples=100)
    assert board.entries[0].sd is None
    assert board.notes == (
        "no setting has 3 seeds: without them an interval tells what other images would do, not what another training would",
    )


def test_what_is_not_done_is_counted(tmp_path, seen):
    runs = runs_of(tmp_path / "a", seen, [0.6]) + runs_of(tmp_path / "b", seen, [0.6, 0.5], state="failed")
    runs += [*runs_of(tmp_path / "c", seen, [0.6], state="pruned"), tmp_path / "nothing"]
    (runs[1] / "status.json").write_text("{")
    board = leaderboard(runs, resamples=100)
    assert len(board.entries) == 1
    assert board.notes[0] == "4 of 5 runs are left out: 1 failed, 1 pending, 1 pruned, 1 unreadable"


def test_nothing_done_and_unknown_figures_are_refused(tmp_path, seen):
    (run,) = runs_of(tmp_path / "a", seen, [0.6])
    with pytest.raises(ConfigError, match=r"no run has the figure val/iou; 1 runs; fix: choose of val/loss, val/miou"):
        leaderboard([run], figure="val/iou")
    with pytest.raises(ConfigError, match=r"no run is done yet.*1 of 1 runs are left out: 1 failed"):
        leaderboard(runs_of(tmp_path / "b", seen, [0.6], state="failed"))


def test_less_loss_is_better_and_has_no_interval(tmp_path, seen):
    runs = runs_of(tmp_path, seen, [0.6, 0.7])
    result = json.loads((runs[1] / "result.json").read_text())
    result["val"]["loss"] = 0.5
    (runs[1] / "result.json").write_text(json.dumps(result))
    board = leaderboard(runs, figure="val/loss")
    assert [entry.mean for entry in board.entries] == [0.5, 1.0]
    assert (board.higher_is_better, board.pairs, board.entries[0].low) == (False, (), None)
    assert board.notes == ("no intervals: losses aren't recorded by image",)
    assert board.not_worse() == (0,)


def test_only_images_that_all_have_are_compared(tmp_path, seen):
    rng, hardness = seen
    table = counts(rng, IMAGES, 5, 0.7, hardness)
    names = [f"{n}" for n in range(IMAGES)]
    runs = [write_run(tmp_path / "a", table, leaves={"x": 1}, ids=names)]
    fewer = [part[20:][::-1] for part in table]  # in another order
    runs += [write_run(tmp_path / "b", fewer, leaves={"x": 2}, ids=names[20:][::-1])]
    board = leaderboard(runs, resamples=100)
    assert board.images == 100
    assert "rest on the 100 that all have" in board.notes[0]
    assert (board.pairs[0].difference, board.pairs[0].low, board.pairs[0].high) == (0, 0, 0)
    assert sorted(entry.mean for entry in board.entries) == pytest.approx(sorted([miou(*table), miou(*fewer)]))


def test_a_run_with_few_images_does_not_take_them_from_the_others(tmp_path, seen):
    rng, hardness = seen
    few = [part[:9] for part in counts(rng, IMAGES, 5, 0.7, hardness)]
    board = leaderboard([*runs_of(tmp_path, seen, [0.6, 0.7]), write_run(tmp_path / "few", few, leaves={"x": 2})], resamples=100)
    assert board.images == IMAGES
    assert len(board.pairs) == 1
    assert any("records of val images are missing (per_image.jsonl)" in note for note in board.notes)


def test_other_data_are_not_compared(tmp_path, seen):
    other = write_run(tmp_path / "other", counts(seen[0], IMAGES, 5, 0.9, seen[1]), leaves={"data.root": "y"}, data="beef")
    runs = [*runs_of(tmp_path / "a", seen, [0.6, 0.7]), other]
    board = leaderboard(runs, resamples=100)
    assert [(pair.a, pair.b) for pair in board.pairs] == [(1, 2)]
    assert board.entries[0].low is None
    assert any("its data aren't those of the others" in note for note in board.notes)
    assert board.not_worse() == (0,)


def test_records_that_are_not_those_of_the_result_are_not_believed(tmp_path, seen):
    runs = runs_of(tmp_path, seen, [0.6, 0.7])
    result = json.loads((runs[0] / "result.json").read_text())
    result["val"]["miou"] += 0.01
    (runs[0] / "result.json").write_text(json.dumps(result))
    board = leaderboard(runs, resamples=100)
    assert board.pairs == ()
    assert any("its images give" in note and "its result.json says" in note for note in board.notes)


def test_broken_files_leave_a_run_out_and_say_so(tmp_path, seen):
    cut, headless, old, spec, *whole = runs_of(tmp_path, seen, [0.6, 0.65, 0.62, 0.63, 0.7, 0.75])
    lines = (cut / "per_image.jsonl").read_text().splitlines()
    (cut / "per_image.jsonl").write_text("\n".join([*lines[:-1], lines[-1][:60]]))
    (headless / "per_image.jsonl").write_text("{}\n")
    (old / "per_image.jsonl").write_text("\n".join(lines).replace('"labelled"', '"real"'))
    (spec / "manifest.json").write_text(json.dumps({"data": "f00d", "spec": {"classes": [1]}}))
    board = leaderboard([cut, headless, old, spec, *whole], resamples=100)
    assert len(board.entries) == 6
    assert len(board.pairs) == 1
    assert sum("can't be read" in note for note in board.notes) == 3
    assert sum("images are missing" in note for note in board.notes) == 1


@pytest.mark.parametrize("manifest", ["{", "[]", ""])
def test_a_broken_manifest_takes_the_comparison_from_nobody_else(tmp_path, seen, manifest):
    runs = runs_of(tmp_path, seen, [0.7, 0.6, 0.5])
    (runs[0] / "manifest.json").write_text(manifest)
    (runs[1] / "overrides.txt").write_text("segexp train 'half")
    board = leaderboard(runs, resamples=200)
    assert [entry.runs[0] for entry in board.entries] == runs
    assert [(pair.a, pair.b) for pair in board.pairs] == [(1, 2)] and board.images == IMAGES
    assert any("its manifest.json can't be read: optimizer.lr=0" in note for note in board.notes)


def test_few_images_are_warned_of(tmp_path, seen):
    few = [part[:50] for part in counts(seen[0], IMAGES, 5, 0.7, seen[1])]
    board = leaderboard([write_run(tmp_path / "a", few)], resamples=100)
    assert "only 50 images: intervals are widened, and still rough below 100" in board.notes
    fewest = [part[:4] for part in few]
    board = leaderboard([write_run(tmp_path / "b", fewest)], resamples=100)
    assert (board.entries[0].low, board.notes) == (None, ("no intervals: 4 images are too few",))


def test_intervals_are_of_the_best(tmp_path, seen):
    board = leaderboard(runs_of(tmp_path, seen, [0.5, 0.6, 0.7]), resamples=100, top=2)
    assert [entry.low is None for entry in board.entries] == [False, False, True]
    assert len(board.pairs) == 1
    assert "intervals and comparisons are of the best 2 of 3 settings" in board.notes


def test_a_run_under_two_names_counts_once(tmp_path, seen):
    state = seen[0].bit_generator.state
    first = runs_of(tmp_path / "a", seen, [0.6])
    seen[0].bit_generator.state = state
    board = leaderboard([*first, *first, *runs_of(tmp_path / "b", seen, [0.6])], resamples=100)
    assert len(board.entries[0].runs) == 1
    assert board.notes[0] == "1 runs are there twice and count once"


def test_the_same_files_give_the_same_board(tmp_path, seen):
    runs = runs_of(tmp_path, seen, [0.6, 0.7], seeds=3)
    assert leaderboard(runs, resamples=300) == leaderboard(runs, resamples=300)
    assert leaderboard(runs, resamples=300) != leaderboard(runs, resamples=300, seed=1)


def test_torch_is_not_imported_before_it_is_needed():
    code = "import sys, segexp.statistics.leaderboard, segexp.statistics.tables; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0
