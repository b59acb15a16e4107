"""Trackers that fail in one way each, and one that works."""

from pytorch_lightning.loggers.logger import Logger


class Works(Logger):
    """Keeps what it is given."""

    seen, ended = [], []

    def __init__(self, save_dir, *, project="p"):
        super().__init__()
        self.save_folder, self.project = save_dir, project

    @property
    def name(self):
        return self.project

    @property
    def version(self):
        return 7

    def log_hyperparams(self, params, *args, **kwargs):
        """Nothing."""

    def log_metrics(self, metrics, step=None):
        self.seen.append((step, dict(metrics)))

    def finalize(self, status):
        self.ended.append(status)


class FailsToStart(Works):
    def __init__(self, save_dir, *, project="p"):
        raise ConnectionError("no route to the tracker")


class FailsToLog(Works):
    def log_metrics(self, metrics, step=None):
        metrics.clear()  # what others are to be given, too
        raise OSError(28, "No space left on device")


class FailsToEnd(Works):
    def finalize(self, status):
        raise TimeoutError("the upload takes too long")


class FailsToSayItsName(Works):
    @property
    def name(self):
        raise ValueError("bad key")
