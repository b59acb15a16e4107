"""Trackers mirror a run: one entry whatever its attempts, what the files say, the state in the end, and no secret."""

import json
import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from segexp.callbacks.guarded import end_trackers
from segexp.callbacks.mirror import Mirror
from segexp.errors import SegexpError, StoppedError
from tests.runs.planned import fails, folder_of, hurry, read, run, signals

ROOT = Path(__file__).resolve().parents[2]
SHORT = ["trainer.max_epochs=1", "data.train=4", "callbacks.panels.count=1"]  # 2 steps
SECRET = "sword" + "fish"  # in two pieces, because a manifest has the uncommitted changes of this file


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    hurry(monkeypatch)
    monkeypatch.setenv("SEGEXP_TOKEN", SECRET)


def logged(folder):
    """{(name, step): value} of `metrics.jsonl`."""
    records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return {(r["name"], r["step"]): pytest.approx(r["value"]) for r in records if r["value"] is not None}


def attempted(outputs, *words, plan=None, ends=None):
    """Run, end the trackers as the end of a process would, and the run's folder."""
    if ends:
        with pytest.raises(ends):
            run(outputs, *SHORT, *words, plan=plan)
    else:
        run(outputs, *SHORT, *words, plan=plan)
    folder = folder_of(outputs)
    end_trackers(folder)
    return folder


def stop():
    """What stops an attempt at its second step."""
    return {"plan": {("train", 1): signals()}, "ends": StoppedError}


def fail():
    """What lets it fail in the validation after that."""
    return {"plan": {("val", 2): fails(RuntimeError("boom"))}, "ends": RuntimeError}


def without_secret(*folders):
    """Of what trackers wrote."""
    paths = [path for folder in folders for path in (folder.rglob("*") if folder.is_dir() else [folder])]
    assert paths
    for path in paths:
        assert not path.is_file() or SECRET.encode() not in path.read_bytes(), path


# ------------------------------------------------------------------ what the folder says


class Silent(Mirror):
    """A tracker that tells nobody."""

    def open(self):
        return self

    def write(self, values, step):
        pass

    def close(self, state, error):
        pass


def test_the_config_is_the_stored_one_and_secrets_stay_names(tmp_path):
    folder = tmp_path / "camvid" / "shapes-fcn-tiny-s0-0123456789ab"
    folder.mkdir(parents=True)
    text = "seed: 3\ndata: {seed: '${seed}', token: '${oc.env:SEGEXP_TOKEN}', root: '${paths.data}/x'}\npaths: {data: /here}\n"
    (folder / "config.yaml").write_text(text + "logger: {wandb: {key: a}}\ntags: [first, second]\n")
    mirror = Silent(str(folder))
    assert mirror.config() == {
        "seed": 3,
        "data.seed": 3,
        "data.token": "${oc.env:SEGEXP_TOKEN}",
        "data.root": "/here/x",
        "tags": ["first", "second"],
    }
    assert (mirror.id, mirror.slug, mirror.group, mirror.tags()) == ("0123456789ab", "shapes-fcn-tiny-s0", "camvid", ["first", "second"])
    assert (mirror.finals(), mirror.status(), mirror.command(), list(mirror.logged())) == ({}, {}, "", [])


# ------------------------------------------------------------------ TensorBoard


def events(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(folder / "tensorboard"), size_guidance={"tensors": 0, "images": 0})
    found.Reload()
    return found


def scalars(folder):
    found = events(folder)
    return {(name, event.step): event.value for name in found.Tags()["scalars"] for event in found.Scalars(name)}


def text(folder, name):
    return events(folder).Tensors(f"{name}/text_summary")[-1].tensor_proto.string_val[0].decode()


