"""Compiled stages: the same weights by name, the same values, and a clear word where there is no compiler."""

import shutil
import sys

import pytest
import torch

from segexp.build import build
from segexp.errors import ConfigError
from segexp.optim.stages import parameter_stages
from tests.test_task import small


def test_without_a_compiler_it_is_refused(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(ConfigError) as caught:
        build(small("trainer.compile=true"))
    assert caught.value.what == "torch.compile needs a C++ compiler: none of c++, g++, clang++, cl is there"
    assert caught.value.where == "trainer.compile=true"
    assert caught.value.fix.startswith("install one (such as g++), name it in CXX, or trainer.compile=false")
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(ConfigError, match=r"needs a C\+\+ compiler: CXX=no-such-compiler; trainer.compile=true"):
        build(small("trainer.compile=true"))


@pytest.fixture
def eager(monkeypatch):
    """Compilation as far as the traced graph: quick, and without a C++ compiler."""
    compile_module, found = torch.nn.Module.compile, []

    def traced(module):
        found.append(type(module).__name__)
        compile_module(module, backend="eager")

    monkeypatch.setattr(torch.nn.Module, "compile", traced)
    monkeypatch.setattr(shutil, "which", lambda name: sys.executable)
    yield found
    torch.compiler.reset()


def test_names_and_values_stay(eager):
    plain = build(small()).task.model
    compiled = build(small("trainer.compile=true")).task.model
    assert eager == ["TimmCNN", "DeepLabV3Plus"]
    assert list(compiled.state_dict()) == list(plain.state_dict())
    images = torch.rand(1, 3, 32, 48, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(compiled.eval()(images).logits, plain.eval()(images).logits)


def test_stages_of_a_compiled_backbone_are_the_same(eager):
    plain, compiled = (build(small(*flag)).task.model.backbone for flag in ((), ("trainer.compile=true",)))
    assert parameter_stages(compiled) == parameter_stages(plain)


def test_nothing_is_compiled_unless_asked(eager):
    build(small())
    assert eager == []
