"""Snapshots that processes map and share."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hashdb.format import Contents, read_file
from hashdb.index.hamming import HammingIndex
from hashdb.model import (
    Bank,
)
from hashdb.snapshot import FILE, KIND, ReferenceIndex, SnapshotState
from hashdb.snapshot_folder import CHECKED, SnapshotFolder
from hashdb.store import Store
from tests.hamming import always_file
from tests.snapshots import (
    Make,
    add,
    fingerprint,
    found,
    not_to_be_called,
    on_sqlite,
    withdraw,
)


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
    monkeypatch.setattr(ReferenceIndex, "_built", not_to_be_called)
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
    monkeypatch.setattr(ReferenceIndex, "_built", not_to_be_called)
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
