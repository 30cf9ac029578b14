"""What every index must do, whichever engine it is. The oracle is arithmetic written here."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from hashdb.errors import BadFingerprint
from hashdb.format import read_file, write_file
from hashdb.index.exact import ExactIndex
from hashdb.index.faiss_flat import FaissIndex
from hashdb.index.growing import GrowingIndex
from hashdb.index.hamming import HammingIndex
from hashdb.model import Codes, Ints
from hashdb.placings import natural_bits, sorted_bits
from hashdb.ports import CodeHits, IndexBackend
from tests.hamming import always_file, whole
from tests.milvus_part import Collections

Make = Callable[[int], IndexBackend]
Rows = list[tuple[int, int, int]]
Steps = list[tuple[str, list[tuple[int, int]]]]

ENGINES = [ExactIndex, FaissIndex, HammingIndex]
UNUSED = 120 * 10**9
"""From here on ids that no other test uses. Milvus 2.3.5, whose collections many tests use, may
show a read beside writers an older row of an id that was used before."""
RADII = [0, 1, 2, 6, 15, 30, 31, 32, 40, 63, 64, 100, 127, 128, 129, 200, 255, 256]


class AlwaysFiled(HammingIndex):
    """Files and asks for codes however few there are: see `make`."""


class AlwaysWide(HammingIndex):
    """The same, in the layout that segments of many codes have."""


def growing(bits: int) -> IndexBackend:
    """Becomes the other engine when some codes are there."""
    return GrowingIndex(bits, small=FaissIndex, large=HammingIndex, many=6)


MILVUS = pytest.param("milvus", marks=pytest.mark.heavy)  # a real server: some 0.1 s a step


@pytest.fixture(params=[*ENGINES, AlwaysFiled, AlwaysWide, growing, MILVUS])
def make(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    if request.param == "milvus":
        collections: Collections = request.getfixturevalue("collections")
        yield collections.make
        collections.give_back()
        return
    engine: Make = request.param
    if engine in (AlwaysFiled, AlwaysWide):
        always_file(monkeypatch, wide=engine is AlwaysWide)
    yield engine


@pytest.fixture(params=[64, 256])
def bits(request: pytest.FixtureRequest) -> int:
    width: int = request.param
    return width


def random_codes(rng: np.random.Generator, n: int, bits: int) -> Codes:
    return rng.integers(0, 256, (n, bits // 8), dtype=np.uint8)


def flipped(code: Codes, distance: int, rng: np.random.Generator) -> Codes:
    """The code with exactly so many bits changed."""
    every = np.unpackbits(code)
    every[rng.choice(len(every), distance, replace=False)] ^= 1
    return np.packbits(every)


def rows(hits: CodeHits) -> Rows:
    """Hits in one order, to compare."""
    assert hits.queries.dtype == hits.ids.dtype == np.int64
    assert hits.distances.dtype == np.int16
    assert len(hits) == len(hits.queries) == len(hits.ids) == len(hits.distances)
    assert len(hits) == len(hits.codes)
    return sorted(
        zip(hits.queries.tolist(), hits.ids.tolist(), hits.distances.tolist(), strict=True)
    )


def expected(entries: dict[int, bytes], queries: Codes, radius: int) -> Rows:
    """By the definition: every pair, one bit at a time."""
    if not entries:
        return []
    ids = list(entries)
    stored = np.array([list(entries[i]) for i in ids], dtype=np.uint8)
    found: Rows = []
    for row, query in enumerate(np.unpackbits(queries, axis=1)):
        distances = (np.unpackbits(stored, axis=1) != query).sum(axis=1)
        found += [(row, i, int(d)) for i, d in zip(ids, distances, strict=True) if d <= radius]
    return sorted(found)


def filled(make: Make, codes: Codes, ids: Ints | None = None) -> IndexBackend:
    index = make(8 * codes.shape[1])
    index.add(codes, np.arange(len(codes)) if ids is None else ids)
    return index


def test_every_radius_finds_just_what_lies_within_it(make: Make) -> None:
    """One code at each distance from 0 to 256."""
    rng = np.random.default_rng(1)
    query = random_codes(rng, 1, 256)
    codes = np.stack([flipped(query[0], d, rng) for d in range(257)])
    index = filled(make, codes[::-1].copy(), np.arange(256, -1, -1))
    for radius in range(257):
        assert rows(index.search(query, radius)) == [(0, d, d) for d in range(radius + 1)]
    assert len(index.search(query, 10_000)) == 257


@pytest.mark.parametrize("radius", RADII)
def test_random_codes_in_clusters(make: Make, bits: int, radius: int) -> None:
    rng = np.random.default_rng(radius)
    centres = random_codes(rng, 6, bits)
    distances = [d for d in (0, 0, 1, radius - 1, radius, radius + 1, bits) if 0 <= d <= bits]
    near = [flipped(c, d, rng) for c in centres for d in distances]
    codes = np.concatenate([random_codes(rng, 60, bits), np.stack(near), centres])
    order = rng.permutation(len(codes))
    ids = rng.choice(2**40, len(codes), replace=False)
    index = filled(make, codes[order], ids)
    entries = dict(zip(ids.tolist(), [c.tobytes() for c in codes[order]], strict=True))
    queries = np.concatenate([centres, random_codes(rng, 5, bits)])
    assert rows(index.search(queries, radius)) == expected(entries, queries, radius)


def test_what_differs_in_less_than_an_eighth_of_its_bits_may_be_hit(make: Make, bits: int) -> None:
    """And what is found by a search of a wider radius nearly always may."""
    rng = np.random.default_rng(bits)
    codes = random_codes(rng, 400, bits)
    index = filled(make, codes)
    sure, radius = bits // 8 - 1, 46 * bits // 256
    for code in codes[:100]:
        near = flipped(code, int(rng.integers(0, sure + 1)), rng)
        assert index.may_hit(near[None], radius)
        assert index.may_hit(np.stack([*random_codes(rng, 3, bits), near]), sure)
    edge = [index.may_hit(flipped(code, radius, rng)[None], radius) for code in codes]
    assert np.mean(edge) > 0.85


@pytest.mark.parametrize("sizes", [(1,) * 70, (40, 1, 1, 20, 3, 90, 1), (300,), (5, 5, 5, 5, 5)])
def test_however_the_codes_came(make: Make, bits: int, sizes: tuple[int, ...]) -> None:
    rng = np.random.default_rng(len(sizes))
    index, next_id = make(bits), 0
    entries: dict[int, bytes] = {}
    base = random_codes(rng, 4, bits)
    for size in sizes:
        codes = np.stack(
            [flipped(base[rng.integers(4)], int(rng.integers(12)), rng) for _ in range(size)]
        )
        ids = np.arange(next_id, next_id + size)
        index.add(codes, ids)
        entries.update(zip(ids.tolist(), [c.tobytes() for c in codes], strict=True))
        next_id += size
    assert len(index) == next_id
    assert rows(index.search(base, 9)) == expected(entries, base, 9)


@st.composite
def _steps(draw: st.DrawFn) -> Steps:
    """Additions and removals over few ids and few codes, so that they meet."""
    step = st.tuples(
        st.sampled_from(["add", "remove"]),
        st.lists(st.tuples(st.integers(0, 30), st.integers(0, 7)), max_size=12),
    )
    return draw(st.lists(step, max_size=14))


@pytest.mark.parametrize("engine", ENGINES)
@given(steps=_steps(), radius=st.integers(0, 64))
@settings(max_examples=120, deadline=None)
def test_any_sequence_of_additions_and_removals(engine: Make, steps: Steps, radius: int) -> None:
    any_sequence(engine, steps, radius)


@pytest.mark.heavy
@given(steps=_steps(), radius=st.integers(0, 64))
@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_sequence_with_milvus(collections: Collections, steps: Steps, radius: int) -> None:
    any_sequence(collections.make, steps, radius)
    collections.give_back()


def any_sequence(engine: Make, steps: Steps, radius: int) -> None:
    palette = random_codes(np.random.default_rng(5), 8, 64)
    palette[1::2] = palette[::2] ^ np.array([3, 0, 0, 0, 0, 0, 0, 0], dtype=np.uint8)
    index, entries = engine(64), {}
    for act, pairs in steps:
        if act == "add":
            new = {i: c for i, c in pairs if i not in entries}
            index.add(palette[list(new.values())].reshape(-1, 8), np.array(list(new), dtype=int))
            entries.update({i: palette[c].tobytes() for i, c in new.items()})
        else:
            index.remove(np.array([i for i, _ in pairs], dtype=np.int64))
            for i, _ in pairs:
                entries.pop(i, None)
        assert len(index) == len(entries)
    assert rows(index.search(palette, radius)) == expected(entries, palette, radius)
    codes, ids = index.arrays()
    assert ids.tolist() == sorted(entries)
    assert [c.tobytes() for c in codes] == [entries[i] for i in sorted(entries)]


def test_an_empty_index_and_an_empty_query(make: Make, bits: int) -> None:
    rng = np.random.default_rng(2)
    index = make(bits)
    assert index.bits == bits
    none = np.empty((0, bits // 8), dtype=np.uint8)
    for _ in range(2):
        assert len(index) == 0
        assert rows(index.search(random_codes(rng, 3, bits), bits)) == []
        assert rows(index.search(none, bits)) == []
        codes, ids = index.arrays()
        assert (codes.shape, ids.shape) == ((0, bits // 8), (0,))
        assert (codes.dtype, ids.dtype) == (np.dtype(np.uint8), np.dtype(np.int64))
        index.remove(np.array([4, 5]))
        index.remove(np.empty(0, dtype=np.int64))
        index.add(none, np.empty(0, dtype=np.int64))
        index.add(random_codes(rng, 3, bits), np.arange(3))
        assert rows(index.search(none, bits)) == []
        index.remove(np.arange(3))


def test_removal_leaves_all_others_under_their_own_ids(make: Make, bits: int) -> None:
    rng = np.random.default_rng(3)
    codes = random_codes(rng, 400, bits)
    codes[100:140] = codes[7]
    ids = rng.permutation(400) * 1000
    index = filled(make, codes, ids)
    entries = dict(zip(ids.tolist(), [c.tobytes() for c in codes], strict=True))
    for gone in np.array_split(rng.permutation(ids), 9)[:-1]:
        index.remove(np.append(gone, [1, 999_999_999]))
        for i in gone.tolist():
            del entries[i]
        assert len(index) == len(entries)
        assert rows(index.search(codes[::9], 20)) == expected(entries, codes[::9], 20)


def test_an_id_may_come_back_with_another_code(make: Make, bits: int) -> None:
    rng = np.random.default_rng(4)
    first, second = random_codes(rng, 20, bits), random_codes(rng, 20, bits)
    index = filled(make, first)
    index.remove(np.arange(5, 15))
    index.add(second[5:15], np.arange(5, 15))
    now = np.concatenate([first[:5], second[5:15], first[15:]])
    assert rows(index.search(now, 0)) == [(i, i, 0) for i in range(20)]
    assert rows(index.search(first[5:15], 0)) == []


def test_equal_codes_are_all_found(make: Make, bits: int) -> None:
    rng = np.random.default_rng(6)
    code = random_codes(rng, 1, bits)
    index = filled(make, np.repeat(code, 5000, axis=0))
    index.add(np.repeat(code, 10, axis=0), np.arange(6000, 6010))
    index.remove(np.arange(0, 5000, 2))
    hits = index.search(np.concatenate([code, flipped(code[0], 3, rng)[None], ~code]), 3)
    ids = [*range(1, 5000, 2), *range(6000, 6010)]
    assert rows(hits) == [(0, i, 0) for i in ids] + [(1, i, 3) for i in ids]


def test_hits_carry_their_codes(make: Make, bits: int) -> None:
    rng = np.random.default_rng(18)
    codes = random_codes(rng, 200, bits)
    codes[50:100] = codes[:50]
    index = filled(make, codes, np.arange(200) * 7)
    hits = index.search(codes[::3], 25)
    assert hits.codes.dtype == np.uint8
    assert (hits.codes == codes[hits.ids // 7]).all()
    assert index.search(~codes[:1], 0).codes.shape == (0, bits // 8)


def test_the_nearest_are_among_those_given_where_not_all_are_wanted(make: Make) -> None:
    rng = np.random.default_rng(19)
    query = random_codes(rng, 2, 256)
    codes = np.stack([flipped(query[0], d % 9, rng) for d in range(90)])
    codes[80:] = query[0]
    index = filled(make, codes, rng.permutation(90))
    every = rows(index.search(query, 8))
    for most in (1, 2, 19, 20, 21, 89, 90, 500):
        given = rows(index.search(query, 8, most))
        wanted = sorted(every, key=lambda hit: (hit[2], hit[1]))[:most]
        assert set(wanted) <= set(given) <= set(every)


def test_many_queries_keep_their_rows(make: Make) -> None:
    rng = np.random.default_rng(7)
    codes = random_codes(rng, 1000, 256)
    index = filled(make, codes)
    order = rng.permutation(1000)
    assert rows(index.search(codes[order], 31)) == sorted(
        (row, int(i), 0) for row, i in enumerate(order)
    )


def test_more_codes_and_queries_than_are_compared_at_once(make: Make) -> None:
    rng = np.random.default_rng(17)
    codes = random_codes(rng, 70_000, 256)
    ids = rng.permutation(70_000)
    index = make(256)
    for some in (slice(0, 40_000), slice(40_000, 69_999), slice(69_999, None)):
        index.add(codes[some], ids[some])
    rows_asked = np.concatenate([[0, 32_767, 32_768, 69_999], rng.choice(70_000, 196)])
    queries = np.stack([flipped(codes[row], 31, rng) for row in rows_asked])
    nearest = sorted((q, int(ids[row]), 31) for q, row in enumerate(rows_asked))
    assert rows(index.search(queries, 31)) == nearest
    assert rows(index.search(queries, 30)) == []
    for query, hit in zip(queries[:4], nearest[:4], strict=True):
        assert rows(index.search(query[None], 31)) == [(0, *hit[1:])]


def test_views_that_are_not_contiguous_are_read_right(make: Make) -> None:
    rng = np.random.default_rng(8)
    wide = random_codes(rng, 60, 512)
    index = make(256)
    index.add(wide[::2, 16:48], np.arange(60)[::2])
    assert rows(index.search(wide[::3, 16:48], 0)) == [(i // 3, i, 0) for i in range(0, 60, 6)]


def test_what_was_added_and_what_was_given_back_are_copies(make: Make) -> None:
    codes, ids = random_codes(np.random.default_rng(9), 10, 64), np.arange(10)
    index = filled(make, codes, ids)
    before = codes.copy()
    codes[:] = 0
    ids[:] = 7
    for array in index.arrays():
        if array.flags.writeable:
            array[:] = 0
    assert rows(index.search(before, 0)) == [(i, i, 0) for i in range(10)]


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((3, 31), dtype=np.uint8),
        np.zeros((3, 8), dtype=np.uint8),
        np.zeros(32, dtype=np.uint8),
        np.zeros((1, 3, 32), dtype=np.uint8),
        np.zeros((3, 32), dtype=np.int8),
        np.zeros((3, 32), dtype=np.float32),
        [[0] * 32],
    ],
)
def test_codes_of_another_shape_are_refused(make: Make, wrong: Codes) -> None:
    index = make(256)
    with pytest.raises(BadFingerprint):
        index.add(wrong, np.arange(3))
    with pytest.raises(BadFingerprint):
        index.search(wrong, 31)
    assert len(index) == 0


@pytest.mark.parametrize(
    "ids",
    [
        np.arange(2),
        np.arange(4),
        np.array([1, 2, -3]),
        np.array([1, 2, 1]),
        np.array([0.5, 1, 2]),
        np.array([[1, 2, 3]]),
        np.array([1, 2, 2**63], dtype=np.uint64),
        np.array([10, 11, 12]),
    ],
)
def test_ids_that_cannot_be_are_refused(make: Make, ids: Ints) -> None:
    codes = random_codes(np.random.default_rng(10), 3, 256)
    index = filled(make, codes[:1], np.array([12]))
    with pytest.raises(ValueError, match="id"):
        index.add(codes, ids)
    assert rows(index.search(codes, 0)) == [(0, 12, 0)]


@pytest.mark.parametrize("radius", [-1, 1.5, True])
def test_a_radius_that_cannot_be_is_refused(make: Make, radius: int) -> None:
    with pytest.raises(ValueError, match="radius"):
        make(64).search(np.zeros((1, 8), dtype=np.uint8), radius)


@pytest.mark.parametrize("bits", [0, -64, 63, 100])
def test_bits_that_cannot_be_are_refused(make: Make, bits: int) -> None:
    with pytest.raises(ValueError, match="bits"):
        make(bits)


def test_arrays_fill_another_index_the_same(make: Make, bits: int) -> None:
    rng = np.random.default_rng(11)
    codes = random_codes(rng, 300, bits)
    codes[50:90] = codes[0]
    index = make(bits)
    order = rng.permutation(300)
    for some in np.array_split(order, 20):
        index.add(codes[some], some)
    index.remove(np.arange(40, 60))
    for engine in ENGINES:
        copy = engine(bits)
        copy.add(*index.arrays())
        assert len(copy) == len(index) == 280
        assert rows(copy.search(codes, 25)) == rows(index.search(codes, 25))


def test_searches_beside_writers_see_before_or_after(make: Make) -> None:
    """Groups of ten equal codes are added and removed as wholes: a search that sees a part of one
    has seen a state in between. A group that stays must always be there."""
    rng = np.random.default_rng(12)
    palette = random_codes(rng, 12, 256)
    index = make(256)
    index.add(np.repeat(palette[:1], 10, axis=0), UNUSED + np.arange(10))
    stop, errors = threading.Event(), []

    def search() -> None:
        try:
            while not stop.is_set():
                hits = index.search(palette, 0)
                counts = np.bincount(hits.queries, minlength=12)
                assert counts[0] == 10
                assert set(counts.tolist()) <= {0, 10}
                assert (hits.ids // 10 % 12 == hits.queries).all()
                codes, ids = index.arrays()
                assert (codes == palette[ids // 10 % 12]).all()
                assert len(ids) % 10 == 0
        except BaseException as error:
            errors.append(error)

    def write(first: int) -> None:
        try:
            for turn in range(40):
                for group in range(first, 12, 2):
                    ids = UNUSED + (turn * 12 + group) * 10 + np.arange(10)
                    index.add(np.repeat(palette[group : group + 1], 10, axis=0), ids)
                    index.remove(ids)
        except BaseException as error:
            errors.append(error)

    searchers = [threading.Thread(target=search) for _ in range(3)]
    writers = [threading.Thread(target=write, args=(first,)) for first in (1, 2)]
    for thread in searchers + writers:
        thread.start()
    for thread in writers:
        thread.join()
    stop.set()
    for thread in searchers:
        thread.join()
    assert errors == []
    assert len(index) == 10


def through_a_file(index: IndexBackend, codes: Codes, path: Path) -> Mapping[str, NDArray[Any]]:
    """The codes and the index's tables for them, as a map of a file."""
    kept = sorted_bits(codes)
    write_file(path, "test", {}, {"codes": kept, **whole(index.tables(kept))})
    return read_file(path, "test").arrays


