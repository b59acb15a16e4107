"""What a ``_target_`` takes, read from its source: names, annotations, defaults and descriptions, and nothing is imported.

Importing torch takes seconds, parsing the one file that defines a class takes milliseconds. What the source doesn't
tell (a built-in, a name that is made at run time) is unknown, and never wrong.
"""

from __future__ import annotations

import ast
import functools
import importlib.util
import pkgutil
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from segexp.catalogue import suggest

POSITIONAL, ANY, KEYWORD, REST, KEYWORDS = "positional", "any", "keyword", "rest", "keywords"  # REST: *args, KEYWORDS: **kwargs
DEPTH = 12  # of re-exports and base classes that are followed
Definition = ast.ClassDef | ast.FunctionDef


@dataclass(frozen=True)
class Parameter:
    """One parameter of a target.

    Args:
        name: without stars.
        annotation: as it is written; empty without one.
        accepts: the annotation with the aliases of its module written out.
        default: its source, such as ``0.1``; None where a value must be given.
        kind: positional | any | keyword | rest (``*args``) | keywords (``**kwargs``).
        description: of the docstring's ``Args:``, in one line.
    """

    name: str
    annotation: str = ""
    accepts: str = ""
    default: str | None = None
    kind: str = ANY
    description: str = ""

    @property
    def required(self) -> bool:
        return self.default is None and self.kind not in (REST, KEYWORDS)


@dataclass(frozen=True)
class Signature:
    """What a target takes, the first line of its docstring, and where it is defined."""

    target: str
    parameters: tuple[Parameter, ...]
    summary: str
    file: Path
    line: int

    @property
    def open(self) -> bool:
        """Does it take keys that it doesn't name?"""
        return any(p.kind == KEYWORDS for p in self.parameters)

    def named(self) -> dict[str, Parameter]:
        """The parameters that can be given by name."""
        return {p.name: p for p in self.parameters if p.kind in (ANY, KEYWORD)}


@dataclass(frozen=True)
class Absent:
    """A target that doesn't exist: what was found of it, what is missing there, and whole targets near to it."""

    found: str
    missing: str
    near: tuple[str, ...]


def signature(target: str) -> Signature | None:
    """What a class or function takes; None where its source doesn't tell, or there is no such target.

    Args:
        target: the dotted name as in ``_target_``, re-exports included, such as ``torch.optim.AdamW``.
    """
    found = _locate(target)
    return found if isinstance(found, Signature) else None


def absent(target: str) -> Absent | None:
    """Why a target certainly doesn't exist; None where it does, or where its source doesn't tell."""
    found = _locate(target)
    return found if isinstance(found, Absent) else None


@functools.cache
def _locate(target: str) -> Signature | Absent | None:
    parts = target.split(".")
    module = _module_of(parts[0])
    if module is None:
        return None if _installed(parts[0]) else Absent("", parts[0], _other_tops(parts))
    for number, name in enumerate(parts[1:], 1):
        if (inner := module.below(name)) is not None:
            module = inner
            continue
        found = module.find(name)
        if isinstance(found, Module):
            module = found
            continue
        if found is None:
            return None if module.dynamic() else Absent(module.name, name, _nearest(module, parts, number))
        return _signature(target, found) if number == len(parts) - 1 and isinstance(found, Found) else None
    return None


def _nearest(module: Module, parts: Sequence[str], number: int) -> tuple[str, ...]:
    """Whole targets with another name in the place of one that is missing."""
    candidates = [name for name in module.offered() if not name.startswith("_")]
    whole = [".".join([*parts[:number], name, *parts[number + 1 :]]) for name in suggest(parts[number], candidates)]
    return tuple(name for name in whole if not isinstance(_locate(name), Absent))


def _installed(top: str) -> bool:
    try:
        return importlib.util.find_spec(top) is not None
    except (ImportError, ValueError):  # of a module that was made at run time
        return True


def _other_tops(parts: Sequence[str]) -> tuple[str, ...]:
    near = suggest(parts[0], {module.name for module in pkgutil.iter_modules()})
    return tuple(whole for name in near if isinstance(_locate(whole := ".".join([name, *parts[1:]])), Signature))


# ------------------------------------------------------------------------------------------------- modules


@dataclass(frozen=True)
class Found:
    """A class or function, and the module in which it is written."""

    node: Definition
    module: Module


UNKNOWN = object()  # it is there, but its source doesn't tell what it is


