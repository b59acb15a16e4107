"""Hashes of content and looks."""

import numpy as np
import torch

from segexp.doctor.hashes import NEAR, digest, looks, similar


def noise(seed, size=(96, 128)):
    """Coarse noise uint8 [3,H,W]."""
    small = torch.randint(0, 256, (3, 16, 16), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)
    return torch.nn.functional.interpolate(small[None].float(), size)[0].to(torch.uint8)


def bits(first, second):
    return int(np.unpackbits((first ^ second).view(np.uint8)).sum())


def test_the_digest_tells_contents_apart_and_is_never_0():
    assert digest(b"a") == digest(b"a") != digest(b"b")
    assert 0 < digest(b"") < 1 << 64


def test_looks_survive_a_change_of_size_light_and_depth():
    image = noise(0)
    base = looks(image, 255.0)
    assert base.dtype == np.uint64 and base.shape == (4,)
    assert bits(base, looks(noise(0, (192, 256)), 255.0)) <= NEAR
    assert bits(base, looks((image * 0.8).to(torch.uint8), 255.0)) <= NEAR
    assert bits(base, looks(image.int() * 257, 65535.0)) == 0
    assert bits(base, looks(noise(1), 255.0)) > 3 * NEAR
    assert bits(base, looks(image.flip(-1), 255.0)) > 3 * NEAR


def test_similar_gives_for_each_the_closest(monkeypatch):
    rng = np.random.default_rng(0)
    first = rng.integers(0, 1 << 63, (50, 4), dtype=np.uint64)
    second = rng.integers(0, 1 << 63, (30, 4), dtype=np.uint64)
    second[7] = first[11] ^ np.array([0b111, 0, 1 << 40, 0], np.uint64)  # 4 bits
    second[20] = first[3]
    first[40] = second[7] ^ np.array([1, 0, 0, 0], np.uint64)  # closer
    wanted = [(40, 7, 1), (3, 20, 0)]
    assert similar(first, second) == wanted
    monkeypatch.setattr("segexp.doctor.hashes.BLOCK", 60)  # many small blocks
    assert similar(first, second) == wanted
    assert similar(first[:0], second) == similar(first, second[:0]) == []
    assert similar(first, second, most=0) == [(3, 20, 0)]
