"""`segexp reproduce`: bit-equal where nothing has changed; each change named, and then nothing is run."""

import json
import os
import shutil

import pytest
import torch
from PIL import Image

from segexp.build import open_dataset
from segexp.cli.main import main
from segexp.config import compose
from segexp.functional.tensors import load_plain
from segexp.ledger.data_files import write_table
from segexp.ledger.reproduction import compare
from segexp.runs.execute import execute
from segexp.runs.manifest import git_state
from segexp.runs.recompose import recompose
from segexp.weights.checkpoints import listed, write
from tests.ledger.fabricated import dump
from tests.ledger.test_code import checkout, git  # noqa: F401
from tests.runs.planned import SMALL, Planned, content, read

pytestmark = pytest.mark.usefixtures("quick", "_here")


@pytest.fixture
def _here(checkout, monkeypatch):  # noqa: F811
    """The code is a small checkout, so that nobody who works on this one disturbs the tests."""
    monkeypatch.setattr("segexp.ledger.drift.source_folder", lambda: checkout)
    monkeypatch.setattr("segexp.runs.manifest.source_folder", lambda: checkout)


def manifest(folder, **values):
    dump(folder / "manifest.json", read(folder, "manifest.json") | values)


@pytest.fixture
def first(copied, checkout):  # noqa: F811
    """A run that is done, of the code of the small checkout."""
    manifest(copied, git=git_state(checkout))
    return copied


