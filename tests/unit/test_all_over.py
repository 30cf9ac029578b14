"""Features looked for where a map puts them, and what that says of an image."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from hashdb.model import Floats, Grey, Ints, Rendering
from hashdb.ports import Nominee
from matcher import all_over, verify
from matcher.all_over import (
    FOUND_BITS,
    MISSING_BITS,
    NOT_ASKED,
    Shown,
    as_shown,
    best_shown,
    has_holes,
)
from matcher.hashers import guided
from matcher.hashers.local import ONE_QUERY, LocalHasher
from matcher.hashers.local import scaled as reduced
from matcher.ports import FrameFeatures
from matcher.sighting import Shot, Sight
from tests.unit.test_local_hasher import EDITS, HEIGHT, RENDERED, RENDERINGS, WIDTH, textured

Luma = NDArray[np.uint8]
HASHER = LocalHasher()


@pytest.fixture(scope="module")
def original() -> Luma:
    return textured(1)


def described(luma: Luma) -> FrameFeatures:
    found = HASHER.reference(luma, alone=True)
    assert found is not None
    return found


def to_upload(where: NDArray[np.float64], known: FrameFeatures) -> NDArray[np.float64]:
    """From the reference's features' pixels to the edited picture's, which is not scaled."""
    grown = np.diag([WIDTH / known.width, HEIGHT / known.height, 1.0])
    return (where @ grown)[:2]


@pytest.mark.parametrize("edit", EDITS)
def test_nearly_all_features_lie_where_the_map_puts_them(edit: str, original: Luma) -> None:
    shown, where = EDITS[edit](original)
    known = described(original)
    bits, _ = guided.sought(shown, to_upload(where, known), known)
    asked = bits >= 0
    assert asked.sum() >= 100
    assert (bits[asked] <= FOUND_BITS).mean() >= 0.9


def test_another_picture_has_none_of_them(original: Luma) -> None:
    known = described(original)
    bits, _ = guided.sought(textured(2), to_upload(np.eye(3), known), known)
    assert (bits[bits >= 0] <= FOUND_BITS).mean() < 0.02
    assert np.median(bits[bits >= 0]) == guided.FAR > MISSING_BITS


def test_what_lies_outside_or_is_too_small_is_not_looked_for(original: Luma) -> None:
    known = described(original)
    aside = to_upload(np.array([[1.0, 0, WIDTH], [0, 1, 0], [0, 0, 1]]), known)
    assert (guided.sought(original, aside, known)[0] == -1).all()
    small = to_upload(np.diag([0.1, 0.1, 1.0]), known)
    some, _ = guided.sought(cv2.resize(original, None, fx=0.1, fy=0.1), small, known)
    assert (some == -1).mean() > 0.9
    assert (some[known.places[:, 2] < 100] == -1).all()


def test_places_that_are_no_numbers_are_not_looked_for(original: Luma) -> None:
    """A partner's list may hold them."""
    known = described(original)
    for column in range(4):
        places = known.places.copy()
        places[7, column] = np.nan
        bits, _ = guided.sought(
            original, to_upload(np.eye(3), known), replace(known, places=places)
        )
        assert bits[7] == -1
        assert (bits >= 0).sum() >= 1000


def test_both_ways_find_the_same(original: Luma, monkeypatch: pytest.MonkeyPatch) -> None:
    shown, where = EDITS["turned"](original)
    known = described(original)
    ways = (
        (guided.nearest_by_table, guided.lay_by_table),
        (guided.nearest_by_loops, guided.lay_by_loops),
    )
    found = []
    for nearest, lay in ways:
        monkeypatch.setattr(guided, "_nearest", nearest)
        monkeypatch.setattr(guided, "_lay", lay)
        found.append(guided.sought(shown, to_upload(where, known), known))
    (bits, at), (same, there) = found
    assert np.array_equal(bits, same)
    assert np.array_equal(at, there)


