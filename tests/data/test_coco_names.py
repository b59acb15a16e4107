"""What the pictures of a JSON are called."""

import numpy as np
import pytest

from segexp.data.coco_names import called, levels


def names(*files):
    array = np.array([file.encode() for file in files], np.bytes_)
    return [called(file, int(level)) for file, level in zip(files, levels(array), strict=True)]


@pytest.mark.parametrize(
    ("files", "found"),
    [
        (("0001.jpg", "0002.jpg"), ["0001", "0002"]),
        (("a/0001.jpg", "b/0002.jpg"), ["0001", "0002"]),
        (("a/0001.jpg", "b/0001.jpg", "b/0002.jpg"), ["a/0001", "b/0001", "0002"]),
        (("0001.jpg", "b/0001.jpg"), ["0001", "b/0001"]),
        (("./a/x.v1.jpg", "a/x.v2.jpg"), ["x.v1", "x.v2"]),
        (("a/x.jpg", "a/x.png", "b/x.png"), ["a/x.jpg", "a/x.png", "b/x"]),
        ((), []),
    ],
)
def test_as_much_of_the_path_as_it_takes(files, found):
    assert names(*files) == found


def test_one_byte_a_picture():
    array = np.array([f"{i % 500}/{i // 500}.jpg".encode() for i in range(2000)], np.bytes_)
    assert levels(array).dtype == np.uint8
    assert levels(array).tolist() == [1] * 2000
