"""Errors that a person reads: what went wrong, where, and what to do about it.

Free of torch and Hydra, so that a misspelt name is reported before either is imported.
"""

from __future__ import annotations

import errno
import sys

_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO)  # what only its owner can mend


class SegexpError(Exception):
    """A failure with a known cause.

    Args:
        what: what is wrong, in one line.
        where: the file, override, stage or sample id that it is about.
        fix: what the user can type or change.
    """

    code = "failed"
    exit_code = 1

    def __init__(self, what: str, *, where: str = "", fix: str = "") -> None:
        self.what, self.where, self.fix = what, where, fix
        super().__init__("; ".join(part for part in (what, where, f"fix: {fix}" if fix else "") if part))

    def __reduce__(self) -> tuple:  # loader workers send errors to the main process by pickle
        return _rebuild, (type(self), self.what, self.where, self.fix)

    def line(self) -> str:
        """The last line that a failed command prints."""
        return f"segexp: error[{self.code}]: {self}".replace("\n", " ")

    def as_dict(self) -> dict[str, str]:
        """The record of `status.json`."""
        return {"code": self.code, "what": self.what, "where": self.where, "fix": self.fix}


def _rebuild(kind: type[SegexpError], what: str, where: str, fix: str) -> SegexpError:
    return kind(what, where=where, fix=fix)


class ConfigError(SegexpError):
    """The command line or the configuration is wrong."""

    code = "config"
    exit_code = 2


def require_number(key: str, value: object, fix: str, *, least: float, below: float = float("inf"), whole: bool = False) -> None:
    """Refuse a value of a config that isn't a number within [least, below).

    Args:
        key: of the config.
        value: as it was given.
        fix: an override that fits.
        least, below: the range.
        whole: only whole numbers.

    Raises:
        ConfigError: names key, value and range.
    """
    kinds = int if whole else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds) or not least <= value < below:
        span = f"from {least:g} on" if below == float("inf") else f"from {least:g} to below {below:g}"
        raise ConfigError(f"a {'whole ' if whole else ''}number {span} is wanted", where=f"{key}={value}", fix=fix)


class WiringError(ConfigError):
    """Two stages of the chain don't fit each other."""

    code = "wiring"
    groups: tuple[str, ...] = ()  # those of the config whose choices are at fault, where they are known


class DataError(SegexpError):
    """A data set is missing, or a sample of it is broken."""

    code = "data"


class WorkersError(SegexpError):
    """Processes that read samples died or hung, and starting them again was of no use."""

    code = "workers"


class WeightsError(SegexpError):
    """A checkpoint is missing, broken, or doesn't fit the model."""

    code = "weights"


class StoppedError(SegexpError):
    """The user or the system asked the run to stop; the same command goes on."""

    code = "stopped"
    exit_code = 75


class PrunedError(SegexpError):
    """A search ends a run that does badly; its state is saved, and the same command without the search goes on."""

    code = "pruned"


class HeldError(SegexpError):
    """Another process has the run."""

    code = "held"
    exit_code = 4


class RankError(SegexpError):
    """A rank is gone, or hasn't come: the others can't go on without it."""

    code = "rank"


class OutOfMemoryError(SegexpError):
    """A step needs more memory than there is."""

    code = "memory"


class NonFiniteLossError(SegexpError):
    """The loss became NaN or infinite."""

    code = "nonfinite"
    exit_code = 3


def by_code(code: str) -> type[SegexpError]:
    """The kind of error that has a code; a plain failure where none has."""
    kinds: list[type[SegexpError]] = [SegexpError]
    found: dict[str, type[SegexpError]] = {}
    while kinds:
        kind = kinds.pop()
        found.setdefault(kind.code, kind)
        kinds += kind.__subclasses__()
    return found.get(code, SegexpError)


def failed(error: BaseException, *, show_traceback: bool = False) -> int:
    """Say of what a command failed, as the last line of stderr; returns its exit code."""
    import traceback

    from segexp.secrets import redacted  # which raises errors of this module

    shown = known(error)
    if show_traceback:
        print(redacted("".join(traceback.format_exception(error))), end="", file=sys.stderr)
    sys.stdout.flush()
    print(redacted(shown.line()), file=sys.stderr, flush=True)
    return shown.exit_code


def known(error: BaseException) -> SegexpError:
    """An error as one that a person can read."""
    if isinstance(error, SegexpError):
        return error
    if isinstance(error, KeyboardInterrupt):
        return StoppedError("stopped by the keyboard", fix="the same command goes on from here")
    if isinstance(error, OSError) and error.errno in _DISK:
        where = str(error.filename or _origin(error))
        return SegexpError(f"the disk: {error.strerror}", where=where, fix="make room or mend it; the same command goes on from here")
    said = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return SegexpError(said, where=_origin(error), fix="errors.traceback=true shows where it comes from")


def _origin(error: BaseException) -> str:
    import traceback

    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "segexp" in frame.filename]
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else ""
