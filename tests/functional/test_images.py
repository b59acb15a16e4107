"""Files are decoded exactly, or refused with their path."""

import io
import random
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from segexp.errors import DataError
from segexp.functional.images import read_colors, read_image, read_labels

RNG = np.random.default_rng(0)
COLOR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}


@pytest.fixture
def picture(tmp_path):
    array = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    path = tmp_path / "a.png"
    Image.fromarray(array).save(path)
    return path, array


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png_16(array, path):
    """[H,W,C] uint16 as a PNG of 16 bit, lines filtered by turns (none, sub, up)."""
    height, width, channels = array.shape
    before = np.zeros(width * channels * 2, np.uint8)
    lines = []
    for number, row in enumerate(array.astype(">u2")):
        line = np.frombuffer(row.tobytes(), np.uint8)
        left = np.concatenate([np.zeros(2 * channels, np.uint8), line[: -2 * channels]])
        kind = number % 3
        lines.append(bytes([kind]) + (line - (0, left, before)[kind]).astype(np.uint8).tobytes())
        before = line
    header = struct.pack(">IIBBBBB", width, height, 16, COLOR_TYPES[channels], 0, 0, 0)
    packed = zlib.compress(b"".join(lines))
    half = len(packed) // 2
    parts = [(b"IHDR", header), (b"IDAT", packed[:half]), (b"IDAT", packed[half:]), (b"IEND", b"")]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts))
    return path


def test_rgb_is_exact(picture):
    path, array = picture
    assert torch.equal(read_image(path), torch.from_numpy(array).permute(2, 0, 1))


def test_grey_and_alpha_become_rgb(tmp_path):
    grey = np.arange(200, dtype=np.uint8).reshape(10, 20)
    Image.fromarray(grey).save(tmp_path / "g.png")
    assert torch.equal(read_image(tmp_path / "g.png"), torch.from_numpy(grey).expand(3, -1, -1))
    Image.fromarray(np.dstack([grey, grey, grey + 1, 255 - grey])).save(tmp_path / "rgba.png")
    assert read_image(tmp_path / "rgba.png")[:, 0, 1].tolist() == [1, 1, 2]  # what transparency hides is seen
    assert read_image(tmp_path / "rgba.png", 4)[:, 0, 1].tolist() == [1, 1, 2, 254]
    Image.fromarray(grey > 99).save(tmp_path / "one.png")
    assert torch.equal(read_image(tmp_path / "one.png", 1)[0] == 255, torch.from_numpy(grey > 99))


def test_one_channel_is_grey_or_equal_colours(tmp_path, picture):
    grey = picture[1][..., 0]
    for name, array in (("g.png", grey), ("rgb.png", np.dstack([grey] * 3)), ("la.png", np.dstack([grey, 255 - grey]))):
        Image.fromarray(array).save(tmp_path / name)
        assert torch.equal(read_image(tmp_path / name, 1), torch.from_numpy(grey)[None])
    with pytest.raises(DataError, match=r"an image of 3 channels, 1 are wanted; .*a\.png; fix: data\.channels=3"):
        read_image(picture[0], 1)
    with pytest.raises(DataError, match="an image of 3 channels, 5 are wanted"):
        read_image(picture[0], 5)


@pytest.mark.parametrize("name", ["r.jpg", "r.png", "r.tif"])
def test_exif_orientation_is_applied(tmp_path, name):
    array = np.zeros((16, 32, 3), np.uint8)
    array[:8] = 255  # white above; to be seen at the right
    image = Image.fromarray(array)
    exif = image.getexif()
    exif[0x0112] = 6  # a quarter turn
    image.save(tmp_path / name, exif=exif)
    seen = read_image(tmp_path / name)
    assert seen.shape == (3, 32, 16)
    assert (int(seen[0, 0, 0]), int(seen[0, -1, -1])) == (0, 255)


def test_palette_indices_and_16_bit_are_raw(tmp_path):
    indices = np.array([[0, 3], [255, 11]], np.uint8)
    palette = Image.fromarray(indices, mode="P")
    palette.putpalette([9, 8, 7] * 256)
    palette.save(tmp_path / "p.png")
    assert read_labels(tmp_path / "p.png").tolist() == indices.tolist()
    assert read_image(tmp_path / "p.png")[:, 0, 0].tolist() == [9, 8, 7]
    wide = np.array([[0, 70], [40000, 65535]], np.uint16)
    for name in ("w.png", "w.tif"):
        Image.fromarray(wide).save(tmp_path / name)
        assert read_labels(tmp_path / name).tolist() == wide.tolist()
        assert read_image(tmp_path / name).tolist() == [wide.tolist()] * 3
        assert read_image(tmp_path / name, 1).dtype == torch.int32


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_16_bit_colours_are_exact(tmp_path, channels):
    array = RNG.integers(0, 65536, (9, 7, channels), dtype=np.uint16)
    path = png_16(array, tmp_path / "w.png")
    assert np.array_equal(read_image(path, channels).numpy(), array.transpose(2, 0, 1))
    if channels == 4:
        assert np.array_equal(read_image(path).numpy(), array[..., :3].transpose(2, 0, 1))


