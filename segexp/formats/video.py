"""Videos, frame after frame: read from a file, written to one. PyAV is imported only here, and only when it is used."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor

from segexp.errors import ConfigError, DataError

ENCODERS = {"libx264": {"crf": "20", "preset": "veryfast"}, "mpeg4": {"qscale": "3"}}  # the first that is there
RATE = Fraction(25)  # frames a second, where nothing tells


def library() -> Any:
    """PyAV.

    Raises:
        ConfigError: it isn't installed.
    """
    try:
        return importlib.import_module("av")
    except ImportError as error:
        raise ConfigError("videos need PyAV", where="the module av", fix="pip install 'segexp[video]'") from error


def frame_rate(path: Path) -> Fraction:
    """Frames a second of a video file.

    Raises:
        ConfigError: PyAV isn't installed.
        DataError: the file is no video.
    """
    with _opened(path) as (_, stream):
        return stream.average_rate or RATE


def read_video(path: Path) -> Iterator[Tensor]:
    """The frames of a video file: uint8 [3,H,W] RGB each; one is in memory at a time.

    Raises:
        ConfigError: PyAV isn't installed.
        DataError: the file is no video, or is broken; what was read before has been given.
    """
    with _opened(path) as (container, stream):
        for frame in container.decode(stream):
            yield torch.from_numpy(frame.to_ndarray(format="rgb24")).permute(2, 0, 1).contiguous()


@contextmanager
def _opened(path: Path) -> Iterator[tuple[Any, Any]]:
    av = library()
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise DataError("the file has no pictures", where=str(path), fix="give a video")
            yield container, container.streams.video[0]
    except av.error.FFmpegError as error:
        raise DataError(f"can't read the video ({error.strerror})", where=str(path), fix="give a whole video file") from error


class VideoWriter:
    """Writes frame after frame to a file, and keeps none of them; the file is whole when the `with` block has ended.

    H.264 where the encoder is there, else MPEG-4 Part 2 (`codec` says which). Sides are made even, as both want it, by
    repeating the last row or column.

    Args:
        path: `.mp4`, overwritten.
        rate: frames a second.
    """

    def __init__(self, path: Path, rate: Fraction = RATE) -> None:
        self.path, self.rate = path, rate
        self.av = library()
        self.codec = next(name for name in ENCODERS if name in self.av.codecs_available)
        self.container: Any = None
        self.stream: Any = None
        self.size: tuple[int, ...] = ()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.container is None:
            return
        with self.container as container:
            container.mux(self.stream.encode())

    def add(self, picture: Tensor) -> None:
        """Write a frame: uint8 [3,H,W].

        Raises:
            DataError: it differs in size from the first.
        """
        height, width = size = tuple(picture.shape[-2:])
        self.check(size)
        if self.container is None:
            self._begin(size)
        if height % 2 or width % 2:
            picture = F.pad(picture[None].float(), (0, width % 2, 0, height % 2), mode="replicate")[0].byte()
        frame = self.av.VideoFrame.from_ndarray(picture.permute(1, 2, 0).contiguous().numpy(), format="rgb24")
        self.container.mux(self.stream.encode(frame))

    def check(self, size: tuple[int, ...]) -> None:
        """Refuse a frame of another (height, width) than the first.

        Raises:
            DataError: it has another.
        """
        if self.size and size != self.size:
            what = "{}x{} pixels, and the first frame has {}x{}".format(*size, *self.size)
            raise DataError(what, fix="give frames of one size")

    def _begin(self, size: tuple[int, ...]) -> None:
        self.size = size
        self.container = self.av.open(str(self.path), "w")
        self.stream = self.container.add_stream(self.codec, rate=self.rate, options=ENCODERS[self.codec])
        self.stream.height, self.stream.width = (side + side % 2 for side in size)
        self.stream.pix_fmt = "yuv420p"
