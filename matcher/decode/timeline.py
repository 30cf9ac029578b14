"""When each packet of a track is shown, in seconds from the track's start, however odd its stamps.

Pure: numbers in, numbers out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hashdb.model import Floats, Ints

FALLBACK_RATE = 25.0  # pictures a second, where a file says nothing believable
_SLOWEST, _FASTEST = 1 / 600, 1000.0
# A player waits through a gap of an hour, and no longer: what is further off is a broken stamp.
LONGEST_GAP_S = 3600.0
# Where a format is broadcast or spliced, stamps start anew: FFmpeg's dts_delta_threshold.
SPLICED_GAP_S = 10.0
SAME_S = 1e-3  # stamps this close are the same


@dataclass(frozen=True, slots=True, eq=False)
class Timeline:
    """One track's packets in the order of the file.

    `offsets` (n,) seconds of presentation from the track's first shown picture; `keys` (g,) the
    packets that start a group of pictures (the first packet always does); `duration` up to the
    end of the last picture; `step` seconds a picture on average. `by_count`: the stamps could not
    be used, and pictures are counted instead. `shown`: the offsets in order, without the hidden;
    `shown_keys`: those of them that start a group.
    """

    offsets: Floats
    keys: Ints
    duration: float
    step: float
    by_count: bool
    shown: Floats
    shown_keys: Floats

    def held_until(self, offset: float) -> float:
        """When the picture that is shown at `offset` gives way to the next one."""
        at = int(self.shown.searchsorted(offset + SAME_S, side="right"))
        return float(self.shown[at]) if at < len(self.shown) else self.duration

    def group_end(self, offset: float) -> tuple[float, bool]:
        """When the next keyframe after `offset` is shown, or the track ends; whether it ends."""
        at = int(self.shown_keys.searchsorted(offset + SAME_S, side="right"))
        if at < len(self.shown_keys):
            return float(self.shown_keys[at]), False
        return self.duration, True

    def is_key(self, offset: float) -> bool:
        """Whether the picture that is shown at `offset` starts a group."""
        at = int(self.shown_keys.searchsorted(offset - SAME_S))
        return at < len(self.shown_keys) and bool(self.shown_keys[at] <= offset + SAME_S)


def believable_rate(rate: float | None) -> float | None:
    """The rate, where it is one."""
    return rate if rate is not None and _SLOWEST <= rate <= _FASTEST else None


def _steps(times: Floats, rate: float | None) -> float:
    """Seconds a picture on average."""
    if rate is not None:
        return 1.0 / rate
    gaps = np.diff(np.sort(times[np.isfinite(times)]))
    gaps = gaps[gaps > 1e-6]
    return float(np.clip(np.median(gaps), 1 / _FASTEST, 600.0)) if len(gaps) else 1 / FALLBACK_RATE


def _filled(times: Floats, step: float) -> Floats:
    """Missing times counted on from the last known one."""
    known = np.isfinite(times)
    if known.all():
        return times
    rows = np.arange(len(times))
    last = np.maximum.accumulate(np.where(known, rows, -1))
    first = int(np.argmax(known))
    last[last < 0] = first
    return times[last] + (rows - last) * step


def _joined(times: Floats, step: float, longest_gap: float) -> Floats:
    """Jumps back, and jumps ahead over more than `longest_gap`, become one picture's step."""
    jumps = np.diff(times)
    reorder = max(1.0, 20 * step)  # pictures are stored out of order, but never by much
    bad = (jumps < -reorder) | (jumps > max(longest_gap, 4 * step))
    if not bad.any():
        return times
    shift = np.zeros(len(times))
    shift[1:][bad] = step - jumps[bad]
    joined: Floats = times + np.cumsum(shift)
    return joined


def timeline(
    pts: Floats,
    dts: Floats,
    keys: NDArray[np.bool_],
    hidden: NDArray[np.bool_],
    rate: float | None,
    tail: float = 0.0,
    longest_gap: float = LONGEST_GAP_S,
) -> Timeline:
    """Presentation times from a track's packets, in the order of the file.

    `pts`, `dts` (n,) seconds, NaN where missing; `keys` which are marked as keyframes; `hidden`
    which an edit list cuts off; `tail` for how long the last one says it is shown (0: not known).
    Where most stamps are missing or alike, pictures are counted at
    the average rate; where some are missing, they are counted on from the one before; jumps back
    and absurd jumps ahead are closed.
    """
    times: Floats = np.where(np.isfinite(pts), pts, dts).astype(np.float64)
    step = _steps(times, believable_rate(rate))
    known = times[np.isfinite(times)]
    by_count = len(known) * 2 < len(times) or len(np.unique(known)) * 3 < len(times)
    if by_count:
        times = np.arange(len(times), dtype=np.float64) * step
    else:
        times = _joined(_filled(times, step), step, longest_gap)
    seen = np.ones(len(times), dtype=np.bool_) if hidden.all() else ~hidden
    shown = np.sort(times[seen])
    start = shown[0]
    marked = np.flatnonzero(keys)
    starts = marked if len(marked) and marked[0] == 0 else np.concatenate([[0], marked])
    return Timeline(
        offsets=times - start,
        keys=starts.astype(np.int64),
        duration=float(shown[-1] - start) + (tail if step < tail <= longest_gap else step),
        step=step,
        by_count=by_count,
        shown=shown - start,
        shown_keys=np.sort(times[starts[seen[starts]]]) - start,
    )
