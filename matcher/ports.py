"""The seams of what is concluded."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO, Protocol

import numpy as np
from numpy.typing import NDArray

from hashdb.model import (
    Classification,
    Codes,
    Ints,
    MediaFingerprints,
    MediaKind,
    Orientation,
    Rendering,
)

Luma = NDArray[np.uint8]
AnyLuma = NDArray[np.uint8] | NDArray[np.float32]
Picture = NDArray[np.uint8]

PEAKS_PER_S = 40
"""Peaks kept of one second of sound, the loudest. Speech and music have up to 35; sound made for
it has hundreds, and each costs memory in every search."""


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One decoded picture, as it is shown (display rotation applied).

    `offset`: presentation time in seconds from the start of the track; `luma`: (H, W) uint8,
    full range (0 black, 255 white); `track`: number of the video track, from 0; `picture(side)`
    scales it to (side, side, 3) uint8 RGB, for classifiers; `apart`: it was decoded without any
    that lie before it.
    """

    offset: float
    luma: Luma
    track: int = 0
    picture: Callable[[int], Picture] | None = None
    apart: bool = False


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of one upload that is to be looked at densely, in seconds."""

    start: float
    end: float


UNEVEN = 0.15
"""Part by which steps between pictures of an upload are longer or shorter, as they are drawn, so
that nobody knows which are looked at. Where pictures lie further apart than that steps are even,
and from keyframe to keyframe they are never longer: the next one may be far."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """Which frames are wanted.

    `dense`: every frame (references), else keyframes and what fills the gaps (uploads).
    `windows`: look densely, but only here. `strands`: of every picture there, the videos that are
    woven into each other (`matcher.strands`), each by its own clock; none where nothing is woven.
    `motion`: of every picture there what moves in it, some pictures in grey, and nothing else.
    `filling`: two pictures a second there, where keyframes lie far apart.
    `max_frames`, `seconds` (CPU) and `clock_s` (by the clock) end the look early.
    `pictures`: how many RGB pictures, spread over the upload, a classifier is to be given.
    `describe`: the side in pixels of the pictures that a descriptor model is to be given; 0: none.
    `aside`: every other picture of a short upload is described only where all are wanted.
    `greys`: how many of the pictures that are described are to be given in grey, spread over them.
    `draw`: by which of an upload's pictures are drawn, within what is said above; 0: evenly.
    """

    dense: bool
    windows: tuple[Window, ...] = ()
    strands: bool = False
    motion: bool = False
    filling: bool = False
    pictures: int = 0
    describe: int = 0
    aside: bool = False
    greys: int = 0
    draw: int = 0
    max_frames: int = 200_000
    seconds: float = 120.0
    clock_s: float = math.inf


@dataclass(frozen=True, slots=True)
class Limits:
    """What one piece of media may cost, inside the sandboxed child and around it.

    `max_bytes` of the file and `max_pixels` of one picture are refused before decoding;
    `memory_mb` is the child's address space; `cpu_s` its CPU time where the sampling asks for
    less (the kernel's limit lies above both); `wall_s` the time after which the parent kills it
    (None: three times the CPU limit); `output_mb` the answer's size; `max_tracks` the picture
    tracks that are looked at.
    """

    max_bytes: int = 2048 * 1024 * 1024
    max_pixels: int = 100_000_000
    memory_mb: int = 2048
    cpu_s: float = 120.0
    wall_s: float | None = None
    output_mb: int = 512
    max_tracks: int = 16


@dataclass(frozen=True, slots=True)
class MediaInfo:
    """What a container says of itself before a frame is decoded; `duration` 0 for an image.

    `track_durations`: each video track's own seconds, where the container knows them.
    """

    kind: MediaKind
    duration: float
    tracks: int
    track_durations: tuple[float, ...] = ()


class OpenedMedia(Protocol):
    """One piece of media whose container was read: what a decoder opens, within its limits.

    `truncated` stands once the frames ended.
    """

    @property
    def info(self) -> MediaInfo: ...

    @property
    def truncated(self) -> bool:
        """Whether a limit ended the look early, or part of the file could not be read."""
        ...

    def frames(self, sampling: Sampling) -> Iterator[Frame]:
        """The frames of all video tracks, each track's in the order of presentation."""
        ...


class Decoder(Protocol):
    def open(self, media: BinaryIO) -> OpenedMedia:
        """Raises the `BadMedia` family where this is nothing that can be decoded."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class FrameView:
    """A picture, or the part of it within its borders, as the frame hashers want it.

    `luma` (H, W); `square` (64, 64): PDQ's reduction of it; `quality` 0 to 100, PDQ's measure of
    how much there is to see, by which all frame hashes are judged.
    """

    luma: AnyLuma
    square: NDArray[np.float64]
    quality: int


class Hasher(Protocol):
    """Pictures into codes of one signal type."""

    @property
    def signal_type(self) -> str: ...

    @property
    def pipeline(self) -> str: ...

    @property
    def orientations(self) -> tuple[Orientation, ...]:
        """The placings of the picture that `hash` gives codes of; the first is ORIGINAL."""
        ...

    def hash(self, view: FrameView) -> Codes:
        """(len(orientations), bits/8) uint8."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class FrameFeatures:
    """One picture's local features in one rendering, of a picture scaled to `width` by `height`.

    `codes` (n, 32) uint8; `places` (n, 4) float32: see `hashdb.model.LocalFeatures`.
    """

    rendering: Rendering
    codes: Codes
    places: NDArray[np.float32]
    width: int
    height: int


class LocalHasher(Protocol):
    """Pictures into local features."""

    @property
    def pipeline(self) -> str: ...

    def reference(self, luma: AnyLuma, *, alone: bool = False) -> FrameFeatures | None:
        """The plain picture's features; None where there are too few to mean anything. `alone`: it
        is an image, of which more are taken."""
        ...

    def query(self, luma: AnyLuma, *, alone: bool = False) -> tuple[FrameFeatures, ...]:
        """Those of every rendering; none where there are too few."""
        ...

    def described(self, grey: Luma) -> tuple[FrameFeatures, ...]:
        """What `query` gives of a video's picture, of what `grey` gives of it."""
        ...

    def grey(self, luma: AnyLuma, described: FrameFeatures | None = None) -> Luma:
        """A picture as `query` describes it, of the size that the places it gives are of: a video's
        or, where that is given, an image that was `described`."""
        ...


class Guide(Protocol):
    """Looks for a reference's features in an upload's picture, where a map puts them."""

    def __call__(
        self, luma: Luma, found: NDArray[np.float64], reference: FrameFeatures
    ) -> tuple[Ints, NDArray[np.float64]]:
        """(n,) in how many bits of 256 each differs from what lies there; -1 where it lies outside
        or would be too small. And (n, 2) where that is: next to where the map puts it.

        `luma` (H, W): the upload's, in the rendering that the map is of; `found` (2, 3): from the
        reference's pixels to its.
        """
        ...


@dataclass(frozen=True, slots=True)
class Crop:
    """The part of a picture within its borders: rows top:bottom, columns left:right, in pixels."""

    top: int
    bottom: int
    left: int
    right: int


class Borders(Protocol):
    """Watches the frames of one track, in order, for letter- and pillar-boxes."""

    def crop(self, luma: Luma) -> Crop | None:
        """What lies within this frame's borders; None where it has none."""
        ...


Box = tuple[int, int, int, int]
"""Left, top, right, bottom."""


@dataclass(frozen=True, slots=True, eq=False)
class Pane:
    """A picture within a frame's picture: its `luma`, scaled to a square; and where it is, as
    `Fingerprint.boxes` gives it."""

    luma: Luma
    box: Box


class Panes(Protocol):
    """Watches the frames of one track, in order, for pictures within the picture."""

    def panes(self, luma: Luma) -> tuple[Pane | None, ...]:
        """Three at most: at each of three places one or None. What stays where it is in the frame
        keeps its place."""
        ...


Early = Callable[[MediaFingerprints], None]
"""Is given local features of some pictures, at first with the codes so far."""

WantsAll = Callable[[MediaFingerprints], bool]
"""Whether the pictures that were set aside are to be described too, by what was seen without them;
of local features it is given those that `Early` was not."""


class FingerprintMedia(Protocol):
    """Media into fingerprints, in the sandbox."""

    def __call__(
        self,
        media: BinaryIO,
        sampling: Sampling,
        signal_types: Sequence[str],
        *,
        early: Early | None = None,
        wants_all: WantsAll | None = None,
    ) -> MediaFingerprints:
        """`early` is told of a video's pictures as soon as some are described, in order; what
        comes back has all of them. `wants_all` is asked at the end where `sampling.aside` set some
        aside; without it they are described."""
        ...


class Classifier(Protocol):
    """A model's opinion of media that nobody has seen before."""

    name: str

    def classify(self, pictures: Sequence[Picture]) -> tuple[Classification, ...]:
        """Probabilities per label for (224, 224, 3) uint8 RGB pictures of one upload.

        Raises `ClassifierUnavailable` where the model does not answer in time.
        """
        ...


class DescriptorModel(Protocol):
    """A model that says of a picture what it shows, as a vector.

    `model` names it: vectors of other models cannot be compared. `side`: width and height in
    pixels of the pictures that it wants. A cosine of `floor` or less says nothing, one of `sure`
    or more as much as one picture can say.
    """

    model: str
    side: int
    floor: float
    sure: float

    def describe(self, pictures: Sequence[Picture]) -> NDArray[np.float32]:
        """(n, d) vectors of length 1 for n pictures, one or more, (h, w, 3) uint8 RGB each.

        Raises `DescriptorUnavailable` where the model fails.
        """
        ...
