"""References of a stored config, followed without resolving what they say of the environment."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

REFERENCE = re.compile(r"\$\{([A-Za-z_][\w.\-]*)\}")


def follow(value: Any, leaves: Mapping[str, Any], depth: int = 8) -> Any:
    """Replace `${a.b}` by the leaf a.b; unknown keys and resolvers such as `${oc.env:X}` stay as they are written."""
    if not isinstance(value, str) or depth == 0:
        return value
    if whole := REFERENCE.fullmatch(value):
        return follow(leaves[whole[1]], leaves, depth - 1) if whole[1] in leaves else value
    return REFERENCE.sub(lambda match: str(follow(leaves.get(match[1], match[0]), leaves, depth - 1)), value)
