"""Image labels as a table."""

import csv

import torch

from segexp.formats.label_table import LabelTable
from segexp.types import ClassInfo, DataSpec

SPEC = DataSpec(tuple(ClassInfo(n) for n in ("cat", "dog, small", "cow")), frozenset({"label"}))


def lines(tmp_path, several, *scores):
    with LabelTable(tmp_path / "labels.csv", SPEC, several=several) as table:
        for i, row in enumerate(scores):
            table.add(f"p{i}", torch.tensor(row))
    with (tmp_path / "labels.csv").open(newline="", encoding="utf-8") as stream:
        return list(csv.reader(stream))


def test_one_class_and_the_best_scores(tmp_path):
    head, first, second = lines(tmp_path, False, [0.2, 0.5, 0.3], [0.4, 0.2, 0.4])
    assert head == ["image", "label", "class1", "score1", "class2", "score2", "class3", "score3"]
    assert first == ["p0", "dog, small", "dog, small", "0.500000", "cow", "0.300000", "cat", "0.200000"]
    assert second[:5] == ["p1", "cat", "cat", "0.400000", "cow"]


def test_several_classes_or_none(tmp_path):
    _, first, second = lines(tmp_path, True, [0.9, 0.1, 0.5], [0.1, 0.2, 0.3])
    assert first[:3] == ["p0", "cat;cow", "cat"]
    assert second[:3] == ["p1", "", "cow"]
