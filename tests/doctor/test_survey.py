"""Pixels of each class in each image."""

import numpy as np
import pytest
import torch

from segexp.doctor.survey import survey
from segexp.errors import DataError
from segexp.types import ClassInfo, DataSpec
from tests.doctor.tree import NUMBER, Mini, ids, plant, write_labels


def test_counts_are_those_of_the_files(tmp_path):
    data = Mini(plant(tmp_path / "set"))
    found = survey(data, "val", tmp_path / "cache")
    split = data.open("val")
    assert found.ids.tolist() == [f"val/v{i}" for i in range(NUMBER)]
    wanted = [np.bincount(split[i]["semantic"].flatten().numpy(), minlength=256)[:6] for i in range(NUMBER)]
    assert found.pixels.dtype == np.int64
    assert np.array_equal(found.pixels, wanted)
    assert np.array_equal(survey(data, "val", tmp_path / "cache").pixels, wanted)
    assert survey(data, "val", limit=2).pixels.shape == (2, 6)


def test_a_sample_that_cannot_be_read_is_named(tmp_path):
    data = Mini(plant(tmp_path / "set"))
    labels = ids(np.random.default_rng(0))
    labels[0, 0] = 66
    write_labels(data.root / "masks/train/t4.png", labels)
    with pytest.raises(DataError, match=r"1 samples of train can't be read, the first: .* 66 in 1 pixels.*t4\.png; fix: segexp data check"):
        survey(data, "train")


BOXES = {"boxes": torch.tensor([[0.0, 0, 2, 3], [1, 1, 3, 5]]), "labels": torch.tensor([2, 2]), "crowd": torch.zeros(2, dtype=torch.bool)}
MASKS = {"masks": torch.ones(1, 6, 8, dtype=torch.bool), "labels": torch.tensor([0]), "crowd": torch.zeros(1, dtype=torch.bool)}


@pytest.mark.parametrize(
    ("sample", "wanted"),
    [({"label": torch.tensor(1)}, [0, 48, 0]), (BOXES, [0, 0, 14]), (MASKS, [48, 0, 0])],
    ids=["label", "boxes", "masks"],
)
def test_sets_without_class_maps(sample, wanted):
    class Set:
        spec = DataSpec(tuple(ClassInfo(name) for name in "abc"), frozenset(sample))
        splits = ("train",)

        def open(self, split):
            return self

        def __len__(self):
            return 1

        def id(self, index):
            return "train/0"

        def __getitem__(self, index):
            image = torch.arange(3 * 6 * 8, dtype=torch.uint8).reshape(3, 6, 8)
            return {"image": image, "meta": {"id": "train/0", "size": (6, 8), "path": ""}, **sample}

    assert survey(Set(), "train").pixels.tolist() == [wanted]
