"""The process of a rank that the first one has started: `segexp.ranks.child <pid of the first>`, its document on stdin.

A document is `{"config": YAML, "allow": [...]}`: the config as the first rank has it.
"""

from __future__ import annotations

import json
import os
import sys

from segexp.allow import allow
from segexp.errors import failed
from segexp.functional.signals import die_with_parent


def main() -> int:
    """Take part; returns the exit code."""
    die_with_parent()
    if os.getppid() != int(sys.argv[1]):
        return 1
    document = json.load(sys.stdin)
    allow(*document["allow"])
    from omegaconf import OmegaConf

    config = OmegaConf.create(document["config"])
    OmegaConf.set_struct(config, True)
    try:
        from segexp.ranks.follow import followed

        followed(config)
    except (Exception, KeyboardInterrupt) as error:
        return failed(error, show_traceback=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
