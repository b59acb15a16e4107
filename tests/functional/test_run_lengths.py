"""COCO's run lengths, against pycocotools."""

import numpy as np
import pytest

from segexp.functional.run_lengths import encoded


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (40, 30), (1, 3000), (700, 900)])
def test_masks_are_encoded_as_pycocotools_encodes_them(size):
    mask = pytest.importorskip("pycocotools.mask")
    rng = np.random.default_rng(0)
    blocks = np.kron(rng.random((-(-size[0] // 40), -(-size[1] // 40))) < 0.5, np.ones((40, 40)))[: size[0], : size[1]] > 0
    for given in (np.zeros(size, bool), np.ones(size, bool), rng.random(size) < 0.5, rng.random(size) < 0.01, blocks, ~blocks):
        found, wanted = encoded(given), mask.encode(np.asfortranarray(given.astype(np.uint8)))
        assert found == {"size": list(wanted["size"]), "counts": wanted["counts"].decode()}


def test_by_hand():
    mask = np.zeros((2, 3), bool)
    mask[:, 1] = True  # by columns: 2 outside, 2 inside, 2 outside
    assert encoded(mask) == {"size": [2, 3], "counts": "222"}
