"""A large bank around the benchmark's references: what they lose in it, and what it costs.

The engine's index, in memory, gets so many frame hashes and local features more, of references
that no database knows: local features of the folder's other videos first, then made ones
(`bench.scale_hashes.padded`, `bench.scale_padding.padded`). They take votes, hits and time as
others' would; what is found of them is dropped where references are looked up.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from bench.scale import resident
from bench.scale_hashes import FRAMES
from bench.scale_hashes import padded as padded_codes
from bench.scale_padding import padded as padded_features
from bench.scale_pictures import reference_of
from hashdb.index.local import LocalIndex
from hashdb.model import LocalFeatures
from hashdb.shelf import Rows
from hashdb.snapshot import ReferenceIndex

SEED = 2019


@dataclass(frozen=True, slots=True)
class Padding:
    """How many frame hashes and local features, all in all; `others`: videos that are no
    references."""

    codes: int
    features: int
    others: tuple[Path, ...]

    @property
    def name(self) -> str:
        """As part of a file's name: millions of either."""
        return f"padded-{self.codes / 1e6:g}-{self.features / 1e6:g}"


def pad(index: ReferenceIndex, padding: Padding) -> float:
    """Once, when all references are enrolled. Gigabytes that this process holds for it."""
    state = index._state
    before = resident()
    _pad_codes(state, padding.codes)
    _pad_features(state, padding)
    now = resident()
    tqdm.write(f"padded: {(now - before) / 1e9:.1f} GB more, {now / 1e9:.1f} GB in all")
    return (now - before) / 1e9


def _pad_codes(state: object, size: int) -> None:
    shelf = state.shelves["pdq"]  # type: ignore[attr-defined]
    real = shelf.found().codes
    codes = padded_codes(real, max(size, len(real)), np.random.default_rng(SEED))[len(real) :]
    if not len(codes):
        return
    numbers = np.arange(len(codes))
    ordinals = _named(state, -(-len(codes) // FRAMES))[numbers // FRAMES].astype(np.int32)
    spans = np.full(len(codes), 1 / 30)
    shelf.add(Rows(codes, ordinals, (numbers % FRAMES) / 30.0, spans, ordinals * 0))


def _pad_features(state: object, padding: Padding) -> None:
    own = state.local.arrays()  # type: ignore[attr-defined]
    real = list(_described(padding.others))
    more = padded_features(real, max(0, padding.features - len(own["codes"])), SEED)
    ordinals = _named(state, int(more["references"].max()) + 1)
    more["references"] = ordinals[more["references"]].astype(np.int32)
    more["incidents"] = (more["incidents"] + int(own["incidents"].max(initial=-1)) + 1).astype(
        np.int32
    )
    more["tracks"] = np.zeros(len(more["references"]), own["tracks"].dtype)
    index = LocalIndex()
    index.load({name: np.concatenate([own[name], more.pop(name)]) for name in own})
    state.local = index  # type: ignore[attr-defined]


def _described(paths: Sequence[Path]) -> Iterator[LocalFeatures]:
    for path in tqdm(paths, desc="features of other videos", disable=None):
        found = reference_of(path)
        if found is not None:
            yield found


def _named(state: object, count: int) -> np.ndarray:
    """Ordinals of so many new references."""
    names = state.names  # type: ignore[attr-defined]
    first = len(names)
    for i in range(count):
        names.append(f"padding-{first + i}")
    return np.arange(first, first + count)
