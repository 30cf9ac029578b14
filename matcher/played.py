"""How an upload may play what is seen in it: backwards, or cut up into pieces. Pure.

Whatever tells of a line of time (which speeds are usual, what moves, what lies on other lines) is
the same for footage that is played backwards, if it is looked at from its end.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from hashdb.model import (
    Alignment,
    Codes,
    Fingerprint,
    Grey,
    Motion,
    Orientation,
    Segment,
    View,
)
from matcher.beside import Beside
from matcher.laying import NOMINATING, Found, steadiness
from matcher.pieces import EXPLAINED, joined
from matcher.sighting import Shot, Sight


@dataclass(frozen=True, slots=True, eq=False)
class Watched:
    """What a look at every picture saw: what moves in them, and some of them in grey."""

    motion: Sequence[Motion] = ()
    greys: Sequence[Grey] = ()

    def of(self, track: int) -> list[Grey]:
        """The pictures of a track."""
        return [g for g in self.greys if g.track == track]


NOT_WATCHED = Watched()


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """One track's pictures, and what of enforced references was seen in them, in an upload of
    `total_s` seconds (0: an image); `still`: the ordinals of those that are images; `banned`: of
    those that no allow-list holds; `motion`: what moves, by one or more looks; `every`: what
    a look at every picture saw; `alike`: PDQ codes of the pictures, by their offset; `image`: an
    image itself, where it is there; `greys`: of a video some pictures, by their offsets."""

    track: int
    total_s: float
    shots: Sequence[Shot]
    sights: Sequence[Sight]
    still: Sequence[int]
    banned: Sequence[int]
    motion: Sequence[Motion]
    every: Watched
    alike: Mapping[float, Codes]
    image: Grey | None = None
    greys: Mapping[float, Grey] = field(default_factory=dict)

    @property
    def clear(self) -> list[Sight]:
        """Sights by which a picture starts a line."""
        return [s for s in self.sights if s.agreement.inliers >= NOMINATING]

    @property
    def references(self) -> set[int]:
        """The ordinals of videos that are seen."""
        return {s.nominee.reference for s in self.sights}.difference(self.still)


SURE = 0.9
"""A closer look is not needed at an alignment with this score."""

NEARLY = 0.25
"""Octaves around the normal speed of what is played backwards, or in pieces, as it is measured:
those of two seconds tell it no better. (Another pass over a lot has 0.8.)"""

AWAY_S, ELSEWHERE = 4.0, 0.25
"""The part of what shots show of a reference on a line that they may show so many seconds off it,
whichever map lays it. (Another pass over a lot shows 0.31 to 0.52 of it, copies mostly nothing.)"""


STEADY, VERY_STEADY, MANY = 0.4, 0.8, 10
"""The part of the features of all shots that one map lays, at least: where a camera passes a place
again, its shots drift. (Of another pass over a lot 0.17 to 0.48, copies mostly 0.5 and more.) Of so
many shots that hardly drift other moments say nothing: scenes come back, in films and in games."""


def is_another_pass(found: Found, *, any_pace: bool = False) -> bool:
    """Whether a camera that moves may pass a place again, as one does that is led to and fro: at
    its own pace, unless that may be `any_pace`, or so that the same shots show other moments as
    well, or drift."""
    if found.speed <= 0 or (abs(math.log2(found.speed)) > NEARLY and not any_pace):
        return True
    on = sum(s.agreement.inliers for s in found.sights)
    steady = steadiness(found.sights)
    if found.own_maps or steady < STEADY:
        return True
    if len(found.sights) >= MANY and steady >= VERY_STEADY:
        return False
    most = {s.shot.row: 0 for s in found.sights}
    for sight in found.seen:
        row, inliers = sight.shot.row, sight.agreement.inliers
        off = abs(sight.nominee.offset - found.speed * sight.shot.offset - found.offset)
        if row in most and off > AWAY_S:
            most[row] = max(most[row], inliers)
    return sum(most.values()) > ELSEWHERE * on


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
        every=Watched(
            [_motion(one, seen.total_s) for one in seen.every.motion],
            [replace(g, offset=seen.total_s - g.offset) for g in seen.every.greys[::-1]],
        ),
        alike={seen.total_s - offset: code for offset, code in seen.alike.items()},
        greys={seen.total_s - offset: grey for offset, grey in seen.greys.items()},
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
        replace(
            pair,
            query=Segment(seen.total_s - pair.query.end, seen.total_s - pair.query.start),
            backwards=pair.reference.seconds > 0 and not pair.backwards,
        )
        for pair in found.segments
    ]
    return replace(
        found, frames=tuple(frames[::-1]), segments=tuple(segments[::-1]), speed=-found.speed
    )


def played_otherwise(
    seen: Seen, found: Beside, names: Sequence[str], find: Callable[..., Beside]
) -> Beside:
    """What was `found` on lines of time; and of what those leave open, what is on lines of an
    upload that is played backwards, and then of one that is cut up into pieces, either way."""
    clear = _clearly_shown(seen, names)
    for pieces in (False, True):
        sure = sure_of(found)
        left = {name for name in clear if sure.get(name, 0) < EXPLAINED * clear[name]}
        some = only(seen, {i for i in seen.references if names[i] in left})
        if not some.sights:
            break
        back = find(backwards(some), otherwise=True, pieces=pieces)
        other = replace(back, alignments=tuple(as_played(a, seen) for a in back.alignments))
        if pieces:
            other = other.and_also(find(some, otherwise=True, pieces=True))
            other = replace(other, alignments=tuple(joined(other.alignments, clear)))
        found = found.or_otherwise(other)
    return found


def sure_of(found: Beside) -> dict[str, int]:
    """References that something found is sure of, and how many pictures are in it."""
    sure: dict[str, int] = {}
    for one in found.alignments:
        if one.score >= SURE:
            sure[one.reference_id] = max(len(one.frames), sure.get(one.reference_id, 0))
    return sure


def _clearly_shown(seen: Seen, names: Sequence[str]) -> Counter[str]:
    """How many pictures clearly show each reference."""
    shown = {(s.nominee.reference, s.shot.row) for s in seen.clear}
    return Counter(names[reference] for reference, _ in shown)


def codes_by_offset(fingerprints: Iterable[Fingerprint], track: int) -> dict[float, Codes]:
    """The whole upright picture's PDQ code at each moment."""
    return {
        offset: code
        for f in fingerprints
        if f.signal_type == "pdq" and f.track == track and f.view is View.FULL
        if f.orientation is Orientation.ORIGINAL
        for offset, code in zip(f.offsets.tolist(), f.codes, strict=True)
    }
