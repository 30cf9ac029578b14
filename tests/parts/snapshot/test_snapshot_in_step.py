"""The reference index beside a real database: in step, with other processes and threads."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy.event

from hashdb.errors import BadFingerprint
from hashdb.index.faiss_flat import FaissIndex
from hashdb.model import (
    Bank,
    Digests,
    MediaKind,
    View,
)
from hashdb.ports import IndexBackend
from hashdb.snapshot import FILE, ReferenceIndex, SnapshotState
from hashdb.store import Store
from tests.snapshots import (
    Make,
    add,
    codes,
    fingerprint,
    found,
    on_sqlite,
    withdraw,
)


def test_hits_say_what_the_reference_shows_and_when(
    store: Store, bank: Bank, backend: Callable[[int], IndexBackend]
) -> None:
    first, second = fingerprint(4), fingerprint(6, track=1)
    ids = [add(store, bank, first), add(store, bank, second, fingerprint(6, "phash"))]
    index = ReferenceIndex(store, backend, folder=None)
    index.open()
    query = second.codes[3:4].copy()
    query[0, 0] ^= 0b101
    hits = index.search("pdq", np.concatenate([codes(2), query]), 31)
    assert hits.queries.tolist() == [2]
    assert [hits.names[r] for r in hits.references] == [ids[1]]
    assert (hits.offsets.tolist(), hits.spans.tolist()) == ([1.5], [0.25])
    assert (hits.tracks.tolist(), hits.distances.tolist()) == ([1], [2])
    assert (hits.codes == second.codes[3]).all()
    assert index.sizes() == {"pdq": 10, "card": 0, "phash": 6, "videohash": 0}
    assert found(index, first) == {ids[0]}
    for column in (hits.queries, hits.references, hits.tracks):
        assert column.dtype == np.int64
    assert hits.distances.dtype == np.int16


def test_what_another_process_adds_is_found_after_a_refresh(
    store: Store, other: Store, bank: Bank, make: Make
) -> None:
    index = make()
    both, trimmed = fingerprint(3), fingerprint(2, view=View.TRIMMED)
    reference = add(other, bank, both, trimmed)
    assert found(index, both) == set()
    assert index.refresh() == index.number == 1
    assert found(index, both) == found(index, trimmed) == {reference}
    assert index.refresh() == 1
    assert index.sizes()["pdq"] == 5


def test_what_another_process_withdraws_is_found_no_more(
    store: Store, other: Store, bank: Bank, make: Make
) -> None:
    index = make()
    prints = [fingerprint() for _ in range(5)]
    ids = [add(other, bank, f) for f in prints]
    index.refresh()
    withdraw(other, ids[2])
    index.refresh()
    assert [found(index, f) for f in prints] == [{ids[0]}, {ids[1]}, set(), {ids[3]}, {ids[4]}]
    again = add(other, bank, prints[2])
    index.refresh()
    assert found(index, prints[2]) == {again}


def test_added_and_withdrawn_between_two_refreshes(store: Store, bank: Bank, make: Make) -> None:
    index = make()
    print_ = fingerprint()
    withdraw(store, add(store, bank, print_))
    assert index.refresh() == 2
    assert found(index, print_) == set()
    assert index.verify().ok


def test_disabled_references_stay_in_and_so_come_back_at_once(
    store: Store, bank: Bank, make: Make
) -> None:
    print_ = fingerprint()
    reference = add(store, bank, print_)
    with store.begin() as tx:
        tx.banks.set_enabled(reference, False)
    built_while_disabled = make()
    built_while_disabled.save()
    with store.begin() as tx:
        tx.banks.set_enabled(reference, True)
    for index in (built_while_disabled, make()):
        index.refresh()
        assert found(index, print_) == {reference}
        assert index.verify().ok


def test_a_change_that_commits_late_is_not_skipped(
    store: Store, other: Store, bank: Bank, make: Make
) -> None:
    """A transaction that began first and commits last; on SQLite writers wait for each other, so
    there the other one comes after."""
    index = make()
    early, late = fingerprint(), fingerprint()
    begun, go_on = threading.Event(), threading.Event()

    def slowly() -> None:
        with store.begin() as tx:
            digests = Digests(sha256=os.urandom(32).hex())
            tx.banks.add_reference(bank, kind=MediaKind.VIDEO, digests=digests, fingerprints=[late])
            begun.set()
            go_on.wait(2)

    thread = threading.Thread(target=slowly)
    thread.start()
    assert begun.wait(5)
    if store._engine.dialect.name == "sqlite":
        go_on.set()
        thread.join()
    add(other, bank, early)
    index.refresh()
    assert found(index, early)
    go_on.set()
    thread.join()
    assert index.refresh() == 2
    assert len(found(index, late)) == 1
    assert index.sizes()["pdq"] == len(early) + len(late)


@on_sqlite
def test_a_reference_without_codes_moves_the_number_only(
    store: Store, bank: Bank, make: Make
) -> None:
    index = make()
    reference = add(store, bank)
    assert index.refresh() == 1
    withdraw(store, reference)
    assert index.refresh() == 2
    assert index.verify().ok


def test_more_changes_than_one_page(
    store: Store, bank: Bank, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hashdb.indexed._PAGE", 7)
    index = make()
    prints = [fingerprint(1) for _ in range(30)]
    ids = [add(store, bank, f) for f in prints]
    for reference in ids[::3]:
        withdraw(store, reference)
    assert index.refresh() == 40
    left = [{i} if n % 3 else set() for n, i in enumerate(ids)]
    assert [found(index, f) for f in prints] == left


def test_a_rebuild_reads_in_chunks_and_tells_of_its_progress(
    store: Store, bank: Bank, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hashdb.indexed._CHUNK", 8)
    prints = [(fingerprint(3), fingerprint(2, "phash"), fingerprint(2, track=1)) for _ in range(9)]
    ids = [add(store, bank, *some) for some in prints]
    withdraw(store, ids[4])
    index = make()
    told: list[tuple[int, int]] = []
    index.rebuild(lambda done, total: told.append((done, total)))
    assert told[-1] == (8, 8)
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert all(done <= total for done, total in told)
    assert len(told) > 3
    for reference, some in zip(ids, prints, strict=True):
        for f in some:
            assert found(index, f) == (set() if reference == ids[4] else {reference})
    assert index.verify().ok


@on_sqlite
def test_a_refresh_without_news_is_one_query(store: Store, bank: Bank, make: Make) -> None:
    index = make()
    queries: list[str] = []

    def listen(connection: sqlite3.Connection, *_: object) -> None:
        connection.set_trace_callback(queries.append)

    sqlalchemy.event.listen(store._engine, "checkout", listen)
    for number in range(3):
        index.refresh()
        queries.clear()
        assert index.refresh() == number
        assert len([q for q in queries if q.startswith("SELECT")]) == 1
        add(store, bank, fingerprint())


@on_sqlite
def test_opened_without_saving_the_snapshot_stays_as_it_is(
    store: Store, bank: Bank, tmp_path: Path
) -> None:
    index = ReferenceIndex(store, FaissIndex, folder=tmp_path / "index", save_every=1)
    index.open(save=False)
    assert index.snapshot is SnapshotState.MISSING
    add(store, bank, fingerprint())
    index.refresh()
    index.close()
    assert not (tmp_path / "index").exists()
    assert index.save().exists()


@on_sqlite
def test_other_codes_and_types_are_refused(store: Store, make: Make) -> None:
    index = make()
    with pytest.raises(BadFingerprint, match="8 bytes"):
        index.search("pdq", codes(1, 64), 31)
    for kind in ("sha256", "no such"):
        with pytest.raises(BadFingerprint, match="not indexed"):
            index.search(kind, codes(1), 31)
    assert len(index.search("pdq", codes(3), 256)) == 0
    assert len(index.search("pdq", codes(0), 31)) == 0


@on_sqlite
def test_a_crowded_code_is_cut_to_the_nearest_only_when_asked_and_says_so(
    store: Store, bank: Bank, make: Make
) -> None:
    card, rare = codes(1), fingerprint(1)
    ids = []
    for distance in (3, 1, 0, 2, 1):
        near = fingerprint(1)
        near.codes[0] = card[0]
        near.codes[0, 0] ^= (1 << distance) - 1
        ids.append(add(store, bank, near))
    other = add(store, bank, rare)
    index = make()
    query = np.concatenate([card] + [codes(20)] * 2 + [rare.codes, card])
    everything = index.search("pdq", query, 31)
    assert len(everything) == 11
    assert everything.crowded.tolist() == []
    cut = index.search("pdq", query, 31, most=3)
    assert cut.crowded.tolist() == [0, 42]
    names = [cut.names[r] for r in cut.references]
    kept = sorted(zip(cut.queries.tolist(), cut.distances.tolist(), names, strict=True))
    nearest = [(0, ids[2]), (1, ids[1]), (1, ids[4])]
    assert kept == [
        (q, d, i) for q in (0, 41, 42) for d, i in (nearest if q != 41 else [(0, other)])
    ]
    assert (cut.codes[cut.queries == 41] == rare.codes).all()
    enough = index.search("pdq", query, 31, most=5)
    assert (len(enough), len(enough.crowded)) == (11, 0)
    assert len(index.search("pdq", codes(0), 31, most=5)) == 0


def test_threads_search_refresh_save_and_rebuild_beside_writers(
    store: Store, other: Store, bank: Bank, make: Make
) -> None:
    """Every addition is found right after it, whatever the other threads do."""
    index = make(save_every=10)
    stop, errors = threading.Event(), []

    def beside(act: Callable[[], object]) -> Callable[[], None]:
        def run() -> None:
            try:
                while not stop.is_set():
                    act()
            except BaseException as error:
                errors.append(error)

        return run

    def writer(over: Store) -> None:
        try:
            for n in range(25):
                print_ = fingerprint(3)
                reference = add(over, bank, print_)
                index.refresh()
                assert found(index, print_) == {reference}
                if n % 4 == 0:
                    withdraw(over, reference)
                    index.refresh()
                    assert found(index, print_) == set()
        except BaseException as error:
            errors.append(error)

    acts = [lambda: index.search("pdq", codes(5), 120), index.save, index.rebuild]
    readers = [threading.Thread(target=beside(act)) for act in acts]
    writers = [threading.Thread(target=writer, args=(over,)) for over in (store, other)]
    for thread in readers + writers:
        thread.start()
    for thread in writers:
        thread.join()
    stop.set()
    for thread in readers:
        thread.join()
    assert errors == []
    assert index.verify().ok
    assert index.sizes()["pdq"] == 2 * 3 * (25 - 7)
    assert make().verify().ok


SAVER = """
import sys
from pathlib import Path
from hashdb.index.faiss_flat import FaissIndex
from hashdb.snapshot import ReferenceIndex
from hashdb.store import Store
index = ReferenceIndex(Store.open(sys.argv[1]), FaissIndex, folder=Path(sys.argv[2]))
index.open()
for _ in range(10):
    index.save()
"""


@on_sqlite
def test_several_processes_save_at_once(
    store: Store, store_url: str, bank: Bank, make: Make, tmp_path: Path
) -> None:
    prints = [fingerprint(50) for _ in range(10)]
    ids = [add(store, bank, f) for f in prints]
    command = [sys.executable, "-c", SAVER, store_url, str(tmp_path / "index")]
    root = Path(__file__).parents[2]
    savers = [subprocess.Popen(command, cwd=root) for _ in range(2)]
    index = make()
    for _ in range(10):
        index.save()
        assert [found(make(), f) for f in prints[:2]] == [{i} for i in ids[:2]]
    assert [saver.wait(60) for saver in savers] == [0, 0]
    assert os.listdir(tmp_path / "index") == [FILE]
    assert make().verify().ok
