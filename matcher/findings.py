"""The rules: evidence into findings, each with the action that it asks for. Pure.

For operators they are explained in docs/policy.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import product

from hashdb.model import (
    Action,
    Alignment,
    Classification,
    Coverage,
    Match,
    MediaKind,
    Query,
    Segment,
)
from hashdb.signals import CARD
from matcher.policy import CombinedRules, Policy, Thresholds
from matcher.score import together


class ReasonCode(StrEnum):
    """Why an action was taken. Of findings that ask for the same action the first here leads."""

    SHA256_MATCH = "sha256_match"
    CONFIDENT_MATCH = "confident_match"
    SHORT_MATCH = "short_match"
    SOUND_ALONE = "sound_alone"
    MD5_MATCH = "md5_match"
    COMBINED_SIGNALS = "combined_signals"
    POSSIBLE_MATCH = "possible_match"
    CLASSIFIER_SCORE = "classifier_score"
    INDEX_FAILED = "index_failed"
    CLASSIFIER_FAILED = "classifier_failed"
    PART_FAILED = "part_failed"
    NOTHING_JUDGED = "nothing_judged"
    ONLY_FLAT_FRAMES = "only_flat_frames"
    LOW_COVERAGE = "low_coverage"
    TRUNCATED = "truncated"
    DIGEST_ONLY = "digest_only"
    ALLOW_LISTED = "allow_listed"
    NO_MATCH = "no_match"


@dataclass(frozen=True, slots=True)
class Failure:
    """A part that was needed and failed: "index", "classifier" or another's name."""

    part: str
    text: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that is known of one upload.

    `matches`: with enforceable references only, those of allow-lists included, in any order.
    `digest_only`: the caller sent digests and no fingerprint, and asked for no more.
    """

    query: Query
    kind: MediaKind
    coverage: Coverage
    matches: tuple[Match, ...] = ()
    classifications: tuple[Classification, ...] = ()
    failures: tuple[Failure, ...] = ()
    digest_only: bool = False


@dataclass(frozen=True, slots=True)
class Finding:
    """One rule's result; `weight` (0 to 1) orders findings of one code, `match` is its evidence."""

    code: ReasonCode
    action: Action
    text: str
    weight: float = 0.0
    match: Match | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """The score and the upload's stretches of one alignment, or of what pictures and sound show
    together. `heard`: by sound, and no pictures of the reference ask for anything themselves."""

    score: float
    stretches: tuple[Segment, ...]
    heard: bool = False


IN_PART = "Not all of the file was looked at: it is damaged, or more pictures follow on the first."

COUNTED_S = 0.1
"""Seconds of what is shown that are told if they do not count."""

LIKENESS = ("neural", CARD)
"""Signal types that cannot tell a copy from its like, and ask for a review at most: descriptors,
and title cards, of which others lay out theirs likewise."""


@dataclass(frozen=True, slots=True)
class Ruled:
    """A match with its bank's thresholds. `parts`: by what can tell a copy from its like.
    `likeness`: the score by those that cannot (`LIKENESS`). Digests are left aside."""

    match: Match
    limits: Thresholds
    parts: tuple[Part, ...]
    likeness: float = 0.0

    @property
    def score(self) -> float:
        """The best of the parts; 0 without any."""
        return max((part.score for part in self.parts), default=0.0)

    def stretches(self, sure: Callable[[float], bool]) -> Iterator[Segment]:
        """The upload's stretches by alignments whose score is `sure`."""
        for part in self.parts:
            if sure(part.score):
                yield from part.stretches

    def confident(self) -> list[Part]:
        return [part for part in self.parts if part.score >= self.limits.confident]


