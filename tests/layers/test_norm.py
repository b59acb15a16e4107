"""BatchNorm of maps that may have one value per channel."""

import torch
from torch import nn

from segexp.layers.norm import SingleValueNorm, single_value_safe


def test_one_value_is_normed_by_running_statistics_and_teaches_nothing(caplog):
    norm = SingleValueNorm(3).train()
    norm.running_mean.fill_(2.0)
    norm.running_var.fill_(4.0)
    for _ in range(2):
        out = norm(torch.full((1, 3, 1, 1), 6.0))
    torch.testing.assert_close(out, torch.full((1, 3, 1, 1), 2.0))
    assert norm.running_mean.eq(2).all()
    assert norm.num_batches_tracked == 0
    assert caplog.text.count("a batch of one image") == 1
    assert norm.singles == 2


def test_such_batches_are_counted_in_the_log_by_powers_of_ten(caplog):
    norm = SingleValueNorm(3).train()
    with caplog.at_level("INFO"):
        for _ in range(101):
            norm(torch.ones(1, 3, 1, 1))
    assert [record.getMessage().partition(" batch")[0] for record in caplog.records] == ["a", "10", "100"]
    norm(torch.ones(2, 3, 1, 1))
    assert norm.singles == 101


def test_several_values_are_normed_as_ever():
    x, ours, theirs = torch.randn(2, 3, 1, 1), SingleValueNorm(3), nn.BatchNorm2d(3)
    assert torch.equal(ours(x), theirs(x))
    assert torch.equal(ours.running_var, theirs.running_var)


def test_norms_of_a_module_are_replaced_and_weights_keep_their_names():
    module = nn.Sequential(nn.Conv2d(2, 4, 1), nn.BatchNorm2d(4, eps=1e-3), nn.Sequential(nn.BatchNorm2d(4, affine=False)))
    names = list(module.state_dict())
    safe = single_value_safe(module)
    assert (type(safe[1]), type(safe[2][0])) == (SingleValueNorm, SingleValueNorm)
    assert (safe[1].eps, safe[2][0].affine) == (1e-3, False)
    assert list(safe.state_dict()) == names
    assert safe.train()(torch.randn(1, 2, 1, 1)).shape == (1, 4, 1, 1)