class Module:
    """A module as its source: looked up by `_module`, which parses each once."""

    def __init__(self, name: str, file: Path) -> None:
        self.name, self.file = name, file

    @functools.cached_property
    def statements(self) -> list[ast.stmt]:
        try:
            return list(_flat(ast.parse(self.file.read_text(encoding="utf-8", errors="replace")).body))
        except SyntaxError:
            return []

    @functools.cached_property
    def names(self) -> dict[str, ast.stmt]:
        """What binds each name; the last one counts."""
        return {name: statement for statement in self.statements for name in _bound(statement)}

    @property
    def package(self) -> str:
        return self.name if self.file.name == "__init__.py" else self.name.rpartition(".")[0]

    def below(self, name: str) -> Module | None:
        """A module of this package, unless the package binds something else of the name (torch.optim.adam is a module still)."""
        if self.file.name != "__init__.py":
            return None
        return _module(f"{self.name}.{name}", self.file.parent / name)

    def find(self, name: str, depth: int = 0) -> Found | Module | object | None:
        """What a name stands for: a definition, a module, UNKNOWN, or None where nothing binds it."""
        statement = self.names.get(name)
        if depth > DEPTH:
            return UNKNOWN
        if isinstance(statement, Definition):
            return Found(statement, self)
        if isinstance(statement, ast.ImportFrom):
            original = next(a.name for a in statement.names if (a.asname or a.name) == name)
            return self._imported(_source(statement, self.package), original, depth)
        if isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Name) and statement.value.id != name:
            return self.find(statement.value.id, depth + 1)
        if statement is not None:
            return UNKNOWN
        for star in (s for s in self.statements if isinstance(s, ast.ImportFrom) and s.names[0].name == "*"):
            if (found := self._imported(_source(star, self.package), name, depth)) is not None:
                return found
        return None

    def _imported(self, source: str, name: str, depth: int) -> Found | Module | object | None:
        module = _module_of(source)
        if module is None:
            return UNKNOWN
        if module is not self and (found := module.find(name, depth + 1)) is not None:
            return found
        return module.below(name) or (UNKNOWN if module.dynamic() else None)

    def dynamic(self) -> bool:
        """Can a name come to be at run time?"""
        return "__getattr__" in self.names or (not self.statements and self.file.stat().st_size > 0)

    def offered(self) -> Iterator[str]:
        """Names that a target can go on with."""
        yield from (name for name, statement in self.names.items() if isinstance(statement, (*Definition.__args__, ast.ImportFrom)))
        if self.file.name == "__init__.py":
            inner = (p for p in self.file.parent.iterdir() if p.suffix == ".py" or (p / "__init__.py").is_file())
            yield from (p.stem for p in inner if p.stem != "__init__")


