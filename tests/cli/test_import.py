"""`segexp import`: a foreign checkpoint becomes a run that is done; whatever doesn't fit is said in one line, and nothing is written."""

import json
import pickle
from pathlib import Path

import pytest
import segmentation_models_pytorch as smp
import torch

from segexp.build import build, load
from segexp.cli.main import main
from segexp.config import compose
from segexp.functional.tensors import load_plain
from segexp.runs.identity import identity
from tests.weights.peers import difference, peer_logits, randomised

MODEL = ("model=deeplabv3plus", "backbone=resnet18", "backbone.first_block_dilation=full", "decoder.rates=[12,24,36]")
MODEL += ("decoder.post_conv=true", "decoder.fuse_convs=1", "decoder.align_corners=true")
CLASSES = 8  # of data=shapes
CLASSIFIER = "segmentation_head.0.weight"


@pytest.fixture(scope="module")
def net():
    return randomised(smp.DeepLabV3Plus("resnet18", encoder_weights=None, classes=CLASSES))


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def said(capsys, *arguments):
    code = main(arguments)
    out, err = capsys.readouterr()
    return code, out, err.strip().splitlines()[-1] if err.strip() else ""


def test_a_checkpoint_becomes_a_run_that_is_done(capsys, here, net):
    state = {f"module.{name}": value for name, value in net.state_dict().items() if not name.endswith("num_batches_tracked")}
    torch.save({"model_state": state, "cur_itrs": 30000}, here / "best.pth")
    code, out, _ = said(capsys, "import", "best.pth", *MODEL)
    assert code == 0
    assert "by segmentation-models-pytorch's names (scheme=smp)" in out
    (run,) = (here / "outputs" / "default").iterdir()
    assert f"segexp evaluate {run.name[-12:]}" in out
    report, manifest = json.loads((run / "import.json").read_text()), json.loads((run / "manifest.json").read_text())
    assert report["places"][CLASSIFIER] == "head.classify.weight"
    assert (report["scheme"], report["source"]) == ("smp", "best.pth")
    assert len(report["places"]) == len(state)
    assert report["left_over"] == report["skipped"] == report["random"] == []
    assert manifest["parent"]["sha256"] == report["sha256"]
    assert manifest["command"].startswith("segexp import best.pth model=deeplabv3plus")
    assert json.loads((run / "status.json").read_text())["state"] == "done"
    model, x = load(run), torch.randn(1, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    expected, _ = peer_logits(net, "segmentation_head.0", x)
    assert difference(model(x * model.std + model.mean).logits.detach(), expected) <= 1
    assert said(capsys, "import", "best.pth", *MODEL)[:2] == (0, f"outputs/default/{run.name} is imported already\n")
    code, out, _ = said(capsys, "evaluate", str(run), "data.limit=2", "protocol=whole")
    assert code == 0
    assert "val miou" in out


def test_another_file_makes_another_run_and_training_yet_another():
    plain, one, two = (compose("train", [*MODEL, *more]) for more in ((), ("weights.imported=aa",), ("weights.imported=bb",)))
    assert len({identity(plain), identity(one), identity(two)}) == 3


def write(kind, state):
    """A file that isn't what it should be."""
    if kind == "text":
        Path("x.pth").write_text("hello")
    elif kind == "code":
        Path("x.pth").write_bytes(pickle.dumps({"state_dict": Payload()}))
    elif kind == "cut":
        torch.save(state, "x.pth")
        Path("x.pth").write_bytes(Path("x.pth").read_bytes()[:4000])
    else:
        torch.save(
            {"empty": {"state_dict": {}}, "tensor": torch.zeros(3), "strange": {"a.b": torch.zeros(3)}, "settings": {"epoch": 3}}[kind],
            "x.pth",
        )


class Payload:
    def __reduce__(self):
        return print, ("this must never run",)


BROKEN = [
    ("text", "not a checkpoint that can be read safely"),
    ("code", "not a checkpoint that can be read safely"),
    ("cut", "not a checkpoint that can be read safely"),
    ("empty", "it holds no tensors by name (its keys: none)"),
    ("settings", "it holds no tensors by name (its keys: epoch)"),
    ("tensor", "it holds a Tensor, not tensors by name"),
    ("strange", "the names of its 1 weights are of no source that is known (first a.b)"),
]


@pytest.mark.parametrize(("kind", "what"), BROKEN)
def test_files_that_hold_no_weights(capsys, here, net, kind, what):
    write(kind, net.state_dict())
    code, out, err = said(capsys, "import", "x.pth", *MODEL)
    assert code == 1
    assert err.startswith("segexp: error[weights]: ")
    assert what in err
    assert "; x.pth; fix: " in err
    assert "must never run" not in out
    assert not (here / "outputs").exists()


LOOKS = "the file looks like segmentation-models-pytorch's DeepLabV3Plus on resnet18: model=deeplabv3plus decoder.rates=[12,24,36]"
OTHER_CLASSES = "the file has 8 classes, the data set 21: data=<one with 21>"
UNFIT = [
    (
        (*MODEL, "scheme=tv"),
        "read as torchvision's names (scheme=tv)",
        "the names look like those of segmentation-models-pytorch: scheme=smp",
    ),
    ((), "of the model are not in the file", LOOKS),
    ((*MODEL, "backbone=resnet34"), "(first backbone.net.layer1.2.bn1.bias)", LOOKS),
    (
        (*MODEL, "norm.type=group"),
        "(first encoder.bn1.running_mean)",
        "trained with BatchNorm, which the model has no longer: norm.type=null",
    ),
    ((*MODEL, "decoder.post_conv=false"), "6 of the file are left over", LOOKS),
    (
        (*MODEL, "data=voc"),
        "(first segmentation_head.0.weight: (8, 256, 1, 1), head.classify.weight wants (21, 256, 1, 1))",
        "weights.skip_head=true",
    ),
]


@pytest.mark.parametrize(("overrides", "what", "fix"), UNFIT, ids=["scheme", "default", "backbone", "norm", "decoder", "classes"])
def test_weights_that_do_not_fit_are_refused_with_what_would(capsys, here, net, overrides, what, fix):
    torch.save(net.state_dict(), "x.pth")
    code, _, err = said(capsys, "import", "x.pth", *overrides)
    assert code == 1
    assert what in err
    assert fix in err.partition("fix: ")[2]
    assert not (here / "outputs").exists()


def test_half_a_checkpoint(capsys, here, net):
    torch.save({name: value for name, value in net.state_dict().items() if name.startswith("encoder.") or name == CLASSIFIER}, "x.pth")
    code, _, err = said(capsys, "import", "x.pth", *MODEL)
    assert code == 1
    assert "weights of the model are not in the file (first decoder.aspp.branches.0.0.weight)" in err


@pytest.mark.parametrize(
    ("arguments", "what", "code"),
    [
        (("import",), "1 argument missing; segexp import <checkpoint> [scheme=auto] [overrides]", 2),
        (("import", "none.pth"), "the file is missing; none.pth; fix: name a checkpoint that is there", 1),
        (("import", "folder"), "it is a folder; folder; fix: name a checkpoint in it", 1),
        (("import", "x.pth", "scheme=mms"), "there is no scheme of names 'mms'; scheme=mms", 2),
        (("import", "x.pth", "modle=deeplabv3"), "there is no group or key modle", 2),
        (("import", "x.pth", "weights.file=y.pth"), "the weights are those of the checkpoint; weights.file", 2),
    ],
)
def test_wrong_commands(capsys, here, arguments, what, code):
    torch.save({"encoder.conv1.weight": torch.zeros(1), CLASSIFIER: torch.zeros(1)}, "x.pth")
    (here / "folder").mkdir()
    found, _, err = said(capsys, *arguments)
    assert found == code
    assert what in err


def test_training_starts_from_a_foreign_file_with_a_new_head(here, net):
    torch.save({"state_dict": {f"model.{name}": value for name, value in net.state_dict().items()}}, "x.pth")
    changes = ("weights.file=x.pth", "weights.skip_head=true", "data=voc")
    experiment = build(compose("train", [*MODEL, *changes]))
    assert experiment.parent is not None
    assert experiment.parent["scheme"] == "smp"
    weights, given = experiment.task.model.state_dict(), net.state_dict()
    assert len(weights["head.classify.weight"]) == 21
    assert torch.equal(weights["backbone.net.conv1.weight"], given["encoder.conv1.weight"])
    assert torch.equal(weights["decoder.stages.0.fuse.0.1.weight"], given["decoder.block2.0.1.weight"])


def test_an_imported_run_keeps_plain_tensors(capsys, here, net):
    torch.save(net.state_dict(), "x.pth")
    assert said(capsys, "import", "x.pth", *MODEL, "weights.skip_head=true")[0] == 0
    (run,) = (here / "outputs" / "default").iterdir()
    report = json.loads((run / "import.json").read_text())
    assert report["skipped"] == ["segmentation_head.0.bias", CLASSIFIER]
    assert report["random"] == ["head.classify.weight", "head.classify.bias"]
    state = load_plain(run / "checkpoints" / "step-0.ckpt")["state_dict"]
    assert torch.equal(state["model.backbone.net.conv1.weight"], net.state_dict()["encoder.conv1.weight"])


def test_values_that_are_not_finite_are_refused(capsys, here, net):
    state = net.state_dict()
    name = "decoder.aspp.0.convs.0.0.weight"
    torch.save(state | {name: torch.full_like(state[name], float("nan"))}, "x.pth")
    code, _, err = said(capsys, "import", "x.pth", *MODEL)
    assert code == 1
    assert f"weights have values that are NaN or infinite (first {name}); x.pth" in err
    assert not (here / "outputs").exists()
    torch.save(state | {CLASSIFIER: torch.full_like(state[CLASSIFIER], float("inf"))}, "x.pth")
    assert said(capsys, "import", "x.pth", *MODEL, "weights.skip_head=true")[0] == 0  # the one that isn't used


STRAY = [
    ((), "store it without criterion.weight"),
    (("data=voc",), "store it without criterion.weight; the file has 8 classes, the data set 21: data=<one with 8>, or"),
]


@pytest.mark.parametrize(("overrides", "fix"), STRAY, ids=["same classes", "other classes"])
def test_a_stray_weight_beside_all_of_the_model(capsys, here, net, overrides, fix):
    torch.save(net.state_dict() | {"criterion.weight": torch.ones(8)}, "x.pth")
    code, _, err = said(capsys, "import", "x.pth", *MODEL, *overrides)
    assert code == 1
    assert "1 of the file are left over (first criterion.weight)" in err
    assert fix in err.partition("fix: the file has all of this model: ")[2]
    assert ("weights.skip_head=true" in err) == bool(overrides)
