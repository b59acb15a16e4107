"""What `segexp blame` prints."""

import json
from pathlib import Path

import pytest

from segexp.cli.main import main

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def here(monkeypatch):
    monkeypatch.chdir(ROOT)


def printed(capsys, *arguments):
    assert main(["blame", *arguments]) == 0
    return capsys.readouterr().out.splitlines()


def test_one_key(capsys):
    first, second, third = printed(capsys, "experiment=camvid_lite0", "optimizer.lr")
    assert first == "optimizer.lr = 0.002"
    assert second.startswith("  set by    conf/experiment/camvid_lite0.yaml:")
    assert second.endswith("   because of experiment=camvid_lite0 (the command line)")
    assert third.startswith("  replaced  0.003   conf/optimizer/adamw.yaml:") and "because of optimizer=adamw (conf/train.yaml:" in third


def test_a_reference_is_followed(capsys):
    said = printed(capsys, "data=camvid", "paths.data=/d", "data.root")
    assert said[0] == "data.root = ${paths.data}/camvid" and said[1].endswith("because of data=camvid (the command line)")
    assert said[2:4] == ["  from paths.data = /d", "    set by    override paths.data=/d"]
    assert said[4].startswith("    replaced  ${oc.env:SEGEXP_DATA,data}   conf/paths/default.yaml:")


def test_two_keys_that_refer_to_each_other_end(capsys):
    said = printed(capsys, "name=${monitor}", "monitor=${name}", "name")
    assert 10 < len(said) < 60


def test_a_section_and_all(capsys):
    section = printed(capsys, "optimizer.lr=1", "optimizer")
    assert section[0] == "# who chose the options" and section[1].startswith("optimizer=adamw  conf/train.yaml:")
    assert any(
        line.split()[:3] == ["optimizer.lr", "=", "1"] and "override optimizer.lr=1 < 0.003 conf/optimizer" in line for line in section
    )
    everything = printed(capsys, "optimizer.lr=1")
    assert set(section) < {" ".join(line.split()) for line in everything} | set(section) and len(everything) > 100


def test_for_programs(capsys):
    found = json.loads("\n".join(printed(capsys, "experiment=camvid_lite0", "decoder", "--json")))
    assert found["choices"]["decoder"]["value"] == "deeplabv3plus" and found["choices"]["decoder"]["file"].endswith(
        "model/deeplabv3plus.yaml"
    )
    width = found["keys"]["decoder.width"]
    assert (width["value"], width["group"], width["override"], width["replaced"][0]["value"]) == (128, "experiment", None, 256)
    assert Path(width["file"]).read_text().splitlines()[width["line"] - 1].startswith("decoder:")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["optimizer.lrr"], "there is no key optimizer.lrr; the composed config; fix: did you mean optimizer.lr"),
        (["-m", "seed=1,2"], "blame looks at one config, not at a sweep; segexp blame [overrides] [key]; fix: leave out -m"),
        (["seed=1,2"], "one config has one value of each key; seed=1,2; fix: choose one value of each"),
        (["seed", "name"], "'name' is no override"),
        (["--jsn"], "unknown option --jsn"),
        (["backbone=resnet5", "seed"], "did you mean backbone=resnet50"),
    ],
)
def test_slips(capsys, arguments, said):
    assert main(["blame", *arguments]) == 2
    assert said in capsys.readouterr().err
