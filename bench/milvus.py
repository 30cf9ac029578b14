"""Frame hashes on a Milvus server, beside the engines in memory, in one run.

    python -m bench.milvus [--sizes 100000 1000000] [--uri http://HOST:19530]

Without `--uri` the server of the package `milvus` is started, on this machine's processors and with
its own defaults. Batches of 128 codes: half lie just within the radius of a stored one, half near
none; at most 2,001 hits of a code, as the product asks. Times are by the clock, in milliseconds,
the best of some rounds (the engines in memory take one thread, Milvus what it finds); `new` are
codes that Milvus has not yet filed. `found` must be the same for all. Then: how long it takes from
an addition in one process until a search in another finds it.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex

import numpy as np

from bench.index import near_copies
from hashdb.index.exact import ExactIndex
from hashdb.index.faiss_flat import FaissIndex
from hashdb.index.hamming import HammingIndex
from hashdb.index.milvus import MilvusIndex
from hashdb.index.milvus_server import MilvusServer
from hashdb.model import Codes
from hashdb.ports import IndexBackend, Mark, PlacedCodes
from tests.milvus_part import milvus_running

BATCH = 128
MOST = 2001
RADII = (31, 40, 46)
ROUNDS = 5
ADDITIONS = 20
PIECE = 100_000
FILED = 500_000


def placed(codes: Codes, first: int) -> PlacedCodes:
    ids = np.arange(first, first + len(codes))
    times = ids * 0.04
    return PlacedCodes(ids, codes, times, times * 0 + 0.04, np.zeros(len(ids), dtype=np.int32))


def queries(codes: Codes, radius: int) -> Codes:
    rng = np.random.default_rng(radius)
    near = near_copies(codes[rng.choice(len(codes), BATCH // 2)], radius, rng)
    return np.concatenate([near, rng.integers(0, 256, near.shape, dtype=np.uint8)])


def timed(search: Callable[[], int]) -> tuple[float, int]:
    """Milliseconds, the best of some rounds, and how many were found."""
    best, found = float("inf"), 0
    for _ in range(ROUNDS):
        start = time.perf_counter()
        found = search()
        best = min(best, (time.perf_counter() - start) * 1000)
    return best, found


def show(size: int, name: str, index: IndexBackend, codes: Codes) -> None:
    for radius in RADII:
        asked = queries(codes, radius)
        ms, found = timed(lambda asked=asked, radius=radius: len(index.search(asked, radius, MOST)))  # type: ignore[misc]
        print(f"{size:>10,}  {name:<12} radius {radius}  {ms:>9.1f} ms  found {found}", flush=True)


def fill(index: MilvusIndex, codes: Codes) -> None:
    start = time.perf_counter()
    for first in range(0, len(codes), PIECE):
        index.put(placed(codes[first : first + PIECE], first))
        if (first + PIECE) % FILED == 0:  # as the product does
            index.settle()
    index.catch_up()
    assert len(index.within(0, 1)) == 1  # waits until all is taken in
    seconds = time.perf_counter() - start
    print(f"{len(codes):>10,}  milvus       {len(codes) / seconds:,.0f} codes a second inserted")


def settled(index: MilvusIndex, codes: Codes) -> None:
    """Until Milvus has filed what it was given, and does not get faster any more."""
    start = time.perf_counter()
    index.settle()
    asked, last = queries(codes, RADII[0]), float("inf")
    while (now := timed(lambda: len(index.search(asked, RADII[0], MOST)))[0]) < 0.8 * last:
        last = now
        time.sleep(15)
    print(f"{len(codes):>10,}  milvus       filed after {time.perf_counter() - start:.0f} s")


def until_found(index: MilvusIndex, other: MilvusIndex, first: int) -> list[float]:
    """Milliseconds from the beginning of an addition until another client has found it."""
    rng, times = np.random.default_rng(9), []
    for turn in range(ADDITIONS):
        codes = rng.integers(0, 256, (30, 32), dtype=np.uint8)
        start = time.perf_counter()
        index.put(placed(codes, first + 30 * turn))
        index.set_mark(Mark(turn + 1, b"12345678"))
        other.catch_up()
        assert other.mark() == Mark(turn + 1, b"12345678")
        assert len(other.search(codes, 0, MOST)) == 30
        times.append((time.perf_counter() - start) * 1000)
    return times


@contextmanager
def server_at(uri: str | None) -> Iterator[str]:
    if uri is not None:
        yield uri
        return
    with (
        tempfile.TemporaryDirectory(prefix="seawall-milvus-") as folder,
        milvus_running(Path(folder)) as own,
    ):
        yield own.uri


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--uri")
    arguments = parser.parse_args()
    with server_at(arguments.uri) as uri:
        for size in arguments.sizes:
            codes = np.random.default_rng(size).integers(0, 256, (size, 32), dtype=np.uint8)
            for name, engine in (
                ("faiss", FaissIndex),
                ("hamming", HammingIndex),
                ("exact", ExactIndex),
            ):
                index: IndexBackend = engine(256)
                index.add(codes, np.arange(size))
                show(size, name, index, codes)
            name = f"bench_{token_hex(6)}"
            milvus = MilvusIndex(256, MilvusServer(uri), name)
            fill(milvus, codes)
            show(size, "milvus, new", milvus, codes)
            settled(milvus, codes)
            show(size, "milvus", milvus, codes)
            times = until_found(milvus, MilvusIndex(256, MilvusServer(uri), name), size)
            spread = f"{statistics.median(times):.0f} ms (at most {max(times):.0f})"
            print(f"{size:>10,}  milvus       found by another after {spread}", flush=True)
            milvus.drop()


if __name__ == "__main__":
    main()
