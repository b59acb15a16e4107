"""`segexp data`: the doctor, the figures and the contact sheet from the command line."""

import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from segexp.cli.data import Progress
from segexp.cli.main import main

SMALL = ["data=shapes", "data.height=32", "data.width=48", "data.train=6", "data.val=4", "data.test=3"]


def said(capsys, *arguments):
    code = main(["data", *arguments])
    out, err = capsys.readouterr()
    return code, out, err


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SEGEXP_OUTPUTS", str(tmp_path / "outputs"))
    return tmp_path


@pytest.fixture
def folder(place):
    """Pictures and masks of a user; one mask is too small."""
    rng = np.random.default_rng(0)
    for split in ("train", "val"):
        for kind in ("images", "masks"):
            (place / "mine" / kind / split).mkdir(parents=True)
        for i in range(4):
            noise = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8).repeat(4, 0).repeat(4, 1)
            Image.fromarray(noise).save(place / f"mine/images/{split}/{i}.png")
            Image.fromarray((noise[..., 0] > 128).astype(np.uint8)).save(place / f"mine/masks/{split}/{i}.png")
    Image.new("L", (7, 7)).save(place / "mine/masks/val/2.png")
    return ["data=folder", f"data.root={place / 'mine'}"]


def test_a_clean_set(capsys, place):
    code, out, _ = said(capsys, "check", *SMALL)
    assert code == 0
    assert "shapes: nothing wrong; samples: train 6, val 4, test 3 (13 read now, 0 known from before)" in out
    assert json.loads((place / "outputs/data/shapes/check.json").read_text())["findings"] == []
    code, out, _ = said(capsys, "check", *SMALL, "data.split=val")
    assert "samples: val 4 (0 read now, 4 known from before)" in out


def test_errors_end_in_code_1_and_are_in_the_file(capsys, place, folder):
    code, out, _ = said(capsys, "check", *folder)
    assert code == 1
    assert "error size-mismatch (1); fix: make picture and labels the same size" in out
    assert "  val/2: the picture is 32x32 (width x height), its labels are 7x7" in out
    path = place / "outputs/data/folder-mine/check.json"
    assert str(path) in out
    (finding,) = json.loads(path.read_text())["findings"]
    assert [p.rsplit("/mine/", 1)[1] for p in finding["paths"]] == ["images/val/2.png", "masks/val/2.png"]
    assert said(capsys, "check", *folder, "data.split=train")[0] == 0


def test_warnings_count_when_strict(capsys, folder, place):
    (place / "mine/masks/val/2.png").write_bytes((place / "mine/masks/val/1.png").read_bytes())
    Image.new("RGB", (32, 32)).save(place / "mine/images/val/2.png")
    code, out, _ = said(capsys, "check", *folder)
    assert (code, "warning constant-picture (1)" in out) == (0, True)
    assert said(capsys, "check", *folder, "--strict")[0] == 1


def test_pictures_are_measured_against_the_crop_at_its_scale(capsys, place):
    code, out, _ = said(capsys, "check", *SMALL, "augmentation.crop=[20,24]", "augmentation.scale=0.5", "--show=2")
    assert code == 0
    assert "warning too-small (6)" in out
    assert "a training crop covers 48x40 of it" in out
    assert "and 4 more of this kind" in out


def test_folds_have_a_folder_of_their_own(capsys, place):
    code, out, _ = said(capsys, "check", *SMALL, "data.folds=3", "data.fold=1")
    assert code == 0
    assert "shapes-folds: nothing wrong; samples: train 4, val 2, test 3" in out
    assert (place / "outputs/data/shapes-folds/check.json").is_file()


def test_stats(capsys, place):
    code, out, _ = said(capsys, "stats", *SMALL)
    assert code == 0
    assert "train: 6 images; width x height (images): 48x32 (6)" in out
    assert out.count("'loss.class_weights=[") == 2
    written = json.loads((place / "outputs/data/shapes/stats.json").read_text())
    pixels = sum(c["pixels"] for c in written["splits"]["train"]["classes"].values())
    assert pixels / (6 * 32 * 48) == pytest.approx(1 - written["splits"]["train"]["void_share"])


