"""How rare an upload's pictures are among the incidents of the banks, and what that leaves of their
evidence. Pure; docs/decisions/0018-rarity-of-pictures.md says why it is so.

A picture that unrelated incidents hold too (a countdown, a logo, a title card) says little of any
of them: the inverse document frequency (Sparck Jones, "A statistical interpretation of term
specificity and its application in retrieval", 1972), where the documents are incidents.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from hashdb.model import Alignment, Codes, Fingerprint, Floats, Ints
from hashdb.signals import SIGNAL_TYPES
from matcher.align import FrameHits, group_alike
from matcher.cells import in_place, nearly_all
from matcher.score import rescore

WHOLE = {"pdq": 18, "card": 18, "phash": 4}
"""Bits up to which a reference holds a picture in full; then less, down to not at all at twice
that. Of other signal types an alignment's pictures are held as far as it is likelier than not."""

MORE_THAN_STOCK = 20
"""Distinct pictures, a second or more apart, that two references must both hold of one upload to be
of one incident whatever else they show: countdowns and logos are shorter."""

UNTOLD = -1
"""The incident of a reference of which it cannot be told."""

Picture = tuple[int, float, str]
"""A track of the upload, a moment in it in seconds, and the pane, if it is a picture in the
picture: "" for the whole one."""

Kin = Callable[[str, str], bool | None]
"""Whether two references (ids) are of one incident; None where that is not to be found out."""


@dataclass(frozen=True, slots=True, eq=False)
class Sighting:
    """Pictures of one track of an upload in which one reference was found by one signal type, in
    any order: `offsets` (k,) seconds of the upload, `shares` (k,) how far it holds each, 0 to 1.
    `pane`: of which pane they are. `cells`: where in each it is seen (`matcher.cells`), if that is
    known."""

    reference_id: str
    track: int
    offsets: Floats
    shares: Floats
    pane: str = ""
    cells: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Held:
    """Which reference holds which picture: `shares` (references, pictures), 0 to 1. `pictures`:
    their columns. `cells`: by row and column where in the picture it is held, where that is known
    and not all over."""

    references: tuple[str, ...]
    pictures: Mapping[Picture, int]
    shares: Floats
    cells: Mapping[tuple[int, int], int] = field(default_factory=dict)

    def beside(self, row: int) -> Floats:
        """`shares` as far as each reference is at the place in the picture where that one is: of
        two that lie side by side neither makes the other common."""
        shares = self.shares.copy()
        for (other, column), cells in self.cells.items():
            mine = self.cells.get((row, column), 0)
            if not (in_place(mine, cells) if mine else nearly_all(cells)):
                shares[other, column] = 0.0
        return shares


def held(sightings: Iterable[Sighting]) -> Held:
    """The references that hold most come first."""
    some = list(sightings)
    references = {name: row for row, name in enumerate(sorted({s.reference_id for s in some}))}
    keys = [[picture(s.track, offset, s.pane) for offset in s.offsets.tolist()] for s in some]
    pictures: dict[Picture, int] = {}
    for of_one in keys:
        for key in of_one:
            pictures.setdefault(key, len(pictures))
    shares = np.zeros((len(references), len(pictures)))
    whole = np.zeros_like(shares)
    for one, of_one in zip(some, keys, strict=True):
        columns = [pictures[key] for key in of_one]
        np.maximum.at(shares[references[one.reference_id]], columns, one.shares)
        if not one.cells:
            np.maximum.at(whole[references[one.reference_id]], columns, one.shares)
    most = np.argsort(-shares.sum(axis=1), kind="stable")
    names = list(references)
    ordered = tuple(names[row] for row in most)
    cells: dict[tuple[int, int], int] = {}
    for one, of_one in zip(some, keys, strict=True):
        row = ordered.index(one.reference_id)
        for key, seen in zip(of_one, one.cells or (0,) * len(of_one), strict=True):
            if seen:
                at = (row, pictures[key])
                cells[at] = cells.get(at, 0) | seen
    in_full = whole[most] == 1.0
    return Held(
        ordered, pictures, shares[most], {at: c for at, c in cells.items() if not in_full[at]}
    )


def picture(track: int, offset: float, pane: str = "") -> Picture:
    return (track, round(offset, 6), pane)


def incidents(known: Held, kin: Kin, codes: Mapping[Picture, Codes]) -> Ints:
    """(references,) the number of each one's incident, or `UNTOLD`. `codes`: the pictures' PDQ.

    Only references that hold a picture in common are compared, the first ones first. One that is
    kin to several incidents makes one of them: what is joined too much leaves evidence as it is.
    """
    labels = np.full(len(known.references), UNTOLD)
    holds = known.shares > 0
    for row, name in enumerate(known.references):
        mates = [m for m in range(row) if labels[m] != UNTOLD and (holds[m] & holds[row]).any()]
        joined: set[int] = set()
        told = True
        for mate in mates:
            if labels[mate] in joined:
                continue
            answer = _share_much(known, holds[mate] & holds[row], codes) or kin(
                known.references[mate], name
            )
            if answer is None:
                told = False
                break
            if answer:
                joined.add(int(labels[mate]))
        if told:
            labels[row] = row
            labels[np.isin(labels, list(joined))] = row
    return labels


