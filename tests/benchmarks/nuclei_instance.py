"""Nuclei: torchvision's Mask R-CNN on the same backbone and weights in a plain loop, stopped after so many seconds; mask AP50 on val.

    python -m tests.benchmarks.nuclei_instance <folder that holds nuclei/ and weights/> [seconds]

Anchors fit the nuclei, as those of `segexp train experiment=nuclei_instance` do; it is measured by this project's AP.
"""

import sys
from pathlib import Path

import torch
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.ops import MultiScaleRoIAlign

from segexp.data.nuclei import Nuclei
from segexp.metrics.instance import InstanceMetrics
from tests.benchmarks.torchvision_loop import Pyramid, report

WIDTH, SIZE, LEVELS = 96, (256, 384), ["0", "1", "2", "3"]


def network(weights):
    anchors = AnchorGenerator(((12,), (24,), (48,), (96,)), ((0.5, 1.0, 2.0),) * 4)
    pooled = {name: MultiScaleRoIAlign(LEVELS, side, 2) for name, side in (("box_roi_pool", 7), ("mask_roi_pool", 14))}
    limits = {"rpn_pre_nms_top_n_train": 500, "rpn_post_nms_top_n_train": 300, "box_batch_size_per_image": 128}
    limits |= {"rpn_pre_nms_top_n_test": 500, "rpn_post_nms_top_n_test": 300, "box_detections_per_img": 200}
    pixels = {"min_size": SIZE[0], "max_size": SIZE[1], "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    return MaskRCNN(Pyramid(weights, (1, 2, 3, 4), None, WIDTH), 2, rpn_anchor_generator=anchors, **pooled, **limits, **pixels)


def main(folder, seconds="1500"):
    data = Nuclei(root=str(Path(folder) / "nuclei"), annotation="instances")
    torch.manual_seed(0)
    net = network(Path(folder) / "weights" / "tf_efficientnet_lite0_in1k.fp16.safetensors")
    report(net, data, InstanceMetrics(data.spec), {"boxes", "masks"}, ("mask_map50", "mask_map"), float(seconds))


if __name__ == "__main__":
    main(*sys.argv[1:])
