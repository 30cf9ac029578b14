"""Sounds that were found, as alignments, second by second, that say what the evidence says."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pytest

from hashdb.index.landmarks import SoundIndex
from hashdb.model import Alignment, Segment, SegmentPair, SoundPeaks
from matcher.heard import PER_NAT, alignment, as_doubted, as_repeated, sounds
from matcher.landmarks import landmarks, pack_moments
from matcher.policy import load_policy
from matcher.score import WEIGHTS, as_match, rescore
from matcher.soundmatch import SoundMatch
from tests.unit.test_decide import reference


def match(*pairs: tuple[float, float, float, float], evidence: float = 40.0, tempo: float = 1.0):
    """(query's start and end, reference's start and end) each."""
    segments = tuple(SegmentPair(Segment(a, b), Segment(c, d)) for a, b, c, d in pairs)
    return SoundMatch(3, segments, evidence, tempo)


def as_alignment(found: SoundMatch) -> Alignment:
    made = alignment(found, "ref", 1)
    assert made is not None
    return made


def spans(of: Alignment) -> list[tuple[float, ...]]:
    return [(p.query.start, p.query.end, p.reference.start, p.reference.end) for p in of.segments]


@pytest.mark.parametrize(
    "pairs",
    [
        [(5.0, 17.3, 20.0, 32.3)],
        [(5.0, 6.2, 20.0, 21.2)],
        [(0.0, 2.5, 7.0, 12.0)],
        [(5.0, 17.0, 20.0, 32.0), (20.5, 40.0, 35.5, 55.0)],
        [(5.0, 17.0, 20.0, 32.0), (17.1, 30.0, 2.0, 14.9)],
        [(5.0, 17.0, 20.0, 32.0), (5.5, 16.0, 60.5, 71.0), (18.0, 20.0, 1.0, 3.0)],
        [(float(n), n + 1.5, 3.0 * n, 3.0 * n + 3.0) for n in range(0, 40, 4)],
        [(10.0, 4000.0, 0.0, 3990.0)],
    ],
)
@pytest.mark.parametrize("evidence", [20.0, 55.5, 3000.0])
def test_segments_are_the_matchs_and_the_evidence_is_never_more(pairs, evidence):
    found = as_alignment(match(*pairs, evidence=evidence))
    assert np.array(spans(found)) == pytest.approx(np.array(pairs), abs=1e-6)
    weights = WEIGHTS["sound"].of(np.array([f.distance for f in found.frames]))
    wanted = PER_NAT * evidence
    seconds = round(sum(b - a for a, b, *_ in pairs))
    assert sum(weights) <= wanted + 1e-9
    assert sum(weights) >= min(wanted - 0.07, 6.5 * seconds)
    assert found.evidence == pytest.approx(sum(weights))
    assert found.score > 0.8
    assert {(f.track, f.line >= 0) for f in found.frames} == {(1, True)}
    assert len({f.group for f in found.frames}) == len(found.frames)


def test_seconds_that_are_taken_away_leave_two_segments_and_their_share_of_the_evidence():
    found = as_alignment(match((0.0, 30.0, 100.0, 130.0), evidence=60.0))
    left = rescore(found, [f for f in found.frames if not 10 < f.offset < 20], video=True)
    assert left is not None
    assert spans(left) == [pytest.approx((0, 10, 100, 110)), pytest.approx((20, 30, 120, 130))]
    assert 0.97 < left.score < found.score
    assert left.evidence < found.evidence


def test_an_endless_stretch_of_little_evidence_keeps_it():
    found = as_alignment(match((0.0, 3000.0, 0.0, 3000.0), evidence=20.0))
    assert found.evidence == pytest.approx(7.0, abs=0.06)


def test_sound_continues_the_segments_of_pictures():
    ref = reference("ref", "attacks")
    heard = as_alignment(match((2.0, 20.0, 12.0, 30.0)))
    start = (SegmentPair(Segment(0.0, 9.0), Segment(10.0, 19.0)),)
    seen = replace(heard, signal_type="pdq", score=heard.score, segments=start, frames=())
    both = as_match(ref, [heard, seen])
    assert [s.signal_type for s in both.signals] == ["pdq", "sound"]
    (pair,) = both.segments
    assert (pair.query.start, pair.query.end) == pytest.approx((0.0, 20.0))


# Whole searches, over the real index.


def sound(seed: int, seconds: float = 60.0, rate: float = 18.0) -> SoundPeaks:
    rng = np.random.default_rng(seed)
    count = round(seconds * rate)
    times = np.sort(rng.uniform(0, seconds, count))
    pitches = rng.integers(20, 520, count).astype(np.uint16)
    return SoundPeaks("peaks-1", times, pitches, np.full(count, 20, np.uint8), seconds=seconds)


def moved(of: SoundPeaks, by: float, tempo: float = 1.0) -> SoundPeaks:
    return replace(of, times=of.times / tempo + by)


def joined(*parts: SoundPeaks) -> SoundPeaks:
    times = np.concatenate([p.times for p in parts])
    pitches = np.concatenate([p.pitches for p in parts])
    order = np.argsort(times, kind="stable")
    levels = np.full(len(order), 20, dtype=np.uint8)
    return SoundPeaks("peaks-1", times[order], pitches[order], levels, seconds=float(times.max()))


def filed(peaks: SoundPeaks):
    found = landmarks(peaks)
    return found.keys, pack_moments(found.times, found.pitches)


@pytest.fixture(scope="module")
def bank() -> SoundIndex:
    index = SoundIndex(filed)
    index.add([(n, sound(n)) for n in range(4)])
    return index


def everything(ordinals: Iterable[int]) -> set[int]:
    return set(ordinals)


def test_only_what_counts_is_given_and_keeps_nothing_else_from_being_looked_for(bank):
    query = joined(sound(1), moved(sound(2), 70.0, tempo=1.5))
    assert [m.ordinal for m in sounds(query, bank, everything)] == [1]
    assert [m.ordinal for m in sounds(query, bank, lambda some: set(some) - {1})] == [2]
    assert [*sounds(query, bank, lambda some: set())] == []


def test_the_speeds_of_players_are_asked_about_in_short_sounds_only(bank):
    faster = moved(sound(2), 30.0, tempo=1.25)
    (found,) = sounds(faster, bank, everything)
    assert (found.ordinal, found.tempo) == (2, pytest.approx(1.25, abs=0.01))
    (pair,) = found.segments
    assert (pair.query.start, pair.query.end) == pytest.approx((30.0, 78.0), abs=0.5)
    long = joined(faster, sound(90, 1300.0))
    assert all(abs(m.tempo - 1.25) > 0.1 for m in sounds(long, bank, everything))


@pytest.mark.parametrize("at", [290.0, 355.0, 590.0, 2390.0])
def test_what_lies_across_a_seam_of_a_long_sound_is_found(bank, at):
    excerpt = sound(3).take(sound(3).times < 20.0)
    rest = sound(91, 3000.0)
    query = joined(rest.take((rest.times < at) | (rest.times > at + 20.0)), moved(excerpt, at))
    found = [alignment(m, "ref", 0) for m in sounds(query, bank, everything)]
    (pair,) = as_match(reference("ref", "attacks"), [a for a in found if a]).segments
    assert (pair.query.start, pair.query.end) == pytest.approx((at, at + 20.0), abs=1.0)


def test_hundreds_of_versions_do_not_hide_each_other():
    versions = SoundIndex(filed)
    whole = sound(1, 30.0)
    rng = np.random.default_rng(5)
    versions.add([(n, whole.take(rng.random(len(whole)) < 0.98)) for n in range(300)])
    few = SoundIndex(filed)
    few.add([(0, whole)])
    query = whole.take(rng.random(len(whole)) < 0.6)
    (alone,) = sounds(query, few, everything)
    found = sounds(query, versions, everything)
    assert max(m.evidence for m in found) > 0.8 * alone.evidence


def test_nothing_heard_or_nothing_known(bank):
    assert [*sounds(sound(1).take(slice(0, 0)), bank, everything)] == []
    assert [*sounds(sound(1), SoundIndex(filed), everything)] == []


@pytest.mark.parametrize("evidence", [22.0, 3000.0])
def test_a_repetition_asks_for_a_review_at_most(evidence: float):
    found = as_alignment(match((5.0, 17.3, 20.0, 32.3), evidence=evidence))
    repeated = as_repeated(found)
    confident = load_policy(None).defaults.confident
    assert repeated.score < confident < found.score
    assert spans(repeated) == spans(found)


@pytest.mark.parametrize("evidence", [20.0, 60.0, 3000.0])
def test_what_is_doubted_asks_for_a_review_also_where_it_is_long(evidence: float):
    doubted = as_doubted(as_alignment(match((5.0, 95.0, 20.0, 110.0), evidence=evidence)))
    defaults = load_policy(None).defaults
    assert defaults.possible <= doubted.score < defaults.confident
    assert spans(doubted) == [pytest.approx((5.0, 95.0, 20.0, 110.0))]
    nothing = replace(doubted, evidence=0.5)
    assert as_doubted(nothing).evidence <= 0.5
