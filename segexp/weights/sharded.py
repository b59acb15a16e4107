"""Checkpoints of sharded runs: a folder to which each rank writes its parts, and one file of all that isn't cut.

The parts are written and read by torch.distributed.checkpoint (`__<rank>_0.distcp`, and `.metadata` that says which part lies
where); what every rank has alike (running statistics, counters, schedules) is in `state.pt`, with the places of the cut tensors
in it. Joined, they are what a run of one process writes, so that either is read in place of the other.
"""

from __future__ import annotations

import io
import os
import pickle
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch import Tensor
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.metadata import Metadata, StorageMeta, TensorStorageMetadata
from torch.distributed.tensor import DTensor

from segexp.errors import SegexpError, WeightsError
from segexp.functional.files import remove, sync_folder, write_json
from segexp.functional.tensors import load_plain, plain_only, require_stored
from segexp.weights.checkpoints import contents, record_file, stream, told

PLAIN, METADATA = "state.pt", ".metadata"
_META, _FILES = "torch.distributed.checkpoint.metadata", "torch.distributed.checkpoint.filesystem"
KNOWN = {  # all that a `.metadata` names; none of it does anything but hold values
    *((_META, name) for name in ("Metadata", "TensorStorageMetadata", "ChunkStorageMetadata", "TensorProperties", "MetadataIndex")),
    *((_META, name) for name in ("StorageMeta", "_MEM_FORMAT_ENCODING")),
    (_FILES, "_StorageInfo"),
    ("torch", "Size"),
    ("torch.serialization", "_get_layout"),
    *(("torch", name) for name in ("float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool")),
}
Keys = list[Any]  # the way to a value through dicts and lists


def read_sharded(path: Path, parts: tuple[str, ...] = ()) -> dict[str, Any]:
    """The whole state in a sharded checkpoint, on the CPU; see `segexp.weights.checkpoints.read_checkpoint`."""
    state, places = read_plain(path)
    cut = {name: keys for name, keys in places.items() if not parts or keys[0] in parts}
    entries: dict[str, Any] = read_metadata(path).state_dict_metadata
    whole = {name: torch.empty(entries[name].size, dtype=entries[name].properties.dtype) for name in cut}
    read_shards(path, whole, alone=True)
    return joined(state, cut, whole)


def split(state: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Keys], dict[str, DTensor]]:
    """A state without its cut tensors, where those belong, and they themselves by name."""
    places = {"/".join(map(str, keys)): keys for keys, value in leaves(state) if isinstance(value, DTensor)}
    shards = {"/".join(map(str, keys)): value for keys, value in leaves(state) if isinstance(value, DTensor)}
    return _without(state), places, shards


def leaves(value: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[Keys, Any]]:
    """The values in dicts and lists, each with the keys that lead to it."""
    if isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(item, (*way, key))
    else:
        yield [*way], value


def _without(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without(item) for item in value]
    return None if isinstance(value, DTensor) else value


