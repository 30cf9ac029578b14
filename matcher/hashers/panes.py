"""Pictures within the picture: rectangles that an upload's frame was put together of.

A copy in a corner of another video, one of two halves, a picture beside somebody who reacts to it:
nothing of the whole frame's hash is the reference's. But where two pictures meet, brightness steps
along a straight line, upright or level, in every frame, and four such lines (or the frame's own
edges) make a pane. Its hash is the reference's.
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from hashdb.model import Floats
from matcher.ports import Box, Luma, Pane

MOST = 3
"""Panes of one frame that are given, the clearest."""

SIDE = 240
"""About so many samples to the longer side are looked at."""

STEP = 10
"""Levels of 255 between neighbours from which on brightness steps."""

FADE = 0.35
"""What a frame counts in what was there before; those before it count the rest, less with each."""

CLEAR = 0.7
"""The part of a side's samples at which brightness steps, at least, in this frame or before: a pane
that has just come is as clear as one that stays."""

LINES, SHORTEST = 10, 0.13
"""Lines of either kind that may be sides, and the part of the frame that steps along one."""

NARROWEST, LEAST, LARGEST = 0.15, 0.04, 0.92
"""Of a pane's sides, parts of the frame's; and of its area."""

SMALLEST = 48
"""Pixels of a pane's side."""

SCALED = 320
"""Pixels to either side of a pane as it is given. PDQ averages over an odd number of them, so that
its samples lie in the middle; and its matrices are made once, whatever sizes panes have."""

SAME = 0.8
"""Two rectangles that have so much of both in common (intersection over union) are one pane."""

_FOUR_SIDES = 0.1  # for each side that is not the frame's own edge, a pane is so much likelier one
_RANKED = 40

_Steps = NDArray[np.float32]
_Ints = NDArray[np.intp]


