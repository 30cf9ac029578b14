"""The index of local features against arithmetic written here, and through any order of steps."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest
from numpy.typing import NDArray

from hashdb.errors import BadSnapshot
from hashdb.format import read_file, write_file
from hashdb.index import filing, local, voting
from hashdb.index import pictures as held_pictures
from hashdb.index.compiled import CompiledKernels
from hashdb.index.filing import Kernels, NumpyKernels
from hashdb.index.local import LocalIndex
from hashdb.index.pictures import COLUMNS
from hashdb.machine import compiled_for
from hashdb.model import LocalFeatures
from hashdb.ports import Nominee
from hashdb.store import feature_packing

Codes = NDArray[np.uint8]
Places = NDArray[np.float32]
One = tuple[Codes, Places]


KERNELS = {"numpy": NumpyKernels(), "compiled": CompiledKernels()}
_chosen: list[Kernels] = []


@pytest.fixture(autouse=True, params=KERNELS)
def kernels(request: pytest.FixtureRequest) -> Kernels:
    """Every test runs with both."""
    _chosen[:] = [KERNELS[request.param]]
    return _chosen[0]


def empty() -> LocalIndex:
    return LocalIndex(kernels=_chosen[0])


def some_codes(rng: np.random.Generator, n: int) -> Codes:
    return rng.integers(0, 256, (n, 32), dtype=np.uint8)


def some_places(rng: np.random.Generator, n: int) -> Places:
    return np.column_stack(
        [
            rng.uniform(0, 448, n),
            rng.uniform(0, 336, n),
            31 * 1.25 ** rng.integers(0, 8, n),
            rng.uniform(0, 360, n),
        ]
    ).astype(np.float32)


def flipped(codes: Codes, bits: int, rng: np.random.Generator) -> Codes:
    """Each code with exactly so many bits changed."""
    every = np.unpackbits(codes, axis=1)
    for row in every:
        row[rng.choice(256, bits, replace=False)] ^= 1
    return np.packbits(every, axis=1)


def track(*pictures: One, at: Sequence[float] | None = None) -> LocalFeatures:
    """One reference's pictures, half a second apart."""
    counts = [len(codes) for codes, _ in pictures]
    return LocalFeatures(
        "test",
        np.arange(len(pictures)) * 0.5 if at is None else np.array(at, dtype=np.float64),
        np.cumsum([0, *counts], dtype=np.int64),
        np.tile(np.array([448, 336], np.uint16), (len(pictures), 1)),
        np.concatenate([codes for codes, _ in pictures]),
        np.concatenate([places for _, places in pictures]),
    )


def made(rng: np.random.Generator, n: int = 100) -> One:
    return some_codes(rng, n), some_places(rng, n)


def seen(one: One, rng: np.random.Generator, *, bits: int = 25, part: float = 0.5) -> One:
    """A part of a picture's features, turned by 20 degrees and made smaller, in other company."""
    codes, places = one
    kept = rng.permutation(len(codes))[: round(part * len(codes))]
    places = places[kept].copy()
    places[:, 2] *= 0.8
    places[:, 3] = (places[:, 3] + 20 + rng.normal(0, 4, len(kept))) % 360
    more_codes, more_places = made(rng, len(codes) - len(kept))
    return (
        np.concatenate([flipped(codes[kept], bits, rng), more_codes]),
        np.concatenate([places, more_places]).astype(np.float32),
    )


def filled(*pictures: One) -> LocalIndex:
    """Each picture a reference of its own."""
    index = empty()
    index.add([(i, track(one)) for i, one in enumerate(pictures)])
    return index


def answers(index: LocalIndex, query: One, most: int = 6) -> list[tuple[int, float]]:
    return [(n.reference, n.votes) for n in index.nominate(*query, most)]


# --- pairs ---


def near(stored: Codes, queries: Codes) -> dict[tuple[int, int], int]:
    """As the kernels find them; no pair twice."""
    held = filing.filed(stored.view(np.uint64), _chosen[0])
    q, row, distance = _chosen[0].near(queries.view(np.uint64), held)
    found = dict(zip(zip(q.tolist(), row.tolist(), strict=True), distance.tolist(), strict=True))
    assert len(found) == len(q) == len(row) == len(distance)
    return found


