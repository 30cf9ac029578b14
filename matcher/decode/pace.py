"""Which pictures are looked at, and how a budget is spread over the whole length.

Pure but for the clock.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

import numpy as np

from matcher.decode.timeline import SAME_S, Timeline
from matcher.ports import UNEVEN, Sampling, Window

MAX_GAP_S = 2.0
SHORTEST_GAP_S = 0.1
DENSE_STEP_S = 1 / 30 - 1e-3
WHOLE_S = 1.0
"""Of what is shorter every picture is looked at, however briefly it is shown: players stand on the
last one."""
WINDOW_STEP_S = 0.1 - 1e-3
FILLING_STEP_S = 0.5 - 1e-3
STRETCH = 1.25
"""The steps of a group may be so much longer, to end where its last picture is needed."""

BEHIND_S, BEHIND_EVERY = (0.04, 0.28), 4
"""Between so many seconds behind a keyframe a picture is looked at in its place, of one in so many
keyframes that are decoded by themselves: who uploads chooses what keyframes show. Sooner mostly,
for what lies in between must be decoded. And of all of them, in the later half, once one was seen
to show something else than what follows."""

_DRAWN = 97  # numbers, which come again and again: a prime, for few steps are a multiple of it

_SLACK = 1e-3
_ROUNDING = 1e-6
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

    Uploads: keyframes, and pictures between them where keyframes lie more than `key_gap` apart: 2
    seconds, or a ninth of a short upload, so that there are ten of them. Pictures between them come
    half as far apart at least as `max_gap`, 2 seconds or a tenth of a short upload, and end
    `max_gap` before the next keyframe, which is looked at as well. Keyframes too come so far apart;
    of long uploads half of that; in place of one in `BEHIND_EVERY` that are decoded by themselves a
    picture a little `behind` it is looked at. Which one, and how much longer or shorter each step
    is, the `draws` tell (numbers from 0 to 1; none, and of what is `slow`: all is even).
    References, and what does not say how long its pictures are shown: `every` picture, 30 a second
    at most. What is shorter than `WHOLE_S`: all of them. Windows: about ten pictures a second
    inside of them, nothing elsewhere; to fill gaps two, for strands or motion as many as of
    references.
    """

    dense: bool
    windows: tuple[Window, ...]
    key_gap: float
    max_gap: float
    step: float
    key_step: float
    stretch: float
    draws: tuple[float, ...] = ()
    slow: bool = False

    @classmethod
    def of(
        cls, sampling: Sampling, duration: float, *, every: bool = False, picture_s: float = 0.0
    ) -> Picker:
        """`picture_s`: seconds from picture to picture, on average."""
        key_gap = min(MAX_GAP_S, max(SHORTEST_GAP_S, duration / 9))
        gap = min(MAX_GAP_S, max(SHORTEST_GAP_S, duration / 10))
        step = max(gap / 2, SHORTEST_GAP_S) - _SLACK
        brief = duration < WHOLE_S
        dense = sampling.dense or every or brief
        every_one = sampling.strands or sampling.motion or every
        if brief:
            step = 0.0
        elif every_one or (dense and not sampling.windows):
            step = DENSE_STEP_S
        elif sampling.filling:
            step = FILLING_STEP_S
        elif sampling.windows:
            step = WINDOW_STEP_S
        thorough = bool(sampling.windows) or dense
        short = gap < MAX_GAP_S  # there each picture is needed, and none more
        key_step = step if thorough or short else step / 2
        stretch = 1.0 if thorough or short else STRETCH
        even = thorough or every_one or brief or not sampling.draw
        draws = () if even else tuple(np.random.default_rng(sampling.draw).random(_DRAWN).tolist())
        slow = picture_s > UNEVEN * step
        return cls(dense, sampling.windows, key_gap, gap, step, key_step, stretch, draws, slow)

    def look(self, start: float, end: float, last: float, *, final: bool) -> Look:
        """What to do with the group of pictures shown from `start` to `end`; `last` is when the
        last picture was taken (-inf: none yet). After the `final` group nothing follows."""
        if self.windows:
            meets = any(w.start < end and w.end >= start for w in self.windows)
            return Look.FORWARD if meets else Look.SKIP
        if self.dense:
            return Look.FORWARD
        if end - start > (self._reach(final) if final else self.key_gap) + _SLACK:
            return Look.FORWARD
        return Look.KEYFRAME if start - last >= self.key_pause(last) else Look.SKIP

    def behind(self, number: int, *, distrusted: bool) -> float:
        """How many seconds behind its keyframe, at least, a group is looked at of which that is all
        that is wanted, and of whose like `number` were looked at before; 0: at its keyframe."""
        lot, place = divmod(number, BEHIND_EVERY)
        which = int(self._draw(lot) * BEHIND_EVERY) if self.draws else 1
        if place != which and not distrusted:
            return 0.0
        least, most = BEHIND_S
        far = self._draw(-1 - number) if self.draws else number % 3 / 3
        return least + (most - least) * ((1 + far) / 2 if distrusted else far**2)

    def key_pause(self, last: float) -> float:
        """Seconds from `last` to the next keyframe that is wanted."""
        if not self.draws or math.isinf(last):
            return self.key_step
        return self.key_step * (1.0 - 2.0 * UNEVEN * self._draw(round(1000 * last)))

    def _draw(self, number: int) -> float:
        return self.draws[number % len(self.draws)]

    def _uneven(self, last: float) -> float:
        """How many times as long as it would be evenly the step from `last` is."""
        if not self.draws or self.slow:
            return 1.0
        return 1.0 + UNEVEN * (2.0 * self._draw(round(1000 * last)) - 1.0)

    def pause(self, last: float, end: float, *, final: bool) -> float:
        """Seconds from `last` to the next picture that is wanted, in a group that ends at `end`.

        A step, or a little more: so that the last picture lies where it is needed and not up to a
        step behind, for up to there the group is decoded. inf: nothing more of it is wanted.
        """
        if self.windows or self.dense or math.isinf(last):
            return self.step
        if self.is_done(end, last, final=final):
            return math.inf
        left = end - self._reach(final) - last
        if left <= self.step:
            if self.slow or not self.draws:
                return self.step
            return max(left, (1.0 - UNEVEN) * self.step)
        steps = math.floor(left / self.step + self.stretch - 1)
        if left > self.stretch * steps * self.step:
            steps += 1
        even = max(self.step, left / steps - _ROUNDING)
        return even * self._uneven(last) if steps > 1 else even

    def takes(self, offset: float, last: float, step: float) -> bool:
        """Whether a decoded picture is looked at. `step`: how long after the `last` one that was,
        at least; `key_pause` for a keyframe, else `pause`."""
        if offset - last < step:
            return False
        return not self.windows or any(w.start <= offset <= w.end for w in self.windows)

    def is_due(self, offset: float, last: float, line: Timeline) -> bool:
        """Whether the picture at `offset` may be one that is taken, when the last one that was is
        `last`, which may lie some pictures back."""
        first = 0.0
        if self.windows:
            around = [w.start for w in self.windows if w.start <= offset <= w.end]
            if not around:
                return False
            first = min(around)
        if offset - last > _FAR_STEPS * self.step:
            return True
        while last < offset - _SLACK:
            last = self._following(last, first, line)
        return last <= offset + _SLACK

    def _following(self, last: float, first: float, line: Timeline) -> float:
        """When the next picture after `last` is, from `first` on, that is taken if all are decoded;
        inf: there is none."""
        end, final = line.group_end(last)
        while True:
            wanted = max(last + self.pause(last, end, final=final), first)
            at = int(line.shown.searchsorted(wanted))
            picture = float(line.shown[at]) if at < len(line.shown) else math.inf
            if final or picture < end - SAME_S or self.dense or self.windows:
                return picture
            if end - last >= self.key_pause(last):
                return end
            end, final = line.group_end(end)

    def is_done(self, end: float, last: float, *, final: bool) -> bool:
        """Whether the rest of the group that ends at `end` holds nothing that is wanted."""
        if self.windows:
            return not any(w.end > last and w.start < end for w in self.windows)
        return not self.dense and end - last <= self._reach(final) + _SLACK

    def progress(self, at: float, duration: float) -> float:
        """The part of what is to be looked at that lies before the moment `at`."""
        if not self.windows:
            return at / duration
        before = sum(min(max(at - w.start, 0.0), w.end - w.start) for w in self.windows)
        return before / max(sum(w.end - w.start for w in self.windows), _ROUNDING)

    def _reach(self, final: bool) -> float:
        """How far the next picture may be; at the end of the track none comes to meet it."""
        return self.max_gap / 2 if final else self.max_gap


