"""What is made of a line once all features were looked for where they should be."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from hashdb.model import (
    Alignment,
    FrameMatch,
    Orientation,
    Rendering,
    Segment,
    SegmentPair,
    View,
)
from matcher import finders
from matcher.laying import Found
from matcher.moment_finder import Moments
from matcher.score import rescore
from matcher.seeking import Budget

SECONDS = 12


def alignment() -> Alignment:
    """Sure, by a dozen pictures."""
    frames = [
        FrameMatch(
            offset=float(at),
            reference_offset=float(at),
            distance=40,
            group=at,
            track=0,
            view=View.FULL,
            before=0.5,
            after=0.5,
        )
        for at in range(SECONDS)
    ]
    pair = SegmentPair(Segment(0, SECONDS), Segment(0, SECONDS))
    empty = Alignment("ref_1", "local", Orientation.ORIGINAL, (), (pair,), 0.0)
    told = rescore(empty, frames, video=True)
    assert told is not None
    return told


def sought(monkeypatch: pytest.MonkeyPatch, *, pieces: bool, **says: Any) -> Alignment | None:
    """`says`: what is answered when it is asked."""
    asked = {"passes_again": False, "is_unsteady": False} | says
    for name in ("passes_again", "is_unsteady"):
        answer = asked[name]
        monkeypatch.setattr(finders, name, lambda *_, answer=answer: answer)
    monkeypatch.setattr(finders.telling, "in_places", lambda *_: False)
    seeker: Any = SimpleNamespace(
        shows_clearly=lambda _: asked.get("shows_clearly", True),
        shows_nothing=lambda _: asked.get("shows_nothing", False),
        leads_on=lambda *_: "shown" in asked,
        shown_on=lambda *_: asked.get("shown"),
    )
    found: Any = SimpleNamespace(reference=0, track=0, drifts="shows_clearly" in asked)
    seen: Any = SimpleNamespace(banned=asked.get("banned", [0]), still=[], shots=[])
    backend: Any = SimpleNamespace(pictures=lambda *_: [])
    return finders._sought(
        seeker,
        seen,
        backend,
        found,
        "ref_1",
        asked.get("alignment", alignment()),
        tell=lambda *_: asked.get("more"),
        pieces=pieces,
    )


@pytest.mark.parametrize("pieces", [False, True])
def test_what_nothing_speaks_against_stays(monkeypatch: pytest.MonkeyPatch, pieces: bool):
    assert sought(monkeypatch, pieces=pieces) == alignment()


def test_where_a_camera_passes_a_place_again_somebody_must_look(monkeypatch: pytest.MonkeyPatch):
    found = sought(monkeypatch, pieces=False, passes_again=True)
    assert alignment().score > 0.9
    assert found is not None
    assert 0.3 < found.score < 0.6
    assert sought(monkeypatch, pieces=False, passes_again=True, banned=[]) == alignment()
    assert sought(monkeypatch, pieces=False, passes_again=True, alignment=None) is None


def test_pieces_that_are_not_steady_are_none(monkeypatch: pytest.MonkeyPatch):
    assert sought(monkeypatch, pieces=True, is_unsteady=True) is None
    assert sought(monkeypatch, pieces=False, is_unsteady=True) == alignment()
    assert sought(monkeypatch, pieces=True, is_unsteady=False, alignment=None) is None


@pytest.mark.parametrize("pieces", [False, True])
def test_what_shows_nothing_or_drifts_is_none(monkeypatch: pytest.MonkeyPatch, pieces: bool):
    assert sought(monkeypatch, pieces=pieces, shows_nothing=True) is None
    assert sought(monkeypatch, pieces=pieces, shows_clearly=False) is None


def test_what_shows_more_is_longer(monkeypatch: pytest.MonkeyPatch):
    few = rescore(alignment(), alignment().frames[:6], video=True)
    found = sought(monkeypatch, pieces=False, alignment=few, shown=object(), more=alignment())
    assert found == alignment()
    assert sought(monkeypatch, pieces=False, shown=object(), more=few) == alignment()


@pytest.mark.parametrize(
    ("otherwise", "closer", "line", "kept"),
    [
        (True, False, {"speed": 0.5}, False),
        (True, False, {"speed": 0.5, "paced": True}, True),
        (True, False, {"speed": 0.5, "told": True}, True),
        (True, False, {"speed": 1.0}, True),
        (False, False, {"speed": 0.5}, True),
        (False, True, {"speed": 0.5}, False),
    ],
)
def test_which_speeds_are_believed(
    monkeypatch: pytest.MonkeyPatch, otherwise: bool, closer: bool, line: dict[str, Any], kept: bool
) -> None:
    """Of what is played otherwise, or looked at closely, others than about the normal one only
    where what moves tells it, or many pictures lie still."""
    found = replace(Found(0, Rendering.PLAIN, 1.0, 0.0, (), 0), **line)
    shown: Any = SimpleNamespace(find=lambda *_, **__: Moments([found]))
    monkeypatch.setattr(finders, "MomentFinder", lambda *_: shown)
    monkeypatch.setattr(finders.telling, "alignment", lambda *_, **__: alignment())
    monkeypatch.setattr(finders, "_beside", lambda _, __, kept, alignments, ___: (kept, alignments))
    seen: Any = SimpleNamespace(total_s=12.0, greys={}, shots=[], track=0, alike={})
    finder: Any = SimpleNamespace(_store=None, _guide=None)
    given: Any = finders.LocalFinder._track(
        finder,
        seen,
        backend=finder,
        names=["ref_1"],
        closer=closer,
        budget=Budget(),
        otherwise=otherwise,
    )
    assert [len(some) for some in given] == [kept, kept]
