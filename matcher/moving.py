"""Which of a reference's features move, whether an upload shows them, and on which line. Pure.

A feature stands still where pictures of the reference 1.5 s and more away show one like it at the
same place. What moves tells the moment; where it is missing, while what stands still is found, it
is another one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hashdb.model import Floats, Ints
from hashdb.ports import Nominee
from matcher import verify
from matcher.align import FrameHits, best_line
from matcher.laying import STEP, Found, on_line, together
from matcher.localize import FORWARD, distance_of, fitted
from matcher.nearest import beside
from matcher.sighting import Shot, Sight, picture_of

ALIKE_BITS = 56
"""Bits within which features at one place are the same."""

MOVING_LEAST = 20
"""Moving features of the reference that should be seen, and still ones to hold them against, from
which on their absence means another moment,"""

MOVING_PART = 0.33
"""where fewer than this part of them are found as often as what stands still."""

ANOTHER_LEAST, ANOTHER_PART, ANOTHER_IN_ALL = 150.0, 0.12, 0.45
"""Of features that are seen at one time only so many are expected, by the part of what is seen
throughout that each picture shows; in the half of the pictures that shows the fewest of them fewer
than this part is found, and fewer than the last one in all: somebody else stands there, and what
both uncover (the table that they have left) is found. (Of somebody else 0.11 and 0.44 at most, of
420 and more; of copies that agree as little 0.13, or 0.5 in all, or of 120 at most.)"""

MOMENTS, MOST_MOMENTS = 10, 80
"""Shots, and pictures of the reference, that are compared where the moment is looked for."""

FIXED_PART = 0.5
"""The part of a reference's features that stand still where the camera does."""

AWAY_S = 1.5
"""Seconds between two pictures of a reference that are compared for what stands still."""

FROM_ALL, THROUGHOUT = 8, 0.26
"""About so many pictures of a reference, spread over it, tell what is seen throughout: in more than
this part of them; what comes and goes is seen in none."""

Mask = NDArray[np.bool_]


class Masks(dict[float, Mask]):
    """By the offset of a reference's picture, which of its features move."""

    def __init__(self, pictures: Sequence[Nominee]) -> None:
        super().__init__()
        self._pictures = pictures
        self._at = {p.offset: p for p in pictures}

    def __missing__(self, offset: float) -> Mask:
        self[offset] = _moves(self._at[offset], self._pictures)
        return self[offset]


def moved_elsewhere(found: Found, moves: Masks) -> int:
    """The moving features that the pictures on a line show of moments away from it, at most."""
    most = {s.shot.row: 0 for s in found.sights}
    for sight in found.seen:
        row, nominee = sight.shot.row, sight.nominee
        away = abs(found.speed * sight.shot.offset + found.offset - nominee.offset)
        if row in most and away > AWAY_S:
            shown = int(moves[nominee.offset][sight.agreement.references].sum())
            most[row] = max(most[row], shown)
    return sum(most.values())


def is_fixed(sights: Sequence[Sight], moves: Masks) -> bool:
    """Whether the camera stands still in the reference's pictures that are seen: most of their
    features do."""
    each = np.concatenate([moves[sight.nominee.offset] for sight in sights])
    return bool(len(each) and float(each.mean()) <= 1 - FIXED_PART)


def moved(found: Found, moves: Masks) -> tuple[int, ...] | None:
    """How many moving features were found in each sight; None where they are missing, while what
    stands still is found."""
    masks = [moves[sight.nominee.offset] for sight in found.sights]
    seen, hoped = _counted(found, [(~mask, mask) for mask in masks])
    return None if _is_missing(seen, hoped) else tuple(seen[:, 1].tolist())


def _counted(found: Found, kinds: Sequence[tuple[Mask, Mask]]) -> tuple[Ints, Ints]:
    """(n, 2) how many features of two kinds, which are told of each of n sights, are found there,
    and how many should be."""
    seen, hoped = (np.zeros((len(found.sights), 2), dtype=np.int64) for _ in range(2))
    for row, (sight, both) in enumerate(zip(found.sights, kinds, strict=True)):
        inside, matched = _hoped_and_found(sight)
        for kind, features in enumerate(both):
            hoped[row, kind] = (inside & features).sum()
            seen[row, kind] = (matched & inside & features).sum()
    return seen, hoped


def _is_missing(seen: Ints, hoped: Ints) -> bool:
    """Whether the second kind is missing, while the first one is found."""
    should = hoped.sum(axis=0)
    first, second = (seen.sum(axis=0) / np.maximum(should, 1)).tolist()
    return bool(should.min() >= MOVING_LEAST) and second < MOVING_PART * first


