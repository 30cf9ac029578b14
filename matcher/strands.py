"""Footage that was woven into an upload, a few frames at a time, taken apart again. Pure.

A copy in which every half second (or every few frames) something else is shown is slowed down by
it, and looks in every other picture like nothing that is known. But what is woven in returns: the
first frame after a cut looks like the last one before the cut before it. So stretches of frames
between cuts are joined to strands, each of which is shown by its own clock as if nothing lay
between.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from hashdb.model import Strand
from matcher.ports import AnyLuma, Frame
from matcher.thumbnails import thumbnail

THUMB = 16
"""Side of the thumbnails that frames are compared by."""

CUT_LEVELS, CUT_TIMES, RECENT = 6.0, 4.0, 15
"""A cut: the thumbnail changes by so many levels of 255 (mean), and by so many times the median of
the last so many changes."""

RETURNS = 0.5
"""A frame goes on with an earlier stretch where it differs from that one's last frame by less than
this part of what it differs from the frame before."""

HELD_S, HELD_TIMES, LONGEST_HELD_S = 2.0, 2.0, 6.0
"""A chain that does not go on within so many seconds, or so many times as long as its last stretch
lasted, and the most of them, is over."""

GLANCE_S = 9.0
"""Where nothing goes on after so many seconds, the rest is not looked at."""

LEAST_RETURNS, LEAST_PART = 3, 0.15
"""Fewer stretches that go on, or a smaller part of the seconds in any strand, are chance."""

PAUSE_S, MOST_PICTURES, LONGEST_SIDE = 0.2, 300, 640
"""Pictures that are kept of a stretch: its second frame, and one in so many seconds; of all, so
many at most, no larger than so many pixels."""

GAPS, SHORTEST_S, LONGEST_S = 30, 0.1, 1.0
"""Pictures of a strand that are wanted, and how far they lie apart at least and at most."""

Thumb = NDArray[np.int16]


@dataclass(slots=True)
class Stretch:
    """Frames between two cuts. `start`, `end`: seconds; `last`: the last one's thumbnail; `chain`:
    the number of those that go on with each other."""

    start: float
    end: float
    last: Thumb
    chain: int
    pictures: list[Frame] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        return self.end - self.start


def thumb(luma: AnyLuma) -> Thumb:
    """(THUMB, THUMB) the picture's coarse brightness."""
    return thumbnail(luma, THUMB).astype(np.int16)


def differ(one: Thumb, other: Thumb) -> float:
    """By how many levels of 255, in the mean."""
    return float(np.abs(one - other).mean())


def stretches(frames: Iterable[Frame]) -> list[Stretch]:
    """The first track's frames, cut where something else is shown; none where that never returns
    at the beginning."""
    found: list[Stretch] = []
    latest: dict[int, Stretch] = {}  # of each chain
    recent: list[float] = []
    count = kept = 0
    for frame in frames:
        if frame.track:
            continue
        at, now = frame.offset, thumb(frame.luma)
        changed = differ(now, found[-1].last) if found else np.inf
        if found:
            found[-1].end = at
        chain = _goes_on(latest, now, changed, at)
        if chain is not None or _is_cut(changed, recent):
            found.append(Stretch(at, at, now, len(found) if chain is None else chain))
            latest[found[-1].chain] = found[-1]
            count = 0
        else:
            recent = [*recent[1 - RECENT :], changed]
            count += 1
        found[-1].last = now
        if len(latest) == len(found) and at - found[0].start > GLANCE_S:
            return []
        if kept < MOST_PICTURES:
            kept += _keep(found[-1].pictures, frame, count)
    return found


def _keep(pictures: list[Frame], frame: Frame, number: int) -> bool:
    """Whether the frame, of that number among its stretch's, is one picture more. The second takes
    the place of the first, which compression may not have caught up with yet."""
    if number == 1:
        pictures[:] = [_smaller(frame)]
        return False
    if pictures and frame.offset - pictures[-1].offset < PAUSE_S:
        return False
    pictures.append(_smaller(frame))
    return True


def _is_cut(changed: float, recent: Sequence[float]) -> bool:
    usual = float(np.median(recent)) if recent else 0.0
    return changed >= max(CUT_LEVELS, CUT_TIMES * usual)


def _goes_on(latest: Mapping[int, Stretch], now: Thumb, changed: float, at: float) -> int | None:
    """Which chain a frame goes on with, if not with the one shown before it, from which it has
    `changed`."""
    if changed < CUT_LEVELS:
        return None
    held = [
        (differ(s.last, now), -s.end, chain)
        for chain, s in latest.items()
        if at - s.end <= _held_s(s)
    ]
    away, _, chain = min(held, default=(np.inf, 0.0, 0))
    return chain if away < RETURNS * changed else None


def _held_s(stretch: Stretch) -> float:
    return min(LONGEST_HELD_S, max(HELD_S, HELD_TIMES * stretch.seconds))


def _smaller(frame: Frame) -> Frame:
    height, width = frame.luma.shape
    scale = LONGEST_SIDE / max(height, width)
    if scale >= 1:
        return Frame(frame.offset, frame.luma.copy())
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    smaller = cv2.resize(frame.luma, size, interpolation=cv2.INTER_AREA)
    return Frame(frame.offset, smaller.astype(np.uint8, copy=False))


def strands_of(found: Sequence[Stretch]) -> list[int]:
    """The strand, 0 or 1, of each stretch; all 0 where nothing is woven in.

    Stretches that go on with each other are a chain; chains shown by turns lie in different
    strands, and a chain that begins where another ended follows on it. -1: a third one at the same
    time.
    """
    chains = [stretch.chain for stretch in found]
    returns = len(found) - len(set(chains))
    last = {chain: i for i, chain in enumerate(chains)}
    strand_of: dict[int, int] = {}
    busy = [-1, -1]  # up to which stretch
    for i, chain in enumerate(chains):
        if chain not in strand_of:
            free = [s for s in (0, 1) if busy[s] < i]
            strand_of[chain] = max(free, key=lambda s: busy[s], default=-1)
            if free:
                busy[strand_of[chain]] = last[chain]
    each = [strand_of[chain] for chain in chains]
    seconds = [sum(r.seconds for r, s in zip(found, each, strict=True) if s == n) for n in (0, 1)]
    if returns < LEAST_RETURNS or min(seconds) < LEAST_PART * sum(r.seconds for r in found):
        return [0] * len(found)
    return each


class Strands:
    """The strands of one track's frames, and by which clocks they are shown."""

    def __init__(self, frames: Iterable[Frame]) -> None:
        self._stretches = stretches(frames)
        self._strands = strands_of(self._stretches)
        self.clocks: tuple[Strand, ...] = ()

    def frames(self) -> Iterator[Frame]:
        """The pictures of each strand, by its own clock, as a track of its own; none where nothing
        is woven in."""
        if 1 not in self._strands:
            return
        for number in (0, 1):
            mine = [r for r, s in zip(self._stretches, self._strands, strict=True) if s == number]
            gap = min(LONGEST_S, max(SHORTEST_S, sum(r.seconds for r in mine) / GAPS)) - 1e-3
            clock, shown, last = 0.0, [], -np.inf
            for stretch in mine:
                for frame in stretch.pictures:
                    moment = clock + frame.offset - stretch.start
                    if moment - last >= gap:
                        shown.append((frame.offset, moment))
                        last = moment
                        yield replace(frame, offset=moment, track=number)
                clock += stretch.seconds
            if shown:
                offsets, moments = np.array(shown, dtype=np.float64).T
                self.clocks += (Strand(number, offsets, moments, clock),)
