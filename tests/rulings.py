"""What a decision is made of: matches out of a few numbers, and the decision on them."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from hashdb.model import (
    Action,
    Alignment,
    Bank,
    Classification,
    Coverage,
    Digests,
    FrameMatch,
    Match,
    MediaKind,
    Orientation,
    Query,
    Reference,
    Segment,
    SegmentPair,
    Standing,
    View,
)
from matcher.cells import cells_within
from matcher.decide import Evidence, Failure, Ruling, decide
from matcher.policy import Policy, parse_policy
from matcher.score import as_match, rescore

AT = datetime(2026, 11, 1, tzinfo=UTC)
DIGESTS = Digests("0" * 64, "0" * 32)
SURE, LIKELY, VAGUE = 4, 30, 44
"""PDQ distances of a lone picture that say much, some and little."""


def policy(text: str = "") -> Policy:
    return parse_policy(f'version = "t"\n{text}'.encode(), "p.toml")


def reference(name: str, bank: str, action: str = "block", label: str | None = None) -> Reference:
    return Reference(
        id=name,
        bank=Bank(f"bank_{bank}", bank, Action(action), label, True, AT),
        kind=MediaKind.VIDEO,
        digests=DIGESTS,
        source=None,
        origin=None,
        duration_s=60.0,
        frames=600,
        standing=Standing.POSITIVE,
        enabled=True,
        added_at=AT,
    )


def frames(
    start: float, end: float, distance: int = 8, view: View = View.FULL, track: int = 0
) -> list[FrameMatch]:
    """A distinct frame every half second from `start` up to `end`, at the reference's own time."""
    times = [start + i / 2 for i in range(round((end - start) * 2))]
    return [
        FrameMatch(t + 0.25, t + 0.25, distance, round(t * 2), track, view, 0, 0.25, 0.25)
        for t in times
    ]


def shown(
    ref: Reference, found: Sequence[FrameMatch], signal_type: str = "pdq", *, video: bool = True
) -> Match:
    """The match that those frames make."""
    empty = Alignment(ref.id, signal_type, Orientation.ORIGINAL, (), (), 0.0)
    alignment = rescore(empty, found, video=video)
    assert alignment is not None
    return as_match(ref, [alignment])


LEFT = cells_within(0, 0, 112, 255)
RIGHT = cells_within(143, 0, 255, 255)
WHOLE = cells_within(0, 0, 255, 255)


def local(ref: Reference, cells: int) -> Match:
    """The match that local features in those cells make."""
    return shown(ref, [replace(f, cells=cells) for f in frames(0, 10)], "local")


def scored(ref: Reference, score: float, start: float = 0.0, end: float = 20.0) -> Match:
    """A match of that score over those seconds."""
    segment = Segment(start, end)
    alignment = Alignment(
        ref.id,
        "pdq",
        Orientation.ORIGINAL,
        (SegmentPair(segment, segment),),
        tuple(frames(start, end)),
        score,
    )
    return as_match(ref, [alignment])


def exact(ref: Reference, *names: str) -> Match:
    whole = SegmentPair(Segment(0.0, 20.0), Segment(0.0, 20.0))
    return as_match(ref, [], names or ("sha256",), whole)


def judge(
    *matches: Match,
    rules: str = "",
    coverage: Coverage | None = None,
    total_s: float = 20.0,
    kind: MediaKind = MediaKind.VIDEO,
    classifications: Sequence[Classification] = (),
    failures: Sequence[Failure] = (),
    digest_only: bool = False,
) -> Ruling:
    return decide(
        Evidence(
            Query("u1", DIGESTS),
            kind,
            coverage or Coverage(total_s, total_s, 40, 0),
            tuple(matches),
            tuple(classifications),
            tuple(failures),
            digest_only,
        ),
        policy(rules),
    )


def says(ruling: Ruling) -> tuple[str, str]:
    return ruling.action.value, ruling.reason.code


BAD = reference("ref_bad", "attacks")
NEWS = reference("ref_news", "news", "allow")
