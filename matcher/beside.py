"""What signals other than hashes found in one upload, beside the hashes. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from hashdb.model import Alignment, Floats, Motion, Segment, Strand
from matcher import verify
from matcher.correlation import Laid, Line
from matcher.features import REFERENCE_GRID
from matcher.motion import (
    LEAST,
    NOT_NEAR,
    UNLIKE,
    agreement_on,
    leads_to,
    of_pictures,
    stands_still,
)

SURE = 0.95
"""The score from which on an alignment in a strand is believed: each strand is one more upload in
which something may agree by chance, and its pictures lie close together."""

WANDERS = 1 / REFERENCE_GRID
"""Parts of the upload's longer side by which the pictures of a place may be shifted where what
moves is compared by one map: a cell of what is known of the reference, if all of it is shown."""


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """A reference's scene in an upload: on which video `track`, at which `offsets` in seconds, how
    it is `laid`, and how far it `wanders` (`laying.Found`)."""

    reference_id: str
    track: int
    offsets: Floats
    laid: Laid
    wanders: float = 0.0

    @property
    def is_whole(self) -> bool:
        """Whether the picture is the reference's as it is, uncropped and unframed."""
        laid = self.laid
        if laid.mirrored or laid.inverted or laid.own_maps is not None:
            return False
        return verify.is_whole(laid.map, laid.reference_size, laid.upload_size)


@dataclass(frozen=True, slots=True)
class Beside:
    """What signals other than hashes found: alignments, and references (ids) whose place is shown:
    in `other_moment` the moment is none that features tell (what moves in those that are `missing`
    is not seen), in `any_moment` nothing that moves is seen. `unsure`: moments, in seconds of the
    upload, at which a reference was seen that no alignment makes sure. `places`: of all references
    that pictures show, told or not. `whole`: references that are images and all of the upload;
    `bare`: those of them with nothing over it, of which a hash sees as much. `untimed`: when places
    are shown whose moment what moves does not tell, (n,) seconds each; `doubted`: when they are
    shown at a moment that may be another, at which somebody else does the same; `refuted`:
    references that it turned out to be of."""

    alignments: tuple[Alignment, ...] = ()
    other_moment: frozenset[str] = frozenset()
    any_moment: frozenset[str] = frozenset()
    unsure: tuple[float, ...] = ()
    places: tuple[Place, ...] = ()
    whole: frozenset[str] = frozenset()
    bare: frozenset[str] = frozenset()
    untimed: tuple[Floats, ...] = ()
    missing: frozenset[str] = frozenset()
    doubted: tuple[Floats, ...] = ()
    refuted: frozenset[str] = frozenset()

    def or_surer(self, other: Beside) -> Beside:
        """`other`, but of each reference the alignments of whichever is surer of it, unless that
        was refuted."""
        mine = [a for a in self.alignments if a.reference_id not in other.refuted]
        kept = _surer(mine, other.alignments)
        found = frozenset(a.reference_id for a in kept)
        held = frozenset(a.reference_id for a in kept if a in mine)
        return replace(
            other,
            alignments=kept,
            other_moment=other.other_moment - found,
            any_moment=other.any_moment | (self.any_moment & held),
            places=other.places or self.places,
            whole=self.whole | other.whole,
            bare=self.bare | other.bare,
            missing=other.missing - found,
        )

    def or_apart(self, apart: Beside, strands: Sequence[Strand]) -> Beside:
        """The same, but of each reference that was not refuted the alignments of whichever is surer
        of it, this or what was found in the `strands` of the upload taken apart."""
        clocks = {s.track: s for s in strands if len(s.offsets)}
        shown = [
            _as_shown(a, clocks[a.frames[0].track])
            for a in apart.alignments
            if a.frames[0].track in clocks
            and a.score >= SURE
            and a.reference_id not in self.refuted
        ]
        kept = _surer(self.alignments, shown)
        found = frozenset(a.reference_id for a in kept)
        return replace(
            self,
            alignments=kept,
            other_moment=(self.other_moment | apart.other_moment) - found,
            any_moment=self.any_moment | apart.any_moment,
            missing=(self.missing | apart.missing) - found,
        )

    def or_otherwise(self, other: Beside) -> Beside:
        """The same, but of each reference the alignments of whichever is surer of it, this or what
        was found where the upload plays it otherwise: as of strands, if that is sure."""
        kept = _surer(self.alignments, [a for a in other.alignments if a.score >= SURE])
        found = frozenset(a.reference_id for a in kept if a not in self.alignments)
        return replace(
            self,
            alignments=kept,
            other_moment=self.other_moment - found,
            any_moment=(self.any_moment - found) | (other.any_moment & found),
            missing=self.missing - found,
        )

    def and_also(self, other: Beside) -> Beside:
        return Beside(
            (*self.alignments, *other.alignments),
            self.other_moment | other.other_moment,
            self.any_moment | other.any_moment,
            (*self.unsure, *other.unsure),
            (*self.places, *other.places),
            self.whole | other.whole,
            self.bare | other.bare,
            (*self.untimed, *other.untimed),
            self.missing | other.missing,
            (*self.doubted, *other.doubted),
            self.refuted | other.refuted,
        )

    def is_of_whole_pictures(self, one: Alignment) -> bool:
        """Whether features see all of the reference's picture in the upload's, as it is."""
        tracks = {(p.reference_id, p.track) for p in self.places if p.is_whole}
        return one.signal_type == "local" and (one.reference_id, one.frames[0].track) in tracks

    def untold(self, reference_id: str) -> bool:
        """Whether a reference's place is shown at no moment that pictures tell."""
        return reference_id in self.other_moment or reference_id in self.any_moment


