"""Files are decoded exactly, or refused with their path."""

import numpy as np
import pytest
import torch
from PIL import Image

from segexp.errors import DataError
from segexp.functional.images import read_image, read_labels


@pytest.fixture
def picture(tmp_path):
    array = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    path = tmp_path / "a.png"
    Image.fromarray(array).save(path)
    return path, array


def test_rgb_is_exact(picture):
    path, array = picture
    assert torch.equal(read_image(path), torch.from_numpy(array).permute(2, 0, 1))


def test_grey_and_alpha_become_rgb(tmp_path):
    grey = np.arange(200, dtype=np.uint8).reshape(10, 20)
    Image.fromarray(grey).save(tmp_path / "g.png")
    assert torch.equal(read_image(tmp_path / "g.png"), torch.from_numpy(grey).expand(3, -1, -1))
    Image.fromarray(np.dstack([grey] * 4)).save(tmp_path / "rgba.png")
    assert read_image(tmp_path / "rgba.png").shape == (3, 10, 20)


def test_exif_orientation_is_applied(tmp_path):
    image = Image.fromarray(np.zeros((10, 20, 3), np.uint8))
    exif = image.getexif()
    exif[0x0112] = 6  # a quarter turn
    image.save(tmp_path / "r.jpg", exif=exif)
    assert read_image(tmp_path / "r.jpg").shape == (3, 20, 10)


def test_palette_indices_and_16_bit_are_raw(tmp_path):
    indices = np.array([[0, 3], [255, 11]], np.uint8)
    palette = Image.fromarray(indices, mode="P")
    palette.putpalette([9] * 768)
    palette.save(tmp_path / "p.png")
    assert read_labels(tmp_path / "p.png").tolist() == indices.tolist()
    wide = np.array([[0, 70], [40000, 65535]], np.uint16)
    Image.fromarray(wide).save(tmp_path / "w.png")
    assert read_labels(tmp_path / "w.png").tolist() == wide.tolist()
    assert read_image(tmp_path / "w.png")[0].tolist() == wide.tolist()


def test_lossy_and_coloured_labels_are_refused(tmp_path, picture):
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / "l.jpg")
    with pytest.raises(DataError, match=r"JPEG file are not exact; .*l\.jpg; fix: store them as PNG"):
        read_labels(tmp_path / "l.jpg")
    with pytest.raises(DataError, match=r"stored as colours \(RGB\)"):
        read_labels(picture[0])


@pytest.mark.parametrize("kind", ["truncated.jpg", "truncated.png", "empty.png", "text.png", "missing.png", "folder.png"])
def test_broken_files_are_named(tmp_path, kind):
    path = tmp_path / kind
    if kind.startswith("truncated"):
        Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(path)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    elif kind == "empty.png":
        path.touch()
    elif kind == "text.png":
        path.write_text("no picture")
    elif kind == "folder.png":
        path.mkdir()
    with pytest.raises(DataError) as caught:
        read_image(path)
    assert str(path) in caught.value.where
    assert caught.value.fix


def test_a_bomb_is_refused_from_its_header(tmp_path):
    Image.new("1", (20_000, 20_000)).save(tmp_path / "bomb.png")
    with pytest.raises(DataError, match="20000x20000 pixels"):
        read_image(tmp_path / "bomb.png")
