"""One after the other stands before a camera that stands still: he himself, or somebody else?"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hashdb.ports import Nominee
from matcher import moments, moving
from matcher.correlation import Line
from matcher.laying import Found
from matcher.moments import at_its_moment
from matcher.motion import Agreement, Comparison
from matcher.sighting import Shot
from tests.made_world import (
    ANOTHER,
    NO_MOTION,
    PLACE,
    THEN,
    features,
    index_of,
    layer,
    seen,
    shown,
)

STOOD = [(9.0, 12.5), (25.0, 28.5)]
"""When somebody stands before the camera: of each stay, other features at one place."""


def visits(people: int, moment: float) -> tuple[np.ndarray, np.ndarray]:
    """A place, before which one after the other stand; who they are says `people`."""
    codes, places = shown([layer(PLACE, 110, pace=0.0)], moment)
    for number, (come, go) in enumerate(STOOD):
        if come <= moment < go:
            who = shown([layer(people + number, 60, pace=0.0)], moment)
            codes, places = np.concatenate([codes, who[0]]), np.concatenate([places, who[1]])
    return codes, places


def stood_before(people: int, speed: float = 1.0) -> tuple[Found, list[Shot], list[Nominee]]:
    """An upload at that speed, before which these people stand, and the reference's pictures."""
    held = index_of(features([(t, *visits(THEN, t)) for t in np.arange(0, 40, 0.5)]))
    query = features([(t, *visits(people, speed * t + 5.0)) for t in np.arange(0, 30 / speed)])
    return *seen(query, held), held.pictures(0)


def is_told_by_motion(
    people: int,
    speed: float,
    by_changes: float,
    agreement: Agreement,
    monkeypatch: pytest.MonkeyPatch,
) -> bool:
    """Of an upload at that speed, before which these people stand, where what moves says so."""
    by = Comparison(Line(speed, 5.0), by_changes, agreement.on)
    monkeypatch.setattr(moments, "compare", lambda *_: by)
    monkeypatch.setattr(moments, "_agreement", lambda *_: agreement)
    found, mine, pictures = stood_before(people, speed)
    masks = moving.Masks(pictures)
    told = moments._told_by_motion(found, mine, pictures, masks, (NO_MOTION, NO_MOTION), 0.2)
    return told is not None


