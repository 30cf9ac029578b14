"""How often a score is right: fitted on one half of the benchmark, told on the other.

    python -m bench.robustness.calibrate --work DIR [--write] [--anew]

Needs Seawall's answers to both halves (`python -m bench.robustness ... --split all` for videos,
`python -m bench.robustness.images ... --split all` for images), and fits what there are answers of.
Beside the fit it tells what the numbers in force make of the same pairs. A pair is a sample and a
reference that Seawall saw in it, however weakly; in a half's pairs both are of that half, so that
the halves share no source. `--write` puts the fit into matcher/calibration.toml, the tables into
docs/robustness-calibration.md (of images: -images.md) and the plot beside it. Numbers in force stay
where the fit lies within their bounds, for then it says nothing new; `--anew` writes all the same.

The evidence in the answers does not depend on the calibration, their scores and actions do: run the
benchmark again after a fit before you quote those.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from bench.robustness import plots
from bench.robustness.found import Found, Named, read
from bench.robustness.logistic import (
    IMAGES,
    VIDEOS,
    Floats,
    Form,
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
from bench.robustness.metrics import shown
from bench.robustness.samples import Benchmark, Reference, Sample, load
from matcher.calibration import (
    CALIBRATION,
    DAMPING,
    FILE,
    IMAGE_NAMES,
    NAMES,
    Calibration,
    damped,
    restated,
)

ROOT = Path(__file__).resolve().parents[2]
BINS = (0.0, 0.1, 0.3, 0.5, 0.75, 0.9, 0.97, 0.99, 1.0)

STATED = 0.9
"""The prior that scores are stated at: of ten references that are hit in an upload at all, however
weakly, nine are shown. (The benchmark has fewer, for its look-alikes are chosen to be hit.)"""


@dataclass(frozen=True, slots=True)
class Part:
    """What is fitted by itself. `folder`: below the work folder; `page`: in docs, no suffix."""

    name: str
    folder: str
    page: str
    kinds: tuple[str, ...]
    form: Form

    def evidence(self, named: Named) -> list[float]:
        """By kind, in the fit's own measure."""
        said = [named.evidence.get(kind, 0.0) for kind in self.kinds]
        return said if self is OF_IMAGES else [damped(one) for one in said]

    def raw(self, evidence: Floats) -> Floats:
        """In log-odds, from that measure."""
        return evidence if self is OF_IMAGES else DAMPING * np.expm1(evidence / DAMPING)


OF_VIDEOS = Part("videos", ".", "robustness-calibration", NAMES, VIDEOS)
OF_IMAGES = Part("images", "images", "robustness-calibration-images", IMAGE_NAMES, IMAGES)
PARTS = (OF_VIDEOS, OF_IMAGES)


@dataclass(frozen=True, slots=True, eq=False)
class Told:
    """A fit to the training half, and what it makes of the other half."""

    seed: int
    training: Pairs
    held: Pairs
    coefficients: Floats
    draws: Floats
    part: Part = OF_VIDEOS

    @property
    def own(self) -> float:
        """The other half's share of true pairs, which is its prior."""
        return float(self.held.true.mean())

    @property
    def p(self) -> Floats:
        """The other half's probabilities, at its own prior."""
        stated = predicted(self.coefficients, self.held.evidence, self.part.form)
        return np.array([restated(one, STATED, self.own) for one in stated.tolist()])

    @property
    def before(self) -> Floats:
        """Decision 9's: the best signal's evidence as it is, nothing fitted."""
        intercept, weight = self.part.form.belief[:2]
        return chance(intercept + weight * self.part.raw(self.held.evidence).max(axis=1))


@dataclass(frozen=True, slots=True)
class Numbers:
    """One part of calibration.toml. `values` and `ends`: the intercept, then by kind, in order."""

    values: Mapping[str, float]
    ends: Mapping[str, tuple[float, float]]
    training: Mapping[str, int]

    def hold(self, other: Numbers) -> bool:
        """Whether the other's values lie within these bounds."""
        return all(low <= other.values[name] <= high for name, (low, high) in self.ends.items())


