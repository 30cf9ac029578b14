"""The pictures of a query that show something known: nominated by the index, verified one by one.
Pure but for the index that is asked.

Each picture of the query, in each rendering, asks the index which pictures of references share
features with it; the best are verified geometrically (`matcher.verify`). What follows from them
together is `matcher.localize`'s.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from hashdb.model import LocalFeatures, Rendering
from hashdb.ports import LocalBackend, Nominee
from matcher import verify
from matcher.cells import cells_at, grown, lies_in
from matcher.verify import Agreement, Candidates, Picture

NOMINEES = 6
"""Pictures that the index names for one picture and rendering."""

FEWEST_VOTES = 2.0
VERIFIED, FIRST = 10, 4
"""Nominees that are verified for one picture of the query, in all renderings: the first of them by
votes, and the others of references that are seen in any picture: they may speak against it too."""

EACH = 3
"""Nominees of each rendering that are verified of an image: no other pictures bring it to light,
and a mirror has more votes by chance, of much that looks alike, than a banned picture that is
small."""

CLEARLY, BESIDE, EVERY = 10, 0.2, 3
"""Where a reference is clearly seen, with so many inliers, and so much of a picture's features lies
beside it, the index is asked about those alone: a film around other footage has more votes for many
of its pictures, and crowds it out. Of every third picture; more are found on the line of time."""

RAREST = 300
"""Features by which a mirror or a negative is looked up, those that the fewest others are like: of
the pictures that all features nominate these nominate 0.94, at half the cost. A small bank is asked
by all, for there the most common ones are a fixed camera's own."""

FEWEST_INLIERS = 6
"""Below this an agreement of two pictures is chance."""


@dataclass(frozen=True, slots=True, eq=False)
class Shot:
    """One picture of the query, in one rendering. `row`: its number among the query's pictures."""

    row: int
    offset: float
    rendering: Rendering
    picture: Picture


@dataclass(frozen=True, slots=True, eq=False)
class Sight:
    """A shot verified against a picture of a reference."""

    shot: Shot
    nominee: Nominee
    pairs: Candidates
    agreement: Agreement


@dataclass(frozen=True, slots=True, eq=False)
class Nominated:
    """What the index names for the `shots` of one row, in which `renderings`; the `sights` of the
    first of it, and of what lies beside those; and what is verified `later`, if its reference is
    seen in any picture, most votes first, each with the shot that it is named for."""

    shots: tuple[Shot, ...]
    renderings: frozenset[Rendering]
    later: tuple[tuple[Nominee, Shot], ...]
    sights: tuple[Sight, ...]

    def is_of(self, some: Sequence[Shot]) -> bool:
        """Whether it is what these pictures would be given."""
        return len(some) == len(self.shots) and all(map(_same, some, self.shots))

    def names(self, shot: Shot) -> bool:
        """Whether anything is named for the shot's rendering."""
        return shot.rendering in self.renderings


def _same(one: Shot, other: Shot) -> bool:
    mine, its = one.picture, other.picture
    return (
        (one.row, one.offset, one.rendering) == (other.row, other.offset, other.rendering)
        and (mine.width, mine.height) == (its.width, its.height)
        and np.array_equal(mine.codes, its.codes)
        and np.array_equal(mine.places, its.places)
    )


def shots(features: Iterable[LocalFeatures], first: int = 0, step: int = 1) -> list[Shot]:
    """The pictures of one track, those of a moment together; the `first` row's number, and by how
    many the next one's is higher."""
    found = []
    for one in features:
        for i, offset in enumerate(one.offsets.tolist()):
            rows = slice(int(one.starts[i]), int(one.starts[i + 1]))
            width, height = one.sizes[i].tolist()
            picture = Picture(one.codes[rows], one.places[rows], width, height)
            found.append(Shot(i, offset, one.rendering, picture))
    offsets = sorted({s.offset for s in found})
    rows_of = {offset: first + step * row for row, offset in enumerate(offsets)}
    return [replace(s, row=rows_of[s.offset]) for s in found]


def by_row(some: Iterable[Shot]) -> dict[int, list[Shot]]:
    """The pictures of each moment, by its row."""
    found: dict[int, list[Shot]] = {}
    for shot in some:
        found.setdefault(shot.row, []).append(shot)
    return found


NOTHING_AHEAD: Mapping[int, Nominated] = {}


def picture_of(nominee: Nominee) -> Picture:
    return Picture(nominee.codes, nominee.places, nominee.width, nominee.height)


def cells_of(sight: Sight) -> int:
    """Where in the upload's picture it was seen (`matcher.cells`), as nothing were mirrored."""
    picture = sight.shot.picture
    return cells_at(
        picture.places[sight.agreement.queries],
        picture.width,
        picture.height,
        mirrored=sight.shot.rendering.mirrored,
    )


