"""Allow-lists: which evidence they explain, before the rules see it. Pure.

What is explained is one moment of an upload at one place of its picture. Who lays a film that is
allowed over banned footage, or banned footage over such a film, explains nothing beside the film:
docs/decisions/0037-places.md.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import groupby
from operator import or_

import numpy as np

from hashdb.model import Alignment, FrameMatch
from hashdb.signals import CARD, SIGNAL_TYPES
from matcher.cells import IN_PANE, IN_PLACE, in_place, nearly_all
from matcher.findings import Ruled

NEAR_S = {"local": 0.3, "sound": 0.6, "neural": 0.6}
"""How far off an allow-list's moment may lie that explains one of this signal type, seconds: local
features are taken of fewer frames than hashes, and not always of the same, so that theirs explain
others so far off as well; seconds of sound begin where each reference's begin. Other signals'
moments are frames, and those are equal or not."""

NOTHING_OVER_IT, AROUND_S = 14, 0.5
"""Bits within which whole frames' PDQ codes are those of allowed frames with nothing laid over
them: a picture over 0.3 of its width changes more in 99 of 100 cases. It is the median of the
frames up to so many seconds away, for what lies over a picture does not come and go."""

PICTURE = ""
"""What a frame's evidence is about, if it is about neither sound nor a whole video."""


@dataclass(frozen=True, slots=True)
class Spot:
    """What one frame of an alignment is about. `about`: `PICTURE`, or a signal type that speaks of
    something else; `pane`: the view of it, if it is a picture in the picture; `cells`: where in the
    picture it is seen, 0 where nothing tells; `bare`: nothing is laid over the picture; `near`: as
    of `NEAR_S`."""

    about: str
    track: int
    offset: float
    pane: str
    cells: int
    bare: bool
    near: float


def spot(alignment: Alignment, frame: FrameMatch, *, bare: bool = False) -> Spot:
    """A hash of a whole video is about the video, a second of sound about the sound and a title
    card about itself, so that only their own types speak of the same thing."""
    kind = SIGNAL_TYPES.get(alignment.signal_type)
    return Spot(
        PICTURE if kind is None or (kind.per_frame and kind.name != CARD) else kind.name,
        frame.track,
        round(frame.offset, 6),
        frame.view.pane,
        frame.cells,
        bare,
        NEAR_S.get(alignment.signal_type, 0.0),
    )


_Spots = dict[tuple[str, int], list[Spot]]
_WIDEST = max(NEAR_S.values())


class Explained:
    """What allow-lists explain: what the frames that a reference's possible alignments hold are
    about, where one of its alignments is confident (not by likeness alone), and no more; a title
    card, which never is, explains itself."""

    def __init__(self, allowed: Iterable[Ruled]) -> None:
        self._spots = _by_moment(
            spot(alignment, frame, bare=frame in bare)
            for ruled in allowed
            for alignment in ruled.match.alignments
            if alignment.score >= ruled.limits.possible
            if ruled.score >= ruled.limits.confident or alignment.signal_type == CARD
            for bare in [_bare(alignment)]
            for frame in alignment.frames
        )

    def left(self, alignments: Sequence[Alignment]) -> Iterator[tuple[Alignment, list[FrameMatch]]]:
        """Of each alignment of one reference the frames that nothing explains. Where one of them is
        seen by local features, its frames by other signals are at that place too."""
        placed = _by_moment(
            s for a in alignments for f in a.frames if (s := spot(a, f)).cells and not s.pane
        )
        for alignment in alignments:
            frames = [f for f in alignment.frames if not self._has(spot(alignment, f), placed)]
            yield alignment, frames

    def _has(self, banned: Spot, placed: _Spots) -> bool:
        known = banned.cells
        if not known and not banned.pane and banned.about == PICTURE:
            for other in _at(placed, banned):
                known |= other.cells
        return _explains(list(_at(self._spots, banned)), banned, known)


def _bare(alignment: Alignment) -> set[FrameMatch]:
    """The frames over which nothing is laid."""
    some = alignment.frames if alignment.signal_type == "pdq" else ()
    whole = sorted((f for f in some if not f.view.in_part), key=lambda f: (f.track, f.offset))
    found = set()
    for _, each in groupby(whole, key=lambda f: f.track):
        frames = list(each)
        offsets, distances = np.array([(f.offset, f.distance) for f in frames]).T
        first = np.searchsorted(offsets, offsets - AROUND_S)
        last = np.searchsorted(offsets, offsets + AROUND_S, side="right")
        for frame, begin, end in zip(frames, first, last, strict=True):
            if np.median(distances[begin:end]) <= NOTHING_OVER_IT:
                found.add(frame)
    return found


def _by_moment(spots: Iterable[Spot]) -> _Spots:
    """By what they are about and their track, in the order of time."""
    found: _Spots = {}
    for one in sorted(set(spots), key=lambda s: s.offset):
        found.setdefault((one.about, one.track), []).append(one)
    return found


def _at(spots: _Spots, moment: Spot) -> Iterator[Spot]:
    some = spots.get((moment.about, moment.track), [])
    first = bisect_left(some, moment.offset - _WIDEST, key=lambda s: s.offset)
    last = bisect_right(some, moment.offset + _WIDEST, key=lambda s: s.offset)
    for one in some[first:last]:
        near = max(moment.near, one.near if one.cells else 0.0)
        if abs(one.offset - moment.offset) <= near:
            yield one


def _explains(allowed: Sequence[Spot], banned: Spot, cells: int) -> bool:
    """Whether what is allowed at a moment is what is seen there. `cells`: where the banned footage
    is seen, 0 where nothing tells."""
    if not allowed:
        return False
    if banned.about != PICTURE or any(one.bare for one in allowed):
        return True
    if banned.pane and any(one.pane == banned.pane for one in allowed):
        return True
    seen = reduce(or_, (one.cells for one in allowed))
    if cells:
        return in_place(cells, seen, IN_PANE if banned.pane else IN_PLACE)
    whole = any(not one.cells and not one.pane for one in allowed)
    return not banned.pane and (whole or nearly_all(seen))
