"""Which pairs agree, by both ways, in made numbers."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from matcher import consensus

BY_TABLE = ("alike", "votes", "on_map", "inside", "densest")
WAYS = ["table"] + (["loops"] if consensus.COMPILED else [])


def way(name: str, kind: str):
    return getattr(consensus, f"{name}_by_{kind}")


def test_both_ways_are_tested_where_numba_is_installed():
    pytest.importorskip("numba")
    assert WAYS == ["table", "loops"]
    consensus.warm()
    assert all(getattr(consensus, name) is way(name, "loops") for name in BY_TABLE)


@pytest.mark.parametrize("kind", WAYS)
def test_most_weight_agrees_on_turn_and_size(kind: str):
    turn = np.array([0.01, 0.99, 0.5, 0.02, 0.5, 0.5], np.float32)  # whole turns: 0.99 is near 0
    size = np.array([0.0, 0.1, 0.0, 1.5, 0.1, 3.0], np.float32)
    weight = np.array([320, 320, 32, 320, 32, 320], np.int32)
    assert way("alike", kind)(turn, size, weight).tolist() == [0, 1]
    assert way("alike", kind)(turn[2:], size[2:], weight[2:]).tolist() == [1]


@pytest.mark.parametrize("kind", WAYS)
def test_pairs_on_a_hypothesis_are_counted_those_near_it_once(kind: str):
    w = np.array([0, 100, 100j, 50 + 50j])
    factor, shift = np.array([2j, 1.0]), np.array([10 + 5j, 0])
    z = factor[0] * w + shift[0] + np.array([0, 3, 9j, 20])
    assert way("votes", kind)(factor, shift, z, w, 10.0, 5.0).tolist() == [5, 0]


@pytest.mark.parametrize("kind", WAYS)
def test_on_a_map_lies_what_is_near_it_and_turned_and_scaled_like_it(kind: str):
    found = np.array([[0.0, -2.0, 7.0], [2.0, 0.0, 3.0]])
    source = np.array([[10.0, 20.0]] * 5)
    target = np.array([[-33.0, 23.0]] * 4 + [[-33.0, 29.1]])
    turns = np.array([90, -275, 135, 90, 90], np.float32)
    sizes = np.array([1.0, 0.5, 1.0, 2.1, 1.0], np.float32)
    on = way("on_map", kind)(found, target, source, 6.0, turns, sizes, 90.0, 1.0)
    assert on.tolist() == [0, 1]


@pytest.mark.parametrize("kind", WAYS)
def test_inside_is_what_the_map_puts_there_large_enough(kind: str):
    found = np.array([[0.5, 0.0, 1.0], [0.0, 0.5, 0.0]])
    places = np.array(
        [[0, 0, 31, 0], [0, 0, 30, 0], [197, 0, 31, 0], [198, 0, 31, 0], [0, -1, 31, 0]], np.float32
    )
    places.setflags(write=False)  # as the index's are
    assert way("inside", kind)(found, places, 100, 50, 31.0).tolist() == [1, 0, 1, 0, 0]


@pytest.mark.parametrize("kind", WAYS)
def test_the_densest_place_along_both_axes(kind: str):
    off = np.array([[0.0, 0], [9, 0], [10, 2], [11, -2], [10, 9]])
    assert way("densest", kind)(off, 1.0).tolist() == [True, False, False, False, False]
    assert way("densest", kind)(off, 2.0).tolist() == [False, True, True, True, False]


@pytest.mark.parametrize("seed", range(20))
def test_both_ways_answer_alike(seed: int):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 300))
    turn, size = rng.uniform(-1, 1, n).astype(np.float32), rng.normal(0, 1, n).astype(np.float32)
    source = rng.uniform(0, 448, (n, 2))
    found = np.array([[0.9, -0.2, 30], [0.2, 0.9, -10]]) + rng.normal(0, 0.02, (2, 3))
    target = source @ found[:, :2].T + found[:, 2] + rng.normal(0, 8, (n, 2))
    numbers = [a + 1j * b for a, b in rng.normal(0, 1, (2, 2, 50))]
    z, w = (x[:, 0] + 1j * x[:, 1] for x in (target, source))
    places = rng.uniform(-50, 500, (n, 4)).astype(np.float32)
    asked = {
        "alike": (turn, size, rng.integers(32, 321, n).astype(np.int32)),
        "votes": (1 + 0.2 * numbers[0], 30 * numbers[1], z, w, 24.0, 12.0),
        "on_map": (found, target, source, 12.0, 360 * turn, size, 12.0, 0.1),
        "inside": (found, places, 448, 336, 20.0),
        "densest": (target - source, 6.0),
    }
    assert list(asked) == list(BY_TABLE)
    for name, given in asked.items():
        answers = [way(name, kind)(*given).tolist() for kind in WAYS]
        assert all(a == b for a, b in pairwise(answers)), name
