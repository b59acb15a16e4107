"""The same evaluation by one to four ranks: equal counts, near figures (`python -m tests.e2e.rank_evaluation` has all sizes of batches)."""

import copy
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.rank_evaluation import CHAINS, IMAGES, RANKS, SIZES, cases, differences, problems

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory):
    """What each rank of each count found; in a process without threads, which can fork."""
    path = tmp_path_factory.mktemp("ranks") / "found.json"
    command = [sys.executable, "-W", "ignore", "-m", "tests.e2e.rank_evaluation", "--some", "--json", str(path)]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=570)
    assert path.exists(), done.stderr[-2000:]
    told = json.loads(path.read_text())
    return {int(world): parts for world, parts in told["found"].items()}


@pytest.mark.long
def test_ranks_count_what_one_rank_counts(evaluated):
    wanted = cases(some=True)
    assert {images for _, images, _ in wanted} == set(IMAGES) and {size for _, _, size in wanted} == set(SIZES)
    assert set(evaluated) == set(RANKS)
    assert problems(wanted, evaluated) == []
    for task in CHAINS:  # there is something to be counted, and no two sets of images give the same
        rows = [row for case, row in zip(wanted, evaluated[1][0], strict=True) if case[0] == task]
        assert len({json.dumps(row["images"]) for row in rows}) == len(rows) == len(IMAGES)
        assert all(row["logged"]["val/loss"] > 0 for row in rows)
    last = dict(zip(wanted, evaluated[4][0], strict=True))
    assert sum(last["panoptic", 9, 1]["states"]["panoptic.matched"]) > 0 < last["panoptic", 9, 1]["logged"]["val/pq"]
    found = [record["detection"] for record in last["detection", 9, 1]["images"]]
    assert sum(len(record["labels"]) for record in found) > 9 < sum(len(record["pairs"]) for record in found)
    assert last["detection", 9, 1]["logged"]["val/map50"] > 0


@pytest.mark.long
def test_what_differs_would_be_noticed(evaluated):
    wanted = cases(some=True)

    def changed(change):
        found = copy.deepcopy(evaluated)
        change(found[3][0][8])  # nine images by three ranks: semantic
        return problems(wanted, found)

    assert wanted[8][:2] == ("semantic", 9)
    (said,) = changed(lambda row: row["states"]["semantic.confusion"][0].__setitem__(0, row["states"]["semantic.confusion"][0][0] + 1))
    assert said.startswith("3 ranks, semantic, 9 images by 1: /states/semantic.confusion/0/0: ")
    said = changed(lambda row: row["logged"].__setitem__("val/loss", row["logged"]["val/loss"] + 1e-4))
    assert "/logged/val/loss: " in said[0] and [text.partition(": ")[2] for text in said[1:]] == [
        "rank 1 logs others",
        "rank 2 logs others",
    ]
    said = changed(lambda row: row["images"].reverse())
    assert said[-1].endswith(f"records of {[str(i) for i in range(8, -1, -1)]}")
    assert changed(lambda row: row["images"].pop())


def test_whole_numbers_are_equal_and_others_near():
    assert differences({"a": [1, 2.0, float("nan")]}, {"a": [1, 2.0 + 1e-6, float("nan")]}) == []
    assert differences({"a": [1, 2.0]}, {"a": [2, 2.1]}) == ["/a/0: 1 instead of 2", "/a/1: 2.0 instead of 2.1"]
    assert differences({"a": 1}, {"a": 1.0}) == ["/a: 1 instead of 1.0"]
    assert differences({"a": 1}, {"b": 1}) == [": {'a': 1} instead of {'b': 1}"]
    assert len(cases(some=False)) == 3 * 9 * 3
