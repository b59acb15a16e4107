"""The tiny chains by name, each as `segexp.build.chain` takes it: callables that lack what the stage before gives."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from segexp.decoders.identity import Identity
from segexp.heads.semantic import SemanticHead
from segexp.losses.cross_entropy import CrossEntropy
from segexp.metrics.semantic import SemanticMetrics
from segexp.postprocess.argmax import ArgMax
from tests.chains.backbone import Pyramid, TinyBackbone
from tests.chains.center_offset import CenterGrouping, CenterOffsetHead, CenterOffsetLoss
from tests.chains.classification import LabelCrossEntropy, LinearHead, TopLabel
from tests.chains.fcos import DenseNms, FcosHead, FcosLoss
from tests.chains.mask_rcnn import RoiHead
from tests.chains.mask_rcnn_loss import RoiBoxes, RoiLoss, RoiMasks
from tests.chains.metrics import Accuracy, InstanceF1, PanopticQuality
from tests.chains.multi import MultiHead, MultiLoss, UsePart
from tests.chains.queries import MaskSetLoss, QueryHead, QueryPanoptic, QuerySemantic

Stage = Callable[..., Any]

ACCURACY, BOXES, MASKS = {"label": Accuracy}, {"boxes": InstanceF1}, {"masks": partial(InstanceF1, kind="masks")}
SEMANTIC, PANOPTIC = {"semantic": SemanticMetrics}, {"panoptic": PanopticQuality}
RECORD = {"semantic": SemanticHead, "aux": partial(SemanticHead, level="c4")}
FPN = partial(Pyramid, outputs={"p2": "c2", "p3": "c3", "p4": "c4"})
DUAL = partial(Pyramid, outputs={"semantic": "c2", "instance": "c2"})
PIXEL = partial(Pyramid, outputs={"mask": "c2", "p4": "c4", "p5": "c5"})


def preset(decoder: Stage, head: Stage, loss: Stage, postprocess: Stage, metrics: dict[str, Stage]) -> dict[str, Any]:
    """The stages by their groups' names."""
    stages = {"decoder": decoder, "head": head, "loss": loss, "postprocess": postprocess, "metrics": metrics}
    return {"backbone": TinyBackbone, **stages}


CHAINS = {
    "classification": preset(Identity, LinearHead, LabelCrossEntropy, TopLabel, ACCURACY),
    "semantic": preset(partial(Pyramid, outputs={"semantic": "c2"}), SemanticHead, CrossEntropy, ArgMax, SEMANTIC),
    "record": preset(
        partial(Pyramid, outputs={"semantic": "c2"}, keep=("c4",)),
        partial(MultiHead, parts=RECORD),
        partial(MultiLoss, parts=dict.fromkeys(RECORD, CrossEntropy), weights={"aux": 0.4}),
        partial(UsePart, parts=dict.fromkeys(RECORD, ArgMax), use="semantic"),
        SEMANTIC,
    ),
    "fcos": preset(FPN, FcosHead, FcosLoss, DenseNms, BOXES),
    "faster_rcnn": preset(FPN, partial(RoiHead, masks=False), partial(RoiLoss, masks=False), RoiBoxes, BOXES),
    "mask_rcnn": preset(FPN, RoiHead, RoiLoss, RoiMasks, MASKS | BOXES),
    "center_offset": preset(DUAL, CenterOffsetHead, CenterOffsetLoss, CenterGrouping, PANOPTIC | SEMANTIC | MASKS),
    "queries": preset(PIXEL, QueryHead, MaskSetLoss, QueryPanoptic, PANOPTIC),
    "queries_semantic": preset(PIXEL, QueryHead, partial(MaskSetLoss, truth="semantic"), QuerySemantic, SEMANTIC),
}
