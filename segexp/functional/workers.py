"""Windows from a loader whose processes may die or hang: new ones go on where the last window came from, and nothing is lost.

That holds for samples that are functions of (seed, epoch, index): what was on its way is computed again.
"""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from torch.utils.data import DataLoader
from torch.utils.data._utils import signal_handling
from torch.utils.data.dataloader import _MultiProcessingDataLoaderIter

from segexp.errors import WorkersError

log = logging.getLogger(__name__)

LOOK = 0.1  # seconds between two looks at the workers while a window is waited for
LEAVE = 6.0  # seconds that threads of a loader get to notice that its workers are gone
SHOWN = 8  # samples that an error names
_END = object()


@dataclass
class Patience:
    """How much trouble with worker processes is borne.

    Args:
        timeout: seconds without a window after which they are taken to hang; 0 = for ever.
        restarts: how often they may be started again, of all loaders together.
        used: how often they were.
    """

    timeout: float = 120.0
    restarts: int = 3
    used: int = 0


class Rest:
    """Batch sampler: what an order gives, but for its first windows.

    Args:
        order: gives the same windows each time until its epoch is changed.
    """

    def __init__(self, order: Any) -> None:
        self.order, self.behind = order, 0

    def __len__(self) -> int:
        return len(self.order)

    def __iter__(self) -> Iterator[Any]:
        return islice(iter(self.order), self.behind, None)


def windows(loader: DataLoader, patience: Patience, split: Any) -> Iterator[Any]:
    """What a loader gives; workers that die or hang are killed and started again.

    Args:
        loader: its batch sampler is a `Rest`.
        patience: counts the restarts.
        split: names samples by `id(index)`, for the error.

    Raises:
        WorkersError: it happened once too often; names how, and the samples that were on their way.
    """
    rest: Any = loader.batch_sampler
    rest.behind = done = 0
    if not loader.num_workers:
        yield from loader
        return
    iterator, trouble = _begin(loader, patience.timeout)
    while True:
        window, trouble = (None, trouble) if trouble else _watched(iterator, lambda it=iterator: next(it, _END), patience.timeout)
        if trouble:
            loader._iterator = None
            _bear(trouble, patience, _flying(rest, done, iterator, split))
            rest.behind = done
            with torch.random.fork_rng(devices=[]):  # an iterator draws a number when it is made
                iterator, trouble = _begin(loader, patience.timeout)
        elif window is _END:
            return
        else:
            done += 1
            yield window


def end(loader: DataLoader) -> None:
    """Kill the workers that a loader keeps."""
    if isinstance(loader._iterator, _MultiProcessingDataLoaderIter):
        _kill(loader._iterator)
        loader._iterator = None


def _begin(loader: DataLoader, timeout: float) -> tuple[Any, str]:
    """The loader's iterator, and what is wrong with the workers that it has kept.

    Without torch's handler of dead workers: it would raise an error in the middle of a training step.
    """
    kept: Any = loader._iterator
    if kept is not None:
        return kept, _watched(kept, lambda: iter(loader), timeout)[1]
    before = signal.getsignal(signal.SIGCHLD)
    iterator = iter(loader)
    if threading.current_thread() is threading.main_thread() and _theirs(signal.getsignal(signal.SIGCHLD)):
        signal.signal(signal.SIGCHLD, signal.SIG_DFL if before is None or _theirs(before) else before)
    return iterator, ""


def _theirs(handler: Any) -> bool:
    return getattr(handler, "__module__", "") == signal_handling.__name__


