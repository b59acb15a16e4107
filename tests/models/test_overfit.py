"""A sample of the models learns eight scenes by heart; `python -m tests.benchmarks.overfit` takes all of them."""

import pytest

from tests.benchmarks.overfit import WANTED, overfit


@pytest.mark.slow
@pytest.mark.parametrize("model", ["unet", "segformer"])  # the quickest: stride 1 from a U, stride 4 from an MLP
def test_it_learns_eight_scenes_by_heart(model):
    name, value, _, _ = overfit(model, "data.height=48", "data.width=64")
    assert value >= WANTED[name]
