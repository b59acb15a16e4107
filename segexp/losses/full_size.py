"""What every loss on class logits starts from: logits at the size of the labels, and the labels as one tensor."""

from __future__ import annotations

from torch import Tensor

from segexp.functional.maps import stack_maps
from segexp.functional.resize import to_size
from segexp.types import SemanticLogits, Targets


def full_size(output: SemanticLogits, targets: list[Targets], ignore_index: int) -> tuple[Tensor, Tensor]:
    """Bring logits to the size of the largest image, in float32; smaller images are padded with ignored pixels.

    Returns:
        Logits float32 [B,K,H,W] and labels int64 [B,H,W].
    """
    labels = stack_maps([t.semantic for t in targets], ignore_index).long()  # [B,H,W]
    return to_size(output.logits.float(), output.stride, tuple(labels.shape[-2:]), aligned=output.align_corners), labels


def labelled_pixels(targets: list[Targets], ignore_index: int) -> float:
    """How many pixels of these images have a label."""
    return float(sum(int((t.semantic != ignore_index).sum()) for t in targets))
