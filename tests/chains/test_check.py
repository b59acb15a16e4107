"""Does check() accept exactly the chains that run? All heads x losses x postprocesses x metrics x kinds of data."""

from functools import partial
from itertools import product

import pytest
import torch

from segexp.build import chain
from segexp.errors import WiringError
from segexp.heads.semantic import SemanticHead
from segexp.losses.cross_entropy import CrossEntropy
from segexp.metrics.semantic import SemanticMetrics
from segexp.metrics.several import Metrics
from segexp.model import Model
from segexp.postprocess.argmax import ArgMax
from segexp.targets import complete, derive
from segexp.types import AnchorBoxes, DataSpec
from segexp.wiring import faults
from tests.chains import batches
from tests.chains.backbone import Pyramid, TinyBackbone
from tests.chains.batches import SPEC
from tests.chains.center_offset import CenterGrouping, CenterOffsetHead, CenterOffsetLoss
from tests.chains.classification import LabelCrossEntropy, LinearHead, TopLabel
from tests.chains.fcos import DenseNms, FcosHead, FcosLoss
from tests.chains.mask_rcnn import RoiHead
from tests.chains.mask_rcnn_loss import RoiBoxes, RoiLoss, RoiMasks
from tests.chains.metrics import Accuracy, InstanceF1, PanopticQuality
from tests.chains.multi import MultiHead, MultiLoss, UsePart
from tests.chains.presets import CHAINS, RECORD
from tests.chains.queries import MaskSetLoss, QueryHead, QueryPanoptic, QuerySemantic

MAPS = {"p2": "c2", "p3": "c3", "p4": "c4", "p5": "c5", "mask": "c2", "semantic": "c2", "instance": "c2"}
KINDS = ("segments", "masks", "boxes", "semantic", "label")
HEADS = {
    "linear": LinearHead,
    "semantic": SemanticHead,
    "record": partial(MultiHead, parts=RECORD),
    "fcos": FcosHead,
    "roi": partial(RoiHead, masks=False),
    "mask_roi": RoiHead,
    "center": CenterOffsetHead,
    "queries": QueryHead,
}
LOSSES = {
    "label": LabelCrossEntropy,
    "ce": CrossEntropy,
    "record": partial(MultiLoss, parts=dict.fromkeys(RECORD, CrossEntropy)),
    "fcos": FcosLoss,
    "roi": partial(RoiLoss, masks=False),
    "mask_roi": RoiLoss,
    "center": CenterOffsetLoss,
    "set_segments": MaskSetLoss,
    "set_masks": partial(MaskSetLoss, truth="masks"),
    "set_semantic": partial(MaskSetLoss, truth="semantic"),
}
FINISHES = {
    "top": TopLabel,
    "argmax": ArgMax,
    "use": partial(UsePart, parts=dict.fromkeys(RECORD, ArgMax), use="semantic"),
    "nms": DenseNms,
    "roi_boxes": RoiBoxes,
    "roi_masks": RoiMasks,
    "grouping": CenterGrouping,
    "panoptic": QueryPanoptic,
    "query_semantic": QuerySemantic,
}
METRICS = {
    "top1": {"label": Accuracy},
    "boxes": {"boxes": InstanceF1},
    "masks": {"masks": partial(InstanceF1, kind="masks")},
    "semantic": {"semantic": SemanticMetrics},
    "pq": {"panoptic": PanopticQuality},
    "all": {"panoptic": PanopticQuality, "semantic": SemanticMetrics, "masks": partial(InstanceF1, kind="masks")},
}
# what fits what, by hand: head -> losses and postprocesses; stage -> kinds of data; postprocess -> metrics
BY_HEAD = {
    "linear": ({"label"}, {"top"}),
    "semantic": ({"ce"}, {"argmax"}),
    "record": ({"record"}, {"use"}),
    "fcos": ({"fcos"}, {"nms"}),
    "roi": ({"roi"}, {"roi_boxes"}),
    "mask_roi": ({"roi", "mask_roi"}, {"roi_boxes", "roi_masks"}),
    "center": ({"center"}, {"grouping"}),
    "queries": ({"set_segments", "set_masks", "set_semantic"}, {"panoptic", "query_semantic"}),
}
WITH_LABEL, WITH_BOXES = {"segments", "masks", "boxes", "label"}, {"segments", "masks", "boxes"}
WITH_MASKS, WITH_SEMANTIC = {"segments", "masks"}, {"segments", "semantic"}
HEAD_DATA = {"roi": WITH_BOXES, "mask_roi": WITH_MASKS}
LOSS_DATA = {
    "label": WITH_LABEL,
    "ce": WITH_SEMANTIC,
    "record": WITH_SEMANTIC,
    "fcos": WITH_BOXES,
    "roi": WITH_BOXES,
    "mask_roi": WITH_MASKS,
    "center": {"segments"},
    "set_segments": {"segments"},
    "set_masks": WITH_MASKS,
    "set_semantic": WITH_SEMANTIC,
}
METRIC_DATA = {
    "top1": WITH_LABEL,
    "boxes": WITH_BOXES,
    "masks": WITH_MASKS,
    "semantic": WITH_SEMANTIC,
    "pq": {"segments"},
    "all": {"segments"},
}
BY_FINISH = {
    "top": {"top1"},
    "argmax": {"semantic"},
    "use": {"semantic"},
    "nms": {"boxes"},
    "roi_boxes": {"boxes"},
    "roi_masks": {"boxes", "masks"},
    "grouping": {"semantic", "pq", "masks", "boxes", "all"},
    "panoptic": {"pq", "masks", "boxes"},
    "query_semantic": {"semantic"},
}


