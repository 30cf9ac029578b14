"""An upload that is looked at from its end, with made footage (`tests.made_world`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from hashdb.index.local import LocalIndex
from hashdb.model import (
    Alignment,
    FrameMatch,
    Grey,
    LocalFeatures,
    Motion,
    Orientation,
    Rendering,
    Segment,
    SegmentPair,
    View,
)
from matcher import localize, sighting
from matcher.beside import Beside
from matcher.laying import Found, usual
from matcher.moments import at_its_moment
from matcher.pieces import joined
from matcher.played import MANY, Seen, Watched, as_played, backwards, is_another_pass, only
from matcher.score import rescore
from tests.made_world import aligned, best, copy, index_of, looked_for, panning, reference

SECONDS = 10.3


@pytest.fixture(scope="module")
def index() -> LocalIndex:
    return index_of(reference(panning(1)), reference(panning(2)))


def seen(
    features: Sequence[LocalFeatures],
    index: LocalIndex,
    motion: Sequence[Motion] = (),
    greys: Sequence[Grey] = (),
) -> Seen:
    shots = sighting.shots(features)
    alike = {s.offset: np.full(32, s.row, np.uint8) for s in shots}
    sights = sighting.sighted(shots, index)
    return Seen(0, SECONDS, shots, sights, [], [0, 1], motion, Watched(motion, greys), alike)


def moments(one: Seen) -> list[tuple[int, float, Rendering]]:
    return [(s.row, s.offset, s.rendering) for s in one.shots]


def test_twice_is_as_it_was(index: LocalIndex) -> None:
    rng = np.random.default_rng(3)
    grids = rng.integers(-90, 90, (5, 4, 4)).astype(np.int8)
    motion = Motion(np.array([0.5, 1.0, 3.0, 3.5, 9.0]), grids, 0, np.zeros((4, 4), np.uint8))
    greys = [Grey(np.full((8, 8), i, np.uint8), 0, at) for i, at in enumerate((0.5, 2.0))]
    plain = copy(panning(1), speed=-1.0, offset=14.0)
    one = seen([plain, replace(plain, rendering=Rendering.MIRRORED)], index, [motion], greys)
    back = backwards(one)
    (turned,) = back.motion
    assert turned.offsets == pytest.approx([1.3, 6.8, 7.3, 9.3, 9.8])
    np.testing.assert_array_equal(turned.grids, grids[::-1])
    assert {o: c[0] for o, c in back.alike.items()} == {
        SECONDS - s.offset: s.row for s in one.shots
    }
    told = [(int(grey.luma[0, 0]), grey.offset) for grey in back.every.greys]
    assert told == [(1, SECONDS - 2.0), (0, SECONDS - 0.5)]
    again = backwards(back)
    assert [row for row, *_ in moments(again)] == [row for row, *_ in moments(one)]
    np.testing.assert_allclose([s.offset for s in again.shots], [s.offset for s in one.shots])
    np.testing.assert_allclose(again.every.motion[0].offsets, motion.offsets)
    np.testing.assert_array_equal(again.motion[0].grids, grids)
    assert [s.nominee.offset for s in again.sights] == [s.nominee.offset for s in one.sights]


def test_time_rises_and_the_same_rows_are_asked_about_in_a_mirror(index: LocalIndex) -> None:
    one = seen([copy(panning(1), step=0.5)], index)
    for some in (one, replace(one, shots=one.shots[:-1])):  # of an even and an odd number
        back = backwards(some)
        rows, offsets = ([getattr(s, name) for s in back.shots] for name in ("row", "offset"))
        assert rows == sorted(rows)
        assert offsets == sorted(offsets)
        parity = {some.total_s - s.offset: s.row % 2 for s in some.shots}
        assert {s.offset: s.row % 2 for s in back.shots} == parity


def test_only_references_that_are_named_are_looked_for(index: LocalIndex) -> None:
    one = seen([copy(panning(1)), replace(copy(panning(2)), rendering=Rendering.MIRRORED)], index)
    assert {s.nominee.reference for s in one.sights} >= {0}
    assert {s.nominee.reference for s in only(one, [0]).sights} == {0}
    assert not only(one, []).sights


def test_footage_that_is_played_backwards_is_found(index: LocalIndex) -> None:
    query = copy(panning(1), speed=-1.0, offset=14.0)
    assert best(query, index) < 0.5
    one = seen([query], index)
    back = backwards(one)
    found, *_ = localize.lines(back.shots, back.sights, index, still=[])
    assert usual(found.speed)
    moment = at_its_moment(found, list(back.shots), index.pictures(0))
    assert moment is not None
    told = as_played(aligned(moment, replace(query, offsets=SECONDS - query.offsets[::-1])), one)
    assert told.score > 0.95
    assert told.speed == pytest.approx(-1.0, abs=0.05)
    assert [f.offset for f in told.frames] == sorted(f.offset for f in told.frames)
    assert {f.offset for f in told.frames} <= set(query.offsets.tolist())
    for frame in told.frames:
        assert frame.reference_offset == pytest.approx(14.0 - frame.offset, abs=0.3)
    (segment,) = told.segments
    assert (segment.query.start, segment.query.end) == pytest.approx((0, 10), abs=0.6)
    assert (segment.reference.start, segment.reference.end) == pytest.approx((4, 14), abs=0.6)
    assert segment.backwards


def test_what_is_found_is_told_by_the_clock_of_the_upload(index: LocalIndex) -> None:
    one = seen([copy(panning(1), step=0.1)], index)
    offsets = [s.offset for s in one.shots][20:23]
    frames = tuple(
        FrameMatch(SECONDS - at, 3.0 + i, 5, i, 0, View.FULL, before=0.2, after=0.4)
        for i, at in enumerate(offsets[::-1])
    )
    pairs = (
        SegmentPair(Segment(1.0, 2.5), Segment(3.0, 4.5)),
        SegmentPair(Segment(8.0, 8.5), Segment(9.0, 9.5)),
    )
    told = as_played(
        Alignment("a", "local", Orientation.ORIGINAL, pairs, frames, 0.97, 1.5, 7.0), one
    )
    assert [f.offset for f in told.frames] == offsets  # to the bit
    assert [f.reference_offset for f in told.frames] == [5.0, 4.0, 3.0]
    assert {(f.before, f.after) for f in told.frames} == {(0.4, 0.2)}
    assert [(p.query.start, p.query.end) for p in told.segments] == [
        pytest.approx((1.8, 2.3)),
        pytest.approx((7.8, 9.3)),
    ]
    assert [p.reference for p in told.segments] == [Segment(9.0, 9.5), Segment(3.0, 4.5)]
    assert all(p.backwards for p in told.segments)
    assert (told.score, told.speed, told.evidence) == (0.97, -1.5, 7.0)


def found(reference: str, score: float, speed: float = 1.0) -> Alignment:
    return Alignment(reference, "local", Orientation.ORIGINAL, (), (), score, speed)


@pytest.mark.parametrize(("score", "told"), [(0.94, 0.5), (0.96, 0.96)])
def test_it_must_be_sure_backwards(score: float, told: float) -> None:
    forth = Beside((found("a", 0.5),))
    (one,) = forth.or_otherwise(Beside((found("a", score, -1.0),))).alignments
    assert (one.score, one.speed) == (told, -1.0 if told == score else 1.0)


def test_a_moment_that_is_found_backwards_is_no_other() -> None:
    forth = Beside(
        (found("c", 0.2),),
        other_moment=frozenset("ab"),
        any_moment=frozenset("c"),
        missing=frozenset("ab"),
        unsure=(3.0,),
    )
    back = Beside((found("a", 0.97), found("b", 0.3)), other_moment=frozenset("d"))
    both = forth.or_otherwise(back)
    assert [(a.reference_id, a.score) for a in both.alignments] == [("c", 0.2), ("a", 0.97)]
    assert (both.other_moment, both.missing, both.unsure) == ({"b"}, {"b"}, (3.0,))
    assert both.any_moment == {"c"}
    again = forth.or_otherwise(Beside((found("c", 0.97),), any_moment=frozenset("c")))
    assert again.any_moment == {"c"}
    assert not forth.or_otherwise(Beside((found("c", 0.97),))).any_moment


FEW = {"a": 5, "b": 5}

# --- pieces --------------------------------------------------------------------------------------


def piece(
    at: float, moment: float, *, speed: float = 1.0, name: str = "a", alike: bool = False
) -> Alignment:
    """Five pictures, half a second apart, from `at` on, of a reference from `moment` on."""
    frames = [
        FrameMatch(
            at + i / 2,
            moment + speed * i / 2,
            65,
            0 if alike else i,
            0,
            View.FULL,
            before=0.25,
            after=0.25,
        )
        for i in range(5)
    ]
    none = Alignment(name, "local", Orientation.ORIGINAL, (), (), 0.0, speed)
    one = rescore(none, frames, video=True)
    assert one is not None
    return one


def test_pieces_of_one_reference_add_up() -> None:
    one, other = piece(0.0, 2.0), piece(3.0, 11.0)
    (both,) = joined([one, other], FEW)
    assert both.evidence == pytest.approx(one.evidence + other.evidence)
    assert both.score > one.score
    shown = [x for p in both.segments for x in (p.reference.start, p.reference.end)]
    assert shown == pytest.approx([1.75, 4.25, 10.75, 13.25])
    assert {f.line for f in both.frames} == {0, 1}


def test_a_moment_that_is_shown_again_counts_once() -> None:
    one = piece(0.0, 2.0)
    (both,) = joined([one, piece(3.0, 2.1), piece(6.0, 4.1, speed=-1.0)], FEW)
    assert both.evidence == pytest.approx(one.evidence)
    assert len(both.segments) == 3


def test_pictures_that_look_alike_count_once_in_a_piece_as_before() -> None:
    one, other = piece(0.0, 2.0), piece(3.0, 11.0, alike=True)
    (both,) = joined([one, replace(other, score=0.6)], FEW)
    assert both.evidence < one.evidence + 2 * other.evidence
    assert len({f.group for f in both.frames}) == 6


def test_a_picture_is_in_one_piece_only() -> None:
    (both,) = joined([piece(0.0, 2.0), piece(1.0, 11.0)], FEW)
    assert sorted(f.offset for f in both.frames) == [i / 2 for i in range(7)]


def test_what_is_not_likely_is_no_piece() -> None:
    one = piece(0.0, 2.0)
    (both,) = joined([one, replace(piece(3.0, 11.0), score=0.49)], FEW)
    assert both.evidence == one.evidence
    assert not joined([replace(one, score=0.49)], FEW)


def test_pieces_of_two_references_or_in_a_mirror_are_apart() -> None:
    mirrored = replace(piece(6.0, 11.0), orientation=Orientation.FLIP_HORIZONTAL)
    some = joined([piece(0.0, 2.0), piece(3.0, 11.0, name="b"), mirrored], FEW)
    assert len(some) == 3


@pytest.mark.parametrize(("clear", "told"), [(22, True), (23, False)])
def test_pieces_must_be_much_of_what_shows_the_reference(clear: int, told: bool) -> None:
    """Two of five pictures, where a camera passes a place again."""
    some = joined([piece(0.0, 2.0), piece(3.0, 11.0)], {"a": clear})
    assert bool(some) is told


# --- another pass --------------------------------------------------------------------------------


def on_line(index: LocalIndex, speed: float = 1.0) -> Found:
    _, (found, *_) = looked_for(copy(panning(1), 8, speed=speed), index)
    return found


@pytest.mark.parametrize(
    ("speed", "another"), [(1.0, False), (0.85, False), (0.8, True), (1.25, True), (0.0, True)]
)
def test_another_pass_has_a_pace_of_its_own(speed: float, another: bool, index: LocalIndex) -> None:
    found = replace(on_line(index), speed=speed, seen=())
    assert is_another_pass(found) is another
    assert is_another_pass(found, any_pace=True) is (speed == 0.0)


@pytest.mark.parametrize(
    ("off", "part", "shots", "another"),
    [
        (5.0, 0.3, MANY - 1, True),
        (5.0, 0.2, MANY - 1, False),
        (3.0, 0.9, MANY - 1, False),
        (5.0, 0.9, MANY, False),
    ],
)
def test_shots_of_another_pass_show_other_moments_too(
    off: float, part: float, shots: int, another: bool, index: LocalIndex
) -> None:
    """But of many that do not drift scenes may come back."""
    found = on_line(index)
    found = replace(found, sights=found.sights[:shots])
    again = [
        replace(
            sight,
            nominee=replace(sight.nominee, offset=sight.shot.offset + found.offset + off),
            agreement=replace(sight.agreement, inliers=round(part * sight.agreement.inliers)),
        )
        for sight in found.sights
    ]
    there = replace(found, speed=1.0, seen=(*found.sights, *again))
    assert is_another_pass(there) is another


@pytest.mark.parametrize(("apart", "another"), [(0.0, False), (40.0, True)])
def test_shots_of_another_pass_drift(apart: float, another: bool, index: LocalIndex) -> None:
    """By the map with the median shift hardly any of their features lie where they should."""
    found = on_line(index)
    drifting = []
    for i, sight in enumerate(found.sights):
        shift = np.array([[0.0, 0.0, apart * (i % 3 - 1)], [0.0, 0.0, 0.0]])
        moved = replace(sight.agreement, map=sight.agreement.map + shift)
        pairs = replace(sight.pairs, target=sight.pairs.target + shift[:, 2])
        drifting.append(replace(sight, agreement=moved, pairs=pairs))
    assert is_another_pass(replace(found, speed=1.0, sights=tuple(drifting), seen=())) is another


def test_many_shots_that_drift_a_little_are_asked_for_other_moments(index: LocalIndex) -> None:
    found = on_line(index)
    assert len(found.sights) >= MANY
    away = found.offset + 5.0
    again = [
        replace(s, nominee=replace(s.nominee, offset=s.shot.offset + away)) for s in found.sights
    ]
    there = replace(found, speed=1.0, seen=(*found.sights, *again))
    assert not is_another_pass(there)
    odd = [i % 3 == 0 for i in range(len(found.sights))]  # of a third no feature lies there
    shift = np.array([[0.0, 0.0, 40.0], [0.0, 0.0, 0.0]])
    drifting = [
        replace(
            s,
            agreement=replace(s.agreement, map=s.agreement.map + shift),
            pairs=replace(s.pairs, target=s.pairs.target + shift[:, 2]),
        )
        if moved
        else s
        for s, moved in zip(found.sights, odd, strict=True)
    ]
    assert is_another_pass(replace(there, sights=tuple(drifting)))


def test_pictures_with_maps_of_their_own_may_be_of_another_pass(index: LocalIndex) -> None:
    found = on_line(index)
    turned = found.sights[0].agreement.map @ np.diag([1.0, 1.1, 1.0])
    own = replace(found.sights[0], agreement=replace(found.sights[0].agreement, map=turned))
    there = replace(found, speed=1.0, seen=())
    assert not is_another_pass(there)
    assert is_another_pass(replace(there, sights=(own, *found.sights[1:])))
