"""Which pictures of an evaluation are written, and which of an earlier one go."""

from types import SimpleNamespace

import pytest
import torch

from segexp.callbacks.evaluation import RunInfo
from segexp.callbacks.panels import Panels, quality
from segexp.functional.files import read_json
from segexp.types import Batch, ClassInfo, DataSpec, Prediction, Targets

SPEC = DataSpec((ClassInfo("a"), ClassInfo("b")), frozenset({"semantic"}))


def evaluate(panels, scores, split="val", size=2):
    """An evaluation of images with these IoUs, in batches."""
    panels.start(split)
    for start in range(0, len(scores), size):
        part = scores[start : start + size]
        maps = [torch.zeros(12, 16, dtype=torch.uint8) for _ in part]
        batch = Batch(
            images=torch.rand(len(part), 3, 12, 16),
            sizes=((12, 16),) * len(part),
            original_sizes=((24, 32),) * len(part),
            targets=[],
            truth=[Targets(semantic=m.repeat_interleave(2, 0).repeat_interleave(2, 1)) for m in maps],
            ids=tuple(f"{split}/{start + i}" for i in range(len(part))),
        )
        predictions = [Prediction(semantic=t.semantic) for t in batch.truth]
        counts = [{"intersection": [round(100 * s), 0], "predicted": [100, 0], "labelled": [round(100 * s), 0]} for s in part]
        records = [{"semantic": {name: torch.tensor(value) for name, value in c.items()}} for c in counts]
        panels.batch(split, SimpleNamespace(data=SPEC), SimpleNamespace(predictions=predictions, records=records), batch)
    panels.end(split)


def names(folder):
    return {p.name for p in folder.glob("*.png")}


@pytest.mark.parametrize("size", [1, 3, 7])
def test_the_first_the_worst_and_the_best_whatever_the_batches(tmp_path, size):
    evaluate(Panels(RunInfo(tmp_path, None), count=1, worst=2, best=2), [0.5, 0.9, 0.1, 0.3, 0.95, 0.2, 0.6], size=size)
    index = read_json(tmp_path / "images" / "index.json")
    assert index == {"val": {"first": ["val__0.png"], "worst": ["val__2.png", "val__5.png"], "best": ["val__4.png", "val__1.png"]}}
    assert names(tmp_path / "images") == {f"val__{i}.png" for i in (0, 2, 5, 4, 1)}


def test_equals_come_in_the_order_of_the_data_set(tmp_path):
    evaluate(Panels(RunInfo(tmp_path, None), count=0, worst=2, best=2), [0.5] * 5)
    assert read_json(tmp_path / "images" / "index.json")["val"] == {
        "first": [],
        "worst": ["val__0.png", "val__1.png"],
        "best": ["val__0.png", "val__1.png"],
    }


def test_pictures_of_the_evaluation_before_go_those_of_other_splits_stay(tmp_path):
    keep = {"count": 1, "worst": 1, "best": 1}
    evaluate(Panels(RunInfo(tmp_path, None), **keep), [0.5, 0.1, 0.9])
    evaluate(Panels(RunInfo(tmp_path, None), **keep), [0.5, 0.1, 0.9], split="test")
    evaluate(Panels(RunInfo(tmp_path, None), **keep), [0.5, 0.6, 0.4, 0.9])  # another process: a run that went on
    assert names(tmp_path / "images") == {f"val__{i}.png" for i in (0, 2, 3)} | {f"test__{i}.png" for i in (0, 1, 2)}
    assert set(read_json(tmp_path / "images" / "index.json")) == {"val", "test"}


def test_without_a_semantic_record_there_are_first_ones_alone(tmp_path):
    panels = Panels(RunInfo(tmp_path, None), count=2, worst=1, best=1)
    panels.start("val")
    image = torch.rand(1, 3, 12, 16)
    truth, prediction = Targets(semantic=torch.zeros(12, 16).byte()), Prediction(semantic=torch.zeros(12, 16).byte())
    batch = Batch(image, ((12, 16),), ((12, 16),), [], [truth], ("x",))
    panels.batch("val", SimpleNamespace(data=SPEC), SimpleNamespace(predictions=[prediction], records=[{"other": {}}]), batch)
    panels.end("val")
    assert read_json(tmp_path / "images" / "index.json") == {"val": {"first": ["x.png"], "worst": [], "best": []}}


def test_no_more_than_the_candidates_are_kept(tmp_path):
    panels = Panels(RunInfo(tmp_path, None), count=1, worst=2, best=3)
    panels.end = lambda split: None
    evaluate(panels, [i / 50 for i in range(50)])
    assert (len(panels.first), len(panels.ranked["worst"]), len(panels.ranked["best"])) == (1, 2, 3)


def test_panoptic_quality_decides_before_the_mean_iou():
    panoptic = {"matches": torch.tensor([[0, 6, 10]]), "wrong": torch.tensor([0, 1]), "missed": torch.tensor([0, 0])}
    semantic = {name: torch.tensor([5, 0]) for name in ("intersection", "predicted", "labelled")}
    assert quality({"semantic": semantic, "panoptic": panoptic}) == pytest.approx(0.3)
    assert quality({"semantic": semantic}) == 1.0
    assert quality({"surface": {}}) is None


def test_f1_of_objects_decides_before_the_mean_iou():
    semantic = {name: torch.tensor([5, 0]) for name in ("intersection", "predicted", "labelled")}
    found = {"scores": torch.tensor([0.9, 0.8]), "objects": torch.tensor([[1, 0]]), "pairs": torch.tensor([[0, 0]]), "ious": torch.ones(1)}
    assert quality({"semantic": semantic, "detection": found}) == pytest.approx(2 / 3)
    nothing = {"scores": torch.zeros(0), "objects": torch.zeros(0, 2), "pairs": torch.zeros(0, 2), "ious": torch.zeros(0)}
    assert quality({"instance": found, "detection": nothing}) == pytest.approx(2 / 3)
