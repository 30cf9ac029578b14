"""Local features into alignments: nominate pictures, verify them, agree in time. Pure but for the
index that is asked.

1. Each picture of the query, in each rendering, asks the index which pictures of references share
   features with it; the best are verified geometrically (`matcher.verify`).
2. What is verified of one reference in one rendering is a vote for a line of time, as with hashes.
3. Pictures of the query that lie on the line but were not nominated are verified too: they may be
   dimmer, or much covered.
4. What of the reference stands still says that the place is the same, what moves says that it is
   the same moment. Where a reference's moving features are missing, it is another moment.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from hashdb.model import (
    Alignment,
    Codes,
    Floats,
    FrameMatch,
    Ints,
    LocalFeatures,
    Orientation,
    Rendering,
    View,
)
from hashdb.ports import LocalBackend, Nominee
from matcher import verify
from matcher.align import STILL, FrameHits, best_line, group_alike, reach
from matcher.score import rescore
from matcher.verify import Agreement, Candidates, Picture

NOMINEES = 6
"""Pictures that the index names for one picture and rendering."""

FEWEST_VOTES = 3.0
VERIFIED = 10
"""Nominees that are verified for one picture of the query, in all renderings."""

FEWEST_INLIERS = 6
"""Below this an agreement of two pictures is chance."""

NOMINATING = 10
"""Inliers of a picture that starts a line."""

STEP = 0.5
"""Seconds between the pictures that are kept of a reference."""

FULL = 40.0
"""Inliers at which one picture says about all that one can: `1 - exp(-inliers / FULL)`."""

STILL_STEP = 4.0
"""Seconds that a picture of a still scene stands for."""

FEWEST_TOGETHER = 3
"""Inliers of a picture, where the map is known from other pictures."""

HYPOTHESES = 12
SLACK, SHIFT = 2.0, 5.0
"""Times `verify.TOLERANCE`: around the common map, and by which the whole picture may move."""

MOST_REFERENCES = 40
MOST_LINES = 3


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
class Found:
    """One reference in one rendering: its sights on one line of time, all by one map."""

    reference: int
    rendering: Rendering
    speed: float
    offset: float
    sights: tuple[Sight, ...]


def shots(features: Iterable[LocalFeatures]) -> list[Shot]:
    """The pictures of one track, those of a moment together."""
    found = []
    for one in features:
        for i, offset in enumerate(one.offsets.tolist()):
            rows = slice(int(one.starts[i]), int(one.starts[i + 1]))
            width, height = one.sizes[i].tolist()
            picture = Picture(one.codes[rows], one.places[rows], width, height)
            found.append(Shot(i, offset, one.rendering, picture))
    offsets = sorted({s.offset for s in found})
    rows_of = {offset: row for row, offset in enumerate(offsets)}
    return [replace(s, row=rows_of[s.offset]) for s in found]


def _picture(nominee: Nominee) -> Picture:
    return Picture(nominee.codes, nominee.places, nominee.width, nominee.height)


def sighted(some: Sequence[Shot], index: LocalBackend) -> list[Sight]:
    """All verified nominees of the shots: of the plain ones, and of every other one in a mirror or
    a negative, which are rarer; what they find is then followed through all (`lines`)."""
    found: list[Sight] = []
    by_row: dict[int, list[tuple[Nominee, Shot]]] = {}
    for shot in some:
        if shot.rendering is not Rendering.PLAIN and shot.row % 2:
            continue
        for nominee in index.nominate(shot.picture.codes, shot.picture.places, NOMINEES):
            if nominee.votes >= FEWEST_VOTES:
                by_row.setdefault(shot.row, []).append((nominee, shot))
    for nominated in by_row.values():
        nominated.sort(key=lambda pair: -pair[0].votes)
        for nominee, shot in nominated[:VERIFIED]:
            sight = _verified(shot, nominee)
            if sight is not None:
                found.append(sight)
    return found


def _verified(shot: Shot, nominee: Nominee) -> Sight | None:
    pairs = verify.candidates(shot.picture, _picture(nominee))
    agreement = verify.agreement(pairs)
    if agreement is None or agreement.inliers < FEWEST_INLIERS:
        return None
    return Sight(shot, nominee, pairs, agreement)


def lines(
    some: Sequence[Shot], sights: Sequence[Sight], index: LocalBackend, *, still: Sequence[int]
) -> list[Found]:
    """The references seen, each in its renderings, with the sights that agree in time and place.

    `still`: ordinals of references that are images, which have no time to agree with.
    """
    groups: dict[tuple[int, Rendering], list[Sight]] = {}
    for sight in sights:
        groups.setdefault((sight.nominee.reference, sight.shot.rendering), []).append(sight)
    ranked = sorted(groups.items(), key=lambda g: -sum(s.agreement.inliers for s in g[1]))
    found = []
    for (reference, rendering), seen in ranked[:MOST_REFERENCES]:
        if max(s.agreement.inliers for s in seen) >= NOMINATING:
            mine = [s for s in some if s.rendering == rendering]
            pictures = index.pictures(reference)
            found += _lines_of(reference, rendering, mine, seen, pictures, reference in still)
    return found


def _lines_of(
    reference: int,
    rendering: Rendering,
    mine: Sequence[Shot],
    seen: Sequence[Sight],
    pictures: Sequence[Nominee],
    still: bool,
) -> list[Found]:
    found: list[Found] = []
    rest = list(seen)
    while rest and len(found) < MOST_LINES:
        speed, offset, on = _line(rest, mine, still=still)
        together = _together(speed, offset, on, mine, pictures, still=still)
        if together:
            found.append(Found(reference, rendering, speed, offset, tuple(together)))
        rows = {s.shot.row for s in (*on, *together)}
        rest = [s for s in rest if s.shot.row not in rows]
    return found


def _line(
    sights: Sequence[Sight], mine: Sequence[Shot], *, still: bool
) -> tuple[float, float, list[Sight]]:
    """Speed and offset of the best line of time, and the sights on it."""
    offsets = np.zeros(max(s.row for s in mine) + 1)
    for shot in mine:
        offsets[shot.row] = shot.offset
    hits = FrameHits(
        np.array([s.shot.row for s in sights], dtype=np.int64),
        np.array([max(0.0, s.nominee.offset - STEP / 2) for s in sights]),
        np.full(len(sights), STEP),
        np.array([distance_of(s.agreement.inliers) for s in sights], dtype=np.int64),
    )
    line = best_line(offsets, hits, "local", still=still)
    rows = line.hits.queries
    speed, offset = _fitted(offsets[rows], line.moments, line.speed)
    on = [s for s in sights if still or abs(speed * s.shot.offset + offset - s.nominee.offset) < 1]
    return speed, offset, on


def _fitted(t: Floats, moments: Floats, speed: float) -> tuple[float, float]:
    """Speed and offset through the moments; the line's own speed where they cannot tell."""
    if len(t) > 2 and float(np.ptp(t)) > 1.0:
        slope, start = (float(x) for x in np.polyfit(t, moments, 1))
        if 0.4 <= abs(slope) <= 2.5:
            return slope, start
    return speed, float(np.median(moments - speed * t))