@pytest.fixture(scope="module")
def built():
    """Every stage on one decoder that emits all levels, and which chains check() accepts."""
    torch.manual_seed(0)
    backbone = TinyBackbone(SPEC)
    decoder = Pyramid(backbone.spec, outputs=MAPS, keep=("c4", "c5"))
    heads = {name: make(decoder.spec, SPEC).eval() for name, make in HEADS.items()}
    losses, finishes = ({name: make(SPEC) for name, make in group.items()} for group in (LOSSES, FINISHES))
    metrics = {name: Metrics({k: make(SPEC) for k, make in parts.items()}) for name, parts in METRICS.items()}
    specs = {kind: DataSpec(SPEC.classes, frozenset({kind})) for kind in KINDS}
    groups = (specs, heads, losses, finishes, metrics)
    chains = product(*groups)
    accepted = [c for c in chains if not faults(*(group[name] for group, name in zip(groups, c, strict=True)))]
    return Model(backbone, decoder, heads["linear"], None).eval(), groups, accepted


def test_check_accepts_what_fits_and_nothing_else(built):
    _, groups, accepted = built
    wanted = [
        (kind, head, loss, finish, metric)
        for kind, head, loss, finish, metric in product(*groups)
        if loss in BY_HEAD[head][0]
        and finish in BY_HEAD[head][1]
        and metric in BY_FINISH[finish]
        and kind in HEAD_DATA.get(head, set(KINDS)) & LOSS_DATA[loss] & METRIC_DATA[metric]
    ]
    assert accepted == wanted
    assert len(list(product(*groups))) == 21_600 and len(accepted) == 46


def plain(sample, kind):
    """The sample as a data set that provides only this kind yields it."""
    made = derive(sample, {kind}, SPEC)
    return {name: sample[name] for name in ("image", "meta")} | {k: v for k, v in vars(made).items() if v is not None and k != "key"}


@pytest.mark.parametrize("kind", KINDS)
def test_every_accepted_chain_runs(built, kind):
    model, (_, heads, losses, finishes, metrics), accepted = built
    chosen = [names for given, *names in accepted if given == kind]
    assert chosen
    seen = {}
    for head, loss, finish, metric in chosen:
        parts = batches.Chain(Model(model.backbone, model.decoder, heads[head], finishes[finish]), losses[loss], metrics[metric])
        batch = batches.batch(parts, change=partial(plain, kind=kind))
        features = seen.setdefault("features", model.features(batch.images, batch.sizes))
        sums = losses[loss](heads[head](features, batch.sizes, batch.targets), batch)
        assert all(value.isfinite() for value in sums.values()) and sums.keys() == batch.counts.keys()
        predictions = finishes[finish](heads[head](features, batch.sizes), batch.sizes, batch.original_sizes)
        predictions = [complete(p, metrics[metric].needs, SPEC) for p in predictions]
        metrics[metric].reset()
        metrics[metric].update([metrics[metric].measure(p, t) for p, t in zip(predictions, batch.truth, strict=True)])
        assert metrics[metric].compute()


