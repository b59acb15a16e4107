"""Rows 57-61 of the fault table, at the command's level; the payloads in their breadth are in tests/security."""

import json

import pytest
import yaml
from PIL import Image

from tests.faults.harness import TINY, command, expect, process, untouched
from tests.security.pickles import alone, archived, in_a_field, old
from tests.security.targets import DIRECT

SHORT = [*TINY, "trainer.max_epochs=1"]
NOT_AMONG = "is not among the targets that a config may call"
ROW_58 = {  # the targets that the table names
    "os.system": "{_target_: os.system, command: touch MARKER}",
    "builtins.eval": "{_target_: builtins.eval, _args_: [\"open('MARKER','w').close()\"]}",
    "builtins.open": "{_target_: builtins.open, _args_: [MARKER, w]}",
    "subprocess.run": "{_target_: subprocess.run, _args_: [[touch, MARKER]]}",
    "subprocess.Popen": "{_target_: subprocess.Popen, _args_: [[touch, MARKER]]}",
    "torch.hub.load": "{_target_: torch.hub.load, repo_or_dir: a/b, model: c}",
    "torch.load": "{_target_: torch.load, f: MARKER}",
    "numpy.testing.rundocs": "{_target_: numpy.testing.rundocs, filename: MARKER}",
    "pathlib.Path.write_text": "{_target_: pathlib.Path.write_text, _args_: [MARKER, x]}",
    "shutil.copy": "{_target_: shutil.copy, src: /etc/hostname, dst: MARKER}",
    "urllib.request.urlretrieve": "{_target_: urllib.request.urlretrieve, url: 'file:///etc/hostname', filename: MARKER}",
    "torch._inductor.codecache.PyCodeCache.load": "{_target_: torch._inductor.codecache.PyCodeCache.load, source_code: a}",
    "os.path.os.system": "{_target_: os.path.os.system, command: touch MARKER}",
    "torch.nn.modules.module.torch.load": "{_target_: torch.nn.modules.module.torch.load, f: MARKER}",
    "hydra.utils.get_method": "{_target_: hydra.utils.get_method, path: os.system}",
    "hydra.utils.get_class": "{_target_: hydra.utils.get_class, path: os.system}",
    "functools.partial": DIRECT["partial"],
}
EVERYWHERE = ("os.system", "torch.load", "os.path.os.system")  # tried in every place; all are in tests/security
PLACES = {
    "a stage": ("head", lambda node: node),
    "a partial": ("head", lambda node: node | {"_partial_": True}),
    "below a stage": ("head.level", lambda node: node),
    "positional": ("head._args_", lambda node: [node]),
}


@pytest.fixture
def marker(tmp_path):
    path = tmp_path / "marker"
    yield path
    assert not path.exists()


@pytest.mark.parametrize("form", ["a field", "the whole", "the old format"])
def test_57_pickles(form, neighbour, tmp_path, marker, monkeypatch):
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    name, path = "posix.system", tmp_path / "evil.ckpt"
    forms = {
        "a field": archived(in_a_field(name, marker)),
        "the whole": archived(alone(name, marker)),
        "the old format": old(alone(name, marker)),
    }
    path.write_bytes(forms[form])
    for typed in (["train", *SHORT, "seed=1", f"weights.file={path}"], ["import", str(path), *SHORT, "seed=1"]):
        with untouched(neighbour, new=True):
            said = command(*typed, f"paths.outputs={neighbour}")
        expect(said, "weights", f"not a checkpoint that can be read safely (it names posix.system); {path}")


@pytest.mark.parametrize("target", ROW_58)
def test_58_targets(target, neighbour, tmp_path, marker):
    node = yaml.safe_load(ROW_58[target].replace("MARKER", str(marker)))
    folder = tmp_path / "conf" / "experiment"
    folder.mkdir(parents=True)
    places = list(PLACES.items())
    for place, (key, form) in places if target in EVERYWHERE else places[:2]:
        tree = form(node)
        for part in reversed(key.split(".")):
            tree = {part: tree}
        if key == "head":
            tree["head"] |= {"_args_": node.get("_args_", [])}
        (folder / "evil.yaml").write_text("# @package _global_\n" + yaml.safe_dump(tree))
        with untouched(neighbour):
            typed = [f"hydra.searchpath=[file://{tmp_path}/conf]", "experiment=evil", f"paths.outputs={neighbour}"]
            said = command("describe", *SHORT, *typed)
        assert said.code == 2 and (NOT_AMONG in said.last or "there is no key" in said.last), (place, said.last)
        assert said.last.startswith("segexp: error[config]: ") and target.split(".")[0] in said.last


