"""What the tests of the reference index and its snapshots share."""

from __future__ import annotations

import os
from collections.abc import Callable

import numpy as np
import pytest

from hashdb.index.descriptors import DescriptorIndex
from hashdb.index.landmarks import SoundIndex
from hashdb.index.local import LocalIndex
from hashdb.model import (
    Bank,
    Codes,
    Descriptors,
    Digests,
    Fingerprint,
    MediaKind,
    SoundPeaks,
    View,
)
from hashdb.snapshot import ReferenceIndex
from hashdb.store import Store
from matcher.landmarks import landmarks, pack_moments
from tests.parts.test_store_banks import corners

rng = np.random.default_rng(20190315)


def codes(n: int, bits: int = 256) -> Codes:
    return rng.integers(0, 256, (n, bits // 8), dtype=np.uint8)


def fingerprint(
    n: int = 5, kind: str = "pdq", track: int = 0, view: View = View.FULL
) -> Fingerprint:
    bits = 256 if kind == "pdq" else 64
    return Fingerprint(
        kind,
        "test/1",
        codes(n, bits),
        np.arange(n, dtype=np.float64) * 0.5,
        np.full(n, 0.25),
        np.full(n, 100, dtype=np.uint8),
        track,
        view,
    )


def add(store: Store, bank: Bank, *fingerprints: Fingerprint) -> str:
    """A new reference's id."""
    with store.begin() as tx:
        digests = Digests(sha256=os.urandom(32).hex())
        reference, made = tx.banks.add_reference(
            bank, kind=MediaKind.VIDEO, digests=digests, fingerprints=fingerprints
        )
    assert made
    return reference.id


def withdraw(store: Store, reference_id: str) -> None:
    with store.begin() as tx:
        tx.banks.withdraw(reference_id)


def found(index: ReferenceIndex, wanted: Fingerprint) -> set[str]:
    """References that the first code of `wanted` finds exactly."""
    hits = index.search(wanted.signal_type, wanted.codes[:1], 0)
    return {hits.names[r] for r in hits.references.tolist()}


Make = Callable[..., ReferenceIndex]


# For what does not depend on the engine of the database.
on_sqlite = pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)


def not_to_be_called(*_: object) -> None:
    raise AssertionError("the database was read anew")


def sound(seed: int, n: int = 200) -> SoundPeaks:
    own = np.random.default_rng(seed)
    return SoundPeaks(
        "peaks-1",
        np.sort(own.uniform(0, 10, n)),
        own.integers(0, 500, n).astype(np.uint16),
        np.full(n, 20, dtype=np.uint8),
        seconds=10.5,
    )


def filed(peaks: SoundPeaks) -> tuple[np.ndarray, np.ndarray]:
    found = landmarks(peaks)
    return found.keys, pack_moments(found.times, found.pitches)


def add_features(store: Store, bank: Bank, seed: int, *prints: Fingerprint) -> str:
    with store.begin() as tx:
        reference, _ = tx.banks.add_reference(
            bank,
            kind=MediaKind.VIDEO,
            digests=Digests(sha256=os.urandom(32).hex()),
            fingerprints=prints,
            local=[corners(seed + 5)],
            sound=[sound(seed)],
            descriptors=[vectors(seed), vectors(seed, model="another:1")],
        )
    return reference.id


def vectors(seed: int, model: str = "m:1") -> Descriptors:
    rng = np.random.default_rng(seed)
    return Descriptors(model, np.arange(3.0), rng.normal(size=(3, 40)).astype(np.float16))


FEATURES = {
    "local": LocalIndex,
    "sound": lambda: SoundIndex(filed),
    "neural": DescriptorIndex,
    "model": "m:1",
}


def described_in(index: ReferenceIndex) -> dict[str, int]:
    """How many descriptors of each reference can be found."""
    held = index.neural()
    assert held is not None
    return {held[1][ordinal]: count for ordinal, count in held[0].counts().items()}


def heard_in(index: ReferenceIndex, seed: int) -> set[str]:
    """References that have most of a sound's landmarks."""
    held = index.sound()
    assert held is not None
    keys, _ = filed(sound(seed))
    found = held[0].search(keys)
    counts = np.bincount(found.ordinals)
    return {held[1][o] for o in np.flatnonzero(counts > 0.9 * len(keys)).tolist()}


def pictured(index: ReferenceIndex, name: str) -> int:
    held = index.local()
    assert held is not None
    return len(held[0].pictures(list(held[1]).index(name)))
