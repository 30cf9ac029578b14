"""What is concluded of an upload: footage found in it, and what is to be done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from hashdb.model.banks import Reference
from hashdb.model.prints import Coverage, Digests
from hashdb.model.words import Action, Orientation, View


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
    """The same footage in the query and in the reference; `backwards`: it is played so in the
    query, whose start shows the reference's end."""

    query: Segment
    reference: Segment
    backwards: bool = False


@dataclass(frozen=True, slots=True)
class FrameMatch:
    """One query frame that agrees with an alignment: the evidence that an allow-list can explain.

    `group` numbers the query frames that look alike: frames of one group count once. `line`
    numbers the runs of frames that agree on one speed and offset. `before` and `after`: the
    seconds to each side of `offset` that this sample stands for. `rarity`: 1 where no incident but
    the reference's own holds the picture, down to 0 (`matcher.rarity`). `cells`: where in the
    query's picture the evidence lies (`matcher.cells`), of local features and of panes; 0 where
    nothing tells.
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
    cells: int = 0


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

    `exact`: the file's digest is equal, by the signal types named in `signals`. `bounds`: between
    which the score lies, where it is calibrated and was ruled on.
    """

    reference: Reference
    score: float
    signals: tuple[Signal, ...]
    segments: tuple[SegmentPair, ...]
    alignments: tuple[Alignment, ...] = ()
    bounds: tuple[float, float] | None = None

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
