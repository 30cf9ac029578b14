"""What is there for an instant only, looked for in some pictures a second of an upload."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from hashdb.model import Floats, Grey, Ints, Rendering
from hashdb.ports import Nominee
from matcher import instants, verify
from matcher.correlation import Line
from matcher.hashers import guided
from matcher.hashers.local import LocalHasher
from matcher.instants import (
    FEWEST_GREYS,
    FIRST_FEATURES,
    MOST_FEATURES,
    Told,
    are_missing,
    line_by_instants,
)
from matcher.laying import Found
from matcher.ports import FrameFeatures
from matcher.sighting import Shot, Sight
from matcher.verify import Agreement, Picture

Luma = NDArray[np.uint8]
WIDTH, HEIGHT, SIZE = 448, 336, 90
HASHER = LocalHasher()
HOURS, SECONDS = 2, 16.0
START, LENGTH = 4.3, 8.0
NOTHING = np.zeros(0, dtype=np.int64)


@lru_cache
def texture(seed: int, height: int, width: int) -> Luma:
    rng = np.random.default_rng(seed)
    rough = rng.integers(40, 216, (height // 6, width // 6)).astype(np.uint8)
    return cv2.resize(rough, (width, height), interpolation=cv2.INTER_NEAREST)


def picture(hour: int, at: float) -> Luma:
    """A wall, and what passes before it, every two seconds another one, of which no two have one
    way."""
    shown = texture(0, HEIGHT, WIDTH).copy()
    for number in (int(at // 2), int(at // 2) + 1):
        into = at - 2 * number + 2
        rng = np.random.default_rng((hour, number))
        start, turn = rng.uniform(0.1, 0.5, 2), rng.uniform(-0.12, 0.12, 2)
        middle = start + 0.1 + turn * into
        left, top = (middle * (WIDTH - SIZE, HEIGHT - SIZE)).astype(int).clip(0)
        left, top = min(left, WIDTH - SIZE), min(top, HEIGHT - SIZE)
        shown[top : top + SIZE, left : left + SIZE] = texture(100 * hour + number, SIZE, SIZE)
    return shown


@pytest.fixture(scope="module")
def pictures() -> list[Nominee]:
    """The reference's: the first hour."""
    found = []
    for at in np.arange(0, SECONDS, 0.5).tolist():
        one = HASHER.reference(picture(1, at))
        assert one is not None
        found.append(Nominee(9.0, 0, at, one.codes, one.places, one.width, one.height))
    return found


def greys(hour: int, start: float = START, speed: float = 1.0) -> list[Grey]:
    """Of an upload that shows that hour from there on, so fast."""
    offsets = np.arange(0, LENGTH / speed, 0.125).tolist()
    return [Grey(HASHER.grey(picture(hour, start + speed * t)), 0, t) for t in offsets]


def found(
    some: Sequence[Grey],
    pictures: Sequence[Nominee],
    speed: float = 1.0,
    offset: float = START,
    shift: float = 0.0,
) -> Found:
    """As features have it on that line, by a map that is off by so many pixels."""
    height, width = some[0].luma.shape
    grown = width / pictures[0].width
    where = np.array([[grown, 0, shift], [0, grown, shift]])
    shot = Picture(np.zeros((0, 32), np.uint8), np.zeros((0, 4), np.float32), width, height)
    agreement = Agreement(where, 50, 100, 0.5, NOTHING, NOTHING)
    sights = [
        Sight(
            Shot(row, grey.offset, Rendering.PLAIN, shot),
            min(pictures, key=lambda p: abs(p.offset - speed * grey.offset - offset)),
            verify.candidates(shot, shot),
            agreement,
        )
        for row, grey in enumerate(some[::4])
    ]
    return Found(0, Rendering.PLAIN, speed, offset, tuple(sights), len(sights))


