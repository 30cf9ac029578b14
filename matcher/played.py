"""What is seen in one track of an upload, by its clock and by one that runs backwards. Pure.

Whatever tells of a line of time (which speeds are usual, what moves, what lies on other lines) is
the same for footage that is played backwards, if it is looked at from its end.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from hashdb.model import Alignment, Codes, Motion, Segment
from matcher.sighting import Shot, Sight


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """One track's pictures, and what of enforced references was seen in them, in an upload of
    `total_s` seconds (0: an image); `still`: the ordinals of those that are images; `banned`: of
    those that no allow-list holds; `motion`: what moves, by one or more looks, and `all_motion` in
    every picture; `alike`: PDQ codes of the pictures, by their offset."""

    track: int
    total_s: float
    shots: Sequence[Shot]
    sights: Sequence[Sight]
    still: Sequence[int]
    banned: Sequence[int]
    motion: Sequence[Motion]
    all_motion: Sequence[Motion]
    alike: Mapping[float, Codes]


def only(seen: Seen, references: Collection[int]) -> Seen:
    """Of these references (ordinals) alone."""
    return replace(seen, sights=[s for s in seen.sights if s.nominee.reference in references])


def backwards(seen: Seen) -> Seen:
    """The same from its end."""
    last = max((s.row for s in seen.shots), default=0)
    even = last + last % 2  # so that mirrors and negatives of the same rows are asked about

    def turned(shot: Shot) -> Shot:
        return replace(shot, row=even - shot.row, offset=seen.total_s - shot.offset)

    return replace(
        seen,
        shots=[turned(shot) for shot in seen.shots[::-1]],
        sights=[replace(sight, shot=turned(sight.shot)) for sight in seen.sights],
        motion=[_motion(one, seen.total_s) for one in seen.motion],
        all_motion=[_motion(one, seen.total_s) for one in seen.all_motion],
        alike={seen.total_s - offset: code for offset, code in seen.alike.items()},
    )


def _motion(one: Motion, total_s: float) -> Motion:
    return replace(one, offsets=total_s - one.offsets[::-1], grids=one.grids[::-1])


def as_played(found: Alignment, seen: Seen) -> Alignment:
    """What was found backwards, by the clock of the upload that was `seen`."""
    offsets = {seen.total_s - shot.offset: shot.offset for shot in seen.shots}
    frames = [
        replace(f, offset=offsets[f.offset], before=f.after, after=f.before) for f in found.frames
    ]
    segments = [
        replace(pair, query=Segment(seen.total_s - pair.query.end, seen.total_s - pair.query.start))
        for pair in found.segments
    ]
    return replace(
        found, frames=tuple(frames[::-1]), segments=tuple(segments[::-1]), speed=-found.speed
    )
