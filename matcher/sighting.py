"""The pictures of a query that show something known: nominated by the index, verified one by one.
Pure but for the index that is asked.

Each picture of the query, in each rendering, asks the index which pictures of references share
features with it; the best are verified geometrically (`matcher.verify`). What follows from them
together is `matcher.localize`'s.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from hashdb.model import LocalFeatures, Rendering
from hashdb.ports import LocalBackend, Nominee
from matcher import verify
from matcher.verify import Agreement, Candidates, Picture

NOMINEES, OTHERS = 6, 2
"""Pictures that the index names for one picture and rendering: those with the most votes, and the
best ones of two other references."""

FEWEST_VOTES = 2.0
VERIFIED, FIRST = 10, 4
"""Nominees that are verified for one picture of the query, in all renderings: the first of them by
votes, and the others of references that are seen in any picture: they may speak against it too."""

OF_ONE, CLEAR = 2, 4.0
"""Of the first no more are of one reference where others have so many votes, which chance seldom
gives: a film around other footage must not crowd it out."""

RAREST = 300
"""Features by which a mirror or a negative is looked up, those that the fewest others are like: of
the pictures that all features nominate these nominate 0.94, at half the cost."""

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
    """What is nominated for the `shots` of one row, each with the shot that it is named for: those
    that are verified first, then the others, either by votes; and the `sights` of the first."""

    shots: tuple[Shot, ...]
    nominees: tuple[tuple[Nominee, Shot], ...]
    sights: tuple[Sight, ...]

    def is_of(self, some: Sequence[Shot]) -> bool:
        """Whether it is what these pictures would be given."""
        return len(some) == len(self.shots) and all(map(_same, some, self.shots))

    def names(self, shot: Shot) -> bool:
        """Whether anything is named for the shot's rendering."""
        return any(mine.rendering is shot.rendering for _, mine in self.nominees)


def _same(one: Shot, other: Shot) -> bool:
    mine, its = one.picture, other.picture
    return (
        (one.row, one.offset, one.rendering) == (other.row, other.offset, other.rendering)
        and (mine.width, mine.height) == (its.width, its.height)
        and np.array_equal(mine.codes, its.codes)
        and np.array_equal(mine.places, its.places)
    )


def shots(features: Iterable[LocalFeatures], first: int = 0) -> list[Shot]:
    """The pictures of one track, those of a moment together; the `first` row's number."""
    found = []
    for one in features:
        for i, offset in enumerate(one.offsets.tolist()):
            rows = slice(int(one.starts[i]), int(one.starts[i + 1]))
            width, height = one.sizes[i].tolist()
            picture = Picture(one.codes[rows], one.places[rows], width, height)
            found.append(Shot(i, offset, one.rendering, picture))
    offsets = sorted({s.offset for s in found})
    rows_of = {offset: first + row for row, offset in enumerate(offsets)}
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


def sighted(
    some: Sequence[Shot], index: LocalBackend, ahead: Mapping[int, Nominated] = NOTHING_AHEAD
) -> list[Sight]:
    """All verified nominees of the shots: of the plain ones, and of every other one in a mirror or
    a negative, which are rarer; what they find is then followed through all (`localize.lines`).
    `ahead`: what was found of rows already."""
    each: dict[int, Nominated] = {}
    for row, mine in by_row(some).items():
        before = ahead.get(row)
        same = before is not None and before.is_of(mine)
        each[row] = ahead[row] if same else nominated(mine, index)
    order = list(dict.fromkeys(s.row for s in some if each[s.row].names(s)))
    found = [sight for row in order for sight in each[row].sights]
    seen = {sight.nominee.reference for sight in found}
    for row in order:
        rest = each[row].nominees[FIRST:VERIFIED]
        found += _sights([pair for pair in rest if pair[0].reference in seen])
    return found


def nominated(some: Sequence[Shot], index: LocalBackend) -> Nominated:
    """What the index names for the shots of one row."""
    named: list[tuple[Nominee, Shot]] = []
    for shot in some:
        if not asked_about(shot.rendering, shot.row):
            continue
        rarest = None if shot.rendering is Rendering.PLAIN else RAREST
        codes, places = shot.picture.codes, shot.picture.places
        asked = index.nominate(codes, places, NOMINEES, others=OTHERS, rarest=rarest)
        named += [(nominee, shot) for nominee in asked if nominee.votes >= FEWEST_VOTES]
    named.sort(key=lambda pair: -pair[0].votes)
    ordered = _first_ones_first(named)
    return Nominated(tuple(some), tuple(ordered), tuple(_sights(ordered[:FIRST])))


def _first_ones_first(named: Sequence[tuple[Nominee, Shot]]) -> list[tuple[Nominee, Shot]]:
    """By votes, but of the `FIRST` no more than `OF_ONE` of one reference, where others are clear
    too."""
    seen: Counter[int] = Counter()
    apart = []
    for nominee, _ in named:
        seen[nominee.reference] += 1
        apart.append(nominee.votes >= CLEAR and seen[nominee.reference] <= OF_ONE)
    first = sorted(range(len(named)), key=lambda i: not apart[i])[:FIRST]
    return [named[i] for i in first] + [pair for i, pair in enumerate(named) if i not in first]


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
