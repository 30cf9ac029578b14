"""Local features into alignments, with made footage (`tests.made_world`) and a real index."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from hashdb.index.local import LocalIndex
from hashdb.model import LocalFeatures, Orientation, Rendering, Segment
from hashdb.ports import Nominee
from matcher import localize, sighting, telling, verify
from matcher.align import is_still
from matcher.laying import Found, inliers_of
from matcher.moments import at_its_moment
from matcher.policy import load_policy
from matcher.sharpen import at_normal_speed, sharpened
from matcher.sighting import Sight
from tests.made_world import (
    HEIGHT,
    PLACE,
    PLAIN,
    SMALLER,
    THEN,
    WIDTH,
    Layer,
    World,
    after,
    aligned,
    best,
    copy,
    features,
    fixed,
    index_of,
    judged,
    laid,
    layer,
    looked_for,
    panning,
    reference,
    shown,
    similar,
)

CLEAR, WEAK = 0.9, 0.5
"""Scores: of a copy; and of what a policy must not act on."""

CLEAR_EVIDENCE = 5.2
"""The evidence of a copy, in log-odds: the scores of images are on a scale of their own."""


@pytest.fixture(scope="module")
def index() -> LocalIndex:
    """Three references: two of cameras that move, one of a camera that stands."""
    return index_of(reference(panning(2)), reference(panning(1)), reference(fixed(10, 11)))


def near(segment: Segment, start: float, end: float, tolerance: float) -> bool:
    have = (segment.start, segment.end)
    return bool(np.allclose(have, (start, end), atol=tolerance))


# --- the speed of a short sight ---


def at_speed(found: Found, speed: float) -> Found:
    """The same through its middle at that speed."""
    middle = float(np.median(found.shown_at))
    offset = (found.speed - speed) * middle + found.offset
    return replace(found, speed=speed, offset=offset)


def test_what_is_seen_too_shortly_to_tell_its_speed_is_at_the_normal_one(
    index: LocalIndex,
) -> None:
    some, (found, *_) = looked_for(copy(panning(1), 1.4, step=0.2), index)
    odd = at_speed(found, 0.6)
    settled = at_normal_speed(odd, some, index.pictures(found.reference))
    assert settled.speed == 1.0
    assert settled.offset == pytest.approx(4.0, abs=0.8)
    assert len(settled.sights) == len(found.sights)


def test_what_looks_the_same_at_other_moments_keeps_its_line(index: LocalIndex) -> None:
    some, (found, *_) = looked_for(copy(fixed(10, 12), 1.4, step=0.2), index)
    odd = at_speed(found, 0.6)
    assert at_normal_speed(odd, some, index.pictures(found.reference)) is odd


@pytest.mark.parametrize("speed", [0.5, 2.0])
def test_what_is_seen_for_long_keeps_its_speed(speed: float, index: LocalIndex) -> None:
    some, (found, *_) = looked_for(copy(panning(1), 8, speed=speed, offset=2.0), index)
    assert at_normal_speed(found, some, index.pictures(found.reference)) is found


# --- a copy ---


@pytest.mark.parametrize("speed", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("lost", [0.3, 0.6])
def test_a_copy_is_found_at_its_speed_and_moment(speed: float, lost: float) -> None:
    """A fast camera: what a picture shows is gone a few seconds later."""
    world: World = [layer(1, 150, pace=120.0)]
    held = index_of(reference([layer(2, 150, pace=120.0)]), reference(world))
    ((found, a), *more) = judged(copy(world, 8, speed=speed, offset=2.0, lost=lost), held)
    assert found == 1
    assert not more
    assert a.score > CLEAR
    assert a.speed == pytest.approx(speed, rel=0.05)
    (pair,) = a.segments
    assert near(pair.query, 0, 8, 0.6)
    assert near(pair.reference, 2, 2 + 8 * speed, 0.6)


@pytest.mark.parametrize("speed", [0.5, 1.0, 2.0])
def test_of_a_slow_camera_the_moment_is_known_less_exactly(speed: float, index: LocalIndex) -> None:
    """Its pictures of a second before and after are nearly the same, a little moved."""
    ((found, a), *_) = judged(copy(panning(1), 8, speed=speed, offset=2.0), index)
    assert found == 1
    assert a.score > CLEAR
    (pair,) = a.segments
    assert near(pair.query, 0, 8, 0.6)
    assert near(pair.reference, 2, 2 + 8 * speed, 0.8)
    assert a.speed == pytest.approx(speed, rel=0.3)


@pytest.mark.xfail(
    strict=True,
    raises=AssertionError,
    reason="a line is drawn towards normal speed, and loses the ends of the copy",
)
def test_a_copy_at_a_speed_between() -> None:
    pace, speed = 200.0, 0.75
    world: World = [layer(1, 150, pace=pace)]
    found = judged(copy(world, 8, speed=speed, offset=2.0), index_of(reference(world)))
    assert found[0][1].score > CLEAR
    assert len(found[0][1].segments) == 1
    assert near(found[0][1].segments[0].reference, 2, 2 + 8 * speed, 0.8)


def verified(shot: sighting.Shot, nominee: Nominee) -> Sight:
    pairs = verify.candidates(shot.picture, sighting.picture_of(nominee))
    agreement = verify.agreement(pairs)
    assert agreement is not None
    return Sight(shot, nominee, pairs, agreement)


def test_what_was_named_at_other_moments_is_found_at_its_own() -> None:
    """Of a place that stands still, as a reference that others crowd out, few pictures were named
    by what moves, and most lie on a line of another speed."""
    world = fixed(PLACE, THEN, still=40)
    index = index_of(reference(world))
    some = sighting.shots([copy(world, 9.0)])
    pictures = index.pictures(0)

    def at(moment: float) -> Nominee:
        return min(pictures, key=lambda p: abs(p.offset - moment))

    named = [verified(s, at(0.72 * s.offset + 5.4)) for s in some]
    named += [verified(s, at(s.offset + 4.0)) for s in some[1::6]]
    found = localize.lines(some, named, index, still=())[0]
    assert found.speed < 0.75
    other = localize.at_usual_speed(found, some, pictures)
    assert other.speed > 0.8
    assert inliers_of(other.sights) > inliers_of(found.sights)
    assert sharpened(other, some, pictures).speed == pytest.approx(1.0, abs=0.01)
    # of a copy that is as slow as it was found nothing shows more
    some = sighting.shots([copy(world, 9.0, speed=0.7)])
    found = localize.lines(some, sighting.sighted(some, index), index, still=())[0]
    assert localize.at_usual_speed(found, some, pictures) is found


def test_the_moment_of_a_copy_within_other_footage(index: LocalIndex) -> None:
    query = after(
        copy(panning(30), 5, seed=1),
        copy(panning(1), 5, start=5.0, offset=4.0, seed=2),
        copy(panning(31), 5, start=10.0, seed=3),
    )
    ((found, a), *more) = judged(query, index)
    assert (found, more) == (1, [])
    (pair,) = a.segments
    assert near(pair.query, 5, 10, 0.6)
    assert near(pair.reference, 9, 14, 0.6)


@pytest.mark.parametrize(
    "by",
    [PLAIN, SMALLER, similar(size=1.6, x=-120, y=-90), similar(turn=180, x=WIDTH, y=HEIGHT)],
    ids=["whole", "smaller and turned", "cropped", "upside down"],
)
def test_a_copy_is_found_by_any_map(by: np.ndarray, index: LocalIndex) -> None:
    ((found, a), *_) = judged(copy(panning(1), 6, by=by), index)
    assert found == 1
    assert a.score > CLEAR
    assert a.orientation is Orientation.ORIGINAL


def test_two_excerpts_are_two_lines(index: LocalIndex) -> None:
    query = after(
        copy(panning(1), 5, offset=12.0), copy(panning(1), 5, start=6.0, offset=-4.0, seed=6)
    )
    found = judged(query, index)
    assert [reference for reference, _ in found] == [1, 1]
    pairs = sorted((p for _, a in found for p in a.segments), key=lambda p: p.query.start)
    assert len(pairs) == 2
    assert near(pairs[0].query, 0, 5, 0.6)
    assert near(pairs[0].reference, 12, 17, 0.6)
    assert near(pairs[1].query, 6, 11, 0.8)
    assert near(pairs[1].reference, 2, 7, 0.8)
    assert min(a.score for _, a in found) > CLEAR


def test_two_references_after_one_another(index: LocalIndex) -> None:
    query = after(
        copy(panning(1), 5, offset=3.0), copy(panning(2), 5, start=5.0, offset=0.0, seed=6)
    )
    found = dict(judged(query, index))
    assert set(found) == {0, 1}
    assert near(found[1].segments[0].query, 0, 5, 0.6)
    assert near(found[0].segments[0].query, 5, 10, 0.6)


def test_the_tracks_of_a_reference_are_found_each_by_itself() -> None:
    """Of the same moments, with other pictures, and more features in one of them."""
    worlds = panning(1), [layer(2, 60, pace=30.0)]
    index = LocalIndex()
    index.add([(0, replace(reference(w), track=n)) for n, w in enumerate(worlds)])
    for track, world in enumerate(worlds):
        some, (found, *others) = looked_for(copy(world, offset=4.0), index)
        assert (found.reference, found.track) == (0, track)
        assert len(found.sights) == len(some)
        assert at_its_moment(found, some, index.pictures(0, track)) is not None
        assert all(other.track == track for other in others)
    assert len(index.pictures(0)) == 2 * len(index.pictures(0, 1))


def test_other_footage_is_not_found(index: LocalIndex) -> None:
    assert judged(copy(panning(40), 6), index) == []
    assert judged(copy(fixed(41, 42), 6), index) == []
    assert judged(copy(panning(1), 6), LocalIndex()) == []


@pytest.mark.parametrize("rendering", Rendering)
def test_a_copy_is_found_in_the_rendering_that_shows_it(
    rendering: Rendering, index: LocalIndex
) -> None:
    queries = [
        copy(panning(1) if r is rendering else panning(50 + i), 6, rendering=r, seed=i)
        for i, r in enumerate(Rendering)
    ]
    _, (found,) = looked_for(queries, index)
    assert (found.reference, found.rendering) == (1, rendering)
    a = aligned(found, queries[0])
    mirrored = Orientation.FLIP_HORIZONTAL if rendering.mirrored else Orientation.ORIGINAL
    assert a.orientation is mirrored
    assert (a.signal_type, a.reference_id) == ("local", "ref")
    assert a.score > CLEAR


def test_pictures_that_nobody_asked_about_are_found_by_the_line(index: LocalIndex) -> None:
    """Of a mirror only every other picture asks the index; and in the middle so much is lost that
    few of them would be named."""
    world, mirrored = panning(1), Rendering.MIRRORED
    query = after(
        copy(world, 4, lost=0.3, seed=1, rendering=mirrored),
        copy(world, 4, lost=0.85, start=4.0, seed=2, rendering=mirrored),
        copy(world, 4, lost=0.3, start=8.0, seed=3, rendering=mirrored),
    )
    some, (found, *_) = looked_for(query, index)
    named = {s.shot.row for s in sighting.sighted(some, index)}
    assert len(named) <= len(some) / 2
    assert {s.shot.row for s in found.sights} == {s.row for s in some}
    (pair,) = aligned(found, query).segments
    assert near(pair.query, 0, 12, 0.6)


@pytest.mark.parametrize("at", range(sighting.VERIFIED))
def test_others_are_verified_of_references_that_are_seen(
    monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    """The right picture is nearly always among the first; where none of them is verified in any
    picture, nothing of what is known is in sight."""
    some = sighting.shots([copy(panning(1), 1.4)])[:2]
    (nominee,) = index_of(reference(panning(1))).pictures(0)[:1]
    ranked = [
        replace(nominee, votes=99.0 - i, reference=i % 2) for i in range(sighting.VERIFIED + 2)
    ]
    asked: list[tuple[int, float]] = []

    class Index(LocalIndex):
        def nominate(self, *_: object, **__: object) -> list[Nominee]:
            return ranked

    def verified(shot: sighting.Shot, nominee: Nominee) -> object:
        asked.append((shot.row, nominee.votes))
        seen = shot is some[0] and nominee is ranked[at]
        agreement = SimpleNamespace(inliers=sighting.CLEARLY - 1)
        return Sight(shot, nominee, None, agreement) if seen else None  # type: ignore[arg-type]

    monkeypatch.setattr(sighting, "_verified", verified)
    found = sighting.sighted(some, Index())
    first = {n.votes for n in ranked[: sighting.FIRST]}
    rest = {n.votes for n in ranked[sighting.FIRST : sighting.VERIFIED] if n.reference == at % 2}
    seen = at < sighting.FIRST
    assert len(found) == seen
    for row in (0, 1):  # in the picture where nothing was seen as well
        assert {votes for r, votes in asked if r == row} == (first | rest if seen else first)


def test_what_lies_beside_a_film_is_not_crowded_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """A scene that stands still has many pictures, and more votes for each of them."""
    film, banned = fixed(5, 6, still=200), panning(1, density=60)
    left, right = similar(size=0.6), similar(size=0.38, x=0.62 * WIDTH, y=0.3 * HEIGHT)
    rng = np.random.default_rng(2)
    pictures = []
    for t in np.arange(0, 6, 0.5):
        one, other = (
            laid(shown(world, 4 + t), by, rng, lost=0.2)
            for world, by in ((film, left), (banned, right))
        )
        pictures.append(
            (float(t), *(np.concatenate(both) for both in zip(one, other, strict=True)))
        )
    held = index_of(reference(film), reference(banned))
    some = sighting.shots([features(pictures)])
    seen = {s.nominee.reference: s.shot.row for s in sighting.sighted(some, held)}
    assert set(seen) == {0, 1}
    monkeypatch.setattr(sighting, "EVERY", len(some))
    assert {s.nominee.reference for s in sighting.sighted(some[1:], held)} == {0}


def test_a_reference_that_is_gone_meanwhile_is_passed_over() -> None:
    """Searches may run beside a removal."""
    held = index_of(reference(panning(2)), reference(panning(1)))
    some = sighting.shots([copy(panning(1), 3)])
    sights = sighting.sighted(some, held)
    held.remove([1])
    assert localize.lines(some, sights, held, still=[]) == []


# --- still pictures ---


def test_a_frozen_picture_counts_as_one(index: LocalIndex) -> None:
    query = copy(panning(1), 8, speed=0.0, offset=6.0)
    ((found, a), *_) = judged(query, index, frozen=True)
    assert found == 1
    assert a.speed == 0.0
    assert is_still(a)
    assert a.score < WEAK
    (pair,) = a.segments
    assert near(pair.query, 0, 8, 0.6)
    assert near(pair.reference, 6, 6, 0.6)


def test_a_frozen_picture_says_no_more_for_being_shown_longer(index: LocalIndex) -> None:
    short, long = (
        best(copy(panning(1), s, speed=0.0, offset=6.0), index, frozen=True) for s in (3, 9)
    )
    assert long == pytest.approx(short, abs=0.05)


def image(seed: int, lost: float) -> tuple[World, LocalFeatures]:
    world = panning(seed)
    rng = np.random.default_rng(seed)
    return world, features([(0.0, *laid(shown(world, 5.0), SMALLER, rng, lost=lost))])


def test_an_image_matches_a_moment_of_a_video_with_one_picture(index: LocalIndex) -> None:
    _, query = image(1, 0.3)
    _, (found,) = looked_for(query, index)
    assert found.reference == 1
    a = aligned(found, query, total_s=0.0)
    assert a.evidence > CLEAR_EVIDENCE
    (pair,) = a.segments
    assert (pair.query.start, pair.query.end) == (0, 0)
    assert pair.reference.start == pair.reference.end == pytest.approx(5.0, abs=0.3)


def test_an_image_matches_an_image() -> None:
    world, query = image(1, 0.3)
    held = index_of(features([(0.0, *shown(world, 5.0))]), features([(0.0, *shown(world, 19.0))]))
    _, found = looked_for(query, held, still=[0, 1])
    assert [one.reference for one in found] == [0]
    a = aligned(found[0], query, total_s=0.0)
    assert a.evidence > CLEAR_EVIDENCE
    assert (a.segments[0].reference.start, a.segments[0].reference.end) == (0, 0)


def test_an_image_of_which_less_is_left_says_less(index: LocalIndex) -> None:
    scores = []
    for lost in (0.2, 0.6, 0.85):
        _, query = image(1, lost)
        _, found = looked_for(query, index)
        scores.append(max((aligned(f, query, total_s=0.0).score for f in found), default=0.0))
    assert scores[0] > scores[1] > scores[2]
    assert scores[2] < load_policy(None).images.confident <= scores[0]


def test_an_image_that_is_shown_throughout_a_video_is_one_still_picture() -> None:
    world = panning(1)
    held = index_of(features([(0.0, *shown(world, 5.0))]))
    query = copy(world, 6, speed=0.0, offset=5.0)
    _, (found,) = looked_for(query, held, still=[0])
    a = aligned(found, query, frozen=True)
    assert is_still(a)
    (pair,) = a.segments
    assert near(pair.query, 0, 6, 0.6)
    assert (pair.reference.start, pair.reference.end) == (0, 0)


# --- what is not a copy ---


def poster(seed: int, n: int) -> Layer:
    """Features that all lie in a fiftieth of the picture."""
    one = layer(seed, n, pace=0.0)
    places = one.places.copy()
    places[:, 0] = 300 + places[:, 0] / WIDTH * 60
    places[:, 1] = 100 + places[:, 1] / HEIGHT * 60
    return Layer(one.codes, places, 0.0)


@pytest.mark.parametrize(
    ("n", "scenes"),
    [
        (20, (panning(60, 110), panning(61, 110))),
        (60, (panning(60, 110), panning(61, 110))),
        (60, (fixed(60, 62), fixed(61, 63))),
    ],
    ids=["small, panning", "large, panning", "large, fixed"],
)
def test_a_poster_in_another_scene_is_no_copy(n: int, scenes: tuple[World, World]) -> None:
    one, other = ([*scene, poster(50, n)] for scene in scenes)
    held = index_of(reference(one, 10))
    query = copy(other, 5, lost=0.2, by=similar(size=0.95))
    _, found = looked_for(query, held)
    assert found, "the poster itself is seen"
    assert all(aligned(one, query).score < WEAK for one in found)
    assert best(query, held) < WEAK
    assert best(copy(one, 5, lost=0.2, by=similar(size=0.95)), held) > CLEAR


def test_a_hand_that_shakes_is_no_other_camera(index: LocalIndex) -> None:
    rng = np.random.default_rng(1)

    def by(t: float) -> np.ndarray:
        x, y = rng.normal(0, 5, 2)
        return similar(8 + rng.normal(0, 0.5), 0.8, 60 + x, 20 + y)

    ((found, a), *_) = judged(copy(panning(1), 8, by=by), index)
    assert found == 1
    assert a.score > CLEAR


# --- the rules by themselves ---


def test_more_inliers_are_nearer() -> None:
    distances = [localize.distance_of(n) for n in (0, 5, 20, 60, 1000)]
    assert distances == sorted(distances, reverse=True)
    assert distances[0] == 100
    assert distances[-1] == 0


def test_few_features_tell_where_motion_has_told_the_moment() -> None:
    seen = {
        told: telling.telling_inliers(20, 0.02, 0.9, stands=True, told=told)
        for told in (False, True)
    }
    assert seen[False] == 0
    assert 5 < seen[True] < 20
    assert telling.telling_inliers(20, 0.06, 0.9, stands=True, told=True) == 20


def test_fewer_tell_where_every_picture_has() -> None:
    told, timed = (
        telling.telling_inliers(20, 0.01, 0.9, stands=True, told=True, timed=timed)
        for timed in (False, True)
    )
    assert 0 < told < timed < 20
    assert telling.telling_inliers(20, 0.02, 0.9, stands=True, told=True, timed=True) == 20


@pytest.mark.parametrize(("speed", "kept"), [(1.0, 8), (1.6, 2)])
def test_what_is_followed_lengthens_a_copy_and_is_no_evidence(
    speed: float, kept: int, index: LocalIndex
) -> None:
    shots, (found, *_) = looked_for(copy(panning(1), 8), index)
    samples = np.unique([s.offset for s in shots])
    some = replace(found, speed=speed, sights=found.sights[:kept])
    followed = tuple(s.shot.offset for s in found.sights[len(some.sights) :])
    short, long = (
        telling.alignment(one, "r", track=0, samples=samples, total_s=8.0, alike={})
        for one in (some, replace(some, followed=followed))
    )
    assert short is not None
    assert long is not None
    assert long.evidence == pytest.approx(short.evidence)
    assert long.score == pytest.approx(short.score)
    assert long.segments[0].query.start == short.segments[0].query.start
    assert long.segments[-1].query.end > short.segments[-1].query.end + 2
    assert [f.offset for f in long.frames] == [s.shot.offset for s in some.sights]


def test_pictures_that_look_alike_are_several_where_they_lie_apart() -> None:
    assert telling._apart([0.0, 0.08, 0.24, 0.32, 0.5]).tolist() == [0, 0, 1, 1, 2]
    assert telling._apart([]).tolist() == []


def test_what_tells_of_a_copy() -> None:
    told = telling.telling_inliers(50, 0.9, 0.9, stands=False)
    assert told == 50
    assert telling.telling_inliers(50, 0.0, 0.9, stands=False) == 0
    assert telling.telling_inliers(50, 0.9, 0.0, stands=False) == 0
    assert telling.telling_inliers(50, 0.9, 0.02, stands=False) < told / 2
    middle = sum(telling.MOVING_SHARE) / 2
    assert 0 < telling.telling_inliers(50, middle, 0.9, stands=False) < told
    for share in (0.05, 0.1, 0.2):
        still, moving = (telling.telling_inliers(50, share, 0.9, stands=s) for s in (True, False))
        assert still <= moving


def test_pictures_that_should_show_the_reference_and_do_not_speak_against_it(
    index: LocalIndex,
) -> None:
    _, (found, *_) = looked_for(copy(panning(1), 8), index)
    assert telling.steady(found) == 1.0
    missing = [
        replace(found, led=led) for led in (len(found.sights), 3 * found.led, 20 * found.led)
    ]
    steady = [telling.steady(one) for one in missing]
    assert steady == sorted(steady, reverse=True)
    assert steady[-1] == 0
    against = [telling.steady(replace(found, elsewhere=n)) for n in (0, 2, found.led)]
    assert against == sorted(against, reverse=True)
    assert against[-1] == 0
    assert telling.steady(replace(missing[1], speed=1.8)) <= steady[1]
    assert telling.steady(replace(found, led=0)) in (0.0, 1.0)  # and does not divide by it


def test_shots_of_a_moment_have_one_number() -> None:
    one = copy(panning(1), 2, rendering=Rendering.PLAIN)
    other = copy(panning(1), 2, rendering=Rendering.MIRRORED, start=0.5, seed=2)
    some = sighting.shots([one, other])
    assert len(some) == 8
    assert {s.offset: s.row for s in some} == {0.0: 0, 0.5: 1, 1.0: 2, 1.5: 3, 2.0: 4}
    for shot, i in zip(some[:4], range(4), strict=True):
        assert np.array_equal(shot.picture.codes, one.codes[one.starts[i] : one.starts[i + 1]])
        assert (shot.picture.width, shot.picture.height) == (WIDTH, HEIGHT)
    assert sighting.shots([]) == []


def test_a_line_through_moments() -> None:
    t = np.arange(0.0, 8.0)
    assert localize.fitted(t, 3 + 1.5 * t, 1.0) == pytest.approx((1.5, 3.0))
    speed, offset = localize.fitted(t[:2], 3 + t[:2], 1.25)
    assert speed == 1.25
    assert speed * 0.5 + offset == pytest.approx(3.5, abs=0.2)
    assert localize.fitted(t, np.full(8, 6.0), 0.0) == (0.0, 6.0)


def test_no_sights_are_no_lines(index: LocalIndex) -> None:
    some = sighting.shots([copy(panning(1), 2)])
    assert sighting.sighted([], index) == []
    assert localize.lines(some, [], index, still=[]) == []
    assert localize.lines([], [], index, still=[]) == []


def test_sights_are_of_enough_inliers(index: LocalIndex) -> None:
    some = sighting.shots([copy(panning(1), 4)])
    sights = sighting.sighted(some, index)
    assert {s.nominee.reference for s in sights} == {1}
    assert all(isinstance(s, Sight) for s in sights)
    assert min(s.agreement.inliers for s in sights) >= sighting.FEWEST_INLIERS
    most = max(sum(s.shot.row == shot.row for s in sights) for shot in some)
    assert most <= sighting.VERIFIED


def test_every_frame_of_an_alignment_lies_on_its_line(index: LocalIndex) -> None:
    query = copy(panning(1), 8, offset=2.0)
    _, (found, *_) = looked_for(query, index)
    assert isinstance(found, Found)
    a = aligned(found, query)
    assert len(a.frames) == len(found.sights) == len(query)
    for frame in a.frames:
        assert frame.reference_offset == pytest.approx(found.speed * frame.offset + found.offset)
        assert 0 <= frame.distance <= 100
        assert 0 <= frame.before <= 1
        assert 0 <= frame.after <= 1


def test_through_no_moments_goes_no_line():
    speed, offset = localize.fitted(np.array([]), np.array([]), 0.5)
    assert speed == 0.5
    assert np.isnan(offset)
