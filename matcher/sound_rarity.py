"""How rare an upload's sound is among the incidents of the banks, and what that leaves of its
evidence. Pure; docs/decisions/0029-rarity-of-sound.md says why it is so.

A jingle, a ringtone or a song that unrelated incidents hold says little of any of them, as a title
card does: it is weighed second by second, by the formula of `matcher.rarity`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import Enum

import numpy as np

from hashdb.model import Alignment, Floats, FrameMatch, Ints, SegmentPair, SoundPeaks
from hashdb.ports import Nominee
from matcher.findings import covered_s
from matcher.heard import as_doubted
from matcher.landmarks import (
    REACH,
    Keys,
    Landmarks,
    Moments,
    Variant,
    landmarks,
    pack_moments,
)
from matcher.laying import NOMINATING
from matcher.rarity import Held, Sighting, held, incidents, picture, rarity
from matcher.score import rescore
from matcher.sighting import picture_of
from matcher.soundmatch import find_sounds
from matcher.verify import agreement, candidates

AROUND_S = 1.0
"""Seconds around what was found of a reference's sound in which it counts as heard too: where
votes begin and end differs by so much from one reference to the next."""

WHOLE = 0.5
"""Part of the seconds in which the shorter of two references sounds, from which on what they have
in common is its sound, and no jingle in it."""

PART, STOCK_S = 0.2, 20.0
"""Part of those seconds, or seconds, that two references must have in common, and show the same
pictures meanwhile, to be of one incident: as `kinship.PART` and `rarity.MORE_THAN_STOCK`."""

LOOKED_AT = 12
"""Moments at which the pictures of two references are compared."""

NEAR_S = 1.0
"""Seconds between a moment and the picture that stands for it."""

COMPARED_S = 300.0
"""Seconds of a reference, around what is heard of it, that are compared."""

KEPT_TEMPO = 0.08
"""Changes of tempo up to which pitch is not asked about separately."""


class Relation(Enum):
    """What two references have in common, of which the upload has the same sound: the `INCIDENT`;
    all of the `SOUND` of one, under other pictures (a copy of the sound, or a song: that cannot be
    told); or a `PART` of both sounds, such as a jingle."""

    INCIDENT = "incident"
    SOUND = "sound"
    PART = "part"


Relate = Callable[[str, str], Relation | None]
"""How two references (ids) are related; None where that is not to be found out."""


def sighting(heard: Alignment) -> Sighting:
    """The seconds of the upload's sound, by their middles, in which a reference is heard. It holds
    them as far as the alignment is likelier than not."""
    cells = sorted({c for f in heard.frames for c in _cells(f, AROUND_S)})
    shares = np.full(len(cells), max(0.0, 2 * heard.score - 1))
    track = heard.frames[0].track if heard.frames else 0
    return Sighting(heard.reference_id, track, np.array(cells, dtype=np.float64), shares)


def _cells(frame: FrameMatch, around: float = 0.0) -> list[float]:
    """The middles of the whole seconds that a frame's stretch has the middle of, or lies in."""
    start, end = frame.offset - frame.before - around, frame.offset + frame.after + around
    middles = [n + 0.5 for n in range(math.ceil(start - 0.5), math.floor(end - 0.5) + 1)]
    return middles or [math.floor(frame.offset) + 0.5]


@dataclass(frozen=True, slots=True, eq=False)
class SoundRarities:
    """What is known of one upload's sound: `rare` (references, seconds) as `rarity.rarity` gives
    it of `known`; `doubted`: references whose whole sound unrelated ones have too."""

    known: Held
    rare: Floats
    doubted: frozenset[str] = frozenset()

    def weighed(self, heard: Alignment) -> Alignment:
        """The alignment with its seconds' rarity; itself where all count in full."""
        names = self.known.references
        if heard.signal_type != "sound" or heard.reference_id not in names:
            return heard
        row = self.rare[names.index(heard.reference_id)]
        frames = [replace(f, rarity=self._rarity(f, row)) for f in heard.frames]
        if any(f.rarity < 1.0 for f in frames):
            heard = rescore(heard, frames, video=True) or heard
        return as_doubted(heard) if heard.reference_id in self.doubted else heard

    def _rarity(self, frame: FrameMatch, row: Floats) -> float:
        seconds = [self.known.pictures[picture(frame.track, cell)] for cell in _cells(frame)]
        return float(row[seconds].mean())


NOTHING_SHARED = SoundRarities(Held((), {}, np.empty((0, 0))), np.empty((0, 0)))


def sound_rarities(heard: Iterable[Alignment], relate: Relate) -> SoundRarities:
    """Of one upload's alignments by sound; next to no work where it has one reference's or none."""
    sightings = [sighting(a) for a in heard if a.signal_type == "sound" and a.frames]
    if len({s.reference_id for s in sightings}) < 2:
        return NOTHING_SHARED
    known = held(sightings)
    if not ((known.shares > 0).sum(axis=0) > 1).any():
        return NOTHING_SHARED
    same_sound: list[str] = []

    def kin(one: str, other: str) -> bool | None:
        related = relate(one, other)
        if related is Relation.SOUND:
            same_sound.append(one)
        return None if related is None else related is not Relation.PART

    labels = incidents(known, kin, {})
    return SoundRarities(known, rarity(known, labels), _doubted(known, labels, same_sound))


