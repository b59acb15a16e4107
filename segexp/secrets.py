"""What is secret: by the key that it stands under, by the URL that it stands in, or because a variable of the environment says so.

A config names secrets, `${oc.env:NAME}`, and never holds them: it is stored, shown and sent to trackers. What libraries say
(errors, logs) or what lies in the checkout (the patch) passes `redacted` before it is written.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from segexp.errors import ConfigError

LEAST = 8  # characters of a variable's value that is looked for in text: shorter ones occur by chance
ALWAYS = frozenset({"password", "passwd", "passphrase", "secret", "secrets", "credential", "credentials", "apikey"})
LAST = frozenset({"token", "key"})  # only at the end of a name: `api_key`, but neither `key_dim` nor `num_tokens`

# Each begins at the edge of a word and looks back at little: a patch may be a megabyte in one line.
_WORDS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
_ENVIRONMENT = re.compile(r"\$\{oc\.env:\s*([A-Za-z_]\w*)\s*(?:,([^{}]*))?\}")
_CREDENTIALS = re.compile(r"(\b[a-z][a-z0-9+.\-]{0,30}://)([^/\s:@'\"<>]*):((?:\$\{[^{}]*\}|[^/\s@'\"<>])+)@", re.IGNORECASE)
_USER = re.compile(r"(\bhttps?://)((?:\$\{[^{}]*\}|[^/\s:@'\"<>])+)@", re.IGNORECASE)  # a token in the place of a user
_QUERY = re.compile(r"([?&][\w.\-]*(?:token|key|password|secret|signature)=)((?:\$\{[^{}]*\}|[^&\s'\"<>#])+)", re.IGNORECASE)
_NAME = r"(?<![\w.\-])[\w.\-]{0,200}?(?:token|password|passwd|passphrase|secret|credentials?|[_-]key|apikey)"
_INNER = re.compile(rf"({_NAME}|key)[\"']?\s*:\s*((?:\$\{{[^{{}}]*\}}|[^,{{}}\[\]])+)", re.IGNORECASE)  # of a typed mapping
_QUOTED = re.compile(rf"({_NAME}[\"']?[ \t]{{0,80}}[:=][ \t]{{0,80}}[\"'])([^\"'\n${{}}]{{6,}})", re.IGNORECASE)
_BARE = re.compile(
    rf"^([+\- ]?[ \t]*(?:export[ \t]+)?[\"']?{_NAME}[\"']?[ \t]*[:=][ \t]*)([^\s\"'(){{}}\[\]]{{6,}})[ \t]*$", re.IGNORECASE | re.MULTILINE
)


def is_secret(key: str) -> bool:
    """Whether a config's key, or a variable's name, says that its value is secret."""
    words = [[word.lower() for word in _WORDS.findall(part)] for part in key.split(".") if not part.isdigit()]
    return any(ALWAYS.intersection(part) for part in words) or bool(words and words[-1] and words[-1][-1] in LAST)


def secrets(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """Value -> name of the variables whose names say that they are secret, the longest value first.

    Values of less than `LEAST` characters, and paths of files that are there, are left out.
    """
    found = {value: name for name, value in (os.environ if environment is None else environment).items() if is_secret(name)}
    kept = {value: name for value, name in found.items() if len(value) >= LEAST and not (value[0] == "/" and os.path.lexists(value))}
    return dict(sorted(kept.items(), key=lambda item: -len(item[0])))


def redacted(text: str) -> str:
    """A text without secrets: values of variables become their names, credentials in URLs become stars."""
    for value, name in secrets().items():
        for form in dict.fromkeys((value, quote(value, safe=""), repr(value)[1:-1])):
            text = text.replace(form, f"${{oc.env:{name}}}")
    text = _CREDENTIALS.sub(lambda found: found[0] if _named(found[3]) else f"{found[1]}{found[2]}:***@", text)
    text = _USER.sub(lambda found: found[0] if _named(found[2]) else f"{found[1]}***@", text)
    return _QUERY.sub(lambda found: found[0] if _named(found[2]) else f"{found[1]}***", text)


def redacted_patch(text: str) -> str:
    """A patch without secrets, also those that its lines assign: `API_KEY=...`, `password: ...`, `token = "..."`."""
    return _BARE.sub(r"\1***", _QUOTED.sub(r"\1***", redacted(text)))


def leaves(tree: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """(Dotted key, value) of every value in nested mappings and lists."""
    pairs = tree.items() if isinstance(tree, Mapping) else enumerate(tree) if isinstance(tree, list) else None
    if pairs is None:
        yield key, tree
    else:
        for name, value in pairs:
            yield from leaves(value, f"{key}.{name}" if key else str(name))


def refuse_literals(values: Mapping[str, Any]) -> None:
    """Refuse secrets that stand in a config itself.

    Args:
        values: of the config by dotted key, references to other keys followed, those to the environment as written.

    Raises:
        ConfigError: names the first key, never the value.
    """
    known = secrets()
    for key, value in values.items():
        if what := _why(key, value, known):
            fix = f"export it as a variable, and use {key}=${{oc.env:NAME}}"
            raise ConfigError(f"{what}, and what is typed or configured is stored", where=f"{key}=***", fix=fix)


def refuse_typed(overrides: Sequence[str]) -> None:
    """The same for overrides as typed, before anything else is said of them; raises what `refuse_literals` raises."""
    values: dict[str, Any] = {}
    for text in overrides:
        key, found, value = text.lstrip("+~").partition("=")
        if found:
            values[key.partition("@")[0]] = _read(value)
            values |= {f"{key}.{inner[1]}": _read(inner[2]) for inner in _INNER.finditer(value)}
    refuse_literals(values)


def _read(text: str) -> Any:
    """The value that a typed text stands for, as far as it matters here."""
    bare = text.strip().strip("'\"")
    if bare.lower() in ("null", "none", "true", "false"):
        return None
    return float(bare) if re.fullmatch(r"-?\d+(\.\d*)?", bare) else bare


def _why(key: str, value: Any, known: Mapping[str, str]) -> str:
    if is_secret(key) and _literal(key, value):
        return f"{key} is a secret"
    if not isinstance(value, str):
        return ""
    if name := next((name for secret, name in known.items() if secret in value), ""):
        return f"{key} holds the value of the variable {name}"
    if any(not _named(found[3]) for found in _CREDENTIALS.finditer(value)) or any(not _named(found[2]) for found in _USER.finditer(value)):
        return f"{key} is a URL with a password"
    return f"{key} is a URL with a secret" if any(not _named(found[2]) for found in _QUERY.finditer(value)) else ""


def _literal(key: str, value: Any) -> bool:
    """Whether this is a secret itself rather than nothing, a number that counts something, or the name of a variable."""
    if value is None or isinstance(value, bool) or value in ("", "???"):
        return False
    if isinstance(value, (int, float)):
        return abs(value) >= 1e5 or any(word in ALWAYS for word in _WORDS.findall(key.lower()))
    return isinstance(value, str) and not _named(value)


def _named(value: str) -> bool:
    """Whether a text is or contains the name of a variable, without a default that would be the secret, or is all one reference."""
    found = list(_ENVIRONMENT.finditer(value))
    if any((match[2] or "").strip(" '\"") not in ("", "null") for match in found):
        return False
    return bool(found) or bool(re.fullmatch(r"\$\{[A-Za-z_][\w.]*\}|\*\*\*", value))
