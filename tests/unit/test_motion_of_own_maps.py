"""What moves before a camera that stands still, in a copy whose picture moves about: each is laid
by a map of its own (`tests.standing_camera`)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from hashdb.model import Motion, Rendering
from matcher import verify
from matcher.correlation import Laid, cells_of
from matcher.features import QUERY_GRID, REFERENCE_GRID
from matcher.laying import Found
from matcher.motion import compare, laid_by
from tests.standing_camera import HEIGHT, PLAIN, WIDTH, Grey, scene, seen, watched

Map = NDArray[np.float64]
TIMES = np.arange(0, 8, 0.4)
START = 9.0


@pytest.fixture(scope="module")
def reference() -> Motion:
    at = np.arange(0, 30, 0.25).tolist()
    return watched([(t, before_bars(1, t)) for t in at], REFERENCE_GRID)


def before_bars(hour: int, moment: float) -> Grey:
    """A place of which each part is light or dark: what lies at a place of the upload is never the
    same part of it."""
    bars = np.where(np.arange(64) // 6 % 2, 60.0, -60.0)
    return np.clip(scene(hour, moment) + bars, 0, 255)


def about_the_middle(degrees: float, size: float = 1.0) -> Map:
    """Turned and scaled, the picture's middle staying where it is."""
    turn, middle = np.radians(degrees), np.array([WIDTH / 2, HEIGHT / 2])
    by = size * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    return np.column_stack([by, middle - by @ middle])


def shifted(t: float, across: float, down: float = 0.0) -> Map:
    """By pixels, and turned a little, as no two pictures are laid quite alike."""
    by = about_the_middle(0.1 * np.sin(10 * t))
    by[:, 2] += (across, down)
    return by


def jumping(t: float) -> Map:
    across, down = np.random.default_rng(int(10 * t)).uniform(-50, 50, 2)
    return shifted(t, across, down)


HOW: dict[str, Callable[[float], Map]] = {
    "swaying": lambda t: about_the_middle(12 * np.sin(2 * t)),
    "spinning": lambda t: about_the_middle(40 * t, 0.7),
    "pulsing": lambda t: about_the_middle(0, 1 + 0.2 * np.sin(3 * t)),
    "jumping": jumping,
}


def laid(picture: Grey, by: Map) -> Grey:
    """The picture (64, 64) where the map, in pixels of the whole, lays it, on a grey ground."""
    middle = np.arange(64) + 0.5
    across, down = np.meshgrid(middle / 64 * WIDTH, middle / 64 * HEIGHT)
    x, y = np.linalg.inv(by[:, :2]) @ (np.stack([across.ravel(), down.ravel()]) - by[:, 2:])
    column, row = np.floor(x / WIDTH * 64).astype(int), np.floor(y / HEIGHT * 64).astype(int)
    inside = (column >= 0) & (column < 64) & (row >= 0) & (row < 64)
    values = picture[row.clip(0, 63), column.clip(0, 63)]
    return np.where(inside, values, 90.0).reshape(64, 64)


def moved_about(
    how: Callable[[float], Map], hour: int = 1, rendering: Rendering = Rendering.PLAIN
) -> tuple[Found, Motion]:
    """A copy of 8 s from `START` on, and what moves in it."""
    found = seen(TIMES.tolist(), PLAIN, rendering)
    pictures, sights = [], []
    for t, sight in zip(TIMES.tolist(), found.sights, strict=True):
        picture = laid(before_bars(hour, START + t), how(t))
        picture = 255 - picture if rendering.inverted else picture
        pictures.append((t, picture[:, ::-1] if rendering.mirrored else picture))
        sights.append(replace(sight, agreement=replace(sight.agreement, map=how(t))))
    return replace(found, sights=tuple(sights)), watched(pictures, QUERY_GRID)


def told(found: Found, upload: Motion, reference: Motion, by: Laid | None = None) -> float | None:
    """The moment that the middle of the copy shows."""
    compared = compare(TIMES, by or laid_by(found), upload, reference)
    line = None if compared is None else compared.line
    return None if line is None else line.speed * 4 + line.offset


