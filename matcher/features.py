"""The local features of one track's pictures as they come: which pictures, and how they are kept.

Runs inside the sandboxed child.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hashdb.model import Floats, Grey, LocalFeatures, Motion, Rendering
from matcher.heap import give_back
from matcher.ports import UNEVEN, Frame, FrameFeatures, LocalHasher, Luma, Sampling
from matcher.spread import Spread

# Local features: of references a picture every half second; of uploads one a second, more often in
# short ones (so many pictures), less often in very long ones (so many at most). In a reference, a
# picture of whose 64 x 64 samples fewer than STILL_SAMPLES differ by more than STILL_LEVELS of 255
# from the last one kept is kept every STILL_S only.
LOCAL_GAP_S, QUERY_GAP_S = 0.5, 1.0
LOCAL_PICTURES = 20
LOCAL_MOST = 600
LEAST_SIDE = 31
"""Pixels of the shorter side of what is kept in grey: a patch of a feature has so many."""
PART = 5
"""Pictures that are told of together, before the look ends: one by one costs as much again."""
# In the windows of a second look.
LOCAL_DENSE_GAP_S, LOCAL_DENSE_MOST = 0.125, 160
STILL_S = 4.0
STILL_LEVELS, STILL_SAMPLES = 8.0, 4
# A reference's camera races where a quarter of a second changes so much of the picture: then it is
# described twice as often, for its patches are lost in half a second.
RACING = 0.5
# Motion: of a reference often and coarsely (0.25 kB a grid); of an upload each picture finely,
# since the reference may fill only a part of it.
MOTION_GAP_S, REFERENCE_GRID, QUERY_GRID = 0.25, 16, 64
# Where all pictures are looked at for what moves, so often one is given back (150 kB of 16:9, 262
# of a square), of all tracks together so many at most: who passes moves on in a tenth of a second.
GREY_GAP_S, GREYS_MOST = 0.125, 400


def sets_aside(duration: float) -> bool:
    """Whether the pictures of an upload of so many seconds lie so close that every other one may
    wait: those of longer ones are a second apart."""
    return duration / LOCAL_PICTURES < QUERY_GAP_S


class _Found(NamedTuple):
    """The features of one rendering of a picture."""

    offset: float
    features: FrameFeatures


def _none_found() -> dict[Rendering, list[_Found]]:
    return {rendering: [] for rendering in Rendering}


class LocalLook:
    """The local features of one track's pictures, as far apart as is said above, and what moves in
    them. Of a reference's still scenes one picture in `STILL_S` is kept."""

    def __init__(
        self,
        hasher: LocalHasher,
        number: int,
        sampling: Sampling,
        duration: float,
        *,
        alone: bool = False,
        tracks: int = 1,
    ) -> None:
        """`alone`: the one picture is an image. `tracks`: of the media, who share `greys`."""
        whole = not (sampling.dense or sampling.windows or alone)
        self._sets_aside = sampling.aside and whole and sets_aside(duration)
        self._aside: list[tuple[float, Callable[[], tuple[FrameFeatures, ...]]]] = []
        self._looked_at = 0
        self.seconds = duration
        self._greys: Spread[Grey] = Spread(1 if alone else sampling.greys // max(1, tracks))
        self._hasher = hasher
        self._alone = alone
        self._number = number
        self._reference = sampling.dense
        gap = LOCAL_GAP_S if sampling.dense else min(QUERY_GAP_S, duration / LOCAL_PICTURES)
        most = LOCAL_MOST
        if sampling.strands:
            gap, duration = 0.0, 0.0  # they are picked already
        elif sampling.windows:
            gap, most = LOCAL_DENSE_GAP_S, LOCAL_DENSE_MOST
            duration = sum(w.end - w.start for w in sampling.windows)
        elif sampling.draw and not sampling.dense:
            gap *= 1.0 - UNEVEN
        self._gap = max(gap, duration / most) - 1e-3
        self._last = -np.inf
        self._kept: Floats | None = None
        self._something = False
        self._pictures = 0  # that have features
        self._told = 0  # of them, that `part` gave and that are not held any more
        self._found = _none_found()
        self._watched = MotionWatch(REFERENCE_GRID if sampling.dense else QUERY_GRID)

    def see(self, frame: Frame, square: Floats, *, at_once: bool = False) -> bool:
        """Whether there are features in the picture, or in the last one that was described before
        it. `square`: the picture reduced to (64, 64); `at_once`: it is not set aside."""
        since = frame.offset - self._last
        if self._reference:
            self._watched.see(frame.offset, square, gap=MOTION_GAP_S)
        if since < self._gap and not (self._reference and self._races(since, square)):
            return self._something
        if not self._reference:
            self._watched.see(frame.offset, square)
            self._looked_at += 1
            if self._alone:
                found = self._hasher.query(frame.luma, alone=True)
                if found:
                    self._greys = Spread(1)  # those of the last one
                    self._keep_grey(0.0, self._hasher.grey(frame.luma, found[0]))
            else:
                grey = self._hasher.grey(frame.luma)
                self._keep_grey(frame.offset, grey)
                if self._sets_aside and self._looked_at % 2 == 0 and not at_once:
                    self._last = frame.offset
                    self._aside.append((frame.offset, partial(self._hasher.described, grey)))
                    return self._something
                found = self._hasher.described(grey)
        else:
            if since < STILL_S and self._kept is not None and _still(self._kept, square):
                return self._something
            one = self._hasher.reference(frame.luma, alone=self._alone)
            found = () if one is None else (one,)
        self._last, self._kept, self._something = frame.offset, square, bool(found)
        self._keep(frame.offset, found)
        return self._something

    def _keep(self, offset: float, found: Sequence[FrameFeatures]) -> None:
        if found:
            self._pictures += 1
            for one in found:
                self._found[one.rendering].append(_Found(offset, one))

    def _keep_grey(self, offset: float, luma: Luma) -> None:
        if min(luma.shape) >= LEAST_SIDE:
            self._greys.offer(lambda: Grey(luma, self._number, offset))

    @property
    def greys(self) -> Sequence[Grey]:
        """The image that was described last, or some of the pictures that were."""
        return self._greys.kept

    @property
    def waits(self) -> bool:
        """Whether pictures were set aside."""
        return bool(self._aside)

    def rest(self) -> Iterator[LocalFeatures]:
        """The features of the pictures that were set aside, once all others were given."""
        self._found = _none_found()
        aside, self._aside = self._aside, []
        for offset, described in aside:
            self._keep(offset, described())
        return self.features()

    def _races(self, since: float, square: Floats) -> bool:
        """Whether half a gap was enough to change most of the picture."""
        if self._kept is None or since < self._gap / 2:
            return False
        changed = np.abs(self._kept - square) > STILL_LEVELS
        return bool(np.count_nonzero(changed) >= RACING * changed.size)

    def features(self) -> Iterator[LocalFeatures]:
        """What `part` did not give, one for each rendering, at the end of the look: each is let go
        of when it is given, or all features of a long video would be held twice."""
        for rendering in Rendering:
            found = self._found.pop(rendering)
            if found:
                yield self._of(rendering, found)
                del found
                give_back()

    def part(self) -> tuple[LocalFeatures, ...]:
        """The features since the last time, which are let go of; none before there are `PART`
        pictures of them."""
        if self._pictures - self._told < PART:
            return ()
        self._told = self._pictures
        found, self._found = self._found, _none_found()
        return tuple(self._of(rendering, some) for rendering, some in found.items() if some)

    def _of(self, rendering: Rendering, found: Sequence[_Found]) -> LocalFeatures:
        return _local_features(self._hasher.pipeline, self._number, rendering, found)

    def motion(self) -> Motion | None:
        """None where there are fewer than two pictures, or none with features."""
        described = self._pictures or self._aside
        return self._watched.motion(self._number) if described else None


class MotionWatch:
    """What changes in the pictures of one track, in grids of `side` by `side`."""

    def __init__(self, side: int) -> None:
        self._side = side
        self._offsets: list[float] = []
        self._grids: list[NDArray[np.uint8]] = []

    def see(self, offset: float, square: Floats, gap: float = 0.0) -> None:
        """One picture, reduced to (64, 64); passed over within `gap` seconds of the last one."""
        if self._offsets and offset - self._offsets[-1] < max(gap - 1e-3, 1e-6):
            return
        cells = square.reshape(self._side, 64 // self._side, self._side, 64 // self._side)
        self._offsets.append(offset)
        self._grids.append(np.clip(np.rint(cells.mean(axis=(1, 3))), 0, 255).astype(np.uint8))

    def motion(self, track: int) -> Motion | None:
        """None where there are fewer than two pictures."""
        if len(self._offsets) < 2:
            return None
        grids = np.stack(self._grids)
        usual = np.median(grids, axis=0).astype(np.float32)
        away = np.clip(np.rint(grids - usual), -127, 127).astype(np.int8)
        return Motion(np.array(self._offsets), away, track, np.rint(usual).astype(np.uint8))


class GreyWatch:
    """Some pictures of one track of `tracks`, in grey, the first so many."""

    def __init__(self, hasher: LocalHasher, number: int, tracks: int = 1) -> None:
        self._hasher = hasher
        self._most = GREYS_MOST // max(1, tracks)
        self._number = number
        self.greys: list[Grey] = []

    def see(self, frame: Frame) -> None:
        """One picture; passed over within `GREY_GAP_S` of the last one."""
        if len(self.greys) >= self._most:
            return
        if not self.greys or frame.offset - self.greys[-1].offset >= GREY_GAP_S - 1e-3:
            luma = self._hasher.grey(frame.luma)
            self.greys.append(Grey(luma, self._number, frame.offset))


def _still(before: Floats, square: Floats) -> bool:
    changed = np.abs(before - square) > STILL_LEVELS
    return bool(np.count_nonzero(changed) < STILL_SAMPLES)


def _local_features(
    pipeline: str,
    track: int,
    rendering: Rendering,
    found: Sequence[_Found],
) -> LocalFeatures:
    each = [one.features for one in found]
    return LocalFeatures(
        pipeline=pipeline,
        offsets=np.array([one.offset for one in found]),
        starts=np.cumsum([0, *(len(one.codes) for one in each)], dtype=np.int64),
        sizes=np.array([(one.width, one.height) for one in each], dtype=np.uint16),
        codes=np.concatenate([one.codes for one in each]),
        places=np.concatenate([one.places for one in each]),
        track=track,
        rendering=rendering,
    )
