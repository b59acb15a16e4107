"""Statistics of panoptic quality against the rules written out, by hand, and on the golden pair."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from segexp.errors import DataError
from segexp.functional import panoptic
from segexp.functional.panoptic import Segments, overlaps, panoptic_statistics
from tests.functional import panoptic_rules as rules

GOLDEN = Path(__file__).with_name("pq_synthetic.npz")
K = 4


def image(rows):
    return torch.tensor([[int(c) for c in row] for row in rows], dtype=torch.int32)


def of(rows, labels, crowd=None):
    flags = torch.tensor([False] * len(labels) if crowd is None else crowd, dtype=torch.bool)
    return Segments(image(rows), torch.tensor(labels, dtype=torch.int64), flags)


def plain(found):
    return {name: values.tolist() for name, values in found.items()}


def by_class(found):
    """The statistics in the form of the rules: {class: [iou, tp, fp, fn]}."""
    total = {}
    for kind, n, union in found["matches"].tolist():
        values = total.setdefault(kind, [0.0, 0, 0, 0])
        values[0] += n / union
        values[1] += 1
    for column, name in ((2, "wrong"), (3, "missed")):
        for kind, n in enumerate(found[name].tolist()):
            if n:
                total.setdefault(kind, [0.0, 0, 0, 0])[column] = n
    return total


def same(found, wanted):
    assert found.keys() == wanted.keys()
    for kind, values in wanted.items():
        assert found[kind] == pytest.approx(values, rel=0, abs=1e-12)


def ruled(truth, predicted, distance=None):
    real = {i + 1: (int(k), bool(c)) for i, (k, c) in enumerate(zip(truth.labels, truth.crowd, strict=True))}
    guess = {i + 1: int(k) for i, k in enumerate(predicted.labels)}
    return rules.statistics(truth.ids.numpy(), real, predicted.ids.numpy(), guess, distance)


def numbered(ids):
    """Contiguous ids, 0 staying void."""
    values = np.unique(ids[ids > 0])
    return torch.from_numpy(np.where(ids > 0, np.searchsorted(values, ids) + 1, 0).astype(np.int32)), len(values)


def blocks(rng, size, segments):
    """A map of small blocks, some of them void; few segments make ties and matches, many make noise."""
    small = rng.integers(0, segments + 1, size=tuple(-(-n // 2) for n in size))
    return np.kron(small, np.ones((2, 2), dtype=int))[: size[0], : size[1]]


def case(rng):
    """A pair of maps: the prediction is the truth with some blocks drawn anew, or another map, or nothing."""
    size = rng.integers(2, 13, size=2)
    kind, segments = rng.integers(0, 10), rng.integers(0, 7)
    truth = blocks(rng, size, segments)
    predicted = np.where(blocks(rng, size, 2) > rng.integers(0, 3), blocks(rng, size, segments), truth)
    if kind == 0:
        truth = truth * 0
    if kind == 1:
        predicted = predicted * 0
    if kind == 2:
        predicted = rng.integers(0, 9, size=size)
    (real, many), (guess, few) = numbered(truth), numbered(predicted)
    classes = rng.integers(0, K - (kind == 3), size=max(many, few))  # the last class is absent from one in ten
    crowd = torch.from_numpy(rng.random(many) < 0.25)
    other = np.where(rng.random(few) < 0.2, rng.integers(0, K, size=few), classes[:few])
    return Segments(real, torch.from_numpy(classes[:many]).long(), crowd), Segments(guess, torch.from_numpy(other).long())


def test_a_thousand_random_cases_follow_the_rules():
    rng, seen = np.random.default_rng(0), {"tie": 0, "void": 0, "crowd": 0, "empty": 0, "match": 0, "lost": 0}
    for _ in range(1500):
        truth, predicted = case(rng)
        found = panoptic_statistics(truth, predicted, K)
        same(by_class(found), ruled(truth, predicted))
        pairs = overlaps(truth.ids, predicted.ids, len(truth.labels) + 1, len(predicted.labels) + 1)
        t, p = (side[(pairs.truth > 0) & (pairs.predicted > 0)] for side in (pairs.truth, pairs.predicted))
        ratio = pairs.ratios(t, p)
        seen["tie"] += bool((2 * ratio[:, 0] == ratio[:, 1]).any())
        seen["void"] += bool(((pairs.truth == 0) & (pairs.predicted > 0)).any())
        seen["crowd"] += bool(truth.crowd.any())
        seen["empty"] += len(truth.labels) == 0 or len(predicted.labels) == 0
        seen["match"] += len(found["matches"]) > 0
        seen["lost"] += bool(found["missed"].any())
    assert min(seen.values()) > 100, seen  # the cases hold what they are for


def test_the_bands_follow_the_rules_too():
    rng, matched = np.random.default_rng(1), 0
    for _ in range(150):
        ids = [np.kron(blocks(rng, (5, 6), 3), np.ones((4, 5), dtype=int)) for _ in range(2)]
        ids[1] = np.roll(np.where(rng.random() < 0.8, ids[0], ids[1]), rng.integers(0, 3, size=2), (0, 1))
        (real, many), (guess, few) = (numbered(x) for x in ids)
        labels = torch.from_numpy(rng.integers(0, 2, size=max(many, few)))
        truth = Segments(real, labels[:many], torch.from_numpy(rng.random(many) < 0.1))
        predicted = Segments(guess, labels[:few])
        distance = int(rng.integers(1, 4))
        bands = [torch.zeros_like(x.ids, dtype=torch.bool) for x in (truth, predicted)]
        for part, found in zip((truth, predicted), bands, strict=True):
            for i in range(len(part.labels)):
                found |= torch.from_numpy(rules.near_contour((part.ids == i + 1).numpy(), distance))
        statistics = panoptic_statistics(truth, predicted, 2, tuple(bands))
        matched += len(statistics["matches"])
        same(by_class(statistics), ruled(truth, predicted, distance))
    assert matched > 50


def test_by_hand():
    truth = of(["11122", "11122", "33300"], [0, 1, 2])
    predicted = of(["11222", "11222", "33333"], [0, 1, 3])
    found = plain(panoptic_statistics(truth, predicted, K))
    # 4 of 6 and 4 of 6 pixels; segment 3 of another class: missed as 2, wrong as 3 though 2 of its 5 pixels are in void
    assert found == {"matches": [[0, 4, 6], [1, 4, 6]], "wrong": [0, 0, 0, 1], "missed": [0, 0, 1, 0]}


def test_an_iou_of_one_half_is_no_match():
    assert plain(panoptic_statistics(of(["1112"], [0, 1]), of(["1233"], [1, 0, 1]), K))["matches"] == []
    half = plain(panoptic_statistics(of(["1122"], [0, 1]), of(["1222"], [0, 1]), K))  # 1 of 2, 2 of 3
    assert half == {"matches": [[1, 2, 3]], "wrong": [1, 0, 0, 0], "missed": [1, 0, 0, 0]}


def test_only_the_void_of_the_truth_is_taken_from_the_union():
    beyond = plain(panoptic_statistics(of(["110000"], [0]), of(["111110"], [0]), K))
    assert beyond["matches"] == [[0, 2, 2]]
    within = plain(panoptic_statistics(of(["111111"], [0]), of(["111100"], [0]), K))
    assert within["matches"] == [[0, 4, 6]]


@pytest.mark.parametrize(
    ("row", "wrong"),
    [("1111", 1), ("1100", 1), ("1000", 0), ("1122", 1), ("1222", 0), ("1120", 1), ("1200", 0), ("1133", 1), ("1333", 1), ("0330", 1)],
)
def test_void_and_the_crowd_of_the_class_excuse_more_than_half(row, wrong):
    # 1: a segment of another class, 2: a crowd of the class, 3: a crowd of another class, 0: void
    truth = of([row], [1, 0, 2], [False, True, True])
    assert plain(panoptic_statistics(truth, of(["1111"], [0]), K))["wrong"][0] == wrong


def test_of_several_crowds_of_a_class_the_last_counts():
    first, last = of(["1112"], [0, 0], [True, True]), of(["1222"], [0, 0], [True, True])
    predicted = of(["1110"], [0])
    assert plain(panoptic_statistics(first, predicted, K))["wrong"] == [1, 0, 0, 0]
    assert plain(panoptic_statistics(last, predicted, K))["wrong"] == [0, 0, 0, 0]


def test_a_crowd_is_neither_matched_nor_missed():
    found = plain(panoptic_statistics(of(["1122"], [0, 1], [True, False]), of(["1122"], [0, 1]), K))
    assert found == {"matches": [[1, 2, 2]], "wrong": [0] * K, "missed": [0] * K}


def test_segments_without_a_pixel_are_missed_but_never_wrong():
    found = plain(panoptic_statistics(of(["11"], [0, 1]), of(["22"], [3, 0]), K))
    assert found == {"matches": [[0, 2, 2]], "wrong": [0] * K, "missed": [0, 1, 0, 0]}


def test_nothing_on_both_sides():
    nothing = of(["000"], [])
    assert plain(panoptic_statistics(nothing, nothing, K)) == {"matches": [], "wrong": [0] * K, "missed": [0] * K}


def test_many_segments_are_counted_by_sorting_as_in_the_table(monkeypatch):
    rng = np.random.default_rng(2)
    truth, predicted = (torch.from_numpy(rng.integers(0, 300, size=(40, 50)).astype(np.int32)) for _ in range(2))
    table = overlaps(truth, predicted, 300, 300)
    monkeypatch.setattr(panoptic, "SMALL_TABLE", 0)
    pairs = overlaps(truth, predicted, 300, 300)
    assert all(torch.equal(a, b) for a, b in zip(table[:3], pairs[:3], strict=True))
    assert int(pairs.pixels.sum()) == 2000
    wide = overlaps(truth, predicted, 2**20, 2**20)  # joint ids beyond 32 bit
    assert all(torch.equal(a, b) for a, b in zip(table[:3], wide[:3], strict=True))


@pytest.mark.parametrize("kind", [torch.uint8, torch.int16, torch.int64])
def test_ids_may_be_other_integers(kind):
    truth, predicted = of(["1122"], [0, 1]), of(["1222"], [0, 1])
    other = predicted._replace(ids=predicted.ids.to(kind))
    assert plain(panoptic_statistics(truth, other, K)) == plain(panoptic_statistics(truth, predicted, K))


def test_an_id_without_a_class_is_refused():
    with pytest.raises(DataError, match=r"segment 3 has no class; the prediction; fix: number segments 1\.\.2, 0 is void"):
        panoptic_statistics(of(["12"], [0, 1]), of(["13"], [0, 1]), K)
    with pytest.raises(DataError, match=r"segment -1 has no class; the truth"):
        panoptic_statistics(Segments(torch.tensor([[-1, 1]]), torch.tensor([0])), of(["11"], [0]), K)


def test_maps_of_different_size_are_refused():
    with pytest.raises(DataError, match="truth and prediction differ in size; 1x2 and 1x3"):
        panoptic_statistics(of(["11"], [0]), of(["111"], [0]), K)


def golden_pair():
    """The golden maps with contiguous ids, and the class of each of the 19 that is a thing."""
    with np.load(GOLDEN, allow_pickle=False) as arrays:
        maps = {name: arrays[name] for name in arrays.files}
    found = []
    for side in ("gt", "pred"):
        infos = json.loads(str(maps[f"{side}_segments"]))
        ids = np.zeros_like(maps[f"{side}_ids"])
        for number, info in enumerate(infos, 1):
            ids[maps[f"{side}_ids"] == info["id"]] = number
        labels, crowd = ([info.get(key, 0) for info in infos] for key in ("category_id", "iscrowd"))
        found.append(Segments(torch.from_numpy(ids), torch.tensor(labels), torch.tensor(crowd, dtype=torch.bool)))
    return *found, maps["isthing"].astype(bool)


def test_the_golden_pair():
    truth, predicted, things = golden_pair()
    found = by_class(panoptic_statistics(truth, predicted, 19))
    same(found, ruled(truth, predicted))
    official = {"all": (0.747634, 0.774237, 0.828571, 7), "things": (0.596534, 0.643089, 0.7, 4), "stuff": (0.949101, 0.949101, 1.0, 3)}
    for name, classes in (("all", range(19)), ("things", np.flatnonzero(things)), ("stuff", np.flatnonzero(~things))):
        assert rules.quality([found], classes) == pytest.approx(official[name], abs=6e-7)
