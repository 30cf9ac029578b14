"""Peaks of sound into landmarks: three peaks that follow on one another, as one key. Pure.

A landmark is a peak and two of those that follow it (Six and Leman, "Panako", ISMIR 2014, have
three peaks too; Wang, ISMIR 2003, two). Its key holds what a copy keeps: the distances in pitch,
which a change of pitch leaves alone since the axis is logarithmic; the distances in time, which a
change of tempo stretches; and the first peak's pitch, so coarsely that a few percent matter
little. A copy may be faster or slower, so the query is asked about in several tempos: only times
are multiplied, nothing is heard again. The keys of a reference are made once, in tempo 1.
docs/decisions/0011-sound.md says why three peaks and a grid, and not time's ratios.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from hashdb.model import Floats, Ints, SoundPeaks

Keys = NDArray[np.uint32]
Moments = NDArray[np.uint32]

FAN = 5
"""How many following peaks a peak is put together with, two at a time: 10 landmarks a peak."""

SOONEST_S, LATEST_S = 0.08, 1.5
"""How far off in time, in the reference, the peaks are that a peak is put together with."""

REACH = 144
"""How far off in pitch, in steps: an octave."""

TIME_CELL_S = 0.064
PITCH_CELL = 8
FIRST_CELL = 48
"""The first peak's pitch counts by thirds of an octave."""


@dataclass(frozen=True, slots=True)
class Variant:
    """What may have been done to a copy: it plays `tempo` times as fast as the reference, and all
    is `higher` by so many steps of pitch."""

    tempo: float = 1.0
    higher: int = 0


VARIANTS = tuple(Variant(round(1.0 + 0.02 * n, 2)) for n in (0, -1, 1, -2, 2, -3, 3))
"""What a query is asked about in: up to 7 % faster or slower, normal first. Up to 8 % of pitch are
no variants, for the keys leave them alone."""

_PLAYERS = (0.5, 0.75, 0.8, 0.9, 1.1, 1.2, 1.25, 1.5, 1.75, 2.0)

PLAYER_VARIANTS = tuple(Variant(speed) for speed in _PLAYERS) + tuple(
    Variant(speed, round(REACH * float(np.log2(speed)))) for speed in _PLAYERS
)
"""The speeds that players and editors offer, with the pitch kept and with it changed alike."""

_AT_ONCE = 4096  # peaks whose keys are made together
_TWOS = np.triu_indices(FAN, 1)  # each two of those that follow, by their places

_TICKS = 64  # of a moment, a second
_MOST_TICKS = (1 << 22) - 1  # 18 hours


@dataclass(frozen=True, slots=True, eq=False)
class Landmarks:
    """`keys` (n,) uint32; of each landmark's first peak `peaks` (n,) int64, its row among the
    peaks, `times` (n,) float64, seconds, and `pitches` (n,) uint16, steps. In the order of the
    peaks. `variant`: what was taken back before times and pitches went into keys (`times` and
    `pitches` are as they were)."""

    keys: Keys
    peaks: Ints
    times: Floats
    pitches: NDArray[np.uint16]
    variant: Variant = Variant()

    def __len__(self) -> int:
        return len(self.keys)


def landmarks(peaks: SoundPeaks, *, variant: Variant = Variant()) -> Landmarks:
    """The landmarks of one track; `FAN * (FAN - 1) / 2` for each peak at most. References' are
    made as they are; a query's in several variants."""
    times = peaks.times * variant.tempo
    pitches = peaks.pitches.astype(np.int64) - variant.higher
    keys, rows = [np.zeros(0, dtype=np.uint32)], [np.zeros(0, dtype=np.int64)]
    for first in range(0, len(times), _AT_ONCE):
        last = min(first + _AT_ONCE, len(times))
        following = _following(times, pitches, first, last)
        key, made = _keys(times, pitches, np.arange(first, last), following)
        keys.append(key[made])
        rows.append(first + np.nonzero(made)[0])
    row = np.concatenate(rows)
    return Landmarks(np.concatenate(keys), row, peaks.times[row], peaks.pitches[row], variant)


def _following(times: Floats, pitches: Ints, first: int, last: int) -> Ints:
    """(n, FAN) of the peaks in the rows from `first` to below `last`: rows of the nearest peaks
    that follow within reach, -1 where there are no more."""
    rows = np.full((last - first, FAN), -1, dtype=np.int64)
    here = times[first:last]
    ends = np.searchsorted(times, here + (LATEST_S + 1e-6))
    most = int((ends - np.arange(first, last)).max()) - 1  # peaks that may follow in time
    if most < 1:
        return rows
    missing = max(0, last + most - len(times))
    then = np.concatenate([times[first + 1 : last + most], np.full(missing, np.inf)])
    there = np.concatenate([pitches[first + 1 : last + most], np.zeros(missing, np.int64)])
    later = sliding_window_view(then, most) - here[:, None]
    near = (later >= SOONEST_S) & (later <= LATEST_S)
    near &= np.abs(sliding_window_view(there, most) - pitches[first:last, None]) <= REACH
    place = np.cumsum(near, axis=1) - 1
    near &= place < FAN
    row, lag = np.nonzero(near)
    rows[row, place[row, lag]] = first + row + lag + 1
    return rows


def _keys(
    times: Floats, pitches: Ints, some: Ints, following: Ints
) -> tuple[Keys, NDArray[np.bool_]]:
    """Of each peak and each two of those that follow (n, pairs) the key, and whether there are two:
    4 bits of the first pitch, 6 and 6 of the steps in pitch, 5 and 5 of those in time."""
    second, third = _TWOS
    steps = (pitches[following] - pitches[some, None]) / PITCH_CELL
    moved = np.floor(steps + 0.5).astype(np.int64) + 32
    cells = (times[following] - times[some, None]) / TIME_CELL_S
    later = np.minimum(np.floor(cells + 0.5).astype(np.int64), 31)
    pitch = np.clip(pitches[some] // FIRST_CELL, 0, 15)[:, None]
    key = pitch << 22 | moved[:, second] << 16 | moved[:, third] << 10
    key |= later[:, second] << 5 | later[:, third]
    return key.astype(np.uint32), following[:, third] >= 0


def pack_moments(times: Floats, pitches: NDArray[np.uint16]) -> Moments:
    """(n,) uint32: the time in 1/64 s, up to 18 hours, above 10 bits of pitch. A reference's
    sound before its first picture counts as at 0."""
    ticks = np.clip(np.rint(times * _TICKS), 0, _MOST_TICKS).astype(np.uint32)
    return (ticks << np.uint32(10)) | np.minimum(pitches, 1023).astype(np.uint32)


def unpack_moments(moments: Moments) -> tuple[Floats, Ints]:
    """Times in seconds and pitches in steps."""
    times = (moments >> np.uint32(10)).astype(np.float64) / _TICKS
    return times, (moments & np.uint32(1023)).astype(np.int64)