def _share_much(known: Held, both: NDArray[np.bool_], codes: Mapping[Picture, Codes]) -> bool:
    """Whether the pictures that both hold are more than stock footage: see `MORE_THAN_STOCK`."""
    apart: list[Picture] = []
    for key in sorted(k for k, column in known.pictures.items() if both[column] and k in codes):
        if not apart or key[0] != apart[-1][0] or key[1] - apart[-1][1] >= 1.0:
            apart.append(key)
    if len(apart) < MORE_THAN_STOCK:
        return False
    return len(set(group_alike(np.stack([codes[k] for k in apart]), "pdq"))) >= MORE_THAN_STOCK


def rarity(known: Held, labels: Ints) -> Floats:
    """(references, pictures) 1 for a picture that no other incident holds, down to 0 for one that
    another holds in full: `(1 - log2(df))^2`, at most 1 and at least 0, where df is one for the
    reference's own incident and, of each other one, the share that it holds.

    It is `hashdb.index.voting.rarity`, the square of log((N + 1) / df) / log(N + 1), with N = 1:
    one other incident that holds the picture proves that it is no sign of either. A reference that
    is `UNTOLD` may be of any one incident, the one that holds most.
    """
    numbers = np.unique(labels[labels != UNTOLD])
    rare = np.ones_like(known.shares)
    for row, label in enumerate(labels.tolist()):
        shares = known.beside(row)
        by_incident = np.stack([shares[labels == n].max(axis=0) for n in numbers])
        every = by_incident.sum(axis=0)
        mine = np.flatnonzero(numbers == label)
        own = by_incident[mine[0]] if len(mine) else by_incident.max(axis=0)
        rare[row] = np.maximum(0.0, 1.0 - np.log2(1.0 + np.maximum(0.0, every - own))) ** 2
    return rare


@dataclass(frozen=True, slots=True, eq=False)
class Rarities:
    """What is known of one upload's pictures. `rare`: as `rarity` gives it of `known`."""

    known: Held
    rare: Floats

    def weighed(self, alignment: Alignment, *, video: bool) -> Alignment:
        """The alignment with its pictures' rarity; itself where all count in full."""
        name = alignment.reference_id
        if name not in self.known.references or not counts(alignment.signal_type):
            return alignment
        row = self.rare[self.known.references.index(name)]
        columns = self.known.pictures
        frames = [
            replace(f, rarity=float(row[columns[picture(f.track, f.offset, f.view.pane)]]))
            for f in alignment.frames
        ]
        if all(f.rarity == 1.0 for f in frames):
            return alignment
        return rescore(alignment, frames, video=video) or alignment


NOTHING_SHARED = Rarities(Held((), {}, np.empty((0, 0))), np.empty((0, 0)))


def rarities(
    sightings: Sequence[Sighting], kin: Kin, codes: Callable[[], Mapping[Picture, Codes]]
) -> Rarities:
    """Of one upload; next to no work where it shows one reference or none."""
    if len({s.reference_id for s in sightings}) < 2:
        return NOTHING_SHARED
    known = held(sightings)
    if not ((known.shares > 0).sum(axis=0) > 1).any():
        return NOTHING_SHARED
    return Rarities(known, rarity(known, incidents(known, kin, codes())))


def counts(signal_type: str) -> bool:
    """Whether it tells single pictures, whose rarity can be counted."""
    return SIGNAL_TYPES[signal_type].per_frame


def hit_of(reference_id: str, query: Fingerprint, hits: FrameHits) -> Sighting:
    """Of each of the query's pictures that was hit, its nearest hit."""
    beyond = SIGNAL_TYPES[query.signal_type].bits + 1
    nearest = np.full(len(query), beyond)
    np.minimum.at(nearest, hits.queries, hits.distances)
    rows = np.flatnonzero(nearest < beyond)
    shares = _by_distance(query.signal_type, nearest[rows])
    return Sighting(reference_id, query.track, query.offsets[rows], shares, query.view.pane)


def _by_distance(signal_type: str, distances: Ints) -> Floats:
    return np.clip(2.0 - distances / WHOLE[signal_type], 0.0, 1.0)


def sightings_of(alignment: Alignment) -> list[Sighting]:
    """What an alignment says of pictures, by track."""
    if not counts(alignment.signal_type):
        return []
    kind = alignment.signal_type
    found = []
    for track, part in sorted({(f.track, f.view.pane) for f in alignment.frames}):
        frames = [f for f in alignment.frames if (f.track, f.view.pane) == (track, part)]
        offsets = np.array([f.offset for f in frames])
        known = not part and any(f.cells for f in frames)
        cells = tuple(f.cells for f in frames) if known else ()
        if kind in WHOLE:
            shares = _by_distance(kind, np.array([f.distance for f in frames], dtype=np.int64))
        else:
            shares = np.full(len(frames), max(0.0, 2 * alignment.score - 1))
        found.append(Sighting(alignment.reference_id, track, offsets, shares, part, cells))
    return found
