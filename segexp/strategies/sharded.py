"""`trainer=fsdp`: weights, gradients and the optimizer's state cut among ranks (FSDP2), and checkpoints written in parts.

The parts of the network that are gathered together are the blocks of the backbone's stages, what is left of the backbone, the
decoder and the head. In an evaluation the weights stay whole: its ranks have different numbers of images, and so can't
gather anything together on the way.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.strategies import ModelParallelStrategy
from pytorch_lightning.strategies.strategy import Strategy
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor, distribute_tensor

from segexp.errors import ConfigError, WeightsError
from segexp.functional.ranks import share_buffers
from segexp.functional.tensors import load_plain
from segexp.model import Model
from segexp.optim.stages import parameter_stages
from segexp.weights.checkpoints import verify
from segexp.weights.sharded import joined, leaves, on_first, read_plain, read_shards, write_sharded


def units(model: Model) -> list[str]:
    """Names of the modules whose weights are gathered together, inner ones before those around them.

    Of the backbone these are the largest modules with parts of their own, all of whose weights belong to one stage, and that
    it calls as a whole; its other weights, those of the stem among them, are the backbone's own.
    """
    backbone = model.backbone
    stages, called = _called_stages(backbone)
    inside = [f"backbone.{name}" for name in _within_a_stage(backbone, "", stages, called)]
    return [*inside, *(name for name, stage in model.stages() if any(True for _ in stage.parameters()))]


def _called_stages(backbone: Any) -> tuple[dict[str, int], set[nn.Module]]:
    """The stage of each weight, and the modules that were called as one for it."""
    called: set[nn.Module] = set()
    hooks = [part.register_forward_pre_hook(lambda module, _: called.add(module) or None) for part in backbone.modules()]
    try:
        return parameter_stages(backbone), called
    finally:
        for hook in hooks:
            hook.remove()


def _within_a_stage(module: nn.Module, name: str, stages: Mapping[str, int], called: set[nn.Module]) -> Iterator[str]:
    for child, part in module.named_children():
        path = f"{name}.{child}".lstrip(".")
        own = {stages.get(f"{path}.{key}") for key, _ in part.named_parameters()}
        if len(own) == 1 and part in called and any(part.children()):
            yield path
        else:
            yield from _within_a_stage(part, path, stages, called)


def shard(model: Model, mesh: DeviceMesh) -> None:
    """Cut a model's weights among the ranks of a mesh, in place; without effect on one that is.

    Raises:
        ConfigError: a weight is a single number.
    """
    if isinstance(model, FSDPModule):
        return
    single = [name for name, weight in model.named_parameters() if weight.dim() == 0]
    if single:
        raise ConfigError(f"the weight {single[0]} is a single number, which can't be cut", where="trainer=fsdp", fix="trainer=ddp")
    model.to(memory_format=torch.contiguous_format)  # all that FSDP2 cuts; activations stay channels last
    for name in units(model):
        fully_shard(model.get_submodule(name), mesh=mesh)
    fully_shard(model, mesh=mesh)
    register_fsdp_forward_method(model, "both")  # what an evaluation calls


class ShardedStrategy(ModelParallelStrategy):
    """Lightning's strategy for FSDP2, cutting over all ranks, with this project's checkpoints.

    A checkpoint of any number of ranks is gone on from with any other, and one that was written in a single file, too.
    """

    setup = Strategy.setup  # ModelParallelStrategy's own wants the LightningModule to know about it, and loads in its own way
    lightning_restore_optimizer = True
    lightning_module_state_dict = Strategy.lightning_module_state_dict
    optimizer_state = Strategy.optimizer_state
    load_model_state_dict = Strategy.load_model_state_dict
    load_optimizer_state_dict = Strategy.load_optimizer_state_dict

    whole = False  # are the weights, for an evaluation?

    def setup_environment(self) -> None:
        self._data_parallel_size, self._tensor_parallel_size = self.num_nodes * self.num_processes, 1
        super().setup_environment()

    def _setup_model(self, model: nn.Module) -> nn.Module:
        if self._layer_sync:
            model = self._layer_sync.apply(model)
        shard(self.network, self.device_mesh["data_parallel"])
        self.names = dict(self.network.named_parameters())
        return model

    @property
    def network(self) -> Any:
        """The chain of stages in the LightningModule."""
        assert self.lightning_module is not None
        return self.lightning_module.model

    # ------------------------------------------------------------------------------------------ steps

    def training_step(self, *args: Any, **kwargs: Any) -> Any:
        share_buffers(self.network)  # as DDP does; an evaluation of Task does it itself
        return super().training_step(*args, **kwargs)

    def on_validation_start(self) -> None:
        self.whole = False

    on_test_start = on_validation_start

    def validation_step(self, *args: Any, **kwargs: Any) -> Any:
        with self._evaluating():
            return super().validation_step(*args, **kwargs)

    def test_step(self, *args: Any, **kwargs: Any) -> Any:
        with self._evaluating():
            return super().test_step(*args, **kwargs)

    @contextmanager
    def _evaluating(self) -> Iterator[None]:
        """Around an evaluation step: with whole weights, and outside of inference mode, whose tensors can't be trained on."""
        with torch.inference_mode(False), torch.no_grad():
            if not self.whole:  # the first step of an evaluation, which all ranks have
                self.whole = True
                self._keep_whole(True)
            yield

    def on_validation_end(self) -> None:
        self._keep_whole(False)

    on_test_end = on_validation_end

    def _keep_whole(self, whole: bool) -> None:
        for part in self.network.modules():
            if isinstance(part, FSDPModule):
                part.set_reshard_after_forward(not whole, recurse=False)
                part.unshard() if whole else part.reshard()

    # ------------------------------------------------------------------------------------------ checkpoints

    def save_checkpoint(self, checkpoint: dict[str, Any], filepath: Any, storage_options: Any = None) -> None:
        """Write a checkpoint in parts, and its record; raises `CheckpointError` on all ranks, and leaves what was there."""
        record = checkpoint.get("run", {}).get("record", {"step": checkpoint.get("global_step", 0)})
        write_sharded(Path(self.broadcast(filepath)), checkpoint, record)

    def load_checkpoint(self, checkpoint_path: Any, weights_only: bool | None = None) -> dict[str, Any]:
        """Verify and read a checkpoint, each rank its parts; raises `WeightsError` on all ranks."""
        path = Path(self.broadcast(checkpoint_path))
        on_first(lambda: verify(path))
        trainer: Any = getattr(self.lightning_module, "trainer", None)
        trainer.fit_loop._combined_loader = None  # made for the schedule of the optimizer, before it was known where to go on
        if not path.is_dir():
            return self._cut(load_plain(path))
        state, places = read_plain(path)
        tensors: dict[str, Any] = {name: self._room(keys, path) for name, keys in places.items()}
        read_shards(path, tensors, alone=False)
        return joined(state, places, tensors)

    def _room(self, keys: list[Any], path: Path) -> Tensor:
        """An empty tensor for what lies in a checkpoint under these keys, cut as the weight that it belongs to."""
        weight = self._weight(keys)
        if weight is None:
            fix = "go on with the config that the run began with, or start from scratch: resume.mode=never"
            raise WeightsError(f"it has {'/'.join(map(str, keys))}, which this model and optimizer haven't", where=str(path), fix=fix)
        return torch.empty_like(weight)

    def _cut(self, state: dict[str, Any]) -> dict[str, Any]:
        """A state whose tensors are whole, with those cut that a sharded run cuts."""
        places, tensors = {}, {}
        for keys, value in leaves(state):
            weight = self._weight(keys)
            if weight is not None and isinstance(value, Tensor) and value.shape == weight.shape:
                name = "/".join(map(str, keys))
                places[name] = keys
                tensors[name] = distribute_tensor(value.contiguous(), weight.device_mesh, weight.placements, src_data_rank=None)
        return joined(state, places, tensors)

    def _weight(self, keys: list[Any]) -> DTensor | None:
        """The cut weight that a value of a checkpoint belongs to, by the keys that lead to it; None where there is none."""
        found = None
        match keys:
            case ["state_dict", str(name)] if name.startswith("model."):
                found = self.names.get(name.removeprefix("model."))
            case ["optimizer_states", number, "state", index, _]:
                weights = [weight for group in self.optimizers[number].param_groups for weight in group["params"]]
                found = weights[index] if index < len(weights) else None
        return found if isinstance(found, DTensor) else None
