"""Landmarks that were found into sounds that agree in time, weighed against chance. Pure.

A copy's landmarks lie on a line `reference time = tempo * query time + offset`, and all of them are
higher or lower by the same distance of pitch. Lines are nominated by votes in cells of tempo,
offset and pitch, for each stretch of the query by itself so that a tempo between two of the grid
does not smear them; then fitted by least squares.

The evidence is how much less likely so many votes are by chance, in nats, less the logarithm of
how many places could have been hit by chance: so a larger bank raises the number that is asked for
and not the rate of false alarms. docs/decisions/0011-sound.md.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from hashdb.model import Floats, Ints, Segment, SegmentPair, SoundPeaks
from matcher.landmarks import (
    VARIANTS,
    Keys,
    Landmarks,
    Moments,
    Variant,
    landmarks,
    unpack_moments,
)

ENOUGH = 20.0
"""Nats of evidence above which a match is given. By chance alone far less would do; the margin is
for music that is made of the same samples and for words of one recording."""

STRETCH_S = 10.0
CELL_S, CELL_PITCH = 0.2, 12
NEAR_S, NEAR_PITCH, NEAR_TEMPO = 0.1, 6, 0.025
"""How far from its line in seconds, in steps of pitch, and with which tempo a vote may lie."""

PITCHES = 17
"""Steps by which a copy may be higher or lower: 8.5 %."""

REPEATED = 0.5
"""The part of a line's votes that the reference holds at another moment too, from which on it is a
song's: those then say nothing."""

ELSEWHERE_S = 1.0
"""Seconds from its line at which a vote speaks for another moment of the reference."""

LEAST_VOTES = 5
MOST_NOMINEES = 24
"""Of one stretch."""

MOST_LINES = 8
GAP_S = 3.0
"""A silence between votes that ends a segment."""

SHORTEST_S = 1.0
"""What agrees for less is one bang, or one word."""

_WIDENING = ((5.0, 2.0), (5.0, 1.5), (10.0, 1.0), (30.0, 1.0), (120.0, 1.0), (1e9, 1.0))
# A line is fitted to what lies within so many seconds of a stretch's middle, this loosely.

DISPERSION = 2.5
"""Votes are not independent, for neighbouring landmarks share peaks: so many say what one would."""


class Found(Protocol):
    """The entries of an index: see `hashdb.index.landmarks.LandmarkHits`."""

    @property
    def queries(self) -> Ints: ...
    @property
    def ordinals(self) -> NDArray[np.int32]: ...
    @property
    def moments(self) -> Moments: ...


class Search(Protocol):
    """An index of landmarks: see `hashdb.index.landmarks.LandmarkIndex`."""

    def search(self, keys: Keys) -> Found: ...


@dataclass(frozen=True, slots=True, eq=False)
class SoundHits:
    """Landmarks of a query found in references, (k,) each: `peaks` int64, the row of the query's
    peak; `times` float64, when it is heard, seconds; `ordinals` int32, the reference; `moments`
    float64, when it is heard there; `higher` int64, by how many steps it is higher there; `tempos`
    float64, the tempo that was asked with."""

    peaks: Ints
    times: Floats
    ordinals: NDArray[np.int32]
    moments: Floats
    higher: Ints
    tempos: Floats

    def __len__(self) -> int:
        return len(self.peaks)

    def take(self, rows: NDArray[np.bool_] | Ints) -> SoundHits:
        return SoundHits(
            self.peaks[rows],
            self.times[rows],
            self.ordinals[rows],
            self.moments[rows],
            self.higher[rows],
            self.tempos[rows],
        )


@dataclass(frozen=True, slots=True)
class SoundMatch:
    """One reference's sound in the query.

    `evidence`: log-odds (nats) against chance, anywhere in the bank. The query plays `tempo` times
    as fast as the reference.
    """

    ordinal: int
    segments: tuple[SegmentPair, ...]
    evidence: float
    tempo: float


@dataclass(frozen=True, slots=True)
class _Nominee:
    """A cell with votes: where a line may begin."""

    votes: int
    ordinal: int
    tempo: float
    offset: float
    higher: float
    start: float


@dataclass(frozen=True, slots=True, eq=False)
class _Line:
    """`moment = tempo * time + offset`; `hits` one a peak."""

    tempo: float
    offset: float
    hits: SoundHits


