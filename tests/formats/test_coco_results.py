"""Lists of boxes and masks, read by pycocotools: the figures of the files are those of the tensors."""

import json
from contextlib import redirect_stdout
from io import StringIO

import numpy as np
import pytest
import torch

from segexp.errors import DataError
from segexp.formats.coco_results import ResultsWriter
from segexp.metrics.detection import DetectionMetrics
from segexp.metrics.instance import InstanceMetrics
from segexp.types import ClassInfo, DataSpec, Prediction
from tests.metrics.coco_official import NAMES, figures, mask_scene, prediction

NAMED = [ClassInfo(name, is_thing=True) for name in ("car", "cat", "cow")]
SPEC = DataSpec(tuple(NAMED), frozenset({"masks"}), values=(7, 9, 90))
BOX = Prediction(boxes=torch.tensor([[1.25, 2.0, 4.5, 10.0]]), labels=torch.tensor([1]), scores=torch.tensor([0.5]))


def test_what_is_written(tmp_path):
    masks = torch.zeros(1, 2, 3, dtype=torch.bool)
    masks[0, :, 1] = True
    both = Prediction(boxes=BOX.boxes, labels=BOX.labels, scores=BOX.scores, masks=masks)
    with ResultsWriter(tmp_path / "out", SPEC, {"boxes", "masks", "semantic"}, image_ids={"a": 77}) as writer:
        for name in ("a", "000012", "street", "12"):
            writer.add(name, (2, 3), both)
        assert not list(tmp_path.glob("out/*.json"))
    boxes, masks, images = (json.loads((tmp_path / f"out/{name}.json").read_text()) for name in ("boxes", "masks", "images"))
    assert boxes[0] == {"image_id": 77, "category_id": 9, "bbox": [1.25, 2.0, 3.25, 8.0], "score": 0.5}
    assert masks[0] == {"image_id": 77, "category_id": 9, "segmentation": {"size": [2, 3], "counts": "222"}, "score": 0.5}
    assert [entry["image_id"] for entry in boxes] == [entry["image_id"] for entry in masks] == [77, 12, 3, 4]
    assert images["images"][2] == {"id": 3, "file_name": "street", "height": 2, "width": 3}
    assert images["info"] == {
        "image ids from": {"data set": 1, "file name": 1, "running number": 2},
        "category ids from": "data set",
    }
    assert [entry["id"] for entry in images["categories"]] == [7, 9, 90]


def test_without_detections_it_is_an_empty_list_and_after_an_error_nothing(tmp_path):
    nothing = Prediction(boxes=torch.zeros(0, 4), labels=torch.zeros(0, dtype=torch.int64), scores=torch.zeros(0))
    with ResultsWriter(tmp_path, SPEC, {"boxes"}) as writer:
        writer.add("a", (2, 3), nothing)
    assert json.loads((tmp_path / "boxes.json").read_text()) == []
    assert not (tmp_path / "masks.json").exists()
    with pytest.raises(KeyError), ResultsWriter(tmp_path / "b", SPEC, {"boxes"}) as writer:
        writer.add("a", (2, 3), BOX)
        raise KeyError
    assert list((tmp_path / "b").iterdir()) == []


def test_an_image_of_the_data_set_twice(tmp_path):
    with ResultsWriter(tmp_path, SPEC, {"boxes"}, image_ids={"a": 5, "b": 5}) as writer:
        writer.add("a", (2, 3), BOX)
        with pytest.raises(DataError, match="image 5 is written twice"):
            writer.add("b", (2, 3), BOX)


@pytest.mark.parametrize("kind", ["boxes", "masks"])
def test_pycocotools_on_the_files_gives_the_figures_of_the_tensors(tmp_path, kind):
    coco, scenes = pytest.importorskip("pycocotools.coco"), scenes_with_boxes()
    from pycocotools import mask as coding
    from pycocotools.cocoeval import COCOeval

    with ResultsWriter(tmp_path, SPEC, {kind}) as writer:
        for number, (guess, _) in enumerate(scenes):
            writer.add(f"{number:03d}", (36, 44), prediction(guess))
    truth = coco.COCO()
    truth.dataset = json.loads((tmp_path / "images.json").read_text()) | {"annotations": []}
    for number, (_, real) in enumerate(scenes):
        for box, label, crowd, mask in zip(*real, strict=True):
            code = coding.encode(np.asfortranarray(mask.astype(np.uint8)))
            entry = {"image_id": number, "category_id": SPEC.values[label], "iscrowd": int(crowd), "area": int(mask.sum())}
            entry |= {"id": len(truth.dataset["annotations"]) + 1, "segmentation": code, "bbox": [*box[:2], *(box[2:] - box[:2])]}
            truth.dataset["annotations"].append(entry)
    with redirect_stdout(StringIO()):
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(str(tmp_path / f"{kind}.json")), {"boxes": "bbox", "masks": "segm"}[kind])
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    metric, prefix = (DetectionMetrics(SPEC), "") if kind == "boxes" else (InstanceMetrics(SPEC), "mask_")
    found = figures(metric, scenes)
    wanted = [float("nan") if value == -1 else value for value in evaluation.stats]
    assert [found[prefix + name] for name in NAMES] == pytest.approx(wanted, rel=0, abs=1e-9, nan_ok=True)


def scenes_with_boxes():
    """Scenes whose boxes are those of the masks, moved a little."""
    rng, found = np.random.default_rng(4), []
    for _ in range(8):
        pair = []
        for side in mask_scene(rng, (36, 44)):
            there = side.masks.any((1, 2))
            side = type(side)(*(part[there] for part in side))
            for box, mask in zip(side.boxes, side.masks, strict=True):
                rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
                box[:] = columns[0], rows[0], columns[-1] + 1 + rng.random(), rows[-1] + 1 + rng.random()
            pair.append(side)
        found.append(tuple(pair))
    return found
