"""Norms of size: files, functions, names."""

import ast
import statistics
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted(p for p in (ROOT / "segexp").rglob("*.py") if p.name != "__init__.py")


def functions(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node.name, node.end_lineno - node.lineno + 1


def test_files_fit_on_a_few_screens():
    lengths = {p.name: len(p.read_text().splitlines()) for p in FILES}
    assert max(lengths.values()) <= 500, max(lengths, key=lengths.get)
    assert statistics.median(lengths.values()) <= 160


def test_functions_are_short():
    assert not [f"{p.name}:{name} has {n} lines" for p in FILES for name, n in functions(p) if n > 80]


def test_names_say_something():
    assert not [p for p in FILES if p.stem in {"utils", "util", "common", "helpers", "misc"}]


def test_every_module_says_what_it_is():
    assert not [p for p in FILES if not ast.get_docstring(ast.parse(p.read_text()))]


def test_the_top_level_is_the_one_of_the_house():
    wanted = {
        "pyproject.toml",
        "README.md",
        "Makefile",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "SECURITY.md",
        "LICENSE",
        ".ci",
        ".gitignore",
        "docs",
        "outputs",
        "conf",
        "segexp",
        "tests",
    }
    import subprocess

    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode == 0 and listed.stdout:
        assert {line.split("/")[0] for line in listed.stdout.splitlines()} == wanted
    else:
        assert all((ROOT / name).exists() for name in wanted)
