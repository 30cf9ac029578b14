"""Landmarks that were found into matches: lines in time, and what chance would give."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from hashdb.model import SoundPeaks
from matcher.landmarks import PLAYER_VARIANTS, landmarks, pack_moments
from matcher.soundmatch import ENOUGH, find_sounds, surprise


@dataclass(frozen=True)
class Found:
    queries: np.ndarray
    ordinals: np.ndarray
    moments: np.ndarray


class Bank:
    """An index in a dict, for tests."""

    def __init__(self, *references: SoundPeaks) -> None:
        self.entries: dict[int, list[tuple[int, int]]] = {}
        for ordinal, reference in enumerate(references):
            found = landmarks(reference)
            moments = pack_moments(found.times, found.pitches)
            for key, moment in zip(found.keys.tolist(), moments.tolist(), strict=True):
                self.entries.setdefault(key, []).append((ordinal, moment))

    def search(self, keys) -> Found:
        rows = [
            (row, ordinal, moment)
            for row, key in enumerate(keys.tolist())
            for ordinal, moment in self.entries.get(key, ())
        ]
        table = np.array(rows, dtype=np.int64).reshape(-1, 3)
        return Found(table[:, 0], table[:, 1].astype(np.int32), table[:, 2].astype(np.uint32))


def sound(seed: int, seconds: float = 60.0, rate: float = 18.0) -> SoundPeaks:
    """Random peaks: another sound for each seed."""
    rng = np.random.default_rng(seed)
    count = round(seconds * rate)
    return SoundPeaks(
        "peaks-1",
        np.sort(rng.uniform(0, seconds, count)),
        rng.integers(20, 520, count).astype(np.uint16),
        np.full(count, 20, dtype=np.uint8),
        seconds=seconds,
    )


def copy(of: SoundPeaks, start: float, end: float, at: float = 0.0, tempo=1.0, higher=0, kept=1.0):
    """The stretch of a sound, played from `at` on, faster, higher, with only some of its peaks."""
    rng = np.random.default_rng(99)
    rows = (of.times >= start) & (of.times < end) & (rng.random(len(of)) < kept)
    some = of.take(rows)
    pitches = (some.pitches.astype(int) + higher).astype(np.uint16)
    return SoundPeaks("peaks-1", (some.times - start) / tempo + at, pitches, some.levels)


def join(*parts: SoundPeaks) -> SoundPeaks:
    times = np.concatenate([p.times for p in parts])
    order = np.argsort(times, kind="stable")
    pitches = np.concatenate([p.pitches for p in parts])[order]
    return SoundPeaks("peaks-1", times[order], pitches, np.full(len(order), 20, dtype=np.uint8))


ONE, OTHER, THIRD = sound(1), sound(2), sound(3)
BANK = Bank(ONE, OTHER, THIRD)


def find(query: SoundPeaks, bank_s: float = 180.0):
    return find_sounds(query, BANK, bank_s=bank_s)


def test_an_excerpt_is_found_where_it_is():
    (match,) = find(copy(OTHER, 20.0, 32.0, at=5.0))
    assert match.ordinal == 1
    (pair,) = match.segments
    assert (pair.query.start, pair.query.end) == pytest.approx((5.0, 17.0), abs=1.0)
    assert pair.reference.start - pair.query.start == pytest.approx(15.0, abs=0.05)
    assert match.tempo == pytest.approx(1.0, abs=0.002)


@pytest.mark.parametrize("tempo", [0.945, 0.97, 0.99, 1.01, 1.03, 1.055])
@pytest.mark.parametrize("higher", [-6, 0, 6])
def test_tempo_is_told_whatever_the_pitch(tempo, higher):
    (match,) = find(copy(ONE, 10.0, 26.0, tempo=tempo, higher=higher))
    assert match.tempo == pytest.approx(tempo, abs=0.003)
    (pair,) = match.segments
    assert pair.reference.seconds == pytest.approx(16.0, abs=1.5)


@pytest.mark.parametrize(("tempo", "higher"), [(1.25, 0), (1.25, 46), (2.0, 0), (0.5, -144)])
def test_speeds_of_players_are_found_where_they_are_asked_about(tempo, higher):
    low = SoundPeaks("peaks-1", ONE.times, (150 + ONE.pitches // 3).astype(np.uint16), ONE.levels)
    query = copy(low, 10.0, 40.0, tempo=tempo, higher=higher)
    (match,) = find_sounds(query, Bank(low), bank_s=60.0, variants=PLAYER_VARIANTS)
    assert match.tempo == pytest.approx(tempo, abs=0.003)


def test_half_of_the_peaks_lost_and_as_many_strange_ones_are_still_a_match():
    (match,) = find(join(copy(ONE, 10.0, 26.0, kept=0.5), sound(7, 16.0, rate=9.0)))
    assert match.ordinal == 0


def test_two_stretches_of_one_reference_are_two_segments():
    query = join(
        copy(THIRD, 5.0, 15.0), sound(8, 60.0).take(slice(0, 0)), copy(THIRD, 40.0, 52.0, at=20.0)
    )
    (match,) = find(query)
    starts = [(p.query.start, p.reference.start - p.query.start) for p in match.segments]
    assert starts == [
        (pytest.approx(0.0, abs=1.0), pytest.approx(5.0, abs=0.1)),
        (pytest.approx(20.0, abs=1.0), pytest.approx(20.0, abs=0.1)),
    ]


def test_what_a_song_repeats_tells_no_moment_of_it():
    chorus, verse = copy(OTHER, 0.0, 8.0), sound(9, 12.0)
    song = join(chorus, copy(verse, 0.0, 12.0, at=8.0), copy(chorus, 0.0, 8.0, at=20.0))
    bank = Bank(ONE, song)
    assert find_sounds(copy(OTHER, 0.0, 8.0), bank, bank_s=90.0) == ()
    (match,) = find_sounds(copy(song, 4.0, 24.0), bank, bank_s=90.0)
    assert match.ordinal == 1


def test_two_references_one_after_the_other_are_two_matches():
    found = find(join(copy(ONE, 0.0, 12.0), copy(OTHER, 30.0, 42.0, at=12.0)))
    assert sorted(m.ordinal for m in found) == [0, 1]


def test_two_references_at_once_are_two_matches():
    found = find(join(copy(ONE, 0.0, 15.0), copy(OTHER, 30.0, 45.0)))
    assert sorted(m.ordinal for m in found) == [0, 1]


def test_a_long_copy_whose_tempo_lies_between_two_of_the_grid_is_one_segment():
    long = sound(11, 300.0)
    query = copy(long, 0.0, 300.0, tempo=1.011)
    (match,) = find_sounds(query, Bank(long), bank_s=300.0)
    assert match.tempo == pytest.approx(1.011, abs=0.0005)
    assert [round(p.query.seconds) for p in match.segments] == [296]


@pytest.mark.parametrize("seed", range(20, 26))
def test_other_sounds_do_not_match(seed):
    assert find(sound(seed)) == ()


@pytest.mark.parametrize("count", [0, 1, 4, 40])
def test_next_to_no_peaks_match_nothing(count):
    assert find(sound(30).take(slice(0, count))) == ()


def test_a_copy_of_less_than_a_second_says_nothing():
    assert find(copy(ONE, 10.0, 10.8)) == ()


def test_a_larger_bank_asks_for_more():
    query = copy(ONE, 10.0, 20.0, kept=0.6)
    small, large = find(query, bank_s=18e3)[0], find(query, bank_s=18e6)[0]
    assert small.evidence - large.evidence == pytest.approx(np.log(1e3), abs=0.01)


def test_evidence_grows_with_length_and_the_clearest_comes_first():
    found = find(join(copy(ONE, 0.0, 8.0), copy(OTHER, 10.0, 30.0, at=10.0)))
    assert [m.ordinal for m in found] == [1, 0]
    assert found[0].evidence > found[1].evidence > ENOUGH


def test_surprise_is_none_where_chance_gives_as_much():
    assert surprise(3, 5.0) == 0.0
    assert surprise(10, 1.0) == pytest.approx(10 * np.log(10) - 9)
