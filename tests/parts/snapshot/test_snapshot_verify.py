"""`ReferenceIndex.verify`: what the index and the database do not both hold."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from hashdb.index.faiss_flat import FaissIndex
from hashdb.model import (
    Bank,
    Codes,
)
from hashdb.ports import CodeHits, IndexBackend
from hashdb.snapshot import ReferenceIndex
from hashdb.store import Store
from tests.snapshots import (
    Make,
    add,
    fingerprint,
    on_sqlite,
)


class Forgetful(FaissIndex):
    """An engine that loses every third of the codes that it is given."""

    def add(self, codes: Codes, ids: np.ndarray) -> None:
        keep = ids % 3 != 1
        super().add(codes[keep], ids[keep])


class Blind(FaissIndex):
    """An engine that holds all, and does not find codes whose first byte is odd."""

    def search(self, codes: Codes, radius: int, most: int | None = None) -> CodeHits:
        hits = super().search(codes, radius, most)
        seen = codes[hits.queries, 0] % 2 == 0
        return hits.take(seen)


@on_sqlite
@pytest.mark.parametrize("broken", [Forgetful, Blind])
def test_verify_names_what_the_index_does_not_find(
    store: Store, bank: Bank, broken: Callable[[int], IndexBackend]
) -> None:
    ids = [add(store, bank, fingerprint(20), fingerprint(20, "phash")) for _ in range(3)]
    index = ReferenceIndex(store, broken, folder=None)
    index.open()
    report = index.verify()
    assert not report.ok
    assert report.missing == tuple(ids)
    assert report.extra == ()


@on_sqlite
def test_verify_names_what_the_database_does_not_hold(store: Store, bank: Bank, make: Make) -> None:
    ids = [add(store, bank, fingerprint()) for _ in range(3)]
    index = make()
    report = index.verify()
    assert report.ok
    assert (report.number, report.references) == (3, 3)
    assert report.codes == {"pdq": 15, "card": 0, "phash": 0, "videohash": 0}
    index._state.add([("ref_stray", fingerprint())])
    index._state.remove([ids[1]])
    report = index.verify()
    assert (report.missing, report.extra) == ((ids[1],), ("ref_stray",))
    index.rebuild()
    assert index.verify().ok


@on_sqlite
def test_verify_sees_a_time_that_differs(store: Store, bank: Bank, make: Make) -> None:
    reference = add(store, bank, fingerprint())
    index = make()
    index._state.shelves["pdq"]._held.offsets[2] += 1
    assert index.verify().missing == (reference,)
