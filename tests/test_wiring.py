"""The lattice and the texts of refusals; every combination of stages is tried in tests/chains."""

from types import SimpleNamespace

import pytest

from segexp.errors import WiringError
from segexp.types import ClassLogits, DenseBoxes, PointBoxes, SemanticLogits
from segexp.wiring import PREDICTION_LATTICE, TARGET_LATTICE, check, derivable, fits, require


def stage(**declared):
    return SimpleNamespace(**({"needs": frozenset()} | declared))


SEMANTIC = {
    "data": SimpleNamespace(provides=frozenset({"semantic"})),
    "head": stage(output_type=SemanticLogits),
    "loss": stage(accepts=SemanticLogits, needs=frozenset({"semantic"})),
    "postprocess": stage(accepts=SemanticLogits, provides=frozenset({"semantic"})),
    "metrics": stage(needs=frozenset({"semantic"})),
}


def test_lattices():
    assert derivable({"segments"}, TARGET_LATTICE) == {"segments", "masks", "boxes", "semantic", "label"}
    assert derivable({"boxes"}, TARGET_LATTICE) == {"boxes", "label"}
    assert derivable({"segments"}, PREDICTION_LATTICE) == {"segments", "masks", "boxes"}
    assert derivable({"boxes"}, PREDICTION_LATTICE) == {"boxes"}


def test_fits_by_subclass_or_record():
    assert fits(PointBoxes, DenseBoxes)
    assert not fits(DenseBoxes, PointBoxes)
    assert fits({"a": PointBoxes}, {"a": DenseBoxes})
    assert not fits({"a": PointBoxes}, DenseBoxes)
    assert not fits({"a": PointBoxes}, {"b": DenseBoxes})


def test_a_chain_that_fits_passes():
    assert check(**SEMANTIC) is None


def test_all_broken_links_are_reported_at_once_with_what_fits():
    wrong = SEMANTIC | {"head": stage(output_type=ClassLogits), "metrics": stage(needs=frozenset({"boxes"}))}
    others = {
        "loss": {"label_ce": stage(accepts=ClassLogits), "dice": SEMANTIC["loss"]},
        "postprocess": {"top_label": stage(accepts=ClassLogits, provides=frozenset({"boxes"}))},
        "metrics": {"semantic": SEMANTIC["metrics"]},
    }
    with pytest.raises(WiringError) as caught:
        check(**wrong, alternatives=others.get)
    error = caught.value
    assert error.what.count(" / ") == 3
    assert "accepts SemanticLogits, but SimpleNamespace emits ClassLogits" in error.what
    assert "needs boxes, but the data set gives semantic" in error.what
    assert "needs predicted boxes, but SimpleNamespace provides semantic" in error.what
    assert error.fix == "what fits here: loss=label_ce, postprocess=top_label, metrics=semantic"


def test_require_names_stage_and_levels():
    with pytest.raises(WiringError, match="NeedyHead needs the level semantic; it is given c1, c2"):
        require({"c1": 1, "c2": 2}, "semantic", "c1", by="NeedyHead")