@pytest.mark.parametrize("place", ["head", "postprocess", "metrics.semantic", "backbone"])
def test_59_the_config_of_a_checkpoint_is_data(place, neighbour, marker):
    (run,) = (path for path in (neighbour / "default").iterdir() if (path / "config.yaml").is_file())
    config = yaml.safe_load((run / "config.yaml").read_text())
    *above, last = place.split(".")
    inner = config
    for part in above:
        inner = inner[part]
    inner[last] = {"_target_": "os.system", "command": f"touch {marker}"}
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    with untouched(neighbour, new=True):  # the log of the evaluation
        said = command("evaluate", str(run))
    expect(said, "config", f"os.system {NOT_AMONG}", f"{place}._target_: os.system")


SECRET = "hunter2-hunter2"
LITERAL = ["+logger.wandb.api_key=abcdef", "+x.token=abcdef", "+url=https://me:abcdef@host", f"+x={SECRET}", "+x={password: abcdef}"]


@pytest.mark.parametrize("typed", LITERAL)
def test_60_a_literal_secret(typed, neighbour, monkeypatch):
    monkeypatch.setenv("LAB_TOKEN", SECRET)
    with untouched(neighbour):
        said = command("train", *SHORT, typed, f"paths.outputs={neighbour}")
    expect(said, "config", "=***", "=${oc.env:NAME}")
    assert "abcdef" not in said.out + said.err and SECRET not in said.out + said.err


@pytest.mark.slow
def test_60_no_file_holds_one(tmp_path):
    typed = ["train", *SHORT, f"paths.outputs={tmp_path}/runs", "logger=wandb", "+notes.token=${oc.env:LAB_TOKEN}"]
    said = process(*typed, env={"LAB_TOKEN": SECRET, "WANDB_API_KEY": "0" * 39 + "7", "WANDB_MODE": "offline"})
    assert said.code == 0, said.err
    files = [path for path in (tmp_path / "runs").rglob("*") if path.is_file()]
    names = {path.name for path in files} | {path.suffix for path in files}
    assert {"config.yaml", "overrides.txt", "manifest.json", "log.txt", "report.html", ".ckpt", ".wandb"} <= names
    assert not [path for path in files for secret in (SECRET, "0" * 39 + "7") if secret.encode() in path.read_bytes()]
    assert "${oc.env:LAB_TOKEN}" in next(path for path in files if path.name == "config.yaml").read_text()
    assert SECRET not in said.out + said.err


@pytest.mark.parametrize("kind", ["a path with ..", "a list that is a link", "a picture that is a link"])
def test_61_paths(kind, neighbour, tmp_path):
    root, out = tmp_path / "set", tmp_path / "elsewhere"
    for number, place in enumerate((root / "images" / "a.jpg", root / "images" / "b.jpg", out / "c.jpg")):
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (32, 32), (number, 0, 0)).save(place)
        (place.with_suffix(".txt")).write_text("0 0.5 0.5 0.2 0.2\n")
    train = {"a path with ..": "../elsewhere", "a list that is a link": "train.txt", "a picture that is a link": "images"}[kind]
    (root / "data.yaml").write_text(json.dumps({"names": ["car"], "train": train, "val": "images"}))
    if kind == "a list that is a link":
        (out / "train.txt").write_text("images/a.jpg\nimages/b.jpg\n")
        (root / "train.txt").symlink_to(out / "train.txt")
    if kind == "a picture that is a link":
        (root / "images" / "c.jpg").symlink_to(out / "c.jpg")
    model = ["model=fcos", "backbone=timm", "backbone.name=test_resnet", *TINY[-4:]]
    with untouched(neighbour, new=True):
        said = command("train", "data=yolo", f"data.root={root}", *model, f"paths.outputs={neighbour}")
    expect(said, "data", "outside of the data set's folder", str(out), "data.allow_outside=true")
