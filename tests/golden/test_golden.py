"""The first losses of each task are those that were recorded, here to the bit; and a change of one is noticed, here and elsewhere."""

import copy
import json
import math

import pytest

from tests.golden import __main__ as command
from tests.golden import losses
from tests.golden.losses import CHAINS, FIRST, STEPS, differences, found, other, read, server


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("golden")
    with server(folder) as entered:
        yield lambda task: found(task, entered, folder)


def elsewhere(record):
    """The same from another machine."""
    return {**record, "machine": {**record["machine"], "capability": "an abacus"}}


def changed(record, step, by):
    """A record with one loss multiplied; `by` None for the next number that a float32 of its size can be."""
    record = copy.deepcopy(record)
    value = float.fromhex(record["losses"][step])
    record["losses"][step] = (value + 2.0 ** (math.frexp(value)[1] - 24) if by is None else value * by).hex()
    return record


@pytest.mark.slow
@pytest.mark.parametrize("task", CHAINS)
def test_a_task_trains_as_recorded(task, runs):
    now, then = runs(task), read(task)
    assert differences(now, then) == [], other(now, then)  # to the bit, where this is such a machine
    assert differences(elsewhere(now), then) == []  # close, as from any


@pytest.mark.slow
@pytest.mark.parametrize("task", ["semantic", "panoptic"])
def test_another_machine_comes_close(task, tmp_path, monkeypatch):
    """The same processor without its vector instructions: other bits, the same training."""
    monkeypatch.setenv("ATEN_CPU_CAPABILITY", "default")
    with server(tmp_path) as entered:
        now = found(task, entered, tmp_path)
    then = read(task)
    assert now["machine"]["capability"] in ("DEFAULT", "NO AVX")
    assert "capability" in " ".join(other(now, then))
    assert differences(now, then) == []
    assert differences({**now, "machine": then["machine"]}, then) != []  # it is another machine, and the strict way sees it


@pytest.mark.parametrize("task", CHAINS)
def test_what_is_recorded_is_the_start_of_a_training(task):
    record = read(task)
    values = [float.fromhex(text) for text in record["losses"]]
    assert len(values) == STEPS and all(map(math.isfinite, values)) and len(set(values)) == STEPS
    assert sum(values[-10:]) < sum(values[:10])  # it learns: the losses hang on the gradients
    assert record["machine"]["threads"] == 1
    assert set(record["machine"]["versions"]) == set(losses.DECISIVE)


@pytest.mark.parametrize("step", [0, FIRST, STEPS - 1])
def test_a_changed_bit_is_noticed_on_an_equal_machine(step):
    record = read("panoptic")
    (said,) = differences(changed(record, step, None), record)
    assert said.startswith(f"step {step}: ") and record["losses"][step] in said


def test_a_changed_loss_is_noticed_on_another_machine():
    record = read("panoptic")
    for step in (0, FIRST - 1):
        assert differences(elsewhere(changed(record, step, 1 + 9e-4)), record) == []
        (said,) = differences(elsewhere(changed(record, step, 1 + 1.1e-3)), record)
        assert said.startswith(f"step {step}: ") and said.endswith("to 0.001")
        assert len(differences(elsewhere(changed(record, step, math.nan)), record)) == 1
    assert differences(elsewhere(changed(record, FIRST, 2.0)), record) == []  # what comes later says nothing there
    with pytest.raises(ValueError, match=r"zip\(\)"):
        differences({**record, "losses": record["losses"][:-1]}, record)


@pytest.mark.parametrize("what", ["arch", "cpu", "capability", "threads", "mkldnn"])
def test_what_decides_the_bits_makes_another_machine(what):
    record = read("semantic")
    now = changed({**record, "machine": {**record["machine"], what: "other"}}, 0, None)
    assert differences(now, record) == []
    assert other(now, record) == [f"{what} other instead of {record['machine'][what]}"]
    machine = {**record["machine"], "versions": {**record["machine"]["versions"], "torch": "9.9"}}
    assert other({"machine": machine}, record) == [f"torch 9.9 instead of {record['machine']['versions']['torch']}"]


def test_the_command_says_what_changed_and_writes_it_only_when_told(tmp_path, monkeypatch, capsys):
    record = read("semantic")
    (tmp_path / "semantic.json").write_text(json.dumps(record))
    for module in (losses, command):
        monkeypatch.setattr(module, "FOLDER", tmp_path)
    now = changed(record, 7, 1.5)
    monkeypatch.setattr(command, "found", lambda task, entered, folder: now)
    monkeypatch.setattr(command, "server", lambda folder: pytest.MonkeyPatch.context())
    assert command.main(["semantic"]) == 1
    heading, line = capsys.readouterr().out.splitlines()
    assert heading == "semantic: 1 of 50 losses changed" and line.strip().startswith("step 7: ")
    assert read("semantic") == record
    assert command.main(["semantic", "--write"]) == 0
    assert "1 of 50 losses changed" in capsys.readouterr().out
    assert read("semantic") == now
    assert command.main(["semantic"]) == 0
    assert capsys.readouterr().out == "semantic: as recorded\n"
    monkeypatch.setattr(command, "found", lambda task, entered, folder: elsewhere(changed(record, 7, 2.0)))
    assert command.main(["semantic"]) == 1
    heading, machine, line = capsys.readouterr().out.splitlines()
    assert heading == "semantic: 1 of the first 10 changed (another machine)"
    assert machine == "  capability an abacus instead of AVX512" and line.startswith("  step 7: ")