@pytest.mark.parametrize(
    ("people", "on", "elsewhere", "kept"),
    [
        pytest.param(THEN, 0.4, 0.4, True, id="the same people"),
        pytest.param(ANOTHER + 9, 0.4, 0.4, False, id="others, who come and go alike"),
        pytest.param(ANOTHER + 9, 0.4, 0.14, True, id="and move as nobody else does"),
        pytest.param(ANOTHER + 9, 0.77, 0.61, False, id="and move much as others do"),
        pytest.param(ANOTHER + 9, 0.92, 0.92, True, id="and move as they did"),
    ],
)
def test_who_comes_and_goes_as_others_did_is_told_by_what_he_looks_like(
    people: int, on: float, elsewhere: float, kept: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody who stands there for long does not move by the pictures near him, but is seen at
    that time only."""
    assert is_told_by_motion(people, 1.0, 0.5, Agreement(on, elsewhere), monkeypatch) is kept


@pytest.mark.parametrize(
    ("people", "speed", "on", "elsewhere", "kept"),
    [
        pytest.param(THEN, 1.25, 0.8, 0.6, True, id="he himself"),
        pytest.param(ANOTHER + 9, 1.25, 0.8, 0.6, False, id="somebody else, who is faster"),
        pytest.param(ANOTHER + 9, 1.25, 0.92, 0.92, True, id="but moves as nobody else would"),
        pytest.param(ANOTHER + 9, 1.25, 0.7, 0.2, True, id="and nobody moves like that"),
        pytest.param(ANOTHER + 9, 1.25, 0.56, 0.11, False, id="nobody does, nor does he"),
        pytest.param(ANOTHER + 9, 1.0, 0.8, 0.2, True, id="as fast as he"),
    ],
)
def test_who_does_faster_what_another_did_is_told_by_what_he_looks_like(
    people: int,
    speed: float,
    on: float,
    elsewhere: float,
    kept: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert is_told_by_motion(people, speed, 0.8, Agreement(on, elsewhere), monkeypatch) is kept


@pytest.mark.parametrize(
    ("speed", "on", "by_changes", "kept"),
    [
        (1.25, 0.3, 0.35, False),
        (1.25, 0.3, 0.45, True),
        (1.25, 0.45, 0.3, True),
        (1.0, 0.3, 0.3, True),
    ],
)
def test_what_moves_faster_must_agree_by_more_than_chance(
    speed: float, on: float, by_changes: float, kept: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same people, who are seen."""
    assert is_told_by_motion(THEN, speed, by_changes, Agreement(on, 0.1), monkeypatch) is kept


@pytest.mark.parametrize(
    ("people", "elsewhere", "told"),
    [
        pytest.param(THEN, 0.6, True, id="the same people"),
        pytest.param(ANOTHER + 9, 0.6, False, id="others, who move much as others do"),
        pytest.param(ANOTHER + 9, 0.4, True, id="others, who move as nobody else does"),
    ],
)
def test_where_what_moves_is_at_its_best_who_comes_must_be_seen(
    people: int, elsewhere: float, told: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No line stands out, but none is better than the one that features have found."""
    monkeypatch.setattr(moments, "compare", lambda *_: Comparison(None, 0.0, 0.7))
    monkeypatch.setattr(moments, "coincides", lambda *_: True)
    monkeypatch.setattr(moments, "_agreement", lambda *_: Agreement(0.7, elsewhere))
    found, mine, pictures = stood_before(people)
    there = moments.on_told_line(found, Line(1.0, 5.0), mine, pictures)
    assert there is not None
    found = replace(there, stands=True, told=False)
    moment = at_its_moment(found, mine, pictures, lambda: (NO_MOTION, NO_MOTION))
    assert (moment is not None and moment.told) is told


@pytest.mark.parametrize(
    ("people", "on", "elsewhere", "told"),
    [
        pytest.param(THEN, 0.5, 0.2, True, id="agrees better than elsewhere"),
        pytest.param(THEN, 0.5, 0.4, False, id="as others do"),
        pytest.param(ANOTHER + 9, 0.5, 0.2, False, id="agrees better, but others stand there"),
        pytest.param(ANOTHER + 9, 0.8, 0.5, True, id="the same moves"),
    ],
)
def test_pictures_that_move_about_tell_a_moment_by_what_is_seen_in_them(
    people: int, on: float, elsewhere: float, told: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moments, "compare", lambda *_: Comparison(Line(1.0, 5.0), on, on))
    monkeypatch.setattr(moments, "_agreement", lambda *_: Agreement(on, elsewhere))
    found, mine, pictures = stood_before(people)
    found = replace(found, own=found.sights)
    masks = moving.Masks(pictures)
    motion = (NO_MOTION, NO_MOTION)
    moment = moments._told_of_own_maps(found, mine, pictures, masks, motion)
    assert (moment is not None) is told


@pytest.mark.parametrize(
    ("people", "told", "missing"),
    [
        pytest.param(THEN, True, False, id="the same people"),
        pytest.param(ANOTHER + 9, True, True, id="others, at the line that what moves tells"),
        pytest.param(ANOTHER + 9, False, False, id="others, at a line on which nobody comes"),
    ],
)
def test_what_moves_is_missing_on_the_line_that_what_moves_tells(
    people: int, told: bool, missing: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Features have found the upload where nobody stands before the camera."""
    held = index_of(features([(t, *visits(THEN, t)) for t in np.arange(0, 40, 0.5)]))
    query = features([(t, *visits(people, t + 5.0)) for t in np.arange(0, 30, 1.0)])
    compared = Comparison(Line(1.0, 5.0) if told else None, 0.5, 0.5)
    monkeypatch.setattr(moments, "compare", lambda *_: compared)
    found, mine = seen(query, held)
    empty = replace(found, sights=tuple(s for s in found.sights if s.shot.offset < 4.0))
    pictures = held.pictures(0)
    assert moments.is_missing(empty, mine, pictures, lambda: (NO_MOTION, NO_MOTION)) is missing
    assert not moments.is_missing(empty, mine, pictures, lambda: None)


@pytest.mark.parametrize(
    ("on", "elsewhere", "speed", "same"),
    [
        (0.91, 0.91, 1.5, True),
        (0.89, 0.2, 1.5, False),
        (0.76, 0.5, 1.0, True),
        (0.74, 0.2, 1.0, False),
        (0.77, 0.61, 1.09, False),  # somebody else who stands at the table and leaves
    ],
)
def test_the_same_moves(on: float, elsewhere: float, speed: float, same: bool) -> None:
    assert moments.is_same(Agreement(on, elsewhere), speed) is same


def counted(*sights: tuple[int, int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Of each sight what is seen and hoped for: throughout, and at one time only."""
    each = np.array(sights)
    return each[:, [0, 2]], each[:, [1, 3]]


WITHOUT = (80, 100, 1, 100)
"""Somebody else stands there."""


UNCOVERED = (80, 100, 55, 100)
"""He has left, and the table is seen as it was."""


@pytest.mark.parametrize(
    ("sights", "another"),
    [
        pytest.param([WITHOUT] * 3 + [UNCOVERED] * 3, True, id="somebody else"),
        pytest.param([WITHOUT] + [UNCOVERED] * 3, False, id="seldom seen"),
        pytest.param([WITHOUT] * 3 + [(80, 100, 75, 100)] * 3, False, id="as the place is"),
        pytest.param([(80, 100, 11, 100)] * 3 + [UNCOVERED] * 3, False, id="blurred"),
        pytest.param(
            [(80, 100, 1, 30)] * 3 + [(80, 100, 16, 30)] * 3, False, id="few are hoped for"
        ),
        pytest.param([(0, 100, 0, 100)] * 3 + [UNCOVERED] * 3, False, id="the place is not seen"),
    ],
)
def test_somebody_else_is_told_picture_by_picture(
    sights: list[tuple[int, int, int, int]], another: bool
) -> None:
    assert moving._is_another(*counted(*sights)) is another
