"""Payloads of class 8: what runs and sweeps keep as JSON and text. Whatever stands there, it is read as data or refused by name."""

import json
from pathlib import Path

import pytest

from segexp.cli.main import main
from segexp.errors import SegexpError
from segexp.functional.files import read_json
from segexp.runs.find import run_folders
from segexp.sweeps import child

HTML = "<script>document.title='evil'</script><img src=x onerror=alert(1)>"
BROKEN = {  # content of any JSON file
    "depth": "[" * 100_000,
    "depth, closed": '{"a":' * 50_000 + "1" + "}" * 50_000,
    "a long number": '{"state": ' + "9" * 5000 + "}",
    "not UTF-8": b'{"state": "\xff\xfe"}',
    "a pickle": b"cos\nsystem\n(S'touch MARKER'\ntR.",
    "nothing": "",
    "cut": '{"state": "do',
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_json_is_named(kind, tmp_path, marker):
    content = BROKEN[kind]
    (tmp_path / "a.json").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(SegexpError, match=r"^not valid JSON: ") as caught:
        read_json(tmp_path / "a.json")
    assert caught.value.where == str(tmp_path / "a.json") and caught.value.fix == "restore the file, or delete it"


FILES = ("status.json", "manifest.json")
WRONG = {"state": {"a": 1}, "id": [1], "spec": "x", "git": 3}
KINDS = {"a list": [], "wrong values": WRONG}


@pytest.mark.parametrize("kind", ["a list", "wrong values", "depth", "a pickle"])
@pytest.mark.parametrize("name", FILES)
def test_commands_take_no_harm_from_a_run_s_files(name, kind, run, marker, capsys):
    content = BROKEN[kind] if kind in BROKEN else json.dumps(KINDS[kind])
    (run / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    assert main(["evaluate", str(run)]) in (1, 2)
    assert main(["verify", str(run)]) == 1
    assert main(["report", str(run)]) in (0, 1, 2)
    assert main(["runs", str(run.parent)]) in (0, 1, 2)
    assert "segexp: error[" in capsys.readouterr().err


RECORDS = {
    "another sha256": lambda record: record | {"sha256": "0" * 64},
    "another size": lambda record: record | {"size": 1},
    "text for numbers": lambda record: record | {"step": "../../evil"},
    "a list": lambda record: [record],
    "no files": lambda record: {key: value for key, value in record.items() if key != "files"} | {"sha256": ""},
}


@pytest.mark.parametrize("kind", RECORDS)
def test_a_record_that_doesn_t_fit_its_checkpoint_stops_the_run(kind, trained, marker, capsys):
    folder, command = trained
    for path in (folder / "checkpoints").glob("step-*.json"):
        path.write_text(json.dumps(RECORDS[kind](json.loads(path.read_text()))))
    assert main(command) == 1
    assert "none of the run's checkpoints is valid" in capsys.readouterr().err


def test_a_page_shows_markup_as_text(run, marker):
    (run / "traceback.txt").write_text(HTML)
    (run / "overrides.txt").write_text(f"segexp train name='{HTML}'\n")
    (run / "metrics.jsonl").write_text(json.dumps({"step": 1, "name": HTML, "value": 1.0}) + "\n")
    (run / "per_image.jsonl").write_text(json.dumps({"id": HTML, "split": "val", "miou": 0.5}) + "\n")
    status = {"state": "failed", "attempt": 1, "step": 1, "error": {"code": "x", "what": HTML, "where": HTML, "fix": HTML}, "failures": 1}
    (run / "status.json").write_text(json.dumps(status))
    manifest = json.loads((run / "manifest.json").read_text()) | {"command": HTML, "hostname": HTML, "versions": {HTML: HTML}}
    manifest["spec"]["classes"][0]["name"] = HTML
    (run / "manifest.json").write_text(json.dumps(manifest))
    assert main(["report", str(run)]) == 0
    page = (run / "report.html").read_text()
    assert HTML not in page and "<img src=x" not in page and "&lt;script&gt;document.title" in page
    assert "Content-Security-Policy" in page and "default-src 'none'" in page


PLACES = ["../../../../../etc", "/etc", "\0", "a" * 5000, 7, {"a": 1}]


@pytest.mark.parametrize("place", PLACES)
def test_a_sweep_s_list_of_jobs_leads_to_runs_alone(place, tmp_path, marker, capsys):
    folder = tmp_path / "outputs" / "default" / "sweeps" / "seed-0123456789ab"
    folder.mkdir(parents=True)
    job = {"overrides": ["seed=1"], "run": "0123456789ab", "path": place, "state": "done", "cause": None, "error": None, "log": place}
    (folder / "sweep.json").write_text(json.dumps({"command": HTML, "again": False, "unfinished": False, "jobs": [job]}))
    before = sorted(tmp_path.rglob("*"))
    assert not [found for found in _quietly(run_folders, folder) if (found / "config.yaml").exists()]
    for command in ("verify", "report"):
        assert main([command, str(folder)]) in (0, 1, 2)
    new = [path for path in sorted(tmp_path.rglob("*")) if path not in before]
    assert all(folder in path.parents or ".cache" in path.parts or "index" in path.name for path in new)
    assert HTML not in "".join(path.read_text() for path in new if path.suffix == ".html")


def _quietly(find, folder):
    try:
        return find(folder)
    except (SegexpError, ValueError, OSError):
        return []


DOCUMENTS = {
    "a hostile head": {"config": "head: {_target_: os.system, command: touch MARKER}"},
    "a tag": {"config": "x: !!python/object/apply:os.system ['touch MARKER']"},
    "an allowed name that isn't one": {"config": "", "allow": ["os; touch MARKER"]},
}


@pytest.mark.parametrize("kind", DOCUMENTS)
def test_the_document_of_a_job_is_data(kind, trained, marker, capsys, monkeypatch):
    folder, _ = trained
    text = DOCUMENTS[kind]["config"].replace("MARKER", str(marker))
    whole = (folder / "config.yaml").read_text()
    config = whole.replace("\nhead:\n", f"\n{text}\nwas:\n") if "head" in text else whole if "allow" in DOCUMENTS[kind] else text
    document = {"config": config, "overrides": [], "threads": 1, "allow": DOCUMENTS[kind].get("allow", [])}
    try:
        assert child.run(document) in (1, 2)
    except Exception as error:  # before the run: the parent sees a process that failed
        assert "constructor" in str(error) or isinstance(error, SegexpError)


def test_the_texts_are_read_where_nothing_is_wrong(run, tmp_path):
    """The control: the run is one that commands read, and the markup would be one if it weren't escaped."""
    assert run_folders(run.parent) == [run]
    assert main(["report", str(run)]) == 0 and "<script" in Path(run / "report.html").read_text()
