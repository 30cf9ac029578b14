"""How often a score is right: fitted on one half of the benchmark, told on the other.

    python -m bench.robustness.calibrate --work DIR [--write]

Needs Seawall's answers to both halves (`python -m bench.robustness ... --split all`). A pair is a
sample and a reference that Seawall saw in it, however weakly; in a half's pairs both are of that
half, so that the halves share no source. `--write` puts the fit into matcher/calibration.toml,
the tables into docs/robustness-calibration.md and the plot into docs/robustness-calibration.svg.

The evidence in the answers does not depend on the calibration, their scores and actions do: run the
benchmark again after a fit before you quote those.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.robustness import plots
from bench.robustness.found import Found, read
from bench.robustness.logistic import (
    BELIEF,
    Floats,
    Pairs,
    bounds,
    brier,
    calibration_error,
    chance,
    drawn,
    fit,
    left_out,
    log_loss,
    predicted,
    reliability,
)
from bench.robustness.samples import Benchmark, load
from matcher.calibration import DAMPING, FILE, NAMES, damped, restated

ROOT = Path(__file__).resolve().parents[2]
BINS = (0.0, 0.1, 0.3, 0.5, 0.75, 0.9, 0.97, 0.99, 1.0)

STATED = 0.9
"""The prior that scores are stated at: of ten references that are hit in an upload at all, however
weakly, nine are shown. (The benchmark has fewer, for its look-alikes are chosen to be hit.)"""


@dataclass(frozen=True, slots=True, eq=False)
class Told:
    """A fit to the training half, and what it makes of the other half."""

    seed: int
    training: Pairs
    held: Pairs
    coefficients: Floats
    draws: Floats

    @property
    def own(self) -> float:
        """The other half's share of true pairs, which is its prior."""
        return float(self.held.true.mean())

    @property
    def p(self) -> Floats:
        """The other half's probabilities, at its own prior."""
        stated = predicted(self.coefficients, self.held.evidence)
        return np.array([restated(one, STATED, self.own) for one in stated.tolist()])

    @property
    def before(self) -> Floats:
        """Decision 9's: the best signal's evidence as it is, nothing fitted."""
        raw = DAMPING * np.expm1(self.held.evidence / DAMPING)
        return chance(BELIEF[0] + raw.max(axis=1))