def find_sounds(
    peaks: SoundPeaks,
    index: Search,
    *,
    bank_s: float,
    variants: Sequence[Variant] = VARIANTS,
) -> tuple[SoundMatch, ...]:
    """The references whose sound is in the query, the clearest first.

    `bank_s`: how many seconds of sound the index holds in all. Each of the `variants` costs a
    search; two tempos of a grid may lie 2 % apart.
    """
    if len(peaks) < LEAST_VOTES:
        return ()
    prints = [landmarks(peaks, variant=variant) for variant in variants]
    kept: list[SoundHits] = []
    nominees: list[_Nominee] = []
    chance = 0.0
    first, last = float(peaks.times[0]), float(peaks.times[-1])
    for start in np.arange(first, last + 1e-9, STRETCH_S):
        stretch = [_search(p, index, float(start)) for p in prints]
        named = [
            nominee
            for hits, variant in zip(stretch, variants, strict=True)
            for nominee in _nominate(hits, variant, float(start))
        ]
        named = sorted(named, key=lambda n: -n.votes)[:MOST_NOMINEES]
        nominees += named
        chance = max(chance, max(len(h) for h in stretch) / max(bank_s, 1.0) / STRETCH_S)
        ordinals = np.array(sorted({n.ordinal for n in named}), dtype=np.int32)
        kept += [h.take(np.isin(h.ordinals, ordinals)) for h in stretch]
    hits = _joined(kept)
    trials = max(bank_s, 1.0) / CELL_S * len(variants) * max(1.0, (last - first) / STRETCH_S)
    matches = []
    for ordinal in sorted({n.ordinal for n in nominees}):
        own = hits.take(hits.ordinals == ordinal)
        named = [n for n in nominees if n.ordinal == ordinal]
        match = _match(own, named, chance, math.log(trials * 2 * PITCHES / CELL_PITCH))
        if match is not None and match.evidence >= ENOUGH:
            matches.append(match)
    return tuple(sorted(matches, key=lambda m: (-m.evidence, m.ordinal)))


def _search(prints: Landmarks, index: Search, start: float) -> SoundHits:
    """The hits of one stretch of the query in one tempo, at about the same pitch."""
    low, high = np.searchsorted(prints.times, [start, start + STRETCH_S])
    found = index.search(prints.keys[low:high])
    rows = found.queries + low
    moments, pitches = unpack_moments(found.moments)
    higher = pitches - prints.pitches[rows].astype(np.int64)
    near = np.abs(higher + prints.variant.higher) <= PITCHES
    rows = rows[near]
    return SoundHits(
        prints.peaks[rows],
        prints.times[rows],
        found.ordinals[near],
        moments[near],
        higher[near],
        np.full(len(rows), prints.variant.tempo),
    )


def _joined(parts: Sequence[SoundHits]) -> SoundHits:
    return SoundHits(
        np.concatenate([p.peaks for p in parts]),
        np.concatenate([p.times for p in parts]),
        np.concatenate([p.ordinals for p in parts]),
        np.concatenate([p.moments for p in parts]),
        np.concatenate([p.higher for p in parts]),
        np.concatenate([p.tempos for p in parts]),
    )


def _nominate(hits: SoundHits, variant: Variant, start: float) -> list[_Nominee]:
    """The cells of offset and pitch that most of one stretch's peaks vote for, in one variant."""
    if len(hits) < LEAST_VOTES:
        return []
    tempo, lowest = variant.tempo, -variant.higher - PITCHES
    offsets = np.floor((hits.moments - tempo * (hits.times - start)) / CELL_S).astype(np.int64)
    pitches = (hits.higher - lowest) // CELL_PITCH
    cell = (hits.ordinals.astype(np.int64) << 32) | ((offsets + (1 << 20)) << 4) | pitches
    order = np.lexsort((hits.peaks, cell))
    cell, voter = cell[order], hits.peaks[order]
    new = np.ones(len(cell), dtype=np.bool_)
    new[1:] = cell[1:] != cell[:-1]
    distinct = new.copy()
    distinct[1:] |= voter[1:] != voter[:-1]
    votes = np.add.reduceat(distinct.astype(np.int64), np.flatnonzero(new))
    cells = cell[new]
    best = np.argsort(-votes, kind="stable")[:MOST_NOMINEES]
    return [
        _Nominee(
            votes=int(votes[b]),
            ordinal=int(cells[b] >> 32),
            tempo=tempo,
            offset=(((int(cells[b]) & 0xFFFF_FFFF) >> 4) - (1 << 20) + 0.5) * CELL_S
            - tempo * start,
            higher=((int(cells[b]) & 15) + 0.5) * CELL_PITCH + lowest - 0.5,
            start=start,
        )
        for b in best
        if votes[b] >= LEAST_VOTES
    ]


def _match(
    hits: SoundHits, nominees: Sequence[_Nominee], chance: float, log_trials: float
) -> SoundMatch | None:
    """The lines of one reference's hits, the clearest first; a peak votes for one line only.

    `chance`: hits in a second of the query for a second of the bank, wherever they lie.
    """
    span = float(np.ptp(hits.moments)) + 1.0 if len(hits) else 1.0
    rest = hits
    found: list[tuple[float, _Line, list[SegmentPair]]] = []
    for nominee in sorted(nominees, key=lambda n: -n.votes):
        if len(found) == MOST_LINES:
            break
        line = _fit(rest, nominee)
        if line is None:
            continue
        expected = _expected(line, rest, chance, span)
        runs = _runs(line, expected)
        votes, seconds = sum(r[0] for r in runs), sum(r[1].query.seconds for r in runs)
        repeated = _repeated(line, rest)
        told = votes - repeated if repeated >= REPEATED * votes else votes
        evidence = surprise(told, expected * seconds) / DISPERSION - log_trials
        if not runs or (found and evidence < ENOUGH):
            continue
        found.append((evidence, line, [pair for _, pair in runs]))
        rest = rest.take(~np.isin(rest.peaks, line.hits.peaks))
    return _joined_lines(int(hits.ordinals[0]), found) if found else None


