"""Make a run so: hand out the result of one that is done, go on with one that was interrupted, start what isn't there."""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segexp.config import resolve
from segexp.errors import ConfigError, SegexpError, StoppedError, WeightsError
from segexp.functional.files import read_json, remove_orphans
from segexp.functional.signals import Stop
from segexp.runs.directory import RunDirectory, probe
from segexp.runs.drift import code_changed, config_changes, listed, refuse_other_data, version_changes
from segexp.runs.lock import describe, held
from segexp.runs.settings import check_settings
from segexp.runs.start import Start, place, start
from segexp.runs.training import fit
from segexp.weights.checkpoints import listed as checkpoints
from segexp.weights.checkpoints import record_of

if TYPE_CHECKING:
    from omegaconf import DictConfig


@dataclass(frozen=True)
class Outcome:
    """A run that is done."""

    directory: RunDirectory
    result: dict[str, Any]
    ran: bool  # now, or was it done before?


def execute(config: DictConfig, overrides: Sequence[str] = ()) -> Outcome:
    """Make the run of a config so.

    Args:
        config: composed, its interpolations kept.
        overrides: what was typed for it.

    Raises:
        HeldError: another process has the run.
        StoppedError: a signal asked for it; the state is saved.
        SegexpError: the run failed, or isn't started any more because it failed too often.
    """
    resolve(config)  # a key without a value is said before anything is written
    check_settings(config)
    directory = place(config)
    if (result := finished(directory)) is not None and not config.run.again:
        return _told(config, directory, result)
    probe(directory.outputs)
    directory.path.mkdir(parents=True, exist_ok=True)
    with held(directory.lock) as died:
        if died:
            print(f"taking over from {describe(died)}, which is gone", flush=True)
        remove_orphans(directory.path)
        if (result := _complete(directory)) is not None and not config.run.again:
            return _told(config, directory, result)
        begun = start(directory, config, overrides)
        print(f"run {directory.id}, attempt {begun.attempt}{_from(begun)}: {directory.path}", flush=True)
        return Outcome(directory, _attempt(config, directory, begun), ran=True)


def finished(directory: RunDirectory) -> dict[str, Any] | None:
    """The result of a run that is done; None of any other."""
    return directory.result() if directory.state() == "done" else None


def _told(config: DictConfig, directory: RunDirectory, result: dict[str, Any]) -> Outcome:
    """The result of a run that is done, unless it went on with another config: then it isn't the result of this one."""
    if changes := config_changes(directory.config, config):
        fix = f"run.again=true starts this one from scratch, weights.file=run:{directory.id} one from the other's weights"
        raise ConfigError(f"the run is done, with another config: {listed(changes)}", where=str(directory.path), fix=fix)
    return Outcome(directory, result, ran=False)


def drifted(config: DictConfig, directory: RunDirectory) -> str | None:
    """What of versions, code and data isn't as it was for a run that is done; None where nothing is known to differ."""
    if not directory.manifest.exists():
        return "its manifest is gone"
    was = read_json(directory.manifest)
    said = [listed(version_changes(was)), code_changed(was) or "", _other_data(config, was) or ""]
    return "; ".join(text for text in said if text) or None


def _other_data(config: DictConfig, was: dict[str, Any]) -> str | None:
    """What is said of data that aren't the manifest's; a data set without files is what its config says."""
    if not config.data.get("root"):
        return None
    from segexp.build import open_dataset

    try:
        refuse_other_data(was, open_dataset(config).fingerprint(), (), "")
    except SegexpError as error:
        return error.what
    return None


def _complete(directory: RunDirectory) -> dict[str, Any] | None:
    """The result, also of a run that was killed between its result and its status."""
    if directory.state() == "running" and directory.result_file.exists():
        directory.update(state="done")
    return finished(directory)


def _from(begun: Start) -> str:
    return f", going on from {begun.checkpoint.stem}" if begun.checkpoint else ""


def _attempt(config: DictConfig, directory: RunDirectory, begun: Start) -> dict[str, Any]:
    """Run, and write down how it ended."""
    stop = Stop()
    stop.install()
    try:
        with logged(directory.log):
            result = fit(config, directory, begun, stop)
        directory.finish(result)
        return result
    except (StoppedError, KeyboardInterrupt) as error:
        stopped = error if isinstance(error, StoppedError) else stop.error(str(directory.path))
        with suppress(OSError):  # without a word of how it ended, it goes on all the same
            directory.update(state="preempted", step=_last_step(directory), error=stopped.as_dict())
        raise stopped from error
    except SystemExit as error:
        known = SegexpError(f"sys.exit({error.code}) within the run", where=str(directory.traceback), fix="see traceback.txt")
        _fail(directory, known)
        raise known from error
    except BaseException as error:
        _fail(directory, error)
        raise
    finally:
        stop.restore()
        _report(directory)


def _report(directory: RunDirectory) -> None:
    """Write the page; one that can't be written must neither fail a run nor hide why it failed."""
    from segexp.report.page import write_report

    try:
        write_report(directory.path)
    except Exception as error:
        print(f"warning: no report.html was written ({type(error).__name__}: {error}); segexp report writes it", flush=True)


def _fail(directory: RunDirectory, error: BaseException) -> None:
    with suppress(OSError):  # on a full disk the error itself is what is to be seen
        directory.update(step=_last_step(directory))
        directory.fail(error, traceback.format_exc())


def _last_step(directory: RunDirectory) -> int:
    for path in checkpoints(directory.checkpoints):
        with suppress(WeightsError):  # of a broken record the next start tells
            return record_of(path)["step"]
    return 0


@contextmanager
def logged(path: Path) -> Iterator[None]:
    """Messages of libraries and warnings go to the run's log; our own that matter go to the screen as well."""
    import logging
    import warnings

    handler = logging.FileHandler(path)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root, lightning = logging.getLogger(), logging.getLogger("pytorch_lightning")
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    lightning.handlers.clear()  # it prints tips to the screen
    lightning.propagate = True
    logging.captureWarnings(True)
    warnings.filterwarnings("ignore", ".*does not have many workers.*")
    try:
        yield
    finally:
        logging.captureWarnings(False)
        root.removeHandler(handler)
        root.setLevel(before)
        handler.close()
