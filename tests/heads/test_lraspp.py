"""Lite R-ASPP: torchvision's head with the same weights gives the same."""

import pytest
import torch
from torchvision.models.segmentation.lraspp import LRASPPHead

from segexp.errors import WiringError
from segexp.heads.lraspp import LiteRASPP
from segexp.types import ClassInfo, DataSpec, Level

SPEC = {"c3": Level(6, 8), "c5": Level(20, 16)}
DATA = DataSpec(tuple(ClassInfo(str(i)) for i in range(5)), frozenset({"semantic"}))


def test_it_is_torchvisions():
    torch.manual_seed(0)
    ours, theirs = LiteRASPP(SPEC, DATA).eval(), LRASPPHead(6, 20, 5, 128).eval()
    names = {"project": "cbr", "gate": "scale", "classify_low": "low_classifier", "classify_high": "high_classifier"}
    ours.load_state_dict({k: theirs.state_dict()[".".join([names[k.split(".")[0]], *k.split(".")[1:]])] for k in ours.state_dict()})
    levels = {"c3": torch.randn(2, 6, 9, 13), "c5": torch.randn(2, 20, 5, 7)}
    output = ours(levels, ((72, 104),) * 2)
    assert output.stride == 8
    torch.testing.assert_close(output.logits, theirs({"low": levels["c3"], "high": levels["c5"]}))


def test_a_lacking_level_is_named():
    with pytest.raises(WiringError, match="LiteRASPP needs the level c2"):
        LiteRASPP(SPEC, DATA, low="c2")
