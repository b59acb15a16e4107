"""What `segexp predict` makes of a clip: a video with overlays, and what was followed from frame to frame."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from segexp.errors import ConfigError, DataError

if TYPE_CHECKING:
    from torch import Tensor

    from segexp.types import DataSpec, Prediction

VIDEOS = frozenset({".mp4", ".mov", ".m4v", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".ts", ".wmv"})


class Video:
    """The frames of a video file, as `segexp predict` reads pictures.

    Args:
        path: the file.

    Raises:
        ConfigError: there is no such file, or PyAV isn't installed.
        DataError: it is no video.
    """

    total = None  # how many there are is known at the end

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise ConfigError("there is no such file", where=str(path), fix="give a video, a picture or a folder")
        from segexp.formats.video import frame_rate

        self.path, self.rate = path, frame_rate(path)

    def pictures(self, channels: int) -> Iterator[tuple[str, str, Tensor | DataError]]:
        """Name (twice) and frame uint8 [3,H,W]; of a file that is broken in the middle, at last why."""
        from segexp.formats.video import read_video

        if channels != 3:
            raise ConfigError(f"the model reads {channels} channels, a video has 3", where=str(self.path), fix="give pictures of its kind")
        name = "frame_000000"
        try:
            for number, frame in enumerate(read_video(self.path)):
                name = f"frame_{number:06d}"
                yield name, name, frame
        except DataError as error:
            yield f"after {name}", name, error


def rate_of(text: str) -> Fraction:
    """Frames a second, as typed.

    Raises:
        ConfigError: it is no number above 0.
    """
    try:
        rate = Fraction(text)
    except (ValueError, ZeroDivisionError):
        rate = Fraction(0)
    if not 0 < rate <= 1000:
        raise ConfigError("frames a second are a number above 0", where=f"--fps={text}", fix="--fps=25")
    return rate.limit_denominator(100_000)


class ClipFiles:
    """`overlays.mp4` and, where segments are predicted, `tracks.jsonl`; one frame is in memory at a time.

    Args:
        folder: gets the files.
        spec: the data set's classes.
        rate: frames a second.
    """

    def __init__(self, folder: Path, spec: DataSpec, rate: Fraction) -> None:
        from segexp.formats.video import VideoWriter
        from segexp.functional.tracking import Tracker

        self.spec, self.stack, self.frames = spec, ExitStack(), 0
        self.video, self.tracker = VideoWriter(folder / "overlays.mp4", rate), Tracker(spec.thing_ids)
        self.path, self.lines = folder / "tracks.jsonl", None
        if self.video.codec != "libx264":
            print(f"there is no encoder of H.264: {self.video.path.name} is {self.video.codec}", flush=True)

    def __enter__(self) -> Self:
        self.stack.enter_context(self.video)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stack.__exit__(kind, error, trace)

    def add(self, name: str, short: str, image: Tensor, prediction: Prediction) -> None:
        """One frame.

        Raises:
            DataError: it differs in size from the first.
        """
        from torch import Tensor

        from segexp.types import map_tensors
        from segexp.visualize.paint import paint
        from segexp.visualize.visible import visible

        prediction, numbers = map_tensors(prediction, Tensor.cpu), None
        self.video.check(tuple(image.shape[-2:]))
        if prediction.segments is not None:
            numbers = self.tracker.update(prediction.segments, prediction.segment_labels)
            self._note(name, prediction, numbers)
        self.video.add(paint(visible(image), prediction, self.spec, numbers=numbers))
        self.frames += 1

    def _note(self, name: str, prediction: Prediction, numbers: Tensor) -> None:
        from segexp.functional.panoptic_png import tight_boxes
        from segexp.functional.segments import areas

        if self.lines is None:
            self.lines = self.stack.enter_context(self.path.open("w", encoding="utf-8"))
        classes, found = prediction.segment_labels.tolist(), []
        boxes = tight_boxes(prediction.segments.numpy(), len(classes)).tolist()
        sizes = areas(prediction.segments, len(classes)).tolist()
        for s, (label, number, area, box) in enumerate(zip(classes, numbers.tolist(), sizes, boxes, strict=True)):
            entry: dict[str, Any] = {"class": self.spec.names[label], "track": number or None, "area": area, "bbox": box}
            if prediction.segment_scores is not None:
                entry["score"] = round(float(prediction.segment_scores[s]), 6)
            found.append(entry)
        self.lines.write(json.dumps({"frame": self.frames, "name": name, "segments": found}) + "\n")
