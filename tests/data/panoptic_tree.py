"""A small data set in COCO's panoptic form that is clean until a test plants a defect."""

import json

import numpy as np
from PIL import Image

CATEGORIES = [
    {"id": 3, "name": "sky", "isthing": 0, "color": [70, 130, 180]},
    {"id": 7, "name": "car", "isthing": 1, "color": [0, 0, 142]},
    {"id": 200, "name": "road", "isthing": 0, "color": [128, 64, 128]},
]
SIZE = (24, 32)
IDS = {"sky": 300, "road": 70000, "first": 5_931_152, "second": 256, "crowd": 65536 * 200 + 17}  # all need more than 8 bit


def scene():
    """Ids [H,W]: sky, road, two cars, a group of cars, and a row of void."""
    ids = np.full(SIZE, IDS["sky"])
    ids[12:] = IDS["road"]
    ids[14:18, 3:9] = IDS["first"]
    ids[14:20, 12:20] = IDS["second"]
    ids[20:23, 22:30] = IDS["crowd"]
    ids[0] = 0
    return ids


def segments_info(ids):
    category = {IDS["sky"]: 3, IDS["road"]: 200, IDS["first"]: 7, IDS["second"]: 7, IDS["crowd"]: 7}
    found = []
    for number in np.unique(ids[ids > 0]).tolist():
        ys, xs = np.nonzero(ids == number)
        box = [int(xs.min()), int(ys.min()), int(np.ptp(xs)) + 1, int(np.ptp(ys)) + 1]
        crowd = int(number == IDS["crowd"])
        found.append({"id": number, "category_id": category.get(number, 7), "area": len(xs), "bbox": box, "iscrowd": crowd})
    return found


def put_ids(path, ids):
    path.parent.mkdir(parents=True, exist_ok=True)
    wide = np.asarray(ids, np.int64)
    Image.fromarray(np.stack([wide % 256, wide // 256 % 256, wide // 65536], -1).astype(np.uint8)).save(path)


def noise(path, number, size=SIZE):
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(number)
    small = rng.integers(0, 256, (size[0] // 4, size[1] // 4, 3), dtype=np.uint8)
    Image.fromarray(small.repeat(4, 0).repeat(4, 1)).save(path)


def plant(root, *, count=3):
    """Splits train and val of `count` images each."""
    for split, first in (("train", 1), ("val", 101)):
        found = {"images": [], "annotations": [], "categories": CATEGORIES}
        for number in range(first, first + count):
            ids = np.roll(scene(), number, axis=1)
            put_ids(root / f"annotations/panoptic_{split}/{number:06d}.png", ids)
            noise(root / f"images/{split}/{number:06d}.png", number)
            found["images"].append({"id": number, "file_name": f"{number:06d}.png", "height": SIZE[0], "width": SIZE[1]})
            entry = {"image_id": number, "file_name": f"{number:06d}.png", "segments_info": segments_info(ids)}
            found["annotations"].append(entry)
        write(root, split, found)
    return root


def read(root, split="train"):
    return json.loads((root / f"annotations/panoptic_{split}.json").read_text())


def write(root, split, found):
    (root / f"annotations/panoptic_{split}.json").write_text(json.dumps(found))
