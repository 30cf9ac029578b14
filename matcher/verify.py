"""Whether two pictures show the same thing: geometric verification of local features. Pure.

Pairs of features that look alike are tested for one affine map that takes the reference's picture
onto the query's: hypotheses from two pairs each, as RANSAC makes them (Fischler and Bolles 1981),
but all from pairs that agree on turn and size already; the best is refined by least squares.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from hashdb.model import Codes, Floats, Ints
from matcher import consensus
from matcher.nearest import nearest

RADIUS = 64
"""Bits within which two features may be a pair."""

RATIO = 0.85
"""A pair nearer than this part of the next best one's distance stands out (Lowe 2004)."""

SURE = 30
"""Bits within which a pair need not stand out: repeated patterns have many alike."""

TOLERANCE = 6.0
"""Pixels, at a picture of 448, within which an inlier lies off the map."""

WHOLE = 0.04
"""A picture is all of the reference's where the corners lie within so much of its sides."""

SMALLEST_PATCH = 31.0
"""Pixels: ORB's patch at the largest scale of its pyramid."""

_ROUGH = 2.0  # times the tolerance, before the map is refined
_HYPOTHESES = 200
_FEWEST = 4
_SHAKEN = 2.0  # times the tolerance, for the one map of many pictures: a hand shakes
_TOLD = 25  # inliers of one picture that count towards the common map
_SMALLEST, _LARGEST = 0.12, 8.0  # change of size
_CELLS, _CELL_FEWEST, _CELL_PART = 4, 5, 0.1
_STRETCH = 3.0  # at most, between the two axes

Places = NDArray[np.float32]
Map = NDArray[np.float64]
Complex = NDArray[np.complex128]


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """One picture's features: `codes` (n, 32), `places` (n, 4), and its size in pixels."""

    codes: Codes
    places: Places
    width: int
    height: int


@dataclass(frozen=True, slots=True, eq=False)
class Agreement:
    """`map` (2, 3): reference's pixels (x, y, 1) to the query's. `inliers`: features of the
    reference that agree; `visible`: features of it that the map puts inside the query's picture;
    `spread`: part of the smaller picture's area that the inliers span, 0 to 1."""

    map: Map
    inliers: int
    visible: int
    spread: float
    queries: Ints
    references: Ints

    @property
    def share(self) -> float:
        return self.inliers / max(1, self.visible)


def pairs(query: Picture, reference: Picture) -> tuple[Ints, Ints, Ints]:
    """(query row, reference row, distance) of features that look alike and like nothing else."""
    found = nearest(query.codes, reference.codes)
    mutual = found.back[found.rows] == np.arange(len(found.rows))
    stands_out = (found.bits <= RATIO * found.next_bits) | (found.bits <= SURE) & mutual
    kept = np.flatnonzero((found.bits <= RADIUS) & stands_out)
    return kept, found.rows[kept], found.bits[kept]


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """Two pictures and the k pairs of their features that look alike: rows and distances in bits.
    `target` and `source` (k, 2): where each pair lies in the query and in the reference; `size` and
    `turn` (k,): by how many octaves and degrees the query's is larger and turned."""

    query: Picture
    reference: Picture
    q: Ints
    r: Ints
    near: Ints
    target: Floats
    source: Floats
    size: Places
    turn: Places

    @property
    def tolerance(self) -> float:
        """Pixels."""
        return TOLERANCE * max(self.query.width, self.query.height) / 448


def candidates(query: Picture, reference: Picture) -> Candidates:
    if len(query.codes) < _FEWEST or len(reference.codes) < _FEWEST:
        q = r = near = np.empty(0, dtype=np.int64)
    else:
        q, r, near = pairs(query, reference)
    target, source = query.places[q], reference.places[r]
    return Candidates(
        query,
        reference,
        q,
        r,
        near,
        target[:, :2].astype(np.float64),
        source[:, :2].astype(np.float64),
        np.log2(target[:, 2] / source[:, 2]),
        target[:, 3] - source[:, 3],
    )


def agreement(some: Candidates) -> Agreement | None:
    """How the reference's picture lies in the query's; None where nothing agrees."""
    if len(some.q) < _FEWEST:
        return None
    target, source = some.target, some.source
    alike = _same_turn_and_size(some)
    if len(alike) < 3:
        return None
    tolerance = some.tolerance
    found = _best_similarity(target, source, alike, tolerance)
    if found is None:
        return None
    for scale in (_ROUGH, 1.0, 1.0):
        inliers = _within(found, target, source, tolerance * scale)
        if len(inliers) < _FEWEST:
            return None
        found = fitted(target[inliers], source[inliers])
        if found is None:
            return None
    return measured(found, some)


