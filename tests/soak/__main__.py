"""`make soak`: the proof that nothing is lost. It goes on where it was stopped.

    python -m tests.soak [kills panoptic detection ranks saves invariance lock stop] [--sequences 60] [--saves 150] ...

A part plays so many sequences; each is noted in the folder's journal.jsonl, and isn't played again while the code is the
same. What fails keeps its folder. Exit code 1 if anything was lost.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from segexp.sweeps import forks
from tests.soak import invariance, kills, lock, ranks, saves, stop
from tests.soak.bench import Bench, sources

PARTS: dict[str, tuple[Any, str]] = {  # and the option that says how many
    "kills": (kills.SEMANTIC, "sequences"),
    "panoptic": (kills.PANOPTIC, "panoptic"),
    "detection": (kills.DETECTION, "detection"),
    "ranks": (ranks, "ranks"),
    "saves": (saves, "saves"),
    "invariance": (invariance, "variants"),
    "lock": (lock, "rounds"),
    "stop": (stop, "stops"),
}


def main(arguments: Sequence[str]) -> int:
    """Play the parts; 1 if anything is wrong."""
    options = parsed(arguments)
    folder = options.folder or Path("outputs", "soak", f"{sources()[:12]}-{options.seed}")
    print(f"{folder}", flush=True)
    forks.SERVER = "tests.soak.server"
    wrong: list[str] = []
    folder.mkdir(parents=True, exist_ok=True)
    with forks.ForkServer(grace=10, output=folder / "server.txt") as server:
        bench = Bench(server, folder, seed=options.seed)
        for name in options.parts or PARTS:
            wrong += play(bench, name, getattr(options, PARTS[name][1]))
    print(f"\n{len(wrong)} problems" if wrong else "\nnothing was lost")
    print("\n".join(f"  {text}" for text in wrong))
    return int(bool(wrong))


def parsed(arguments: Sequence[str]) -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], metavar="part", help=f"{', '.join(PARTS)}; all of them unless named")
    for part, option in PARTS.values():
        parser.add_argument(f"--{option}", type=int, default=part.SEQUENCES)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="below outputs/soak unless given")
    return parser.parse_args(arguments)


def play(bench: Bench, name: str, count: int) -> list[str]:
    """Play what isn't played yet of a part, and show its table; returns what is wrong."""
    part, rows, wrong = PARTS[name][0], [], []
    for number in range(count):
        began = time.monotonic()
        row = bench.journal.find(name, number) or bench.journal.note(name, number, part.one(bench, number))
        said = "; ".join(row["problems"]) or "ok"
        print(f"{name} {number + 1}/{count}  {time.monotonic() - began:5.1f} s  {part.line(row)}: {said}", flush=True)
        wrong += [f"{name} {number + 1}: {problem}" for problem in row["problems"]]
        rows.append(row)
        if not row["problems"]:
            shutil.rmtree(bench.folder / f"{name}-{number}", ignore_errors=True)
    counts, short = part.summary(rows)
    print(f"\n{name}\n" + "\n".join(f"  {label:32} {value}" for label, value in counts.items()) + "\n", flush=True)
    return wrong + [f"{name}: {text}" for text in short]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
