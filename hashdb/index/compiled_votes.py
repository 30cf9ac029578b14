"""`hashdb.index.voting.votes` as machine code, by Numba (the extra `fast`)."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numba import types

from hashdb.index import voting
from hashdb.index.voting import Pairs
from hashdb.machine import compiled_for
from hashdb.model import Floats, Ints


def _grouped(queries: Any, count: int) -> Any:
    """Where each query's pairs begin in an order by queries (count + 1,), and that order."""
    begin = np.zeros(count + 1, np.int64)
    for query in queries:
        begin[query + 1] += 1
    for query in range(count):
        begin[query + 1] += begin[query]
    order = np.empty(len(queries), np.int64)
    free = begin.copy()
    for pair in range(len(queries)):
        order[free[queries[pair]]] = pair
        free[queries[pair]] += 1
    return begin, order


_by_query: Any = numba.njit(_grouped)


def _slots_for(entries: Any) -> Any:
    slots = 1
    while slots < 2 * entries:
        slots *= 2
    return slots


_room_for: Any = numba.njit(_slots_for)


def _held(queries: Any, incidents: Any, weights: Any, count: int) -> Any:
    """Of each of `count` queries how many incidents hold it, each counted by its nearest pair."""
    begin, order = _by_query(queries, count)
    slots = _room_for((begin[1:] - begin[:-1]).max())
    owner, known = np.full(slots, -1), np.empty(slots, np.int64)
    most = np.empty(slots)
    held = np.zeros(count)
    for query in range(count):
        for place in range(begin[query], begin[query + 1]):
            pair = order[place]
            slot = incidents[pair] & slots - 1
            while owner[slot] == query and known[slot] != incidents[pair]:
                slot = slot + 1 & slots - 1
            if owner[slot] != query:
                owner[slot], known[slot], most[slot] = query, incidents[pair], 0.0
            if weights[pair] > most[slot]:
                held[query] += weights[pair] - most[slot]
                most[slot] = weights[pair]
    return held


def _shared(queries: Any, pictures: Any, said: Any, count: int, shares: Any) -> Any:
    """Each pair's number of its picture, and its share of its query's vote, into `said` (k,) which
    holds what the pair says; then the pictures by their numbers, and what is said for each."""
    begin, order = _by_query(queries, count)
    slots = _room_for((begin[1:] - begin[:-1]).max())
    owner, known = np.full(slots, -1), np.empty(slots, np.int64)
    times = np.empty(slots, np.int64)
    rooms = _room_for(len(queries))
    numbers, where = np.full(rooms, -1), np.empty(len(queries), np.int64)
    listed, most = np.empty(len(queries), np.int64), np.zeros(len(queries))
    end = 0
    for query in range(count):
        for turn in range(2):  # how often each picture comes; then what that leaves of a vote
            for place in range(begin[query], begin[query + 1]):
                pair = order[place]
                picture = pictures[pair]
                slot = picture & slots - 1
                while owner[slot] == query and known[slot] != picture:
                    slot = slot + 1 & slots - 1
                if owner[slot] != query:
                    owner[slot], known[slot], times[slot] = query, picture, 0
                if turn == 0:
                    times[slot] += 1
                    continue
                room = picture & rooms - 1
                while numbers[room] >= 0 and listed[numbers[room]] != picture:
                    room = room + 1 & rooms - 1
                if numbers[room] < 0:
                    numbers[room], listed[end] = end, picture
                    end += 1
                where[pair] = numbers[room]
                said[pair] = np.rint(said[pair] / times[slot] * shares) / shares
                most[where[pair]] += said[pair]
    return where, listed[:end], most[:end]


def _most_told(
    order: Any,
    most: Any,
    begin: Any,
    by_picture: Any,
    bins: Any,
    shares: Any,
    told: Any,
    best: Any,
    table: Any,
) -> Any:
    """Into `told` the votes of pictures in their `order`, which falls by all that is said for each
    (`most`): up to where what is said is less than the least of the `best` so far. How many.
    `best` and `table` (turns, sizes): room."""
    sizes = table.shape[1]
    best[:] = 0.0
    for place in range(len(order)):
        picture = order[place]
        if most[picture] <= best[0]:
            return place
        table[:] = 0.0
        for at in range(begin[picture], begin[picture + 1]):
            pair = by_picture[at]
            table[bins[pair] // sizes, bins[pair] % sizes] += shares[pair]
        highest = 0.0
        for turn in range(len(table)):
            before = 0.0
            for size in range(sizes):
                both = table[turn, size] + table[turn - 1, size]
                highest = max(highest, before + both)
                before = both
        told[place] = highest
        if highest > best[0]:  # rising: the least of them is the first
            at = 0
            while at + 1 < len(best) and best[at + 1] < highest:
                best[at] = best[at + 1]
                at += 1
            best[at] = highest
    return len(order)


class CompiledVotes:
    """`hashdb.index.filing.Kernels.votes`. Making one compiles."""

    def __init__(self) -> None:
        whole, column, sums = types.int64, types.int64[::1], types.float64[::1]
        self._held = compiled_for(_held, sums(column, column, sums, whole))
        answer: Any = types.Tuple((column, column, sums))  # type: ignore[no-untyped-call]
        self._shared = compiled_for(_shared, answer(column, column, sums, whole, types.float64))
        two: Any = types.Tuple((column, column))  # type: ignore[no-untyped-call]
        self._grouped = compiled_for(_grouped, two(column, whole))
        self._most_told = compiled_for(
            _most_told,
            whole(column, sums, column, column, column, sums, sums, sums, types.float64[:, ::1]),
        )

    def __call__(
        self, pairs: Pairs, queries: int, incidents: int, most: int
    ) -> tuple[Ints, Floats]:
        queried, pictures = (np.ascontiguousarray(a) for a in (pairs.queries, pairs.pictures))
        if not len(queried):
            return pictures, np.empty(0)
        of_incident = np.ascontiguousarray(pairs.incidents)
        held = self._held(queried, of_incident, pairs.weights, queries)
        said = pairs.weights * voting.rarity_of(held, incidents)[queried]
        where, listed, sums = self._shared(queried, pictures, said, queries, voting.SHARES)
        order = voting.likeliest(listed, sums)
        begin, by_picture = self._grouped(where, len(listed))
        told, best = np.zeros(len(order)), np.empty(most)
        bins, table = np.ascontiguousarray(pairs.bins), np.empty((voting.TURNS, voting.SIZES))
        count = self._most_told(order, sums, begin, by_picture, bins, said, told, best, table)
        first = np.argsort(-told[:count], kind="stable")[:most]
        return listed[order[first]], told[first]
