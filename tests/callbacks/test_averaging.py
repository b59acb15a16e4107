"""Averaged weights: their value by hand, and that they are what is evaluated, saved and left at the end."""

import math

import pytest
import torch
from pytorch_lightning import LightningModule

from segexp.build import build, trained, trainer
from segexp.callbacks.averaging import AveragedWeights
from segexp.callbacks.evaluation import RunInfo
from segexp.errors import ConfigError
from segexp.functional.tensors import load_plain
from segexp.runs.directory import RunDirectory
from segexp.weights.checkpoints import listed, pointed
from segexp.weights.load import read_state
from tests.runs.planned import run
from tests.test_task import fit, small

DECAY = 0.9
EMA = ("callbacks=ema", f"callbacks.ema.decay={DECAY}")


def weights(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


class Small(LightningModule):
    def __init__(self):
        super().__init__()
        self.still, self.moves = torch.nn.Parameter(torch.tensor(0.485)), torch.nn.Parameter(torch.tensor(0.0))
        self.register_buffer("steps", torch.tensor(0))


def test_the_average_is_exact_and_what_does_not_change_stays():
    callback, module = AveragedWeights(decay=0.9999), Small()
    callback.setup(None, module, "fit")
    for step in range(3):
        module.moves.data.fill_(step)
        module.steps.fill_(step)
        callback._average_model.update_parameters(module)
    average = callback._average_model.module
    assert torch.equal(average.still, module.still)  # where decay x a + (1 - decay) x a would have moved
    assert average.moves.item() == pytest.approx(0.9999 * 1e-4 * 1 + 1e-4 * 2, rel=1e-5)
    assert average.steps.item() == 2


def test_updates_are_every_so_many_steps():
    average = AveragedWeights(update_every_n_steps=3)
    assert [step for step in range(8) if average.should_update(step_idx=step)] == [0, 3, 6]
    assert not average.should_update(epoch_idx=0)


@pytest.mark.parametrize(("key", "value"), [("decay", 1.0), ("decay", -0.1), ("update_every_n_steps", 0)])
def test_values_out_of_range_are_refused(key, value):
    with pytest.raises(ConfigError, match=rf"callbacks\.ema\.{key}; fix: "):
        AveragedWeights(**{key: value})


class Trail:
    """The trained weights after each step, by a hook on the optimizer."""

    def __init__(self, task):
        self.found, make = [], task.configure_optimizers

        def configured():
            parts = make()
            parts["optimizer"].register_step_post_hook(lambda *_: self.found.append(weights(task.model)))
            return parts

        task.configure_optimizers = configured


def test_checkpoints_figures_and_the_model_at_the_end_are_the_average(tmp_path):
    config = small(*EMA, "trainer.max_epochs=2")
    experiment = build(config)
    trail = Trail(experiment.task)
    lightning = trainer(config, RunInfo(tmp_path, config.monitor), training=True)
    lightning.fit(experiment.task, datamodule=experiment.datamodule)
    name = "head.classify.weight"
    wanted = trail.found[0][name]
    for state in trail.found[1:]:
        wanted = wanted.lerp(state[name], 1 - DECAY)
    torch.testing.assert_close(experiment.task.model.state_dict()[name], wanted)
    assert not torch.allclose(wanted, trail.found[-1][name])
    saved = read_state(listed(tmp_path / "checkpoints")[0])
    assert all(torch.equal(value, saved[key]) for key, value in experiment.task.model.state_dict().items())
    kept = load_plain(listed(tmp_path / "checkpoints")[0])["current_model_state"]
    assert torch.equal(kept[f"model.{name}"], trail.found[-1][name])
    during = dict(experiment.task.figures["val"])
    lightning.validate(experiment.task, datamodule=experiment.datamodule, verbose=False)
    assert {k: v for k, v in experiment.task.figures["val"].items() if not math.isnan(v)} == {
        k: v for k, v in during.items() if not math.isnan(v)
    }


def test_a_run_is_loaded_with_its_average(tmp_path):
    folder = run(tmp_path, *EMA).directory
    loaded = trained(RunDirectory(folder.path))[1].task.model.state_dict()
    checkpoint = pointed(folder.checkpoints, "last")
    average, last = read_state(checkpoint), load_plain(checkpoint)["current_model_state"]
    assert all(torch.equal(value, average[name]) for name, value in loaded.items())
    assert not torch.equal(loaded["head.classify.weight"], last["model.head.classify.weight"])


def test_frozen_weights_are_their_own_average(tmp_path):
    overrides = ("callbacks=ema", "callbacks.ema.decay=0.9999", "backbone.freeze=5")
    before = weights(build(small(*overrides)).task.model.backbone)
    after = fit(tmp_path, *overrides)[0].task.model.backbone.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
