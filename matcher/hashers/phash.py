"""pHash: 64 bits a frame, as the `imagehash` package makes them."""

from __future__ import annotations

from dataclasses import dataclass

import imagehash
import numpy as np
from PIL import Image

from hashdb.model import Codes, Orientation
from matcher.ports import AnyLuma, FrameView

PIPELINE = "imagehash-phash-luma-1"


def hash(luma: AnyLuma) -> bytes:
    """The 8 bytes of (H, W) luma; their hex text is that of `str(imagehash.phash(picture))`."""
    picture = Image.fromarray(np.ascontiguousarray(luma, dtype=np.uint8))
    bits = imagehash.phash(picture).hash
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
