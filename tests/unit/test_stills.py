"""What an image shows by local features, with made footage (`tests.made_world`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from hashdb.index.local import LocalIndex
from hashdb.model import Grey, LocalFeatures, Rendering
from matcher import sighting, stills
from matcher.laying import Found
from matcher.stills import told_alone
from tests.made_world import (
    ANOTHER,
    HEIGHT,
    PLACE,
    THEN,
    WIDTH,
    copy,
    fixed,
    index_of,
    layer,
    panning,
    reference,
    seen,
)


@pytest.fixture(scope="module")
def index() -> LocalIndex:
    return index_of(reference(fixed(PLACE, THEN)), reference(panning(1)))


def shown(
    image: LocalFeatures | Sequence[LocalFeatures],
    index: LocalIndex,
    *,
    still: Sequence[int] = (),
    bits: int | None = None,
) -> list[tuple[Found, bool]]:
    """With `bits`: by a guide that finds every feature so far off."""
    some = sighting.shots([image] if isinstance(image, LocalFeatures) else image)
    sights = sighting.sighted(some, index)
    return stills.shown(
        sights,
        index,
        still=still,
        image=None if bits is None else Grey(np.zeros((HEIGHT, WIDTH), np.uint8)),
        guide=lambda _, __, known: (np.full(len(known.codes), bits), known.places[:, :2]),
    )


def test_an_image_is_laid_on_the_picture_that_it_shows_best(index: LocalIndex) -> None:
    """And on no other moment, however many pictures there are alike."""
    image = copy(panning(1), 0.5, offset=7.0, lost=0.2)
    (found, told), *_ = shown(image, index)
    assert (found.reference, found.offset, told) == (1, 7.0, True)
    best = max(s.agreement.inliers for s in found.seen)
    assert found.sights[0].agreement.inliers >= best


def test_of_two_renderings_the_better_counts(index: LocalIndex) -> None:
    """Both may show some of it, and neither may hide the other."""
    plain = copy(panning(1), 0.5, offset=7.0, lost=0.2)
    mirrored = copy(panning(1), 0.5, offset=3.0, lost=0.7, rendering=Rendering.MIRRORED)
    (found, _), *others = shown([mirrored, plain], index)
    assert (found.rendering, found.offset) == (Rendering.PLAIN, 7.0)
    assert all(other.reference != found.reference for other, _ in others)


def test_an_image_may_show_both_renderings_beside_each_other(index: LocalIndex) -> None:
    """Half of a picture, and that half in a mirror."""
    whole = copy(panning(1), 0.5, offset=7.0, lost=0.1, by=np.array([[1.0, 0, 0], [0, 1, 0]]))
    left = whole.places[:, 0] < WIDTH / 2 - 10
    sides = [
        replace(
            whole,
            codes=whole.codes[kept],
            places=whole.places[kept],
            starts=np.array([0, kept.sum()]),
            rendering=rendering,
        )
        for kept, rendering in ((left, Rendering.PLAIN), (left, Rendering.MIRRORED))
    ]
    found = [f.rendering for f, _ in shown(sides, index)]
    assert sorted(found) == [Rendering.MIRRORED, Rendering.PLAIN]


def test_an_image_all_over_another_moment_of_a_fixed_camera_is_told(index: LocalIndex) -> None:
    """All of a picture is there: what moves, too."""
    image = copy(fixed(PLACE, ANOTHER), 0.5, lost=0.2)
    assert [told for found, told in shown(image, index)] == [False]
    ((found, told),) = shown(image, index, bits=30)
    assert (found.all_over, told) == (True, True)


def test_what_lacks_most_is_not_sure(index: LocalIndex) -> None:
    image = copy(panning(1), 0.5, lost=0.2)
    assert [told for _, told in shown(image, index)] == [True]
    assert [(f.all_over, told) for f, told in shown(image, index, bits=100)] == [(False, False)]


def test_a_faint_sight_counts_where_all_of_the_picture_is_there() -> None:
    """Fewer features than start a line, where looking for all of them finds all."""
    index = index_of(reference([layer(PLACE, 150, pace=0.0)], seconds=0.5))
    faint = next(
        image
        for lost in np.arange(0.7, 0.98, 0.02)
        for image in [copy([layer(PLACE, 150, pace=0.0)], 0.5, lost=float(lost))]
        if any(
            sighting.FEWEST_INLIERS <= s.agreement.inliers < stills.NOMINATING
            for s in sighting.sighted(sighting.shots([image]), index)
        )
    )
    assert shown(faint, index, still=[0]) == []
    assert [found.all_over for found, _ in shown(faint, index, still=[0], bits=30)] == [True]


def test_a_small_picture_is_not_crowded_out_by_mirrors_of_another() -> None:
    """Of which many more are named for the image, by more votes."""
    index = index_of(reference(panning(1)), reference(panning(2), seconds=30.0))
    image = copy(panning(1), 0.5, offset=7.0, lost=0.85)
    mirrors = [
        copy(panning(2), 0.5, offset=9.0, lost=0.3, rendering=rendering)
        for rendering in (Rendering.MIRRORED, Rendering.INVERTED, Rendering.MIRRORED_INVERTED)
    ]
    some = sighting.shots([image, *mirrors])
    of_a_video = {s.nominee.reference for s in sighting.sighted(some, index)}
    of_an_image = {s.nominee.reference for s in sighting.sighted(some, index, alone=True)}
    assert (of_a_video, of_an_image) == ({1}, {0, 1})


def test_without_the_image_nothing_is_looked_for(index: LocalIndex) -> None:
    """Of hashes and of uploads that were judged before there is none."""
    ((found, _), *_) = shown(copy(panning(1), 0.5, lost=0.2), index)
    assert not found.all_over


@pytest.mark.parametrize(
    ("world", "told"),
    [
        pytest.param(fixed(PLACE, THEN), True, id="the moment"),
        pytest.param(fixed(PLACE, ANOTHER), False, id="another time"),
        pytest.param(panning(1), True, id="a camera that moves"),
    ],
)
def test_an_image_is_told_by_what_moves(world, told: bool, index: LocalIndex) -> None:
    found, _ = seen(copy(world, 0.5, lost=0.2), index)
    assert len(found.sights) == 1
    pictures = index.pictures(found.reference)
    assert told_alone(found, pictures) is told


def test_an_image_of_a_place_where_nothing_moves_is_not_told() -> None:
    still = [layer(PLACE, 150, pace=0.0)]
    index = index_of(reference(still))
    found, _ = seen(copy(still, 0.5, lost=0.2), index)
    assert not told_alone(found, index.pictures(found.reference))


def test_holes_before_a_fixed_camera_may_be_somebody_else(index: LocalIndex) -> None:
    found, _ = seen(copy(fixed(PLACE, THEN), 0.5, lost=0.2), index)
    assert told_alone(found, index.pictures(found.reference))
    assert not told_alone(found, index.pictures(found.reference), holes=True)
