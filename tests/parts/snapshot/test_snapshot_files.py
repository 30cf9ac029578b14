"""Snapshots of the reference index: good, bad and missing ones, and a database put back."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from hashdb.format import read_file, write_file
from hashdb.index.faiss_flat import FaissIndex
from hashdb.model import (
    Bank,
)
from hashdb.snapshot import FILE, KIND, ReferenceIndex, SnapshotState
from hashdb.store import Store
from tests.snapshots import (
    Make,
    add,
    fingerprint,
    found,
    not_to_be_called,
    on_sqlite,
    withdraw,
)


def test_the_first_rebuild_leaves_a_snapshot_that_the_next_process_uses(
    store: Store, bank: Bank, make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prints = [fingerprint(), fingerprint(4, "phash"), fingerprint()]
    ids = [add(store, bank, f) for f in prints]
    withdraw(store, ids[0])
    make()
    later = fingerprint()
    ids.append(add(store, bank, later))
    monkeypatch.setattr(ReferenceIndex, "_built", not_to_be_called)
    second = make()
    assert second.number == 5
    assert [found(second, f) for f in [*prints, later]] == [set(), {ids[1]}, {ids[2]}, {ids[3]}]
    assert second.verify().ok
    assert os.listdir(tmp_path / "index") == [FILE]


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
