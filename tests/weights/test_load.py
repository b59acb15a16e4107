"""Checkpoints are read by safe formats only, and fit whole or not at all."""

import pickle

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from segexp.errors import WeightsError
from segexp.weights.load import load_model, part_of, read_state


def test_both_formats(tmp_path):
    state = nn.Linear(2, 3).state_dict()
    save_file(state, tmp_path / "a.safetensors")
    torch.save({"state_dict": state, "step": 3}, tmp_path / "a.ckpt")
    for name in ("a.safetensors", "a.ckpt"):
        assert torch.equal(read_state(tmp_path / name)["weight"], state["weight"])


class Payload:
    def __reduce__(self):
        return print, ("this must never run",)


@pytest.mark.parametrize("kind", ["missing", "truncated", "pickle", "text"])
def test_what_is_not_plain_tensors_is_refused(tmp_path, kind, capsys):
    path = tmp_path / "x.ckpt"
    if kind == "truncated":
        torch.save(nn.Linear(100, 100).state_dict(), path)
        path.write_bytes(path.read_bytes()[:5000])
    elif kind == "pickle":
        path.write_bytes(pickle.dumps({"state_dict": Payload()}))
    elif kind == "text":
        path.write_text("hello")
    with pytest.raises(WeightsError) as caught:
        read_state(path)
    assert caught.value.where == str(path)
    assert "must never run" not in capsys.readouterr().out


def test_a_model_is_loaded_strictly(tmp_path):
    model = nn.Linear(2, 3)
    torch.save({"state_dict": {"weight": torch.zeros(3, 4), "other": torch.zeros(1)}}, tmp_path / "x.ckpt")
    before = model.weight.clone()
    with pytest.raises(WeightsError, match=r"1 missing \(first bias\), 1 left over \(first other\), 1 of another shape \(first weight\)"):
        load_model(model, tmp_path / "x.ckpt")
    assert torch.equal(model.weight, before)


def test_part_of():
    state = {"backbone.net.a": 1, "head.b": 2}
    assert part_of(state, "backbone.net.") == {"a": 1}
    assert part_of(state, "nothing.") == state


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(WeightsError, match=r"it is a folder; .*; fix: name a checkpoint in it"):
        read_state(tmp_path)
