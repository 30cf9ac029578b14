"""Pictures that no one map lays: an edit that turns, sways, zooms or jumps; and half of a picture
beside that half in a mirror. Made footage (`tests.made_world`) and a real index."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from hashdb.index.local import LocalIndex
from hashdb.model import Floats, LocalFeatures, Motion, Rendering
from matcher import laying, localize, moments, moments_of_all, sighting
from matcher.correlation import Laid, Line
from matcher.every_picture import Told
from matcher.laying import Found
from matcher.moments import SAME, at_its_moment
from matcher.moments_of_all import at_moment_of_all
from matcher.motion import ALIKE, LEAST, Agreement, Comparison
from matcher.sighting import Shot, Sight
from tests.made_world import (
    HEIGHT,
    WIDTH,
    Map,
    World,
    aligned,
    best,
    copy,
    fixed,
    index_of,
    judged,
    layer,
    looked_for,
    reference,
    similar,
)

FAST = 120.0
"""Pixels a second: two seconds later half of a picture is another one."""

CLEAR, WEAK = 0.9, 0.5
"""Scores: of a copy; and of what a policy must not act on."""


@pytest.fixture(scope="module")
def index() -> LocalIndex:
    """Three references: two of cameras that move, one of a camera that stands."""
    return index_of(reference(moving(2)), reference(moving(1)), reference(fixed(10, 11)))


def moving(seed: int) -> World:
    """A camera that passes its scene by."""
    return [layer(seed, 150, pace=FAST)]


def about_the_middle(turn: float, size: float) -> Map:
    """Turned by degrees and scaled, the picture's middle staying where it is."""
    by = similar(turn, size)
    middle = np.array([WIDTH / 2, HEIGHT / 2])
    by[:, 2] = middle - by[:, :2] @ middle
    return by


def anyhow(seed: int) -> Callable[[float], Map]:
    rng = np.random.default_rng(seed)

    def by(t: float) -> Map:
        x, y = rng.uniform(-60, 160, 2)
        return similar(rng.uniform(-60, 60), rng.uniform(0.6, 1.4), x, y)

    return by


MOVES: dict[str, Callable[[float], Map]] = {
    "turns": lambda t: about_the_middle(40 * t, 0.9),
    "sways": lambda t: about_the_middle(20 * np.sin(2 * t), 1.0),
    "zooms": lambda t: about_the_middle(0, 1.25 + 0.35 * np.sin(3 * t)),
    "jumps": anyhow(1),
}


@pytest.mark.parametrize("how", MOVES)
def test_a_picture_that_moves_is_a_copy(how: str, index: LocalIndex) -> None:
    query = copy(moving(1), 8, offset=4.0, by=MOVES[how])
    _, (seen, *_) = looked_for(query, index)
    assert seen.own_maps
    ((found, a), *_) = judged(query, index)
    assert (found, a.score > CLEAR) == (1, True)
    (pair,) = a.segments
    assert (pair.query.start, pair.query.end) == pytest.approx((0, 8), abs=0.6)
    assert (pair.reference.start, pair.reference.end) == pytest.approx((4, 12), abs=0.8)


@pytest.mark.parametrize("seed", range(3))
def test_few_of_the_same_things_before_another_camera_are_no_copy(
    seed: int, index: LocalIndex
) -> None:
    """From elsewhere most look different."""
    for world in (moving(1), fixed(10, 11)):
        query = copy(world, 6, by=anyhow(seed), lost=0.9)
        assert sighting.sighted(sighting.shots([query]), index)
        assert best(query, index) < WEAK


def test_one_picture_laid_everywhere_is_one_picture(index: LocalIndex) -> None:
    """A poster before a camera that moves, say."""
    for found in looked_for(copy(moving(1), 8, speed=0.0, by=anyhow(2)), index)[1]:
        assert not found.own_maps


def test_what_one_map_lays_keeps_it(index: LocalIndex) -> None:
    _, (found, *_) = looked_for(copy(moving(1), 8), index)
    assert not found.own_maps


def test_few_pictures_keep_a_common_one(index: LocalIndex) -> None:
    step = 0.5
    few = copy(moving(1), step * (laying.FEWEST_OWN_MAPS - 1), by=MOVES["turns"], step=step)
    assert not any(found.own_maps for found in looked_for(few, index)[1])


