"""Which pairs of features agree: with each other on how the picture was turned and scaled, with a
hypothesis of how it was moved, with a map. What geometric verification counts over and over.

By Numba (the extra `fast`) where it is there, else by numpy, with the same answers but for pairs
that lie on a bound to the last bit.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hashdb.model import Floats, Ints

Singles = NDArray[np.float32]
Weights = NDArray[np.int32]
Flags = NDArray[np.bool_]
Complex = NDArray[np.complex128]

TURN, OCTAVES = np.float32(25 / 360), np.float32(0.7)
"""Whole turns and octaves within which two pairs agree on how the picture was turned and scaled."""

TURNED, SCALED = 40.0, 1.0
"""Degrees and octaves within which a pair that lies on a map is turned and scaled like it."""

_AT_ONCE = 1 << 13  # numbers: they stay in the processor's cache
_ROUNDING = np.float32(1.5 * 2**23)  # what is added to it is rounded to a whole number


def alike_by_table(turn: Singles, size: Singles, weight: Weights) -> Ints:
    """The rows that agree with the one that agrees with most, by `weight`: of `turn` (n,) in whole
    turns and `size` (n,) in octaves."""
    apart = turn[:, None] - turn[None, :]
    apart -= np.rint(apart)
    alike = np.abs(apart) <= TURN
    alike &= np.abs(size[:, None] - size[None, :]) <= OCTAVES
    return np.flatnonzero(alike[int((alike @ weight).argmax())])


def votes_by_table(
    factor: Complex, shift: Complex, z: Complex, w: Complex, rough: float, close: float
) -> Ints:
    """How many of the (n,) pairs of `z` and `w` lie on each turn and size (`factor`) and `shift`
    (h,), within `rough` pixels; those within `close` ones count twice."""
    one, a, b = np.ones(len(factor)), factor.real, factor.imag
    across_of = np.stack([a, -b, shift.real, one], axis=1)
    down_of = np.stack([b, a, shift.imag, one], axis=1)
    each = np.ones(len(w))
    of_across = np.stack([w.real, w.imag, each, -z.real])
    of_down = np.stack([w.real, w.imag, each, -z.imag])
    votes = np.empty(len(factor), dtype=np.int64)
    step = max(1, _AT_ONCE // len(w))
    for start in range(0, len(factor), step):
        some = slice(start, start + step)
        off, down = across_of[some] @ of_across, down_of[some] @ of_down
        off *= off
        down *= down
        off += down
        votes[some] = np.add(off <= rough**2, off <= close**2, dtype=np.int16).sum(
            axis=1, dtype=np.int64
        )
    return votes


def on_map_by_table(
    found: Floats, target: Floats, source: Floats, tolerance: float,
    turns: Singles, sizes: Singles, turn: float, size: float,
) -> Ints:  # fmt: skip
    """The rows of (n, 2) `target` and `source` that lie on the map (2, 3) within `tolerance` pixels
    and are turned (degrees) and scaled (octaves) about as it is."""
    off = source @ found[:, :2].T + found[:, 2] - target
    rows = np.flatnonzero(off[:, 0] ** 2 + off[:, 1] ** 2 <= tolerance**2)
    angle = np.abs((turns[rows].astype(np.float64) - turn + 180) % 360 - 180)
    near = np.abs(sizes[rows].astype(np.float64) - size) <= SCALED
    return np.asarray(rows[near & (angle <= TURNED)])


def inside_by_table(
    found: Floats, places: Singles, width: float, height: float, least: float
) -> Flags:
    """(n,) which of the (n, 4) places the map puts inside a picture of that size, and have at least
    that diameter."""
    at = places[:, :2].astype(np.float64) @ found[:, :2].T + found[:, 2]
    within = (at >= 0).all(axis=1) & (at[:, 0] < width) & (at[:, 1] < height)
    return np.asarray(within & (places[:, 2] >= least))


def densest_by_table(off: Floats, tolerance: float) -> Flags:
    """(n,) which of the (n, 2) lie within `tolerance` along both axes of the one that most do."""
    near = np.ones((len(off), len(off)), dtype=np.bool_)
    for axis in (0, 1):
        near &= np.abs(off[:, None, axis] - off[None, :, axis]) <= tolerance
    return np.asarray(near[int(near.sum(axis=1).argmax())])


def _alike(
    turn: Any, size: Any, weight: Any, turned: Any, octaves: Any, rounding: Any, found: Any
) -> None:
    best, most = 0, -1
    for i in range(len(turn)):
        told: Any = np.int32(0)
        t, s = turn[i], size[i]
        for j in range(len(turn)):
            apart = t - turn[j]
            apart -= (apart + rounding) - rounding
            told += weight[j] if abs(apart) <= turned and abs(s - size[j]) <= octaves else 0
        if told > most:
            best, most = i, told
    for j in range(len(turn)):
        apart = turn[best] - turn[j]
        apart -= (apart + rounding) - rounding
        found[j] = abs(apart) <= turned and abs(size[best] - size[j]) <= octaves


def _votes(factor: Any, shift: Any, z: Any, w: Any, rough: Any, close: Any, votes: Any) -> None:
    """Complex numbers as (2, n) of their parts; `rough` and `close` squared."""
    for h in range(len(votes)):
        a, b, x, y = factor[0, h], factor[1, h], shift[0, h], shift[1, h]
        count = 0
        for i in range(z.shape[1]):
            across = a * w[0, i] - b * w[1, i] + x - z[0, i]
            down = b * w[0, i] + a * w[1, i] + y - z[1, i]
            off = across * across + down * down
            count += (1 if off <= rough else 0) + (1 if off <= close else 0)
        votes[h] = count


def _on_map(
    a: Any, b: Any, x: Any, c: Any, d: Any, y: Any, target: Any, source: Any, squared: Any,
    turns: Any, sizes: Any, turn: Any, size: Any, turned: Any, scaled: Any, rows: Any,
) -> int:  # fmt: skip
    count = 0
    for i in range(len(target)):
        across = a * source[i, 0] + b * source[i, 1] + x - target[i, 0]
        down = c * source[i, 0] + d * source[i, 1] + y - target[i, 1]
        if across * across + down * down <= squared and abs(sizes[i] - size) <= scaled:
            apart = (turns[i] - turn + 180.0) / 360.0
            if abs((apart - np.floor(apart)) * 360.0 - 180.0) <= turned:
                rows[count] = i
                count += 1
    return count


def _inside(
    a: Any, b: Any, x: Any, c: Any, d: Any, y: Any, places: Any, width: Any, height: Any,
    least: Any, inside: Any,
) -> None:  # fmt: skip
    for i in range(len(places)):
        across = a * places[i, 0] + b * places[i, 1] + x
        down = c * places[i, 0] + d * places[i, 1] + y
        within = across >= 0 and down >= 0 and across < width and down < height
        inside[i] = within and places[i, 2] >= least


def _densest(off: Any, tolerance: Any, near: Any) -> None:
    best, most = 0, -1
    for i in range(len(off)):
        count = 0
        for j in range(len(off)):
            apart = max(abs(off[i, 0] - off[j, 0]), abs(off[i, 1] - off[j, 1]))
            count += 1 if apart <= tolerance else 0
        if count > most:
            best, most = i, count
    for j in range(len(off)):
        apart = max(abs(off[best, 0] - off[j, 0]), abs(off[best, 1] - off[j, 1]))
        near[j] = apart <= tolerance


COMPILED = find_spec("numba") is not None
if COMPILED:
    from hashdb.machine import compiled

    _compiled_alike, _compiled_votes = compiled(_alike), compiled(_votes)
    _compiled_on_map, _compiled_inside = compiled(_on_map), compiled(_inside)
    _compiled_densest = compiled(_densest)


def alike_by_loops(turn: Singles, size: Singles, weight: Weights) -> Ints:
    """As `alike_by_table`. All of these compile, or read Numba's cache, at the first call."""
    found = np.empty(len(turn), np.bool_)
    _compiled_alike(turn, size, weight, TURN, OCTAVES, _ROUNDING, found)
    return np.flatnonzero(found)