def answers(path: Path) -> list[Found]:
    """The newest version's answers."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    newest = lines[-1]["tag"]
    return list(
        {b["found"]["sample"]: read(b["found"]) for b in lines if b["tag"] == newest}.values()
    )


def pairs(benchmark: Benchmark, found: Iterable[Found], split: str) -> Pairs:
    """The half's samples with the half's references that were seen in them."""
    samples = {s.id: s for s in benchmark.samples if s.split == split}
    references = {r.id: r for r in benchmark.references if r.split == split}
    rows, true, sources = [], [], []
    for one in found:
        sample = samples.get(one.sample)
        if sample is None:
            continue
        shown = {t.reference for t in sample.truth}
        for named in one.named:
            if named.reference in references and named.evidence:
                rows.append([damped(named.evidence.get(name, 0.0)) for name in NAMES])
                true.append(named.reference in shown)
                sources.append(references[named.reference].source)
    return Pairs(np.array(rows).reshape(-1, len(NAMES)), np.array(true, dtype=np.bool_), sources)


def told(benchmark: Benchmark, found: Sequence[Found]) -> Told:
    """Raises `SystemExit` where a half has no true pairs, or none but those."""
    training, held = (pairs(benchmark, found, split) for split in ("train", "test"))
    for name, half in (("training", training), ("other", held)):
        if not len(half) or half.true.all() or not half.true.any():
            raise SystemExit(f"the {name} half has {len(half)} pairs, and not both kinds of them")
    draws = drawn(training, STATED, seed=benchmark.seed)
    return Told(benchmark.seed, training, held, fit(training, STATED), draws)


def as_toml(of: Told) -> str:
    """matcher/calibration.toml."""
    low, high = np.percentile(of.draws, [2.5, 97.5], axis=0)
    weights = [f"{name} = {of.coefficients[1 + i]:.4f}" for i, name in enumerate(NAMES)]
    ends = [f"{n} = [{low[i]:.4f}, {high[i]:.4f}]" for i, n in enumerate(("intercept", *NAMES))]
    return "\n".join(
        [
            "# How evidence becomes a probability: see matcher/calibration.py. Written by",
            "# `python -m bench.robustness.calibrate --work DIR --write`; not edited by hand.",
            "",
            "version = 1",
            f"prior = {STATED}          # at which the probabilities are stated",
            f"intercept = {of.coefficients[0]:.4f}  # log-odds there of a hit that says nothing",
            "",
            "# What one unit of damped evidence adds, in log-odds.",
            "[weights]",
            *weights,
            "",
            "# 95 % bounds, by a bootstrap over sources.",
            "[bounds]",
            *ends,
            "",
            "[training]",
            f"seed = {of.seed}",
            f"pairs = {len(of.training)}",
            f"true = {int(of.training.true.sum())}",
            f"sources = {len(set(of.training.sources))}",
            "",
        ]
    )


def page(of: Told) -> str:
    """docs/robustness-calibration.md."""
    held, training = of.held, of.training
    parts = [
        f"Fitted on {len(training)} pairs of the training half ({training.true.mean():.0%} true, "
        f"{len(set(training.sources))} sources), told on {len(held)} pairs of the other half "
        f"({of.own:.0%} true, {len(set(held.sources))} sources), which shares no source with it. "
        f"The intercept is stated at a prior of {STATED:g}; bounds: a bootstrap over sources. "
        f"On the training half, each source left out of the fit in turn: a log loss of "
        f"{left_out(training, STATED):.3f} nats.\n",
        _coefficients(of),
        "On the other half, at its own prior; the score before is decision 9's:\n",
        _measures(of),
        "Of the other half's pairs with such a probability, so many were true:\n",
        _bins(of),
        "![Probability given, and share that was so](robustness-calibration.svg)\n",
    ]
    return "\n".join(parts)


def _coefficients(of: Told) -> str:
    low, high = np.percentile(of.draws, [2.5, 97.5], axis=0)
    lines = ["| | value | 95 % bounds |", "| --- | --: | --- |"]
    for i, name in enumerate(("intercept", *NAMES)):
        lines.append(f"| {name} | {of.coefficients[i]:.2f} | {low[i]:.2f} to {high[i]:.2f} |")
    return "\n".join(lines) + "\n"


def _measures(of: Told) -> str:
    lines = ["| | calibrated | 95 % bounds | the score before |", "| --- | --: | --- | --: |"]
    for name, measure in (
        ("squared error (Brier)", brier),
        ("log loss, nats", log_loss),
        ("expected calibration error", calibration_error),
    ):
        low, high = bounds(measure, of.p, of.held, of.seed)
        now, then = measure(of.p, of.held.true), measure(of.before, of.held.true)
        lines.append(f"| {name} | {now:.4f} | {low:.4f} to {high:.4f} | {then:.4f} |")
    return "\n".join(lines) + "\n"


def _bins(of: Told) -> str:
    head = ["at its own prior", f"at {STATED:g}", "pairs", "mean", "true", "95 % bounds (Wilson)"]
    lines = [f"| {' | '.join(head)} |", "| --- | --- | --: | --: | --: | --- |"]
    for one in reliability(of.p, of.held.true, BINS):
        least, most = one.bounds
        at = [restated(edge, of.own, STATED) for edge in (one.low, one.high)]
        cells = [f"{one.low:g} to {one.high:g}", f"{at[0]:.2g} to {at[1]:.2g}", str(one.of)]
        cells += [f"{one.mean:.3f}", f"{one.hits / one.of:.0%}", f"{least:.0%} to {most:.0%}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def write(of: Told) -> None:
    (ROOT / "matcher" / FILE).write_text(as_toml(of))
    docs = ROOT / "docs"
    (docs / "robustness-calibration.md").write_text(page(of))
    given = list(zip(of.p.tolist(), of.held.true.tolist(), strict=True))
    plots.reliability(given, docs / "robustness-calibration.svg")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--work", type=Path, required=True, help="where the answers are")
    parser.add_argument("--write", action="store_true", help="into matcher/ and docs/")
    options = parser.parse_args()
    found = answers(options.work / "answers-seawall.jsonl")
    of = told(load(options.work / "samples.json"), found)
    print(as_toml(of) + "\n" + page(of))
    if options.write:
        write(of)
    return 0


if __name__ == "__main__":
    sys.exit(main())
