"""All features of a reference looked for where a line and a map put them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from hashdb.model import Floats, Grey, Ints, Rendering
from hashdb.ports import Nominee
from matcher import verify
from matcher.hashers import guided
from matcher.hashers.local import LocalHasher
from matcher.laying import Found
from matcher.ports import FrameFeatures
from matcher.seeking import FEWEST_ASKED, MOST, Budget, Seeker
from matcher.sighting import Shot, Sight
from matcher.verify import Agreement, Picture

Luma = NDArray[np.uint8]
WIDTH, HEIGHT, SECONDS = 448, 336, 12.0
HASHER = LocalHasher()
START, LENGTH = 3.0, 6.0
FEW = 5
"""Features of each picture that a detector found again."""


@lru_cache
def scene(number: int) -> Luma:
    """What a camera shows for two seconds; no two scenes have anything in common."""
    rng = np.random.default_rng(number)
    rough = rng.integers(30, 226, (HEIGHT // 8, WIDTH // 8)).astype(np.uint8)
    return cv2.resize(rough, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)


def film(at: float) -> Luma:
    return scene(int(at // 2))


def street(at: float) -> Luma:
    """A camera that stands still, before which nothing moves."""
    return scene(99)


def known(shown: Callable[[float], Luma]) -> list[Nominee]:
    found = []
    for at in np.arange(0, SECONDS, 0.5).tolist():
        one = HASHER.reference(shown(at))
        assert one is not None
        found.append(Nominee(9.0, 0, at, one.codes, one.places, one.width, one.height))
    return found


def cropped(luma: Luma, keep: float = 0.7) -> Luma:
    """The middle, enlarged to what it was cut out of."""
    height, width = (round(n * keep) for n in luma.shape)
    top, left = (luma.shape[0] - height) // 2, (luma.shape[1] - width) // 2
    middle = luma[top : top + height, left : left + width]
    return cv2.resize(middle, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)


def crop_map(keep: float = 0.7) -> Floats:
    """From the whole picture to the enlarged middle."""
    shift = np.array([WIDTH, HEIGHT]) * (1 - keep) / 2
    return np.column_stack([np.eye(2) / keep, -shift / keep])


def upload(shown: Callable[[float], Luma], start: float = START) -> tuple[list[Shot], list[Grey]]:
    """Its pictures, four a second, as they are seen, and in grey."""
    some, greys = [], []
    for row, at in enumerate(np.arange(0, LENGTH, 0.25).tolist()):
        luma = HASHER.grey(cropped(shown(start + at)))
        mine = HASHER.described(luma)[0]
        picture = Picture(mine.codes, mine.places, mine.width, mine.height)
        some.append(Shot(row, at, Rendering.PLAIN, picture))
        greys.append(Grey(luma, 0, at))
    return some, greys


def found(some: list[Shot], pictures: list[Nominee], rows: range, shift: float = 0.0) -> Found:
    """As few features have it on the right line; `shift`: by a map that is so many pixels off."""
    where = crop_map()
    where[:, 2] += shift
    sights = []
    for shot in (some[row] for row in rows):
        one = min(pictures, key=lambda p: abs(p.offset - shot.offset - START))
        inliers = np.arange(FEW)
        agreement = Agreement(where, FEW, len(one.codes), 0.3, inliers, inliers)
        nothing = verify.candidates(shot.picture, Picture(one.codes[:0], one.places[:0], 9, 9))
        sights.append(Sight(shot, one, nothing, agreement))
    return Found(0, Rendering.PLAIN, 1.0, START, tuple(sights), len(sights))


def seeker(greys: list[Grey]) -> Seeker:
    return Seeker({grey.offset: grey for grey in greys}, guided.sought, Budget())


def test_a_copy_shows_all_of_the_reference_from_end_to_end():
    pictures, (some, greys) = known(film), upload(film)
    few = found(some, pictures, range(4, 16, 3))
    more = seeker(greys).shown_on(few, some, pictures)
    assert more is not None
    assert len(more.sights) == len(some)
    assert min(s.agreement.inliers for s in more.sights) > 10 * FEW
    assert min(s.agreement.share for s in more.sights) > 0.8
    assert seeker(greys).leads_on(few, some, pictures)
    assert not seeker(greys).leads_on(more, some, pictures)
    assert not seeker(greys).shows_nothing(few)


def test_what_was_found_lies_where_it_is_in_the_upload():
    pictures, (some, greys) = known(film), upload(film)
    more = seeker(greys).shown_on(found(some, pictures, range(8)), some, pictures)
    assert more is not None
    for sight in more.sights:
        agreement, one = sight.agreement, sight.nominee
        at = sight.shot.picture.places[agreement.queries, :2]
        laid = verify.mapped(crop_map(), one.places[agreement.references])
        assert np.abs(at - laid).max() < 11  # two pixels of the coarsest scale, enlarged
        assert np.median(np.abs(at - laid)) < 2
        assert np.array_equal(sight.shot.picture.codes, one.codes[agreement.references])


def test_a_picture_that_is_zoomed_a_little_at_a_time_is_followed():
    """The map of the first pictures lays none of the last."""
    pictures, (some, greys) = known(film), upload(film)
    for row, grey in enumerate(greys):
        keep = 0.7 - 0.012 * row
        luma = HASHER.grey(cropped(film(START + grey.offset), keep))
        greys[row] = replace(grey, luma=luma)
    first = found(some, pictures, range(5))
    more = seeker(greys).shown_on(first, some, pictures)
    assert more is not None
    assert len(more.sights) >= 20


@pytest.mark.parametrize("why", ["speed", "stands", "few", "no greys", "elsewhere"])
def test_it_says_no_more_where_the_moment_is_not_sure(why: str):
    shown = street if why == "elsewhere" else film
    pictures, (some, greys) = known(shown), upload(shown)
    one = found(some, pictures, range(8))
    if why == "speed":
        one = replace(one, speed=0.8)
    elif why == "stands":
        one = replace(one, stands=True)
    elif why == "few":
        greys = greys[:3]
    elif why == "no greys":
        greys = []
    assert seeker(greys).shown_on(one, some, pictures) is None


@pytest.mark.parametrize("shift", [0.0, 40.0], ids=["another film", "another place"])
def test_what_agreed_by_chance_shows_nothing(shift: float):
    pictures = known(film)
    some, greys = upload(film if shift else lambda at: scene(50 + int(at // 2)))
    one = found(some, pictures, range(8), shift)
    assert seeker(greys).shows_nothing(one)
    assert seeker(greys).shown_on(one, some, pictures) is None


def test_few_pictures_refute_nothing():
    pictures, (some, greys) = known(film), upload(lambda at: scene(50 + int(at // 2)))
    one = found(some, pictures, range(8))
    assert not seeker(greys[: FEWEST_ASKED - 1]).shows_nothing(one)
    assert seeker(greys[:FEWEST_ASKED]).shows_nothing(one)


def test_one_clear_picture_speaks_for_all():
    """Of a program's window hardly anything is shown where a page is turned."""
    pictures, (some, greys) = known(film), upload(lambda at: scene(50 + int(at // 2)))
    greys[2] = replace(greys[2], luma=HASHER.grey(cropped(film(START + greys[2].offset))))
    assert not seeker(greys).shows_nothing(found(some, pictures, range(16)))


def test_a_mirrored_copy_is_looked_at_in_the_mirror():
    pictures, (some, greys) = known(film), upload(film)
    mirrored = [replace(g, luma=np.ascontiguousarray(g.luma[:, ::-1])) for g in greys]
    turned = [replace(s, rendering=Rendering.MIRRORED) for s in some]
    one = replace(found(turned, pictures, range(8)), rendering=Rendering.MIRRORED)
    more = seeker(mirrored).shown_on(one, turned, pictures)
    assert more is not None
    assert len(more.sights) == len(some)
    assert seeker(mirrored).shown_on(found(some, pictures, range(8)), some, pictures) is None


def test_shots_of_other_renderings_are_left_aside():
    pictures, (some, greys) = known(film), upload(film)
    others = [replace(s, rendering=Rendering.INVERTED) for s in some]
    more = seeker(greys).shown_on(found(some, pictures, range(8)), [*others, *some], pictures)
    assert more is not None
    assert {s.shot.rendering for s in more.sights} == {Rendering.PLAIN}


@pytest.mark.parametrize("step", [0.5, 4.0], ids=["two a second", "of a still scene few are kept"])
def test_where_nothing_changes_it_is_no_moment(step: float):
    pictures, (some, greys) = known(street), upload(street)
    pictures = [p for p in pictures if p.offset % step == 0]
    assert seeker(greys).shown_on(found(some, pictures, range(8)), some, pictures) is None


def test_nor_where_the_reference_has_no_other_moment():
    pictures, (some, greys) = known(film)[6:8], upload(film)
    assert seeker(greys).shown_on(found(some, pictures, range(6)), some, pictures) is None


@pytest.mark.parametrize("why", ["tiny", "outside", "no numbers", "other size"])
def test_what_cannot_be_looked_for_refutes_nothing(why: str):
    pictures, (some, greys) = known(film), upload(film)
    one = found(some, pictures, range(8))
    where = {"tiny": crop_map() / 20, "outside": crop_map() + 10_000}.get(why, crop_map())
    sights = [replace(s, agreement=replace(s.agreement, map=where)) for s in one.sights]
    if why == "no numbers":
        nominees = [replace(s.nominee, places=s.nominee.places * np.nan) for s in sights]
        sights = [replace(s, nominee=n) for s, n in zip(sights, nominees, strict=True)]
    if why == "other size":
        greys = [replace(g, luma=g.luma[:-1]) for g in upload(street)[1]]
    assert not seeker(greys).shows_nothing(replace(one, sights=tuple(sights)))


def test_no_more_is_looked_for_than_there_is_a_budget():
    pictures, (some, greys) = known(film), upload(film)
    asked = []

    def counting(luma: Luma, where: Floats, reference: FrameFeatures) -> tuple[Ints, Floats]:
        asked.append(1)
        return guided.sought(luma, where, reference)

    budget = Budget(6 * MOST)
    for _ in range(10):
        one = Seeker({grey.offset: grey for grey in greys}, counting, budget)
        one.shown_on(found(some, pictures, range(8)), some, pictures)
        one.shows_nothing(found(some, pictures, range(8)))
    assert MOST < len(asked) <= 6 * MOST
    assert one.shown_on(found(some, pictures, range(8)), some, pictures) is None


def test_what_drifts_must_be_clearly_shown():
    """A window that floats shows all; somebody at another time shows some, now and then."""
    pictures, (some, greys) = known(film), upload(film)
    one = found(some, pictures, range(8))
    assert seeker(greys).shows_clearly(one)
    other = upload(lambda at: scene(50 + int(at // 2)))[1]
    assert not seeker([*greys[:3], *other[3:]]).shows_clearly(one)
    assert seeker(other[: FEWEST_ASKED - 1]).shows_clearly(one)
