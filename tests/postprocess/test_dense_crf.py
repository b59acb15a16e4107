"""The dense CRF as a stage: sizes, images, refusals, and one evaluation with it from the command line."""

import json

import pytest
import torch

from segexp.cli.main import main
from segexp.errors import ConfigError
from segexp.model import Model
from segexp.postprocess.argmax import ArgMax
from segexp.postprocess.dense_crf import DenseCrf, seen
from segexp.types import ClassInfo, DataSpec, Level, SemanticLogits

OFF = {"weight": 0.0}


def spec(classes=2):
    return DataSpec(tuple(ClassInfo(str(i)) for i in range(classes)), frozenset({"semantic"}))


def two_halves(height=12, width=16, shift=3):
    """An image whose right half is white, and logits whose border lies `shift` pixels too far right."""
    image = torch.zeros(1, 3, height, width)
    image[..., width // 2 :] = 1
    logits = torch.zeros(1, 2, height, width)
    logits[:, 1, :, width // 2 + shift :] = 2
    logits[:, 0, :, : width // 2 + shift] = 0.5
    return image, SemanticLogits(logits, 1)


def test_labels_move_to_the_contour_of_the_image():
    image, output = two_halves()
    size = ((12, 16),)
    (plain,), (found,) = ArgMax(spec())(output, size, size), DenseCrf(spec())(output, size, size, image)
    assert plain.semantic[0].tolist() == [0] * 11 + [1] * 5
    assert found.semantic[0].tolist() == [0] * 8 + [1] * 8
    assert found.semantic.dtype == torch.uint8


def test_the_image_of_each_is_brought_to_its_original_size():
    image, output = two_halves()
    padded = torch.nn.functional.pad(image, (0, 8, 0, 4), value=0.5).expand(2, -1, -1, -1)
    logits = torch.nn.functional.pad(output.logits, (0, 8, 0, 4)).expand(2, -1, -1, -1)
    originals = ((24, 32), (12, 16))
    found = DenseCrf(spec())(SemanticLogits(logits, 1), ((12, 16),) * 2, originals, padded)
    assert [tuple(p.semantic.shape) for p in found] == list(originals)
    assert found[1].semantic[0].tolist() == [0] * 8 + [1] * 8
    assert found[0].semantic[:, [0, 14, 17, 31]].unique(dim=0).tolist() == [[0, 0, 1, 1]]


def test_aligned_logits_are_upsampled_as_the_argmax_upsamples_them():
    logits = SemanticLogits(torch.randn(1, 4, 4, 5, generator=torch.Generator().manual_seed(0)), 8, align_corners=True)
    size = ((25, 33),)
    wanted, found = ArgMax(spec(4))(logits, size, size), DenseCrf(spec(4), iterations=0)(logits, size, size, torch.rand(1, 3, 25, 33))
    assert int((found[0].semantic != wanted[0].semantic).sum()) <= 1


def test_the_image_is_seen_in_grey_levels_without_its_padding():
    image = torch.rand(3, 6, 8)
    assert torch.equal(seen(image, (4, 5), (4, 5)), image[:, :4, :5] * 255)
    assert seen(image, (4, 5), (9, 3)).shape == (3, 9, 3)


def test_without_weights_or_iterations_it_is_the_argmax():
    logits = SemanticLogits(torch.randn(2, 5, 6, 8), 4)
    sizes, originals, images = ((24, 32), (20, 27)), ((48, 64), (11, 27)), torch.rand(2, 3, 24, 32)
    wanted = ArgMax(spec(5))(logits, sizes, originals)
    for form in (DenseCrf(spec(5), gaussian=OFF, bilateral=OFF), DenseCrf(spec(5), iterations=0)):
        for one, other in zip(form(logits, sizes, originals, images), wanted, strict=True):
            assert int((one.semantic != other.semantic).sum()) <= 1  # where two are equal but for rounding


@pytest.mark.parametrize("exact_below", [0, 20_000])
def test_edges(exact_below):
    crf = DenseCrf(spec(3), exact_below=exact_below)
    one = SemanticLogits(torch.tensor([0.0, 2.0, 1.0]).view(1, 3, 1, 1), 1)
    assert crf(one, ((1, 1),), ((1, 1),), torch.rand(1, 3, 1, 1))[0].semantic.tolist() == [[1]]
    alone = SemanticLogits(torch.randn(1, 1, 5, 6), 1)
    assert DenseCrf(spec(1), exact_below=exact_below)(alone, ((5, 6),), ((5, 6),), torch.rand(1, 3, 5, 6))[0].semantic.sum() == 0
    flat = torch.full((1, 3, 5, 6), 0.5)
    broken = SemanticLogits(torch.zeros(1, 3, 5, 6), 1)
    broken.logits[:, 2] = 1
    broken.logits[0, :, 2, 3] = torch.nan
    broken.logits[0, 0, 4, 4] = -torch.inf
    assert crf(broken, ((5, 6),), ((5, 6),), flat)[0].semantic.unique().tolist() == [2]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"iterations": -1}, "iterations is a whole number from 0 on; postprocess.iterations=-1"),
        ({"exact_below": 2.5}, "exact_below is a whole number from 0 on"),
        ({"gaussian": {"sxy": 0}}, "sxy is a number above 0; postprocess.gaussian.sxy=0; fix: postprocess.gaussian.sxy=1"),
        (
            {"bilateral": {"weight": -1}},
            "weight is a number from 0 on; postprocess.bilateral.weight=-1; fix: postprocess.bilateral.weight=4",
        ),
        ({"bilateral": {"srgb": float("nan")}}, "srgb is a number above 0"),
        ({"bilateral": {"srgb": "3"}}, "srgb is a number above 0"),
        ({"gaussian": {"srgb": 3}}, "the kernel has no srgb; postprocess.gaussian.srgb=3; fix: its keys: weight, sxy"),
    ],
)
def test_values_without_sense_are_refused(values, said):
    with pytest.raises(ConfigError) as caught:
        DenseCrf(spec(), **values)
    assert said in str(caught.value)


