"""Scales and mirrored passes: exact under mirroring, equal to one pass where scales say nothing, the literal mean elsewhere."""

import pytest
import torch
import torch.nn.functional as F

from segexp.config import compose, make
from segexp.errors import ConfigError
from segexp.functional.resize import to_size
from segexp.protocols.multi_scale import MultiScale, mirror
from tests.protocols.networks import CLASSES, SIZES, batch, model, pointwise


def test_a_mirrored_image_has_the_mirrored_prediction_bit_by_bit():
    images, found = batch(), model(MultiScale(scales=[0.6, 1.0, 1.3]))
    straight, mirrored = (found.output(x, SIZES).logits for x in (images, mirror(images, SIZES)))
    assert torch.equal(mirror(straight, SIZES), mirrored)
    for one, other in zip(found.predict(images, SIZES), found.predict(mirror(images, SIZES), SIZES), strict=True):
        assert torch.equal(one.semantic.flip(-1), other.semantic)
    plain = model()
    assert any(
        not torch.equal(one.semantic.flip(-1), other.semantic)
        for one, other in zip(plain.predict(images, SIZES), plain.predict(mirror(images, SIZES), SIZES), strict=True)
    )


def test_it_is_the_mean_of_the_passes():
    images, size = batch(SIZES[:1]), SIZES[0]
    net = model()
    wanted = torch.zeros(CLASSES, *size)
    with torch.no_grad():
        for flipped in (images, images.flip(-1)):
            for scaled in ((22, 31), (48, 66)):
                seen = F.interpolate(flipped, size=scaled, mode="bilinear", antialias=True)
                found = to_size(net(seen).logits, 4, scaled, size).softmax(1)[0]
                wanted += (found if flipped is images else found.flip(-1)) / 4
        found = MultiScale(scales=[0.6, 1.3])(net, images, (size,))
    assert found.stride == 1
    assert torch.allclose(found.logits[0].exp(), wanted, atol=1e-6)


def test_the_batch_that_an_image_came_in_does_not_matter():
    images, protocol = batch(), MultiScale(scales=[0.7, 1.0, 1.6])
    together = protocol(pointwise, images, SIZES).logits.exp()
    for i, (height, width) in enumerate(SIZES):
        alone = protocol(pointwise, images[i : i + 1, :, :height, :width], SIZES[i : i + 1]).logits.exp()
        assert torch.allclose(together[i, :, :height, :width], alone[0], atol=1e-6)


def test_a_network_that_sees_single_pixels_gives_what_one_pass_does():
    images = batch()
    once = pointwise(images, SIZES).logits.softmax(1)
    found = MultiScale(scales=[1.0], flip=True)(pointwise, images, SIZES).logits.exp()
    for i, (height, width) in enumerate(SIZES):
        assert torch.allclose(found[i, :, :height, :width], once[i, :, :height, :width], atol=1e-6)


def test_one_scale_without_mirroring_is_the_prediction_of_one_pass():
    images = batch()
    found, plain = (model(protocol).predict(images, SIZES) for protocol in (MultiScale(scales=[1.0], flip=False), None))
    assert all(torch.equal(one.semantic, other.semantic) for one, other in zip(found, plain, strict=True))


def test_predictions_are_at_original_size():
    found = model(MultiScale(scales=[1.0])).predict(batch(), SIZES, ((74, 102), (31, 40), (37, 20)))
    assert [tuple(p.semantic.shape) for p in found] == [(74, 102), (31, 40), (37, 20)]


@pytest.mark.parametrize("scales", [[], [0.0, 1.0], [-1.0]])
def test_scales_that_make_no_sense_are_refused(scales):
    with pytest.raises(ConfigError, match=r"scales are numbers above 0; protocol.scales=.*; fix: protocol.scales=\[0.75,1.0,1.25\]"):
        MultiScale(scales=scales)


def test_the_shipped_options():
    found = make(compose("train", ["protocol=multi_scale", "protocol.scales=[0.5,2]"]).protocol)
    assert (found.scales, found.flip) == ((0.5, 2), True)
    assert "protocol" not in compose("train")
