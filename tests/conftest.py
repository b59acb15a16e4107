"""One thread for every test: many small kernels on shared cores are slow and, at worst, hang on busy threads."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")  # a missing weight fails at once

from segexp.allow import allow

allow("tests", "needy_part", "broken_part")  # configs of tests name classes of tests
