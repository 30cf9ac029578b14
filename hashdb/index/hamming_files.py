"""Segments of `hashdb.index.hamming` as arrays of a snapshot, and snapshots as segments whose
arrays are maps that processes share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hashdb.errors import BadSnapshot
from hashdb.index import hamming_segments as segments
from hashdb.index.hamming_kernels import Tables
from hashdb.index.hamming_segments import Filing, Segment
from hashdb.machine import LANES
from hashdb.model import Codes

_NAME = "hamming/{}/{}"


def packed(codes: Codes) -> Iterator[tuple[str, NDArray[Any]]]:
    """The tables of contiguous codes under the ids from 0 on; a segment's at a time."""
    words = codes.shape[1] // 8
    for number, first in enumerate(range(0, len(codes), segments.MOST)):
        part = codes[first : first + segments.MOST]
        if len(part) >= segments.FILED:
            filing = segments.file(part.reshape(-1).view(np.uint64), words)
            for name, array in _named(filing):
                yield _NAME.format(number, name), array


def unpacked(codes: Codes, tables: Mapping[str, NDArray[Any]]) -> list[Segment] | None:
    """The segments of those codes, with what `packed` gave; None where it is not there.
    `BadSnapshot` where it does not fit."""
    words = codes.shape[1] // 8
    made = []
    for number, first in enumerate(range(0, len(codes), segments.MOST)):
        part = codes[first : first + segments.MOST]
        names = [name for name, _ in _named(segments.NOT_FILED)]
        found = [tables.get(_NAME.format(number, name)) for name in names]
        filing = None
        if any(array is not None for array in found):
            if any(array is None for array in found):
                raise BadSnapshot("frame hashes without some of their tables")
            filing = _filing([array for array in found if array is not None], len(part), words)
        elif len(part) >= segments.FILED:
            return None
        flat = part.reshape(-1).view(np.uint64)
        made.append(segments.mapped_segment(flat, words, first, filing))
    return made


def _named(filing: Filing) -> list[tuple[str, NDArray[Any]]]:
    beside = [(f.name, getattr(filing, f.name)) for f in fields(filing) if f.name != "tables"]
    return [*beside, *filing.tables._asdict().items()]


def _filing(arrays: list[NDArray[Any]], n: int, words: int) -> Filing:
    """Arrays in the order of `_named` as the tables of `n` codes. Their shapes are checked, and
    what is looked up in them is kept within them by the loops themselves."""
    filing = Filing(arrays[0], arrays[1], arrays[2], Tables(*arrays[3:]))
    for (name, have), (_, want) in zip(_named(filing), _named(segments.NOT_FILED), strict=True):
        if have.dtype != want.dtype or have.ndim != want.ndim:
            raise BadSnapshot(f"frame hashes: {name} {have.shape} {have.dtype}")
    starts, sketches, rows = filing.tables
    distinct, parts = n - len(filing.repeats), 4 * words
    keys = starts.shape[1] - 1
    good = (
        filing.repeated.shape == (n // 8 + 1,)
        and filing.heads.shape == filing.repeats.shape
        and (starts.shape[0], sketches.shape, rows.shape)
        == (parts, (parts, distinct + LANES), (parts, 3 * distinct))
        and 1 < keys <= 1 << 16
        and keys & (keys - 1) == 0
        and bool((starts[:, -1] == distinct).all())
    )
    if not good:
        raise BadSnapshot("frame hashes whose tables do not fit")
    return filing
