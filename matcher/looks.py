"""Looks at one upload: as the caller made one, where to look again, and two looks as one. Pure.

docs/decisions/0008-two-looks.md says why there are two.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from hashdb.model import (
    Action,
    Alignment,
    Coverage,
    Fingerprint,
    Floats,
    LocalFeatures,
    Match,
    MediaFingerprints,
    MediaKind,
    SegmentPair,
)
from hashdb.signals import SIGNAL_TYPES
from matcher.align import is_still
from matcher.coverage import judged_seconds
from matcher.ports import Window
from matcher.score import UNSURE

MARGIN = 3.0
"""Seconds around the ends of a segment that a second, dense look goes over."""

SURE, LONG_S, SURE_MARGIN = 0.95, 10.0, 1.5
"""A match with this score, of so many seconds, needs no second look but around those ends that are
not the upload's own, and so many seconds around them are enough."""

WHOLE_S, END_S, SAME_LENGTH_S = 8.0, 0.1, 0.1
"""Nor does a match with that score that goes from end to end of an upload of so many seconds, give
or take the others, at the normal speed, so that both show as many seconds: there is nowhere else to
look. Of shorter uploads and at other speeds a second look tells the reference's seconds better."""

DENSE_SECONDS = 60.0
"""Most seconds of one upload that the second look goes over."""

BRIEF, CLOSER_MARGIN, CLOSER_SECONDS = 2.0, 1.0, 20.0
"""Seconds that something may be seen by local features to be looked at closer; around it; and most
of them in all."""

SPARSE_S = 1.5
"""Nor can they be sure of what was seen for longer in pictures so far apart, of keyframes alone, in
which nothing tells how anything moves."""

FILL_MARGIN, FILL_SECONDS = 2.0, 30.0
"""Seconds around what shows the place of a camera that stands still, in pictures so far apart, in
which the gaps are filled; and most of them in all."""

TIMED_SECONDS = 30.0
"""Most seconds in which every picture is looked at for what moves."""

CHECKED_PLACES, CHECKED, CHECKED_S = 2, 10, 0.3
"""Places at a doubtful moment that are looked at once more, those that are shown most often;
pictures of each, and seconds around each: the reference's pictures are half a second apart."""

AROUND_S, LEAST_S, FOLLOW_S = 0.5, 3.0, 6.0
"""Seconds before the first and after the last of them that count too; the fewest in all; and how
far around them it is followed what they show."""

FEWEST_WOVEN = 2
"""Moments at which something was seen, from which on it is asked whether more is woven in between.
"""

SAME_S = 0.1
"""Seconds within which a frame of the dense look stands for one of the sparse look."""


def as_look(
    fingerprints: Sequence[Fingerprint],
    counted: Sequence[Fingerprint],
    *,
    kind: MediaKind | None = None,
    duration_s: float | None = None,
) -> MediaFingerprints:
    """Codes that the caller made, as if our own child had: what they are of, how much they cover.

    `counted`: what of them can be searched; a frame of which nothing can is flat. The duration is
    what the caller says or, where it says nothing, the last code's end.
    """
    last = max((float((f.offsets + f.spans).max()) for f in fingerprints if len(f)), default=0.0)
    total = max(last, duration_s or 0.0)
    if kind is None:
        kind = MediaKind.VIDEO if total > 0 else MediaKind.IMAGE
    per_frame = [f for f in fingerprints if SIGNAL_TYPES[f.signal_type].per_frame]
    sent = {t for f in per_frame for t in f.offsets.tolist()}
    meaningful = {
        t for f in counted if SIGNAL_TYPES[f.signal_type].per_frame for t in f.offsets.tolist()
    }
    whole = any(not SIGNAL_TYPES[f.signal_type].per_frame and len(f) for f in counted)
    judged = total if whole else judged_seconds(sorted(sent), total)
    frames = len(sent) or int(whole)
    coverage = Coverage(judged, total, frames, len(sent - meaningful) if not whole else 0)
    return MediaFingerprints(kind, tuple(fingerprints), coverage)


