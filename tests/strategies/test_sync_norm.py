"""BatchNorm over ranks against torch's own on the whole batch; two processes of this machine."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from timm.layers import BatchNormAct2d
from torch import nn

from segexp.layers.norm import SingleValueNorm
from segexp.strategies import sync_norm
from segexp.strategies.sync_norm import SyncNorm, synced

ROOT = Path(__file__).parents[2]
SHARES = (3, 1)  # images of each rank: uneven, so that a mean of means would be wrong
STEPS = 3


def batch(step):
    return torch.randn(sum(SHARES), 5, 6, 7, generator=torch.Generator().manual_seed(step)) * 3 + 100  # far from zero: digits count


def network():
    torch.manual_seed(0)
    kinds = (nn.BatchNorm2d(4), nn.ReLU(), BatchNormAct2d(4, act_layer=nn.SiLU), SingleValueNorm(4), nn.BatchNorm2d(4, momentum=None))
    model = nn.Sequential(nn.Conv2d(5, 4, 3), *kinds)
    nn.init.uniform_(model[1].weight)
    return model.double()


def trained(model, part, reduce):
    """Statistics, and the gradient of a loss that sees where in the batch a pixel is."""
    weights = torch.linspace(-1, 1, sum(SHARES)).double()[part, None, None, None]
    for step in range(STEPS):
        (model(batch(step)[part].double()).square() * weights).sum().backward()
    found = [parameter.grad for parameter in model.parameters()]
    reduce(found)
    return [*found, *(buffer.double() for buffer in model.buffers()), *model.eval()(batch(9).double())]


def rank(number, port, path):
    """One of two processes; the first keeps what both found."""
    torch.set_num_threads(1)
    store = torch.distributed.TCPStore("127.0.0.1", port, 2, number == 0)
    torch.distributed.init_process_group("gloo", store=store, rank=number, world_size=2)
    model = SyncNorm().apply(network())
    part = slice(0, SHARES[0]) if number == 0 else slice(SHARES[0], None)
    found = trained(model, part, lambda gradients: [torch.distributed.all_reduce(g) for g in gradients])
    if number == 0:
        torch.save(found, path)
    torch.distributed.destroy_process_group()


def test_two_ranks_have_the_statistics_and_gradients_of_the_whole_batch(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    code = "import sys; from tests.strategies.test_sync_norm import rank; rank(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])"
    command = [sys.executable, "-c", code]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    path = tmp_path / "found.pt"
    both = [subprocess.Popen([*command, str(n), str(port), str(path)], cwd=ROOT, env=environment) for n in range(2)]
    assert [process.wait(120) for process in both] == [0, 0]
    wanted = trained(network(), slice(None), lambda gradients: None)
    for mine, torchs in zip(torch.load(path, weights_only=True), wanted, strict=True):
        torch.testing.assert_close(mine, torchs, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
def test_halves_are_added_up_in_full(kind, monkeypatch):
    """More pixels than a half can count to, in the kinds that autocast hands to a norm."""
    monkeypatch.setattr(sync_norm, "world", lambda: 2)
    monkeypatch.setattr(sync_norm, "all_reduce", lambda x: x)  # the other rank has nothing
    x = (torch.randn(1, 3, 301, 303, generator=torch.Generator().manual_seed(0)) * 3 + 5).to(kind)
    mine, torchs = (nn.BatchNorm2d(3, momentum=None) for _ in range(2))
    found, wanted = SyncNorm().apply(nn.Sequential(mine))(x), torchs(x.float())
    assert found.dtype == kind
    torch.testing.assert_close(mine.running_mean, torchs.running_mean, rtol=1e-5, atol=0)
    torch.testing.assert_close(mine.running_var, torchs.running_var, rtol=1e-5, atol=0)
    torch.testing.assert_close(found.float(), wanted, rtol=1e-2, atol=1e-2)


def test_one_rank_is_left_to_torch_and_names_of_weights_stay():
    model, plain = SyncNorm().apply(network()), network()
    assert type(model[3]) is synced(BatchNormAct2d) and model.state_dict().keys() == plain.state_dict().keys()
    assert torch.equal(model(batch(0).double()), plain(batch(0).double()))
    assert list(map(type, SyncNorm().revert(model))) == list(map(type, plain))
