"""The same place or the same moment, with made footage (`tests.made_world`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pytest

from hashdb.index.local import LocalIndex
from hashdb.model import LocalFeatures, Motion, Rendering
from hashdb.ports import Nominee
from matcher import moments, moving, verify
from matcher.correlation import Line
from matcher.laying import Found, steadiness
from matcher.moments import at_its_moment, is_surely_told
from matcher.motion import Agreement, Comparison
from matcher.sighting import Shot, Sight, picture_of
from tests.made_world import (
    ANOTHER,
    PLACE,
    PLAIN,
    SMALLER,
    THEN,
    copy,
    features,
    fixed,
    index_of,
    judged,
    layer,
    looked_for,
    panning,
    reference,
    seen,
    shown,
)

CLEAR = 0.9


@pytest.fixture(scope="module")
def index() -> LocalIndex:
    return index_of(reference(fixed(PLACE, THEN)), reference(panning(1)))


def judge(query: LocalFeatures, index: LocalIndex) -> Found | None:
    found, some = seen(query, index)
    return at_its_moment(found, some, index.pictures(found.reference))


@pytest.mark.parametrize(
    ("by", "lost"), [(PLAIN, 0.2), (SMALLER, 0.5)], ids=["whole", "smaller and turned"]
)
def test_the_same_place_at_another_time_is_none(
    by: np.ndarray, lost: float, index: LocalIndex
) -> None:
    """What stands still is all there; what moves before it is something else."""
    assert judge(copy(fixed(PLACE, ANOTHER), 6, by=by, lost=lost), index) is None


@pytest.mark.parametrize(
    ("by", "lost"), [(PLAIN, 0.2), (SMALLER, 0.5)], ids=["whole", "smaller and turned"]
)
def test_the_same_place_at_the_same_time_is_kept(
    by: np.ndarray, lost: float, index: LocalIndex
) -> None:
    kept = judge(copy(fixed(PLACE, THEN), 6, by=by, lost=lost), index)
    assert kept is not None
    assert kept.reference == 0
    assert kept.speed == pytest.approx(1.0, abs=0.05)
    assert kept.offset == pytest.approx(4.0, abs=0.4)
    assert len(kept.moved) == len(kept.sights)
    assert float(np.median(kept.moved)) > 5


@pytest.mark.parametrize("offset", [0.0, 11.5])
def test_moving_parts_tell_the_moment_where_the_place_cannot(
    offset: float, index: LocalIndex
) -> None:
    """By what stands still any moment would do."""
    query = copy(fixed(PLACE, THEN), 6, offset=offset)
    ((found, a), *_) = judged(query, index)
    assert found == 0
    assert a.score > CLEAR
    (pair,) = a.segments
    assert (pair.reference.start, pair.reference.end) == pytest.approx(
        (offset, offset + 6), abs=0.6
    )


@pytest.mark.parametrize("speed", [0.5, 2.0])
def test_moving_parts_tell_the_speed(speed: float, index: LocalIndex) -> None:
    kept = judge(copy(fixed(PLACE, THEN), 8, offset=2.0, speed=speed), index)
    assert kept is not None
    assert kept.speed == pytest.approx(speed, rel=0.05)
    assert kept.offset == pytest.approx(2.0, abs=0.4)


def test_a_wrong_line_is_led_to_the_moment_that_moving_parts_say(index: LocalIndex) -> None:
    wrong, mine = six_seconds_off(index)
    kept = at_its_moment(wrong, mine, index.pictures(0))
    assert kept is not None
    assert kept.offset == pytest.approx(9.0, abs=0.4)
    assert kept.speed == pytest.approx(1.0, abs=0.05)
    assert not kept.told


@pytest.mark.parametrize(
    ("agreement", "told"),
    [
        pytest.param(Agreement(0.8, 0.2), True, id="clearly"),
        pytest.param(Agreement(0.45, 0.2), False, id="too little to say so"),
        pytest.param(Agreement(0.6, 0.5), False, id="as well elsewhere"),
        pytest.param(Agreement(0.2, 0.1), None, id="it is another moment"),
    ],
)
def test_motion_confirms_the_line_that_moving_parts_say(
    agreement: Agreement, told: bool | None, index: LocalIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moments, "_agreement", lambda *_: agreement)
    wrong, mine = six_seconds_off(index)
    kept = at_its_moment(wrong, mine, index.pictures(0))
    assert (None if kept is None else kept.told) is told


@pytest.mark.parametrize(
    ("agreements", "kept"),
    [
        pytest.param([0.2, None], False, id="on the other line nothing moves"),
        pytest.param([0.2, 0.8], True, id="on the other line it agrees"),
        pytest.param([None, None], True, id="motion is not known"),
    ],
)
def test_a_line_on_which_nothing_moves_is_none_where_what_moves_spoke_against_the_first(
    agreements: list[float | None], kept: bool, index: LocalIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody who stands still before the camera now and then."""
    asked = iter([None if on is None else Agreement(on, 0.1) for on in agreements])
    monkeypatch.setattr(moments, "_agreement", lambda *_: next(asked))
    monkeypatch.setattr(moving, "moved", lambda found, _: (9,) * len(found.sights))
    wrong, mine = six_seconds_off(index)
    judged_again = at_its_moment(replace(wrong, stands=True), mine, index.pictures(0))
    assert (judged_again is not None) is kept