def answers(path: Path) -> list[Found]:
    """The newest version's answers."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    newest = lines[-1]["tag"]
    return list(
        {b["found"]["sample"]: read(b["found"]) for b in lines if b["tag"] == newest}.values()
    )


def pairs(
    benchmark: Benchmark, found: Iterable[Found], split: str, part: Part = OF_VIDEOS
) -> Pairs:
    """The half's samples with the half's references that were seen in them."""
    samples = {s.id: s for s in benchmark.samples if s.split == split and s.tier != "near"}
    references = {r.id: r for r in benchmark.references if r.split == split}
    rows, true, sources = [], [], []
    for one in found:
        sample = samples.get(one.sample)
        if sample is None:
            continue
        for named in one.named:
            reference = references.get(named.reference)
            if reference is None or not named.evidence:
                continue
            if not _untold(sample, reference):
                rows.append(part.evidence(named))
                true.append(named.reference in shown(sample))
                sources.append(reference.source)
    kinds = len(part.kinds)
    return Pairs(np.array(rows).reshape(-1, kinds), np.array(true, dtype=np.bool_), sources)


def _untold(sample: Sample, of: Reference) -> bool:
    """Whether nobody says if it shows that reference: an image that copies one still may well show
    another one of the same source."""
    right = shown(sample)
    other = bool(right) and of.id not in right
    return not sample.seconds and other and of.source in sample.sources


def told(benchmark: Benchmark, found: Sequence[Found], part: Part = OF_VIDEOS) -> Told:
    """Raises `SystemExit` where a half has no true pairs, or none but those."""
    training, held = (pairs(benchmark, found, split, part) for split in ("train", "test"))
    for name, half in (("training", training), ("other", held)):
        if not len(half) or half.true.all() or not half.true.any():
            raise SystemExit(f"the {name} half has {len(half)} pairs, and not both kinds of them")
    draws = drawn(training, STATED, seed=benchmark.seed, form=part.form)
    fitted = fit(training, STATED, part.form)
    return Told(benchmark.seed, training, held, fitted, draws, part)


def fitted(of: Told) -> Numbers:
    names = ("intercept", *of.part.kinds)
    low, high = np.percentile(of.draws, [2.5, 97.5], axis=0).tolist()
    training = {
        "seed": of.seed,
        "pairs": len(of.training),
        "true": int(of.training.true.sum()),
        "sources": len(set(of.training.sources)),
    }
    return Numbers(
        dict(zip(names, of.coefficients.tolist(), strict=True)),
        {name: (low[i], high[i]) for i, name in enumerate(names)},
        training,
    )


def in_force(part: Part, calibration: Calibration = CALIBRATION) -> Numbers:
    of = calibration if part is OF_VIDEOS else calibration.images
    values = {"intercept": of.intercept, **of.weights.model_dump()}
    return Numbers(values, of.bounds.model_dump(), of.training.model_dump())


def chosen(of: Told, *, anew: bool, calibration: Calibration = CALIBRATION) -> Numbers:
    """The fit; the numbers in force, where it lies within their bounds, unless `anew`."""
    now, new = in_force(of.part, calibration), fitted(of)
    return now if not anew and now.hold(new) else new


def as_toml(videos: Numbers, images: Numbers) -> str:
    """matcher/calibration.toml."""
    start = videos.values["intercept"]
    return "\n".join(
        [
            "# How evidence becomes a probability: see matcher/calibration.py. Written by",
            "# `python -m bench.robustness.calibrate --work DIR --write`; not edited by hand.",
            "",
            "version = 1",
            f"prior = {STATED}          # at which the probabilities are stated",
            f"intercept = {start:.4f}  # log-odds there of a hit that says nothing",
            "",
            "# What one unit of damped evidence adds, in log-odds.",
            *_tables(videos, ""),
            "# Of images, whose evidence is not damped.",
            "[images]",
            f"intercept = {images.values['intercept']:.4f}",
            "",
            *_tables(images, "images."),
        ]
    )


def _tables(of: Numbers, prefix: str) -> list[str]:
    weights = {name: value for name, value in of.values.items() if name != "intercept"}
    return [
        f"[{prefix}weights]",
        *(f"{name} = {value:.4f}" for name, value in weights.items()),
        "",
        "# 95 % bounds, by a bootstrap over sources.",
        f"[{prefix}bounds]",
        *(f"{name} = [{low:.4f}, {high:.4f}]" for name, (low, high) in of.ends.items()),
        "",
        f"[{prefix}training]",
        *(f"{name} = {value}" for name, value in of.training.items()),
        "",
    ]


def page(of: Told) -> str:
    """The part's page of docs."""
    held, training = of.held, of.training
    parts = [
        f"Fitted on {len(training)} pairs of the training half ({training.true.mean():.0%} true, "
        f"{len(set(training.sources))} sources), told on {len(held)} pairs of the other half "
        f"({of.own:.0%} true, {len(set(held.sources))} sources), which shares no source with it. "
        f"The intercept is stated at a prior of {STATED:g}; bounds: a bootstrap over sources. "
        f"On the training half, each source left out of the fit in turn: a log loss of "
        f"{left_out(training, STATED, of.part.form):.3f} nats.\n",
        _coefficients(of),
        "On the other half, at its own prior; the score before is decision 9's:\n",
        _measures(of),
        "Of the other half's pairs with such a probability, so many were true:\n",
        _bins(of),
        f"![Probability given, and share that was so]({of.part.page}.svg)\n",
    ]
    return "\n".join(parts)


