"""The folder of a sharded checkpoint: there as a whole or not at all, read back to the bit, and nothing in it is ever called."""

import errno
import json
import os
import pickle
import shutil
import zipfile

import pytest
import torch
import torch.distributed as dist
from torch.distributed.checkpoint.metadata import BytesStorageMetadata
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Shard, distribute_tensor

from segexp.errors import WeightsError
from segexp.functional.files import remove_orphans
from segexp.weights import sharded
from segexp.weights.checkpoints import (
    CheckpointError,
    listed,
    newest,
    pointed,
    read_checkpoint,
    record_of,
    require_file,
    set_aside,
    settle,
    sha256,
    verify,
    write,
)
from segexp.weights.load import read_state
from segexp.weights.sharded import METADATA, PLAIN, read_metadata, read_plain, write_sharded


@pytest.fixture(scope="module", autouse=True)
def group():
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield init_device_mesh("cpu", (1,))
    dist.destroy_process_group()


def cut(tensor):
    return distribute_tensor(tensor, init_device_mesh("cpu", (1,)), [Shard(0)])


def whole(number):
    weight = torch.arange(15.0).reshape(5, 3) + number
    moments = {0: {"step": torch.tensor(2.0), "exp_avg": weight / 3}}
    return {
        "state_dict": {"model.w": weight, "model.mean": torch.ones(2), "model.n": torch.tensor(7)},
        "optimizer_states": [{"state": moments, "param_groups": [{"lr": 0.1, "betas": (0.9, 0.99), "params": [0]}]}],
        "step": number,
        "names": ["a", None, 1.5, True],
    }


def save(folder, number, name=None):
    state = whole(number)
    state["state_dict"]["model.w"] = cut(state["state_dict"]["model.w"])
    state["optimizer_states"][0]["state"][0]["exp_avg"] = cut(state["optimizer_states"][0]["state"][0]["exp_avg"])
    path = folder / f"{name or f'step-{number}'}.ckpt"
    write_sharded(path, state, {"step": number, "score": number / 10, "files": {"metrics.jsonl": 3}})
    return path


def same(one, two):
    if isinstance(one, torch.Tensor):
        return torch.equal(one, two) and one.dtype == two.dtype
    if isinstance(one, dict):
        return one.keys() == two.keys() and all(same(one[key], two[key]) for key in one)
    if isinstance(one, list | tuple):
        return type(one) is type(two) and len(one) == len(two) and all(map(same, one, two))
    return one == two


def test_what_is_written_is_read_again_with_its_record(tmp_path):
    path = save(tmp_path / "checkpoints", 4)
    assert same(read_checkpoint(path), whole(4))
    assert not same(read_checkpoint(path), whole(5))
    record = json.loads(path.with_suffix(".json").read_text())
    files = {file.name: {"sha256": sha256(file), "size": file.stat().st_size} for file in path.iterdir()}
    assert record["shards"] == files and files.keys() == {"__0_0.distcp", METADATA, PLAIN}
    assert (record["step"], record["score"], record["files"]) == (4, 0.4, {"metrics.jsonl": 3})
    assert record["sha256"] == sha256(path) and record["size"] == sum(file["size"] for file in files.values())
    verify(path)
    assert [file.name for file in path.parent.iterdir() if ".tmp." in file.name] == []


def test_only_parts_of_it_are_read_where_only_they_are_wanted(tmp_path):
    state = read_checkpoint(save(tmp_path, 1), parts=("state_dict",))
    assert same(state["state_dict"], whole(1)["state_dict"])
    assert state["optimizer_states"][0]["state"][0]["exp_avg"] is None


def test_the_weights_of_a_model_are_read_from_it(tmp_path):
    assert same(read_state(save(tmp_path, 1)), {"w": whole(1)["state_dict"]["model.w"], "mean": torch.ones(2), "n": torch.tensor(7)})
    (tmp_path / "other").mkdir()
    with pytest.raises(WeightsError, match="it is a folder"):
        require_file(tmp_path / "other")


# ------------------------------------------------------------------------------------------------ never half-written


def test_pointers_pruning_and_setting_aside_as_with_files(tmp_path):
    for number in (1, 2, 3, 4):
        save(tmp_path, number)
        settle(tmp_path, f"step-{number}", "val/loss", keep=2)
    assert [path.stem for path in listed(tmp_path)] == ["step-4", "step-3", "step-1"]  # and the best
    assert not (tmp_path / "step-2.ckpt").exists()
    assert pointed(tmp_path, "best") == tmp_path / "step-1.ckpt"
    for _ in range(2):  # the second time over what was set aside before
        set_aside(save(tmp_path, 4))
    assert (tmp_path / "step-4.ckpt.broken" / PLAIN).is_file() and not (tmp_path / "step-4.ckpt").exists()
    assert newest(tmp_path)[0] == tmp_path / "step-3.ckpt"


