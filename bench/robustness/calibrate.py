"""How often a score is right: fitted on one half of the benchmark, told on the other.

    python -m bench.robustness.calibrate --work DIR [--docs docs/]

Needs Seawall's answers to both halves (`python -m bench.robustness ... --split all`). A pair is a
sample and a reference that Seawall saw in it, however weakly. Platt's scaling ("Probabilistic
outputs for support vector machines", 1999), `p = 1 / (1 + exp(-(a * log-odds + b)))`, is fitted by
Newton's method on the training half; sources, not samples, are what the halves share none of. The
prior is the benchmark's own: of the pairs that were seen at all, so many were true.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.robustness import plots
from bench.robustness.found import Found, read
from bench.robustness.metrics import wilson
from bench.robustness.samples import Benchmark, load

BINS = (0.0, 0.1, 0.3, 0.5, 0.8, 0.95, 0.99, 1.0)
MOST = 12.0  # log-odds of a score of 1
RIDGE = 0.5


def answers(path: Path) -> list[Found]:
    """The newest version's answers."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    newest = lines[-1]["tag"]
    return list(
        {b["found"]["sample"]: read(b["found"]) for b in lines if b["tag"] == newest}.values()
    )


def pairs(
    benchmark: Benchmark, found: Iterable[Found], split: str
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """(n,) log-odds of the scores, and whether the reference is in the sample."""
    samples = {s.id: s for s in benchmark.samples if s.split == split}
    odds, true = [], []
    for one in found:
        sample = samples.get(one.sample)
        if sample is None:
            continue
        shown = {t.reference for t in sample.truth}
        for named in one.named:
            odds.append(log_odds(named.score))
            true.append(named.reference in shown)
    return np.array(odds), np.array(true, dtype=np.bool_)


def log_odds(score: float) -> float:
    least = 1 / (1 + math.exp(MOST))
    score = min(max(score, least), 1 - least)
    return math.log(score / (1 - score))


def fit(odds: NDArray[np.float64], true: NDArray[np.bool_]) -> tuple[float, float]:
    """`a` and `b` by Newton's method with halved steps. Platt's targets and a pull towards the
    scores as they are (a = 1, b = 0) keep them finite where the halves are told apart wholly."""
    yes, no = int(true.sum()), int((~true).sum())
    target = np.where(true, (yes + 1) / (yes + 2), 1 / (no + 2))
    design = np.column_stack([odds, np.ones(len(odds))])
    start = np.array([1.0, 0.0])

    def loss(weights: NDArray[np.float64]) -> float:
        x = design @ weights
        return float(np.sum(np.logaddexp(0, x) - target * x)) + RIDGE * np.sum(
            (weights - start) ** 2
        )

    weights = start
    for _ in range(100):
        p = chance(design @ weights)
        slope = design.T @ (p - target) + 2 * RIDGE * (weights - start)
        curve = (design * (p * (1 - p))[:, None]).T @ design + 2 * RIDGE * np.eye(2)
        step = np.linalg.solve(curve, slope)
        while np.abs(step).max() > 1e-9 and loss(weights - step) > loss(weights):
            step = step / 2
        weights = weights - step
        if np.abs(step).max() < 1e-9:
            break
    return float(weights[0]), float(weights[1])


def chance(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """The probability of log-odds."""
    return np.asarray(0.5 * (1 + np.tanh(x / 2)))


def told(p: NDArray[np.float64], true: NDArray[np.bool_]) -> list[str]:
    """A Markdown table: of the pairs with such a probability, how many were true."""
    rows = ["| probability given | pairs | true | 95 % bounds |", "| --- | --: | --: | --- |"]
    for low, high in zip(BINS, BINS[1:], strict=False):
        inside = (p >= low) & ((p < high) | (high == 1.0))
        n, hits = int(inside.sum()), int(true[inside].sum())
        if n:
            least, most = wilson(hits, n)
            share = f"{hits / n:.0%} | {least:.0%} to {most:.0%}"
            rows.append(f"| {low:g} to {high:g} | {n} | {share} |")
    return rows


def report(benchmark: Benchmark, found: Sequence[Found], docs: Path | None) -> str:
    odds, true = pairs(benchmark, found, "train")
    a, b = fit(odds, true)
    held, was = pairs(benchmark, found, "test")
    p, raw = chance(a * held + b), chance(held)
    if docs is not None:
        plots.reliability(
            list(zip(p.tolist(), was.tolist(), strict=True)), docs / "reliability.svg"
        )
    lines = [
        f"Fitted on {len(odds)} pairs of the training half ({true.mean():.0%} true): "
        f"a = {a:.2f}, b = {b:.2f}. Told on {len(held)} pairs of the other half "
        f"({was.mean():.0%} true); mean squared error (Brier) {np.mean((p - was) ** 2):.4f}, "
        f"of the scores as they are {np.mean((raw - was) ** 2):.4f}.",
        "",
        *told(p, was),
    ]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--docs", type=Path, help="write reliability.svg here")
    options = parser.parse_args()
    found = answers(options.work / "answers-seawall.jsonl")
    print(report(load(options.work / "samples.json"), found, options.docs))
    return 0


if __name__ == "__main__":
    sys.exit(main())