@pytest.mark.parametrize("speed", [1.0, 0.8])
def test_the_moment_is_told_wherever_it_was_looked_for(
    pictures: list[Nominee], speed: float
) -> None:
    upload = greys(1, speed=speed)
    told = line_by_instants(found(upload, pictures, 1.2, 1.0), pictures, upload, guided.sought)
    assert told is not None
    middle = float(np.mean([g.offset for g in upload]))
    leads = told.line.speed * middle + told.line.offset
    assert leads == pytest.approx(START + speed * middle, abs=0.15)
    assert told.line.speed == pytest.approx(speed, rel=0.08)
    assert told.part > 0.5


def test_another_hour_tells_none(pictures: list[Nominee]) -> None:
    upload = greys(2)
    assert line_by_instants(found(upload, pictures), pictures, upload, guided.sought) is None


@pytest.mark.parametrize(
    ("hour", "offset", "missing"),
    [
        pytest.param(1, START, False, id="its moment"),
        pytest.param(1, START + 3.1, True, id="another moment of it"),
        pytest.param(2, START, True, id="another hour"),
    ],
)
def test_what_should_be_there_is_missing_at_another_moment(
    pictures: list[Nominee], hour: int, offset: float, missing: bool
) -> None:
    upload = greys(hour)
    one = found(upload, pictures, offset=offset)
    assert are_missing(one, pictures, upload, guided.sought) is missing


@pytest.mark.parametrize("hour", [1, 2])
def test_what_is_clearly_there_is_not_looked_for_in_full(
    pictures: list[Nominee], hour: int
) -> None:
    upload, asked = greys(hour), []

    def counting(luma: Luma, where: Floats, known: FrameFeatures) -> tuple[Ints, Floats]:
        asked.append(len(known.codes))
        return guided.sought(luma, where, known)

    assert are_missing(found(upload, pictures), pictures, upload, counting) is (hour == 2)
    assert (max(asked) <= FIRST_FEATURES) is (hour == 1)


def told(part: float, instants: int = 400, pictures: int = 10) -> Told:
    return Told(Line(1.0, START), instants, pictures, part, 9, 5.0)


@pytest.mark.parametrize(
    ("first", "full", "standing", "missing"),
    [
        pytest.param(told(0.31), told(0.05), (500, 0.8), False, id="clearly there"),
        pytest.param(told(0.29), told(0.05), (500, 0.8), True, id="not clearly"),
        pytest.param(told(0.5, instants=70), told(0.05), (500, 0.8), True, id="few of them"),
        pytest.param(told(0.5, pictures=4), told(0.05), (500, 0.8), True, id="of few pictures"),
        pytest.param(None, told(0.05), (500, 0.8), True, id="none of them"),
        pytest.param(told(0.5), told(0.5), (500, 0.05), True, id="nothing stands there"),
        pytest.param(told(0.5), told(0.05), (90, 0.05), False, id="little is asked"),
        pytest.param(told(0.2), told(0.2), (500, 0.8), False, id="a part of them"),
        pytest.param(told(0.2), None, (500, 0.8), False, id="not to be told"),
    ],
)
def test_a_thousand_features_settle_only_what_is_clearly_there(
    pictures: list[Nominee],
    monkeypatch: pytest.MonkeyPatch,
    first: Told | None,
    full: Told | None,
    standing: tuple[int, float],
    missing: bool,
) -> None:
    by_most = {FIRST_FEATURES: first, MOST_FEATURES: full}
    monkeypatch.setattr(instants, "_looked_for", lambda *asked: by_most[asked[-1]])
    monkeypatch.setattr(instants, "_finer", lambda told, _: told)
    monkeypatch.setattr(instants, "_standing", lambda *_: standing)
    upload = greys(1)
    assert are_missing(found(upload, pictures), pictures, upload, guided.sought) is missing


def test_where_not_even_what_stands_still_is_found_it_is_no_copy(pictures: list[Nominee]) -> None:
    upload = greys(1)
    aside = found(upload, pictures, shift=60.0)
    assert are_missing(aside, pictures, upload, guided.sought)


def test_where_little_is_left_of_anything_nothing_is_missing(pictures: list[Nominee]) -> None:
    """As under an effect: what stands still is found no more often than what moves."""
    rng = np.random.default_rng(5)

    def rarely(_: Luma, __: Floats, known: FrameFeatures) -> tuple[Ints, Floats]:
        return np.where(rng.random(len(known.codes)) < 0.12, 10, 120), known.places[:, :2]

    upload = greys(1)
    assert not are_missing(found(upload, pictures), pictures, upload, rarely)


