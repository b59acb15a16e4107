"""Does a value of a config fit an annotation, such as `Sequence[int] | None`? And if not: what is wanted, in words.

Annotations are read as text; what isn't plain data (a class of some library) takes whatever is given.
"""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Callable, Sequence
from typing import Any

from segexp.catalogue import did_you_mean, suggest

LISTS = {"Sequence", "list", "List", "Iterable", "Collection", "set", "Set", "frozenset"}
MAPS = {"Mapping", "dict", "Dict", "MutableMapping"}
NEVER = {"Tensor", "timedelta", "Generator"}  # objects that no config holds
PLAIN: dict[str, tuple[Callable[[Any], bool], str]] = {
    "int": (lambda value: isinstance(value, int) and not isinstance(value, bool), "a whole number"),
    "float": (lambda value: isinstance(value, (int, float)) and not isinstance(value, bool), "a number"),
    "bool": (lambda value: isinstance(value, bool), "true or false"),
    "str": (lambda value: isinstance(value, str), "text"),
}


def fits(value: Any, annotation: str, default: str | None = None) -> bool:
    """Is a value, as plain data, one that a parameter takes? One without an annotation takes all.

    Args:
        value: of the config, interpolations resolved.
        annotation: its text.
        default: the source of the parameter's default; where it is `None`, so may the value be.
    """
    if not annotation or (value is None and default == "None"):
        return True
    return _fits(value, _tree(annotation))


def wanted(annotation: str) -> str:
    """What an annotation asks for, in words."""
    return _words(_tree(annotation))


def example(value: Any, annotation: str, default: Any = None) -> str:
    """A value near to a wrong one that fits: as it is typed on the command line; empty where none is known."""
    node = _tree(annotation)
    for candidate in _candidates(value, node):
        if _fits(candidate, node):
            return typed(candidate)
    return typed(default) if default is not None and _fits(default, node) else ""


def choice(value: Any, annotation: str) -> str:
    """The literal words that an annotation allows, with the nearest first; empty where it is no choice of words."""
    words = [word for word in _literals(_tree(annotation)) if isinstance(word, str)]
    near = suggest(str(value), words)
    return did_you_mean(near) if near else "|".join(words)


def typed(value: Any) -> str:
    """A value as one types it in an override."""
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(map(typed, value)) + "]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{name}:{typed(item)}" for name, item in value.items()) + "}"
    if isinstance(value, str) and PLAIN["float"][0](read(value)):
        return f"\"'{value}'\""  # text that would be read as a number
    return {None: "null", True: "true", False: "false"}.get(value, str(value)) if not _number(value) else str(value)


def read(text: str) -> Any:
    """A text as the plain value that it spells; itself where it spells none."""
    words = {"true": True, "false": False, "yes": True, "no": False, "on": True, "off": False, "null": None, "none": None}
    if text.strip().lower() in words:
        return words[text.strip().lower()]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _number(value: Any) -> bool:
    return PLAIN["float"][0](value)


# ------------------------------------------------------------------------------------------------- annotations


@functools.cache
def _tree(annotation: str) -> ast.expr:
    try:
        return ast.parse(annotation, mode="eval").body
    except SyntaxError:
        return ast.Name("Any")


def _name(node: ast.expr) -> str:
    while isinstance(node, ast.Subscript):
        node = node.value
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _alternatives(node: ast.expr) -> list[ast.expr]:
    """The members of a union, flat; of anything else itself."""
    if isinstance(node, ast.BinOp):
        return [*_alternatives(node.left), *_alternatives(node.right)]
    inner = _arguments(node)
    if _name(node) == "Optional":
        return [*_alternatives(inner[0]), ast.Constant(None)]
    if _name(node) == "Union":
        return [member for one in inner for member in _alternatives(one)]
    if _name(node) in ("Annotated", "Final"):
        return _alternatives(inner[0])
    return [node]


