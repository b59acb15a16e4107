"""A head with auxiliary ones: what it emits with and without targets, and what it refuses."""

import functools

import pytest
import torch
from torch import nn

from segexp.errors import ConfigError
from segexp.heads.auxiliary import AuxiliaryHead
from segexp.heads.fcn import FCNHead
from segexp.heads.semantic import SemanticHead
from segexp.types import AuxiliaryLogits, ClassInfo, ClassLogits, DataSpec, Level, Targets

SPEC = {"semantic": Level(8, 4), "c3": Level(10, 8), "c4": Level(12, 16)}
DATA = DataSpec((ClassInfo("a"), ClassInfo("b")), frozenset({"semantic"}))
PARTS = {"main": SemanticHead, "deep": functools.partial(FCNHead, level="c4"), "middle": functools.partial(FCNHead, level="c3")}
SIZES = ((32, 48),)


def features():
    return {name: torch.randn(1, level.channels, 32 // level.stride, 48 // level.stride) for name, level in SPEC.items()}


class LabelHead(nn.Module):
    """Emits something else."""

    output_type = ClassLogits
    needs = frozenset()

    def __init__(self, features, data):
        super().__init__()


def test_targets_bring_the_auxiliary_outputs():
    head, given = AuxiliaryHead(SPEC, DATA, parts=PARTS), features()
    output = head(given, SIZES, [Targets(semantic=torch.zeros(32, 48, dtype=torch.int64))])
    assert isinstance(output, AuxiliaryLogits)
    assert {name: (tuple(x.logits.shape), x.stride) for name, x in output.aux.items()} == {
        "deep": ((1, 2, 2, 3), 16),
        "middle": ((1, 2, 4, 6), 8),
    }
    alone = head(given, SIZES)
    assert alone.aux == {}
    assert (tuple(alone.logits.shape), alone.stride) == ((1, 2, 8, 12), 4)
    assert torch.equal(alone.logits, output.logits)


def test_training_mode_plays_no_part():
    head, given = AuxiliaryHead(SPEC, DATA, parts=PARTS), features()
    assert head.train()(given, SIZES).aux == {}
    assert len(head.eval()(given, SIZES, [Targets()]).aux) == 2


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"main": SemanticHead}, r"it needs the part main and one more; head.parts: main; fix: head=semantic_aux has both"),
        ({"one": SemanticHead, "two": SemanticHead}, r"it needs the part main and one more; head.parts: one, two"),
        ({}, r"head.parts: none"),
        (
            {"main": SemanticHead, "label": LabelHead},
            r"LabelHead doesn't emit semantic logits; head.parts.label; fix: choose a head that does",
        ),
    ],
)
def test_what_is_refused(parts, message):
    with pytest.raises(ConfigError, match=message):
        AuxiliaryHead(SPEC, DATA, parts=parts)