def dense_windows(matches: Sequence[Match], look: MediaFingerprints) -> tuple[Window, ...]:
    """Where a second, dense look would tell more: around both ends of every segment, and so all
    of a short one; around ends that might lie elsewhere only, where a match is long and sure, and
    nowhere, where one is sure of all the upload. None for images, and where the first look was
    dense already."""
    total = look.coverage.total_s
    if look.kind is MediaKind.IMAGE or total <= 0:
        return ()
    wanted: list[Window] = []
    for match in sorted(matches, key=lambda m: -m.score):
        if match.score >= SURE and is_as_long(match, total):
            continue
        for pair in match.segments:
            known = match.score >= SURE and pair.query.seconds >= LONG_S
            margin = SURE_MARGIN if known else MARGIN
            for end in (pair.query.start, pair.query.end):
                if not known or END_S < end < total - END_S:
                    wanted.append(Window(max(0.0, end - margin), min(total, end + margin)))
    merged: list[Window] = []
    for window in wanted:
        tried = _merged([*merged, window])
        if sum(w.end - w.start for w in tried) <= DENSE_SECONDS:
            merged = tried
    return tuple(merged)


def sure_of_all(match: Match, total: float) -> list[Alignment]:
    """By which of its alignments hashes alone are sure of all of an upload: distinct pictures, of
    which some are close."""
    return [
        a
        for a in match.alignments
        if a.score >= SURE
        and not is_still(a)
        and is_close(a)
        and any(_is_whole(pair, total) for pair in a.segments)
    ]


def is_as_long(one: Match | Alignment, total: float) -> bool:
    """Whether it shows all of an upload, and as many seconds of the reference."""
    same = (p for p in one.segments if abs(p.reference.seconds - p.query.seconds) <= SAME_LENGTH_S)
    return any(_is_whole(pair, total) for pair in same)


def _is_whole(pair: SegmentPair, total: float) -> bool:
    """Whether the segment is all of an upload, and that no mere moment."""
    whole = pair.query.start <= END_S and pair.query.end >= total - END_S
    return whole and total >= WHOLE_S


def described_at(look: MediaFingerprints) -> Floats:
    """(n,) seconds, rising, of the pictures whose local features were taken."""
    return np.unique(np.concatenate([np.empty(0), *(one.offsets for one in look.local)]))


def is_sparse(looked: Floats) -> bool:
    """Whether pictures at those seconds, (n,) rising, lie too far apart to be sure by them."""
    return len(looked) > 1 and float(looked[-1] - looked[0]) > SPARSE_S * (len(looked) - 1)


def near(looked: Floats, window: Window) -> Floats:
    """The pictures that were `looked` at that lie in the window or, as keyframes do, beside
    it."""
    first, last = window.start - FILL_MARGIN, window.end + FILL_MARGIN
    return looked[(looked >= first) & (looked <= last)]


def filling_windows(moments: Sequence[float], looked: Floats, total: float) -> tuple[Window, ...]:
    """Where gaps are to be filled: around these moments, in seconds, where the pictures that were
    `looked` at, (n,) rising seconds, lie far apart. Where that is more than may be filled, each
    stretch has an equal share: what is shorter all of it, what is longer its first part."""
    windows: list[Window] = []
    for run in _runs(sorted(moments)):
        pictures = near(looked, Window(run[0], run[-1]))
        if len(pictures) < 2 or is_sparse(pictures):
            wide = Window(max(0.0, run[0] - FILL_MARGIN), min(total, run[-1] + FILL_MARGIN))
            windows = _merged([*windows, wide])
    left, filled = FILL_SECONDS, []
    windows.sort(key=lambda w: w.end - w.start)
    for rest, window in zip(range(len(windows), 0, -1), windows, strict=True):
        end = min(window.end, window.start + left / rest)
        filled.append(Window(window.start, end))
        left -= end - window.start
    return tuple(_merged(filled))


