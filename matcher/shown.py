"""The pictures of one track that a descriptor model is to be given, as they come.

Runs inside the sandboxed child: the model does not (docs/decisions/0013-neural-descriptor.md).
"""

from __future__ import annotations

import numpy as np

from hashdb.model import Pictures
from matcher.ports import Frame, Picture, Sampling

GAP_S, SHORT_PICTURES = 1.0, 10
"""A picture a second; of a short upload so many."""

REFERENCE_BYTES, UPLOAD_BYTES = 192 << 20, 64 << 20
"""Of all pictures, shared among the tracks. At 224 pixels a side that is 22 minutes of a reference
at a picture a second, 7 of an upload; longer ones are shown at longer steps."""


class ShownLook:
    """Keeps pictures `GAP_S` apart; where they grow too many, every other one goes and the step
    doubles."""

    def __init__(self, number: int, sampling: Sampling, duration: float, tracks: int) -> None:
        self._number = number
        self._side = sampling.describe
        room = REFERENCE_BYTES if sampling.dense else UPLOAD_BYTES
        self._most = max(2, room // (3 * self._side**2 * max(1, tracks)))
        self._gap = GAP_S if sampling.dense else min(GAP_S, duration / SHORT_PICTURES)
        self._kept: list[tuple[float, Picture]] = []

    def see(self, frame: Frame) -> None:
        """Offer a frame that is not flat, later than all before."""
        last = self._kept[-1][0] if self._kept else -np.inf
        if frame.picture is None or frame.offset - last < self._gap - 1e-3:
            return
        self._kept.append((frame.offset, frame.picture(self._side)))
        if len(self._kept) > self._most:
            del self._kept[1::2]
            self._gap *= 2

    def pictures(self) -> Pictures | None:
        """What was kept; None where nothing was."""
        if not self._kept:
            return None
        return Pictures(
            np.array([offset for offset, _ in self._kept], dtype=np.float64),
            np.stack([picture for _, picture in self._kept]),
            self._number,
        )
