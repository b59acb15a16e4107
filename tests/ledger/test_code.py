"""Which files of a checkout aren't what a run began with: content counts, neither commits nor patches."""

import subprocess

import pytest

from segexp.ledger.code import changed_code
from segexp.runs.manifest import git_state


def git(folder, *words):
    subprocess.run(["git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@b", *words], check=True, capture_output=True)


@pytest.fixture
def checkout(tmp_path_factory):
    """A commit of a package, a config, a test and a page."""
    tmp_path = tmp_path_factory.mktemp("checkout")
    git(tmp_path, "init", "-q")
    for name in ("segexp/a.py", "segexp/b.py", "conf/c.yaml", "tests/t.py", "README.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"{name}\nsecond\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "one")
    return tmp_path


def write(folder, name, text):
    (folder / name).write_text(text)


def test_nothing_has_changed(checkout):
    assert changed_code(git_state(checkout), checkout) == []


@pytest.mark.parametrize("commits", [False, True])
def test_changed_new_and_deleted_files_are_named_committed_or_not(checkout, commits):
    then = git_state(checkout)
    write(checkout, "segexp/a.py", "other\n")
    write(checkout, "segexp/new.py", "new\n")
    (checkout / "conf/c.yaml").unlink()
    if commits:
        git(checkout, "add", "-A")
        git(checkout, "commit", "-qm", "two")
    assert changed_code(then, checkout) == ["conf/c.yaml", "segexp/a.py", "segexp/new.py"]


def test_a_patch_that_was_committed_since_changes_nothing(checkout):
    write(checkout, "segexp/a.py", "other\n")
    write(checkout, "segexp/new.py", "new\n")
    then = git_state(checkout)
    git(checkout, "add", "-A")
    git(checkout, "commit", "-qm", "two")
    assert changed_code(then, checkout) == []


def test_a_patch_that_was_undone_or_changed_is_told(checkout):
    write(checkout, "segexp/a.py", "other\n")
    write(checkout, "segexp/new.py", "new\n")
    then = git_state(checkout)
    write(checkout, "segexp/a.py", "segexp/a.py\nsecond\n")
    write(checkout, "segexp/new.py", "newer\n")
    assert changed_code(then, checkout) == ["segexp/a.py", "segexp/new.py"]


def test_a_file_that_was_renamed_when_the_run_began(checkout):
    git(checkout, "mv", "segexp/a.py", "segexp/moved.py")
    then = git_state(checkout)
    assert changed_code(then, checkout) == []
    write(checkout, "segexp/moved.py", "other\n")
    assert changed_code(then, checkout) == ["segexp/moved.py"]


def test_tests_and_documents_count_only_where_the_config_calls_them(checkout):
    then = git_state(checkout)
    write(checkout, "tests/t.py", "other\n")
    write(checkout, "README.md", "other\n")
    assert changed_code(then, checkout) == []
    assert changed_code(then, checkout, {"tests"}) == ["tests/t.py"]


def test_outputs_and_data_within_the_checkout_are_no_code(checkout):
    then = git_state(checkout)
    for name in ("outputs/default/x/config.yaml", "outputs/default/x/result.json", "data/a.png"):
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        (checkout / name).write_text("a: 1\n")
    assert changed_code(then, checkout, outputs=checkout / "outputs") == []
    assert changed_code(then, checkout) == ["outputs/default/x/config.yaml"]


def test_where_it_cannot_be_told(checkout, tmp_path_factory):
    then = git_state(checkout)
    assert changed_code(then | {"commit": "0" * 40}, checkout) is None
    assert changed_code(then | {"patch": None}, checkout) is None
    assert changed_code(then | {"patch_cut": True}, checkout) is None
    assert changed_code(then, tmp_path_factory.mktemp("elsewhere")) is None
