"""A bank of any size out of some real local features: the real ones first, then made ones.

A made feature has the first words of one real feature's code and the last of another's, so that
the bits of a part go together as they do in life, and a few bits flipped; its place is the first
one's, moved a little. The pictures of a made reference show the same features again, a quarter new
in each, as the pictures of a scene do. Uniformly random codes would be much too kind: real
features of unrelated videos are near far more often than chance would have them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from hashdb.index.local import pictures_of
from hashdb.model import LocalFeatures

PICTURES, FEATURES = 40, 400  # of a made reference
NEW = 100  # features that a picture does not share with the one before
FLIPPED = 0.04  # of the bits
MOVED_PX, TURNED = 6.0, 10.0  # standard deviations: pixels, degrees


@dataclass(frozen=True, slots=True, eq=False)
class Real:
    """All real features, without their order."""

    codes: NDArray[np.uint64]
    places: NDArray[np.float32]


def real(references: Sequence[LocalFeatures]) -> Real:
    return Real(
        np.concatenate([one.codes for one in references]).view(np.uint64),
        np.concatenate([one.places for one in references]),
    )


def made(have: Real, rng: np.random.Generator) -> LocalFeatures:
    """One made reference."""
    pool = FEATURES + NEW * (PICTURES - 1)
    first, last = rng.integers(0, len(have.codes), (2, pool))
    cut = rng.integers(1, 4, pool)[:, None]  # words from the first
    codes = np.where(np.arange(4) < cut, have.codes[first], have.codes[last])
    shown = (np.arange(PICTURES)[:, None] * NEW + np.arange(FEATURES)).ravel()
    places = have.places[first][shown]
    places[:, :2] = np.abs(places[:, :2] + rng.normal(0, MOVED_PX, (len(shown), 2)))
    places[:, 3] = (places[:, 3] + rng.normal(0, TURNED, len(shown))) % 360
    return LocalFeatures(
        "made",
        np.arange(PICTURES, dtype=np.float64) * 0.5,
        np.arange(PICTURES + 1, dtype=np.int64) * FEATURES,
        np.tile(np.array([448, 448], np.uint16), (PICTURES, 1)),
        (codes[shown] ^ _flips(len(shown), rng)).view(np.uint8),
        places,
    )


def _flips(n: int, rng: np.random.Generator) -> NDArray[np.uint64]:
    """(n, 4) words in which about `FLIPPED` of the bits are set."""
    count = rng.poisson(FLIPPED * n * 256)
    words = np.zeros(n * 4, np.uint64)
    at = rng.integers(0, n * 256, count)
    np.bitwise_xor.at(words, at >> 6, np.uint64(1) << (at & 63).astype(np.uint64))
    return words.reshape(n, 4)


def padded(references: Sequence[LocalFeatures], n: int, seed: int) -> dict[str, NDArray[Any]]:
    """About `n` features as `LocalIndex.load` takes them; each reference an incident. Fewer than
    are real: the real ones alone."""
    have, rng = real(references), np.random.default_rng(seed)
    parts = [pictures_of(ordinal, one) for ordinal, one in enumerate(references)]
    size = len(have.codes)
    more = max(0, n - size) // (PICTURES * FEATURES)
    for _ in tqdm(range(more), desc=f"{n:,} features", disable=None, leave=False):
        parts.append(pictures_of(len(parts), made(have, rng)))
    names = ("codes", "places", "sizes", "counts", "offsets", "references")
    arrays: dict[str, NDArray[Any]] = {}
    for name in names:
        arrays[name] = np.concatenate([getattr(one, name) for one in parts])
        for i, one in enumerate(parts):  # so that no more than one column is held twice
            parts[i] = replace(one, **{name: np.empty(0)})
    return arrays | {"incidents": arrays["references"]}
