"""A sum of losses: values, names, counts, and the logits brought to full size once."""

import functools

import pytest
import torch

from segexp.config import compose, make
from segexp.errors import ConfigError
from segexp.losses.auxiliary import Auxiliary
from segexp.losses.cross_entropy import CrossEntropy
from segexp.losses.dice import Dice
from segexp.losses.lovasz import Lovasz
from segexp.losses.weighted_sum import WeightedSum
from segexp.types import SemanticLogits, Targets
from tests.losses.semantic import agree, batch_of, example, found, spec


def made(**parts):
    return WeightedSum(spec(3), parts=parts)


def test_it_is_the_sum_of_its_parts():
    maps = [torch.randint(0, 3, (16, 20)), torch.randint(0, 3, (13, 18))]
    logits = torch.randn(2, 3, 4, 5)
    both = made(ce=functools.partial(CrossEntropy, weight=0.5), lovasz=functools.partial(Lovasz, weight=2))
    value, gradient = found(both, logits, maps, stride=4)
    parts = [found(CrossEntropy(spec(3), weight=0.5), logits, maps, 4), found(Lovasz(spec(3), weight=2), logits, maps, 4)]
    assert agree((value, gradient), (parts[0][0] + parts[1][0], parts[0][1] + parts[1][1]))


def test_terms_have_the_names_of_their_parts():
    loss = made(ce=CrossEntropy, dice=functools.partial(Dice, per="class"), plain=CrossEntropy)
    logits, maps = example(3)
    targets = [Targets(semantic=m) for m in maps]
    assert list(loss(SemanticLogits(logits, 1), batch_of(maps))) == ["ce", "dice", "plain/ce"]
    pixels = float(sum((m != 255).sum() for m in maps))
    assert loss.count(targets) == {"ce": pixels, "dice": 6, "plain/ce": pixels}


def test_logits_are_resized_once(monkeypatch):
    import segexp.losses.weighted_sum as module

    calls = []
    monkeypatch.setattr(module, "to_size", lambda *args, **options: calls.append(args) or module_to_size(*args, **options))
    from segexp.functional.resize import to_size as module_to_size

    seen = []
    loss = made(ce=CrossEntropy, dice=Dice)
    for part in loss.parts.values():
        part.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    loss(SemanticLogits(torch.randn(1, 3, 3, 4), 4), batch_of([torch.randint(0, 3, (11, 15))]))
    assert len(calls) == 1
    assert [(tuple(x.logits.shape), x.stride) for x in seen] == [((1, 3, 11, 15), 1)] * 2
    assert seen[0].logits is seen[1].logits


@pytest.mark.parametrize(
    ("option", "terms"),
    [
        ("ce_dice", ["ce", "dice"]),
        ("ce_lovasz", ["ce", "lovasz"]),
        ("ce_boundary", ["ce", "boundary"]),
        ("focal_dice", ["focal", "dice"]),
    ],
)
def test_shipped_sums(option, terms):
    loss = make(compose("train", [f"loss={option}"]).loss)(spec(3))
    logits, maps = example(3)
    assert list(loss(SemanticLogits(logits, 1), batch_of(maps))) == terms == list(loss.count([Targets(semantic=m) for m in maps]))


def test_a_part_can_be_changed_and_replaced():
    changed = compose("train", ["loss=ce_dice", "loss.parts.dice.weight=0.25", "loss@loss.parts.ce=focal", "loss.parts.ce.gamma=1"]).loss
    loss = make(changed)(spec(3))
    assert (loss.parts["dice"].weight, loss.parts["ce"].gamma) == (0.25, 1)
    logits, maps = example(3)
    assert list(loss(SemanticLogits(logits, 1), batch_of(maps))) == ["ce/focal", "dice"]


def test_what_is_refused():
    with pytest.raises(ConfigError, match=r"a sum of no losses; loss.parts; fix: name at least one"):
        made()
    inner = functools.partial(Auxiliary, main=CrossEntropy, aux=CrossEntropy)
    with pytest.raises(ConfigError, match=r"Auxiliary reads AuxiliaryLogits, the parts of a sum read SemanticLogits; loss.parts.deep"):
        made(deep=inner)
