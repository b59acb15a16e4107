"""Names of files for samples and classes."""

import pytest

from segexp.functional.names import flat, safe


@pytest.mark.parametrize(
    ("id", "name"),
    [("val/0001", "0001"), ("val/a/0001", "a__0001"), ("val/a/b/0001", "a__b__0001"), ("0001", "0001"), ("val/b.v1", "b.v1")],
)
def test_folders_become_a_part_of_the_name(id, name):
    assert flat(id) == name


@pytest.mark.parametrize(
    ("text", "name"), [("tv/monitor", "tv-monitor"), ("traffic light", "traffic-light"), ("a\\b:c", "a-b-c"), ("car", "car")]
)
def test_a_class_name_is_one_name_of_a_file(text, name):
    assert safe(text) == name
