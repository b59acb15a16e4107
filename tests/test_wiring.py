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
    assert derivable({"segments"}, TARGET_LATTICE) == {"segments", "masks", "boxes", "semantic", "label", "present"}
    assert derivable({"boxes"}, TARGET_LATTICE) == {"boxes", "label", "present"}
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


def data(*kinds, things=(1,)):
    return SimpleNamespace(provides=frozenset(kinds), thing_ids=things)


def metrics(**needs):
    """Several metrics, as the class that holds them has it."""
    parts = {name: stage(needs=frozenset({kind})) for name, kind in needs.items()}
    return stage(needs=frozenset(needs.values()), parts=lambda: list(parts.items()))


PANOPTIC = {
    "data": data("semantic"),
    "head": stage(output_type=ClassLogits),
    "loss": stage(accepts=ClassLogits, needs=frozenset({"segments"}), needs_things=True),
    "postprocess": stage(accepts=ClassLogits, provides=frozenset({"segments", "semantic"})),
    "metrics": metrics(panoptic="segments", semantic="semantic"),
}
ANNOTATIONS = {"semantic": data("semantic"), "panoptic": data("segments"), "instances": data("masks")}


def refusal(chain, **options):
    with pytest.raises(WiringError) as caught:
        check(**chain, **options)
    return caught.value


def test_another_annotation_of_the_same_data_set_is_named_where_it_gives_what_lacks():
    error = refusal(PANOPTIC, annotations=lambda: ANNOTATIONS, alternatives={"metrics": {"semantic": SEMANTIC["metrics"]}}.get)
    assert error.fix == "what fits here: data.annotation=panoptic"
    assert refusal(PANOPTIC).fix == "what fits here: another loss, another metrics"
    either = ANNOTATIONS | {"full": data("segments", "boxes")}
    assert refusal(PANOPTIC, annotations=lambda: either).fix == "what fits here: data.annotation=panoptic|full"


def test_an_annotation_that_mends_no_group_is_not_named():
    chain = SEMANTIC | {"metrics": metrics(panoptic="segments")}  # which nobody predicts either
    error = refusal(chain, annotations=lambda: ANNOTATIONS, alternatives={"metrics": {"semantic": SEMANTIC["metrics"]}}.get)
    assert error.fix == "what fits here: metrics=semantic"


def test_what_stays_broken_with_the_better_annotation_is_named_beside_it():
    chain = PANOPTIC | {"postprocess": stage(accepts=SemanticLogits, provides=frozenset({"segments", "semantic"}))}
    assert refusal(chain, annotations=lambda: ANNOTATIONS).fix == "what fits here: data.annotation=panoptic, another postprocess"


def test_the_metric_that_needs_it_is_named_as_it_is_typed():
    error = refusal(PANOPTIC)
    assert "metrics=panoptic needs segments, but the data set gives semantic" in error.what
    assert error.where.endswith("-> metrics=[panoptic,semantic]")


def test_a_loss_of_things_needs_a_class_that_is_one():
    check(**PANOPTIC | {"data": data("segments")})
    error = refusal(PANOPTIC | {"data": data("segments", things=())})
    assert error.what == "SimpleNamespace needs things, but no class is a thing"
    assert error.fix == "what fits here: a data set with things, such as data=shapes"
