"""A logistic regression of few numbers, and how well its probabilities hold. Pure.

`matcher.calibration` has the form: an intercept, what the kind of pictures' evidence says that says
most, and what sound says. Fitted by Newton's method with halved steps, for the kind that says most
in each pair, until that stays the same; weights that would fall below 0 are held at 0 (an active
set). A Gaussian belief about the coefficients (`Form`, a ridge around it) keeps them finite where
true and false are told apart wholly, and in place where there is little to fit them on.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bench.robustness.metrics import wilson

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Form:
    """`belief`: decision 9's scale, intercept first: at the stated prior, evidence as it is.
    `ridge`: how heavily the square distance from it counts against a pair's log loss. `adds`: how
    many of the kinds, the last ones, add up with what says most of the others."""

    belief: Floats
    ridge: Floats
    adds: int = 0

    def lighter(self, ridge: Floats) -> Form:
        return replace(self, ridge=ridge)


VIDEOS = Form(np.array([-3.0, 1.0, 1.0, 1.0, 1.0]), np.array([8.0, 32.0, 16.0, 32.0, 32.0]), adds=1)
"""With each of the training half's sources left out in turn, a quarter and four times of the ridge
tell as much: so few sources say little. Decision 9 did not know hashes at odd speeds, so they are
held less."""

IMAGES = Form(np.array([-3.15, 0.86, 0.86]), np.array([8.0, 32.0, 32.0]))
"""Decision 9's line for images, of hashes and of local features, held as that of videos is."""

SAMPLES = 400
"""Times that sources are drawn anew for the coefficients' spread."""


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """`evidence` (n, kinds), as `matcher.calibration.NAMES` (damped) or `IMAGE_NAMES`; `true` (n,):
    whether the reference is shown; `sources`: n originals of references, by which pairs depend on
    another."""

    evidence: Floats
    true: Flags
    sources: Sequence[str]

    def __len__(self) -> int:
        return len(self.true)

    def take(self, rows: NDArray[np.int64]) -> Pairs:
        return Pairs(self.evidence[rows], self.true[rows], [self.sources[i] for i in rows.tolist()])


def chance(x: Floats) -> Floats:
    """The probability of log-odds."""
    return np.asarray(0.5 * (1 + np.tanh(x / 2)))


def design(weights: Floats, evidence: Floats, adds: int) -> Floats:
    """(n, 1 + kinds): what the intercept and the weights are multiplied with. Of the kinds of
    pictures' evidence all but the one that says most are 0."""
    seen = evidence.shape[1] - adds
    said = weights[1 : 1 + seen] * evidence[:, :seen]
    most = said.argmax(axis=1)[:, None] == np.arange(seen)
    return np.column_stack([np.ones(len(evidence)), evidence[:, :seen] * most, evidence[:, seen:]])


def predicted(coefficients: Floats, evidence: Floats, form: Form = VIDEOS) -> Floats:
    """(n,) probabilities; `coefficients`: the intercept and the weights."""
    return chance(design(coefficients, evidence, form.adds) @ coefficients)


def fit(pairs: Pairs, stated: float, form: Form = VIDEOS) -> Floats:
    """(1 + kinds,) the intercept, at the prior `stated`, and the weights, none of which is below
    0."""
    own = float(pairs.true.mean())
    shift = log_odds(own) - log_odds(stated)
    coefficients = form.belief
    for _ in range(50):
        before = coefficients
        rows = design(before, pairs.evidence, form.adds)
        coefficients = _bounded(rows, pairs.true, shift, form)
        if np.abs(coefficients - before).max() < 1e-6:
            break
    return coefficients


def log_odds(p: float) -> float:
    return math.log(p / (1 - p))


def _bounded(rows: Floats, true: Flags, shift: float, form: Form) -> Floats:
    """The fit to fixed rows, no weight below 0. `shift`: from the stated prior to the pairs'."""
    free = np.ones(rows.shape[1], dtype=np.bool_)
    while True:
        coefficients = np.zeros(rows.shape[1])
        coefficients[free] = _newton(
            rows[:, free], true, shift, form.belief[free], form.ridge[free]
        )
        below = free & (coefficients < 0) & (np.arange(len(free)) > 0)
        if not below.any():
            return coefficients
        free &= ~below


