"""Whether a camera that moves passes a place again."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from hashdb.model import Floats, Grey, Rendering
from hashdb.ports import Nominee
from matcher import verify
from matcher.beyond import is_paced, is_unsteady, passes_again
from matcher.hashers import guided
from matcher.hashers.local import LocalHasher
from matcher.laying import Found
from matcher.seeking import BUDGET, Budget, Seeker
from matcher.sighting import Shot, Sight
from matcher.verify import Agreement, Picture

Luma = NDArray[np.uint8]
View = tuple[float, float]
"""Where in the place the upper left corner of what the camera shows is, pixels."""

WIDTH, HEIGHT, SECONDS, EDGE = 448, 336, 10.0, 500.0
HASHER = LocalHasher()


@lru_cache
def place() -> Luma:
    rng = np.random.default_rng(7)
    rough = rng.integers(30, 226, (190, 240)).astype(np.uint8)
    return cv2.resize(rough, (1920, 1520), interpolation=cv2.INTER_CUBIC)


def seen_from(at: View) -> Luma:
    """What lies there, to a part of a pixel."""
    shift = np.array([[1.0, 0.0, -at[0]], [0.0, 1.0, -at[1]]])
    return cv2.warpAffine(place(), shift, (WIDTH, HEIGHT), flags=cv2.INTER_LINEAR)


def pan(at: float) -> View:
    """A camera that is led over it, a tenth of its picture a second."""
    return EDGE + 45 * at, EDGE


def again(at: float) -> View:
    """And once more, a little higher and not as evenly."""
    x, y = pan(at)
    return x - 45 + 30 * math.sin(1.3 * at), y - 20 + 12 * math.cos(at)


def fixed(at: float) -> View:
    return EDGE, EDGE


@lru_cache
def known(way: Callable[[float], View] = pan) -> list[Nominee]:
    found = []
    for at in np.arange(0, SECONDS, 0.5).tolist():
        one = HASHER.reference(seen_from(way(at)))
        assert one is not None
        found.append(Nominee(9.0, 0, at, one.codes, one.places, one.width, one.height))
    return found


def upload(
    way: Callable[[float], View],
    pictures: list[Nominee],
    *,
    edit: Callable[[Luma, Floats], Luma] = lambda luma, _: luma,
    placed: Callable[[float], Floats] = lambda _: np.eye(2, 3),
    of: Callable[[float], View] = pan,
    start: float = 0.6,
    speed: float = 1.0,
) -> tuple[Found, list[Grey]]:
    """Eight seconds of it, two pictures a second, each on the picture of the reference that shows
    its moment on a line of that `speed`; `placed`: where the edit lays a whole picture; `of`: the
    reference's way."""
    sights, greys = [], []
    for row, at in enumerate(np.arange(start, start + 8.0, 0.5).tolist()):
        laid = placed(at)
        luma = HASHER.grey(edit(seen_from(way(at)), laid))
        mine = HASHER.described(luma)[0]
        picture = Picture(mine.codes, mine.places, mine.width, mine.height)
        one = min(pictures, key=lambda p: abs(p.offset - speed * at))
        between = np.eye(2, 3)
        between[:, 2] = np.subtract(of(one.offset), way(at))
        found = np.column_stack([laid[:, :2], laid[:, :2] @ between[:, 2] + laid[:, 2]])
        rows = np.arange(50)
        shot = Shot(row, at, Rendering.PLAIN, picture)
        nothing = verify.candidates(picture, Picture(one.codes[:0], one.places[:0], 9, 9))
        sights.append(Sight(shot, one, nothing, Agreement(found, 50, 300, 0.5, rows, rows)))
        greys.append(Grey(luma, 0, at))
    return Found(0, Rendering.PLAIN, speed, 0.0, tuple(sights), len(sights)), greys


def seeker(greys: list[Grey], left: int = BUDGET) -> Seeker:
    return Seeker({grey.offset: grey for grey in greys}, guided.sought, Budget(left))


