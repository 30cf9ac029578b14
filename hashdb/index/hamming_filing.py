"""How codes of a segment of `hashdb.index.hamming` are filed: which layout, and the tables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from hashdb.index import hamming_tables as layout
from hashdb.index.hamming_tables import SMALL, WIDE, Stored, Tables
from hashdb.machine import LANES

FILED = 1 << 12  # codes from which a segment has tables
MANY = 1 << 23  # codes from which tables are wide
MOST = 1 << 24  # codes of a segment that is made in memory: a row of small layout has 24 bits
MOST_MAPPED = 1 << layout.ROW_BITS  # codes of a segment of a snapshot
_A_KEY = 10  # entries, at least
_SORTED = 1 << 22  # codes sorted at once, about

# Odd 64-bit constants (xxHash's primes) that spread the words of a code over one sort key.
_MIX = np.array(
    [0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0x85EBCA77C2B2AE63],
    dtype=np.uint64,
)

Words = NDArray[np.uint64]
Bits = NDArray[np.uint8]
_Array = TypeVar("_Array", bound=NDArray[Any])


class Repeated(NamedTuple):
    """Which of n rows repeat an earlier row's code: see `hamming_segments.Segment`."""

    repeated: Bits
    heads: NDArray[np.int32]
    repeats: NDArray[np.int32]


@dataclass(frozen=True, slots=True, eq=False)
class Filing:
    """How codes are filed: see `hamming_segments.Segment`."""

    again: Repeated
    tables: Tables


@dataclass(frozen=True, slots=True)
class Shape:
    """Of the tables of a segment: parts of a word (`SMALL` or `WIDE`), how many tables there are,
    bits of their keys, and entries."""

    each: int
    parts: int
    key_bits: int
    entries: int


def shape_of(n: int, words: int, entries: int) -> Shape:
    """Of `n` codes, `entries` of them distinct."""
    each = WIDE if n >= MANY else SMALL
    # Ten entries a key or more: with fewer a key takes more memory than its entries are worth, and
    # with more than LANES, which are compared at once, it is read in two steps.
    key_bits = min(max((entries // _A_KEY).bit_length() - 1, 1), layout.bits_of_part(each))
    return Shape(each, each * words, key_bits, entries)


def file(codes: Words, words: int) -> Filing:
    """File (n * words,) codes, whose memory is read-only."""
    again = repeated_codes(codes.reshape(-1, words))
    n = len(codes) // words
    shape = shape_of(n, words, n - len(again.repeats))
    tables = _room(shape, shape.parts)
    for table in range(shape.parts):
        _fill(Stored(codes, again.repeated), shape, table, Tables(*(a[table] for a in tables)))
    for array in tables:
        frozen(array)
    return Filing(again, tables)


def one_table(codes: Words, again: Repeated, shape: Shape, table: int) -> Tables:
    """One of the tables alone, whose arrays have one row. Of many codes all tables would not go
    into the memory."""
    one = _room(shape, 1)
    _fill(Stored(codes, again.repeated), shape, table, Tables(*(a[0] for a in one)))
    return one


def _room(shape: Shape, parts: int) -> Tables:
    entries = shape.entries
    return Tables(
        np.empty((parts, (1 << shape.key_bits) + 1), dtype=np.uint32),
        np.empty((parts, entries + LANES), dtype=np.uint16),
        np.empty((parts, layout.bytes_of_row(shape.each) * entries), dtype=np.uint8),
    )


def _fill(stored: Stored, shape: Shape, table: int, rows: Tables) -> None:
    places = np.empty(1 << shape.key_bits, dtype=np.int64)
    words = shape.parts // shape.each
    layout.fill_table(stored, words, shape.each, table, *rows, places)


def repeated_codes(codes: Words) -> Repeated:
    """Of (n, words) codes.

    Equal codes have equal keys and so stand together in the order of the keys. Where different
    codes share a key, a repeated code may be missed: it is then found in its own right. Codes are
    sorted some at a time, for many would take a lot of memory.
    """
    n, words = codes.shape
    mix, kinds = np.resize(_MIX, words), np.uint64(n // _SORTED + 1)
    mixed = np.empty(n, dtype=np.uint64)
    for first in range(0, n, _SORTED):
        some = codes[first : first + _SORTED]
        (some * mix).sum(axis=1, dtype=np.uint64, out=mixed[first : first + _SORTED])
    kind = (mixed % kinds).astype(np.uint16)
    found = []
    for one in range(int(kinds)):
        rows = np.flatnonzero(kind == one)
        found.append(_repeats(codes, rows, mixed[rows]))
    heads, repeats = (np.concatenate(some) for some in zip(*found, strict=True))
    order = np.argsort(heads, kind="stable")
    repeated = np.zeros(n // 8 + 1, dtype=np.uint8)
    np.bitwise_or.at(repeated, repeats >> 3, (1 << (repeats & 7)).astype(np.uint8))
    return Repeated(frozen(repeated), frozen(heads[order]), frozen(repeats[order]))


def _repeats(
    codes: Words, rows: NDArray[np.int64], mixed: Words
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Of some rows, with their keys: the first of those with one code, and the others."""
    sorting = np.argsort(mixed, kind="stable")
    order, mixed = rows[sorting].astype(np.int32), mixed[sorting]
    at = np.flatnonzero(mixed[1:] == mixed[:-1]) + 1
    at = at[(codes[order[at]] == codes[order[at - 1]]).all(axis=1)]
    # the first of a run of places that follow on one another comes after the run's head
    begins = np.flatnonzero(np.diff(at, prepend=-2) != 1)
    heads = np.repeat(order[at[begins] - 1], np.diff(begins, append=len(at)))
    return heads, order[at]


def frozen(array: _Array) -> _Array:
    """The same array, read-only from now on."""
    array.flags.writeable = False
    return array


NOT_REPEATED = Repeated(
    frozen(np.zeros(1, dtype=np.uint8)),
    frozen(np.empty(0, dtype=np.int32)),
    frozen(np.empty(0, dtype=np.int32)),
)
NO_TABLES = Tables(
    np.empty((0, 0), np.uint32), np.empty((0, 0), np.uint16), np.empty((0, 0), np.uint8)
)
"""Of no codes; and what kinds of arrays there are."""
