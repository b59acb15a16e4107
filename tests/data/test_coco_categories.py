"""Categories of COCO's form, and `data.classes`."""

import json

import pytest

from segexp.data.coco_categories import check_classes, doubts, parse_categories, read_classes
from segexp.data.palette import voc_color
from segexp.errors import ConfigError, DataError

ROAD = {"id": 1, "name": "road", "isthing": 0, "color": [128, 64, 128]}


@pytest.mark.parametrize("color", [[0, 0, 256], [-1, 0, 0], [0.5, 0, 0], [128.0, 0, 0], [True, 0, 0], [1, 2], "#ff0000", ["a", 0, 0]])
def test_a_colour_that_is_none_is_replaced_and_told(color):
    (found,) = parse_categories([ROAD | {"color": color}], "here")
    assert found.info.color == voc_color(1)
    ((kind, what),) = doubts([found])
    assert kind == "category-color"
    assert f"1 (road) has {color}" in what


@pytest.mark.parametrize("entry", [ROAD, ROAD | {"color": None}, ROAD | {"isthing": 1}])
def test_good_categories_are_beyond_doubt(entry):
    assert not list(doubts(parse_categories([entry], "here")))


def test_categories_without_isthing_are_told():
    plain = [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}]
    assert [kind for kind, _ in doubts(parse_categories(plain, "here"))] == ["no-isthing"]
    assert not list(doubts(parse_categories([*plain, ROAD | {"id": 3}], "here")))


@pytest.mark.parametrize("plain", [[ROAD], {"categories": [ROAD]}])
def test_a_json_of_classes(tmp_path, plain):
    (tmp_path / "c.json").write_text(json.dumps(plain))
    assert [c.info.name for c in read_classes(tmp_path / "c.json")] == ["road"]


def test_a_json_of_classes_that_cant_be_read_is_named_with_its_key(tmp_path):
    path = tmp_path / "nope.json"
    with pytest.raises(ConfigError, match="there is no such file") as error:
        read_classes(path)
    assert error.value.where == f"data.classes={path}"
    path.write_text("{")
    with pytest.raises(DataError, match="not valid JSON"):
        read_classes(path)


@pytest.mark.parametrize("value", [5, {"road": 1}, ["road", "car"], True])
def test_classes_that_cant_be_say_what_they_should_be(value):
    with pytest.raises(ConfigError, match="this is no list of categories") as error:
        check_classes(value)
    assert error.value.where == f"data.classes={value}"
    assert "data.classes=[{id: 1, name: road" in error.value.fix