class Plain(torch.nn.Module):
    """A network whose logits are what `two_halves` gives."""

    mean, std, pad_to, spec = (0.0,) * 3, (1.0,) * 3, 1, {"c1": Level(3, 1)}

    def forward(self, x, *_):
        return {"c1": x} if isinstance(x, torch.Tensor) else x


class Head(Plain):
    needs = frozenset()

    def forward(self, levels, sizes, targets=None):
        return SemanticLogits(two_halves()[1].logits.expand(len(levels["c1"]), -1, -1, -1), 1)


def test_a_model_hands_the_images_to_a_postprocess_that_reads_them():
    image, _ = two_halves()
    found = Model(Plain(), Plain(), Head(), DenseCrf(spec())).predict(torch.cat([image, image.flip(-1)]))
    assert found[0].semantic[0].tolist() == [0] * 8 + [1] * 8
    assert found[1].semantic[0].tolist() == [0] * 8 + [1] * 8
    plain = Model(Plain(), Plain(), Head(), ArgMax(spec())).predict(image)
    assert plain[0].semantic[0].tolist() == [0] * 11 + [1] * 5


def test_a_trained_run_is_evaluated_with_it(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    data = ["data.height=32", "data.width=48", "data.train=2", "data.val=2", "data.test=1", "data.loader.batch_size=2"]
    net = ["backbone=timm", "backbone.name=test_resnet", "decoder.width=16", "trainer.max_epochs=1", "trainer.accelerator=cpu"]
    assert main(["train", *data, *net]) == 0
    (run,) = (p.parent for p in (tmp_path / "outputs" / "default").glob("*/result.json"))
    assert main(["evaluate", str(run), "postprocess=dense_crf", "postprocess.iterations=2", "postprocess.bilateral.srgb=9"]) == 0
    assert "val miou" in capsys.readouterr().out
    (written,) = (run / "evaluations").glob("*/result.json")
    assert 0 <= json.loads(written.read_text())["val"]["miou"] <= 1
    assert main(["evaluate", str(run), "postprocess=dense_crf", "postprocess.bilateral.srgb=0"]) == 2
    assert "srgb is a number above 0" in capsys.readouterr().err
