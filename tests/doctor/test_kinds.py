"""Every kind of finding: planted in a clean tree it is found with its path, and nothing else is."""

import builtins
import io
import os
import shutil
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segexp.doctor import across
from segexp.doctor.check import check
from segexp.doctor.findings import KINDS, Finding, counted, ordered, told
from segexp.functional.images import read_labels
from tests.doctor.test_objects import KINDS as OBJECTS
from tests.doctor.test_panoptic import CITYSCAPES, COCO
from tests.doctor.tree import COLORS, SIZE, Mini, add, ids, picture, plant, write_labels

IMAGE, MASK = "images/train/t2.png", "masks/train/t2.png"
RNG = np.random.default_rng(99)
DEFECTS = {}


def defect(kind, *paths, **options):
    """Register a function that plants a defect; `paths` must all be in one finding, `options` are the tree's."""

    def register(function):
        DEFECTS[function.__name__] = (kind, paths, options, function)
        return function

    return register


@defect("missing-image", IMAGE)
def missing_image(root):
    (root / IMAGE).unlink()


@defect("missing-image", IMAGE)
def dangling_link(root):
    (root / IMAGE).unlink()
    (root / IMAGE).symlink_to("/nowhere/x.png")


@defect("missing-labels", MASK)
def missing_labels(root):
    (root / MASK).unlink()


@defect("not-a-file", IMAGE)
def a_folder_in_the_place_of_a_picture(root):
    (root / IMAGE).unlink()
    (root / IMAGE).mkdir()


@defect("empty-file", MASK)
def empty(root):
    (root / MASK).write_bytes(b"")