def _same_turn_and_size(some: Candidates) -> Ints:
    """The pairs that agree with most others on how much the picture was turned and scaled. Those
    within 32 bits count whole, those at 61 and more a tenth of that."""
    weight = np.clip(640 - 10 * some.near, 32, 320).astype(np.int32)
    return consensus.alike(some.turn / np.float32(360), some.size, weight)


def _best_similarity(target: Floats, source: Floats, rows: Ints, tolerance: float) -> Map | None:
    """The turn, size and shift, from two pairs, that most pairs agree with."""
    z, w = target[:, 0] + 1j * target[:, 1], source[:, 0] + 1j * source[:, 1]
    first, second = (rows[drawn] for drawn in _drawn(len(rows)))
    apart = np.abs(w[first] - w[second]) > 4 * tolerance
    first, second = first[apart], second[apart]
    if not len(first):
        return None
    factor = (z[first] - z[second]) / (w[first] - w[second])
    shift = z[first] - factor * w[first]
    size = np.abs(factor)
    possible = (size >= _SMALLEST) & (size <= _LARGEST)
    if not possible.any():
        return None
    factor, shift = factor[possible], shift[possible]
    best = int(consensus.votes(factor, shift, z, w, _ROUGH * tolerance, tolerance).argmax())
    a, b = factor[best].real, factor[best].imag
    return np.array([[a, -b, shift[best].real], [b, a, shift[best].imag]])


@lru_cache(maxsize=512)
def _drawn(count: int) -> tuple[Ints, Ints]:
    """Which of so many pairs each hypothesis is made of: always the same ones."""
    rng = np.random.default_rng(count)
    return rng.choice(count, _HYPOTHESES), rng.choice(count, _HYPOTHESES)


def mapped(found: Map, places: Places) -> Floats:
    """(n, 2) where the map puts them."""
    return _laid(found, places[:, :2].astype(np.float64))


def is_whole(
    found: Map, reference_size: tuple[float, float], query_size: tuple[float, float]
) -> bool:
    """Whether the reference's picture is laid on all of the query's: uncropped and unframed."""
    ends = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    off = np.abs(_laid(found, ends * reference_size) / query_size - ends)
    return bool(off.max() <= WHOLE)


def _laid(found: Map, at: Floats) -> Floats:
    return at @ found[:, :2].T + found[:, 2]


def _within(found: Map, target: Floats, source: Floats, tolerance: float) -> Ints:
    return np.flatnonzero(_squared(_laid(found, source) - target) <= tolerance**2)


def _squared(off: Floats) -> Floats:
    """(n,) squared lengths of (n, 2)."""
    return off[:, 0] ** 2 + off[:, 1] ** 2


def fitted(target: Floats, source: Floats) -> Map | None:
    """The map that takes places of the reference (n, 2) to those of the query (n, 2), by least
    squares; None where there is none, or none that an edit makes."""
    left = np.column_stack([source, np.ones(len(source))])
    try:
        solved, _, rank, _ = np.linalg.lstsq(left, target, rcond=None)
    except np.linalg.LinAlgError:
        return None
    found = np.asarray(solved.T)
    return None if rank < 3 or not _plausible(found) else found


def _plausible(found: Map) -> bool:
    """Neither mirrored nor squeezed to a line."""
    (a, b, across), (c, d, down) = found.tolist()
    if not all(math.isfinite(n) for n in (a, b, c, d, across, down)) or a * d - b * c <= 0:
        return False
    mean, apart = math.hypot(a + d, c - b) / 2, math.hypot(a - d, c + b) / 2
    small, large = mean - apart, mean + apart  # the singular values
    return small >= _SMALLEST and large <= _LARGEST and large <= _STRETCH * small


def common(some: Sequence[Candidates], maps: Sequence[Map]) -> Map | None:
    """The one map that explains most pairs of all these pictures: the best of `maps`, refined. An
    edit lays every picture of a video at the same place; another camera does not."""
    best: Map | None = None
    most = 0.0
    for found in maps:
        told = sum(min(len(_agreeing(found, one, _SHAKEN)), _TOLD) for one in some)
        if told > most:
            best, most = found, told
    if best is None:
        return None
    for _ in range(2):
        rows = [_agreeing(best, one, _SHAKEN) for one in some]
        target = [one.target[on] for one, on in zip(some, rows, strict=True)]
        source = [one.source[on] for one, on in zip(some, rows, strict=True)]
        refined = fitted(np.concatenate(target), np.concatenate(source))
        if refined is None:
            break
        best = refined
    return best