NOTHING_BESIDE = Beside()


def _surer(some: Sequence[Alignment], others: Sequence[Alignment]) -> tuple[Alignment, ...]:
    """Of each reference the alignments of those that are surer of it; `some` where both are."""
    sure, surer = ({a.reference_id: 0.0 for a in each} for each in (some, others))
    for each, best in ((some, sure), (others, surer)):
        for a in each:
            best[a.reference_id] = max(best[a.reference_id], a.score)
    return (
        *(a for a in some if sure[a.reference_id] >= surer.get(a.reference_id, 0.0)),
        *(a for a in others if surer[a.reference_id] > sure.get(a.reference_id, -1.0)),
    )


def _as_shown(found: Alignment, clock: Strand) -> Alignment:
    """What was found in a strand, by the clock of the upload. The evidence stays: it is of pictures
    that follow each other in the strand."""

    def shown(moment: float) -> float:
        return float(np.interp(moment, clock.moments, clock.offsets))

    frames = []
    for f in found.frames:
        at = shown(f.offset)
        before, after = at - shown(f.offset - f.before), shown(f.offset + f.after) - at
        frames.append(replace(f, offset=at, before=before, after=after, track=0))
    segments = [
        replace(pair, query=Segment(shown(pair.query.start), shown(pair.query.end)))
        for pair in found.segments
    ]
    return replace(found, frames=tuple(frames), segments=tuple(segments))


def seen_otherwise(
    heard: Alignment, places: Sequence[Place], upload: Sequence[Motion], known: Motion
) -> bool:
    """Whether an upload that shows the place of a reference whose sound is `heard` moves as it does
    at other moments than the sound's: then the sound is repeated (music, say), and tells none. Of a
    place that wanders nothing is known: it is not compared where it is. Where the camera moves, all
    of the picture does, and agrees a little with many moments: only a clear one says so."""
    moments = [f.reference_offset - heard.speed * f.offset for f in heard.frames]
    line = Line(heard.speed, float(np.median(moments)))
    seen = [
        (place.offsets, place.laid, of_pictures(upload, place.offsets).get(place.track))
        for place in places
        if place.reference_id == heard.reference_id and place.wanders <= WANDERS
    ]
    mine = [(offsets, laid, motion) for offsets, laid, motion in seen if motion is not None]
    told = [agreement_on(line, *one, known) for one in mine]
    agreements = [a for a in told if a is not None]
    # Where it moves as nothing in the reference does, the picture itself may be moved.
    on = max((a.on for a in agreements), default=UNLIKE)
    elsewhere = max((a.elsewhere for a in agreements), default=0.0)
    if on >= UNLIKE or elsewhere < LEAST:
        return False
    if not stands_still(known) and elsewhere < max(UNLIKE, on + NOT_NEAR):
        return False
    return not any(leads_to(line, *one, known) for one in mine)
