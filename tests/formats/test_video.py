"""Videos, written and read again."""

from fractions import Fraction

import pytest
import torch

from segexp.errors import ConfigError, DataError
from segexp.formats import video
from segexp.formats.video import ENCODERS, VideoWriter, frame_rate, library, read_video
from tests.functional.moving import many, picture, scene

av = pytest.importorskip("av", reason="PyAV isn't installed: pip install 'segexp[video]'")


def frames(count, size=(72, 96)):
    return [picture(*scene(many(2, size=size), number, size)[:2]) for number in range(count)]


@pytest.mark.parametrize("codec", [c for c in ENCODERS if c in av.codecs_available])
@pytest.mark.parametrize("size", [(72, 96), (71, 95)])
def test_what_is_written_is_read_again(tmp_path, monkeypatch, codec, size):
    monkeypatch.setattr(video, "ENCODERS", {codec: ENCODERS[codec]})
    shown = frames(7, size)
    with VideoWriter(tmp_path / "v.mp4", Fraction(30000, 1001)) as writer:
        for frame in shown:
            writer.add(frame)
    assert writer.codec == codec and frame_rate(tmp_path / "v.mp4") == Fraction(30000, 1001)
    read = list(read_video(tmp_path / "v.mp4"))
    assert [f.shape for f in read] == [(3, 72, 96)] * 7  # sides are even
    for a, b in zip(shown, read, strict=True):
        assert (a.float() - b[:, : size[0], : size[1]].float()).abs().mean() < 12


def test_frames_are_read_one_at_a_time(tmp_path):
    with VideoWriter(tmp_path / "v.mp4") as writer:
        for frame in frames(5):
            writer.add(frame)
    stream = read_video(tmp_path / "v.mp4")
    assert next(stream).shape == (3, 72, 96)
    stream.close()


def test_no_frame_makes_no_file(tmp_path):
    with VideoWriter(tmp_path / "v.mp4"):
        pass
    assert not (tmp_path / "v.mp4").exists()


def test_a_file_without_pictures_and_one_that_is_no_video(tmp_path):
    (tmp_path / "v.mp4").write_bytes(b"nothing")
    with pytest.raises(DataError, match="can't read the video"):
        next(read_video(tmp_path / "v.mp4"))
    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(torch.zeros(1, 1024).numpy(), format="fltp", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with pytest.raises(DataError, match="the file has no pictures"):
        frame_rate(tmp_path / "sound.mp4")


def test_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "av", None)
    with pytest.raises(ConfigError, match=r"pip install 'segexp\[video\]'"):
        library()