def test_where_nothing_has_changed_all_is_bit_equal(first, capsys):
    before = content(first)
    assert main(["reproduce", str(first)]) == 0
    lines = capsys.readouterr().out.splitlines()
    logged = len((first / "metrics.jsonl").read_text().splitlines())
    finals = sum(len(read(first, "result.json")[split]) for split in ("val", "test"))
    assert lines[-1] == f"reproduced: all {logged + finals} figures and the weights are bit-equal"
    again = first.parent / "reproductions" / "default" / first.name
    assert lines[-3:-1] == [str(first), str(again)]
    assert content(first) == before
    assert read(again, "manifest.json")["id"] == read(first, "manifest.json")["id"]
    assert main(["runs", str(first.parents[1]), "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 1  # it isn't taken for a run of the experiment


def test_a_file_of_the_code(first, checkout, capsys):  # noqa: F811
    (checkout / "segexp" / "a.py").write_text("other\n")
    told = f"code: segexp/a.py has changed since (commit {read(first, 'manifest.json')['git']['commit'][:8]})"
    assert refusal(first, capsys).startswith(told)


def test_a_package(first, capsys):
    versions = read(first, "manifest.json")["versions"]
    manifest(first, versions=versions | {"timm": "0.0.1"})
    assert refusal(first, capsys).startswith(f"package: timm 0.0.1 then, {versions['timm']} now")


def test_a_config_that_somebody_has_edited(first, capsys):
    config = first / "config.yaml"
    config.write_text(config.read_text().replace("seed: 0", "seed: 1", 1))
    assert refusal(first, capsys).startswith("config: config.yaml describes the run ")


def test_a_run_that_went_on_with_another_config(first, capsys):
    manifest(first, changed=["optimizer.lr"])
    assert refusal(first, capsys).startswith("config: on its way the run went on with other values of optimizer.lr")


def refusal(folder, capsys):
    """What is said of a run that isn't made again; nothing was run, and nothing on the disk is another."""
    before = content(folder.parents[1])
    Planned.steps.clear()
    assert main(["reproduce", str(folder)]) == 1
    out, err = capsys.readouterr()
    told = err.partition("error[drift]: ")[2]
    assert told.partition("; ")[0] in out
    assert "--anyway runs it all the same" in told
    assert Planned.steps == []
    assert content(folder.parents[1]) == before
    return told


def test_several_changes_are_all_named(first, checkout, capsys):  # noqa: F811
    (checkout / "segexp" / "a.py").write_text("other\n")
    (checkout / "segexp" / "b.py").write_text("other\n")
    assert main(["reproduce", str(first)]) == 1
    out, err = capsys.readouterr()
    assert [line.split()[1] for line in out.splitlines()] == ["segexp/a.py", "segexp/b.py"]
    assert "2 things have changed since the run began" in err


def test_anyway_runs_it_all_the_same(first, capsys):
    manifest(first, versions=read(first, "manifest.json")["versions"] | {"timm": "0.0.1"})
    assert main(["reproduce", str(first), "--anyway"]) == 0
    out = capsys.readouterr().out
    assert "package: timm 0.0.1 then" in out
    assert "bit-equal" in out


def test_another_machine_is_told_and_no_reason_to_end(first, capsys):
    hardware = read(first, "manifest.json")["hardware"] | {"cpu": "Abacus"}
    manifest(first, hardware=hardware, hostname="there", threads=None)
    assert main(["reproduce", str(first)]) == 0
    out = capsys.readouterr().out
    assert "machine: cpu Abacus then, " in out
    assert "machine: there then, " in out


def test_the_threads_are_those_of_the_manifest(first, monkeypatch):
    seen = []
    monkeypatch.setattr(torch, "set_num_threads", seen.append)
    manifest(first, threads=3)
    main(["reproduce", str(first)])
    assert seen == [3]


def test_figures_that_came_out_otherwise(first, capsys):
    lines = (first / "metrics.jsonl").read_text().splitlines()
    record = json.loads(lines[0])
    (first / "metrics.jsonl").write_text("\n".join([json.dumps(record | {"value": 0.5}), *lines[1:]]) + "\n")
    assert main(["reproduce", str(first)]) == 1
    out, err = capsys.readouterr()
    assert f"{record['name']} of step 0: 0.5 then, {record['value']} now" in out
    assert "error[drift]: the run came out otherwise" in err


def test_weights_are_compared_by_their_bits(first, tmp_path):
    other = shutil.copytree(first, tmp_path / "other")
    assert compare(first, other).differences == []
    path = listed(other / "checkpoints")[0]
    state = load_plain(path)
    name = next(key for key, value in state["state_dict"].items() if value.is_floating_point())
    weights = state["state_dict"][name].clone(memory_format=torch.contiguous_format).flatten()
    weights[0] = torch.nextafter(weights[0], torch.tensor(9.0))
    state["state_dict"][name] = weights.view(state["state_dict"][name].shape)
    write(path, state, {"step": 8})
    (line,) = compare(first, other).differences
    assert line.startswith("weights: 1 of ")
    assert line.endswith(f"tensors differ, such as {name}")
    shutil.rmtree(other / "checkpoints")
    assert not compare(first, other).weights


@pytest.mark.parametrize(
    ("change", "words", "told"),
    [
        (None, ["seed=1"], "only paths can be overridden; seed=1"),
        ("preempted", [], "the run is preempted: it has no figures to compare with"),
        ("imported", [], "the run was imported, not trained"),
        ("no manifest", [], "the run's manifest is gone"),
    ],
)
def test_what_cannot_be_made_again(first, change, words, told, capsys):
    if change == "preempted":
        dump(first / "status.json", read(first, "status.json") | {"state": change})
    elif change == "imported":
        dump(first / "import.json", {})
    elif change:
        (first / "manifest.json").unlink()
    assert main(["reproduce", str(first), *words]) == 2
    assert told in capsys.readouterr().err


# ------------------------------------------------------------------ data


FOLDER = [
    *(word for word in SMALL if not word.startswith("data.") or "loader" in word),
    *("data=folder", "data.classes=[dark,bright]", "trainer.max_epochs=1"),
]


@pytest.fixture
def pictures(tmp_path):
    """A folder of eight pictures of noise and their labels, in train and val."""
    rng = torch.Generator().manual_seed(0)
    for split, count in (("train", 4), ("val", 2)):
        for kind in ("images", "masks"):
            (tmp_path / "set" / split / kind).mkdir(parents=True)
        for i in range(count):
            image = torch.randint(0, 256, (32, 48, 3), generator=rng, dtype=torch.uint8).numpy()
            Image.fromarray(image).save(tmp_path / "set" / split / "images" / f"{i}.png")
            Image.fromarray(image[..., 0] // 128).save(tmp_path / "set" / split / "masks" / f"{i}.png")
    return tmp_path / "set"


@pytest.fixture
def trained(pictures, tmp_path, checkout):  # noqa: F811
    """A run on these pictures, with the table of their contents."""
    words = [*FOLDER, f"data.root={pictures}", f"paths.outputs={tmp_path}/outputs"]
    folder = execute(compose("train", words), words).directory.path
    write_table(folder, open_dataset(recompose(folder / "config.yaml", [])), str(pictures))
    return folder


def test_pictures_that_are_the_same_elsewhere_are_the_same(trained, pictures, capsys):
    assert main(["reproduce", str(trained)]) == 0
    assert "bit-equal" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["train/images/1.png", "train/masks/2.png", "val/images/0.png"])
def test_each_changed_picture_or_label_is_named_though_its_size_and_time_are_the_same(trained, pictures, name, capsys):
    path = pictures / name
    stat, data = path.stat(), bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert refusal(trained, capsys).startswith(f"data: {name} has changed")


def test_gone_and_new_pictures_are_named(trained, pictures, capsys):
    (pictures / "train/images/1.png").rename(pictures / "train/images/9.png")
    (pictures / "train/masks/1.png").rename(pictures / "train/masks/9.png")
    assert main(["reproduce", str(trained)]) == 1
    out = capsys.readouterr().out
    assert [line for line in out.splitlines() if line.endswith((" gone", " new"))] == [
        "data: train/images/1.png is gone",
        "data: train/masks/1.png is gone",
        "data: train/images/9.png is new",
        "data: train/masks/9.png is new",
    ]


def test_without_a_table_the_fingerprint_tells_of_sizes(trained, pictures, capsys):
    (trained / "data.json").unlink()
    assert main(["reproduce", str(trained)]) == 0
    assert "data: the run has no data.json, so that only names and sizes" in capsys.readouterr().out
    path = pictures / "val/images/0.png"
    path.write_bytes(path.read_bytes() + b"x")
    assert refusal(trained, capsys).startswith("data: its fingerprint is ")


def test_data_that_are_gone(trained, pictures, capsys):
    shutil.rmtree(pictures)
    assert refusal(trained, capsys).startswith("data: ")
