"""No pickle calls anything, whatever it names, whichever opcode calls, wherever it stands; read by every reader that there is."""

import pickle
import zipfile

import pytest
import torch
from torch.distributed.checkpoint.metadata import Metadata

from segexp.callbacks.checkpoint import PlainCheckpointIO
from segexp.cli.main import main
from segexp.errors import SegexpError, WeightsError
from segexp.functional.files import read_json, write_json
from segexp.functional.tensors import load_plain
from segexp.weights.checkpoints import sha256
from segexp.weights.load import read_state
from segexp.weights.sharded import read_metadata
from tests.security.conftest import TINY
from tests.security.pickles import CALLS, SHAPES, alone, archived, by_inst, in_a_field, old, safe

REFUSED = r"^not a checkpoint that can be read safely \("
READERS = {"load_plain": load_plain, "read_state": read_state, "resume": PlainCheckpointIO().load_checkpoint}


def refused(path, read, monkeypatch):
    write_json(path.with_suffix(".json"), {"step": 1, "sha256": sha256(path), "size": path.stat().st_size})
    for force in ("0", "1"):
        monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", force)
        with pytest.raises(SegexpError, match=REFUSED) as caught:
            read(path)
        assert str(path) in caught.value.where


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", CALLS)
def test_a_call_is_refused_by_every_reader(name, tmp_path, marker, monkeypatch):
    path = tmp_path / "a.ckpt"
    for raw in (archived(in_a_field(name, marker)), archived(alone(name, marker)), old(alone(name, marker))):
        path.write_bytes(raw)
        for read in READERS.values():
            refused(path, read, monkeypatch)
    (tmp_path / ".metadata").write_bytes(alone(name, marker))
    module, attribute, _ = CALLS[name]
    with pytest.raises(WeightsError, match=r"^not a list of shards that can be read safely \(it names ") as caught:
        read_metadata(tmp_path)
    assert f".{attribute})" in caught.value.what and (module in caught.value.what or module == "__builtin__")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("shape", [*SHAPES, "inst"])
def test_it_is_refused_in_every_shape(shape, tmp_path, marker, monkeypatch):
    path, raw = tmp_path / "a.ckpt", (SHAPES | {"inst": by_inst})[shape]("posix.system", marker)
    for wrapped in (archived(raw), old(raw), raw, archived(raw, compression=zipfile.ZIP_DEFLATED)):
        path.write_bytes(wrapped)
        for read in (load_plain, read_state):
            refused(path, read, monkeypatch)
    (tmp_path / ".metadata").write_bytes(raw)
    with pytest.raises(WeightsError, match="not a list of shards that can be read safely"):
        read_metadata(tmp_path)


FIELDS = ("state_dict", "optimizer_states", "lr_schedulers", "loops", "callbacks", "hyper_parameters", "datamodule", "anything")


@pytest.mark.parametrize("field", FIELDS)
def test_a_stopped_run_with_such_a_checkpoint_does_not_go_on(field, trained, marker, monkeypatch, capsys):
    folder, command = trained
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    for path in (folder / "checkpoints").glob("step-*.ckpt"):
        path.write_bytes(archived(in_a_field("posix.system", marker, field)))
        record = read_json(path.with_suffix(".json"))  # all that a resumed run would notice is made to fit
        write_json(path.with_suffix(".json"), record | {"sha256": sha256(path), "size": path.stat().st_size})
    assert main(command) == 1
    assert "not a checkpoint that can be read safely (it names posix.system)" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["weights.file", "backbone.weights", "import"])
def test_commands_that_take_weights_refuse_them(command, tmp_path, marker, capsys):
    path = tmp_path / "evil.pth"
    path.write_bytes(archived(in_a_field("posix.system", marker)))
    typed = ["import", str(path), *TINY] if command == "import" else ["train", *TINY, f"{command}={path}"]
    assert main([*typed, f"paths.outputs={tmp_path}/runs"]) == 1
    told = capsys.readouterr().err
    assert f"error[weights]: not a checkpoint that can be read safely (it names posix.system); {path}; fix: " in told
    assert not list(tmp_path.glob("runs/*/*/checkpoints/*"))


TENSORS = {
    "packed": lambda path: path.write_bytes(archived(bytes(10**7), compression=zipfile.ZIP_DEFLATED)),
    "repeated": lambda path: torch.save({"a": torch.zeros(1).expand(10**12)}, path),
    "repeated a little too often": lambda path: torch.save({"a": torch.zeros(10**5, 1).expand(10**5, 10**3)}, path),
    "header of petabytes": lambda path: path.with_suffix(".safetensors").write_bytes((2**60).to_bytes(8, "little") + b"{}"),
    "shape of petabytes": lambda path: path.with_suffix(".safetensors").write_bytes(
        (74).to_bytes(8, "little") + b'{"a":{"dtype":"F32","shape":[1152921504606846976],"data_offsets":[0,4]}}  '
    ),
    "deep header": lambda path: path.with_suffix(".safetensors").write_bytes((100000).to_bytes(8, "little") + b"[" * 100000),
}


@pytest.mark.parametrize("kind", TENSORS)
def test_weights_that_would_fill_the_memory_are_refused(kind, tmp_path, marker):
    TENSORS[kind](tmp_path / "a.pth")
    (path,) = tmp_path.glob("a.*")
    with pytest.raises(WeightsError) as caught:
        read_state(path)
    assert str(path) in caught.value.where and caught.value.fix


def test_the_shapes_are_those_of_real_files_and_the_calls_would_be_made(tmp_path):
    """The control: what is refused above is refused for what it names, and does its work where it is trusted."""
    path = tmp_path / "a.ckpt"
    path.write_bytes(safe())
    assert read_state(path)["a"].shape == (2,)
    plain = pickle.dumps({"state_dict": {"a": 1}}, protocol=2)
    for raw in (archived(plain), old(plain)):
        path.write_bytes(raw)
        assert load_plain(path) == {"state_dict": {"a": 1}}
    for name, number in (("os.system", 1), ("builtins.eval", 2), ("pickle in a pickle", 3), ("runpy", 4)):
        for shape in ("alone", "in a field", "protocol 4"):
            marker = tmp_path / f"{number}-{shape.replace(' ', '')}"
            pickle.loads(SHAPES[shape](name, marker))
            assert marker.exists()
    path.write_bytes(archived(alone("os.system", tmp_path / "by-torch")))
    torch.load(path, weights_only=False)
    assert (tmp_path / "by-torch").exists()
    pickle.loads(by_inst("posix.system", tmp_path / "inst"))
    assert (tmp_path / "inst").exists()


def test_a_list_of_shards_changes_no_class(tmp_path):
    """BUILD with a state sets attributes of whatever lies below it: also of a class that may be named, or of a dtype."""
    for module, name in (("torch.distributed.checkpoint.metadata", "Metadata"), ("torch", "float32")):
        state = b"N}(\x8c\x06hackedK\x01u\x86"  # (None, {"hacked": 1})
        named = b"".join(b"\x8c" + bytes([len(text)]) + text.encode() for text in (module, name)) + b"\x93"
        (tmp_path / ".metadata").write_bytes(b"\x80\x04" + named + state + b"b.")
        with pytest.raises(WeightsError, match=r"can be read safely \(it changes "):
            read_metadata(tmp_path)
    assert not hasattr(Metadata, "hacked")
