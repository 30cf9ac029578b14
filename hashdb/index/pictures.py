"""Pictures of references, with their local features: as columns, and as a snapshot has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hashdb.errors import BadSnapshot
from hashdb.index.filing import UNITS
from hashdb.model import Codes, Floats, LocalFeatures

_UNITS = np.concatenate([UNITS[[0, 0]], UNITS])
"""Of x, y and diameter in a pixel, of the angle in a degree: as fine as the database keeps them."""

UNKNOWN = -1
"""The incident of a picture that was not looked up yet."""

COLUMNS = ("codes", "places", "sizes", "counts", "offsets", "references", "tracks", "incidents")

Places = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Pictures:
    """Pictures of references, one after the other: `counts` (f,) features of each, `offsets` (f,)
    seconds, `references` (f,) ordinals, `tracks` (f,) of those, `incidents` (f,), numbered from 0,
    `sizes` (f, 2) pixels; `codes` (n, 32), `places` (n, 4) uint16: x, y and diameter in 1/64 pixel,
    angle in 1/100 degree."""

    codes: Codes
    places: NDArray[np.uint16]
    sizes: NDArray[np.uint16]
    counts: NDArray[np.int32]
    offsets: Floats
    references: NDArray[np.int32]
    tracks: NDArray[np.int16]
    incidents: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.counts)

    def take(self, kept: NDArray[np.bool_]) -> Pictures:
        if kept.all():
            return self
        rows = np.repeat(kept, self.counts)
        of_features = (self.codes[rows], self.places[rows])
        return Pictures(*of_features, *(getattr(self, name)[kept] for name in COLUMNS[2:]))


def pictures_of(ordinal: int, features: LocalFeatures) -> Pictures:
    """The pictures of one reference's track, of no incident yet."""
    places = np.clip(np.rint(features.places * _UNITS), [0, 0, 1, 0], 65535)
    return Pictures(
        features.codes,
        places.astype(np.uint16),
        features.sizes,
        np.diff(features.starts).astype(np.int32),
        features.offsets,
        np.full(len(features), ordinal, dtype=np.int32),
        np.full(len(features), features.track, dtype=np.int16),
        np.full(len(features), UNKNOWN, dtype=np.int32),
    )


def joined(parts: Sequence[Pictures]) -> Pictures:
    if len(parts) == 1:
        return parts[0]
    return Pictures(*(np.concatenate([getattr(p, name) for p in parts]) for name in COLUMNS))


def measured(places: NDArray[np.uint16]) -> Places:
    """Pixels and degrees."""
    return np.asarray(places.astype(np.float32) / _UNITS)


def checked(arrays: Mapping[str, NDArray[Any]]) -> Pictures:
    """The arrays as pictures; `BadSnapshot` where they do not fit together."""
    if missing := [name for name in COLUMNS if name not in arrays]:
        raise BadSnapshot(f"local features without {', '.join(missing)}")
    pictures = Pictures(*(arrays[name] for name in COLUMNS))
    for name in COLUMNS:
        have, want = getattr(pictures, name), getattr(NO_PICTURES, name)
        same = have.ndim == want.ndim and have.shape[1:] == want.shape[1:]
        if have.dtype != want.dtype or not same:
            raise BadSnapshot(f"{name} {have.shape} {have.dtype}")
    if (pictures.references < 0).any() or (pictures.incidents < 0).any():
        raise BadSnapshot("local features out of range")
    if len(pictures.places) and pictures.places[:, 2].min() == 0:
        raise BadSnapshot("local features without a size")
    frames, rows = len(pictures), int(pictures.counts.sum(dtype=np.int64))
    if any(len(getattr(pictures, name)) != frames for name in COLUMNS[2:]):
        raise BadSnapshot("pictures that do not fit together")
    if (pictures.counts < 0).any() or len(pictures.codes) != rows:
        raise BadSnapshot("features that do not fit their pictures")
    if len(pictures.places) != rows:
        raise BadSnapshot("features that do not fit together")
    return pictures


NO_PICTURES = Pictures(
    np.empty((0, 32), np.uint8),
    np.empty((0, 4), np.uint16),
    np.empty((0, 2), np.uint16),
    np.empty(0, np.int32),
    np.empty(0, np.float64),
    np.empty(0, np.int32),
    np.empty(0, np.int16),
    np.empty(0, np.int32),
)
