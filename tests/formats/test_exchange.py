"""Values of a data set's own files."""

import pytest
import torch
from PIL import Image

from segexp.formats.exchange import write_values_png
from segexp.functional.images import read_labels


@pytest.mark.parametrize(("values", "mode"), [((7, 8, 33), "L"), ((1, 300, 65535), "I;16")])
def test_each_class_has_its_value(tmp_path, values, mode):
    semantic = torch.tensor([[0, 1, 2], [2, 2, 0]], dtype=torch.uint8)
    write_values_png(tmp_path / "a.png", semantic, values)
    assert Image.open(tmp_path / "a.png").mode == mode
    assert read_labels(tmp_path / "a.png").tolist() == torch.tensor(values)[semantic.long()].tolist()


def test_values_that_fit_no_file(tmp_path):
    with pytest.raises(ValueError, match=r"values -1\.\.7 don't fit"):
        write_values_png(tmp_path / "a.png", torch.zeros(2, 2), (-1, 7))
