"""The seams of what is concluded."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO, Protocol

import numpy as np
from numpy.typing import NDArray

from hashdb.model import Classification, MediaFingerprints, MediaKind

Luma = NDArray[np.uint8]
Picture = NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One decoded picture, as it is shown (display rotation applied).

    `offset`: presentation time in seconds from the start of the track; `luma`: (H, W) uint8,
    full range (0 black, 255 white); `track`: number of the video track, from 0; `picture(side)`
    scales it to (side, side, 3) uint8 RGB, for classifiers.
    """

    offset: float
    luma: Luma
    track: int = 0
    picture: Callable[[int], Picture] | None = None


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of one upload that is to be looked at densely, in seconds."""

    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Sampling:
    """Which frames are wanted.

    `dense`: every frame (references), else keyframes and what fills the gaps (uploads).
    `windows`: look densely, but only here. `max_frames` and `seconds` (CPU) end the look early.
    `pictures`: how many RGB pictures, spread over the upload, a classifier is to be given.
    """

    dense: bool
    windows: tuple[Window, ...] = ()
    pictures: int = 0
    max_frames: int = 200_000
    seconds: float = 120.0


@dataclass(frozen=True, slots=True)
class MediaInfo:
    """What a container says of itself before a frame is decoded; `duration` 0 for an image."""

    kind: MediaKind
    duration: float
    tracks: int


class Decoder(Protocol):
    def frames(self, media: BinaryIO, sampling: Sampling) -> Iterator[Frame]:
        """The frames of all video tracks, each track's in the order of presentation."""
        ...


class Hasher(Protocol):
    """Frames into codes of one signal type."""

    signal_type: str
    pipeline: str

    def hash(self, luma: Luma) -> tuple[bytes, int]:
        """One frame's code and its quality (0 to 100)."""
        ...


class FingerprintMedia(Protocol):
    """Media into fingerprints, in the sandbox."""

    def __call__(
        self, media: BinaryIO, sampling: Sampling, signal_types: Sequence[str]
    ) -> MediaFingerprints: ...


class Classifier(Protocol):
    """A model's opinion of media that nobody has seen before."""

    name: str

    def classify(self, pictures: Sequence[Picture]) -> tuple[Classification, ...]:
        """Probabilities per label for (224, 224, 3) uint8 RGB pictures of one upload.

        Raises `ClassifierUnavailable` where the model does not answer in time.
        """
        ...

