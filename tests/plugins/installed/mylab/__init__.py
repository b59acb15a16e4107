"""A user's package: its parts are found by the entry point, without this file being imported to find them."""

import os

if os.environ.get("MYLAB_REFUSES_IMPORT"):
    raise RuntimeError("mylab was imported to find its configs")