def closer_windows(moments: Sequence[float], looked: Floats, total: float) -> tuple[Window, ...]:
    """Where local features saw something so briefly, or so seldom, that they cannot be sure: around
    these moments, in seconds. What they saw for longer they have looked at well enough, where the
    pictures that were `looked` at, (n,) rising seconds, lie close."""
    windows: list[Window] = []
    for run in _runs(sorted(moments)):
        first, last = np.searchsorted(looked, [run[0], run[-1]])
        if run[-1] - run[0] > BRIEF and not is_sparse(looked[first : last + 1]):
            continue
        near = Window(max(0.0, run[0] - CLOSER_MARGIN), min(total, run[-1] + CLOSER_MARGIN))
        tried = _merged([*windows, near])
        if sum(w.end - w.start for w in tried) <= CLOSER_SECONDS:
            windows = tried
    return tuple(windows)


def timing_windows(shown: Sequence[Floats], total: float) -> tuple[Window, ...]:
    """Where to look how every picture changes: around the pictures at which places are `shown`,
    each (n,) seconds, whose moment nothing tells, those first that are shown most often."""
    windows: list[Window] = []
    for pictures in sorted(shown, key=len, reverse=True):
        first, last = (float(pick(pictures)) for pick in (np.min, np.max))
        first = max(0.0, first - FOLLOW_S)
        near = Window(first, min(total, last + FOLLOW_S, first + TIMED_SECONDS))
        tried = _merged([*windows, near])
        if sum(w.end - w.start for w in tried) <= TIMED_SECONDS:
            windows = tried
    return tuple(windows)


def checking_windows(shown: Sequence[Floats], total: float) -> tuple[Window, ...]:
    """Where to look whether what is there for an instant only is that of the reference: around some
    of the pictures at which each of a few places is `shown`, (n,) seconds each."""
    windows = []
    for pictures in sorted(shown, key=len, reverse=True)[:CHECKED_PLACES]:
        for at in checked_at(pictures).tolist():
            windows.append(Window(max(0.0, at - CHECKED_S), min(total, at + CHECKED_S)))
    return tuple(_merged(windows))


def checked_at(shown: Floats) -> Floats:
    """The pictures, (n,) seconds, rising, around which instants are looked for where a place is
    `shown` at a doubtful moment."""
    some = np.linspace(0, len(shown) - 1, min(CHECKED, len(shown))).round().astype(int)
    return np.asarray(np.sort(shown)[some])


def around(shown: Floats) -> tuple[float, float]:
    """Between which seconds of the upload every picture counts where those at `shown` (n,) show a
    place; they may lie outside of it."""
    first, last = float(shown.min()) - AROUND_S, float(shown.max()) + AROUND_S
    wider = max(0.0, LEAST_S - (last - first)) / 2
    return first - wider, last + wider


def woven_windows(moments: Sequence[float], total: float) -> tuple[Window, ...]:
    """Where to look whether something is woven into the upload (`matcher.strands`): from before the
    first of the moments at which local features saw something that they cannot be sure of. One such
    moment would not be enough, however much lay around it."""
    if len(moments) < FEWEST_WOVEN:
        return ()
    start = max(0.0, min(moments) - CLOSER_MARGIN)
    return (Window(start, min(total, start + DENSE_SECONDS)),)


def _runs(moments: Sequence[float]) -> list[list[float]]:
    """Moments that follow each other within twice the margin."""
    runs: list[list[float]] = []
    for at in moments:
        if runs and at - runs[-1][-1] <= 2 * CLOSER_MARGIN + SAME_S:
            runs[-1].append(at)
        else:
            runs.append([at])
    return runs


def all_windows(*some: Sequence[Window]) -> tuple[Window, ...]:
    """Those of all, joined where they meet."""
    return tuple(_merged([w for windows in some for w in windows]))


def unsure(
    action: Action, matches: Sequence[Match], coverage: Coverage, *, allowed: bool = False
) -> bool:
    """Whether local features could still change what the first pass concluded.

    `action`: what the policy asks for by the first pass. A block needs no more evidence, unless
    something `allowed` was hit too, for then it matters where in the picture each is. Short of it,
    anything that was hit at all is a lead, however weak, and so is a look of which hashes saw less
    than half: frames too flat for them may have features.
    """
    if action is Action.BLOCK and not allowed:
        return False
    return bool(matches) or 2 * coverage.flat_frames > coverage.frames


