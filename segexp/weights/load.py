"""Weights from files and runs, read by safe formats only."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from segexp.errors import WeightsError
from segexp.functional.tensors import load_plain

HEAD = "head."  # what the names of a head's weights begin with


def read_state(path: Path) -> dict[str, Tensor]:
    """The tensors of a .safetensors file, or of a torch file of plain tensors; of a run's checkpoint those of the model.

    Raises:
        WeightsError: missing, broken, or holding anything but tensors and plain containers.
    """
    if not path.is_file():
        raise WeightsError("the file is missing", where=str(path), fix="name a file that is there, or fetch it first")
    if path.suffix == ".safetensors":
        return _safetensors(path)
    state = load_plain(path)
    state = state.get("state_dict", state) if isinstance(state, Mapping) else state
    if not isinstance(state, Mapping):
        raise WeightsError(f"it holds a {type(state).__name__}, not tensors by name", where=str(path), fix="store a state_dict")
    return part_of({name: value for name, value in state.items() if isinstance(value, Tensor)}, "model.")


def _safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except Exception as error:  # a broken header or an unknown type, of the format's own classes
        what = f"not a checkpoint that can be read safely ({error})"
        raise WeightsError(what, where=str(path), fix="fetch or write it again, as plain tensors") from None


def load_model(model: nn.Module, path: Path, *, without: str | None = None) -> None:
    """Load a checkpoint into a model, strictly.

    Args:
        model: what is filled.
        path: a run's checkpoint, or a file of this model's tensors.
        without: names with this prefix stay as they are in the model.

    Raises:
        WeightsError: missing or left-over weights, or other shapes.
    """
    state, wanted = read_state(path), model.state_dict()
    if without:
        state = {name: value for name, value in state.items() if not name.startswith(without)}
        state |= {name: value for name, value in wanted.items() if name.startswith(without)}
    missing, extra = sorted(wanted.keys() - state.keys()), sorted(state.keys() - wanted.keys())
    shapes = sorted(name for name in wanted.keys() & state.keys() if wanted[name].shape != state[name].shape)
    if missing or extra or shapes:
        parts = (("missing", missing), ("left over", extra), ("of another shape", shapes))
        text = ", ".join(f"{len(names)} {kind} (first {names[0]})" for kind, names in parts if names)
        fix = "drop the overrides that change the model"
        if all(name.startswith(HEAD) for name in (*missing, *extra, *shapes)):
            fix += "; to train from these weights with another head or other classes: weights.skip_head=true"
        raise WeightsError(f"the weights don't fit the model: {text}", where=str(path), fix=fix)
    model.load_state_dict(state)


def part_of(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The entries below `prefix`, without it; all of them where none has it."""
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)} or state
