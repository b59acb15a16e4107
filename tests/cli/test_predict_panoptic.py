"""What `segexp predict` writes of a panoptic run: files that a literal evaluation agrees with, and clips that are followed."""

import json
import sys
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torchvision.io import write_png

from segexp.cli.main import main
from segexp.cli.predict import parse
from segexp.cli.predict_files import PictureFiles
from segexp.cli.predict_video import ClipFiles, Video, rate_of
from segexp.data.shapes import Shapes
from segexp.errors import ConfigError, DataError
from segexp.formats.coco_panoptic import PanopticWriter
from segexp.functional.images import read_image, read_labels
from segexp.types import ClassInfo, DataSpec, Prediction
from tests.cli.trained import trained
from tests.functional.moving import SPEC, Mover, many, picture, scene
from tests.functional.panoptic_rules import quality, statistics
from tests.metrics.official import judged

av = pytest.importorskip("av", reason="PyAV isn't installed: pip install 'segexp[video]'")
TINY = [
    *("model=panoptic_deeplab", "data=shapes", "backbone=timm", "backbone.name=test_resnet", "head.semantic_width=16"),
    *(
        "head.instance_width=16",
        "postprocess.stuff_area=50",
        "data.limit=4",
        "data.loader.batch_size=2",
        "data.split=train",
        "data.allow_overlap=true",
    ),
    *("trainer.max_epochs=50", "trainer.check_val_every_n_epoch=50", "trainer.accelerator=cpu", "trainer.log_every_n_steps=1"),
    *("optimizer.lr=0.01", "scheduler.warmup=0", "callbacks.panels.count=0", "callbacks.panels.best=0", "callbacks.panels.worst=1"),
    *(f"decoder.parts.{part}.{key}=16" for part in ("semantic", "instance") for key in ("width", "aspp_width")),
]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("place"), TINY)


def written(capsys):
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("written to ")]
    return line.removeprefix("written to ")


def packed(path):
    rgb = read_image(path).numpy().astype(np.int64)
    return rgb[0] + 256 * rgb[1] + 65536 * rgb[2]


def test_the_official_script_and_a_literal_evaluation_of_the_files_give_the_same_quality(run, capsys, tmp_path):
    assert main(["predict", str(run), "data.split=train", "data.limit=4"]) == 0
    folder = tmp_path / written(capsys)
    assert sorted(p.name for p in folder.iterdir()) == ["labels", "log.txt", "overlays", "panoptic", "panoptic.json"]
    found, truths, images = json.loads((folder / "panoptic.json").read_text()), Shapes().open("train"), []
    assert [c["isthing"] for c in found["categories"]] == [0, 0, 0, 0, 0, 1, 1, 1]
    for annotation in found["annotations"]:
        truth = truths[annotation["image_id"]]
        real = zip(truth["segment_labels"].tolist(), truth["segment_crowd"].tolist(), strict=True)
        guess = {info["id"]: info["category_id"] for info in annotation["segments_info"]}
        ids = packed(folder / "panoptic" / annotation["file_name"])
        assert set(np.unique(ids)) - {0} == set(guess)
        images.append(statistics(truth["segments"].numpy(), dict(enumerate(real, 1)), ids, guess))
    assert len(images) == 4
    assert main(["evaluate", str(run), "data.split=train", "data.limit=4"]) == 0
    (evaluation,) = (run / "evaluations").glob("data.split*")
    ours = json.loads((evaluation / "result.json").read_text())["train"]
    with PanopticWriter(tmp_path, Shapes().spec, name="truth") as writer:
        for annotation in found["annotations"]:
            truth = truths[annotation["image_id"]]
            kinds = truth["segment_labels"]
            writer.add(Path(annotation["file_name"]).stem, truth["segments"].shape, truth["segments"], kinds, crowd=truth["segment_crowd"])
    official = judged(tmp_path / "truth.json", folder / "panoptic.json")
    for name, value in official.items():
        assert ours[name] == pytest.approx(value, abs=1e-12), name
    for name, classes in (("", range(8)), ("_things", range(5, 8)), ("_stuff", range(5))):
        pq, sq, rq, _ = quality(images, classes)
        assert [ours[f"{key}{name}"] for key in ("pq", "sq", "rq")] == pytest.approx([pq, sq, rq], abs=1e-12)
    assert ours["pq"] > 0.02  # or there would be little to compare
    assert len(list((evaluation / "images").glob("*.png"))) == 1  # the worst, by its panoptic quality


