"""What a run was made of: versions, code, machine, command; enough to run it again and to name what has changed.

Torch is never imported here: versions are read from what is installed. The environment is left out, because it holds secrets.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, entry_points, version
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from segexp.allow import command
from segexp.functional.files import read_json, write_json
from segexp.runs.identity import ID_VERSION
from segexp.secrets import redacted, redacted_patch

# What segexp is built on, and what it uses where it is installed.
DISTRIBUTIONS = (
    *("torch", "torchvision", "pytorch-lightning", "torchmetrics", "hydra-core", "omegaconf", "segmentation-models-pytorch", "timm"),
    *("wandb", "numpy", "pillow", "safetensors", "scipy", "rich", "matplotlib", "jinja2", "plotly", "pyyaml"),
    *("tensorboard", "mlflow-skinny", "optuna", "submitit", "faster-coco-eval", "monai", "albumentations", "litdata", "triton"),
)
PLUGINS = "segexp.conf"  # the entry-point group by which packages add configs

MAX_PATCH = 2**20  # bytes
_GIT_SECONDS = 10
_REDIRECTS = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX")  # set within hooks; they'd name another checkout
_PATCH = ("diff", "--no-color", "--no-ext-diff", "--no-textconv", "--src-prefix=a/", "--dst-prefix=b/", "HEAD")


def manifest(config: DictConfig, run_id: str, overrides: Sequence[str], *, threads: int | None = None) -> dict[str, Any]:
    """The record of a run that begins now.

    Args:
        config: the composed config; only its seed is read.
        run_id: the run's identity.
        overrides: what was typed after `segexp train`.
        threads: of torch, where they are known already.

    Returns:
        Plain containers. `data` (fingerprint) and `spec` (the data set's `DataSpec.to_dict()`) are None until
        `update_manifest` fills them in.
    """
    return {
        "id": run_id,
        "id_version": ID_VERSION,
        "command": redacted(command(overrides)),
        "started": now(),
        "seed": OmegaConf.select(config, "seed"),
        "threads": threads,
        "versions": versions(),
        "git": git_state(source_folder()),
        "data": None,
        "spec": None,
        "hardware": hardware(),
        "hostname": platform.node(),
    }


def now() -> str:
    """The time, as it is written down: ISO 8601 in UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def update_manifest(path: Path, values: Mapping[str, Any]) -> None:
    """Fill in or replace entries of a manifest that was written, such as `data`, `spec` and `threads`."""
    write_json(path, read_json(path) | dict(values))


def versions() -> dict[str, str]:
    """Name -> version of Python, segexp, and each distribution that it uses or that adds configs to it."""
    names = ["segexp", *DISTRIBUTIONS, *sorted({point.dist.name for point in entry_points(group=PLUGINS) if point.dist})]
    found = {name: installed for name in names if (installed := _version(name)) is not None}
    return {"python": platform.python_version()} | found


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def hardware() -> dict[str, Any]:
    """The machine: system, processor, cores (those that this process may use, and all), memory in bytes, NVIDIA's GPUs."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "platform": platform.platform(),
        "cpu": _cpu_model(),
        "cpus": os.cpu_count(),
        "usable_cpus": usable,
        "memory": _memory(),
        "gpus": _gpus(),
    }


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def _memory() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):  # not every system tells
        return None


def _gpus() -> list[str]:
    """The models, as NVIDIA's driver tells them; torch isn't asked, because that would import it."""
    told = [path.read_text(errors="replace") for path in sorted(Path("/proc/driver/nvidia/gpus").glob("*/information"))]
    return [line.partition(":")[2].strip() for text in told for line in text.splitlines() if line.startswith("Model:")]


# ------------------------------------------------------------------------------------------------ code


def source_folder() -> Path:
    """The checkout that segexp runs from; where it is installed as a package, the working directory."""
    checkout = Path(__file__).resolve().parents[2]
    return checkout if (checkout / "pyproject.toml").is_file() else Path.cwd()


def git_state(folder: Path) -> dict[str, Any] | None:
    """The commit that is checked out in a folder, and what differs from it, new files included.

    Returns:
        `{"commit", "patch", "patch_cut"}`; the patch is cut at `MAX_PATCH` bytes, without secrets, and None if git took too long for it.
        None where there is no git, no checkout or no commit.
    """
    commit = git(folder, "rev-parse", "--verify", "HEAD")
    if commit is None:
        return None
    patch = _patch(folder)
    cut = patch is not None and len(patch) > MAX_PATCH
    text = None if patch is None else redacted_patch(patch[:MAX_PATCH].decode(errors="replace"))
    return {"commit": commit.decode().strip(), "patch": text, "patch_cut": cut}


def _patch(folder: Path) -> bytes | None:
    """Changes against the commit; new files are announced in a copy of the index, so that the checkout stays as it is."""
    where = git(folder, "rev-parse", "--git-path", "index")
    top = git(folder, "rev-parse", "--show-toplevel")
    if where is None or top is None:
        return None
    root, index = Path(os.fsdecode(top.rstrip(b"\n"))), folder / os.fsdecode(where.rstrip(b"\n"))
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch) / "index"
        if index.is_file():
            shutil.copyfile(index, copy)
        if git(root, "add", "--intent-to-add", ".", index=copy) is None:
            return git(folder, *_PATCH)
        return git(root, *_PATCH, index=copy)


def git(folder: Path, *arguments: str, index: Path | None = None) -> bytes | None:
    """At most `MAX_PATCH` + 1 bytes of what git says; None if it failed, is missing, or took too long."""
    environment = {name: value for name, value in os.environ.items() if name not in _REDIRECTS} | {"GIT_OPTIONAL_LOCKS": "0"}
    if index is not None:
        environment["GIT_INDEX_FILE"] = str(index)
    with tempfile.TemporaryFile() as output:  # a file, because a patch may be larger than memory
        try:
            subprocess.run(
                ["git", "-C", str(folder), "-c", "core.fsmonitor=false", "-c", "core.quotepath=false", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.DEVNULL,
                env=environment,
                timeout=_GIT_SECONDS,
                check=True,
            )
        except (OSError, subprocess.SubprocessError):
            return None
        output.seek(0)
        return output.read(MAX_PATCH + 1)
