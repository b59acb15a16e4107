"""What `segexp predict` writes of a run that finds objects: pycocotools on the files gives what `segexp evaluate` says."""

import json
from contextlib import redirect_stdout
from io import StringIO

import pytest
import torch

from segexp.cli.main import main
from segexp.data.shapes import Shapes
from segexp.functional.masks import to_boxes
from segexp.functional.run_lengths import encoded
from segexp.functional.segments import to_masks
from tests.cli.trained import trained
from tests.metrics.coco_official import NAMES

TINY = [
    *("model=mask_rcnn", "metrics=[instance,detection]", "data=shapes", "data.height=64", "data.width=96", "data.limit=4"),
    *(
        "data.split=train",
        "data.allow_overlap=true",
        "data.loader.batch_size=2",
        "backbone=timm",
        "backbone.name=test_resnet",
        "decoder.width=16",
        "head.width=32",
    ),
    *("head.mask_width=16", "head.proposals_before=[50,50]", "head.proposals_after=[50,50]", "head.samples=32", "optimizer.lr=0.003"),
    *("head.sizes=[8,16,32,64,128]", "trainer.max_epochs=40", "trainer.check_val_every_n_epoch=40", "trainer.accelerator=cpu"),
    *("scheduler.warmup=0", "callbacks.panels.count=0", "callbacks.panels.best=0", "callbacks.panels.worst=1"),
]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("place"), TINY)


def truth(images):
    """The split as COCO's JSON, made from its segments alone."""
    objects, data = [], Shapes(height=64, width=96)
    opened = data.open("train")
    for image in images["images"]:
        sample = opened[image["id"]]
        labels = sample["segment_labels"]
        things = [i for i, label in enumerate(labels.tolist()) if label in data.spec.thing_ids]
        masks = to_masks(sample["segments"], torch.tensor(things, dtype=torch.int64) + 1)
        for i, mask, box in zip(things, masks.numpy(), to_boxes(masks).tolist(), strict=True):
            entry = {"id": len(objects) + 1, "image_id": image["id"], "category_id": int(labels[i])}
            entry |= {"iscrowd": int(sample["segment_crowd"][i]), "area": int(mask.sum()), "segmentation": encoded(mask)}
            objects.append(entry | {"bbox": [box[0], box[1], box[2] - box[0], box[3] - box[1]]})
    return images | {"annotations": objects}


def test_pycocotools_on_the_files_says_what_evaluate_says(run, capsys, tmp_path):
    coco = pytest.importorskip("pycocotools.coco")
    from pycocotools.cocoeval import COCOeval

    assert main(["predict", str(run), "data.split=train", "data.limit=4"]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("written to ")]
    folder = tmp_path / line.removeprefix("written to ")
    assert sorted(p.name for p in folder.iterdir()) == ["boxes.json", "images.json", "log.txt", "masks.json", "overlays"]
    assert main(["evaluate", str(run), "data.split=train", "data.limit=4"]) == 0
    (evaluation,) = (run / "evaluations").glob("data.split*")
    ours = json.loads((evaluation / "result.json").read_text())["train"]
    real = coco.COCO()
    real.dataset = truth(json.loads((folder / "images.json").read_text()))
    for name, kind, prefix in (("boxes", "bbox", ""), ("masks", "segm", "mask_")):
        with redirect_stdout(StringIO()):
            real.createIndex()
            official = COCOeval(real, real.loadRes(str(folder / f"{name}.json")), kind)
            official.evaluate()
            official.accumulate()
            official.summarize()
        wanted = [None if value == -1 else pytest.approx(value, rel=0, abs=1e-9) for value in official.stats]
        assert [ours[prefix + figure] for figure in NAMES] == wanted
        assert official.stats[1] > 0.02  # or there would be little to compare
    assert len(list((evaluation / "images").glob("*.png"))) == 1  # the worst, by its F1
    page = (run / "report.html").read_text()
    assert "Masks: precision by recall" in page and "Boxes: precision by recall" in page