def test_tensorboard_has_what_the_run_logged_its_end_and_its_pictures(tmp_path):
    folder = attempted(tmp_path, "logger=tensorboard", "+data_token=${oc.env:SEGEXP_TOKEN}")
    found = scalars(folder)
    assert {key: value for key, value in found.items() if not key[0].startswith("final/")} == logged(folder)
    assert ("final/val/miou", 2) in found
    assert text(folder, "state") == "done"
    assert "data_token: ${oc.env:SEGEXP_TOKEN}" in text(folder, "config")
    assert events(folder).Tags()["images"]
    without_secret(folder / "tensorboard")


@pytest.mark.parametrize(("first", "state"), [(stop, "preempted"), (fail, "failed error[unexpected]")])
def test_tensorboard_of_a_run_that_goes_on_is_that_of_one_that_never_stopped(tmp_path, first, state):
    folder = attempted(tmp_path, "logger=tensorboard", **first())
    assert text(folder, "state").startswith(state.partition(" ")[0])
    attempted(tmp_path, "logger=tensorboard")
    assert len(list((folder / "tensorboard").iterdir())) == 1
    assert {key: value for key, value in scalars(folder).items() if not key[0].startswith("final/")} == logged(folder)
    assert text(folder, "state") == "done"


# ------------------------------------------------------------------ MLflow


def store(outputs):
    """The one run of the store, and its values."""
    mlflow = pytest.importorskip("mlflow")
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{outputs}/mlflow.db")
    (entry,) = client.search_runs([e.experiment_id for e in client.search_experiments()])
    points = [(name, p.step, p.value) for name in entry.data.metrics for p in client.get_metric_history(entry.info.run_id, name)]
    assert len({point[:2] for point in points}) == len(points)  # each once
    return client, entry, {(name, step): value for name, step, value in points if not name.startswith("final/")}


@pytest.mark.slow
def test_mlflow_has_one_run_that_stops_fails_goes_on_and_ends(tmp_path):
    pytest.importorskip("mlflow")
    words = ["logger=mlflow", "+tags=[first]", "+data_token=${oc.env:SEGEXP_TOKEN}"]
    folder = attempted(tmp_path, *words, **stop())
    _, entry, _ = store(tmp_path)
    assert (entry.info.status, entry.data.tags["state"]) == ("KILLED", "preempted")
    first = entry.info.run_id
    attempted(tmp_path, *words, **fail())
    _, entry, _ = store(tmp_path)
    assert (entry.info.status, entry.data.tags["state"]) == ("FAILED", "failed")
    assert "boom" in entry.data.tags["error"]
    attempted(tmp_path, *words)
    client, entry, values = store(tmp_path)
    assert entry.info.run_id == first
    assert (entry.info.status, entry.data.tags["state"], entry.data.tags["error"]) == ("FINISHED", "done", "")
    assert values == logged(folder)
    assert entry.data.metrics["final/val/miou"] == pytest.approx(read(folder, "result.json")["val"]["miou"])
    assert (entry.data.params["seed"], entry.data.params["data_token"]) == ("0", "${oc.env:SEGEXP_TOKEN}")
    assert entry.data.tags["segexp.run"] == folder.name[-12:]
    assert "first" in entry.data.tags
    assert client.list_artifacts(first, "images")
    without_secret(*tmp_path.glob("mlflow*"))


def test_a_store_that_cannot_be_reached_ends_no_run(tmp_path, capsys):
    pytest.importorskip("mlflow")
    (tmp_path / "mlflow.db").mkdir(parents=True)
    folder = attempted(tmp_path, "logger=mlflow")
    assert json.loads((folder / "status.json").read_text())["state"] == "done"
    assert "warning: MlflowTracker failed and is left out" in capsys.readouterr().out


# ------------------------------------------------------------------ all of them, processes that are killed


SCRIPT = """
import sys
from segexp.allow import allow
allow("tests")
from tests.runs.planned import run, signals
from tests.callbacks.test_trackers import SHORT
words = ["logger=wandb", "+tags=[first]", "+data_token=${oc.env:SEGEXP_TOKEN}"]
run(sys.argv[1], *SHORT, *words, plan={("train", 1): signals(9)} if "kill" in sys.argv else {})
"""


