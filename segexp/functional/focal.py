"""Keys of the focal loss (Lin et al., 2017) of detectors, which is torchvision's `sigmoid_focal_loss`."""

from __future__ import annotations

from segexp.errors import ConfigError, require_number


def focal_alpha(alpha: float | None, gamma: float) -> float:
    """The alpha that torchvision takes: -1 stands for null.

    Raises:
        ConfigError: a value makes no sense; also a gamma between 0 and 1, whose gradient is no number where nothing is left to learn.
    """
    require_number("loss.gamma", gamma, "loss.gamma=2", least=0)
    if 0 < gamma < 1:
        raise ConfigError("a gamma between 0 and 1 has infinite gradients", where=f"loss.gamma={gamma}", fix="loss.gamma=0, or 1 or more")
    if alpha is None:
        return -1.0
    require_number("loss.alpha", alpha, "loss.alpha=0.25, or null", least=0, below=1)
    return alpha
