"""Letter- and pillar-boxes: where the picture begins within the frame."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from matcher.ports import Crop, Luma

NEAR = 16  # luma steps of 255 that compression leaves between the pixels of one colour
PURE = 0.98  # so much of a bar's line has the bar's colour
MARKED = 0.5  # a line of a bar that a logo or a caption lies over has at least this
MOSTLY = 0.85  # over all lines of a bar
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
    if _alike(lines[:2], colour).mean() < MOSTLY:
        return 0
    share = _alike(np.ascontiguousarray(lines[: reach + thinnest]), colour)
    marked = share < MARKED
    last = min(reach, int(marked.argmax()) if marked.any() else len(share))
    ahead = np.convolve(share, np.ones(thinnest) / thinnest, mode="valid")
    for at in range(min(last, len(ahead) - 1), thinnest - 1, -1):
        edge = share[at - 1] >= PURE and share[at] < PURE and ahead[at] <= EDGE
        if edge and share[:at].mean() >= MOSTLY:
            return at
    return 0


def _alike(lines: NDArray[np.uint8], colour: int) -> NDArray[np.float64]:
    """(n,) the part of each line that has the colour."""
    low, high = max(0, colour - NEAR), min(255, colour + NEAR)
    near = (lines - np.uint8(low)) <= high - low  # what is below wraps round to far above
    return np.asarray(np.count_nonzero(near, axis=1) / lines.shape[1], dtype=np.float64)


def _along(luma: Luma) -> tuple[int, int]:
    """The bars above and below, in rows."""
    sampled = luma[:, :: max(1, luma.shape[1] // SAMPLES)]
    return _bar(sampled), _bar(sampled[::-1])


def trim(luma: Luma) -> Crop | None:
    """What lies within the bars of one frame, (H, W) uint8; None where there are none to cut.

    A bar is a run of lines of nearly one colour, whatever colour, along an edge of the frame,
    that ends at a visible edge. A dark scene shows no such edge, or none to the full width.
    """
    height, width = luma.shape
    top, bottom, left, right = 0, height, 0, width
    if min(height, width) < 32:
        return None
    for _ in range(2):  # a box within bars on all sides may show its rows once columns are cut
        above, below = _along(luma[top:bottom, left:right])
        top, bottom = top + above, bottom - below
        before, after = _along(luma[top:bottom, left:right].T)
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
