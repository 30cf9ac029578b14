"""What the sights on a line of time tell, as an alignment with evidence. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from hashdb.model import Alignment, Codes, Floats, FrameMatch, Ints, Orientation, View
from matcher import verify
from matcher.align import group_alike, reach
from matcher.laying import Found, usual
from matcher.localize import FULL, distance_of
from matcher.score import STILL, rescore
from matcher.sighting import Sight, cells_of, picture_of

DISTINCT, MOVED, MOVED_PART = 3, 4, 0.1
"""Pictures that look different; features found that move. A picture with fewer is a still one,"""

APART_S = 0.2
"""Pictures that look alike, and are told by what moves in them, lie so far apart."""

ONE_OF_MANY = 65
"""The distance of one picture of a video at the least: only three that agree make a match sure, for
one moment of another film of the same table may look like the reference."""

DISTINCT_UNUSUAL, SIGHTS_UNUSUAL, LEAST_UNUSUAL = 5, 10, 8
"""Pictures that look different, and sights, below which a line of another speed is chance; and the
fewest sights that such a line needs in any case."""

MOVING_SHARE, STANDING_SHARE = (0.02, 0.08), (0.10, 0.25)
TOLD_SHARE, TIMED_SHARE = (0.0, 0.05), (0.0, 0.02)
"""Parts of a reference's features that are found: from nothing said to all said. The last two where
what moves has told the moment, in some pictures or in all: then it is known which features should
be seen, and few are much."""

ENOUGH_SPREAD = 0.10
"""Part of the shared picture over which inliers must lie to count in full."""

STEADY, STEADY_ODD = (0.15, 0.5, 2.0), (0.6, 0.9, 4.5)
"""At normal speed and at others: the part of the shots on a line that must show the reference, the
part that is enough, and how heavily shots of another moment weigh against it."""


BARE = 0.75
"""An image that is a whole picture (`verify.is_whole`) is bare where so many of the reference's
cells are seen."""

ALL_OVER = 3.0
"""Times as many inliers as say all that one picture can: what an image says that shows a picture of
the reference all over."""

IN_PLACES, IN_PLACES_INLIERS, IN_CELLS, FAIR = 0.37, 100, 8, 0.25
"""The part of the features that should be seen that must lie where a fair part is: in cells, so
many to either side, of which a quarter as much is found as of all. Where less does, of so many
inliers, two videos may share no more than something that lies over both, such as captions that
change at the same moments. (Captions over a quarter to half of other footage: 0.14 to 0.34. Of 168
copies, half of them by three to five edits, 0.47 and more; with other footage over 60 % of the
picture 0.22 to 0.39.)"""

IN_MOST = 0.5
"""The same of what was looked for where it should be: all of a caption is found there."""

MAY_SHARE = 42
"""The distance of what such a video shows, as one picture: a moderator must look."""

BLANK = 0.67
"""How much less a shot that shows nothing of the reference, at any moment, counts among those at an
odd speed: footage in between slows a copy down, and another moment of the place would be seen."""


def telling_inliers(
    inliers: int,
    share: float,
    spread: float,
    *,
    stands: bool,
    told: bool = False,
    timed: bool = False,
) -> float:
    """Inliers that tell of a copy. A copy shows most of what the reference shows, wherever nothing
    lies over it; another picture of the same table shares some of its grain, or one poster. A scene
    that `stands` may be of another moment (a fixed camera, a program's window) and must show more.
    """
    told_by = TIMED_SHARE if timed else TOLD_SHARE if told else None
    least, enough = told_by or (STANDING_SHARE if stands else MOVING_SHARE)
    whole = min(1.0, max(0.0, (share - least) / (enough - least)))
    wide = min(1.0, spread / ENOUGH_SPREAD)
    return inliers * whole * wide


def is_whole(sight: Sight) -> bool:
    """Whether a picture is the reference's, uncropped and unframed."""
    reference, query = picture_of(sight.nominee), sight.shot.picture
    sizes = (reference.width, reference.height), (query.width, query.height)
    return verify.is_whole(sight.agreement.map, *sizes)


def is_bare(sight: Sight) -> bool:
    """Whether a whole picture has little over it."""
    reference, query = picture_of(sight.nominee), sight.shot.picture
    return is_whole(sight) and verify.covered(sight.agreement, reference, query) >= BARE


def _told(sight: Sight, most: float, found: Found, *, alone: bool) -> float:
    """`most`: a larger share than this is chance, for an edit leaves about the same everywhere.
    `alone`: of an image, whose one picture must show the reference's in most of its cells."""
    seen = sight.agreement
    if found.all_over:
        return ALL_OVER * FULL
    told = telling_inliers(
        seen.inliers,
        min(seen.share, most),
        seen.spread,
        stands=found.stands or found.own_maps,
        told=found.told,
        timed=found.timed,
    )
    if alone:
        told *= verify.covered(seen, picture_of(sight.nominee), sight.shot.picture)
    return told


def steady(found: Found) -> float:
    """0 to 1: how many of the pictures that should show the reference do, and how few of them show
    another moment of it."""
    odd = not (usual(found.speed) or found.told)
    least, full, weight = STEADY_ODD if odd else STEADY
    led = max(1.0, found.led - BLANK * found.blank * odd)
    seen, against = len(found.sights) / led, found.elsewhere / led
    return min(1.0, max(0.0, (seen - least) / (full - least))) * max(0.0, 1 - weight * against)


def alignment(
    found: Found,
    reference_id: str,
    *,
    track: int,
    samples: Floats,
    total_s: float,
    alike: Mapping[float, Codes],
) -> Alignment | None:
    """The sights of one line as an alignment.

    `samples`: when the query was looked at, rising; `alike`: PDQ codes of the query's pictures by
    their offset, by which pictures that look alike are counted once.
    """
    before, after = _reaching(found, samples, total_s)
    alone = total_s <= 0
    shares = not alone and in_places(found)
    one = alone or shares
    groups = [0] * len(found.sights) if one else _groups(found, alike)
    sure = 1.0 if found.all_over else steady(found)
    most = 2.0 * float(np.median([s.agreement.share for s in found.sights]))
    nearest = 0 if alone else MAY_SHARE if shares else ONE_OF_MANY
    frames = [
        FrameMatch(
            offset=sight.shot.offset,
            reference_offset=max(0.0, found.speed * sight.shot.offset + found.offset),
            distance=max(distance_of(sure * _told(sight, most, found, alone=alone)), nearest),
            group=groups[i],
            track=track,
            view=View.FULL,
            line=0,
            before=float(before[i]),
            after=float(after[i]),
            cells=cells_of(sight),
        )
        for i, sight in enumerate(found.sights)
    ]
    mirrored = found.rendering.mirrored
    placed = Orientation.FLIP_HORIZONTAL if mirrored else Orientation.ORIGINAL
    empty = Alignment(reference_id, "local", placed, (), (), 0.0, speed=found.speed)
    return rescore(empty, frames, video=total_s > 0)


def _reaching(found: Found, samples: Floats, total_s: float) -> tuple[Floats, Floats]:
    """How far before and after it each sight counts: over the samples next to it, too, at which
    what moves goes on, though next to nothing is seen. That says when, and no more."""
    before, after = reach(found.shown_at, samples, total_s)
    far_before, far_after = reach(samples, samples, total_s)
    goes_on = np.isin(samples, found.followed)
    for i, row in enumerate(np.searchsorted(samples, found.shown_at).tolist()):
        first = last = row
        while first > 0 and goes_on[first - 1]:
            first -= 1
        while last + 1 < len(samples) and goes_on[last + 1]:
            last += 1
        if first < row:
            before[i] = samples[row] - samples[first] + far_before[first]
        if last > row:
            after[i] = samples[last] - samples[row] + far_after[last]
    return before, after


def in_places(found: Found, least: float = IN_PLACES) -> bool:
    """Whether what is found lies in some places of the reference's pictures only, over all sights,
    while next to nothing of the rest is: captions, say, which another video bears as well. `least`:
    the part of what should be seen that must lie elsewhere too."""
    if sum(s.agreement.inliers for s in found.sights) < IN_PLACES_INLIERS:
        return False
    each = [
        verify.by_cell(s.agreement, picture_of(s.nominee), s.shot.picture, IN_CELLS)
        for s in found.sights
    ]
    hoped, seen = np.sum(each, axis=0)
    part = seen.sum() / max(1, hoped.sum())
    fair = seen >= np.maximum(1, FAIR * part * hoped)
    return bool(hoped[fair].sum() < least * hoped.sum())


def _groups(found: Found, alike: Mapping[float, Codes]) -> list[int]:
    """Numbers of the pictures: those in which nothing moves share one, and of the others those
    with PDQ codes that look alike. Where all look alike, what moves makes them different; where
    all that moves tells their moments, each is one."""
    sights = found.sights
    if found.told:
        return list(range(len(sights)))
    if found.speed == 0.0 or (found.stands and not usual(found.speed)):
        return [STILL] * len(sights)
    moved = [True] * len(sights)
    if found.stands and found.moved:
        moved = [
            m >= max(MOVED, MOVED_PART * s.agreement.inliers)
            for m, s in zip(found.moved, sights, strict=True)
        ]
    codes = [alike.get(s.shot.offset) for s in sights]
    known = [i for i, code in enumerate(codes) if code is not None]
    numbers: Ints = np.arange(len(sights)) + 1000
    if known:
        stacked = np.stack([codes[i] for i in known])  # type: ignore[misc]
        numbers[known] = group_alike(stacked, "pdq")
    distinct = len(set(numbers.tolist()))
    few = len(sights) < SIGHTS_UNUSUAL or len(sights) < 0.9 * found.led
    if not usual(found.speed) and (
        len(sights) < LEAST_UNUSUAL or (distinct < DISTINCT_UNUSUAL and few)
    ):
        return [STILL] * len(sights)
    if distinct < DISTINCT:
        numbers = _apart([s.shot.offset for s in sights])
    return [int(n) if m else STILL for n, m in zip(numbers, moved, strict=True)]


def _apart(offsets: Sequence[float]) -> Ints:
    """A number for each moment (seconds, rising), those of less than `APART_S` sharing one."""
    numbers: list[int] = []
    number, last = -1, float("-inf")
    for offset in offsets:
        if offset - last >= APART_S:
            number, last = number + 1, offset
        numbers.append(number)
    return np.array(numbers, dtype=np.int64)
