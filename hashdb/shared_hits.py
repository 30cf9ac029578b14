"""What a server's codes are searched for, cut as if the references that are passed over were not
there.

Pure but for the questions that it is handed. See docs/decisions/0025.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from hashdb.model import Codes, Ints
from hashdb.ports import CodeHits, PlacedHits, nearest

ROW_BITS = 24
"""Of an id: which of its reference's codes it is. The rest is the change's number."""

_FURTHER = 8  # times as many hits are asked for where too few of those that were given count


@dataclass(frozen=True, slots=True, eq=False)
class SharedHits:
    """Hits, of each the reference, as a row of `names`. `crowded`: the queries whose hits were cut
    to the nearest."""

    placed: PlacedHits
    references: Ints
    names: Sequence[str]
    crowded: Ints


@dataclass(slots=True, eq=False)
class Search:
    """One search. `find(codes, asked)`: the nearest so many hits of each code, or all; `added`: by
    number, the ids of references that were added by these changes. `hidden`: the ids of those to
    pass over; codes of which no reference is known are passed over as well."""

    find: Callable[[Codes, int | None], PlacedHits]
    added: Callable[[Collection[int]], Mapping[int, str]]
    hidden: Collection[str]
    _names: dict[int, str | None] = field(default_factory=dict)  # by number, as far as asked

    def hits(self, codes: Codes, most: int | None) -> SharedHits:
        """The hits of each code; the nearest `most`, where so many are wanted."""
        if most is None:
            placed, crowded = self._counted(self.find(codes, None)), np.empty(0, dtype=np.int64)
        else:
            placed, crowded = _cut(self._nearest(codes, most), most)
        numbers, which = np.unique(placed.hits.ids >> ROW_BITS, return_inverse=True)
        names = [self._names[n] or "" for n in numbers.tolist()]
        return SharedHits(placed, which.astype(np.int64), names, crowded)

    def _nearest(self, codes: Codes, most: int) -> PlacedHits:
        """The nearest hits that count: of each code more than `most`, where it has more."""
        found, again = self._among(codes, most + 1, most)
        parts = [_take(found, ~np.isin(found.hits.queries, again))]
        for query in again.tolist():  # one at a time: it may have very many hits
            asked, left = most + 1, again
            while len(left):
                asked *= _FURTHER
                some, left = self._among(codes[query : query + 1], asked, most)
            some, _ = _cut(some, most + 1)
            hits = replace(some.hits, queries=some.hits.queries + query)
            parts.append(replace(some, hits=hits))
        return _joined(parts)

    def _among(self, codes: Codes, asked: int, most: int) -> tuple[PlacedHits, Ints]:
        """What counts of the nearest `asked` hits of each code; and the codes of which that is not
        more than `most`, though there may be more."""
        found = self.find(codes, asked)
        counted = self._counted(found)
        given = np.bincount(found.hits.queries, minlength=len(codes))
        left = np.bincount(counted.hits.queries, minlength=len(codes))
        return counted, np.flatnonzero((given >= asked) & (left <= most))

    def _counted(self, found: PlacedHits) -> PlacedHits:
        """The hits of references that are known, and not to be passed over."""
        numbers, which = np.unique(found.hits.ids >> ROW_BITS, return_inverse=True)
        new = [n for n in numbers.tolist() if n not in self._names]
        if new:
            added = self.added(new)
            self._names |= {n: added.get(n) for n in new}
        names = [self._names[n] for n in numbers.tolist()]
        counts = [name is not None and name not in self.hidden for name in names]
        return _take(found, np.array(counts, dtype=np.bool_)[which])


def _cut(placed: PlacedHits, most: int) -> tuple[PlacedHits, Ints]:
    """The nearest `most` hits of each query, and the queries that had more."""
    hits = placed.hits
    crowded = np.flatnonzero(np.bincount(hits.queries) > most)
    kept = nearest(hits.queries, hits.ids, hits.distances, most)
    return (placed if kept is None else _take(placed, kept)), crowded


def _take(placed: PlacedHits, rows: Ints | NDArray[np.bool_]) -> PlacedHits:
    return PlacedHits(
        placed.hits.take(rows), placed.offsets[rows], placed.spans[rows], placed.tracks[rows]
    )


def _joined(parts: Sequence[PlacedHits]) -> PlacedHits:
    if len(parts) == 1:
        return parts[0]
    hits = [part.hits for part in parts]
    return PlacedHits(
        CodeHits(
            np.concatenate([h.queries for h in hits]),
            np.concatenate([h.ids for h in hits]),
            np.concatenate([h.distances for h in hits]),
            np.concatenate([h.codes for h in hits]),
        ),
        np.concatenate([part.offsets for part in parts]),
        np.concatenate([part.spans for part in parts]),
        np.concatenate([part.tracks for part in parts]),
    )
