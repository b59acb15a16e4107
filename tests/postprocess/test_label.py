"""Scores of image labels."""

import torch

from segexp.postprocess.label import Present, TopLabel
from segexp.types import ClassInfo, ClassLogits, DataSpec

SPEC = DataSpec(tuple(ClassInfo(f"c{i}") for i in range(3)), frozenset({"label"}))
LOGITS = torch.tensor([[0.0, 1.0, -1.0], [2.0, 0.0, 0.0]])
SIZES = ((4, 4), (4, 4))


def test_one_class_has_scores_that_sum_to_one():
    found = TopLabel(SPEC)(ClassLogits(LOGITS.half()), SIZES, SIZES)
    assert [p.label_scores.argmax().item() for p in found] == [1, 0]
    assert all(p.label_scores.dtype == torch.float32 and abs(float(p.label_scores.sum()) - 1) < 1e-6 for p in found)


def test_each_of_several_classes_has_a_score_of_its_own():
    found = Present(SPEC)(ClassLogits(LOGITS), SIZES, SIZES)
    assert torch.allclose(torch.stack([p.label_scores for p in found]), 1 / (1 + torch.exp(-LOGITS)))
    assert Present(SPEC).provides == {"present"}
    assert TopLabel(SPEC).provides == {"label"}
