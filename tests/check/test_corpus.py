"""Each seeded mistake is refused with the right key, place and suggestion."""

from pathlib import Path

import pytest
import yaml

from segexp.check.jobs import _names
from segexp.check.rest import Rest
from segexp.check.values import Wrong, refusal
from segexp.config import session

CORPUS = yaml.safe_load((Path(__file__).parent / "corpus.yaml").read_text())


def overrides_of(mistake, folder):
    if "file" not in mistake:
        return mistake["overrides"]
    (folder / "experiment").mkdir()
    (folder / "experiment" / "mine.yaml").write_text(f"# @package _global_\n{mistake['file']}\n")
    return [f"hydra.searchpath=[file://{folder}]", "experiment=mine", *mistake.get("overrides", ())]


def said_of(mistake, folder):
    """What is refused at the layer of a mistake, as lines; the names layer must pass what only the rest can tell."""
    overrides = overrides_of(mistake, folder)
    config, wrong = _names(overrides, "train")
    if mistake["layer"] == "rest":
        assert wrong == [], refusal(wrong, overrides)
        wrong = [one for one in Rest()(config) if not one.warning]
    return [refusal([one], overrides) if isinstance(one, Wrong) else one for one in wrong]


@pytest.fixture(scope="module", autouse=True)
def one_session():
    with session():
        yield


@pytest.mark.parametrize("mistake", CORPUS, ids=lambda m: " ".join(m.get("overrides", ())) or m["file"].replace("\n", " "))
def test_refused_with_key_place_and_suggestion(mistake, tmp_path):
    said = said_of(mistake, tmp_path)
    key = mistake["key"]
    place = mistake.get("place") or next(text for text in mistake["overrides"] if key.split(".")[0] in text)
    assert said, "not refused"
    assert any(key in f"{e.what} {e.where}" and place in f"{e.what} {e.where}" and mistake["fix"] in e.fix for e in said), [
        e.line() for e in said
    ]


def test_the_corpus_is_large_enough():
    assert len(CORPUS) >= 60