READ_EVERY_S = 0.01


class CpuClock:
    """CPU seconds of this process, or of what `read` tells; read anew when `READ_EVERY_S` have gone
    by at least, for under some kernels each reading costs as much as decoding a small picture."""

    def __init__(self, read: Callable[[], float] = time.process_time) -> None:
        self._read = read
        self._seconds, self._read_at = read(), time.perf_counter()

    def __call__(self) -> float:
        now = time.perf_counter()
        if now - self._read_at >= READ_EVERY_S:
            self._seconds, self._read_at = self._read(), now
        return self._seconds


class Pace:
    """A budget of CPU seconds, seconds by the clock and pictures, spread over the whole length.

    At each point the part spent may exceed the part gone through by a little; beyond that pictures
    between keyframes are left out, then keyframes too. So a long video is looked at everywhere,
    more thinly, and not only at its beginning.
    """

    def __init__(self, sampling: Sampling, clock: Callable[[], float] | None = None) -> None:
        self._clock = clock or CpuClock()
        self._start = self._clock()
        self._seconds = max(sampling.seconds, 1e-3)
        self._began, self._clock_s = time.monotonic(), max(sampling.clock_s, 1e-3)
        self._max_frames = max(sampling.max_frames, 1)
        self.frames = 0

    def spent(self) -> float:
        """Part of the budget that is gone; 1 and more: all of it."""
        seconds = (self._clock() - self._start) / self._seconds
        by_clock = (time.monotonic() - self._began) / self._clock_s
        return max(seconds, by_clock, self.frames / self._max_frames)

    @property
    def exhausted(self) -> bool:
        return self.spent() >= 1.0

    def affords(self, look: Look, progress: float) -> bool:
        """Whether `look` may be done when `progress` (0 to 1) of the length is gone through."""
        first, most = _SHARE[look]
        return self.spent() <= first + (most - first) * min(max(progress, 0.0), 1.0)
