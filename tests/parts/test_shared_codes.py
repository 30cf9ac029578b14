"""What every server of shared codes must do, the fake too. Two clients, as of two processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from secrets import token_hex

import numpy as np
import pytest

from hashdb.errors import BadSetting, IndexUnavailable
from hashdb.index.milvus import MilvusIndex
from hashdb.index.milvus_server import MilvusServer
from hashdb.ports import Mark, PlacedCodes, SharedCodes
from tests.milvus_part import Collections, Milvus
from tests.shared_fake import FakeCodes, FakeServer, no_codes

Pair = Callable[[int], tuple[SharedCodes, SharedCodes]]


@pytest.fixture(params=["fake", pytest.param("milvus", marks=pytest.mark.heavy)])
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    if request.param == "fake":

        def fakes(bits: int) -> tuple[SharedCodes, SharedCodes]:
            server = FakeServer()
            return FakeCodes(bits, server, "one"), FakeCodes(bits, server, "one")

        yield fakes
        return
    collections: Collections = request.getfixturevalue("collections")
    yield collections.pair
    collections.give_back()


@pytest.fixture(params=[64, 256])
def bits(request: pytest.FixtureRequest) -> int:
    width: int = request.param
    return width


def some_rows(ids: np.ndarray, bits: int, seed: int = 0) -> PlacedCodes:
    rng = np.random.default_rng(seed)
    n = len(ids)
    return PlacedCodes(
        np.asarray(ids, dtype=np.int64),
        rng.integers(0, 256, (n, bits // 8), dtype=np.uint8),
        rng.random(n) * 1e4,
        rng.random(n),
        rng.integers(0, 64, n).astype(np.int32),
    )


def same(one: PlacedCodes, other: PlacedCodes) -> bool:
    names = ("ids", "codes", "offsets", "spans", "tracks")
    return all(np.array_equal(getattr(one, n), getattr(other, n)) for n in names)


def test_what_one_puts_another_finds_when_it_has_caught_up(pair: Pair, bits: int) -> None:
    one, other = pair(bits)
    rows = some_rows(np.arange(300) * 5 + (7 << 24), bits)
    one.put(rows)
    other.catch_up()
    assert len(other) == 300
    assert same(other.within(0, 2**63 - 1), rows)
    found = other.find(rows.codes[::3], 0)
    order = np.argsort(found.hits.queries)
    assert (found.hits.ids[order] == rows.ids[::3]).all()
    assert (found.offsets[order] == rows.offsets[::3]).all()
    assert (found.spans[order] == rows.spans[::3]).all()
    assert (found.tracks[order] == rows.tracks[::3]).all()
    other.remove(rows.ids[:200])
    one.catch_up()
    assert same(one.within(0, 2**63 - 1), rows.take(np.arange(200, 300)))


def test_a_range_has_its_lower_end_and_not_its_upper(pair: Pair) -> None:
    one, _ = pair(64)
    rows = some_rows(np.arange(10, 20), 64)
    one.put(rows)
    one.catch_up()
    assert one.within(12, 15).ids.tolist() == [12, 13, 14]
    assert same(one.within(30, 40), no_codes(64))
    assert one.within(0, 11).ids.tolist() == [10]


def test_the_greatest_ids_that_there_can_be(pair: Pair) -> None:
    one, _ = pair(64)
    rows = some_rows(np.array([0, 2**53 + 1, 2**62 + 3, 2**63 - 2]), 64)
    one.put(rows)
    one.catch_up()
    assert same(one.within(0, 2**63 - 1), rows)


def test_the_mark_is_the_one_that_was_set_last(pair: Pair, bits: int) -> None:
    one, other = pair(bits)
    assert one.mark() is None
    marks = [Mark(0, b"before a"), Mark(5, b"12345678"), Mark(6, b"12345678"), Mark(6, b"87654321")]
    for mark in [*marks, Mark(3, b"earlier!"), Mark(2**39 - 1, bytes(8))]:
        one.set_mark(mark)
        other.catch_up()
        assert one.mark() == other.mark() == mark
    assert len(other) == 0
    assert same(other.within(0, 2**63 - 1), no_codes(bits))
    zeros = np.zeros((1, bits // 8), dtype=np.uint8)
    assert len(other.find(zeros, bits).hits) == 0


def test_who_sees_the_mark_sees_what_was_put_before(pair: Pair) -> None:
    one, other = pair(256)
    for number in range(1, 8):
        rows = some_rows(np.arange(50) + (number << 24), 256, number)
        one.put(rows)
        one.set_mark(Mark(number, b"12345678"))
        other.catch_up()
        assert other.mark() == Mark(number, b"12345678")
        assert len(other.find(rows.codes, 0).hits) == 50


@pytest.mark.heavy
def test_more_rows_than_are_given_at_once(collections: Collections) -> None:
    one = collections.make(64)
    rows = some_rows(np.sort(np.random.default_rng(3).choice(2**40, 50_000, replace=False)), 64)
    one.put(rows)
    one.catch_up()
    assert same(one.within(0, 2**63 - 1), rows)
    middle = int(rows.ids[25_000])
    assert same(one.within(middle, 2**63 - 1), rows.take(np.arange(25_000, 50_000)))
    collections.give_back()


@pytest.mark.heavy
def test_a_collection_of_another_kind_is_refused(milvus: Milvus) -> None:
    server, name = MilvusServer(milvus.uri), f"test_{token_hex(6)}"
    made = MilvusIndex(64, server, name)
    assert len(made) == 0
    with pytest.raises(BadSetting, match="another version"):
        len(MilvusIndex(256, server, name))
    made.drop()


@pytest.mark.heavy
def test_a_collection_that_is_gone_is_made_anew(milvus: Milvus) -> None:
    server, name = MilvusServer(milvus.uri), f"test_{token_hex(6)}"
    index = MilvusIndex(64, server, name)
    index.set_mark(Mark(1, b"12345678"))
    MilvusIndex(64, server, name).drop()
    with pytest.raises(IndexUnavailable):
        index.find(np.zeros((1, 8), dtype=np.uint8), 0)
    assert index.mark() is None
    index.drop()


def test_an_address_where_nothing_listens() -> None:
    server = MilvusServer("http://127.0.0.1:9", "root:secret-word")
    index = MilvusIndex(64, server, "nothing")
    for _ in range(2):
        with pytest.raises(IndexUnavailable) as caught:
            index.mark()
        assert "secret-word" not in str(caught.value)