def truncated(path):
    shard = path / "__0_0.distcp"
    shard.write_bytes(shard.read_bytes()[:-5])


def flipped(path):
    shard = path / "__0_0.distcp"
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(bytes(content))


DAMAGE = {
    "truncated shard": (truncated, r"it has \d+ bytes, written were \d+", "__0_0.distcp"),
    "flipped bit": (flipped, "its sha256 isn't the one that was written", "__0_0.distcp"),
    "missing shard": (lambda path: (path / "__0_0.distcp").unlink(), "__0_0.distcp is missing", "step-2.ckpt"),
    "empty list": (lambda path: (path / METADATA).write_bytes(b""), r"it has 0 bytes", METADATA),
    "another file": (lambda path: (path / "x").touch(), "x was never written", "step-2.ckpt"),
    "gone": (shutil.rmtree, r"\.metadata is missing", "step-2.ckpt"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_named_and_the_one_before_is_taken(tmp_path, name):
    damage, what, where = DAMAGE[name]
    first, second = save(tmp_path, 1), save(tmp_path, 2)
    damage(second)
    if name == "gone":
        second.mkdir()
    found, (fault,) = newest(tmp_path)
    assert found == first
    with pytest.raises(WeightsError, match=what) as caught:
        verify(second)
    assert caught.value.where.endswith(where) and fault.what == caught.value.what


@pytest.mark.parametrize("at", ["_save", "stream", "contents", "sync_folder", "write_json"])
def test_a_write_that_fails_leaves_the_one_before(tmp_path, monkeypatch, at):
    first = save(tmp_path, 1)

    def full(*args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(sharded, at, full)
    with pytest.raises(CheckpointError, match="it can't be written: No space left on device") as caught:
        save(tmp_path, 2)
    assert caught.value.where == str(tmp_path / "step-2.ckpt")
    monkeypatch.undo()
    assert newest(tmp_path) == (first, [])
    assert [path.name for path in tmp_path.iterdir() if ".tmp." in path.name] == []
    assert newest(tmp_path)[0] != save(tmp_path, 2)  # it can be saved again, over what may be there
    assert newest(tmp_path)[0] == tmp_path / "step-2.ckpt"


def test_a_shard_that_cannot_be_written_is_told_with_its_rank(tmp_path, monkeypatch):
    def broken(*args, **kwargs):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(sharded._Writer, "write_data", broken)
    with pytest.raises(CheckpointError, match="it can't be written: rank 0: Input/output error"):
        save(tmp_path, 1)


def test_what_a_dead_process_was_writing_is_removed(tmp_path):
    path = save(tmp_path, 1)
    left = tmp_path / "step-2.ckpt.tmp.999999999"
    shutil.copytree(path, left)
    alive = tmp_path / f"step-3.ckpt.tmp.{os.getppid()}"
    shutil.copytree(path, alive)
    remove_orphans(tmp_path)
    assert not left.exists() and alive.exists() and path.exists()
    assert listed(tmp_path) == [path]


def test_a_file_and_a_folder_of_one_step_take_each_others_place(tmp_path):
    path = save(tmp_path, 1)
    path.with_suffix(".json").unlink()  # as a kill before the record leaves it
    write(path, whole(1), {"step": 1})
    assert path.is_file() and same(read_checkpoint(path), whole(1))
    assert "shards" not in record_of(path)
    assert save(tmp_path, 1).is_dir()
    verify(path)


# ------------------------------------------------------------------------------------------------ hostile content


class Payload:
    """Makes a folder where it is unpickled."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


def rewritten(path, change):
    """The list of shards changed, as somebody who can write it would."""
    metadata = pickle.loads((path / METADATA).read_bytes())
    (path / METADATA).write_bytes(pickle.dumps(change(metadata) or metadata))


def outside(metadata):
    for info in metadata.storage_data.values():
        info.relative_path = "../step-1.ckpt/__0_0.distcp"


def huge(metadata):
    metadata.state_dict_metadata["state_dict/model.w"].size = torch.Size([2**40, 3])


def uncovered(metadata):
    metadata.state_dict_metadata["state_dict/model.w"].chunks.clear()


def bytes_entry(metadata):
    metadata.state_dict_metadata["state_dict/model.w"] = BytesStorageMetadata()


def renamed(metadata):
    metadata.state_dict_metadata["other"] = metadata.state_dict_metadata.pop("state_dict/model.w")


def packed(metadata):
    for info in metadata.storage_data.values():
        info.transform_descriptors = ["stream.zstd"]


FORGED = {
    "a path that leads outside": (outside, "it names the shard ../step-1.ckpt/__0_0.distcp, which isn't there"),
    "a tensor beyond the files": (huge, r"its parts of state_dict/model.w don't make up \(1099511627776, 3\)"),
    "a tensor without parts": (uncovered, r"its parts of state_dict/model.w don't make up \(5, 3\)"),
    "pickled bytes": (bytes_entry, "it names torch.distributed.checkpoint.metadata.BytesStorageMetadata"),
    "another name": (renamed, "its tensors aren't those of state.pt"),
    "compressed shards": (packed, "__0_0.distcp is compressed"),
    "another object": (lambda metadata: {"a": 1}, "it lists something that isn't a tensor"),
    "no storage": (lambda metadata: setattr(metadata, "storage_data", None), "it isn't what torch.distributed.checkpoint writes"),
}


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_list_of_shards_is_refused(tmp_path, name):
    change, told = FORGED[name]
    path = save(tmp_path, 2)
    rewritten(path, change)
    with pytest.raises(WeightsError, match=told) as caught:
        read_checkpoint(path)
    assert caught.value.where == str(path / METADATA)


PLACES = {
    "itself": lambda metadata, payload: payload,
    "a value of it": lambda metadata, payload: setattr(metadata, "planner_data", {"x": [payload]}),
    "a name of it": lambda metadata, payload: metadata.state_dict_metadata.update({"y": payload}),
    "its storage": lambda metadata, payload: setattr(metadata, "storage_meta", payload),
}


@pytest.mark.parametrize("name", PLACES)
@pytest.mark.parametrize("forced", [False, True])
def test_a_payload_in_the_list_of_shards_is_never_called(tmp_path, monkeypatch, name, forced):
    if forced:
        monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    path, marker = save(tmp_path, 2), tmp_path / "marker"
    rewritten(path, lambda metadata: PLACES[name](metadata, Payload(marker)))
    for reading in (read_metadata, read_plain, read_checkpoint, read_state):
        with pytest.raises(WeightsError, match="it names posix"):
            reading(path)
    assert not marker.exists()
    pickle.loads((path / METADATA).read_bytes())  # it would have
    assert marker.exists()


@pytest.mark.parametrize("forced", [False, True])
def test_a_payload_in_the_plain_part_or_in_a_shard_is_never_called(tmp_path, monkeypatch, forced):
    if forced:
        monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    marker = tmp_path / "marker"
    plain = save(tmp_path / "a", 2)
    torch.save({"state": {"state_dict": {}, "x": Payload(marker)}, "places": {}}, plain / PLAIN)
    with pytest.raises(WeightsError, match="it names posix"):
        read_checkpoint(plain)
    shard = save(tmp_path / "b", 2)
    torch.save(Payload(marker), shard / "__0_0.distcp")
    length = (shard / "__0_0.distcp").stat().st_size

    def one_slice(metadata):
        for info in metadata.storage_data.values():
            info.offset, info.length = 0, length

    rewritten(shard, one_slice)
    with pytest.raises(WeightsError, match="its shards can't be read") as caught:
        read_checkpoint(shard)
    assert "UnpicklingError" in caught.value.what
    assert not marker.exists()


def test_a_shard_that_unpacks_to_more_than_it_has_is_refused(tmp_path):
    path = save(tmp_path, 2)
    file, plain = path / "__0_0.distcp", tmp_path / "plain"
    torch.save(torch.zeros(5, 3), plain)
    with zipfile.ZipFile(plain) as source, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as target:
        for entry in source.infolist():
            target.writestr(entry.filename, source.read(entry))
    length = file.stat().st_size

    def one_slice(metadata):
        for info in metadata.storage_data.values():
            info.offset, info.length = 0, length

    rewritten(path, one_slice)
    with pytest.raises(WeightsError, match="is compressed, which torch never does"):
        read_checkpoint(path)


def test_a_plain_part_of_another_form_is_refused(tmp_path):
    path = save(tmp_path, 2)
    torch.save({"state_dict": {}}, path / PLAIN)
    with pytest.raises(WeightsError, match="it isn't the plain part of a sharded checkpoint"):
        read_checkpoint(path)