def votes_by_loops(
    factor: Complex, shift: Complex, z: Complex, w: Complex, rough: float, close: float
) -> Ints:
    """As `votes_by_table`."""
    votes = np.empty(len(factor), np.int64)
    f, s, at, of = (np.stack([n.real, n.imag]) for n in (factor, shift, z, w))
    _compiled_votes(f, s, at, of, rough**2, close**2, votes)
    return votes


def on_map_by_loops(
    found: Floats, target: Floats, source: Floats, tolerance: float,
    turns: Singles, sizes: Singles, turn: float, size: float,
) -> Ints:  # fmt: skip
    """As `on_map_by_table`."""
    rows = np.empty(len(target), np.int64)
    (a, b, x), (c, d, y) = found.tolist()
    count = _compiled_on_map(
        a, b, x, c, d, y, target, source, tolerance**2, turns, sizes, turn, size,
        TURNED, SCALED, rows,
    )  # fmt: skip
    return rows[:count]


def inside_by_loops(
    found: Floats, places: Singles, width: float, height: float, least: float
) -> Flags:
    """As `inside_by_table`."""
    inside = np.empty(len(places), np.bool_)
    mine = np.array(places[:, :3], np.float32)  # a copy, for the index's may not be written to
    (a, b, x), (c, d, y) = found.tolist()
    _compiled_inside(a, b, x, c, d, y, mine, float(width), float(height), least, inside)
    return inside


def densest_by_loops(off: Floats, tolerance: float) -> Flags:
    """As `densest_by_table`."""
    near = np.empty(len(off), np.bool_)
    _compiled_densest(np.ascontiguousarray(off), tolerance, near)
    return near


alike = alike_by_loops if COMPILED else alike_by_table
votes = votes_by_loops if COMPILED else votes_by_table
on_map = on_map_by_loops if COMPILED else on_map_by_table
inside = inside_by_loops if COMPILED else inside_by_table
densest = densest_by_loops if COMPILED else densest_by_table


def warm() -> None:
    """Compile now, not in the first search."""
    ones, two, at = np.ones(2, np.float32), np.ones(2, np.complex128), np.ones((2, 2))
    alike(ones, ones, np.ones(2, np.int32))
    votes(two, two, two, two, 2.0, 1.0)
    on_map(np.ones((2, 3)), at, at, 1.0, ones, ones, 0.0, 0.0)
    inside(np.ones((2, 3)), np.ones((2, 4), np.float32), 2, 2, 1.0)
    densest(at, 1.0)
