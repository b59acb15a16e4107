"""segexp list [group]: the config groups, or the options of one with what each is.

segexp list              all groups and their options
segexp list backbone     the options of `backbone`, one line each
"""

from __future__ import annotations

from collections.abc import Sequence

from segexp.cli.arguments import split
from segexp.errors import ConfigError


def run(arguments: Sequence[str]) -> int:
    """Print what there is to choose from."""
    usage = "segexp list [group]"
    named, _, _ = split(arguments, positional=min(1, len(arguments)), usage=usage)
    from segexp.overrides import describe_option, groups, options, suggest

    known = groups()
    if not named:
        width = max(map(len, known))
        for group in known:
            print(f"{group:{width}}  {' '.join(options(group))}")
        return 0
    group = named[0]
    if group not in known:
        near = suggest(group, known)
        fix = f"segexp list {near[0]}" if near else "segexp list"
        raise ConfigError(f"there is no group {group!r}", where=usage, fix=fix)
    width = max(map(len, options(group)))
    for option in options(group):
        print(f"{group}={option:{width}}  {describe_option(group, option)}")
    return 0