def test_frames_of_a_folder_and_a_video_file_make_a_video(run, tmp_path, capsys):
    movers, frames = many(1), tmp_path / "frames"
    frames.mkdir()
    for number in range(11):
        write_png(picture(*scene(movers, number)[:2]), str(frames / f"f{number}.png"))
    (frames / "f5.png").write_bytes(b"")
    assert main(["predict", str(run), str(frames), "--video", "--fps=7.5"]) == 1  # one of them is broken
    folder = tmp_path / written(capsys)
    lines = [json.loads(line) for line in (folder / "tracks.jsonl").read_text().splitlines()]
    assert [line["name"] for line in lines] == [f"f{n}" for n in range(11) if n != 5]  # f10 is the last
    assert len(list((folder / "panoptic").iterdir())) == len(list((folder / "labels").iterdir())) == 10
    assert not (folder / "overlays").exists()
    with av.open(str(folder / "overlays.mp4")) as container:
        assert sum(1 for _ in container.decode(video=0)) == 10
        assert container.streams.video[0].average_rate == Fraction(15, 2)
    assert main(["predict", str(run), str(folder / "overlays.mp4")]) == 0
    again = tmp_path / written(capsys)
    assert sorted(p.name for p in again.iterdir()) == ["log.txt", "overlays.mp4", "tracks.jsonl"]
    with av.open(str(again / "overlays.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.height, stream.width, stream.average_rate) == (72, 96, Fraction(15, 2))
        assert sum(1 for _ in container.decode(stream)) == 10


def test_a_broken_video_is_named(run, tmp_path, capsys):
    (tmp_path / "film.mp4").write_bytes(b"no video")
    assert main(["predict", str(run), str(tmp_path / "film.mp4")]) == 1
    assert "error[data]: can't read the video" in capsys.readouterr().err
    assert main(["predict", str(run), str(tmp_path / "none.mp4")]) == 2
    assert "there is no such file" in capsys.readouterr().err


def test_without_pyav_the_extra_is_named(tmp_path, monkeypatch):
    (tmp_path / "film.mp4").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "av", None)
    for make in (lambda: Video(tmp_path / "film.mp4"), lambda: ClipFiles(tmp_path, SPEC, Fraction(25))):
        with pytest.raises(ConfigError, match=r"videos need PyAV.*pip install 'segexp\[video\]'"):
            make()


# ------------------------------------------------------------------ clips whose truth is known


def clip(folder, movers, frames, seed=0):
    """Predictions that are the truth, each frame numbered in another order; what was followed: [{mover: number}]."""
    rng, owned = np.random.default_rng(seed), []
    with ClipFiles(folder, SPEC, Fraction(10)) as files:
        for frame in range(frames):
            segments, labels, owners = scene(movers, frame, rng=rng)
            prediction = Prediction(segments=segments, segment_labels=labels, segment_scores=torch.full((len(labels),), 0.9))
            files.add(f"f{frame}", f"f{frame}", picture(segments, labels), prediction)
            owned.append(owners)
    lines = [json.loads(line) for line in (folder / "tracks.jsonl").read_text().splitlines()]
    assert len(lines) == frames
    return [
        {owner: entry["track"] for owner, entry in zip(owners, line["segments"], strict=True)}
        for owners, line in zip(owned, lines, strict=True)
    ]


def test_a_thing_keeps_number_and_colour_in_the_video(tmp_path):
    movers = [Mover(1, (20, 20), (0, 3), 10), Mover(1, (52, 76), (0, -3), 10)]
    found = clip(tmp_path, movers, 16)
    assert all(frame == found[0] for frame in found) and {found[0][0], found[0][1]} == {1, 2} and found[0][-1] is None
    colours = {0: set(), 1: set()}
    with av.open(str(tmp_path / "overlays.mp4")) as container:
        for number, frame in enumerate(container.decode(video=0)):
            pixels = torch.from_numpy(frame.to_ndarray(format="rgb24")).float()
            for which, mover in enumerate(movers):
                colours[which].add(round(float(pixels[torch.from_numpy(mover.mask(number))].mean(0)[2])) // 24)
    assert max(map(len, colours.values())) <= 2 and not colours[0] & colours[1]


def test_a_frame_of_another_size_is_refused_and_costs_no_track(tmp_path):
    segments, labels, _ = scene([Mover(1, (36, 40), (0, 0), 9)], 0)
    prediction = Prediction(segments=segments, segment_labels=labels)
    with ClipFiles(tmp_path, SPEC, Fraction(10)) as files:
        files.add("a", "a", picture(segments, labels), prediction)
        with pytest.raises(DataError, match="60x96 pixels, and the first frame has 72x96"):
            files.add("b", "b", torch.zeros(3, 60, 96, dtype=torch.uint8), prediction)
        files.add("c", "c", picture(segments, labels), prediction)
    assert [json.loads(line)["name"] for line in (tmp_path / "tracks.jsonl").read_text().splitlines()] == ["a", "c"]


# ------------------------------------------------------------------ options, and Cityscapes' form


def test_segments_in_the_form_of_cityscapes(tmp_path):
    classes = (ClassInfo("road"), ClassInfo("car", True))
    spec = DataSpec(classes, frozenset({"segments"}), values=(7, 26))
    segments = torch.tensor([[1, 1, 2, 3]], dtype=torch.int32)
    prediction = Prediction(segments=segments, segment_labels=torch.tensor([0, 1, 1]), segment_scores=torch.ones(3))
    image = torch.zeros(3, 1, 4, dtype=torch.uint8)
    with PictureFiles(tmp_path, spec, frozenset({"segments"}), form="cityscapes") as files:
        files.add("ulm_0_1_leftImg8bit", "ulm_0_1", image, prediction)
    assert packed(tmp_path / "panoptic" / "ulm_0_1_gtFine_panoptic.png").tolist() == [[7, 7, 26000, 26001]]
    found = json.loads((tmp_path / "panoptic.json").read_text())
    assert [info["category_id"] for info in found["annotations"][0]["segments_info"]] == [7, 26, 26]
    assert (tmp_path / "overlays" / "ulm_0_1_leftImg8bit.png").is_file()


@pytest.mark.parametrize(
    ("values", "kinds", "text"),
    [
        (None, {"segments"}, "the ids of segments would begin with label ids"),
        ((0, 1), {"segments"}, "none above 0"),
        ((7, 26), {"semantic"}, "the model predicts no segments"),
    ],
)
def test_where_the_form_of_cityscapes_makes_no_sense(tmp_path, values, kinds, text):
    spec = DataSpec((ClassInfo("road"), ClassInfo("car", True)), frozenset({"segments"}), values=values)
    with pytest.raises(ConfigError, match=text):
        PictureFiles(tmp_path, spec, frozenset(kinds), form="cityscapes")


def test_the_image_ids_of_the_data_sets_own_json(tmp_path):
    prediction = Prediction(segments=torch.ones(1, 2, dtype=torch.int32), segment_labels=torch.tensor([0]))
    with PictureFiles(tmp_path, SPEC, frozenset({"segments"}), image_ids={"a": 77}, overlays=False) as files:
        files.add("a", "a", torch.zeros(3, 1, 2, dtype=torch.uint8), prediction)
    assert json.loads((tmp_path / "panoptic.json").read_text())["annotations"][0]["image_id"] == 77
    assert not (tmp_path / "overlays").exists()


def test_what_was_typed():
    order = parse(["run", "frames", "--video", "--fps=29.97", "--exchange=cityscapes", "protocol=whole"])
    assert (order.run, order.source, order.form, order.video, order.rate) == ("run", "frames", "cityscapes", True, Fraction(2997, 100))
    assert order.overrides == ["data.limit=null", "protocol=whole"]
    assert order.title[2:] == ["--form=cityscapes", "--rate=2997/100", "--video=True"]
    assert parse(["run", "data.split=val", "--video"]).source is None
    assert parse(["run", "a.png"]).title == ["data.limit=null"]


@pytest.mark.parametrize("text", ["0", "-3", "fast", "1/0", "nan", "1e9"])
def test_frames_a_second_are_above_zero(text):
    with pytest.raises(ConfigError, match=r"frames a second are a number above 0.*--fps=25"):
        rate_of(text)


@pytest.mark.parametrize(("typed", "text"), [("--exchange=voc", "there is no form 'voc'"), ("--movie", "unknown option --movie")])
def test_unknown_options(typed, text):
    with pytest.raises(ConfigError, match=text):
        parse(["run", "frames", typed])


def test_a_model_of_other_channels_reads_no_video():
    video = SimpleNamespace(path="film.mp4")
    with pytest.raises(ConfigError, match="the model reads 4 channels, a video has 3"):
        next(Video.pictures(video, 4))


def test_labels_are_class_ids(run, tmp_path, capsys):
    write_png(picture(*scene(many(1), 0)[:2]), str(tmp_path / "one.png"))
    assert main(["predict", str(run), str(tmp_path / "one.png")]) == 0
    labels = read_labels(tmp_path / written(capsys) / "labels" / "one.png")
    assert labels.shape == (72, 96) and int(labels.max()) < 8
