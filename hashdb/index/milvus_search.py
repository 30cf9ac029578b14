"""All hits of a search, and all rows of a range, from a server that gives at most `MOST` at once.

Pure but for the questions that it is handed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from hashdb.model import Codes
from hashdb.ports import CodeHits, PlacedCodes, PlacedHits

MOST = 16_384
"""Hits that Milvus gives at most of one query, and rows of one question."""

FIELDS = ["code", "offset", "span", "track"]

# Codes that Milvus has not filed yet are searched in pieces, each of which makes room for all the
# hits that were asked for: 128 queries of 100,000 codes take 0.3 s for 100 hits each at most, 30 s
# for 16,384. So few are asked for, and more for those queries that have them.
_FIRST = (64, 2_048)
_QUERIES = 32  # in one question: of a million codes not yet filed that takes 1.6 s, filed 0.1 s

Hit = Mapping[str, Any]
RowsOf = Sequence[Sequence[Hit]]
Near = Callable[[Codes, int, int, str, int], RowsOf]
"""`near(codes, low, high, which, most)`: of each code the nearest `most` of what lies from `low` to
`high` bits away, both inclusive, and to which the expression applies."""


def find(near: Near, codes: Codes, radius: int, most: int | None) -> PlacedHits:
    """As `SharedCodes.find`; the codes are checked, `radius` is at most their bits."""
    found: list[tuple[int, Hit]] = []
    for first in range(0, len(codes), _QUERIES):
        batch = codes[first : first + _QUERIES]
        for row, hits in enumerate(_of_batch(near, batch, radius, most)):
            found += [(first + row, hit) for hit in hits]
    return _placed_hits(found, codes.shape[1])


def within(
    rows: Callable[[str, list[str]], Sequence[Hit]], low: int, end: int, bits: int
) -> PlacedCodes:
    """As `SharedCodes.within`. `rows(which, names)`: any `MOST` rows to which the expression
    applies, or all, where they are fewer."""

    def between(low: int, end: int) -> Iterator[Hit]:
        some = rows(_between(low, end), ["id", *FIELDS])
        if len(some) < MOST:
            yield from some
        else:
            middle = _middle(some)
            yield from between(low, middle)
            yield from between(middle, end)

    found = {int(row["id"]): row for row in between(low, end)}
    every = [found[i] for i in sorted(found)]
    return PlacedCodes(
        np.array(sorted(found), dtype=np.int64),
        _codes([row["code"][0] for row in every], bits // 8),
        np.array([row["offset"] for row in every], dtype=np.float64),
        np.array([row["span"] for row in every], dtype=np.float64),
        np.array([row["track"] for row in every], dtype=np.int32),
    )


def _of_batch(near: Near, codes: Codes, radius: int, most: int | None) -> list[Sequence[Hit]]:
    """The hits of each of at most `_QUERIES` codes."""
    answers: list[Sequence[Hit]] = [()] * len(codes)
    left = np.arange(len(codes))
    for limit in (*_FIRST, MOST):
        given = near(codes[left], 0, radius, "", limit) if len(left) else []
        full = []
        for row, hits in zip(left.tolist(), given, strict=True):
            answers[row] = hits
            if len(hits) == limit:
                full.append(row)
        left = np.array(full, dtype=np.int64)
        if most is not None and limit >= most:
            break
    for row in left.tolist():
        code = codes[row : row + 1]
        if most is None or len(answers[row]) < most:
            answers[row] = _halved(near, code, 0, radius, _FROM, _TO)
        else:
            answers[row] = _nearest(near, code, answers[row], most)
    return answers


_FROM, _TO = 0, 2**63 - 1


def _nearest(near: Near, code: Codes, hits: Sequence[Hit], most: int) -> Sequence[Hit]:
    """The nearest `most`, given at least as many without a gap but at the last distance: there
    which of the equally near ones were given is chance, and those of the lowest ids are wanted."""
    hits = sorted((hit for hit in hits if hit["id"] >= 0), key=lambda hit: float(hit["distance"]))
    last = hits[min(most, len(hits)) - 1]["distance"]
    nearer = [hit for hit in hits if hit["distance"] < last]
    bits = round(last)
    return [*nearer, *_halved(near, code, bits, bits, _FROM, _TO, most - len(nearer))]


def _halved(
    near: Near, code: Codes, low: int, high: int, start: int, end: int, wanted: int | None = None
) -> list[Hit]:
    """All hits of one code from `low` to `high` bits with ids from `start` to below `end`; at least
    the `wanted` ones of the lowest ids, where not all are."""
    (hits,) = near(code, low, high, _between(start, end), MOST)
    if len(hits) < MOST:
        return list(hits)
    middle = _middle(hits)
    found = _halved(near, code, low, high, start, middle, wanted)
    left = None if wanted is None else wanted - len(found)
    if left is None or left > 0:
        found += _halved(near, code, low, high, middle, end, left)
    return found


def _middle(rows: Sequence[Hit]) -> int:
    """An id that some of the rows' ids lie below, and some not."""
    ids = sorted({int(row["id"]) for row in rows})
    return ids[len(ids) // 2]


def _between(start: int, end: int) -> str:
    return f"{start} <= id and id < {end}"


def _codes(some: Sequence[bytes], width: int) -> Codes:
    return np.frombuffer(b"".join(some), dtype=np.uint8).reshape(-1, width)


def _placed_hits(found: Sequence[tuple[int, Hit]], width: int) -> PlacedHits:
    """Each hit once; without the marks, which are no codes."""
    kept = {(row, int(hit["id"])): hit for row, hit in found if hit["id"] >= 0}
    entities = [hit["entity"] for hit in kept.values()]
    pairs = np.array(list(kept), dtype=np.int64).reshape(-1, 2)
    return PlacedHits(
        CodeHits(
            np.ascontiguousarray(pairs[:, 0]),
            np.ascontiguousarray(pairs[:, 1]),
            np.array([round(hit["distance"]) for hit in kept.values()], dtype=np.int16),
            _codes([entity["code"] for entity in entities], width),
        ),
        np.array([entity["offset"] for entity in entities], dtype=np.float64),
        np.array([entity["span"] for entity in entities], dtype=np.float64),
        np.array([entity["track"] for entity in entities], dtype=np.int32),
    )
