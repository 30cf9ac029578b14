"""The codes of one signal type, track and view as they grow. Runs inside the sandboxed child."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from hashdb.model import Codes, Fingerprint, View
from matcher.ports import Box, Hasher

# Neighbours whose codes differ by no more than this are one code with a span. Re-encoding moves a
# PDQ code by 2 to 10 bits; so a span's frames stand well within the search radius of its code.
MERGE_BITS = {"pdq": 5, "card": 5, "phash": 1}


@dataclass(slots=True)
class Rows:
    """The codes of one signal type, track and view as they grow; merged to spans if wanted."""

    hasher: Hasher
    track: int
    view: View
    placings: int
    merge_bits: int | None
    codes: list[Codes] = field(default_factory=list)
    offsets: list[float] = field(default_factory=list)
    spans: list[float] = field(default_factory=list)
    quality: list[int] = field(default_factory=list)
    boxes: list[Box] = field(default_factory=list)
    open: bool = False

    def add(self, offset: float, codes: Codes, quality: int, box: Box | None = None) -> None:
        """One more frame's codes (placings, bytes), later than all before. `box`: of a pane."""
        if self.merge_bits is not None and self.open:
            distance = int(np.bitwise_count(self.codes[-1][0] ^ codes[0]).sum())
            if distance <= self.merge_bits:
                self.spans[-1] = offset - self.offsets[-1]
                return
        self.codes.append(codes[: self.placings])
        self.offsets.append(offset)
        self.spans.append(0.0)
        self.quality.append(quality)
        if box is not None:
            self.boxes.append(box)
        self.open = True

    def interrupt(self) -> None:
        """A frame without a code: what follows is no neighbour of what came before."""
        self.open = False

    def fingerprints(self) -> Iterator[Fingerprint]:
        """One for each placing, all of the same frames."""
        if not self.codes:
            return
        stacked = np.stack(self.codes)
        for row in range(self.placings):
            yield Fingerprint(
                signal_type=self.hasher.signal_type,
                pipeline=self.hasher.pipeline,
                codes=np.ascontiguousarray(stacked[:, row]),
                offsets=np.array(self.offsets, dtype=np.float64),
                spans=np.array(self.spans, dtype=np.float64),
                quality=np.array(self.quality, dtype=np.uint8),
                track=self.track,
                view=self.view,
                orientation=self.hasher.orientations[row],
                boxes=np.array(self.boxes, dtype=np.uint8) if self.boxes else None,
            )
