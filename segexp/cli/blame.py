"""segexp blame [overrides] [key]: which file and line, or which override, set each value of a config, and what it replaced.

  segexp blame experiment=camvid_lite0 optimizer.lr        one key, in full
  segexp blame experiment=camvid_lite0 optimizer           a section: all below it, and who chose the group's option
  segexp blame experiment=camvid_lite0 seed=3              every choice and every key
  segexp blame 'hydra.searchpath=[my_conf]' loss=mine loss a folder of your own
  segexp blame model=unet --json                           for programs; --conf=evaluate looks at another primary config

    optimizer.lr = 0.002
      set by    conf/experiment/camvid_lite0.yaml:16   because of experiment=camvid_lite0 (the command line)
      replaced  0.003   conf/optimizer/adamw.yaml:4   because of optimizer=adamw (conf/train.yaml:70)

In the list, `<` means replaced: `optimizer.lr = 0.002   conf/...:16 < 0.003 conf/...:4`. A value that refers to others, as
${paths.data}/camvid, shows where those come from. Nothing is built, opened or imported: the config alone is looked at.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from segexp.cli.arguments import split, valued
from segexp.errors import ConfigError

if TYPE_CHECKING:
    from segexp.blame import Origin
    from segexp.choices import Setting

USAGE = "segexp blame [overrides] [key]"
WIDTH = 60  # of a value in the list


def run(arguments: Sequence[str]) -> int:
    """Print the origins."""
    if {"-m", "--multirun"} & set(arguments):
        raise ConfigError("blame looks at one config, not at a sweep", where=USAGE, fix="leave out -m, and choose one value of each key")
    given, rest = valued(arguments, ("--conf",))
    bare = sum("=" not in text and text[:1] not in ("-", "~") for text in rest)
    names, overrides, flags = split(rest, positional=min(bare, 1), flags=("--json",), usage=USAGE)
    from segexp.blame import explain, select

    origins, chosen = explain(given.get("--conf", "train"), overrides)
    found, groups = select(origins, chosen, names[0]) if names else (origins, chosen)
    if flags:
        print(json.dumps({"choices": _records(groups), "keys": _records(found)}, indent=1, default=str))
    elif names and len(found) + len(groups) == 1:
        print("\n".join(_full(next(iter((*found.values(), *groups.values()))), origins, chosen)))
    else:
        print("\n".join(_table(found, groups)))
    return 0


def _full(origin: Origin, origins: Mapping[str, Origin], chosen: Mapping[str, Origin], depth: int = 0) -> Iterator[str]:
    """One key on several lines, and the keys that it refers to below it."""
    pad = "  " * depth
    yield f"{pad}{'from ' * bool(depth)}{origin.key} = {text(origin.value)}"
    yield f"{pad}  set by    {origin.place}{_because(origin.settings[0], chosen)}"
    for setting in origin.replaced:
        yield f"{pad}  replaced  {text(setting.value)}   {setting.place}{_because(setting, chosen)}"
    for name in origin.refers if depth < 8 else ():  # two keys that refer to each other
        if name in origins:
            yield from _full(origins[name], origins, chosen, depth + 1)
        else:
            yield f"{pad}  from the section {name}: segexp blame {name}"


def _because(setting: Setting, chosen: Mapping[str, Origin]) -> str:
    """The choice that brought the file in, and who made it."""
    if setting.group not in chosen:
        return ""
    choice = chosen[setting.group]
    return f"   because of {choice.key}={choice.value} ({'the command line' if choice.place.override else choice.place})"


def _table(found: Mapping[str, Origin], groups: Mapping[str, Origin]) -> Iterator[str]:
    """One line each."""
    if groups:
        yield "# who chose the options"
        yield from _rows(groups, "=")
    if found and groups:
        yield "# who set the keys"
    yield from _rows(found, " = ")


def _rows(origins: Mapping[str, Origin], mark: str) -> Iterator[str]:
    heads = {key: f"{key}{mark}{short(text(origin.value))}" for key, origin in origins.items()}
    width = max((len(head) for head in heads.values() if len(head) <= WIDTH), default=0)
    for key, origin in origins.items():
        before = "".join(f" < {short(text(setting.value))} {setting.place}" for setting in origin.replaced)
        sources = "".join(f" from {name}" for name in origin.refers)
        yield f"{heads[key]:{width}}  {origin.place}{sources}{before}"


def text(value: Any) -> str:
    """A value as YAML has it."""
    return value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False, default=str)


def short(said: str) -> str:
    """Cut to what a line of the list takes."""
    return said if len(said) <= WIDTH else f"{said[: WIDTH - 3]}..."


def _records(origins: Mapping[str, Origin]) -> dict[str, Any]:
    return {key: {**_record(o.settings[0]), "replaced": [_record(s) for s in o.replaced], "refers": o.refers} for key, o in origins.items()}


def _record(setting: Setting) -> dict[str, Any]:
    place = setting.place
    file = str(place.file) if place.file else None
    return {
        "value": setting.value,
        "file": file,
        "line": place.line or None,
        "override": place.override or None,
        "group": setting.group or None,
    }
