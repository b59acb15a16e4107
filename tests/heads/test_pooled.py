"""The pooled head, by hand."""

import pytest
import torch

from segexp.errors import ConfigError, WiringError
from segexp.heads.pooled import PooledHead
from segexp.types import ClassInfo, DataSpec, Level

SPEC = DataSpec(tuple(ClassInfo(f"c{i}") for i in range(3)), frozenset({"label"}))
LEVELS = {"c4": Level(4, 16), "c5": Level(2, 32)}
FEATURES = {"c4": torch.rand(2, 4, 4, 4), "c5": torch.rand(2, 2, 2, 2)}
SIZES = ((64, 64), (32, 40))


@pytest.mark.parametrize(("pool", "of"), [("avg", lambda x: x.mean((1, 2))), ("max", lambda x: x.amax((1, 2)))])
def test_levels_are_pooled_over_valid_cells_and_set_side_by_side(pool, of):
    head = PooledHead(LEVELS, SPEC, pool=pool, width=8)
    found = head(FEATURES, SIZES).logits
    c4, c5 = FEATURES["c4"], FEATURES["c5"]
    vectors = torch.stack([torch.cat([of(c4[0]), of(c5[0])]), torch.cat([of(c4[1, :, :2, :3]), of(c5[1, :, :1, :2])])])
    assert torch.allclose(found, head.classify(head.hidden(vectors).relu()), atol=1e-6)


def test_gem_learns_a_power_for_each_level():
    head = PooledHead(LEVELS, SPEC, pool="gem", width=8)
    head(FEATURES, SIZES).logits.sum().backward()
    powers = {name: p.grad for name, p in head.named_parameters() if name.endswith("power")}
    assert set(powers) == {"learned.c4.power", "learned.c5.power"}
    assert all(grad is not None for grad in powers.values())


def test_wrong_keys_are_refused():
    with pytest.raises(ConfigError, match=r"no such pooling; head.pool=mean; fix: head.pool=avg\|max\|gem"):
        PooledHead(LEVELS, SPEC, pool="mean")
    with pytest.raises(ConfigError, match=r"head.levels=\[\]; fix: head.levels=\[c5\]"):
        PooledHead(LEVELS, SPEC, levels=[])
    with pytest.raises(ConfigError, match=r"head.width=0; fix: head.width=256"):
        PooledHead(LEVELS, SPEC, width=0)
    with pytest.raises(ConfigError, match=r"different ones"):
        PooledHead(LEVELS, SPEC, levels=["c5", "c5"])
    with pytest.raises(WiringError, match=r"PooledHead needs the level c3"):
        PooledHead(LEVELS, SPEC, levels=["c3", "c5"])
