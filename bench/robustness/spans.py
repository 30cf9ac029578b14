"""How well found segments lie on the true ones. Pure.

Two published measures: the matching track's segment AP of Meta's Video Similarity Challenge
(Pizzi et al. 2023, section 4.2; the public code's `match_metric`), and VCSL's segment precision
and recall (He et al. 2022; the public code's `precision_recall`). Both project a segment, a box in
the plane of sample time and reference time, on both axes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.robustness.found import Box, Found
from bench.robustness.samples import Sample

Span = tuple[float, float]

Pair = tuple[str, str]
"""A sample's id and a reference's id."""

AXES = (slice(0, 2), slice(2, 4))
"""The sample's and the reference's time in a box."""


@dataclass(frozen=True, slots=True)
class Fit:
    """VCSL's segment precision, recall and F, 0 to 1, over `samples` samples."""

    precision: float
    recall: float
    samples: int

    @property
    def f(self) -> float:
        total = self.precision + self.recall
        return 2 * self.precision * self.recall / total if total else 0.0


@dataclass(frozen=True, slots=True)
class Ends:
    """By how many seconds the ends of found segments lie off, both ends of each."""

    sample: NDArray[np.float64]
    reference: NDArray[np.float64]


def length(spans: Iterable[Span]) -> float:
    """Seconds that the spans cover together, each second once."""
    return sum(end - start for start, end in union(spans))


def union(spans: Iterable[Span]) -> list[Span]:
    """The spans without overlaps, in order."""
    joined: list[Span] = []
    for start, end in sorted(spans):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined


def common(first: Iterable[Span], second: Iterable[Span]) -> float:
    """Seconds that both sets of spans cover."""
    a, b = union(first), union(second)
    return length(a) + length(b) - length([*a, *b])


def overlap(a: Box, b: Box) -> Box | None:
    """The box that two share; None where its area is 0."""
    q0, q1 = max(a[0], b[0]), min(a[1], b[1])
    r0, r1 = max(a[2], b[2]), min(a[3], b[3])
    return (q0, q1, r0, r1) if q0 < q1 and r0 < r1 else None


def on(boxes: Iterable[Box], axis: slice) -> list[Span]:
    return [(box[axis][0], box[axis][1]) for box in boxes]


def true_boxes(samples: Iterable[Sample]) -> dict[Pair, list[Box]]:
    """By sample and reference; a reference played backwards has its times in order all the same."""
    boxes: dict[Pair, list[Box]] = {}
    for sample in samples:
        for t in sample.truth:
            box = (min(t.query), max(t.query), min(t.shown), max(t.shown))
            boxes.setdefault((sample.id, t.reference), []).append(box)
    return boxes


def found_boxes(
    samples: Iterable[Sample], found: Mapping[str, Found], *, weak: bool
) -> list[tuple[float, Pair, Box]]:
    """Score, sample and reference, segment. `weak`: those without a say in the action too."""
    return [
        (named.score, (sample.id, named.reference), box)
        for sample in samples
        for named in found[sample.id].named
        if weak or named.counted
        for box in named.segments
    ]


class _Pairs:
    """Running sums over all pairs, an axis each: seconds found, and of these seconds true."""

    def __init__(self, truth: Mapping[Pair, Sequence[Box]]) -> None:
        self._truth = truth
        self._found: dict[Pair, list[Box]] = {}
        self._sums: dict[Pair, tuple[list[float], list[float]]] = {}
        self.right = [0.0, 0.0]
        self.total = [0.0, 0.0]

    def add(self, pair: Pair, box: Box) -> None:
        boxes = self._found.setdefault(pair, [])
        boxes.append(box)
        touched = [t for t in self._truth.get(pair, ()) if any(overlap(t, b) for b in boxes)]
        right = [common(on(boxes, axis), on(touched, axis)) for axis in AXES]
        total = [length(on(boxes, axis)) for axis in AXES]
        before = self._sums.get(pair, ([0.0, 0.0], [0.0, 0.0]))
        for axis in (0, 1):
            self.right[axis] += right[axis] - before[0][axis]
            self.total[axis] += total[axis] - before[1][axis]
        self._sums[pair] = (right, total)


