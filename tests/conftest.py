"""One thread for every test: many small kernels on shared cores are slow and, at worst, hang on busy threads.

And no test leaves a handler of signals to the next one, whose runs would stop by a signal of long ago.
"""

import os
import signal

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")  # a missing weight fails at once

from segexp.allow import allow
from segexp.functional.signals import STOPPING, Stop

allow("tests", "needy_part", "broken_part")  # configs of tests name classes of tests


@pytest.fixture(autouse=True)
def no_stop_is_left():
    yield
    left = [number.name for number in STOPPING if isinstance(getattr(signal.getsignal(number), "__self__", None), Stop)]
    assert not left, f"a Stop still handles {', '.join(left)}"
