"""Films of made pictures, as a decoder would give them, and looks at them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hashdb.model import MediaFingerprints, MediaKind
from matcher.fingerprint import FrameParts, fingerprint
from matcher.hashers import borders, pdq, phash
from matcher.ports import Frame, MediaInfo, Sampling
from tests.golden.pictures import cards

Luma = NDArray[np.uint8]
PARTS = FrameParts(pdq.look, (pdq.Hasher(), phash.Hasher()), borders.BorderFinder)
UPLOAD = Sampling(dense=False)
REFERENCE = Sampling(dense=True)
BOTH = ("sha256", "pdq", "phash")


@dataclass
class Film:
    """Frames that were decoded before: the `OpenedMedia` of these tests."""

    shown: Sequence[Frame]
    info: MediaInfo = field(default_factory=lambda: MediaInfo(MediaKind.VIDEO, 10.0, 1))
    truncated: bool = False

    def frames(self, sampling: Sampling) -> Iterator[Frame]:
        yield from self.shown


def scene(seed: int, height: int = 120, width: int = 160) -> Luma:
    return cards(height, width, seed)


def boxed(luma: Luma, bar: int = 40) -> Luma:
    return np.pad(luma, ((bar, bar), (0, 0)), constant_values=0)


def film(
    *pictures: Luma,
    step: float = 1.0,
    duration: float = 10.0,
    tracks: int = 1,
    kind: MediaKind = MediaKind.VIDEO,
) -> Film:
    shown = [Frame(i * step, p) for i, p in enumerate(pictures)]
    return Film(shown, MediaInfo(kind, duration, tracks))


def halves(height: int, width: int, darkest: int) -> Luma:
    """Two greys: something, but next to no quality."""
    row = np.where(np.arange(width) < width // 2, darkest, darkest + 40).astype(np.uint8)
    return np.tile(row, (height, 1))


def look(
    opened: Film, sampling: Sampling = UPLOAD, types: Sequence[str] = BOTH
) -> MediaFingerprints:
    return fingerprint(opened, PARTS, sampling, types)