def records(path):
    """The messages of an offline file: LevelDB's log format, blocks of 32 KiB with pieces of records."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, place, whole = path.read_bytes(), 7, b""
    while place + 7 <= len(data):
        left = 32768 - place % 32768
        if left < 7:
            place += left
            continue
        size, kind = struct.unpack("<HB", data[place + 4 : place + 7])
        whole = (b"" if kind in (1, 2) else whole) + data[place + 7 : place + 7 + size]
        place += 7 + size
        if kind in (1, 4) and size:
            record = Record()
            record.ParseFromString(whole)
            yield record


def plain(items):
    return {"/".join(item.nested_key) or item.key: json.loads(item.value_json) for item in items}


def offline(folder):
    """Of each offline file of W&B what it says of the run."""
    for path in sorted((folder / "wandb").glob("offline-run-*/*.wandb")):
        seen = {"rows": [], "exit": None, "summary": {}, "id": None}
        for record in records(path):
            kind = record.WhichOneof("record_type")
            if kind == "run":
                run_record = record.run
                seen |= {"id": run_record.run_id, "tags": list(run_record.tags), "config": plain(run_record.config.update)}
            elif kind == "history":
                seen["rows"].append(plain(record.history.item))
            elif kind == "summary":
                seen["summary"] |= plain(record.summary.update)
            elif kind == "exit":
                seen["exit"] = record.exit.exit_code
        yield seen


@pytest.mark.slow
def test_wandb_offline_of_a_run_whose_process_is_killed_and_that_goes_on(tmp_path):
    (tmp_path / "s.py").write_text(SCRIPT)
    environment = os.environ | {"PYTHONPATH": str(ROOT), "SEGEXP_TOKEN": SECRET, "WANDB_API_KEY": ""}
    codes = []
    for word in ("kill", "go on"):
        words = [sys.executable, str(tmp_path / "s.py"), str(tmp_path / "outputs"), word]
        done = subprocess.run(words, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=240)
        codes.append(done.returncode)
        assert "warning" not in done.stdout, done.stdout
    assert codes == [-9, 0]
    folder = folder_of(tmp_path / "outputs")
    _, second = offline(folder)  # of the first, W&B itself may have written nothing yet
    assert {path.name for path in folder.glob("wandb/offline-run-*/*.wandb")} == {f"run-{folder.name[-12:]}.wandb"}
    assert second["id"] == folder.name[-12:]
    assert second["exit"] == 0
    assert second["tags"] == ["first"]
    assert second["config"]["data_token"] == "${oc.env:SEGEXP_TOKEN}"
    pairs = [((name, row["step"]), value) for row in second["rows"] if "step" in row for name, value in row.items()]
    mine = [pair for pair in pairs if pair[0] in logged(folder)]
    assert len(mine) == len(logged(folder))  # each once
    assert dict(mine) == logged(folder)
    assert second["summary"]["state"] == "done"
    assert second["summary"]["final/val/miou"] == pytest.approx(read(folder, "result.json")["val"]["miou"])
    assert any(name.startswith("images/") for row in second["rows"] for name in row)
    without_secret(folder / "wandb")


def test_errors_are_told_whole(tmp_path):
    folder = tmp_path / "camvid" / "shapes-fcn-tiny-s0-0123456789ab"
    folder.mkdir(parents=True)
    ended = []

    class Told(Silent):
        def close(self, state, error):
            ended.append((state, error))

    mirror = Told(str(folder))
    mirror.end()
    assert ended == []  # it was never needed
    error = SegexpError("it broke", where="here", fix="mend it").as_dict()
    (folder / "status.json").write_text(json.dumps({"state": "failed", "error": error}))
    _ = mirror.experiment
    mirror.end()
    mirror.end()
    assert ended == [("failed", "segexp: error[failed]: it broke; here; fix: mend it")]
