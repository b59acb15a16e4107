"""Another rank than the first: it waits for the word to begin, trains along, and writes nothing of the run."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from segexp.errors import SegexpError, known
from segexp.functional.signals import Stop
from segexp.ranks.layout import Layout, layout

if TYPE_CHECKING:
    from omegaconf import DictConfig


def followed(config: DictConfig) -> bool:
    """Take part in the run of a config as another rank than the first, to its end; False where this process is the first.

    Raises:
        SegexpError: as in the first rank; StoppedError at the boundary where all stopped.
    """
    mine = layout(config)
    if mine.rank:
        _follow(config, mine)
    return mine.rank > 0


def _follow(config: DictConfig, mine: Layout) -> None:
    from segexp.check.values import check_values

    if mine.started != "segexp":
        check_values(config)  # a first rank that refuses it is gone before anybody can meet it
    stop = Stop()
    stop.install()
    try:
        _along(config, mine, stop)
    finally:
        stop.restore()


def _along(config: DictConfig, mine: Layout, stop: Stop) -> None:
    """From the meeting to the end."""
    from segexp.ranks.company import restore, set_environment, together
    from segexp.ranks.roster import Member, Trouble
    from segexp.runs.directory import RunDirectory
    from segexp.runs.execute import logged
    from segexp.runs.identity import identity
    from segexp.runs.start import Start
    from segexp.runs.training import fit

    trouble = Trouble(_stuck)
    member = Member(mine.address, mine.rank, identity(config), trouble)
    if (word := member.go()) is None:  # the first rank had nothing to do, or it failed
        member.leave()
        if trouble.error:
            raise trouble.error
        return
    before, left = set_environment(mine, word["meeting"]), None
    try:
        with logged(Path(word["folder"]) / f"log-rank-{mine.rank}.txt"), together(trouble):
            begun = Start(word["attempt"], Path(word["checkpoint"]) if word["checkpoint"] else None)
            fit(config, RunDirectory(Path(word["folder"])), begun, stop, word["search"])
    except BaseException as error:
        left = known(error)
        raise
    finally:
        member.leave(left)
        restore(before)


def _stuck(error: SegexpError) -> None:
    print(error.line(), file=sys.stderr, flush=True)
    os._exit(error.exit_code)
