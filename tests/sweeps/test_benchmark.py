"""A benchmark is a list of runs with seeds: what it stands for, what is refused, and the table at its end."""

import json
import shutil
import subprocess

import pytest

from segexp.build import checked, open_dataset
from segexp.cli.main import main
from segexp.config import compose, resolve, session
from segexp.errors import ConfigError
from segexp.overrides import describe_option, options
from segexp.runs.identity import identity
from segexp.sweeps.benchmark import WORD, chosen, read
from segexp.sweeps.driver import compose_all
from segexp.sweeps.grid import expand
from tests.sweeps.conftest import SMALL, command


def jobs(*overrides):
    with session():
        return expand("train", overrides)


@pytest.fixture
def own(tmp_path):
    """Writes a benchmark into a folder of its own; returns the overrides that choose it."""

    def write(text):
        (tmp_path / "conf" / "benchmark").mkdir(parents=True, exist_ok=True)
        (tmp_path / "conf" / "benchmark" / "own.yaml").write_text(text)
        return [f"hydra.searchpath=[file://{tmp_path}/conf]", "benchmark=own"]

    return write


# ------------------------------------------------------------------------------------------------ what it stands for


def test_runs_times_seeds():
    found = jobs("benchmark=tiny")
    assert [job[-2:] for job in found] == [
        *(["model=fcn", "seed=0"], ["model=fcn", "seed=1"]),
        *(["decoder.width=16", "seed=0"], ["decoder.width=16", "seed=1"]),
    ]
    assert all("trainer.max_epochs=1" in job and not any("benchmark" in text for text in job) for job in found)


def test_the_line_of_deeplab_has_every_combination():
    found = {tuple(job[-3:]) for job in jobs("benchmark=deeplab_camvid")}
    models, backbones = ["deeplabv1", "deeplabv2", "deeplabv3", "deeplabv3plus"], ["resnet18", "mobilenet_v2", "efficientnet_lite0"]
    assert found == {(f"model={m}", f"backbone={b}", f"seed={s}") for m in models for b in backbones for s in (0, 1, 2)}


def test_what_is_typed_counts():
    assert len(jobs("benchmark=tiny", "optimizer.lr=1e-3,1e-4")) == 8
    (one, two) = jobs("benchmark=tiny", "seed=5", "decoder.width=8", "trainer.max_epochs=2")
    assert one[-3:] == two[-3:] == ["seed=5", "decoder.width=8", "trainer.max_epochs=2"]
    assert not {"decoder.width=16", "trainer.max_epochs=1"} & {*one, *two}
    assert [job[-1] for job in jobs("benchmark=tiny", "benchmark.seeds=[7]")] == ["seed=7", "seed=7"]
    assert jobs("benchmark=none", "seed=1,2") == [["benchmark=none", "seed=1"], ["benchmark=none", "seed=2"]]


def test_a_run_is_that_of_its_overrides_typed_alone():
    with session():
        for job in compose_all(["benchmark=tiny"]):
            alone = compose("train", job.overrides)
            assert "benchmark" not in alone and job.id == identity(alone)
        assert identity(compose("train", ["benchmark=tiny"])) == identity(compose("train"))


def test_lines_keep_quoted_blanks_and_brackets_together():
    assert WORD.findall("model=unet name='a b' data={height: 32, width: 64} +x=[1, 2] seed=choice(1, 2)") == [
        *("model=unet", "name='a b'", "data={height: 32, width: 64}", "+x=[1, 2]", "seed=choice(1, 2)")
    ]


def test_a_benchmark_of_ones_own(own):
    typed = own("runs:\n  - optimizer.lr=1e-3,1e-4\n  - [optimizer=sgd, \"name='a b'\"]\nseeds: [4, 4]\n")
    assert jobs(*typed) == [
        ["optimizer.lr=0.001", typed[0], "seed=4"],
        ["optimizer.lr=0.0001", typed[0], "seed=4"],
        ["optimizer=sgd", "name='a b'", typed[0], "seed=4"],
    ]


