"""Every command of the README runs: on small pictures, and CamVid only where the shared data are."""

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segexp.cli.main import main

ROOT = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("SEGEXP_SHARED", ROOT.parent / "shared")) / "data"
BLOCKS = re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
LINES = [line.split("#")[0].strip() for block in BLOCKS for line in block.splitlines() if line.strip()]
COMMANDS = [line for line in LINES if line.startswith("segexp ")]
QUICK = ["debug=fast", "data.limit=16", "trainer.accelerator=cpu"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("readme")
    rng = np.random.default_rng(0)
    Image.fromarray(np.zeros((40, 60, 3), np.uint8)).save(folder / "street.png")
    for kind in ("images", "masks"):
        (folder / "mine" / kind).mkdir(parents=True)
        for i in range(40):
            picture = rng.integers(0, 256, (40, 60, 3)) if kind == "images" else rng.integers(0, 2, (40, 60))
            Image.fromarray(picture.astype(np.uint8)).save(folder / "mine" / kind / f"{i}.png")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main(["train", *QUICK, "name=first"]) == 0
        (folder / "run").symlink_to(next((folder / "outputs" / "first").iterdir()))
        yield folder
    shutil.rmtree(folder)  # gigabytes


def test_there_are_commands_and_every_target_exists():
    assert len(COMMANDS) >= 10
    for target in (line.split()[1] for line in LINES if line.startswith("make ")):
        done = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, check=False)
        assert done.returncode == 0, target


@pytest.mark.parametrize("line", COMMANDS)
def test_command_runs(place, line):
    if "paths.data=" in line and not SHARED.is_dir():
        pytest.skip("needs the shared data (SEGEXP_SHARED or ../shared)")
    run = (place / "run").resolve()
    for name, value in (("<run>", run), ("<your-folder>", place / "mine"), ("<folder>", SHARED), ("<pictures>", place / "street.png")):
        line = line.replace(name, str(value))
    arguments = shlex.split(line.replace("sweep.trials=30", "sweep.trials=4"))[1:]
    if arguments[0] == "train":
        arguments += [part for part in QUICK if part.partition("=")[0] not in {a.partition("=")[0] for a in arguments}]
    assert main(arguments) == 0


def test_links_lead_somewhere():
    for page in ("README.md", "CONTRIBUTING.md"):
        for link in re.findall(r"\]\(([^)#]+)\)", (ROOT / page).read_text()):
            assert (ROOT / link).exists(), f"{page}: {link}"