def _together(
    speed: float,
    offset: float,
    on: Sequence[Sight],
    mine: Sequence[Shot],
    pictures: Sequence[Nominee],
    *,
    still: bool,
) -> list[Sight]:
    """All shots that the line leads to a picture of the reference, as far as one map lays them
    where those `on` the line lie."""
    times = np.array([p.offset for p in pictures])
    led = []
    for shot in mine:
        moment = float(times[0]) if still else speed * shot.offset + offset
        at = int(np.abs(times - moment).argmin())
        if abs(times[at] - moment) <= (STILL_STEP if _stands(pictures, at) else STEP):
            led.append(
                (shot, pictures[at], verify.candidates(shot.picture, _picture(pictures[at])))
            )
    strongest = sorted(on, key=lambda s: -s.agreement.inliers)[:HYPOTHESES]
    common = verify.common([pairs for *_, pairs in led], [s.agreement.map for s in strongest])
    if common is None:
        return []
    seen = [Sight(*one, verify.measured(common, one[2], SLACK, SHIFT)) for one in led]
    return [s for s in seen if s.agreement.inliers >= FEWEST_TOGETHER]


def _stands(pictures: Sequence[Nominee], at: int) -> bool:
    """Whether the next picture that was kept is far: what lies between looks the same."""
    return at + 1 < len(pictures) and pictures[at + 1].offset - pictures[at].offset > 2 * STEP


def distance_of(inliers: int) -> int:
    """0 to 100: how far one picture is from full agreement (`FrameMatch.distance` of `local`)."""
    return round(100 * float(np.exp(-inliers / FULL)))


