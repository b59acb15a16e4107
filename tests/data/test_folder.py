"""A user's own folder: layouts, splits and classes are found, and what can't be understood is refused by name."""

import json

import numpy as np
import pytest
from PIL import Image

from segexp.build import open_dataset
from segexp.config import compose
from segexp.data.folder import Folder
from segexp.errors import ConfigError, DataError
from tests.data.test_labelled import save

RNG = np.random.default_rng(0)
GREEN, PINK = [0, 128, 0], [250, 100, 180]


def fill(root, names, *, images="images", masks="masks", values=(0, 1), suffix=".jpg", added=""):
    """Pictures of noise, and masks in which every value occurs."""
    for name in names:
        for folder, file in ((images, name + suffix), (masks, f"{name}{added}.png")):
            if folder:
                (root / folder / file).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(RNG.integers(0, 256, (6, 8, 3), dtype=np.uint8)).save(root / images / f"{name}{suffix}")
        if masks:
            flat = np.resize(np.array(values), (48, *np.shape(values)[1:]))
            save(root / masks / f"{name}{added}.png", flat.reshape(6, 8, *np.shape(values)[1:]))
    return root


def folder(root, **keys):
    return Folder(root=str(root), **keys)


def ids(data, split):
    opened = data.open(split)
    return [opened.id(i) for i in range(len(opened))]


@pytest.mark.parametrize(
    ("images", "masks"),
    [("images/{s}", "masks/{s}"), ("{s}/images", "{s}/masks"), ("imgs/{s}", "labels/{s}"), ("{s}/JPEGImages", "{s}/SegmentationClass")],
)
@pytest.mark.parametrize("val", ["val", "validation"])
def test_folders_of_splits(tmp_path, images, masks, val):
    for split, names in (("train", "abc"), (val, "de"), ("test", "f")):
        fill(tmp_path, names, images=images.replace("{s}", split), masks=masks.replace("{s}", split))
    data = folder(tmp_path)
    assert data.splits == ("train", "val", "test")
    assert (ids(data, "train"), ids(data, "val"), ids(data, "test")) == (["train/a", "train/b", "train/c"], ["val/d", "val/e"], ["test/f"])
    assert data.open("val")[1]["semantic"][0].tolist() == [0, 1] * 4
    assert data.open("val").paths(0)[0].is_file()


def test_a_test_without_masks_can_be_predicted_only(tmp_path):
    fill(tmp_path, "abc", images="images/train", masks="masks/train")
    fill(tmp_path, "xy", images="images/test", masks="")
    data = folder(tmp_path)
    assert data.splits == ("train", "val")
    assert set(data.open("test")[0]) == {"image", "meta"}


def test_lists_of_splits(tmp_path):
    fill(tmp_path, ["a", "b c", "d", "sub/e"])
    (tmp_path / "train.txt").write_text("\ufeffa\n\nb c.jpg\n", encoding="utf-8")
    (tmp_path / "valid.txt").write_text("images/d.jpg\n/elsewhere/images/sub/e.jpg\n")
    data = folder(tmp_path)
    assert (ids(data, "train"), ids(data, "val"), data.splits) == (["train/a", "train/b c"], ["val/d", "val/sub/e"], ("train", "val"))
    (tmp_path / "train.txt").write_text("a\nz\n")
    with pytest.raises(DataError, match=r"no picture 'z'; .*train\.txt, line 2"):
        folder(tmp_path).open("train")


def test_a_listed_test_may_lack_masks(tmp_path):
    fill(fill(tmp_path, "abc"), "xy", masks="")
    for split, names in (("train", "a"), ("val", "bc"), ("test", "xy")):
        (tmp_path / f"{split}.txt").write_text("\n".join(names))
    data = folder(tmp_path)
    assert (data.splits, ids(data, "test"), set(data.open("test")[0])) == (("train", "val"), ["test/x", "test/y"], {"image", "meta"})
    (tmp_path / "val.txt").write_text("b\nx")
    with pytest.raises(DataError, match=r"1 of 2 pictures have no mask: x\.jpg"):
        folder(tmp_path).open("val")