def oracle(stored: Codes, queries: Codes, radius: int) -> dict[tuple[int, int], int]:
    """By the definition: all pairs, bit by bit."""
    wanted = {}
    bits = np.unpackbits(stored, axis=1)
    for q, query in enumerate(np.unpackbits(queries, axis=1)):
        apart = (bits != query).sum(axis=1)
        wanted.update({(q, int(r)): int(apart[r]) for r in np.flatnonzero(apart <= radius)})
    return wanted


# By arithmetic with 4000 codes stored (keys of 12 bits): 1, 1, 0.99, 0.92, 0.78, 0.56, 0.42.
@pytest.mark.parametrize(
    ("bits", "share"),
    [(0, 1.0), (8, 0.999), (20, 0.95), (32, 0.8), (40, 0.65), (50, 0.4), (56, 0.25)],
)
def test_near_finds_most_pairs_and_invents_none(bits: int, share: float) -> None:
    rng = np.random.default_rng(bits)
    stored = some_codes(rng, 4000)
    queries = np.concatenate([flipped(stored[:300], bits, rng), some_codes(rng, 20)])
    found, wanted = near(stored, queries), oracle(stored, queries, filing.RADIUS)
    assert found.items() <= wanted.items()
    mine = {pair for pair, distance in wanted.items() if distance == bits}
    assert len(mine) == 300
    assert len(mine & found.keys()) >= share * 300


def test_near_stops_at_the_radius() -> None:
    """Codes that differ in bits which few parts look at are found up to the radius and no more."""
    rng = np.random.default_rng(1)
    free = np.arange(2 * filing.PART_BITS, 256)  # not of the first two parts
    query = some_codes(rng, 1)
    bits = np.unpackbits(query, bitorder="little")
    distances = range(filing.RADIUS - 20, filing.RADIUS + 20)
    stored = np.tile(bits, (len(distances), 1))
    for row, distance in enumerate(distances):
        stored[row, free[:distance]] ^= 1
    found = near(np.packbits(stored, axis=1, bitorder="little"), query)
    assert found == {(0, row): filing.RADIUS - 20 + row for row in range(21)}


