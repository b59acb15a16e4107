"""What `segexp predict` writes of each picture: class ids, an overlay, and the forms that are exchanged."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from segexp.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor

    from segexp.types import DataSpec, Prediction

FORMS = ("coco", "cityscapes")


class PictureFiles:
    """The files of pictures, one after the other, in a `with` block.

    Args:
        folder: gets `labels`, `overlays`, `exchange`, `panoptic`, `boxes.json`, `masks.json` and `labels.csv`, those that apply.
        spec: the data set's classes, and their values in its own files.
        kinds: what is predicted.
        form: of segments; null: COCO's.
        image_ids: name -> image id of the data set's own JSON.
        overlays: write pictures with what was predicted on them.

    Raises:
        ConfigError: a form that doesn't go with the model or the data set.
    """

    def __init__(
        self,
        folder: Path,
        spec: DataSpec,
        kinds: frozenset[str],
        *,
        form: str | None = None,
        image_ids: dict[str, Any] | None = None,
        overlays: bool = True,
    ) -> None:
        self.folder, self.spec, self.overlays, self.stack = folder, spec, overlays, ExitStack()
        self.panoptic = _panoptic(folder, spec, form, image_ids) if "segments" in kinds else None
        self.results = _results(folder, spec, kinds, image_ids)
        self.table = _table(folder, spec, kinds)
        if form is not None and self.panoptic is None:
            raise ConfigError("the model predicts no segments", where=f"--exchange={form}", fix="leave it out")

    def __enter__(self) -> Self:
        for writer in (self.panoptic, self.results, self.table):
            if writer is not None:
                self.stack.enter_context(writer)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stack.__exit__(kind, error, trace)

    def add(self, name: str, short: str, image: Tensor, prediction: Prediction) -> None:
        """The files of one picture.

        Args:
            name: of the files in `labels` and `overlays`.
            short: of those in `exchange` and `panoptic`, and in the lists of boxes and masks.
            image: uint8 or int32 [C,H,W].
            prediction: at the image's size.
        """
        from torchvision.io import write_png

        from segexp.formats.exchange import write_values_png
        from segexp.formats.index_png import write_index_png
        from segexp.visualize.paint import paint
        from segexp.visualize.visible import visible

        if prediction.semantic is not None:
            write_index_png(self._place("labels") / f"{name}.png", prediction.semantic, self.spec)
            if self.spec.values:
                write_values_png(self._place("exchange") / f"{short}.png", prediction.semantic, self.spec.values)
        if self.panoptic is not None:
            size = tuple(image.shape[-2:])
            self.panoptic.add(short, size, prediction.segments, prediction.segment_labels, prediction.segment_scores)
        if self.results is not None:
            self.results.add(short, tuple(image.shape[-2:]), prediction)
        if self.table is not None:
            self.table.add(name, prediction.label_scores)
        if self.overlays:
            write_png(paint(visible(image), prediction, self.spec), str(self._place("overlays") / f"{name}.png"))

    def _place(self, part: str) -> Path:
        (self.folder / part).mkdir(exist_ok=True)
        return self.folder / part


def _panoptic(folder: Path, spec: DataSpec, form: str | None, image_ids: dict[str, Any] | None) -> Any:
    """Who writes segments: COCO's form, or that of Cityscapes, whose ids begin with the label id."""
    from segexp.formats.coco_panoptic import CityscapesPanopticWriter, PanopticWriter

    if form != "cityscapes":
        return PanopticWriter(folder, spec, image_ids=image_ids)
    if spec.values is None or min(spec.values) < 1:
        what = "the ids of segments would begin with label ids, and the data set has none above 0"
        raise ConfigError(what, where="--exchange=cityscapes", fix="--exchange=coco")
    return CityscapesPanopticWriter(folder, spec, image_ids=image_ids)


def _results(folder: Path, spec: DataSpec, kinds: frozenset[str], image_ids: dict[str, Any] | None) -> Any:
    """Who lists boxes and masks; None where neither is predicted, or where they are those of segments."""
    from segexp.formats.coco_results import KINDS, ResultsWriter

    return ResultsWriter(folder, spec, kinds, image_ids=image_ids) if kinds & set(KINDS) else None


def _table(folder: Path, spec: DataSpec, kinds: frozenset[str]) -> Any:
    """Who lists classes of whole pictures; None where they aren't predicted."""
    from segexp.formats.label_table import LabelTable

    return LabelTable(folder / "labels.csv", spec, several="present" in kinds) if kinds & {"label", "present"} else None
