"""Payloads of class 4: pictures whose header promises more than any memory holds. Refused before a pixel is decoded."""

import io
import struct
import subprocess
import sys
import zlib
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segexp.errors import DataError
from segexp.functional.images import read_colors, read_image, read_labels, read_page

ROOT = Path(__file__).resolve().parents[2]
SIDE = 60_000
READERS = {"read_image": read_image, "read_labels": read_labels, "read_colors": read_colors}


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width, height, *more, depth=8, color=2):
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(more) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


def patched(kind, offset, form, *sizes, **options):
    """A small file of a format, with other sizes written into its header."""
    file = io.BytesIO()
    Image.new("RGB", (16, 16)).save(file, kind, **options)
    raw = bytearray(file.getvalue())
    place = offset(raw) if callable(offset) else offset
    struct.pack_into(form, raw, place, *sizes)
    return bytes(raw)


def tiff(width, height):
    file = io.BytesIO()
    Image.new("L", (16, 16)).save(file, "TIFF")
    raw = bytearray(file.getvalue())
    at = struct.unpack_from("<I", raw, 4)[0]
    for entry in range(struct.unpack_from("<H", raw, at)[0]):
        place = at + 2 + 12 * entry
        if (tag := struct.unpack_from("<H", raw, place)[0]) in (256, 257):
            struct.pack_into("<HHII", raw, place, tag, 4, 1, width if tag == 256 else height)
    return bytes(raw)


def npy(shape, kind="|u1"):
    header = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + bytes(100)


def objects():
    """An array file with a pickle in it."""
    file = io.BytesIO()
    np.save(file, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    return file.getvalue()


BOMBS = {  # name of the file -> its bytes
    "header.png": png(SIDE, SIDE),
    "grey.png": png(SIDE, SIDE, depth=1, color=0),
    "wide.png": png(2**31 - 1, 1),
    "both.png": png(2**31 - 1, 2**31 - 1),
    "text.png": png(8, 8, *[chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(10**7)))] * 8),
    "profile.png": png(SIDE, SIDE, chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(10**7)))),
    "header.jpg": patched("JPEG", lambda raw: raw.index(b"\xff\xc0") + 5, ">HH", 65_500, 65_500),
    "progressive.jpg": patched("JPEG", lambda raw: raw.index(b"\xff\xc2") + 5, ">HH", 65_500, 65_500, progressive=True),
    "header.gif": patched("GIF", 6, "<HH", 65_535, 65_535),
    "header.bmp": patched("BMP", 18, "<ii", SIDE, SIDE),
    "header.tif": tiff(SIDE, SIDE),
    "header.ppm": b"P6\n60000 60000\n255\n" + bytes(100),
    "header.tga": patched("TGA", 12, "<HH", 65_535, 65_535),
    "header.webp": patched("WEBP", 24, "<I", 0x3FFF | 0x3FFF << 14, lossless=True)[:25] + b"\xff\xff\xff\x0f" + bytes(60),
    "header.npy": npy((SIDE, SIDE)),
    "deep.npy": npy((8, 8, 10**9)),
    "objects.npy": objects(),
    "code.npy": npy("__import__('os').system('touch MARKER')"),
    "cut.npy": npy("__import__('os').system('touch MA"),
    "empty.png": b"",
    "name.png": b"/etc/passwd",
    "svg.png": b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><svg>&x;</svg>',
    "postscript.eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(touch MARKER) (w) file\n",
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_by_every_reader(name, tmp_path, marker):
    path = tmp_path / name
    path.write_bytes(BOMBS[name].replace(b"MARKER", str(marker).encode()))
    for read in READERS.values():
        with pytest.raises(DataError) as caught:
            read(path)
        assert str(path) in caught.value.where and caught.value.fix


def test_a_bomb_behind_a_small_page_is_refused_before_it_is_decoded(tmp_path, monkeypatch):
    monkeypatch.setattr("segexp.functional.bands._limit", [1000])
    small, large = Image.new("L", (8, 8)), Image.new("L", (200, 200))
    small.save(tmp_path / "second.tif", save_all=True, append_images=[large])
    small.save(tmp_path / "many.tif", save_all=True, append_images=[small] * 40)
    tifffile = pytest.importorskip("tifffile")
    tifffile.imwrite(tmp_path / "bands.tif", np.zeros((40, 8, 8), np.uint16), photometric="rgb", planarconfig="separate")
    size, number = r"an image of 200x200 pixels \(the limit is 1000\)", r"an image of 4\d channels, 3 are wanted"
    for read in (partial(read_image, channels=2), lambda path: read_page(path, 1)):
        with pytest.raises(DataError, match=size):
            read(tmp_path / "second.tif")
    monkeypatch.setattr(Image.Image, "load", None)  # nothing of these is
    monkeypatch.setattr(tifffile.TiffPageSeries, "asarray", None)
    for name in ("many.tif", "bands.tif"):
        with pytest.raises(DataError, match=number):
            read_image(tmp_path / name)


MEASURED = """
import resource, sys
from pathlib import Path
from segexp.errors import DataError
from segexp.functional.images import read_colors, read_image, read_labels
from PIL import Image

Image.new("RGB", (64, 64)).save(sys.argv[1] + "/warm.png")
for read in (read_image, read_colors):
    read(Path(sys.argv[1], "warm.png"))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
refused = 0
for path in sorted(Path(sys.argv[1]).glob("bomb-*")):
    for read in (read_image, read_labels, read_colors):
        try:
            read(path)
        except DataError:
            refused += 1
print(refused, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)
"""


def test_all_of_them_together_take_less_than_50_megabytes(tmp_path):
    """The greatest size that a process of its own ever had, after all bombs and before them."""
    for name, raw in BOMBS.items():
        (tmp_path / f"bomb-{name}").write_bytes(raw)
    command = [sys.executable, "-c", MEASURED, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    refused, grown = map(int, done.stdout.split())
    assert refused == 3 * len(BOMBS)
    assert grown < 50 * 2**20, f"{grown / 2**20:.0f} MiB"


def test_the_bombs_would_go_off(tmp_path):
    """The control: Pillow alone takes the header for true and would allocate, and numpy would unpickle."""
    for name in ("header.png", "header.jpg", "header.gif", "header.bmp", "header.tif", "header.ppm"):
        (tmp_path / name).write_bytes(BOMBS[name])
        with Image.open(tmp_path / name) as image:
            assert image.size[0] * image.size[1] >= 3 * 10**9
    (tmp_path / "objects.npy").write_bytes(BOMBS["objects.npy"])
    assert np.load(tmp_path / "objects.npy", allow_pickle=True)[0] == {"a": 1}
