"""What the answers are worth. Pure: values in, numbers out.

Recall is counted over samples that show a reference. A sample is found where the engine acted on
it and named a reference that it shows: `block`, and where less than `SHORT` seconds of a video
match, or the tier is `news`, `review` will do as well. Bounds are Wilson's, 95 %.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bench.robustness.found import Found
from bench.robustness.samples import Sample
from bench.robustness.spans import length

SHORT = 3.0
"""Seconds of a match below which a review is as good as a block."""

Z95 = 1.959963984540054

Pair = tuple[str, str]
"""A sample's id and a reference's id."""


@dataclass(frozen=True, slots=True)
class Rate:
    """`hits` of `of`, with Wilson's 95 % bounds; all 0 to 1, NaN of nothing."""

    hits: int
    of: int

    @property
    def value(self) -> float:
        return self.hits / self.of if self.of else math.nan

    @property
    def bounds(self) -> tuple[float, float]:
        return wilson(self.hits, self.of)


@dataclass(frozen=True, slots=True)
class Recall:
    """`shipped`: by the engine's own action. `acted`: at least a review, by the same. `swept`:
    at the lowest threshold on the score that no negative reaches."""

    shipped: Rate
    acted: Rate
    swept: Rate


@dataclass(frozen=True, slots=True)
class Alarms:
    """Over the negatives: the engine's own false blocks and reviews, and the score above which
    no negative lies."""

    block: Rate
    review: Rate
    highest: float
    blocked: tuple[str, ...]
    reviewed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Wrong:
    """A copy that was blocked, but for references that it does not show."""

    sample: str
    named: tuple[str, ...]


def wilson(hits: int, of: int) -> tuple[float, float]:
    """Lower and upper bound of a share, Wilson's score interval at 95 %."""
    if not of:
        return (math.nan, math.nan)
    share, z2 = hits / of, Z95 * Z95
    middle = (share + z2 / (2 * of)) / (1 + z2 / of)
    half = Z95 / (1 + z2 / of) * math.sqrt(share * (1 - share) / of + z2 / (4 * of * of))
    return (max(0.0, middle - half), min(1.0, middle + half))


def shown(sample: Sample) -> frozenset[str]:
    """The references that a sample shows."""
    return frozenset(t.reference for t in sample.truth)


def matching_seconds(sample: Sample) -> float:
    """Seconds of the sample that show any reference."""
    return length([t.query for t in sample.truth])


def review_will_do(sample: Sample) -> bool:
    return sample.tier == "news" or (sample.seconds > 0 and matching_seconds(sample) < SHORT)


def is_found(sample: Sample, found: Found, *, review: bool = False) -> bool:
    """`review`: a review counts for every sample."""
    enough = ("review", "block") if review or review_will_do(sample) else ("block",)
    right = shown(sample)
    return found.action in enough and any(n.counted and n.reference in right for n in found.named)


def is_wrong(sample: Sample, found: Found) -> bool:
    """A copy blocked for none of what it shows."""
    named = {n.reference for n in found.named if n.counted}
    return bool(sample.truth) and found.action == "block" and not named & shown(sample)


def highest(found: Iterable[Found]) -> float:
    """The highest score of any reference in any of them; minus infinity of none."""
    return max((n.score for f in found for n in f.named), default=-math.inf)


def scores_above(sample: Sample, found: Found, bar: float) -> bool:
    """Whether a reference that the sample shows scores above the bar."""
    return any(n.score > bar for n in found.named if n.reference in shown(sample))


def alarms(samples: Sequence[Sample], found: Mapping[str, Found]) -> Alarms:
    """Over those samples that show no reference."""
    negatives = [found[s.id] for s in samples if not s.truth]
    blocked = tuple(f.sample for f in negatives if f.action == "block")
    reviewed = tuple(f.sample for f in negatives if f.action == "review")
    of = len(negatives)
    return Alarms(
        Rate(len(blocked), of), Rate(len(reviewed), of), highest(negatives), blocked, reviewed
    )


