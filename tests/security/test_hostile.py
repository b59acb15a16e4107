"""Configs and checkpoints of somebody who wants to run code here: refused by name, and the code never ran."""

import io
import os
import pickle
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from segexp import allow as rules
from segexp.build import load
from segexp.callbacks.checkpoint import PlainCheckpointIO
from segexp.cli.main import main
from segexp.config import make
from segexp.errors import ConfigError, SegexpError, WeightsError
from segexp.functional.files import write_json
from segexp.functional.tensors import load_plain
from segexp.optim.optimizers import sgd
from segexp.weights.checkpoints import sha256
from segexp.weights.load import read_state
from tests.security.conftest import TINY

ROOT = Path(__file__).resolve().parents[2]
NOT_AMONG = "is not among the targets that a config may call"


@pytest.fixture
def marker(tmp_path):
    """The file that appears if anything hostile is called; whatever the test does, it must not."""
    path = tmp_path / "marker"
    yield path
    assert not path.exists()


# ------------------------------------------------------------------------------------------------- targets


def arguments(target, marker):
    """Keys with which a target would leave the marker, were it called."""
    python, shell = f"open({str(marker)!r}, 'w').close()", f"touch {marker}"
    return {
        "os.system": {"command": shell},
        "subprocess.run": {"_args_": [["touch", str(marker)]]},
        "subprocess.Popen": {"_args_": [["touch", str(marker)]]},
        "builtins.open": {"_args_": [str(marker), "w"]},
        "shutil.copy": {"src": __file__, "dst": str(marker)},
        "urllib.request.urlretrieve": {"url": Path(__file__).as_uri(), "filename": str(marker)},
        "segexp.functional.files.write_atomic": {"path": str(marker), "content": "x"},
        "pathlib.Path.write_text": {"_args_": [str(marker), "x"]},
        "importlib.import_module": {"name": "antigravity"},
        "hydra.utils.call": {"config": {"_args_": [python]}},
        "hydra.utils.instantiate": {"config": {"_args_": [python]}},
    }.get(target, {"_args_": [python]})


TARGETS = [
    *("os.system", "posix.system", "os.popen", "os.remove", "subprocess.run", "subprocess.Popen", "subprocess.check_output", "pty.spawn"),
    *("builtins.eval", "builtins.exec", "builtins.open", "builtins.__import__", "builtins.getattr", "builtins.compile", "io.open"),
    *("importlib.import_module", "runpy.run_path", "code.interact", "timeit.timeit", "functools.partial", "operator.methodcaller"),
    *("pickle.loads", "shelve.open", "marshal.loads", "logging.config.dictConfig", "ctypes.CDLL", "socket.create_connection"),
    *("shutil.copy", "shutil.rmtree", "pathlib.Path.write_text", "pathlib.Path.unlink", "urllib.request.urlretrieve", "tarfile.open"),
    *(
        "torch.load",
        "torch.save",
        "torch.hub.load",
        "torch.hub.download_url_to_file",
        "torch.jit.load",
        "torch.compile",
        "torch.ops.load_library",
    ),
    *("torch._inductor.codecache.PyCodeCache.load", "torch.utils.cpp_extension.load_inline", "torch.package.PackageImporter"),
    *("numpy.testing.rundocs", "numpy.load", "numpy.fromfile", "yaml.unsafe_load", "omegaconf.OmegaConf.save"),
    *("hydra.utils.get_method", "hydra.utils.get_class", "hydra.utils.get_object", "hydra.utils.call", "hydra.utils.instantiate"),
    *(
        "segexp.functional.files.write_atomic",
        "segexp.config.make",
        "segexp.allow.allow",
        "segexp.cli.main.main",
        "segexp.runs.execute.execute",
    ),
    *("timm.create_model", "torchvision.models.resnet18", "torchvision.io.write_png", "segmentation_models_pytorch.Unet"),
    *(
        "pytorch_lightning.LightningModule.load_from_checkpoint",
        "pytorch_lightning.cli.LightningCLI",
        "lightning_fabric.utilities.load.load",
    ),
]
ALIASES = [
    "segexp.data.labelled.hashlib.sys.modules.clear",
    "segexp.data.camvid.Path.write_text",
    "segexp.data.labelled.torch.load",
    "segexp.callbacks.checkpoint.torch.load",
    "segexp.callbacks.checkpoint.os.system",
    "segexp.callbacks.checkpoint.write",
    "segexp.callbacks.panels.write_png",
    "segexp.losses.cross_entropy.CrossEntropy.load_state_dict",
    "segexp.losses.cross_entropy.CrossEntropy.__init__.__globals__.clear",
    "torch.nn.modules.module.torch.hub.load",
    "torch.nn.functional.torch.load",
    "torch.nn.Module.load_state_dict",
    "torch.nn.Module.__subclasses__",
    "torch.optim.lr_scheduler.warnings.sys.exit",
    "pytorch_lightning.Trainer.fit",
    "pytorch_lightning.callbacks.model_checkpoint.os.system",
    "pytorch_lightning.callbacks.model_checkpoint.shutil.rmtree",
    "pytorch_lightning.plugins.TorchCheckpointIO",
]


