"""Whether hashes tell the moment of a camera that stands still."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest

from hashdb.model import Alignment, Codes, Fingerprint, Floats, FrameMatch, Orientation, View
from matcher.hash_moments import (
    FEWEST,
    MOST_LINES,
    _distances,
    lies_elsewhere,
    tells_its_line,
)

SECONDS = 30.0


def flipped(codes: Codes, bits: int, seed: int = 1) -> Codes:
    """Each so many bits off, anywhere."""
    rng = np.random.default_rng(seed)
    mask = np.zeros((len(codes), 256), np.uint8)
    for row in mask:
        row[rng.choice(256, bits, replace=False)] = 1
    return codes ^ np.packbits(mask, axis=1)


def scene(bits: int, seconds: float = SECONDS, step: float = 0.5) -> Fingerprint:
    """A reference whose pictures, which change every half second, are so many bits from what they
    have in common."""
    count = round(seconds / step)
    common = np.random.default_rng(0).integers(0, 256, (1, 32), dtype=np.uint8)
    return Fingerprint(
        "pdq",
        "made",
        flipped(np.repeat(common, count, axis=0), bits),
        np.arange(count) * step,
        np.full(count, step),
        np.full(count, 100, np.uint8),
    )


def copied(
    known: Fingerprint, off: int, *, start: float = 9.0, speed: float = 1.0, count: int = 16
) -> tuple[Alignment, Fingerprint]:
    """An upload of so many pictures, half a second apart, each so many bits off, and the alignment
    of it."""
    at = np.arange(count) * 0.5 + 0.2
    rows = np.searchsorted(known.offsets, speed * at + start, side="right") - 1
    codes = flipped(known.codes[rows], off, seed=2)
    quality = np.full(count, 100, np.uint8)
    query = Fingerprint("pdq", "made", codes, at, np.zeros(count), quality)
    frames = tuple(
        FrameMatch(t, speed * t + start, off, n, 0, View.FULL, before=0.2, after=0.2)
        for n, t in enumerate(at.tolist())
    )
    return Alignment("ref", "pdq", Orientation.ORIGINAL, (), frames, 9.0, speed=speed), query


def told(known: Fingerprint, *given: Alignment | Fingerprint) -> bool:
    alignment, query = given
    assert isinstance(alignment, Alignment)
    assert isinstance(query, Fingerprint)
    return tells_its_line(alignment, query, lambda: [known])


@pytest.mark.parametrize("off", [0, 6, 18])
@pytest.mark.parametrize("speed", [1.0, 0.96, 1.04])
def test_a_copy_lies_on_its_line_alone(off: int, speed: float):
    known = scene(20)
    assert told(known, *copied(known, off, speed=speed))


@pytest.mark.parametrize(("bits", "clear"), [(0, False), (2, False), (4, False), (8, True)])
def test_pictures_must_lie_much_further_from_all_other_lines(bits: int, clear: bool):
    """Two of them are about twice as many bits apart."""
    known = scene(bits)
    assert told(known, *copied(known, 2)) is clear


def test_what_is_as_near_elsewhere_in_the_reference_is_not_told():
    known = scene(20)
    again = replace(known, codes=np.concatenate([known.codes[:30], known.codes[:30]]))
    assert told(known, *copied(known, 4, start=3.0))
    assert not told(again, *copied(again, 4, start=3.0))


@pytest.mark.parametrize("why", ["far", "few", "fast", "backwards", "stands", "another signal"])
def test_some_are_not_asked(why: str):
    known = scene(40)
    alignment, query = copied(
        known,
        19 if why == "far" else 4,
        count=FEWEST - 1 if why == "few" else 16,
        speed=1.2 if why == "fast" else 1.0,
    )
    if why == "backwards":
        alignment = replace(alignment, speed=-1.0)
    if why == "stands":
        alignment = replace(alignment, speed=0.0)
    if why == "another signal":
        alignment = replace(alignment, signal_type="phash")
    read: list[Fingerprint] = []

    def fingerprints() -> list[Fingerprint]:
        read.append(known)
        return [known]

    assert not tells_its_line(alignment, query, fingerprints)
    assert not read


def test_five_pictures_are_enough():
    known = scene(20)
    assert told(known, *copied(known, 4, count=FEWEST))


def test_a_line_that_leads_elsewhere_than_the_pictures_is_not_told():
    """By half a second, and by ten; a tenth is what lines may be off."""
    known = scene(40)
    alignment, query = copied(known, 4)
    for later, right in ((0.1, True), (0.8, False), (10.0, False)):
        moved = [replace(f, reference_offset=f.reference_offset + later) for f in alignment.frames]
        assert told(known, replace(alignment, frames=tuple(moved)), query) is right


def test_pictures_between_that_are_not_the_reference_count_too():
    """Six of sixteen show something else."""
    known = scene(40)
    alignment, query = copied(known, 4)
    codes = query.codes.copy()
    codes[5:11] = np.random.default_rng(7).integers(0, 256, (6, 32), dtype=np.uint8)
    left = alignment.frames[:5] + alignment.frames[11:]
    assert not told(known, replace(alignment, frames=left), replace(query, codes=codes))


def test_a_reference_no_longer_than_the_upload_has_no_other_line():
    known = scene(40, seconds=3.0)
    assert not told(known, *copied(known, 4, start=0.0, count=6))


def test_of_two_tracks_that_of_the_pictures_tells():
    other, known = scene(20), scene(20)
    other = replace(other, codes=other.codes[::-1], track=1)
    alignment, query = copied(known, 4)
    assert tells_its_line(alignment, query, lambda: [other, known])
    assert not tells_its_line(alignment, query, lambda: [other])
    assert not tells_its_line(alignment, query, lambda: [replace(known, view=View.TRIMMED)])
    assert not tells_its_line(alignment, query, lambda: [known.take(slice(0, 0))])


def test_a_long_upload_is_told_by_some_of_its_pictures():
    known = scene(20, seconds=200.0)
    assert told(known, *copied(known, 4, count=300))


def another_hour(bits: int, count: int = 16) -> Fingerprint:
    """An upload of the same place, whose pictures are so many bits from what all have in common."""
    other = scene(0).take(slice(0, count))
    return replace(other, codes=flipped(other.codes, bits, seed=3), offsets=np.arange(count) * 0.5)


def often(query: Fingerprint) -> Fingerprint:
    """Ten pictures a second."""
    return replace(query, offsets=query.offsets / 5)


@pytest.mark.parametrize(
    ("what", "elsewhere"),
    [
        pytest.param({"query": another_hour(20)}, True, id="another hour"),
        pytest.param({}, False, id="a copy"),
        pytest.param({"off": 10}, False, id="a poor copy"),
        pytest.param({"known": scene(10), "query": another_hour(10)}, False, id="all look alike"),
        pytest.param(
            {"query": another_hour(80)}, False, id="something lies over it, and hashes tell nothing"
        ),
        pytest.param({"query": another_hour(20), "speed": -1.0}, False, id="backwards"),
        pytest.param({"query": often(another_hour(20)), "count": 4}, False, id="few are found"),
        pytest.param({"query": another_hour(20, count=FEWEST - 1)}, False, id="few pictures"),
        pytest.param({"query": another_hour(20).take(slice(0, 0))}, False, id="no pictures"),
    ],
)
def test_features_are_held_against_hashes(what: dict[str, Any], elsewhere: bool):
    known = what.get("known", scene(20))
    alignment, copy = copied(known, what.get("off", 4), count=what.get("count", 16))
    local = replace(alignment, signal_type="local", speed=what.get("speed", 1.0))
    query = what.get("query", copy)
    assert lies_elsewhere(local, query, lambda: [known]) is elsewhere


@pytest.mark.parametrize(("off", "elsewhere"), [(0.7, False), (-0.7, False), (1.2, True)])
def test_a_line_of_features_may_be_off_by_half_a_second(off: float, elsewhere: bool):
    """Pictures of the reference last half a second, and begin 0.2 before those of the upload."""
    known = scene(20)
    alignment, query = copied(known, 4, start=9.05)
    frames = (replace(f, reference_offset=f.reference_offset + off) for f in alignment.frames)
    local = replace(alignment, signal_type="local", frames=tuple(frames))
    assert lies_elsewhere(local, query, lambda: [known]) is elsewhere


def test_every_track_that_tells_must_say_that_it_is_another_moment():
    """A second stream may show the same place a little later, or at another hour."""
    known = scene(20)
    alignment, query = copied(known, 4)
    local = replace(alignment, signal_type="local")
    later = replace(known, codes=np.roll(known.codes, 14, axis=0), track=1)
    part = replace(known, view=View.TRIMMED)
    assert not lies_elsewhere(local, query, lambda: [known, later])
    assert not lies_elsewhere(local, query, lambda: [later, known])
    assert lies_elsewhere(local, query, lambda: [later])
    assert lies_elsewhere(local, query, lambda: [later, scene(8), part])  # which do not tell
    assert not lies_elsewhere(local, query, lambda: [scene(8), part])


def test_pieces_in_another_order_have_no_line():
    known = scene(20)
    alignment, _ = copied(known, 4)
    frames = list(alignment.frames)
    moved = [replace(f, reference_offset=f.reference_offset + 9.0) for f in frames[:4]]
    local = replace(alignment, signal_type="local", frames=(*moved, *frames[4:]))
    assert not lies_elsewhere(local, another_hour(20), lambda: [known])


def test_a_long_reference_is_asked_of_some_of_its_lines(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("matcher.hash_moments._distances", partial(_few, _distances))
    known = scene(20, seconds=3600.0)
    alignment, query = copied(known, 4)
    local = replace(alignment, signal_type="local")
    assert not lies_elsewhere(local, query, lambda: [known])
    assert lies_elsewhere(local, another_hour(20), lambda: [known])


def _few(distances: Any, codes: Codes, led: Floats, shifts: Floats, *rest: Any) -> Any:
    assert len(shifts) < 1.1 * MOST_LINES
    return distances(codes, led, shifts, *rest)
