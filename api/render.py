"""Values into the API's answers; the command line prints the same."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from api import schemas
from api.problems import PROBLEMS
from hashdb.model import (
    AuditEntry,
    Bank,
    Coverage,
    Decision,
    Digests,
    Fingerprint,
    FoundLater,
    Job,
    Match,
    MediaFingerprints,
    Orientation,
    Reference,
    Review,
    Segment,
    Verdict,
)
from hashdb.signals import codes_to_hex

MILLISECOND = 3  # digits of seconds that are shown
SCORE = 4  # digits of scores that are shown


def verdict_json(verdict: Verdict) -> dict[str, Any]:
    """The answer to `POST /match`, and a line of `seawall match --json`."""
    return verdict_out(verdict).model_dump(mode="json")


def hash_json(look: MediaFingerprints, digests: Digests) -> dict[str, Any]:
    """The answer to `POST /hash`, and a line of `seawall hash --json`."""
    return hash_out(look, digests).model_dump(mode="json")


def reference_json(reference: Reference) -> dict[str, Any]:
    return reference_out(reference).model_dump(mode="json")


def bank_json(bank: Bank) -> dict[str, Any]:
    return bank_out(bank).model_dump(mode="json")


def verdict_out(verdict: Verdict) -> schemas.VerdictOut:
    reason = verdict.reason
    return schemas.VerdictOut(
        upload_id=verdict.upload_id,
        action=verdict.action,
        reason=schemas.ReasonOut(
            code=reason.code, text=reason.text, codes=list(reason.codes or (reason.code,))
        ),
        matches=[match_out(m) for m in verdict.matches],
        coverage=coverage_out(verdict.coverage),
        classifications=[
            schemas.ClassificationOut(label=c.label, score=round(c.score, SCORE), source=c.source)
            for c in verdict.classifications
        ],
        policy_version=verdict.policy_version,
        timings_ms={name: round(ms, 2) for name, ms in verdict.timings_ms.items()},
        judged_at=verdict.judged_at,
    )


def verdict_read_out(
    verdict: Verdict, found: FoundLater | None, decision: Decision | None
) -> schemas.VerdictRead:
    ruling = None
    if decision is not None:
        ruling = schemas.RulingOut(action=decision.action, label=decision.label, at=decision.at)
    later = None if found is None else found_later_out(found)
    return schemas.VerdictRead(**dict(verdict_out(verdict)), found_later=later, decision=ruling)


def found_later_out(later: FoundLater) -> schemas.FoundLaterOut:
    out = verdict_out(later.found)
    return schemas.FoundLaterOut(
        action=out.action,
        reason=out.reason,
        matches=out.matches,
        new_references=list(later.new_references),
        policy_version=out.policy_version,
        found_at=out.judged_at,
    )


def found_later_item(later: FoundLater) -> schemas.FoundLaterItem:
    return schemas.FoundLaterItem(
        number=str(later.number),
        upload_id=later.verdict.upload_id,
        verdict=verdict_out(later.verdict),
        found_later=found_later_out(later),
        review_id=later.review_id,
    )


def _ends(bounds: tuple[float, float]) -> tuple[float, float]:
    return round(bounds[0], SCORE), round(bounds[1], SCORE)


def match_out(match: Match) -> schemas.MatchOut:
    return schemas.MatchOut(
        bank=match.reference.bank.name,
        label=match.reference.bank.label,
        reference_id=match.reference.id,
        score=round(match.score, SCORE),
        score_bounds=None if match.bounds is None else _ends(match.bounds),
        exact=match.exact,
        signals=[
            schemas.SignalOut(signal_type=s.signal_type, score=round(s.score, SCORE))
            for s in match.signals
        ],
        segments=[
            schemas.SegmentOut(
                query=_span(s.query), reference=_span(s.reference), backwards=s.backwards
            )
            for s in match.segments
        ],
    )


def _span(segment: Segment) -> schemas.SpanOut:
    return schemas.SpanOut(
        start=round(segment.start, MILLISECOND), end=round(segment.end, MILLISECOND)
    )


def coverage_out(coverage: Coverage) -> schemas.CoverageOut:
    return schemas.CoverageOut(
        judged_s=round(coverage.judged_s, MILLISECOND),
        total_s=round(coverage.total_s, MILLISECOND),
        frames=coverage.frames,
        flat_frames=coverage.flat_frames,
        truncated=coverage.truncated,
    )


def fingerprints_out(fingerprints: Iterable[Fingerprint]) -> list[schemas.FingerprintOut]:
    """The upright ones that have frames: the other placings of a picture follow from them."""
    return [
        _fingerprint(f) for f in fingerprints if len(f) and f.orientation is Orientation.ORIGINAL
    ]


def _fingerprint(f: Fingerprint) -> schemas.FingerprintOut:
    rows = zip(
        f.offsets.tolist(), codes_to_hex(f.codes), f.quality.tolist(), f.spans.tolist(), strict=True
    )
    frames = [
        schemas.FrameOut(offset=round(offset, 6), hash=code, quality=quality, span=round(span, 6))
        for offset, code, quality, span in rows
    ]
    return schemas.FingerprintOut(
        signal_type=f.signal_type, pipeline=f.pipeline, track=f.track, view=f.view, frames=frames
    )


def hash_out(look: MediaFingerprints, digests: Digests) -> schemas.HashOut:
    return schemas.HashOut(
        kind=look.kind,
        sha256=digests.sha256 or "",
        md5=digests.md5 or "",
        duration=round(look.coverage.total_s, MILLISECOND),
        coverage=coverage_out(look.coverage),
        fingerprints=fingerprints_out(look.fingerprints),
    )


def bank_out(bank: Bank) -> schemas.BankOut:
    return schemas.BankOut(
        id=bank.id,
        name=bank.name,
        action=bank.action,
        label=bank.label,
        enabled=bank.enabled,
        created_at=bank.created_at,
    )


def reference_out(reference: Reference) -> schemas.ReferenceOut:
    return schemas.ReferenceOut(
        id=reference.id,
        bank=reference.bank.name,
        bank_id=reference.bank.id,
        kind=reference.kind,
        sha256=reference.digests.sha256,
        md5=reference.digests.md5,
        source=reference.source,
        origin=reference.origin,
        duration_s=reference.duration_s,
        frames=reference.frames,
        standing=reference.standing,
        enabled=reference.enabled,
        enforceable=reference.enforceable,
        added_at=reference.added_at,
        withdrawn_at=reference.withdrawn_at,
        metadata=dict(reference.metadata),
    )


def review_out(review: Review, later: FoundLater | None) -> schemas.ReviewOut:
    return schemas.ReviewOut(
        id=review.id,
        upload_id=review.upload_id,
        queue=review.queue,
        opened_at=review.opened_at,
        claimed_by=review.claimed_by,
        claimed_at=review.claimed_at,
        found_later=None if later is None else found_later_out(later),
    )


def review_read_out(
    review: Review, verdict: Verdict, later: FoundLater | None, decision: Decision | None
) -> schemas.ReviewRead:
    return schemas.ReviewRead(
        **dict(review_out(review, later)),
        verdict=verdict_out(verdict),
        decision=None if decision is None else decision_out(decision),
    )


def decision_out(decision: Decision) -> schemas.DecisionOut:
    return schemas.DecisionOut(
        id=decision.id,
        review_id=decision.review_id,
        upload_id=decision.upload_id,
        action=decision.action,
        label=decision.label,
        reviewer=decision.reviewer,
        rationale=decision.rationale,
        at=decision.at,
    )


def audit_out(entry: AuditEntry) -> schemas.AuditOut:
    return schemas.AuditOut(
        at=entry.at,
        actor=entry.actor,
        act=entry.act,
        subject=entry.subject,
        detail=dict(entry.detail),
    )


def job_out(job: Job) -> schemas.JobOut:
    """A promise; what a job holds as its result is of its kind."""
    problem = None if job.problem is None else completed(job.problem)
    judges = "upload_id" in job.payload
    verdict, reference = (job.result, None) if judges else (None, job.result)
    return schemas.JobOut(
        job_id=job.id,
        status=job.state,
        upload_id=str(job.payload["upload_id"]) if judges else None,
        verdict=None if verdict is None else schemas.VerdictOut.model_validate(dict(verdict)),
        reference=(
            None if reference is None else schemas.ReferenceOut.model_validate(dict(reference))
        ),
        problem=None if problem is None else schemas.ProblemOut.model_validate(problem),
        created_at=job.created_at,
        finished_at=job.finished_at,
    )


def completed(stored: Mapping[str, Any]) -> dict[str, Any]:
    """A stored problem; one that the store wrote has a bare slug as its type."""
    kind = PROBLEMS.get(str(stored.get("type")))
    if kind is None:
        return dict(stored)
    return {"title": kind.title, **stored, "type": kind.uri, "status": kind.status}


def feed_add(
    checkpoint: int, reference: Reference, fingerprints: Iterable[Fingerprint]
) -> schemas.FeedAdd:
    """A line of the exchange feed: see docs/exchange.md."""
    return schemas.FeedAdd(
        checkpoint=str(checkpoint),
        reference_id=reference.id,
        bank=reference.bank.name,
        label=reference.bank.label,
        action=reference.bank.action,
        kind=reference.kind,
        sha256=reference.digests.sha256,
        md5=reference.digests.md5,
        duration_s=reference.duration_s,
        added_at=reference.added_at,
        fingerprints=fingerprints_out(fingerprints),
    )
