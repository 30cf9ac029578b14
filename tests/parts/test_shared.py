"""References on a server that processes share: who writes, who sees, and what goes wrong."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from hashdb import shared
from hashdb.errors import BadFingerprint, IndexUnavailable
from hashdb.index.faiss_flat import FaissIndex
from hashdb.index.local import LocalIndex
from hashdb.model import Codes, Digests, Fingerprint, MediaKind
from hashdb.ports import PlacedCodes, SharedCodes
from hashdb.shared import SharedReferences
from hashdb.shared_hits import ROW_BITS
from hashdb.snapshot import ReferenceHits, ReferenceIndex
from hashdb.store import Store
from tests.milvus_part import Collections
from tests.shared_fake import FakeCodes, FakeServer

BITS = {"pdq": 256, "phash": 64}


@dataclass
class World:
    """A database, a server, and as many processes as are asked for. `fake`: None for a real one."""

    store: Store
    codes: Callable[[], dict[str, SharedCodes]]
    fake: FakeServer | None = None
    seed: int = 0

    def replica(self) -> ReferenceIndex:
        """The index of one more process."""
        return ReferenceIndex(
            self.store,
            FaissIndex,
            folder=None,
            signal_types=["pdq", "phash", "videohash"],
            local=LocalIndex,
            shared=SharedReferences(self.store, self.codes()),
        )

    def add(self, frames: int = 5) -> tuple[str, Codes]:
        """A reference of two signal types and two tracks; its id, and its first track's codes."""
        self.seed += 1
        rng = np.random.default_rng(self.seed)
        prints = [made(rng, kind, frames, track) for kind in BITS for track in (0, 1)]
        with self.store.begin() as tx:
            bank = next(iter(tx.banks.list()), None) or tx.banks.create("attacks")
            one, _ = tx.banks.add_reference(
                bank, kind=MediaKind.VIDEO, digests=Digests(), fingerprints=prints
            )
        return one.id, prints[0].codes

    def withdraw(self, reference_id: str) -> None:
        with self.store.begin() as tx:
            tx.banks.withdraw(reference_id)


