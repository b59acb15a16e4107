"""docs/faults.md has each of the 61 faults once, and the tests that it names are there."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROW = re.compile(r"^\| (\d+) \| (.+?) \| (.+?) \| (.+?) \|$", re.MULTILINE)
ROWS = ROW.findall((ROOT / "docs/faults.md").read_text(encoding="utf-8"))


def cited(row):
    """The tests that a row names: how ids of pytest begin."""
    return re.findall(r"`(tests/[^`]+)`", row[3])


@pytest.fixture(scope="module")
def ids():
    """The ids of all tests in the modules that are named."""
    modules = sorted({name.partition("::")[0] for row in ROWS for name in cited(row)})
    listing = [sys.executable, "-m", "pytest", "--collect-only", "-m", "", *modules]  # the long ones, too
    done = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return [line for line in done.stdout.splitlines() if "::" in line]


def test_every_fault_has_one_row():
    assert [int(row[0]) for row in ROWS] == list(range(1, 62))


@pytest.mark.slow
def test_the_tests_that_are_named_exist(ids):
    missing = [f"{row[0]}: {name}" for row in ROWS for name in cited(row) if not any(_is(name, found) for found in ids)]
    assert missing == []
    assert [row[0] for row in ROWS if not cited(row)] == []


def test_a_name_stands_for_a_test_and_its_cases_alone():
    test = "tests/faults/test_stop.py::test_52_a_signal"
    assert _is(test, test)
    assert _is(test, f"{test}[SIGTERM]")
    assert _is(f"{test}[SIG", f"{test}[SIGTERM]")
    assert not _is(test, f"{test}s")
    assert not _is("tests/faults", "tests/faults/test_stop.py::test_52_a_signal")


def _is(name, found):
    return "::" in name and (found == name or found.startswith(name if "[" in name else f"{name}["))
