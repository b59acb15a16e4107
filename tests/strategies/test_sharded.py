"""Training with cut weights: checkpoints in parts are what a run of one process writes, and a run goes on from them to the bit."""

import json
import signal

import pytest
import torch

from segexp.build import build, checked, open_dataset
from segexp.check.values import wrong_values
from segexp.config import compose
from segexp.errors import ConfigError
from segexp.functional.files import remove_orphans
from segexp.optim.stages import parameter_stages
from segexp.runs.settings import check_settings
from segexp.strategies.sharded import shard, units
from segexp.weights.checkpoints import newest, record_of
from segexp.weights.load import load_model, read_state
from tests.strategies.ranks import launch
from tests.strategies.worker import CHAINS, digest, tiny


def seen(folder, name):
    return json.loads((folder / f"{name}.json").read_text())


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder of a training on two ranks, with what each of them saw."""
    folder = tmp_path_factory.mktemp("ranks")
    codes, said = launch("train", folder)
    assert (folder / "1.json").exists(), "\n".join(text[-3000:] for text in said)
    return folder, codes, [seen(folder, rank) for rank in range(2)]


@pytest.mark.slow
def test_two_ranks_hold_half_of_the_weights_each(trained):
    _, _, (first, second) = trained
    assert first["strategy"] == "ShardedStrategy"
    assert first["bytes"] + second["bytes"] == first["all"] == sum(p.numel() for p in build(tiny(2), vetted=True).task.model.parameters())
    assert abs(first["bytes"] - second["bytes"]) < 0.05 * first["all"]
    assert first["figures"] == second["figures"]


@pytest.mark.slow
def test_a_run_goes_on_from_parts_and_from_a_file_as_if_nothing_had_happened(trained):
    for rank in trained[2]:
        assert rank["resumed"] == rank["from a file"] == rank["undisturbed"]


@pytest.mark.slow
def test_joined_they_are_the_weights_and_moments_of_all_ranks(trained):
    folder, _, (first, _) = trained
    assert first["joined"] == first["undisturbed"]
    path = folder / "a/checkpoints/step-4.ckpt"
    assert {"__0_0.distcp", "__1_0.distcp"} < record_of(path)["shards"].keys()
    model = build(tiny(2), weights=False, vetted=True).task.model
    load_model(model, path)
    assert digest(model.state_dict()) == digest(read_state(path))
    with torch.no_grad():
        assert model.eval()(torch.zeros(1, 3, 32, 32)).logits.isfinite().all()


@pytest.mark.slow
def test_one_rank_goes_on_from_the_parts_of_two(trained):
    folder, _, (first, _) = trained
    codes, said = launch("other", folder, world=1)
    assert codes == [0], said[0][-3000:]
    assert seen(folder, "on-1-0") == {"state": first["undisturbed"], "step": 4}


@pytest.mark.slow
def test_a_rank_that_cannot_save_is_named_by_all_and_nothing_is_lost(trained):
    folder, _, ranks = trained
    for rank in ranks:
        assert rank["shard"].startswith("CheckpointError: it can't be written: rank 1: No space left on device;")
        assert rank["end"].startswith("CheckpointError: it can't be written: No space left on device;")
        assert rank["damaged"].startswith("WeightsError: it has 1 bytes, written were")
        assert rank["after"] is None
    assert ranks[1]["finite"].startswith("NonFiniteLossError: the weight ")
    left = {path.name for path in (folder / "a/checkpoints").iterdir()}
    assert not any(name.startswith(("step-5", "step-6")) for name in left)


@pytest.mark.slow
def test_a_kill_between_the_parts_and_the_rename_leaves_the_one_before(trained):
    folder, codes, _ = trained
    place = folder / "a/checkpoints"
    assert codes[0] == -signal.SIGKILL and codes[1] != 0
    assert [path.name.partition(".tmp.")[0] for path in place.iterdir() if ".tmp." in path.name] == ["step-9.ckpt"]
    assert newest(place) == (place / "step-8.ckpt", [])
    remove_orphans(place)
    assert not [path for path in place.iterdir() if ".tmp." in path.name]
    shard_file = place / "step-8.ckpt/__1_0.distcp"
    shard_file.write_bytes(shard_file.read_bytes()[:100])
    found, (fault,) = newest(place)
    assert found == place / "step-4.ckpt"
    assert fault.where == str(shard_file) and fault.what.startswith("it has 100 bytes, written were")


@pytest.mark.long
def test_gradients_are_those_of_whole_weights(tmp_path):
    codes, said = launch("gradients", tmp_path)
    assert codes == [0, 0], said[0][-3000:]
    ranks = [seen(tmp_path, f"gradients-{rank}") for rank in range(2)]
    for found in ranks:
        assert found.keys() == CHAINS.keys()
        assert all(chain["difference"] < 1e-5 and chain["weights"] > 20 for chain in found.values()), found
    assert ranks[1]["panoptic"]["without a part"] > 0  # the centre's one channel, which rank 0 has


# ------------------------------------------------------------------------------------------------ parts


def test_the_parts_of_a_large_network_are_its_stages():
    config = compose("train", ["backbone=resnet101", "model=deeplabv3plus", "trainer.accelerator=cpu"])
    model = checked(config, open_dataset(config).spec).model  # on the meta device
    names = units(model)
    assert names == [*(f"backbone.net.layer{stage}" for stage in (1, 2, 3, 4)), "backbone", "decoder", "head"]
    inside = {name: list(model.get_submodule(name).parameters()) for name in names}
    assert all(weight.is_meta for weight in inside["backbone"])
    of_stages = sum(p.numel() for name in names[:4] for p in inside[name])
    assert of_stages > 0.99 * sum(p.numel() for p in inside["backbone"])  # the stem is what is left
    assert set(parameter_stages(model.backbone).values()) == {1, 2, 3, 4, 5}


@pytest.mark.parametrize("backbone", ["resnet18", "mobilenet_v3_small", "convnext_atto", "mit_b0", "vit_tiny"])
def test_parts_lie_within_a_stage_and_are_called_as_one(backbone):
    needed = {"vit_tiny": ["model=dpt"], "mit_b0": ["decoder=fpn"], "convnext_atto": ["decoder=fpn"]}
    config = compose("train", [*needed.get(backbone, ()), f"backbone={backbone}"])
    model = checked(config, open_dataset(config).spec).model
    stages, called = parameter_stages(model.backbone), []
    names = [name for name in units(model) if name.startswith("backbone.")]
    for name in names:
        own = {stages.get(f"{name}.{key}".removeprefix("backbone.")) for key, _ in model.get_submodule(name).named_parameters()}
        assert len(own) == 1
        model.get_submodule(name).register_forward_pre_hook(lambda *_, name=name: called.append(name))
    side = 64 if backbone != "vit_tiny" else 2 * model.backbone.pad_to
    model.backbone(torch.zeros(1, 3, side, side, device="meta"))
    assert sorted(called) == sorted(names) and len(names) >= 1


def test_a_weight_that_is_a_single_number_is_refused():
    model = torch.nn.Module()
    model.scale = torch.nn.Parameter(torch.tensor(1.0))
    with pytest.raises(ConfigError, match="the weight scale is a single number, which can't be cut; trainer=fsdp; fix: trainer=ddp"):
        shard(model, None)


# ------------------------------------------------------------------------------------------------ what is refused


REFUSED = {
    "trainer.compile=true": ("trainer.compile", "stages that are cut among ranks aren't compiled"),
    "trainer.precision=16-mixed": ("trainer.precision", "gradients that are cut among ranks aren't scaled"),
    "callbacks=ema": ("callbacks.ema", "weights that are cut among ranks aren't averaged over time"),
}


@pytest.mark.parametrize("override", REFUSED)
def test_what_it_cannot_do_is_refused_when_the_config_is_checked(override):
    key, what = REFUSED[override]
    config = compose("train", ["trainer=fsdp", override])
    (fault,) = wrong_values(config)
    assert (fault.key, fault.what) == (key, what) and fault.fix.endswith("or trainer=ddp")
    with pytest.raises(ConfigError, match=what) as caught:
        check_settings(config)
    assert caught.value.where.startswith(f"{key}=")
    assert wrong_values(compose("train", ["trainer=ddp", override])) == []


def test_what_it_can_do_is_not_refused():
    for override in ("trainer.gradient_clip_val=1.0", "trainer.precision=bf16-mixed", "trainer.sync_batchnorm=true"):
        config = compose("train", ["trainer=fsdp", override])
        assert wrong_values(config) == []
        check_settings(config)
