"""The moment that is told by how every picture changes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hashdb.index.local import LocalIndex
from matcher import moments_of_all, moving
from matcher.correlation import Line
from matcher.every_picture import Told
from matcher.laying import Found
from matcher.moments_of_all import at_moment_of_all
from matcher.sighting import Shot
from tests.made_world import (
    NO_MOTION,
    copy,
    index_of,
    looked_for,
    panning,
    reference,
)


@pytest.fixture(scope="module")
def index() -> LocalIndex:
    return index_of(reference(panning(1)))


def told_by_all(
    line: Told,
    found: Found,
    moment: Found | None,
    shots: list[Shot],
    index: LocalIndex,
    monkeypatch: pytest.MonkeyPatch,
) -> Found | None:
    """What is said where every picture tells that line, and goes on by it from 100 s on."""
    monkeypatch.setattr(moments_of_all, "line_by_all", lambda *_: line)
    monkeypatch.setattr(moments_of_all, "followed", lambda _, at, *more: at >= 100.0)
    pictures = index.pictures(found.reference)
    return at_moment_of_all(found, moment, shots, pictures, NO_MOTION, NO_MOTION)


@pytest.mark.parametrize(
    ("events", "changes", "correlation", "elsewhere", "told"),
    [
        (3.0, 6, 0.9, False, True),
        (3.0, 6, 0.9, True, False),  # one event, which happens alike at another hour
        (6.0, 6, 0.5, True, False),  # so are two
        (6.0, 6, 0.9, True, False),  # nor is it clear
        (9.0, 18, 0.5, True, True),  # as many are no chance
        (9.0, 19, 0.5, True, False),  # another car that passes by
        (7.1, 25, 0.91, True, True),  # the very same moves
        (7.1, 25, 0.74, True, False),
    ],
)
def test_few_events_do_not_outweigh_what_features_say(
    events: float,
    changes: int,
    correlation: float,
    elsewhere: bool,
    told: bool,
    index: LocalIndex,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What every picture tells of a line, where the features that move are missing on it."""
    shots, (found, *_) = looked_for(copy(panning(1), 8), index)
    line = Told(Line(1.0, found.offset + 0.1), correlation, 0.3, events, changes)
    monkeypatch.setattr(moving, "moved", lambda *_: None)
    asked = told_by_all(line, found, None if elsewhere else found, shots, index, monkeypatch)
    assert (asked is not None) == told
    if asked is not None:
        assert (asked.told, asked.timed, asked.offset) == (True, True, line.line.offset)
        assert asked.followed == ()


@pytest.mark.parametrize(("later", "told"), [(0.0, True), (0.7, True), (0.9, False)])
def test_a_moment_that_is_another_does_not_vouch_for_few_events(
    later: float, told: bool, index: LocalIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    shots, (found, *_) = looked_for(copy(panning(1), 8), index)
    line = Told(Line(found.speed, found.offset), 0.5, 0.3, 3.0, 6)
    moment = replace(found, offset=found.offset + later)
    asked = told_by_all(line, found, moment, shots, index, monkeypatch)
    assert (asked is not None) == told


@pytest.mark.parametrize(("correlation", "told"), [(0.7, False), (0.8, True)])
def test_many_events_that_are_the_same_outweigh_what_is_not_seen_to_come(
    correlation: float, told: bool, index: LocalIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    shots, (found, *_) = looked_for(copy(panning(1), 8), index)
    line = Told(Line(1.0, found.offset), correlation, 0.3, 9.0, 40)
    monkeypatch.setattr(moving, "lacks_what_comes", lambda *_: True)
    asked = told_by_all(line, found, None, shots, index, monkeypatch)
    assert (asked is not None) == told


@pytest.mark.parametrize(
    ("correlation", "above", "told"), [(0.6, 0.4, True), (0.59, 0.45, False), (0.9, 0.39, False)]
)
def test_what_every_picture_tells_against_features_must_be_clear(
    correlation: float, above: float, told: bool, index: LocalIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another hour agreed by 0.56 with what it is not, by 0.47 more than elsewhere."""
    shots, (found, *_) = looked_for(copy(panning(1), 8), index)
    line = Told(Line(1.0, found.offset), correlation, above, 5.0, 40)
    asked = told_by_all(line, found, None, shots, index, monkeypatch)
    assert (asked is not None) == told


@pytest.mark.parametrize(
    ("correlation", "above", "events", "later", "told"),
    [
        (0.65, 0.49, 5.5, 0.2, True),
        (0.59, 0.49, 5.5, 0.2, False),
        (0.65, 0.39, 5.5, 0.2, False),  # another line is nearly as good
        (0.65, 0.49, 3.9, 0.2, False),  # one event
        (0.65, 0.49, 5.5, 0.9, False),  # features lead elsewhere
    ],
)
def test_what_features_and_every_picture_tell_alike_is_believed(
    correlation: float,
    above: float,
    events: float,
    later: float,
    told: bool,
    index: LocalIndex,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Though what comes is not seen there, by features."""
    shots, (found, *_) = looked_for(copy(panning(1), 8), index)
    line = Told(Line(found.speed, found.offset + later), correlation, above, events, 46)
    monkeypatch.setattr(moving, "lacks_what_comes", lambda *_: True)
    asked = told_by_all(line, found, None, shots, index, monkeypatch)
    assert (asked is not None) == told
