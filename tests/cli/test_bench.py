"""segexp bench: a table of figures that hang together, JSON, and slips."""

import json

import pytest

from segexp.bench import Timing
from segexp.cli.main import main

SMALL = ["--size=64x96", "--seconds=0.01", "data.loader.batch_size=2", "data.loader.eval_batch_size=3"]


def test_figures_as_json(capsys):
    assert main(["bench", *SMALL, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["size"] == [64, 96]
    assert found["parameters"] > 1e6
    assert [(row["what"], row["batch"]) for row in found["rows"]] == [("predict", 1), ("predict", 3), ("training step", 2)]
    for row in found["rows"]:
        assert row["repetitions"] >= 5
        assert row["p90_ms"] >= row["median_ms"] > 0
        assert row["images_per_s"] == pytest.approx(1e3 * row["batch"] / row["median_ms"])
        assert row["peak_mib"] is None or row["peak_mib"] >= 0


def test_precision_is_the_trainers(capsys):
    assert main(["bench", *SMALL, "--json", "trainer.precision=bf16-mixed"]) == 0
    assert len(json.loads(capsys.readouterr().out)["rows"]) == 3
    assert main(["bench", *SMALL, "trainer.precision=64-true"]) == 2
    assert "a bench knows no such precision; trainer.precision=64-true" in capsys.readouterr().err


def test_the_table_and_what_describe_says_agree(capsys):
    size = "augmentation.crop=[64,96]"
    assert main(["describe", size]) == 0
    told = capsys.readouterr().out.splitlines()[-2]
    assert main(["bench", size, "--seconds=0.01", "data.loader.batch_size=2", "data.loader.eval_batch_size=2"]) == 0
    table = capsys.readouterr().out
    macs = told.split("parameters, ")[1].split(" GMACs")[0]
    assert f"{macs} GMACs for an image of 64x96" in table
    assert table.count(" times)") == 3


def test_median_and_the_latency_of_nine_in_ten():
    row = Timing("predict", 4, tuple(i / 10 for i in range(1, 11)), None)
    assert (row.median, row.slow, row.rate) == (0.55, 0.9, pytest.approx(4 / 0.55))


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ("--size=big", "a size is <height>x<width> in pixels; --size=big; fix: --size=512x1024"),
        ("--seconds=-1", "positive number; --seconds=-1"),
        ("--sise=3", "unknown option --sise; --sise=3; fix: options are --size=<value>, --seconds=<value>"),
        ("--size", "--size needs a value; --size; fix: --size=<value>"),
    ],
)
def test_slips(capsys, argument, said):
    assert main(["bench", argument]) == 2
    assert said in capsys.readouterr().err
