"""What the answers of an engine are worth: of all, of each tier, of each edit. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bench.robustness.found import Found
from bench.robustness.metrics import (
    Alarms,
    Recall,
    Wrong,
    alarms,
    alarms_by_kind,
    best_scores,
    cpu_per_minute,
    micro_ap,
    news_blocked,
    recall,
    recall_by,
    scored_pairs,
    true_pairs,
    wrongly_blocked,
)
from bench.robustness.samples import TIERS, Sample
from bench.robustness.spans import Ends, Fit, end_errors, fit, found_boxes, segment_ap, true_boxes


@dataclass(frozen=True, slots=True)
class Asked:
    """An engine and its answers, by sample. `unread`: references that it could not take, and why;
    `missing`: why there are no answers at all; `padded_gb`: what a padded bank held beside its
    references."""

    name: str
    version: str
    rule: str
    found: Mapping[str, Found]
    unread: Mapping[str, str]
    missing: str | None = None
    padded_gb: float = 0.0


@dataclass(frozen=True, slots=True)
class Worth:
    """What the answers to some copies are worth among all negatives, beside recall. `scores`: the
    tenth, the half and nine tenths of their best scores."""

    micro_ap: float
    segment_ap: float
    fit: Fit
    ends: Ends
    scores: tuple[float, ...]
    cpu: float


@dataclass(frozen=True, slots=True)
class Result:
    """What the answers of one engine are worth; `kinds` by tier and kind, `negatives` by kind;
    `worth` by tier and kind, of a whole tier with the kind ""."""

    asked: Asked
    alarms: Alarms
    negatives: Mapping[str, Alarms]
    all: Recall
    tiers: Mapping[str, Recall]
    kinds: Mapping[tuple[str, str], Recall]
    worth: Mapping[tuple[str, str], Worth]
    wrong: tuple[Wrong, ...]
    news_blocked: tuple[str, ...]
    micro_ap: float
    segment_ap: float
    fit: Fit
    ends: Ends
    cpu: float
    errors: Mapping[str, str]

    @property
    def has_times(self) -> bool:
        return any(n.segments for f in self.asked.found.values() for n in f.named)


def evaluate(asked: Asked, samples: Sequence[Sample]) -> Result:
    """`samples`: those of one split that the engine answered."""
    found = asked.found
    alarm = alarms(samples, found)
    bar = max(alarm.highest, 0.0)
    kinds: dict[tuple[str, str], Recall] = {}
    for tier in TIERS:
        within = [s for s in samples if s.tier == tier]
        for kind, value in recall_by(within, found, lambda s: s.kind, bar).items():
            kinds[tier, kind] = value
    truth = true_boxes(samples)
    tiers = recall_by(samples, found, lambda s: s.tier, bar)
    groups = [*((tier, "") for tier in tiers), *kinds]
    return Result(
        asked=asked,
        alarms=alarm,
        negatives=alarms_by_kind(samples, found),
        all=recall(samples, found, bar),
        tiers=tiers,
        kinds=kinds,
        worth={group: _worth(samples, found, *group) for group in groups},
        wrong=wrongly_blocked(samples, found),
        news_blocked=news_blocked(samples, found),
        micro_ap=micro_ap(true_pairs(samples), scored_pairs(samples, found)),
        segment_ap=segment_ap(truth, found_boxes(samples, found, weak=True)),
        fit=fit(samples, found),
        ends=end_errors(samples, found),
        cpu=cpu_per_minute(samples, found),
        errors={s.id: str(found[s.id].error) for s in samples if found[s.id].error},
    )


def _worth(samples: Sequence[Sample], found: Mapping[str, Found], tier: str, kind: str) -> Worth:
    mine = [s for s in samples if s.truth and s.tier == tier and kind in ("", s.kind)]
    among = [*mine, *(s for s in samples if not s.truth)]
    best, _ = best_scores(mine, found)
    return Worth(
        micro_ap(true_pairs(mine), scored_pairs(among, found)),
        segment_ap(true_boxes(mine), found_boxes(among, found, weak=True)),
        fit(mine, found),
        end_errors(mine, found),
        tuple(float(n) for n in np.percentile(best, (10, 50, 90))),
        cpu_per_minute(mine, found),
    )