def test_of_a_full_bucket_the_oldest_and_some_of_all_others_are_looked_at() -> None:
    rng = np.random.default_rng(11)
    code, most = some_codes(rng, 1), filing.MOST_IN_BUCKET
    assert len(near(np.repeat(code, most, axis=0), code)) == most
    rows = sorted(row for _, row in near(np.repeat(code, 100 * most, axis=0), code))
    assert len(rows) == most
    assert rows[: most // 2] == list(range(most // 2))
    steps = np.diff(rows[most // 2 :])
    assert steps.min() > 190
    assert rows[-1] > 99 * most - 200


def test_both_kernels_file_and_find_the_same() -> None:
    rng = np.random.default_rng(27)
    stored = flipped(np.tile(some_codes(rng, 300), (10, 1)), 20, rng)
    stored = np.concatenate([stored, np.repeat(some_codes(rng, 2), 150, axis=0)])
    queries = np.concatenate([flipped(stored[::7], 15, rng), stored[-2:]])
    one, other = (filing.filed(stored.view(np.uint64), k) for k in KERNELS.values())
    assert one.length == other.length
    assert np.array_equal(one.starts, other.starts)
    assert np.array_equal(one.rows, other.rows)
    found = [
        sorted(zip(*(a.tolist() for a in k.near(queries.view(np.uint64), one)), strict=True))
        for k in KERNELS.values()
    ]
    assert found[0] == found[1]
    assert len(found[0]) > 2000
    common = [k.common(queries.view(np.uint64), one) for k in KERNELS.values()]
    assert np.array_equal(*common)
    assert common[0][-1] >= filing.MOST_IN_BUCKET * filing.PARTS > common[0][0]


@pytest.mark.parametrize("pairs", [0, 1, 40, 20_000])
def test_both_kernels_vote_the_same(pairs: int) -> None:
    """Of several segments, whose pairs come one after the other; one picture is found often."""
    rng = np.random.default_rng(pairs)
    queries = np.sort(rng.integers(0, 60, pairs))
    queries = np.concatenate([queries[pairs // 3 :], queries[: pairs // 3]])
    pictures = rng.integers(0, 700, pairs) * (rng.random(pairs) < 0.9)
    some = voting.Pairs(
        queries,
        pictures,
        pictures % 37,
        rng.integers(0, voting.TURNS * voting.SIZES, pairs),
        voting.weights_of(rng.integers(0, 64, pairs)),
    )
    for most in (1, 6, 1000):
        one, other = (k.votes(some, 60, 37, most) for k in KERNELS.values())
        assert np.array_equal(one[0], other[0])
        assert np.array_equal(one[1], other[1])
        assert bool(len(one[0])) == bool(pairs)


def test_without_numba_numpy_serves() -> None:
    code = "import sys; sys.modules['numba'] = None\n"
    code += "from hashdb.index.local import LocalIndex; print(type(LocalIndex().kernels).__name__)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "NumpyKernels"
    assert isinstance(LocalIndex().kernels, CompiledKernels)


def test_kernels_compile_where_no_cache_can_be_written() -> None:
    """Numba finds no place for the cache of a function that has no file, as of a folder that it
    may not write."""
    scope: dict[str, Any] = {}
    exec("def one_more(x): return x + 1", scope)
    with pytest.raises(RuntimeError, match="cannot cache"):
        numba.njit(["int64(int64)"], cache=True)(scope["one_more"])
    assert compiled_for(scope["one_more"], "int64(int64)")(1) == 2


def test_places_are_as_fine_as_in_the_database() -> None:
    assert np.array_equal(held_pictures._UNITS, feature_packing._UNITS)


def test_a_nominee_is_the_picture_that_was_added() -> None:
    rng = np.random.default_rng(4)
    pictures = [made(rng, n) for n in (40, 100, 1, 60)]
    features = track(*pictures, at=[0.0, 0.5, 7.25, 9.0])
    features.sizes[1] = (300, 200)
    index = empty()
    index.add([(5, track(made(rng))), (7, features)])
    (nominee, *_) = index.nominate(*pictures[1], 3)
    assert (nominee.reference, nominee.offset) == (7, 0.5)
    assert (nominee.width, nominee.height) == (300, 200)
    assert np.array_equal(nominee.codes, pictures[1][0])
    assert np.abs(nominee.places - pictures[1][1]).max() <= 1 / 100
    assert nominee.votes == pytest.approx(100, rel=0.01)


def test_the_rarest_features_are_those_that_fewest_are_like(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(local, "_SMALL", 0)
    rng = np.random.default_rng(8)
    letters, letters_at = made(rng, 20)
    everywhere = [
        (np.concatenate([codes, letters]), np.concatenate([places, letters_at]))
        for codes, places in (made(rng, 30) for _ in range(40))
    ]
    index = filled(*everywhere)
    codes, places = everywhere[3]
    mixed = rng.permutation(50)
    (nominee, *_) = index.nominate(codes[mixed], places[mixed], 6, rarest=30)
    assert nominee.reference == 3
    assert nominee.votes == pytest.approx(30, rel=0.1)
    own = mixed < 30
    alone = index.nominate(codes[mixed][own], places[mixed][own], 6)
    assert [(n.reference, n.votes) for n in alone] == [
        (n.reference, n.votes) for n in index.nominate(codes[mixed], places[mixed], 6, rarest=30)
    ]
    for enough in (50, 51, None):
        found = index.nominate(codes, places, 6, rarest=enough)
        assert [(n.reference, n.votes) for n in found] == answers(index, (codes, places))


def test_a_small_bank_is_asked_by_all_features() -> None:
    """What a fixed camera shows in each of its pictures is common there, and is what is sought."""
    rng = np.random.default_rng(9)
    room = made(rng, 60)
    index = empty()
    index.add([(0, track(*(seen(room, rng, bits=10) for _ in range(20))))])
    strangers, strangers_at = made(rng, 60)
    codes = np.concatenate([room[0], strangers])
    places = np.concatenate([room[1], strangers_at])
    all_say = [n.votes for n in index.nominate(codes, places, 6)]
    assert all_say[0] > 20
    assert [n.votes for n in index.nominate(codes, places, 6, rarest=60)] == all_say


def test_the_best_come_first_and_no_more_than_asked_for() -> None:
    rng = np.random.default_rng(5)
    base = made(rng)
    index = filled(*(seen(base, rng, bits=10, part=part) for part in (0.2, 0.8, 0.4, 0.6)))
    votes = [answers(index, base, most) for most in (0, 1, 3, 10)]
    assert [len(found) for found in votes] == [0, 1, 3, 4]
    assert [reference for reference, _ in votes[-1]] == [1, 3, 2, 0]
    assert votes[-1][:3] == votes[2]


def test_nearer_codes_have_more_votes() -> None:
    rng = np.random.default_rng(6)
    base = made(rng, 200)
    votes = [
        answers(filled((flipped(base[0], bits, rng), base[1])), base)[0][1]
        for bits in (0, 30, 40, 50)
    ]
    assert votes == sorted(votes, reverse=True)
    assert votes[0] == pytest.approx(200)
    assert votes[-1] < 0.5 * votes[0]


@pytest.mark.parametrize("column", [2, 3])
def test_features_that_agree_on_no_turn_or_size_count_little(column: int) -> None:
    """Both references hold all of the query's codes; one of them turned or scaled anyhow."""
    rng = np.random.default_rng(7)
    codes, places = made(rng, 200)
    scrambled = places.copy()
    scrambled[:, column] = (
        rng.uniform(0, 360, 200) if column == 3 else places[:, 2] * 2 ** rng.uniform(-5, 5, 200)
    )
    found = dict(answers(filled((codes, places), (codes, scrambled)), (codes, places)))
    assert found[1] < 0.35 * found[0]


@pytest.mark.parametrize("turn", [0, 90, 181, 359])
@pytest.mark.parametrize("size", [0.2, 1.0, 4.0])
def test_all_turned_and_scaled_alike_count_in_full(turn: int, size: float) -> None:
    rng = np.random.default_rng(8)
    codes, places = made(rng, 100)
    other = places.copy()
    other[:, 2] *= size
    other[:, 3] = (other[:, 3] + turn + rng.normal(0, 3, 100)) % 360
    assert answers(filled((codes, places)), (codes, other))[0][1] > 95


def beside(shared: One, rng: np.random.Generator, n: int = 240) -> One:
    """What is shared, in a picture that has so many features of its own."""
    own = made(rng, n)
    return np.concatenate([shared[0], own[0]]), np.concatenate([shared[1], own[1]])


def test_a_feature_that_many_references_have_says_little() -> None:
    """Letters, say, that are in twenty references, against features that one alone has."""
    rng = np.random.default_rng(9)
    shared = made(rng, 60)
    pictures = [beside(shared, rng) for _ in range(21)]
    query = pictures[0][0][:90], pictures[0][1][:90]
    found = answers(filled(*pictures), query, 30)
    assert found[0][0] == 0
    assert found[0][1] > 3 * found[1][1]


def test_a_film_and_a_still_of_it_may_be_all_that_a_bank_holds() -> None:
    """Two incidents, to all that an index knows: of the film's pictures few are like the still."""
    rng = np.random.default_rng(12)
    still = made(rng)
    film = track(*(made(rng) for _ in range(7)), seen(still, rng, bits=12, part=0.9))
    alone, index = filled(still), filled(still)
    index.add([(1, film)])
    assert len(set(index.arrays()["incidents"].tolist())) == 2
    query = seen(still, rng)
    [(_, votes)] = answers(alone, query)
    both = dict(answers(index, query))
    assert both.keys() >= {0, 1}
    assert both[0] >= 0.5 * votes


def test_versions_of_one_incident_do_not_weaken_each_other() -> None:
    """Forty versions, and a logo that forty other references have."""
    rng = np.random.default_rng(28)
    incident, logo = made(rng, 200), made(rng, 20)
    versions = [seen(incident, rng, bits=12, part=0.8) for _ in range(40)]
    others = [beside(logo, rng, 180) for _ in range(40)]
    alone = answers(filled(versions[0], *others), incident)[0]
    assert alone[0] == 0
    index = filled(*versions, *others)
    together = answers(index, incident)
    assert {reference for reference, _ in together} <= set(range(40))
    assert together[0][1] > 0.95 * alone[1]
    assert all(votes < 3 for _, votes in answers(index, logo))
    assert answers(filled(*versions, others[0]), logo)[0] == (40, pytest.approx(20))


def test_an_incident_is_known_again_however_it_came() -> None:
    """By all in one step, each in its own, or from a snapshot; the logo's are none."""
    rng = np.random.default_rng(29)
    incident, logo = made(rng, 200), made(rng, 20)
    pictures = [seen(incident, rng, bits=12, part=0.8) for _ in range(8)]
    pictures += [beside(logo, rng, 180) for _ in range(8)]
    once, often, read = filled(*pictures), empty(), empty()
    for i, one in enumerate(pictures):
        often.add([(i, track(one))])
    read.load(often.arrays())
    for index in (once, often, read):
        assert index.arrays()["incidents"].tolist() == [0] * 8 + list(range(1, 9))
    read.add([(16, track(seen(incident, rng, bits=12)))])
    assert read.arrays()["incidents"][-1] == 0


def test_one_title_card_makes_no_incident() -> None:
    """A picture of three that unrelated references share; two of three do make one."""
    rng = np.random.default_rng(30)
    card, scene = made(rng), made(rng)
    index = empty()
    index.add([(0, track(card, scene, made(rng))), (1, track(card, made(rng), made(rng)))])
    index.add([(2, track(card, scene, made(rng)))])
    assert index.arrays()["incidents"].tolist() == [0] * 3 + [1] * 3 + [0] * 3


def test_very_common_codes_are_passed_over() -> None:
    """Thousands of one code (a logo, say) neither slow a search down nor hide what is rare."""
    rng = np.random.default_rng(10)
    rare, common = made(rng, 30), some_codes(rng, 1)
    crowd = [(np.repeat(common, 500, axis=0), some_places(rng, 500)) for _ in range(40)]
    index = filled(rare, *crowd)
    assert len(index) == 20_030
    query = (np.concatenate([np.repeat(common, 300, axis=0), rare[0]]), some_places(rng, 330))
    query[1][300:] = rare[1]
    found = answers(index, query)
    assert found[0] == (0, pytest.approx(30, rel=0.05))
    assert sum(votes for _, votes in found[1:]) < 3


def test_a_querys_feature_counts_once_in_a_picture() -> None:
    rng = np.random.default_rng(12)
    codes, places = made(rng, 10)
    index = filled((np.repeat(codes, 20, axis=0), np.repeat(places, 20, axis=0)))
    assert answers(index, (codes, places))[0][1] == pytest.approx(10)


# --- adding and removing ---


def test_many_small_steps_give_the_answers_of_one() -> None:
    rng = np.random.default_rng(13)
    pictures = [made(rng, int(rng.integers(20, 200))) for _ in range(60)]
    once, often = filled(*pictures), empty()
    for i, one in enumerate(pictures):
        often.add([(i, track(one))])
    assert len(once) == len(often) == sum(len(codes) for codes, _ in pictures)
    for number in range(0, 60, 7):
        query = seen(pictures[number], rng, bits=4)
        (mine, theirs) = answers(once, query, 1), answers(often, query, 1)
        assert mine[0][0] == theirs[0][0] == number
        assert mine[0][1] == pytest.approx(theirs[0][1], rel=0.01)


def test_many_small_steps_leave_few_segments() -> None:
    rng = np.random.default_rng(14)
    index = empty()
    for i in range(120):
        index.add([(i, track(made(rng, 30)))])
    assert len(index._segments) <= 8


def test_a_common_feature_says_little_however_it_came() -> None:
    rng = np.random.default_rng(15)
    shared = made(rng, 60)
    pictures = [made(rng, 6000), *(beside(shared, rng) for _ in range(6))]
    once, often = filled(*pictures), empty()
    numbered = [(i, track(one)) for i, one in enumerate(pictures)]
    for step in (numbered[:1], numbered[1:5], numbered[5:6], numbered[6:]):
        often.add(step)
    assert len(often._segments) > 1  # too unequal to be merged
    assert answers(once, shared)[0][1] < 20
    assert answers(once, shared)[0][1] == pytest.approx(answers(often, shared)[0][1], rel=0.1)


def test_what_was_removed_is_not_found_and_may_come_back() -> None:
    rng = np.random.default_rng(16)
    pictures = [made(rng) for _ in range(30)]
    index = filled(*pictures)
    index.remove([3, 4, 999])
    assert len(index) == 28 * 100
    assert 3 not in {reference for reference, _ in answers(index, pictures[3], 30)}
    assert index.pictures(3) == []
    assert answers(index, pictures[5])[0][0] == 5
    index.add([(3, track(pictures[4]))])
    assert len(index) == 29 * 100
    assert answers(index, pictures[4])[0][0] == 3
    assert 3 not in [reference for reference, votes in answers(index, pictures[3]) if votes > 10]
    (picture,) = index.pictures(3)
    assert np.array_equal(picture.codes, pictures[4][0])


def test_all_removed() -> None:
    rng = np.random.default_rng(17)
    pictures = [made(rng) for _ in range(5)]
    index = filled(*pictures)
    index.remove(range(5))
    assert len(index) == 0
    assert index.nominate(*pictures[0], 5) == []
    again = empty()
    again.load(index.arrays())
    assert len(again) == 0
    index.add([(5, track(pictures[0]))])
    assert [reference for reference, _ in answers(index, pictures[0])] == [5]


def mapped(index: LocalIndex) -> LocalIndex:
    """The same as it is loaded from a snapshot, with its tables: it is not built anew."""
    loaded, arrays = empty(), index.arrays()
    loaded.load({**arrays, **index.tables(arrays)})
    return loaded


def test_removed_versions_take_no_places_in_full_buckets() -> None:
    rng = np.random.default_rng(26)
    one = made(rng, 12)
    index = filled(*([one] * 100))
    assert len(answers(index, one, 100)) < 100  # the buckets are full
    index.remove(range(99))
    assert answers(index, one) == [(99, pytest.approx(answers(filled(one), one)[0][1]))]


def test_hidden_references_are_not_named_but_are_of_their_incident() -> None:
    rng = np.random.default_rng(31)
    one = made(rng, 60)
    index = filled(*([one] * 10), made(rng))
    index.hide(range(9))
    index.add([(11, track(made(rng)))])
    index.add([(12, track(one))])
    assert {reference for reference, _ in answers(index, one)} == {9, 12}
    index.remove([9])
    assert [reference for reference, _ in answers(index, one)] == [12]
    assert len(index) == 10 * 60 + 2 * 100
    index.hide([])
    assert {reference for reference, _ in answers(index, one, 20)} == {*range(9), 12}
    incidents = {int(i) for s in index._segments for i in s.pictures.incidents}
    assert len(incidents) == 3


@pytest.mark.parametrize(("removed", "rows"), [(5, 20), (6, 14), (20, 0)])
def test_a_segment_of_which_much_is_removed_is_built_anew(removed: int, rows: int) -> None:
    rng = np.random.default_rng(27)
    pictures = [made(rng, 40) for _ in range(20)]
    index = filled(*pictures)
    index.remove(range(removed))
    assert sum(len(filed.words) for filed in index.filed()) == 40 * rows
    assert len(index) == 40 * (20 - removed)
    for number in range(removed, 20):
        assert answers(index, pictures[number])[0][0] == number


def test_a_mapped_segment_is_dropped_when_all_of_it_is_removed() -> None:
    rng = np.random.default_rng(28)
    index = mapped(filled(*(made(rng) for _ in range(4))))
    index.remove(range(3))
    assert len(index.filed()[0].words) == 400
    index.remove([3])
    assert index.filed() == []


def test_a_bank_of_which_much_is_removed_is_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Though what was removed is still mapped."""
    monkeypatch.setattr(local, "_SMALL", 100)
    rng = np.random.default_rng(29)
    pictures = [made(rng) for _ in range(3)]
    index = mapped(filled(*pictures))
    assert index.nominate(*pictures[0], 1, rarest=20)[0].votes < 25
    index.remove([1, 2])
    assert index.nominate(*pictures[0], 1, rarest=20)[0].votes > 90


def test_any_sequence_of_steps_answers_as_a_dict_does() -> None:
    rng = np.random.default_rng(18)
    palette = [made(rng, 40) for _ in range(12)]
    index, held, ordinal = empty(), dict[int, int](), 0
    for _ in range(60):
        if rng.random() < 0.6:
            chosen = rng.integers(0, 12, rng.integers(1, 4)).tolist()
            index.add([(ordinal + i, track(palette[c])) for i, c in enumerate(chosen)])
            held |= {ordinal + i: c for i, c in enumerate(chosen)}
            ordinal += len(chosen)
        else:
            gone = rng.integers(0, ordinal + 2, 3).tolist()
            index.remove(gone)
            held = {o: c for o, c in held.items() if o not in gone}
        assert len(index) == 40 * len(held)
        choice = int(rng.integers(12))
        found = {o for o, votes in answers(index, palette[choice], 100) if votes > 4}
        assert found == {o for o, c in held.items() if c == choice}


def test_pictures_of_a_reference_are_all_of_it_in_order() -> None:
    rng = np.random.default_rng(19)
    mine = [made(rng, n) for n in (10, 1, 30)]
    index = empty()
    index.add([(0, track(made(rng))), (1, track(*mine, at=[1.5, 4.0, 9.0])), (2, track(made(rng)))])
    index.add([(3, track(made(rng, 5)))])
    found = index.pictures(1)
    assert [p.offset for p in found] == [1.5, 4.0, 9.0]
    assert all(isinstance(p, Nominee) and p.reference == 1 for p in found)
    for picture, (codes, places) in zip(found, mine, strict=True):
        assert np.array_equal(picture.codes, codes)
        assert np.abs(picture.places - places).max() <= 1 / 100
    assert index.pictures(4) == []


def test_two_tracks_of_one_reference() -> None:
    rng = np.random.default_rng(20)
    one, other = made(rng), made(rng)
    index = empty()
    index.add([(0, track(one)), (0, track(other))])
    assert [reference for reference, _ in answers(index, other)] == [0]
    assert len(index.pictures(0)) == 2
    index.remove([0])
    assert len(index) == 0


def test_an_empty_index_and_an_empty_query() -> None:
    rng = np.random.default_rng(21)
    nothing = (np.empty((0, 32), np.uint8), np.empty((0, 4), np.float32))
    index = empty()
    assert len(index) == 0
    assert index.nominate(*made(rng), 5) == index.nominate(*nothing, 5) == []
    assert index.pictures(0) == []
    index.remove([1])
    index.add([])
    index.add([(0, track(nothing))])
    assert len(index) == 0
    again = empty()
    again.load(index.arrays())
    assert len(again) == 0
    index.add([(1, track(made(rng)))])
    assert index.nominate(*nothing, 5) == []


def test_a_picture_without_features_between_others() -> None:
    rng = np.random.default_rng(22)
    nothing = (np.empty((0, 32), np.uint8), np.empty((0, 4), np.float32))
    first, last = made(rng), made(rng)
    index = empty()
    index.add([(0, track(nothing, first, nothing, last, nothing))])
    assert [n.offset for n in index.nominate(*last, 1)] == [1.5]
    assert [len(p.codes) for p in index.pictures(0)] == [0, 100, 0, 100, 0]


# --- snapshots ---


def test_what_was_saved_answers_the_same() -> None:
    rng = np.random.default_rng(23)
    pictures = [made(rng) for _ in range(20)]
    index = filled(*pictures[:15])
    for i in range(15, 20):
        index.add([(i, track(pictures[i], made(rng, 7), at=[2.0, 3.0]))])
    index.remove([2, 17])
    arrays = index.arrays()
    for array in arrays.values():
        array.flags.writeable = False  # as they come from a file
    again = empty()
    again.load(arrays)
    assert len(again) == len(index)
    for number in range(20):
        query = seen(pictures[number], rng, bits=4)
        mine, read = index.nominate(*query, 1), again.nominate(*query, 1)
        assert [(n.reference, n.offset, n.width) for n in mine] == [
            (n.reference, n.offset, n.width) for n in read
        ] or number in (2, 17)
        assert len(again.pictures(number)) == len(index.pictures(number))
    for name, array in again.arrays().items():
        assert np.array_equal(array, arrays[name]), name


def saved() -> dict[str, NDArray[Any]]:
    rng = np.random.default_rng(24)
    return filled(*(made(rng, 10) for _ in range(3))).arrays()


DAMAGE = {
    "codes as text": ("codes", lambda a: a.astype("S1")),
    "codes of 16 bytes": ("codes", lambda a: a[:, :16]),
    "flat codes": ("codes", lambda a: a.reshape(-1)),
    "codes lost": ("codes", lambda a: a[:-1]),
    "places lost": ("places", lambda a: a[1:]),
    "places of three": ("places", lambda a: a[:, :3]),
    "places in double": ("places", lambda a: a.astype(np.float64)),
    "sizes lost": ("sizes", lambda a: a[:-1]),
    "a moment too much": ("offsets", lambda a: np.append(a, 1.0)),
    "moments as whole numbers": ("offsets", lambda a: a.astype(np.int64)),
    "a reference lost": ("references", lambda a: a[:-1]),
    "references in a table": ("references", lambda a: a.reshape(-1, 1)),
    "a count below none": ("counts", lambda a: np.array([10, 30, -10], np.int32)),
    "a count too large": ("counts", lambda a: a + np.int32(1)),
    "counts swapped in their bytes": ("counts", lambda a: a.astype(">i4")),
    "counts that are lost": ("counts", lambda a: a[:-1]),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damaged_arrays_are_refused(name: str) -> None:
    column, damage = DAMAGE[name]
    arrays = saved()
    empty().load(arrays)
    index = empty()
    with pytest.raises(BadSnapshot):
        index.load(arrays | {column: damage(arrays[column])})
    assert len(index) == 0


@pytest.mark.parametrize("column", COLUMNS)
def test_a_missing_array_is_refused(column: str) -> None:
    arrays = saved()
    del arrays[column]
    with pytest.raises(BadSnapshot):
        empty().load(arrays)


@pytest.mark.parametrize(
    ("column", "value"), [("references", -1), ("incidents", -1), ("places", 0), ("counts", None)]
)
def test_values_that_no_picture_has_are_refused(column: str, value: int | None) -> None:
    arrays = saved()
    arrays[column] = np.array(3, np.int32) if value is None else arrays[column].copy()
    if value is not None:
        arrays[column][0] = value
    with pytest.raises(BadSnapshot):
        empty().load(arrays)


# --- threads ---


def test_searches_run_beside_additions_and_removals() -> None:
    """A reference that is there all the time is found all the time."""
    rng = np.random.default_rng(25)
    stays, pictures = made(rng), [made(rng, 60) for _ in range(8)]
    index = filled(stays)
    done, failures, searches = threading.Event(), list[BaseException](), [0]

    def search() -> None:
        try:
            while not done.is_set():
                assert answers(index, stays, 1)[0][0] == 0
                assert len(index.pictures(0)) == 1
                assert len(index) >= 100
                assert len(index.arrays()["codes"]) >= 100
                searches[0] += 1
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=search) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for step in range(40):
            index.add([(1 + step, track(pictures[step % 8]))])
            if step % 3 == 2:
                index.remove([step - 1, step])
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert not failures
    assert searches[0] > 3


def test_what_was_given_is_not_changed() -> None:
    rng = np.random.default_rng(26)
    one, query = made(rng), made(rng)
    features = track(one)
    before = replace(features, codes=features.codes.copy(), places=features.places.copy())
    asked = query[0].copy(), query[1].copy()
    index = empty()
    index.add([(0, features)])
    index.nominate(*query, 3)
    assert np.array_equal(features.codes, before.codes)
    assert np.array_equal(features.places, before.places)
    assert all(np.array_equal(a, b) for a, b in zip(asked, query, strict=True))


def test_tables_are_loaded_with_the_features_or_made(tmp_path: Path) -> None:
    rng = np.random.default_rng(23)
    pictures = [made(rng) for _ in range(6)]
    index = filled(*pictures)
    arrays = index.arrays()
    tables = index.tables(arrays)
    write_file(tmp_path / "file", "test", {}, {**arrays, **tables})
    kept = read_file(tmp_path / "file", "test").arrays
    loaded, again = empty(), empty()
    loaded.load(kept)
    again.load(arrays)
    assert np.shares_memory(loaded.filed()[0].rows, kept["rows"])
    for one in (loaded, again):
        for name, table in one.tables(one.arrays()).items():
            assert (table == tables[name]).all()
        one.add([(7, track(made(rng, 300), pictures[5]))])
        one.remove([1])
    assert len(loaded.filed()) == 2  # the map is not merged into this process's memory
    for number in range(6):
        query = seen(pictures[number], rng)
        assert [r for r, _ in answers(loaded, query)] == [r for r, _ in answers(again, query)]
    assert loaded.tables(loaded.arrays()).keys() == tables.keys()
    assert empty().tables(empty().arrays()) == {}


def test_tables_that_are_nonsense_are_read_within_their_bounds() -> None:
    rng = np.random.default_rng(24)
    picture = made(rng, 300)
    arrays = filled(picture).arrays()
    tables = empty().tables(arrays)
    for turn in range(20):
        spoilt = {
            name: rng.integers(0, 2 ** (32 if turn % 2 else 9), t.shape, dtype=np.uint32)
            for name, t in tables.items()
        }
        index = empty()
        index.load(arrays | spoilt)
        with contextlib.suppress(IndexError):
            index.nominate(*picture, 6)


@pytest.mark.parametrize("name", ["starts", "rows"])
def test_tables_that_do_not_fit_are_refused(name: str) -> None:
    arrays = saved()
    tables = empty().tables(arrays)
    empty().load(arrays | tables)
    for wrong in (tables[name][:, 1:], tables[name].astype(np.int32), tables[name][1:]):
        with pytest.raises(BadSnapshot, match=name):
            empty().load(arrays | tables | {name: wrong})
    del tables[name]
    with pytest.raises(BadSnapshot, match=name):
        empty().load(arrays | tables)