def page_of_those_in_force(of: Told) -> str:
    """What the numbers in force make of the same pairs: of a seed that they were fitted on only the
    other half is new to them."""
    values = np.array(list(in_force(of.part).values.values()))
    stays = replace(of, coefficients=values)
    fitted_on = in_force(of.part).training["seed"]
    return f"By the numbers in force (seed {fitted_on}):\n\n{_measures(stays, 'in force')}"


def _coefficients(of: Told) -> str:
    low, high = np.percentile(of.draws, [2.5, 97.5], axis=0)
    lines = ["| | value | 95 % bounds |", "| --- | --: | --- |"]
    for i, name in enumerate(("intercept", *of.part.kinds)):
        lines.append(f"| {name} | {of.coefficients[i]:.2f} | {low[i]:.2f} to {high[i]:.2f} |")
    return "\n".join(lines) + "\n"


def _measures(of: Told, by: str = "calibrated") -> str:
    lines = [f"| | {by} | 95 % bounds | the score before |", "| --- | --: | --- | --: |"]
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


def write(numbers: Mapping[str, Numbers], all_told: Iterable[Told], root: Path = ROOT) -> None:
    """calibration.toml with these numbers, by part; of parts without any, with those in force. And
    the pages and plots of what is told."""
    both = [numbers.get(part.name) or in_force(part) for part in PARTS]
    (root / "matcher" / FILE).write_text(as_toml(*both))
    docs = root / "docs"
    for of in all_told:
        (docs / f"{of.part.page}.md").write_text(page(of))
        given = list(zip(of.p.tolist(), of.held.true.tolist(), strict=True))
        plots.reliability(given, docs / f"{of.part.page}.svg")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--work", type=Path, required=True, help="where the answers are")
    parser.add_argument("--write", action="store_true", help="into matcher/ and docs/")
    parser.add_argument("--anew", action="store_true", help="also what says nothing new")
    options = parser.parse_args()
    new: list[Told] = []
    numbers: dict[str, Numbers] = {}
    for part in PARTS:
        kept = options.work / part.folder / "answers-seawall.jsonl"
        if not kept.exists():
            print(f"{part.name}: no answers in {kept.parent}")
            continue
        of = told(load(kept.parent / "samples.json"), answers(kept), part)
        numbers[part.name] = chosen(of, anew=options.anew)
        print(f"{part.name}:\n\n{page(of)}\n{page_of_those_in_force(of)}")
        if numbers[part.name] == in_force(part):
            print(f"{part.name}: within the bounds of the numbers in force, which stay")
        else:
            new.append(of)
    if not numbers:
        print("nothing was judged: see the beginning of this module", file=sys.stderr)
        return 2
    if options.write:
        write(numbers, new)
    return 0


if __name__ == "__main__":
    sys.exit(main())
