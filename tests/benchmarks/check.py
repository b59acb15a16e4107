"""How long `segexp check` takes, beside its goals: `python -m tests.benchmarks.check`.

Times are of commands in fresh processes, the best of three; where chains are looked at, beyond the imports of torch and
Lightning. The sweep of 200 jobs has ten chains.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence

IMPORTS = "import segexp.build, segexp.callbacks.progress, segexp.callbacks.panels, segexp.heads.semantic"
MISTAKES = ("optimizer.lr=1e-3x", "trainer.max_epoch=3", "modle=unet", "optimizer._target_=torch.optim.AdamX")
BROKEN = (
    ["model=fcos", "decoder=feature_pyramid"],
    ["model=mask_rcnn", "postprocess=dense_nms"],
    ["loss=retinanet"],
    ["monitor=val/x"],
    [],
)
SWEEP = (
    "-m",
    "backbone=resnet10t,resnet18,resnet34,mobilenet_v2,efficientnet_lite0",
    "decoder=deeplabv3plus_light,fpn",
    "seed=range(0,20)",
)


def seconds(command: Sequence[str], *, tries: int = 3) -> float:
    """Of the fastest of a few tries."""
    taken = []
    for _ in range(tries):
        began = time.perf_counter()
        subprocess.run([sys.executable, *command], check=False, capture_output=True, timeout=300)
        taken.append(time.perf_counter() - began)
    return min(taken)


def check(*arguments: str, tries: int = 3) -> float:
    return seconds(["-m", "segexp.cli.main", "check", *arguments], tries=tries)


def beyond_imports(overrides: Sequence[str], *, tries: int = 3) -> float:
    """Of the fastest of a few fresh processes, each of which has imported torch and what the default chain needs."""
    program = f"{IMPORTS}; from time import perf_counter as now; began = now(); main({['check', *overrides]}); print(now() - began)"
    command = [sys.executable, "-c", f"from segexp.cli.main import main; {program}"]
    runs = (subprocess.run(command, check=False, capture_output=True, text=True, timeout=300) for _ in range(tries))
    return min(float(run.stdout.split()[-1]) for run in runs)


def main() -> None:
    """Print each figure beside its goal."""
    names = max(check(text) for text in MISTAKES)
    print(f"names, keys and types: {names:.2f} s the slowest of {len(MISTAKES)} mistakes (goal < 2 s, without torch)")
    rest = max(beyond_imports(overrides) for overrides in BROKEN)
    print(f"the whole command: {rest:.2f} s beyond the imports, the slowest of {len(BROKEN)} (goal < 3 s)")
    print(f"a sweep of 200 jobs: {check(*SWEEP, tries=1):.1f} s (goal < 30 s)")


if __name__ == "__main__":
    main()
