"""Numbers that tell pictures apart: of equal content, and of equal looks."""

from __future__ import annotations

import hashlib
from functools import cache

import numpy as np
from torch import Tensor
from torch.nn import functional as F

SIDE = 32  # of the thumbnail that a perceptual hash is made of
FREQUENCIES = 16  # lowest ones in each direction: 256 bits
# Of 256 bits. Measured: JPEG at quality 50, half the size, 20 % brighter, noise of 8 grey levels change at most 18; the most
# similar pictures of train and val differ in at least 54 on nine sets, frames of one CamVid recording a second apart in 82.
NEAR = 20
BLOCK = 2_000_000  # pairs that are compared at a time


def digest(content: bytes | memoryview) -> int:
    """64 bits of BLAKE2; 0 never occurs, so that it can mean "none"."""
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little") or 1


def looks(image: Tensor, largest: float) -> np.ndarray:
    """A perceptual hash: the signs of the lowest frequencies of a small grey version, against their median.

    Args:
        image: integers [C,H,W].
        largest: the value of white.

    Returns:
        uint64 [4].
    """
    grey = image.float().mean(0, keepdim=True) / largest
    small = F.adaptive_avg_pool2d(grey, SIDE)[0].double().numpy()
    lowest = (_cosines() @ small @ _cosines().T).ravel()
    bits = lowest > np.median(lowest[1:])  # the first is the mean
    bits[0] = False
    return np.packbits(bits).view(np.uint64)


@cache
def _cosines() -> np.ndarray:
    """Rows of the discrete cosine transform, [FREQUENCIES, SIDE]."""
    return np.cos(np.pi * (2 * np.arange(SIDE)[None] + 1) * np.arange(FREQUENCIES)[:, None] / (2 * SIDE))


def similar(first: np.ndarray, second: np.ndarray, most: int = NEAR) -> list[tuple[int, int, int]]:
    """Pairs that look alike, for each of the second the closest of the first.

    Args:
        first, second: hashes uint64 [N,4] and [M,4].
        most: bits in which they may differ.

    Returns:
        (index in the first, index in the second, differing bits), in the order of the second.
    """
    found = []
    rows = max(1, BLOCK // max(1, len(first)))
    for start in range(0, len(second) if len(first) else 0, rows):
        block = second[start : start + rows]
        bits = _ones(block[:, None, 0] ^ first[None, :, 0])  # [rows,N] of the first of four words: rules out nearly all
        at, other = np.nonzero(bits <= most)
        whole = _ones(block[at] ^ first[other]).sum(1)
        order = np.lexsort((whole, at))
        near = order[whole[order] <= most]
        firsts = near[np.unique(at[near], return_index=True)[1]]
        found += [(int(other[i]), start + int(at[i]), int(whole[i])) for i in firsts]
    return found


def _ones(words: np.ndarray) -> np.ndarray:
    """How many bits of each word are set: int16, of the same shape."""
    counts = _table()[np.ascontiguousarray(words).view(np.uint16)]
    return counts.reshape(*words.shape, 4).sum(-1, dtype=np.int16)


@cache
def _table() -> np.ndarray:
    """Bits set in each 16-bit number."""
    return np.unpackbits(np.arange(1 << 16, dtype=np.uint16).view(np.uint8).reshape(-1, 2), axis=1).sum(1, dtype=np.uint8)
