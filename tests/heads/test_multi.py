"""Several heads on the same features: a record of what each emits."""

import pytest
import torch

from segexp.errors import ConfigError, WiringError
from segexp.heads.multi import MultiHead
from segexp.heads.semantic import SemanticHead
from segexp.types import ClassInfo, DataSpec, Level, SemanticLogits
from tests.heads.two_stage import DATA, SPEC, ours, pyramid, scene

FLAT = DataSpec((ClassInfo("sky"), ClassInfo("car", True)), frozenset({"semantic"}))


def semantic(features, data):
    return SemanticHead(features, data, level="p2")


def test_a_record_by_name():
    roi = ours()
    head = MultiHead(SPEC, DATA, parts={"semantic": semantic, "roi": lambda *_: roi}).eval()
    assert head.output_type == {"semantic": SemanticLogits, "roi": roi.output_type}
    assert head.needs == {"boxes", "masks"}
    assert not head.align_corners
    features, sizes = pyramid(1), ((96, 128),)
    with torch.no_grad():
        with_targets, without = head(features, sizes, [scene()]), head(features, sizes)
    assert list(without) == ["semantic", "roi"]
    assert (with_targets["roi"].detected, without["roi"].sampled) == (None, None)
    assert torch.equal(with_targets["semantic"].logits, without["semantic"].logits)
    assert {name.split(".")[1] for name, _ in head.named_parameters()} == {"semantic", "roi"}


def test_an_aligned_part_aligns_the_image():
    parts = {"a": lambda features, data: SemanticHead(features, data, level="c5", align_corners=True)}
    assert MultiHead({"c5": Level(4, 8)}, FLAT, parts=parts).align_corners


def test_refusals():
    with pytest.raises(ConfigError, match=r"it needs one part at least; head\.parts; fix: head=semantic_roi has two"):
        MultiHead(SPEC, DATA, parts={})
    with pytest.raises(WiringError, match="SemanticHead needs the level p2; it is given c5"):
        MultiHead({"c5": Level(4, 8)}, FLAT, parts={"semantic": semantic})
    with pytest.raises(
        ConfigError, match=r"1 sizes of anchors for 5 levels; head\.parts\.roi\.sizes=\[1\]; fix: one for each of head\.parts\.roi\.levels"
    ):
        MultiHead(SPEC, DATA, parts={"roi": lambda *_: ours(sizes=[1])})