def test_a_division_by_chance_is_stable(tmp_path):
    names = [f"p{i:03d}" for i in range(60)]
    fill(tmp_path, names)
    val = ids(folder(tmp_path), "val")
    assert ids(folder(tmp_path), "val") == val
    assert 4 <= len(val) <= 22
    assert sorted(name.partition("/")[2] for name in val + ids(folder(tmp_path), "train")) == names
    assert ids(folder(tmp_path, seed=1), "val") != val
    assert len(ids(folder(tmp_path, val_fraction=0.5), "val")) > len(val)
    fill(tmp_path, ["later0", "later1"])
    assert [i for i in ids(folder(tmp_path), "val") if "later" not in i] == val


@pytest.mark.parametrize("seed", range(4))
def test_neither_part_of_two_is_empty(tmp_path, seed):
    data = folder(fill(tmp_path, "ab"), seed=seed)
    assert (len(data.open("train")), len(data.open("val"))) == (1, 1)


def test_one_picture_can_not_be_divided(tmp_path):
    with pytest.raises(ConfigError, match="one picture can't be divided"):
        folder(fill(tmp_path, "a")).open("train")


def test_binary_masks_of_0_and_255(tmp_path):
    data = folder(fill(tmp_path, "abc", values=(0, 255)))
    assert (data.spec.names, data.spec.values) == (("class 0", "class 255"), (0, 255))
    assert data.open("train")[0]["semantic"][0, :2].tolist() == [0, 1]


def test_255_beside_ids_is_void_unless_said_otherwise(tmp_path):
    fill(tmp_path, "abc", values=(0, 1, 2, 255))
    data = folder(tmp_path)
    assert (data.spec.names, data.spec.values) == (("class 0", "class 1", "class 2"), None)
    assert data.open("train")[0]["semantic"][0, :4].tolist() == [0, 1, 2, 255]
    assert folder(tmp_path, ignore=[]).spec.num_classes == 4
    assert folder(tmp_path, ignore=[2, 255]).spec.names == ("class 0", "class 1")


def test_colours_are_found(tmp_path, capsys):
    data = folder(fill(tmp_path, "abc", values=([0, 0, 0], GREEN, PINK)))
    assert data.spec.names == ("color 0-0-0", "color 0-128-0", "color 250-100-180")
    assert [c.color for c in data.spec.classes] == [(0, 0, 0), tuple(GREEN), tuple(PINK)]
    assert data.open("train")[0]["semantic"][0, :3].tolist() == [0, 1, 2]
    told = capsys.readouterr().out
    assert "reading 3 masks to find their classes" in told
    assert "found 'data.classes={color 0-0-0: [0,0,0], color 0-128-0: [0,128,0], color 250-100-180: [250,100,180]}'" in told
    typed = [line.strip("'") for line in told.splitlines()[-1].partition("found ")[2].split("' '")]
    again = open_dataset(compose("train", ["data=folder", f"data.root={tmp_path}", *typed]))
    assert again.spec == data.spec  # what is told can be typed
    assert folder(tmp_path, ignore=[PINK]).spec.num_classes == 2


def test_a_palette_file_among_colours_is_read_by_its_palette(tmp_path):
    fill(tmp_path, "ab", values=([0, 0, 0], GREEN))
    palette = Image.fromarray(np.resize(np.array([0, 1], np.uint8), (6, 8)), mode="P")
    palette.putpalette([*GREEN, 0, 0, 0])
    palette.save(tmp_path / "masks" / "b.png")
    data = folder(tmp_path, classes={"ground": [0, 0, 0], "green": GREEN})
    samples = {data.open(s).id(0): data.open(s)[0]["semantic"][0, :2].tolist() for s in data.splits}
    assert sorted(samples.values()) == [[0, 1], [1, 0]]


def test_classes_by_keys(tmp_path):
    fill(tmp_path, "abc", values=(0, 3, 4, 200))
    data = folder(tmp_path, classes={"ground": 0, "tree": [3, 4]}, ignore=[200])
    assert (data.spec.names, data.spec.values) == (("ground", "tree"), (0, 3))
    assert data.open("train")[0]["semantic"][0, :4].tolist() == [0, 1, 1, 255]
    with pytest.raises(DataError, match=r"no class has: 200 in 12 pixels; known are 0, 3\.\.4, 255; .*masks.*\.png"):
        folder(tmp_path, classes={"ground": 0, "tree": [3, 4]}).open("train")[0]