@pytest.mark.parametrize("turn", [0.0, 0.4, 2.0])
@pytest.mark.parametrize("size", [0.3, 1.0, 1.7])
def test_both_ways_lay_a_picture_alike(original: Luma, turn: float, size: float) -> None:
    """Beyond the picture's edges, too."""
    cos, sin = size * np.cos(turn), size * np.sin(turn)
    where = np.array([[cos, -sin, -40.5], [sin, cos, 30.25]], np.float32)
    picture = original.astype(np.float32)
    by_table = guided.lay_by_table(picture, where, (211, 97))
    assert np.array_equal(by_table, guided.lay_by_loops(picture, where, (211, 97)))
    assert by_table.shape == (97, 211)
    assert len(np.unique(by_table)) > 50


def test_a_picture_that_is_laid_as_it_is_is_itself_but_smoother(original: Luma) -> None:
    height, width = original.shape
    picture = original.astype(np.float32)
    laid = guided.lay_by_loops(picture, np.eye(2, 3, dtype=np.float32), (width, height))
    smooth = cv2.GaussianBlur(picture, (7, 7), 2.0)
    assert np.abs(laid[:-1, :-1] - smooth[:-1, :-1]).max() <= 0.6


def test_the_nearest_place_is_told_of_those_that_are_alike() -> None:
    """In a picture of one colour all are."""
    flat, spots = np.full((64, 64), 9, np.uint8), np.array([[32, 32]])
    for way in (guided.nearest_by_table, guided.nearest_by_loops):
        bits, steps = way(flat, spots, np.zeros(1), np.zeros((1, 32), np.uint8))
        assert (bits.tolist(), steps.tolist()) == ([0], [[0, 0]])


@pytest.mark.parametrize("off", [np.nan, np.inf, 1e39])
def test_a_map_of_no_sense_lays_nothing(original: Luma, off: float) -> None:
    """Not even a corner, which it leaves where it is."""
    known = described(original)
    places = known.places.copy()
    places[:, :2] = 0
    for row, column in ((0, 0), (1, 1), (1, 2)):
        where = to_upload(np.eye(3), known)
        where[row, column] = off
        bits, _ = guided.sought(original, where, replace(known, places=places))
        assert (bits == -1).all()


def test_no_map_is_compiled_for_anew(original: Luma) -> None:
    """Those that are fitted lie in memory the other way round."""
    guided.warm()
    known = described(original)
    where = np.asfortranarray(to_upload(np.eye(3), known))
    assert (guided.sought(original, where, known)[0] >= 0).any()
    assert len(guided._compiled_lay.signatures) == 1
    assert len(guided._compiled_search.signatures) == 1


# --- what it says of an image ---


def sight_of(
    image: Luma, known: Luma, rendering: Rendering = Rendering.PLAIN
) -> tuple[Sight, Grey]:
    """The image as the service sees it in a reference's picture."""
    one, reference = {f.rendering: f for f in HASHER.query(image, alone=True)}, described(known)
    mine = one[rendering]
    picture = verify.Picture(mine.codes, mine.places, mine.width, mine.height)
    nominee = Nominee(
        9.0, 0, 0.0, reference.codes, reference.places, reference.width, reference.height
    )
    other = verify.Picture(reference.codes, reference.places, reference.width, reference.height)
    pairs = verify.candidates(picture, other)
    agreement = verify.agreement(pairs)
    assert agreement is not None
    still = Grey(HASHER.grey(image, mine))
    return Sight(Shot(0, 0.0, rendering, picture), nominee, pairs, agreement), still


def shown_as(image: Luma, known: Luma, rendering: Rendering = Rendering.PLAIN) -> Shown:
    sight, still = sight_of(image, known, rendering)
    return as_shown(sight, still, guided.sought)


@pytest.mark.parametrize("rendering", RENDERINGS)
def test_a_copy_shows_all_of_it(rendering: Rendering, original: Luma) -> None:
    image = np.ascontiguousarray(RENDERED[rendering](original))
    assert shown_as(image, original, rendering).all_over


@pytest.mark.parametrize("edit", EDITS)
def test_so_does_an_edited_one(edit: str, original: Luma) -> None:
    assert shown_as(EDITS[edit](original)[0], original) == Shown(
        all_over=True, holes=False, lacks=False
    )


def test_somebody_who_stands_elsewhere_leaves_holes(original: Luma) -> None:
    then, now = original.copy(), original.copy()
    rng = np.random.default_rng(3)
    then[150:330, 200:290] = rng.integers(0, 256, (18, 9)).repeat(10, 0).repeat(10, 1)
    now[150:330, 400:490] = rng.integers(0, 256, (18, 9)).repeat(10, 0).repeat(10, 1)
    assert shown_as(then, then).all_over
    other = shown_as(now, then)
    assert (other.all_over, other.holes) == (False, True)


