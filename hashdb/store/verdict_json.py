"""A verdict as JSON at rest, and back.

The JSON holds what was concluded at the time, each matched reference and its bank included: a
bank that is renamed later, or a reference that is withdrawn, does not change a past verdict.
`Match.alignments` are left out: their segments, signals and scores are in the match already.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from hashdb.errors import DatabaseUnavailable
from hashdb.model import (
    Action,
    Bank,
    Classification,
    Coverage,
    Digests,
    Match,
    MediaKind,
    Reason,
    Reference,
    Segment,
    SegmentPair,
    Signal,
    Standing,
    Verdict,
)

VERSION = 1
Json = dict[str, Any]


def to_json(verdict: Verdict) -> Json:
    """Plain JSON values; numbers keep their full precision, moments are ISO 8601 with a zone."""
    return {
        "version": VERSION,
        "upload_id": verdict.upload_id,
        "action": verdict.action.value,
        "reason": {
            "code": verdict.reason.code,
            "text": verdict.reason.text,
            "codes": list(verdict.reason.codes),
        },
        "matches": [_match_to_json(m) for m in verdict.matches],
        "coverage": {
            "judged_s": float(verdict.coverage.judged_s),
            "total_s": float(verdict.coverage.total_s),
            "frames": int(verdict.coverage.frames),
            "flat_frames": int(verdict.coverage.flat_frames),
            "truncated": bool(verdict.coverage.truncated),
        },
        "classifications": [
            {"label": c.label, "score": float(c.score), "source": c.source}
            for c in verdict.classifications
        ],
        "policy_version": verdict.policy_version,
        "timings_ms": {name: float(ms) for name, ms in verdict.timings_ms.items()},
        "judged_at": verdict.judged_at.isoformat(),
    }


def from_json(body: Mapping[str, Any]) -> Verdict:
    """The verdict of `to_json`'s answer; `DatabaseUnavailable` where it is of another version."""
    if body.get("version") != VERSION:
        raise DatabaseUnavailable(f"a verdict has the unknown version {body.get('version')!r}")
    reason = body["reason"]
    return Verdict(
        upload_id=body["upload_id"],
        action=Action(body["action"]),
        reason=Reason(reason["code"], reason["text"], tuple(reason["codes"])),
        matches=tuple(_match_from_json(m) for m in body["matches"]),
        coverage=Coverage(**body["coverage"]),
        classifications=tuple(Classification(**c) for c in body["classifications"]),
        policy_version=body["policy_version"],
        timings_ms=dict(body["timings_ms"]),
        judged_at=datetime.fromisoformat(body["judged_at"]),
    )


def _match_to_json(match: Match) -> Json:
    return {
        "reference": _reference_to_json(match.reference),
        "score": float(match.score),
        "bounds": None if match.bounds is None else [float(end) for end in match.bounds],
        "signals": [{"signal_type": s.signal_type, "score": float(s.score)} for s in match.signals],
        "segments": [_segment_to_json(pair) for pair in match.segments],
    }


def _match_from_json(body: Mapping[str, Any]) -> Match:
    ends = body.get("bounds")  # verdicts of before they were kept have none
    return Match(
        reference=_reference_from_json(body["reference"]),
        score=body["score"],
        signals=tuple(Signal(**s) for s in body["signals"]),
        segments=tuple(_segment_from_json(pair) for pair in body["segments"]),
        bounds=None if ends is None else (ends[0], ends[1]),
    )


def _segment_to_json(pair: SegmentPair) -> list[float]:
    """Both ends of both; those of the reference in the order in which they are shown."""
    query, shown = pair.query, pair.reference
    ends = (shown.end, shown.start) if pair.backwards else (shown.start, shown.end)
    return [float(t) for t in (query.start, query.end, *ends)]


def _segment_from_json(ends: Sequence[float]) -> SegmentPair:
    start, end, first, last = ends
    low, high = sorted((first, last))
    return SegmentPair(Segment(start, end), Segment(low, high), backwards=first > last)


def _reference_to_json(reference: Reference) -> Json:
    bank, withdrawn = reference.bank, reference.withdrawn_at
    return {
        "id": reference.id,
        "bank": {
            "id": bank.id,
            "name": bank.name,
            "action": bank.action.value,
            "label": bank.label,
            "enabled": bank.enabled,
            "created_at": bank.created_at.isoformat(),
        },
        "kind": reference.kind.value,
        "sha256": reference.digests.sha256,
        "md5": reference.digests.md5,
        "source": reference.source,
        "origin": reference.origin,
        "duration_s": None if reference.duration_s is None else float(reference.duration_s),
        "frames": int(reference.frames),
        "standing": reference.standing.value,
        "enabled": reference.enabled,
        "added_at": reference.added_at.isoformat(),
        "withdrawn_at": withdrawn.isoformat() if withdrawn else None,
        "metadata": dict(reference.metadata),
    }


def _reference_from_json(body: Mapping[str, Any]) -> Reference:
    bank, withdrawn = body["bank"], body["withdrawn_at"]
    return Reference(
        id=body["id"],
        bank=Bank(
            id=bank["id"],
            name=bank["name"],
            action=Action(bank["action"]),
            label=bank["label"],
            enabled=bank["enabled"],
            created_at=datetime.fromisoformat(bank["created_at"]),
        ),
        kind=MediaKind(body["kind"]),
        digests=Digests(body["sha256"], body["md5"]),
        source=body["source"],
        origin=body["origin"],
        duration_s=body["duration_s"],
        frames=body["frames"],
        standing=Standing(body["standing"]),
        enabled=body["enabled"],
        added_at=datetime.fromisoformat(body["added_at"]),
        withdrawn_at=datetime.fromisoformat(withdrawn) if withdrawn else None,
        metadata=dict(body["metadata"]),
    )
