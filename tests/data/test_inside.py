"""What a data set names lies in its folder, or nothing is read."""

import pickle
from pathlib import Path

import pytest
import torch
from PIL import Image

from segexp.build import open_dataset
from segexp.config import compose
from segexp.data.folder import Folder
from segexp.data.inside import Fences, fenced
from segexp.errors import DataError


def picture(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB" if path.suffix == ".jpg" else "L", (8, 8)).save(path)
    return path


@pytest.fixture
def root(tmp_path):
    """A folder of pictures and masks with lists."""
    root = tmp_path / "set"
    for name in "abcd":
        picture(root / "images" / f"{name}.jpg")
        picture(root / "masks" / f"{name}.png")
    (root / "train.txt").write_text("a\nb\n")
    (root / "val.txt").write_text("c\nd\n")
    return root


def opened(root, **keys):
    return fenced(Folder(root=str(root), classes=["a", "b"]), {"root": str(root), "split": "val", "on_bad": "error", **keys})


def linked(path, target):
    path.unlink(missing_ok=True)
    path.symlink_to(target)


ESCAPES = {
    "a picture": lambda root, out: linked(root / "images" / "a.jpg", picture(out / "a.jpg")),
    "a mask": lambda root, out: linked(root / "masks" / "a.png", picture(out / "a.png")),
    "a list": lambda root, out: ((out / "train.txt").write_text("a\n"), linked(root / "train.txt", out / "train.txt")),
    "a folder": lambda root, out: ((root / "images").rename(out / "images"), linked(root / "images", out / "images")),
    "a link by a word of the config": lambda root, out: (
        linked(root / "error", out),  # `data.on_bad=error`
        linked(root / "images" / "a.jpg", picture(out / "a.jpg")),
    ),
    "a dangling list": lambda root, out: linked(root / "classes.json", out / "gone.json"),
}


@pytest.mark.parametrize("kind", ESCAPES)
def test_a_link_to_elsewhere_is_refused_unless_it_is_allowed(kind, root, tmp_path):
    assert len(opened(root).open("train")) == 2
    out = tmp_path / "elsewhere"
    out.mkdir()
    ESCAPES[kind](root, out)
    with pytest.raises(DataError) as caught:
        opened(root).open("train")
    assert str(out) in caught.value.what and "outside of the data set's folder" in caught.value.what
    assert str(root) in caught.value.where and "data.allow_outside=true" in caught.value.fix
    assert len(opened(root, allow_outside=True).open("train")) in (1, 2)


def test_links_within_the_folder_and_a_root_that_is_a_link_are_fine(root, tmp_path):
    linked(root / "images" / "a.jpg", root / "images" / "b.jpg")
    linked(root / "train.txt", root / "val.txt")
    linked(tmp_path / "link", root)
    assert len(opened(tmp_path / "link").open("train")) == 2


def test_what_the_config_names_itself_is_no_way_out(root, tmp_path):
    picture(tmp_path / "other" / "x.jpg")
    fences = Fences({"root": str(root), "images": ["../other/{split}"], "channels": 3, "file": "x" * 5000})
    fences.check([tmp_path / "other" / "x.jpg", root / "images" / "a.jpg", root / "none.jpg"])
    for path in (tmp_path / "a.jpg", tmp_path / "other-b" / "a.jpg", Path("/etc/hostname"), root / ".." / "a.jpg"):
        with pytest.raises(DataError, match="outside of the data set's folder"):
            fences.check([path])


@pytest.mark.parametrize("line", ["../elsewhere/images", "/ABSOLUTE/images", "list.txt"])
def test_a_yaml_that_leads_elsewhere_is_refused(tmp_path, line):
    root, out = tmp_path / "set", tmp_path / "elsewhere"
    for place in (root / "images", out / "images"):
        picture(place / "a.jpg")
    (root / "list.txt").write_text("../elsewhere/images/a.jpg\n")
    (root / "data.yaml").write_text(f"names: [car]\ntrain: {line.replace('/ABSOLUTE', str(out))}\nval: images\n")
    section = ["data=yolo", f"data.root={root}"]
    with pytest.raises(DataError) as caught:
        open_dataset(compose("train", section)).open("train")
    assert caught.value.what == f"a.jpg lies at {out}/images/a.jpg, outside of the data set's folder"
    assert len(open_dataset(compose("train", section)).open("val")) == 1
    assert len(open_dataset(compose("train", [*section, "data.allow_outside=true"])).open("train")) == 1


def test_a_fenced_data_set_stays_what_it_is(root):
    found = opened(root)
    assert type(found) is Folder and found.splits == ("train", "val")
    again = pickle.loads(pickle.dumps(found))
    assert again.fingerprint() == found.fingerprint() == Folder(root=str(root), classes=["a", "b"]).fingerprint()
    assert torch.equal(again.open("val")[0]["semantic"], torch.zeros(8, 8, dtype=torch.uint8))
    assert fenced(found, {"root": None}) is found
