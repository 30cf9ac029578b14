"""Features that have an index of their own, in the reference index and its snapshot."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from hashdb.format import read_file, write_file
from hashdb.model import (
    Bank,
)
from hashdb.snapshot import KIND, ReferenceIndex, SnapshotState
from hashdb.store import Store
from tests.parts.test_store_banks import corners
from tests.snapshots import (
    FEATURES,
    Make,
    add_features,
    described_in,
    fingerprint,
    heard_in,
    not_to_be_called,
    on_sqlite,
    pictured,
    sound,
    vectors,
    withdraw,
)


def test_features_are_followed_saved_and_loaded(
    store: Store, other: Store, bank: Bank, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = make(**FEATURES)
    ids = [add_features(other, bank, n, fingerprint()) for n in range(3)]
    ids.append(add_features(other, bank, 3))  # without any code
    assert heard_in(index, 1) == set()
    index.refresh()
    assert [heard_in(index, n) for n in range(5)] == [{i} for i in ids] + [set()]
    withdraw(other, ids[0])
    withdraw(other, ids[2])
    index.refresh()
    index.save()
    index.rebuild(save=False)
    with monkeypatch.context() as patched:
        patched.setattr(ReferenceIndex, "_built", not_to_be_called)
        loaded = make(**FEATURES)
    for one in (index, loaded):
        assert [heard_in(one, n) for n in range(4)] == [set(), {ids[1]}, set(), {ids[3]}]
        assert one.sound()[0].seconds == pytest.approx(21.0)
        assert pictured(one, ids[3]) == 1
        assert described_in(one) == {ids[1]: 3, ids[3]: 3}
        report = one.verify()
        assert report.ok
        assert report.references == 2
    later = add_features(other, bank, 9)
    loaded.refresh()
    assert heard_in(loaded, 9) == {later}
    assert loaded.verify().ok


@on_sqlite
def test_a_snapshot_without_features_is_made_anew_where_they_are_wanted(
    store: Store, bank: Bank, make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    reference = add_features(store, bank, 1, fingerprint())
    make().save()
    index = make(**FEATURES)
    assert index.snapshot is SnapshotState.STALE
    assert heard_in(index, 1) == {reference}
    assert make().snapshot is SnapshotState.STALE
    index.save()
    assert make(**FEATURES).snapshot is SnapshotState.GOOD
    other = make(**FEATURES | {"model": "another:1"})
    assert other.snapshot is SnapshotState.STALE
    assert described_in(other) == {reference: 3}
    assert described_in(make(**FEATURES | {"model": "none:1"})) == {}


@on_sqlite
@pytest.mark.parametrize(
    "spoil",
    [
        lambda a: a.pop("sound/keys"),
        lambda a: a.update({"sound/keys": a["sound/keys"][::-1].copy()}),
        lambda a: a.update({"sound/keys": a["sound/keys"].astype(np.uint64)}),
        lambda a: a.update({"sound/moments": a["sound/moments"][1:]}),
        lambda a: a.update({"sound/ordinals": a["sound/ordinals"] + 1}),
        lambda a: a.update({"sound/ordinals": a["sound/ordinals"] - 1}),
        lambda a: a.update({"sound/references": a["sound/references"] + 1}),
        lambda a: a.update({"sound/peaks": -a["sound/peaks"]}),
        lambda a: a.update({"sound/seconds": a["sound/seconds"] * np.nan}),
        lambda a: a.update({"sound/landmarks": a["sound/landmarks"][:0]}),
        lambda a: a.update({"local/references": a["local/references"] + 1}),
        lambda a: a.update({"local/references": a["local/references"] - 1}),
        lambda a: a.update({"neural/references": a["neural/references"] + 1}),
        lambda a: a.update({"neural/vectors": a["neural/vectors"][1:]}),
        lambda a: a.pop("neural/starts"),
    ],
)
def test_spoilt_features_of_a_snapshot_are_read_anew(
    store: Store, bank: Bank, make: Make, spoil: Callable[[dict[str, np.ndarray]], object]
) -> None:
    reference = add_features(store, bank, 1, fingerprint())
    path = make(**FEATURES).save()
    contents = read_file(path, KIND)
    arrays = dict(contents.arrays)
    spoil(arrays)
    write_file(path, KIND, contents.meta, arrays)
    index = make(**FEATURES)
    assert index.snapshot is SnapshotState.DAMAGED
    assert heard_in(index, 1) == {reference}
    assert index.verify().ok


@on_sqlite
@pytest.mark.parametrize("kind", ["local", "sound", "neural"])
def test_verify_notices_features_that_are_not_where_they_belong(
    store: Store, bank: Bank, make: Make, kind: str
) -> None:
    ids = [add_features(store, bank, n, fingerprint()) for n in range(3)]
    index = make(**FEATURES)
    assert index.verify().ok
    state = index._state
    backend = getattr(state, kind)
    backend.remove([state.names.find(ids[1])])
    assert index.verify().missing == (ids[1],)
    stray = {"local": corners, "sound": sound, "neural": vectors}[kind](8)
    state.add([], **{kind: [("ref_stray", stray)]})
    report = index.verify()
    assert (report.missing, report.extra) == ((ids[1],), ("ref_stray",))
    index.rebuild()
    assert index.verify().ok


@on_sqlite
def test_verify_notices_landmarks_that_are_lost(store: Store, bank: Bank, make: Make) -> None:
    ids = [add_features(store, bank, n, fingerprint()) for n in range(3)]
    index = make(**FEATURES)
    state = index._state
    state.sound._index.remove(np.array([state.names.find(ids[2])]))
    assert index.verify().missing == (ids[2],)
