"""Classes as shares."""

import torch

from segexp.functional.labels import label_shares


def test_a_class_is_one_share_and_an_ignored_one_none():
    assert label_shares(torch.tensor(2), 3, 255).tolist() == [0, 0, 1]
    assert label_shares(torch.tensor(255), 3, 255).tolist() == [0, 0, 0]
    assert label_shares(torch.tensor(255), 300, 300)[255] == 1  # an ordinary class of many
    assert label_shares(torch.tensor([0.25, 0.75]), 2, 255).tolist() == [0.25, 0.75]
