"""TensorBoard event files as a mirror of a run."""

from __future__ import annotations

from typing import Any

from segexp.callbacks.mirror import Mirror

FOLDER = "tensorboard"


class TensorBoardTracker(Mirror):
    """Event files in `<run>/tensorboard`; `tensorboard --logdir outputs` shows all runs.

    When a run goes on, its event file is written anew from `metrics.jsonl`: a killed process leaves events unwritten.

    Args:
        save_dir: the run's folder.
        pictures: write the panels at the end.
    """

    def __init__(self, save_dir: str, *, pictures: bool = True) -> None:
        super().__init__(save_dir)
        self.with_pictures = pictures

    def open(self) -> Any:
        from torch.utils.tensorboard import SummaryWriter

        place = self.folder / FOLDER
        for old in place.glob("events.out.tfevents.*"):
            old.unlink()
        writer = SummaryWriter(str(place))
        for step, name, value in self.logged():
            writer.add_scalar(name, value, step)
        writer.add_text("command", f"    {self.command()}", 0)
        writer.add_text("config", "\n".join(f"    {key}: {value}" for key, value in self.config().items()), 0)
        if tags := self.tags():
            writer.add_text("tags", ", ".join(tags), 0)
        writer.flush()
        return writer

    def write(self, values: dict[str, float], step: int) -> None:
        fresh, writer = self.opened is None, self.experiment
        known = {(at, name) for at, name, _ in self.logged()} if fresh else set()  # the run's own log comes first, and was copied
        for name, value in values.items():
            if (step, name) not in known:
                writer.add_scalar(name, value, step)

    def close(self, state: str, error: str) -> None:
        from torchvision.io import ImageReadMode, decode_image

        writer = self.experiment
        last = int(self.status().get("step", 0))
        for path in self.pictures() if self.with_pictures else ():
            writer.add_image(f"images/{path.stem}", decode_image(str(path), mode=ImageReadMode.RGB), last)
        for name, value in self.finals().items():
            writer.add_scalar(name, value, last)
        writer.add_text("state", f"{state} {error}".strip(), last)
        writer.close()
