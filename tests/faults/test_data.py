"""Rows 15-34 of the fault table: broken data, each on the command that a user types.

Most cases are one broken file in a data set of one of the usual layouts; `segexp train` must end with one line that says what is wrong,
names the file, and what to do; what was on disk stays as it was.
"""

import json
import struct
import zlib
from functools import partial

import numpy as np
import pytest
from PIL import Image

from tests.faults import layouts
from tests.faults.harness import command, expect, snapshot
from tests.faults.layouts import LAYOUTS, MASKS, PICTURES

CHAIN = [
    *("backbone=timm", "backbone.name=test_resnet", "augmentation.crop=[24,32]", "callbacks.panels=null", "trainer.max_epochs=1"),
    *("trainer.accelerator=cpu", "run.threads=1", "data.loader.batch_size=2", "data.loader.eval_batch_size=2"),
]
SEMANTIC = ["decoder.width=16"]
SIZE = (layouts.HEIGHT, layouts.WIDTH)
JPEGS = ("folder", "voc")
BOMB = 20_000  # pixels a side


# ------------------------------------------------------------------------------------------------- what breaks a file


def truncated(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])


def empty(path):
    path.write_bytes(b"")


def no_picture(path):
    path.write_bytes(b"<html>404 not found</html>" * 20)


def rotten(path):
    """A JPEG of which bits have flipped: its tables of Huffman codes are no such tables any more."""
    content = bytearray(path.read_bytes())
    place = content.index(b"\xff\xc4") + 5
    content[place : place + 16] = b"\xff" * 16
    path.write_bytes(bytes(content))


def rotten_png(path):
    """A PNG of which bits have flipped within its packed pixels."""
    content = bytearray(path.read_bytes())
    place = content.index(b"IDAT") + 20
    content[place : place + 8] = bytes(255 - value for value in content[place : place + 8])
    path.write_bytes(bytes(content))


def gone(path):
    path.unlink()


def of_another_size(path):
    layouts.mask(path, layouts.labels(2, (layouts.HEIGHT - 4, layouts.WIDTH)))


def turned(path):
    """The picture is stored upright, EXIF says that it lies: its labels fit it only as it is stored."""
    exif = Image.Exif()
    exif[274] = 6
    with Image.open(path) as image:
        image.load()
        image.save(path, exif=exif)


def colours(path, mode="RGB"):
    with Image.open(path) as image:
        converted = image.convert(mode)
    converted.save(path)


def out_of_range(path, value=77):
    """Six pixels of a class that there isn't."""
    values = np.array(Image.open(path))
    values[:2, :3] = value
    Image.fromarray(values).save(path)


def wide(path):
    """A 16-bit label that 8 bit would wrap to a class: 256 + 1."""
    values = np.array(Image.open(path)).astype(np.uint16)
    values[0, 0] = 257
    Image.fromarray(values).save(path)


def jpeg_named_png(path):
    with Image.open(path) as image:
        image.load()
    image.save(path, format="JPEG")


def floats(path):
    """TIFF of floats within a file that is called otherwise."""
    Image.fromarray(np.zeros(SIZE, np.float32)).save(path, format="TIFF")


def animated(path):
    frames = [Image.new("RGB", SIZE[::-1], (n, n, n)) for n in (0, 99)]
    frames[0].save(path, format="GIF", save_all=True, append_images=frames[1:])


