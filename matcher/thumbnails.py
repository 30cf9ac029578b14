"""Pictures reduced to a few pixels, by which they are compared. Pure."""

from __future__ import annotations

import cv2

from matcher.ports import AnyLuma

LARGE = 8
"""Times the thumbnail's side from which on what is left over is next to nothing."""


def thumbnail(luma: AnyLuma, side: int) -> AnyLuma:
    """(side, side) of (H, W): each side of a large picture is reduced by a whole number, less what
    is left over at its end, for by any other OpenCV reduces ten times as slowly."""
    height, width = (n // side * side if n >= LARGE * side else n for n in luma.shape)
    return cv2.resize(luma[:height, :width], (side, side), interpolation=cv2.INTER_AREA)  # type: ignore[return-value]