@pytest.mark.parametrize(
    ("seen_to_move", "still", "kept"),
    [
        pytest.param(True, False, False, id="spoken against: it scans a lot twice"),
        pytest.param(True, True, True, id="spoken against, of a camera that stands still"),
        pytest.param(False, False, True, id="what moves was not seen on the first line"),
    ],
)
def test_a_camera_that_moves_has_no_other_line_for_one_that_was_spoken_against(
    seen_to_move: bool,
    still: bool,
    kept: bool,
    index: LocalIndex,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All of its picture moves, and goes by in the same way."""
    asked = iter([Agreement(0.2, 0.1)] * seen_to_move + [Agreement(0.8, 0.1)] * 2)
    seen_each = iter([(9,) * 20 if seen_to_move else None])
    monkeypatch.setattr(moments, "_agreement", lambda *_: next(asked))
    monkeypatch.setattr(moving, "moved", lambda found, _: next(seen_each, (9,) * len(found.sights)))
    monkeypatch.setattr(moving, "is_fixed", lambda *_: False)
    monkeypatch.setattr(moments, "stands_still", lambda _: still)
    motion = Motion(np.arange(40) / 4, np.zeros((40, 16, 16), np.int8))
    wrong, mine = six_seconds_off(index)
    wrong = replace(wrong, stands=True)
    again = at_its_moment(wrong, mine, index.pictures(0), lambda: (motion, motion))
    assert (again is not None) is kept


@pytest.mark.parametrize(
    ("moment", "agrees", "told"),
    [
        pytest.param(THEN, 0.3, True, id="what moves is seen"),
        pytest.param(ANOTHER, 0.74, False, id="another car that goes the same way"),
        pytest.param(ANOTHER, 0.76, True, id="the same moves, however little of it is seen"),
    ],
)
def test_where_features_that_move_are_missing_motion_must_agree_well(
    moment: int, agrees: float, told: bool, index: LocalIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = Comparison(Line(1.0, 4.0), agrees, agrees)
    monkeypatch.setattr(moments, "compare", lambda *_: line)
    motion = Motion(np.arange(40) / 4, np.zeros((40, 16, 16), np.int8))
    found, mine = seen(copy(fixed(PLACE, moment), 6), index)
    kept = at_its_moment(
        replace(found, stands=True), mine, index.pictures(0), lambda: (motion, motion)
    )
    assert (kept is not None and kept.told) is told


@pytest.mark.parametrize(
    ("agreement", "seconds", "kept"),
    [
        pytest.param(Agreement(0.06, 0.44), 4, False, id="what moves is of another moment"),
        pytest.param(Agreement(0.2, 0.3), 4, True, id="of none clearly"),
        pytest.param(None, 4, True, id="nothing moves"),
        pytest.param(Agreement(0.06, 0.44), 8, True, id="too often seen to be chance"),
    ],
)
def test_features_at_normal_speed_are_held_against_what_moves(
    agreement: Agreement | None,
    seconds: float,
    kept: bool,
    index: LocalIndex,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Somebody whom a camera follows looks alike at many moments."""
    monkeypatch.setattr(moments, "_agreement", lambda *_: agreement)
    found, mine = seen(copy(panning(1), seconds), index)
    assert (at_its_moment(found, mine, index.pictures(1)) is not None) is kept


@pytest.mark.parametrize(
    ("agreement", "drifts", "kept"),
    [
        pytest.param(Agreement(0.17, 0.22), True, False, id="it agrees more elsewhere"),
        pytest.param(Agreement(0.22, 0.22), True, False, id="as well elsewhere"),
        pytest.param(Agreement(0.22, 0.17), True, True, id="more here"),
        pytest.param(None, True, True, id="nothing moves"),
        pytest.param(Agreement(0.06, 0.44), False, True, id="it does not drift"),
    ],
)
def test_where_the_picture_drifts_what_moves_must_agree_more_than_elsewhere(
    agreement: Agreement | None,
    drifts: bool,
    kept: bool,
    index: LocalIndex,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Somebody who sits before a hand-held camera looks alike at another time, however often."""
    monkeypatch.setattr(moments, "_agreement", lambda *_: agreement)
    found, mine = seen(copy(panning(1), 8), index)
    assert len(found.sights) > moments.FEW_SIGHTS
    assert steadiness(found.sights) > 0.9
    if drifts:
        found = replace(found, sights=tuple(drifting(found.sights)))
        assert steadiness(found.sights) < moments.DRIFTS
    told = at_its_moment(found, mine, index.pictures(1))
    assert told is not None
    assert told.drifts is not kept


def drifting(sights: Sequence[Sight]) -> Iterator[Sight]:
    """Each further to one side: its map, and what is found of it."""
    for n, sight in enumerate(sights):
        shift = np.array([8.0 * n, 0.0])
        where = sight.agreement.map.copy()
        where[:, 2] += shift
        pairs = replace(sight.pairs, target=sight.pairs.target + shift)
        yield replace(sight, pairs=pairs, agreement=replace(sight.agreement, map=where))


@pytest.mark.parametrize(
    ("agreement", "lacking", "kept"),
    [
        pytest.param(Agreement(0.06, 0.44), False, False, id="what moves is of another moment"),
        pytest.param(Agreement(0.2, 0.3), False, True, id="of none clearly"),
        pytest.param(Agreement(0.7, 0.6), True, False, id="others do so, and who comes is missing"),
        pytest.param(Agreement(0.7, 0.6), False, True, id="others do so, but who comes is seen"),
        pytest.param(Agreement(0.7, 0.4), True, True, id="nobody else does so"),
        pytest.param(None, True, True, id="nothing moves"),
    ],
)
def test_before_a_camera_that_stands_still_it_is_asked_however_often_it_was_seen(
    agreement: Agreement | None,
    lacking: bool,
    kept: bool,
    index: LocalIndex,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(moments, "_agreement", lambda *_: agreement)
    monkeypatch.setattr(moments, "stands_still", lambda _: True)
    monkeypatch.setattr(moving, "lacks_what_comes", lambda *_: lacking)
    motion = Motion(np.arange(40) / 4, np.zeros((40, 16, 16), np.int8))
    found, mine = seen(copy(panning(1), 8), index)
    assert len(found.sights) > moments.FEW_SIGHTS
    judged_again = at_its_moment(found, mine, index.pictures(1), lambda: (motion, motion))
    assert (judged_again is not None) is kept


@pytest.mark.parametrize(("still", "kept"), [(True, False), (False, True)])
def test_neither_a_usual_speed_nor_an_odd_one_is_asked_where_the_camera_stands_still(
    still: bool, kept: bool, index: LocalIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a camera that moves it is believed: all of its features tell the moment."""
    monkeypatch.setattr(moments, "_agreement", lambda *_: Agreement(0.1, 0.6))
    monkeypatch.setattr(moments, "stands_still", lambda _: still)
    motion = Motion(np.arange(40) / 4, np.zeros((40, 16, 16), np.int8))
    found, mine = seen(copy(panning(1), 8), index)
    found = replace(found, speed=1.15)
    judged_again = at_its_moment(found, mine, index.pictures(1), lambda: (motion, motion))
    assert (judged_again is not None) is kept


def six_seconds_off(index: LocalIndex) -> tuple[Found, list[Shot]]:
    """A copy as found by what stands still alone, and its pictures."""
    query = copy(fixed(PLACE, THEN), 6, offset=9.0)
    found, _ = seen(copy(fixed(PLACE, THEN), 6, offset=3.0), index)
    mine = looked_for(query, index)[0]
    sights = moved_to(found, mine, index)
    return Found(found.reference, found.rendering, 1.0, 3.0, sights, found.led), mine


def moved_to(found: Found, mine: list[Shot], index: LocalIndex) -> tuple[Sight, ...]:
    """Sights of the pictures three seconds later, by the map that was found."""
    pictures = {p.offset: p for p in index.pictures(0)}
    sights = []
    for shot in mine:
        nominee = pictures[shot.offset + 3.0]
        pairs = verify.candidates(shot.picture, picture_of(nominee))
        common = found.sights[0].agreement.map
        sights.append(Sight(shot, nominee, pairs, verify.measured(common, pairs, 2.0)))
    return tuple(sights)


def test_where_nothing_stands_still_all_moves_and_the_line_stays(index: LocalIndex) -> None:
    query = copy(panning(1), 8)
    found, some = seen(query, index)
    kept = at_its_moment(found, some, index.pictures(1))
    assert kept is not None
    assert (kept.speed, kept.offset) == (found.speed, found.offset)
    assert kept.sights == found.sights
    # all that is found of it moves
    assert sum(kept.moved) > 0.9 * sum(s.agreement.inliers for s in found.sights)


@pytest.mark.parametrize(("standing", "told"), [(18, True), (24, False)])
def test_a_few_features_that_stand_still_are_no_measure(
    standing: int, told: bool, index: LocalIndex
) -> None:
    """Where the camera moves some look as if they stood still, by chance: of a faint copy these may
    be found and most others not. (`standing` features in all sights, all of them found.)"""
    found, _ = seen(copy(panning(1), 6, lost=0.8), index)
    moves = moving.Masks(index.pictures(1))
    for sight in found.sights:
        mask = moves[sight.nominee.offset] = np.ones(len(sight.nominee.codes), dtype=np.bool_)
        mask[sight.agreement.references[:6]] = standing <= 0
        standing -= 6
    assert (moving.moved(found, moves) is not None) is told


def test_where_nothing_moves_the_place_is_all_there_is() -> None:
    """A reference that shows a thing that stands still: its absence of movement is no evidence."""
    world = [layer(20, 150, pace=0.0)]
    held = index_of(reference(world))
    kept = judge(copy(world, 6), held)
    assert kept is not None
    assert max(kept.moved) <= 2


def test_little_that_moves_is_not_enough_to_refuse() -> None:
    """Fewer moving features than could be told from chance, in a few pictures."""
    held = index_of(reference(fixed(PLACE, THEN, density=1)))
    assert judge(copy(fixed(PLACE, ANOTHER, density=1), 2), held) is not None


def test_a_short_reference_has_no_pictures_to_compare() -> None:
    """Within 1.5 s nothing can be said to stand still."""
    held = index_of(reference(fixed(PLACE, THEN), seconds=1.5))
    kept = judge(copy(fixed(PLACE, ANOTHER), 1.5, offset=0.0), held)
    assert kept is not None
    assert set(kept.moved) == {0}


def test_the_place_alone_is_not_reported(index: LocalIndex) -> None:
    """Of two queries in which the place is seen all the time, one is reported in full, and the one
    with other moving parts not at all."""
    then, another = (copy(fixed(PLACE, m), 6) for m in (THEN, ANOTHER))
    assert judged(another, index) == []
    ((_, a), *_) = judged(then, index)
    assert a.score > CLEAR
    found, _ = seen(another, index)
    assert len(found.sights) > 8


@pytest.mark.xfail(
    strict=True,
    raises=AssertionError,
    reason="a frozen picture is looked for at moving lines only, where it is another moment",
)
def test_a_frozen_picture_of_a_fixed_camera_is_one_of_its_moments(index: LocalIndex) -> None:
    """One picture of the reference, held for six seconds: all that moves is there, too."""
    assert judge(copy(fixed(PLACE, THEN), 6, speed=0.0, offset=6.0, lost=0.2), index) is not None


def test_what_moves_is_what_no_picture_away_shows_at_its_place() -> None:
    still, passing = fixed(PLACE, THEN)
    held = index_of(reference([still, passing]))
    pictures = held.pictures(0)
    for at in (0, 7, len(pictures) - 1):
        mask = moving._moves(pictures[at], pictures)
        n = len(still.codes)
        assert mask.shape == (len(pictures[at].codes),)
        assert not mask[:n].any()
        assert mask[n:].mean() > 0.95
    nothing = held.pictures(0)[:1]
    assert not moving._moves(nothing[0], nothing).any()


def test_pictures_of_a_still_scene_far_apart_are_enough() -> None:
    """Of a scene that stands still, one picture in four seconds is kept."""
    world = fixed(PLACE, THEN)
    pictures = [(float(t), *shown(world, t)) for t in (0, 4, 8, 9, 9.5, 10, 10.5, 11, 11.5, 12)]
    held = index_of(features(pictures))
    assert judge(copy(world, 4, offset=8.0), held) is not None
    assert judge(copy(fixed(PLACE, ANOTHER), 4, offset=8.0), held) is None


def found_with(speed: float, moved: int, elsewhere: int) -> tuple[Found, moving.Masks]:
    """Five pictures on a line through the reference's first second; each shows so many moving
    features there, and so many of the reference's picture at 9 s."""
    none = np.empty((0, 32), np.uint8), np.empty((0, 4), np.float32)
    picture = verify.Picture(*none, 100, 100)
    pairs = verify.candidates(picture, picture)
    rows = np.arange(elsewhere)
    away = verify.Agreement(PLAIN, elsewhere, 1.0, 1.0, rows, rows)
    sights = [
        Sight(Shot(row, row / 5, Rendering.PLAIN, picture), nominee, pairs, away)
        for nominee in (Nominee(0.0, 0, t, *none, 100, 100) for t in (0.0, 9.0))
        for row in range(5)
    ]
    masks = moving.Masks([])
    masks[9.0] = np.ones(50, dtype=np.bool_)
    kept = tuple(sights[:5])
    return Found(
        0, Rendering.PLAIN, speed, 0.0, kept, 5, seen=tuple(sights), moved=(moved,) * 5
    ), masks


@pytest.mark.parametrize(
    ("agreement", "speed", "elsewhere", "against", "speaks_for"),
    [
        (None, 0.6, 20, False, False),  # nothing moves, or too little can be compared
        (Agreement(0.29, 0.1), 1.0, 0, True, False),
        (Agreement(0.6, 0.2), 0.6, 9, True, False),  # a lot that is scanned twice
        (Agreement(0.6, 0.2), 0.6, 6, False, True),
        (Agreement(0.6, 0.5), 0.6, 0, False, False),  # other lines agree nearly as well
        (Agreement(0.45, 0.1), 0.6, 0, False, False),  # too little to say the speed is right
        (Agreement(0.4, 0.38), 1.0, 9, True, False),  # slides of one make, with a clock
        (Agreement(0.4, 0.38), 1.0, 7, False, False),
        (Agreement(0.4, 0.2), 1.0, 9, False, False),  # at normal speed, and this moment agrees best
        (Agreement(0.8, 0.8), 0.6, 20, False, False),  # the same moves, at whichever moment
    ],
)
def test_motion_speaks_against_a_line_or_for_it(
    agreement: Agreement | None, speed: float, elsewhere: int, against: bool, speaks_for: bool
) -> None:
    found, masks = found_with(speed, moved=8, elsewhere=elsewhere)
    assert moments._contradicted(found, [], masks, agreement) == against
    assert moments._confirmed(found, masks, agreement) == speaks_for


@pytest.mark.parametrize(
    ("on", "elsewhere", "stands", "lacks", "against"),
    [
        (0.5, 0.2, True, True, True),
        (0.5, 0.2, True, False, False),
        (0.5, 0.2, False, True, False),  # where the camera moves all comes and goes
        (0.8, 0.2, True, True, False),  # the same moves
        (0.79, 0.57, True, True, True),  # others leave the table much as they did
        (0.79, 0.57, True, False, False),
    ],
)
def test_who_is_missing_speaks_against_a_line_on_which_little_agrees(
    on: float,
    elsewhere: float,
    stands: bool,
    lacks: bool,
    against: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found, masks = found_with(1.0, moved=8, elsewhere=0)
    monkeypatch.setattr(moving, "lacks_what_comes", lambda *_: lacks)
    agreement = Agreement(on, elsewhere)
    assert moments._contradicted(replace(found, stands=stands), [], masks, agreement) is against


@pytest.mark.parametrize(
    ("on", "elsewhere", "told"),
    [
        (0.9, 0.89, True),  # the same moves
        (0.76, 0.5, True),
        (0.76, 0.52, False),  # another moment agrees nearly as well
        (0.61, 0.2, True),
        (0.61, 0.22, False),
        (0.59, 0.1, False),
    ],
)
def test_what_moves_tells_a_moment_surely(
    on: float, elsewhere: float, told: bool, index: LocalIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, _ = seen(copy(fixed(PLACE, THEN), 6), index)
    monkeypatch.setattr(moments, "_agreement", lambda *_: Agreement(on, elsewhere))
    assert is_surely_told(replace(found, speed=1.0)) is told


def test_nothing_is_surely_told_where_motion_is_not_known(index: LocalIndex) -> None:
    found, _ = seen(copy(fixed(PLACE, THEN), 6), index)
    assert not is_surely_told(found)
