"""What the pixels of a thing become that have no instance number."""

from __future__ import annotations

LOOSE = ("crowd", "void", "object")
CROWD, VOID, OBJECT = LOOSE  # a group that no metric counts; nothing; one object
