"""Weights from files and runs, read by safe formats only."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from segexp.errors import WeightsError


def read_state(path: Path) -> dict[str, Tensor]:
    """The tensors of a .safetensors file, or of a torch file of plain tensors.

    Raises:
        WeightsError: missing, broken, or holding anything but tensors and plain containers.
    """
    if not path.is_file():
        raise WeightsError("the file is missing", where=str(path), fix="name a file that is there, or fetch it first")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # unpicklers, archives and headers fail in many ways
        reason = str(error).strip().split("\n")[0][:160]
        raise WeightsError(f"not a checkpoint that can be read safely ({reason})", where=str(path), fix="store plain tensors") from None
    state = state.get("state_dict", state)
    return {name: value for name, value in state.items() if isinstance(value, Tensor)}


def load_model(model: nn.Module, path: Path) -> None:
    """Load a run's checkpoint into its model, strictly.

    Raises:
        WeightsError: missing or left-over weights, or other shapes.
    """
    state = read_state(path)
    wanted = model.state_dict()
    missing, extra = sorted(wanted.keys() - state.keys()), sorted(state.keys() - wanted.keys())
    shapes = sorted(name for name in wanted.keys() & state.keys() if wanted[name].shape != state[name].shape)
    if missing or extra or shapes:
        parts = (("missing", missing), ("left over", extra), ("of another shape", shapes))
        text = ", ".join(f"{len(names)} {kind} (first {names[0]})" for kind, names in parts if names)
        raise WeightsError(f"the weights don't fit the model: {text}", where=str(path), fix="drop the overrides that change the model")
    model.load_state_dict(state)


def part_of(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The entries below `prefix`, without it; all of them where none has it."""
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)} or state