def rule(match: Match, policy: Policy) -> Ruled:
    """The match under its bank's thresholds."""
    limits = policy.for_bank(match.reference.bank, image=is_image(match))
    told = [a for a in match.alignments if a.signal_type not in LIKENESS]
    seen = max((a.score for a in told if a.signal_type != "sound"), default=0.0)
    alone = seen < limits.possible
    parts = [
        Part(a.score, tuple(p.query for p in a.segments), alone and a.signal_type == "sound")
        for a in told
    ]
    likeness = max((a.score for a in match.alignments if a.signal_type in LIKENESS), default=0.0)
    if not match.alignments and not match.exact:
        parts = [Part(match.score, tuple(p.query for p in match.segments))]
    both = together(match.alignments, policy.score.prior)
    if both > max((part.score for part in parts), default=1.0):
        parts.append(Part(both, corroborated(match.alignments), heard=alone))
    return Ruled(match, limits, tuple(parts), likeness)


def is_image(match: Match) -> bool:
    """Whether the upload has no time: nothing of it that shows the reference lasts."""
    return bool(match.segments) and all(pair.query.seconds <= 0 for pair in match.segments)


def corroborated(alignments: Sequence[Alignment]) -> tuple[Segment, ...]:
    """The upload's stretches that pictures and sound show both: only these add up."""
    seen, heard = (
        [p.query for a in some for p in a.segments]
        for some in (
            [a for a in alignments if a.signal_type not in ("sound", *LIKENESS)],
            [a for a in alignments if a.signal_type == "sound"],
        )
    )
    both = [Segment(max(a.start, b.start), min(a.end, b.end)) for a, b in product(seen, heard)]
    return tuple(s for s in both if s.seconds >= 0)


def digests(match: Match) -> list[str]:
    """The digests that are equal."""
    return [s.signal_type for s in match.signals if s.signal_type in ("sha256", "md5")]


def combined(p_match: float, p_class: float, prior: float) -> float:
    """Probability of harm from two scores that are independent given the truth (naive Bayes).

    log-odds(match) + log-odds(classifier) - log-odds(prior): what the classifier says beyond the
    share of harm that its scores presume (`prior`) is added to the match, whose score holds its
    own prior already (the policy's `score.prior`). Uncalibrated, for so are classifiers' scores.
    """
    x = _logit(p_match) + _logit(p_class) - _logit(prior)
    return 1.0 / (1.0 + math.exp(-x))


def covered_s(segments: Iterable[Segment]) -> float:
    """Seconds in the union of the segments."""
    total, end = 0.0, -math.inf
    for segment in sorted(segments, key=lambda s: (s.start, s.end)):
        total += max(0.0, segment.end - max(segment.start, end))
        end = max(end, segment.end)
    return total


def _logit(p: float) -> float:
    p = min(max(p, 1e-6), 1 - 1e-6)
    return math.log(p / (1 - p))


def match_findings(remaining: Sequence[Ruled], coverage: Coverage) -> Iterator[Finding]:
    for ruled in remaining:
        yield from _exact_findings(ruled)
        if ruled.score >= ruled.limits.confident:
            yield _confident_finding(ruled, remaining, coverage)
        elif (score := max(ruled.score, ruled.likeness)) >= ruled.limits.possible:
            text = f"May show {_shown(ruled, coverage)}."
            yield Finding(ReasonCode.POSSIBLE_MATCH, Action.REVIEW, text, score, ruled.match)


def _exact_findings(ruled: Ruled) -> Iterator[Finding]:
    """SHA-256 asks for the bank's action; MD5, of which collisions can be made, for review."""
    match = ruled.match
    if "sha256" in digests(match):
        text = f"Is the very file of {named(match)} (SHA-256)."
        yield Finding(ReasonCode.SHA256_MATCH, ruled.limits.action, text, 1.0, match)
    elif "md5" in digests(match):
        text = f"Has the MD5 of {named(match)}, which alone proves nothing."
        yield Finding(ReasonCode.MD5_MATCH, Action.REVIEW, text, 1.0, match)


