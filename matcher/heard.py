"""The sounds of references in an upload's sound, as alignments. Pure.

`matcher.soundmatch` finds and weighs them; here an upload is cut into pieces that it can take, and
what it finds is put as evidence second by second, so that allow-lists can take seconds away.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from hashdb.model import Alignment, FrameMatch, Orientation, SegmentPair, SoundPeaks, View
from hashdb.ports import LandmarkBackend
from matcher.landmarks import PLAYER_VARIANTS, VARIANTS, Variant
from matcher.score import STILL, WEIGHTS, rescore
from matcher.soundmatch import SoundMatch, find_sounds

PIECE_S, SHARED_S = 300.0, 60.0
"""A longer sound is searched in pieces, each with so much of the next one: memory is bounded, and
what lies across a seam is found."""

PLAYERS_UP_TO_S = 300.0
"""Sounds up to this long are asked about in the speeds of players too, where nothing else is found:
it costs three times the other search."""

WITHIN = 0.055
"""A tempo further off 1 lies at the edge of `VARIANTS`: snatches of what is faster still agree with
it for a second or two, so it does not count as found."""

PER_NAT = 0.35
"""What a nat of a sound's evidence says, in log-odds of our score: with `soundmatch.ENOUGH` nats a
match is just confident. Nats are against chance alone; music made of the same samples, or words of
one recording, are not chance. `matcher.calibration` weighs it."""

DOUBTED = 40
"""The distance of a second of sound that asks for a review at most."""

_APART_S = 3.0  # segments of one line lie so far apart that they are not taken for one


def sounds(
    peaks: SoundPeaks, backend: LandmarkBackend, counted: Callable[[Iterable[int]], set[int]]
) -> list[SoundMatch]:
    """The references' sounds in one track; one that is in several pieces comes several times.

    `counted`: which ordinals may count; others are as if they were not there.
    """
    if not len(peaks):
        return []
    bank_s, pieces = backend.seconds, list(_pieces(peaks))

    def asked(variants: Sequence[Variant]) -> list[SoundMatch]:
        every = [find_sounds(p, backend, bank_s=bank_s, variants=variants) for p in pieces]
        kept = counted({m.ordinal for found in every for m in found})
        return [m for found in every for m in found if m.ordinal in kept]

    found = asked(VARIANTS)
    short = float(peaks.times[-1] - peaks.times[0]) <= PLAYERS_UP_TO_S
    if not short or any(abs(m.tempo - 1.0) < WITHIN for m in found):
        return found
    faster = asked(PLAYER_VARIANTS)
    normal, other = _clearest(found), _clearest(faster)
    return [m for m in found if normal[m.ordinal] >= other.get(m.ordinal, 0.0)] + [
        m for m in faster if other[m.ordinal] > normal.get(m.ordinal, 0.0)
    ]


def _clearest(matches: Iterable[SoundMatch]) -> dict[int, float]:
    """By ordinal the most evidence of one match."""
    best: dict[int, float] = {}
    for match in matches:
        best[match.ordinal] = max(best.get(match.ordinal, 0.0), match.evidence)
    return best


def _pieces(peaks: SoundPeaks) -> Iterator[SoundPeaks]:
    first, last = float(peaks.times[0]), float(peaks.times[-1])
    for number in range(max(1, math.ceil((last - first - SHARED_S) / PIECE_S))):
        start = first + number * PIECE_S
        rows = (peaks.times >= start) & (peaks.times <= start + PIECE_S + SHARED_S)
        yield peaks.take(rows)


def alignment(match: SoundMatch, reference_id: str, track: int) -> Alignment | None:
    """The match as an alignment. Each second of a segment is one `FrameMatch` in a group of its
    own, at its middle (three a segment at least: so many agree in time at any speed); together they
    say what the match's evidence does, and never more."""
    pairs = [pair for pair in match.segments if pair.query.seconds > 0]
    counts = [max(3, round(pair.query.seconds)) for pair in pairs]
    distances = iter(_distances(PER_NAT * match.evidence, sum(counts)))
    groups = iter(range(sum(counts)))
    frames = []
    for pair, count, line in zip(pairs, counts, _lines(pairs), strict=True):
        step, moved = pair.query.seconds / count, pair.reference.seconds / count
        for number in range(count):
            frames.append(
                FrameMatch(
                    offset=pair.query.start + (number + 0.5) * step,
                    reference_offset=pair.reference.start + (number + 0.5) * moved,
                    distance=next(distances),
                    group=next(groups),
                    track=track,
                    view=View.FULL,
                    line=line,
                    before=step / 2,
                    after=step / 2,
                )
            )
    empty = Alignment(reference_id, "sound", Orientation.ORIGINAL, (), (), 0.0, match.tempo)
    return rescore(empty, frames, video=True)


def as_repeated(heard: Alignment) -> Alignment:
    """The same alignment where the sound is of another moment that sounds alike: all of it says no
    more than one second does, and not enough for a block."""
    frames = [replace(f, group=STILL, distance=max(f.distance, DOUBTED)) for f in heard.frames]
    return rescore(heard, frames, video=True) or heard


def as_doubted(heard: Alignment) -> Alignment:
    """The same alignment where the sound may be anybody's: it says what it did, but no more than
    asks for a review."""
    weight = WEIGHTS["sound"]
    least = math.ceil(weight.vanishes * (1.0 - heard.evidence / weight.at_zero))
    frames = [replace(f, group=STILL, distance=max(DOUBTED, least)) for f in heard.frames]
    return rescore(heard, frames, video=True) or heard


def _distances(evidence: float, count: int) -> list[int]:
    """Distances of `count` seconds that together say `evidence`, or as much as they can."""
    weight = WEIGHTS["sound"]
    most = int(weight.vanishes)
    units = min(count * most, int(evidence * most / weight.at_zero))
    edges = np.arange(count + 1, dtype=np.int64) * units // max(count, 1)
    return [most - int(share) for share in np.diff(edges)]


def _lines(pairs: Sequence[SegmentPair]) -> list[int]:
    """A number for each segment: of those that share one, none lies near the next."""
    ends: list[float] = []
    numbers = []
    for pair in pairs:
        free = (n for n, end in enumerate(ends) if pair.query.start - end >= _APART_S)
        number = next(free, len(ends))
        if number == len(ends):
            ends.append(0.0)
        ends[number] = pair.query.end
        numbers.append(number)
    return numbers