def refused(node, key="head"):
    with pytest.raises(ConfigError) as caught:
        make(OmegaConf.create({key: node})[key])
    return caught.value


@pytest.mark.parametrize("target", TARGETS)
def test_a_target_outside_of_the_list_is_refused(target, marker):
    error = refused({"_target_": target, **arguments(target, marker)})
    assert error.what == f"{target} {NOT_AMONG}"
    assert error.where == f"head._target_: {target}"
    assert error.fix and "\n" not in error.line()


@pytest.mark.parametrize("target", ALIASES)
def test_a_way_around_through_an_allowed_module_is_refused(target, marker):
    error = refused({"_target_": target, "_args_": [str(marker), "x"]})
    assert error.what.startswith(f"{target} ") and error.what.endswith(NOT_AMONG)
    assert error.where == f"head._target_: {target}"


FINE = "segexp.optim.optimizers.sgd"
FORMS = {
    "a partial": ("_target_: os.system\n_partial_: true\ncommand: touch MARKER", "head._target_"),
    "below a partial": ("_target_: FINE\n_partial_: true\nlr: {_target_: os.system, command: touch MARKER}", "head.lr._target_"),
    "deep below": ("_target_: FINE\n_partial_: true\nlr: {a: {b: [1, {_target_: os.system}]}}", "head.lr.a.b[1]._target_"),
    "in positional arguments": ("_target_: FINE\n_args_: [{_target_: os.system, command: touch MARKER}]", "head._args_[0]._target_"),
    "in a list": ("[{_target_: FINE, _partial_: true}, {_target_: os.system, command: touch MARKER}]", "head[1]._target_"),
    "not recursive": ("_target_: FINE\n_recursive_: false\nlr: {_target_: os.system, command: touch MARKER}", "head.lr._target_"),
    "a section without a target": ("a: {_target_: os.system, command: touch MARKER}", "head.a._target_"),
    "text that is put together": ("_target_: ${x}.${y}\ncommand: touch MARKER", "head._target_"),
    "a node from elsewhere": ("_target_: FINE\nlr: ${evil}", "head.lr._target_"),
    "a node made by a resolver": ("_target_: FINE\nlr: '${oc.create:\"{_target_: os.system, command: x}\"}'", "head.lr._target_"),
    "text of the environment": ("_target_: ${oc.env:HOSTILE}\ncommand: touch MARKER", "head._target_"),
}


@pytest.mark.parametrize("form", FORMS)
def test_it_is_refused_wherever_and_however_it_stands(form, marker, monkeypatch):
    monkeypatch.setenv("HOSTILE", "os.system")
    text, place = FORMS[form]
    head = OmegaConf.create(text.replace("MARKER", str(marker)).replace("FINE", FINE))
    tree = OmegaConf.create({"head": head, "x": "os", "y": "system", "evil": {"_target_": "os.system", "command": f"touch {marker}"}})
    with pytest.raises(ConfigError) as caught:
        make(tree.head)
    assert (caught.value.what, caught.value.where) == (f"os.system {NOT_AMONG}", f"{place}: os.system")


@pytest.mark.parametrize("text", [r"\${evil}", r'\${oc.create:"{_target_: os.system, command: touch MARKER}"}', r"\\\${evil}"])
def test_text_that_becomes_a_reference_when_it_is_read_again_is_refused(text, marker):
    """Hydra resolves twice: what a check of the once resolved config takes for text was a node the second time."""
    evil = {"_target_": "os.system", "command": f"touch {marker}"}
    head = {"_target_": FINE, "_partial_": True, "lr": text.replace("MARKER", str(marker))}
    tree = OmegaConf.create({"head": head, "evil": evil})
    with pytest.raises(ConfigError) as caught:
        make(tree.head)
    assert caught.value.what == "after all references were resolved one is left"
    assert caught.value.where.startswith("head.lr: ")


