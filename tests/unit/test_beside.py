"""What signals beside hashes found, in two looks at the same upload."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from hashdb.model import (
    Alignment,
    FrameMatch,
    Motion,
    Orientation,
    Rendering,
    Segment,
    SegmentPair,
    Strand,
    View,
)
from matcher.beside import Beside, Place, seen_otherwise
from matcher.correlation import Laid
from matcher.features import QUERY_GRID, REFERENCE_GRID
from matcher.motion import Agreement, laid_by
from tests.standing_camera import WINDOW, laid, scene, seen, watched
from tests.unit.test_heard import as_alignment, match


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


def test_a_reference_that_a_second_pass_tells_is_told():
    first = Beside((found("a", 0.2), found("b", 0.9)), any_moment=frozenset({"a", "b"}))
    both = first.or_surer(Beside((found("a", 0.8), found("b", 0.1))))
    assert (both.untold("a"), both.untold("b")) == (False, True)


def in_strand(reference: str, score: float, track: int) -> Alignment:
    """Seen from the second to the sixth second of a strand."""
    frames = tuple(
        FrameMatch(at, at + 10, 5, i, track, View.FULL, before=0.5, after=0.5)
        for i, at in enumerate((2.5, 3.5, 4.5, 5.5))
    )
    segment = SegmentPair(Segment(2.0, 6.0), Segment(12.0, 16.0))
    one = Alignment(reference, "local", Orientation.ORIGINAL, (segment,), frames, score, 1.0, 7.0)
    return one


CLOCKS = (
    Strand(0, np.arange(0, 10.5, 0.5), np.arange(0, 10.5, 0.5) / 2, 5.0),
    Strand(1, np.arange(1, 21.0), np.arange(0, 20.0) / 2, 10.0),
)


def test_what_a_strand_shows_is_told_by_the_clock_of_the_upload():
    both = Beside().or_apart(Beside((in_strand("a", 0.97, 1),)), CLOCKS)
    (one,) = both.alignments
    assert [f.offset for f in one.frames] == [6.0, 8.0, 10.0, 12.0]
    assert [f.reference_offset for f in one.frames] == [12.5, 13.5, 14.5, 15.5]
    assert {(f.before, f.after, f.track) for f in one.frames} == {(1.0, 1.0, 0)}
    assert one.segments == (SegmentPair(Segment(5.0, 13.0), Segment(12.0, 16.0)),)
    assert (one.score, one.evidence, one.speed) == (0.97, 7.0, 1.0)


def test_strands_are_believed_where_they_are_surer():
    whole = Beside(
        (found("a", 0.99), found("b", 0.2)),
        other_moment=frozenset({"c", "d"}),
        any_moment=frozenset({"b"}),
        unsure=(3.0,),
    )
    apart = Beside(
        (in_strand("a", 0.96, 0), in_strand("b", 0.98, 0), in_strand("c", 0.97, 1)),
        other_moment=frozenset({"a", "e"}),
    )
    both = whole.or_apart(apart, CLOCKS)
    assert scores(both) == [("a", 0.99), ("b", 0.98), ("c", 0.97)]
    assert both.other_moment == {"d", "e"}
    assert both.any_moment == {"b"}
    assert both.unsure == (3.0,)


def test_a_strand_must_be_sure():
    for score, expected in ((0.94, []), (0.96, [("a", 0.96)])):
        assert scores(Beside().or_apart(Beside((in_strand("a", score, 0),)), CLOCKS)) == expected


def test_a_strand_without_a_clock_says_nothing():
    both = Beside((found("a", 0.2),)).or_apart(Beside((in_strand("a", 0.9, 2),)), CLOCKS)
    assert scores(both) == [("a", 0.2)]


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


def place(track: int = 0, reference: str = "ref", wanders: float = 0.0) -> Place:
    found = seen(TIMES, WINDOW, Rendering.PLAIN)
    return Place(reference, track, found.shown_at, laid_by(found), wanders)


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


@pytest.mark.parametrize(
    ("given", "whole"),
    [
        ({}, True),
        ({"map": np.array([[2.0, 0.0, 1.0], [0.0, 2.0, -1.0]])}, True),
        ({"map": np.array([[2.0, 0.0, 9.0], [0.0, 2.0, 0.0]])}, False),
        ({"mirrored": True}, False),
        ({"inverted": True}, False),
        ({"own_maps": {}}, False),
    ],
)
def test_a_whole_picture_is_laid_on_all_of_the_uploads_as_it_is(given: dict[str, Any], whole: bool):
    plain = Laid(np.array([[2.0, 0.0, 0.0], [0.0, 2.0, 0.0]]), (80.0, 60.0), (160.0, 120.0))
    place = Place("ref", 0, np.arange(3.0), replace(plain, **given))
    assert place.is_whole is whole


@pytest.mark.parametrize(
    ("stands", "on", "elsewhere", "otherwise"),
    [
        (True, 0.1, 0.25, True),
        (True, 0.1, 0.15, False),
        (True, 0.3, 0.9, False),
        (False, 0.1, 0.25, False),
        (False, 0.1, 0.31, True),
        (False, 0.2, 0.34, False),
        (False, 0.2, 0.36, True),
        (False, 0.3, 0.9, False),
    ],
)
def test_a_camera_that_moves_must_clearly_be_at_another_moment(
    banked: Motion,
    stands: bool,
    on: float,
    elsewhere: float,
    otherwise: bool,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr("matcher.beside.stands_still", lambda _: stands)
    monkeypatch.setattr("matcher.beside.agreement_on", lambda *_: Agreement(on, elsewhere))
    monkeypatch.setattr("matcher.beside.leads_to", lambda *_: False)
    assert seen_otherwise(heard(FROM_S), [place()], [shown(1)], banked) is otherwise


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


def test_nor_does_a_place_that_is_shifted_from_picture_to_picture(banked: Motion):
    """What is compared is not what it shows."""
    cell = 1 / REFERENCE_GRID
    for wanders, otherwise in ((cell, True), (cell + 0.001, False)):
        some = [place(wanders=wanders)]
        assert seen_otherwise(heard(FROM_S + 8), some, [shown(1)], banked) is otherwise


def test_how_far_a_place_is_shifted():
    found = seen(TIMES, WINDOW, Rendering.PLAIN)
    assert found.wanders == 0.0
    moved = [
        replace(s, agreement=replace(s.agreement, map=WINDOW + [[0, 0, 3 * n], [0, 0, -6 * n]]))
        for n, s in enumerate(found.sights)
    ]
    picture = found.sights[0].shot.picture
    furthest = 6 * (len(moved) - 1) / max(picture.width, picture.height)
    assert replace(found, sights=tuple(moved)).wanders == pytest.approx(furthest)


def test_one_place_that_agrees_is_enough(banked: Motion):
    early, right = (
        watched([(t, laid(scene(1, t + start), WINDOW)) for t in TIMES], QUERY_GRID)
        for start in (FROM_S - 8, FROM_S)
    )
    both = [early, Motion(right.offsets, right.grids, 1)]
    assert seen_otherwise(heard(FROM_S), [place(0)], both, banked)
    assert not seen_otherwise(heard(FROM_S), [place(0), place(1)], both, banked)


def test_what_turns_out_to_be_of_another_moment_is_not_kept():
    first = Beside((found("a", 0.9), found("b", 0.9)), doubted=(np.array([1.0, 2.0]),))
    looked = Beside((found("a", 0.1),), other_moment=frozenset({"b"}), refuted=frozenset("ab"))
    both = first.or_surer(looked)
    assert scores(both) == [("a", 0.1)]
    assert both.untold("b")
    joined = first.and_also(looked)
    assert (len(joined.doubted), joined.refuted) == (1, {"a", "b"})


def test_what_was_refuted_does_not_come_back_in_a_strand():
    apart = Beside((in_strand("a", 0.99, 1), in_strand("b", 0.99, 1)))
    both = Beside(refuted=frozenset("a")).or_apart(apart, CLOCKS)
    assert scores(both) == [("b", 0.99)]
