"""Media into fingerprints: decode, drop what is too flat, hash, cut borders off, merge.

Runs inside the sandboxed child and knows neither store nor secret. Frames are taken as a stream:
no picture outlives its turn, but for the few small ones that a classifier asks for.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from hashdb.errors import CorruptMedia, MediaTimeout
from hashdb.model import (
    Coverage,
    Fingerprint,
    Grey,
    MediaFingerprints,
    MediaKind,
    Motion,
    Orientation,
    Strand,
    View,
)
from hashdb.signals import CARD, SIGNAL_TYPES
from matcher.coverage import Reach, judged, track_seconds
from matcher.features import QUERY_GRID, GreyWatch, LocalLook, MotionWatch
from matcher.ground import DARK, EMPTY_GROUND, FLAT_GROUND, blank, flat_ground, ground
from matcher.heap import give_back
from matcher.helper import AT_ONCE_BYTES, Helper
from matcher.ports import (
    AnyLuma,
    Borders,
    Box,
    Crop,
    Early,
    Frame,
    FrameView,
    Hasher,
    LocalHasher,
    MediaInfo,
    OpenedMedia,
    Panes,
    Picture,
    Sampling,
)
from matcher.rows import MERGE_BITS, Rows
from matcher.shown import ShownLook
from matcher.spread import Spread
from matcher.strands import Strands

PICTURE_SIDE = 224
IN_PARTS = "pdq"  # the signal type by which pictures within the picture are hashed
_PANES = tuple(view for view in View if view.in_part)
_GIVE_BACK_EVERY = 50  # frames after which freed memory is given back, or long looks take ever more


@dataclass(frozen=True, slots=True)
class FrameParts:
    """What pictures are hashed with; `matcher.worker` puts it together.

    `look` reduces a picture and measures its quality (`pdq.look`); `hashers` are asked in turn
    (`pdq.Hasher()`, `phash.Hasher()`); `borders` makes a watcher of one track
    (`borders.BorderFinder`), `panes` one of an upload's (`panes.PaneFinder`); `local` takes local
    features (`local.LocalHasher()`).
    """

    look: Callable[[AnyLuma], FrameView]
    hashers: Sequence[Hasher]
    borders: Callable[[], Borders]
    local: LocalHasher | None = None
    panes: Callable[[], Panes] | None = None


class _Track:
    """One video track's way through the hashers."""

    def __init__(
        self,
        number: int,
        parts: FrameParts,
        hashers: Sequence[Hasher],
        sampling: Sampling,
        local: LocalLook | None,
        shown: ShownLook | None,
        grey: GreyWatch | None,
        *,
        video: bool,
    ) -> None:
        self.number = number
        self.local = local
        self.shown = shown
        self.video = video
        self.watched = MotionWatch(QUERY_GRID) if sampling.motion else None
        self.grey = grey
        self.merges = merge = sampling.dense and not sampling.windows
        self.look = parts.look
        self.borders = parts.borders()
        self.panes = parts.panes() if parts.panes is not None and not merge else None

        def rows(hasher: Hasher, view: View) -> Rows:
            return Rows(
                hasher=hasher,
                track=number,
                view=view,
                placings=1 if merge else len(hasher.orientations),
                merge_bits=MERGE_BITS.get(hasher.signal_type, 0) if merge else None,
            )

        self.cards = [rows(h, View.FULL) for h in hashers if h.signal_type == CARD]
        footage = [h for h in hashers if h.signal_type != CARD]
        self.rows: dict[View, list[Rows]] = {
            view: [
                rows(hasher, view)
                for hasher in footage
                if not view.in_part or hasher.signal_type == IN_PARTS
            ]
            for view in View
        }

    def see(self, frame: Frame) -> bool:
        """Hash one frame; whether it could be judged: a code or features were taken of it, or there
        is nothing in it at all."""
        whole = self.look(frame.luma)
        if self.grey is not None:
            self.grey.see(frame)
        if self.watched is not None:
            self.watched.see(frame.offset, whole.square)
            return True
        share, shade = ground(frame.luma)
        flat = share > FLAT_GROUND
        logo = share > EMPTY_GROUND and shade >= DARK
        described = self.video and blank(frame.luma, whole.square, but_for_a_logo=logo)
        if self.local is not None and not (flat and self.merges):
            described |= self.local.see(frame, whole.square, at_once=flat)
        self._see_panes(frame)
        if flat:
            for rows in (*self.rows[View.FULL], *self.rows[View.TRIMMED]):
                rows.interrupt()
            _add(self.cards, frame.offset, whole)
            return described
        if self.shown is not None and whole.quality >= SIGNAL_TYPES["neural"].min_quality:
            self.shown.see(frame)
        _add(self.cards, frame.offset, None)
        crop = self.borders.crop(frame.luma)
        cut = _cut(frame.luma, crop)
        full = _add(self.rows[View.FULL], frame.offset, whole)
        trimmed = _add(
            self.rows[View.TRIMMED], frame.offset, None if cut is None else self.look(cut)
        )
        return full or trimmed or described

    def _see_panes(self, frame: Frame) -> None:
        """Hash the pictures within the picture."""
        if self.panes is None:
            return
        for view, pane in zip(_PANES, self.panes.panes(frame.luma), strict=True):
            if pane is None or flat_ground(pane.luma):
                _add(self.rows[view], frame.offset, None)
            else:
                _add(self.rows[view], frame.offset, self.look(pane.luma), pane.box)

    def part(self, *, codes: bool) -> MediaFingerprints | None:
        """The features of some pictures more, which are let go of, and with `codes` all of those
        so far; None where there are not enough yet."""
        local = () if self.local is None else self.local.part()
        if not local:
            return None
        full = self.rows[View.FULL] if codes else []
        made = tuple(f for rows in full for f in rows.fingerprints())
        seconds = 0.0 if self.local is None else self.local.seconds
        return MediaFingerprints(MediaKind.VIDEO, made, Coverage(0.0, seconds, 1, 0), local=local)

    def motion(self) -> Motion | None:
        """What moves in it; None of an image, and where too few pictures were seen."""
        if self.watched is not None:
            return self.watched.motion(self.number)
        return self.local.motion() if self.local is not None and self.video else None

    def greys(self) -> Iterator[Grey]:
        """The image that local features were taken of, some of a video's pictures that they were
        taken of, or some beside what moves."""
        if self.grey is not None:
            yield from self.grey.greys
        elif self.local is not None:
            yield from self.local.greys

    def fingerprints(self) -> Iterator[Fingerprint]:
        for rows in (*self.rows.values(), self.cards):
            for one in rows:
                yield from one.fingerprints()


