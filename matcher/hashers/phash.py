"""pHash: 64 bits a frame, as the `imagehash` package makes them.

Large pictures are first reduced by area, for the package's own scaling to 32 x 32 costs more than
all else that is done with a frame. By whole numbers, which is three times as fast as to a given
size. How little it moves: docs/decisions/0019-decode-less.md.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import imagehash
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hashdb.model import Codes, Orientation
from matcher.ports import AnyLuma, FrameView

PIPELINE = "imagehash-phash-luma-3"
ENOUGH = 128
"""Pixels of a side that are left at least where it is reduced."""


def hash(luma: AnyLuma) -> bytes:
    """The 8 bytes of (H, W) luma; below twice `ENOUGH` pixels a side their hex text is that of
    `str(imagehash.phash(picture))`."""
    picture = _reduced(np.ascontiguousarray(luma, dtype=np.uint8))
    bits = imagehash.phash(Image.fromarray(picture)).hash
    return np.packbits(bits.reshape(-1)).tobytes()


def _reduced(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Each side divided by a whole number; what is left over at its end, a few pixels, is cut
    off."""
    down, across = (_factor(side) for side in picture.shape)
    if down == across == 1:
        return picture
    height, width = picture.shape[0] // down, picture.shape[1] // across
    whole = picture[: height * down, : width * across]
    return np.asarray(cv2.resize(whole, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def _factor(side: int) -> int:
    """The number that leaves `ENOUGH` to twice as many pixels, and least over."""
    most = max(1, side // ENOUGH)
    return min(range(most, most // 2, -1), key=lambda factor: side % factor)


@dataclass(frozen=True, slots=True)
class Hasher:
    """The `matcher.ports.Hasher` of pHash: the frame as it stands.

    A frame's quality is PDQ's: what is too flat for 256 bits is too flat for 64.
    """

    signal_type: str = "phash"
    pipeline: str = PIPELINE
    orientations: tuple[Orientation, ...] = (Orientation.ORIGINAL,)

    def hash(self, view: FrameView) -> Codes:
        return np.frombuffer(hash(view.luma), dtype=np.uint8).reshape(1, 8)