def _merged(windows: Sequence[Window]) -> list[Window]:
    out: list[Window] = []
    for window in sorted(windows, key=lambda w: w.start):
        if out and window.start <= out[-1].end:
            out[-1] = Window(out[-1].start, max(out[-1].end, window.end))
        else:
            out.append(window)
    return out


def surer(first: Sequence[Match], second: Sequence[Match]) -> tuple[Match, ...]:
    """Of each reference the surer match, where the second look is not to be trusted alone."""
    best = {m.reference.id: m for m in first}
    for match in second:
        before = best.get(match.reference.id)
        if before is None or match.score >= before.score:
            best[match.reference.id] = match
    return tuple(best.values())


def joined_codes(
    sparse: Sequence[Fingerprint], dense: Sequence[Fingerprint]
) -> tuple[Fingerprint, ...]:
    """The dense look's codes, and of the sparse look's those that no dense one stands beside."""

    def place(f: Fingerprint) -> tuple[object, ...]:
        return (f.signal_type, f.pipeline, f.track, f.view, f.orientation)

    dense_by_place = {place(f): f for f in dense if len(f)}
    out = []
    for one in sparse:
        other = dense_by_place.pop(place(one), None)
        if other is None:
            out.append(one)
            continue
        at = np.searchsorted(other.offsets, one.offsets)
        before = np.abs(one.offsets - other.offsets[np.maximum(at - 1, 0)])
        after = np.abs(one.offsets - other.offsets[np.minimum(at, len(other) - 1)])
        out.append(_concatenated(one.take(np.minimum(before, after) > SAME_S), other))
    return (*out, *dense_by_place.values())


def _concatenated(one: Fingerprint, other: Fingerprint) -> Fingerprint:
    boxes = None
    if one.boxes is not None and other.boxes is not None:
        boxes = np.concatenate([one.boxes, other.boxes])
    both = replace(
        one,
        codes=np.concatenate([one.codes, other.codes]),
        offsets=np.concatenate([one.offsets, other.offsets]),
        spans=np.concatenate([one.spans, other.spans]),
        quality=np.concatenate([one.quality, other.quality]),
        boxes=boxes,
    )
    return both.take(np.argsort(both.offsets, kind="stable"))


def outside(local: Sequence[LocalFeatures], windows: Sequence[Window]) -> list[LocalFeatures]:
    """The pictures that lie in none of the windows."""
    kept = []
    for one in local:
        at = one.offsets
        rows = np.arange(len(at))
        for window in windows:
            rows = rows[(at[rows] < window.start) | (at[rows] > window.end)]
        kept.append(one.take(rows))
    return kept


def joined_local(
    sparse: Sequence[LocalFeatures], dense: Sequence[LocalFeatures]
) -> tuple[LocalFeatures, ...]:
    """The pictures of both looks; of those that both have, the dense one's."""
    found = []
    places = dict.fromkeys((f.track, f.rendering) for f in (*sparse, *dense))
    for track, rendering in places:
        first, *others = (
            f for f in (*dense, *sparse) if (f.track, f.rendering) == (track, rendering)
        )
        both = first.followed_by(others)
        kept: list[int] = []
        for i in np.argsort(both.offsets, kind="stable").tolist():
            if not kept or both.offsets[i] - both.offsets[kept[-1]] > SAME_S / 2:
                kept.append(i)
        found.append(both.take(np.array(kept, dtype=np.int64)))
    return tuple(found)


def close_part(alignment: Alignment) -> float:
    """The part of its pictures that say much by themselves, 0 to 1: 64 bits never do."""
    if alignment.signal_type != "pdq" or not alignment.frames:
        return 0.0
    return sum(f.distance <= UNSURE for f in alignment.frames) / len(alignment.frames)


def is_close(alignment: Alignment) -> bool:
    """Whether any of its pictures says much by itself."""
    return close_part(alignment) > 0
