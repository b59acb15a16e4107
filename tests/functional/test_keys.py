"""Keyed randomness."""

import torch

from segexp.functional.keys import generator, key, randint, uniform


def test_keys_are_fixed_for_ever():
    assert key(0, "sample", 3, 7) == 8047345764584900824  # a change of the rule changes every run
    assert 0 <= key("anything") < 2**63


def test_parts_are_not_run_together():
    assert key(1, 23) != key(12, 3)
    assert key("a", 1) != key("a1")


def test_drawing_does_not_touch_the_global_state():
    before = torch.get_rng_state()
    rng = generator(0, "x")
    values = [uniform(rng, 2, 3) for _ in range(100)] + [randint(rng, 2, 3) for _ in range(100)]
    assert torch.equal(before, torch.get_rng_state())
    assert all(2 <= v <= 3 for v in values)
    assert set(values[100:]) == {2, 3}
