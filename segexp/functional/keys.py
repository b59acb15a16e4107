"""Keyed randomness: every random number is a function of what it is for, never of what was drawn before.

So that worker counts, validation frequency, restarts and world size can't change a run.
"""

from __future__ import annotations

import hashlib

import torch


def key(*parts: int | str) -> int:
    """A 63-bit seed from what the randomness is for, e.g. `key(seed, "sample", epoch, index)`."""
    text = "/".join(map(str, parts)).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big") >> 1


def generator(*parts: int | str) -> torch.Generator:
    """A CPU generator seeded by `key(*parts)`."""
    return torch.Generator().manual_seed(key(*parts))


def uniform(rng: torch.Generator, low: float, high: float) -> float:
    """One number from [low, high)."""
    return low + (high - low) * torch.rand((), generator=rng).item()


def randint(rng: torch.Generator, low: int, high: int) -> int:
    """One integer from low..high, both included."""
    return int(torch.randint(low, high + 1, (), generator=rng))
