"""The page over ten thousand runs: how long it takes to write, in how much memory, and how long a browser takes to open it.

python -m tests.benchmarks.sweep_report [runs] [folder]

The runs are made up (2,500 settings of three keys with four seeds each; 130 leaves of config, 12 curves of 64 points and records
of 100 images each) in a folder that is kept if it is named. The report runs in a process of its own, so that its peak is its own.
"""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.report import fabricate

SEEDS, LEVELS = 4, 200
GOAL_SECONDS, GOAL_MIB = 20, 1024
REPORT = """
import resource, sys, time
began = time.perf_counter()
from pathlib import Path
from segexp.report.sweep import write_sweep_report
page = write_sweep_report(Path(sys.argv[1]))
used = resource.getrusage(resource.RUSAGE_SELF)
peak, cpu = used.ru_maxrss / 1024, used.ru_utime + used.ru_stime
print(f"{time.perf_counter() - began:.2f} {cpu:.2f} {peak:.0f} {page.stat().st_size / 1e6:.1f} {page}")
"""


def make(folder: Path, runs: int) -> None:
    """Made-up runs; of all with one level of quality the records of single images are one file."""
    draw, levels = random.Random(0), []
    for level in range(LEVELS):
        records = folder.parent / f"records-{level}.jsonl"
        text, quality = fabricate.per_image(0.3 + 0.4 * level / LEVELS, 100, 0)
        records.write_text(text)
        levels.append((records, quality))
    more = [f"train/part{i}" for i in range(9)]
    for index in range(runs):
        setting, seed = divmod(index, SEEDS)
        own = random.Random(setting)
        keys = {
            "backbone": f"net{setting % 12}",
            "optimizer.lr": round(10 ** own.uniform(-4, -1), 6),
            "decoder.width": own.choice([64, 128, 256]),
        }
        level = min(max(int(LEVELS * (0.3 + (setting % 12) / 24 + own.gauss(0, 0.08))) + draw.randrange(-2, 3), 0), LEVELS - 1)
        records, quality = levels[level]
        if index % 100 == 99:
            error = {"code": "oom", "what": f"out of memory at batch {index % 3}", "where": "step 3", "fix": "less"}
            fabricate.run(folder, index, keys, seed, 0, state="failed", error=error)
        else:
            fabricate.run(folder, index, keys, seed, quality, records=records, pictures=2 * (index < 400), points=64, more=more)


def opening(page: Path) -> float | None:
    """Seconds until the page stands in a browser; None without one."""
    from tests.report.test_browser import CHROMIUM, FLAGS

    if CHROMIUM is None:
        return None
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        tab = browser.new_page()
        began = time.perf_counter()
        tab.goto(page.as_uri(), timeout=120_000)
        tab.wait_for_selector("#curves .scatterlayer .trace")
        seconds = time.perf_counter() - began
        browser.close()
    return seconds


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(sys.argv[2] if len(sys.argv) > 2 else temporary).resolve() / "made"
        if not folder.is_dir():
            folder.mkdir(parents=True)
            make(folder, runs)
        found = subprocess.run([sys.executable, "-c", REPORT, folder], capture_output=True, text=True, timeout=600, check=True)
        seconds, cpu, peak, size, page = found.stdout.split(maxsplit=4)
        print(f"report over {runs:,} runs: {seconds} s (goal {GOAL_SECONDS}), of the processor {cpu} s")
        print(f"peak {peak} MiB (goal {GOAL_MIB}), page {size} MB")
        opened = opening(Path(page.strip()))
        print("no browser" if opened is None else f"opened in {opened:.1f} s")


if __name__ == "__main__":
    main()