def test_classes_by_names_alone(tmp_path):
    data = folder(fill(tmp_path, "ab", values=(0, 1, 255)), classes=["ground", "tree"])
    assert (data.spec.names, data.open("train")[0]["semantic"][0, :3].tolist()) == (("ground", "tree"), [0, 1, 255])


def test_zero_can_be_void(tmp_path):
    fill(tmp_path, "ab", values=(0, 1, 2))
    data = folder(tmp_path, ignore=0)
    assert (data.spec.names, data.open("train")[0]["semantic"][0, :3].tolist()) == (("class 1", "class 2"), [255, 0, 1])
    assert folder(tmp_path, classes={"a": 1, "b": 2}, ignore=0).open("train")[0]["semantic"][0, 0] == 255
    with pytest.raises(DataError, match="no class has: 0 in"):
        folder(tmp_path, classes={"a": 1, "b": 2}, ignore=[]).open("train")[0]


def test_names_beside_masks_of_0_and_255_are_refused(tmp_path):
    fill(tmp_path, [f"p{i:02d}" for i in range(40)], values=(0, 255))
    (tmp_path / "classes.txt").write_text("background\ncell\n")
    told = r"class 'cell' \(1\) is in no mask, while 255 is, e\.g\. in p.*; .*masks, .*classes\.txt; fix: "
    with pytest.raises(ConfigError, match=told + r"'data\.classes=\{background: 0, cell: 255\}', or data\.ignore=\[255\]"):
        folder(tmp_path).open("train")
    assert folder(tmp_path, classes={"background": 0, "cell": 255}).open("train")[0]["semantic"][0, 1] == 1
    assert folder(tmp_path, ignore=[255]).open("train")[0]["semantic"][0, 1] == 255
    save(tmp_path / "masks" / "p33.png", np.ones((6, 8)))  # beyond the sample: a rare class is no mistake
    assert folder(tmp_path).open("train")[0]["semantic"][0, 1] == 255


def indexed(path, flat, *colors):
    image = Image.fromarray(np.resize(np.array(flat, np.uint8), (6, 8)), mode="P")
    image.putpalette([part for color in colors for part in color])
    image.save(path)


def test_palettes_that_differ(tmp_path):
    fill(tmp_path, "ab")
    indexed(tmp_path / "masks" / "a.png", [0, 1], [0, 0, 0], GREEN)
    indexed(tmp_path / "masks" / "b.png", [0, 1], GREEN, [0, 0, 0])
    found = folder(tmp_path)
    assert found.spec.names == ("color 0-0-0", "color 0-128-0")
    samples = {found.open(s).id(0)[-1]: found.open(s)[0]["semantic"][0, :2].tolist() for s in found.splits}
    assert samples == {"a": [0, 1], "b": [1, 0]}
    told = r"the palettes differ: 0 is \[.*\] in [ab]\.png and \[.*\] in [ab]\.png; .*masks; fix: save all with one palette"
    with pytest.raises(DataError, match=told):
        folder(tmp_path, classes=["ground", "green"]).open("train")
    fill(tmp_path, "c")  # a grey mask can't be read by colours
    with pytest.raises(DataError, match="the palettes differ"):
        folder(tmp_path).open("train")
    indexed(tmp_path / "masks" / "b.png", [1, 2], [9, 9, 9], GREEN, PINK)  # an entry that isn't used may differ
    assert folder(tmp_path).spec.num_classes == 3


@pytest.mark.parametrize("classes", [None, ["background", "cell"]])
def test_masks_of_one_bit_beside_bytes_are_refused(tmp_path, classes):
    fill(tmp_path, "ab", values=(0, 255))
    Image.fromarray(np.resize([False, True], (6, 8))).save(tmp_path / "masks" / "b.png")
    told = r"1 is only in masks of one bit \(b\.png, \.\.\.\), 255 only in others \(a\.png, \.\.\.\); .*masks; fix: save all alike"
    with pytest.raises(DataError, match=told):
        folder(tmp_path, classes=classes).open("train")
    both = folder(tmp_path, classes={"background": 0, "cell": [1, 255]})
    assert [both.open(s)[0]["semantic"][0, 1].item() for s in both.splits] == [1, 1]


