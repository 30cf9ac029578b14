"""Segments of `hashdb.index.hamming` as arrays of a snapshot, and snapshots as segments whose
arrays are maps that processes share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hashdb.errors import BadSnapshot
from hashdb.index import hamming_filing as filing
from hashdb.index.hamming_filing import NO_TABLES, NOT_REPEATED, Filing, Repeated
from hashdb.index.hamming_segments import Segment, mapped_segment
from hashdb.index.hamming_tables import SMALL, WIDE, Tables, bits_of_part, bytes_of_row
from hashdb.machine import LANES
from hashdb.model import Codes
from hashdb.ports import Piece

_NAME = "hamming/{}/{}"
_WANTED = {**NOT_REPEATED._asdict(), **NO_TABLES._asdict()}


def packed(codes: Codes) -> Iterator[Piece]:
    """The tables of contiguous codes under the ids from 0 on; one at a time."""
    words = codes.shape[1] // 8
    for number, first in enumerate(range(0, len(codes), filing.MOST_MAPPED)):
        part = codes[first : first + filing.MOST_MAPPED]
        if len(part) < filing.FILED:
            continue
        flat = part.reshape(-1).view(np.uint64)
        again = filing.repeated_codes(flat.reshape(-1, words))
        for name, array in again._asdict().items():
            yield Piece(_NAME.format(number, name), array, len(array))
        shape = filing.shape_of(len(part), words, len(part) - len(again.repeats))
        for table in range(shape.parts):
            for name, array in filing.one_table(flat, again, shape, table)._asdict().items():
                yield Piece(_NAME.format(number, name), array, shape.parts)


def unpacked(codes: Codes, tables: Mapping[str, NDArray[Any]]) -> list[Segment] | None:
    """The segments of those codes, with what `packed` gave; None where it is not there.
    `BadSnapshot` where it does not fit."""
    words = codes.shape[1] // 8
    made = []
    for number, first in enumerate(range(0, len(codes), filing.MOST_MAPPED)):
        part = codes[first : first + filing.MOST_MAPPED]
        found = {name: tables.get(_NAME.format(number, name)) for name in _WANTED}
        arrays = {name: array for name, array in found.items() if array is not None}
        filed = None
        if arrays:
            if len(arrays) < len(_WANTED):
                raise BadSnapshot("frame hashes without some of their tables")
            filed = _filing(arrays, len(part), words)
        elif len(part) >= filing.FILED:
            return None
        made.append(mapped_segment(part.reshape(-1).view(np.uint64), words, first, filed))
    return made


def _filing(arrays: Mapping[str, NDArray[Any]], n: int, words: int) -> Filing:
    """The tables of `n` codes. Their shapes are checked, and what is looked up in them is kept
    within them by the loops themselves."""
    for name, want in _WANTED.items():
        have = arrays[name]
        if have.dtype != want.dtype or have.ndim != want.ndim:
            raise BadSnapshot(f"frame hashes: {name} {have.shape} {have.dtype}")
    again = Repeated(*(arrays[name] for name in Repeated._fields))
    tables = Tables(*(arrays[name] for name in Tables._fields))
    starts, sketches, rows = tables
    distinct, parts = n - len(again.repeats), len(starts)
    keys, each = starts.shape[1] - 1, parts // words
    good = (
        again.repeated.shape == (n // 8 + 1,)
        and again.heads.shape == again.repeats.shape
        and parts in (SMALL * words, WIDE * words)
        and (sketches.shape, rows.shape)
        == ((parts, distinct + LANES), (parts, bytes_of_row(each) * distinct))
        and 1 < keys <= 1 << bits_of_part(each)
        and keys & (keys - 1) == 0
        and bool((starts[:, -1] == distinct).all())
    )
    if not good:
        raise BadSnapshot("frame hashes whose tables do not fit")
    return Filing(again, tables)
