"""Mean probabilities of segments against the softmax of every pixel."""

import pytest
import torch

from segexp.functional import probabilities
from segexp.functional.probabilities import mean_probabilities
from segexp.functional.resize import to_size


@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize(("size", "original"), [((21, 30), (21, 30)), ((21, 30), (40, 51)), ((24, 32), (13, 20))])
def test_equals_the_softmax_of_every_pixel(aligned, size, original, monkeypatch):
    monkeypatch.setattr(probabilities, "WORKING_SET", 300)
    rng = torch.Generator().manual_seed(0)
    logits = 30 * torch.randn(5, 8, 10, generator=rng)
    segments = torch.randint(0, 4, original, generator=rng).int()
    labels = torch.tensor([4, 0, 4, 2])  # the last without a pixel
    found = mean_probabilities(logits, 4, size, original, segments, labels, aligned=aligned)
    full = to_size(logits[None], 4, size, original, aligned=aligned)[0].softmax(0)
    wanted = [full[label][segments == number].mean() for number, label in enumerate(labels.tolist()[:3], 1)]
    assert torch.allclose(found[:3], torch.stack(wanted), atol=1e-5)
    assert found[3] == 0


def test_no_segment():
    none = torch.zeros(0, dtype=torch.int64)
    assert mean_probabilities(torch.randn(3, 4, 4), 1, (4, 4), (4, 4), torch.zeros(4, 4, dtype=torch.int32), none).shape == (0,)
