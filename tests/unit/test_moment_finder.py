"""Which moment counts where few pictures, every picture and instants may each tell one."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from hashdb.model import Rendering
from matcher import moment_finder
from matcher.laying import Found
from matcher.moment_finder import MOST_DOUBTED, MomentFinder


def timed(monkeypatch: pytest.MonkeyPatch, finder: MomentFinder, **says: Any) -> Any:
    """What `_timed` tells; `says`: what every picture, instants and few pictures tell, whether
    instants are missing, whether the camera stands still, and whether pictures are there in grey.
    """
    asked = {"all": None, "instants": None, "few": None, "missing": False, "fixed": True} | says
    monkeypatch.setattr(moment_finder, "at_moment_of_all", lambda *_: asked["all"])
    monkeypatch.setattr(moment_finder, "at_its_instants", lambda *_: asked["instants"])
    monkeypatch.setattr(moment_finder, "are_missing", lambda *_: asked["missing"])
    monkeypatch.setattr(MomentFinder, "_is_fixed", lambda *_: asked["fixed"])
    monkeypatch.setattr(MomentFinder, "_motion_beside", lambda *_: ("upload", "reference"))
    greys = ["grey"] if says.get("greys", True) else []
    seen: Any = SimpleNamespace(every=SimpleNamespace(motion=(), of=lambda _: greys), track=0)
    found = SimpleNamespace(reference=0, track=0, rendering=Rendering.PLAIN)
    scene: Any = SimpleNamespace(found=found, mine=[], pictures=[], name="ref_1")
    return finder._timed(scene, asked["few"], seen)


@pytest.fixture
def finder() -> MomentFinder:
    nothing: Any = None
    guide: Any = object()
    return MomentFinder(nothing, nothing, [], guide)


@pytest.mark.parametrize(
    ("says", "told"),
    [
        ({"all": "all", "few": "few"}, "all"),
        ({"instants": "instants", "few": "few"}, "instants"),
        ({"few": "few"}, "few"),
        ({}, None),
        ({"all": "all", "few": "few", "missing": True}, None),
        ({"all": "all", "few": "few", "missing": True, "instants": "instants"}, "instants"),
        ({"all": "all", "few": "few", "missing": True, "fixed": False}, "all"),
        ({"all": "all", "few": "few", "missing": True, "greys": False}, "all"),
        ({"instants": "instants", "few": "few", "greys": False}, "few"),
    ],
)
def test_who_tells_the_moment(
    monkeypatch: pytest.MonkeyPatch, finder: MomentFinder, says: dict[str, Any], told: str | None
):
    assert timed(monkeypatch, finder, **says) == told


def test_only_so_many_are_doubted(monkeypatch: pytest.MonkeyPatch, finder: MomentFinder):
    told = [timed(monkeypatch, finder, all="all", missing=True) for _ in range(MOST_DOUBTED + 1)]
    assert told == [None] * MOST_DOUBTED + ["all"]


def test_instants_are_looked_for_once(monkeypatch: pytest.MonkeyPatch, finder: MomentFinder):
    told = [timed(monkeypatch, finder, instants="instants", few="few") for _ in range(2)]
    assert told == ["instants", "few"]


LINE = Found(0, Rendering.PLAIN, 0.5, 0.0, (), 0)


@pytest.mark.parametrize(
    ("says", "found"),
    [
        ({}, [True]),
        ({"paced": False}, []),
        ({"drifts": True}, []),
        ({"seeker": None}, []),
        ({"pieces": True}, []),
        ({"banned": []}, []),
        ({"moment": None}, []),
        ({"moment": replace(LINE, speed=1.0)}, [False]),
    ],
)
def test_another_pace_is_believed_of_what_is_laid_alike(
    monkeypatch: pytest.MonkeyPatch, says: dict[str, Any], found: list[bool]
):
    """Of what a camera that moves shows backwards, not in pieces, where nothing else speaks against
    it, and what moves tells no other line."""
    asked = {"paced": True, "drifts": False, "seeker": "seeker", "pieces": False, "banned": [0]}
    asked |= {"moment": LINE} | says
    nothing: Any = SimpleNamespace(pictures=lambda *_: [])
    seeker: Any = asked["seeker"]
    finder = MomentFinder(nothing, nothing, ["ref_1"], None, seeker)
    monkeypatch.setattr(MomentFinder, "_is_fixed", lambda *_: False)
    monkeypatch.setattr(MomentFinder, "_moving", lambda _, sights: sights)
    monkeypatch.setattr(MomentFinder, "_moment", lambda *_, **__: asked["moment"])
    monkeypatch.setattr(moment_finder.localize, "lines", lambda *_, **__: [LINE])
    monkeypatch.setattr(moment_finder, "cut_up", lambda *_: [LINE])
    monkeypatch.setattr(moment_finder, "laid", lambda *_, **__: (LINE, [], LINE))
    monkeypatch.setattr(moment_finder, "laid_by", lambda _: None)
    monkeypatch.setattr(Found, "wanders", 0.0)
    monkeypatch.setattr(moment_finder, "is_missing", lambda *_: False)
    monkeypatch.setattr(moment_finder, "is_paced", lambda *_: asked["paced"])

    def another(_: Found, *, any_pace: bool = False) -> bool:
        return bool(asked["drifts"]) or not any_pace

    monkeypatch.setattr(moment_finder, "is_another_pass", another)
    seen: Any = SimpleNamespace(
        still=[], banned=asked["banned"], shots=[], sights=[], track=0, motion=[]
    )
    moments = finder.find(seen, closer=False, otherwise=True, pieces=bool(asked["pieces"]))
    assert [one.paced for one in moments.at] == found
