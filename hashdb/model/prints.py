"""What is taken of media: codes, features, sounds, descriptors; and how much was looked at.

Times within media are seconds of presentation time (float)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hashdb.model.words import MediaKind, Orientation, Rendering, View

Codes = NDArray[np.uint8]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class SignalType:
    """One kind of hash; the table is in `hashdb.signals`.

    `bits` of one code (digests match only if equal; 0: no codes); `radius`: the Hamming distance
    in bits up to which two codes are looked at; `min_quality`: frames below it are left out.
    `hashed`: its evidence is rows of codes (`Fingerprint`) that are searched within the radius;
    otherwise it has a value type and an index of its own.
    """

    name: str
    bits: int
    radius: int
    min_quality: int
    exact: bool = False
    per_frame: bool = True
    hashed: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class Fingerprint:
    """The codes of one signal type for one picture track of one piece of media.

    `codes` (n, bits/8) uint8; `offsets` (n,) float64, the presentation time in seconds of each
    code's first frame; `spans` (n,) float64, for how many seconds near-identical frames follow
    (0 for one frame); `quality` (n,) uint8, 0 to 100. `pipeline` names the version of the way
    from pixels to codes: codes of other pipelines may differ by some bits. `boxes` (n, 4) uint8 of
    an upload's panes: where in the frame each is, left, top, right and bottom in 255ths of its
    sides; `inverted`: the codes are of an upload's pictures as a negative. Both serve while the
    upload is judged, and are not kept.
    """

    signal_type: str
    pipeline: str
    codes: Codes
    offsets: Floats
    spans: Floats
    quality: NDArray[np.uint8]
    track: int = 0
    view: View = View.FULL
    orientation: Orientation = Orientation.ORIGINAL
    boxes: NDArray[np.uint8] | None = None
    inverted: bool = False

    def __len__(self) -> int:
        return len(self.codes)

    def placed(
        self, codes: Codes, orientation: Orientation, *, inverted: bool = False
    ) -> Fingerprint:
        """The same pictures placed so, or as a negative, which then have these codes."""
        return Fingerprint(
            self.signal_type,
            self.pipeline,
            codes,
            self.offsets,
            self.spans,
            self.quality,
            self.track,
            self.view,
            orientation,
            self.boxes,
            inverted,
        )

    def take(self, rows: Any) -> Fingerprint:
        """The same fingerprint with the given rows (a boolean mask or indices) only."""
        return Fingerprint(
            self.signal_type,
            self.pipeline,
            self.codes[rows],
            self.offsets[rows],
            self.spans[rows],
            self.quality[rows],
            self.track,
            self.view,
            self.orientation,
            None if self.boxes is None else self.boxes[rows],
            self.inverted,
        )


@dataclass(frozen=True, slots=True, eq=False)
class LocalFeatures:
    """Local features of some pictures of one track, all in one rendering.

    `offsets` (f,) float64: the pictures' presentation times in seconds, rising; `starts` (f + 1,)
    int64: picture i has the rows `starts[i]:starts[i + 1]`; `sizes` (f, 2) uint16: width and height
    in pixels of the scaled picture; `codes` (n, 32) uint8; `places` (n, 4) float32: x and y of the
    patch's middle and its diameter in those pixels, its angle in degrees.
    """

    pipeline: str
    offsets: Floats
    starts: Ints
    sizes: NDArray[np.uint16]
    codes: Codes
    places: NDArray[np.float32]
    track: int = 0
    rendering: Rendering = Rendering.PLAIN

    def __len__(self) -> int:
        """Pictures."""
        return len(self.offsets)

    def followed_by(self, later: Sequence[LocalFeatures]) -> LocalFeatures:
        """These pictures, then those of others of the same track and rendering."""
        every = (self, *later)
        counts = np.concatenate([[0], *(np.diff(one.starts) for one in every)])
        return LocalFeatures(
            self.pipeline,
            np.concatenate([one.offsets for one in every]),
            np.cumsum(counts, dtype=np.int64),
            np.concatenate([one.sizes for one in every]),
            np.concatenate([one.codes for one in every]),
            np.concatenate([one.places for one in every]),
            self.track,
            self.rendering,
        )

    def take(self, pictures: Ints) -> LocalFeatures:
        """These of the pictures, in this order; itself where they are all there is, as it is."""
        if np.array_equal(pictures, np.arange(len(self))):
            return self
        counts = np.diff(self.starts)[pictures]
        rows = [np.arange(self.starts[i], self.starts[i + 1]) for i in pictures.tolist()]
        taken = np.concatenate([np.empty(0, np.int64), *rows])
        return replace(
            self,
            offsets=self.offsets[pictures],
            starts=np.cumsum([0, *counts], dtype=np.int64),
            sizes=self.sizes[pictures],
            codes=self.codes[taken],
            places=self.places[taken],
        )


@dataclass(frozen=True, slots=True, eq=False)
class Motion:
    """What changes in the pictures of one track, coarsely: no picture, only what moves in it.

    `offsets` (f,) float64: presentation times in seconds, rising; `grids` (f, s, s) int8: each
    cell's mean brightness (of 255) above its median over the track, cut at 127. `usual` (s, s)
    uint8: that median, of an upload; None of a reference, and where nobody has it.
    """

    offsets: Floats
    grids: NDArray[np.int8]
    track: int = 0
    usual: NDArray[np.uint8] | None = None

    def __len__(self) -> int:
        """Pictures."""
        return len(self.offsets)


@dataclass(frozen=True, slots=True, eq=False)
class SoundPeaks:
    """Where one sound track of one piece of media is loud for its surroundings.

    `times` (n,) float64, seconds from the start of the media, rising; a sound that begins before
    the first picture has some below 0. `pitches` (n,) uint16: 144 steps an octave, see
    `matcher.hashers.sound`. `levels` (n,) uint8: dB above the surroundings. `pipeline` names the
    version of the way from samples to peaks: only peaks of one pipeline can be compared.
    `seconds`: how much sound was listened to.
    """

    pipeline: str
    times: Floats
    pitches: NDArray[np.uint16]
    levels: NDArray[np.uint8]
    track: int = 0
    seconds: float = 0.0

    def __len__(self) -> int:
        return len(self.times)

    def take(self, rows: Any) -> SoundPeaks:
        """The same track with the given peaks (a boolean mask, a slice or indices) only."""
        return SoundPeaks(
            self.pipeline,
            self.times[rows],
            self.pitches[rows],
            self.levels[rows],
            self.track,
            self.seconds,
        )


@dataclass(frozen=True, slots=True, eq=False)
class Pictures:
    """Small pictures of one track of a video, for a descriptor model.

    `offsets` (n,) float64: presentation times in seconds, rising; `pixels` (n, side, side, 3)
    uint8 RGB, squeezed to squares.
    """

    offsets: Floats
    pixels: NDArray[np.uint8]
    track: int = 0

    def __len__(self) -> int:
        return len(self.offsets)


@dataclass(frozen=True, slots=True, eq=False)
class Descriptors:
    """What a model says of some pictures of one track, one vector a picture.

    `model` names the model, its weights and what its pictures are put through: vectors of two
    models cannot be compared. `offsets` (n,) float64: presentation times in seconds, rising;
    `vectors` (n, d) float16 of length 1, so that their product is the cosine of their angle.
    """

    model: str
    offsets: Floats
    vectors: NDArray[np.float16]
    track: int = 0

    def __len__(self) -> int:
        return len(self.offsets)


@dataclass(frozen=True, slots=True, eq=False)
class Strand:
    """The clock of one of the videos that were woven into each other in one upload, which is looked
    at as the track of that number: the picture that the upload shows at `offsets` (n,) float64
    seconds is shown at `moments` (n,) float64 seconds of that video, which lasts `seconds`."""

    track: int
    offsets: Floats
    moments: Floats
    seconds: float


@dataclass(frozen=True, slots=True)
class Coverage:
    """How much of an upload was looked at.

    `judged_s` of `total_s` seconds lie within reach of a decoded frame (an image: 0 of 0).
    `frames` were decoded and hashed, `flat_frames` of them too flat to mean anything.
    `truncated`: a limit of time or frames ended the look, or part of the file could not be read.
    """

    judged_s: float
    total_s: float
    frames: int
    flat_frames: int
    truncated: bool = False

    @property
    def fraction(self) -> float:
        """Judged part, 0 to 1; an image with a frame counts as 1."""
        if self.total_s <= 0:
            return 1.0 if self.frames else 0.0
        return min(1.0, self.judged_s / self.total_s)


@dataclass(frozen=True, slots=True, eq=False)
class Grey:
    """A picture as its local features are taken: `luma` (H, W) uint8, of the size that their places
    are of; `offset`: seconds, 0 of an image."""

    luma: NDArray[np.uint8]
    track: int = 0
    offset: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class MediaFingerprints:
    """What the sandboxed child gives back of one piece of media.

    `pictures`: (224, 224, 3) uint8 RGB, spread over the media, where a classifier wants them.
    `local`: local features, one value a track and rendering, where they are wanted.
    `motion`: beside local features of a video, one value a track.
    `sound`: peaks of the sound, one value a track, where they are wanted and there are any.
    `to_describe`: pictures for a descriptor model, one value a track, where they are wanted.
    `greys`: of an image, one value a track, where local features are wanted of an upload; of a look
    at what moves, some a second, in the order of their time.
    `strands`: of a look that takes woven videos apart, whose times are all by these clocks.
    `coverage` is about the pictures: a sound that is missing, broken or longer than a limit takes
    nothing from it, as one that was heard adds nothing. `SoundPeaks.seconds` says what was heard.
    """

    kind: MediaKind
    fingerprints: tuple[Fingerprint, ...]
    coverage: Coverage
    pictures: tuple[NDArray[np.uint8], ...] = ()
    local: tuple[LocalFeatures, ...] = ()
    sound: tuple[SoundPeaks, ...] = ()
    motion: tuple[Motion, ...] = ()
    to_describe: tuple[Pictures, ...] = ()
    strands: tuple[Strand, ...] = ()
    greys: tuple[Grey, ...] = ()


@dataclass(frozen=True, slots=True)
class Digests:
    """Digests of the file's bytes, lower-case hex. FIPS 180-4 SHA-256, RFC 1321 MD5."""

    sha256: str | None = None
    md5: str | None = None