def bomb(path):
    """A PNG whose header claims 20,000 x 20,000 pixels, in some hundred bytes."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = struct.pack(">IIBBBBB", BOMB, BOMB, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)


def larger(path):
    layouts.picture(path, size=(40, 40))


def text(path, content):
    path.write_text(content)


def edited(change, path):
    """A JSON, changed."""
    found = json.loads(path.read_text())
    change(found)
    path.write_text(json.dumps(found))


def segment(**values):
    return partial(edited, lambda found: found["annotations"][1]["segments_info"][0].update(values))


def one_less(path):
    edited(lambda found: found["annotations"][1]["segments_info"].pop(0), path)


def one_more(path):
    extra = {"id": 99, "category_id": 7, "area": 4, "bbox": [0, 0, 2, 2], "iscrowd": 0}
    edited(lambda found: found["annotations"][1]["segments_info"].append(extra), path)


def twice(path):
    edited(lambda found: found["annotations"][1]["segments_info"].append(found["annotations"][1]["segments_info"][0]), path)


def annotation(**values):
    return partial(edited, lambda found: found["annotations"][1].update(values))


# ------------------------------------------------------------------------------------------------- the cases


def cases():
    """name -> (layout, file, what breaks it, texts of the message, overrides)."""
    found = {}
    listed = ("camvid", "voc_xml", "coco")  # whose pictures are named by a list; elsewhere what is there is the list
    for kind, what, of in (
        (truncated, "decode", tuple(PICTURES)),
        (empty, "the file is empty", ("folder", "yolo", "csv")),
        (no_picture, "not an image", ("voc", "panoptic", "image_folder")),
        (gone, "the file is missing", listed),
    ):
        for layout in of:
            found[f"15-21 {kind.__name__} picture, {layout}"] = (layout, PICTURES[layout], kind, (what,), ())
    found["18 gone picture, csv"] = ("csv", PICTURES["csv"], gone, ("there is no picture b.png", "train.csv, line 3"), ())
    for layout in JPEGS:
        found[f"17 rotten picture, {layout}"] = (layout, PICTURES[layout], rotten, ("decode",), ())
        found[f"20 EXIF turns the picture, {layout}"] = (layout, PICTURES[layout], turned, ("EXIF turns the picture", "upright"), ())
    found["17 rotten picture, camvid"] = ("camvid", PICTURES["camvid"], rotten_png, ("decode",), ())
    for kind, what, of in (
        (empty, "the file is empty", "voc"),
        (truncated, "decode", "cityscapes"),
        (of_another_size, "the image is (24, 32), its labels are (20, 32)", "folder camvid"),
        (colours, "labels are stored as colours (RGB)", "voc camvid"),
        (partial(colours, mode="RGBA"), "labels are stored as colours (RGBA)", "cityscapes"),
        (jpeg_named_png, "labels in a JPEG file are not exact", "folder cityscapes"),
        (out_of_range, "77 in 6 pixels", "folder voc"),
        (wide, "257 in 1 pixels", "camvid cityscapes"),
    ):
        for layout in of.split():
            name = getattr(kind, "__name__", "alpha")
            found[f"18-25 {name} mask, {layout}"] = (layout, MASKS[layout], kind, (what,), ())
    found["18 no mask, camvid"] = ("camvid", MASKS["camvid"], gone, ("the file is missing",), ())
    found["18 no mask, folder"] = ("folder", MASKS["folder"], gone, ("1 of 4 pictures have no mask: b.jpg",), ())
    for layout in ("folder", "coco"):
        found[f"32 bomb, {layout}"] = (layout, PICTURES[layout], bomb, (f"{BOMB}x{BOMB} pixels (the limit is 64000000)",), ())
    found["32 bomb as mask, camvid"] = ("camvid", MASKS["camvid"], bomb, (f"{BOMB}x{BOMB} pixels",), ())
    found["32 a limit of one's own"] = ("folder", PICTURES["folder"], larger, ("(the limit is 800)",), ("data.max_pixels=800",))
    found["15 floats for a picture"] = ("camvid", PICTURES["camvid"], floats, ("floats",), ())
    found["15 several pictures in a file"] = ("camvid", PICTURES["camvid"], animated, ("2 pictures in one file",), ())
    json_file = "annotations/panoptic_train.json"
    for name, change, texts in (
        ("segment in the JSON alone", one_more, ("image 2, segment 99",)),
        ("segment in the PNG alone", one_less, ("image 2, segment ", "not in the JSON")),
        ("segments overlap", twice, ("image 2, segment ", "overlap")),
        ("wrong area", segment(area=5), ("image 2, segment ", "the area 5")),
        ("unknown category", segment(category_id=4), ("image 2, segment ", "category 4")),
        ("no JSON", partial(text, content='{"images": ['), ()),
    ):
        found[f"29 {name}"] = ("panoptic", json_file, change, texts, ())
    objects = "annotations/instances_train.json"
    found["28 unknown category, coco"] = ("coco", objects, annotation(category_id=5), ("annotation 2", "category 5"), ())
    found["28 crowd flag, coco"] = ("coco", objects, annotation(iscrowd=7), ("annotation 2", "iscrowd"), ())
    found["28 no JSON, coco"] = ("coco", objects, partial(text, content="[1, 2"), (), ())
    for name, line, what in (
        ("class", "7 0.5 0.5 0.2 0.2", "class 7, the set has 0..1"),
        ("pixels for shares", "0 12 7 4 4", "no share of the picture"),
        ("numbers", "0 0.5 0.5 0.1", "which are neither a class and a box"),
    ):
        found[f"28 {name}, yolo"] = ("yolo", "labels/train/b.txt", partial(text, content=line), (what, "line 1"), ())
    found["28 broken XML"] = ("voc_xml", "Annotations/b.xml", partial(text, content="<annotation><obj"), (), ())
    found["28 a class that val alone has"] = (
        *("voc_xml", "Annotations/e.xml"),
        partial(text, content="<annotation><object><name>cow</name><bndbox/></object></annotation>"),
        ("cow",),
        (),
    )
    found["18 a table without the column"] = ("csv", "train.csv", partial(text, content="file,kind\na.png,cat\n"), ("image",), ())
    found["18 a line that is no pair, camvid"] = ("camvid", "train.txt", partial(text, content="train/a.png\n"), ("line 1",), ())
    return found


CASES = cases()
SAID = {}  # case -> (its last line, the broken file)


def expect_named(name, place):
    """Break a file, train, and expect all that holds for every row; what was said is kept, with the file."""
    layout, file, breaks, texts, overrides = CASES[name]
    root, outputs = place / "data", place / "outputs"
    keys = LAYOUTS[layout](root)
    breaks(root / file)
    keep = outputs / "default/other/result.json"
    keep.parent.mkdir(parents=True)
    keep.write_text("{}")
    before = snapshot(place)
    semantic = [] if {*layouts.BOXES, *layouts.LABEL} & {*keys} else SEMANTIC
    said = command("train", *keys, *CHAIN, *semantic, *overrides, f"paths.outputs={outputs}")
    after = snapshot(place)
    expect(said, "data" if "error[data]" in said.last else "config", *texts)
    assert {path: after.get(path) for path in before} == before, "something that was on disk is lost or changed"
    assert not list(outputs.rglob("*.ckpt")), "it trained all the same"
    SAID[name] = (said.last, file)


@pytest.mark.parametrize("name", CASES)
def test_broken_data(name, tmp_path, quick):
    expect_named(name, tmp_path)


def test_nearly_all_errors_name_the_file(tmp_path, quick):
    """At least 95 of 100, over at least 40 distinct cases; those that were not run yet in this process are now."""
    for number, name in enumerate(CASES):
        if name not in SAID:
            expect_named(name, tmp_path / str(number))
    silent = sorted(name for name, (said, file) in SAID.items() if file not in said)
    print(f"{len(SAID) - len(silent)} of {len(SAID)} data errors name the file; not: {silent}")
    assert len({(said.partition(";")[0]) for said, _ in SAID.values()}) >= 17, "kinds of errors"
    assert len(SAID) >= 40
    assert len(silent) <= 0.05 * len(SAID), silent