def test_stats_of_a_set_with_broken_samples(capsys, folder):
    code, out, _ = said(capsys, "stats", *folder)
    assert code == 0
    assert "val: 4 images, 1 unreadable" in out
    assert "segexp data check tells why" in out


def test_browse(capsys, place):
    code, out, _ = said(capsys, "browse", *SMALL, "--count=2")
    assert code == 0
    assert [line.rsplit("/", 2)[1:] for line in out.splitlines()] == [
        ["samples", f] for f in ("index.html", "train.png", "val.png", "test.png")
    ]
    assert "shapes, train: 2 of 6 samples" in (place / "outputs/data/shapes/samples/index.html").read_text()


def test_browse_only_what_holds_a_class(capsys, place):
    code, out, _ = said(capsys, "browse", *SMALL, "--class=car", "data.split=train")
    assert code == 0
    assert [line.rsplit("/", 2)[1:] for line in out.splitlines()] == [["with-car", "index.html"], ["with-car", "train.png"]]
    assert ">car</li>" in (place / "outputs/data/shapes/with-car/index.html").read_text()


WRONG = [
    ([], "1 argument missing", "segexp data check|stats|browse"),
    (["chek"], "there is no command 'data chek'", "segexp data check"),
    (["xyz"], "there is no command 'data xyz'", "segexp data check|stats|browse"),
    (["check", "camvid"], "'camvid' is no override", "camvid=<value>"),
    (["check", "data=camvit"], "camvit", "data=camvid"),
    (["browse", "--cuont=3"], "unknown option --cuont", "--count=<value>"),
    (["check", "--show"], "--show needs a value", "--show=<value>"),
    (["check", "--strict=true"], "--strict takes no value; --strict=true", "--strict"),
    (["check", *SMALL, "data.limit=-3"], "data.limit must be a whole number from 1, or null", "data.limit=2"),
    (["stats", *SMALL, "data.loader.workers=-1"], "data.loader.workers must be a whole number from 0", "data.loader.workers=2"),
    (["check", "--count=3"], "data check has no option --count", "--show"),
    (["stats", "--count=3"], "data stats has no option --count", "--help"),
    (["stats", "--strict"], "data stats has no option --strict", "segexp data check --strict"),
    (["browse", "--count=0"], "--count must be a whole number above 0", "--count=24"),
    (["browse", *SMALL, "--class=cars"], "shapes has no class 'cars'", "--class=car"),
    (["check", *SMALL, "data.split=trian"], "shapes has no split 'trian'", "train"),
    (["check", "data=camvid", "paths.data=nowhere"], "CamVid is not there", "put train.txt"),
    (["stats", "data=camvid", "paths.data=nowhere"], "CamVid is not there", "put train.txt"),
]


@pytest.mark.parametrize(("arguments", "what", "fix"), WRONG, ids=lambda v: " ".join(v) or "nothing" if isinstance(v, list) else None)
def test_wrong_commands_end_in_one_line_and_code_2(capsys, place, arguments, what, fix):
    code, _, err = said(capsys, *arguments)
    last = err.strip().splitlines()[-1]
    assert code == 2
    assert what in last
    assert fix in last.partition("fix: ")[2]


def test_slips_never_import_torch(place):
    code = "import sys; from segexp.cli.main import main; main(sys.argv[1:]); print('torch' in sys.modules)"
    for arguments in (["data", "--help"], ["data", "chek"], ["data", "check", "data=camvit"], ["data", "browse", "--cuont=2"]):
        done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True, timeout=120)
        assert done.stdout.splitlines()[-1] == "False", arguments


def test_progress_speaks_only_of_long_scans(capsys, monkeypatch):
    now = [100.0]
    monkeypatch.setattr("segexp.cli.data.time.monotonic", lambda: now[0])
    progress = Progress()
    for done, pause in ((1, 0.0), (2, 0.5), (3, 12.0), (4, 1.0), (5, 11.5)):
        now[0] += pause
        progress("train", done, 10)
    progress("val", 1, 2)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(";")[0] for line in lines] == ["train: 3 of 10 samples read, 29 s left", "train: 5 of 10 samples read, 25 s left"]
