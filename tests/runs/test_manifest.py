"""The manifest: versions without importing torch, the code with its uncommitted changes, the machine, no secrets."""

import json
import os
import re
import subprocess
import sys
import tomllib
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from segexp.functional.files import read_json, write_json
from segexp.runs import manifest as module
from segexp.runs.manifest import DISTRIBUTIONS, git_state, hardware, manifest, source_folder, update_manifest, versions

CONFIG = OmegaConf.create({"seed": 3})


def test_the_record_of_a_run(monkeypatch):
    secret = f"s3cr3t-{os.getpid()}"
    monkeypatch.setenv("WANDB_API_KEY", secret)
    monkeypatch.setattr("segexp.allow._added", ())
    made = manifest(CONFIG, "0123456789ab", ["model=fcn", "data.title='a b'"], threads=2)
    assert list(made) == [
        *("id", "id_version", "command", "started", "seed", "threads", "versions", "git", "data", "spec", "hardware", "hostname")
    ]
    assert (made["id"], made["id_version"], made["seed"], made["threads"]) == ("0123456789ab", 1, 3, 2)
    assert made["command"] == "segexp train model=fcn 'data.title='\"'\"'a b'\"'\"''"
    assert made["data"] is None and made["spec"] is None
    started = datetime.fromisoformat(made["started"])
    assert started.tzinfo == UTC and abs((datetime.now(UTC) - started).total_seconds()) < 60
    assert secret not in json.dumps(made)


def test_what_is_known_later_is_filled_in(tmp_path):
    path = tmp_path / "manifest.json"
    write_json(path, {"id": "x", "data": None, "threads": None})
    update_manifest(path, {"data": "fingerprint", "threads": 2, "devices": ["cpu"]})
    assert read_json(path) == {"id": "x", "data": "fingerprint", "threads": 2, "devices": ["cpu"]}


# ------------------------------------------------------------------ versions


def test_versions_are_those_installed():
    found = versions()
    assert found["python"] == ".".join(map(str, sys.version_info[:3]))
    for name in ("torch", "numpy", "omegaconf", "hydra-core", "pytorch-lightning", "segmentation-models-pytorch"):
        assert found[name] == version(name)
    assert "monai-not-there" not in found and None not in found.values()


def test_every_dependency_is_recorded():
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    named = {re.match(r"[\w-]+", line)[0].lower() for line in project["dependencies"]}
    assert named and named <= set(DISTRIBUTIONS)


def test_a_package_that_adds_configs_is_recorded(tmp_path):
    info = tmp_path / "my_segexp_models-2.5.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my-segexp-models\nVersion: 2.5\n")
    (info / "entry_points.txt").write_text("[segexp.conf]\nmine = my_models:conf\n")
    script = "from segexp.runs.manifest import versions; import sys; print(versions().get('my-segexp-models'), 'torch' in sys.modules)"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(Path(__file__).parents[2])])}
    said = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True).stdout
    assert said == "2.5 False\n"


# ------------------------------------------------------------------ code


def git(folder, *arguments):
    name = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
    return subprocess.run(["git", "-C", str(folder), *name, *arguments], check=True, capture_output=True, text=True).stdout


@pytest.fixture
def checkout(tmp_path):
    folder = tmp_path / "checkout"
    (folder / "sub").mkdir(parents=True)
    git(folder, "init", "-q")
    (folder / "a.py").write_text("one\n")
    (folder / ".gitignore").write_text("ignored\n")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "first")
    return folder


def test_a_clean_checkout_has_a_commit_and_no_patch(checkout):
    assert git_state(checkout) == {"commit": git(checkout, "rev-parse", "HEAD").strip(), "patch": "", "patch_cut": False}


def test_the_patch_holds_changed_staged_and_new_files_and_restores_them(checkout, tmp_path):
    (checkout / "a.py").write_text("two\n")
    (checkout / "staged.py").write_text("staged\n")
    git(checkout, "add", "staged.py")
    (checkout / "sub" / "new.py").write_text("new\n")
    (checkout / "ignored").write_text("ignored content\n")
    before = (git(checkout, "status", "--porcelain"), (checkout / ".git" / "index").read_bytes())
    made = git_state(checkout / "sub")  # from any folder of the checkout
    assert (git(checkout, "status", "--porcelain"), (checkout / ".git" / "index").read_bytes()) == before
    assert "-one\n+two\n" in made["patch"] and "ignored content" not in made["patch"]
    git(tmp_path, "clone", "-q", str(checkout), "copy")
    (tmp_path / "changes.patch").write_text(made["patch"])
    git(tmp_path / "copy", "apply", str(tmp_path / "changes.patch"))
    restored = {f: (tmp_path / "copy" / f).read_text() for f in ("a.py", "staged.py", "sub/new.py")}
    assert restored == {"a.py": "two\n", "staged.py": "staged\n", "sub/new.py": "new\n"}


def test_a_long_patch_is_cut(checkout):
    (checkout / "a.py").write_text("x" * 3_000_000)
    made = git_state(checkout)
    assert made["patch_cut"] is True and len(made["patch"]) == 2**20


def test_a_variable_set_by_a_hook_does_not_lead_to_another_checkout(checkout, monkeypatch):
    expected = git_state(checkout)
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    monkeypatch.setenv("GIT_INDEX_FILE", "/nowhere/index")
    assert expected["commit"] and git_state(checkout) == expected


def test_without_a_checkout_a_commit_or_git_there_is_no_code(tmp_path, checkout, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    (tmp_path / "plain").mkdir()
    assert git_state(tmp_path / "plain") is None
    (tmp_path / "empty").mkdir()
    git(tmp_path / "empty", "init", "-q")
    assert git_state(tmp_path / "empty") is None
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_state(checkout) is None


def test_a_git_that_hangs_is_given_up(checkout, tmp_path, monkeypatch):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "git").write_text("#!/bin/sh\nexec sleep 60\n")
    (tmp_path / "bin" / "git").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    monkeypatch.setattr(module, "_GIT_SECONDS", 0.2)
    assert git_state(checkout) is None


def test_the_code_is_that_of_this_checkout():
    assert (source_folder() / "segexp" / "runs" / "manifest.py").is_file()


# ------------------------------------------------------------------ machine


def test_the_machine(monkeypatch):
    made = hardware()
    assert 1 <= made["usable_cpus"] <= made["cpus"] == os.cpu_count()
    assert made["memory"] > 2**28 and made["cpu"] and made["platform"].startswith(("Linux", "macOS"))


def test_a_machine_that_does_not_tell_is_no_error(monkeypatch):
    def silent(*_, **__):
        raise OSError

    monkeypatch.setattr(module.Path, "read_text", silent)
    monkeypatch.setattr(module.os, "sysconf", silent)
    assert hardware()["memory"] is None and isinstance(hardware()["cpu"], str)


def test_torch_is_not_imported():
    script = "import sys; import segexp.runs.manifest as m; m.versions(); m.hardware(); print('torch' in sys.modules)"
    root = Path(__file__).parents[2]
    assert subprocess.run([sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=True).stdout == "False\n"
