"""Every tiny chain through the one build, the one training step and the one evaluation loop."""

import math
from functools import partial

import pytest
import torch
from omegaconf import OmegaConf

from segexp.build import chain
from segexp.config import make
from segexp.errors import WiringError
from segexp.probe import check_levels, unreached
from segexp.targets import complete
from tests.chains import batches
from tests.chains.backbone import Pyramid
from tests.chains.batches import DATA, SIZES, SPEC
from tests.chains.presets import CHAINS
from tests.chains.training import datamodule, made, task, trainer

INSTANCE = {"box_f1": "boxes", "mask_f1": "masks"}
IOUS = {f"iou/{name}" for name in SPEC.names}
SEMANTIC, PANOPTIC = {"miou", "dice", "pixel_acc", "mean_acc"} | IOUS, {"pq", "sq", "rq"}
# figures and terms of the loss, by chain
NAMES = {
    "classification": ({"top1"}, {"ce"}),
    "semantic": (SEMANTIC, {"ce"}),
    "record": (SEMANTIC, {"semantic/ce", "aux/ce"}),
    "fcos": ({"box_f1"}, {"cls", "box", "quality"}),
    "faster_rcnn": ({"box_f1"}, {"rpn_cls", "rpn_box", "cls", "box"}),
    "mask_rcnn": ({"box_f1", "mask_f1"}, {"rpn_cls", "rpn_box", "cls", "box", "mask"}),
    "center_offset": (PANOPTIC | SEMANTIC | {"mask_f1"}, {"ce", "center", "offset"}),
    "queries": (PANOPTIC, {"cls", "mask", "dice"}),
    "queries_semantic": (SEMANTIC, {"cls", "mask", "dice"}),
}


def loss_of(parts, batch):
    """The loss of one whole window, as the task computes it."""
    sums = parts.loss(parts.model(batch.images, batch.sizes, batch.targets), batch)
    assert sums.keys() == batch.counts.keys()
    return sum(value / max(batch.counts[name], 1) for name, value in sums.items())


@pytest.mark.parametrize("name", CHAINS)
@pytest.mark.parametrize("change", [None, batches.nothing, batches.crowds, batches.void])
def test_every_parameter_gets_a_finite_gradient(name, change):
    parts = made(name)
    batch = batches.batch(parts, change=change)
    assert batch.images.shape == (3, 3, 65, 97)
    loss = loss_of(parts, batch)
    loss.backward()
    assert math.isfinite(loss.item())
    for parameter, value in parts.model.named_parameters():
        assert value.grad is not None, parameter
        assert value.grad.isfinite().all(), parameter
    assert change is not None or any(p.grad.abs().max() > 0 for p in parts.model.backbone.parameters())


@pytest.mark.parametrize("name", ["classification", "semantic", "record", "center_offset"])
def test_without_labels_the_loss_is_zero_and_so_is_its_gradient(name):
    parts = made(name)
    loss = loss_of(parts, batches.batch(parts, change=batches.void))
    loss.backward()
    assert loss == 0
    assert all(p.grad.abs().max() == 0 for p in parts.model.parameters())


@pytest.mark.parametrize("name", CHAINS)
def test_the_probe_finds_levels_as_promised_and_every_parameter_within_reach(name):
    with torch.device("meta"):
        check_levels(chain(SPEC, **CHAINS[name]).model, SPEC)
    parts = made(name)
    assert unreached(parts.model, parts.loss, SPEC) == []


def test_the_probe_names_a_map_that_the_head_does_not_read():
    parts = chain(SPEC, **CHAINS["semantic"] | {"decoder": partial(Pyramid, outputs={"semantic": "c2", "p3": "c3"})})
    names = unreached(parts.model, parts.loss, SPEC)
    assert names == [f"decoder.maps.p3.{rest}" for rest in ("0.weight", "1.weight", "1.bias")]


def test_a_missing_level_is_refused_by_name():
    with pytest.raises(WiringError, match=r"QueryHead needs the level mask; it is given .*p4, p5"):
        chain(SPEC, **CHAINS["queries"] | {"decoder": partial(Pyramid, outputs={"p4": "c4", "p5": "c5"})})


RECORD_YAML = """
_target_: tests.chains.multi.MultiHead
_partial_: true
parts:
  semantic: {_target_: segexp.heads.semantic.SemanticHead, _partial_: true}
  aux: {_target_: segexp.heads.semantic.SemanticHead, _partial_: true, level: c4}
"""


def test_stages_from_yaml_are_those_from_python():
    fcos = make(OmegaConf.create({"_target_": "tests.chains.fcos.FcosHead", "_partial_": True, "levels": ["p3", "p4"]}))
    stages = CHAINS["fcos"] | {"head": fcos}
    assert list(chain(SPEC, **stages).model.head.levels) == ["p3", "p4"]
    torch.manual_seed(0)
    parts = chain(SPEC, **CHAINS["record"] | {"head": make(OmegaConf.create(RECORD_YAML))})
    wanted = made("record").model.state_dict()
    assert all(torch.equal(value, wanted[name]) for name, value in parts.model.state_dict().items())


