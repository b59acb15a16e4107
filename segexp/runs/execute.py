"""Make a run so: hand out the result of one that is done, go on with one that was interrupted, start what isn't there."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import OmegaConf

from segexp.check.values import check_values
from segexp.errors import ConfigError, SegexpError, StoppedError, WeightsError
from segexp.functional.files import read_json, remove_orphans
from segexp.functional.signals import Stop
from segexp.ranks.company import Company, together
from segexp.ranks.layout import layout
from segexp.runs.directory import RunDirectory, probe
from segexp.runs.drift import code_changed, config_changes, listed, refuse_other_data, version_changes
from segexp.runs.identity import identity
from segexp.runs.lock import describe, held
from segexp.runs.start import Start, place, start
from segexp.runs.training import fit
from segexp.secrets import redacted
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


def execute(config: DictConfig, overrides: Sequence[str] = (), search: Mapping[str, Any] | None = None) -> Outcome:
    """Make the run of a config so.

    Args:
        config: composed, its interpolations kept.
        overrides: what was typed for it.
        search: the trial that it is of a search that may prune it (see `segexp.search.study.reporter`).

    Raises:
        HeldError: another process has the run.
        StoppedError: a signal asked for it; the state is saved.
        SegexpError: the run failed, or isn't started any more because it failed too often.
    """
    check_values(config, overrides)  # what is certainly wrong is said before anything is written
    mine = layout(config)
    with Company(mine, identity(config) if mine.world > 1 else "") as company:
        return _execute(config, overrides, search, company)


def _execute(config: DictConfig, overrides: Sequence[str], search: Mapping[str, Any] | None, company: Company) -> Outcome:
    directory = place(config)
    if (result := finished(directory)) is not None and not config.run.again:
        return _told(config, directory, result)
    _vet(config)
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
        return Outcome(directory, _attempt(config, directory, begun, search, company), ran=True)


def _vet(config: DictConfig) -> None:
    """Refuse a chain that doesn't fit before there is a run that could fail of it."""
    from segexp.build import vet  # takes torch: the cheap refusals come first

    vet(config)


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
    said = [listed(version_changes(was)), code_changed(was) or "", _other_data(config, directory, was) or ""]
    return "; ".join(text for text in said if text) or None


def _other_data(config: DictConfig, directory: RunDirectory, was: dict[str, Any]) -> str | None:
    """What is said of data that aren't the manifest's; a data set without files is what its config says."""
    if not config.data.get("root"):
        return None
    try:
        refuse_other_data(directory.path, was, config, ())
    except SegexpError as error:
        return error.what
    return None


def _complete(directory: RunDirectory) -> dict[str, Any] | None:
    """The result, also of a run that was killed between its result and its status."""
    if directory.state() == "running" and (result := directory.result()) is not None:
        directory.ended(result)
    return finished(directory)


def _from(begun: Start) -> str:
    return f", going on from {begun.checkpoint.stem}" if begun.checkpoint else ""


def _attempt(
    config: DictConfig, directory: RunDirectory, begun: Start, search: Mapping[str, Any] | None, company: Company
) -> dict[str, Any]:
    """Run, and write down how it ended."""
    stop = Stop()
    stop.install()
    company.lost = lambda error: _lost(directory, error)
    try:
        with logged(directory.log), together(company.trouble):
            checkpoint = str(begun.checkpoint) if begun.checkpoint else None
            document = {"config": OmegaConf.to_yaml(config, resolve=False)}
            company.start(document, directory.path, attempt=begun.attempt, checkpoint=checkpoint, search=search)
            result = fit(config, directory, begun, stop, search, company)
        directory.finish(result)
        return result
    except (StoppedError, KeyboardInterrupt) as error:
        stopped = error if isinstance(error, StoppedError) else stop.error(str(directory.path))
        _preempted(directory, stopped)
        raise stopped from error
    except SystemExit as error:
        known = SegexpError(f"sys.exit({error.code}) within the run", where=str(directory.traceback), fix="see traceback.txt")
        _fail(directory, known)
        raise known from error
    except BaseException as error:
        _fail(directory, error)
        raise
    finally:
        company.dismiss(sys.exception())
        _report(directory)
        _end_trackers(directory)
        stop.restore()


def _report(directory: RunDirectory) -> None:
    """Write the page; one that can't be written must neither fail a run nor hide why it failed."""
    from segexp.report.page import write_report

    try:
        write_report(directory.path)
    except Exception as error:
        print(f"warning: no report.html was written ({type(error).__name__}: {error}); segexp report writes it", flush=True)


def _end_trackers(directory: RunDirectory) -> None:
    """Let trackers show what the run's files say now; there are none where the run ended before it was built."""
    if guarded := sys.modules.get("segexp.callbacks.guarded"):
        guarded.end_trackers(directory.path)


def _fail(directory: RunDirectory, error: BaseException) -> None:
    with suppress(OSError):  # on a full disk the error itself is what is to be seen
        directory.update(step=_last_step(directory))
        directory.fail(error, "".join(traceback.format_exception(sys.exception() or error)))


def _preempted(directory: RunDirectory, stopped: StoppedError) -> None:
    with suppress(OSError):  # without a word of how it ended, it goes on all the same
        directory.update(state="preempted", step=_last_step(directory), error=stopped.as_dict())


def _lost(directory: RunDirectory, error: SegexpError) -> None:
    """Write down how a run ended whose first rank is stuck."""
    if isinstance(error, StoppedError):
        _preempted(directory, error)
    else:
        _fail(directory, error)


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

    class Redacted(logging.Formatter):
        def format(self, record: logging.LogRecord) -> str:
            return redacted(super().format(record))

    handler = logging.FileHandler(path)
    handler.setFormatter(Redacted("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    for lightning in map(logging.getLogger, ("pytorch_lightning", "lightning_fabric", "lightning.fabric")):
        lightning.handlers.clear()  # they print tips to the screen
        lightning.propagate = True
    logging.captureWarnings(True)
    warnings.filterwarnings("ignore", ".*does not have many workers.*")
    warnings.filterwarnings("ignore", ".*sync_dist=True.*")  # what is logged is summed over ranks before
    try:
        yield
    finally:
        logging.captureWarnings(False)
        root.removeHandler(handler)
        root.setLevel(before)
        handler.close()
