"""References are followed as far as the config itself says; what the environment says stays a name."""

from segexp.functional.references import follow


def test_followed_through_others_and_within_text():
    leaves = {"a": "${b}", "b": 3, "place": "${root}/x", "root": "${oc.env:ROOT}"}
    assert follow("${a}", leaves) == 3
    assert follow("lr-${b}", leaves) == "lr-3"
    assert follow("${place}", leaves) == "${oc.env:ROOT}/x"
    assert follow("${nobody}", leaves) == "${nobody}"
    assert follow("${loop}", {"loop": "${loop}"}) == "${loop}"
