"""A second process that looks at a sweep's jobs while the first ones run: `python -m segexp.check.ahead`.

Documents of jobs come in on stdin, one JSON object a line, `{"number": 3, "config": YAML, "overrides": [...]}`; a verdict a line goes
out on stdout, `{"number": 3, "error": null | {"code", "what", "where", "fix"}}`, in the same order. What jobs have in common is
looked at once. The process ends with its stdin, and with its parent.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Mapping
from typing import IO, Any

from segexp.allow import allow, allowed
from segexp.errors import SegexpError, known


class Ahead:
    """The driver's side: start it with the jobs, wait for `fileno()` to be readable, take `verdicts()`, `close()` it.

    It is never needed: where the process dies, there are no more verdicts, and each job finds out for itself.

    Args:
        jobs: (number, config as YAML, overrides) of those to look at, in this order.
        data: look at samples of the data, too.
    """

    def __init__(self, jobs: Iterable[tuple[int, str, list[str]]], *, data: bool = False) -> None:
        command = [sys.executable, "-m", "segexp.check.ahead", *(["--data"] if data else [])]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=False)
        lines = [{"number": number, "config": config, "overrides": overrides} for number, config, overrides in jobs]
        self._send(json.dumps({"allow": allowed()}), *map(json.dumps, lines))
        self._rest = b""
        os.set_blocking(self._out.fileno(), False)

    @property
    def _out(self) -> IO[bytes]:
        assert self.process.stdout is not None
        return self.process.stdout

    def _send(self, *lines: str) -> None:
        """All lines at once, from a thread: a pipe holds few, and nobody may wait for torch to be imported."""
        import threading

        def write(stream: IO[bytes], text: bytes) -> None:
            try:
                stream.write(text)
                stream.close()
            except OSError:  # it has gone
                return

        text = "".join(f"{line}\n" for line in lines).encode()
        threading.Thread(target=write, args=(self.process.stdin, text), daemon=True).start()

    def fileno(self) -> int | None:
        """What becomes readable when there are verdicts; None once there will be no more."""
        return None if self._out.closed else self._out.fileno()

    def verdicts(self) -> list[tuple[int, SegexpError | None]]:
        """Those that have come since: (number of the job, what is wrong with it, or None). Doesn't wait."""
        if self._out.closed:
            return []
        while (chunk := self._out.read(1 << 16)) is not None:
            if not chunk:
                self._out.close()
                break
            self._rest += chunk
        *whole, self._rest = self._rest.split(b"\n")
        return [_verdict(json.loads(line)) for line in whole]

    def close(self) -> None:
        """End the process."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        if not self._out.closed:
            self._out.close()


def _verdict(record: Mapping[str, Any]) -> tuple[int, SegexpError | None]:
    said = record["error"]
    if said is None:
        return record["number"], None
    error = SegexpError(said["what"], where=said["where"], fix=said["fix"])
    error.code, error.exit_code = said["code"], 2
    return record["number"], error


def main() -> int:
    """Look at the jobs on stdin."""
    from segexp.functional.signals import die_with_parent

    die_with_parent(signal.SIGKILL)
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # whatever else prints
    allow(*json.loads(sys.stdin.readline() or "{}").get("allow", ()))
    from segexp.check.rest import Rest
    from segexp.config import session

    rest = Rest(data="--data" in sys.argv[1:])
    with session():
        for line in sys.stdin:
            document = json.loads(line)
            error = _looked(document, rest)
            out.write(json.dumps({"number": document["number"], "error": error}) + "\n")
    return 0


def _looked(document: Mapping[str, Any], rest: Any) -> dict[str, str] | None:
    from omegaconf import OmegaConf

    from segexp.check.values import check_values, refusal

    try:
        config = OmegaConf.create(document["config"])
        check_values(config, document["overrides"])
        wrong = [one for one in rest(config) if not one.warning]
        return refusal(wrong, document["overrides"]).as_dict() if wrong else None
    except Exception as error:
        return known(error).as_dict()


if __name__ == "__main__":
    sys.exit(main())