def _newton(rows: Floats, true: Flags, shift: float, belief: Floats, ridge: Floats) -> Floats:
    def loss(weights: Floats) -> float:
        x = rows @ weights + shift
        return float(np.sum(np.logaddexp(0, x) - true * x) + ridge @ (weights - belief) ** 2)

    weights = belief
    for _ in range(200):
        p = chance(rows @ weights + shift)
        slope = rows.T @ (p - true) + 2 * ridge * (weights - belief)
        curve = (rows * (p * (1 - p))[:, None]).T @ rows + np.diag(2 * ridge)
        step = np.linalg.solve(curve, slope)
        while np.abs(step).max() > 1e-9 and loss(weights - step) > loss(weights):
            step = step / 2
        weights = weights - step
        if np.abs(step).max() < 1e-9:
            break
    return weights


def left_out(pairs: Pairs, stated: float, form: Form = VIDEOS) -> float:
    """Mean log loss of each source's pairs by a fit to all other sources', at their own prior."""
    p = np.empty(len(pairs))
    for source in set(pairs.sources):
        out = np.array([s == source for s in pairs.sources])
        rest = pairs.take(np.flatnonzero(~out))
        coefficients = fit(rest, stated, form)
        shift = log_odds(float(rest.true.mean())) - log_odds(stated)
        x = design(coefficients, pairs.evidence[out], form.adds) @ coefficients + shift
        p[out] = chance(x)
    return log_loss(p, pairs.true)


def drawn(
    pairs: Pairs, stated: float, seed: int, times: int = SAMPLES, form: Form = VIDEOS
) -> Floats:
    """(times, 1 + kinds) coefficients of fits to sources drawn anew."""
    return np.array([fit(pairs.take(rows), stated, form) for rows in _redrawn(pairs, seed, times)])


def _redrawn(pairs: Pairs, seed: int, times: int) -> Iterator[NDArray[np.int64]]:
    """Rows of as many sources, drawn with putting back (Efron, "Bootstrap methods", 1979; by
    cluster, since the pairs of one source go together), of which some are true and some not."""
    by_source: dict[str, list[int]] = {}
    for row, source in enumerate(pairs.sources):
        by_source.setdefault(source, []).append(row)
    groups = [np.array(rows) for rows in by_source.values()]
    rng = np.random.default_rng(seed)
    while times:
        rows = np.concatenate([groups[i] for i in rng.integers(0, len(groups), len(groups))])
        if pairs.true[rows].any() and not pairs.true[rows].all():
            times -= 1
            yield rows


@dataclass(frozen=True, slots=True)
class Bin:
    """Pairs with probabilities from `low` up to `high`: their mean, how many were true of how many,
    and the 95 % bounds of that share (Wilson)."""

    low: float
    high: float
    mean: float
    hits: int
    of: int

    @property
    def bounds(self) -> tuple[float, float]:
        return wilson(self.hits, self.of)


def reliability(p: Floats, true: Flags, edges: Sequence[float]) -> list[Bin]:
    """The bins that hold any; the last one's upper edge is in it."""
    found = []
    for low, high in zip(edges, edges[1:], strict=False):
        inside = (p >= low) & ((p < high) | (high == edges[-1]))
        if inside.any():
            mean = float(p[inside].mean())
            found.append(Bin(low, high, mean, int(true[inside].sum()), int(inside.sum())))
    return found


def calibration_error(p: Floats, true: Flags, bins: int = 10) -> float:
    """Expected calibration error (Naeini et al., "Obtaining well calibrated probabilities using
    Bayesian binning", 2015), over bins of equal width."""
    found = reliability(p, true, np.linspace(0, 1, bins + 1).tolist())
    return sum(b.of * abs(b.mean - b.hits / b.of) for b in found) / len(p)


def brier(p: Floats, true: Flags) -> float:
    """Mean squared error."""
    return float(np.mean((p - true) ** 2))


def log_loss(p: Floats, true: Flags) -> float:
    """Mean negative log-likelihood, in nats."""
    p = np.clip(p, 1e-12, 1 - 1e-12)
    return float(-np.mean(np.where(true, np.log(p), np.log1p(-p))))


def bounds(
    measure: Callable[[Floats, Flags], float], p: Floats, pairs: Pairs, seed: int
) -> tuple[float, float]:
    """95 % bounds of a measure, by the same bootstrap over sources."""
    values = [measure(p[rows], pairs.true[rows]) for rows in _redrawn(pairs, seed, SAMPLES)]
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)
