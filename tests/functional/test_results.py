"""Results are read without their curves, and are otherwise what the file says."""

import json

import pytest

from segexp.functional.files import write_json
from segexp.functional.results import read_result

RESULT = {"val": {"miou": 0.5}, "config": {"curves": 3}, "curves": {"val/miou": [[1, 0.25], [2, 0.5]]}, "steps": 2, "speed": {"a": None}}


def test_all_but_the_curves(tmp_path):
    write_json(tmp_path / "result.json", RESULT)
    assert read_result(tmp_path / "result.json") == RESULT | {"curves": {}}


@pytest.mark.parametrize("last", [{}, {"curves": {}}, {"other": {"curves": {"a": [1]}}}])
def test_none_or_empty_or_elsewhere(tmp_path, last):
    plain = {"val": {"miou": 0.5}} | last
    write_json(tmp_path / "result.json", plain)
    assert read_result(tmp_path / "result.json") == plain


def test_written_by_something_else_it_is_read_whole(tmp_path):
    for indent in (None, 2, 4):
        (tmp_path / "result.json").write_text(json.dumps(RESULT, indent=indent))
        assert read_result(tmp_path / "result.json") == RESULT
    (tmp_path / "result.json").write_text("{")
    with pytest.raises(ValueError, match="Expecting"):
        read_result(tmp_path / "result.json")
