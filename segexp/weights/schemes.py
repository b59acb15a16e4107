"""How published ports name the weights of one and the same network: a table of rules for each.

A rule is (pattern of their name, places in our model). `#` stands for a number, `@` for the last part of a name (weight,
bias, or a statistic of BatchNorm); `<1>` is the first of them, `<1-1>` one less. Of several places the first that the model
has is taken. Backbones are brought to torchvision's names here, and from there to the library's that the model uses
(`segexp.weights.dialects`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property, partial

from segexp.errors import ConfigError, WeightsError

Rule = tuple[str, tuple[str, ...]]

BODY = "backbone.net."  # where a backbone's own names begin in our model
_LOGITS = ("head.classify", "head.parts.main.classify", "head.net.2", "head.parts.main.net.2")
_FCN_CONV = ("head.net.0.0", "head.parts.main.net.0.0", "decoder.convs.0.0")
_FCN_NORM = ("head.net.0.1", "head.parts.main.net.0.1", "decoder.convs.0.1")


@dataclass(frozen=True)
class Scheme:
    """The names of one source.

    Args:
        name: as the option `scheme` has it.
        title: the source, in words.
        marks: a name that fully matches one of them gives the scheme away.
        rules: see the module; the first whose pattern fits a name counts.
        idle: what begins so serves training only: a model without a place for it gives the same outputs.
        low_first: the DeepLabv3+ decoder concatenates the shallow level first, and the ASPP's output after it; ours is the other way.
        bgr: its images have the channels blue, green, red; ours red, green, blue.
    """

    name: str
    title: str
    marks: tuple[str, ...]
    rules: tuple[Rule, ...]
    idle: tuple[str, ...] = ()
    low_first: bool = False
    bgr: bool = False

    def targets(self, name: str) -> list[str]:
        """The places that a name may have; none where no rule knows it."""
        for pattern, places in self._compiled:
            if match := pattern.fullmatch(name):
                return [_filled(place, match) for place in places]
        return []

    @cached_property
    def _compiled(self) -> list[tuple[re.Pattern[str], tuple[str, ...]]]:
        return [(re.compile(_expanded(pattern)), places) for pattern, places in self.rules]


def _expanded(pattern: str) -> str:
    return pattern.replace("#", r"(\d+)").replace("@", r"(weight|bias|running_mean|running_var|num_batches_tracked)")


def _filled(place: str, match: re.Match[str]) -> str:
    def group(found: re.Match[str]) -> str:
        text = match[int(found[1])]
        return str(int(text) + int(found[2])) if found[2] else text

    return re.sub(r"<(\d)([+-]\d+)?>", group, place)


def _to(theirs: str, *places: str) -> Rule:
    """A rule for a pattern that ends in `@`, whose places have the same last part."""
    last = re.compile(_expanded(theirs)).groups
    return theirs, tuple(f"{place}.<{last}>" for place in places)


def _pair(theirs: str, conv: str, norm: str, *, parts: tuple[str, str]) -> tuple[Rule, Rule]:
    """The rules of a convolution and of the norm after it; `parts` are what they have after the name of the pair."""
    return _to(rf"{theirs}{parts[0]}\.@", conv), _to(rf"{theirs}{parts[1]}\.@", norm)


def _aspp(theirs: str, *, pool: str = r"convs\.4\.#", ours: str = "decoder") -> tuple[Rule, ...]:
    """The pyramid in torchvision's form; a separable branch is `0.body.#` or `0.#`, and its norm comes one place later with us."""
    branch = f"{ours}.aspp.branches.<1>"
    return (
        _to(rf"{theirs}\.{pool}\.@", f"{ours}.aspp.pool.project.<1-1>"),
        _to(rf"{theirs}\.convs\.#\.0\.(?:body\.)?#\.@", f"{branch}.<2>"),
        _to(rf"{theirs}\.convs\.#\.0\.@", f"{branch}.0"),
        _to(rf"{theirs}\.convs\.#\.1\.@", f"{branch}.2", f"{branch}.1"),
        _to(rf"{theirs}\.project\.#\.@", f"{ours}.aspp.project.0.<1>"),
    )