def test_classes_by_colours(tmp_path):
    fill(tmp_path, "abc", values=([0, 0, 0], GREEN, PINK))
    data = folder(tmp_path, classes={"ground": [0, 0, 0], "living": [GREEN, PINK]})
    assert data.open("train")[0]["semantic"][0, :3].tolist() == [0, 1, 1]
    with pytest.raises(DataError, match=r"label colours that no class has: \[250,100,180\] in 16 pixels; known are"):
        folder(tmp_path, classes={"ground": [0, 0, 0], "green": GREEN}).open("train")[0]
    assert folder(tmp_path, classes={"ground": [0, 0, 0], "green": GREEN}, ignore=PINK).open("train")[0]["semantic"][0, 2] == 255


@pytest.mark.parametrize(
    ("name", "text", "names", "seen"),
    [
        ("classes.txt", "sky\nnew road\n", ("sky", "new road"), [0, 1, 255]),
        ("classes.txt", "sky: 1\nroad: 0\nvoid: 255", ("sky", "road", "void"), [1, 0, 2]),
        ("classes.json", '["sky", "road"]', ("sky", "road"), [0, 1, 255]),
        ("classes.json", '{"all": [0, 1], "edge": 255}', ("all", "edge"), [0, 0, 1]),
    ],
)
def test_classes_by_a_file(tmp_path, name, text, names, seen):
    fill(tmp_path, "abc", values=(0, 1, 255))
    (tmp_path / name).write_text(text)
    data = folder(tmp_path)
    assert (data.spec.names, data.open("train")[0]["semantic"][0, :3].tolist()) == (names, seen)


def test_colours_by_a_file(tmp_path):
    fill(tmp_path, "abc", values=([0, 0, 0], PINK))
    (tmp_path / "classes.txt").write_text("ground: 0,0,0\npig: 250, 100, 180\n")
    assert folder(tmp_path).open("train")[0]["semantic"][0, :2].tolist() == [0, 1]


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("classes.json", "{", r"not JSON .*classes\.json"),
        ("classes.json", '["a", "a"]', r"class 'a' stands twice; .*classes\.json"),
        ("classes.json", '{"a": 0, "a": 1}', "class 'a' stands twice"),
        ("classes.json", "3", r"classes can't be understood: 3; .*classes\.json"),
        ("classes.txt", "a\nb\na", r"class 'a' stands twice; .*classes\.txt"),
        ("classes.txt", "a: 0\na: 1", r"class 'a' stands twice; .*fix: each name once; several values: name: \[3,4\]"),
        ("classes.json", '{"a": 0, "b": "red"}', r"'red' is no value; .*class 'b'"),
        ("classes.txt", "a: x\nb: 1", r"'a: x' can't be understood; .*fix: name: 3, or name: 255,0,0"),
    ],
)
def test_files_of_classes_that_can_not_be_understood(tmp_path, name, text, told):
    fill(tmp_path, "ab")
    (tmp_path / name).write_text(text)
    with pytest.raises(ConfigError, match=told):
        folder(tmp_path).open("train")


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"classes": {"a": 0}}, r"1 classes; data\.classes; fix: give 2 to 254"),
        ({"classes": {"a": 0, "b": 0}}, "0 has two meanings"),
        ({"classes": {"a": 0, "b": 255}, "ignore": [255]}, "255 has two meanings"),
        ({"classes": {"a": 0, "b": [0, 300, 0, 70_000]}}, r"is no value; data\.classes, class 'b'"),
        ({"classes": {"a": [0, 0, 0], "b": [1, 1, 1]}, "ignore": [255]}, r"\[255\] is no colour; data\.ignore"),
        ({"val_fraction": 1.0}, r"data\.val_fraction=1\.0"),
        ({"val_fraction": "half"}, r"data\.val_fraction=half"),
        ({"channels": 0}, r"data\.channels=0"),
        ({"channels": "three"}, r"data\.channels=three"),
        ({"channels": 2.5}, r"data\.channels=2\.5"),
        ({"suffixes": 3}, r"no endings of files; data\.suffixes=3"),
        ({"suffixes": [".jpg", 3]}, r"no endings of files; data\.suffixes="),
        ({"classes": 3}, r"classes can't be understood: 3; data\.classes; fix: .*\[background, cell\]"),
        ({"classes": "cell"}, "classes can't be understood: 'cell'"),
        ({"classes": ["a", 3]}, r"classes can't be understood: \['a', 3\]"),
        ({"classes": ["a", "b", "a"]}, "class 'a' stands twice"),
        ({"classes": {"a": 0, "b": "1"}}, r"'1' is no value; data\.classes, class 'b'"),
        ({"classes": {"a": 0, "b": 1}, "ignore": "none"}, r"'none' is no value; data\.ignore"),
    ],
)
def test_impossible_keys_are_refused_before_anything_is_read(keys, told):
    with pytest.raises(ConfigError, match=told):
        folder("nowhere", **keys)


