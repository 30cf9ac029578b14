"""The reference index beside a real database: in step, across processes, through bad snapshots."""

from __future__ import annotations

import logging
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy.event

from hashdb.errors import BadFingerprint
from hashdb.format import Contents, read_file, write_file
from hashdb.index.descriptors import DescriptorIndex
from hashdb.index.exact import ExactIndex
from hashdb.index.faiss_flat import FaissIndex
from hashdb.index.hamming import HammingIndex
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
from hashdb.ports import CodeHits, IndexBackend
from hashdb.snapshot import FILE, KIND, ReferenceIndex, SnapshotState
from hashdb.snapshot_folder import CHECKED, SnapshotFolder
from hashdb.store import Store
from matcher.landmarks import landmarks, pack_moments
from tests.hamming import always_file
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


@pytest.fixture
def bank(store: Store) -> Bank:
    with store.begin() as tx:
        return tx.banks.create("confirmed")


@pytest.fixture
def other(store: Store, store_url: str) -> Iterator[Store]:
    """The same database, as another process has it open."""
    with closing(Store.open(store_url)) as opened:
        yield opened


@pytest.fixture(params=[ExactIndex, FaissIndex, HammingIndex])
def backend(request: pytest.FixtureRequest) -> Callable[[int], IndexBackend]:
    made: Callable[[int], IndexBackend] = request.param
    return made


@pytest.fixture
def make(store: Store, tmp_path: Path) -> Callable[..., ReferenceIndex]:
    """Opens an index over `store`, its snapshot in the test's folder."""

    def opened(over: Store = store, **options: object) -> ReferenceIndex:
        settings = {"folder": tmp_path / "index", **options}
        engine = settings.pop("engine", FaissIndex)
        index = ReferenceIndex(over, engine, **settings)  # type: ignore[arg-type]
        index.open()
        return index

    return opened


Make = Callable[..., ReferenceIndex]

# For what does not depend on the engine of the database.
on_sqlite = pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)


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


def test_the_first_rebuild_leaves_a_snapshot_that_the_next_process_uses(
    store: Store, bank: Bank, make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prints = [fingerprint(), fingerprint(4, "phash"), fingerprint()]
    ids = [add(store, bank, f) for f in prints]
    withdraw(store, ids[0])
    make()
    later = fingerprint()
    ids.append(add(store, bank, later))
    monkeypatch.setattr(ReferenceIndex, "_built", _not_to_be_called)
    second = make()
    assert second.number == 5
    assert [found(second, f) for f in [*prints, later]] == [set(), {ids[1]}, {ids[2]}, {ids[3]}]
    assert second.verify().ok
    assert os.listdir(tmp_path / "index") == [FILE]


def _not_to_be_called(*_: object) -> None:
    raise AssertionError("the database was read anew")


@on_sqlite
def test_withdrawn_references_leave_the_snapshot(store: Store, bank: Bank, make: Make) -> None:
    ids = [add(store, bank, fingerprint()) for _ in range(4)]
    index = make()
    for reference in (ids[0], ids[2]):
        withdraw(store, reference)
    index.refresh()
    saved = read_file(index.save(), KIND)
    assert saved.arrays["names"].tobytes().decode().split("\n") == [ids[1], ids[3]]
    assert saved.arrays["pdq/references"].tolist() == [0, 1]
    assert saved.arrays["pdq/firsts"].tolist() == [0, 5]
    assert len(saved.arrays["pdq/codes"]) == 10
    assert make().verify().ok


def _cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-100] ^= 0x10
    path.write_bytes(data)


def _rewritten(**changed: object) -> Callable[[Path], None]:
    def rewrite(path: Path) -> None:
        contents = read_file(path, KIND)
        write_file(path, KIND, {**contents.meta, **changed}, contents.arrays)

    return rewrite


def _without_array(path: Path) -> None:
    contents = read_file(path, KIND)
    arrays = {k: v for k, v in contents.arrays.items() if k != "pdq/spans"}
    write_file(path, KIND, contents.meta, arrays)


def _short_array(path: Path) -> None:
    contents = read_file(path, KIND)
    arrays = {**contents.arrays, "pdq/spans": contents.arrays["pdq/spans"][1:]}
    write_file(path, KIND, contents.meta, arrays)