TV = Scheme(
    "tv",
    "torchvision",
    (r"classifier\.0\.convs\..*", r"classifier\.cbr\..*", r"aux_classifier\..*", r"classifier\.4\.weight"),
    (
        (r"backbone\.(.*)", (f"{BODY}<1>",)),
        *_aspp(r"classifier\.0"),
        _to(r"classifier\.0\.@", *_FCN_CONV),
        _to(r"classifier\.1\.@", "decoder.refine.0", *_FCN_NORM),
        _to(r"classifier\.2\.@", "decoder.refine.1"),
        _to(r"classifier\.4\.@", *_LOGITS),
        _to(r"classifier\.cbr\.#\.@", "head.project.<1>"),
        _to(r"classifier\.scale\.1\.@", "head.gate.1"),
        _to(r"classifier\.(low|high)_classifier\.@", "head.classify_<1>"),
        _to(r"aux_classifier\.0\.@", "head.parts.aux.net.0.0"),
        _to(r"aux_classifier\.1\.@", "head.parts.aux.net.0.1"),
        _to(r"aux_classifier\.4\.@", "head.parts.aux.net.2"),
    ),
    idle=("aux_classifier.",),
)

SMP = Scheme(
    "smp",
    "segmentation-models-pytorch",
    (r"segmentation_head\.0\.weight",),
    (
        (r"encoder\.(.*)", (f"{BODY}<1>",)),
        *_aspp(r"decoder\.aspp\.0"),
        *_aspp(r"decoder\.aspp"),
        _to(r"decoder\.aspp\.1\.#\.@", "decoder.refine.<1>"),
        _to(r"decoder\.aspp\.2\.@", "decoder.refine.2"),
        _to(r"decoder\.conv\.@", "decoder.refine.0"),
        _to(r"decoder\.bn\.@", "decoder.refine.1"),
        _to(r"decoder\.block1\.#\.@", "decoder.stages.0.reduce.<1>"),
        _to(r"decoder\.block2\.0\.#\.@", "decoder.stages.0.fuse.0.<1>"),
        _to(r"decoder\.block2\.1\.@", "decoder.stages.0.fuse.0.2"),
        _to(r"segmentation_head\.0\.@", *_LOGITS),
    ),
    idle=("classification_head.",),
)

VF = Scheme(
    "vf",
    "the DeepLabv3+ port with classifier.classifier",
    (r"classifier\.classifier\..*",),
    (
        (r"backbone\.(?:low_level_features|high_level_features)\.(.*)", (f"{BODY}features.<1>",)),
        (r"backbone\.(.*)", (f"{BODY}<1>",)),
        _to(r"classifier\.project\.#\.@", "decoder.stages.0.reduce.<1>"),
        *_aspp(r"classifier\.aspp"),
        *_aspp(r"classifier\.classifier\.0"),
        _to(r"classifier\.classifier\.0\.body\.#\.@", "decoder.stages.0.fuse.0.<1>"),
        _to(r"classifier\.classifier\.0\.@", "decoder.stages.0.fuse.0.0"),
        _to(r"classifier\.classifier\.1\.body\.#\.@", "decoder.refine.<1>"),
        _to(r"classifier\.classifier\.1\.@", "decoder.stages.0.fuse.0.2", "decoder.stages.0.fuse.0.1", "decoder.refine.0"),
        _to(r"classifier\.classifier\.2\.@", "decoder.refine.2", "decoder.refine.1"),
        _to(r"classifier\.classifier\.[34]\.@", *_LOGITS),
    ),
    low_first=True,
)

_kaz = partial(_pair, parts=(r"\.conv", r"\.bn"))
_KAZ = r"(?:base\.)?"
_KAZ_BLOCK, _OUR_BLOCK = rf"{_KAZ}layer#\.block#", f"{BODY}layer<1-1>.<2-1>"
KAZ = Scheme(
    "kaz",
    "the DeepLabv1/v2 port with layer1.conv1.conv",
    (rf"{_KAZ}layer1\.conv1\.conv\.weight",),
    (
        *_kaz(rf"{_KAZ}layer1\.conv1", f"{BODY}conv1", f"{BODY}bn1"),
        *_kaz(rf"{_KAZ_BLOCK}\.reduce", f"{_OUR_BLOCK}.conv1", f"{_OUR_BLOCK}.bn1"),
        *_kaz(rf"{_KAZ_BLOCK}\.conv3x3", f"{_OUR_BLOCK}.conv2", f"{_OUR_BLOCK}.bn2"),
        *_kaz(rf"{_KAZ_BLOCK}\.increase", f"{_OUR_BLOCK}.conv3", f"{_OUR_BLOCK}.bn3"),
        *_kaz(rf"{_KAZ_BLOCK}\.shortcut", f"{_OUR_BLOCK}.downsample.0", f"{_OUR_BLOCK}.downsample.1"),
        *_kaz(rf"{_KAZ}aspp\.stages\.c#", "decoder.aspp.branches.<1>.0", "decoder.aspp.branches.<1>.1"),
        *_kaz(rf"{_KAZ}aspp\.stages\.imagepool\.conv", "decoder.aspp.pool.project.0", "decoder.aspp.pool.project.1"),
        _to(rf"{_KAZ}aspp\.c#\.@", "head.branches.<1>"),
        *_kaz(rf"{_KAZ}fc1", "decoder.aspp.project.0.0", "decoder.aspp.project.0.1"),
        *_kaz(rf"{_KAZ}reduce", "decoder.stages.0.reduce.0", "decoder.stages.0.reduce.1"),
        *_kaz(rf"{_KAZ}fc2\.conv([12])", "decoder.stages.0.fuse.<1-1>.0", "decoder.stages.0.fuse.<1-1>.1"),
        _to(rf"{_KAZ}(?:fc|fc2|fc2\.conv3)\.@", *_LOGITS),
    ),
    bgr=True,
)