def test_a_window_around_another_picture_lacks_it(original: Luma) -> None:
    around = original.copy()
    around[60:420, 80:560] = textured(5)[60:420, 80:560]
    assert shown_as(around, original) == Shown(all_over=False, holes=True, lacks=True)


def test_more_than_a_flat_picture_has_is_no_copy(original: Luma) -> None:
    """Nothing of the window is missing around it."""
    flat = original.copy()
    flat[60:420, 80:560] = 128
    more = flat.copy()
    more[130:350, 160:480] = textured(5)[130:350, 160:480]
    assert shown_as(flat, flat).all_over
    assert shown_as(more, flat) == Shown(all_over=False, holes=False, lacks=False)


def test_what_cannot_be_asked_takes_nothings_place(original: Luma) -> None:
    """A sight by chance, which says nothing, is no better than one with holes."""
    other = original.copy()
    other[150:330, 200:290] = textured(4)[150:330, 200:290]
    less, still = sight_of(original, other)
    tiny = less.agreement.map * np.array([[0.13], [0.13]])
    chance = replace(less, agreement=replace(less.agreement, map=tiny, inliers=6))
    assert as_shown(chance, still, guided.sought) == NOT_ASKED
    how, sight = best_shown([chance, less], still, guided.sought)
    assert (how.holes, sight) == (True, less)


def test_a_picture_of_one_row_is_none(original: Luma) -> None:
    known = described(original)
    for shape in ((1, 640), (480, 1), (1, 1)):
        assert (guided.sought(np.zeros(shape, np.uint8), np.eye(3)[:2], known)[0] == -1).all()


def test_two_pictures_with_one_text_share_that(original: Luma) -> None:
    """Laid text on text most of the picture lies outside, and nothing speaks against it."""
    image, other = textured(6), textured(7)
    image[:120], other[-120:] = original[:120], original[:120]
    sight, still = sight_of(image, other)
    assert all_over._shared(sight) < all_over.SHARED
    assert not as_shown(sight, still, guided.sought).all_over


def test_little_that_can_be_looked_for_says_nothing(original: Luma) -> None:
    sight, still = sight_of(original, original)

    def few(_: Luma, __: Floats, known: FrameFeatures) -> tuple[Ints, Floats]:
        return np.where(np.arange(len(known.codes)) < 39, 0, -1), known.places[:, :2]

    assert as_shown(sight, still, few) == NOT_ASKED
    other = Grey(still.luma[:-1])
    assert as_shown(sight, other, guided.sought) == NOT_ASKED


def test_of_several_pictures_the_one_that_is_all_there_counts(original: Luma) -> None:
    """Another moment may have as many inliers, or more."""
    other = original.copy()
    other[150:330, 200:290] = textured(4)[150:330, 200:290]
    (less, still), (all_of_it, _) = sight_of(original, other), sight_of(original, original)
    assert as_shown(less, still, guided.sought).holes
    many = replace(less, agreement=replace(less.agreement, inliers=10_000))
    how, sight = best_shown([many, all_of_it], still, guided.sought)
    assert how.all_over
    assert sight is all_of_it


@pytest.mark.parametrize(("side", "holes"), [(0, False), (1, False), (4, True)])
def test_holes_are_what_is_missing_side_by_side(side: int, holes: bool) -> None:
    x, y = np.meshgrid(np.arange(20.0), np.arange(20.0))
    places = np.stack([x.ravel(), y.ravel()], axis=1).astype(np.float32)
    missing = (x < side) & (y < side)
    assert has_holes(np.where(missing.ravel(), 100, 20), places) is holes


def test_a_still_is_the_picture_that_was_described(original: Luma) -> None:
    large = cv2.resize(original, None, fx=3, fy=3)
    for image in (original, large, original[:200, :300].copy()):
        found = HASHER.query(image, alone=True)[0]
        still = HASHER.grey(image, found)
        assert still.shape == (found.height, found.width)
        assert any(np.array_equal(still, reduced(image, side)) for side, _ in ONE_QUERY)
