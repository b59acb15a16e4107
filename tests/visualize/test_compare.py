"""The columns of a panel, by what truth and prediction carry."""

import torch

from segexp.types import ClassInfo, DataSpec, Prediction, Targets
from segexp.visualize.compare import comparison
from segexp.visualize.panel import GUTTER, panel

DATA = DataSpec((ClassInfo("road", False, (128, 64, 128)), ClassInfo("car", True, (0, 0, 142))), frozenset({"segments"}))
IMAGE = torch.full((3, 40, 60), 90, dtype=torch.uint8)


def segments():
    ids = torch.ones(40, 60, dtype=torch.int32)
    ids[10:30, 10:40] = 2
    return {"segments": ids, "segment_labels": torch.tensor([0, 1])}


def test_classes_alone_have_four_pictures_and_no_legend():
    maps = torch.zeros(40, 60, dtype=torch.long)
    pictures, legend = comparison(IMAGE, Targets(semantic=maps), Prediction(semantic=maps), DATA)
    assert list(pictures) == ["image", "truth", "prediction", "error"] and legend == []
    assert panel(pictures).shape[2] == 4 * 300 + 3 * GUTTER


def test_segments_are_enlarged_before_names_are_written_and_counted_below():
    pictures, legend = comparison(IMAGE, Targets(**segments()), Prediction(**segments(), segment_scores=torch.tensor([1.0, 0.5])), DATA)
    assert {p.shape for p in pictures.values()} == {(3, 200, 300)}
    assert not torch.equal(pictures["truth"], pictures["prediction"])  # the scores
    assert [text for text, _ in legend][:4] == ["missed 0", "false 0", "merged 0", "split 0"]
    with_legend, without = panel(pictures, legend), panel(pictures)
    assert with_legend.shape[1] > without.shape[1] and torch.equal(with_legend[:, : without.shape[1]], without)


def test_what_the_network_said_of_centres_makes_a_second_row():
    maps = {"center": torch.rand(1, 10, 15), "offset": torch.randn(2, 10, 15)}
    crowd = torch.tensor([False, True])
    pictures, legend = comparison(IMAGE, Targets(**segments(), segment_crowd=crowd), Prediction(**segments(), maps=maps), DATA)
    assert list(pictures) == ["image", "truth", "prediction", "error", "centres", "to the centre"]
    assert panel(pictures).shape == (3, 2 * 220, 3 * 300 + 2 * GUTTER)
    assert legend[-2][0].startswith("centres: the heatmap") and legend[-1][0].startswith("to the centre: the wheel")


def test_boxes_and_masks_that_metrics_asked_for_are_not_drawn_on_segments():
    more = {"boxes": torch.tensor([[5.0, 5.0, 50.0, 35.0]]), "labels": torch.tensor([1]), "scores": torch.ones(1)}
    plain, _ = comparison(IMAGE, Targets(**segments()), Prediction(**segments()), DATA)
    boxed, _ = comparison(IMAGE, Targets(**segments()), Prediction(**segments(), **more), DATA)
    assert torch.equal(plain["prediction"], boxed["prediction"])
