"""`torch.compile` of a model's stages, in place."""

from __future__ import annotations

import os
import shutil
from typing import Any

from segexp.errors import ConfigError

COMPILERS = ("c++", "g++", "clang++", "cl")


def compile_stages(model: Any) -> None:
    """Compile backbone and decoder at their first call; names of weights, and copies of the model, stay as they are.

    The head and what follows stay as they are: they take sizes and targets, which change from batch to batch.

    Raises:
        ConfigError: there is no C++ compiler, which `torch.compile` needs.
    """
    asked = os.environ.get("CXX")
    if not any(shutil.which(name) for name in ((asked,) if asked else COMPILERS)):
        looked = f"CXX={asked}" if asked else f"none of {', '.join(COMPILERS)} is there"
        raise ConfigError(
            f"torch.compile needs a C++ compiler: {looked}",
            where="trainer.compile=true",
            fix="install one (such as g++), name it in CXX, or trainer.compile=false",
        )
    for stage in (model.backbone, model.decoder):
        stage.compile()
