"""What panoptic checkpoints look like, whole and in part."""

import pytest
import torch

from segexp.cli.main import main
from segexp.weights.looks import looks_like
from segexp.weights.schemes import SCHEMES

MARK = "decoder.semantic_decoder.aspp.convs.4.aspp_pooling.1.weight"
CENTER = "decoder.instance_head.classifier.center.1.weight"


def bow(**others):
    """So much of a panoptic network's names and shapes on ResNet-18 as its looks need."""
    blocks = {f"backbone.layer{stage}.{block}.conv1.weight": torch.zeros(1) for stage in (1, 2, 3, 4) for block in (0, 1)}
    return blocks | {MARK: torch.zeros(256, 512, 1, 1), "decoder.instance_decoder.project.0.0.weight": torch.zeros(32, 128, 1, 1)} | others


@pytest.mark.parametrize(
    ("center", "width"), [(None, None), (torch.zeros(1, 32, 1, 1), None), (torch.zeros(1, 128, 1, 1), "head.instance_width=128")]
)
def test_the_width_of_the_instance_branches_is_told_by_the_centres_head(center, width):
    look = looks_like(bow(**({} if center is None else {CENTER: center})), SCHEMES["bow"])
    assert "model=panoptic_deeplab" in look.overrides
    assert [key for key in look.overrides if key.startswith("head.instance_width")] == ([width] if width else [])


def test_three_shallow_levels():
    look = looks_like(bow(**{"decoder.semantic_decoder.project.2.0.weight": torch.zeros(32, 64, 1, 1)}), SCHEMES["bow"])
    assert {"decoder.parts.instance.low=[c4,c3,c2]", "decoder.parts.instance.low_width=[64,32,16]"} < set(look.overrides)
    assert look.title.endswith("with three shallow levels on resnet18")


def test_a_file_without_the_centres_head_is_refused_like_any_that_lacks_weights(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save(bow(), "x.pth")
    code = main(("import", "x.pth", "model=panoptic_deeplab", "backbone=resnet18"))
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert code == 1
    assert said.startswith("segexp: error[weights]: ")
    assert "of the model are not in the file" in said
    assert "Panoptic-DeepLab on resnet18: model=panoptic_deeplab head.align_corners=true" in said
