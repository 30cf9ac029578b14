"""How many edited images are found, by Seawall and by its peers, and what else is alarmed on.

    python -m bench.robustness.images FOLDER --work DIR [--engines all] [--docs docs/]

Takes stills of the videos in FOLDER (`bench.robustness.plan_images`), enrols some as images and
some videos as they are, edits others, and asks each engine about every one. All of it lies in
DIR/images; the references' videos are those of the benchmark of videos in the same DIR.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from pathlib import Path

import av
from tqdm import tqdm

from bench.robustness import engines, make, report, samples, sources, stills
from bench.robustness.__main__ import Run, chosen, parser_of
from bench.robustness.metrics import recall
from bench.robustness.plan import Planner
from bench.robustness.plan_images import Plan, made_frame, picture_frame, plan
from bench.robustness.recipes import Recipe
from bench.robustness.report import number, percent, table
from bench.robustness.samples import TIERS, Benchmark, Sample
from bench.robustness.video import Frame
from bench.robustness.worth import Result, evaluate

log = logging.getLogger(__name__)

REFERENCES = {"format": "jpeg", "quality": 92}
FOLDER = "images"


def make_images(folder: Path, work: Path, *, seed: int, size: float) -> Benchmark:
    """All files, and samples.json, in `work`/images. Pictures that are there already, made by the
    same recipe, are kept. `size` 1 is some 700 images."""
    folder, work = folder.resolve(), work.resolve()
    found = sources.find(folder, seed, work / "groups.json")
    chosen_ones = tqdm(found.references, desc="references", disable=None)
    enrolled = tuple(make.enrolled(source, work / "references") for source in chosen_ones)
    mine = work / FOLDER
    planned = plan(Planner(seed, size, enrolled, found.distractors), mine / "references")
    for of in planned.pictures:
        stills.write(Path(of.reference.path), picture_frame(of), REFERENCES)
    done = [_made(recipe, mine) for recipe in tqdm(planned.recipes, desc="images", disable=None)]
    benchmark = Benchmark(seed, _references(planned), tuple(s for s in done if s is not None))
    samples.save(benchmark, mine / "samples.json")
    return benchmark


def _references(planned: Plan) -> tuple[samples.Reference, ...]:
    pictures = tuple(p.reference for p in planned.pictures)
    return (*(v.reference for v in planned.videos), *pictures)


def _made(recipe: Recipe, folder: Path) -> Sample | None:
    """The image, made now if there is none of the same recipe; None if that isn't possible."""
    note = folder / "notes" / f"{recipe.id}.json"
    suffix = {"jpeg": ".jpg", "webp": ".webp", "png": ".png"}[recipe.params["codec"]["format"]]
    path = folder / "samples" / (recipe.id + suffix)
    about = Sample(
        recipe.id, str(path), recipe.tier, recipe.kind, recipe.split, 0.0, recipe.edits,
        recipe.params, recipe.sources, recipe.truth,
    )  # fmt: skip
    if note.exists() and path.exists() and note.read_text() == recipe.text():
        return about
    try:
        stills.write(path, _shown(recipe), recipe.params["codec"])
    except (av.error.FFmpegError, ValueError, StopIteration, RuntimeError) as error:
        log.warning("%s can't be made: %s: %s", recipe.id, type(error).__name__, error)
        return None
    note.parent.mkdir(parents=True, exist_ok=True)
    note.write_text(recipe.text())
    return about


def _shown(recipe: Recipe) -> Frame:
    p = recipe.params
    if not recipe.footage:
        frame = made_frame(p, p["at"])
    elif recipe.footage.endswith(".jpg"):
        frame = stills.picture(Path(recipe.footage))
    else:
        frame = stills.still(Path(recipe.footage), p["at"])
    frame = stills.within(frame, p["side"])
    return stills.edited(frame, recipe.edits, p, recipe.other_paths)


def summary(results: Sequence[Result], of: Sequence[Sample], images: frozenset[str]) -> str:
    """A row an engine: false alarms, recall per tier as shipped, by what the reference is, by score
    alone, and what an image costs. `images`: ids of the references that are images."""
    tiers = [t for t in report.tiers_of(results) if t != "near"]
    copies = [s for s in of if s.truth and s.tier != "near"]
    sides = [
        [s for s in copies if (s.truth[0].reference in images) is wanted]
        for wanted in (True, False)
    ]
    rows = []
    for r in results:
        found, bar = r.asked.found, max(r.alarms.highest, 0.0)
        spent = [f.cpu_s for f in found.values()]
        rows.append(
            [
                r.asked.name,
                f"{r.alarms.block.hits} of {r.alarms.block.of}",
                f"{r.alarms.review.hits} of {r.alarms.review.of}",
                *(percent(r.tiers[t].shipped) for t in tiers),
                *(percent(recall(side, found, bar).shipped) for side in sides),
                percent(recall(copies, found, bar).swept),
                number(r.micro_ap),
                number(sum(spent) / max(1, len(spent))),
            ]
        )
    head = ["engine", "false blocks", "false reviews", *tiers, "of images", "of videos"]
    return table([*head, "at no false alarm", "µAP", "CPU s an image"], rows)


LEGEND = """\
*Found*: blocked, for a reference that the image shows; in brackets the 95 % bounds (Wilson). *Of
images*, *of videos*: what the reference is. *At no false alarm*: the share of all copies whose
score is above every negative's, whatever the action. *near*: a second beside an image reference, or
the same to the eye at another time; neither finding nor passing it is wrong.
"""


def fragment(results: Sequence[Result], of: Sequence[Sample], images: frozenset[str]) -> str:
    """The tables for the documentation."""
    parts = [
        summary(results, of, images),
        LEGEND,
        report.side_by_side(results, lambda v: v.shipped),
        report.standing(results),
        "False alarms, blocks + reviews:\n",
        report.false_alarms(results),
        report.bullets(f"{r.asked.name} ({r.asked.version}): {r.asked.rule}." for r in results),
    ]
    return "\n".join(parts)


def main() -> int:
    options = parser_of(__doc__, engines.PICTURE_ENGINES).parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    av.logging.set_level(av.logging.ERROR)
    every = engines.PICTURE_ENGINES
    names = list(every) if options.engines == "all" else options.engines.split(",")
    if unknown := sorted(set(names) - set(every)):
        print(f"unknown engines: {', '.join(unknown)}", file=sys.stderr)
        return 2
    if not options.no_make:
        make_images(options.folder, options.work, seed=options.seed, size=options.size)
    mine = options.work / FOLDER
    benchmark = samples.load(mine / "samples.json")
    some = chosen(benchmark, options.split, TIERS)
    asked = []
    for name in names:
        run = Run(name, mine, benchmark, some)
        if name in options.again:
            run.forget()
        asked.append(run.asked())
    gone = [a for a in asked if a.missing is not None]
    results = [evaluate(a, some) for a in asked if a.missing is None]
    title = f"Images: {len(some)} uploads, {len(benchmark.references)} references"
    title += f", split {options.split}, seed {benchmark.seed}"
    report.write(mine / "report", results, gone, some, title)
    images = frozenset(r.id for r in benchmark.references if not r.seconds)
    told = fragment(results, some, images)
    (mine / "report" / "images.md").write_text(told)
    print(f"# {title}\n\n{told}")
    if options.docs and results:
        (options.docs / "robustness-images.md").write_text(told)
    return 1 if any(r.asked.name == "seawall" and r.alarms.blocked for r in results) else 0


if __name__ == "__main__":
    sys.exit(main())