def test_of_few_pictures_nothing_is_told(pictures: list[Nominee]) -> None:
    upload = greys(2)
    few = upload[: FEWEST_GREYS - 1]
    one = found(upload, pictures)
    for some in (few, []):
        assert line_by_instants(one, pictures, some, guided.sought) is None
        assert not are_missing(one, pictures, some, guided.sought)
    assert not are_missing(replace(one, speed=0.0), pictures, upload, guided.sought)


def told_and_asked(pictures: list[Nominee]) -> tuple[Told | None, int]:
    """What is told of a copy, and for how many features a picture it was looked at most."""
    asked: list[int] = []

    def counting(luma: Luma, where: Floats, known: FrameFeatures) -> tuple[Ints, Floats]:
        asked.append(len(known.codes))
        return guided.sought(luma, where, known)

    upload = greys(1)
    return line_by_instants(found(upload, pictures), pictures, upload, counting), max(asked)


def test_of_a_long_reference_what_lies_near_is_looked_for(
    pictures: list[Nominee], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(instants, "MOST_PICTURES", 12)
    told, asked = told_and_asked(pictures)
    assert told is not None
    assert told.line.offset == pytest.approx(START, abs=0.5)
    assert asked < sum(len(p.codes) for p in pictures) / 2


def test_what_lies_far_away_is_not_looked_for(
    pictures: list[Nominee], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(instants, "MOST_FEATURES", 10**6)
    _, usual = told_and_asked(pictures)
    far = [replace(p, offset=p.offset + 10**6) for p in pictures]
    assert told_and_asked([*pictures, *far])[1] <= usual
    monkeypatch.setattr(instants, "MOST_FEATURES", 320)
    assert told_and_asked(pictures)[1] <= 320


def test_pictures_of_elsewhere_say_nothing(pictures: list[Nominee]) -> None:
    """Of an upload that shows another scene before its copy, looked at there alone."""
    upload = greys(1)
    one = found(upload, pictures)
    blank = [replace(g, luma=np.zeros_like(g.luma), offset=g.offset + 20) for g in upload]
    assert not are_missing(one, pictures, blank, guided.sought)
    assert not are_missing(one, pictures, [*upload, *blank], guided.sought)
    other = [replace(g, luma=g.luma[:-2]) for g in upload]
    assert not are_missing(one, pictures, other, guided.sought)


def test_what_is_missing_is_missing_in_a_place_that_is_shown_for_minutes(
    pictures: list[Nominee],
) -> None:
    """Only pictures of the reference that lie near those that were looked at are asked."""
    upload = greys(2)
    one = found(upload, pictures)
    far = [replace(p, offset=p.offset + SECONDS * n) for n in range(1, 30) for p in pictures]
    last = replace(one.sights[-1], shot=replace(one.sights[-1].shot, offset=400.0))
    long = replace(one, sights=(*one.sights, last))
    assert are_missing(long, [*pictures, *far], upload, guided.sought)


def test_a_small_copy_is_told_in_a_long_reference(
    pictures: list[Nominee], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The finest features come first, and are lost in it."""
    monkeypatch.setattr(instants, "MOST_FEATURES", 12 * len(pictures))
    upload = [
        replace(g, luma=cv2.resize(g.luma, None, fx=0.65, fy=0.65, interpolation=cv2.INTER_AREA))
        for g in greys(1)
    ]
    told = line_by_instants(found(upload, pictures), pictures, upload, guided.sought)
    assert told is not None
    assert told.line.offset == pytest.approx(START, abs=0.5)


def test_where_too_little_stands_still_nothing_is_said_of_it(
    pictures: list[Nominee], monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = greys(1)
    aside = found(upload, pictures, shift=60.0)
    assert are_missing(aside, pictures, upload, guided.sought)
    monkeypatch.setattr(instants, "STANDING", 10**6)
    assert not are_missing(aside, pictures, upload, guided.sought)
