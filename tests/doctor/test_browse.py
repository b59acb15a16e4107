"""The contact sheet and the page."""

import re

import numpy as np
from PIL import Image

from segexp.data.shapes import Shapes
from segexp.doctor.browse import Shown, browse, evenly, show
from segexp.doctor.sheet import MARGIN, PAPER, SIDE, sheet, unpainted
from tests.doctor.tree import Mini, plant


def test_samples_are_spread_evenly():
    assert evenly(range(100), 3) == [0, 50, 99] or evenly(range(100), 3) == [0, 49, 99]
    assert evenly(range(2), 24) == [0, 1]
    assert evenly(np.array([4, 8, 15]), 2) == [4, 15]
    assert evenly(range(0), 5) == []
    assert evenly(range(9), 1) == [0]


def test_the_files_of_a_set(tmp_path):
    data = Mini(plant(tmp_path / "set"))
    (data.root / "masks/val/v0.png").unlink()
    page, *sheets = browse(data, {"train": [0, 3], "val": [0]}, tmp_path / "out", "mini <set>")
    assert [path.name for path in (page, *sheets)] == ["index.html", "train.png", "val.png"]
    text = page.read_text()
    assert "mini &lt;set&gt;, train: 2 of 6 samples" in text
    assert text.count("data:image/jpeg;base64,") == 4  # two samples, each with and without labels
    assert "the file is missing" in text  # of the broken one
    assert not re.search(r'(src|href)="(?!data:|#)', text)  # self-contained
    assert {f"c{i}" for i in range(6)} <= set(re.findall(r"c\d", text))
    with Image.open(sheets[0]) as image:
        assert image.width == 2 * MARGIN + 3 * (2 * SIDE + 4) + 2 * MARGIN
        assert len(image.convert("RGB").getcolors(1 << 24)) > 100


def test_a_sample_with_and_without_labels():
    split = Shapes(height=32, width=48, train=1).open("train")
    shown = show(split, 0, Shapes().spec)
    assert (shown.id, shown.note) == ("train/000000", "48 x 32")
    assert shown.picture.size == shown.painted.size == (480, 320)  # ten times as large
    assert shown.classes == tuple(sorted(set(split[0]["segment_labels"].tolist())))

    class Test:
        id = split.id

        def __getitem__(self, index):
            return {"image": split[0]["image"], "meta": split[0]["meta"]}

    bare = show(Test(), 0, Shapes().spec)
    assert bare.painted is None and bare.picture is not None and bare.classes == ()


def test_what_is_not_painted_is_named():
    assert unpainted([("cat", (9, 0, 0))]) == "dark and without colour: no label"
    assert unpainted([("background", (0, 0, 0)), ("cat", (9, 0, 0))]) == "dark and without colour: no label or background"


def test_long_names_and_legends_stay_inside():
    tile = Shown("train/" + "x" * 300 + "_end", "4 x 4", Image.new("RGB", (4, 4), (200, 0, 0)))
    broken = Shown("train/b", "can't decode the image " * 20)
    picture = sheet("heading", [tile, broken], [(f"class number {i}", (i, 0, 0)) for i in range(60)])
    pixels = np.asarray(picture)
    assert (pixels[:, -MARGIN:] == PAPER).all()
    assert (pixels[:, :MARGIN] == PAPER).all()
    assert sheet("nothing", [], []).width == picture.width
