"""Payloads of class 6: names and paths. What data sets, runs and sweeps name lies where it belongs, or isn't touched."""

import json

import pytest
from PIL import Image

from segexp.build import open_dataset
from segexp.cli.main import main
from segexp.config import compose
from segexp.errors import ConfigError, DataError, SegexpError
from segexp.runs.directory import RunDirectory
from segexp.weights.checkpoints import pointed
from tests.security.conftest import TINY

XML = "<annotation><size><width>8</width><height>8</height></size>{}</annotation>"
BOX = "<object><name>car</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>5</xmax><ymax>5</ymax></bndbox></object>"


def picture(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8)).save(path)


def text(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)


def coco(root, name):
    box = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 4, 4], "area": 16, "iscrowd": 0, "segmentation": [[1, 1, 5, 1, 5, 5]]}
    images = [{"id": 1, "file_name": name, "width": 8, "height": 8}]
    plain = {"images": images, "annotations": [box], "categories": [{"id": 1, "name": "car"}]}
    for split in ("train", "val"):
        text(root / "annotations" / f"{split}.json", json.dumps(plain))
    (root / "images").mkdir(exist_ok=True)
    return ["data=coco_json", f"data.root={root}"]


def yolo(root, name):
    text(root / "list.txt", f"{name}\n")
    text(root / "data.yaml", "names: [car]\ntrain: list.txt\nval: list.txt\n")
    return ["data=yolo", f"data.root={root}"]


def voc(root, name):
    stem = name.rpartition(".")[0]
    for split in ("train", "val"):
        text(root / "ImageSets" / "Main" / f"{split}.txt", f"{stem}\n")
    (root / "JPEGImages").mkdir()
    text(root / "Annotations" / f"{stem}.xml", XML.format(BOX))
    return ["data=voc_xml", f"data.root={root}", "data.classes=[car,bus]"]


def linked(root, name):
    text(root / "images" / "train" / "cat" / "x.txt", "")
    for split in ("train", "val"):
        for kind in ("cat", "dog"):
            picture(root / split / kind / "a.jpg")
    (root / "train" / "cat" / "b.jpg").symlink_to(root.parent / "elsewhere" / "a.jpg")
    return ["data=image_folder", f"data.root={root}"]


LAYOUTS = {"coco": (coco, "images"), "yolo": (yolo, ""), "voc": (voc, "JPEGImages"), "links": (linked, "")}
WAYS = {"above": "{up}../elsewhere/a.jpg", "absolute": "{out}/a.jpg", "there and back": "{up}../set/../elsewhere/a.jpg"}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_data_set_can_t_bring_in_what_lies_elsewhere(layout, way, tmp_path, marker):
    root, out = tmp_path / "set", tmp_path / "elsewhere"
    root.mkdir()
    picture(out / "a.jpg")
    make, within = LAYOUTS[layout]
    typed = make(root, WAYS[way].format(up="../" if within else "", out=out))
    with pytest.raises(SegexpError) as caught:
        opened = open_dataset(compose("train", typed)).open("train")
        opened[0]  # a name that is no path at all is told as missing
    error = caught.value
    assert isinstance(error, (DataError, ConfigError)) and str(tmp_path) in f"{error.what} {error.where}"
    if "outside" in error.what:
        assert "data.allow_outside=true" in error.fix
        assert len(open_dataset(compose("train", [*typed, "data.allow_outside=true"])).open("train")) >= 1


NAMES = ["../evil", "/tmp/evil", ".hidden", "..", "a/b", "a\nb", "a\0b", "."]


@pytest.mark.parametrize("name", NAMES)
def test_the_name_of_an_experiment_is_a_plain_folder(name, tmp_path, marker):
    config = compose("train", [*TINY, f"paths.outputs={tmp_path}/runs"])
    config.name = name
    with pytest.raises(ConfigError, match="the name of an experiment must be a plain folder name"):
        RunDirectory.of(config, tmp_path / "runs")


IDS = ["../../etc", "../*", "/etc", "..", "0123456789ab/..", "%2e%2e", "$(touch MARKER)", "; touch MARKER", "0" * 5000, "-rf"]


COMMANDS = [("evaluate", name) for name in IDS] + [(command, IDS[0]) for command in ("report", "reproduce", "resume", "weights")]


@pytest.mark.parametrize(("command", "name"), COMMANDS)
def test_a_run_is_found_by_its_name_alone(command, name, tmp_path, marker, capsys):
    (tmp_path / "outputs").mkdir()
    named, outputs = name.replace("MARKER", str(marker)), f"paths.outputs={tmp_path}/outputs"
    key = {"resume": f"resume.run='{named}'", "weights": f"weights.file='run:{named}'"}.get(command)
    assert main(["train", *TINY, key, outputs] if key else [command, named, outputs]) in (1, 2)
    assert "segexp: error[" in capsys.readouterr().err
    assert not list((tmp_path / "outputs").rglob("*.ckpt"))


POINTERS = ["../../evil", "/etc/passwd", "step-1/../../evil", "step-1\n../evil", "step-", "", "step-1.ckpt", "\0"]


@pytest.mark.parametrize("name", POINTERS)
def test_a_pointer_names_a_checkpoint_of_its_folder(name, tmp_path, marker):
    (tmp_path / "LAST").write_text(name)
    assert pointed(tmp_path, "last") is None


ATTEMPTS = ["../../../evil", "/tmp/evil", -1, 1.5, None, [], {"a": 1}, True, "1"]


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_an_attempt_is_a_number_and_moves_nothing_elsewhere(attempt, trained, tmp_path, marker, capsys):
    folder, command = trained
    before = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*"))
    (folder / "status.json").write_text(json.dumps({"state": "failed", "attempt": attempt, "step": 2, "error": None, "failures": 1}))
    assert main([*command, "run.again=true"]) == 1
    assert f"not a run's status; {folder}/status.json; fix: restore the file" in capsys.readouterr().err
    assert sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*")) == before


def test_the_paths_would_lead_elsewhere(tmp_path):
    """The control: what is refused is there to be read, and an attempt of such a name would be a folder elsewhere."""
    root, out = tmp_path / "set", tmp_path / "elsewhere"
    root.mkdir()
    picture(out / "a.jpg")
    opened = open_dataset(compose("train", [*coco(root, "../../elsewhere/a.jpg"), "data.allow_outside=true"])).open("train")
    assert opened[0]["image"].shape == (3, 8, 8)
    assert (root / "attempts" / "../../elsewhere").resolve() == out
