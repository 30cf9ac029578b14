"""What a search of the references finds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hashdb.model import Codes, Floats, Ints
from hashdb.ports import CodeHits
from hashdb.shared_hits import SharedHits
from hashdb.shelf import Rows


@dataclass(frozen=True, slots=True, eq=False)
class ReferenceHits:
    """Codes of references within the radius, one row a hit, in no order.

    `queries` (k,): the row of the query's codes; `references` (k,): ordinals, `names[ordinal]` is
    the reference's id; `offsets`, `spans` (k,): when the code's frames are shown in the reference,
    in seconds; `tracks` (k,); `distances` (k,) int16 bits; `codes` (k, bytes): the reference's.
    `crowded`: rows of the query's codes whose hits were cut to the nearest, none unless asked for.
    """

    queries: Ints
    references: Ints
    offsets: Floats
    spans: Floats
    tracks: Ints
    distances: NDArray[np.int16]
    codes: Codes
    names: Sequence[str]
    crowded: Ints

    def __len__(self) -> int:
        return len(self.queries)


def hits_of_shelf(hits: CodeHits, rows: Rows, crowded: Ints, names: Sequence[str]) -> ReferenceHits:
    """What a shelf's search found; `rows`: of each hit, see `Shelf.search`."""
    return ReferenceHits(
        queries=hits.queries,
        references=rows.references.astype(np.int64),
        offsets=rows.offsets,
        spans=rows.spans.astype(np.float64),
        tracks=rows.tracks.astype(np.int64),
        distances=hits.distances,
        codes=rows.codes,
        names=names,
        crowded=crowded,
    )


def hits_of_server(found: SharedHits) -> ReferenceHits:
    """What a server's search found."""
    placed, hits = found.placed, found.placed.hits
    return ReferenceHits(
        queries=hits.queries,
        references=found.references,
        offsets=placed.offsets,
        spans=placed.spans,
        tracks=placed.tracks.astype(np.int64),
        distances=hits.distances,
        codes=hits.codes,
        names=found.names,
        crowded=found.crowded,
    )
