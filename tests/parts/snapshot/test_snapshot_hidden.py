"""References that may not be enforced hide none that may: they are as if they were not there."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from hashdb.model import Bank, Digests, Fingerprint, MediaKind
from hashdb.snapshot import ReferenceIndex
from hashdb.store import Store
from matcher import heard
from tests.parts.test_store_banks import corners
from tests.snapshots import FEATURES, Make, add_features, fingerprint, on_sqlite, sound, vectors

MANY = 30  # more than sounds have nominees in one stretch

Switch = Callable[[bool], None]


@pytest.fixture
def print_() -> Fingerprint:
    return fingerprint()


@pytest.fixture
def old(store: Store, print_: Fingerprint) -> Bank:
    """A bank with many versions of one film."""
    with store.begin() as tx:
        made = tx.banks.create("old")
    for _ in range(MANY):
        add_features(store, made, 1, print_)
    return made


@pytest.fixture(params=["each reference", "the bank"])
def switch(request: pytest.FixtureRequest, store: Store, old: Bank) -> Switch:
    """Switches the old versions on or off."""

    def switched(on: bool) -> None:
        with store.begin() as tx:
            if request.param == "the bank":
                tx.banks.update(old.id, enabled=on)
                return
            for reference in tx.banks.references(bank=old.id)[0]:
                tx.banks.set_enabled(reference.id, on)

    return switched


def by_hash(index: ReferenceIndex, print_: Fingerprint) -> set[str]:
    hits = index.search("pdq", print_.codes, 31, most=5)
    return {hits.names[r] for r in hits.references.tolist()}


def by_features(index: ReferenceIndex) -> set[str]:
    held = index.local()
    assert held is not None
    seen = corners(6)
    rows = slice(seen.starts[0], seen.starts[1])
    named = held[0].nominate(seen.codes[rows], seen.places[rows], 6)
    return {held[1][nominee.reference] for nominee in named}


def by_sound(index: ReferenceIndex) -> set[str]:
    held = index.sound()
    assert held is not None
    return {held[1][m.ordinal] for m in heard.sounds(sound(1), held[0], set)}


def by_likeness(index: ReferenceIndex) -> set[str]:
    held = index.neural()
    assert held is not None
    queries = vectors(1).vectors.astype(np.float32)
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    return {held[1][o] for o in held[0].search(queries, 0.5, 5).ordinals.tolist()}


def found(index: ReferenceIndex, print_: Fingerprint) -> list[set[str]]:
    """What each kind of search finds, cut as searches are."""
    index.refresh()
    return [by_hash(index, print_), by_features(index), by_sound(index), by_likeness(index)]


def test_what_is_switched_off_hides_nothing(
    store: Store, bank: Bank, make: Make, print_: Fingerprint, switch: Switch
) -> None:
    index = make(**FEATURES)
    new = add_features(store, bank, 1, print_)
    index.refresh()
    assert new not in by_hash(index, print_)  # there are too many
    switch(False)
    assert found(index, print_) == [{new}] * 4
    index.save()
    loaded = make(**FEATURES)
    assert found(loaded, print_) == [{new}] * 4
    later = add_features(store, bank, 1, print_)
    for one in (index, loaded):
        assert found(one, print_) == [{new, later}] * 4
        assert one.verify().ok
    switch(True)
    for one in (index, loaded, make(**FEATURES)):
        assert all(len(some - {new, later}) > 0 for some in found(one, print_))
        assert one.verify().ok


@on_sqlite
def test_sound_that_is_switched_off_counts_for_no_chance(
    store: Store, bank: Bank, make: Make, print_: Fingerprint, switch: Switch
) -> None:
    alone = make(**FEATURES)
    add_features(store, bank, 1, print_)
    switch(False)
    alone.refresh()
    held = alone.sound()
    assert held is not None
    assert held[0].seconds == pytest.approx(10.5)
    switch(True)
    alone.refresh()
    assert held[0].seconds == pytest.approx(10.5 * (MANY + 1))


@on_sqlite
def test_what_takes_the_place_of_a_disabled_reference_is_hidden(
    store: Store, bank: Bank, make: Make, print_: Fingerprint
) -> None:
    def put(*prints: Fingerprint) -> str:
        with store.begin() as tx:
            reference, _ = tx.banks.add_reference(
                bank,
                kind=MediaKind.VIDEO,
                digests=Digests(sha256="5" * 64),
                fingerprints=prints,
            )
        return reference.id

    index = make(**FEATURES)
    first = put()
    with store.begin() as tx:
        tx.banks.set_enabled(first, False)
    second = put(print_)
    assert second != first
    index.refresh()
    assert by_hash(index, print_) == set()
    with store.begin() as tx:
        tx.banks.set_enabled(second, True)
    index.refresh()
    assert by_hash(index, print_) == {second}
