"""VOC on a generated tree, in its archives, and on real pictures where they are."""

import hashlib
import io
import os
import tarfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.datasets import voc as torchvision_voc
from torchvision.ops import box_iou

from segexp.data.palette import voc_color
from segexp.data.voc import Voc
from segexp.errors import ConfigError, DataError
from segexp.functional.masks import to_boxes

SHARED = Path(os.environ.get("SEGEXP_SHARED", Path(__file__).parents[3] / "shared")) / "data" / "VOCdevkit"


def png(values):
    image = Image.fromarray(np.array(values, np.uint8), mode="P")
    image.putpalette([part for i in range(256) for part in voc_color(i)])
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def jpg(height, width):
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), (10, 20, 30)).save(buffer, "JPEG")
    return buffer.getvalue()


def tree(year):
    """Relative path -> content, as in the original archive."""
    base = f"VOCdevkit/VOC{year}"
    files = {f"{base}/ImageSets/Segmentation/{name}.txt": f"{name}_0\n{name}_1\n".encode() for name in ("train", "val", "test")}
    for name in ("train", "val", "test"):
        for i in range(2):
            files[f"{base}/JPEGImages/{name}_{i}.jpg"] = jpg(3, 4)
            if name != "test" or year == 2007:
                files[f"{base}/SegmentationClass/{name}_{i}.png"] = png([[0, 1, 20, 255]] * 3)
    return files


def write(root, files):
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root / "VOCdevkit"


def test_indices_are_classes_and_the_border_is_void(tmp_path):
    data = Voc(root=str(write(tmp_path, tree(2012))))
    sample = data.open("val")[1]
    assert sample["semantic"].tolist() == [[0, 1, 20, 255]] * 3
    assert (sample["meta"]["id"], sample["image"].shape) == ("val/val_1", (3, 3, 4))
    assert (data.spec.num_classes, data.spec.names[0], data.spec.names[15], len(data.spec.thing_ids)) == (21, "background", "person", 20)
    assert [data.spec.classes[i].color for i in (0, 1, 2, 15, 20)] == [(0, 0, 0), (128, 0, 0), (0, 128, 0), (192, 128, 128), (0, 64, 128)]


def test_the_test_of_2012_has_no_labels_and_that_of_2007_has(tmp_path):
    data = Voc(root=str(write(tmp_path, tree(2012))))
    assert (data.splits, "semantic" in data.open("test")[0]) == (("train", "val"), False)
    assert data.unlabelled == ("test",)
    data = Voc(root=str(write(tmp_path, tree(2007))), year=2007)
    assert (data.splits, "semantic" in data.open("test")[0]) == (("train", "val", "test"), True)
    assert data.unlabelled == ()


@pytest.mark.parametrize("name", ["train_aug", "trainaug"])
@pytest.mark.parametrize("line", ["val_0", "/JPEGImages/val_0.jpg /SegmentationClassAug/val_0.png"])
def test_sbd_as_the_training_list(tmp_path, name, line):
    root = write(tmp_path, tree(2012))
    write(root / "VOC2012", {f"ImageSets/Segmentation/{name}.txt": f"train_0\n{line}\n".encode()})
    write(root / "VOC2012", {f"SegmentationClassAug/{key}.png": png([[7, 7, 7, 7]] * 3) for key in ("train_0", "val_0")})
    data = Voc(root=str(root), train="train_aug")
    opened = data.open("train")
    assert ([opened.id(i) for i in range(2)], opened[1]["semantic"].unique().tolist()) == (["train/train_0", "train/val_0"], [7])
    assert opened.paths(0)[0].parent.name == "JPEGImages"
    assert data.open("val")[0]["semantic"][0, 1] == 1
    assert Voc(root=str(root)).open("train")[0]["semantic"][0, 1] == 1


def test_what_is_missing_is_said(tmp_path):
    with pytest.raises(ConfigError, match=r"VOC 2012 is not there; .*nowhere \(data\.root\); fix: data\.download=true, or unpack"):
        Voc(root=str(tmp_path / "nowhere")).open("train")
    root = write(tmp_path, tree(2012))
    with pytest.raises(ConfigError, match=r"SBD's list is not there; .*SegmentationClassAug.*ImageSets/Segmentation/train_aug\.txt"):
        Voc(root=str(root), train="train_aug").open("train")
    with pytest.raises(ConfigError, match=r"VOC 2012 has no split 'trial'; .*fix: data\.split=train\|val\|test"):
        Voc(root=str(root)).open("trial")
    with pytest.raises(ConfigError, match=r"data\.year=2010; fix: data\.year=2007\|2012"):
        Voc(root=str(root), year=2010)
    with pytest.raises(ConfigError, match=r"data\.train=val; fix: data\.train=train\|trainval\|train_aug"):
        Voc(root=str(root), train="val")