def _stray_reference(path: Path) -> None:
    contents = read_file(path, KIND)
    references = contents.arrays["pdq/references"] + np.int32(1)
    write_file(path, KIND, contents.meta, {**contents.arrays, "pdq/references": references})


STALE = (
    "another database",
    "version 0",
    "ahead of the database",
    "change number",
    "another one",
    "signal types",
)


@on_sqlite
@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (_cut, "bytes"),
        (_flip, "digest"),
        (lambda p: p.write_bytes(b""), "cut short"),
        (lambda p: p.write_bytes(b"not a snapshot" * 100), "not a file"),
        (_rewritten(database="another"), "another database"),
        (_rewritten(version=0), "version 0"),
        (_rewritten(number=99), "ahead of the database"),
        (_rewritten(number="2"), "change number"),
        (_rewritten(last="ref_other"), "another one"),
        (_rewritten(bits={"pdq": 128}), "signal types"),
        (_without_array, "spans"),
        (_short_array, "spans"),
        (_stray_reference, "not named"),
    ],
)
def test_a_bad_snapshot_is_read_anew_from_the_database(
    store: Store,
    bank: Bank,
    make: Make,
    caplog: pytest.LogCaptureFixture,
    damage: Callable[[Path], None],
    why: str,
) -> None:
    prints = [fingerprint(), fingerprint()]
    ids = [add(store, bank, f) for f in prints]
    damage(make().save())
    with caplog.at_level(logging.WARNING):
        index = make()
    assert [found(index, f) for f in prints] == [{i} for i in ids]
    assert index.snapshot is (SnapshotState.STALE if why in STALE else SnapshotState.DAMAGED)
    (record,) = caplog.records
    assert why in record.getMessage()
    caplog.clear()
    third = make()
    assert third.verify().ok  # from the snapshot that the second has written
    assert third.snapshot is SnapshotState.GOOD
    assert not caplog.records