def test_16_bit_grey_with_alpha_is_refused(tmp_path):
    path = png_16(np.zeros((9, 7, 2), np.uint16), tmp_path / "la.png")
    with pytest.raises(DataError, match=r"a PNG of 16 bit that is neither grey nor RGB.*la\.png"):
        read_image(path)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("packing", [None, "zlib"])
def test_16_bit_colours_of_a_tiff_are_exact(tmp_path, order, packing):
    tifffile = pytest.importorskip("tifffile")
    array = RNG.integers(0, 65536, (9, 7, 3), dtype=np.uint16)
    stored = array.astype(f"{order}u2")
    tifffile.imwrite(tmp_path / "a.tif", stored, byteorder=order, photometric="rgb", compression=packing, predictor=bool(packing))
    assert np.array_equal(read_image(tmp_path / "a.tif").numpy(), array.transpose(2, 0, 1))


def test_pages_and_arrays_are_channels(tmp_path):
    bands = RNG.integers(0, 256, (5, 6, 7), dtype=np.uint8)
    first, *rest = [Image.fromarray(band) for band in bands]
    first.save(tmp_path / "pages.tif", save_all=True, append_images=rest)
    np.save(tmp_path / "a.npy", bands.transpose(1, 2, 0))
    for name in ("pages.tif", "a.npy"):
        assert np.array_equal(read_image(tmp_path / name, 5).numpy(), bands)
    with pytest.raises(DataError, match=r"an image of 5 channels, 3 are wanted"):
        read_image(tmp_path / "pages.tif")
    np.save(tmp_path / "wide.npy", bands[0].astype(np.uint16) * 257)
    wide = read_image(tmp_path / "wide.npy", 1)
    assert (wide.dtype, wide.tolist()) == (torch.int32, (bands[:1].astype(int) * 257).tolist())
    assert read_labels(tmp_path / "wide.npy").shape == (6, 7)


def test_pages_that_do_not_fit_each_other(tmp_path):
    Image.new("L", (4, 4)).save(tmp_path / "sizes.tif", save_all=True, append_images=[Image.new("L", (4, 5))])
    Image.new("RGB", (4, 4)).save(tmp_path / "colours.tif", save_all=True, append_images=[Image.new("RGB", (4, 4), 5)])
    for name in ("sizes.tif", "colours.tif"):
        with pytest.raises(DataError, match=rf"pages of several channels or sizes; .*{name}"):
            read_image(tmp_path / name, 2)


def test_bands_of_a_tiff(tmp_path):
    tifffile = pytest.importorskip("tifffile")
    array = RNG.integers(0, 65536, (6, 7, 5), dtype=np.uint16)
    for name, stored, layout in (("c.tif", array, "contig"), ("s.tif", array.transpose(2, 0, 1), "separate")):
        tifffile.imwrite(tmp_path / name, stored, photometric="minisblack", planarconfig=layout)
        assert np.array_equal(read_image(tmp_path / name, 5).numpy(), array.transpose(2, 0, 1))
    tifffile.imwrite(tmp_path / "float.tif", array.astype(np.float32), photometric="minisblack", planarconfig="contig")
    with pytest.raises(DataError, match="an image of float32"):
        read_image(tmp_path / "float.tif", 5)


def test_a_tiff_that_needs_tifffile_says_so(tmp_path, monkeypatch):
    tifffile = pytest.importorskip("tifffile")
    tifffile.imwrite(tmp_path / "five.tif", np.zeros((6, 7, 5), np.uint8), photometric="minisblack", planarconfig="contig")
    monkeypatch.setitem(sys.modules, "tifffile", None)
    with pytest.raises(DataError, match=r"isn't installed; .*five\.tif; fix: pip install tifffile"):
        read_image(tmp_path / "five.tif", 5)


@pytest.mark.parametrize(
    ("array", "told"),
    [
        (np.zeros((4, 5), np.float32), "an image of float32"),
        (np.zeros((4, 5), np.int64), "an image of int64"),
        (np.zeros((2, 3, 4, 5), np.uint8), r"an array of shape \(2, 3, 4, 5\)"),
        (np.array([{}]), "can't read the array"),
    ],
)
def test_arrays_of_other_kinds_are_refused(tmp_path, array, told):
    np.save(tmp_path / "a.npy", array, allow_pickle=True)
    with pytest.raises(DataError, match=rf"{told}.*a\.npy"):
        read_image(tmp_path / "a.npy", 1)


