"""What a large bank costs, and what it loses: the same queries against ever more references.

    python -m bench.scale FOLDER [--features 0.25 1 5 20 50] [--work DIR] [--docs DIR]

The folder's videos are references. The bank is padded to so many millions of local features
(`bench.scale_padding`), loaded as a snapshot's would be, and asked with one picture after another,
one thread. The queries are edited pictures of those videos that fit into the smallest bank: the
same at each size. At its peak, while a bank is padded, memory is some twice the bank's. `CURVES`
has a function for each kind of index; another kind is added there.
"""

from __future__ import annotations

import argparse
import csv
import ctypes
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np

from bench.scale_padding import padded
from bench.scale_pictures import EDITS, Query, load
from bench.scale_plot import draw
from hashdb.index.filing import MOST_IN_BUCKET
from hashdb.index.local import LocalIndex
from matcher.sighting import FEWEST_VOTES, NOMINEES

NEAR_S = 1.3  # a nominated picture of the right reference so near in time is right


@dataclass(frozen=True, slots=True)
class Point:
    """One size of the bank. `bytes`: of memory a feature, all in all; `load_s` seconds to load;
    `ms`, `cpu_ms`: median milliseconds of one picture's nomination, by the clock and of the
    processor; `candidates`: codes compared, a feature; `nominated`: share of the edited pictures
    whose right picture is among the first nominees, with votes enough to be verified, and of each
    edit alone."""

    kind: str
    size: int
    bytes: float
    load_s: float
    ms: float
    cpu_ms: float
    candidates: float
    nominated: float
    edits: dict[str, float]


def local_features(options: argparse.Namespace) -> list[Point]:
    """The curve of the index of local features."""
    references, queries = load(options.folder, options.work)
    totals = np.cumsum([len(one.codes) for one in references])
    sizes = [round(millions * 1e6) for millions in options.features]
    held = [max(1, int(np.searchsorted(totals, size, side="right"))) for size in sizes]
    asked = [q for q in queries if q.reference < min(held) and len(q.codes)][:: options.every]
    points = []
    for size, count in zip(sizes, held, strict=True):
        arrays = padded(references[:count], size, options.seed)
        index = LocalIndex()
        before, start = resident(), time.perf_counter()
        index.load(arrays)
        loaded = time.perf_counter() - start
        took = resident() - before + sum(a.nbytes for a in arrays.values())
        point = measured(index, asked, took / len(index), loaded)
        print(row(point), flush=True)
        points.append(point)
        del index, arrays
    return points


def measured(index: LocalIndex, queries: Sequence[Query], size: float, load_s: float) -> Point:
    """One point, by one nomination a query."""
    right: dict[str, list[bool]] = {edit: [] for edit in EDITS}
    clock, cpu = [], []
    for query in queries:
        start, started = time.perf_counter(), time.thread_time()
        nominees = index.nominate(query.codes, query.places, NOMINEES)
        clock.append(time.perf_counter() - start)
        cpu.append(time.thread_time() - started)
        right[query.edit].append(
            any(
                n.reference == query.reference
                and abs(n.offset - query.offset) < NEAR_S
                and n.votes >= FEWEST_VOTES
                for n in nominees
            )
        )
    return Point(
        "local features",
        len(index),
        size,
        load_s,
        float(np.median(clock)) * 1000,
        float(np.median(cpu)) * 1000,
        compared(index, queries),
        float(np.mean([found for some in right.values() for found in some])),
        {edit: float(np.mean(some)) for edit, some in right.items()},
    )


def compared(index: LocalIndex, queries: Sequence[Query]) -> float:
    """Codes that a query's feature is compared with, on average."""
    features = np.concatenate([q.codes for q in queries[::10]]).view(np.uint64)
    total = 0
    for filed in index.filed():
        _, equal = filed.buckets(features)
        total += int(np.minimum(equal, MOST_IN_BUCKET).sum())
    return total / len(features)


def resident() -> int:
    """Bytes of this process in memory, without what it has freed (Linux)."""
    ctypes.CDLL(None).malloc_trim(0)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


CURVES: dict[str, Callable[[argparse.Namespace], list[Point]]] = {"local": local_features}
"""By name, what is measured; a curve takes the command's options and gives a point a size."""


def header() -> str:
    edits = " ".join(f"{edit:>12}" for edit in EDITS)
    return (
        f"{'kind':<15} {'size':>11} {'bytes':>6} {'load s':>7} {'ms':>7} {'cpu ms':>7} "
        f"{'compared':>9} {'nominated':>10} {edits}"
    )


def row(point: Point) -> str:
    edits = " ".join(f"{100 * point.edits[edit]:>10.1f} %" for edit in EDITS)
    return (
        f"{point.kind:<15} {point.size:>11,} {point.bytes:>6.1f} {point.load_s:>7.1f} "
        f"{point.ms:>7.1f} {point.cpu_ms:>7.1f} {point.candidates:>9.0f} "
        f"{100 * point.nominated:>8.1f} % {edits}"
    )


def write_csv(points: Sequence[Point], path: Path) -> None:
    names = [f.name for f in fields(Point) if f.name != "edits"]
    with path.open("w", newline="") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow([*names, *EDITS])
        for point in points:
            values = [asdict(point)[name] for name in names]
            numbers = [*values[1:], *(point.edits[edit] for edit in EDITS)]
            out.writerow([values[0], *(round(number, 4) for number in numbers)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--work", type=Path, default=Path("build/scale"))
    parser.add_argument("--curves", nargs="+", choices=CURVES, default=list(CURVES))
    parser.add_argument(
        "--features", type=float, nargs="+", default=[0.25, 1, 5, 20, 50], help="millions"
    )
    parser.add_argument("--every", type=int, default=1, help="take each so manieth query")
    parser.add_argument("--seed", type=int, default=2019)
    parser.add_argument("--docs", type=Path, help="folder for scale.csv and scale.svg")
    options = parser.parse_args()
    print(header())
    points = [point for name in options.curves for point in CURVES[name](options)]
    if options.docs is not None:
        write_csv(points, options.docs / "scale.csv")
        draw(points, options.docs / "scale.svg")


if __name__ == "__main__":
    main()
