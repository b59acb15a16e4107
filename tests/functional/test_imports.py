"""Libraries that a run doesn't use aren't imported for it."""

import subprocess
import sys

from segexp.functional.imports import without


def test_within_it_is_not_there_and_afterwards_it_is():
    for name in ("colorsys", "chunk_of_nothing"):
        sys.modules.pop(name, None)
    with without("colorsys"):
        try:
            import colorsys
        except ImportError:
            colorsys = None
        assert colorsys is None
    import colorsys

    assert colorsys.rgb_to_hsv(0, 0, 0) == (0, 0, 0)
    with without("colorsys"):  # imported already: stays
        import colorsys as again
    assert again is colorsys


def test_a_training_step_needs_neither_wandb_nor_models_of_other_libraries(tmp_path):
    code = """
import os, sys
import segexp.task
from segexp.cli.main import main

def stop(self, *_):
    print([m for m in ("wandb", "segmentation_models_pytorch", "plotly", "jinja2") if m in sys.modules], flush=True)
    os._exit(0)

segexp.task.Task.on_train_batch_end = stop
main(["train", "debug=fast", "trainer.accelerator=cpu"])
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]", done.stdout
