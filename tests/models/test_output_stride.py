"""Trained at output stride 16, evaluated at 8 by one override: the rates of the ASPP follow, the weights stay."""

import pytest
import torch

from segexp.build import load, trained
from segexp.cli.main import main
from segexp.runs.directory import RunDirectory

TINY = ["data=shapes", "data.height=64", "data.width=64", "data.train=2", "data.val=2", "data.test=2", "data.loader.batch_size=2"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    outputs = tmp_path_factory.mktemp("outputs")
    model = ["model=deeplabv3plus", "backbone=resnet18", "decoder.width=16", "decoder.low_width=8", "backbone.output_stride=16"]
    assert main(["train", *model, *TINY, "trainer.max_epochs=-1", "trainer.max_steps=1", f"paths.outputs={outputs}"]) == 0
    (config,) = outputs.rglob("config.yaml")
    return config.parent


def rates(model):
    return [branch[0].dilation[0] for branch in model.decoder.aspp.branches[1:]]


def test_rates_follow(run):
    sixteen, eight = load(run), load(run, ["backbone.output_stride=8"])
    assert (rates(sixteen), rates(eight)) == ([6, 12, 18], [12, 24, 36])
    assert (sixteen.backbone.spec["c5"].stride, eight.backbone.spec["c5"].stride) == (16, 8)
    theirs = eight.state_dict()
    assert all(torch.equal(value, theirs[name]) for name, value in sixteen.state_dict().items())


def test_evaluate(run, capsys):
    assert main(["evaluate", str(run), "backbone.output_stride=8"]) == 0
    assert "miou" in capsys.readouterr().out
    config, found = trained(RunDirectory(run), ["backbone.output_stride=8"])
    assert config.backbone.output_stride == 8
    assert found.task.model.decoder.rates == (12, 24, 36)


def test_an_output_stride_that_there_is_not(run, capsys):
    assert main(["evaluate", str(run), "backbone.output_stride=12"]) == 2
    assert "backbone.output_stride" in capsys.readouterr().err


def test_rates_that_were_given_stay(run):
    assert rates(load(run, ["backbone.output_stride=8", "decoder.rates=[6,12,18]"])) == [6, 12, 18]
