import subprocess
import sys

from segexp.signatures import absent, described, signature

PACKAGE = {
    "__init__.py": "from .inner import Made as Renamed, make\nfrom .stars import *\nUNKNOWN = object()\n",
    "inner.py": """
from collections.abc import Sequence
from dataclasses import dataclass, field

Size = tuple[int, int]

class Base:
    '''A base.

    Args:
        data: the classes.
        width, depth: of each branch,
            in channels.
    '''
    def __init__(self, data, *, width: int = 32, depth: Sequence[int] | None = None, size: Size = (1, 2)) -> None: ...

class Made(Base):
    '''Made of a base.'''

Made.__doc__ = "at run time"

@dataclass(frozen=True)
class Options:
    size: int
    words: list[str] = field(default_factory=list)

def make(first, /, *rest, name: "str", **others): ...
""",
    "stars.py": "class Star:\n    pass\n",
    "made.py": "def __getattr__(name): return 3\n",
}


def package(folder, monkeypatch, name):
    (folder / name).mkdir()
    for file, text in PACKAGE.items():
        (folder / name / file).write_text(text)
    monkeypatch.syspath_prepend(folder)
    return name


def test_a_class_through_its_package_and_its_base(tmp_path, monkeypatch):
    found = signature(f"{package(tmp_path, monkeypatch, 'signed_one')}.Renamed")
    assert found.summary == "Made of a base."
    assert [(p.name, p.accepts, p.default, p.kind) for p in found.parameters] == [
        ("data", "", None, "any"),
        ("width", "int", "32", "keyword"),
        ("depth", "Sequence[int] | None", "None", "keyword"),
        ("size", "tuple[int, int]", "(1, 2)", "keyword"),
    ]
    assert found.named()["size"].annotation == "Size"
    assert [p.description for p in found.parameters] == ["the classes.", "of each branch, in channels.", "of each branch, in channels.", ""]
    assert found.file.name == "inner.py" and not found.open


def test_functions_dataclasses_and_stars(tmp_path, monkeypatch):
    name = package(tmp_path, monkeypatch, "signed_two")
    assert [(p.name, p.kind, p.required) for p in signature(f"{name}.make").parameters] == [
        ("first", "positional", True),
        ("rest", "rest", False),
        ("name", "keyword", True),
        ("others", "keywords", False),
    ]
    assert signature(f"{name}.make").open and list(signature(f"{name}.make").named()) == ["name"]
    assert [(p.name, p.required) for p in signature(f"{name}.inner.Options").parameters] == [("size", True), ("words", False)]
    assert signature(f"{name}.Star").parameters == ()


def test_what_is_certainly_absent_and_what_is_unknown(tmp_path, monkeypatch):
    name = package(tmp_path, monkeypatch, "signed_three")
    gone = absent(f"{name}.iner.Made")
    assert (gone.found, gone.missing, gone.near) == (name, "iner", (f"{name}.inner.Made",))
    assert absent(f"{name}.inner.Mad").near == (f"{name}.inner.Made",)
    for unknown in (f"{name}.UNKNOWN", f"{name}.made.Anything", "math.sqrt"):
        assert signature(unknown) is None and absent(unknown) is None
    assert absent(f"{name}.Renamed") is None
    assert absent("segxp.heads.semantic.SemanticHead").near == ("segexp.heads.semantic.SemanticHead",)
    assert absent("nowhere.to.be.found").missing == "nowhere"


def test_other_libraries_without_importing_them():
    code = """
import sys
from segexp.signatures import signature
targets = ("torch.optim.AdamW", "torch.optim.SGD", "pytorch_lightning.Trainer", "torchvision.ops.FrozenBatchNorm2d",
           "pytorch_lightning.loggers.WandbLogger", "segexp.heads.semantic.SemanticHead")
assert [t for t in targets if signature(t) is None] == []
assert signature("torch.optim.AdamW").named()["lr"].accepts == "float | Tensor"
assert signature("pytorch_lightning.Trainer").named()["max_epochs"].description.startswith("Stop training once")
assert not {"torch", "pytorch_lightning", "hydra"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_descriptions():
    text = "Title.\n\nArgs:\n    first: one\n        more\n    second (int): two\n\n    third: three\n\nReturns:\n    it: all"
    assert described(text) == {"first": "one more", "second": "two", "third": "three"}
