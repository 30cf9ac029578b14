"""Pairs of features that look alike into votes for pictures. Pure.

A pair votes for its picture together with the turn and the change of size that it implies, so that
votes count only together with others of the same turn and size ("weak geometric consistency":
Jegou, Douze, Schmid, ECCV 2008). Letters and other common corners match everywhere, but each with
another turn and size.

What many references have says little: each of a query's features counts by its inverse document
frequency (Sparck Jones, "A statistical interpretation of term specificity and its application in
retrieval", 1972), where the documents are incidents: `kin` joins the versions of one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from hashdb.model import Floats, Ints

VOTES_WHOLE = 32
"""Bits up to which a pair counts in full; then less, down to none at twice that."""

TURNS = SIZES = 16
"""Bins of 22.5 degrees, and of two thirds of an octave."""

MOST_PICTURES = 256
"""Of which the votes are counted bin by bin."""

SHARES = float(1 << 24)
"""Shares of a vote are multiples of its inverse, so that sums do not depend on their order."""

FEWEST_INCIDENTS = 20
"""A bank of fewer is taken to hold so many: of two that hold a feature both may be the attack, as a
film and a still of it are, and neither is common for that."""

KIN = 0.25
"""Part of a picture's features that a reference must hold, in place, to be of its incident."""


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """One row a pair, all (k,): `queries`, the query's feature; `pictures`, by their numbers over
    the whole index; `incidents`, the pictures'; `bins` of turn and size; `weights`, by distance."""

    queries: Ints
    pictures: Ints
    incidents: Ints
    bins: Ints
    weights: Floats

    def take(self, kept: NDArray[np.bool_]) -> Pairs:
        return Pairs(*(getattr(self, f.name)[kept] for f in fields(Pairs)))


def joined(parts: Sequence[Pairs]) -> Pairs:
    """At least one."""
    return Pairs(*(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Pairs)))


def weights_of(distances: Ints) -> Floats:
    """(k,) what pairs count, 0 to 1, by their distance in bits."""
    return np.clip(2.0 - distances / VOTES_WHOLE, 0.0, 1.0)


def bins_of(
    query: NDArray[np.float32], queries: Ints, found: NDArray[np.float32]
) -> NDArray[np.int64]:
    """(k,) bins of turn and size, of (q, 2) `query` and (k, 2) `found`: diameter, and angle in
    degrees; `queries` (k,): the rows in `query` of what was found."""
    asked = query[:, 1] * np.float32(TURNS / 360)
    turn = np.floor(asked[queries] - found[:, 1] * np.float32(TURNS / 360)).astype(np.int64)
    octaves = np.log2(query[:, 0])[queries] - np.log2(found[:, 0])
    size = np.floor(octaves * np.float32(1.5)).astype(np.int64) + SIZES // 2
    return np.mod(turn, TURNS) * SIZES + np.clip(size, 0, SIZES - 1)


def rarity(pairs: Pairs, queries: int, incidents: int) -> Floats:
    """(queries,) 1 for a feature that was found in one incident, down to about 0 for one that was
    found in all: the square of log((N + 1) / df) / log(N + 1), df the incidents that hold it, each
    counted by its nearest pair. Squared, as in Jegou, Douze, Schmid 2008: both the query and the
    picture have the feature."""
    order = np.argsort(-pairs.weights, kind="stable")
    keys = pairs.queries[order] * incidents + pairs.incidents[order]
    once, nearest = np.unique(keys, return_index=True)
    held = np.bincount(once // incidents, pairs.weights[order][nearest], minlength=queries)
    return rarity_of(np.asarray(held, np.float64), incidents)


def rarity_of(held: Floats, incidents: int) -> Floats:
    """As `rarity` gives it, by how many incidents hold each."""
    among = max(incidents, FEWEST_INCIDENTS)
    rare: Floats = 1.0 - np.log(np.maximum(held, 1.0)) / np.log(among + 1.0)
    return rare**2


def votes(pairs: Pairs, weights: Floats, queries: int) -> tuple[Ints, Floats]:
    """Pictures and their votes, the most first: those of the best turn and size of each. A query's
    feature has one vote for a picture, split among its pairs there: a pattern that repeats itself
    says no more than one feature. `weights` (k,): what each pair says."""
    keys = pairs.pictures * queries + pairs.queries
    _, same, count = np.unique(keys, return_inverse=True, return_counts=True)
    pictures, picture = np.unique(pairs.pictures, return_inverse=True)
    shares = np.rint(weights / count[same] * SHARES) / SHARES
    most = np.asarray(np.bincount(picture, shares, minlength=len(pictures)), np.float64)
    return counted(pictures, most, picture, pairs.bins, shares)


def likeliest(pictures: Ints, most: Floats) -> Ints:
    """The rows of at most `MOST_PICTURES`, those of which the `most` is said first, and something;
    of which as much is said, the lower number."""
    rows = np.flatnonzero(most > 0)
    if len(rows) > MOST_PICTURES:
        least = np.partition(most[rows], -MOST_PICTURES)[-MOST_PICTURES]
        rows = rows[most[rows] >= least]
    return rows[np.lexsort((pictures[rows], -most[rows]))][:MOST_PICTURES]


def counted(
    pictures: Ints, most: Floats, picture: Ints, bins: Ints, shares: Floats
) -> tuple[Ints, Floats]:
    """As `votes` gives them, of (p,) pictures, rising, and `most`, what is said for each in all; of
    each pair its `picture`'s place among them, its bin, and its share of a vote."""
    best = likeliest(pictures, most)
    row_of = np.full(len(pictures), -1)
    row_of[best] = np.arange(len(best))
    row = row_of[picture]
    kept = row >= 0
    every = TURNS * SIZES
    cells = row[kept] * every + bins[kept]
    table = np.bincount(cells, shares[kept], minlength=len(best) * every)
    table = table.reshape(len(best), TURNS, SIZES)
    # a turn or size near a bin's edge falls into two: neighbours count together
    table = table + np.roll(table, 1, axis=1)
    table[:, :, 1:] += table[:, :, :-1].copy()
    told = table.max(axis=(1, 2), initial=0.0)
    order = np.argsort(-told, kind="stable")
    return pictures[best][order], told[order]


def kin(shares: Sequence[Mapping[int, float]]) -> int | None:
    """The incident that a new reference belongs to; None where it is a new one.

    `shares`: for each picture of it that was looked up, by incident, the part of the picture's
    features that one picture there holds in place. At least half of the pictures must share `KIN`
    with one incident: a logo is a small part of every picture, a title card a picture of many.
    """
    counts: dict[int, int] = {}
    for one in shares:
        for incident, share in one.items():
            counts[incident] = counts.get(incident, 0) + (share >= KIN)
    best = max(counts, key=lambda incident: counts[incident], default=None)
    return best if best is not None and 2 * counts[best] >= len(shares) > 0 else None