def test_what_was_checked_is_what_is_made(marker):
    answers = iter([FINE, "os.system", "os.system"])
    OmegaConf.register_new_resolver("turncoat", lambda: next(answers))
    try:
        tree = OmegaConf.create({"head": {"_target_": "${turncoat:}", "_partial_": True, "lr": 0.1}})
        assert make(tree.head).func is sgd
    finally:
        OmegaConf.clear_resolver("turncoat")


def test_the_names_that_only_look_allowed_are_refused(marker):
    for target in ("segexp.losses_evil.X", "segexpx.losses.X", "torch.nnx.X", "mylab_evil.X", "testsuite.X"):
        assert refused({"_target_": target}).what in (f"{target} {NOT_AMONG}", f"there is no module {target.partition('.')[0]}")


# ------------------------------------------------------------------------------------------------- commands


def test_a_preset_from_elsewhere_is_refused_and_can_allow_nothing(tmp_path, marker, capsys):
    (tmp_path / "experiment").mkdir()
    text = f"# @package _global_\n# nice figures\nhead: {{_target_: os.system, command: touch {marker}}}\n"
    (tmp_path / "experiment" / "nice.yaml").write_text(text)
    (tmp_path / "experiment" / "allowing.yaml").write_text("# @package _global_\nallow: [os]\n--allow: os\n")
    search = f"hydra.searchpath=[file://{tmp_path}]"
    assert main(["describe", search, "experiment=nice", f"paths.outputs={tmp_path}/runs"]) == 2
    assert f"error[config]: os.system {NOT_AMONG}; head._target_: os.system; fix: " in capsys.readouterr().err
    assert main(["describe", search, "experiment=allowing", f"paths.outputs={tmp_path}/runs"]) == 2
    assert "allow" in capsys.readouterr().err


@pytest.mark.parametrize(
    "place", ["data.difficulty", "backbone", "head.level", "postprocess", "metrics.semantic", "augmentation", "optimizer"]
)
def test_the_stored_config_of_a_run_is_data(run, place, marker, capsys):
    config = OmegaConf.load(run / "config.yaml")
    OmegaConf.update(config, place, {"_target_": "os.system", "command": f"touch {marker}"}, merge=False, force_add=True)
    (run / "config.yaml").write_text(OmegaConf.to_yaml(config))
    text = rf"os\.system {NOT_AMONG}; {place}\._target_: os\.system"
    with pytest.raises(ConfigError, match=text):
        load(run)
    assert main(["evaluate", str(run)]) == 2
    assert f"{place}._target_: os.system" in capsys.readouterr().err


def test_a_stored_config_that_is_more_than_plain_yaml_is_refused(run, marker, capsys):
    text = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text(f"{text}\nextra: !!python/object/apply:os.system ['touch {marker}']\n")
    with pytest.raises(ConfigError, match="the stored config can't be read: could not determine a constructor"):
        load(run)
    assert main(["evaluate", str(run)]) == 2


# ------------------------------------------------------------------------------------------------- checkpoints


class Payload:
    """Unpickled with trust, it leaves the marker."""

    def __init__(self, how, marker):
        self.how, self.marker = how, str(marker)

    def __reduce__(self):
        if self.how == "shell":
            return os.system, (f"touch {self.marker}",)
        return eval, (f"open({self.marker!r}, 'w').close()",)


FIELDS = ("state_dict", "callbacks", "optimizer_states", "loops", "hyper_parameters")


def weights_file(folder, kind, payload):
    """A hostile file of this kind."""
    path, raw = folder / f"{kind}.ckpt", pickle.dumps(payload, protocol=2)
    state = {"state_dict": {"a": torch.zeros(2)}, "callbacks": {}, "optimizer_states": [], "loops": {}, "hyper_parameters": {}}
    if kind in FIELDS:
        torch.save({**state, kind: {"x": [payload]}}, path)
    elif kind == "old format":
        torch.save({**state, "callbacks": payload}, path, _use_new_zipfile_serialization=False)
    elif kind == "pickle":
        path.write_bytes(raw)
    elif kind == "new pickle":
        path.write_bytes(pickle.dumps(payload, protocol=5))
    elif kind == "tar":
        with tarfile.open(path, "w") as archive:
            for name in ("sys_info", "storages", "tensors", "pickle"):
                archive.addfile(_member(name, len(raw)), io.BytesIO(raw))
    elif kind.startswith("zip"):
        names = {
            "zip, foreign name": "../evil.py",
            "zip, no folder": "data.pkl",
            "zip, no version": "a/data.pkl",
            "zip by hand": "a/data.pkl",
        }
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(names[kind], raw)
            if kind == "zip by hand":
                archive.writestr("a/version", "3\n")
                archive.writestr("a/byteorder", "little")
    elif kind == "torchscript":
        with zipfile.ZipFile(path, "w") as archive:
            for name in ("a/data.pkl", "a/constants.pkl", "a/version"):
                archive.writestr(name, "3\n" if name.endswith("version") else raw)
    elif kind == "empty":
        path.touch()
    elif kind == "truncated":
        torch.save({**state, "loops": payload, "big": torch.zeros(1000)}, path)
        path.write_bytes(path.read_bytes()[:2000])
    return path


