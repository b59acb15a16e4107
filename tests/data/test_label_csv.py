"""Tables of pictures and classes."""

import numpy as np
import pytest
from PIL import Image

from segexp.data.label_csv import LabelCsv
from segexp.errors import ConfigError, DataError


@pytest.fixture
def root(tmp_path):
    for i, name in enumerate(("a.png", "b.png", "sub/c.png", "d.png")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(np.full((4, 6, 3), i, np.uint8)).save(tmp_path / name)
    table(tmp_path, "image,label", "a.png,dog", "", "b.png, cat ", "sub/c.png,dog")
    table(tmp_path, "image,label", "d.png,cat", name="val.csv")
    return tmp_path


def table(root, *lines, name="train.csv"):
    (root / name).write_text("\n".join(lines) + "\n", encoding="utf-8")


def labels(split, kind="label"):
    return [split[i][kind].tolist() for i in range(len(split))]


def test_a_table_for_each_split(root):
    data = LabelCsv(root=str(root))
    train = data.open("train")
    assert (data.splits, data.spec.names, data.spec.provides) == (("train", "val"), ("cat", "dog"), {"label"})
    assert [train.id(i) for i in range(3)] == ["train/a", "train/b", "train/sub/c"]
    assert labels(train) == [1, 0, 1]
    assert labels(data.open("val")) == [0]
    assert int(train[2]["image"][0, 0, 0]) == 2


def test_several_classes_in_a_cell_and_none(root):
    table(root, "image,label", "a.png,dog; cat", "b.png,", "sub/c.png,cow;cow")
    data = LabelCsv(root=str(root))
    assert (data.spec.names, data.spec.provides) == (("cat", "cow", "dog"), {"present"})
    assert labels(data.open("train"), "present") == [[1, 0, 1], [0, 0, 0], [0, 1, 0]]
    table(root, "image,label", "a.png,dog", "b.png,cat")
    assert LabelCsv(root=str(root), several=True).spec.provides == {"present"}


def test_one_table_with_a_column_of_splits_and_other_names(root):
    table(root, "file,kind,part", "a.png,dog,train", "b.png,cat,test", "d.png,cat,val", name="all.csv")
    data = LabelCsv(root=str(root), file="all.csv", image="file", label="kind", part="part", classes=["dog", "cat"])
    assert data.splits == ("train", "val", "test")
    assert (labels(data.open("train")), labels(data.open("test"))) == ([0], [1])


def test_without_val_chance_divides(root):
    table(root, "image,label", "a.png,dog", "b.png,cat", "sub/c.png,dog", "d.png,cat", name="all.csv")
    data = LabelCsv(root=str(root), file="all.csv")
    parts = [len(data.open(split)) for split in ("train", "val")]
    assert sum(parts) == 4
    assert min(parts) >= 1
    assert len(data.undivided()) == 4


def test_a_test_without_labels(root):
    table(root, "image", "d.png", name="test.csv")
    data = LabelCsv(root=str(root))
    assert data.splits == ("train", "val")
    assert set(data.open("test")[0]) == {"image", "meta"}


def test_the_fingerprint_sees_a_changed_class_and_the_cache_too(root):
    before = LabelCsv(root=str(root))
    first, print_before = before.open("train").content(0), before.fingerprint()
    table(root, "image,label", "a.png,cat", "b.png,cat", "sub/c.png,dog")
    after = LabelCsv(root=str(root))
    assert after.open("train").content(0) != first
    assert after.fingerprint() != print_before


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["a.png,dog", "gone.png,dog"], r"there is no picture gone.png; .*train.csv, line 3, "),
        (["a.png,dog", "a.png,cat"], r"a.png is named twice, in .*line 2, too; .*train.csv, line 3; fix: take one line away"),
        (["a.png,bird"], r"'bird' is no class; the classes are cat, dog; .*train.csv, line 2; fix: mend the line, or data.classes"),
        (["a.png,"], r"no class for a.png; .*train.csv, line 2; fix: .*data.several=true"),
        (["a.png"], r"the line is too short; .*train.csv, line 2; fix: image,label"),
        ([",dog"], r"the line is too short; .*train.csv, line 2"),
    ],
)
def test_broken_lines_are_refused_with_file_and_line(root, lines, said):
    table(root, "image,label", *lines)
    with pytest.raises(DataError, match=said):
        LabelCsv(root=str(root), classes=["cat", "dog"]).open("train")


def test_several_classes_where_one_is_wanted(root):
    table(root, "image,label", "a.png,dog;cat")
    with pytest.raises(DataError, match=r"2 classes for a.png, one is wanted; .*line 2; fix: .*data.several=true"):
        LabelCsv(root=str(root), several=False).open("train")


def test_a_class_that_val_alone_has_is_refused(root):
    table(root, "image,label", "d.png,cow", name="val.csv")
    with pytest.raises(DataError, match=r"'cow' is no class; .*val.csv, line 2"):
        LabelCsv(root=str(root)).open("train")


def test_tables_that_make_no_sense(root, tmp_path):
    with pytest.raises(ConfigError, match=r"there is no such table; .*all.csv \(data.root, data.file\)"):
        LabelCsv(root=str(root), file="all.csv").open("train")
    with pytest.raises(ConfigError, match=r"no column picture; .*; fix: data.image=<column>; there are image, label"):
        LabelCsv(root=str(root), image="picture").open("train")
    with pytest.raises(ConfigError, match=r"no column of labels; .*fix: name the column: data.label=<column> \(now kind\)"):
        LabelCsv(root=str(root), label="kind", classes=["a"]).open("train")
    with pytest.raises(ConfigError, match=r"no split 'test'.*fix: data.split=train\|val"):
        LabelCsv(root=str(root)).open("test")
    table(root, "image,label,split", "a.png,dog,dev", name="all.csv")
    with pytest.raises(DataError, match=r"no split 'dev'; .*all.csv, line 2; fix: train \| val \| test"):
        LabelCsv(root=str(root), file="all.csv").open("train")
    table(root, "image,label", name="train.csv")
    with pytest.raises(ConfigError, match="no picture is listed for training"):
        LabelCsv(root=str(root)).open("train")
    with pytest.raises(ConfigError, match=r"data\.several=maybe"):
        LabelCsv(root=".", several="maybe")


def test_two_pictures_of_one_name(root):
    Image.fromarray(np.zeros((4, 6, 3), np.uint8)).save(root / "a.jpg")
    table(root, "image,label", "a.png,dog", "a.jpg,cat")
    with pytest.raises(DataError, match=r"two pictures of one name: a.png and a.jpg"):
        LabelCsv(root=str(root)).open("train")