def alarms_by_kind(samples: Sequence[Sample], found: Mapping[str, Found]) -> dict[str, Alarms]:
    """False alarms per kind of negative, by name."""
    kinds = sorted({s.kind for s in samples if not s.truth})
    return {kind: alarms([s for s in samples if s.kind == kind], found) for kind in kinds}


def recall(samples: Iterable[Sample], found: Mapping[str, Found], bar: float) -> Recall:
    """Over those samples that show a reference; `bar`: the negatives' highest score."""
    copies = [s for s in samples if s.truth]
    of = len(copies)
    return Recall(
        Rate(sum(is_found(s, found[s.id]) for s in copies), of),
        Rate(sum(is_found(s, found[s.id], review=True) for s in copies), of),
        Rate(sum(scores_above(s, found[s.id], bar) for s in copies), of),
    )


def recall_by(
    samples: Sequence[Sample],
    found: Mapping[str, Found],
    key: Callable[[Sample], str],
    bar: float,
) -> dict[str, Recall]:
    """Recall per group of copies, by the group's name."""
    groups: dict[str, list[Sample]] = {}
    for sample in samples:
        if sample.truth:
            groups.setdefault(key(sample), []).append(sample)
    return {name: recall(groups[name], found, bar) for name in sorted(groups)}


def wrongly_blocked(samples: Iterable[Sample], found: Mapping[str, Found]) -> tuple[Wrong, ...]:
    return tuple(
        Wrong(s.id, tuple(n.reference for n in found[s.id].named if n.counted))
        for s in samples
        if is_wrong(s, found[s.id])
    )


def news_blocked(samples: Iterable[Sample], found: Mapping[str, Found]) -> tuple[str, ...]:
    """News that shows a reference belongs before a person's eyes, not behind a block."""
    return tuple(s.id for s in samples if s.tier == "news" and found[s.id].action == "block")


def micro_ap(truth: Iterable[Pair], scored: Mapping[Pair, float]) -> float:
    """Average precision over all (sample, reference) pairs together, the detection track's metric
    of Meta's Video Similarity Challenge (Pizzi et al. 2023, section 4.1): the mean over true pairs
    of the precision at their score, 0 for those never scored. Pairs of one score count at once.
    """
    right = set(truth)
    if not right:
        return math.nan
    pairs = sorted(scored, key=lambda p: -scored[p])
    if not pairs:
        return 0.0
    correct = np.array([p in right for p in pairs])
    scores = np.array([scored[p] for p in pairs])
    ends = np.searchsorted(-scores, -scores, side="right")
    precision = np.cumsum(correct)[ends - 1] / ends
    return float(np.sum(precision * correct) / len(right))


def true_pairs(samples: Iterable[Sample]) -> set[Pair]:
    return {(s.id, reference) for s in samples for reference in shown(s)}


def scored_pairs(samples: Iterable[Sample], found: Mapping[str, Found]) -> dict[Pair, float]:
    scored: dict[Pair, float] = {}
    for sample in samples:
        for named in found[sample.id].named:
            pair = (sample.id, named.reference)
            scored[pair] = max(named.score, scored.get(pair, -math.inf))
    return scored


def cpu_per_minute(samples: Iterable[Sample], found: Mapping[str, Found]) -> float:
    """CPU seconds a minute of judged video; samples that could not be judged are left out."""
    judged = [s for s in samples if found[s.id].error is None]
    minutes = sum(s.seconds for s in judged) / 60
    return sum(found[s.id].cpu_s for s in judged) / minutes if minutes else math.nan


def best_scores(
    samples: Iterable[Sample], found: Mapping[str, Found]
) -> tuple[list[float], list[float]]:
    """Of copies the best score of a reference that they show, of negatives the best of any; 0
    where there is none."""
    copies, negatives = [], []
    for sample in samples:
        right = shown(sample)
        scores = [n.score for n in found[sample.id].named if not right or n.reference in right]
        (copies if right else negatives).append(max(scores, default=0.0))
    return copies, negatives