def test_what_is_loaded_is_searched_added_to_and_taken_from(
    make: Make, bits: int, tmp_path: Path
) -> None:
    rng = np.random.default_rng(20)
    codes = random_codes(rng, 500, bits)
    codes[300:340] = codes[3]
    for other in (make, ExactIndex):
        arrays = dict(through_a_file(other(bits), codes, tmp_path / "file"))
        index = make(bits)
        index.load(arrays.pop("codes"), arrays)
        entries = {i: c.tobytes() for i, c in enumerate(codes)}
        assert rows(index.search(codes[::7], 20)) == expected(entries, codes[::7], 20)
        more = random_codes(rng, 60, bits)
        more[:20] = codes[3]
        index.add(more, np.arange(500, 560))
        entries |= {500 + i: c.tobytes() for i, c in enumerate(more)}
        for gone in (np.arange(290, 320), np.array([3, 499, 505, 9999])):
            index.remove(gone)
            entries = {i: c for i, c in entries.items() if i not in gone}
            assert len(index) == len(entries)
            assert rows(index.search(codes[::7], 20)) == expected(entries, codes[::7], 20)
        with pytest.raises(ValueError, match="id"):
            index.add(more[:1], np.array([4]))
        given, ids = index.arrays()
        assert [c.tobytes() for c in given] == [entries[i] for i in ids.tolist()]


def test_nothing_is_loaded(make: Make, bits: int) -> None:
    index = make(bits)
    index.load(np.empty((0, bits // 8), dtype=np.uint8), {})
    assert len(index) == 0
    index.add(random_codes(np.random.default_rng(21), 3, bits), np.arange(3))
    assert len(index) == 3


def test_parts_are_all_entries_in_order_as_they_were_at_the_call(make: Make, bits: int) -> None:
    rng = np.random.default_rng(22)
    codes = random_codes(rng, 300, bits)
    index = make(bits)
    for some in np.array_split(rng.permutation(300), 11):
        index.add(codes[some], some)
    index.remove(np.arange(100, 110))
    count, parts = index.parts()
    index.remove(np.arange(50))
    index.add(codes[:5], np.arange(300, 305))
    given = list(parts)
    ids = np.concatenate([i for _, i in given])
    assert count == len(ids) == 290
    assert (ids == np.delete(np.arange(300), np.arange(100, 110))).all()
    assert (natural_bits(np.concatenate([c for c, _ in given])) == codes[ids]).all()
