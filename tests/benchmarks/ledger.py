"""How long does `segexp runs` take over 10,000 run directories, and what memory?

Run it with `python -m tests.benchmarks.ledger [runs] [folder]`. The folders are fabricated with the files of a run as they are
(20 figures, 150 keys of a config, 5 curves of 64 points, a patch of 20 kB in the manifest); one in ten failed, one in ten says
"running" and isn't. The command runs in a process of its own, its import included. Goal: < 5 s.
"""

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.ledger.fabricated import fabricate

PATCH = "diff --git a/x b/x\n+a line of code that was changed\n" * 400
STATES = ("done",) * 8 + ("failed", "running")
ERROR = {"code": "memory", "what": "a step needs more memory than there is", "where": "", "fix": ""}


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(sys.argv[2]) if len(sys.argv) > 2 else Path(scratch)
        for i in range(count if not any(place.glob("*/*")) else 0):
            state = STATES[i % 10]
            error = ERROR if state == "failed" else None
            fabricate(place, f"experiment-{i % 20}", f"{i:012x}", state=state, miou=i / count, error=error, patch=PATCH)
        for options in ([], ["--state=failed"], ["--sort=val/miou", "--last=20"], ["--json"]):
            seconds = measure([str(place), *options])
            print(f"runs {' '.join(options):24} {count} folders: {seconds:5.2f} s (goal: < 5 s)", flush=True)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"peak memory of the largest: {peak:.0f} MB")


def measure(arguments: list[str]) -> float:
    """Seconds of a command; the first read of a folder has its files in memory already, because they were just written."""
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-m", "segexp.cli.main", "runs", *arguments], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begun


if __name__ == "__main__":
    main()