def _member(name, size):
    member = tarfile.TarInfo(name)
    member.size = size
    return member


NAMES = {"shell": f"{os.system.__module__}.system", "eval": "eval"}
ZIP = "PytorchStreamReader|inline_container|version"
KINDS = {
    **dict.fromkeys((*FIELDS, "old format", "pickle", "zip by hand"), "it names NAME"),
    "new pickle": "Unsupported operand",
    "tar": "legacy .tar format",
    "torchscript": "TorchScript archives",
    **dict.fromkeys(("zip, foreign name", "zip, no folder", "zip, no version", "truncated"), ZIP),
    "empty": "it ends too early",
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("how", ["shell", "eval"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_checkpoint_that_would_run_code_is_refused(tmp_path, kind, how, marker, monkeypatch):
    path = weights_file(tmp_path, kind, Payload(how, marker))
    reason = KINDS[kind].replace("NAME", NAMES[how].replace(".", r"\."))
    for force in ("0", "1"):
        monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", force)
        for read in (load_plain, read_state):
            with pytest.raises(WeightsError, match=rf"^not a checkpoint that can be read safely \(.*({reason}).*\); {path}; fix: "):
                read(path)


@pytest.mark.filterwarnings("ignore")
def test_no_switch_of_the_environment_opens_them(tmp_path, marker):
    paths = [str(weights_file(tmp_path, kind, Payload("shell", marker))) for kind in KINDS]
    code = """
        import sys
        from pathlib import Path
        from segexp.errors import WeightsError
        from segexp.weights.load import read_state
        for path in sys.argv[1:]:
            try:
                read_state(Path(path))
            except WeightsError as error:
                print(error.what.partition("(")[0].strip())
    """
    environment = {**os.environ, "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1"}
    lines = "\n".join(line[8:] for line in code.splitlines())
    done = subprocess.run(
        [sys.executable, "-c", lines, *paths], cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.stdout.splitlines() == ["not a checkpoint that can be read safely"] * len(KINDS), done.stderr


def test_the_payloads_would_work(tmp_path, monkeypatch):
    """The control: trusted, each leaves its marker."""
    for how in ("shell", "eval"):
        marker = tmp_path / how
        path = weights_file(tmp_path, "callbacks", Payload(how, marker))
        torch.load(path, weights_only=False)
        assert marker.exists()
    monkeypatch.setattr(rules, "_added", ("shutil",))
    make({"_target_": "shutil.copy", "src": __file__, "dst": str(tmp_path / "copied")})
    assert (tmp_path / "copied").exists()


def stored(folder, path):
    """Put a file in the place of a run's last checkpoint, with a record that fits."""
    checkpoint = folder / "step-4.ckpt"
    checkpoint.write_bytes(path.read_bytes())
    write_json(checkpoint.with_suffix(".json"), {"step": 4, "sha256": sha256(checkpoint), "size": checkpoint.stat().st_size})
    (folder / "LAST").write_text("step-4")
    return checkpoint


@pytest.mark.parametrize("field", FIELDS)
def test_a_run_with_such_a_checkpoint_is_neither_loaded_nor_resumed(run, field, tmp_path, marker, monkeypatch, capsys):
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    checkpoint = stored(run / "checkpoints", weights_file(tmp_path, field, Payload("shell", marker)))
    text = rf"not a checkpoint that can be read safely \(it names {NAMES['shell']}\); {checkpoint}"
    with pytest.raises(WeightsError, match=text):
        load(run)
    with pytest.raises(SegexpError, match=text):
        PlainCheckpointIO().load_checkpoint(checkpoint, weights_only=False)
    assert main(["evaluate", str(run)]) == 1
    assert "error[weights]: not a checkpoint that can be read safely" in capsys.readouterr().err


def test_weights_to_start_from_are_no_other_way_in(tmp_path, marker, capsys):
    path = weights_file(tmp_path, "state_dict", Payload("shell", marker))
    assert main(["train", *TINY, f"paths.outputs={tmp_path}/runs", f"backbone.weights={path}"]) == 1
    assert f"error[weights]: not a checkpoint that can be read safely (it names {NAMES['shell']}); {path}" in capsys.readouterr().err
