"""Everyday copies against unrelated videos: what the matcher finds, and what it must not.

    python -m bench.copies FOLDER [--references 10] [--work DIR] [--json FILE]

Takes a folder of videos, makes some of them references and edits copies of those
(`bench.edits`), enrols the references into a fresh database, judges every copy and every other
video by the packaged policy, and prints a table: per edit how many were blocked, sent to review
or allowed, and how far the found segment's ends lie from the true ones. A `natural_pairs.csv` in
the folder (query, reference, ...) names copies that are no negatives.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from api.wiring import Parts, build
from bench import settings
from bench.edits import EDITS, Edit, make
from hashdb.errors import SeawallError
from hashdb.model import Action, Verdict, new_id
from matcher.digest import digest_file

SUFFIXES = {".mp4", ".webm", ".mkv", ".mov", ".ogv", ".avi", ".ts", ".mjpeg"}


@dataclass(frozen=True, slots=True)
class Sample:
    """One file to be judged: `edit` None is an unrelated video. `shown`: seconds of the copy."""

    path: Path
    edit: Edit | None
    reference: str | None
    shown: tuple[float, float] = (0.0, 0.0)


def videos(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.suffix in SUFFIXES)


def related(folder: Path) -> list[set[str]]:
    """Files that show the same footage, as `natural_pairs.csv` says."""
    groups: list[set[str]] = []
    listed = folder / "natural_pairs.csv"
    if listed.exists():
        for row in csv.DictReader(listed.open()):
            pair = {row["query"], row["reference"]}
            touching = [g for g in groups if g & pair]
            groups = [g for g in groups if not g & pair] + [pair.union(*touching)]
    return groups


def copies_in(groups: list[set[str]]) -> set[str]:
    """Of each group that shows the same footage, all files but the first original."""
    return {n for g in groups for n in g if n != min(g, key=lambda n: (n[0] != "o", n))}


def make_copies(
    references: Iterable[Path], others: list[Path], work: Path, rng: random.Random
) -> list[Sample]:
    """Edited copies of the references in `work`; those that are there already are kept."""
    noted = work / "copies.json"
    known = json.loads(noted.read_text()) if noted.exists() else {}
    samples = []
    for source in tqdm(list(references), desc="copies", disable=None):
        for edit in EDITS:
            suffix = ".webm" if edit.codec == "libvpx" else ".mp4"
            target = work / f"{source.stem}__{edit.name.replace(' ', '_')}{suffix}"
            other = rng.choice(others)
            if target.name not in known:
                known[target.name] = make(edit, source, target, other)
                noted.write_text(json.dumps(known))
            if known[target.name][1] - known[target.name][0] > 0.5:
                samples.append(Sample(target, edit, source.name, tuple(known[target.name])))
    return samples


def judge(parts: Parts, sample: Sample) -> Verdict | SeawallError:
    with sample.path.open("rb") as media:
        try:
            return parts.checker.check_media("bench", new_id("upload"), media, digest_file(media))
        except SeawallError as error:
            return error


def segment_error(verdict: Verdict, sample: Sample) -> float | None:
    """Seconds by which the ends of what was found lie from the truth, both ends added."""
    if sample.shown == (0.0, 0.0):
        return None
    for match in verdict.matches:
        if match.reference.source == sample.reference and match.segments:
            start = min(p.query.start for p in match.segments)
            end = max(p.query.end for p in match.segments)
            return abs(start - sample.shown[0]) + abs(end - sample.shown[1])
    return None


def report(results: list[tuple[Sample, Verdict | SeawallError]]) -> list[dict[str, object]]:
    """One row an edit, and one for all unrelated videos."""
    rows: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for sample, verdict in results:
        row = rows[sample.edit.name if sample.edit else "(unrelated)"]
        if isinstance(verdict, SeawallError):
            row["error"].append(1)
            continue
        row[verdict.action.value].append(1)
        error = segment_error(verdict, sample)
        if error is not None:
            row["ends_s"].append(error)
    return [
        {
            "edit": name,
            "files": sum(len(row[a]) for a in ("block", "review", "allow", "error")),
            **{a: len(row[a]) for a in ("block", "review", "allow", "error")},
            "ends_s": round(statistics.median(row["ends_s"]), 2) if row["ends_s"] else None,
        }
        for name, row in rows.items()
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--references", type=int, default=10)
    parser.add_argument("--seed", type=int, default=2019)
    parser.add_argument("--work", type=Path, help="keep copies here, to go on with them later")
    parser.add_argument("--json", type=Path, help="write every verdict here")
    options = parser.parse_args()
    rng = random.Random(options.seed)
    files = videos(options.folder)
    kin = related(options.folder)
    originals = [p for p in files if p.name not in copies_in(kin)]
    references = sorted(rng.sample(originals, min(options.references, len(originals) - 1)))
    kin_of_references = {n for g in kin for n in g if any(r.name in g for r in references)}
    others = [p for p in files if p not in references and p.name not in kin_of_references]
    with tempfile.TemporaryDirectory() as scratch:
        work = options.work or Path(scratch) / "copies"
        work.mkdir(parents=True, exist_ok=True)
        samples = make_copies(references, others, work, rng)
        samples += [
            Sample(p, Edit("(natural copy)"), _reference_of(p.name, kin, references))
            for p in files
            if p.name in kin_of_references and p not in references
        ]
        samples += [Sample(p, None, None) for p in others]
        parts = build(settings(Path(scratch) / "data"))
        try:
            enrol(parts, references)
            began = time.process_time()
            with ThreadPoolExecutor(parts.settings.decoders) as pool:
                verdicts = list(
                    tqdm(
                        pool.map(lambda s: judge(parts, s), samples),
                        total=len(samples),
                        desc="judged",
                        disable=None,
                    )
                )
            spent = time.process_time() - began
        finally:
            parts.close()
    results = list(zip(samples, verdicts, strict=True))
    print_table(report(results), spent)
    if options.json:
        options.json.write_text("".join(json.dumps(as_json(*r)) + "\n" for r in results))
    wrong = [s.path.name for s, v in results if s.edit is None and _action(v) is Action.BLOCK]
    return 1 if wrong else 0


def _reference_of(name: str, kin: list[set[str]], references: list[Path]) -> str:
    return next(r.name for g in kin if name in g for r in references if r.name in g)


def _action(verdict: Verdict | SeawallError) -> Action | None:
    return verdict.action if isinstance(verdict, Verdict) else None


def as_json(sample: Sample, verdict: Verdict | SeawallError) -> dict[str, object]:
    row: dict[str, object] = {
        "file": sample.path.name,
        "edit": sample.edit.name if sample.edit else None,
        "reference": sample.reference,
        "shown": sample.shown,
    }
    if isinstance(verdict, SeawallError):
        return row | {"problem": f"{type(verdict).__name__}: {verdict}"}
    return row | {
        "action": verdict.action.value,
        "reason": verdict.reason.text,
        "matches": [
            (
                m.reference.source,
                round(m.score, 3),
                [(s.signal_type, round(s.score, 3)) for s in m.signals],
                [
                    (p.query.start, p.query.end, p.reference.start, p.reference.end)
                    for p in m.segments
                ],
            )
            for m in verdict.matches
        ],
        "coverage": (
            verdict.coverage.judged_s,
            verdict.coverage.total_s,
            verdict.coverage.frames,
            verdict.coverage.flat_frames,
        ),
        "timings_ms": dict(verdict.timings_ms),
    }


def enrol(
    parts: Parts, references: Iterable[Path], name: str = "bench", action: Action = Action.BLOCK
) -> None:
    """Makes a bank of these videos."""
    with parts.store.begin() as tx:
        bank = tx.banks.create(name, action=action)
    for path in tqdm(list(references), desc="references", disable=None):
        with path.open("rb") as media:
            parts.enroller.add_media(
                bank, media, digest_file(media), actor="bench", source=path.name
            )


def print_table(rows: list[dict[str, object]], spent: float) -> None:
    names = ("edit", "files", "block", "review", "allow", "error", "ends_s")
    print("  ".join(f"{n:>24}" if n == "edit" else f"{n:>6}" for n in names))
    for row in rows:
        print("  ".join(f"{row[n]!s:>24}" if n == "edit" else f"{row[n]!s:>6}" for n in names))
    print(f"matching and deciding (decoding children not counted): {spent:.1f} CPU s")


if __name__ == "__main__":
    sys.exit(main())
