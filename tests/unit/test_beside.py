"""What signals beside hashes found, in two looks at the same upload."""

from __future__ import annotations

import numpy as np
import pytest

from hashdb.model import Alignment, Motion, Orientation, Rendering
from matcher.beside import Beside, Place, seen_otherwise
from matcher.features import QUERY_GRID, REFERENCE_GRID
from matcher.motion import laid_by
from tests.unit.test_heard import as_alignment, match
from tests.unit.test_motion import WINDOW, laid, scene, seen, watched


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


# --- sound, and what is seen of the same reference ----------------------------------------------

TIMES = np.arange(0, 12, 0.8).tolist()
FROM_S = 9.0  # the upload's beginning in the reference


@pytest.fixture(scope="module")
def banked() -> Motion:
    return watched([(t, scene(1, t)) for t in np.arange(0, 30, 0.25).tolist()], REFERENCE_GRID)


def shown(hour: int) -> Motion:
    """A picture within a picture, of the reference's place."""
    pictures = [(t, laid(scene(hour, t + FROM_S), WINDOW)) for t in TIMES]
    return watched(pictures, QUERY_GRID)


def heard(start: float) -> Alignment:
    """The reference's sound from that second on."""
    return as_alignment(match((0.0, 12.0, start, start + 12.0)))


def place(track: int = 0, reference: str = "ref") -> Place:
    found = seen(TIMES, WINDOW, Rendering.PLAIN)
    return Place(reference, track, found.shown_at, laid_by(found))


def test_a_copy_moves_as_its_sound_says(banked: Motion):
    assert not seen_otherwise(heard(FROM_S), [place()], [shown(1)], banked)


def test_sound_of_another_moment_is_a_repetition(banked: Motion):
    assert seen_otherwise(heard(FROM_S + 8), [place()], [shown(1)], banked)


def test_a_copy_that_changes_as_its_sound_says_is_none(
    banked: Motion, monkeypatch: pytest.MonkeyPatch
):
    """However faint it agrees otherwise: the picture may be small."""
    monkeypatch.setattr("matcher.beside.UNLIKE", 1.1)
    monkeypatch.setattr("matcher.beside.LEAST", -1.0)
    assert not seen_otherwise(heard(FROM_S), [place()], [shown(1)], banked)
    assert seen_otherwise(heard(FROM_S + 8), [place()], [shown(1)], banked)
    assert seen_otherwise(heard(FROM_S), [place()], [shown(2)], banked)


def test_what_moves_as_nothing_in_the_reference_says_nothing(banked: Motion):
    """So does a copy whose picture is zoomed and panned."""
    assert not seen_otherwise(heard(FROM_S), [place()], [shown(2)], banked)


def test_what_is_not_seen_says_nothing_against_a_sound(banked: Motion):
    other = heard(FROM_S + 8)
    still = watched([(t, laid(scene(1, 9.0), WINDOW)) for t in TIMES], QUERY_GRID)
    assert not seen_otherwise(other, [], [shown(1)], banked)
    assert not seen_otherwise(other, [place(reference="another")], [shown(1)], banked)
    assert not seen_otherwise(other, [place(track=1)], [shown(1)], banked)
    assert not seen_otherwise(other, [place()], [still], banked)


def test_one_place_that_agrees_is_enough(banked: Motion):
    early, right = (
        watched([(t, laid(scene(1, t + start), WINDOW)) for t in TIMES], QUERY_GRID)
        for start in (FROM_S - 8, FROM_S)
    )
    both = [early, Motion(right.offsets, right.grids, 1)]
    assert seen_otherwise(heard(FROM_S), [place(0)], both, banked)
    assert not seen_otherwise(heard(FROM_S), [place(0), place(1)], both, banked)
