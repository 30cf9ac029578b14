"""What signals beside hashes found, in two looks at the same upload."""

from __future__ import annotations

from hashdb.model import Alignment, Orientation
from matcher.beside import Beside


def found(reference: str, score: float) -> Alignment:
    return Alignment(reference, "local", Orientation.ORIGINAL, (), (), score)


def scores(beside: Beside) -> list[tuple[str, float]]:
    return sorted((a.reference_id, a.score) for a in beside.alignments)


def test_of_each_reference_the_surer_look_counts():
    first = Beside((found("a", 0.9), found("a", 0.2), found("b", 0.3), found("c", 0.5)))
    second = Beside((found("a", 0.4), found("b", 0.8), found("b", 0.1), found("d", 0.6)))
    assert scores(first.or_surer(second)) == [
        ("a", 0.2),
        ("a", 0.9),
        ("b", 0.1),
        ("b", 0.8),
        ("c", 0.5),
        ("d", 0.6),
    ]


def test_a_closer_look_that_finds_nothing_loses_nothing():
    first = Beside((found("a", 0.9),), any_moment=frozenset({"a"}), unsure=(3.0,))
    both = first.or_surer(Beside(other_moment=frozenset({"a", "b"})))
    assert scores(both) == [("a", 0.9)]
    assert both.other_moment == {"b"}
    assert both.any_moment == {"a"}


def test_together_they_are_both():
    one = Beside((found("a", 0.9),), frozenset("x"), frozenset("y"), (1.0,))
    other = Beside((found("b", 0.1),), frozenset("z"), frozenset(), (2.0,))
    both = one.and_also(other)
    assert scores(both) == [("a", 0.9), ("b", 0.1)]
    assert (both.other_moment, both.any_moment) == ({"x", "z"}, {"y"})
    assert both.unsure == (1.0, 2.0)