def test_smoothed_masks_are_no_classes(tmp_path):
    fill(tmp_path, "ab", values=(0, 255))
    edge = np.zeros((400, 400), np.uint8)
    edge[200:] = 255
    edge[200, :20] = range(10, 210, 10)
    save(tmp_path / "masks" / "a.png", edge)
    Image.new("RGB", (400, 400)).save(tmp_path / "images" / "a.jpg")
    with pytest.raises(ConfigError, match=r"22 values in 2 masks, 20 of them in less than 0\.1 % of .*: they were smoothed; .*masks"):
        folder(tmp_path).open("train")
    assert folder(tmp_path, classes={"a": list(range(255)), "b": 255}).open("train")


def test_masks_of_one_value_hold_no_classes(tmp_path):
    with pytest.raises(ConfigError, match="the masks hold 1 of the values that are a class"):
        folder(fill(tmp_path, "ab", values=(0, 0))).open("train")


def test_names_of_masks_may_say_that_they_are_masks(tmp_path):
    data = folder(fill(tmp_path, "ab", added="_mask", suffix=".png"))
    assert data.open("train").paths(0)[1].name.endswith("_mask.png")


def test_missing_masks_and_doubled_pictures_are_named(tmp_path):
    fill(tmp_path, "abcde")
    for name in "bce":
        (tmp_path / "masks" / f"{name}.png").unlink()
    with pytest.raises(DataError, match=r"3 of 5 pictures have no mask: b\.jpg, c\.jpg, e\.jpg; .*images; fix: add their masks"):
        folder(tmp_path).open("train")
    Image.new("RGB", (8, 6)).save(tmp_path / "images" / "a.png")
    with pytest.raises(DataError, match=r"two pictures of one name: a\.jpg and a\.png"):
        folder(tmp_path).open("train")


@pytest.mark.parametrize("names", [("a_mask.png", "a_seg.png"), ("a.png", "a.tif"), ("a.png", "a_mask.png")])
def test_two_masks_of_one_picture_are_refused(tmp_path, names):
    fill(tmp_path, "ab")
    (tmp_path / "masks" / "a.png").unlink()
    for name in names:
        save(tmp_path / "masks" / name, np.zeros((6, 8)))
    with pytest.raises(DataError, match=rf"two masks of a\.jpg: {names[0]} and {names[1]}; .*masks; fix: take one away"):
        folder(tmp_path).open("train")


def test_jpeg_masks_are_refused_by_name(tmp_path):
    fill(tmp_path, "ab")
    Image.new("L", (8, 6)).save(tmp_path / "masks" / "b.jpg")
    assert len(folder(tmp_path).open("train")) == 1  # an exact file of the same name goes first
    (tmp_path / "masks" / "b.png").unlink()
    with pytest.raises(DataError, match=r"labels in a JPEG file are not exact; .*b\.jpg"):
        folder(tmp_path).open("train")


