"""Pictures looked up while others are still described, with made footage and a real index."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from hashdb.index.local import LocalIndex
from hashdb.model import (
    Coverage,
    Fingerprint,
    LocalFeatures,
    MediaFingerprints,
    MediaKind,
    Rendering,
)
from hashdb.ports import Nominee
from hashdb.snapshot import Stands
from matcher import sighting
from matcher.ahead import Ahead, Sighted
from matcher.finders import _sighted
from matcher.sighting import Sight
from tests.made_world import copy, fixed, index_of, panning, reference

AT: Stands = (7, frozenset())
CODES = Fingerprint("pdq", "made", np.zeros((1, 32), np.uint8), *np.zeros((3, 1)))


class Counting(LocalIndex):
    """Counts how often it is asked for pictures."""

    asked = 0

    def nominate(self, *given: Any, **named: Any) -> list[Nominee]:
        self.asked += 1
        return super().nominate(*given, **named)


class Held:
    """A `ReferenceIndex` that holds local features only."""

    def __init__(self, backend: LocalIndex | None) -> None:
        self.stands, self.backend = AT, backend

    def refresh(self) -> int:
        return self.stands[0]

    def local(self) -> tuple[LocalIndex, list[str]] | None:
        return None if self.backend is None else (self.backend, ["a", "b", "c"])


@pytest.fixture
def backend() -> Counting:
    made = Counting()
    worlds = (panning(2), panning(1), fixed(10, 11))
    made.add([(ordinal, reference(world)) for ordinal, world in enumerate(worlds)])
    return made


def upload(world: int = 1) -> tuple[LocalFeatures, ...]:
    """In two renderings, of which the second one is nothing that the index holds."""
    plain = copy(panning(world), seconds=6.0)
    return plain, replace(copy(panning(9), seconds=6.0), rendering=Rendering.MIRRORED)


def rows(some: tuple[LocalFeatures, ...], first: int, end: int) -> tuple[LocalFeatures, ...]:
    """The pictures of these numbers."""
    return tuple(
        replace(
            one,
            offsets=one.offsets[first:end],
            starts=one.starts[first : end + 1] - one.starts[first],
            sizes=one.sizes[first:end],
            codes=one.codes[one.starts[first] : one.starts[end]],
            places=one.places[one.starts[first] : one.starts[end]],
        )
        for one in some
    )


def told(ahead: Ahead, local: tuple[LocalFeatures, ...], *, codes: bool = True) -> None:
    """The first eleven of twelve, as they come."""
    for first, end in ((0, 5), (5, 6), (6, 11)):
        made = (CODES,) if codes and not first else ()
        coverage = Coverage(0.0, 0.0, 1, 0)
        ahead.see(MediaFingerprints(MediaKind.VIDEO, made, coverage, local=rows(local, first, end)))


def ahead_of(index: Held, *, known: bool = False, aside: bool = False) -> Ahead:
    return Ahead(index, lambda _: known, aside=aside)  # type: ignore[arg-type]


def told_half(ahead: Ahead, local: tuple[LocalFeatures, ...], seconds: float = 6.0) -> None:
    """Every other picture of twelve, as they come."""
    half = tuple(one.take(np.arange(0, 12, 2)) for one in local)
    for first, end in ((0, 2), (2, 6)):
        made = () if first else (CODES,)
        coverage = Coverage(0.0, seconds, 1, 0)
        ahead.see(MediaFingerprints(MediaKind.VIDEO, made, coverage, local=rows(half, first, end)))


def said(sights: list[Sight]) -> list[object]:
    return [
        (s.shot.row, s.shot.rendering, s.nominee.reference, s.nominee.offset, s.agreement.inliers)
        for s in sights
    ]


def test_what_was_looked_up_ahead_is_what_is_found_and_not_asked_for_again(backend: Counting):
    ahead, local = ahead_of(Held(backend)), upload()
    told(ahead, local)
    before = backend.asked
    assert before == 11 + 6
    shots = sighting.shots(local)
    found = sighting.sighted(shots, backend, ahead.found(0, backend, AT))
    assert backend.asked == before + 1  # of the last picture, which is asked about plain only
    assert found
    assert said(found) == said(sighting.sighted(shots, backend))


def test_of_pictures_that_were_set_aside_only_those_are_asked_for_later(backend: Counting):
    ahead, local = ahead_of(Held(backend), aside=True), upload()
    told_half(ahead, local)
    assert backend.asked == 6 + 6
    assert not ahead.saw_nothing
    shots = sighting.shots(local)
    found = sighting.sighted(shots, backend, ahead.found(0, backend, AT))
    assert backend.asked == 12 + 6  # a mirror is not asked about at every other picture
    assert said(found) == said(sighting.sighted(shots, backend))


def test_pictures_of_a_longer_upload_are_numbered_one_by_one(backend: Counting):
    ahead = ahead_of(Held(backend), aside=True)
    told_half(ahead, upload(), seconds=20.0)
    assert sorted(ahead.found(0, backend, AT)) == list(range(6))


def test_nothing_is_seen_of_another_video(backend: Counting):
    ahead = ahead_of(Held(backend), aside=True)
    told_half(ahead, upload(9))
    assert ahead.saw_nothing


@pytest.mark.parametrize(
    ("inliers", "nothing"), [([], True), ([7], True), ([8], False), ([6, 6], False)]
)
def test_two_pictures_are_something_and_little_in_one_is_not(
    inliers: list[int], nothing: bool, backend: Counting
):
    ahead = ahead_of(Held(backend), aside=True)
    told_half(ahead, upload())
    (found,) = ahead._found.values()
    (sight, *_) = next(iter(found.values())).sights
    for row, one in found.items():
        count = inliers.pop() if inliers else 0
        agreement = replace(sight.agreement, inliers=count)
        found[row] = replace(one, sights=(replace(sight, agreement=agreement),) if count else ())
    assert ahead.saw_nothing is nothing


def test_what_was_not_looked_up_is_not_said_to_show_nothing(
    monkeypatch: pytest.MonkeyPatch, backend: Counting
):
    known = ahead_of(Held(backend), known=True, aside=True)
    told_half(known, upload(9))
    assert not known.saw_nothing
    assert not ahead_of(Held(backend), aside=True).saw_nothing

    def fail(*_: object, **__: object) -> list[Nominee]:
        raise RuntimeError("no memory")

    monkeypatch.setattr(Counting, "nominate", fail)
    failed = ahead_of(Held(backend), aside=True)
    told_half(failed, upload(9))
    assert not failed.saw_nothing


def test_what_hashes_know_is_not_looked_up_ahead(backend: Counting):
    ahead = ahead_of(Held(backend), known=True)
    told(ahead, upload())
    assert not backend.asked
    assert not ahead.found(0, backend, AT)


def test_nothing_is_looked_up_before_hashes_could_know_it(backend: Counting):
    ahead = ahead_of(Held(backend))
    told(ahead, upload(), codes=False)
    assert not backend.asked
    told(ahead, upload())
    assert sorted(ahead.found(0, backend, AT)) == list(range(11, 22))


def test_another_index_or_a_change_in_it_is_looked_up_anew(backend: Counting):
    ahead = ahead_of(Held(backend))
    told(ahead, upload())
    assert ahead.found(0, backend, AT)
    assert not ahead.found(1, backend, AT)
    assert not ahead.found(0, backend, (8, frozenset()))
    assert not ahead.found(0, backend, (7, frozenset(["bank_1"])))
    assert not ahead.found(0, index_of(), AT)


def test_what_was_seen_is_kept_for_who_asks_about_the_very_same(backend: Counting):
    ahead, local = ahead_of(Held(backend)), upload()
    shots = sighting.shots(local)
    seen = Sighted(local, backend, AT, shots, sighting.sighted(shots, backend))
    assert ahead.kept(0, local, backend, AT) is None
    ahead.keep(0, seen)
    assert ahead.kept(0, local, backend, AT) is seen
    assert ahead.kept(1, local, backend, AT) is None
    assert ahead.kept(0, upload(), backend, AT) is None
    assert ahead.kept(0, local, backend, (8, frozenset())) is None
    assert ahead.kept(0, local, index_of(), AT) is None


def test_who_asks_again_is_told_what_was_seen(backend: Counting):
    ahead, local = ahead_of(Held(backend)), upload()
    look = MediaFingerprints(MediaKind.VIDEO, (), Coverage(6.0, 6.0, 12, 0), local=local)
    first = _sighted(look, 0, backend, AT, ahead)
    asked = backend.asked
    assert asked
    assert first.sights
    assert _sighted(look, 0, backend, AT, ahead) is first
    assert backend.asked == asked
    other = _sighted(replace(look, local=(*local,)[:-1]), 0, backend, AT, ahead)
    assert backend.asked > asked
    assert len(other.shots) < len(first.shots)
    assert said(list(_sighted(look, 0, backend, AT, None).sights)) == said(list(first.sights))


def test_a_picture_that_the_answer_has_otherwise_is_looked_up_anew(backend: Counting):
    ahead = ahead_of(Held(backend))
    told(ahead, upload(2))
    shots = sighting.shots(upload(1))
    found = sighting.sighted(shots, backend, ahead.found(0, backend, AT))
    assert said(found) == said(sighting.sighted(shots, backend))


@pytest.mark.parametrize("held", [True, False])
def test_an_index_that_fails_or_holds_nothing_is_left_to_the_look_up_of_all(
    held: bool, monkeypatch: pytest.MonkeyPatch, backend: Counting
):
    def fail(*_: object, **__: object) -> list[Nominee]:
        raise RuntimeError("no memory")

    monkeypatch.setattr(Counting, "nominate", fail)
    ahead = ahead_of(Held(backend if held else None))
    told(ahead, upload())
    assert not ahead.found(0, backend, AT)
