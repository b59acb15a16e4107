"""Every kind of finding about boxes and masks of objects: planted alone it is found, with image and object."""

import pytest

from segexp.data.coco_instances import CocoInstances
from segexp.data.voc_xml import VocXml
from segexp.data.yolo import Yolo
from segexp.doctor.check import check
from tests.data import test_coco_objects as coco
from tests.data import test_voc_xml as voc
from tests.data import test_yolo as yolo

RUNS = {"size": [coco.HEIGHT, coco.WIDTH], "counts": "zz"}
# kind -> (annotation, objects)
OF_JSON = {
    "box-missing": ("boxes", [coco.thing(3, bbox="gone")]),
    "box-inverted": ("boxes", [coco.thing(3, bbox=[4, 2, -1, 6])]),
    "box-empty": ("boxes", [coco.thing(3, bbox=[4, 2, 0, 6])]),
    "box-outside": ("boxes", [coco.thing(3, bbox=[4, -20, 5, 6])]),
    "box-clipped": ("boxes", [coco.thing(3, bbox=[4, -3, 5, 6])]),
    "object-twice": ("boxes", [coco.thing(3), coco.thing(3)]),
    "object-id": ("boxes", [coco.thing(3), coco.thing(3, image=2)]),
    "mask-missing": ("instances", [coco.thing(3, segmentation=[])]),
    "mask-empty": ("instances", [coco.thing(3, segmentation=[[900.0, 2.0, 910.0, 2.0, 910.0, 8.0]])]),
    "mask-broken": ("instances", [coco.thing(3, segmentation=RUNS)]),
    "polygon-points": ("instances", [coco.thing(3, segmentation=[[1, 2, 3, 4]])]),
}
ELSEWHERE = {"box-base", "object-class", "object-line"}  # of XML and of texts
KINDS = frozenset({*OF_JSON, *ELSEWHERE})


def kinds(data):
    return {finding.kind for finding in check(data).findings if finding.kind in KINDS}


@pytest.mark.parametrize("kind", sorted(OF_JSON))
def test_of_a_json(tmp_path, kind):
    pytest.importorskip("faster_coco_eval", reason="needs the extra coco")
    annotation, things = OF_JSON[kind]
    found = [f for f in check(CocoInstances(root=coco.plant(tmp_path, things), annotation=annotation)).findings if f.kind in KINDS]
    assert [finding.kind for finding in found] == [kind]
    assert "3" in found[0].what
    assert found[0].paths == (str(tmp_path / "annotations/instances_train.json"),)


def test_a_good_json_has_none_of_them(tmp_path):
    assert not kinds(CocoInstances(root=coco.plant(tmp_path, [coco.thing(3)]), annotation="boxes"))


def test_of_xml(tmp_path):
    root = voc.plant(tmp_path, {"a": [voc.thing("cat", 0, 1, 5, 5)], "b": [voc.thing("cow", 1, 1, 5, 5)]})
    assert kinds(VocXml(root=root, classes=["cat"])) == {"box-base", "object-class"}


def test_of_texts(tmp_path):
    root = yolo.plant(tmp_path, {"a": "0 0.5 0.5 0.1", "b": "7 0.5 0.5 0.1 0.1"})
    assert kinds(Yolo(root=root)) == {"object-line", "object-class"}
