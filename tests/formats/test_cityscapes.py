"""Instances as Cityscapes' evaluation script reads them."""

import numpy as np
import pytest
import torch
from PIL import Image

from segexp.data.cityscapes import Cityscapes
from segexp.errors import DataError
from segexp.formats.cityscapes import write_instances
from segexp.types import ClassInfo, DataSpec

SPEC = Cityscapes(root="").spec


def test_lines_name_mask_label_and_score(tmp_path):
    masks = torch.zeros(3, 4, 6, dtype=torch.bool)
    masks[0, :2] = masks[1, 1:3, 2:] = masks[2, 3] = True  # the first two overlap
    labels, scores = torch.tensor([13, 17, 0]), torch.tensor([0.25, 0.75, 0.9])
    path = write_instances(tmp_path, "val/ulm_000000_000019", SPEC, masks, labels, scores)
    assert path.name == "ulm_000000_000019.txt"
    lines = [line.split(" ") for line in path.read_text().splitlines()]
    assert [(label, score) for _, label, score in lines] == [("32", "0.750000"), ("26", "0.250000")]  # road is no thing
    for (name, _, _), mask in zip(lines, (masks[1], masks[0]), strict=True):
        assert np.array_equal(np.asarray(Image.open(tmp_path / name)) > 0, mask)


def test_an_image_without_objects_has_its_file(tmp_path):
    path = write_instances(tmp_path, "a", SPEC, torch.zeros(0, 4, 6, dtype=torch.bool), torch.zeros(0).long(), torch.zeros(0))
    assert path.read_text() == ""


def test_an_unknown_class_is_refused(tmp_path):
    with pytest.raises(DataError, match="image a, object 0: there is no class 19"):
        write_instances(tmp_path, "a", SPEC, torch.ones(1, 4, 6, dtype=torch.bool), torch.tensor([19]), torch.ones(1))


def test_a_class_name_with_a_slash_is_a_file_of_this_folder(tmp_path):
    spec = DataSpec((ClassInfo("tv/monitor", True),), frozenset({"masks"}))
    path = write_instances(tmp_path, "val/a/x", spec, torch.ones(1, 4, 6, dtype=torch.bool), torch.tensor([0]), torch.ones(1))
    assert path.read_text() == "a__x_0000_tv-monitor.png 0 1.000000\n"
    assert {found.name for found in tmp_path.iterdir()} == {"a__x.txt", "a__x_0000_tv-monitor.png"}
