"""Runs of footage that is cut up, with made footage (`tests.made_world`)."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from hashdb.index.local import LocalIndex
from hashdb.model import LocalFeatures, Rendering
from matcher import sighting
from matcher.laying import Found
from matcher.pieces import pieces, shots_during
from tests.made_world import after, copy, index_of, panning, reference

PIECE_S = 2.5


@pytest.fixture(scope="module")
def index() -> LocalIndex:
    return index_of(reference(panning(1)), reference(panning(2)))


def cut_up(starts: Sequence[float], world: int = 1) -> LocalFeatures:
    """Pieces of the world from these moments on, one after the other."""
    return after(
        *(
            copy(panning(world), PIECE_S, offset=start - PIECE_S * i, start=PIECE_S * i, seed=i)
            for i, start in enumerate(starts)
        )
    )


def runs(query: LocalFeatures, index: LocalIndex) -> list[Found]:
    some = sighting.shots([query])
    found = pieces(some, sighting.sighted(some, index), index)
    return sorted(found, key=lambda f: f.sights[0].shot.offset)


@pytest.mark.parametrize("starts", [(4.0, 4.0, 4.0), (12.0, 3.0, 8.0)], ids=["looped", "shuffled"])
def test_each_piece_is_a_run(starts: Sequence[float], index: LocalIndex) -> None:
    found = runs(cut_up(starts), index)
    assert [f.reference for f in found] == [0] * 3
    assert [f.speed for f in found] == [1.0] * 3
    for i, one in enumerate(found):  # of a plane that goes by evenly any moment is laid likewise
        first, last = one.sights[0].shot.offset, one.sights[-1].shot.offset
        assert (first, last) == (PIECE_S * i, PIECE_S * i + 2.0)
        assert (len(one.sights), one.led, one.rendering) == (5, 5, Rendering.PLAIN)


def test_two_pictures_are_no_run(index: LocalIndex) -> None:
    two = after(copy(panning(1), 1.0, offset=4.0), copy(panning(1), 1.0, offset=9.0, start=1.0))
    assert not runs(two, index)


def test_a_run_passes_over_one_picture_and_not_over_two(index: LocalIndex) -> None:
    def with_gap(pictures: int) -> list[Found]:
        hidden = copy(panning(7), 0.5 * pictures, start=2.0, offset=0.0)
        rest = copy(panning(1), 2.0, start=2.0 + 0.5 * pictures, offset=4.0)
        return runs(after(copy(panning(1), 2.0, offset=4.0), hidden, rest), index)

    assert [len(f.sights) for f in with_gap(1)] == [8]
    assert [len(f.sights) for f in with_gap(2)] == [4, 4]


def test_the_shots_of_a_run_are_those_from_its_first_to_its_last(index: LocalIndex) -> None:
    query = cut_up((4.0, 12.0))
    first, _ = runs(query, index)
    during = shots_during(first.sights, sighting.shots([query]))
    assert [s.offset for s in during] == [0.0, 0.5, 1.0, 1.5, 2.0]


def test_what_was_withdrawn_meanwhile_has_no_runs(index: LocalIndex) -> None:
    some = sighting.shots([cut_up((4.0, 12.0))])
    sights = sighting.sighted(some, index)
    assert not pieces(some, sights, index_of())
