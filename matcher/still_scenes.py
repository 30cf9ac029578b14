"""The moment of what hashes take for one scene: what moves in the whole picture tells it, or in a
picture within the picture. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hashdb.model import Alignment, Fingerprint, FrameMatch, Motion, View
from matcher.correlation import Line, moves_little
from matcher.laying import usual
from matcher.moments import AGREED, AGREED_ABOVE, SAME, is_same
from matcher.motion import (
    ALIKE,
    UNLIKE,
    agreement_on,
    compare,
    laid_in,
    laid_whole,
    of_pictures,
    stands_still,
)
from matcher.score import UNSURE, rescore
from matcher.seeking import Budget

MOVED, MOSTLY = 0.03, 0.75
"""How far the edges of a picture within the picture may lie from where they mostly are, in parts of
the upload's sides, and the part of its pictures that must lie so: what moves in one that wanders is
not compared."""

SMALLEST = 0.25
"""Part of either side of the upload's picture below which too little is known of what moves there:
of panes of a fifth no moment was ever told, right or wrong."""

MOST_IN_PARTS = 6
"""Pictures within an upload's that are asked, each beside one reference, whenever an upload's
hashes are aligned. A minute of one beside five minutes of a reference takes one or two seconds, and
beside twenty and more five or six (`correlation.MOST_SEARCHED`)."""


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


def moment_of(
    alignment: Alignment,
    query: Fingerprint,
    motion: Sequence[Motion],
    reference: Motion,
    budget: Budget,
) -> Moment:
    """The moment of an alignment by hashes, of that `query`, in which all may be one scene; of
    parts of pictures as long as the budget lasts. `motion`: the upload's, by one or more looks."""
    seen = of_pictures(motion, np.array([f.offset for f in alignment.frames])).values()
    if query.view.in_part:
        each = [told_in_part(alignment, query, one, reference, budget) for one in seen]
    else:
        each = [still_told(alignment, one, reference, inverted=query.inverted) for one in seen]
    untold = Moment(None, other=any(m.other for m in each))
    return next((m for m in each if m.alignment is not None), untold)


def still_told(
    alignment: Alignment, upload: Motion, reference: Motion, *, inverted: bool = False
) -> Moment:
    """An alignment by hashes of the whole picture, or of its negative, in which all may be one
    scene, at the moment that all that moves tells."""
    frames = [f for f in alignment.frames if f.view is View.FULL and f.track == upload.track]
    close = any(f.distance <= UNSURE for f in frames)
    if not frames or not (close or stands_still(reference)):
        return UNTOLD  # a camera that passes the same place again moves much as before
    during = _during(frames, upload)
    laid = laid_whole(alignment.orientation, inverted=inverted)
    found = compare(upload.offsets[during], laid, upload, reference)
    if found is None:
        return UNTOLD
    line = found.line
    if line is None:
        if found.best >= ALIKE:
            return Moment(alignment, other=False, same=found.best >= SAME)
        still = moves_little(upload.grids[during])
        return Moment(None, other=(found.best < UNLIKE or found.another) and not still)
    on = agreement_on(line, upload.offsets[during], laid, upload, reference)
    same = on is not None and is_same(on, line.speed)
    return Moment(_on_line(alignment, frames, line), other=False, same=same)


def told_in_part(
    alignment: Alignment, query: Fingerprint, upload: Motion, reference: Motion, budget: Budget
) -> Moment:
    """An alignment by hashes of a picture within the upload's, the `query`, in which all may be one
    scene before a camera that stands still, at the moment that what moves in it tells; as long as
    the `budget` lasts, of which a comparison takes one.

    There are fewer places to compare, and no features that may miss something. So it must agree at
    about the normal speed by `AGREED`, and by `AGREED_ABOVE` more than elsewhere. (Of 80 excerpts
    of five standing cameras, each squeezed into one half of other footage, other moments agree by
    0.31 more at most where any picture is close, copies mostly by 0.41 to 0.63.)
    """
    frames = [f for f in alignment.frames if f.track == upload.track]
    if query.boxes is None or not frames or not stands_still(reference):
        return UNTOLD
    row_of = {offset: row for row, offset in enumerate(query.offsets.tolist())}
    boxes = query.boxes[[row_of[f.offset] for f in frames]] / 255.0
    mostly = np.median(boxes, axis=0)
    there = np.all(np.abs(boxes - mostly) <= MOVED, axis=1)
    left, top, right, bottom = mostly.tolist()
    if there.mean() < MOSTLY or min(right - left, bottom - top) < SMALLEST:
        return UNTOLD
    frames = [f for f, lies in zip(frames, there.tolist(), strict=True) if lies]
    if not any(f.distance <= UNSURE for f in frames):
        return UNTOLD
    if not budget.affords(1):
        return UNTOLD
    budget.spend()
    laid = laid_in(mostly.tolist(), alignment.orientation, inverted=query.inverted)
    given = upload.offsets[_during(frames, upload)], laid
    found = compare(*given, upload, reference)
    if found is None or found.line is None or not usual(found.line.speed):
        return UNTOLD
    on = agreement_on(found.line, *given, upload, reference)
    if on is None or on.on < AGREED or on.on - on.elsewhere < AGREED_ABOVE:
        return UNTOLD
    same = is_same(on, found.line.speed)
    return Moment(_on_line(alignment, frames, found.line), other=False, same=same)


def _during(frames: Sequence[FrameMatch], upload: Motion) -> NDArray[np.bool_]:
    """Which of the upload's pictures lie between the first and the last of these."""
    first, last = (pick(f.offset for f in frames) for pick in (min, max))
    return np.asarray((upload.offsets >= first) & (upload.offsets <= last))


def _on_line(alignment: Alignment, frames: Sequence[FrameMatch], line: Line) -> Alignment | None:
    """The alignment with its pictures on a line of time, each by itself."""
    told = [
        replace(f, reference_offset=max(0.0, line.speed * f.offset + line.offset), group=i, line=0)
        for i, f in enumerate(frames)
    ]
    return rescore(replace(alignment, speed=line.speed), told, video=True)