@on_sqlite
def test_a_missing_snapshot_is_no_news(
    store: Store, bank: Bank, make: Make, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    print_ = fingerprint()
    reference = add(store, bank, print_)
    make()
    shutil.rmtree(tmp_path / "index")
    assert found(make(), print_) == {reference}
    assert not [r for r in caplog.records if r.levelno >= logging.WARNING]
    assert (tmp_path / "index" / FILE).exists()


def test_a_database_put_back_to_an_earlier_state(
    tmp_path: Path, sqlite_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    file = Path(sqlite_url.removeprefix("sqlite:///"))
    with closing(Store.open(sqlite_url)) as store:
        with store.begin() as tx:
            bank = tx.banks.create("confirmed")
        kept = fingerprint()
        reference = add(store, bank, kept)
    backup = shutil.copyfile(file, tmp_path / "backup.db")
    with closing(Store.open(sqlite_url)) as store:
        index = ReferenceIndex(store, FaissIndex, folder=tmp_path / "index")
        index.open()
        lost = fingerprint()
        add(store, bank, lost)
        index.refresh()
        assert found(index, lost)
        index.save()
    for leftover in tmp_path.glob("seawall.db*"):
        leftover.unlink()
    shutil.copyfile(backup, file)
    with closing(Store.open(sqlite_url)) as store:
        index._store = store
        assert index.refresh() == 1
        assert (found(index, kept), found(index, lost)) == ({reference}, set())
        assert "went back" in caplog.text
        # Another history with as many changes: the number alone would not tell.
        index.save()
    for leftover in tmp_path.glob("seawall.db*"):
        leftover.unlink()
    _other_history(sqlite_url, backup, file, tmp_path)


def test_a_database_put_back_under_a_running_process_and_grown_to_the_same_number(
    tmp_path: Path, sqlite_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    file = Path(sqlite_url.removeprefix("sqlite:///"))
    with closing(Store.open(sqlite_url)) as store, store.begin() as tx:
        bank = tx.banks.create("confirmed")
    backup = shutil.copyfile(file, tmp_path / "backup.db")
    with closing(Store.open(sqlite_url)) as store:
        index = ReferenceIndex(store, FaissIndex, folder=None)
        index.open()
        lost = fingerprint()
        add(store, bank, lost)
        assert index.refresh() == 1
    for more in (1, 2):
        for leftover in tmp_path.glob("seawall.db*"):
            leftover.unlink()
        shutil.copyfile(backup, file)
        with closing(Store.open(sqlite_url)) as store:
            index._store = store
            prints = [fingerprint() for _ in range(more)]
            ids = [add(store, bank, f) for f in prints]
            caplog.clear()
            assert index.refresh() == more
            assert "went back" in caplog.text
            assert found(index, lost) == set()
            assert [found(index, f) for f in prints] == [{i} for i in ids]
            assert index.verify().ok
            lost = prints[0]


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


def _other_history(url: str, backup: Path, file: Path, folder: Path) -> None:
    shutil.copyfile(backup, file)
    with closing(Store.open(url)) as store:
        index = ReferenceIndex(store, FaissIndex, folder=folder / "index")
        index.open()
        with store.read() as tx:
            bank = tx.banks.get("confirmed")
        one = fingerprint()
        add(store, bank, one)
        index.refresh()
        index.save()
    for leftover in folder.glob("seawall.db*"):
        leftover.unlink()
    shutil.copyfile(backup, file)
    with closing(Store.open(url)) as store:
        two = fingerprint()
        add(store, bank, two)
        index = ReferenceIndex(store, FaissIndex, folder=folder / "index")
        index.open()
        assert index.number == 2
        assert len(found(index, two)) == 1
        assert found(index, one) == set()


@on_sqlite
def test_saves_by_itself_after_enough_changes_and_when_closed(
    store: Store, bank: Bank, make: Make, tmp_path: Path
) -> None:
    path = tmp_path / "index" / FILE

    def saved() -> int:
        number: int = read_file(path, KIND).meta["number"]
        return number

    index = make(save_every=5)
    assert saved() == 0
    for n in range(1, 12):
        add(store, bank, fingerprint(1))
        index.refresh()
        index.wait()
        assert saved() == n // 5 * 5
    index.close()
    assert saved() == 10  # one change is not worth it
    for _ in range(4):
        add(store, bank, fingerprint(1))
    index.refresh()
    index.wait()
    assert saved() == 15


@on_sqlite
def test_a_disk_that_refuses_does_not_stop_matching(
    store: Store, bank: Bank, make: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "occupied").write_text("a file where the folder should be")
    print_ = fingerprint()
    reference = add(store, bank, print_)
    index = make(folder=tmp_path / "occupied", save_every=1)
    assert found(index, print_) == {reference}
    assert "could not be written" in caplog.text
    later = fingerprint()
    add(store, bank, later)
    index.refresh()
    assert found(index, later)


@on_sqlite
def test_without_a_folder_nothing_is_saved(store: Store, bank: Bank, make: Make) -> None:
    index = make(folder=None, save_every=1)
    print_ = fingerprint()
    add(store, bank, print_)
    index.refresh()
    index.close()
    assert found(index, print_)
    with pytest.raises(ValueError, match="folder"):
        index.save()


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


# Features that have an index of their own


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
        patched.setattr(ReferenceIndex, "_built", _not_to_be_called)
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


# A snapshot that is mapped


@pytest.fixture
def shared(make: Make, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Opens an index that maps its snapshot, however few codes there are."""
    always_file(monkeypatch)

    def opened(*of: Store, **options: object) -> ReferenceIndex:
        return make(*of, engine=HammingIndex, **options)

    return opened


def is_mapped(index: ReferenceIndex) -> bool:
    segments = index._state.shelves["pdq"].backend._segments  # type: ignore[attr-defined]
    return any(segment.mapped for segment in segments)


def test_a_mapped_snapshot_is_added_to_taken_from_and_written_anew(
    store: Store, bank: Bank, shared: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    prints = [fingerprint(7), fingerprint(9, track=1), fingerprint(4, "phash"), fingerprint(3)]
    ids = [add(store, bank, f) for f in prints]
    index = shared()
    assert is_mapped(index)  # its own snapshot took the place of what was read
    monkeypatch.setattr(ReferenceIndex, "_built", _not_to_be_called)
    for turn in range(4):
        later = fingerprint(6)
        reference = add(store, bank, later, fingerprint(2, track=1))
        withdraw(store, ids[turn])
        ids.append(reference)
        prints.append(later)
        index.refresh()
        left = [set() if n <= turn else {i} for n, i in enumerate(ids)]
        assert [found(index, f) for f in prints] == left
        hits = index.search("pdq", np.concatenate([prints[-2].codes[1:2], later.codes[2:3]]), 20)
        order = np.argsort(hits.queries)
        assert hits.queries[order].tolist() == [0, 1]
        assert [hits.names[r] for r in hits.references[order]] == ids[-2:]
        assert hits.offsets[order].tolist() == [0.5, 1.0]
        assert index.verify().ok
        names = read_file(index.save(), KIND).arrays["names"].tobytes().decode()
        assert names.split("\n") == ids[turn + 1 :]
        index = shared()
        assert is_mapped(index)
        assert [found(index, f) for f in prints] == left
        assert index.verify().ok


def test_what_another_process_saves_is_taken_over(
    store: Store, other: Store, bank: Bank, shared: Make
) -> None:
    one, two = shared(), shared(other)
    prints = [fingerprint() for _ in range(6)]
    ids = [add(store, bank, f) for f in prints]
    for index in (one, two):
        index.refresh()
        assert not is_mapped(index)
    withdraw(store, ids[2])
    one.refresh()
    one.save()
    later = fingerprint()
    ids.append(add(store, bank, later))
    two.refresh()
    two.wait()
    assert is_mapped(two)
    assert two._saved == 7
    assert two.refresh() == 8
    assert [found(two, f) for f in [*prints, later]] == [
        {i} if n != 2 else set() for n, i in enumerate(ids)
    ]
    assert two.verify().ok


@on_sqlite
def test_a_snapshot_older_than_ones_own_is_not_taken_over(
    store: Store, bank: Bank, shared: Make, tmp_path: Path
) -> None:
    index = shared()
    old = (tmp_path / "index" / FILE).read_bytes()
    print_ = fingerprint()
    add(store, bank, print_)
    index.refresh()
    index.save()
    (tmp_path / "new").write_bytes(old)
    os.replace(tmp_path / "new", tmp_path / "index" / FILE)
    for _ in range(2):
        assert index.refresh() == 1
        index.wait()
    assert index._saved == 1
    assert found(index, print_)


@on_sqlite
def test_of_processes_that_want_to_save_one_does(
    store: Store, bank: Bank, shared: Make, tmp_path: Path
) -> None:
    index = shared(save_every=3)
    for _ in range(4):
        add(store, bank, fingerprint())
    with SnapshotFolder(tmp_path / "index").locked(wait=False) as held:
        assert held
        with SnapshotFolder(tmp_path / "index").locked(wait=False) as again:
            assert not again
        index.refresh()
        index.wait()
        assert read_file(tmp_path / "index" / FILE, KIND).meta["number"] == 0
    add(store, bank, fingerprint())
    index.refresh()
    index.wait()
    assert read_file(tmp_path / "index" / FILE, KIND).meta["number"] == 5
    assert is_mapped(index)


@on_sqlite
def test_an_engine_without_tables_leaves_the_saving_to_the_process_that_did_it(
    store: Store, bank: Bank, make: Make, tmp_path: Path
) -> None:
    one, two = make(save_every=3), make(save_every=3)
    for _ in range(4):
        add(store, bank, fingerprint())
    for index in (one, two):
        index.refresh()
        index.wait()
        assert index._saved == 4
    before = SnapshotFolder(tmp_path / "index").identity()
    two.close()
    assert SnapshotFolder(tmp_path / "index").identity() == before


BUILDER = """
import sys
from pathlib import Path
from hashdb.index.hamming import HammingIndex
from hashdb.snapshot import ReferenceIndex
from hashdb.store import Store
built = ReferenceIndex._built
ReferenceIndex._built = lambda *a: (print("built", flush=True), built(*a))[1]
index = ReferenceIndex(Store.open(sys.argv[1]), HammingIndex, folder=Path(sys.argv[2]))
index.open()
print(index.snapshot.value, index.number, index.sizes()["pdq"])
"""


@on_sqlite
def test_of_processes_that_start_together_one_reads_the_database(
    store: Store, store_url: str, bank: Bank, tmp_path: Path
) -> None:
    for _ in range(5):
        add(store, bank, fingerprint(20))
    command = [sys.executable, "-c", BUILDER, store_url, str(tmp_path / "index")]
    root = Path(__file__).parents[2]
    started = [
        subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True) for _ in range(3)
    ]
    told = [process.communicate(timeout=120)[0].split("\n") for process in started]
    assert [process.returncode for process in started] == [0, 0, 0]
    assert sum("built" in lines for lines in told) == 1
    assert all(lines[-2].split()[1:] == ["5", "100"] for lines in told)


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every snapshot is as large as those that are checked after they are opened."""
    monkeypatch.setattr("hashdb.snapshot._WHOLE", 0)
    monkeypatch.setattr("hashdb.format.CHECKED_AT_ONCE", 1000)


def flip_in(path: Path, array: np.ndarray) -> None:
    """Change one bit of that array, in a copy that takes the file's place."""
    data = bytearray(path.read_bytes())
    data[data.index(array.tobytes()) + array.nbytes // 2] ^= 0x10
    path.with_name("changed").write_bytes(data)
    os.replace(path.with_name("changed"), path)


@on_sqlite
@pytest.mark.parametrize("name", ["pdq/codes", "pdq/spans", "pdq/hamming/0/rows"])
def test_a_bit_that_flips_in_a_large_snapshot_is_found_soon_and_all_read_anew(
    store: Store,
    bank: Bank,
    shared: Make,
    large: None,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
    name: str,
) -> None:
    prints = [fingerprint(200), fingerprint(200)]
    ids = [add(store, bank, f) for f in prints]
    path = shared().save()
    good = read_file(path, KIND).arrays[name]
    flip_in(path, good)
    index = shared()
    assert index.snapshot in (SnapshotState.GOOD, SnapshotState.DAMAGED)
    index.wait()
    assert index.snapshot is SnapshotState.DAMAGED
    assert "is damaged" in caplog.text
    assert [found(index, f) for f in prints] == [{i} for i in ids]
    assert index.verify().ok
    assert is_mapped(index)
    again = shared()
    again.wait()
    assert again.snapshot is SnapshotState.GOOD
    assert (read_file(path, KIND).arrays[name] == good).all()


@on_sqlite
def test_a_bit_that_flips_is_seen_at_once_where_that_is_asked_for(
    store: Store, bank: Bank, shared: Make, large: None
) -> None:
    print_ = fingerprint(200)
    add(store, bank, print_)
    index = shared()
    path = index.save()
    flip_in(path, read_file(path, KIND).arrays["pdq/codes"])
    asked = ReferenceIndex(store, HammingIndex, folder=path.parent)
    asked.open(save=False, whole=True)
    assert asked.snapshot is SnapshotState.DAMAGED
    assert found(asked, print_)


@on_sqlite
def test_a_large_snapshot_is_checked_once_a_day_on_a_machine(
    store: Store,
    bank: Bank,
    shared: Make,
    large: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    checks: list[str] = []
    whole = Contents.check

    def check(contents: Contents) -> None:
        checks.append(contents.digest)
        whole(contents)

    monkeypatch.setattr(Contents, "check", check)
    add(store, bank, fingerprint(200))
    shared().wait()
    assert len(checks) == 1
    shared().wait()
    assert len(checks) == 1
    note = tmp_path / "index" / CHECKED
    long_ago = note.stat().st_mtime - 25 * 3600
    os.utime(note, (long_ago, long_ago))
    shared().wait()
    assert checks == [checks[0]] * 2
    index = shared()
    add(store, bank, fingerprint(200))
    index.refresh()
    index.save()
    shared().wait()
    assert len(checks) == 3
    assert checks[2] != checks[0]


@on_sqlite
def test_an_engine_reads_the_snapshot_of_another(
    store: Store, bank: Bank, make: Make, shared: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    prints = [fingerprint(50) for _ in range(3)]
    ids = [add(store, bank, f) for f in prints]
    make()
    monkeypatch.setattr(ReferenceIndex, "_built", _not_to_be_called)
    index = shared()
    index.wait()  # for the tables, which it writes
    assert is_mapped(index)
    for one in (index, make(), shared()):
        assert one.snapshot is SnapshotState.GOOD
        assert [found(one, f) for f in prints] == [{i} for i in ids]
        assert one.verify().ok


@on_sqlite
def test_a_snapshot_is_written_when_it_pays(
    store: Store, bank: Bank, shared: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(store, bank, fingerprint(200))
    index = shared(save_every=1)
    monkeypatch.setattr("hashdb.snapshot_meta._CHANGED", 1 / 50)
    for codes_added, saved in ((1, 1), (1, 1), (30, 4), *[(1, 4)] * 4, (1, 9)):
        add(store, bank, fingerprint(codes_added))
        index.refresh()
        index.wait()
        assert index._saved == saved
