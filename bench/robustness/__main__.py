"""How many edited copies are found, by Seawall and by its peers, and what else is alarmed on.

    python -m bench.robustness FOLDER --work DIR [--engines seawall,vpdq] [--docs docs/]

Makes the samples (`bench.robustness.make`) of the videos in FOLDER, enrols all references with
each engine, judges every sample, prints the tables and writes them and pictures to DIR/report.
Answers are kept in DIR/answers-ENGINE.jsonl and used again while neither the engine nor the files
change. Peers are installed into build/peers when they are first asked for; one that cannot be
installed is left out, and the report says why.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from tqdm import tqdm

from bench.copies import videos
from bench.robustness import engines, large, plots, report
from bench.robustness.found import Answers, digest_of
from bench.robustness.padding import Padding
from bench.robustness.samples import TIERS, Benchmark, Sample, load
from bench.robustness.worth import Asked, Result, evaluate

T = TypeVar("T")

ALL = ",".join(engines.ENGINES)


def located(work: Path, path: str) -> Path:
    """Paths of samples and references are relative to the work folder unless absolute."""
    return work / path


def chosen(benchmark: Benchmark, split: str, tiers: Sequence[str]) -> list[Sample]:
    return [s for s in benchmark.samples if split in ("all", s.split) and s.tier in tiers]


class Run:
    """One engine over the samples: answers that are kept are not asked for again."""

    def __init__(
        self,
        name: str,
        work: Path,
        benchmark: Benchmark,
        samples: Sequence[Sample],
        padding: Padding | None = None,
    ):
        self._name = name
        self._padding = padding if name == "seawall" else None
        self._work = work
        self._references = [(r, located(work, r.path)) for r in benchmark.references]
        self._samples = samples
        self._bank = digest_of(
            (p for _, p in self._references), *(r.id for r, _ in self._references)
        )
        padded = "" if self._padding is None else f"-{self._padding.name}"
        self._answers = work / f"answers-{name}{padded}.jsonl"
        self._noted = work / f"engine-{name}{padded}.json"

    def forget(self) -> None:
        self._answers.unlink(missing_ok=True)

    def asked(self) -> Asked:
        """The engine's answers, those that are missing asked for now."""
        version = engines.version_of(self._name)
        if self._padding is not None:
            version += f" {self._padding.codes} {self._padding.features}"
        answers = Answers(self._answers, f"{version} {self._bank}")
        files = {s.id: digest_of([located(self._work, s.path)]) for s in self._samples}
        left = [s for s in self._samples if answers.get(s.id, files[s.id]) is None]
        if left or not self._noted.exists():
            try:
                self._noted.write_text(json.dumps(self._ask(left, answers, files)))
            except engines.PeerMissing as error:
                return Asked(self._name, "", "", {}, {}, missing=str(error))
        if not version.startswith(engines.version_of(self._name)):
            print(f"{self._name} was changed while it was measured", file=sys.stderr)
        about = json.loads(self._noted.read_text())
        found = {s.id: answers.get(s.id, files[s.id]) for s in self._samples}
        return Asked(
            self._name,
            about["version"],
            about["rule"],
            {name: answer for name, answer in found.items() if answer is not None},
            about["unread"],
            padded_gb=about.get("padded_gb", 0.0),
        )

    def _ask(
        self, samples: Sequence[Sample], answers: Answers, files: Mapping[str, str]
    ) -> dict[str, object]:
        engine = engines.make(self._name, self._work, self._bank, self._padding)
        try:
            unread = {}
            for reference, path in self._bar(self._references, "references"):
                why = engine.enroll(reference, path)
                if why is not None:
                    unread[reference.id] = why
            for sample in self._bar(samples, "samples"):
                answer = engine.judge(sample, located(self._work, sample.path))
                answers.add(answer, files[sample.id])
            about: dict[str, object] = {"version": engine.version, "rule": engine.rule}
            return about | {"unread": unread, "padded_gb": getattr(engine, "padded_gb", 0.0)}
        finally:
            engine.close()

    def _bar(self, items: Sequence[T], what: str) -> Iterable[T]:
        return tqdm(items, desc=f"{self._name}: {what}", disable=None)


def fragment(results: Sequence[Result]) -> str:
    """The tables for the documentation, without the lists of file names."""
    parts = [
        report.summary(results),
        "![Found per tier and engine, in percent](robustness-recall.svg)\n",
        report.side_by_side(results, lambda v: v.shipped),
        report.LEGEND,
        report.standing(results),
        "By score alone, at a threshold that no negative reaches (each engine at its own best):\n",
        report.side_by_side(results, lambda v: v.swept, kinds=False),
        "Seawall, tier by tier ([robustness.csv](robustness.csv) has the same of each edit):\n",
        *(report.by_tier(r) for r in results if r.asked.name == "seawall"),
        *(report.news(r) for r in results if r.asked.name == "seawall"),
        "False alarms, blocks + reviews:\n",
        report.false_alarms(results),
        report.bullets(f"{r.asked.name} ({r.asked.version}): {r.asked.rule}." for r in results),
    ]
    return "\n".join(parts)