@pytest.mark.parametrize("name", CHAINS)
def test_predictions_have_the_original_size(name):
    parts = made(name)
    originals = ((130, 194), (50, 70), (99, 120))
    images = batches.batch(parts).images
    parts.model.eval()
    predictions = parts.model.predict(images, SIZES, originals)
    assert len(predictions) == 3
    for prediction, size in zip(predictions, originals, strict=True):
        for kind in parts.model.postprocess.provides:
            value = getattr(prediction, {"label": "label_scores"}.get(kind, kind))
            if kind == "label":
                assert value.shape == (SPEC.num_classes,) and abs(float(value.sum()) - 1) < 1e-5
            elif kind == "boxes":
                assert value.shape == (len(prediction.scores), 4) == (len(prediction.labels), 4)
                assert (value >= 0).all() and (value <= torch.tensor([size[1], size[0]] * 2) + 1e-3).all()
            else:
                assert tuple(value.shape[-2:]) == size
        if prediction.segments is not None:
            assert prediction.segments.unique().tolist()[-1] == len(prediction.segment_labels) == len(prediction.segment_scores)


@pytest.mark.parametrize("name", CHAINS)
def test_the_batch_that_an_image_comes_in_changes_nothing(name):
    parts = made(name)
    parts.model.eval()
    batch = batches.batch(parts, sizes=((65, 97), (70, 128)))  # both are padded to 96 x 128
    with torch.no_grad():
        together = parts.model(batch.images, batch.sizes)
        alone = parts.model(batch.images[:1, :, :65, :97], batch.sizes[:1])
    for a, b in zip(tensors(together), tensors(alone), strict=True):
        torch.testing.assert_close(a[: len(b)], b, rtol=1e-3, atol=1e-4)


def tensors(output):
    """The dense tensors of a head's output, in the order of their fields."""
    if isinstance(output, torch.Tensor):
        return [output]
    if isinstance(output, dict):
        return [x for part in output.values() for x in tensors(part)]
    if isinstance(output, tuple):
        return [x for part in output for x in tensors(part)]
    return [x for part in vars(output).values() for x in tensors(part)] if hasattr(output, "__dataclass_fields__") else []


@pytest.mark.parametrize("name", CHAINS)
def test_three_steps_and_a_validation(name):
    parts = made(name)
    module, data = task(parts), datamodule(parts)
    start = [p.detach().clone() for p in parts.model.parameters()]
    loop = trainer(max_epochs=1, limit_train_batches=3)
    loop.fit(module, data)
    figures, terms = NAMES[name]
    assert loop.global_step == 3
    assert module.figures["val"].keys() == figures | {"loss"} | {f"loss/{term}" for term in terms}
    assert loop.logged_metrics.keys() >= {"train/loss"} | {f"train/loss/{term}" for term in terms}
    assert math.isfinite(module.figures["val"]["loss"]) and torch.isfinite(loop.logged_metrics["train/loss"])
    assert any((a != b).any() for a, b in zip(start, parts.model.parameters(), strict=True))


@pytest.mark.parametrize("name", ["semantic", "mask_rcnn", "queries"])
def test_the_validation_loss_is_the_mean_over_all_images(name):
    parts = made(name)
    module, data = task(parts), datamodule(parts)
    trainer().validate(module, data, verbose=False)
    parts.model.eval()
    sums, counts = {}, {}
    for batch in data.evaluation("val"):
        batch = data.on_after_batch_transfer(batch, 0)
        for _, part in batch.of_one_size():
            for term, value in parts.loss(parts.model(part.images, part.sizes, part.targets), part).items():
                sums[term] = sums.get(term, 0) + value.item()
                counts[term] = counts.get(term, 0) + parts.loss.count(part.targets)[term]
    for term, value in sums.items():
        assert module.figures["val"][f"loss/{term}"] == pytest.approx(value / counts[term], rel=1e-5)


@pytest.mark.parametrize(("name", "steps", "rate"), [("classification", 15, 3e-3), ("fcos", 25, 3e-3), ("center_offset", 25, 3e-3)])
def test_one_batch_is_learnt(name, steps, rate):
    parts = made(name)
    batch = batches.batch(parts)
    optimizer, losses = torch.optim.AdamW(parts.model.parameters(), lr=rate), []
    for _ in range(steps):
        losses.append(loss_of(parts, batch))
        optimizer.zero_grad()
        losses[-1].backward()
        optimizer.step()
    assert losses[-1] < 0.6 * losses[0]


def test_learnt_panoptic_segments_serve_three_metrics():
    parts = made("center_offset")
    batch = batches.batch(parts, sizes=(DATA.size,) * 2)
    optimizer = torch.optim.AdamW(parts.model.parameters(), lr=1e-2)
    for _ in range(60):
        optimizer.zero_grad()
        loss_of(parts, batch).backward()
        optimizer.step()
    parts.model.eval()
    predictions = parts.model.predict(batch.images, batch.sizes, batch.original_sizes)
    predictions = [complete(p, parts.metrics.needs, SPEC) for p in predictions]
    parts.metrics.update([parts.metrics.measure(p, t) for p, t in zip(predictions, batch.truth, strict=True)])
    figures = parts.metrics.compute()
    assert figures["pq"] > 0.4 and figures["miou"] > 0.5 and figures["mask_f1"] > 0.2