@pytest.mark.parametrize("seed", [0, 2, 3, 4])
def test_two_cameras_in_hands_before_one_flat_place(seed: int) -> None:
    """A poster, a page: a map of its own lays each picture of one on any of the other's."""

    def held(number: int) -> Callable[[float], Map]:
        rng = np.random.default_rng(number)
        start, rate = rng.uniform(0, 6.28, 4), rng.uniform(0.6, 1.4, 4)

        def by(t: float) -> Map:
            turn, zoom, across, down = np.sin(rate * t + start)
            found = about_the_middle(10 * turn, 1 + 0.15 * zoom)
            found[:, 2] += 50 * across, 35 * down
            return found

        return by

    place = [layer(10, 150, pace=0.0)]
    banned = copy(place, 20, by=held(10 + seed), lost=0.1, offset=0.0, seed=7)
    upload = copy(place, 10, by=held(50 + seed), lost=0.4, offset=0.0, seed=9)
    assert best(upload, index_of(banned)) < WEAK


def test_what_is_much_covered_keeps_a_common_map(index: LocalIndex) -> None:
    for lost in (0.85, 0.9):
        query = copy(moving(1), 8, by=MOVES["sways"], lost=lost)
        assert not any(found.own_maps for found in looked_for(query, index)[1])


def test_pictures_with_maps_of_their_own_must_show_more(index: LocalIndex) -> None:
    """Of what should be seen; here a tenth is."""
    query = copy(moving(1), 8, by=MOVES["turns"], lost=0.6)
    _, (found, *_) = looked_for(query, index)
    few = [
        replace(s, agreement=replace(s.agreement, visible=10 * s.agreement.inliers))
        for s in found.sights
    ]
    one = few[0].agreement.map
    alike = [replace(s, agreement=replace(s.agreement, map=one)) for s in few]
    own, common = (replace(found, sights=tuple(some)) for some in (few, alike))
    assert (own.own_maps, common.own_maps) == (True, False)
    assert aligned(own, query).evidence < aligned(common, query).evidence


# --- before a camera that stands still ---

STANDS = 2  # its reference's number in the index


def standing(query: LocalFeatures, index: LocalIndex) -> tuple[Found, list[Shot]]:
    some, lines = looked_for(query, index)
    (found, *_) = [f for f in lines if f.reference == STANDS]
    return found, some


@pytest.mark.parametrize("how", MOVES)
def test_of_a_place_that_looks_alike_at_all_moments_each_pictures_clearest_sight_is_kept(
    how: str, index: LocalIndex
) -> None:
    query = copy(fixed(10, 12), 8, by=MOVES[how])
    found, some = standing(query, index)
    assert sorted(s.shot.row for s in found.own) == sorted({s.row for s in some})
    for sight in found.own:
        mine = [s for s in found.seen if s.shot.row == sight.shot.row]
        assert sight.agreement.inliers == max(s.agreement.inliers for s in mine)
    assert replace(found, sights=found.own).own_maps


def test_of_little_that_is_seen_none_is_kept(index: LocalIndex) -> None:
    found, _ = standing(copy(fixed(10, 12), 8, by=MOVES["turns"]), index)
    for part, kept in ((1.1, True), (0.9, False)):
        share = part * localize.ANY_SHARE
        seen = [replace(s.agreement, visible=round(s.agreement.inliers / share)) for s in found.own]
        own = [replace(s, agreement=a) for s, a in zip(found.own, seen, strict=True)]
        assert laying.much_more(own, found.sights, localize.ANY_SHARE) is kept
    less, _ = standing(copy(fixed(10, 12), 8, by=MOVES["turns"], lost=0.85), index)
    shares = [s.agreement.share for s in less.own]
    assert localize.ANY_SHARE < float(np.median(shares)) < laying.OWN_SHARE


def test_what_one_map_lays_has_no_sights_of_its_own(index: LocalIndex) -> None:
    assert not standing(copy(fixed(10, 11), 8), index)[0].own
    some, (found, *_) = looked_for(copy(fixed(10, 11), 8, by=MOVES["turns"]), index, still=[STANDS])
    assert some
    assert not found.own


