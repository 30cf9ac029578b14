"""Fingerprints looked up: which may be searched, as what, and what each hits of each reference."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hashdb.model import Codes, Fingerprint, Floats, Orientation, Reference
from hashdb.signals import CARD, OF_PDQ, SIGNAL_TYPES
from hashdb.snapshot import ReferenceHits, ReferenceIndex
from matcher.align import FrameHits, upper_bound
from matcher.finders import FLOOR, best_references

_IN_NEGATIVE = (Orientation.ORIGINAL, Orientation.FLIP_HORIZONTAL)
"""Placings that are also looked up with their colours inverted."""

_TURNED = (
    Orientation.ROTATE_90,
    Orientation.ROTATE_270,
    Orientation.FLIP_PLUS,
    Orientation.FLIP_MINUS,
)
"""Placings that exchange width and height."""

ASKED_TURNED = 10
"""Codes of a turned placing that are asked about first, up to twice as many at most, evenly spread:
who turns footage by 90 degrees turns all of it, and each picture costs as much to ask about."""

MOST_HITS = 2000
"""Hits kept of one query code, the nearest: a picture that so many references share says little."""


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """One query fingerprint's hits in one reference."""

    query: Fingerprint
    reference_id: str
    hits: FrameHits


class Lookup:
    """Looks fingerprints up. For the parameters see `matcher.judge.Judge`."""

    def __init__(
        self,
        index: ReferenceIndex,
        signal_types: Collection[str],
        orientations: Callable[[Codes], Codes],
        degenerate: Callable[[Codes], NDArray[np.bool_]],
    ) -> None:
        self._index = index
        self._signal_types = signal_types
        self._orientations = orientations
        self._degenerate = degenerate

    def find(self, fingerprints: Iterable[Fingerprint]) -> list[Found]:
        """What the fingerprints hit of each reference, in whichever placing."""
        return self.hits(list(self.queries(fingerprints)))

    def hits(self, queries: Sequence[Fingerprint]) -> list[Found]:
        """What each query hits of each reference, in the order of the queries. Those of a signal
        type are looked up all at once: that is several times faster than one by one."""
        found: list[tuple[int, Found]] = []
        for name in dict.fromkeys(q.signal_type for q in queries if len(q)):
            radius = SIGNAL_TYPES[name].radius
            asked = [(n, q) for n, q in enumerate(queries) if q.signal_type == name]
            mine = self._promising(asked) if self._may_hit(_fewer_turned(asked)) else []
            if not mine:
                continue
            codes = np.concatenate([queries[n].codes for n in mine])
            hits = self._index.search(name, codes, radius, most=MOST_HITS)
            if len(hits):
                found += _by_query(queries, mine, hits)
        return [one for _, one in sorted(found, key=lambda each: each[0])]

    def _promising(self, queries: Sequence[tuple[int, Fingerprint]], first: int = 1) -> list[int]:
        """The numbers of those, of one signal type, that may hit anything, where any may: asked
        about the `first` few and the rest apart, by halves from there on. Most uploads hit nothing,
        and others nearly always as they are, or in one other placing."""
        if len(queries) == 1:
            return [queries[0][0]]
        found, rest = [], queries[first:]
        for some, half in ((queries[:first], 1), (rest, len(rest) // 2)):
            if self._may_hit(some):
                found += self._promising(some, half)
        return found

    def _may_hit(self, queries: Sequence[tuple[int, Fingerprint]]) -> bool:
        name = queries[0][1].signal_type
        codes = np.concatenate([query.codes for _, query in queries])
        return self._index.may_hit(name, codes, SIGNAL_TYPES[name].radius)

    def queries(self, fingerprints: Iterable[Fingerprint]) -> Iterable[Fingerprint]:
        """The fingerprints that may be searched, with PDQ's orientations made up where missing, and
        as a negative: inverting a picture turns nearly every bit of its PDQ code."""
        counted = self.usable(fingerprints)
        turned = {(f.track, f.view) for f in counted if f.orientation != Orientation.ORIGINAL}
        for query in counted:
            yield query
            if query.signal_type == "pdq" and query.orientation in _IN_NEGATIVE:
                yield query.placed(~query.codes, query.orientation, inverted=True)
            if query.signal_type == "pdq" and (query.track, query.view) not in turned:
                codes = self._orientations(query.codes)
                for number, orientation in enumerate(Orientation):
                    if orientation != Orientation.ORIGINAL:
                        yield query.placed(codes[:, number], orientation)

    def usable(self, fingerprints: Iterable[Fingerprint]) -> list[Fingerprint]:
        """What can be searched: of the signal types that the policy counts, without frames that
        are too flat, or whose codes no picture has; title cards where there is nothing else, for
        anybody's film may begin with one."""
        some = [self._usable(f) for f in fingerprints if f.signal_type in self._signal_types]
        cards = [f for f in some if f.signal_type == CARD]
        others = [f for f in some if f.signal_type != CARD]
        footage = any(len(f) and SIGNAL_TYPES[f.signal_type].per_frame for f in others)
        return others if footage else others + cards

    def _usable(self, query: Fingerprint) -> Fingerprint:
        good = query.quality >= SIGNAL_TYPES[query.signal_type].min_quality
        if query.signal_type in OF_PDQ:
            good &= ~self._degenerate(query.codes)
        return query if good.all() else query.take(good)


def _fewer_turned(
    queries: Sequence[tuple[int, Fingerprint]],
) -> Sequence[tuple[int, Fingerprint]]:
    """The same with `ASKED_TURNED` codes of each turned placing."""
    return [
        (n, q.take(slice(None, None, len(q) // ASKED_TURNED)))
        if q.orientation in _TURNED and len(q) >= 2 * ASKED_TURNED
        else (n, q)
        for n, q in queries
    ]


def _by_query(
    queries: Sequence[Fingerprint], mine: Sequence[int], hits: ReferenceHits
) -> Iterator[tuple[int, Found]]:
    """The hits of those queries that are `mine`, whose codes were looked up one after the other."""
    sizes = [len(queries[n]) for n in mine]
    query_of = np.repeat(mine, sizes)[hits.queries]
    row_of = np.concatenate([np.arange(size) for size in sizes])[hits.queries]
    order = np.lexsort((hits.references, query_of))
    query_of, references = query_of[order], hits.references[order]
    changes = np.diff(query_of, prepend=-1) | np.diff(references, prepend=-1)
    starts = np.flatnonzero(changes)
    for start, rows in zip(starts.tolist(), np.split(order, starts[1:]), strict=True):
        number = int(query_of[start])
        yield (
            number,
            Found(
                queries[number],
                hits.names[references[start]],
                FrameHits(
                    row_of[rows],
                    hits.offsets[rows],
                    hits.spans[rows],
                    hits.distances[rows].astype(np.int64),
                ),
            ),
        )


def likeliest(found: Sequence[Found], references: dict[str, Reference]) -> list[Found]:
    """Hits in references that may count, without those that could not score; the best first."""
    bounds: dict[str, float] = {}
    kept = []
    for one in found:
        reference = references.get(one.reference_id)
        if reference is None or not reference.enforceable:
            continue
        bound = upper_bound(one.query.signal_type, one.hits)
        if bound >= FLOOR:
            bounds[reference.id] = max(bounds.get(reference.id, 0.0), bound)
            kept.append((bound, one))
    chosen = set(best_references(bounds, references))
    kept.sort(key=lambda each: -each[0])
    return [one for _, one in kept if one.reference_id in chosen]


def samples_of(fingerprints: Iterable[Fingerprint]) -> dict[int, Floats]:
    """By track, when it was looked at and anything was seen, in any view and by any signal."""
    offsets: dict[int, list[Floats]] = {}
    for one in fingerprints:
        offsets.setdefault(one.track, []).append(one.offsets)
    return {track: np.unique(np.concatenate(some)) for track, some in offsets.items()}
