"""Classification from the command line: train, mix, predict, and hand the backbone on to another task."""

import csv
import json
from pathlib import Path

import pytest
import torch

from segexp.build import build, load
from segexp.cli.main import main
from segexp.config import compose
from segexp.errors import ConfigError

TINY = [
    *("data.height=32", "data.width=48", "data.train=6", "data.val=3", "data.test=2", "data.loader.batch_size=3"),
    *("backbone=timm", "backbone.name=test_resnet", "trainer.max_epochs=1", "trainer.accelerator=cpu", "trainer.log_every_n_steps=1"),
]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("place")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main(["train", "task=classification", "name=one", *TINY]) == 0
        assert main(["train", "task=multi_label", "mixing=both", "name=several", *TINY]) == 0
        yield folder


def only_run(place, name):
    (folder,) = [p for p in (place / "outputs" / name).iterdir() if (p / "result.json").exists()]
    return folder


def rows(file):
    with file.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


@pytest.mark.parametrize(("name", "figures"), [("one", {"top1", "top5", "mean_acc"}), ("several", {"label_map", "label_f1"})])
def test_both_tasks_train_and_draw_their_pictures(place, name, figures):
    run = only_run(place, name)
    result = json.loads((run / "result.json").read_text())
    assert result["steps"] == 2
    assert figures <= set(result["val"])
    assert len(list((run / "images").glob("*.png"))) >= 3
    assert (run / "confusion.json").exists() == (name == "one")
    record = json.loads((run / "per_image.jsonl").read_text().splitlines()[0])
    assert {"one": {"truth", "predicted", "rank", "score"}, "several": {"scores", "shown"}}[name] == set(
        record[{"one": "classification", "several": "multi_label"}[name]]
    )


def test_the_report_counts_images(place):
    assert "of the row's images" in " ".join((only_run(place, "one") / "report.html").read_text().replace("&#39;", "'").split())


@pytest.mark.parametrize("name", ["one", "several"])
def test_predict_writes_a_table(place, name):
    run = only_run(place, name)
    assert main(["predict", str(run), "data.split=val"]) == 0
    (table,) = (run / "predictions").glob("*/labels.csv")
    found = rows(table)
    assert [row["image"] for row in found] == ["000000", "000001", "000002"]
    top = [row["class1"] for row in found]
    labels = [row["label"] for row in found]
    assert labels == top if name == "one" else all(not label or first in label.split(";") for label, first in zip(labels, top, strict=True))
    assert len(list(table.parent.glob("overlays/*.png"))) == 3


def test_a_trained_backbone_goes_into_a_semantic_run(place):
    run = only_run(place, "one")
    given = load(run).backbone.state_dict()
    config = compose("train", [*TINY, f"backbone.weights=run:{run.name[-12:]}", "decoder.width=16"])
    taken = build(config).task.model.backbone.state_dict()
    assert set(taken) == set(given)
    assert all(torch.equal(taken[name], given[name]) for name in given)
    fresh = build(compose("train", [*TINY, "decoder.width=16"])).task.model.backbone.state_dict()
    assert any(not torch.equal(fresh[name], given[name]) for name in given)


def test_mixing_is_of_training_alone_and_follows_from_the_seed(place):
    """The same validation loss at every count of workers; another one than without mixing."""
    found = {}
    for name, typed in {"w0": ["mixing=both"], "w1": ["mixing=both", "data.loader.workers=1"], "plain": []}.items():
        assert main(["train", "task=classification", *TINY, *typed, f"name={name}", "run.again=true"]) == 0
        found[name] = json.loads((newest(place, name) / "result.json").read_text())["val"]["loss"]
    assert found["w0"] == found["w1"]
    assert found["w0"] != found["plain"]


def newest(place, name):
    return max((p for p in Path(place / "outputs" / name).iterdir() if (p / "result.json").exists()), key=lambda p: p.stat().st_mtime)


def test_a_chain_that_learns_of_places_is_not_mixed(place):
    with pytest.raises(ConfigError, match=r"mixing can't mix semantic, .*fix: mixing=none, or task=classification\|multi_label"):
        build(compose("train", [*TINY, "mixing=mixup", "decoder.width=16"]))


def test_no_mixing_is_no_key_of_the_config():
    assert "mixing" not in compose("train")
