"""Run folders with the files that the ledger reads, written without training."""

import json
from pathlib import Path

STARTED = "2026-01-02T03:04:05+00:00"


def fabricate(
    outputs,
    name="default",
    run_id="0123456789ab",
    *,
    slug="shapes-fcn-tiny-s0",
    state="done",
    miou=0.5,
    error=None,
    attempt=1,
    patch="",
    more=None,
):
    """A run's folder; `more` are figures of its `val`."""
    folder = Path(outputs) / name / f"{slug}-{run_id}"
    folder.mkdir(parents=True)
    manifest = {"id": run_id, "id_version": 1, "command": "segexp train", "started": STARTED, "seed": 0, "threads": 1, "versions": {}}
    manifest |= {"git": {"commit": "0" * 40, "patch": patch, "patch_cut": False}, "data": None, "spec": None, "hostname": "here"}
    status = {"state": state, "attempt": attempt, "step": 40, "error": error, "failures": int(state == "failed")}
    dump(folder / "manifest.json", manifest)
    dump(folder / "status.json", status)
    (folder / "config.yaml").write_text("seed: 0\nmonitor: val/miou\n")
    if state == "done":
        figures = {"miou": miou} | {f"iou/class-{i}": miou for i in range(19)} | (more or {})
        result = {"val": figures, "monitor": "val/miou", "best": {"step": 40, "score": miou}, "parameters": 10}
        result |= {
            "config": {f"key.{i}": i for i in range(150)},
            "curves": {f"val/{k}": [[i, miou] for i in range(64)] for k in list(figures)[:5]},
        }
        dump(folder / "result.json", result | {"steps": 40, "seconds": 12.5, "speed": None})
    return folder


def dump(path, value):
    """As `segexp.functional.files.write_json` writes it, without waiting for the disk."""
    path.write_text(json.dumps(value, indent=1) + "\n")