def _add(
    some: Sequence[Rows], offset: float, view: FrameView | None, box: Box | None = None
) -> bool:
    """Hash one frame's view; whether there is enough in it."""
    seen = False
    for rows in some:
        floor = SIGNAL_TYPES[rows.hasher.signal_type].min_quality
        if view is None or view.quality < floor:
            rows.interrupt()
            continue
        rows.add(offset, rows.hasher.hash(view), view.quality, box)
        seen = True
    return seen


def _cut(luma: AnyLuma, crop: Crop | None) -> AnyLuma | None:
    return None if crop is None else luma[crop.top : crop.bottom, crop.left : crop.right]


def fingerprint(
    opened: OpenedMedia,
    parts: FrameParts,
    sampling: Sampling,
    signal_types: Sequence[str],
    helper: Helper | None = None,
    early: Early | None = None,
    aside: list[LocalLook] | None = None,
) -> MediaFingerprints:
    """The frame fingerprints of one piece of media, of those signal types that `parts` has.

    Uploads (`sampling.dense` not set, or `windows` given): every sampled frame by itself, in all
    placings that its hasher gives; the view `trimmed` beside `full` where borders were found, and
    `pane`, `pane2` and `pane3` where pictures within the picture were.
    References (`dense`): the original placing only, near-identical neighbours merged into spans.
    With `sampling.motion` there is nothing but what moves.
    Frames below the signal type's quality give no code and are counted as flat. Of a video,
    `sampling.describe` pixels wide pictures of what is not flat are given back beside. Of
    `sampling.strands` each is a track, with its own times.
    `sampling.seconds` of CPU time after its beginning the look ends, truncated; on a machine that
    is too busy, after `sampling.clock_s` by the clock. The `helper` hashes pictures while the next
    ones are decoded; what comes of it is the same. `early` is given the local features of a video's
    pictures, some at a time, first with the codes so far: of features only the rest is given back,
    or those of a long video would fill the memory. `aside` is given what has pictures that were set
    aside (`sampling.aside`), and none is where it is None.

    Raises what the decoder raises while it reads on, and `MediaTimeout` or `CorruptMedia` where
    not one frame could be had; only a look at windows may come back empty.
    """
    over = _over(sampling)
    if aside is None:
        sampling = replace(sampling, aside=False)
    strands = Strands(opened.frames(sampling)) if sampling.strands else None
    frames = opened.frames(sampling) if strands is None else strands.frames()
    helper = helper or Helper()
    seen = _seen(frames, opened.info, parts, sampling, signal_types, over, helper, early)
    if not seen.frames and not sampling.windows:
        if over():
            raise MediaTimeout("no frame could be decoded within the time limit")
        raise CorruptMedia("no frame could be decoded")
    tracks = seen.tracks.values()
    clocks = strands.clocks if strands is not None else ()
    looks = [t.local for t in tracks if t.local is not None]
    if aside is not None:
        aside += [look for look in looks if look.waits]
    motions = [t.motion() for t in tracks]
    shown = [t.shown.pictures() for t in tracks if t.shown is not None]
    return MediaFingerprints(
        kind=opened.info.kind,
        fingerprints=_upright_first(f for t in tracks for f in t.fingerprints()),
        coverage=_coverage(opened, seen, clocks),
        pictures=_chosen(seen.pictures),
        local=tuple(one for look in looks for one in look.features()),
        motion=tuple(one for one in motions if one is not None),
        to_describe=tuple(some for some in shown if some is not None),
        strands=clocks,
        greys=tuple(grey for t in tracks for grey in t.greys()),
    )