def test_broken_labels_are_named(tmp_path):
    root = write(tmp_path, tree(2012))
    labels = root / "VOC2012" / "SegmentationClass"
    (labels / "train_0.png").unlink()
    Image.fromarray(np.full((3, 4), 21, np.uint8)).save(labels / "train_1.png")
    Image.new("RGB", (4, 3)).save(labels / "val_0.png")
    opened = Voc(root=str(root)).open("train")
    with pytest.raises(DataError, match=r"the file is missing; .*train_0\.png"):
        opened[0]
    with pytest.raises(DataError, match=r"21 in 12 pixels; known are 0\.\.20, 255; .*train_1\.png"):
        opened[1]
    with pytest.raises(DataError, match=r"stored as colours \(RGB\); .*val_0\.png"):
        Voc(root=str(root)).open("val")[0]
    (root / "VOC2012" / "ImageSets" / "Segmentation" / "train.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match=r"the list isn't text; .*train\.txt"):
        Voc(root=str(root)).open("train")


def objects(root, year=2012):
    """Masks and XML beside the class maps of `tree`: object 1 is class 1, object 2 is class 20."""
    base, box = root / f"VOC{year}", "<bndbox><xmin>2</xmin><ymin>1</ymin><xmax>3</xmax><ymax>3</ymax></bndbox>"
    names = [f"{split}_{i}" for split in ("train", "val") for i in range(2)]
    item = "<object><name>{}</name><difficult>{}</difficult>" + box + "</object>"
    xml = f"<annotation>{item.format('dog', 0)}{item.format('person', 1)}</annotation>".encode()
    write(base, {f"SegmentationObject/{name}.png": png([[0, 1, 2, 255]] * 3) for name in names})
    write(base, {f"Annotations/{name}.xml": xml for name in names})
    write(base, {f"ImageSets/Main/{split}.txt": f"{split}_1\n".encode() for split in ("train", "val", "test")})


def test_masks_of_objects_have_the_class_of_their_pixels(tmp_path):
    root = write(tmp_path, tree(2012))
    objects(root)
    data = Voc(root=str(root), annotation="instances")
    assert (data.spec.num_classes, data.spec.names[0], data.spec.provides) == (20, "aeroplane", {"masks"})
    assert data.spec.classes[14].color == (192, 128, 128)
    sample = data.open("train")[1]
    assert (sample["labels"].tolist(), sample["crowd"].tolist()) == ([0, 19], [False, False])
    assert sample["masks"].int()[:, 0].tolist() == [[0, 1, 0, 0], [0, 0, 1, 0]]
    assert "masks" not in data.open("test")[0]
    (root / "VOC2012/SegmentationObject/train_0.png").write_bytes(png([[1, 1, 1, 0]] * 3))
    with pytest.raises(DataError, match=r"image train/train_0, object 1: most of its pixels have no class of objects"):
        data.open("train")[0]
    assert [fault.kind for fault in data.open("train").faults(0)] == ["object-class"]


def test_boxes_are_those_of_the_detection_lists(tmp_path):
    root = write(tmp_path, tree(2012))
    objects(root)
    data = Voc(root=str(root), annotation="boxes")
    assert (data.splits, data.unlabelled, data.spec.num_classes) == (("train", "val"), ("test",), 20)
    split = data.open("train")
    assert (len(split), split.id(0), split[0]["boxes"].tolist()) == (1, "train/train_1", [[1, 0, 3, 3], [1, 0, 3, 3]])
    assert (split[0]["labels"].tolist(), split[0]["crowd"].tolist()) == ([11, 14], [False, True])
    assert set(data.open("test")[0]) == {"image", "meta"}
    assert Voc(root=str(root), annotation="boxes", difficult="drop").open("train")[0]["labels"].tolist() == [11]
    before = data.fingerprint()
    (root / "VOC2012/Annotations/train_1.xml").write_text("<annotation/>")
    assert data.fingerprint() != before


def test_annotations_that_do_not_exist(tmp_path):
    with pytest.raises(ConfigError, match=r"data\.annotation=dots; fix: data\.annotation=semantic\|instances\|boxes"):
        Voc(root="", annotation="dots")
    with pytest.raises(ConfigError, match="SBD's list has class maps alone"):
        Voc(root="", train="train_aug", annotation="boxes")
    with pytest.raises(ConfigError, match=r"Annotations/\*\.xml and ImageSets/Main/\{train,val\}\.txt"):
        Voc(root=str(tmp_path), annotation="boxes").open("train")


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def archive(path, files):
    with tarfile.open(path, "w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return {"filename": path.name, "md5": hashlib.md5(path.read_bytes()).hexdigest()}


@pytest.fixture
def published(tmp_path, monkeypatch):
    """Mini archives on a server of this machine, in the place of torchvision's table."""
    folder = tmp_path / "server"
    folder.mkdir()
    table = {"2012": archive(folder / "trainval.tar", {k: v for k, v in tree(2012).items() if "test" not in k})}
    files = tree(2007)
    table["2007"] = archive(folder / "2007.tar", {k: v for k, v in files.items() if "test" not in k})
    table["2007-test"] = archive(folder / "2007test.tar", {k: v for k, v in files.items() if "test" in k})
    monkeypatch.setattr(torchvision_voc, "DATASET_YEAR_DICT", table)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        for entry in table.values():
            entry["url"] = f"http://127.0.0.1:{server.server_port}/{entry['filename']}"
        yield table
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("inside", ["VOCdevkit", "elsewhere"])
def test_download(tmp_path, published, inside, capsys):
    root = tmp_path / "data" / inside
    data = Voc(root=str(root), download=True)
    assert len(data.open("train")) == 2
    assert data.splits == ("train", "val")
    assert "fetching http://127.0.0.1" in capsys.readouterr().out
    assert not list(tmp_path.glob("data/**/*.tar*")), "archives and what was unpacked beside are gone"
    published.clear()
    assert len(Voc(root=str(root), download=True).open("val")) == 2, "what is there isn't fetched again"


def test_download_of_two_archives_into_one_folder(tmp_path, published):
    data = Voc(root=str(tmp_path / "VOCdevkit"), year=2007, download=True)
    assert (data.splits, len(data.open("test")), len(data.open("train"))) == (("train", "val", "test"), 2, 2)


def test_a_changed_archive_is_refused(tmp_path, published):
    published["2012"]["md5"] = "0" * 32
    with pytest.raises(DataError, match=r"hasn't the checksum 0{32}; http://.*; fix: try again, or put the file at .*trainval\.tar"):
        Voc(root=str(tmp_path / "VOCdevkit"), download=True).open("train")
    assert not (tmp_path / "VOCdevkit").exists()
    published["2012"]["url"] = published["2012"]["url"].replace("trainval", "gone")
    with pytest.raises(DataError, match=r"the download failed .*gone\.tar; fix: connect"):
        Voc(root=str(tmp_path / "VOCdevkit"), download=True).open("train")


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs the shared data (SEGEXP_SHARED or ../shared): VOCdevkit")
def test_the_real_set():
    data = Voc(root=str(SHARED), year=2007)
    assert [len(data.open(s)) for s in data.splits] == [20, 14]
    sample = data.open("train")[0]
    assert sample["image"].shape[-2:] == sample["semantic"].shape
    assert 255 in sample["semantic"]


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs the shared data (SEGEXP_SHARED or ../shared): VOCdevkit")
def test_the_real_objects():
    masks, boxes = (Voc(root=str(SHARED), year=2007, annotation=kind) for kind in ("instances", "boxes"))
    assert [sum(len(split[i]["labels"]) for i in range(len(split))) for split in map(masks.open, masks.splits)] == [60, 33]
    tallies = [boxes.open(split).tally() for split in boxes.splits]
    assert [(tally.images, tally.objects, tally.faults) for tally in tallies] == [(52, 145, []), (34, 99, [])]
    crowd = [int(split[i]["crowd"].sum()) for split in map(boxes.open, boxes.splits) for i in range(len(split))]
    assert sum(crowd) == 35
    places = {boxes.open("train").key(i): i for i in range(52)}
    of_masks = masks.open("train")
    for index in range(0, 20, 4):  # the k-th object of the XML is object k of the PNG
        if of_masks.key(index) in places:
            theirs, mine = boxes.open("train")[places[of_masks.key(index)]], of_masks[index]
            assert torch.equal(theirs["labels"], mine["labels"])
            assert box_iou(theirs["boxes"], to_boxes(mine["masks"])).diagonal().min() > 0.6
