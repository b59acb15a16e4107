"""Deep supervision: values and names of the terms, and a model trained through the shipped files."""

import functools

import pytest
import torch

from segexp.build import build
from segexp.config import compose, make
from segexp.errors import ConfigError, WiringError
from segexp.heads.semantic import SemanticHead
from segexp.losses.auxiliary import Auxiliary
from segexp.losses.cross_entropy import CrossEntropy
from segexp.losses.dice import Dice
from segexp.metrics.semantic import SemanticMetrics
from segexp.postprocess.argmax import ArgMax
from segexp.probe import example as probe_batch
from segexp.types import AuxiliaryLogits, Level, SemanticLogits, Targets
from segexp.wiring import check
from tests.losses.semantic import batch_of, spec

CHAIN = ["model=deeplabv3plus", "backbone=resnet10t", "head=semantic_aux", "loss=auxiliary"]


def test_values_and_names():
    maps = [torch.randint(0, 3, (8, 8))]
    main, one, two = (SemanticLogits(torch.randn(1, 3, 8 // s, 8 // s), s) for s in (2, 4, 8))
    loss = Auxiliary(spec(3), main=functools.partial(Dice, weight=2), aux=CrossEntropy, weight=0.3)
    sums = loss(AuxiliaryLogits(main.logits, main.stride, {"one": one, "two": two}), batch_of(maps))
    plain = CrossEntropy(spec(3))
    wanted = 0.3 * (plain(one, batch_of(maps))["ce"] + plain(two, batch_of(maps))["ce"])
    assert list(sums) == ["dice", "aux/ce"]
    assert float(sums["dice"]) == pytest.approx(2 * float(Dice(spec(3))(main, batch_of(maps))["dice"]))
    assert float(sums["aux/ce"]) == pytest.approx(float(wanted), rel=1e-5)
    assert loss.count([Targets(semantic=m) for m in maps]) == {"dice": 1, "aux/ce": 64}


def test_without_auxiliary_outputs_the_main_loss_remains():
    maps, logits = [torch.randint(0, 3, (4, 4))], torch.randn(1, 3, 4, 4)
    loss = Auxiliary(spec(3), main=CrossEntropy, aux=CrossEntropy)
    assert list(loss(AuxiliaryLogits(logits, 1), batch_of(maps))) == ["ce"]


@pytest.fixture(scope="module")
def experiment():
    return build(compose("train", CHAIN))


def step(task, batch):
    """One step of stochastic gradient descent: (terms, gradients by name)."""
    model = task.model.train()
    sums = task.loss(model(batch.images, batch.sizes, batch.targets), batch)
    total = sum(value / batch.counts[name] for name, value in sums.items())
    model.zero_grad()
    total.backward()
    with torch.no_grad():
        for p in model.parameters():
            if p.requires_grad:
                p -= 0.02 * p.grad
    return total.item(), sums, {name: p.grad for name, p in model.named_parameters()}


def test_shipped_chain_trains(experiment):
    torch.manual_seed(0)
    task = experiment.task
    batch = probe_batch(task.data, {"semantic"}, task.loss)
    first, sums, gradients = step(task, batch)
    assert list(sums) == ["ce", "aux/ce"]
    assert experiment.frozen == []
    assert gradients["head.parts.aux.net.2.weight"].abs().sum() > 0
    assert gradients["head.parts.main.classify.weight"].abs().sum() > 0
    for _ in range(5):
        last = step(task, batch)[0]
    assert last < first


def test_prediction_does_not_compute_the_auxiliary_head(experiment):
    model, calls = experiment.task.model.eval(), []
    handle = model.head.parts["aux"].register_forward_hook(lambda *_: calls.append(1))
    with torch.no_grad():
        images = torch.rand(1, 3, 32, 48)
        assert model(images).aux == {}
        (prediction,) = model.predict(images)
        assert prediction.semantic.shape == (32, 48)
        assert not calls
        model(images, None, [Targets(semantic=torch.zeros(32, 48, dtype=torch.int64))])
        assert len(calls) == 1
    handle.remove()


def test_the_auxiliary_head_moves_the_backbone_only_where_the_loss_asks(experiment):
    """With a loss that reads the output alone, the auxiliary head can't be reached, and is frozen."""
    found = build(compose("train", [*CHAIN, "loss=cross_entropy"]))
    assert found.frozen
    assert all(name.startswith("head.parts.aux.") for name in found.frozen)


def test_a_head_without_auxiliary_outputs_is_refused_with_what_fits():
    data, levels = spec(3), {"semantic": Level(8, 4)}
    loss, others = make(compose("train", ["loss=auxiliary"]).loss)(data), {"cross_entropy": CrossEntropy(data)}
    with pytest.raises(WiringError, match=r"accepts AuxiliaryLogits, but SemanticHead emits SemanticLogits.*loss=cross_entropy"):
        check(data, SemanticHead(levels, data), loss, ArgMax(data), SemanticMetrics(data), alternatives=lambda _: others)


def test_losses_of_another_output_are_refused():
    inner = functools.partial(Auxiliary, main=CrossEntropy, aux=CrossEntropy)
    with pytest.raises(ConfigError, match=r"Auxiliary reads AuxiliaryLogits, here it gets SemanticLogits; loss.aux"):
        Auxiliary(spec(3), main=CrossEntropy, aux=inner)


def test_another_main_loss_by_override():
    loss = make(compose("train", [*CHAIN, "loss@loss.main=ce_dice", "loss.weight=0.2"]).loss)(spec(2))
    assert list(loss.count([Targets(semantic=torch.zeros(2, 2, dtype=torch.int64))])) == ["ce", "dice", "aux/ce"]
    assert loss.weight == 0.2