@pytest.mark.parametrize("rendering", [Rendering.PLAIN, Rendering.MIRRORED, Rendering.INVERTED])
@pytest.mark.parametrize("how", HOW)
def test_the_moment_is_told_picture_by_picture(
    how: str, rendering: Rendering, reference: Motion
) -> None:
    found, upload = moved_about(HOW[how], rendering=rendering)
    assert told(found, upload, reference) == pytest.approx(START + 4, abs=0.4)


@pytest.mark.parametrize("how", ["spinning", "jumping"])
def test_one_map_for_all_tells_nothing(how: str, reference: Motion) -> None:
    found, upload = moved_about(HOW[how])
    one = replace(laid_by(found), own_maps=None)
    assert told(found, upload, reference, one) is None


@pytest.mark.parametrize("hour", range(2, 10))
@pytest.mark.parametrize("how", ["swaying", "jumping"])
def test_another_hour_tells_nothing(how: str, hour: int, reference: Motion) -> None:
    found, upload = moved_about(HOW[how], hour=hour)
    assert told(found, upload, reference) is None


@pytest.mark.parametrize("how", HOW)
def test_a_place_that_is_moved_about_does_not_move_itself(how: str, reference: Motion) -> None:
    pictures = [(t, laid(before_bars(1, START), HOW[how](t))) for t in TIMES.tolist()]
    found, _ = moved_about(HOW[how])
    upload = watched(pictures, QUERY_GRID)
    own, one = laid_by(found), replace(laid_by(found), own_maps=None)
    strength = []
    for by in (own, one):
        cells = cells_of(TIMES, by, upload, reference)
        assert cells is not None
        strength.append(float(np.sqrt(np.mean(cells.shown**2))))
    assert strength[0] < 0.6 * strength[1]


def test_without_its_brightness_a_picture_cannot_be_laid_by_itself(reference: Motion) -> None:
    found, upload = moved_about(HOW["swaying"])
    assert upload.usual is not None
    assert told(found, replace(upload, usual=None), reference) is None


def test_pictures_without_a_map_are_passed_over(reference: Motion) -> None:
    found, upload = moved_about(HOW["swaying"])
    some = replace(found, sights=found.sights[::2])
    cells = cells_of(TIMES, laid_by(some), upload, reference)
    assert cells is not None
    assert cells.at.tolist() == TIMES[::2].tolist()
    few = replace(found, sights=found.sights[:4])
    assert cells_of(TIMES, laid_by(few), upload, reference) is None


def test_cells_that_are_seen_now_and_then_are_not_compared(reference: Motion) -> None:
    """Half of the pictures show the left half only."""
    found, upload = moved_about(lambda t: shifted(t, WIDTH / 2 * (t % 0.8 > 0.2)))
    cells = cells_of(TIMES, laid_by(found), upload, reference)
    assert cells is not None
    assert cells.shown.shape[1] == REFERENCE_GRID**2 // 2


def test_a_cell_that_a_few_pictures_miss_is_as_usual_there(reference: Motion) -> None:
    found, upload = moved_about(lambda t: shifted(t, WIDTH / 2 * (t < 0.2)))
    cells = cells_of(TIMES, laid_by(found), upload, reference)
    assert cells is not None
    assert cells.shown.shape[1] == REFERENCE_GRID**2
    assert np.isfinite(cells.shown).all()
    right = np.arange(REFERENCE_GRID**2) % REFERENCE_GRID >= REFERENCE_GRID // 2
    assert len(np.unique(cells.shown[0, right])) == 1
    assert len(np.unique(cells.shown[0, ~right])) > 1


def test_maps_that_are_all_one_are_one() -> None:
    found = seen(TIMES.tolist(), PLAIN, Rendering.PLAIN)
    assert laid_by(found).own_maps is None
    by = verify.Agreement(about_the_middle(9), 30, 100, 0.5, *[np.empty(0, np.int64)] * 2)
    first, *rest = found.sights
    turned = replace(found, sights=(first, *(replace(s, agreement=by) for s in rest)))
    own = laid_by(turned).own_maps
    assert own is not None
    assert sorted(own) == TIMES.tolist()