def _joined_lines(ordinal: int, found: list[tuple[float, _Line, list[SegmentPair]]]) -> SoundMatch:
    best = max(found, key=lambda f: f[0])
    pairs = sorted((p for _, _, runs in found for p in runs), key=lambda p: p.query.start)
    return SoundMatch(ordinal, tuple(pairs), evidence=best[0], tempo=best[1].tempo)


def _fit(hits: SoundHits, nominee: _Nominee) -> _Line | None:
    """The line through a nominee's votes and on to all that lie on it; None where few are left."""
    tempo, offset, higher = nominee.tempo, nominee.offset, nominee.higher
    middle = nominee.start + STRETCH_S / 2
    hits = hits.take(np.abs(hits.tempos - tempo) < NEAR_TEMPO)
    near = np.zeros(len(hits), dtype=np.bool_)
    for reach, slack in _WIDENING:
        off = hits.moments - tempo * hits.times - offset
        near = (
            (np.abs(off) <= NEAR_S * slack)
            & (np.abs(hits.higher - higher) <= NEAR_PITCH * slack)
            & (np.abs(hits.times - middle) <= reach + 1e-6)
        )
        if np.count_nonzero(near) < LEAST_VOTES:
            return None
        higher = float(np.median(hits.higher[near]))
        t, m = hits.times[near], hits.moments[near]
        slope = tempo
        if float(np.ptp(t)) > 2.0:
            slope = float(np.polyfit(t - middle, m, 1)[0])
        if abs(slope - nominee.tempo) > 0.03:
            slope = tempo
        tempo, offset = slope, float(np.median(m - slope * t))
    rows = np.flatnonzero(near)
    off = np.abs(hits.moments[rows] - tempo * hits.times[rows] - offset)
    rows = rows[np.lexsort((off, hits.peaks[rows]))]
    _, first = np.unique(hits.peaks[rows], return_index=True)
    if len(first) < LEAST_VOTES:
        return None
    return _Line(tempo, offset, hits.take(rows[first]))


def _repeated(line: _Line, hits: SoundHits) -> int:
    """How many of a line's votes the reference holds at another moment too, all shifted by the same
    time: a song that repeats itself, of which other moments sound like these."""
    off = hits.moments - line.tempo * hits.times - line.offset
    away = (np.abs(off) > ELSEWHERE_S) & (np.abs(hits.tempos - line.tempo) < NEAR_TEMPO)
    away &= np.isin(hits.peaks, line.hits.peaks)
    cells = np.floor(off[away] / NEAR_S).astype(np.int64)
    # a repetition may lie across the border of two cells
    cells, peaks = np.concatenate([cells, cells + 1]), np.tile(hits.peaks[away], 2)
    distinct = np.unique(np.stack([cells, peaks], axis=1), axis=0)
    return int(np.unique(distinct[:, 0], return_counts=True)[1].max(initial=0))


def _expected(line: _Line, hits: SoundHits, chance: float, span: float) -> float:
    """Votes by chance in a second of the query on a line like this one: by the whole bank's hits,
    or by this reference's own beside the line, where it has more of them (a steady rhythm)."""
    share = 2 * NEAR_S * min(1.0, (2 * NEAR_PITCH + 1) / (2 * PITCHES + 1))
    off = np.abs(hits.moments - line.tempo * hits.times - line.offset)
    beside = hits.take((off > ELSEWHERE_S) & (np.abs(hits.tempos - line.tempo) < 0.011))
    listened = max(float(np.ptp(hits.times)), STRETCH_S)
    own = len(beside) / listened / span
    return max(chance, own, 1e-4) * share


def _runs(line: _Line, expected: float) -> list[tuple[int, SegmentPair]]:
    """The votes and segments of a line's stretches that hold more than chance would put there."""
    times = np.sort(line.hits.times)
    cuts = np.flatnonzero(np.diff(times) > GAP_S) + 1
    runs = []
    for run in np.split(times, cuts):
        start, end = float(run[0]), float(run[-1])
        likely = expected * (end - start)
        if end - start < SHORTEST_S or len(run) < LEAST_VOTES or surprise(len(run), likely) < 6.0:
            continue
        query = Segment(max(0.0, start), max(0.0, end))
        low, high = (max(0.0, line.tempo * t + line.offset) for t in (query.start, query.end))
        runs.append((len(run), SegmentPair(query, Segment(low, high))))
    return runs


def surprise(votes: int, expected: float) -> float:
    """Nats against at least so many votes where a Poisson process gives `expected` (Chernoff's
    bound on its tail: Mitzenmacher and Upfal, "Probability and Computing", theorem 5.4)."""
    if votes <= expected:
        return 0.0
    return votes * math.log(votes / expected) - votes + expected
