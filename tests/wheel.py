"""Build the wheel, install it into an empty environment, run one step away from the checkout: `make wheel`."""

import os
import subprocess
import sys
import tempfile
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def run(*command, cwd):
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHONPATH", "SEGEXP_"))}
    subprocess.run([str(part) for part in command], cwd=cwd, check=True, env=environment)


def main():
    with tempfile.TemporaryDirectory() as folder:
        away = Path(folder)
        run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", away / "dist", ROOT, cwd=away)
        (wheel,) = (away / "dist").glob("segexp-*.whl")
        names = zipfile.ZipFile(wheel).namelist()
        for wanted in ("segexp/conf/train.yaml", "segexp/report/page.html.j2", "segexp/cli/main.py"):
            assert wanted in names, f"{wanted} is not in the wheel"
        assert not [n for n in names if n.startswith("tests/")], "tests are in the wheel"
        venv.create(away / "venv", with_pip=True)
        binary = away / "venv" / "bin"
        run(binary / "python", "-m", "pip", "install", "--quiet", wheel, cwd=away)
        run(binary / "segexp", "list", "data", cwd=away)
        run(binary / "segexp", "train", "debug=fast", "data.train=12", "data.val=2", "data.test=2", cwd=away)
        (result,) = away.glob("outputs/debug/*/result.json")
        assert '"miou"' in result.read_text()
    print("wheel: 1 passed, 0 failed")


if __name__ == "__main__":
    main()
