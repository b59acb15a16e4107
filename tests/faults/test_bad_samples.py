"""Samples that are left out (`data.on_bad=skip`), worker processes that die or hang, samples in two splits, data that have changed."""

import csv
import itertools
import json
import os
import re
import signal
import subprocess
import sys

import pytest

from segexp.functional import workers
from tests.faults import layouts
from tests.faults.harness import ROOT, command, expect
from tests.faults.test_data import CHAIN, SEMANTIC, bomb, empty, out_of_range, truncated
from tests.runs.planned import folder_of, weights


def train(place, keys, *more):
    return command("train", *keys, *CHAIN, *SEMANTIC, *more, f"paths.outputs={place}")


def listed(folder):
    with (folder / "bad_samples.csv").open(newline="") as file:
        return [(row["split"], row["id"], row["path"].partition(",")[0], row["code"], row["what"]) for row in csv.DictReader(file)]


def result(folder):
    return json.loads((folder / "result.json").read_text())


@pytest.fixture
def bad(tmp_path):
    """A data set with two bad samples of train and one of val."""
    root = tmp_path / "data"
    keys = layouts.folder(root)
    truncated(root / "images/train/b.jpg")
    out_of_range(root / "masks/train/c.png")
    empty(root / "images/val/e.jpg")
    return keys


@pytest.mark.parametrize("processes", [0, 2])
def test_bad_samples_are_replaced_counted_and_listed_once(bad, tmp_path, quick, processes):
    said = train(tmp_path / "out", bad, "data.on_bad=skip", "trainer.max_epochs=2", f"data.loader.workers={processes}")
    assert said.code == 0, said.err
    folder, root = folder_of(tmp_path / "out"), tmp_path / "data"
    found = listed(folder)
    assert sorted(found)[0] == ("train", "train/b", str(root / "images/train/b.jpg"), "data", sorted(found)[0][4])
    assert sorted((split, name) for split, name, *_ in found) == [("train", "train/b"), ("train", "train/c"), ("val", "val/e")]
    assert result(folder)["bad_samples"] == 3
    assert said.out.count("another takes its place: sample train/b") == 1
    steps = [json.loads(line)["step"] for line in (folder / "metrics.jsonl").read_text().splitlines() if '"train/loss"' in line]
    assert result(folder)["steps"] == 4, steps
    ids = [json.loads(line)["id"] for line in (folder / "per_image.jsonl").read_text().splitlines()]
    assert ids == ["val/f"], "an evaluation leaves it out"


def test_who_replaces_whom_depends_on_nothing_but_the_index(bad, tmp_path, quick):
    for processes in (0, 2):
        assert train(tmp_path / f"out{processes}", bad, "data.on_bad=skip", f"data.loader.workers={processes}").code == 0
    first, second = (weights(folder_of(tmp_path / f"out{processes}")) for processes in (0, 2))
    assert first.equal(second)


def test_where_nothing_is_bad_nothing_changes(tmp_path, quick):
    keys = layouts.folder(tmp_path / "data")
    runs = []
    for policy in ("error", "skip"):
        assert train(tmp_path / policy, keys, f"data.on_bad={policy}").code == 0
        runs.append(folder_of(tmp_path / policy))
    assert weights(runs[0]).equal(weights(runs[1]))
    assert result(runs[0])["val"] == result(runs[1])["val"]
    assert [result(run)["bad_samples"] for run in runs] == [0, 0]
    assert not (runs[1] / "bad_samples.csv").exists()


def test_too_many_bad_samples(bad, tmp_path, quick):
    said = train(tmp_path / "out", bad, "data.on_bad=skip", "data.max_bad=1")
    expect(said, "data", "samples can't be read, more than data.max_bad=1: train/", "bad_samples.csv", "or data.max_bad=4")
    folder = folder_of(tmp_path / "out")
    assert len(listed(folder)) == 2
    again = train(tmp_path / "out", bad, "data.on_bad=skip", "data.max_bad=9")
    assert again.code == 0, again.err
    assert len(listed(folder)) == 3, "the run goes on, and no line comes twice"
    assert result(folder)["bad_samples"] == 3


def test_none_is_left_to_read(tmp_path, quick):
    keys = layouts.folder(tmp_path / "data")
    for path in (tmp_path / "data/images").rglob("*.jpg"):
        truncated(path)
    expect(train(tmp_path / "out", keys, "data.on_bad=skip"), "data", "none of 4 samples of Folder train can be read", ".jpg")


# ------------------------------------------------------------------------------------------------- rows 36 and 37: workers


def struck(monkeypatch, number, moments):
    """Strike the first worker of a loader before the windows of these numbers, over all loaders, are taken."""
    count, plain = itertools.count(), workers._watched

    def watched(iterator, work, timeout):
        if next(count) in moments:
            os.kill(iterator._workers[0].pid, number)
        return plain(iterator, work, timeout)

    monkeypatch.setattr(workers, "_watched", watched)


