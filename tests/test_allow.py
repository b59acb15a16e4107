"""What a config may call, and the message where it may not."""

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
import torch

from segexp import allow as rules
from segexp.allow import LIBRARIES, STAGES, allow, allowed, located
from segexp.cli.main import main
from segexp.config import make
from segexp.errors import ConfigError
from tests.config_tree import Stage

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def only_these(monkeypatch):
    monkeypatch.setattr(rules, "_added", ())


@pytest.fixture
def lab(tmp_path, monkeypatch):
    """A package of a user, which notes that it was imported."""
    folder = tmp_path / "smalllab"
    folder.mkdir()
    (folder / "__init__.py").write_text(f"open({str(tmp_path / 'imported')!r}, 'w').close()\n")
    (folder / "heads.py").write_text(
        "import os\nfrom pathlib import Path\nfrom os import system\nfrom torch.nn import Linear\nfrom smalllab import tools\n"
        "class Head:\n    @classmethod\n    def small(cls):\n        return cls()\n\ndef head():\n    return Head()\n\nHEAD = Head()\n"
    )
    (folder / "tools.py").write_text("class Tool:\n    pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path / "imported"
    for name in [name for name in sys.modules if name.split(".")[0] == "smalllab"]:
        del sys.modules[name]


def refusal(target, key="head"):
    with pytest.raises(ConfigError) as caught:
        located(target, key)
    assert caught.value.where == f"{key}._target_: {target}" and "\n" not in str(caught.value)
    return caught.value


NOT_AMONG = "is not among the targets that a config may call"


# ------------------------------------------------------------------------------------------------- what may be called


@pytest.mark.parametrize(
    "target",
    [
        "segexp.losses.cross_entropy.CrossEntropy",
        "segexp.optim.optimizers.adamw",
        "torch.nn.GELU",
        "torch.nn.modules.activation.GELU",
        "torch.optim.SGD",
        "torch.optim.lr_scheduler.OneCycleLR",
        "pytorch_lightning.Trainer",
        "pytorch_lightning.callbacks.LearningRateMonitor",
        "pytorch_lightning.loggers.CSVLogger",
        "pytorch_lightning.profilers.SimpleProfiler",
        "pytorch_lightning.strategies.DDPStrategy",
        "pytorch_lightning.plugins.MixedPrecision",
        "pytorch_lightning.plugins.environments.SLURMEnvironment",
        "torchmetrics.classification.MulticlassAccuracy",
        "torchvision.transforms.v2.ColorJitter",
        "torchvision.ops.FeaturePyramidNetwork",
        "timm.layers.LayerNorm2d",
        "timm.optim.Lion",
        "segmentation_models_pytorch.losses.DiceLoss",
    ],
)
def test_stages_and_the_classes_of_known_libraries(target):
    module, _, name = target.rpartition(".")
    assert located(target) is getattr(import_module(module), name)


def test_the_stages_are_the_groups_that_the_tree_has():
    names = {path.name for path in (ROOT / "segexp").iterdir() if (path / "__init__.py").is_file()}
    assert {stage.partition(".")[2] for stage in STAGES} == names - {
        *("functional", "layers", "visualize", "weights", "formats", "runs", "sweeps", "report", "doctor", "cli"),
        *("check", "ledger", "search", "statistics", "ranks", "strategies"),
    }


def test_every_name_of_a_library_leads_to_a_class_that_may_be_called():
    assert not [place for place in LIBRARIES if not any(_classes(place))]


def _classes(place):
    found = located(place) if place == "pytorch_lightning.Trainer" else import_module(place)
    return [value for value in (found, *vars(found).values()) if isinstance(value, type) and rules._may_call(value)]


# ------------------------------------------------------------------------------------------------- what may not


@pytest.mark.parametrize(
    ("target", "fix"),
    [
        ("builtins.eval", "leave it out, or wrap it in a package of your own and give --allow=<your package>"),
        ("os", "leave it out, or wrap it in a package of your own and give --allow=<your package>"),
        ("yaml.load", "--allow=yaml if you trust the package"),
        ("torch.hub.load", "name a class of torch.nn, torch.optim; --allow=torch.hub if you trust what it does"),
        ("torch.nn.functional.relu", "name a class of torch.nn, torch.optim; --allow=torch.nn.functional if you trust what it does"),
        ("torch.nn.modules.module._global_parameter_registration_hooks", "name a class of torch.nn, torch.optim; --allow="),
        ("segexp.model.Model", "name a class of segexp.data, segexp.augmentation, segexp.backbones, "),
        ("segexp.types.DataSpec", "--allow=segexp.types if you trust what it does"),
        ("segmentation_models_pytorch.Unet", "name a class of segmentation_models_pytorch.losses; "),
        ("timm.create_model", "name a class of timm.layers, timm.loss, timm.optim, timm.scheduler; "),
    ],
)
def test_the_rest_may_not(target, fix):
    error = refusal(target)
    assert error.what == f"{target} {NOT_AMONG}" and fix in error.fix


@pytest.mark.parametrize(
    ("target", "origin"),
    [
        ("segexp.data.camvid.Path", "pathlib.Path"),
        ("segexp.data.camvid.Path.write_text", "pathlib.Path.write_text"),
        ("segexp.data.labelled.read_image", "segexp.functional.images.read_image"),
        ("segexp.callbacks.panels.write_png", "torchvision.io.image.write_png"),
        ("pytorch_lightning.plugins.TorchCheckpointIO", "lightning_fabric.plugins.io.torch_io.TorchCheckpointIO"),
        ("pytorch_lightning.plugins.AsyncCheckpointIO", "pytorch_lightning.plugins.io.async_plugin.AsyncCheckpointIO"),
        ("pytorch_lightning.Trainer.fit", "pytorch_lightning.trainer.trainer.Trainer.fit"),
        ("segexp.backbones.timm_cnn.TimmCNN.state_dict", "torch.nn.modules.module.Module.state_dict"),
    ],
)
def test_what_a_module_has_from_elsewhere_is_called_by_its_own_name(target, origin):
    assert refusal(target).what == f"{target} is {origin}, which {NOT_AMONG}"


def test_a_method_is_no_stage():
    assert NOT_AMONG in refusal("segexp.data.camvid.CamVid.open").what


@pytest.mark.parametrize(
    "target",
    [
        "segexp.data.labelled.hashlib.sha256",
        "segexp.callbacks.speed.torch.load",
        "torch.nn.modules.module.torch.hub.load",
        "torch.optim.optimizer.torch.nn.ReLU",
        "pytorch_lightning.callbacks.model_checkpoint.os.system",
    ],
)
def test_a_module_is_entered_by_its_own_name_only(target):
    assert refusal(target).what == f"{target} {NOT_AMONG}"


@pytest.mark.parametrize("target", ["", ".", "os.", "???", "a b.c", "${x}", "segexp.losses.cross_entropy:CrossEntropy", 3, None, ["os"]])
def test_a_target_is_a_dotted_name(target):
    error = refusal(target)
    assert (error.what, error.fix) == ("a target is the dotted name of a class or function", "name one, or leave the node out")


def test_nothing_is_imported_to_refuse(lab):
    for target in ("smalllab.heads.Head", "smalllab.heads.Heaad", "smalllab"):
        assert refusal(target).fix == "--allow=smalllab if you trust the package"
    assert not lab.exists() and "smalllab" not in sys.modules


def test_neither_torch_nor_hydra_is_imported_to_refuse():
    code = """
        import sys
        from segexp.allow import located
        for target in ("torch.load", "os.system", "hydra.utils.call"):
            try:
                located(target)
            except Exception as error:
                print(type(error).__name__)
        print(sorted({"torch", "hydra", "omegaconf"} & set(sys.modules)))
    """
    lines = "\n".join(line[8:] for line in code.splitlines())
    done = subprocess.run([sys.executable, "-c", lines], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout.split("\n")[:4] == ["ConfigError"] * 3 + ["[]"], done.stderr


# ------------------------------------------------------------------------------------------------- slips


@pytest.mark.parametrize(
    ("target", "what", "fix"),
    [
        ("segexp.loses.cross_entropy.CrossEntropy", NOT_AMONG, "did you mean segexp.losses.cross_entropy.CrossEntropy"),
        ("torch.optm.SGD", NOT_AMONG, "did you mean torch.optim.SGD"),
        ("pytorch_lightning.Trianer", NOT_AMONG, "did you mean pytorch_lightning.Trainer"),
        ("segexp.losses.cross_entropy.CrossEntrop", "has no CrossEntrop", "did you mean segexp.losses.cross_entropy.CrossEntropy"),
        ("segexp.losses.cross_entrpy.CrossEntropy", "has no cross_entrpy", "did you mean segexp.losses.cross_entropy.CrossEntropy"),
        ("torch.nn.Linnear", "torch.nn has no Linnear", "did you mean torch.nn.Linear"),
        ("segexp.losses", "segexp.losses can't be called", "name a class or a function"),
        ("nothing_like_it.X", "there is no module nothing_like_it", "install or write nothing_like_it.X"),
    ],
)
def test_a_harmless_slip_gets_the_nearest_name(target, what, fix):
    error = refusal(target)
    assert what in error.what and error.fix == fix


# ------------------------------------------------------------------------------------------------- allowing more


def test_allow_lets_a_package_in_and_nothing_that_it_imports(lab):
    allow("smalllab")
    assert allowed() == ("smalllab",)
    assert located("smalllab.heads.Head").__name__ == "Head" and located("smalllab.heads.head")().__class__.__name__ == "Head"
    assert located("smalllab.heads.Head.small")().__class__.__name__ == "Head"
    assert located("smalllab.heads.Linear") is torch.nn.Linear  # may be called in any case
    assert lab.exists()
    assert refusal("smalllab.heads.system").what == f"smalllab.heads.system is {torch.os.system.__module__}.system, which {NOT_AMONG}"
    assert refusal("smalllab.heads.os.system").what == f"smalllab.heads.os.system {NOT_AMONG}"
    assert refusal("smalllab.heads.tools.Tool").what == f"smalllab.heads.tools.Tool {NOT_AMONG}"
    assert refusal("smalllab.heads.Head.__init__").what == f"smalllab.heads.Head.__init__ {NOT_AMONG}"
    assert refusal("smalllab.heads.HEAD").what == "smalllab.heads.HEAD can't be called"
    assert refusal("smalllabs.heads.Head").fix == "did you mean smalllab.heads.Head"


def test_allow_of_a_module_is_of_that_module_alone(lab):
    allow("smalllab.tools")
    assert located("smalllab.tools.Tool").__name__ == "Tool"
    assert refusal("smalllab.heads.Head").fix == "--allow=smalllab if you trust the package"
    assert refusal("smalllab.toolsmith.Tool").fix == "did you mean smalllab.tools.Tool"


def test_allow_adds_up_and_keeps_an_order():
    allow("b", "a.c")
    allow("a.c", "d")
    assert allowed() == ("b", "a.c", "d")


@pytest.mark.parametrize("prefix", ["", "*", "my-lab", "a..b", "os; rm"])
def test_allow_takes_dotted_names(prefix):
    with pytest.raises(ConfigError) as caught:
        allow("fine", prefix)
    error = caught.value
    assert (error.what, error.where) == ("a package is missing or no dotted name", f"--allow={prefix}") and allowed() == ()


def installed(folder, value):
    info = folder / "foreign-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: foreign\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[segexp.conf]\nforeign = {value}\n")


def test_an_installed_package_that_adds_configs_is_allowed(lab):
    installed(lab.parent, "smalllab.conf")
    assert located("smalllab.heads.Head").__name__ == "Head" and allowed() == ()


def test_an_entry_point_does_not_open_the_standard_library(lab):
    installed(lab.parent, "os.conf")
    assert NOT_AMONG in refusal("os.system").what


# ------------------------------------------------------------------------------------------------- the command line


@pytest.mark.parametrize("arguments", [["--allow=tests", "describe"], ["describe", "--allow=tests", "--allow=mylab"]])
def test_the_command_line_allows_for_every_command(arguments, capsys):
    node = {"_target_": "tests.config_tree.Stage", "width": 3}
    with pytest.raises(ConfigError, match="--allow=tests if you trust the package"):
        make(node, key="head")
    assert main([*arguments, "--help"]) == 0 and "segexp describe" in capsys.readouterr().out
    assert allowed()[0] == "tests" and isinstance(make(node, key="head"), Stage)


@pytest.mark.parametrize("argument", ["--allow", "--allow=", "--allow=a-b"])
def test_the_command_line_wants_a_package(argument, capsys):
    assert main(["list", argument]) == 2
    assert "error[config]: a package is missing or no dotted name; --allow=" in capsys.readouterr().err


def test_the_command_line_tells_of_it(capsys):
    assert main([]) == 0 and "--allow=<package>" in capsys.readouterr().out
