"""The moment of what hashes take for one scene: what moves in the whole picture tells it. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

from hashdb.model import Alignment, Motion, Orientation, View
from matcher.correlation import moves_little
from matcher.moments import SAME, is_same
from matcher.motion import ALIKE, UNLIKE, agreement_on, compare, laid_whole, stands_still
from matcher.score import UNSURE, rescore


@dataclass(frozen=True, slots=True)
class Moment:
    """What motion says of a still scene: the alignment, at the moment that it tells if it tells
    one, None where it does not agree; `other`: the upload moves, but as the reference does at no
    moment; `same`: what differs from the usual agrees there so well (`is_same`) that it is no other
    that goes the same way, whatever features miss."""

    alignment: Alignment | None
    other: bool
    same: bool = False


UNTOLD = Moment(None, other=False)


def still_told(alignment: Alignment, upload: Motion, reference: Motion) -> Moment:
    """An alignment by hashes of the whole picture in which all may be one scene, at the moment that
    all that moves tells."""
    mirrored = alignment.orientation is Orientation.FLIP_HORIZONTAL
    if not mirrored and alignment.orientation is not Orientation.ORIGINAL:
        return UNTOLD
    frames = [f for f in alignment.frames if f.view is View.FULL and f.track == upload.track]
    close = any(f.distance <= UNSURE for f in frames)
    if not frames or not (close or stands_still(reference)):
        return UNTOLD  # a camera that passes the same place again moves much as before
    first, last = (pick(f.offset for f in frames) for pick in (min, max))
    during = (upload.offsets >= first) & (upload.offsets <= last)
    found = compare(upload.offsets[during], laid_whole(mirrored=mirrored), upload, reference)
    if found is None:
        return UNTOLD
    line = found.line
    if line is None:
        if found.best >= ALIKE:
            return Moment(alignment, other=False, same=found.best >= SAME)
        still = moves_little(upload.grids[during])
        return Moment(None, other=(found.best < UNLIKE or found.another) and not still)
    told = [
        replace(f, reference_offset=max(0.0, line.speed * f.offset + line.offset), group=i, line=0)
        for i, f in enumerate(frames)
    ]
    there = rescore(replace(alignment, speed=line.speed), told, video=True)
    laid = laid_whole(mirrored=mirrored)
    on = agreement_on(line, upload.offsets[during], laid, upload, reference)
    return Moment(there, other=False, same=on is not None and is_same(on, line.speed))