def _agreeing(found: Map, some: Candidates, slack: float) -> Ints:
    """The pairs that lie on the map within `slack` tolerances and are turned and scaled like it."""
    (a, b, _), (c, d, _) = found.tolist()
    scale = 0.5 * math.log2(max(1e-6, abs(a * d - b * c)))
    turn = math.degrees(math.atan2(c - b, a + d))
    within = slack * some.tolerance
    return consensus.on_map(
        found, some.target, some.source, within, some.turn, some.size, turn, scale
    )


def _area(found: Map) -> float:
    """By how much areas grow on the map; below 0: mirrored."""
    return float(found[0, 0] * found[1, 1] - found[0, 1] * found[1, 0])


def measured(found: Map, some: Candidates, slack: float = 1.0, shift: float = 0.0) -> Agreement:
    """What lies on the map, within `slack` times the tolerance; the whole picture may have moved
    by up to `shift` tolerances, as it does where the camera moves and the reference's picture is
    of a moment a little earlier or later."""
    query, reference, q, r = some.query, some.reference, some.q, some.r
    if shift:
        found = _shifted(found, some, slack, shift)
    rows = _agreeing(found, some, slack)
    rows = rows[_once(r[rows])]
    x, y = (query.places[q[rows], :2] / 4).astype(np.int64).T
    spots = set((x << 32 | y).tolist())
    inside = seen_inside(found, reference, query)
    return Agreement(
        map=found,
        inliers=min(len(rows), len(spots)),
        visible=int(inside.sum()),
        spread=spread(reference.places[r[rows]], reference, found, query),
        queries=q[rows],
        references=r[rows],
    )


def _once(some: Ints) -> Ints:
    """The row of each number's first occurrence, in the order of the numbers: `np.unique` in a
    fifth of its time, for the few that there are."""
    order = np.argsort(some, kind="stable")
    ordered = some[order]
    fresh = np.ones(len(some), dtype=np.bool_)
    fresh[1:] = ordered[1:] != ordered[:-1]
    return np.asarray(order[fresh])


def seen_inside(found: Map, reference: Picture, query: Picture) -> NDArray[np.bool_]:
    """Which features of the reference lie within the query's picture, and are not too small there
    to be found: the smallest patch that is described has a diameter of `SMALLEST_PATCH` pixels."""
    least = 0.8 * SMALLEST_PATCH / math.sqrt(max(abs(_area(found)), 1e-12))
    return consensus.inside(found, reference.places, query.width, query.height, least)


def by_cell(found: Agreement, reference: Picture, query: Picture, cells: int) -> tuple[Ints, Ints]:
    """In each of `cells` x `cells` cells of the reference's picture: how many of its features
    should be seen in the query's, and how many of those agree; (cells * cells,) each."""
    inside = seen_inside(found.map, reference, query)
    matched = np.zeros(len(inside), dtype=np.bool_)
    matched[found.references] = True
    size = (reference.width, reference.height)
    column, row = np.clip(reference.places[:, :2] * cells // size, 0, cells - 1).T
    cell = (row * cells + column).astype(np.int64)
    hoped = np.bincount(cell[inside], minlength=cells**2)
    return hoped, np.bincount(cell[inside & matched], minlength=cells**2)


def covered(found: Agreement, reference: Picture, query: Picture) -> float:
    """0 to 1: in how many cells of the reference's picture, of those in which some features should
    be seen, a fair part of them is. What two pictures share besides (letters, a program's window, a
    table) lies in some of the cells; a copy shows all that nothing lies over."""
    hoped, seen = by_cell(found, reference, query, _CELLS)
    asked = hoped >= _CELL_FEWEST
    if not asked.any():
        return 0.0
    return float((seen[asked] >= np.maximum(1, _CELL_PART * hoped[asked])).mean())


def _shifted(found: Map, some: Candidates, slack: float, shift: float) -> Map:
    """The map moved to where most of the pairs lie that are near it."""
    rows = _agreeing(found, some, slack + shift)
    if not len(rows):
        return found
    off = some.target[rows] - _laid(found, some.source[rows])
    moved = found.copy()
    moved[:, 2] += off[consensus.densest(off, some.tolerance)].mean(axis=0)
    return moved


def spread(places: Places, reference: Picture, found: Map, query: Picture) -> float:
    """The extent of inliers, (n, 4) of the reference's: two standard deviations each way along both
    main axes, as a part of what both pictures could share."""
    if len(places) < 3:
        return 0.0
    off = places[:, :2].T.astype(np.float64)
    off -= off.mean(axis=1)[:, None]
    covariance = np.dot(off, off.T) * (1 / (len(places) - 1))
    area = 12 * float(np.sqrt(max(0.0, np.linalg.det(covariance))))  # a full square's would be 1
    scale = abs(_area(found))
    shared = min(reference.width * reference.height, query.width * query.height / max(scale, 1e-6))
    return min(1.0, area / max(shared, 1.0))
