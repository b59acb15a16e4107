"""What images are normalised by, as keys of any backbone."""

import pytest
import torch

from segexp.build import checked, open_dataset
from segexp.config import compose
from segexp.errors import ConfigError

GREY = "backbone.mean=[127.5,127.5,127.5]"


def model(*overrides):
    config = compose("train", ["model=deeplabv3", *overrides])
    return checked(config, open_dataset(config).spec).model


def test_mean_and_deviation_are_given_in_grey_levels():
    given = model(GREY, "backbone.std=[127.5,51,255]").backbone
    assert torch.equal(torch.tensor(given.mean), torch.full((3,), 0.5)) and given.std == (0.5, 0.2, 1.0)


def test_one_of_them_leaves_the_other():
    assert model(GREY).backbone.std == model().backbone.std


@pytest.mark.parametrize(
    ("override", "what"),
    [
        ("backbone.mean=[1,2]", "3 grey levels of 0 to 255, one per channel, are wanted"),
        ("backbone.mean=128", "3 grey levels of 0 to 255, one per channel, are wanted"),
        ("backbone.std=[1,0,1]", "3 positive grey levels of 0 to 255, one per channel, are wanted"),
        ("backbone.std=[a,b,c]", "3 positive grey levels of 0 to 255, one per channel, are wanted"),
    ],
)
def test_other_values_are_refused(override, what):
    with pytest.raises(ConfigError) as error:
        model(override)
    name = override.split("=")[0]
    assert error.value.what == what and error.value.fix == f"{name}=[127.5,127.5,127.5]"