@pytest.mark.parametrize("name", ["deeplab_camvid", "panoptic_shapes", "tiny"])
def test_every_shipped_one_fits_together(name, tmp_path):
    assert name in options("benchmark") and describe_option("benchmark", name)
    with session():
        wanted = read("train", [f"benchmark={name}"])
        for job in expand("train", [f"benchmark={name}", "benchmark.seeds=[0]"]):
            config = compose("train", [*job, "data=shapes"] if name == "deeplab_camvid" else job)
            assert wanted.figure == config.monitor
            resolve(config)
            checked(config, open_dataset(config).spec)


# ------------------------------------------------------------------------------------------------ slips


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("runs: [model=fcn]\nseed: [0]\n", "a benchmark has no key seed; benchmark=own; fix: did you mean seeds"),
        ("runs: [model=fcn]\nseeds: 3\n", "whole numbers from 0 on as seeds; benchmark=own: seeds: 3; fix: seeds: [0, 1, 2]"),
        ("runs: [model=fcn]\nseeds: [0, x]\n", "whole numbers from 0 on as seeds"),
        ("seeds: [0]\n", "a benchmark needs lines of overrides; benchmark=own: runs: None; fix: runs: [model=fcn, model=unet]"),
        ("runs: [unet]\n", "'unet' is no override; benchmark=own: runs; fix: model=unet"),
        ("runs: [3]\n", "3 is no override"),
        ("runs: [model=fcn]\ncommon: [benchmark=tiny]\n", "a run of a benchmark can't have benchmark=tiny; benchmark=own: common"),
    ],
)
def test_a_file_that_says_something_else(own, text, said):
    with pytest.raises(ConfigError) as caught:
        jobs(*own(text))
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["benchmark=tny"], "the group benchmark has no option 'tny'; benchmark=tny; fix: did you mean benchmark=tiny"),
        (["benchmark=tiny,none"], "one benchmark at a time; benchmark=tiny,none; fix: give one name: segexp list benchmark"),
        (["-m", "benchmark=tiny", "sweep=tpe"], "a search draws some; sweep=tpe; fix: leave out sweep=tpe"),
        (["benchmark=tiny", "benchmark.sedes=[1]"], "did you mean benchmark.seeds"),
    ],
)
def test_slips_on_the_command_line(capsys, typed, said):
    assert main(["train", *typed]) == 2
    assert said in capsys.readouterr().err


def test_chosen():
    assert chosen(["seed=1", "benchmark=a", "benchmark=b"]) == "b" and chosen(["+benchmark=a"]) == "a"
    assert chosen(["benchmark=none"]) is chosen(["benchmark.seeds=[1]"]) is chosen([]) is None


# ------------------------------------------------------------------------------------------------ the end


def test_one_command_one_table(place):
    """Real runs; with -m or without, the same sweep."""
    small = [text for text in SMALL if not text.startswith(("decoder", "loss"))]
    typed = ["benchmark=tiny", "benchmark.runs=['optimizer=adamw','optimizer=sgd']", *small]
    typed = [*typed, "seed=0,1"]
    first = subprocess.run(command("train", *typed), capture_output=True, text=True, timeout=240, check=False)
    assert first.returncode == 0, first.stderr
    (folder,) = (place / "outputs" / "default" / "sweeps").iterdir()
    assert len(json.loads((folder / "sweep.json").read_text())["jobs"]) == 4
    said = (folder / "leaderboard.md").read_text()
    assert said.strip() in first.stdout and "optimizer" in said and "val/miou" in said
    assert (folder / "leaderboard.csv").read_text().count("\n") >= 3 and r"\begin{tabular}" in (folder / "leaderboard.tex").read_text()
    shutil.rmtree(folder)
    again = subprocess.run(command("train", "-m", *typed), capture_output=True, text=True, timeout=120, check=False)
    assert again.returncode == 0 and "4 done, 0 failed, 0 to run" in again.stdout and (folder / "leaderboard.md").read_text() == said
