"""Which keys of the tables of a segment of `hashdb.index.hamming` are asked for."""

from __future__ import annotations

import functools
import math

import numpy as np

from hashdb.index.hamming_kernels import AT_ONCE, Plan
from hashdb.index.hamming_tables import bits_of_part


def _shares(distance: int, m: int) -> list[int]:
    """Of m things that differ by `distance` bits together, at least one differs by no more than
    stands here for it: all these are `distance - m + 1` together."""
    return [distance // m - (i > distance % m) for i in range(m)]


def reach(radius: int, words: int, each: int) -> tuple[list[int], list[int]]:
    """For each table `Plan.limits` and `Plan.radii`.

    Of a word's parts, which stand in a ring, at least one is within its share and, with the one
    after it, within both shares and one bit (the pigeonring principle: where each part is counted
    as one bit less than it and its share differ by, the parts of the ring are -1 in all, so that
    from one of them on all sums are negative).
    """
    radii, limits = [], []
    for share in _shares(radius, words):
        parts = _shares(share, each)
        radii += parts
        limits += [parts[i] + parts[(i + 1) % each] + 1 for i in range(each)]
    return limits, radii


@functools.cache
def keys_asked(radius: int, words: int, each: int, keys: int) -> int:
    """How many keys a query asks for, of `keys` in each table."""
    bits = keys.bit_length() - 1
    radii = reach(radius, words, each)[1]
    return sum(math.comb(bits, apart) for r in radii for apart in range(r + 1))


@functools.lru_cache(maxsize=64)
def plan(
    radius: int, words: int, each: int, keys: int, farthest: tuple[int, int] | None = None
) -> Plan:
    """`farthest`: bits of a key, and of a part and the one beside it, beyond which nothing is asked
    for, though codes be missed."""
    limits, radii = reach(radius, words, each)
    if farthest is not None:
        radii = [min(r, farthest[0]) for r in radii]
        limits = [min(limit, farthest[1]) for limit in limits]
    every = np.arange(keys, dtype=np.int64)
    # In the order of the keys: neighbours share cache lines.
    masks = {r: every[np.bitwise_count(every) <= r] for r in sorted(set(radii))}
    lengths = [len(m) for m in masks.values()]
    begins = dict(zip(masks, np.cumsum([0, *lengths]).tolist(), strict=False))
    tables, bits = np.arange(len(limits)), bits_of_part(each)
    sizes = np.array([len(masks[r]) for r in radii], dtype=np.int64)
    begin = np.array([begins[r] for r in radii], dtype=np.int64)
    return Plan(
        each,
        tables // each,
        (tables % each * bits).astype(np.uint64),
        ((tables + 1) % each * bits).astype(np.uint64),
        np.array(limits, dtype=np.int64),
        np.array(radii, dtype=np.int64),
        np.concatenate(list(masks.values())).astype(np.uint32),
        np.bitwise_count(np.concatenate(list(masks.values()))).astype(np.int64),
        begin,
        begin + sizes,
        np.ceil(sizes / np.maximum(np.ceil(sizes / AT_ONCE), 1)).astype(np.int64),
    )
