"""The engine for large indices, where it could go wrong in ways of its own."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hashdb.errors import BadSnapshot
from hashdb.index import hamming, hamming_filing, hamming_kernels, hamming_scan, hamming_segments
from hashdb.index.exact import ExactIndex
from hashdb.index.hamming import HammingIndex
from hashdb.index.hamming_filing import FILED
from hashdb.index.hamming_segments import Segment
from hashdb.machine import LANES
from hashdb.model import Codes, Ints
from hashdb.placings import natural_bits, sorted_bits
from hashdb.ports import IndexBackend
from matcher.hashers.pdq import orientations
from tests.hamming import always_file, whole

ROOT = Path(__file__).parents[2]


def random_codes(rng: np.random.Generator, n: int, bits: int = 256) -> Codes:
    return rng.integers(0, 256, (n, bits // 8), dtype=np.uint8)


def flipped(code: Codes, bits: Sequence[int]) -> Codes:
    every = np.unpackbits(code, bitorder="little")
    every[list(bits)] ^= 1
    return np.packbits(every, bitorder="little")


def hits(index: IndexBackend, queries: Codes, radius: int) -> list[tuple[int, int, int, bytes]]:
    found = index.search(queries, radius)
    codes = [c.tobytes() for c in found.codes]
    columns = (found.queries.tolist(), found.ids.tolist(), found.distances.tolist(), codes)
    return sorted(zip(*columns, strict=True))


def assert_as_the_oracle(codes: Codes, queries: Codes, radii: Sequence[int]) -> HammingIndex:
    ids = np.arange(len(codes)) * 3
    index, oracle = HammingIndex(8 * codes.shape[1]), ExactIndex(8 * codes.shape[1])
    for engine in (index, oracle):
        engine.add(codes, ids)
    for radius in radii:
        assert hits(index, queries, radius) == hits(oracle, queries, radius)
    return index


@pytest.mark.parametrize("bits", [64, 128, 256, 512])
@pytest.mark.parametrize("wide", [False, True])
def test_differences_spread_in_every_way_are_found(
    monkeypatch: pytest.MonkeyPatch, bits: int, wide: bool
) -> None:
    """Just r bits apart, as evenly over the parts as can be, and as unevenly: that is where a part
    that is searched a bit too narrowly loses codes."""
    always_file(monkeypatch, wide=wide)
    rng = np.random.default_rng(bits)
    query = random_codes(rng, 1, bits)
    each = 3 if wide else 4
    size, words = 64 // each, bits // 64
    at = [64 * word + size * part for word in range(words) for part in range(each)]
    left = [] if each == 4 else [64 * word + 63 for word in range(words)]  # in no part
    for radius in [*range(12), 15, 16, 30, 31, 32, 39, 40, 45, 46, 47, 60]:
        near, far = [], []
        for turn in range(80):
            order = rng.permutation(at)
            if turn % 4 == 0:  # one bit a part, turn by turn
                places = [p + b for b in rng.permutation(size) for p in order]
            elif turn % 4 == 1:  # two parts that stand side by side take turns
                rings = np.reshape(at, (words, each))[rng.permutation(words)]
                ring = [np.roll(parts, rng.integers(each)) for parts in rings]
                places = [p + b for two in ring for b in range(size) for p in two[:2]]
                places += [p + b for two in ring for p in two[2:] for b in range(size)]
            elif turn % 4 == 2:  # part after part
                places = [p + b for p in order for b in rng.permutation(size)]
            else:  # more in some parts than in others
                weights = np.repeat(rng.dirichlet(np.full(len(at), 2.0)) + 1e-9, size)
                every = np.add.outer(at, np.arange(size)).reshape(-1)
                places = rng.choice(every, len(every), False, weights / weights.sum()).tolist()
            places += left
            near.append(flipped(query[0], places[:radius]))
            far.append(flipped(query[0], places[: radius + 1]))
        index = HammingIndex(bits)
        # Parts are those of the order in which the index keeps bits.
        index.add(natural_bits(np.stack([*near, *far])), np.arange(160))
        found = index.search(natural_bits(query), radius)
        assert sorted(found.ids.tolist()) == list(range(80)), radius
        assert set(found.distances.tolist()) == {radius}


@given(
    seed=st.integers(0, 2**32),
    bits=st.sampled_from([64, 128, 256]),
    radius=st.integers(0, 70),
    clusters=st.integers(1, 6),
    apart=st.integers(0, 60),
    wide=st.booleans(),
)
@settings(max_examples=200, deadline=None)
def test_clusters_as_the_oracle_finds_them(
    seed: int, bits: int, radius: int, clusters: int, apart: int, wide: bool
) -> None:
    rng = np.random.default_rng(seed)
    centres = random_codes(rng, clusters, bits)
    picked = centres[rng.integers(clusters, size=200)]
    noise = rng.random((200, bits)) < apart / 256
    codes = picked ^ np.packbits(noise, axis=1)
    codes[::7] = codes[0]
    with pytest.MonkeyPatch.context() as patch:
        always_file(patch, wide=wide)
        assert_as_the_oracle(codes, np.concatenate([centres, codes[:3], ~centres]), [radius])


@given(
    seed=st.integers(0, 2**32),
    radius=st.sampled_from([20, 46, 60]),
    frames=st.integers(1, 20),
    wide=st.booleans(),
)
@settings(max_examples=80, deadline=None)
def test_placings_that_are_looked_up_together(
    seed: int, radius: int, frames: int, wide: bool
) -> None:
    """Queries that share parts with each other, and references near some of them; one is repeated
    and one asks for what most codes look like in one part."""
    rng = np.random.default_rng(seed)
    shown = random_codes(rng, frames)
    placed = orientations(shown)
    queries = np.concatenate([*(placed[:, n] for n in range(8)), ~shown, ~placed[:, 5], shown[:1]])
    codes = random_codes(rng, 300)
    for row in range(150):
        near = queries[rng.integers(len(queries))]
        codes[row] = flipped(near, rng.choice(256, rng.integers(0, 80), replace=False).tolist())
    codes[150:220] = natural_bits(np.concatenate([sorted_bits(shown[:1])[:, :16]] * 2, axis=1))
    codes[150:220, 20:] ^= random_codes(rng, 70)[:, 20:]
    with pytest.MonkeyPatch.context() as patch:
        always_file(patch, wide=wide)
        patch.setattr(hamming_segments, "_COMPARED", rng.choice([0.02, 0.2, 1000.0]))
        assert_as_the_oracle(codes, queries, [radius])


def test_bits_in_another_order_come_back() -> None:
    for bits in (64, 128, 256, 512):
        codes = random_codes(np.random.default_rng(bits), 50, bits)
        moved = sorted_bits(codes)
        assert (natural_bits(moved) == codes).all()
        assert (np.bitwise_count(moved).sum(axis=1) == np.bitwise_count(codes).sum(axis=1)).all()
    assert sorted(_places().tolist()) == list(range(256))


def _places() -> Ints:
    """Where each of 256 bits goes."""
    one_each = np.packbits(np.eye(256, dtype=np.uint8), axis=1)
    return np.unpackbits(sorted_bits(one_each), axis=1).argmax(axis=1)


def test_placings_share_words() -> None:
    """A word of 64 bits has two values in all upright placings and the negative, and two more in
    the turned ones: else nothing is won by the order."""
    codes = random_codes(np.random.default_rng(1), 20)
    for shown in codes:
        placed = orientations(shown[None])[0]
        words = sorted_bits(np.concatenate([placed, ~shown[None]])).view(np.uint64)
        for word in range(4):
            assert len(np.unique(words[:, word])) <= 4


def test_radii_at_which_tables_are_asked_and_at_which_all_is_scanned() -> None:
    rng = np.random.default_rng(1)
    codes = random_codes(rng, 40_000)
    for row in range(300):
        codes[row] = flipped(codes[row % 7], rng.choice(256, row % 60, replace=False).tolist())
    index = assert_as_the_oracle(codes, codes[:20], [0, 31, 46, 100])
    (segment,) = index._segments
    assert segment._plan(46) is not None
    assert segment._plan(100) is None


def test_a_crowd_of_near_codes_is_found_in_full() -> None:
    """More hits than there is room for at first, more comparisons than a scan makes, and equal
    codes among them."""
    rng = np.random.default_rng(2)
    codes = random_codes(rng, 50_000)
    crowd = np.packbits(rng.random((24_000, 256)) < 0.01, axis=1)
    codes[:24_000] = codes[49_999] ^ crowd
    codes[24_000:30_000] = codes[49_999]
    queries = codes[[49_999, 49_998, 5, 31_000]]
    index = assert_as_the_oracle(codes, queries, [0, 31, 256])
    assert len(index.search(queries, 46)) >= 2 * 30_000


def test_codes_that_share_most_parts_and_are_far() -> None:
    """All entries of many tables lie under one key: the search falls back to comparing all."""
    rng = np.random.default_rng(3)
    codes = np.zeros((20_000, 32), dtype=np.uint8)
    codes[:, 26:] = random_codes(rng, 20_000, 64)[:, :6]
    codes[:, 25] = 255
    queries = np.zeros((2, 32), dtype=np.uint8)
    queries[1] = codes[100]
    assert_as_the_oracle(codes, queries, [10, 20, 31])


def test_a_quick_search_finds_nothing_where_nothing_is_near() -> None:
    rng = np.random.default_rng(4)
    index = HammingIndex(256)
    assert not index.may_hit(rng.integers(0, 256, (1, 32), dtype=np.uint8), 46)
    index.add(rng.integers(0, 256, (9000, 32), dtype=np.uint8), np.arange(9000))
    index.add(rng.integers(0, 256, (9, 32), dtype=np.uint8), np.arange(9000, 9009))
    assert not index.may_hit(rng.integers(0, 256, (300, 32), dtype=np.uint8), 46)
    assert not index.may_hit(np.empty((0, 32), dtype=np.uint8), 46)


@given(
    seed=st.integers(0, 2**32),
    radius=st.sampled_from([0, 20, 31, 46, 60]),
    compared=st.sampled_from([-1.0, 0.02, 1000.0]),
    wide=st.booleans(),
)
@settings(max_examples=80, deadline=None)
def test_a_quick_search_tells_no_lies(seed: int, radius: int, compared: float, wide: bool) -> None:
    """It never sees what is not there, nor misses what lies within 31 bits; and one that gives up
    the tables for a scan misses nothing."""
    rng = np.random.default_rng(seed)
    codes = random_codes(rng, 300)
    codes[100:] = codes[0] ^ np.packbits(rng.random((200, 256)) < 0.2, axis=1)
    codes[100:200, :8] = codes[0, :8]
    near = [flipped(codes[0], rng.choice(256, k, replace=False).tolist()) for k in range(0, 64, 3)]
    with pytest.MonkeyPatch.context() as patch:
        always_file(patch, wide=wide)
        patch.setattr(hamming_segments, "_COMPARED", compared)
        index, oracle = HammingIndex(256), ExactIndex(256)
        for engine in (index, oracle):
            engine.add(codes, np.arange(300))
        for query in near:
            may = index.may_hit(query[None], radius)
            distances = oracle.search(query[None], radius).distances
            assert not may or len(distances)
            if compared < 0 or (len(distances) and distances.min() <= 31):
                assert may == (len(distances) > 0)


def test_a_code_that_is_repeated_is_filed_once() -> None:
    rng = np.random.default_rng(4)
    codes = random_codes(rng, 30_000)
    codes[rng.permutation(30_000)[:20_000]] = codes[0]
    index = assert_as_the_oracle(codes, codes[:5], [0, 31])
    (segment,) = index._segments
    assert segment.tables is not None
    distinct = len(np.unique(codes, axis=0))
    assert segment.tables.rows.shape == (16, 3 * distinct)


def test_many_small_additions_end_in_few_segments() -> None:
    rng = np.random.default_rng(5)
    codes = random_codes(rng, 8 * FILED)
    index = HammingIndex(256)
    for some in np.array_split(np.arange(len(codes)), 300):
        index.add(codes[some], some)
    index.wait()
    assert len(index._segments) < 4 + 15
    assert max(len(s) for s in index._segments) >= 4 * FILED
    found = index.search(codes[::1000], 31)
    assert sorted(found.ids.tolist()) == list(range(0, len(codes), 1000))
    assert (index.arrays()[0] == codes).all()


def test_what_changes_during_a_merge_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(6)
    codes = random_codes(rng, 4 * FILED + 10)
    index, built, merging = HammingIndex(256), hamming._built, threading.Event()
    gone = np.array([3, FILED + 5, 4 * FILED - 1])

    def slow(entries: Sequence[tuple[Codes, Ints]]) -> list[Segment]:
        made = built(entries)
        if threading.current_thread() is not threading.main_thread() and not merging.is_set():
            merging.set()
            index.remove(gone)
            index.remove(np.arange(2 * FILED, 3 * FILED))  # one of the segments as a whole
            index.add(codes[4 * FILED :], np.arange(4 * FILED, len(codes)))
        return made

    monkeypatch.setattr(hamming, "_built", slow)
    for first in range(0, 4 * FILED, FILED):
        index.add(codes[first : first + FILED], np.arange(first, first + FILED))
    index.wait()
    assert merging.is_set()
    left = np.setdiff1d(np.arange(len(codes)), [*gone, *range(2 * FILED, 3 * FILED)])
    assert len(index) == len(left)
    assert (index.arrays()[1] == left).all()
    assert sorted(index.search(codes[left[::500]], 20).ids.tolist()) == left[::500].tolist()


def test_a_merge_that_fails_loses_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    codes = random_codes(np.random.default_rng(7), 4 * FILED + 1)
    index, built = HammingIndex(256), hamming._built

    def broken(entries: Sequence[tuple[Codes, Ints]]) -> list[Segment]:
        if threading.current_thread() is not threading.main_thread():
            raise MemoryError
        return built(entries)

    monkeypatch.setattr(hamming, "_built", broken)
    for first in range(0, 4 * FILED, FILED):
        index.add(codes[first : first + FILED], np.arange(first, first + FILED))
    index.wait()
    assert "could not be merged" in caplog.text
    assert len(index) == 4 * FILED
    monkeypatch.setattr(hamming, "_built", built)
    index.add(codes[4 * FILED :], np.array([4 * FILED]))
    index.wait()
    assert len(index._segments) == 2
    assert (index.arrays()[0] == codes).all()


def test_a_segment_that_is_mostly_gone_is_built_anew() -> None:
    codes = random_codes(np.random.default_rng(8), FILED)
    index = HammingIndex(256)
    index.add(codes, np.arange(FILED))
    before = index.nbytes
    index.remove(np.arange(0, FILED, 2))
    index.wait()
    assert index.nbytes < 0.6 * before
    assert index.search(codes[:4], 31).ids.tolist() == [1, 3]


def test_a_segment_holds_so_many_codes_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hamming, "MOST", 1000)
    codes = random_codes(np.random.default_rng(9), 2500)
    index = HammingIndex(256)
    index.add(codes, np.arange(2500))
    assert [len(s) for s in index._segments] == [1000, 1000, 500]
    assert sorted(index.search(codes, 0).ids.tolist()) == list(range(2500))


def test_rows_beyond_16_bits_and_ids_beyond_32() -> None:
    codes = random_codes(np.random.default_rng(10), 140_000, 64)
    for ids in (np.arange(140_000) + 2**40, np.arange(140_000) * 2**34 + 5):
        index = HammingIndex(64)
        index.add(codes, ids)
        asked = [0, 65_535, 65_536, 131_072, 139_999]
        assert set(ids[asked].tolist()) <= set(index.search(codes[asked], 0).ids.tolist())
        index.remove(ids[asked[1:3]])
        left = index.search(codes[asked], 0)
        assert set(left.ids.tolist()) & set(ids[asked].tolist()) == set(ids[[0, 131_072, 139_999]])


def test_no_search_compiles_anything(tmp_path: Path) -> None:
    codes = random_codes(np.random.default_rng(11), FILED + 5)
    index = HammingIndex(256)
    for radius in (31, 200):
        index.search(codes[:3], radius)
    loops = (hamming_kernels.search_tables, hamming_scan.scan)
    assert [len(loop.signatures) for loop in loops] == [1, 1]  # type: ignore[attr-defined]


def test_mapped_segments_are_not_merged_nor_built_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hamming_filing, "MOST_MAPPED", 2 * FILED)
    codes = random_codes(np.random.default_rng(15), 9 * FILED)
    index = HammingIndex(256)
    kept = sorted_bits(codes)
    index.load(kept, whole(index.tables(kept)))
    assert [len(s) for s in index._segments] == [2 * FILED] * 4 + [FILED]
    index.remove(np.arange(FILED, 4 * FILED))
    index.wait()
    assert [len(s) for s in index._segments] == [2 * FILED] * 3 + [FILED]
    assert len(index) == 6 * FILED
    asked = np.array([5, FILED + 5, 3 * FILED, 4 * FILED, 9 * FILED - 1])
    found = index.search(codes[asked], 31)
    assert sorted(found.ids.tolist()) == asked[[0, 3, 4]].tolist()


def test_a_large_segment_is_read_in_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    """A snapshot is written from it, and what was removed or added meanwhile must be seen."""
    codes = random_codes(np.random.default_rng(17), 2 * FILED + 100)
    index, kept = HammingIndex(256), sorted_bits(codes)
    index.load(kept, whole(index.tables(kept)))
    monkeypatch.setattr(hamming_segments, "MOST", 1000)
    gone = np.array([0, 999, *range(3000, 4000), len(codes) - 1])
    index.remove(gone)
    index.add(codes[:3], np.arange(len(codes), len(codes) + 3))
    left = [*np.setdiff1d(np.arange(len(codes)), gone), *range(len(codes), len(codes) + 3)]
    count, parts = index.parts()
    found = list(parts)
    assert max(len(ids) for _, ids in found) <= 1000
    assert np.concatenate([ids for _, ids in found]).tolist() == left
    assert count == len(left)
    here = [*(i for i in left if i < len(codes)), 0, 1, 2]
    assert (np.concatenate([some for some, _ in found]) == kept[here]).all()
    assert (index.arrays()[0] == codes[here]).all()


def test_repeated_codes_are_seen_however_many_are_sorted_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    codes = random_codes(np.random.default_rng(18), 5000, 128)
    codes[3000:] = codes[np.arange(2000) % 700]
    words = codes.view(np.uint64)
    at_once = hamming_filing.repeated_codes(words)
    monkeypatch.setattr(hamming_filing, "_SORTED", 300)
    some = hamming_filing.repeated_codes(words)
    assert all((a == b).all() for a, b in zip(at_once, some, strict=True))
    assert at_once.heads.tolist() == sorted([*range(700), *range(700), *range(600)])
    assert sorted(at_once.repeats.tolist()) == list(range(3000, 5000))
    assert np.unpackbits(at_once.repeated, bitorder="little").nonzero()[0].tolist() == list(
        range(3000, 5000)
    )


def test_segments_of_many_codes_are_wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hamming_filing, "MANY", FILED + 1)
    codes = random_codes(np.random.default_rng(19), FILED + 1)
    for n, parts in ((FILED, 16), (FILED + 1, 12)):
        index = HammingIndex(256)
        index.add(codes[:n], np.arange(n))
        (segment,) = index._segments
        assert segment.tables is not None
        assert len(segment.tables.starts) == parts


@pytest.mark.heavy
def test_rows_beyond_24_bits() -> None:
    n = (1 << 24) + 5000
    kept = random_codes(np.random.default_rng(20), n, 64)
    index = HammingIndex(64)
    index.load(kept, whole(index.tables(kept)))
    asked = [0, (1 << 24) - 1, 1 << 24, n - 1]
    found = index.search(kept[asked], 0)
    assert set(asked) <= set(found.ids.tolist())
    near = np.stack([flipped(kept[at], [0, 21, 22, 63]) for at in asked])
    assert set(asked) <= set(index.search(near, 4).ids.tolist())


@given(seed=st.integers(0, 2**32), radius=st.sampled_from([0, 31, 46]), wide=st.booleans())
@settings(max_examples=80, deadline=None)
def test_tables_that_are_nonsense_are_read_within_their_bounds(
    seed: int, radius: int, wide: bool
) -> None:
    """A file may be damaged and not have been checked yet: then codes may be missed, or a search
    may fail, but the process must live."""
    rng = np.random.default_rng(seed)
    codes = random_codes(rng, FILED + 100)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hamming_filing, "MANY", 1 if wide else 1 << 40)
        tables = whole(HammingIndex(256).tables(codes))
    for name, array in tables.items():
        noise = rng.integers(0, 256, array.nbytes, dtype=np.uint8)
        noise[rng.random(len(noise)) < rng.choice([0.0, 0.5, 0.999])] = 0
        spoilt = (array.reshape(-1).view(np.uint8) ^ noise).view(array.dtype).reshape(array.shape)
        if name.endswith("starts"):
            spoilt[:, -1] = array[:, -1]
        spoilt.flags.writeable = False
        tables[name] = spoilt
    index = HammingIndex(256)
    index.load(codes, tables)
    with contextlib.suppress(IndexError):
        index.search(codes[:20], radius)


def cut_rows(tables: dict[str, np.ndarray]) -> None:
    tables["hamming/0/rows"] = tables["hamming/0/rows"][:, 3:]


def cut_sketches(tables: dict[str, np.ndarray]) -> None:
    tables["hamming/0/sketches"] = tables["hamming/0/sketches"][:, LANES:]


def other_dtype(tables: dict[str, np.ndarray]) -> None:
    tables["hamming/0/starts"] = tables["hamming/0/starts"].astype(np.int32)


def other_keys(tables: dict[str, np.ndarray]) -> None:
    tables["hamming/0/starts"] = np.delete(tables["hamming/0/starts"], 1, axis=1)


def more_entries(tables: dict[str, np.ndarray]) -> None:
    tables["hamming/0/starts"] = tables["hamming/0/starts"] + np.uint32(1)


def no_repeats(tables: dict[str, np.ndarray]) -> None:
    del tables["hamming/0/repeats"]


@pytest.mark.parametrize(
    "spoil", [cut_rows, cut_sketches, other_dtype, other_keys, more_entries, no_repeats]
)
def test_tables_that_do_not_fit_are_refused(
    spoil: Callable[[dict[str, np.ndarray]], None],
) -> None:
    codes = random_codes(np.random.default_rng(16), FILED)
    index = HammingIndex(256)
    tables = whole(index.tables(codes))
    spoil(tables)
    with pytest.raises(BadSnapshot):
        index.load(codes, tables)