def test_what_is_not_recognised_says_what_would_be(tmp_path):
    with pytest.raises(ConfigError, match=r"there is no such folder; data\.root=.*nowhere; fix: give a folder with images/ and masks/"):
        folder(tmp_path / "nowhere").open("train")
    with pytest.raises(ConfigError, match=r"no pictures found; .*data\.images=<folder>"):
        folder(tmp_path).open("train")
    (tmp_path / "images" / "train").mkdir(parents=True)
    with pytest.raises(ConfigError, match="no masks found"):
        folder(tmp_path).open("train")
    (tmp_path / "masks").mkdir()
    with pytest.raises(ConfigError, match="no pictures and masks in one and the same layout found"):
        folder(tmp_path).open("train")
    (tmp_path / "masks" / "train").mkdir()
    with pytest.raises(ConfigError, match=r"there is no picture; .*images.train; fix: pictures end in \.jpg"):
        folder(tmp_path).open("train")
    fill(tmp_path, "abc", images="images/train", masks="masks/train")
    with pytest.raises(ConfigError, match=r"the folder has no split 'trial'; .*fix: data\.split=train\|val"):
        folder(tmp_path).open("trial")


def test_named_folders_and_endings(tmp_path):
    fill(tmp_path, "abc", images="photos/{split}".replace("{split}", "train"), masks="painted/train", suffix=".bmp")
    fill(tmp_path, "d", images="photos/train", masks="", suffix=".jpg")
    for suffixes in (["bmp"], ".bmp"):
        data = folder(tmp_path, images="photos", masks="painted/{split}", suffixes=suffixes)
        assert len(data.open("train")) + len(data.open("val")) == 3


def test_wide_grey_and_many_channels(tmp_path):
    fill(tmp_path, "ab")
    for name in "ab":
        (tmp_path / "images" / f"{name}.jpg").unlink()
        np.save(tmp_path / "images" / f"{name}.npy", RNG.integers(0, 65536, (6, 8, 5), dtype=np.uint16))
    data = folder(tmp_path, channels=5)
    assert (data.spec.in_channels, data.open("train")[0]["image"].shape, data.open("train")[0]["image"].dtype.itemsize) == (5, (5, 6, 8), 4)
    with pytest.raises(DataError, match=r"an image of 5 channels, 3 are wanted; .*fix: data\.channels=5"):
        folder(tmp_path).open("train")[0]


def test_hidden_and_other_files_are_passed_over(tmp_path):
    fill(tmp_path, "ab")
    (tmp_path / "images" / "._a.jpg").write_bytes(b"\0")
    (tmp_path / "images" / "notes.txt").touch()
    (tmp_path / "images" / ".thumbs").mkdir()
    (tmp_path / "images" / ".thumbs" / "a.jpg").touch()
    data = folder(tmp_path)
    assert len(data.open("train")) + len(data.open("val")) == 2


def test_the_fingerprint_sees_a_changed_mask(tmp_path):
    before = folder(fill(tmp_path, "ab")).fingerprint()
    assert folder(tmp_path).fingerprint() == before
    save(tmp_path / "masks" / "a.png", RNG.integers(0, 2, (6, 8)))
    assert folder(tmp_path).fingerprint() != before


def test_the_fingerprint_sees_what_values_mean(tmp_path):
    fill(tmp_path, "ab", values=(0, 1, 2))
    codings = [{"a": 0, "b": [1, 2]}, {"a": [0, 1], "b": 2}, {"a": 0, "c": [1, 2]}]
    prints = {folder(tmp_path, classes=classes).fingerprint() for classes in codings}
    prints.add(folder(tmp_path, classes=codings[0], ignore=[7]).fingerprint())
    assert len(prints) == 4


def test_the_keys_can_be_typed():
    typed = ["data=folder", "data.root=x", "data.classes={cat: 1, red dog: [255,0,0]}", "data.ignore=[[0,0,0],7]", "data.suffixes=[.png]"]
    section = compose("train", typed).data
    assert json.loads(json.dumps(dict(section.classes), default=list)) == {"cat": 1, "red dog": [255, 0, 0]}
    assert section.loader.batch_size == 8