# Place or moment


def moving(found: Found, pictures: Sequence[Nominee]) -> tuple[float, float, int]:
    """Of the reference's features that should be seen: the parts found of those that stand still
    and of those that move, and how many of the latter there were.

    A feature stands still where pictures of the reference 1.5 s and more away show one like it at
    the same place.
    """
    seen = np.zeros(2)
    hoped = np.zeros(2)
    for sight in found.sights[:: max(1, len(found.sights) // 8)]:
        others = _away(sight.nominee, pictures)
        if not others:
            continue
        stands = np.zeros(len(sight.nominee.codes), dtype=np.bool_)
        for other in others:
            stands |= _repeated(sight.nominee, other)
        at = verify.mapped(sight.agreement.map, sight.nominee.places)
        shot = sight.shot.picture
        inside = (at >= 0).all(axis=1) & (at[:, 0] < shot.width) & (at[:, 1] < shot.height)
        matched = np.zeros(len(stands), dtype=np.bool_)
        matched[sight.agreement.references] = True
        for kind, mask in enumerate((stands, ~stands)):
            hoped[kind] += (inside & mask).sum()
            seen[kind] += (matched & mask).sum()
    part = seen / np.maximum(hoped, 1)
    return float(part[0]), float(part[1]), int(hoped[1])


def _away(nominee: Nominee, pictures: Sequence[Nominee]) -> list[Nominee]:
    """Up to four pictures at other moments, near and far."""
    away = [p for p in pictures if abs(p.offset - nominee.offset) >= 1.5]
    away.sort(key=lambda p: abs(p.offset - nominee.offset))
    return away[:2] + away[2 :: max(1, len(away) // 2)][:2]


def _repeated(one: Nominee, other: Nominee) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Which features of one picture the other shows at the same place."""
    dx = np.abs(one.places[:, None, 0] - other.places[None, :, 0]) <= 4
    dy = np.abs(one.places[:, None, 1] - other.places[None, :, 1]) <= 4
    rows, columns = np.nonzero(dx & dy)
    same = np.zeros(len(one.codes), dtype=np.bool_)
    if len(rows):
        near = one.codes[rows] ^ other.codes[columns]
        bits = np.bitwise_count(near).sum(axis=1, dtype=np.int64)
        same[rows[bits <= 56]] = True
    return same


def alignment(
    found: Found,
    reference_id: str,
    pictures: Sequence[Nominee],
    *,
    track: int,
    samples: Floats,
    total_s: float,
    alike: dict[float, Codes],
) -> Alignment | None:
    """The sights of one line as an alignment.

    `samples`: when the query was looked at, rising; `alike`: PDQ codes of the query's pictures by
    their offset, by which pictures that look alike are counted once.
    """
    offsets = np.array([s.shot.offset for s in found.sights])
    before, after = reach(offsets, samples, total_s)
    still_part, moving_part, hoped = moving(found, pictures) if total_s > 0 else (0.0, 1.0, 0)
    other_moment = hoped >= 20 and moving_part < 0.25 * still_part
    groups = _groups(found.sights, alike)
    frames = [
        FrameMatch(
            offset=sight.shot.offset,
            reference_offset=max(0.0, found.speed * sight.shot.offset + found.offset),
            distance=distance_of(sight.agreement.inliers),
            group=STILL if other_moment else groups[i],
            track=track,
            view=View.FULL,
            line=0,
            before=float(before[i]),
            after=float(after[i]),
        )
        for i, sight in enumerate(found.sights)
    ]
    mirrored = found.rendering.mirrored
    placed = Orientation.FLIP_HORIZONTAL if mirrored else Orientation.ORIGINAL
    empty = Alignment(reference_id, "local", placed, (), (), 0.0, speed=found.speed)
    return rescore(empty, frames, video=total_s > 0)


def _groups(sights: Sequence[Sight], alike: dict[float, Codes]) -> list[int]:
    """Numbers of the pictures: those with PDQ codes that look alike share one."""
    codes = [alike.get(s.shot.offset) for s in sights]
    known = [i for i, code in enumerate(codes) if code is not None]
    numbers: Ints = np.arange(len(sights)) + 1000
    if known:
        stacked = np.stack([codes[i] for i in known])  # type: ignore[misc]
        numbers[known] = group_alike(stacked, "pdq")
    return [int(n) for n in numbers]