def _chosen(pictures: Spread[Picture]) -> tuple[Picture, ...]:
    """As many as were wanted."""
    count = min(pictures.wanted, len(pictures.kept))
    at = np.linspace(0, len(pictures.kept) - 1, count).round().astype(int)
    return tuple(pictures.kept[i] for i in at)


def _over(sampling: Sampling) -> Callable[[], bool]:
    """Tells whether a look that begins now has had its seconds, of CPU time or by the clock."""
    cpu, clock = time.process_time() + sampling.seconds, time.monotonic() + sampling.clock_s
    return lambda: time.process_time() >= cpu or time.monotonic() >= clock


def _coverage(opened: OpenedMedia, seen: _Seen, clocks: Sequence[Strand]) -> Coverage:
    return Coverage(
        judged_s=judged(opened.info, seen.reaches),
        total_s=max((s.seconds for s in clocks), default=opened.info.duration),
        frames=seen.frames,
        flat_frames=seen.flat,
        truncated=seen.stopped or opened.truncated,
    )


@dataclass(slots=True)
class _Seen:
    """What has been seen of the media so far: each track's way and reach by its number, how many
    frames, and how many of them gave nothing. `stopped`: the look ended before the media did;
    `told`: codes were given to who asked for them early."""

    pictures: Spread[Picture]
    tracks: dict[int, _Track] = field(default_factory=dict)
    reaches: dict[int, Reach] = field(default_factory=dict)
    frames: int = 0
    flat: int = 0
    stopped: bool = False
    told: bool = False


def _seen(
    frames: Iterator[Frame],
    info: MediaInfo,
    parts: FrameParts,
    sampling: Sampling,
    signal_types: Sequence[str],
    over: Callable[[], bool],
    helper: Helper,
    early: Early | None,
) -> _Seen:
    """All frames, seen and hashed, until the look is `over`."""
    hashers = [h for h in parts.hashers if h.signal_type in signal_types]
    local = "local" in signal_types
    seen = _Seen(Spread(sampling.pictures))

    def see(frame: Frame) -> None:
        number = frame.track
        if number not in seen.tracks:
            track = _track(number, info, parts, hashers, sampling, local=local)
            seen.tracks[number] = track
            seen.reaches[number] = Reach(track_seconds(info, number))
        seen.flat += not seen.tracks[number].see(frame) and bool(hashers)
        seen.reaches[number].add(frame.offset)
        if frame.picture is not None:
            seen.pictures.offer(partial(frame.picture, PICTURE_SIDE))
        if early is not None and info.kind is MediaKind.VIDEO:
            part = seen.tracks[number].part(codes=not seen.told)
            if part is not None:
                seen.told |= bool(part.fingerprints)
                early(part)

    for frame in frames:
        seen.frames += 1
        if frame.luma.nbytes < AT_ONCE_BYTES or (frame.apart and helper.idle):
            helper.do(partial(see, frame))
        else:
            helper.give(partial(see, frame), frame.luma.nbytes)
        if seen.frames % _GIVE_BACK_EVERY == 0:
            give_back()
        if seen.frames >= sampling.max_frames or over():
            seen.stopped = True
            break
    helper.finish()
    return seen


def _track(
    number: int,
    info: MediaInfo,
    parts: FrameParts,
    hashers: Sequence[Hasher],
    sampling: Sampling,
    *,
    local: bool,
) -> _Track:
    """What one track's pictures go through."""
    duration, video = track_seconds(info, number), info.kind is MediaKind.VIDEO
    features = shown = grey = None
    if local and parts.local is not None:
        features = LocalLook(
            parts.local, number, sampling, duration, alone=not video, tracks=info.tracks
        )
    if sampling.describe and video and not sampling.windows:
        shown = ShownLook(number, sampling, duration, info.tracks)
    if sampling.motion and parts.local is not None:
        grey = GreyWatch(parts.local, number, info.tracks)
    return _Track(number, parts, hashers, sampling, features, shown, grey, video=video)


def _upright_first(fingerprints: Iterator[Fingerprint]) -> tuple[Fingerprint, ...]:
    order = list(Orientation)
    return tuple(sorted(fingerprints, key=lambda f: order.index(f.orientation)))