def segment_ap(
    truth: Mapping[Pair, Sequence[Box]], found: Iterable[tuple[float, Pair, Box]]
) -> float:
    """AP over segments by falling score, those of one score at once: the sum of precision times
    gain in recall, where each is the root of the product of its values on the two axes, in
    seconds over all pairs. NaN without truth."""
    wanted = [sum(length(on(boxes, axis)) for boxes in truth.values()) for axis in AXES]
    if not min(wanted):
        return math.nan
    groups: dict[float, list[tuple[Pair, Box]]] = {}
    for score, pair, box in found:
        groups.setdefault(score, []).append((pair, box))
    pairs, ap, recall = _Pairs(truth), 0.0, 0.0
    for score in sorted(groups, reverse=True):
        for pair, box in groups[score]:
            pairs.add(pair, box)
        if not min(pairs.total):
            continue
        shares = [max(0.0, r) / w for r, w in zip(pairs.right, wanted, strict=True)]
        precisions = [max(0.0, r) / t for r, t in zip(pairs.right, pairs.total, strict=True)]
        now = math.sqrt(math.prod(shares))
        ap += math.sqrt(math.prod(precisions)) * (now - recall)
        recall = now
    return ap


def precision_recall(found: Sequence[Box], truth: Sequence[Box]) -> tuple[float, float]:
    """VCSL's precision and recall of one pair: on each axis, the seconds of each box that boxes of
    the other side share with it (area above 0), over all its seconds; the product of both axes."""
    if not found or not truth:
        return (float(not found), float(not truth))
    return (_covered(found, truth), _covered(truth, found))


def _covered(boxes: Sequence[Box], by: Sequence[Box]) -> float:
    shares = []
    for axis in AXES:
        shared = 0.0
        for box in boxes:
            cuts = [cut for other in by if (cut := overlap(box, other)) is not None]
            shared += length(on(cuts, axis))
        total = sum(end - start for start, end in on(boxes, axis))
        shares.append(shared / total if total else 0.0)
    return shares[0] * shares[1]


def fit(samples: Sequence[Sample], found: Mapping[str, Found]) -> Fit:
    """VCSL's macro mean: over the pairs of each sample that is a copy (references shown or named),
    then over the samples. Only what had a say in the action counts as found."""
    truth = true_boxes(samples)
    boxes: dict[Pair, list[Box]] = {}
    for _, pair, box in found_boxes(samples, found, weak=False):
        boxes.setdefault(pair, []).append(box)
    values = []
    for sample in samples:
        if sample.truth:
            pairs = {p for p in (*truth, *boxes) if p[0] == sample.id}
            each = [precision_recall(boxes.get(p, ()), truth.get(p, ())) for p in pairs]
            values.append(np.mean(each, axis=0))
    if not values:
        return Fit(math.nan, math.nan, 0)
    precision, recall = np.mean(values, axis=0)
    return Fit(float(precision), float(recall), len(values))


def end_errors(samples: Sequence[Sample], found: Mapping[str, Found]) -> Ends:
    """Of each true segment that found segments overlap: from its ends to the outermost ends of
    those. Only what had a say in the action counts as found."""
    boxes: dict[Pair, list[Box]] = {}
    for _, pair, box in found_boxes(samples, found, weak=False):
        boxes.setdefault(pair, []).append(box)
    errors: tuple[list[float], list[float]] = ([], [])
    for pair, wanted in true_boxes(samples).items():
        for true in wanted:
            near = [b for b in boxes.get(pair, ()) if overlap(true, b)]
            for axis, off in zip(AXES, errors, strict=True):
                if near:
                    off.append(abs(min(s for s, _ in on(near, axis)) - true[axis][0]))
                    off.append(abs(max(e for _, e in on(near, axis)) - true[axis][1]))
    return Ends(np.array(errors[0]), np.array(errors[1]))
