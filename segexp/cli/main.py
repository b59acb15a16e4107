"""The console command `segexp`: one small module per command, imported when it is called.

Nothing here imports torch or Hydra, so that help and misspelt commands answer at once.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from difflib import get_close_matches

from segexp.errors import ConfigError, failed

COMMANDS = {
    "train": "train and validate one run; -m sweeps over comma-separated values",
    "check": "everything that can be known to be wrong before a run; -m for every job of a sweep",
    "evaluate": "measure a run at original resolution, also under other settings or on another split",
    "predict": "label pictures with a run's model",
    "import": "a checkpoint of torchvision, segmentation-models-pytorch or another port becomes a run",
    "bench": "images/s, latency and peak memory of a chain, on random images",
    "describe": "the composed chain: levels, channels, strides, parameters, MACs",
    "blame": "which file and line, or which override, set each value of a config, and what it replaced",
    "list": "the config groups, or the options of one",
    "data": "check a data set, its figures and class weights, a contact sheet: data check|stats|browse|to-panoptic",
    "runs": "the ledger: one row per run, the newest first",
    "diff": "what differs between two runs: config, code, data, environment, figures",
    "verify": "is what a run, a sweep or all outputs hold what was written?",
    "reproduce": "make a run again from its manifest and compare the figures bit by bit; what has changed is named",
    "report": "the page of a run, or of a sweep: which setting is better, and is that sure?",
}
MODULES = {"import": "import_run"}  # where the command's name can't be a module's

HELP = """segexp: config-driven experiments for image segmentation

usage: segexp <command> [arguments] [overrides]

{commands}

An override is group=option (backbone=resnet50, data=camvid) or key=value (optimizer.lr=1e-3, seed=1).
  segexp train                                        the default: synthetic scenes, two minutes on a CPU
  segexp train experiment=camvid_lite0 paths.data=<folder>
  segexp train -m backbone=resnet18,mobilenet_v2 seed=0,1,2
  segexp list backbone                                what there is
  segexp <command> --help                             more about one command
  segexp <command> --allow=<package>                  let configs call this package, too; again for another one

exit codes: 0 done, 1 a job failed, 2 the command or config is wrong, 3 non-finite loss, 4 another process has the run,
  75 stopped on request: the same command goes on"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit code."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")  # a busy neighbour made steps of idly spinning threads 10 x longer (measured)
    try:
        return _dispatch(_follow_allow(arguments))
    except BrokenPipeError:  # the reader of our output has gone
        sys.stderr.close()
        return 1
    except (Exception, KeyboardInterrupt) as error:  # a bug of ours or of a library, too: one line all the same
        return failed(error, show_traceback="errors.traceback=true" in arguments)


def _follow_allow(arguments: list[str]) -> list[str]:
    """The arguments without each `--allow=<package>`, which holds for every command and wherever it stands."""
    given = [argument for argument in arguments if argument.partition("=")[0] == "--allow"]
    if given:
        from segexp.allow import allow

        allow(*(argument.partition("=")[2] for argument in given))
    return [argument for argument in arguments if argument not in given]


def _dispatch(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        width = max(map(len, COMMANDS))
        print(HELP.format(commands="\n".join(f"  {name:{width}}  {text}" for name, text in COMMANDS.items())))
        return 0
    if arguments[0] == "--version":
        from importlib.metadata import version

        print(f"segexp {version('segexp')}")
        return 0
    name, rest = arguments[0], arguments[1:]
    if name not in COMMANDS:
        near = get_close_matches(name, COMMANDS, 1, 0.5)
        train = "segexp train " + name if "=" in name else f"one of {', '.join(COMMANDS)}"
        raise ConfigError(f"there is no command {name!r}", where="segexp <command>", fix=f"segexp {near[0]}" if near else train)
    module = importlib.import_module(f"segexp.cli.{MODULES.get(name, name)}")
    if any(argument in ("-h", "--help") for argument in rest):
        print((module.__doc__ or "").strip())
        return 0
    return module.run(rest)


if __name__ == "__main__":
    sys.exit(main())