def parser_of(text: str | None, every: Iterable[str]) -> argparse.ArgumentParser:
    """What a benchmark of copies can be told, be they videos or images. `text`: its module's;
    `every`: the engines that there are."""
    parser = argparse.ArgumentParser(description=(text or "").split("\n", 1)[0])
    parser.add_argument("folder", type=Path, help="the videos to make samples of")
    parser.add_argument("--work", type=Path, required=True, help="samples, answers and report")
    parser.add_argument("--seed", type=int, default=2019)
    parser.add_argument("--size", type=float, default=1.0, help="share of the samples to make")
    parser.add_argument("--no-make", action="store_true", help="take samples.json as it is")
    parser.add_argument("--engines", default="seawall", help=f"all, or of {','.join(every)}")
    parser.add_argument("--split", default="test", choices=("train", "test", "all"))
    parser.add_argument("--again", action="append", default=[], help="forget this engine's answers")
    parser.add_argument("--docs", type=Path, help="pictures and tables for the documentation too")
    return parser


def parse() -> argparse.Namespace:
    parser = parser_of(__doc__, engines.ENGINES)
    parser.add_argument("--tiers", default=",".join(TIERS))
    parser.add_argument(
        "--padded",
        nargs=2,
        type=float,
        action="append",
        default=[],
        metavar="MILLIONS",
        help="ask in a bank made so large, too: frame hashes, local features (such as 10 50); "
        "may be given several times, and then --docs writes these curves alone",
    )
    parser.add_argument("--every", type=int, default=1, help="judge each so many'th sample only")
    return parser.parse_args()


def made(options: argparse.Namespace) -> Benchmark:
    if not options.no_make:
        from bench.robustness.make import make

        make(options.folder, options.work, seed=options.seed, size=options.size)
    return load(options.work / "samples.json")


def paddings(options: argparse.Namespace, benchmark: Benchmark) -> list[Padding]:
    sources = {name for s in benchmark.samples if s.truth for name in s.sources}
    others = tuple(p for p in videos(options.folder) if p.name not in sources)
    each = ([round(1e6 * millions) for millions in sizes] for sizes in options.padded)
    return [Padding(codes, features, others) for codes, features in each]


def in_large_banks(
    options: argparse.Namespace,
    benchmark: Benchmark,
    samples: Sequence[Sample],
    small: Result,
    folder: Path,
) -> None:
    """Ask Seawall in banks that are padded, and show what becomes of it, beside the `small` one."""
    grown = [large.Grown(0, 0, small)]
    for padding in paddings(options, benchmark):
        asked = Run("seawall", options.work, benchmark, samples, padding).asked()
        result = evaluate(asked, samples)
        grown.append(large.Grown(padding.codes, padding.features, result))
    print(large.table_of(grown))
    for target in (folder, options.docs):
        if target:
            large.as_csv(grown, target / "robustness-padded.csv")
            large.draw(grown, target / "robustness-padded.svg")


def main() -> int:
    options = parse()
    names = list(engines.ENGINES) if options.engines == "all" else options.engines.split(",")
    if unknown := sorted(set(names) - set(engines.ENGINES)):
        print(f"unknown engines: {', '.join(unknown)}", file=sys.stderr)
        return 2
    if options.padded and "seawall" not in names:
        print("only Seawall's bank is padded", file=sys.stderr)
        return 2
    options.work.mkdir(parents=True, exist_ok=True)
    benchmark = made(options)
    samples = chosen(benchmark, options.split, options.tiers.split(","))[:: options.every]
    if not samples:
        print("no samples of that split and those tiers", file=sys.stderr)
        return 2
    asked = []
    for name in names:
        run = Run(name, options.work, benchmark, samples)
        if name in options.again:
            run.forget()
        asked.append(run.asked())
    gone = [a for a in asked if a.missing is not None]
    results = [evaluate(a, samples) for a in asked if a.missing is None]
    title = f"Robustness: {len(samples)} samples, {len(benchmark.references)} references"
    title += f", split {options.split}, seed {benchmark.seed}"
    folder = options.work / "report"
    report.write(folder, results, gone, samples, title)
    if results:
        plots.draw(results, samples, folder)
    print(report.markdown(results, gone, title))
    if options.padded:
        small = next(r for r in results if r.asked.name == "seawall")
        in_large_banks(options, benchmark, samples, small, folder)
    elif options.docs and results:
        plots.draw(results, samples, options.docs)
        (options.docs / "robustness-table.md").write_text(fragment(results))
        report.as_csv(options.docs / "robustness.csv", results)
    return 1 if any(r.asked.name == "seawall" and r.alarms.blocked for r in results) else 0


if __name__ == "__main__":
    sys.exit(main())
