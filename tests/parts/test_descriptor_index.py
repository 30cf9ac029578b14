"""The index of descriptors against a brute-force oracle."""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from hashdb.errors import BadFingerprint, BadSnapshot
from hashdb.index import descriptors as engine
from hashdb.index.descriptors import DescriptorIndex
from hashdb.model import Descriptors
from hashdb.ports import DescriptorBackend, DescriptorHits

WIDE = 24
ALL = 10**9


def some(seed: int, n: int = 20, wide: int = WIDE, track: int = 0) -> Descriptors:
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(n, wide))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return Descriptors("m:1", np.sort(rng.uniform(0, 60, n)), vectors.astype(np.float16), track)


class Oracle:
    """What must come out: every product, one by one."""

    def __init__(self) -> None:
        self.held: list[tuple[int, Descriptors]] = []

    def search(self, queries: NDArray[np.float32], least: float) -> set[tuple[int, int, float]]:
        return {
            (row, ordinal, float(offset))
            for row, query in enumerate(queries)
            for ordinal, one in self.held
            for offset, vector in zip(one.offsets, one.vectors, strict=True)
            if sum(float(a) * float(b) for a, b in zip(query, vector, strict=True)) >= least
        }


def found(hits: DescriptorHits, held: list[tuple[int, Descriptors]]) -> set[tuple[int, int, float]]:
    """The hits by the offset that lies in their stretch."""
    offsets = {o: np.concatenate([d.offsets for k, d in held if k == o]) for o, _ in held}
    rows = set()
    for query, ordinal, start, end in zip(
        hits.queries.tolist(),
        hits.ordinals.tolist(),
        hits.starts.tolist(),
        hits.ends.tolist(),
        strict=True,
    ):
        mine = offsets[ordinal]
        inside = mine[(mine > start - 1e-9) & (mine < end + 1e-9)]
        rows.add((query, ordinal, float(inside[0])))
    return rows


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a few rows make several blocks, and many hits are cut on the way."""
    monkeypatch.setattr(engine, "_BLOCK", 7)
    monkeypatch.setattr(engine, "_HELD", 50)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("least", [-1.0, 0.0, 0.3, 0.6])
def test_every_picture_from_the_least_cosine_on_is_found(least: float) -> None:
    index: DescriptorBackend = DescriptorIndex()
    oracle = Oracle()
    for ordinal in range(6):
        oracle.held.append((ordinal, some(ordinal, n=1 + 9 * ordinal)))
    index.add(oracle.held[:2])
    for one in oracle.held[2:]:
        index.add([one])
    queries = some(99, n=8).vectors.astype(np.float32)
    assert len(index) == sum(len(d) for _, d in oracle.held)
    hits = index.search(queries, least, ALL)
    assert len(hits) == len(oracle.search(queries, least))
    assert found(hits, oracle.held) == oracle.search(queries, least)
    assert (hits.similarities >= least).all()
    for gone in ([1, 4, 17], [0], [5], [2, 3]):
        index.remove(gone)
        oracle.held = [(o, d) for o, d in oracle.held if o not in gone]
        hits = index.search(queries, least, ALL)
        assert found(hits, oracle.held) == oracle.search(queries, least)
        assert index.counts() == {o: len(d) for o, d in oracle.held}
    assert len(index) == 0
    index.add([(3, some(3))])
    assert len(index.search(queries, -1.0, ALL)) == 8 * 20


@pytest.mark.usefixtures("small_blocks")
def test_of_many_hits_the_nearest_are_given() -> None:
    index = DescriptorIndex()
    index.add((n, some(n, n=40)) for n in range(5))
    queries = some(50, n=3).vectors
    every = index.search(queries, -1.0, ALL)
    best = index.search(queries, -1.0, 9)
    for row in range(3):
        wanted = np.sort(every.similarities[every.queries == row])[-9:]
        assert np.sort(best.similarities[best.queries == row]) == pytest.approx(wanted)


def test_hidden_references_take_no_places() -> None:
    index, one = DescriptorIndex(), some(1, n=1)
    index.add((n, one) for n in range(20))
    index.hide(range(19))
    assert index.search(one.vectors, 0.9, 5).ordinals.tolist() == [19]
    assert len(index) == 20
    index.hide([])
    assert len(index.search(one.vectors, 0.9, 5)) == 5


def test_a_picture_stands_for_the_time_up_to_halfway_to_its_neighbours() -> None:
    vectors = np.eye(5, WIDE, dtype=np.float16)
    index = DescriptorIndex()
    index.add([(0, Descriptors("m:1", np.array([1.0, 2.0, 4.0, 30.0, 31.0]), vectors))])
    hits = index.search(vectors, 0.9, ALL)
    order = np.argsort(hits.queries)
    assert hits.starts[order] == pytest.approx([0.5, 1.5, 3.0, 28.0, 30.5])
    assert hits.ends[order] == pytest.approx([1.5, 3.0, 6.0, 30.5, 31.5])
    assert hits.similarities == pytest.approx(1.0)
    alone = DescriptorIndex()
    alone.add([(0, Descriptors("m:1", np.array([7.0]), vectors[:1]))])
    only = alone.search(vectors[:1], 0.9, ALL)
    assert (only.starts[0], only.ends[0]) == (5.0, 9.0)


def test_there_and_back() -> None:
    index = DescriptorIndex()
    index.add([(0, some(1)), (2, some(2)), (2, some(3, track=1))])
    index.remove([0])
    arrays = index.arrays()
    assert set(arrays["references"].tolist()) == {2}
    loaded = DescriptorIndex()
    loaded.load(arrays)
    queries = some(8).vectors
    for one in (index, loaded):
        hits = one.search(queries, 0.2, ALL)
        assert found(hits, [(2, some(2)), (2, some(3))]) == found(
            index.search(queries, 0.2, ALL), [(2, some(2)), (2, some(3))]
        )
        assert one.counts() == {2: 40}
    empty = DescriptorIndex()
    empty.load(DescriptorIndex().arrays())
    assert len(empty) == 0
    assert len(empty.search(queries, -1.0, ALL)) == 0


@pytest.mark.parametrize(
    "spoil",
    [
        lambda a: a.update(vectors=a["vectors"].astype(np.float32)),
        lambda a: a.update(vectors=a["vectors"][0]),
        lambda a: a.update(vectors=a["vectors"][1:]),
        lambda a: a.update(vectors=np.full_like(a["vectors"], 0x7E00)),
        lambda a: a.update(references=a["references"].astype(np.int64)),
        lambda a: a.update(starts=a["starts"] * np.nan),
        lambda a: a.update(ends=a["ends"][:1]),
    ],
)
def test_spoilt_arrays_are_refused(spoil: Callable[[dict[str, object]], None]) -> None:
    index = DescriptorIndex()
    index.add([(0, some(1))])
    arrays = dict(index.arrays())
    spoil(arrays)
    with pytest.raises(BadSnapshot, match="descriptors"):
        DescriptorIndex().load(arrays)


def test_vectors_that_do_not_fit_are_refused() -> None:
    index = DescriptorIndex()
    index.add([(0, some(1))])
    with pytest.raises(BadFingerprint, match="lengths"):
        index.add([(1, some(2, wide=WIDE + 1))])
    with pytest.raises(BadFingerprint, match="shape"):
        index.search(some(2, wide=WIDE + 1).vectors, 0.5, 10)
    with pytest.raises(BadFingerprint, match="offsets"):
        index.add([(1, Descriptors("m:1", np.arange(3.0), some(2).vectors))])
    with pytest.raises(ValueError, match="ordinal"):
        index.add([(-1, some(2))])
    assert index.counts() == {0: 20}


def test_searches_beside_a_writer_see_each_reference_whole_or_not_at_all() -> None:
    index = DescriptorIndex()
    index.add([(0, some(0))])
    queries = some(99, n=2).vectors
    odd: list[int] = []
    stop = threading.Event()

    def search() -> None:
        while not stop.is_set():
            hits = index.search(queries, -1.0, ALL)
            odd.extend(n for n in np.unique(hits.ordinals, return_counts=True)[1] if n != 40)

    readers = [threading.Thread(target=search) for _ in range(2)]
    for reader in readers:
        reader.start()
    for n in range(1, 120):
        index.add([(n, some(n))])
        if n % 3 == 0:
            index.remove([n - 1, n - 2])
    stop.set()
    for reader in readers:
        reader.join()
    assert odd == []
    assert len(index) == 20 * (120 - 2 * 39)
