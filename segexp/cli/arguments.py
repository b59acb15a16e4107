"""What stands after a command's name: flags, a positional argument or two, overrides."""

from __future__ import annotations

from collections.abc import Sequence

from segexp.errors import ConfigError
from segexp.secrets import refuse_typed


def split(arguments: Sequence[str], *, positional: int = 0, flags: Sequence[str] = (), usage: str) -> tuple[list[str], list[str], set[str]]:
    """Separate positional arguments, overrides and flags.

    Args:
        arguments: what was typed after the command.
        positional: how many arguments must come before the overrides.
        flags: those that the command has.
        usage: shown in the error.

    Returns:
        (positional arguments, overrides, flags given).

    Raises:
        ConfigError: an unknown flag, too few or too many arguments, or a secret among the overrides.
    """
    given = {a for a in arguments if a.startswith("-") and "=" not in a}
    unknown = sorted(given - set(flags))
    if unknown:
        raise ConfigError(f"unknown option {unknown[0]}", where=usage, fix=f"options are {', '.join([*flags, '--help'])}")
    plain = [a for a in arguments if a not in given]
    named, overrides = [a for a in plain if not _is_override(a)], [a for a in plain if _is_override(a)]
    if len(named) != positional:
        extra = named[positional] if len(named) > positional else None
        what = f"{extra!r} is no override" if extra else f"{positional - len(named)} argument{'s' * (positional - len(named) > 1)} missing"
        raise ConfigError(what, where=usage, fix=f"{extra}=<value>, or leave it out" if extra else usage)
    refuse_typed(overrides)  # before any of it is repeated in an error, or kept
    return named, overrides, given


def valued(arguments: Sequence[str], names: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """Take options of the form `--name=value` out: (name -> value, the other arguments).

    Args:
        arguments: what was typed after the command.
        names: those that the command has, with their dashes.

    Raises:
        ConfigError: an unknown option, or one without its value.
    """
    found: dict[str, str] = {}
    for argument in (a for a in arguments if a.startswith("--")):
        name, equals, value = argument.partition("=")
        if equals and name not in names:
            raise ConfigError(f"unknown option {name}", where=argument, fix=f"options are {', '.join(f'{n}=<value>' for n in names)}")
        if name in names and not value:
            raise ConfigError(f"{name} needs a value", where=argument, fix=f"{name}=<value>")
        if equals:
            found[name] = value
    return found, [a for a in arguments if a.partition("=")[0] not in names]


def _is_override(argument: str) -> bool:
    return "=" in argument or argument.startswith("~")