def test_float_and_wide_values_are_refused(tmp_path):
    Image.fromarray(np.ones((3, 3), np.float32)).save(tmp_path / "f.tif")
    with pytest.raises(DataError, match="an image of floats"):
        read_image(tmp_path / "f.tif", 1)
    Image.fromarray(np.full((3, 3), 70_000, np.int32)).save(tmp_path / "i.tif")
    with pytest.raises(DataError, match=r"image values 70000\.\.70000"):
        read_image(tmp_path / "i.tif", 1)
    assert read_labels(tmp_path / "i.tif")[0, 0] == 70_000
    Image.fromarray(np.full((3, 3), -1, np.int32)).save(tmp_path / "n.tif")
    with pytest.raises(DataError, match="a label of -1"):
        read_labels(tmp_path / "n.tif")


def test_lossy_and_coloured_labels_are_refused(tmp_path, picture):
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / "l.jpg")
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(tmp_path / "l.webp")
    for read in (read_labels, read_colors):
        with pytest.raises(DataError, match=r"JPEG file are not exact; .*l\.jpg; fix: store them as PNG"):
            read(tmp_path / "l.jpg")
        with pytest.raises(DataError, match="WEBP file are not exact"):
            read(tmp_path / "l.webp")
    with pytest.raises(DataError, match=r"stored as colours \(RGB\)"):
        read_labels(picture[0])


def test_colours_are_packed(tmp_path, picture):
    path, array = picture
    packed = array.astype(int) @ [65536, 256, 1]
    assert read_colors(path).tolist() == packed.tolist()
    palette = Image.fromarray(array[..., 0] % 2, mode="P")
    palette.putpalette([1, 2, 3, 4, 5, 6])
    palette.save(tmp_path / "p.png")
    assert set(read_colors(tmp_path / "p.png").unique().tolist()) == {0x010203, 0x040506}
    Image.fromarray(array[..., 0]).save(tmp_path / "g.png")
    assert read_colors(tmp_path / "g.png").tolist() == (array[..., 0].astype(int) * 0x010101).tolist()
    for name, wide in (("w3.png", array.astype(np.uint16)), ("w1.png", array[..., :1].astype(np.uint16))):
        with pytest.raises(DataError, match="colours of more than 8 bit"):
            read_colors(png_16(wide, tmp_path / name))


def test_animations_are_refused_and_the_preview_in_a_photo_is_not(tmp_path):
    frames = [Image.new("L", (8, 8), value) for value in (0, 9, 99)]
    for name in ("a.gif", "a.png", "a.tif"):
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:])
    for name, read in (("a.gif", read_image), ("a.png", read_image), ("a.tif", read_labels)):
        with pytest.raises(DataError, match=rf"3 pictures in one file; .*{name}"):
            read(tmp_path / name)
    buffer = io.BytesIO()
    frames[1].convert("RGB").save(buffer, "MPO", save_all=True, append_images=[frames[2].convert("RGB")])
    (tmp_path / "photo.jpg").write_bytes(buffer.getvalue())
    assert read_image(tmp_path / "photo.jpg")[0, 0, 0] == 9


@pytest.mark.parametrize("read", [read_image, read_labels, read_colors])
@pytest.mark.parametrize("kind", ["truncated.jpg", "truncated.png", "truncated.npy", "empty.png", "text.png", "missing.png", "folder.png"])
def test_broken_files_are_named(tmp_path, kind, read):
    path = tmp_path / kind
    if kind == "truncated.npy":
        np.save(path, np.zeros((64, 64), np.uint8))
    elif kind.startswith("truncated"):
        Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(path)
    if kind.startswith("truncated"):
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    elif kind == "empty.png":
        path.touch()
    elif kind == "text.png":
        path.write_text("no picture")
    elif kind == "folder.png":
        path.mkdir()
    with pytest.raises(DataError) as caught:
        read(path)
    assert str(path) in caught.value.where
    assert caught.value.fix


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_random_damage_is_always_told(tmp_path, picture):
    """Flipped bytes in files of several kinds: a picture or an error with the path, never another exception."""
    random.seed(0)
    array = picture[1]
    for name in ("a.png", "a.jpg", "a.tif", "a.gif", "a.bmp", "wide.png"):
        if name == "wide.png":
            png_16(array.astype(np.uint16) * 257, tmp_path / name)
        else:
            Image.fromarray(array if name != "a.gif" else array[..., 0]).save(tmp_path / name)
        good = (tmp_path / name).read_bytes()
        path = Path(tmp_path / f"bad_{name}")
        for _ in range(60):
            bad = bytearray(good)
            for _ in range(3):
                bad[random.randrange(len(bad))] = random.randrange(256)
            path.write_bytes(bad)
            try:
                read_image(path)
            except DataError as error:
                assert str(path) in error.where


def test_a_bomb_is_refused_from_its_header(tmp_path):
    Image.new("1", (20_000, 20_000)).save(tmp_path / "bomb.png")
    with pytest.raises(DataError, match="20000x20000 pixels"):
        read_image(tmp_path / "bomb.png")
