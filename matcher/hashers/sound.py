"""Sound into peaks: the moments and pitches that are loudest among their surroundings.

After Wang, "An Industrial-Strength Audio Search Algorithm" (ISMIR 2003): such peaks survive noise,
equalising, echo and coding, since all of these change levels, and few change which of the
neighbours is the loudest. Pitch is kept on a logarithmic axis, where a change of pitch moves all
peaks by the same amount (Six and Leman, "Panako", ISMIR 2014). Each pitch's level is taken against
its own mean of the seconds around: a hum, a tone and an even noise floor vanish.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.fft import rfft  # of many windows at once in a third of numpy's time, to the same bit

from hashdb.model import SoundPeaks
from matcher.ports import PEAKS_PER_S

PIPELINE = "peaks-1"

RATE = 8000
HOP = 128  # samples from one column of the spectrogram to the next: 16 ms
WINDOW = 1024
COLUMN_S = HOP / RATE

LOWEST_HZ, HIGHEST_HZ = 250.0, 3500.0
BINS = 36  # an octave
STEPS = 4  # of pitch in a bin, found by a parabola: 144 an octave, 2.07 for 1 %, from `LOWEST_HZ`

NEAR_S = 0.096  # a peak is the loudest within so many seconds,
NEAR_BINS = 7  # and so many bins: a fifth of an octave
AROUND_S = 1.0  # its level is taken against the mean of so many seconds to each side
LEAST_DB = 6.0
FLOOR = 1e-9  # of full scale's power: -90 dB is silence

_BLOCK = 512  # columns done at once
_AT_ONCE = 64  # of them in Fourier's transform: what that needs stays in the cache
_HALO = round(AROUND_S / COLUMN_S) + 1  # columns that are seen to each side of those

Samples = NDArray[np.float32]
Levels = NDArray[np.float32]


def _matrix() -> NDArray[np.float32]:
    """(WINDOW // 2 + 1, bins): each bin's triangle over the FFT's lines, one line wide at least."""
    count = int(np.floor(np.log2(HIGHEST_HZ / LOWEST_HZ) * BINS)) + 1
    centres = LOWEST_HZ * 2.0 ** (np.arange(count) / BINS) * WINDOW / RATE
    half = np.maximum(centres * (2.0 ** (1.0 / BINS) - 1.0), 1.0)
    lines = np.arange(WINDOW // 2 + 1)[:, None]
    weights = np.maximum(0.0, 1.0 - np.abs(lines - centres) / half)
    return np.asarray(weights, dtype=np.float32)


_WEIGHTS = _matrix()
_SHAPE = np.asarray(np.hanning(WINDOW + 1)[:-1] / (WINDOW / 4), dtype=np.float32)


def spectrogram(samples: Samples) -> Levels:
    """(columns, bins) float32, dB: the power of each bin, against full scale."""
    if len(samples) < WINDOW:
        return np.zeros((0, _WEIGHTS.shape[1]), dtype=np.float32)
    frames = np.lib.stride_tricks.sliding_window_view(samples, WINDOW)[::HOP]
    power = np.empty((len(frames), WINDOW // 2 + 1), dtype=np.float32)
    for first in range(0, len(frames), _AT_ONCE):
        shaped = frames[first : first + _AT_ONCE] * _SHAPE
        lines = rfft(shaped.astype(np.float64), axis=1, overwrite_x=True).astype(np.complex64)
        power[first : first + _AT_ONCE] = np.square(lines.real) + np.square(lines.imag)
    return np.asarray(10.0 * np.log10(power @ _WEIGHTS + FLOOR), np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Peaks:
    """Peaks of one spectrogram: `columns` and `bins` (n,) int64 of the greatest values, `times`
    in columns and `pitches` in steps (n,) float64 of the true tops between them, `above` (n,)
    float32: dB above the surroundings. In the order of the columns."""

    columns: NDArray[np.int64]
    times: NDArray[np.float64]
    pitches: NDArray[np.float64]
    above: Levels


def find_peaks(levels: Levels) -> Peaks:
    """The greatest values of their neighbourhoods that stand out from their bin's mean over time.

    `levels`: (columns, bins), dB.
    """
    near = round(NEAR_S / COLUMN_S)
    above = levels - _mean_around(levels, round(AROUND_S / COLUMN_S))
    highest = _greatest(_greatest(levels, near, 0), NEAR_BINS, 1)
    found = (levels >= highest) & (above >= LEAST_DB)
    found[:1], found[-1:], found[:, :1], found[:, -1:] = False, False, False, False
    columns, bins = np.nonzero(found)
    here = levels[columns, bins]
    times = columns + _top(levels[columns - 1, bins], here, levels[columns + 1, bins])
    pitches = bins + _top(levels[columns, bins - 1], here, levels[columns, bins + 1])
    return Peaks(columns, times, pitches * STEPS, above[columns, bins])


def _top(before: Levels, at: Levels, after: Levels) -> NDArray[np.float64]:
    """Where between three neighbours, -0.5 to 0.5, the parabola through them is highest."""
    bend = (2.0 * at - before - after).astype(float)
    aside = 0.5 * (after - before) / np.where(bend < 1e-6, np.inf, bend)
    return np.asarray(np.clip(aside, -0.5, 0.5), dtype=np.float64)


def _mean_around(levels: Levels, reach: int) -> Levels:
    """The mean over `reach` columns to each side, fewer at the ends."""
    total = np.concatenate([np.zeros((1, levels.shape[1])), np.cumsum(levels, axis=0, dtype=float)])
    at = np.arange(len(levels))
    low, high = np.maximum(at - reach, 0), np.minimum(at + reach + 1, len(levels))
    return np.asarray((total[high] - total[low]) / (high - low)[:, None], dtype=np.float32)


def _greatest(values: Levels, reach: int, axis: int) -> Levels:
    """The greatest value within `reach` places to each side."""
    pad = [(reach, reach) if a == axis else (0, 0) for a in range(values.ndim)]
    wide = np.pad(values, pad, constant_values=-np.inf)
    size, done = 2 * reach + 1, 1
    while done < size:  # windows of 1, 2, 4, ... places, then of `size`
        step = min(done, size - done)
        length = wide.shape[axis] - step
        wide = np.maximum(
            wide.take(range(length), axis), wide.take(range(step, length + step), axis)
        )
        done += step
    return wide


class PeakFinder:
    """One track's samples, in stretches of any length, into its peaks.

    Memory does not grow with the length of the sound but for the peaks (9 bytes each). The same
    samples give the same peaks however they are cut. `pipeline` names what it does.
    """

    pipeline = PIPELINE

    def __init__(self, start: float = 0.0, track: int = 0) -> None:
        """`start`: the time of the first sample, in seconds from the start of the media."""
        self._start = start
        self._track = track
        self._samples: Samples = np.zeros(0, dtype=np.float32)  # not yet in the spectrogram
        self._levels: Levels = np.zeros((0, _WEIGHTS.shape[1]), dtype=np.float32)
        self._first = 0  # the column that `_levels` begins with
        self._done = 0  # columns whose peaks were taken
        self._heard = 0
        self._found: list[tuple[NDArray[np.float64], NDArray[np.uint16], NDArray[np.uint8]]] = []

    def feed(self, samples: Samples) -> None:
        """(n,) mono float32, `RATE` a second, full scale 1; they follow on those before."""
        self._heard += len(samples)
        self._samples = np.concatenate([self._samples, np.asarray(samples, dtype=np.float32)])
        size = (_BLOCK - 1) * HOP + WINDOW
        while len(self._samples) >= size:
            self._extend(spectrogram(self._samples[:size]))
            self._samples = self._samples[_BLOCK * HOP :]
            self._take(self._first + len(self._levels) - _HALO)

    def finish(self) -> SoundPeaks:
        """All peaks, of a second the `PEAKS_PER_S` loudest; nothing can be fed afterwards."""
        self._extend(spectrogram(self._samples))
        self._take(self._first + len(self._levels))
        empty = np.zeros(0)
        parts = [(empty, empty.astype(np.uint16), empty.astype(np.uint8)), *self._found]
        times, pitches, levels = (np.concatenate(column) for column in zip(*parts, strict=True))
        order = _loudest(times, pitches, levels)
        seconds = self._heard / RATE
        return SoundPeaks(
            PIPELINE, times[order], pitches[order], levels[order], self._track, seconds
        )

    def _extend(self, levels: Levels) -> None:
        self._levels = np.concatenate([self._levels, levels])

    def _take(self, until: int) -> None:
        """Take the peaks of the columns from where it was left off to `until`."""
        if until <= self._done or len(self._levels) < 3:
            return
        peaks = find_peaks(self._levels)
        columns = peaks.columns + self._first
        rows = (columns >= self._done) & (columns < until)
        middle = self._start + WINDOW / 2 / RATE
        times = middle + (peaks.times[rows] + self._first) * COLUMN_S
        pitches = np.clip(np.rint(peaks.pitches[rows]), 0, 65_535).astype(np.uint16)
        above = np.clip(np.rint(peaks.above[rows]), 0, 255).astype(np.uint8)
        self._found.append((times, pitches, above))
        self._done = until
        kept = max(0, until - 2 * _HALO - self._first)
        self._levels = self._levels[kept:]
        self._first += kept


def _loudest(
    times: NDArray[np.float64], pitches: NDArray[np.uint16], levels: NDArray[np.uint8]
) -> NDArray[np.int64]:
    """The rows to be kept, in the order of time and pitch."""
    second = np.floor(times)
    order = np.lexsort((pitches, times, -levels.astype(np.int64), second))
    _, first, counts = np.unique(second[order], return_index=True, return_counts=True)
    rank = np.arange(len(order)) - np.repeat(first, counts)
    kept = order[rank < PEAKS_PER_S]
    return np.asarray(kept[np.lexsort((pitches[kept], times[kept]))], dtype=np.int64)


class Stretch(Protocol):
    """What a decoder gives: see `matcher.decode.sound.SoundBlock`."""

    @property
    def track(self) -> int: ...
    @property
    def start(self) -> float: ...
    @property
    def samples(self) -> Samples: ...


def listen(stretches: Iterable[Stretch]) -> tuple[SoundPeaks, ...]:
    """The peaks of each track. A track's stretches follow on one another without a gap."""
    finders: dict[int, PeakFinder] = {}
    for stretch in stretches:
        if stretch.track not in finders:
            finders[stretch.track] = PeakFinder(stretch.start, stretch.track)
        finders[stretch.track].feed(stretch.samples)
    return tuple(finders[track].finish() for track in sorted(finders))
