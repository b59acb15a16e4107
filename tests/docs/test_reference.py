"""docs/config.md is what the files and signatures say today, and leaves nothing out."""

import pytest

from segexp.overrides import groups, options
from tests.docs.reference import PAGE, comments, every, joined, missing, page

AGAIN = "docs/config.md is out of date: python -m tests.docs.reference"


def test_every_key_of_every_option_has_a_type_and_a_description():
    assert missing() == []


def test_the_page_is_up_to_date():
    assert PAGE.read_text(encoding="utf-8") == page(), AGAIN


def test_the_page_has_every_option():
    text = PAGE.read_text(encoding="utf-8")
    assert not [f"{group}={name}" for group in groups() for name in options(group) if f"### `{group}={name}`" not in text], AGAIN


def test_types_and_texts_come_from_both_sides():
    rows = {(group, one.name, row.key): row for group, listed in every() for one in listed for row in one.rows}
    assert rows["optimizer", "adamw", "lr"].kind == "a number"
    assert rows["trainer", "default", "on_oom"].kind == "one of error, halve"
    assert "in pixels" in rows["data", "shapes", "height"].text  # of the docstring
    assert "adds" in rows["loss", "semantic_roi", "weights.roi"].text or "part" in rows["loss", "semantic_roi", "weights.roi"].text
    assert rows["decoder", "dual_deeplab", "parts.instance.low"].text  # of the option that the section is made of


def test_a_comment_belongs_to_its_line(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text("# the file\na: 1  # one\nb:\n  # two\n  c: '#3'\n  d: 4 # four # and\n")
    found = comments(path)
    assert (found[2], found[5], found[6]) == ("one", "two", "four # and")


@pytest.mark.parametrize(
    ("described", "said", "text"),
    [
        ("a", "", "a"),
        ("", "b", "b"),
        ("of the picture", "of the pictures", "of the pictures"),
        ("width", "null: as high", "width; null: as high"),
    ],
)
def test_what_is_said_twice_stands_once(described, said, text):
    assert joined(described, said) == text