def _doubted(known: Held, labels: Ints, same_sound: Sequence[str]) -> frozenset[str]:
    """All references of what was joined by its sound alone."""
    numbers = {int(labels[known.references.index(name)]) for name in same_sound}
    together = zip(known.references, labels.tolist(), strict=True)
    return frozenset(name for name, label in together if label in numbers)


# How two references are related.


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """A reference, to be compared: the peaks of its sound, and pictures by local features, in any
    order; there may be none."""

    peaks: SoundPeaks
    pictures: Sequence[Nominee] = ()


@dataclass(frozen=True, slots=True)
class Meeting:
    """Where two references sound alike: a moment of each, in seconds; `tempo`: one plays so many
    times as fast as the other."""

    one: float
    other: float
    tempo: float


def meeting(one: Sequence[Alignment], other: Sequence[Alignment]) -> Meeting | None:
    """In the middle of what of the upload is heard in both; None where nothing is."""
    near = []
    for a in one:
        for b in other:
            there = {c: f for f in b.frames for c in _cells(f, AROUND_S)}
            here = [(f, there[c]) for f in a.frames for c in _cells(f) if c in there]
            if here:
                near.append((len(here), a, b, here[len(here) // 2]))
    if not near:
        return None
    _, a, b, (first, second) = max(near, key=lambda n: n[0])
    tempo = b.speed / a.speed if a.speed > 0 else 1.0
    return Meeting(first.reference_offset, second.reference_offset, tempo)


def relation(one: Known, other: Known, at: Meeting) -> Relation:
    """Of two references that sound alike there, and whose pictures' hashes are unlike."""
    mine, others = _around(one.peaks, at.one), _around(other.peaks, at.other)
    pairs = _common(mine, others, at.tempo)
    common = covered_s(p.query for p in pairs)
    shorter = max(1.0, min(_sounding(mine), _sounding(others)))
    needed = min(STOCK_S, PART * shorter)
    if common < needed:
        return Relation.PART
    if common * _shown(one.pictures, other.pictures, _spread(pairs)) >= needed:
        return Relation.INCIDENT
    return Relation.SOUND if common >= WHOLE * shorter else Relation.PART


def _around(peaks: SoundPeaks, moment: float) -> SoundPeaks:
    return peaks.take(np.abs(peaks.times - moment) <= COMPARED_S / 2)


def _sounding(peaks: SoundPeaks) -> float:
    """In how many seconds there is any sound."""
    return float(len(np.unique(np.floor(peaks.times))))


def _common(one: SoundPeaks, other: SoundPeaks, tempo: float) -> list[SegmentPair]:
    """Stretches of one that sound as stretches of the other."""
    variants = [Variant(tempo)]
    if abs(tempo - 1.0) > KEPT_TEMPO:
        variants.append(Variant(tempo, round(REACH * math.log2(tempo))))
    seconds = max(1.0, _sounding(other))
    found = find_sounds(one, _One(landmarks(other)), bank_s=seconds, variants=variants)
    return [pair for match in found for pair in match.segments]


@dataclass(frozen=True, slots=True, eq=False)
class _Entries:
    queries: Ints
    ordinals: np.ndarray[tuple[int], np.dtype[np.int32]]
    moments: Moments


class _One:
    """One sound as an index of landmarks: a `soundmatch.Search`."""

    def __init__(self, sound: Landmarks) -> None:
        order = np.argsort(sound.keys, kind="stable")
        self._keys = sound.keys[order]
        self._moments = pack_moments(np.maximum(sound.times, 0.0), sound.pitches)[order]

    def search(self, keys: Keys) -> _Entries:
        low = np.searchsorted(self._keys, keys, side="left")
        counts = np.searchsorted(self._keys, keys, side="right") - low
        queries = np.repeat(np.arange(len(keys), dtype=np.int64), counts)
        before = np.cumsum(counts) - counts
        places = np.repeat(low - before, counts) + np.arange(len(queries))
        return _Entries(queries, np.zeros(len(queries), np.int32), self._moments[places])


def _spread(pairs: Sequence[SegmentPair]) -> list[tuple[float, float]]:
    """Moments of both, spread evenly over what they have in common."""
    seconds = [p.query.seconds for p in pairs]
    found = []
    for number in range(LOOKED_AT):
        left = (number + 0.5) / LOOKED_AT * sum(seconds)
        for pair, length in zip(pairs, seconds, strict=True):
            if left <= length and length > 0:
                moved = pair.reference.seconds * left / length
                found.append((pair.query.start + left, pair.reference.start + moved))
                break
            left -= length
    return found


def _shown(
    one: Sequence[Nominee], other: Sequence[Nominee], moments: Sequence[tuple[float, float]]
) -> float:
    """The part of the moments at which both show the same picture, as far as there are any."""
    same = [
        any(_same(a, b) for a in _nearest(one, m, 1) for b in _nearest(other, n, 2))
        for m, n in moments
    ]
    return sum(same) / len(same) if same else 0.0


def _nearest(pictures: Sequence[Nominee], moment: float, most: int) -> list[Nominee]:
    near = [p for p in pictures if abs(p.offset - moment) <= NEAR_S]
    return sorted(near, key=lambda p: abs(p.offset - moment))[:most]


def _same(one: Nominee, other: Nominee) -> bool:
    found = agreement(candidates(picture_of(one), picture_of(other)))
    return found is not None and found.inliers >= NOMINATING
