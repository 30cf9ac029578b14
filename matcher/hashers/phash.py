"""pHash: 64 bits a frame, as the `imagehash` package makes them.

Large pictures are first reduced by area, for the package's own scaling to 32 x 32 costs more than
all else that is done with a frame. Of 200 frames of five videos none moved by more than 2 of 64
bits (docs/decisions/0019-decode-less.md).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import imagehash
import numpy as np
from PIL import Image

from hashdb.model import Codes, Orientation
from matcher.ports import AnyLuma, FrameView

PIPELINE = "imagehash-phash-luma-2"
LARGEST = 256
"""Pixels of a side that the package is given at most."""


def hash(luma: AnyLuma) -> bytes:
    """The 8 bytes of (H, W) luma; up to `LARGEST` pixels a side their hex text is that of
    `str(imagehash.phash(picture))`."""
    picture = np.ascontiguousarray(luma, dtype=np.uint8)
    height, width = picture.shape
    if max(height, width) > LARGEST:
        size = (min(width, LARGEST), min(height, LARGEST))
        picture = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
    bits = imagehash.phash(Image.fromarray(picture)).hash
    return np.packbits(bits.reshape(-1)).tobytes()


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