@pytest.mark.parametrize("persistent", [True, False])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["36 killed", "37 hangs"])
def test_workers_that_die_or_hang_are_replaced(tmp_path, quick, monkeypatch, number, persistent):
    keys = [
        *layouts.folder(tmp_path / "data"),
        "data.loader.workers=1",
        "trainer.max_epochs=2",
        f"data.loader.persistent_workers={persistent}",
    ]
    assert train(tmp_path / "whole", keys).code == 0
    struck(monkeypatch, number, {1, 4})  # in the training, in the validation
    said = train(tmp_path / "struck", keys, "data.loader.timeout=2")
    assert said.code == 0, said.err
    folder = folder_of(tmp_path / "struck")
    assert weights(folder).equal(weights(folder_of(tmp_path / "whole")))
    assert (folder / "per_image.jsonl").read_text() == (folder_of(tmp_path / "whole") / "per_image.jsonl").read_text()
    told = re.findall(r"warning: .* \(restart (\d) of at most 3\)", said.out)
    assert told
    assert told == [str(n) for n in range(1, len(told) + 1)]
    assert f"restart {len(told)} of at most 3" in (folder / "log.txt").read_text()
    assert folder.name == folder_of(tmp_path / "whole").name, "not part of the identity"


@pytest.mark.parametrize(
    ("number", "what"),
    [(signal.SIGKILL, "a loader worker was killed by SIGKILL"), (signal.SIGSTOP, "no window came from a loader worker for 1 s")],
)
def test_too_often_is_an_error_that_names_the_samples(tmp_path, quick, monkeypatch, number, what):
    keys = [*layouts.folder(tmp_path / "data"), "data.loader.workers=1", "data.loader.timeout=1", "data.loader.restarts=1"]
    plain = workers._watched

    def watched(iterator, work, timeout):
        for worker in iterator._workers:  # before anything has come
            os.kill(worker.pid, number)
        return plain(iterator, work, timeout)

    monkeypatch.setattr(workers, "_watched", watched)
    workers_error = train(tmp_path / "out", keys)
    expect(workers_error, "workers", what, "after 1 restarts", "samples in work: train/", "data.loader.workers=0")


# ------------------------------------------------------------------------------------------------- rows 31, 32, 34


def test_a_sample_twice_or_in_two_splits(tmp_path, quick):
    keys = layouts.camvid(tmp_path / "data")
    lists = {split: (tmp_path / f"data/{split}.txt").read_text().splitlines() for split in ("train", "val")}
    (tmp_path / "data/val.txt").write_text("\n".join([*lists["val"], lists["train"][1]]))
    expect(train(tmp_path / "out", keys), "data", "1 sample is in train and in val: train/b", "data.allow_overlap=true")
    assert train(tmp_path / "out", keys, "data.allow_overlap=true").code == 0, "no other run: the same one goes on"
    (tmp_path / "data/val.txt").write_text("\n".join(lists["val"]))
    (tmp_path / "data/train.txt").write_text("\n".join([*lists["train"], lists["train"][0]]))
    expect(train(tmp_path / "out2", keys), "data", "1 samples come twice in the split train: train/a")
    expect(train(tmp_path / "out3", keys, "data.split=train"), "data", "train/a")
    assert train(tmp_path / "out4", keys, "debug=overfit", "data.loader.batch_size=2", "trainer.max_epochs=1").code == 0


BOMBED = """
import resource, sys
from pathlib import Path
from segexp.errors import DataError
from segexp.functional.images import read_colors, read_image, read_labels
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
before = peak()
for read in (read_image, read_labels, read_colors):
    try:
        read(Path(sys.argv[1]))
    except DataError as error:
        assert "20000x20000 pixels" in str(error), error
    else:
        raise SystemExit("it was read")
print(peak() - before)
"""


def test_a_bomb_is_refused_by_its_header(tmp_path):
    """There is one path by which pictures are decoded: this one."""
    bomb(tmp_path / "bomb.png")
    done = subprocess.run(
        [sys.executable, "-c", BOMBED, str(tmp_path / "bomb.png")], capture_output=True, text=True, timeout=120, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 50 * 1024, "kilobytes"
    decoders = ("decode_image(", "decode_jpeg(", "decode_png(", "cv2.imread")
    others = [path.name for path in (ROOT / "segexp").rglob("*.py") if any(word in path.read_text() for word in decoders)]
    assert others == ["tensorboard_tracker.py"], "which reads panels of our own; others decode pictures without a look at their size"


def test_data_that_have_changed_since_the_run_began(tmp_path, quick, monkeypatch):
    keys = layouts.folder(tmp_path / "data")
    truncated(tmp_path / "data/images/train/b.jpg")
    assert train(tmp_path / "out", keys).code == 1, "a run that has begun"
    path = tmp_path / "data/masks/train/c.png"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))  # as many bytes: no name, no size tells
    told = "the data aren't those that the run began with: masks/train/c.png has changed"
    expect(train(tmp_path / "out", keys), "data", told, "resume.override=[data]")
    path.write_bytes(whole)
    layouts.picture(tmp_path / "data/images/train/b.jpg", 7, (30, 40))
    told = "the data aren't those that the run began with: images/train/b.jpg has changed"
    expect(train(tmp_path / "out", keys), "data", told, "resume.override=[data]")
    assert train(tmp_path / "out", keys, "resume.override=[data]").code == 1, "its size isn't that of its mask"
    layouts.picture(tmp_path / "data/images/train/b.jpg", 1)
    expect(train(tmp_path / "out", keys, "run.max_attempts=9"), "data", told)