def _watched(iterator: Any, work: Callable[[], Any], timeout: float) -> tuple[Any, str]:
    """What some work with the workers gives, and what is wrong with them; then they are gone.

    It is done in a thread: a worker that is killed or stopped in the middle of a message leaves its reader waiting for ever.
    """
    found: list[Any] = []
    failed: list[BaseException] = []

    def take() -> None:
        try:
            found.append(work())
        except BaseException as error:
            failed.append(error)

    taker = threading.Thread(target=take, name="segexp-window", daemon=True)
    began = time.monotonic()
    taker.start()
    while taker.is_alive():
        taker.join(LOOK)
        dead = [worker for worker in iterator._workers if not worker.is_alive()]
        if taker.is_alive() and dead and not iterator._shutdown:  # which it is when they are sent home
            break
        if taker.is_alive() and 0 < timeout < time.monotonic() - began:
            _kill(iterator, taker)
            return None, f"no window came from a loader worker for {timeout:g} s"
    if found:
        return found[0], ""
    dead = [worker for worker in iterator._workers if not worker.is_alive()]
    if not dead and failed:
        raise failed[0]  # an error of ours, in a worker that is well
    said = ", ".join(sorted({_ended(worker.exitcode) for worker in dead}))
    iterator.gone = {number for number, worker in enumerate(iterator._workers) if worker in dead}
    _kill(iterator, taker)
    return None, f"a loader worker {said}"


def _ended(code: int | None) -> str:
    if code is None or code >= 0:
        return f"ended with exit code {code}"
    name = signal.Signals(-code).name
    return f"was killed by {name}" + (", as the system does where memory runs out" if name == "SIGKILL" else "")


def _kill(iterator: Any, taker: threading.Thread | None = None) -> None:
    """End the workers at once, and with them the threads that read what they send.

    torch's own way would wait for a lock that a dead one may hold.
    """
    if iterator._shutdown:
        return
    iterator._shutdown = True
    for worker in iterator._workers:
        worker.kill()
    for worker in iterator._workers:
        worker.join(LEAVE)
    signal_handling._remove_worker_pids(id(iterator))
    iterator._worker_pids_set = False
    pinning = getattr(iterator, "_pin_memory_thread", None)
    if pinning is not None:
        iterator._pin_memory_thread_done_event.set()
        pinning.join(LEAVE)
    iterator._worker_result_queue._writer.close()  # whoever reads a message that was cut off now sees its end
    if taker is not None:
        taker.join(LEAVE)
    for queue in (*iterator._index_queues, iterator._worker_result_queue):
        queue.cancel_join_thread()
        queue.close()


def _flying(rest: Rest, done: int, iterator: Any, split: Any) -> str:
    """The samples that the workers at fault had in work: those they owe first. Workers take windows in turn."""
    number = len(iterator._workers)
    ahead = list(islice(iter(rest.order), done, done + number))
    first = done - rest.behind  # windows since this iterator was made
    owed = {(first + place) % number: window for place, window in enumerate(ahead)}
    guilty = getattr(iterator, "gone", {first % number})  # of a hang: whose window is waited for
    draws = [draw for worker in sorted(guilty) for draw in owed.get(worker, ())]
    return _named([draw.index for draw in draws], split)


def _named(indices: Sequence[int], split: Any) -> str:
    names = [split.id(index) if hasattr(split, "id") else f"number {index}" for index in indices[:SHOWN]]
    more = f" and {len(indices) - SHOWN} more" if len(indices) > SHOWN else ""
    return ", ".join(names) + more or "none"


def _bear(trouble: str, patience: Patience, flying: str) -> None:
    """Count a restart, and say it.

    Raises:
        WorkersError: there are none left.
    """
    if patience.used >= patience.restarts:
        again = f", after {patience.used} restarts" if patience.used else ""
        fix = "data.loader.workers=0 reads in the training process and shows which sample does it; fewer workers take less memory"
        if "came from" in trouble:
            fix += f"; data.loader.timeout={max(10, round(10 * patience.timeout))} waits longer"
        raise WorkersError(trouble + again, where=f"data.loader, samples in work: {flying}", fix=fix)
    patience.used += 1
    count = f"restart {patience.used} of at most {patience.restarts}"
    text = f"{trouble}, with samples {flying} in work: workers are started again, and nothing is lost ({count})"
    print(f"warning: {text}", flush=True)
    log.warning(text)