def _flat(body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements of a module, those under if, try and with included."""
    for statement in body:
        yield statement
        if isinstance(statement, (ast.If, ast.Try, ast.With)):
            handlers = [s for h in getattr(statement, "handlers", ()) for s in h.body]
            yield from _flat([*handlers, *getattr(statement, "orelse", ()), *statement.body])


def _bound(statement: ast.stmt) -> Iterator[str]:
    if isinstance(statement, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
        yield statement.name
    elif isinstance(statement, (ast.Import, ast.ImportFrom)):
        yield from ((a.asname or a.name).partition(".")[0] for a in statement.names if a.name != "*")
    elif isinstance(statement, ast.Assign):
        yield from (n.id for t in statement.targets for n in ast.walk(t) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store))
    elif isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
        yield statement.target.id


def _source(statement: ast.ImportFrom, package: str) -> str:
    if not statement.level:
        return statement.module or ""
    parents = package.split(".")[: len(package.split(".")) - statement.level + 1]
    return ".".join([*parents, *([statement.module] if statement.module else [])])


def _module_of(name: str) -> Module | None:
    """A module by its dotted name; only the top-level package is looked up, which imports nothing."""
    top, *below = name.split(".")
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return None
    places = list(spec.submodule_search_locations or ()) if spec else []
    if spec and not places and spec.origin and spec.origin.endswith(".py") and not below:
        return _module(name, Path(spec.origin).with_suffix(""))
    return next((found for place in places if (found := _module(name, Path(place, *below)))), None)


@functools.cache
def _module(name: str, stem: Path) -> Module | None:
    file = next((f for f in (stem / "__init__.py", stem.parent / f"{stem.name}.py") if f.is_file()), None)
    return Module(name, file) if file else None


# ------------------------------------------------------------------------------------------------- signatures


def _signature(target: str, found: Found) -> Signature | None:
    made = _constructor(found)
    if made is None:
        return None
    parameters, texts = made
    said = {name: text for document in reversed(texts) for name, text in described(document).items()}
    return Signature(
        target,
        tuple(replace(p, description=said.get(p.name, "")) for p in parameters),
        next((line.strip() for line in texts[0].splitlines() if line.strip()), "") if texts else "",
        found.module.file,
        found.node.lineno,
    )


def _constructor(found: Found, depth: int = 0) -> tuple[list[Parameter], list[str]] | None:
    """(Parameters, docstrings that may describe them); None where a base class isn't known."""
    node, texts = found.node, [ast.get_docstring(found.node) or ""]
    if isinstance(node, ast.FunctionDef):
        return _parameters(node.args, found.module), texts
    for name in ("__init__", "__new__"):
        own = [s for s in node.body if isinstance(s, ast.FunctionDef) and s.name == name and not _overload(s)]
        if own:
            return _parameters(own[-1].args, found.module)[1:], [*texts, ast.get_docstring(own[-1]) or ""]
    if depth > DEPTH or any(_called(d) not in ("dataclass", "final") for d in node.decorator_list) or node.keywords:
        return None
    if any(_called(d) == "dataclass" for d in node.decorator_list):
        return _fields(found, depth), texts
    for base in node.bases:
        inner = found.module.find(base.id) if isinstance(base, ast.Name) else UNKNOWN
        if _called(base) in ("object", "Generic", "Protocol", "ABC"):
            continue
        if not isinstance(inner, Found):
            return None
        if isinstance(inner.node, ast.ClassDef) and (made := _constructor(inner, depth + 1)) is not None:
            return made[0], [*texts, *made[1]]
        return None
    return [], texts


def _called(node: ast.expr) -> str:
    """The last name of ``a.b.name``, ``name(...)`` or ``name[...]``."""
    while isinstance(node, (ast.Call, ast.Subscript)):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _overload(node: ast.FunctionDef) -> bool:
    return any(_called(d) == "overload" for d in node.decorator_list)


def _fields(found: Found, depth: int) -> list[Parameter]:
    """Those of a dataclass, after the inherited ones."""
    fields: dict[str, Parameter] = {}
    for base in found.node.bases if isinstance(found.node, ast.ClassDef) else ():
        inner = found.module.find(base.id) if isinstance(base, ast.Name) else None
        made = _constructor(inner, depth + 1) if isinstance(inner, Found) else None
        fields |= {p.name: p for p in made[0]} if made else {}
    for s in found.node.body:
        if isinstance(s, ast.AnnAssign) and isinstance(s.target, ast.Name) and _called(s.annotation) != "ClassVar":
            fields[s.target.id] = _parameter(s.target.id, s.annotation, s.value, ANY, found.module)
    return list(fields.values())


def _parameters(args: ast.arguments, module: Module) -> list[Parameter]:
    plain = [*((a, POSITIONAL) for a in args.posonlyargs), *((a, ANY) for a in args.args)]
    defaults = [None] * (len(plain) - len(args.defaults)) + list(args.defaults)
    found = [_parameter(a.arg, a.annotation, d, kind, module) for (a, kind), d in zip(plain, defaults, strict=True)]
    if args.vararg:
        found.append(_parameter(args.vararg.arg, args.vararg.annotation, None, REST, module))
    found += [_parameter(a.arg, a.annotation, d, KEYWORD, module) for a, d in zip(args.kwonlyargs, args.kw_defaults, strict=True)]
    return found + ([_parameter(args.kwarg.arg, args.kwarg.annotation, None, KEYWORDS, module)] if args.kwarg else [])


def _parameter(name: str, annotation: ast.expr | None, default: ast.expr | None, kind: str, module: Module) -> Parameter:
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        annotation = _parsed(annotation.value)
    written = ast.unparse(annotation) if annotation else ""
    accepts = ast.unparse(_Expanded(module).visit(ast.parse(written, mode="eval"))) if written else ""
    return Parameter(name, written, accepts, ast.unparse(default) if default else None, kind)


def _parsed(text: str) -> ast.expr | None:
    try:
        return ast.parse(text, mode="eval").body
    except SyntaxError:
        return None


class _Expanded(ast.NodeTransformer):
    """An annotation with the aliases of its module (``Size = tuple[int, int]``) written out."""

    def __init__(self, module: Module, depth: int = 0) -> None:
        self.module, self.depth = module, depth

    def visit_Name(self, node: ast.Name) -> ast.expr:  # the name that ast gives it
        module, name = self.module, node.id
        statement = module.names.get(name)
        for _ in range(DEPTH):  # modules may import each other
            if not isinstance(statement, ast.ImportFrom):
                break
            name = next(a.name for a in statement.names if (a.asname or a.name) == name)
            if (module := _module_of(_source(statement, module.package))) is None:
                return node
            statement = module.names.get(name)
        value = statement.value if isinstance(statement, (ast.Assign, ast.AnnAssign)) else None
        alias = isinstance(value, (ast.Subscript, ast.BinOp, ast.Name))
        if value is None or not alias or self.depth > 3:
            return node
        return _Expanded(module, self.depth + 1).visit(ast.parse(ast.unparse(value), mode="eval").body)


# ------------------------------------------------------------------------------------------------- docstrings


def described(document: str) -> Mapping[str, str]:
    """The descriptions of a Google-style docstring's ``Args:`` by name; ``a, b: text`` describes both."""
    section = re.search(r"^(Args|Arguments|Attributes):\s*\n((?:[ \t]+.*\n?|\s*\n)*)", document, re.MULTILINE)
    if not section:
        return {}
    lines = [line for line in section[2].splitlines() if line.strip()]
    depth = min((len(line) - len(line.lstrip()) for line in lines), default=0)
    found: dict[str, str] = {}
    names: list[str] = []
    for line in lines:
        start = re.match(r"([\w*]+(?:, *[\w*]+)*)(?: *\([^)]*\))?: *(.*)", line[depth:])
        if start:
            names = [name.strip(" *") for name in start[1].split(",")]
            found |= {name: start[2].strip() for name in names}
        else:
            found |= {name: f"{found[name]} {line.strip()}".strip() for name in names}
    return found