def made(rng: np.random.Generator, kind: str, n: int, track: int) -> Fingerprint:
    codes = rng.integers(0, 256, (n, BITS[kind] // 8), dtype=np.uint8)
    quality = np.full(n, 100, dtype=np.uint8)
    return Fingerprint(kind, "made", codes, rng.random(n) * 99, rng.random(n), quality, track=track)


@pytest.fixture(params=["fake", pytest.param("milvus", marks=pytest.mark.heavy)])
def world(request: pytest.FixtureRequest, store: Store) -> Iterator[World]:
    if request.param == "fake":
        server = FakeServer()
        make = {k: lambda k=k, b=b: FakeCodes(b, server, k) for k, b in BITS.items()}
        yield World(store, lambda: {k: one() for k, one in make.items()}, server)
        return
    collections: Collections = request.getfixturevalue("collections")
    kept = {kind: collections.make(bits) for kind, bits in BITS.items()}
    yield World(store, lambda: {k: collections.again(index) for k, index in kept.items()})
    collections.give_back()


@pytest.fixture
def faked(store: Store) -> World:
    """With a server that can be told to fail."""
    server = FakeServer()
    return World(store, lambda: {k: FakeCodes(b, server, k) for k, b in BITS.items()}, server)


def names(index: ReferenceIndex, codes: Codes) -> set[str]:
    """Which references these codes are found in, after a look at the database."""
    index.refresh()
    hits = index.search("pdq", codes, 31, most=100)
    return {hits.names[i] for i in hits.references.tolist()}


def test_a_server_that_is_empty_is_filled_by_one(world: World) -> None:
    known = [world.add() for _ in range(7)]
    one, other = world.replica(), world.replica()
    one.open()
    other.open()
    for index in (one, other):
        assert index.sizes() == {"pdq": 70, "phash": 70, "videohash": 0}
        for name, codes in known:
            assert names(index, codes) == {name}
    if world.fake:
        assert world.fake.puts == {"pdq": 70, "phash": 70}


def test_a_change_is_found_by_all_whoever_writes_it(world: World) -> None:
    one, other = world.replica(), world.replica()
    one.open()
    other.open()
    for first, second in ((one, other), (other, one)):
        name, codes = world.add()
        assert names(first, codes) == {name}
        assert names(second, codes) == {name}
        world.withdraw(name)
        assert names(second, codes) == set()
        assert names(first, codes) == set()
    if world.fake:
        assert world.fake.puts == {"pdq": 20, "phash": 20}
    assert one.verify().ok


def test_hits_say_when_and_in_which_track(world: World) -> None:
    name, codes = world.add(frames=9)
    index = world.replica()
    index.open()
    index.refresh()
    with world.store.read() as tx:
        stored = [f for f in tx.banks.fingerprints(name) if f.signal_type == "pdq"]
    for one in stored:
        hits = index.search("pdq", one.codes, 0)
        order = np.argsort(hits.queries)
        assert (hits.queries[order] == np.arange(9)).all()
        assert (hits.offsets[order] == one.offsets).all()
        assert (hits.spans[order] == one.spans).all()
        assert (hits.tracks == one.track).all()
        assert (hits.codes[order] == one.codes).all()
        assert [hits.names[i] for i in hits.references] == [name] * 9
    with pytest.raises(BadFingerprint, match="not indexed"):
        index.search("sha256", codes, 31)


def test_the_nearest_are_kept_and_who_was_cut_is_told(world: World) -> None:
    _, codes = world.add(frames=1)
    for _ in range(9):
        with world.store.begin() as tx:
            bank = next(iter(tx.banks.list()))
            prints = [made(np.random.default_rng(1), "pdq", 1, 0)]
            tx.banks.add_reference(
                bank, kind=MediaKind.IMAGE, digests=Digests(), fingerprints=prints
            )
    index = world.replica()
    index.open()
    every = index.search("pdq", codes, 31)
    assert len(every) == 10
    assert len(every.crowded) == 0
    some = index.search("pdq", np.concatenate([~codes, codes]), 31, most=4)
    assert len(some) == 4
    assert some.crowded.tolist() == [1]
    exactly = index.search("pdq", codes, 31, most=10)
    assert (len(exactly), len(exactly.crowded)) == (10, 0)


@pytest.mark.parametrize("off", ["some", "all but one", "all", "the bank"])
def test_disabled_references_take_no_places(world: World, off: str) -> None:
    """What is found is what engines in memory find: see `test_snapshot_hidden`."""
    code = np.random.default_rng(1).integers(0, 256, (1, 32), dtype=np.uint8)
    ids = [add_near(world.store, code, i % 4, "attacks" if i > 30 else "old") for i in range(40)]
    gone = {"some": ids[::3] + ids[1::3], "all but one": ids[:-1], "all": ids, "the bank": []}[off]
    index, memory = world.replica(), in_memory(world.store)
    index.open()
    memory.open()
    with world.store.begin() as tx:
        for reference_id in gone:
            tx.banks.set_enabled(reference_id, False)
        if off == "the bank":
            tx.banks.update(tx.banks.get("old").id, enabled=False)
    queries = np.concatenate([~code, code])
    for one in (index, memory):
        one.refresh()
    for most in (1, 3, 9, 14, 100):
        found, expected = (one.search("pdq", queries, 31, most=most) for one in (index, memory))
        assert told(found) == told(expected)
        assert found.crowded.tolist() == expected.crowded.tolist()
    assert len(index.search("pdq", queries, 31)) == 40
    assert index.verify().ok


def add_near(store: Store, code: Codes, bits: int, bank: str) -> str:
    """A reference in that bank of one picture, so many bits from `code`; its id."""
    codes = code.copy()
    codes[0, :bits] ^= 1
    one = Fingerprint("pdq", "made", codes, np.zeros(1), np.ones(1), np.full(1, 100, np.uint8))
    with store.begin() as tx:
        known = {b.name: b for b in tx.banks.list()}
        made, _ = tx.banks.add_reference(
            known.get(bank) or tx.banks.create(bank),
            kind=MediaKind.IMAGE,
            digests=Digests(),
            fingerprints=[one],
        )
    return made.id


def in_memory(store: Store) -> ReferenceIndex:
    return ReferenceIndex(store, FaissIndex, folder=None, signal_types=["pdq"])


def told(hits: ReferenceHits) -> list[tuple[int, str, int]]:
    names = [hits.names[i] for i in hits.references.tolist()]
    return sorted(zip(hits.queries.tolist(), names, hits.distances.tolist(), strict=True))


def test_what_is_added_and_withdrawn_before_anybody_looks_leaves_nothing(world: World) -> None:
    index = world.replica()
    index.open()
    name, codes = world.add()
    kept, other = world.add()
    world.withdraw(name)
    assert names(index, codes) == set()
    assert names(index, other) == {kept}
    assert index.sizes()["pdq"] == 10
    assert index.verify().ok


def test_many_changes_at_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared, "_PAGE", 3)
    monkeypatch.setattr(shared, "_MARKED", 2)
    index, late = world.replica(), world.replica()
    index.open()
    known = [world.add() for _ in range(17)]
    for name, _ in known[::4]:
        world.withdraw(name)
    gone = {name for name, _ in known[::4]}
    for replica in (index, late, world.replica()):
        for name, codes in known:
            assert names(replica, codes) == {name} - gone
    assert index.verify().ok
    assert index.sizes()["pdq"] == 10 * (17 - len(gone))


def test_processes_that_race_write_each_code_once(faked: World) -> None:
    for _ in range(20):
        faked.add()
    errors: list[BaseException] = []

    def run() -> None:
        try:
            index = faked.replica()
            index.open()
            for _ in range(5):
                name, codes = faked.add()
                assert names(index, codes) == {name}
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert faked.fake is not None
    assert faked.fake.puts == {"pdq": 400, "phash": 400}
    assert faked.replica().verify().ok


def test_a_server_that_is_away_is_told_and_comes_back(faked: World) -> None:
    assert faked.fake is not None
    known, codes = faked.add()
    index = faked.replica()
    index.open()
    assert names(index, codes) == {known}
    assert index.sizes()["pdq"] == 10
    faked.fake.away = True
    with pytest.raises(IndexUnavailable):
        index.search("pdq", codes, 31)
    with pytest.raises(IndexUnavailable):
        index.refresh()
    with pytest.raises(IndexUnavailable):
        index.ping()
    assert index.sizes()["pdq"] == 10  # what was known last
    late, other = faked.add()
    with pytest.raises(IndexUnavailable):
        index.refresh()
    started = faked.replica()
    started.open()  # it does not stop the start
    faked.fake.away = False
    for replica in (index, started):
        replica.ping()
        assert names(replica, other) == {late}
        assert names(replica, codes) == {known}
    assert index.verify().ok


@pytest.mark.parametrize("writes", range(8))
def test_a_write_that_breaks_off_anywhere_is_made_good(faked: World, writes: int) -> None:
    """The database is the truth: whatever was written of a change, the next one to look mends."""
    assert faked.fake is not None
    index = faked.replica()
    index.open()
    first, gone = faked.add()
    assert names(index, gone) == {first}
    known, codes = faked.add()
    faked.withdraw(first)
    faked.fake.fail_after = writes
    try:
        names(index, codes)
    except IndexUnavailable:
        assert writes < 6
    faked.fake.fail_after, faked.fake.away = None, False
    for replica in (faked.replica(), index):
        assert names(replica, codes) == {known}
        assert names(replica, gone) == set()
        assert replica.sizes()["pdq"] == 10
        assert replica.verify().ok


def test_a_start_does_not_write_anew(faked: World) -> None:
    assert faked.fake is not None
    for _ in range(5):
        faked.add()
    faked.replica().open()
    faked.fake.puts.clear()
    started = faked.replica()
    started.open()
    assert faked.fake.puts == {}
    assert started.sizes()["pdq"] == 50


def test_a_server_put_back_to_an_earlier_state_is_brought_up(faked: World) -> None:
    """While it runs, and without a search that failed: the change feed looks now and then."""
    assert faked.fake is not None
    index = faked.replica()
    index.open()
    first, codes = faked.add()
    assert names(index, codes) == {first}
    backup = faked.fake.copy()
    second, other = faked.add()
    faked.withdraw(first)
    assert names(index, other) == {second}
    faked.fake.put_back(backup)
    index.ping()
    assert names(index, other) == {second}
    assert names(index, codes) == set()
    assert index.verify().ok
    faked.fake.put_back(FakeServer())  # all is gone
    index.ping()
    assert names(index, other) == {second}


def test_a_database_put_back_to_an_earlier_state(sqlite_url: str, tmp_path: Path) -> None:
    """Its numbers are given again, to other references."""
    server = FakeServer()
    file = Path(sqlite_url.removeprefix("sqlite:///"))

    def world() -> World:
        store = Store.open(sqlite_url)
        return World(store, lambda: {k: FakeCodes(b, server, k) for k, b in BITS.items()}, server)

    before = world()
    kept, codes = before.add()
    index = before.replica()
    index.open()
    index.close()
    before.store.close()
    backup = file.read_bytes()
    later = world()
    later.seed = 10
    lost, gone = later.add()
    assert names(later.replica(), gone) == {lost}
    later.store.close()
    file.write_bytes(backup)
    now = world()
    now.seed = 20
    new, other = now.add()
    for replica in (now.replica(), now.replica()):
        assert names(replica, codes) == {kept}
        assert names(replica, other) == {new}
        assert names(replica, gone) == set()
        assert replica.verify().ok
    now.store.close()


def test_verify_tells_what_differs_and_rebuild_mends_it(world: World) -> None:
    index = world.replica()
    index.open()
    known = [world.add() for _ in range(5)]
    assert index.verify().ok
    codes = world.codes()["pdq"]
    codes.catch_up()
    every = codes.within(0, 2**63 - 1)
    numbers = np.unique(every.ids >> ROW_BITS)
    codes.remove(every.ids[(every.ids >> ROW_BITS) == numbers[1]][:1])
    stray = every.take(np.arange(3))
    other = (int(numbers[-1]) + 50) << ROW_BITS
    codes.put(PlacedCodes(stray.ids + other, *columns(stray)))
    wrong = every.take(np.flatnonzero((every.ids >> ROW_BITS) == numbers[3])[:1])
    codes.remove(wrong.ids)
    codes.put(PlacedCodes(wrong.ids, ~wrong.codes, *columns(wrong)[1:]))
    index.refresh()
    report = index.verify()
    assert set(report.missing) == {known[1][0], known[3][0]}
    assert len(report.extra) == 1
    assert not report.ok
    index.rebuild(save=False)
    report = index.verify()
    assert report.ok
    assert report.codes["pdq"] == 50
    assert names(index, known[1][1]) == {known[1][0]}


def test_what_was_changed_since_the_mark_is_no_difference(faked: World) -> None:
    index = faked.replica()
    index.open()
    first, codes = faked.add()
    assert names(index, codes) == {first}
    faked.add()
    faked.withdraw(first)
    assert index._shared is not None
    told = index._shared.differences()
    assert (told.missing, told.extra) == (frozenset(), frozenset())
    assert index.verify().ok


def test_changes_go_on_while_all_is_mended(faked: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reference that comes in the middle is found meanwhile, and one that goes stays gone."""
    monkeypatch.setattr(shared, "_PAGE", 2)
    monkeypatch.setattr(shared, "_MARKED", 1)
    monkeypatch.setattr(shared, "_PATIENCE_S", 0.2)
    known = [faked.add() for _ in range(9)]
    index, other = faked.replica(), faked.replica()
    index.open()
    other.open()
    turns: list[int] = []

    def progress(done: int, every: int) -> None:
        gone, codes = known[len(turns) + 4]
        turns.append(done)
        name, new = faked.add()
        assert names(other, new) == {name}
        faked.withdraw(gone)
        assert names(other, codes) == set()

    index.rebuild(lambda done, every: progress(done, every) if len(turns) < 4 else None, save=False)
    assert len(turns) == 4
    for name, codes in (known[0], known[8]):
        assert names(index, codes) == {name}
    assert index.verify().ok
    assert index.sizes()["pdq"] == 90


def columns(rows: PlacedCodes) -> tuple[Codes, np.ndarray, np.ndarray, np.ndarray]:
    return rows.codes, rows.offsets, rows.spans, rows.tracks


def test_while_one_fills_it_others_say_so(faked: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """They do not wait for minutes, and above all they do not say that nothing was found."""
    monkeypatch.setattr(shared, "_PATIENCE_S", 0.1)
    _, codes = faked.add()
    index = faked.replica()
    with faked.store.alone(1.0) as mine:
        assert mine
        with pytest.raises(IndexUnavailable, match="another process"):
            index.refresh()
    assert len(names(index, codes)) == 1


def test_one_at_a_time(store_url: str) -> None:
    with closing(Store.open(store_url)) as one, closing(Store.open(store_url)) as other:
        with one.alone(1.0) as mine:
            assert mine
            with other.alone(0.1) as second:
                assert not second
            with other.begin() as tx:  # transactions go on
                tx.banks.create("attacks")
        with other.alone(1.0) as second:
            assert second
