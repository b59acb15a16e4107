"""A file imports only from lower floors, and heavy libraries only where the house allows them."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2] / "segexp"
FLOORS = [
    {"errors", "secrets", "types", "wiring"},
    {"functional", "targets", "layers"},
    {
        "backbones",
        "decoders",
        "heads",
        "fusion",
        "losses",
        "postprocess",
        "protocols",
        "metrics",
        "data",
        "augmentation",
        "optim",
        "visualize",
        "weights",
        "formats",
    },
    {"model", "samples", "datamodule", "task", "callbacks", "probe", "strategies"},
    {
        "allow",
        "bench",
        "blame",
        "build",
        "card",
        "choices",
        "config",
        "catalogue",
        "lines",
        "overrides",
        "presets",
        "published",
        "ranks",
        "runs",
        "search",
        "signatures",
        "check",
        "sweeps",
        "report",
        "doctor",
        "ledger",
        "statistics",
    },
    {"cli"},
]
FLOOR = {name: number for number, names in enumerate(FLOORS) for name in names}
ALLOWED = {
    "hydra": FLOORS[4] | FLOORS[5],
    "omegaconf": FLOORS[4] | FLOORS[5],
    "pytorch_lightning": {"task", "datamodule", "callbacks", "strategies", "build", "cli"},
    "wandb": {"callbacks"},
    "segmentation_models_pytorch": {"backbones", "decoders", "losses"},
    "timm": {"backbones", "decoders", "losses"},
    "torchmetrics": {"metrics"},
    "monai": {"metrics"},
    "optuna": {"search"},
}
FILES = sorted(p for p in ROOT.rglob("*.py") if p.name != "__init__.py")


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            yield node.lineno, node.module or ""
        elif isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)


def part(path):
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def broken(path):
    mine = part(path)
    for line, module in imports(path):
        top, _, rest = module.partition(".")
        if top in ALLOWED and mine not in ALLOWED[top]:
            yield f"{path.name}:{line} imports {top}"
        if top == "segexp" and rest:
            other = rest.split(".")[0]
            higher = FLOOR[other] > FLOOR[mine]
            sibling = FLOOR[mine] == FLOOR[other] == 2 and other != mine
            if higher or sibling:
                yield f"{path.name}:{line}: {mine} (floor {FLOOR[mine]}) imports {other} (floor {FLOOR[other]})"


@pytest.mark.smoke
def test_floors():
    assert not [text for path in FILES for text in broken(path)]


def test_every_part_has_a_floor():
    assert {part(path) for path in FILES} <= set(FLOOR)


def test_the_check_sees_what_is_wrong(tmp_path, monkeypatch):
    (tmp_path / "losses").mkdir()
    bad = tmp_path / "losses" / "x.py"
    bad.write_text(
        "import hydra\nfrom segexp.metrics.semantic import SemanticMetrics\nfrom segexp.task import Task\nfrom segexp.types import Batch\n"
    )
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    assert len(list(broken(bad))) == 3


def test_init_files_are_empty():
    assert not [p for p in ROOT.rglob("__init__.py") if p.read_text().strip()]
