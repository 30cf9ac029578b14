"""How long one query code takes against so many codes, engine beside engine in one run.

    python -m bench.index [--sizes 10000 100000 1000000] [--radius 31] [--bits 256]

Half of the queries lie within the radius of a stored code, so `found` shows who loses hits. The
peer is `IndexBinaryMultiHash(bits, bits/16, 16)` with one flip, the setting that PDQ's authors
publish; at 256 bits it is exact up to radius 31. Ratios are to the FAISS engine of this
repository; `hamming` is its engine for large banks. One thread. Then: how long one addition and one
removal take at that size.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import faiss
import numpy as np

from hashdb.index.exact import ExactIndex
from hashdb.index.faiss_flat import FaissIndex
from hashdb.index.hamming import HammingIndex
from hashdb.model import Codes

PEER = (256, 16, 16)  # bits, tables, bits of a table's key: as PDQ's authors publish it


@dataclass(frozen=True, slots=True)
class Timing:
    """`build_s` seconds; `query_ms` a query, the best of the rounds; `found` hits of all."""

    build_s: float
    query_ms: float
    found: int


def near_copies(codes: Codes, distance: int, rng: np.random.Generator) -> Codes:
    """Each code with just so many of its bits changed."""
    bits = np.unpackbits(codes, axis=1)
    for row in bits:
        row[rng.choice(len(row), distance, replace=False)] ^= 1
    return np.packbits(bits, axis=1)


def timed(
    build: Callable[[], Callable[[Codes], int]], queries: Codes, batch: int, rounds: int
) -> Timing:
    """`build` gives a search that tells how many hits it has found."""
    start = time.perf_counter()
    search = build()
    built = time.perf_counter() - start
    best, found = float("inf"), 0
    for _ in range(rounds):
        start = time.perf_counter()
        found = sum(search(queries[i : i + batch]) for i in range(0, len(queries), batch))
        best = min(best, time.perf_counter() - start)
    return Timing(built, best / len(queries) * 1000, found)


def engines(codes: Codes, radius: int) -> dict[str, Callable[[], Callable[[Codes], int]]]:
    bits, ids = 8 * codes.shape[1], np.arange(len(codes))

    def ours(
        engine: type[FaissIndex] | type[ExactIndex] | type[HammingIndex],
    ) -> Callable[[Codes], int]:
        index = engine(bits)
        index.add(codes, ids)
        return lambda queries: len(index.search(queries, radius))

    def peer() -> Callable[[Codes], int]:
        index = faiss.IndexBinaryMultiHash(bits, bits // 16, PEER[2])
        index.nflip = 1
        index.add(codes)
        return lambda queries: int(index.range_search(queries, radius + 1)[0][-1])

    return {
        "faiss": lambda: ours(FaissIndex),
        "hamming": lambda: ours(HammingIndex),
        "numpy": lambda: ours(ExactIndex),
        "multihash": peer,
    }


def changes(engine: type[FaissIndex] | type[HammingIndex], codes: Codes, turns: int) -> str:
    """Times of single additions and removals in a full index, in microseconds."""
    rng, index = np.random.default_rng(1), engine(8 * codes.shape[1])
    index.add(codes, np.arange(len(codes)))
    extra = rng.integers(0, 256, (turns, codes.shape[1]), dtype=np.uint8)
    added, removed = [], []
    for turn in range(turns):
        ids = np.array([len(codes) + turn])
        start = time.perf_counter()
        index.add(extra[turn : turn + 1], ids)
        added.append((time.perf_counter() - start) * 1e6)
    for gone in rng.choice(len(codes), turns // 10, replace=False):
        start = time.perf_counter()
        index.remove(np.array([gone]))
        removed.append((time.perf_counter() - start) * 1e6)
    return f"add {_spread(added)}, remove {_spread(removed)}"


def _spread(times: Sequence[float]) -> str:
    slow = statistics.quantiles(times, n=100)[98]
    return f"{statistics.median(times):.0f} us (median), {slow:.0f} us (99th percentile)"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--bits", type=int, default=256)
    parser.add_argument("--radius", type=int, default=31)
    parser.add_argument("--queries", type=int, default=128)
    parser.add_argument("--batch", type=int, nargs="+", default=[128, 1])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--turns", type=int, default=2000, help="single additions")
    parser.add_argument("--engines", nargs="+", default=["faiss", "hamming", "numpy", "multihash"])
    options = parser.parse_args()
    faiss.omp_set_num_threads(1)
    rng = np.random.default_rng(0)
    print(f"{options.bits} bits, radius {options.radius}, {options.queries} queries")
    print(f"{'codes':>10} {'batch':>6} {'engine':<10} {'ms/query':>9} {'x':>7} {'found':>6}")
    for size in options.sizes:
        codes = rng.integers(0, 256, (size, options.bits // 8), dtype=np.uint8)
        chosen = codes[rng.choice(size, options.queries // 2)]
        far = rng.integers(0, 256, (options.queries - len(chosen), codes.shape[1]), dtype=np.uint8)
        queries = rng.permutation(np.concatenate([near_copies(chosen, options.radius, rng), far]))
        for batch in options.batch:
            first = None
            for name, build in engines(codes, options.radius).items():
                if name not in options.engines:
                    continue
                taken = timed(build, queries, batch, 1 if name == "numpy" else options.rounds)
                first = first or taken
                ratio = taken.query_ms / first.query_ms
                row = f"{size:>10,} {batch:>6} {name:<10} {taken.query_ms:>9.3f} {ratio:>7.2f}"
                print(f"{row} {taken.found:>6}  (built in {taken.build_s:.2f} s)", flush=True)
        for engine in (FaissIndex, HammingIndex):
            told = changes(engine, codes, options.turns)
            print(f"{size:>10,} {engine.__name__} {told}", flush=True)


if __name__ == "__main__":
    main()