def _confident_finding(ruled: Ruled, remaining: Sequence[Ruled], coverage: Coverage) -> Finding:
    shown = _shown(ruled, coverage)
    code, action, text = ReasonCode.CONFIDENT_MATCH, ruled.limits.action, f"Shows {shown}."
    heard = all(part.heard for part in ruled.confident())
    if heard:
        text = f"Sounds like {shown}."
    if action is Action.BLOCK and not _covers(ruled, remaining, coverage):
        code, action = ReasonCode.SHORT_MATCH, Action.REVIEW
        needed = ruled.limits.needed_s(coverage.total_s)
        text = f"Shows {shown}; {_counted(ruled)}a block needs {_seconds(needed)}."
        if heard:
            code = ReasonCode.SOUND_ALONE
            text = f"Sounds like {shown}; {_lacking_by_sound(ruled, coverage)}."
    return Finding(code, action, text, ruled.score, ruled.match)


def _lacking_by_sound(ruled: Ruled, coverage: Coverage) -> str:
    if ruled.limits.sound_alone is not Action.BLOCK:
        return "what sound alone tells is for a moderator"
    needed = ruled.limits.needed_by_sound_s(coverage.total_s)
    return f"{_counted(ruled)}by sound alone a block needs {_seconds(needed)}"


def _counted(ruled: Ruled) -> str:
    """How much of what is shown counts, where that is less: confident parts alone do."""
    counted = covered_s(s for part in ruled.confident() for s in part.stretches)
    shown = covered_s(p.query for p in ruled.match.segments)
    return f"{counted:.1f} s of that count, and " if shown - counted >= COUNTED_S else ""


def _covers(ruled: Ruled, remaining: Sequence[Ruled], coverage: Coverage) -> bool:
    """Whether enough of the upload is banned footage: that of all confident matches whose banks
    ask for a block, and ask for no more seconds than this one, taken together. Where pictures
    alone are not enough, sound counts too, but then more is needed."""
    total_s = coverage.total_s
    needed, by_sound = ruled.limits.needed_s(total_s), ruled.limits.needed_by_sound_s(total_s)
    seen: list[Segment] = []
    heard: list[Segment] = []
    for other in (ruled, *remaining):
        limits = other.limits
        if limits.action is not Action.BLOCK or limits.needed_s(total_s) > needed:
            continue
        seen += [s for part in other.confident() if not part.heard for s in part.stretches]
        if limits.sound_alone is Action.BLOCK and limits.needed_by_sound_s(total_s) <= by_sound:
            heard += [s for part in other.confident() if part.heard for s in part.stretches]
    if covered_s(seen) + 1e-6 >= needed:
        return True
    return bool(heard) and covered_s([*seen, *heard]) + 1e-6 >= by_sound


def score_findings(classifications: Iterable[Classification], policy: Policy) -> Iterator[Finding]:
    for one in classifications:
        rule = policy.classifier.labels.get(one.label)
        action = _asked(one.score, rule.review, rule.block) if rule else None
        if action is not None:
            text = f"{one.source} gives {one.label} a score of {one.score:.2f}."
            yield Finding(ReasonCode.CLASSIFIER_SCORE, action, text, one.score)


def combined_findings(
    remaining: Sequence[Ruled], evidence: Evidence, policy: Policy
) -> Iterator[Finding]:
    """A weak match and a classifier's score of the same label, where both speak for harm."""
    rules = policy.combined
    for ruled in remaining if rules.enabled else ():
        label = ruled.match.reference.bank.label
        scores = [c for c in evidence.classifications if rules.agree(c.label, label)]
        best = max(scores, key=lambda c: (c.score, c.label, c.source), default=None)
        if best is None or best.score < rules.min_score or ruled.score < rules.min_match:
            continue
        action = _combined_action(ruled, best.score, rules, evidence.coverage.total_s)
        if action is None:
            continue
        together = combined(ruled.score, best.score, rules.prior)
        text = (
            f"May show {_shown(ruled, evidence.coverage)}; with {best.source}'s {best.label} "
            f"{best.score:.2f} that makes {together:.2f} (uncalibrated)."
        )
        yield Finding(ReasonCode.COMBINED_SIGNALS, action, text, together, ruled.match)


