"""Makes the samples of the robustness benchmark from a folder of videos.

    python -m bench.robustness.make FOLDER --work DIR [--seed 2019] [--size 1.0] [--only TIER ...]

Files that are there already, made by the same recipe, are kept: it can be stopped and started
again. They are made in random order, and DIR/samples.json is written now and then with what there
is, so that a first part of all tiers can be judged early.
"""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from random import Random
from typing import Any

import av
from tqdm import tqdm

from bench.robustness import copies, plan, plan_negatives, samples, sources
from bench.robustness.plan import Enrolled, Planner
from bench.robustness.recipes import Made, Recipe
from bench.robustness.samples import Benchmark, Reference, Sample, Truth
from bench.robustness.video import AV1, Coding, excerpt, facts, read, write

log = logging.getLogger(__name__)

LONGEST_S = 40.0
GAP_S = 1.0
SAVE_EVERY = 25


def make(
    folder: Path, work: Path, *, seed: int, size: float, only: Sequence[str] = ()
) -> Benchmark:
    """`size` 1 is some 800 samples. `only`: tiers; empty: all."""
    folder, work = folder.resolve(), work.resolve()
    if AV1 not in av.codecs_available:
        log.info("AV1 is left out: PyAV has no %s", AV1)
    found = sources.find(folder, seed, work / "groups.json")
    for name in found.left_out:
        log.info("%s is left out: it shows another's footage, where is not known", name)
    chosen = tqdm(found.references, desc="references", disable=None)
    references = tuple(enrolled(source, work / "references") for source in chosen)
    planner = Planner(seed, size, references, found.distractors)
    recipes = [r for r in planned(planner) if not only or r.tier in only]
    recipes.sort(key=lambda r: Random(f"{seed} order {r.id}").random())
    known = tuple(r.reference for r in references)
    done: list[Sample] = []
    for recipe in tqdm(recipes, desc="samples", disable=None):
        sample = _sample(recipe, work)
        if sample is not None:
            done.append(sample)
        if len(done) % SAVE_EVERY == 1:
            samples.save(Benchmark(seed, known, tuple(done)), work / "samples.json")
    benchmark = Benchmark(seed, known, tuple(done))
    samples.save(benchmark, work / "samples.json")
    return benchmark


def planned(planner: Planner) -> list[Recipe]:
    return [
        *plan.singles(planner),
        *plan.combined(planner),
        *plan.sounds(planner),
        *plan.natural(planner),
        *plan.news(planner),
        *plan_negatives.planned(planner),
    ]


def enrolled(source: sources.Source, folder: Path) -> Enrolled:
    """The file itself, or its first half made anew where it is long."""
    path, total = source.path, source.seconds
    rest = None
    if source.long:
        end = round(min(total / 2, LONGEST_S), 3)
        rest = (end + GAP_S, min(total, end + GAP_S + LONGEST_S))
        path = folder / (plan.slug(source.name) + ".mp4")
        if not path.exists():
            _cut(source.path, path, end)
    about = facts(path)
    reference = Reference(
        plan.slug(source.name), str(path), source.name, source.split, round(about.seconds, 3)
    )
    return Enrolled(reference, source, about.loudness >= sources.AUDIBLE, rest)


def _cut(source: Path, target: Path, end: float) -> None:
    with av.open(str(source)) as container:
        fps = min(60, round(float(container.streams.video[0].average_rate or 25)))
    coding = Coding(options={"crf": "18", "preset": "veryfast"}, sound_bits=160_000)
    frames = read(source, 0.0, end, fps, 1920)
    write(target, frames, fps, coding, excerpt(source, 0.0, end))


def _sample(recipe: Recipe, work: Path) -> Sample | None:
    """The sample, made now if there is none of the same recipe; None if that isn't possible."""
    note = work / "notes" / f"{recipe.id}.json"
    if note.exists():
        known = json.loads(note.read_text())
        if known["recipe"] == recipe.text() and Path(known["sample"]["path"]).exists():
            return _known(known["sample"])
    try:
        made = copies.make(recipe, work / "samples")
    except (av.error.FFmpegError, ValueError, StopIteration, RuntimeError) as error:
        log.warning("%s can't be made: %s: %s", recipe.id, type(error).__name__, error)
        return None
    sample = _judged(recipe, made)
    note.parent.mkdir(parents=True, exist_ok=True)
    note.write_text(json.dumps({"recipe": recipe.text(), "sample": asdict(sample)}))
    return sample


def _known(body: dict[str, Any]) -> Sample:
    lists = {name: tuple(body[name]) for name in ("edits", "sources")}
    truth = tuple(
        Truth(t["reference"], tuple(t["query"]), tuple(t["shown"])) for t in body["truth"]
    )
    return Sample(**{**body, **lists, "truth": truth})


def _judged(recipe: Recipe, made: Made) -> Sample:
    truth = recipe.truth
    if recipe.reference and recipe.maker != "file":
        query, shown = (tuple(round(v, 3) for v in part) for part in (made.query, made.shown))
        truth = (Truth(recipe.reference, query, shown),)  # type: ignore[arg-type]
    return Sample(
        recipe.id, str(made.path), recipe.tier, recipe.kind, recipe.split, round(made.seconds, 3),
        recipe.edits, recipe.params, recipe.sources, truth,
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--work", type=Path, required=True, help="where the files are made")
    parser.add_argument("--seed", type=int, default=2019)
    parser.add_argument("--size", type=float, default=1.0)
    parser.add_argument("--only", nargs="*", default=(), choices=samples.TIERS)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    av.logging.set_level(av.logging.ERROR)
    benchmark = make(
        options.folder, options.work, seed=options.seed, size=options.size, only=options.only
    )
    print(f"{len(benchmark.references)} references, {len(benchmark.samples)} samples")


if __name__ == "__main__":
    main()