class AnchorHead(FcosHead):
    """The same shapes from anchors: another meaning."""

    output_type = AnchorBoxes


def swapped(name, **stages):
    return CHAINS[name] | stages


ONE_PART = {"semantic": SemanticHead}
WRONG = {
    "a loss of another task": (
        swapped("semantic", loss=LabelCrossEntropy),
        SPEC,
        ["LabelCrossEntropy accepts ClassLogits, but SemanticHead emits SemanticLogits"],
        ["loss"],
    ),
    "points and anchors": (
        swapped("fcos", head=AnchorHead),
        SPEC,
        ["FcosLoss accepts PointBoxes, but AnchorHead emits AnchorBoxes"],
        ["loss"],
    ),
    "masks of a head without": (
        swapped("mask_rcnn", head=partial(RoiHead, masks=False)),
        SPEC,
        ["RoiLoss accepts MaskRoiOutput, but RoiHead emits RoiOutput", "RoiMasks accepts MaskRoiOutput, but RoiHead emits RoiOutput"],
        ["loss", "postprocess"],
    ),
    "a record and a plain loss": (
        swapped("record", loss=CrossEntropy),
        SPEC,
        ["CrossEntropy accepts SemanticLogits, but MultiHead emits {semantic: SemanticLogits, aux: SemanticLogits}"],
        ["loss"],
    ),
    "records of other names": (
        swapped("record", head=partial(MultiHead, parts=ONE_PART)),
        SPEC,
        ["MultiLoss accepts {semantic: SemanticLogits, aux: SemanticLogits}, but MultiHead emits {semantic: SemanticLogits}"],
        ["loss", "postprocess"],
    ),
    "detections don't label an image": (
        swapped("fcos", metrics={"label": Accuracy}),
        SPEC,
        ["metrics=label needs predicted label, but DenseNms provides boxes"],
        ["metrics"],
    ),
    "fused segments aren't the argmax": (
        swapped("queries", metrics={"semantic": SemanticMetrics}),
        SPEC,
        ["metrics=semantic needs predicted semantic, but QueryPanoptic provides boxes, masks, segments"],
        ["metrics"],
    ),
    "boxes don't tell masks": (
        swapped("mask_rcnn"),
        DataSpec(SPEC.classes, frozenset({"boxes"})),
        ["RoiHead needs masks, but the data set gives boxes, label", "RoiLoss needs masks", "metrics=masks needs masks"],
        ["head", "loss", "metrics"],
    ),
    "a semantic data set has no segments": (
        swapped("center_offset"),
        DataSpec(SPEC.classes, frozenset({"semantic"})),
        [
            "CenterOffsetLoss needs segments, but the data set gives semantic",
            "metrics=[masks,panoptic] needs masks, segments, but the data set gives semantic",
        ],
        ["loss", "metrics"],
    ),
    "everything at once": (
        swapped("classification", loss=FcosLoss, postprocess=ArgMax),
        DataSpec(SPEC.classes, frozenset({"semantic"})),
        [
            "FcosLoss accepts PointBoxes, but LinearHead emits ClassLogits",
            "ArgMax accepts SemanticLogits, but LinearHead emits ClassLogits",
            "FcosLoss needs boxes, but the data set gives semantic",
            "metrics=label needs label, but the data set gives semantic",
            "metrics=label needs predicted label, but ArgMax provides semantic",
        ],
        ["loss", "postprocess", "metrics"],
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_chain_is_refused_with_stage_and_kinds(name):
    stages, spec, texts, groups = WRONG[name]
    with torch.device("meta"), pytest.raises(WiringError) as caught:
        chain(spec, **stages)
    for text in texts:
        assert text in caught.value.what
    assert caught.value.fix == "what fits here: " + ", ".join(f"another {group}" for group in groups)


def test_the_message_names_the_options_that_fit():
    losses = {"label": LabelCrossEntropy(SPEC), "ce": CrossEntropy(SPEC), "fcos": FcosLoss(SPEC)}
    with pytest.raises(WiringError) as caught:
        chain(
            SPEC,
            **swapped("semantic", loss=FcosLoss),
            alternatives=lambda group, **_: losses,
        )
    assert caught.value.fix == "what fits here: loss=ce"
