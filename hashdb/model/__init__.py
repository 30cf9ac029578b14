"""Every noun, as a frozen value. Standard library and numpy only.

Times within media are seconds of presentation time (float). Times of the world are
timezone-aware `datetime` in UTC. Ids are strings.
"""

from hashdb.model.banks import (
    Bank,
    Change,
    ChangeKind,
    Exchange,
    Reference,
)
from hashdb.model.casework import (
    AuditEntry,
    Decision,
    Key,
    Review,
)
from hashdb.model.ids import (
    first_id,
    new_id,
    now,
)
from hashdb.model.prints import (
    Codes,
    Coverage,
    Descriptors,
    Digests,
    Fingerprint,
    Floats,
    Ints,
    LocalFeatures,
    MediaFingerprints,
    Motion,
    Pictures,
    SignalType,
    SoundPeaks,
    Strand,
)
from hashdb.model.verdicts import (
    Alignment,
    Classification,
    FoundLater,
    FrameMatch,
    Match,
    Query,
    Reason,
    Segment,
    SegmentPair,
    Signal,
    Verdict,
)
from hashdb.model.words import (
    Action,
    MediaKind,
    Orientation,
    Rendering,
    Role,
    Standing,
    View,
)
from hashdb.model.work import (
    Job,
    JobState,
    Run,
    RunCounts,
)

__all__ = [
    "Action",
    "Alignment",
    "AuditEntry",
    "Bank",
    "Change",
    "ChangeKind",
    "Classification",
    "Codes",
    "Coverage",
    "Decision",
    "Descriptors",
    "Digests",
    "Exchange",
    "Fingerprint",
    "Floats",
    "FoundLater",
    "FrameMatch",
    "Ints",
    "Job",
    "JobState",
    "Key",
    "LocalFeatures",
    "Match",
    "MediaFingerprints",
    "MediaKind",
    "Motion",
    "Orientation",
    "Pictures",
    "Query",
    "Reason",
    "Reference",
    "Rendering",
    "Review",
    "Role",
    "Run",
    "RunCounts",
    "Segment",
    "SegmentPair",
    "Signal",
    "SignalType",
    "SoundPeaks",
    "Standing",
    "Strand",
    "Verdict",
    "View",
    "first_id",
    "new_id",
    "now",
]