def joined(state: dict[str, Any], places: Mapping[str, Keys], tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """The state with tensors put in their places."""
    for name, (*way, last) in places.items():
        inner: Any = state
        for key in way:
            inner = inner[key]
        inner[last] = tensors[name]
    return state


# ------------------------------------------------------------------------------------------------ writing


def write_sharded(path: Path, state: Mapping[str, Any], record: Mapping[str, Any]) -> None:
    """Write a state and its record; every rank calls it, and each writes its parts.

    All is written and synced in a temporary folder beside its place. The first rank then reads it back and renames it, and
    writes the record: until then the checkpoint doesn't count.

    Args:
        path: `<folder>/step-<n>.ckpt`, on a disk that all ranks see; the first rank's counts.
        state: tensors (those that are cut as DTensors) and plain containers.
        record: joined to sha256, size and shards in the file beside it; the first rank's counts.

    Raises:
        CheckpointError: a rank can't write, or what was written can't be read. What was there stays.
    """
    plain, places, shards = split(state)
    folder: list[Path] = []
    try:
        folder.append(on_first(lambda: _begun(path)))
        with told(path):
            _save(folder[0], shards)
        on_first(lambda: _ended(folder[0], path, {"state": plain, "places": places}, record))
    finally:
        if folder and dist.get_rank() == 0:
            remove(folder[0])


def on_first(work: Callable[[], Any]) -> Any:
    """What the first rank makes of it, for all ranks; the `SegexpError` that it raises, all raise."""
    said: list[Any] = [None, None]
    if dist.get_rank() == 0:
        try:
            said[0] = work()
        except SegexpError as error:
            said[1] = error
    dist.broadcast_object_list(said, src=0)
    if said[1] is not None:
        raise said[1]
    return said[0]


def _begun(path: Path) -> Path:
    folder = path.with_name(f"{path.name}.tmp.{os.getpid()}")
    with told(path):
        remove(folder)
        folder.mkdir(parents=True)
    return folder


class _Writer(dcp.FileSystemWriter):
    """One file of each rank, synced; nothing about this machine in `.metadata`."""

    def storage_meta(self) -> StorageMeta | None:
        return None


def _save(folder: Path, shards: dict[str, DTensor]) -> None:
    """Raises OSError, on every rank, where one of them couldn't write."""
    planner = dcp.DefaultSavePlanner(flatten_state_dict=False, dedup_save_to_lowest_rank=True)
    try:
        dcp.save(shards, storage_writer=_Writer(folder, single_file_per_rank=True, sync_files=True), planner=planner)
    except CheckpointException as error:
        rank, (cause, _) = min(error.failures.items())
        reason = getattr(cause, "strerror", None) or str(cause) or type(cause).__name__
        raise OSError(getattr(cause, "errno", None) or 5, f"rank {rank}: {reason}") from error


def _ended(folder: Path, path: Path, plain: Mapping[str, Any], record: Mapping[str, Any]) -> None:
    with told(path):
        stream(folder / PLAIN, plain)
        read_plain(folder)
        sync_folder(folder)
        found = contents(folder)
        record_file(path).unlink(missing_ok=True)  # what stands there is of the same step, and was never in use
        remove(path)
        folder.replace(path)
        sync_folder(path.parent)
        write_json(record_file(path), {**record, **found})


# ------------------------------------------------------------------------------------------------ reading


def read_plain(folder: Path) -> tuple[dict[str, Any], dict[str, Keys]]:
    """What of a sharded checkpoint isn't cut, and the places of what is.

    Raises:
        WeightsError: missing, broken, or its parts and places don't agree.
    """
    content = load_plain(folder / PLAIN)
    if not isinstance(content, dict) or not isinstance(content.get("state"), dict) or not isinstance(content.get("places"), dict):
        raise _broken(folder / PLAIN, "it isn't the plain part of a sharded checkpoint")
    if content["places"].keys() != read_metadata(folder).state_dict_metadata.keys():
        raise _broken(folder / METADATA, f"its tensors aren't those of {PLAIN}")
    return content["state"], content["places"]


def read_metadata(folder: Path) -> Metadata:
    """Which tensors a sharded checkpoint has, and which part of each lies where; nothing that it names is called.

    Raises:
        WeightsError: missing, broken, naming anything but what such a file holds, or files outside the folder.
    """
    path = folder / METADATA
    try:
        with path.open("rb") as file:
            found = _Unpickler(file).load()
    except Exception as error:  # unpicklers fail in many ways
        raise _broken(path, f"not a list of shards that can be read safely ({error or type(error).__name__})") from None
    try:
        fault = _fault(found, folder)
    except (AttributeError, TypeError, KeyError, ValueError) as error:
        fault = f"it isn't what torch.distributed.checkpoint writes ({type(error).__name__})"
    if fault:
        raise _broken(path, fault)
    return found


_InPython: Any = pickle._Unpickler  # the one in C can't be told what to do for an opcode


class _Unpickler(_InPython):
    """Names what a list of shards names, and nothing else; fills what it has made itself, never a class or what others share."""

    dispatch = dict(_InPython.dispatch)

    def load_build(self) -> None:
        filled = self.stack[-2]
        if isinstance(filled, type) or not is_dataclass(filled):
            raise pickle.UnpicklingError(f"it changes {filled!r}")
        super().load_build()

    dispatch[pickle.BUILD[0]] = load_build

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in KNOWN:
            raise pickle.UnpicklingError(f"it names {module}.{name}")
        return super().find_class(module, name)


def _fault(found: Any, folder: Path) -> str:
    """What is wrong with a list of shards; nothing: an empty text."""
    if not isinstance(found, Metadata) or not all(isinstance(e, TensorStorageMetadata) for e in found.state_dict_metadata.values()):
        return "it lists something that isn't a tensor"
    files = {path.name for path in folder.iterdir() if path.is_file() and not path.is_symlink()}
    room = sum((folder / name).stat().st_size for name in files)
    for info in found.storage_data.values():
        if info.relative_path not in files:
            return f"it names the shard {info.relative_path}, which isn't there"
        if getattr(info, "transform_descriptors", None):
            return f"{info.relative_path} is compressed"
    for name, entry in found.state_dict_metadata.items():
        elements, covered = entry.size.numel(), sum(chunk.sizes.numel() for chunk in entry.chunks)
        if elements != covered or elements * entry.properties.dtype.itemsize > room:
            return f"its parts of {name} don't make up {tuple(entry.size)}"
    return ""


class _Reader(dcp.FileSystemReader):
    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.folder = folder

    def read_metadata(self, *args: Any, **kwargs: Any) -> Metadata:
        return read_metadata(self.folder)

    def _slice_file(self, file: Any, info: Any) -> Any:
        part = io.BytesIO(super()._slice_file(file, info).read())
        require_stored(part, info.length)
        part.seek(0)
        return part


def read_shards(folder: Path, into: dict[str, Any], *, alone: bool) -> None:
    """Fill tensors, whole or cut anyhow, from the shards of a folder.

    Args:
        folder: a sharded checkpoint.
        into: by name; the values are overwritten.
        alone: this process reads by itself; otherwise all ranks call it, each with its parts.

    Raises:
        WeightsError: a shard can't be read, or a tensor has another shape.
    """
    planner = dcp.DefaultLoadPlanner(flatten_state_dict=False)
    try:
        with plain_only(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that this process is alone
            dcp.load(into, storage_reader=_Reader(folder), planner=planner, no_dist=alone)
    except CheckpointException as error:
        rank, (cause, _) = min(error.failures.items())
        told_by = cause.what if isinstance(cause, SegexpError) else f"{type(cause).__name__}: {cause}"
        raise _broken(folder, f"its shards can't be read (rank {rank}: {told_by.splitlines()[0][:160]})") from None


def _broken(path: Path, what: str) -> WeightsError:
    return WeightsError(what, where=str(path), fix="use another checkpoint")