def _hoped_and_found(sight: Sight) -> tuple[Mask, Mask]:
    """Which features of the reference's picture lie in the upload's, and which are found there."""
    inside = verify.seen_inside(sight.agreement.map, picture_of(sight.nominee), sight.shot.picture)
    matched = np.zeros(len(inside), dtype=np.bool_)
    matched[sight.agreement.references] = True
    return inside, matched


def _moves(nominee: Nominee, pictures: Sequence[Nominee]) -> Mask:
    """Which features of a picture others, near and far in time, do not show at the same place."""
    away = [p for p in pictures if abs(p.offset - nominee.offset) >= AWAY_S]
    away.sort(key=lambda p: abs(p.offset - nominee.offset))
    stands = np.zeros(len(nominee.codes), dtype=np.bool_)
    for other in away[:2] + away[2 :: max(1, len(away) // 2)][:2]:
        stands |= _repeated(nominee, other)
    return ~stands if away else stands


def _repeated(one: Nominee, other: Nominee) -> Mask:
    """Which features of one picture the other shows at the same place."""
    places, others = one.places[:, :2], other.places[:, :2]
    return beside(one.codes, places, other.codes, others, 4.0, ALIKE_BITS)


def lacks_what_comes(found: Found, pictures: Sequence[Nominee]) -> bool:
    """Whether what of the reference is seen at one time only (somebody who stands before the camera
    for some seconds, and does not move by the pictures near him) is missing, while what is seen
    throughout is found."""
    often = [_how_often(sight.nominee, pictures) for sight in found.sights]
    counted = _counted(found, [(each > THROUGHOUT, each == 0) for each in often])
    return _is_missing(*counted) or _is_another(*counted)


def _is_another(seen: Ints, hoped: Ints) -> bool:
    """Whether the second kind is missing in half of the pictures, by what should be seen in them
    as often as of the first kind, and is no more than now and then found in the others."""
    expected = hoped[:, 1] * seen[:, 0] / np.maximum(hoped[:, 0], 1)
    total = float(expected.sum())
    if total < ANOTHER_LEAST or seen[:, 1].sum() >= ANOTHER_IN_ALL * total:
        return False
    told = expected > 0
    found, expected = seen[told, 1], expected[told]
    fewest = np.argsort(found / expected)
    half = fewest[np.cumsum(expected[fewest]) <= total / 2]
    return bool(found[half].sum() < ANOTHER_PART * expected[half].sum())


def _how_often(nominee: Nominee, pictures: Sequence[Nominee]) -> Floats:
    """(n,) in which part of some pictures from all of the reference each feature is seen at the
    same place."""
    away = [p for p in pictures if abs(p.offset - nominee.offset) >= AWAY_S]
    some = away[:: max(1, len(away) // FROM_ALL)]
    counts = np.zeros(len(nominee.codes))
    for other in some:
        counts += _repeated(nominee, other)
    return counts / max(1, len(some))


def line_by_moving(
    found: Found, mine: Sequence[Shot], pictures: Sequence[Nominee], moves: Masks
) -> Found | None:
    """The line of time by moving features alone, the common map being known; None without one."""
    common = found.sights[0].agreement.map
    told = []
    for shot in mine[:: max(1, len(mine) // MOMENTS)]:
        for at in range(0, len(pictures), max(1, len(pictures) // MOST_MOMENTS)):
            mask = moves[pictures[at].offset]
            places = verify.mapped(common, pictures[at].places[mask]).astype(np.float32)
            codes = pictures[at].codes[mask]
            there = shot.picture.places[:, :2]
            looks = beside(codes, places, shot.picture.codes, there, 8.0, ALIKE_BITS)
            if (count := int(looks.sum())) >= 3:
                told.append((shot, pictures[at], count))
    if not told:
        return None
    most: dict[int, int] = {}
    for shot, _, count in told:
        most[shot.row] = max(most.get(shot.row, 0), count)
    told = [t for t in told if t[2] >= 0.5 * most[t[0].row]]
    offsets = np.zeros(max(s.row for s in mine) + 1)
    for shot in mine:
        offsets[shot.row] = shot.offset
    hits = FrameHits(
        np.array([shot.row for shot, *_ in told], dtype=np.int64),
        np.array([max(0.0, nominee.offset - STEP / 2) for _, nominee, _ in told]),
        np.full(len(told), STEP),
        np.array([distance_of(4.0 * count) for *_, count in told], dtype=np.int64),
    )
    line = best_line(offsets, hits, "local", still=False, speeds=FORWARD)
    speed, offset = fitted(offsets[line.hits.queries], line.moments, line.speed)
    led, seen = together(speed, offset, found.sights, mine, pictures, {}, still=False)
    if not seen:
        return None
    return on_line(found, speed, offset, led, seen)
