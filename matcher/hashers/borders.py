"""Letter- and pillar-boxes: where the picture begins within the frame."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from matcher.ports import Crop, Luma

NEAR = 16  # luma steps of 255 that compression leaves between the pixels of one colour
PURE = 0.98  # so much of a bar's line has the bar's colour
MARKED = 0.5  # a line of a bar that a logo or a caption lies over has at least this
MOSTLY = 0.85  # over all lines of a bar that hardly anything lies over
OUTERMOST = 0.65  # over the first two lines of any bar, and over all beneath letters
LETTERS = 0.2  # a line of a bar that letters lie over has at least this
WHOLE = 0.95  # and so much of the bar is seen in the few lines between them and its end
STRAIGHT = 0.6  # beneath marks, at least this much of the bar ends at the same line
FRAYED = 0.04  # and no more than this has ended in the few lines before
EDGE = 0.9  # the picture's first lines have at most this much of the bar's colour
SAMPLES = 240  # pixels of a line that are looked at
THINNEST = 0.01  # bars thinner than this part of the side are left: PDQ does not mind them
LEAST_AREA = 0.25  # what remains is at least this part of the frame
STEADY = 3  # so many frames in a row that agree on a smaller picture are believed


def _bar(lines: NDArray[np.uint8]) -> int:
    """How many lines, from the first on, are a bar: (n, samples) luma, outermost line first."""
    thinnest = max(2, round(len(lines) * THINNEST))
    reach = round(len(lines) * 0.45)
    outer = np.sort(lines[: max(2, thinnest // 2)], axis=None)
    colour = int(outer[len(outer) // 2])
    first = _alike(lines[:2], colour).mean()
    if first < OUTERMOST:
        return 0
    near = _near(np.ascontiguousarray(lines[: reach + thinnest]), colour)
    share = _share(near)
    ahead = np.convolve(share, np.ones(thinnest) / thinnest, mode="valid")
    last = min(reach, len(ahead) - 1)
    plain = 0
    if first >= MOSTLY:
        plain = _plain(share, ahead, min(last, _first(share < MARKED)), thinnest)
    return _beneath_marks(near, share, ahead, plain, last, thinnest)


def _first(flags: NDArray[np.bool_]) -> int:
    """Where the first is set; their number where none is."""
    return int(flags.argmax()) if flags.any() else len(flags)


def _plain(share: NDArray[np.float64], ahead: NDArray[np.float64], last: int, thinnest: int) -> int:
    """Where a bar ends that hardly anything lies over: the innermost pure line before others."""
    first = max(1, thinnest)
    before, here = share[first - 1 : last], share[first : last + 1]
    edges = (before >= PURE) & (here < PURE) & (ahead[first : last + 1] <= EDGE)
    for at in (first + np.flatnonzero(edges)[::-1]).tolist():
        if share[:at].mean() >= MOSTLY:
            return int(at)
    return 0


def _beneath_marks(
    near: NDArray[np.bool_],
    share: NDArray[np.float64],
    ahead: NDArray[np.float64],
    plain: int,
    last: int,
    thinnest: int,
) -> int:
    """Where a bar ends of which a box, a caption or a logo covers up to half of any line.

    The upper edge of a mark may look like the bar's end, `plain`. But beside the mark the bar goes
    on, and ends further in along one straight line: where more of what is still bar ends at once
    than at `plain`, the bar ends there. Letters may cover more than half of a line, if the bar is
    whole again before it ends.
    """
    half = _first(share < MARKED)
    last = min(last, _first(share < LETTERS))
    best = plain
    strongest = 0.0
    least = max(STRAIGHT, _ending(near, plain, thinnest)[0] if plain else 0.0)
    first = max(plain, thinnest - 1) + 1
    falls = share[first - 1 : last] - ahead[first : last + 1] >= MARKED * STRAIGHT / 2
    for at in (first + np.flatnonzero(falls)[::-1]).tolist():
        part, whole = _ending(near, at, thinnest)
        if at > half and (whole < WHOLE or share[:at].mean() < OUTERMOST):
            continue
        if part >= least and part * whole > strongest:
            best, strongest = at, part * whole
    return best


def _ending(near: NDArray[np.bool_], at: int, thinnest: int) -> tuple[float, float]:
    """How much of the bar ends at a line, and how much of the line is bar right before it.

    (0, 0) where the bar is already fraying, is less than `MARKED`, or reaches neither corner.
    """
    before = near[max(0, at - 2 * thinnest) : at]
    half = len(before) // 2
    whole: NDArray[np.bool_] = np.all(before, axis=0)
    corner = max(1, len(whole) // 12)
    if whole.mean() < MARKED or max(whole[:corner].mean(), whole[-corner:].mean()) < EDGE:
        return 0.0, 0.0
    if before[:half].all(axis=0).mean() - whole.mean() > FRAYED:
        return 0.0, 0.0
    # what ends has most of the lines beyond in other colours: no speck, no ringing of a codec
    beyond = near[at : at + thinnest].mean(axis=0) <= 0.5
    return float(beyond[whole].mean()), float(whole.mean())


def _near(lines: NDArray[np.uint8], colour: int) -> NDArray[np.bool_]:
    """Which pixels have the colour."""
    low, high = max(0, colour - NEAR), min(255, colour + NEAR)
    # what is below wraps round to far above
    return np.asarray((lines - np.uint8(low)) <= high - low, dtype=np.bool_)


def _share(near: NDArray[np.bool_]) -> NDArray[np.float64]:
    counts = cv2.reduce(near.view(np.uint8), 1, cv2.REDUCE_SUM, dtype=cv2.CV_32S)
    return np.asarray(counts[:, 0] / near.shape[1], dtype=np.float64)


def _alike(lines: NDArray[np.uint8], colour: int) -> NDArray[np.float64]:
    """(n,) the part of each line that has the colour."""
    return _share(_near(lines, colour))


def _along(luma: Luma) -> tuple[int, int]:
    """The bars above and below, in rows."""
    sampled = luma[:, :: max(1, luma.shape[1] // SAMPLES)]
    return _bar(sampled), _bar(sampled[::-1])


def _across(luma: Luma) -> tuple[int, int]:
    """The bars to the left and to the right, in columns. Rows lie together in memory, columns do
    not: those that are looked at are copied first."""
    sampled = np.ascontiguousarray(luma[:: max(1, luma.shape[0] // SAMPLES)]).T
    return _bar(sampled), _bar(sampled[::-1])


def trim(luma: Luma) -> Crop | None:
    """What lies within the bars of one frame, (H, W) uint8; None where there are none to cut.

    A bar is a run of lines of nearly one colour, whatever colour, along an edge of the frame,
    that ends at a visible edge. Captions, boxes and logos may lie over up to half of any of these
    lines, and over the edge. A dark scene shows no such edge, or none to the full width.
    """
    height, width = luma.shape
    top, bottom, left, right = 0, height, 0, width
    if min(height, width) < 32:
        return None
    for _ in range(2):  # a box within bars on all sides may show its rows once columns are cut
        above, below = _along(luma[top:bottom, left:right])
        top, bottom = top + above, bottom - below
        before, after = _across(luma[top:bottom, left:right])
        left, right = left + before, right - after
        if not (above or below or before or after):
            break
    rows, columns = bottom - top, right - left
    if rows * columns < LEAST_AREA * height * width or min(rows, columns) < 32:
        return None
    if height - rows < THINNEST * height and width - columns < THINNEST * width:
        return None
    return Crop(top, bottom, left, right)


class BorderFinder:
    """The `matcher.ports.Borders` of one track.

    A dark scene looks as if its bars were broader than they are, and a crop that is wrong by 5 %
    loses PDQ's matches. So the broadest picture seen since the bars began is kept, until a frame
    shows more (its bars are not bars there) or `STEADY` frames agree on less.
    """

    def __init__(self) -> None:
        self._kept: Crop | None = None
        self._last: Crop | None = None
        self._steady = 0

    def crop(self, luma: Luma) -> Crop | None:
        """What lies within this frame's borders; None where it has none."""
        seen = trim(luma)
        slack = 1 + max(luma.shape) // 200
        self._steady = self._steady + 1 if _close(seen, self._last, slack) else 1
        self._last = seen
        if self._kept is None or seen is None or self._steady >= STEADY:
            if not _close(seen, self._kept, slack):
                self._kept = seen
        elif not _within(seen, self._kept, slack):
            self._kept = seen
        return self._kept


def _close(one: Crop | None, other: Crop | None, slack: int) -> bool:
    """Whether two crops differ by no more than `slack` pixels on any side."""
    if one is None or other is None:
        return one is other
    return _within(one, other, slack) and _within(other, one, slack)


def _within(inner: Crop, outer: Crop, slack: int) -> bool:
    return (
        inner.top >= outer.top - slack
        and inner.bottom <= outer.bottom + slack
        and inner.left >= outer.left - slack
        and inner.right <= outer.right + slack
    )
