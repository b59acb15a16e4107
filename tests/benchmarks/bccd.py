"""Blood cells: torchvision's FCOS on the same backbone and weights in a plain loop, stopped after so many seconds; AP50 on val.

    python -m tests.benchmarks.bccd <folder that holds bccd/ and weights/> [seconds]

Pictures are seen at half size, as `segexp train experiment=bccd_detection` sees them, and measured by this project's AP.
"""

import sys
from pathlib import Path

import torch
from torchvision.models.detection import FCOS
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.ops.feature_pyramid_network import LastLevelP6P7

from segexp.data.voc_xml import VocXml
from segexp.metrics.detection import DetectionMetrics
from tests.benchmarks.torchvision_loop import Pyramid, report

WIDTH, SIZE = 96, (240, 320)


def network(weights, classes):
    anchors = AnchorGenerator(tuple((8 * 2**i,) for i in range(5)), ((1.0,),) * 5)
    half = {"min_size": SIZE[0], "max_size": SIZE[1], "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    return FCOS(Pyramid(weights, (2, 3, 4), LastLevelP6P7, WIDTH), classes + 1, anchor_generator=anchors, **half)


def main(folder, seconds="1500"):
    data = VocXml(root=str(Path(folder) / "bccd"), classes=["RBC", "WBC", "Platelets"])
    torch.manual_seed(0)
    net = network(Path(folder) / "weights" / "tf_efficientnet_lite0_in1k.fp16.safetensors", data.spec.num_classes)
    report(net, data, DetectionMetrics(data.spec), {"boxes"}, ("map50", "map"), float(seconds))


if __name__ == "__main__":
    main(*sys.argv[1:])
