"""Compares what the index can find with what the database holds. Pure: arrays in, a report out."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from hashdb.model import Codes, Fingerprint
from hashdb.shared import Differences
from hashdb.shelf import Rows, join_rows, rows_of

Contents = dict[tuple[str, str], tuple[int, bytes]]
"""Of each (reference's id, signal type): how many codes, and a digest of them all. Of local
features and peaks of sound the number alone."""


@dataclass(frozen=True, slots=True)
class Verification:
    """The index beside the database, at one change number.

    `references`: how many the index holds codes of; `codes`: how many codes, by signal type.
    `missing`: references some of whose codes the index cannot find, or finds otherwise;
    `extra`: references in the index that the database does not have, or has withdrawn.
    """

    number: int
    references: int
    codes: Mapping[str, int]
    missing: tuple[str, ...]
    extra: tuple[str, ...]

    @property
    def ok(self) -> bool:
        return not self.missing and not self.extra

    def beside(self, other: Differences) -> Verification:
        """With what a server holds."""
        return replace(
            self,
            references=max(self.references, other.references),
            codes={**self.codes, **other.codes},
            missing=tuple(sorted({*self.missing, *other.missing})),
            extra=tuple(sorted({*self.extra, *other.extra})),
        )


def report(
    number: int,
    found: Mapping[str, Rows],
    held: Contents,
    stored: Contents,
    *,
    lost: set[str],
    moved: set[str],
) -> Verification:
    """What is `held` at change `number`, with the codes `found` by signal type, beside what is
    `stored`. `lost`: references some of whose codes a search does not find; `moved`: those of which
    something has changed since, of which nothing is said."""
    missing, extra = compare(held, stored)
    return Verification(
        number=number,
        references=len({name for name, _ in held}),
        codes={kind: len(rows) for kind, rows in found.items()},
        missing=tuple(sorted((missing | lost) - moved)),
        extra=tuple(sorted(extra - moved)),
    )


def compare(held: Contents, stored: Contents) -> tuple[set[str], set[str]]:
    """Missing and extra references, in the sense of `Verification`."""
    missing = {name for (name, kind) in stored if held.get((name, kind)) != stored[name, kind]}
    extra = {name for (name, kind) in held if (name, kind) not in stored}
    return missing, extra


def contents_of_rows(kind: str, rows: Rows, names: Sequence[str]) -> Contents:
    """The contents of one signal type's rows, each reference's in one piece."""
    edges = (np.flatnonzero(np.diff(rows.references)) + 1).tolist()
    contents: Contents = {}
    for start, end in itertools.pairwise([0, *edges, len(rows)] if len(rows) else []):
        name = names[rows.references[start]]
        contents[name, kind] = _digest(rows.take(slice(start, end)))
    return contents


def contents_of_fingerprints(fingerprints: Iterable[tuple[str, Fingerprint]]) -> Contents:
    """The contents of fingerprints with their references' ids, each reference's in one piece."""
    contents: Contents = {}
    for name, group in itertools.groupby(fingerprints, key=lambda pair: pair[0]):
        kinds: dict[str, list[Rows]] = {}
        for _, fingerprint in group:
            if len(fingerprint):
                kinds.setdefault(fingerprint.signal_type, []).append(rows_of(0, fingerprint))
        for kind, parts in kinds.items():
            contents[name, kind] = _digest(join_rows(parts, 8 * parts[0].codes.shape[1]))
    return contents


def contents_of_counts(counts: Iterable[tuple[str, str, int]]) -> Contents:
    """The contents of what is counted only: ids, signal types, numbers."""
    return {(name, kind): (number, b"") for name, kind, number in counts}


def sample(rows: Rows, size: int) -> Rows:
    """At most `size` rows, spread evenly."""
    if len(rows) <= size:
        return rows
    return rows.take(np.linspace(0, len(rows) - 1, size).astype(np.int64))


def not_found(wanted: Rows, queries: Iterable[int], found: Rows) -> Iterator[int]:
    """The ordinals of wanted rows that a search for their codes has not found."""
    pairs = set(zip(queries, found.references.tolist(), strict=True))
    for query, ordinal in enumerate(wanted.references.tolist()):
        if (query, ordinal) not in pairs:
            yield ordinal


def _digest(rows: Rows) -> tuple[int, bytes]:
    """How many rows, and a digest that is the same in whatever order they come."""
    digest = hashlib.blake2b(digest_size=16)
    for row in sorted(row.tobytes() for row in _packed(rows)):
        digest.update(row)
    return len(rows), digest.digest()


def _packed(rows: Rows) -> Codes:
    """(n, w) uint8: all that a row says but its reference."""
    columns = [np.ascontiguousarray(rows.codes)]
    for column in (rows.offsets, rows.spans, rows.tracks):
        plain = np.ascontiguousarray(column)
        columns.append(plain.view(np.uint8).reshape(len(rows), plain.itemsize))
    return np.concatenate(columns, axis=1)
