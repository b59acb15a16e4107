"""A small tree of configs and the classes that it names, for tests of what enters Hydra."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

from segexp.errors import DataError

FILES = {
    "train": """
        defaults:
          - _self_
          - paths: default
          - data: dots
          - backbone: small
          - head: fcn
          - loss: ce
          - postprocess: argmax
          - metrics: [semantic]
          - optimizer: sgd
          - trainer: default
          - logger: none
          - task: semantic
          - model: none
          - experiment: none
        name: default
        seed: 0
        monitor: null
        tags: {}
        run: {threads: null, again: false}
        data: {loader: {batch_size: 8, workers: 0}}
        """,
    "paths/default": "outputs: ${oc.env:NOT_SET_ANYWHERE,outputs}\n",
    "data/dots": "_target_: tests.config_tree.Dots\nroot: ${paths.outputs}/dots\n",
    "backbone/small": """
        # conf/backbone/small.yaml: a small one, quick to train
        _target_: tests.config_tree.Stage
        _partial_: true
        width: 8
        """,
    "backbone/large": "# @package backbone\n# conf/backbone/large.yaml\n# A large one\ndefaults: [small]\nwidth: 64\nstride: 16\n",
    "head/fcn": "_target_: tests.config_tree.Stage\n_partial_: true\nwidth: 8\ndropout: 0.1\n",
    "head/center": "_target_: tests.config_tree.Stage\n_partial_: true\nwidth: 8\nsigma: 8.0\n",
    "loss/ce": "_target_: tests.config_tree.Stage\n_partial_: true\nwidth: 1\n",
    "loss/dice": "defaults: [ce]\nsmooth: 1.0\n",
    "postprocess/argmax": "_target_: tests.config_tree.Stage\n_partial_: true\nwidth: 1\n",
    "postprocess/query_semantic": "_target_: tests.config_tree.Stage\n_partial_: true\nwidth: 2\n",
    "postprocess/query_panoptic": "_target_: tests.config_tree.Stage\n_partial_: true\nwidth: 3\n",
    "metrics/semantic": "semantic: {_target_: tests.config_tree.Stage, _partial_: true, width: 1}\n",
    "metrics/panoptic": "panoptic: {_target_: tests.config_tree.Stage, _partial_: true, width: 2}\n",
    "optimizer/sgd": "_target_: tests.config_tree.Stage\n_partial_: true\nlr: 0.1\nmomentum: 0.9\n",
    "trainer/default": "_target_: tests.config_tree.Trainer\nmax_epochs: 3\nprofiler: null\n",
    "logger/none": "# @package _global_\n",
    "task/semantic": "# @package _global_\ndefaults:\n  - override /metrics: [semantic]\n  - _self_\nmonitor: val/miou\n",
    "task/panoptic": "# @package _global_\ndefaults:\n  - override /metrics: [panoptic]\n  - _self_\nmonitor: val/pq\n",
    "task/detection": "# @package _global_\nmonitor: val/map\n",
    "model/none": "# @package _global_\n",
    "model/centers": """
        # @package _global_
        defaults:
          - override /head: center
          - override /task: panoptic
          - _self_
        head: {width: 16}
        """,
    "model/queries": "# @package _global_\ndefaults:\n  - override /postprocess: query_${task}\n",
    "experiment/none": "# @package _global_\n",
    "experiment/centers_long": """
        # @package _global_
        defaults:
          - override /model: centers
          - _self_
        name: centers_long
        trainer: {max_epochs: 100}
        """,
}


def write_tree(folder: Path, **more: str) -> Path:
    """Write the tree, with further files such as ``experiment__mine="..."``."""
    for name, text in {**FILES, **{key.replace("__", "/"): text for key, text in more.items()}}.items():
        path = folder / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text).lstrip("\n"), encoding="utf-8")
    return folder


class Stage:
    """Takes the keys of every stage of the tree."""

    def __init__(self, *given, width=1, dropout=0.0, sigma=1.0, smooth=0.0, stride=32, lr=0.0, momentum=0.0, parts=None):
        if width < 0:
            raise ValueError("negative\nwidth")
        self.given, self.width, self.parts = given, width, parts


class Trainer:
    def __init__(self, *, max_epochs, profiler=None):
        self.max_epochs, self.profiler = max_epochs, profiler


class Dots:
    def __init__(self, *, root):
        raise DataError(f"no dots in {root}", where=root, fix="look elsewhere")