@defect("truncated-file", IMAGE)
def truncated(root):
    content = (root / IMAGE).read_bytes()
    (root / IMAGE).write_bytes(content[: len(content) // 2])


@defect("truncated-file", IMAGE)
def only_the_first_bytes(root):
    (root / IMAGE).write_bytes((root / IMAGE).read_bytes()[:12])


@defect("truncated-file", "images/train/t2.jpg")
def truncated_jpeg(root):
    picture(RNG).save(root / "images/train/t2.jpg", quality=100)
    content = (root / "images/train/t2.jpg").read_bytes()
    (root / "images/train/t2.jpg").write_bytes(content[: len(content) // 2])
    relist(root, IMAGE, "images/train/t2.jpg")


@defect("corrupt-file", IMAGE)
def corrupt(root):
    content = bytearray((root / IMAGE).read_bytes())
    place = content.index(b"IDAT") + 4
    content[place : place + 8] = b"\xff" * 8
    (root / IMAGE).write_bytes(bytes(content))


@defect("not-an-image", IMAGE)
def text(root):
    (root / IMAGE).write_text("<html>404 not found</html>")


@defect("huge-picture", IMAGE)
def bomb(root):
    chunk = b"IHDR" + struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    end = b"\0\0\0\0IDAT" + struct.pack(">I", zlib.crc32(b"IDAT"))
    (root / IMAGE).write_bytes(b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk)) + end)


@defect("size-mismatch", IMAGE, MASK)
def other_size(root):
    write_labels(root / MASK, ids(RNG)[:-8])


@defect("exif-rotation", IMAGE, MASK)
def rotated_by_exif(root):
    save_turned(root / IMAGE, 6)


@defect("exif-ambiguous", IMAGE, MASK)
def mirrored_by_exif(root):
    save_turned(root / IMAGE, 2)


@defect("jpeg-labels", "masks/train/t2.jpg")
def jpeg_labels(root):
    Image.fromarray(ids(RNG)).save(root / "masks/train/t2.jpg")
    (root / MASK).unlink()
    relist(root, MASK, "masks/train/t2.jpg")


@defect("color-labels", MASK)
def colors_for_indices(root):
    write_labels(root / MASK, ids(RNG), colors=True)


@defect("label-value", MASK)
def unknown_value(root):
    labels = ids(RNG)
    labels[:3, :4] = 77
    write_labels(root / MASK, labels)


@defect("unknown-color", MASK, colors=True)
def unknown_color(root):
    write_labels(root / MASK, ids(RNG), colors=True)
    with Image.open(root / MASK) as image:
        pixels = np.array(image)
    pixels[:8, :8] = (1, 2, 3)
    Image.fromarray(pixels).save(root / MASK)


@defect("antialiased-labels", MASK, step=40)
def antialiased(root):
    soften(root / MASK)


@defect("antialiased-labels", MASK, colors=True)
def antialiased_colors(root):
    soften(root / MASK)


@defect("resampled-labels", MASK)
def resampled(root):
    soften(root / MASK, np.where(ids(RNG) % 2, 5, 0).astype(np.uint8))


@defect("palette", MASK)
def swapped_palette(root):
    save_palette(root / MASK, [COLORS[i] for i in (0, 2, 1, 3, 4, 5)])


@defect("all-ignored", MASK)
def all_void(root):
    write_labels(root / MASK, np.full(SIZE, 255, np.uint8))


@defect("constant-picture", IMAGE)
def black(root):
    Image.new("RGB", SIZE[::-1]).save(root / IMAGE)


@defect("channels", IMAGE, channels=1)
def a_color_picture_among_grey_ones(root):
    picture(RNG).save(root / IMAGE)


@defect("mixed-depth", IMAGE, channels=1)
def a_deep_picture_among_others(root):
    Image.fromarray(np.asarray(picture(RNG, grey=True)).astype(np.uint16) * 200).save(root / IMAGE)


@defect("alpha", IMAGE)
def transparency(root):
    picture(RNG).convert("RGBA").save(root / IMAGE)


@defect("multi-page", "images/train/t2.gif")
def animation(root):
    first, *others = [picture(RNG) for _ in range(3)]
    first.save(root / "images/train/t2.gif", save_all=True, append_images=others)
    relist(root, IMAGE, "images/train/t2.gif")
    (root / IMAGE).unlink()


@defect("wrong-suffix", "images/train/t2.jpg")
def png_called_jpg(root):
    (root / IMAGE).rename(root / "images/train/t2.jpg")
    relist(root, IMAGE, "images/train/t2.jpg")


@defect("duplicate-id", IMAGE)
def listed_twice(root):
    add(root, f"{IMAGE} {MASK}")


@defect("duplicate-image", IMAGE, "images/train/t9.png")
def copied(root):
    shutil.copy(root / IMAGE, root / "images/train/t9.png")
    shutil.copy(root / MASK, root / "masks/train/t9.png")
    add(root, "images/train/t9.png masks/train/t9.png")


@defect("conflicting-labels", IMAGE, "images/train/t9.png")
def copied_with_other_labels(root):
    with Image.open(root / IMAGE) as image:
        image.save(root / "images/train/t9.png", compress_level=0)  # other bytes, the same pixels
    write_labels(root / "masks/train/t9.png", ids(RNG))
    add(root, "images/train/t9.png masks/train/t9.png")


@defect("leakage", IMAGE, "images/val/v9.png")
def leaked(root):
    shutil.copy(root / IMAGE, root / "images/val/v9.png")
    shutil.copy(root / MASK, root / "masks/val/v9.png")
    add(root, "images/val/v9.png masks/val/v9.png", "val")


@defect("near-duplicate", IMAGE, "images/val/v9.jpg")
def leaked_as_jpeg(root):
    with Image.open(root / IMAGE) as image:
        image.save(root / "images/val/v9.jpg", quality=85, subsampling=0)
    shutil.copy(root / MASK, root / "masks/val/v9.png")
    add(root, "images/val/v9.jpg masks/val/v9.png", "val")


@defect("untrained-class")
def a_class_of_val_alone(root):
    for path in (root / "masks/train").iterdir():
        labels = read_labels(path).numpy()
        write_labels(path, np.where(labels == 3, 2, labels))


@defect("empty-split")
def no_line(root):
    shutil.rmtree(root / "masks/val")
    shutil.rmtree(root / "images/val")
    (root / "val.txt").write_text("\n")


@defect("list-encoding", "train.txt")
def byte_order_mark(root):
    (root / "train.txt").write_bytes(b"\xef\xbb\xbf" + (root / "train.txt").read_bytes())


@defect("list-encoding", "train.txt")
def latin(root):
    (root / "train.txt").write_bytes((root / "train.txt").read_bytes().replace(b"t3", b"t\xe9"))


@defect("list-lines", "train.txt")
def blank_lines(root):
    (root / "train.txt").write_text((root / "train.txt").read_text().replace("\n", "\n\n", 2))


@defect("list-broken", "train.txt")
def half_a_line(root):
    add(root, "images/train/t9.png")


@defect("outside-root", "elsewhere/t9.png")
def outside(root):
    folder = root.parent / "elsewhere"
    folder.mkdir()
    picture(RNG).save(folder / "t9.png")
    write_labels(folder / "m9.png", ids(RNG))
    add(root, "../elsewhere/t9.png ../elsewhere/m9.png")


@defect("orphan-labels", "masks/train/t9.png")
def labels_without_a_picture(root):
    write_labels(root / "masks/train/t9.png", ids(RNG))


@defect("orphan-image", "images/train/t9.png")
def a_picture_without_labels(root):
    for i in range(10, 14):  # of 10 pictures 9 are listed
        picture(RNG).save(root / f"images/train/t{i}.png")
        write_labels(root / f"masks/train/t{i}.png", ids(RNG))
        add(root, f"images/train/t{i}.png masks/train/t{i}.png")
    picture(RNG).save(root / "images/train/t9.png")


@defect("unlisted-sample", "images/train/t9.png", "masks/train/t9.png")
def a_pair_that_no_list_names(root):
    picture(RNG).save(root / "images/train/t9.png")
    write_labels(root / "masks/train/t9.png", ids(RNG))


def relist(root, before, after):
    (root / "train.txt").write_text((root / "train.txt").read_text().replace(before, after))


def save_turned(path, orientation):
    with Image.open(path) as image:
        exif = image.getexif()
        exif[274] = orientation
        image.save(path, exif=exif)


def save_palette(path, colors):
    with Image.open(path) as image:
        paletted = Image.fromarray(np.asarray(image), "P")
    paletted.putpalette([*(part for color in colors for part in color), *[0] * (768 - 3 * len(colors))])
    paletted.save(path)


def soften(path, labels=None):
    """Half the size and back, with interpolation."""
    if labels is not None:
        Image.fromarray(labels).save(path)
    with Image.open(path) as image:
        image.resize((24, 20), Image.Resampling.BILINEAR).resize(SIZE[::-1], Image.Resampling.BILINEAR).save(path)


def make(root, step=1, colors=False, channels=3):
    plant(root / "set", step=step, colors=colors, grey=channels == 1)
    return Mini(root / "set", step=step, colors=colors, channels=channels)


@pytest.mark.parametrize("options", [{}, {"step": 40}, {"colors": True}, {"channels": 1}], ids=str)
def test_a_clean_tree_gives_nothing(tmp_path, options):
    assert check(make(tmp_path, **options)).findings == []


@pytest.mark.parametrize("name", DEFECTS)
def test_a_planted_defect_is_found_with_its_path(tmp_path, name):
    kind, paths, options, spoil = DEFECTS[name]
    data = make(tmp_path, **options)
    spoil(data.root)
    found = check(data).findings
    assert [finding.kind for finding in found] == [kind]
    assert len(paths) <= len(found[0].paths) or kind == "list-broken"
    assert all(any(path.endswith(wanted) for path in found[0].paths) for wanted in paths)
    assert found[0].what and KINDS[kind][1]


def test_what_is_told(tmp_path):
    data = make(tmp_path)
    unknown_value(data.root)
    save_turned(data.root / "images/train/t1.png", 6)
    lines = told(check(data).findings, 5)
    assert "label values that no class has: 77 in 12 pixels; known are 0..5, 255" in "\n".join(lines)
    assert "EXIF turns the picture to 40x48 (width x height) (orientation 6), its labels are 48x40" in "\n".join(lines)
    assert [line.split()[1] for line in lines[::2]] == ["exif-rotation", "label-value"]
    assert lines[1].startswith("  train/t1: ")


def test_a_file_that_may_not_be_read(tmp_path, monkeypatch):
    data = make(tmp_path)
    secret, plain = str(data.root / IMAGE), builtins.open

    def guarded(file, *args, **kwargs):
        if isinstance(file, (str, Path)) and os.fspath(file) == secret:
            raise PermissionError(13, "Permission denied", secret)
        return plain(file, *args, **kwargs)

    monkeypatch.setattr(builtins, "open", guarded)
    monkeypatch.setattr(io, "open", guarded)
    found = check(data).findings
    assert [(finding.kind, finding.paths) for finding in found] == [("no-permission", (secret,))]


def test_a_picture_smaller_than_the_crop(tmp_path):
    data = make(tmp_path)
    assert check(data, crop=SIZE).findings == []
    found = check(data, crop=(SIZE[0] + 1, 8)).findings
    assert {finding.kind for finding in found} == {"too-small"}
    assert len(found) == 6  # of train alone
    assert "the picture is 48x40, a training crop covers 8x41 of it" in found[0].what


def test_a_class_that_never_occurs_is_told_where_there_are_enough_samples(tmp_path, monkeypatch):
    plant(tmp_path / "set", classes=5)
    data = Mini(tmp_path / "set")
    assert check(data).findings == []  # six pictures say nothing
    monkeypatch.setattr(across, "ENOUGH", 6)
    found = check(data).findings
    assert [(finding.kind, finding.what) for finding in found] == [
        ("unseen-class", "class 5 (c5) has no pixel in any of train's 6 samples")
    ]


def test_a_class_in_a_single_val_sample_may_be_missing_by_chance(tmp_path):
    data = make(tmp_path)
    a_class_of_val_alone(data.root)
    for name in sorted((data.root / "masks/val").iterdir())[1:]:
        labels = read_labels(name).numpy()
        write_labels(name, np.where(labels == 3, 2, labels))
    assert check(data).findings == []


def test_whatever_else_a_data_set_says_is_passed_on(tmp_path):
    data = make(tmp_path)

    class Odd:
        spec, splits = data.spec, ("train",)

        def open(self, split):
            return OddSplit(data.open(split))

    class OddSplit:
        def __init__(self, split):
            self.split, self.id = split, split.id

        def __len__(self):
            return 3

        def __getitem__(self, index):
            if index == 1:
                raise KeyError("colour 9")
            return self.split[index]

    found = check(Odd()).findings
    assert [(finding.kind, finding.id, finding.what) for finding in found] == [("refused", "train/t1", "KeyError: 'colour 9'")]


def test_every_kind_is_planted_somewhere():
    elsewhere = {"no-permission", "too-small", "unseen-class", "refused"}
    elsewhere |= {kind for kind, *_ in (*COCO.values(), *CITYSCAPES.values())} | OBJECTS
    assert {kind for kind, *_ in DEFECTS.values()} | elsewhere == set(KINDS)


def test_errors_come_first_and_only_some_are_shown():
    found = ordered([Finding("alpha", "b"), *(Finding("empty-file", str(i), (f"/{i}",), f"train/{i}") for i in range(4))])
    assert told(found, 2) == [
        "error empty-file (4); fix: copy the file again",
        "  train/0: 0 (/0)",
        "  train/1: 1 (/1)",
        "  and 2 more of this kind",
        "warning alpha (1); fix: flatten the picture onto a background: transparency isn't seen by a model",
        "  b",
    ]
    assert counted(found) == "4 errors, 1 warning"
    assert counted([]) == "nothing wrong"
