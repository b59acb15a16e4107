"""What is taken for what, from confusion.json."""

import base64
import io
import json

import numpy as np
import pytest
from PIL import Image

from segexp.report.confusion import MAX_TABLE, confusions
from segexp.report.page import render
from segexp.report.record import read_run


def put(run, **matrices):
    (run / "confusion.json").write_text(
        json.dumps({split: {"classes": names, "counts": counts} for split, (names, counts) in matrices.items()})
    )
    return confusions(read_run(run))


def test_rows_are_shares_of_the_truth_and_the_worst_mistakes_come_first(run):
    test, val = (["a", "b"], [[1, 0], [0, 1]]), (["a", "b", "c"], [[6, 2, 0], [1, 9, 0], [0, 0, 0]])
    first, second = put(run, test=test, val=val)
    assert (first.split, second.split) == ("val", "test")
    name, cells = first.rows[0]
    assert (name, [(c.count, c.share, c.right) for c in cells]) == ("a", [(6, 0.75, True), (2, 0.25, False), (0, 0.0, False)])
    assert [c.share for c in first.rows[2][1]] == [0, 0, 0]  # a class without a pixel
    assert [(m.truth, m.predicted, m.share, m.count) for m in first.mistakes] == [("a", "b", 0.25, 2), ("b", "a", pytest.approx(0.1), 1)]
    assert second.mistakes == ()


def test_many_classes_are_a_picture(run):
    classes = MAX_TABLE + 126
    counts = np.diag(np.full(classes, 100))
    counts[3, 5] = 300
    (found,) = put(run, val=([f"c{i}" for i in range(classes)], counts.tolist()))
    assert found.rows == ()
    picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(found.picture.partition(",")[2]))))
    scale = picture.shape[0] // classes
    assert picture[3 * scale, 5 * scale] == int(255 * 0.75**0.5)
    assert picture[0, 0] == 255
    assert picture[0, scale] == 0
    assert [(m.truth, m.predicted) for m in found.mistakes] == [("c3", "c5")]
    assert len(render(read_run(run))) < 200_000


@pytest.mark.parametrize("counts", [[], [[1, 2]], [[0, 0], [0, 0]], "x", [["a", "b"], ["c", "d"]]])
def test_a_matrix_that_does_not_fit_is_left_out(run, counts):
    assert put(run, val=(["a", "b"], counts)) == []


def test_the_page_shows_shares_and_tells_pixels(run):
    put(run, val=(["road", "car"], [[750, 250], [0, 1000]]))
    page = render(read_run(run))
    assert 'title="road as car: 250 pixels, 25.00 %"' in page
    assert "What is taken for what" in page


def test_a_run_without_the_file_has_no_such_section(run):
    assert confusions(read_run(run)) == []
    assert "What is taken for what" not in render(read_run(run))