def sighted(
    some: Sequence[Shot],
    index: LocalBackend,
    ahead: Mapping[int, Nominated] = NOTHING_AHEAD,
    *,
    alone: bool = False,
) -> list[Sight]:
    """All verified nominees of the shots: of the plain ones, and of every other one in a mirror or
    a negative, which are rarer; what they find is then followed through all (`localize.lines`).
    `ahead`: what was found of rows already; `alone`: they are of an image."""
    each: dict[int, Nominated] = {}
    for row, mine in by_row(some).items():
        before = ahead.get(row)
        same = before is not None and before.is_of(mine)
        each[row] = ahead[row] if same else nominated(mine, index, alone=alone)
    order = list(dict.fromkeys(s.row for s in some if each[s.row].names(s)))
    found = [sight for row in order for sight in each[row].sights]
    seen = {sight.nominee.reference for sight in found}
    for row in order:
        found += _sights([pair for pair in each[row].later if pair[0].reference in seen])
    return found


def nominated(some: Sequence[Shot], index: LocalBackend, *, alone: bool = False) -> Nominated:
    """What the index names for the shots of one row, which may be an image's, `alone`."""
    named: list[tuple[Nominee, Shot]] = []
    for shot in some:
        if asked_about(shot.rendering, shot.row):
            named += [(nominee, shot) for nominee in _named(shot, shot.picture, index)]
    named.sort(key=lambda pair: -pair[0].votes)
    first = _each(named) if alone else named[:FIRST]
    later = [pair for pair in named[:VERIFIED] if pair not in first]
    sights = _sights(first)
    if sights and sights[0].shot.row % EVERY == 0:
        asked = {_key(pair) for pair in first}
        beside = [pair for pair in _beside(sights, index) if _key(pair) not in asked][:FIRST]
        sights += _sights(beside)
        asked = {_key(pair) for pair in beside}
        later = [pair for pair in later if _key(pair) not in asked]
    return Nominated(
        tuple(some), frozenset(s.rendering for _, s in named), tuple(later), tuple(sights)
    )


def _each(named: Sequence[tuple[Nominee, Shot]]) -> list[tuple[Nominee, Shot]]:
    """The first `EACH` of each rendering."""
    found: dict[Rendering, list[tuple[Nominee, Shot]]] = {}
    for pair in named:
        found.setdefault(pair[1].rendering, []).append(pair)
    return [pair for mine in found.values() for pair in mine[:EACH]]


def _key(pair: tuple[Nominee, Shot]) -> tuple[Rendering, int, int, float]:
    """Which picture of a reference, and in which of a row's shots."""
    nominee, shot = pair
    return (shot.rendering, nominee.reference, nominee.track, nominee.offset)


def _named(shot: Shot, asked: Picture, index: LocalBackend) -> list[Nominee]:
    """What the index names for these features of the shot."""
    rarest = None if shot.rendering is Rendering.PLAIN else RAREST
    found = index.nominate(asked.codes, asked.places, NOMINEES, rarest=rarest)
    return [nominee for nominee in found if nominee.votes >= FEWEST_VOTES]


def _beside(sights: Sequence[Sight], index: LocalBackend) -> list[tuple[Nominee, Shot]]:
    """What the index names for the features that lie beside what is clearly seen in their shot, of
    other references."""
    clear: dict[Rendering, list[Sight]] = {}
    for sight in sights:
        if sight.agreement.inliers >= CLEARLY:
            clear.setdefault(sight.shot.rendering, []).append(sight)
    found: list[tuple[Nominee, Shot]] = []
    for mine in clear.values():
        shot, picture = mine[0].shot, mine[0].shot.picture
        seen = np.concatenate([s.agreement.queries for s in mine])
        cells = cells_at(picture.places[seen], picture.width, picture.height)
        outside = ~lies_in(picture.places, picture.width, picture.height, grown(cells))
        if outside.sum() >= BESIDE * len(outside):
            rest = replace(picture, codes=picture.codes[outside], places=picture.places[outside])
            known = {s.nominee.reference for s in mine}
            others = (n for n in _named(shot, rest, index) if n.reference not in known)
            found += [(nominee, shot) for nominee in others]
    return sorted(found, key=lambda pair: -pair[0].votes)


def _sights(nominated: Iterable[tuple[Nominee, Shot]]) -> list[Sight]:
    verified = [_verified(shot, nominee) for nominee, shot in nominated]
    return [sight for sight in verified if sight is not None]


def asked_about(rendering: Rendering, row: int) -> bool:
    """Whether the index is asked about that shot."""
    return rendering is Rendering.PLAIN or row % 2 == 0


def _verified(shot: Shot, nominee: Nominee) -> Sight | None:
    pairs = verify.candidates(shot.picture, picture_of(nominee))
    agreement = verify.agreement(pairs) if len(pairs.q) >= FEWEST_INLIERS else None
    if agreement is None or agreement.inliers < FEWEST_INLIERS:
        return None
    return Sight(shot, nominee, pairs, agreement)
