"""Every noun, as a frozen value. Standard library and numpy only.

Times within media are seconds of presentation time (float). Times of the world are
timezone-aware `datetime` in UTC. Ids are strings.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

Codes = NDArray[np.uint8]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def now() -> datetime:
    """This moment, in UTC."""
    return datetime.now(UTC)


_id_lock = threading.Lock()
_last_id = 0


def new_id(prefix: str) -> str:
    """A new id such as `ref_0193a5...`: RFC 9562 UUIDv7 in hex. Ids sort by their making: those of
    one process always (section 6.2, monotonic random), others to the millisecond."""
    global _last_id
    stamp = int(time.time() * 1000)
    tail = int.from_bytes(os.urandom(10))
    value = (stamp << 80) | (0x7 << 76) | ((tail >> 2) & ((1 << 76) - 1))
    value = (value & ~(0x3 << 62)) | (0x2 << 62)
    with _id_lock:
        _last_id = value = value if value > _last_id else _last_id + 1
    return f"{prefix}_{value:032x}"


def first_id(prefix: str, at: datetime) -> str:
    """Lower than every id that is made at `at` or later, higher than those made a millisecond or
    more before: what is older than a moment is found by the ids alone."""
    return f"{prefix}_{int(at.timestamp() * 1000) << 80:032x}"


class Action(StrEnum):
    """What the pipeline is told to do with an upload."""

    ALLOW = "allow"
    REVIEW = "review"
    BLOCK = "block"

    @property
    def severity(self) -> int:
        """0 for allow, 1 for review, 2 for block: the order in which actions outrank each other."""
        return ("allow", "review", "block").index(self.value)


class Standing(StrEnum):
    """What is held of a reference, by us or by a partner (python-threatexchange's words)."""

    POSITIVE = "positive"
    INVESTIGATION_SEED = "investigation_seed"
    NEGATIVE = "negative"
    DISPUTED = "disputed"


class Role(StrEnum):
    """What a key may do: see `api.auth`."""

    PIPELINE = "pipeline"
    MODERATOR = "moderator"
    PARTNER = "partner"
    ADMIN = "admin"


class MediaKind(StrEnum):
    IMAGE = "image"
    VIDEO = "video"


class View(StrEnum):
    """Which part of the picture a query's frame hash was taken of."""

    FULL = "full"
    TRIMMED = "trimmed"  # borders (letter- and pillar-boxes) cut off


class Orientation(StrEnum):
    """The eight dihedral placings of a picture, as PDQ names them: what was done to the query."""

    ORIGINAL = "original"
    ROTATE_90 = "rotate90"
    ROTATE_180 = "rotate180"
    ROTATE_270 = "rotate270"
    FLIP_VERTICAL = "flipx"
    FLIP_HORIZONTAL = "flipy"
    FLIP_PLUS = "flipplus"
    FLIP_MINUS = "flipminus"


class Rendering(StrEnum):
    """How a query's picture was laid before its local features were taken: they are not the same
    in a mirror, nor in a negative. Turned and scaled pictures need no rendering of their own."""

    PLAIN = "plain"
    MIRRORED = "mirrored"
    INVERTED = "inverted"
    MIRRORED_INVERTED = "mirrored_inverted"

    @property
    def mirrored(self) -> bool:
        return self in (Rendering.MIRRORED, Rendering.MIRRORED_INVERTED)

    @property
    def inverted(self) -> bool:
        return self in (Rendering.INVERTED, Rendering.MIRRORED_INVERTED)


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
    from pixels to codes: codes of other pipelines may differ by some bits.
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

    def __len__(self) -> int:
        return len(self.codes)

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


@dataclass(frozen=True, slots=True, eq=False)
class Motion:
    """What changes in the pictures of one track, coarsely: no picture, only what moves in it.

    `offsets` (f,) float64: presentation times in seconds, rising; `grids` (f, s, s) int8: each
    cell's mean brightness (of 255) above its median over the track, cut at 127.
    """

    offsets: Floats
    grids: NDArray[np.int8]
    track: int = 0

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
class MediaFingerprints:
    """What the sandboxed child gives back of one piece of media.

    `pictures`: (224, 224, 3) uint8 RGB, spread over the media, where a classifier wants them.
    `local`: local features, one value a track and rendering, where they are wanted.
    `motion`: beside local features of a video, one value a track.
    `sound`: peaks of the sound, one value a track, where they are wanted and there are any.
    `to_describe`: pictures for a descriptor model, one value a track, where they are wanted.
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


@dataclass(frozen=True, slots=True)
class Digests:
    """Digests of the file's bytes, lower-case hex. FIPS 180-4 SHA-256, RFC 1321 MD5."""

    sha256: str | None = None
    md5: str | None = None


@dataclass(frozen=True, slots=True)
class Bank:
    """A set of references that share a label and an action. `allow` makes it an allow-list."""

    id: str
    name: str
    action: Action
    label: str | None
    enabled: bool
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Reference:
    """One confirmed piece of media in one bank.

    `origin` is the partner's id of it where it came through an exchange. Withdrawn references
    stay in the table for the record, and match nothing.
    """

    id: str
    bank: Bank
    kind: MediaKind
    digests: Digests
    source: str | None
    origin: str | None
    duration_s: float | None
    frames: int
    standing: Standing
    enabled: bool
    added_at: datetime
    withdrawn_at: datetime | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def enforceable(self) -> bool:
        """Whether a match with it may count."""
        return self.enabled and self.withdrawn_at is None and self.bank.enabled


@dataclass(frozen=True, slots=True)
class Query:
    """One upload as it is asked about."""

    upload_id: str
    digests: Digests


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of presentation time, in seconds; a still image has [0, 0]."""

    start: float
    end: float

    @property
    def seconds(self) -> float:
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class SegmentPair:
    """The same footage in the query and in the reference."""

    query: Segment
    reference: Segment


@dataclass(frozen=True, slots=True)
class FrameMatch:
    """One query frame that agrees with an alignment: the evidence that an allow-list can explain.

    `group` numbers the query frames that look alike: frames of one group count once. `line`
    numbers the runs of frames that agree on one speed and offset. `before` and `after`: the
    seconds to each side of `offset` that this sample stands for. `rarity`: 1 where no incident but
    the reference's own holds the picture, down to 0 (`matcher.rarity`).
    """

    offset: float
    reference_offset: float
    distance: int
    group: int
    track: int
    view: View
    line: int = 0
    before: float = 0.0
    after: float = 0.0
    rarity: float = 1.0


@dataclass(frozen=True, slots=True)
class Alignment:
    """A reference's footage found in a query, by one signal type, in one placing of the picture.

    `score` is 0 to 1: the calibrated probability by this alignment alone, at the calibration's own
    prior (`matcher.calibration`). `speed` is reference seconds a query second. `evidence`: the
    log-odds that its distinct pictures add (`matcher.score.evidence`), which no prior is in yet.
    """

    reference_id: str
    signal_type: str
    orientation: Orientation
    segments: tuple[SegmentPair, ...]
    frames: tuple[FrameMatch, ...]
    score: float
    speed: float = 1.0
    evidence: float = 0.0


@dataclass(frozen=True, slots=True)
class Signal:
    """One signal type's part in a match."""

    signal_type: str
    score: float


@dataclass(frozen=True, slots=True)
class Match:
    """One reference found in one upload, by any number of signals.

    `exact`: the file's digest is equal, by the signal types named in `signals`.
    """

    reference: Reference
    score: float
    signals: tuple[Signal, ...]
    segments: tuple[SegmentPair, ...]
    alignments: tuple[Alignment, ...] = ()

    @property
    def exact(self) -> bool:
        return any(s.signal_type in ("sha256", "md5") for s in self.signals)


@dataclass(frozen=True, slots=True)
class Classification:
    """A classifier's probability (0 to 1) that the upload shows `label`; `source` says whose."""

    label: str
    score: float
    source: str


@dataclass(frozen=True, slots=True)
class Reason:
    """Why the action was taken: `code` for machines, `text` for people, all codes that applied."""

    code: str
    text: str
    codes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the machine concluded of one upload."""

    upload_id: str
    action: Action
    reason: Reason
    matches: tuple[Match, ...]
    coverage: Coverage
    classifications: tuple[Classification, ...]
    policy_version: str
    timings_ms: Mapping[str, float]
    judged_at: datetime


@dataclass(frozen=True, slots=True)
class FoundLater:
    """What a look-back concluded of an upload by what was known then; its verdict stays beside it.

    `number` rises in the order of commits. `found.judged_at` is the look-back's; its coverage is
    that of the fingerprints that were kept. `review_id`: the review that it was brought before.
    """

    number: int
    verdict: Verdict
    found: Verdict
    review_id: str

    @property
    def new_references(self) -> tuple[str, ...]:
        """Those that the verdict did not name."""
        known = {m.reference.id for m in self.verdict.matches}
        return tuple(m.reference.id for m in self.found.matches if m.reference.id not in known)


@dataclass(frozen=True, slots=True)
class Review:
    """A verdict that waits for a person."""

    id: str
    upload_id: str
    verdict_id: str
    queue: str
    opened_at: datetime
    claimed_by: str | None = None
    claimed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """What a person ruled on a review."""

    id: str
    review_id: str
    upload_id: str
    action: Action
    label: str | None
    reviewer: str
    rationale: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Key:
    """An API key, without its secret: `secret_hash` stays in the store."""

    id: str
    name: str
    role: Role
    created_at: datetime
    revoked_at: datetime | None = None


class ChangeKind(StrEnum):
    ADD = "add"
    WITHDRAW = "withdraw"
    ENABLE = "enable"
    DISABLE = "disable"


@dataclass(frozen=True, slots=True)
class Change:
    """One line of the append-only change log. `number` rises in the order of commits."""

    number: int
    kind: ChangeKind
    reference_id: str
    bank_id: str
    at: datetime


class JobState(StrEnum):
    PENDING = "pending"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Job:
    """Work that was promised to a caller and outlives the process that took it."""

    id: str
    kind: str
    key_id: str
    payload: Mapping[str, Any]
    state: JobState
    attempts: int
    created_at: datetime
    finished_at: datetime | None = None
    result: Mapping[str, Any] | None = None
    problem: Mapping[str, Any] | None = None
    run_id: str | None = None
    outcome: str | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """A walk over many things (the objects of an archive, past uploads), each of which becomes a
    job. `walked`: it came to the end; `cursor`: how far it came, where it can go on from there."""

    id: str
    kind: str
    subject: str
    options: Mapping[str, Any]
    walked: bool
    cursor: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class RunCounts:
    """How many items a run has, and how many of them ended, by outcome."""

    listed: int
    ended: Mapping[str, int]

    @property
    def in_hand(self) -> int:
        """Items that wait, or are worked at."""
        return self.listed - sum(self.ended.values())


@dataclass(frozen=True, slots=True)
class Exchange:
    """A partner's feed that is read into a bank, and how far it was read."""

    id: str
    partner: str
    bank_id: str
    checkpoint: str | None
    synced_at: datetime | None


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """Who did what, and when."""

    at: datetime
    actor: str
    act: str
    subject: str
    detail: Mapping[str, Any] = field(default_factory=dict)