def _arguments(node: ast.expr) -> list[ast.expr]:
    if not isinstance(node, ast.Subscript):
        return []
    return list(node.slice.elts) if isinstance(node.slice, ast.Tuple) else [node.slice]


def _literals(node: ast.expr) -> list[Any]:
    return [
        one.value for part in _alternatives(node) if _name(part) == "Literal" for one in _arguments(part) if isinstance(one, ast.Constant)
    ]


def _fits(value: Any, node: ast.expr) -> bool:
    return any(_fits_one(value, one) for one in _alternatives(node))


def _fits_one(value: Any, node: ast.expr) -> bool:
    name, inner = _name(node), _arguments(node)
    if isinstance(node, ast.Constant):
        return value is None if node.value is None else _fits(value, _tree(str(node.value)))
    if isinstance(value, dict) and "_target_" in value:
        return True  # an object, which only its class tells
    if name == "Literal":
        return value in _literals(node)
    if name in PLAIN:
        return PLAIN[name][0](value)
    if name in LISTS:
        return isinstance(value, list) and (not inner or all(_fits(item, inner[0]) for item in value))
    if name in ("tuple", "Tuple"):
        return isinstance(value, list) and _fits_tuple(value, inner)
    if name in MAPS:
        return isinstance(value, dict) and (len(inner) < 2 or all(_fits(item, inner[1]) for item in value.values()))
    if name == "Callable":
        return value is None or isinstance(value, dict)
    return name not in NEVER


def _fits_tuple(value: list[Any], inner: Sequence[ast.expr]) -> bool:
    if len(inner) == 2 and isinstance(inner[1], ast.Constant) and inner[1].value is Ellipsis:
        return all(_fits(item, inner[0]) for item in value)
    return not inner or (len(value) == len(inner) and all(map(_fits, value, inner)))


# ------------------------------------------------------------------------------------------------- words


def _words(node: ast.expr) -> str:
    words = dict.fromkeys(word for one in _alternatives(node) if (word := _word(one)))
    return " or ".join(word for word in words if word != "a whole number" or "a number" not in words)


def _word(node: ast.expr) -> str:
    name, inner = _name(node), _arguments(node)
    if isinstance(node, ast.Constant):
        return "null" if node.value is None else _words(_tree(str(node.value)))
    if name in PLAIN:
        return PLAIN[name][1]
    if name == "Literal":
        return "one of " + ", ".join(map(str, _literals(node)))
    if name in ("tuple", "Tuple") and inner and not any(isinstance(one, ast.Constant) for one in inner):
        return f"a list of {len(inner)}: " + ", ".join(map(_words, inner))
    if name in LISTS or name in ("tuple", "Tuple"):
        inside = _words(inner[0]) if inner else ""
        return f"a list, each item {inside}" if inside else "a list"
    if name in MAPS:
        return "a mapping"
    return "" if name in NEVER else "a section with a _target_"


def _candidates(value: Any, node: ast.expr) -> list[Any]:
    """Values that someone who typed this one may have meant."""
    found: list[Any] = []
    if isinstance(value, str):
        words = [word for word in [*_literals(node), "true", "false"] if isinstance(word, str)]
        near = suggest(value, words)[:1]
        if number := re.match(r"-?\d+(\.\d+)?(e-?\d+)?", value):
            found.append(read(number[0]))  # of `1e-3x` or `8 images`
        found += [read(value), *near, *map(read, near), [value], [read(value)], [part.strip() for part in value.split(",")]]
    elif isinstance(value, list):
        found += [[read(item) if isinstance(item, str) else item for item in value], [value[0]] * 2 if value else None, *value[:1]]
        found += [[int(item) if _number(item) else item for item in value], [str(item) for item in value]]
    elif _number(value):
        found += [round(value), str(value), [value], [value, value], bool(value) if value in (0, 1) else None, [round(value)]]
    elif isinstance(value, bool):
        found += [int(value), str(value).lower(), [value]]
    return [one for one in found if one is not None]
