"""What is looked at in place of a keyframe, a little behind it: who uploads chooses what keyframes
show (docs/decisions/0047-drawn.md).
"""

from __future__ import annotations

import math

import numpy as np
from av.video.frame import VideoFrame

from matcher.decode.luma import displayed_luma
from matcher.decode.pace import Picker
from matcher.decode.timeline import SAME_S, Timeline
from matcher.ports import Luma
from matcher.thumbnails import thumbnail

MOST_S = 0.3
"""Seconds; further behind a keyframe a picture is not in its place."""

ALIKE, SIDE = 0.5, 16
"""Correlation of two pictures, reduced to so many pixels a side, below which they show something
else. (Of 3,513 pictures of 60 videos that lie so close behind a keyframe 27 in a thousand are below
it, most of them behind a change of scene.)"""

Shown = tuple[VideoFrame, float]
"""A picture, and when it is shown."""


class Instead:
    """Of one track: for which keyframes another picture is looked at, and which. Once one shows
    something else than its keyframe, for all, and where they differ both."""

    def __init__(self, picker: Picker, line: Timeline) -> None:
        self._picker = picker
        self._line = line
        self._number = 0  # of keyframes that have others close behind
        self._distrusted = False
        self._packet = -1  # the one that holds the picture
        self._shown = (math.inf, -math.inf)  # when it is shown, at the earliest and at the latest
        self._keyframe: Shown | None = None

    @property
    def wanted(self) -> bool:
        """Whether the group at hand is looked at so."""
        return self._packet >= 0

    def choose(self, ordinal: int, following: int) -> bool:
        """Whether a picture is looked at in place of the keyframe of packet `ordinal`, whose group
        ends before the packet `following`."""
        start = float(self._line.offsets[ordinal])
        behind = self._line.offsets[ordinal + 1 : following] - start
        close = np.flatnonzero((behind > 0) & (behind <= MOST_S))
        if not len(close) or self._line.by_count:
            return False
        wanted = self._picker.behind(self._number, distrusted=self._distrusted)
        self._number += 1
        enough = close[behind[close] >= wanted - SAME_S]
        if not wanted or not len(enough):
            return False
        chosen = int(enough[behind[enough].argmin()])
        self._packet, self._keyframe = ordinal + 1 + chosen, None
        self._shown = (start + float(behind[chosen]) - SAME_S, start + MOST_S + SAME_S)
        return True

    def is_in(self, ordinal: int) -> bool:
        """Whether the packet holds the picture."""
        return ordinal == self._packet

    def is_it(self, offset: float) -> bool:
        """Whether what is shown then may be the picture."""
        first, last = self._shown
        return first <= offset <= last

    def pass_over(self, picture: VideoFrame, offset: float) -> None:
        """A picture before it came out of the decoder: the keyframe first."""
        if self.wanted and self._keyframe is None and offset < self._shown[0]:
            self._keyframe = (picture, offset)

    def contradicted(self, picture: VideoFrame) -> Shown | None:
        """The keyframe, where the picture came that is looked at in its place, and shows something
        else."""
        keyframe, self._keyframe = self._keyframe, None
        if keyframe is None or alike(displayed_luma(keyframe[0]), displayed_luma(picture)):
            return None
        self._distrusted = True
        return keyframe

    def end(self) -> Shown | None:
        """The group ends. The keyframe after all, where the picture did not come."""
        keyframe, self._keyframe = self._keyframe, None
        self._packet, self._shown = -1, (math.inf, -math.inf)
        return keyframe


def alike(one: Luma, other: Luma) -> bool:
    """Whether two pictures show much the same; one without contrast does with its like alone."""
    small = [thumbnail(luma, SIDE).astype(np.float64) for luma in (one, other)]
    away = [s - s.mean() for s in small]
    lengths = [float(np.linalg.norm(a)) for a in away]
    if min(lengths) < SIDE:  # one level of 255 a pixel
        return max(lengths) < SIDE
    return float((away[0] * away[1]).sum()) >= ALIKE * lengths[0] * lengths[1]