def framed(luma: Luma, laid: Floats) -> Luma:
    """Within a picture of something else."""
    rng = np.random.default_rng(3)
    rough = rng.integers(0, 255, (HEIGHT // 6, WIDTH // 6)).astype(np.uint8)
    around = cv2.resize(rough, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    there = cv2.warpAffine(np.full_like(luma, 255), laid, (WIDTH, HEIGHT)) > 128
    return np.where(there, cv2.warpAffine(luma, laid, (WIDTH, HEIGHT)), around)


def smaller(at: float) -> Floats:
    return np.array([[0.75, 0, WIDTH / 8], [0, 0.75, HEIGHT / 8]])


def floating(at: float) -> Floats:
    """To and fro."""
    return smaller(at) + [[0, 0, 30 * math.sin(2 * at)], [0, 0, 20 * math.cos(3 * at)]]


def walking(at: float) -> View:
    """By hand: up and down."""
    x, y = pan(at)
    return x, y + 24 * math.sin(2 * math.pi * 0.8 * at)


def test_another_pass_over_the_same_place_is_no_copy():
    pictures = known()
    found, greys = upload(again, pictures)
    assert passes_again(found, seeker(greys), pictures)


@pytest.mark.parametrize("late", [0.0, 0.4], ids=["on its line", "where the line is off"])
def test_a_copy_is_none(late: float):
    pictures = known()
    found, greys = upload(lambda at: pan(at + late), pictures)
    assert not passes_again(found, seeker(greys), pictures)


@pytest.mark.parametrize("placed", [smaller, floating])
def test_a_copy_that_lies_in_other_footage_is_none(placed: Callable[[float], Floats]):
    """What lies beyond its edges is something else."""
    pictures = known()
    found, greys = upload(pan, pictures, edit=framed, placed=placed)
    assert not passes_again(found, seeker(greys), pictures)


def test_a_copy_that_is_moved_about_is_none_where_its_line_is_off():
    """Half a second beside its moment the picture shows more than the reference does, but not at
    its own."""

    def quick(at: float) -> View:
        return EDGE + 80 * at, EDGE

    def late(at: float) -> View:
        return quick(at + 0.45)

    def shaken(at: float) -> Floats:
        return np.array([[1.1, 0, -22 - 20 * math.sin(2 * at)], [0, 1.1, -15.0]])

    def cut(luma: Luma, laid: Floats) -> Luma:
        return cv2.warpAffine(luma, laid, (WIDTH, HEIGHT))

    pictures = known(quick)
    found, greys = upload(late, pictures, edit=cut, placed=shaken, of=quick)
    assert not passes_again(found, seeker(greys), pictures)


@pytest.mark.parametrize("start", [0.5, 0.6, 0.75], ids=["at", "near", "midway between"])
def test_nor_is_what_a_hand_shakes(start: float):
    """What it does between two pictures of the reference is not known."""
    pictures = known(walking)
    found, greys = upload(walking, pictures, of=walking, start=start)
    assert not passes_again(found, seeker(greys), pictures)
    piece = replace(found, sights=found.sights[4:10])
    assert not is_unsteady(piece, seeker(greys), pictures)


def test_what_was_cropped_in_the_reference_is_none():
    """It shows more than the reference does, always as much."""
    pictures = known(lambda at: (pan(at)[0] + 60, pan(at)[1] + 50))
    found, greys = upload(pan, pictures, of=lambda at: (pan(at)[0] + 60, pan(at)[1] + 50))
    assert not passes_again(found, seeker(greys), pictures)


def test_nor_is_it_where_its_line_is_off():
    """As the place moves, another moment agrees as well, a little shifted."""

    def reference(at: float) -> View:
        return pan(at)[0] + 60, pan(at)[1] + 50

    def shown(at: float) -> View:
        return pan(0.8 * at + 0.7)

    pictures = known(reference)
    found, greys = upload(shown, pictures, of=reference)
    assert not passes_again(found, seeker(greys), pictures)


def test_a_camera_that_stands_still_passes_nothing_again():
    pictures = known(fixed)
    found, greys = upload(again, pictures, of=fixed)
    assert not passes_again(found, seeker(greys), pictures)


@pytest.mark.parametrize("why", ["stands", "flat", "no budget", "no greys", "few"])
def test_what_cannot_be_told_says_nothing(why: str):
    pictures = known()
    found, greys = upload(again, pictures)
    left = BUDGET
    if why == "stands":
        found = replace(found, speed=0.0)
    elif why == "flat":
        flat = [
            replace(s, agreement=replace(s.agreement, map=0 * s.agreement.map))
            for s in found.sights
        ]
        found = replace(found, sights=tuple(flat))
    elif why == "no budget":
        left = 20
    elif why == "no greys":
        greys = []
    else:
        found = replace(found, sights=found.sights[:2])
    assert not passes_again(found, seeker(greys, left), pictures)
    if why in ("no greys", "few"):
        assert not is_unsteady(found, seeker(greys, left), pictures)


def test_pieces_of_another_pass_drift_and_those_of_a_copy_do_not():
    pictures = known()
    for way, told in ((again, True), (pan, False), (lambda at: pan(at + 0.3), False)):
        found, greys = upload(way, pictures)
        piece = replace(found, sights=found.sights[4:10])
        assert is_unsteady(piece, seeker(greys), pictures) is told


def test_pieces_with_maps_of_their_own_are_not_asked():
    pictures = known()
    found, greys = upload(again, pictures)
    first, *others = found.sights[4:10]
    turned = first.agreement.map + [[0.01, 0, 0], [0, 0.01, 0]]
    first = replace(first, agreement=replace(first.agreement, map=turned))
    assert not is_unsteady(replace(found, sights=(first, *others)), seeker(greys), pictures)
    assert passes_again(replace(found, sights=(first, *others)), seeker(greys), pictures)


def test_before_a_camera_that_stands_still_it_is_the_edit_that_moves():
    pictures = known(fixed)
    found, greys = upload(again, pictures, of=fixed)
    assert not is_unsteady(replace(found, sights=found.sights[:6]), seeker(greys), pictures)


def test_no_more_is_looked_for_than_there_is_a_budget():
    pictures = known()
    found, greys = upload(again, pictures)
    budget = Budget(BUDGET)
    one = Seeker({grey.offset: grey for grey in greys}, guided.sought, budget)
    for _ in range(20):
        passes_again(found, one, pictures)
    assert budget.affords(-100)


@pytest.mark.parametrize("speed", [0.5, 0.8])
def test_a_copy_is_believed_at_any_pace(speed: float):
    pictures = known()
    found, greys = upload(lambda at: pan(speed * at), pictures, speed=speed)
    assert is_paced(found, seeker(greys), pictures)


@pytest.mark.parametrize("part", [0.4, 1.0])
@pytest.mark.parametrize("way", [pan, walking])
def test_another_pass_is_not_believed_at_its_pace(way: Callable[[float], View], part: float):
    """Nor where it differs by no more than a hand shakes."""

    def beside(at: float) -> View:
        (x, y), (other_x, other_y) = way(0.5 * at), again(0.5 * at)
        return x + part * (other_x - pan(0.5 * at)[0]), y + part * (other_y - pan(0.5 * at)[1])

    pictures = known(way)
    found, greys = upload(beside, pictures, speed=0.5, of=way)
    assert not is_paced(found, seeker(greys), pictures)


def test_a_copy_is_not_believed_at_another_pace_than_its_own():
    pictures = known()
    found, greys = upload(lambda at: pan(0.5 * at), pictures, speed=0.65)
    assert not is_paced(found, seeker(greys), pictures)


def test_nor_where_it_is_not_known_how_the_place_moves_there():
    pictures = known()
    found, greys = upload(lambda at: pan(0.5 * at), pictures, speed=0.5)
    assert not is_paced(replace(found, offset=6.0), seeker(greys), pictures)


def test_nor_is_what_shows_half_of_it():
    """As another scene before a camera that hardly moves does."""

    def covered(luma: Luma, laid: Floats) -> Luma:
        other = place()[:HEIGHT, :WIDTH]
        return np.where(np.arange(WIDTH) < 0.5 * WIDTH, other, luma).astype(np.uint8)

    pictures = known()
    found, greys = upload(lambda at: pan(0.5 * at), pictures, speed=0.5, edit=covered)
    assert not is_paced(found, seeker(greys), pictures)


def test_nor_is_a_camera_that_hardly_moves():
    """Another moment of the scene lies as still, and shows as much."""

    def slow(at: float) -> View:
        return EDGE + 4 * at, EDGE

    pictures = known(slow)
    found, greys = upload(lambda at: slow(0.5 * at), pictures, speed=0.5, of=slow)
    assert not is_paced(found, seeker(greys), pictures)


@pytest.mark.parametrize(
    "why", ["few", "sparse", "own maps", "no budget", "no greys", "unknown", "a still"]
)
def test_of_little_no_pace_is_believed(why: str):
    pictures = known()
    found, greys = upload(lambda at: pan(0.5 * at), pictures, speed=0.5)
    left = BUDGET
    if why == "few":
        found = replace(found, sights=found.sights[:9], led=9)
    elif why == "sparse":
        found = replace(found, led=2 * len(found.sights))
    elif why == "own maps":
        first, *others = found.sights
        turned = replace(first.agreement, map=1.1 * first.agreement.map)
        found = replace(found, sights=(replace(first, agreement=turned), *others))
    elif why == "no budget":
        left = 100  # enough for this, and not for `passes_again` afterwards
    elif why == "no greys":
        greys = []
    elif why == "a still":
        found, greys = upload(lambda _: pan(2.0), pictures, speed=0.0)
    else:
        pictures = pictures[:: len(pictures) - 1]  # of nothing between is it known how it moves
    assert not is_paced(found, seeker(greys, left), pictures)