def _combined_action(
    ruled: Ruled, score: float, rules: CombinedRules, total_s: float
) -> Action | None:
    """Blocks only for a bank that does, and where the alignments that are sure enough together
    with the classifier's `score` cover as much as a confident match must."""

    def sure(part: float, least: float | None) -> bool:
        enough = part >= rules.min_match and least is not None
        return enough and combined(part, score, rules.prior) >= (least or 0.0)

    if ruled.limits.action is Action.BLOCK and sure(ruled.score, rules.block):
        covered = covered_s(ruled.stretches(lambda part: sure(part, rules.block)))
        if covered + 1e-6 >= ruled.limits.needed_s(total_s):
            return Action.BLOCK
    weak = ruled.score < ruled.limits.confident
    either = sure(ruled.score, rules.review) or sure(ruled.score, rules.block)
    return Action.REVIEW if weak and either else None


def _asked(score: float, review: float | None, block: float | None) -> Action | None:
    if block is not None and score >= block:
        return Action.BLOCK
    if review is not None and score >= review:
        return Action.REVIEW
    return None


def failure_findings(failures: Iterable[Failure], policy: Policy) -> Iterator[Finding]:
    codes = {"index": ReasonCode.INDEX_FAILED, "classifier": ReasonCode.CLASSIFIER_FAILED}
    for failure in failures:
        code = codes.get(failure.part, ReasonCode.PART_FAILED)
        text = f"The {failure.part} failed: {failure.text}."
        yield Finding(code, policy.failure_action(failure.part), text)


def coverage_findings(
    evidence: Evidence, policy: Policy, known: Sequence[Action]
) -> Iterator[Finding]:
    """What was not looked at. `known`: what the file's equal SHA-256 asks for already; a finding
    that asks for no more says nothing about a file that is known by its bytes."""
    rules, coverage = policy.coverage, evidence.coverage
    part = f"{coverage.judged_s:.1f} s of {coverage.total_s:.1f} s were looked at"
    ended = f"A limit or damage ended the look: {part}."
    low = not coverage.fraction >= rules.min_fraction
    found = []
    if evidence.digest_only:
        found.append((ReasonCode.DIGEST_ONLY, rules.digest_only, "Only digests were sent."))
    elif coverage.frames <= 0:
        text = "No frame could be looked at."
        found.append((ReasonCode.NOTHING_JUDGED, rules.nothing_judged, text))
    else:
        if coverage.flat_frames >= coverage.frames:
            text = f"All {coverage.frames} frames were too flat to mean anything."
            found.append((ReasonCode.ONLY_FLAT_FRAMES, rules.only_flat_frames, text))
        if low:
            found.append((ReasonCode.LOW_COVERAGE, rules.low_coverage, f"Only {part}."))
        if coverage.truncated:
            image = evidence.kind is MediaKind.IMAGE
            action = rules.truncated if low or image else "allow"
            text = IN_PART if image else ended
            found.append((ReasonCode.TRUNCATED, action, text))
    gravest = max((a.severity for a in known), default=-1)
    for code, asked, text in found:
        if Action(asked).severity > gravest:
            yield Finding(code, Action(asked), text)


def named(match: Match) -> str:
    return f"reference {match.reference.id} of bank {match.reference.bank.name}"


def _seconds(seconds: float, of: float | None = None) -> str:
    """To a tenth; where it, or what it is a part `of`, is less than one, to a hundredth."""
    return f"{seconds:.1f} s" if (seconds if of is None else of) >= 1 else f"{seconds:.2f} s"


def _shown(ruled: Ruled, coverage: Coverage) -> str:
    """Which reference, by which signals, for how long, how surely."""
    names = [s.signal_type for s in ruled.match.signals if s.signal_type not in ("sha256", "md5")]
    seconds = covered_s(p.query for p in ruled.match.segments)
    total = coverage.total_s
    length = f"{_seconds(seconds, total)} of {_seconds(total)}, " if total > 0 else ""
    by = f" by {' and '.join(names)}" if names else ""
    return f"{named(ruled.match)}{by}: {length}score {max(ruled.score, ruled.likeness):.2f}"
