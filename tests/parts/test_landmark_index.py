"""The index of landmarks against a dict, through any order of adding and removing."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hashdb.index import landmarks
from hashdb.index.landmarks import LandmarkIndex

Row = tuple[int, int, int]


def array(values) -> np.ndarray:
    return np.array(values, dtype=np.uint32)


def rows(index: LandmarkIndex, keys: list[int]) -> list[Row]:
    hits = index.search(array(keys))
    assert (hits.queries.dtype, hits.ordinals.dtype, hits.moments.dtype) == (
        np.int64,
        np.int32,
        np.uint32,
    )
    return sorted(
        zip(hits.queries.tolist(), hits.ordinals.tolist(), hits.moments.tolist(), strict=True)
    )


def expected(entries: set[Row], keys: list[int]) -> list[Row]:
    return sorted(
        (row, ordinal, moment)
        for row, wanted in enumerate(keys)
        for key, ordinal, moment in entries
        if key == wanted
    )


KEY = st.integers(0, 6) | st.sampled_from([0, 2**26, 2**32 - 1])
ADD = st.tuples(st.integers(0, 5), st.lists(st.tuples(KEY, st.integers(0, 2**32 - 1)), max_size=12))
STEPS = st.lists(ADD | st.lists(st.integers(0, 7), max_size=3), max_size=14)


@settings(max_examples=150, deadline=None)
@given(STEPS, st.lists(KEY, max_size=8))
def test_it_answers_as_a_dict_does(steps, keys):
    index, entries = LandmarkIndex(), set[Row]()
    for step in steps:
        if isinstance(step, tuple):
            ordinal, pairs = step
            new = {(key, ordinal, moment) for key, moment in pairs} - entries
            index.add(ordinal, array([k for k, _, _ in new]), array([m for _, _, m in new]))
            entries |= new
        else:
            index.remove(np.array(step, dtype=np.int64))
            entries = {e for e in entries if e[1] not in step}
        assert len(index) == len(entries)
        assert rows(index, keys) == expected(entries, keys)


def test_many_references_lie_in_few_segments():
    rng = np.random.default_rng(1)
    index = LandmarkIndex()
    for ordinal in range(300):
        index.add(ordinal, array(rng.integers(0, 1 << 20, 50)), array(rng.integers(0, 1 << 30, 50)))
    assert len(index) == 15_000
    assert len(index._segments) < 15
    assert index.nbytes == 12 * len(index)


def test_removing_most_gives_the_memory_back():
    index = LandmarkIndex()
    for ordinal in range(10):
        index.add(ordinal, array(range(100)), array(range(100)))
    index.remove(np.arange(1, 10))
    assert index.nbytes == 1200
    assert rows(index, [5]) == [(0, 0, 5)]


def test_a_key_that_everybody_has_is_looked_at_in_part():
    index = LandmarkIndex()
    for ordinal in range(landmarks.COMMON_LEAST + 1):
        index.add(ordinal, array([7, 8, 1000 + ordinal]), array([1, 2, 3]))
    hits = index.search(array([7, 1003, 8]))
    of = [set(hits.ordinals[hits.queries == row].tolist()) for row in range(3)]
    assert of[1] == {3}
    assert of[0] == of[2]  # the same references, so that their votes agree
    assert landmarks.FIRST <= len(of[0]) < landmarks.COMMON_LEAST / 2


def test_removed_references_hide_none_that_is_left_of_a_common_key():
    index = LandmarkIndex()
    for ordinal in range(landmarks.COMMON_LEAST):  # more of other sounds: nothing is built anew
        index.add(1000 + ordinal, array(range(10, 30)), array(range(20)))
    for ordinal in range(landmarks.COMMON_LEAST + 1):
        index.add(ordinal, array([7]), array([1]))
    index.add(999, array([7]), array([2]))
    whole = LandmarkIndex()
    whole.load(index.arrays())  # one segment
    whole.remove(np.arange(landmarks.COMMON_LEAST - 50))
    (segment,) = whole._segments
    assert segment.count < len(segment)
    left = [(0, o, 1) for o in range(landmarks.COMMON_LEAST - 50, landmarks.COMMON_LEAST + 1)]
    assert rows(whole, [7]) == [*left, (0, 999, 2)]


@pytest.mark.parametrize("removed", [[], [0], [3], [0, 1, 2], [4, 9], [1, 2, 3, 7, 8]])
@pytest.mark.parametrize("hides", [False, True])
def test_of_a_common_key_the_first_entries_that_count_are_looked_at(removed, hides, monkeypatch):
    monkeypatch.setattr(landmarks, "COMMON_LEAST", 2)
    monkeypatch.setattr(landmarks, "COMMON", 0.0)
    monkeypatch.setattr(landmarks, "FIRST", 2)
    monkeypatch.setattr(landmarks, "_DEAD", 1.0)
    index = LandmarkIndex()
    keys, moments = np.repeat(array([5, 7, 9]), 10), np.repeat(array([1, 2, 3]), 10)
    ordinals = np.tile(np.arange(10, dtype=np.int32), 3)
    index.load({"keys": keys, "ordinals": ordinals, "moments": moments})
    (index.hide if hides else index.remove)(np.array(removed, dtype=np.int64))
    first = [o for o in range(10) if o not in removed][:2]
    assert rows(index, [7, 5]) == [(row, o, m) for row, m in ((0, 2), (1, 1)) for o in first]
    assert len(index) == (30 if hides else 3 * (10 - len(removed)))


def test_what_is_hidden_is_hidden_through_all_changes_until_it_is_not():
    index = LandmarkIndex()
    for ordinal in range(6):
        index.add(ordinal, array([7]), array([ordinal]))
    index.hide(np.array([1, 3, 9]))
    index.add(6, array([7]), array([6]))
    index.remove(np.array([0, 3]))
    assert rows(index, [7]) == [(0, o, o) for o in (2, 4, 5, 6)]
    assert len(index) == 5
    index.hide(np.array([], dtype=np.int64))
    assert rows(index, [7]) == [(0, o, o) for o in (1, 2, 4, 5, 6)]


@pytest.mark.parametrize("ordinal", [-1, 2**31])
def test_ordinals_are_int32_from_0(ordinal):
    with pytest.raises(ValueError, match="ordinal"):
        LandmarkIndex().add(ordinal, array([1]), array([1]))


def test_keys_and_moments_come_in_pairs():
    with pytest.raises(ValueError, match="keys at"):
        LandmarkIndex().add(1, array([1, 2]), array([1]))


def test_nothing_in_it_and_nothing_asked():
    index = LandmarkIndex()
    assert rows(index, [1, 2]) == []
    index.add(1, array([]), array([]))
    index.add(1, array([3]), array([4]))
    assert rows(index, []) == []
    assert len(index) == 1


def test_searches_run_beside_adds_and_removals():
    """Ordinal 0 is always there; whoever searches sees it, whatever else goes on."""
    index = LandmarkIndex()
    index.add(0, array(range(50)), array(range(50)))
    stop, wrong = threading.Event(), []

    def search() -> None:
        while not stop.is_set():
            hits = index.search(array(range(50)))
            own = hits.ordinals == 0
            if not np.array_equal(np.sort(hits.moments[own]), np.arange(50)):
                wrong.append(hits)

    threads = [threading.Thread(target=search) for _ in range(3)]
    for thread in threads:
        thread.start()
    for turn in range(300):
        index.add(1 + turn % 20, array(range(50)), array(range(50)))
        if turn % 3 == 0:
            index.remove(np.array([1 + turn % 7]))
    stop.set()
    for thread in threads:
        thread.join()
    assert not wrong