@pytest.mark.parametrize(
    ("line", "on"), [(Line(1.0, 5.0), 0.8), (Line(1.0, 5.0), 0.7), (None, 0.0)]
)
@pytest.mark.parametrize("camera", ["fixed", "still by its motion", "moves"])
def test_pictures_with_maps_of_their_own_are_at_the_moment_that_what_moves_tells(
    camera: str, line: Line | None, on: float, index: LocalIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whose camera moves shows each place as often as it passes it."""
    asked = []

    def compare(offsets: Floats, laid: Laid, upload: Motion, reference: Motion, least: float):
        asked.append((sorted(laid.own_maps or ()), least))
        return Comparison(line, 0.9, 0.9)

    monkeypatch.setattr(moments, "compare", compare)
    monkeypatch.setattr(moments, "stands_still", lambda _: camera == "still by its motion")
    monkeypatch.setattr(moments.moving, "is_fixed", lambda *_: camera == "fixed")
    monkeypatch.setattr(moments, "agreement_on", lambda *_: Agreement(on, 0.1))
    monkeypatch.setattr(moments, "coincides", lambda *_: False)
    query = copy(fixed(10, 12), 8, by=MOVES["turns"])
    found, some = standing(query, index)
    motion = Motion(query.offsets, np.zeros((len(query), 16, 16), np.int8))
    kept = at_its_moment(found, some, index.pictures(STANDS), lambda: (motion, motion))
    if camera == "moves":
        assert not asked
        return
    offsets, least = asked[0]
    assert offsets == sorted(s.shot.offset for s in found.own)
    assert least == (LEAST if camera == "fixed" else ALIKE)
    if on < SAME:
        assert kept is None or not kept.own_maps
        return
    assert kept is not None
    assert (kept.told, kept.own_maps) == (True, True)
    assert (kept.speed, kept.offset) == (1.0, 5.0)
    assert len(kept.sights) == len(query)
    assert aligned(kept, query).score > CLEAR


def test_no_picture_of_them_is_asked_for_all_its_changes(
    index: LocalIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between those that were described nobody knows how they are laid."""
    told = Told(Line(1.0, 4.0), 0.9, 0.5, 9.0, 9.0)
    monkeypatch.setattr(moments_of_all, "line_by_all", lambda *_: told)
    query = copy(fixed(10, 12), 8, by=MOVES["turns"])
    found, some = standing(query, index)
    motion = Motion(np.arange(40) / 5, np.zeros((40, 16, 16), np.int8))
    by_own = replace(found, sights=found.own)
    assert at_moment_of_all(by_own, None, some, index.pictures(STANDS), motion, motion) is None


# --- a mirror ---


def in_a_mirror(found: Found, strength: float, rendering: Rendering) -> list[Sight]:
    """The same pictures, seen with so much of the inliers in another rendering."""
    return [
        replace(
            s,
            shot=replace(s.shot, rendering=rendering),
            agreement=replace(s.agreement, inliers=round(strength * s.agreement.inliers)),
        )
        for s in found.sights
    ]


@pytest.mark.parametrize(("strength", "outshone"), [(0.5, False), (1.5, True)])
def test_a_line_that_another_rendering_outshines_is_none(
    index: LocalIndex, strength: float, outshone: bool
) -> None:
    _, (found, *_) = looked_for(copy(moving(2), 8), index)
    assert found.rendering is Rendering.PLAIN
    others = in_a_mirror(found, strength, Rendering.MIRRORED)
    assert localize.outshone(found, [*found.sights, *others]) is outshone
    assert not localize.outshone(found, found.sights)


def left_part(of: LocalFeatures, part: float = 0.5) -> LocalFeatures:
    """The features of the left part; others are of nothing."""
    right = of.places[:, 0] >= part * WIDTH
    codes = of.codes.copy()
    codes[right] = np.random.default_rng(9).integers(0, 256, (int(right.sum()), 32), dtype=np.uint8)
    return replace(of, codes=codes)


def test_half_a_picture_and_that_half_in_a_mirror(index: LocalIndex) -> None:
    """In a mirror, the mirrored half is the left one."""
    half = left_part(copy(moving(1), 8, by=similar(), lost=0.2))
    _, found = looked_for([half, replace(half, rendering=Rendering.MIRRORED)], index)
    assert {f.rendering for f in found} == {Rendering.PLAIN, Rendering.MIRRORED}


def test_another_rendering_outshines_where_it_is_seen_only(index: LocalIndex) -> None:
    half = left_part(copy(moving(1), 8, by=similar(), lost=0.2))
    _, (found, *_) = looked_for(half, index)
    beside = in_a_mirror(found, 1.5, Rendering.MIRRORED)
    assert not localize.outshone(found, beside)
    there = in_a_mirror(found, 1.5, Rendering.INVERTED)
    assert localize.outshone(found, there)


def test_a_part_of_what_another_rendering_shows_is_outshone(index: LocalIndex) -> None:
    """Somebody small who is alike in a mirror, in a copy of the whole."""
    whole = copy(moving(1), 8, by=similar(), lost=0.2)
    _, (found, *_) = looked_for(left_part(whole, 0.2), index)
    _, (better, *_) = looked_for(whole, index)
    everywhere = in_a_mirror(better, 1.5, Rendering.INVERTED)
    assert localize.outshone(found, everywhere)
