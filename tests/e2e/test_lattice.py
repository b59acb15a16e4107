"""One configuration of `shapes` serves every task: two steps and an evaluation of each, with nothing but `task=` (and `model=`) changed."""

import json

import pytest

from segexp.cli.main import main

SAME = [
    *("data=shapes", "data.height=64", "data.width=96", "data.train=4", "data.val=2", "data.test=1", "data.loader.batch_size=2"),
    *("backbone=timm", "backbone.name=test_resnet", "trainer.max_epochs=1", "trainer.accelerator=cpu"),
]
CHAINS = {
    "task=classification": "top1",
    "task=multi_label": "label_map",
    "task=semantic": "miou",
    "task=detection": "map",
    "task=instance": "mask_map",
    "task=panoptic": "pq",
    "task=instance model=panoptic_deeplab": "mask_map",
    "task=panoptic model=panoptic_fpn": "pq",
}


@pytest.mark.smoke
@pytest.mark.parametrize("words", CHAINS)
def test_two_steps(words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["train", *SAME, *words.split()]) == 0
    (result,) = tmp_path.rglob("result.json")
    found = json.loads(result.read_text())
    assert found["steps"] == 2
    assert CHAINS[words] in found["val"]
    assert len((result.parent / "per_image.jsonl").read_text().splitlines()) == 3  # two of val, one of test
    assert len(list((result.parent / "images").glob("*.png"))) == 3
