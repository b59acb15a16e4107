"""Weights from files and runs, read by safe formats only."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from segexp.errors import WeightsError
from segexp.weights.checkpoints import read_checkpoint, require_file

HEAD = "head."  # what the names of a head's weights begin with
WRAPPERS = ("state_dict", "model_state", "model_state_dict", "model")  # under which training scripts store a model's tensors
REPEATED, SLACK = 16, 2**26  # so often, and so many bytes, may what is stored be repeated by expanded tensors
PARALLEL = "module."  # what DataParallel puts before each name


def read_state(path: Path) -> dict[str, Tensor]:
    """The tensors of a .safetensors file, or of a torch file of plain tensors; of a run's checkpoint those of the model.

    Raises:
        WeightsError: missing, broken, or holding anything but tensors and plain containers.
    """
    require_file(path)
    state = _safetensors(path) if path.suffix == ".safetensors" else _unwrapped(read_checkpoint(path, parts=WRAPPERS))
    if not isinstance(state, Mapping):
        raise WeightsError(f"it holds a {type(state).__name__}, not tensors by name", where=str(path), fix="store a state_dict")
    tensors = {str(name): value for name, value in state.items() if isinstance(value, Tensor)}
    if not tensors:
        keys = ", ".join(map(str, list(state)[:4])) or "none"
        raise WeightsError(f"it holds no tensors by name (its keys: {keys})", where=str(path), fix="store a state_dict")
    _require_held(tensors, path)
    if all(name.startswith(PARALLEL) for name in tensors):
        tensors = {name.removeprefix(PARALLEL): value for name, value in tensors.items()}
    return part_of(tensors, "model.")


def _require_held(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Refuse tensors that repeat a few stored values so often that whatever is computed from them would fill the memory."""
    claimed = sum(value.numel() * value.element_size() for value in tensors.values())
    stored = sum({value.untyped_storage().data_ptr(): value.untyped_storage().nbytes() for value in tensors.values()}.values())
    if claimed > REPEATED * stored + SLACK:
        what = f"its tensors would take {claimed} bytes, and it holds {stored}"
        raise WeightsError(what, where=str(path), fix="store them as they are: tensor.contiguous()")


def _unwrapped(state: Any) -> Any:
    """What a training script stored beside optimizer and counters: the state of its model."""
    while isinstance(state, Mapping):
        inner = next((state[key] for key in WRAPPERS if isinstance(state.get(key), Mapping)), None)
        if inner is None:
            break
        state = inner
    return state


def _safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except Exception as error:  # a broken header or an unknown type, of the format's own classes
        what = f"not a checkpoint that can be read safely ({error})"
        raise WeightsError(what, where=str(path), fix="fetch or write it again, as plain tensors") from None


def require_finite(state: Mapping[str, Tensor], where: str) -> None:
    """Refuse weights that aren't numbers; a training that diverged leaves such.

    Raises:
        WeightsError: names the first.
    """
    broken = [name for name, value in state.items() if not value.float().isfinite().all()]
    if broken:
        what = f"{len(broken)} of {len(state)} weights have values that are NaN or infinite (first {broken[0]})"
        raise WeightsError(what, where=where, fix="take an earlier checkpoint")


def load_model(model: nn.Module, path: Path, *, without: str | None = None) -> None:
    """Load a checkpoint into a model, strictly.

    Args:
        model: what is filled.
        path: a run's checkpoint, or a file of this model's tensors.
        without: names with this prefix stay as they are in the model.

    Raises:
        WeightsError: missing or left-over weights, or other shapes.
    """
    load_state(model, read_state(path), path, without=without)


def load_state(model: nn.Module, state: dict[str, Tensor], path: Path, *, without: str | None = None) -> None:
    """Fill a model with tensors of its own names that were read from `path`; see `load_model`."""
    wanted = model.state_dict()
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
