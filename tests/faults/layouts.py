"""Tiny data sets of the usual layouts, whole until a test breaks something: 4 samples of `train`, 2 of `val`."""

import json

import numpy as np
from PIL import Image

from tests.data import panoptic_tree, test_cityscapes, test_voc_xml, test_yolo

HEIGHT, WIDTH = 24, 32
NAMES = {"train": ("a", "b", "c", "d"), "val": ("e", "f")}


def picture(path, number=0, size=(HEIGHT, WIDTH)):
    """Random colours; JPEG or PNG by its ending."""
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(number).integers(0, 256, (*size, 3), dtype=np.uint8)
    Image.fromarray(values).save(path, **({"quality": 95} if path.suffix == ".jpg" else {}))


def labels(classes=3, size=(HEIGHT, WIDTH)):
    """Stripes of all classes."""
    return np.repeat(np.arange(size[1])[None] * classes // size[1], size[0], 0).astype(np.uint8)


def mask(path, values=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(labels() if values is None else values).save(path)


def folder(root):
    """Pictures in JPEG."""
    for split, names in NAMES.items():
        for number, name in enumerate(names):
            picture(root / f"images/{split}/{name}.jpg", number)
            mask(root / f"masks/{split}/{name}.png")
    (root / "classes.txt").write_text("sky\nroad\ncar\n")
    return ["data=folder", f"data.root={root}"]


def camvid(root):
    for split, names in NAMES.items():
        for number, name in enumerate(names):
            picture(root / f"{split}/{name}.png", number)
            mask(root / f"{split}annot/{name}.png", labels(12))
        (root / f"{split}.txt").write_text("".join(f"{split}/{name}.png {split}annot/{name}.png\n" for name in names))
    return ["data=camvid", f"data.root={root}"]


def voc(root):
    base = root / "VOC2012"
    for split, names in NAMES.items():
        for number, name in enumerate(names):
            picture(base / f"JPEGImages/{name}.jpg", number)
            mask(base / f"SegmentationClass/{name}.png", labels(21))
        (base / "ImageSets/Segmentation").mkdir(parents=True, exist_ok=True)
        (base / f"ImageSets/Segmentation/{split}.txt").write_text("\n".join(names))
    return ["data=voc", f"data.root={root}"]


def cityscapes(root):
    for split, city, frames in (("train", "aachen", (1, 2, 3, 4)), ("val", "ulm", (5, 6))):
        for frame in frames:
            test_cityscapes.put(root, split, city, frame, labels(2).astype(np.int64) * 4 + 7)
    return ["data=cityscapes", f"data.root={root}"]


def panoptic(root):
    panoptic_tree.plant(root, count=4)
    return ["data=coco_panoptic", f"data.root={root}"]


BOXES = ["model=fcos", "decoder.width=64", "head.convs=1"]


def thing(number, image, **change):
    plain = {"id": number, "image_id": image, "category_id": 7, "iscrowd": 0, "bbox": [4, 2, 6, 6]}
    return {key: value for key, value in (plain | change).items() if value != "gone"}


def coco(root):
    for split, first in (("train", 1), ("val", 101)):
        images = [{"id": n, "file_name": f"{n}.png", "height": HEIGHT, "width": WIDTH} for n in range(first, first + 4)]
        for image in images:
            picture(root / f"images/{split}/{image['file_name']}", image["id"])
        found = {"images": images, "annotations": [thing(i, image["id"]) for i, image in enumerate(images, first)]}
        (root / "annotations").mkdir(exist_ok=True)
        (root / f"annotations/instances_{split}.json").write_text(json.dumps(found | {"categories": [{"id": 7, "name": "cat"}]}))
    return ["data=coco_json", "data.annotation=boxes", f"data.root={root}", *BOXES]


def yolo(root):
    for split, names in NAMES.items():
        test_yolo.plant(root, dict.fromkeys(names, "1 0.5 0.5 0.5 0.4\n"), split)
    return ["data=yolo", f"data.root={root}", *BOXES]


def voc_xml(root):
    for split, names in NAMES.items():
        test_voc_xml.plant(root, {name: [test_voc_xml.thing("cat", 2, 2, 12, 8)] for name in names}, split)
    return ["data=voc_xml", f"data.root={root}", *BOXES]


LABEL = ["task=classification"]


def csv(root):
    for split, names in NAMES.items():
        for number, name in enumerate(names):
            picture(root / f"{name}.png", number)
        lines = [f"{name}.png,{'cat' if number % 2 else 'dog'}" for number, name in enumerate(names)]
        (root / f"{split}.csv").write_text("\n".join(["image,label", *lines]) + "\n")
    return ["data=csv", f"data.root={root}", *LABEL]


def image_folder(root):
    for split, names in NAMES.items():
        for number, name in enumerate(names):
            picture(root / f"{split}/{'cat' if number % 2 else 'dog'}/{name}.png", number)
    return ["data=image_folder", f"data.root={root}", *LABEL]


LAYOUTS = {f.__name__: f for f in (folder, camvid, voc, cityscapes, panoptic, coco, yolo, voc_xml, csv, image_folder)}
# of each: a picture and a label file of `train`, and of the ones read first
PICTURES = {
    "folder": "images/train/b.jpg",
    "camvid": "train/b.png",
    "voc": "VOC2012/JPEGImages/b.jpg",
    "cityscapes": "leftImg8bit/train/aachen/aachen_000000_000002_leftImg8bit.png",
    "panoptic": "images/train/000002.png",
    "coco": "images/train/2.png",
    "yolo": "images/train/b.png",
    "voc_xml": "JPEGImages/b.png",
    "csv": "b.png",
    "image_folder": "train/cat/b.png",
}
MASKS = {
    "folder": "masks/train/b.png",
    "camvid": "trainannot/b.png",
    "voc": "VOC2012/SegmentationClass/b.png",
    "cityscapes": "gtFine/train/aachen/aachen_000000_000002_gtFine_labelIds.png",
}