def _bow_separable(theirs: str, ours: str) -> tuple[Rule, ...]:
    """A depthwise and a pointwise convolution, each with its norm."""
    depthwise = _to(rf"{theirs}\.0\.0\.@", f"{ours}.0"), _to(rf"{theirs}\.0\.1\.@", f"{ours}.1")
    return *depthwise, _to(rf"{theirs}\.1\.@", f"{ours}.3"), _to(rf"{theirs}\.2\.@", f"{ours}.4")


def _bow_decoder(part: str) -> tuple[Rule, ...]:
    """One of the two decoders of a panoptic network."""
    theirs, ours = rf"decoder\.{part}_decoder", f"decoder.parts.{part}"
    return (
        *_aspp(rf"{theirs}\.aspp", pool=_BOW_POOL, ours=ours),
        _to(rf"{theirs}\.project\.#\.#\.@", f"{ours}.stages.<1>.reduce.<2>"),
        *_bow_separable(rf"{theirs}\.fuse\.#\.0", f"{ours}.stages.<1>.fuse.0"),
    )


_BOW_POOL = r"convs\.4\.aspp_pooling\.#"
_BOW_HEAD = r"decoder\.(?:semantic|instance)_head\.classifier\.(semantic|center|offset)"
BOW = Scheme(
    "bow",
    "the Panoptic-DeepLab port with decoder.semantic_decoder",
    (r"decoder\.(?:semantic_decoder\.)?aspp\.convs\.4\.aspp_pooling\.1\.weight",),
    (
        (r"backbone\.(.*)", (f"{BODY}<1>",)),
        *_bow_decoder("semantic"),
        *_bow_decoder("instance"),
        *_bow_separable(rf"{_BOW_HEAD}\.0\.0", "head.<1>.0"),
        _to(rf"{_BOW_HEAD}\.1\.@", "head.<1>.1"),
        *_aspp(r"decoder\.aspp", pool=_BOW_POOL),
        _to(r"decoder\.project\.#\.@", "decoder.stages.0.reduce.<1>"),
        *_bow_separable(r"decoder\.fuse\.#", "decoder.stages.0.fuse.<1>"),
        _to(r"decoder\.classifier\.0\.@", "decoder.refine.0"),
        _to(r"decoder\.classifier\.1\.@", "decoder.refine.1"),
        _to(r"decoder\.classifier\.(?:3\.)?@", *_LOGITS),
    ),
)


_STEM = f"{BODY}conv1"  # three convolutions, `conv1.0`, `conv1.3`, `conv1.6` with norms between, or one
_d2 = partial(_pair, parts=("", r"\.norm"))


def _d2_separable(theirs: str, *ours: str) -> tuple[Rule, ...]:
    """A depthwise and a pointwise convolution, each with its norm."""
    places = [(rf"{theirs}\.{part}{norm}\.@", i) for i, (part, norm) in _D2_SEPARABLE.items()]
    return tuple(_to(name, *(f"{place}.{i}" for place in ours)) for name, i in places)


def _d2_decoder(theirs: str, *ours: str) -> tuple[Rule, ...]:
    """A decoder, which may be the only one or one of the two of a panoptic network; res2 is the last of its stages."""
    levels = {"res3": [f"{place}.stages.0" for place in ours], "res2": [f"{place}.stages.{i}" for place in ours for i in (1, 0)]}
    rules: list[Rule] = []
    for level, stages in levels.items():
        name = rf"{theirs}\.decoder\.{level}"
        for part, inner in (("project_conv", "reduce"), (r"fuse_conv\.#", "fuse.<1>")):
            for norm, i in (("", 0), (r"\.norm", 1)):
                rules.append(_to(rf"{name}\.{part}{norm}\.@", *(f"{stage}.{inner}.{i}" for stage in stages)))
        rules += _d2_separable(rf"{name}\.fuse_conv", *(f"{stage}.fuse.0" for stage in stages))
    aspp, pyramids = rf"{theirs}\.(?:aspp|decoder\.res5\.project_conv)", [f"{place}.aspp" for place in ours]
    rules.append(_to(rf"{aspp}\.convs\.4\.1\.@", *(f"{place}.pool.project.0" for place in pyramids)))
    rules += _d2_separable(rf"{aspp}\.convs\.#", *(f"{place}.branches.<1>" for place in pyramids))
    for norm, i in (("", 0), (r"\.norm", 1)):
        rules.append(_to(rf"{aspp}\.convs\.#{norm}\.@", *(f"{place}.branches.<1>.{i}" for place in pyramids)))
        rules.append(_to(rf"{aspp}\.project{norm}\.@", *(f"{place}.project.0.{i}" for place in pyramids)))
    return tuple(rules)


