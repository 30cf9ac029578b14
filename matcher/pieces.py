"""Footage that is cut up: looped, shuffled, or with much left out between its pieces. Pure.

No line of time leads through more than one piece, or one of a chance speed does. So runs of
pictures are looked for that follow each other in the reference as they do in the upload.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from hashdb.model import Alignment, FrameMatch, Ints, Orientation, Rendering
from hashdb.ports import LocalBackend, Nominee
from matcher.laying import NOMINATING, TOLD, Found, alike_beside, on_line, together
from matcher.localize import outshone
from matcher.score import STILL, rescore
from matcher.sighting import Shot, Sight
from matcher.verify import Candidates

NEAR_S = 0.3
"""How far the pictures of a reference, which are `STEP` apart, may lie off the line of a run."""

PASSED, FEWEST = 2, 3
"""Pictures of a run that follow each other may pass over one; so many of them are a run."""

AS_CLEAR = 0.5
"""The part of a shot's clearest sight that another has which may be the one on a run."""

MOST = 12
"""Runs of one reference in one rendering."""

SAME_S = 0.25
"""Pictures of several pieces that show moments of a reference so close together count as one."""

LIKELY, EXPLAINED = 0.5, 0.45
"""The score from which on what one piece shows counts beside others; and the part of the pictures
which clearly show a reference that its pieces must be."""


def pieces(some: Sequence[Shot], sights: Sequence[Sight], index: LocalBackend) -> list[Found]:
    """Of videos that are seen, each run that their pictures follow at the normal speed."""
    groups: dict[tuple[int, int, Rendering], list[Sight]] = {}
    for sight in sights:
        shown = (sight.nominee.reference, sight.nominee.track, sight.shot.rendering)
        groups.setdefault(shown, []).append(sight)
    found = []
    for (reference, track, rendering), seen in groups.items():
        if max(s.agreement.inliers for s in seen) < NOMINATING:
            continue
        mine = [s for s in some if s.rendering is rendering]
        pictures = index.pictures(reference, track)
        nothing = Found(reference, rendering, 1.0, 0.0, (), 0, seen=tuple(seen), track=track)
        same = [s for s in sights if (s.nominee.reference, s.nominee.track) == (reference, track)]
        found += [f for f in _runs(nothing, mine, pictures) if not outshone(f, same)]
    return found


def _runs(nothing: Found, mine: Sequence[Shot], pictures: Sequence[Nominee]) -> list[Found]:
    """The strongest run, the strongest of what that leaves, and so on."""
    known: dict[tuple[int, float], Candidates] = {
        (s.shot.row, s.nominee.offset): s.pairs for s in nothing.seen
    }
    found = []
    rest = list(nothing.seen)
    for _ in range(MOST):
        run = _strongest(rest)
        if len(run) < FEWEST:
            break
        during = shots_during(run, mine)
        offset = float(np.median([s.nominee.offset - s.shot.offset for s in run]))
        led, seen = together(1.0, offset, run, during, pictures, known, still=False)
        if len(seen) >= FEWEST:
            one = on_line(nothing, 1.0, offset, led, seen)
            stands = not one.own_maps and alike_beside(one, during, pictures, known)
            found.append(replace(one, stands=stands))
        # what no map lays with the others may be on a run of its own
        taken = {s.shot.row for s in (seen if len(seen) >= FEWEST else run)}
        rest = [s for s in rest if s.shot.row not in taken]
    return found


def shots_during(sights: Sequence[Sight], mine: Sequence[Shot]) -> list[Shot]:
    """The shots from the first of the sights to the last."""
    first, last = (pick(s.shot.row for s in sights) for pick in (min, max))
    return [shot for shot in mine if first <= shot.row <= last]


def _strongest(sights: Sequence[Sight]) -> list[Sight]:
    """Those that follow each other, with the most inliers; of each shot one, that is about as
    clear as any of it."""
    clearest: dict[int, int] = {}
    for s in sights:
        clearest[s.shot.row] = max(clearest.get(s.shot.row, 0), s.agreement.inliers)
    sights = [s for s in sights if s.agreement.inliers >= AS_CLEAR * clearest[s.shot.row]]
    if not sights:
        return []
    rows = np.array([s.shot.row for s in sights])
    inliers = np.array([min(s.agreement.inliers, TOLD) for s in sights])
    off = np.array([s.nominee.offset - s.shot.offset for s in sights])
    best: Ints = np.empty(0, dtype=np.int64)
    most = 0
    for line in np.unique(off.round(1)).tolist():
        near = np.flatnonzero(np.abs(off - line) <= NEAR_S)
        near = near[np.lexsort((-inliers[near], rows[near]))]
        near = near[np.concatenate([[True], np.diff(rows[near]) > 0])] if len(near) else near
        for run in np.split(near, np.flatnonzero(np.diff(rows[near]) > PASSED) + 1):
            if inliers[run].sum() > most:
                best, most = run, int(inliers[run].sum())
    return [sights[i] for i in best.tolist()]


def joined(pieces: Iterable[Alignment], clear: Mapping[str, int]) -> list[Alignment]:
    """Of each reference its likely pieces as one alignment, in one placing of the picture, each a
    line of its own; a moment that is shown again counts once. Its speed is the surest piece's.
    `clear`: how many pictures clearly show each reference; nothing where its pieces are too few of
    them."""
    each: dict[tuple[str, Orientation], list[Alignment]] = {}
    for piece in sorted(pieces, key=lambda a: -a.evidence):
        if piece.score >= LIKELY:
            each.setdefault((piece.reference_id, piece.orientation), []).append(piece)
    told = [rescore(some[0], _once(some), video=True) for some in each.values()]
    return [
        one
        for one in told
        if one is not None and len(one.frames) >= EXPLAINED * clear[one.reference_id]
    ]


def _once(pieces: Sequence[Alignment]) -> list[FrameMatch]:
    """The pictures of all pieces, each picture of the upload in one of them."""
    shown: dict[float, FrameMatch] = {}
    numbers: dict[tuple[int, int], int] = {}
    for line, piece in enumerate(pieces):
        for frame in piece.frames:
            if frame.offset in shown:
                continue
            at, group = frame.reference_offset, STILL
            if frame.group != STILL:
                same = (f.group for f in shown.values() if abs(f.reference_offset - at) < SAME_S)
                group = numbers.setdefault((line, frame.group), next(same, len(shown)))
            shown[frame.offset] = replace(frame, group=group, line=line)
    return list(shown.values())