class PaneFinder:
    """The `matcher.ports.Panes` of one track."""

    def __init__(self) -> None:
        self._upright: _Steps | None = None
        self._level: _Steps | None = None
        self._places: list[Box | None] = [None] * MOST

    def panes(self, luma: Luma) -> tuple[Pane | None, ...]:
        """See `matcher.ports.Panes`."""
        factor = max(1, round(max(luma.shape) / SIDE))
        small = luma[factor // 2 :: factor, factor // 2 :: factor]
        if min(small.shape) < 2:
            return (None,) * MOST
        upright, level = _steps(small, 1), _steps(small, 0)
        if self._upright is None or self._level is None or self._upright.shape != upright.shape:
            self._upright, self._level = upright, level
        else:
            self._upright += FADE * (upright - self._upright)
            self._level += FADE * (level - self._level)
        clearest = _boxes(np.maximum(upright, self._upright), np.maximum(level, self._level))
        boxes = (_sharpened(luma, b, factor) for b in clearest)
        placed = self._placed([b for b in boxes if min(b[2] - b[0], b[3] - b[1]) >= SMALLEST])
        return tuple(None if box is None else _cut(luma, box) for box in placed)

    def _placed(self, boxes: list[Box]) -> list[Box | None]:
        """The panes, each at the place where it was in the frames before."""
        found: list[Box | None] = [None] * MOST
        rest = []
        for box in boxes:
            free = (n for n in range(MOST) if found[n] is None)
            at = next((n for n in free if _common(box, self._places[n]) >= SAME), None)
            if at is None:
                rest.append(box)
            else:
                found[at] = box
        for box in rest:
            free = (n for n in range(MOST) if found[n] is None)
            found[min(free, key=lambda n: self._places[n] is not None)] = box
        self._places = [new or old for new, old in zip(found, self._places, strict=True)]
        return found


def _cut(luma: Luma, box: Box) -> Pane:
    """Of its picture every so many'th pixel is enough."""
    left, top, right, bottom = box
    every = max(1, min(right - left, bottom - top) // SCALED)
    picture = np.ascontiguousarray(luma[top:bottom:every, left:right:every])
    scaled = cv2.resize(picture, (SCALED, SCALED), interpolation=cv2.INTER_LINEAR)
    height, width = luma.shape
    sides = (width, height, width, height)
    left, top, right, bottom = (round(255 * at / of) for at, of in zip(box, sides, strict=True))
    return Pane(np.asarray(scaled, np.uint8), (left, top, right, bottom))


def _steps(small: Luma, axis: int) -> _Steps:
    """1 where brightness steps from a sample to the next along the axis, else 0."""
    one, other = (small[:, 1:], small[:, :-1]) if axis else (small[1:], small[:-1])
    return np.asarray(cv2.absdiff(one, other) >= STEP, np.float32)


def _lines(steps: _Steps) -> _Ints:
    """The columns, rising, before which brightness steps for a considerable part of (n, m)."""
    share = np.count_nonzero(steps >= CLEAR, axis=0) / len(steps)
    around = np.zeros(len(share) + 2)
    around[1:-1] = share
    peaks = np.flatnonzero((share >= SHORTEST) & (share >= around[:-2]) & (share > around[2:]))
    longest = peaks[np.argsort(-share[peaks], kind="stable")[:LINES]]
    return np.sort(longest) + 1


@lru_cache(maxsize=LINES + 2)
def _twos(lines: int) -> tuple[_Ints, _Ints]:
    """Each two of so many lines."""
    one, other = np.triu_indices(lines, 1)
    return one, other


def _stretches(lines: _Ints, size: int) -> tuple[_Ints, _Ints]:
    """Pairs of lines, by their numbers, that are far enough from each other."""
    one, other = _twos(len(lines))
    wide = lines[other] - lines[one] >= NARROWEST * size
    return one[wide], other[wide]


def _along(steps: _Steps, lines: _Ints, first: _Ints, last: _Ints) -> Floats:
    """(lines, stretches) how much of each line steps between `first` and `last`; the frame's own
    edges, which are its first and last line, do throughout."""
    inner = steps[:, lines[1:-1] - 1]
    sums = np.zeros((len(steps) + 1, inner.shape[1]), np.float32)
    np.cumsum(inner, axis=0, out=sums[1:])
    found = np.ones((len(lines), len(first)))
    found[1:-1] = ((sums[last] - sums[first]) / (last - first)[:, None]).T
    return found


def _boxes(upright: _Steps, level: _Steps) -> list[Box]:
    """The clearest rectangles in samples, of steps (h, w - 1) and (h - 1, w)."""
    height, width = len(upright), level.shape[1]
    x = np.concatenate([[0], _lines(upright), [width]])
    y = np.concatenate([[0], _lines(level.T), [height]])
    (left, right), (top, bottom) = _stretches(x, width), _stretches(y, height)
    beside = _along(upright, x, y[top], y[bottom])
    above = _along(level.T, y, x[left], x[right])
    sides = np.stack([beside[left], beside[right], above[top].T, above[bottom].T])
    wide, high = (x[right] - x[left])[:, None], (y[bottom] - y[top])[None, :]
    lengths = np.zeros(sides.shape)  # those that are the frame's own edges tell nothing
    lengths[0], lengths[1] = (left > 0)[:, None] * high, (right < len(x) - 1)[:, None] * high
    lengths[2], lengths[3] = (top > 0) * wide, (bottom < len(y) - 1) * wide
    mean = (sides * lengths).sum(axis=0) / np.maximum(lengths.sum(axis=0), 1)
    least = sides.min(axis=0)
    area = wide * high / (width * height)
    told = least * mean * (1 + _FOUR_SIDES * (lengths > 0).sum(axis=0))
    one, other = np.nonzero((least >= CLEAR) & (area >= LEAST) & (area <= LARGEST))
    best = np.argsort(-told[one, other], kind="stable")[:_RANKED]
    found: list[Box] = []
    for i, j in zip(one[best].tolist(), other[best].tolist(), strict=True):
        box = (int(x[left[i]]), int(y[top[j]]), int(x[right[i]]), int(y[bottom[j]]))
        if len(found) == MOST:
            break
        if all(_common(box, other) < SAME for other in found):
            found.append(box)
    return found


def _common(one: Box, other: Box | None) -> float:
    """Intersection over union."""
    if other is None:
        return 0.0
    across = min(one[2], other[2]) - max(one[0], other[0])
    down = min(one[3], other[3]) - max(one[1], other[1])
    both = max(0, across) * max(0, down)
    return both / (_area(one) + _area(other) - both)


def _area(box: Box) -> int:
    return (box[2] - box[0]) * (box[3] - box[1])


def _sharpened(luma: Luma, box: Box, factor: int) -> Box:
    """A rectangle of samples in pixels, each side where brightness steps for the longest part
    near it: 2 per cent of a side cost a hash 10 to 20 bits."""
    height, width = luma.shape
    left, top = box[0] * factor, box[1] * factor
    right, bottom = min(width, box[2] * factor), min(height, box[3] * factor)
    rows, columns = luma[top:bottom:factor], luma[:, left:right:factor].T
    return (
        _side(rows, left, factor),
        _side(columns, top, factor),
        _side(rows, right, factor),
        _side(columns, bottom, factor),
    )


def _side(rows: Luma, at: int, factor: int) -> int:
    """The column, `factor` from `at` at most, before which brightness steps in most of the rows;
    `at` where that is the frame's edge."""
    size = rows.shape[1]
    if not 0 < at < size:
        return at
    first, last = max(1, at - factor), min(size - 1, at + factor)
    steps = _steps(rows[:, first - 1 : last + 1], 1)
    return first + int(steps.sum(axis=0).argmax())
