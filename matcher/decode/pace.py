"""Which pictures are looked at, and how a budget is spread over the whole length.

Pure but for the clock.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

import numpy as np

from hashdb.model import Floats
from matcher.ports import Sampling, Window

MAX_GAP_S = 2.0
SHORTEST_GAP_S = 0.1
DENSE_STEP_S = 1 / 30 - 1e-3
WINDOW_STEP_S = 0.1 - 1e-3
_SLACK = 1e-3
_FAR_STEPS = 20  # so far behind, nothing is said of what will be taken


class Look(Enum):
    """What is done with one group of pictures."""

    SKIP = "skip"
    KEYFRAME = "keyframe"
    FORWARD = "forward"


# Part of the budget that may be spent at the start and in all; keyframes are cheap, and are left
# out later than what lies between them.
_SHARE = {Look.FORWARD: (0.10, 0.85), Look.KEYFRAME: (0.15, 0.95)}


@dataclass(frozen=True, slots=True)
class Picker:
    """The written rule of what is looked at, for one track of `duration` seconds.

    Uploads: keyframes, and pictures between them where keyframes lie more than `max_gap` apart:
    2 seconds, or a tenth of a short upload. References: every picture, 30 a second at most.
    Windows: about ten pictures a second inside of them, nothing elsewhere.
    """

    dense: bool
    windows: tuple[Window, ...]
    max_gap: float
    step: float
    key_step: float

    @classmethod
    def of(cls, sampling: Sampling, duration: float) -> Picker:
        gap = min(MAX_GAP_S, max(SHORTEST_GAP_S, duration / 10))
        step = max(gap / 2, SHORTEST_GAP_S) - _SLACK
        if sampling.windows:
            step = WINDOW_STEP_S
        elif sampling.dense:
            step = DENSE_STEP_S
        key_step = step if sampling.windows or sampling.dense else step / 2
        return cls(sampling.dense, sampling.windows, gap, step, key_step)

    def look(self, start: float, end: float, last: float, *, final: bool) -> Look:
        """What to do with the group of pictures shown from `start` to `end`; `last` is when the
        last picture was taken (-inf: none yet). After the `final` group nothing follows."""
        if self.windows:
            meets = any(w.start < end and w.end >= start for w in self.windows)
            return Look.FORWARD if meets else Look.SKIP
        if self.dense:
            return Look.FORWARD
        if end - start > self._reach(final) + _SLACK:
            return Look.FORWARD
        return Look.KEYFRAME if start - last >= self.key_step else Look.SKIP

    def takes(self, offset: float, last: float, *, key: bool) -> bool:
        """Whether a decoded picture is looked at."""
        if offset - last < (self.key_step if key else self.step):
            return False
        return not self.windows or any(w.start <= offset <= w.end for w in self.windows)

    def is_due(self, offset: float, last: float, shown: Floats) -> bool:
        """Whether the picture at `offset` may be one that is taken, when the last one that was is
        `last`, which may lie some pictures back. `shown`: when each picture is, in order."""
        first = 0.0
        if self.windows:
            around = [w.start for w in self.windows if w.start <= offset <= w.end]
            if not around:
                return False
            first = min(around)
        if offset - last > _FAR_STEPS * self.step:
            return True
        while last < offset - _SLACK:
            following = int(np.searchsorted(shown, max(last + self.step, first)))
            if following == len(shown):
                return False
            last = float(shown[following])
        return last <= offset + _SLACK

    def is_done(self, end: float, last: float, *, final: bool) -> bool:
        """Whether the rest of the group that ends at `end` holds nothing that is wanted."""
        if self.windows:
            return not any(w.end > last and w.start < end for w in self.windows)
        return not self.dense and end - last <= self._reach(final) + _SLACK

    def _reach(self, final: bool) -> float:
        """How far the next picture may be; at the end of the track none comes to meet it."""
        return self.max_gap / 2 if final else self.max_gap


READ_EVERY_S = 0.01


class CpuClock:
    """CPU seconds of this process, of one thread; read anew when `READ_EVERY_S` have gone by at
    least, for under some kernels each reading costs as much as decoding a small picture."""

    def __init__(self) -> None:
        self._seconds, self._read_at = time.process_time(), time.perf_counter()

    def __call__(self) -> float:
        now = time.perf_counter()
        if now - self._read_at >= READ_EVERY_S:
            self._seconds, self._read_at = time.process_time(), now
        return self._seconds


class Pace:
    """A budget of CPU seconds and pictures, spread over the whole length.

    At each point the part spent may exceed the part gone through by a little; beyond that pictures
    between keyframes are left out, then keyframes too. So a long video is looked at everywhere,
    more thinly, and not only at its beginning.
    """

    def __init__(self, sampling: Sampling, clock: Callable[[], float] | None = None) -> None:
        self._clock = clock or CpuClock()
        self._start = self._clock()
        self._seconds = max(sampling.seconds, 1e-3)
        self._max_frames = max(sampling.max_frames, 1)
        self.frames = 0

    def spent(self) -> float:
        """Part of the budget that is gone; 1 and more: all of it."""
        seconds = (self._clock() - self._start) / self._seconds
        return max(seconds, self.frames / self._max_frames)

    @property
    def exhausted(self) -> bool:
        return self.spent() >= 1.0

    def affords(self, look: Look, progress: float) -> bool:
        """Whether `look` may be done when `progress` (0 to 1) of the length is gone through."""
        first, most = _SHARE[look]
        return self.spent() <= first + (most - first) * min(max(progress, 0.0), 1.0)
