"""An index PNG gives its ids back."""

import pytest
import torch
from PIL import Image

from segexp.formats.index_png import write_index_png
from segexp.functional.images import read_labels
from segexp.types import ClassInfo, DataSpec


def test_round_trip_with_colours(tmp_path):
    data = DataSpec(tuple(ClassInfo(str(i), color=(i, 2 * i, 3 * i)) for i in range(20)), frozenset({"semantic"}))
    semantic = torch.randint(0, 20, (9, 13), dtype=torch.uint8)
    write_index_png(tmp_path / "a.png", semantic, data)
    assert torch.equal(read_labels(tmp_path / "a.png"), semantic)
    colours = Image.open(tmp_path / "a.png").convert("RGB")
    assert colours.getpixel((0, 0)) == (int(semantic[0, 0]), 2 * int(semantic[0, 0]), 3 * int(semantic[0, 0]))


def test_too_many_classes(tmp_path):
    data = DataSpec(tuple(ClassInfo(str(i)) for i in range(257)), frozenset())
    with pytest.raises(ValueError, match="257 classes"):
        write_index_png(tmp_path / "a.png", torch.zeros(2, 2), data)
