"""A kill between a checkpoint's record and what names it: LAST, BEST and the files end as those of the undisturbed run."""

import shutil

import pytest

from segexp.callbacks import checkpoint
from segexp.weights import checkpoints
from tests.runs.planned import Planned, ending, folder_of, hurry, read, run

pytestmark = pytest.mark.usefixtures("quick")
BY_LOSS = "monitor=val/loss"  # of which the last is the best; by the default's figure the first is
MOMENTS = [
    *[((), step, "record") for step in (3, 4, 6, 8)],
    *[((), step, "last") for step in (4, 6, 8)],
    *[((BY_LOSS,), 8, moment) for moment in ("record", "last", "best")],
]


def shown(folder):
    """The pointers, what they name according to the result, and the files."""
    kept = folder / "checkpoints"
    pointers = [(kept / name).read_text() for name in ("LAST", "BEST")]
    return pointers, read(folder, "result.json")["best"], sorted(path.name for path in kept.iterdir())


def watched(place, overrides):
    """Run, and keep what a kill would leave after each record, LAST and BEST; gives the undisturbed run's folder."""
    settle, point, state = checkpoints.settle, checkpoints.point, {}

    def keep(folder, moment):
        copy = place / f"{state['name']}-{moment}" / "default" / folder.parent.name
        shutil.copytree(folder.parent, copy)

    def settled(folder, last, *rest):
        state["name"] = last
        keep(folder, "record")
        settle(folder, last, *rest)

    def pointed(folder, which, name):
        point(folder, which, name)
        keep(folder, which)

    with pytest.MonkeyPatch.context() as patch:
        hurry(patch)
        patch.setattr(checkpoint, "settle", settled)
        patch.setattr(checkpoints, "point", pointed)
        return run(place / "undisturbed", *overrides).directory.path


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """overrides -> the place of the copies, and the undisturbed run's folder."""
    found = {}
    for overrides in ((), (BY_LOSS,)):
        place = tmp_path_factory.mktemp("pointers")
        found[overrides] = place, watched(place, overrides)
    return found


def test_the_two_figures_have_their_best_at_different_steps(undisturbed):
    assert [shown(folder)[0] for _, folder in undisturbed.values()] == [["step-8", "step-4"], ["step-8", "step-8"]]


@pytest.mark.parametrize(("overrides", "step", "moment"), MOMENTS)
def test_a_kill_between_the_record_and_the_pointers(undisturbed, overrides, step, moment):
    place, folder = undisturbed[overrides]
    outputs = place / f"step-{step}-{moment}"
    if moment == "record":
        names = [path.read_text() for path in (folder_of(outputs) / "checkpoints").glob("[LB]*T")]
        assert f"step-{step}" not in names
    run(outputs, *overrides)
    assert Planned.steps == list(range(step, 8))
    assert shown(folder_of(outputs)) == shown(folder)
    assert ending(folder_of(outputs)) == ending(folder)


@pytest.mark.parametrize("garbage", [b"\xff\x00\x80 garbage", b""])
@pytest.mark.parametrize("names", [["LAST"], ["BEST"], ["LAST", "BEST"]])
def test_pointers_of_garbage_are_written_anew(whole, killed, names, garbage):
    folder = folder_of(killed("in the test"))  # nothing is saved after it
    for name in names:
        (folder / "checkpoints" / name).write_bytes(garbage)
    run(folder.parents[1])
    assert Planned.steps == []
    assert shown(folder) == shown(whole.folder)
    assert ending(folder) == whole.ending
