"""From the command line to the result, in one process: train, again, evaluate, predict, report, sweep, failures."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from segexp.build import load
from segexp.cli.main import main

TINY = [
    *("data.height=32", "data.width=48", "data.train=6", "data.val=3", "data.test=2", "data.loader.batch_size=2"),
    *(
        "backbone=timm",
        "backbone.name=test_resnet",
        "decoder.width=16",
        "trainer.max_epochs=1",
        "trainer.accelerator=cpu",
        "trainer.log_every_n_steps=1",
    ),
]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("place")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main(["train", *TINY]) == 0
        yield folder


def only_run(place, name="default"):
    (folder,) = [p for p in (place / "outputs" / name).iterdir() if (p / "result.json").exists()]
    return folder


@pytest.mark.smoke
def test_a_run_leaves_what_the_documentation_says(place):
    run = only_run(place)
    found = {p.name for p in run.iterdir()}
    assert found >= {
        *("config.yaml", "overrides.txt", "manifest.json", "status.json", "metrics.jsonl", "result.json", "per_image.jsonl"),
        *("checkpoints", "images", "report.html", "log.txt"),
    }
    result = json.loads((run / "result.json").read_text())
    assert 0 <= result["val"]["miou"] <= 1
    assert set(result["test"]) == set(result["val"])
    assert result["steps"] == 3
    assert result["config"]["optimizer.lr"] > 0
    assert result["curves"]["train/lr"]
    status = json.loads((run / "status.json").read_text())
    assert (status["state"], status["attempt"], status["error"]) == ("done", 1, None)
    manifest = json.loads((run / "manifest.json").read_text())
    assert manifest["id"] == run.name[-12:]
    assert [c["name"] for c in manifest["spec"]["classes"]][:2] == ["sky", "building"]
    assert len(manifest["data"]) == 64
    assert " data.height=32" in (run / "overrides.txt").read_text()
    assert "${paths.data}" in (run / "config.yaml").read_text()  # interpolations are kept


def test_the_same_command_prints_the_result_and_again_keeps_the_old_attempt(place, capsys):
    run, before = only_run(place), None
    before = (run / "result.json").read_text()
    assert main(["train", *reversed(TINY)]) == 0
    assert "is done" in capsys.readouterr().out
    assert (run / "result.json").read_text() == before
    assert main(["train", *TINY, "run.again=true"]) == 0
    assert json.loads((run / "attempts" / "1" / "result.json").read_text())["val"] == json.loads(before)["val"]
    assert json.loads((run / "result.json").read_text())["val"] == json.loads(before)["val"]  # the same seed, the same figures


def test_evaluate_gives_the_number_of_the_run(place, capsys):
    run = only_run(place)
    assert main(["evaluate", run.name[-12:-4]]) == 0
    assert "val miou" in capsys.readouterr().out
    (written,) = (run / "evaluations").glob("default-*")
    wanted, found = (json.loads((folder / "result.json").read_text())["val"] for folder in (run, written))
    assert found == wanted
    assert (written / "per_image.jsonl").read_text() == "".join(
        line + "\n" for line in (run / "per_image.jsonl").read_text().splitlines() if '"split": "val"' in line
    )


def test_evaluate_under_other_settings(place, capsys):
    run = only_run(place)
    assert main(["evaluate", str(run), "data.split=test", "backbone.output_stride=8", "weights.checkpoint=best"]) == 0
    assert "test miou" in capsys.readouterr().out
    code = main(["evaluate", str(run), "backbone=resnet18"])
    assert code == 2
    assert "part of the trained model" in capsys.readouterr().err
    assert main(["evaluate", str(run), "decoder.width=32"]) == 1
    assert "the weights don't fit the model" in capsys.readouterr().err


def test_predict_writes_ids_and_overlays_at_original_size(place, capsys, tmp_path):
    run, rng = only_run(place), np.random.default_rng(0)
    (tmp_path / "sub").mkdir()
    for name, size in (("a.png", (50, 70)), ("sub/b.jpg", (33, 40))):
        Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8)).save(tmp_path / name)
    assert main(["predict", str(run), str(tmp_path)]) == 0
    (folder,) = (run / "predictions").glob(f"{tmp_path.name}-*")
    labels = np.asarray(Image.open(folder / "labels" / "sub__b.png"))
    assert labels.shape == (33, 40)
    assert labels.max() < 8
    assert Image.open(folder / "overlays" / "a.png").size == (70, 50)
    (tmp_path / "broken.png").write_bytes(b"")
    assert main(["predict", str(run), str(tmp_path / "broken.png")]) == 1
    assert "error[data]: the file is empty" in capsys.readouterr().err
    assert main(["predict", str(run), str(tmp_path / "film.mp4")]) == 2
    assert "there is no such file" in capsys.readouterr().err


def test_load_from_python(place):
    model = load(only_run(place))
    assert not model.training
    images = torch.rand(2, 3, 40, 56)
    assert model(images).logits.shape[:2] == (2, 8)
    assert model.predict(images)[0].semantic.shape == (40, 56)


def test_report_is_written_again(place, capsys):
    run = only_run(place)
    (run / "report.html").unlink()
    assert main(["report", str(run)]) == 0
    assert "<html" in (run / "report.html").read_text()


def test_describe_prints_the_chain(place, capsys):
    assert main(["describe", *TINY]) == 0
    out = capsys.readouterr().out
    assert "c5" in out
    assert "GMACs" in out
    assert "monitor val/miou" in out


def test_a_sweep_runs_every_job_though_one_fails(place, capsys):
    code = main(["train", "-m", "name=sweep", *TINY, "decoder.high=c5,c9", "seed=0,1"])
    out, err = capsys.readouterr()
    assert code == 1
    assert "4 jobs" in out
    assert out.count("failed (wiring)") + out.count("failed (config)") == 2  # by the process of the job, or by the one that looks ahead
    assert out.count("  done ") == 2
    assert "2 of 4 jobs failed" in err
    states = sorted(json.loads(p.read_text())["state"] for p in (place / "outputs" / "sweep").glob("*/status.json"))
    assert states == ["done", "done"]  # what doesn't fit leaves no run


def test_a_failed_run_says_what_where_and_fix_on_disk_too(place, capsys):
    code = main(["train", "name=boom", *TINY, "optimizer.lr=1e30", "scheduler.warmup=0"])
    err = capsys.readouterr().err
    assert code == 3
    assert "error[nonfinite]: the loss is" in err
    (run,) = (place / "outputs" / "boom").iterdir()
    status = json.loads((run / "status.json").read_text())
    assert (status["state"], status["error"]["code"]) == ("failed", "nonfinite")
    assert "Traceback" in (run / "traceback.txt").read_text()
    assert "non" in (run / "report.html").read_text().lower()


def test_missing_data_and_broken_samples_are_named(place, capsys, tmp_path):
    assert main(["train", "data=camvid", f"paths.data={tmp_path}"]) == 2
    assert "CamVid is not there" in capsys.readouterr().err
    root = tmp_path / "camvid"
    for split in ("train", "val"):
        for folder in (split, f"{split}annot"):
            (root / folder).mkdir(parents=True)
        for i in range(2):
            Image.fromarray(np.zeros((32, 48, 3), np.uint8)).save(root / split / f"{i}.png")
            Image.fromarray(np.full((32, 48), 3 if split == "train" else 42, np.uint8)).save(root / f"{split}annot" / f"{i}.png")
        (root / f"{split}.txt").write_text("".join(f"{split}/{i}.png {split}annot/{i}.png\n" for i in range(2)))
    camvid = [o for o in TINY if not o.startswith(("data.height", "data.width", "data.train", "data.val", "data.test"))]
    assert main(["train", *camvid, "data=camvid", f"paths.data={tmp_path}"]) == 1
    err = capsys.readouterr().err
    assert "label values that no class has: 42 in 1536 pixels; known are 0..11;" in err
    assert "valannot/0.png" in err
    assert str(Path("camvid") / "valannot" / "0.png") in err


def test_pictures_are_labelled_without_the_data_of_the_training(tmp_path, capsys):
    """A model that was trained on a folder outlives it; an evaluation says what it lacks."""
    rng, place = np.random.default_rng(0), tmp_path / "mine"
    for kind in ("images", "masks"):
        (place / kind).mkdir(parents=True)
        for i in range(12):
            picture = rng.integers(0, 256, (32, 40, 3)) if kind == "images" else rng.integers(0, 2, (32, 40))
            Image.fromarray(picture.astype(np.uint8)).save(place / kind / f"{i}.png")
    own = [o for o in TINY if not o.startswith(("data.height", "data.width", "data.train", "data.val", "data.test"))]
    assert main(["train", *own, "data=folder", f"data.root={place}", f"paths.outputs={tmp_path / 'out'}"]) == 0
    (run,) = (p.parent for p in (tmp_path / "out").glob("*/*/result.json"))
    picture = (place / "images" / "0.png").rename(tmp_path / "0.png")
    shutil.rmtree(place)
    assert main(["predict", str(run), str(picture)]) == 0
    assert len(list(run.glob("predictions/*/labels/0.png"))) == 1
    assert load(run).predict(torch.rand(1, 3, 32, 40))[0].semantic.shape == (32, 40)
    capsys.readouterr()
    assert main(["evaluate", str(run)]) == 2
    assert "there is no such folder" in capsys.readouterr().err


def test_an_evaluation_may_measure_other_figures_than_the_monitored(place, capsys):
    assert main(["evaluate", str(only_run(place)), "metrics=[boundary]", "data.limit=1"]) == 0
    assert "boundary_iou" in capsys.readouterr().out
