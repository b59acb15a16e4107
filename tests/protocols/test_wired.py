"""Protocols in the chain: refused where the head doesn't emit class maps, and read by evaluation alone."""

import pytest
import torch

from segexp.build import chain
from segexp.errors import WiringError
from segexp.protocols.multi_scale import MultiScale
from tests.chains.batches import SPEC
from tests.chains.presets import CHAINS
from tests.chains.training import datamodule, made, task, trainer


@pytest.mark.parametrize(
    ("name", "emitted"), [("center_offset", "CenterOffsetHead"), ("record", "MultiHead"), ("classification", "LinearHead")]
)
def test_heads_that_emit_something_else_are_refused(name, emitted):
    with pytest.raises(WiringError) as caught:
        chain(SPEC, **CHAINS[name], protocol=MultiScale())
    assert caught.value.what == f"MultiScale averages SemanticLogits, which {emitted} doesn't emit"
    assert caught.value.fix == "what fits here: protocol=whole"


def figures(protocol):
    parts = made("semantic")
    parts.model.protocol = protocol
    module = task(parts)
    trainer().validate(module, datamodule=datamodule(parts), verbose=False)
    return module.figures["val"]


def test_evaluation_predicts_by_the_protocol_and_its_loss_is_that_of_one_pass():
    plain, several = figures(None), figures(MultiScale(scales=[0.5, 1.0]))
    assert several["loss"] == plain["loss"]
    assert several["miou"] != plain["miou"]


def test_one_pass_is_untouched():
    model = made("semantic").model.eval()
    images = torch.rand(1, 3, 40, 56)
    with torch.no_grad():
        logits = model(images).logits
        assert torch.equal(model.output(images, ((40, 56),)).logits, logits)
    assert torch.equal(model.predict(images)[0].semantic, model.postprocess(model(images), ((40, 56),), ((40, 56),))[0].semantic)
