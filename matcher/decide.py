"""Evidence and policy into a ruling. Pure: no clock, no database, no file.

Each rule makes findings: a code, the action that it asks for, a sentence. The ruling's action is
the gravest that any finding asks for, so more evidence never lowers it; only an allow-list does,
by taking evidence away before the rules look at it. docs/policy.md explains the rules and codes,
docs/decisions/0006-combining-evidence.md says why they are so.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from hashdb.model import (
    Action,
    Alignment,
    Classification,
    Coverage,
    Match,
    MediaKind,
    Reason,
)
from matcher.allowing import Explained
from matcher.calibration import CALIBRATION, restated
from matcher.findings import (
    Evidence,
    Failure,
    Finding,
    ReasonCode,
    Ruled,
    combined_findings,
    coverage_findings,
    digests,
    failure_findings,
    match_findings,
    named,
    rule,
    score_findings,
)
from matcher.policy import Policy
from matcher.score import as_match, bounds, rescore

__all__ = ["Evidence", "Failure", "ReasonCode", "Ruling", "decide"]

SENTENCES = 4
"""Findings that a reason's text spells out; the codes name all."""


@dataclass(frozen=True, slots=True)
class Ruling:
    """What follows from the evidence.

    `matches`: those that had a say, gravest first; what an allow-list explains is left out.
    """

    action: Action
    reason: Reason
    matches: tuple[Match, ...]
    classifications: tuple[Classification, ...]


def decide(evidence: Evidence, policy: Policy) -> Ruling:
    """What to do with the upload, and why. The same evidence in any order gives the same ruling."""
    evidence = _finite(evidence)
    ruled = [rule(m, policy) for m in _counted(evidence.matches, policy)]
    allowed = [r for r in ruled if r.limits.action is Action.ALLOW]
    listed = [r for r in ruled if r.limits.action is not Action.ALLOW]
    known_good = any("sha256" in digests(r.match) for r in allowed)
    if known_good:
        remaining = [k for r in listed if (k := _kept(r, (), policy)) is not None]
    else:
        video = evidence.kind is MediaKind.VIDEO
        remaining = _unexplained(listed, Explained(allowed), policy, video=video)
    findings = [
        *_allow_findings(allowed),
        *match_findings(remaining, evidence.coverage),
        *score_findings(evidence.classifications, policy),
        *combined_findings(remaining, evidence, policy),
        *failure_findings(evidence.failures, policy),
    ]
    known = [f.action for f in findings if f.code is ReasonCode.SHA256_MATCH]
    if not known_good:
        findings += coverage_findings(evidence, policy, known)
    return _ruling(findings, evidence, policy.score.prior)


def _finite(evidence: Evidence) -> Evidence:
    """Scores brought into 0 to 1; one that is no number counts as its part's failure."""
    failures = list(evidence.failures)
    classifications = []
    for one in evidence.classifications:
        if math.isnan(one.score):
            failures.append(Failure("classifier", f"the score of {one.label} is not a number"))
        else:
            classifications.append(replace(one, score=min(1.0, max(0.0, one.score))))
    matches = []
    for match in evidence.matches:
        if any(math.isnan(s) for s in (match.score, *(a.score for a in match.alignments))):
            failures.append(Failure("matching", f"the score of {match.reference.id} is no number"))
        else:
            matches.append(match)
    return replace(
        evidence,
        matches=tuple(sorted(matches, key=lambda m: m.reference.id)),
        classifications=tuple(sorted(classifications, key=lambda c: (-c.score, c.label, c.source))),
        failures=tuple(sorted(failures, key=lambda f: (f.part, f.text))),
    )


def _counted(matches: Iterable[Match], policy: Policy) -> Iterator[Match]:
    """The matches by the signal types that the policy counts, at the policy's prior."""
    for match in (_stated(m, policy.score.prior) for m in matches):
        if all(s.signal_type in policy.signals for s in match.signals):
            yield match
            continue
        alignments = [a for a in match.alignments if a.signal_type in policy.signals]
        equal = [name for name in digests(match) if name in policy.signals]
        rest = _rebuilt(match, alignments, equal, policy)
        if rest is not None:
            yield rest


def _stated(match: Match, prior: float) -> Match:
    """The match with its scores at that prior; they come at the calibration's own."""

    def at(score: float) -> float:
        return restated(score, CALIBRATION.prior, prior)

    return replace(
        match,
        score=at(match.score),
        signals=tuple(replace(s, score=at(s.score)) for s in match.signals),
        alignments=tuple(replace(a, score=at(a.score)) for a in match.alignments),
    )


def _rebuilt(
    match: Match, alignments: Sequence[Alignment], equal: Sequence[str], policy: Policy
) -> Match | None:
    """The match with these alignments and equal digests as its only evidence."""
    if not alignments and not equal:
        return None
    whole = match.segments[0] if equal and match.segments else None
    return as_match(match.reference, alignments, equal, whole, prior=policy.score.prior)


def _unexplained(
    listed: Iterable[Ruled], explained: Explained, policy: Policy, *, video: bool
) -> list[Ruled]:
    """The matches scored anew by the frames that no allow-list explains."""
    remaining = []
    prior = policy.score.prior
    for ruled in listed:
        alignments = []
        for alignment, frames in explained.left(ruled.match.alignments):
            if len(frames) == len(alignment.frames):
                alignments.append(alignment)
            elif (rest := rescore(alignment, frames, video=video, prior=prior)) is not None:
                alignments.append(rest)
        kept = _kept(ruled, tuple(alignments), policy)
        if kept is not None:
            remaining.append(kept)
    return remaining


def _kept(ruled: Ruled, alignments: tuple[Alignment, ...], policy: Policy) -> Ruled | None:
    """The match with these alignments and its digests, which nothing explains away."""
    if alignments and alignments == ruled.match.alignments:
        return ruled
    rest = _rebuilt(ruled.match, alignments, digests(ruled.match), policy)
    return None if rest is None else rule(rest, policy)


def _allow_findings(allowed: Iterable[Ruled]) -> Iterator[Finding]:
    for ruled in allowed:
        exact = "sha256" in digests(ruled.match)
        if exact or ruled.score >= ruled.limits.confident:
            which = "Is the very file of" if exact else "Shows"
            text = f"{which} {named(ruled.match)}, an allow-list."
            yield Finding(
                ReasonCode.ALLOW_LISTED, Action.ALLOW, text, ruled.match.score, ruled.match
            )


# The ruling.


def _ruling(findings: Sequence[Finding], evidence: Evidence, prior: float) -> Ruling:
    if not findings:
        text = f"No match: {_seen(evidence.coverage)} looked at."
        findings = [Finding(ReasonCode.NO_MATCH, Action.ALLOW, text)]
    order = list(ReasonCode)
    ordered = sorted(
        findings, key=lambda f: (-f.action.severity, order.index(f.code), -f.weight, f.text)
    )
    text = " ".join(f.text for f in ordered[:SENTENCES])
    if len(ordered) > SENTENCES:
        text += f" And {len(ordered) - SENTENCES} more."
    codes = tuple(dict.fromkeys(f.code.value for f in ordered))
    matches = {f.match.reference.id: f.match for f in ordered if f.match is not None}
    return Ruling(
        action=ordered[0].action,
        reason=Reason(codes[0], text, codes),
        matches=tuple(replace(m, bounds=bounds(m, prior)) for m in matches.values()),
        classifications=evidence.classifications,
    )


def _seen(coverage: Coverage) -> str:
    if coverage.total_s > 0:
        return f"{coverage.judged_s:.1f} s of {coverage.total_s:.1f} s were"
    return "the picture was"