_D2_SEPARABLE = {0: ("depthwise", ""), 1: ("depthwise", r"\.norm"), 3: ("pointwise", ""), 4: ("pointwise", r"\.norm")}
D2 = Scheme(
    "d2",
    "Detectron2",
    (r"backbone\.stem\.conv1\.weight", r"sem_seg_head\..*"),
    (
        _to(r"backbone\.stem\.conv1\.@", f"{_STEM}.0", _STEM),
        _to(r"backbone\.stem\.conv1\.norm\.@", f"{_STEM}.1", f"{BODY}bn1"),
        *_d2(r"backbone\.stem\.conv2", f"{_STEM}.3", f"{_STEM}.4"),
        *_d2(r"backbone\.stem\.conv3", f"{_STEM}.6", f"{BODY}bn1"),
        *_d2(r"backbone\.res#\.#\.conv#", f"{BODY}layer<1-1>.<2>.conv<3>", f"{BODY}layer<1-1>.<2>.bn<3>"),
        *_d2(r"backbone\.res#\.#\.shortcut", f"{BODY}layer<1-1>.<2>.downsample.0", f"{BODY}layer<1-1>.<2>.downsample.1"),
        *_d2_decoder("sem_seg_head", "decoder.parts.semantic", "decoder"),
        *_d2_decoder("ins_embed_head", "decoder.parts.instance"),
        *_d2(r"sem_seg_head\.head\.#", "head.semantic.<1>.0", "head.semantic.<1>.1"),
        *_d2_separable(r"sem_seg_head\.head", "head.semantic.0"),
        *_d2(r"ins_embed_head\.(center|offset)_head\.#", "head.<1>.<2>.0", "head.<1>.<2>.1"),
        *_d2_separable(r"ins_embed_head\.(center|offset)_head", "head.<1>.0"),
        _to(r"ins_embed_head\.(center|offset)_predictor\.@", "head.<1>.2", "head.<1>.1"),
        _to(r"sem_seg_head\.predictor\.@", *_LOGITS, "head.semantic.2", "head.semantic.1"),
    ),
    low_first=True,
)

TIMM = Scheme(
    "timm",
    "a classifier of timm or torchvision",
    (r"(?:conv1|conv_stem|stem|features|patch_embed|layer\d|block\d+|blocks|stages)[._].*",),
    ((r"(.*)", (f"{BODY}<1>",)),),
)

SCHEMES = {scheme.name: scheme for scheme in (SMP, VF, BOW, D2, KAZ, TV, TIMM)}  # in the order in which they are tried
OURS = "segexp"  # what `detect` says of this project's own names


def scheme_named(name: str) -> Scheme:
    """A scheme by the name that a user typed.

    Raises:
        ConfigError: there is none.
    """
    if name not in SCHEMES:
        fix = f"scheme=auto, or one of {', '.join(SCHEMES)}"
        raise ConfigError(f"there is no scheme of names {name!r}", where=f"scheme={name}", fix=fix)
    return SCHEMES[name]


def detect(names: Iterable[str], *, where: str = "") -> str:
    """Whose names these are: `segexp`, or a key of `SCHEMES`.

    Args:
        names: of all tensors of a file.
        where: the file, for the message.

    Raises:
        WeightsError: nobody's that is known.
    """
    given = list(names)
    if any(name.startswith(BODY) for name in given):
        return OURS
    for scheme in SCHEMES.values():
        if any(re.fullmatch(mark, name) for mark in scheme.marks for name in given):
            return scheme.name
    what = f"the names of its {len(given)} weights are of no source that is known (first {', '.join(given[:2])})"
    known = "; ".join(f"{scheme.name}: {scheme.title}" for scheme in SCHEMES.values())
    raise WeightsError(what, where=where, fix=f"rename them to one of these: {known}")
