"""What `segexp predict` writes of a data set's own split, and that Cityscapes' official script reads the same numbers from it."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from segexp.cli.main import main
from segexp.cli.pictures import Files, Split
from segexp.cli.predict import USAGE, device
from segexp.config import compose
from segexp.data.cityscapes import LABEL_IDS
from segexp.errors import ConfigError
from segexp.functional.images import read_labels

SHARED = Path(os.environ.get("SEGEXP_SHARED", Path(__file__).parents[3] / "shared")) / "data" / "cityscapes_layout"
TINY = [
    *("data=cityscapes", "data.loader.batch_size=2", "backbone=timm", "backbone.name=test_resnet", "decoder.width=16"),
    *("trainer.max_epochs=8", "trainer.check_val_every_n_epoch=8", "trainer.accelerator=cpu", "trainer.log_every_n_steps=1"),
    *("optimizer.lr=0.01", "scheduler.warmup=0", "data.limit=4", "callbacks.panels.count=0"),
]


def generated(root):
    """A tree as it is downloaded: two cities, void, and a test split without labels."""
    rng = np.random.default_rng(0)
    for split, city, frames in (("train", "aachen", 4), ("val", "ulm", 2), ("val", "bonn", 2), ("test", "berlin", 3)):
        for frame in range(frames):
            stem = f"{city}_000000_{frame:06d}"
            blocks = rng.choice([*LABEL_IDS[:6], 4], (3, 4)).astype(np.uint8)
            labels = np.kron(blocks, np.ones((16, 16), np.uint8))
            picture = np.stack([labels * 7, 255 - labels, labels * 3], -1)
            for path, array in ((f"leftImg8bit/{split}/{city}/{stem}_leftImg8bit.png", picture),) + (
                ((f"gtFine/{split}/{city}/{stem}_gtFine_labelIds.png", labels),) if split != "test" else ()
            ):
                (root / path).parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(array).save(root / path)
    return root


@pytest.fixture(scope="module", params=["generated", "shared"])
def run(request, tmp_path_factory):
    """(a trained run, the root of its data set)"""
    if request.param == "shared" and not SHARED.is_dir():
        pytest.skip("the shared data aren't here")
    place = tmp_path_factory.mktemp("place")
    root = SHARED if request.param == "shared" else generated(place / "cityscapes")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        assert main(["train", *TINY, f"data.root={root}", f"paths.outputs={place}/outputs"]) == 0
    (folder,) = (p.parent for p in place.glob("outputs/default/*/result.json"))
    return folder, root


def official(exchange, root):
    """The confusion matrix of the official script, by label id, and its mean IoU."""
    script = pytest.importorskip("cityscapesscripts.evaluation.evalPixelLevelSemanticLabeling", reason="needs cityscapesscripts")
    options = script.args
    options.evalInstLevelScore, options.JSONOutput, options.quiet = False, False, True
    options.predictionPath, options.predictionWalk, options.evalLabels = str(exchange), None, []
    truths = sorted(str(p) for p in root.glob("gtFine/val/*/*_gtFine_labelIds.png"))
    found = [script.getPrediction(options, truth) for truth in truths]
    matrix = script.generateMatrix(options)
    for predicted, truth in zip(found, truths, strict=True):
        script.evaluatePair(predicted, truth, matrix, {}, {}, options)
    scores = {label: script.getIouScoreForLabel(label, matrix, options) for label in options.evalLabels}
    return matrix, script.getScoreAverage(scores, options)


def test_cityscapes_official_script_gives_the_same_numbers(run, capsys):
    folder, root = run
    assert main(["predict", str(folder), "data.split=val"]) == 0
    (written,) = (folder / "predictions").glob("split-val-*")
    assert f"written to {written}" in capsys.readouterr().out
    names = sorted(p.name for p in (written / "exchange").iterdir())
    assert names == sorted(p.name for p in (written / "labels").iterdir()) == sorted(p.name for p in (written / "overlays").iterdir())
    assert len(names) == len(list(root.glob("leftImg8bit/val/*/*.png")))
    ids, train = (read_labels(written / part / names[0]) for part in ("exchange", "labels"))
    assert torch.equal(ids, torch.tensor(LABEL_IDS, dtype=torch.uint8)[train.long()])
    matrix, miou = official(written / "exchange", root)
    assert main(["evaluate", str(folder)]) == 0
    (evaluation,) = (folder / "evaluations").glob("default-*")
    ours = json.loads((evaluation / "confusion.json").read_text())["val"]
    assert matrix[np.ix_(LABEL_IDS, LABEL_IDS)].tolist() == ours["counts"]
    assert miou > 0.02 and sum(map(bool, np.sum(ours["counts"], axis=0))) > 2  # or there would be little to compare
    assert miou == pytest.approx(json.loads((evaluation / "result.json").read_text())["val"]["miou"], abs=1e-12)


def test_a_split_without_labels_and_a_folder_of_pictures(run, capsys):
    folder, root = run
    if root == SHARED:
        pytest.skip("it has no test split")
    assert main(["predict", str(folder), "data.split=test", "protocol=multi_scale", "protocol.scales=[1.0]"]) == 0
    (written,) = (folder / "predictions").glob("split-test-*")
    assert sorted(p.name for p in (written / "exchange").iterdir()) == [f"berlin_000000_{i:06d}.png" for i in range(3)]
    assert main(["predict", str(folder), str(root / "leftImg8bit" / "val")]) == 0
    (written,) = (folder / "predictions").glob("val-*")
    assert (written / "labels" / "ulm__ulm_000000_000001_leftImg8bit.png").is_file()
    assert (written / "exchange" / "ulm_000000_000001_leftImg8bit.png").is_file()  # as the script looks for it
    capsys.readouterr()
    assert main(["evaluate", str(folder), "data.split=test"]) == 1
    fix = f"data.split=test; fix: segexp predict {folder} data.split=test"
    assert f"error[data]: the split 'test' has no labels to measure against; {fix}" in capsys.readouterr().err
    assert main(["predict", str(folder), "data.split=nowhere"]) == 2
    assert "Cityscapes has no split 'nowhere'" in capsys.readouterr().err


def test_a_broken_picture_costs_the_others_nothing(run, tmp_path, capsys):
    folder, root = run
    if root == SHARED:
        pytest.skip("the generated tree is enough")
    for name, picture in zip("ac", sorted(root.glob("leftImg8bit/val/*/*.png")), strict=False):
        (tmp_path / f"{name}.png").symlink_to(picture)
    (tmp_path / "b.png").write_bytes(b"")
    assert main(["predict", str(folder), str(tmp_path)]) == 1
    out, err = capsys.readouterr()
    assert "3/3 pictures, 1 not read" in out
    assert f"not read  {tmp_path / 'b.png'}: the file is empty" in out
    assert f"error[data]: 1 of 3 pictures can't be read; {tmp_path}; fix: mend or remove those listed above" in err
    (written,) = (folder / "predictions").glob(f"{tmp_path.stem}-*")
    assert sorted(p.name for p in (written / "labels").iterdir()) == ["a.png", "c.png"]
    assert "the file is empty" in (written / "log.txt").read_text()
    assert main(["predict", str(folder), str(tmp_path / "b.png")]) == 1
    out, err = capsys.readouterr()
    assert "error[data]: the file is empty" in err
    assert "written to" not in out


def test_each_source_and_its_settings_have_a_folder(run, tmp_path, capsys):
    folder, root = run
    if root == SHARED:
        pytest.skip("the generated tree is enough")
    picture = next(root.glob("leftImg8bit/val/*/*.png"))
    one, two = (tmp_path / place / "same.png" for place in ("one", "two"))
    for copy in (one, two):
        copy.parent.mkdir()
        copy.write_bytes(picture.read_bytes())
    typed = [[str(one)], [str(two)], [str(two), "protocol=multi_scale", "protocol.scales=[1.0]"], [str(two)]]
    for arguments in typed:
        assert main(["predict", str(folder), *arguments]) == 0
    said = [line for line in capsys.readouterr().out.splitlines() if line.startswith("written to ")]
    assert len(set(said)) == 3
    assert said[1] == said[3]
    assert all((folder / "predictions" / line.rpartition("/")[2] / "labels" / "same.png").is_file() for line in said)


def test_evaluation_by_another_protocol_changes_the_figures_and_not_the_loss(run):
    folder, root = run
    if root == SHARED:
        pytest.skip("the generated tree is enough")
    assert main(["evaluate", str(folder)]) == 0
    assert main(["evaluate", str(folder), "protocol=sliding", "protocol.window=[32,32]", "protocol.flip=true"]) == 0
    plain, sliding = (
        json.loads(next((folder / "evaluations").glob(f"{name}*/result.json")).read_text())["val"] for name in ("default", "protocol")
    )
    assert plain["loss"] == sliding["loss"]
    assert plain["miou"] != sliding["miou"]


def test_neither_pictures_nor_a_split(capsys):
    assert main(["predict", "x"]) == 2
    assert f"1 argument missing; {USAGE}" in capsys.readouterr().err


# ------------------------------------------------------------------ names, and the device


def test_names_of_files(tmp_path):
    for name in ("a/x.jpg", "b/x.jpg", "b/y.png", "b/y.jpg", "z.tif"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = Files(tmp_path, USAGE)
    assert found.names == ["a__x", "b__x", "b__y_jpg", "b__y_png", "z"]
    assert found.short == ["a__x", "b__x", "b__y_jpg", "b__y_png", "z"]
    assert Files(tmp_path / "z.tif", USAGE).names == ["z"]
    (tmp_path / "a" / "x.jpg").unlink()
    assert Files(tmp_path, USAGE).short == ["x", "b__y_jpg", "b__y_png", "z"]
    assert len(found) == 5


class Opened(list):
    def id(self, index):
        return self[index]


def test_names_of_a_split():
    assert Split(Opened(["val/ulm/a", "val/bonn/b"])).names == ["a", "b"]
    assert Split(Opened(["val/ulm/a", "val/bonn/a", "val/c"])).names == ["ulm__a", "bonn__a", "c"]
    assert len(Split(Opened(["val/a", "val/b"]), limit=1)) == 1


@pytest.mark.parametrize(("suffix", "text"), [(".mp4", "is no picture"), (".none", "there is no such file or folder")])
def test_what_is_no_picture(tmp_path, suffix, text):
    (tmp_path / "film.mp4").touch()
    with pytest.raises(ConfigError, match=text):
        Files(tmp_path / f"film{suffix}", USAGE)
    (tmp_path / "film.mp4").unlink()
    with pytest.raises(ConfigError, match="the folder holds no picture"):
        Files(tmp_path, USAGE)


@pytest.mark.parametrize(("accelerator", "there", "wanted"), [("auto", True, "cuda"), ("auto", False, "cpu"), ("cpu", True, "cpu")])
def test_the_device(monkeypatch, accelerator, there, wanted):
    monkeypatch.setattr("torch.cuda.is_available", lambda: there)
    assert device(compose("train", [f"trainer.accelerator={accelerator}"])).type == wanted
