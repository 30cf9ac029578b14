"""How long frame hashes take to look up in a bank padded to millions of them, engine by engine.

    python -m bench.scale_hashes FOLDER [--sizes 100000 1000000 10000000] [--work DIR] [--docs DIR]

The bank's first codes are PDQ hashes of the folder's videos, every frame as references have them,
by the product's own hasher. The others are made of them: each made scene begins with the
first words of one real code and the last of another, so that parts go together as they do in life,
and its frames wander as the frames of a hand-held camera do, 12 to 50 bits from one to the next. A
title card fills a fiftieth of the bank.

Asked are batches of 128 codes: half lie just within the radius of a stored one; half are what an
upload asks most of, real codes turned and mirrored that match nothing. As in the product
(`hashdb.shelf`, 2,000 hits of a code at most). Times are CPU milliseconds of one thread a batch,
the best of some rounds; `found` must be the same for all engines that are exact.

The engine for large banks searches a snapshot that is mapped, and `--workers` processes do so at
once: `bench.scale_workers`. FAISS is the product's other engine up to `--faiss-most` codes, above
that its bare kernel over the codes. The peer's `IndexBinaryMultiHash` is left out above
`--peer-most` codes, where it outgrows the memory. Beside them stands how long it takes to read the
codes once from memory, by what one thread reads in this run: no scan can be faster.
With `--docs` the tables are kept as CSV and drawn.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import faiss
import matplotlib as mpl
import numba
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from tqdm import tqdm

from api.settings import Settings
from api.wiring import make_sandbox
from bench import scale_workers
from bench.copies import copies_in, related, videos
from bench.index import PEER, near_copies
from bench.scale import resident
from bench.scale_workers import MOST, Worker
from hashdb.errors import SeawallError
from hashdb.format import writing
from hashdb.index import side_by_side
from hashdb.index.faiss_flat import FaissIndex
from hashdb.index.hamming import HammingIndex
from hashdb.model import Codes, Orientation
from hashdb.names import Names
from hashdb.placings import natural_bits, sorted_bits
from hashdb.shelf import Packing, Rows, Shelf
from hashdb.shelves import ShelvesPacking
from hashdb.snapshot_folder import KIND
from matcher.hashers.pdq import orientations
from matcher.ports import Sampling

BATCH = 128
SCENE = 40  # frames of a made scene
WANDER = (12, 50)  # bits from one frame to the next
PIECE = 1 << 20  # codes written at once
BLOCK = 1 << 15  # codes that FAISS's kernel scans at once, as in the product
CARD = 50  # the title card is one code in so many
FRAMES = 300  # hashed of each video; of a reference's rows in the shelf
LIMIT = "memory"  # reading the codes once
Search = Callable[[Codes, int], int]


@dataclass(frozen=True, slots=True)
class Row:
    """One engine at one size and radius; `found`: hits of the batch; `build_s`: CPU seconds until
    it can search (of the mapped one: until the snapshot is written, once for all processes)."""

    codes: int
    engine: str
    radius: int
    ms_a_batch: float
    found: int
    bytes_a_code: float
    build_s: float


def real_codes(folder: Path, work: Path) -> Codes:
    """Each distinct PDQ code of the folder's videos, but of one alone that show the same."""
    kept = work / "codes.npy"
    if kept.exists():
        return np.asarray(np.load(kept), dtype=np.uint8)
    sandbox, parts = make_sandbox(Settings.from_env({"SEAWALL_DATA_DIR": str(work)})), []
    copies = copies_in(related(folder))
    try:
        for path in tqdm([p for p in videos(folder) if p.name not in copies], disable=None):
            with path.open("rb") as media:
                try:
                    found = sandbox(media, Sampling(dense=True, max_frames=FRAMES), ["pdq"])
                except SeawallError:
                    continue
            parts += [f.codes for f in found.fingerprints if f.orientation == Orientation.ORIGINAL]
    finally:
        sandbox.close()
    codes = np.unique(np.concatenate(parts), axis=0)
    work.mkdir(parents=True, exist_ok=True)
    np.save(kept, codes)
    return codes


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def _wander(made: NDArray[np.uint64], seed: int) -> None:
    """Each frame of a scene is the one before, with so many bits changed."""
    np.random.seed(seed)
    for scene in range(made.shape[0]):
        for frame in range(1, made.shape[1]):
            made[scene, frame] = made[scene, frame - 1]
            for _ in range(np.random.randint(WANDER[0], WANDER[1])):
                place = np.random.randint(0, 256)
                made[scene, frame, place >> 6] ^= np.uint64(1) << np.uint64(place & 63)


def wandering(begin: NDArray[np.uint64], rng: np.random.Generator) -> Codes:
    """(scenes * SCENE, 32): the frames of scenes, of which (scenes, 4) are the first ones."""
    made = np.empty((len(begin), SCENE, 4), np.uint64)
    made[:, 0] = begin
    _wander(made, int(rng.integers(1 << 32)))
    return made.reshape(-1, 4).view(np.uint8)


def padded(real: Codes, n: int, rng: np.random.Generator) -> Codes:
    """`n` codes, of which the first are the real ones."""
    scenes = -(-max(0, n - len(real)) // SCENE)
    first, last = rng.integers(0, len(real), (2, scenes))
    cut = rng.integers(1, 4, scenes)[:, None]  # words from the first
    words = real.view(np.uint64)
    codes = np.empty((len(real) + scenes * SCENE, 32), np.uint8)
    codes[: len(real)] = real
    made = codes[len(real) :].view(np.uint64).reshape(scenes, SCENE, 4)
    made[:, 0] = np.where(np.arange(4) < cut, words[first], words[last])
    _wander(made, int(rng.integers(1 << 32)))
    codes = codes[:n]
    codes[rng.choice(np.arange(len(codes) // 2, len(codes)), n // CARD, replace=False)] = real[0]
    return codes


def batch_of(codes: Codes, real: Codes, radius: int, rng: np.random.Generator) -> Codes:
    """The codes of one batch; see the module's text."""
    half = BATCH // 2
    near = near_copies(codes[rng.choice(len(codes), half)], radius, rng)
    turned = orientations(real[rng.choice(len(real), half)])[:, 1:].reshape(-1, real.shape[1])
    return np.concatenate([near, turned[rng.choice(len(turned), half, replace=False)]])


def rows_of(codes: Codes, first: int = 0) -> Rows:
    """The codes as rows of references of `FRAMES` frames each."""
    rows = np.arange(first, first + len(codes))
    references = (rows // FRAMES).astype(np.int32)
    return Rows(
        codes, references, (rows % FRAMES) / 30.0, np.full(len(rows), 1 / 30), references * 0
    )


def write_snapshot(codes: Codes, file: Path) -> None:
    """A snapshot of the codes, a piece at a time."""
    starts = range(0, len(codes), PIECE)
    pieces = (rows_of(sorted_bits(codes[i : i + PIECE]), i) for i in starts)
    names, packing = Names(), Packing(HammingIndex(256), len(codes), pieces)
    for number in range(-(-len(codes) // FRAMES)):
        name = f"ref_{number:032x}"
        names.register({name: names.append(name)})
    with writing(file, KIND, {}) as out:
        ShelvesPacking(names, names.known(), {"pdq": packing}, {}, None).write(out)


def _search(shelf: Shelf) -> Search:
    return lambda queries, radius: len(shelf.search(queries, radius, MOST)[0])


def _peer(codes: Codes) -> tuple[Search, float]:
    index = faiss.IndexBinaryMultiHash(*PEER)
    index.nflip = 1
    before = resident()
    index.add(codes)

    def search(queries: Codes, radius: int) -> int:
        limits = index.range_search(queries, radius + 1)[0]
        return int(np.minimum(np.diff(limits), MOST).sum())

    return search, resident() - before


def _faiss(codes: Codes) -> tuple[Search, float]:
    shelf, before = Shelf(FaissIndex(256)), resident()
    shelf.add(rows_of(codes))
    return _search(shelf), resident() - before


def _kernel(codes: Codes) -> tuple[Search, float]:
    """FAISS's scan, without an index: what stands in memory is the snapshot's."""

    def search(queries: Codes, radius: int) -> int:
        counts = np.zeros(len(queries), dtype=np.int64)
        for first in range(0, len(codes), BLOCK):
            block, found = codes[first : first + BLOCK], faiss.RangeSearchResult(len(queries))
            faiss.hamming_range_search(
                faiss.swig_ptr(queries), faiss.swig_ptr(block), len(queries), len(block),
                radius + 1, codes.shape[1], found,
            )  # fmt: skip
            counts += np.diff(faiss.rev_swig_ptr(found.lims, len(queries) + 1).astype(np.int64))
        return int(np.minimum(counts, MOST).sum())

    return search, codes.nbytes


def bandwidth() -> float:
    """Bytes a second that one thread reads from memory."""
    numbers = np.ones(1 << 27, dtype=np.uint64)
    times = []
    for _ in range(5):
        start = time.thread_time()
        numbers.sum()
        times.append(time.thread_time() - start)
    return numbers.nbytes / min(times)


def measured(
    codes: int, file: Path, batches: dict[int, Codes], options: argparse.Namespace, write_s: float
) -> Iterator[Row]:
    side_by_side.CORES = 1  # one thread, whose time is counted
    contents, shelves = scale_workers.opened(file)
    contents.enter()
    others = natural_bits(contents.arrays["pdq/codes"])
    engines: dict[str, Callable[[], tuple[Search, float]]] = {
        "hamming": lambda: (_search(shelves.shelves["pdq"]), contents.size)
    }
    engines["faiss"] = lambda: (_faiss if codes <= options.faiss_most else _kernel)(others)
    if codes <= options.peer_most:
        engines["multihash"] = lambda: _peer(others)
    for name, build in engines.items():
        start = time.process_time()
        search, size = build()
        taken = time.process_time() - start + (write_s if name == "hamming" else 0)
        for radius, queries in batches.items():
            times = []
            for _ in range(
                options.rounds if codes <= options.faiss_most or name == "hamming" else 1
            ):
                start = time.thread_time()
                found = search(queries, radius)
                times.append((time.thread_time() - start) * 1000)
            yield Row(codes, name, radius, min(times), found, size / codes, taken)
        del search  # or its memory would be counted against the next
    for radius in batches:
        yield Row(codes, LIMIT, radius, others.nbytes / bandwidth() * 1000, 0, 32, 0)


def measured_at(
    size: int, real: Codes, options: argparse.Namespace
) -> tuple[list[Row], list[Worker]]:
    file = options.work / f"{size}.swl"
    codes = padded(real, size, np.random.default_rng(size))
    batches = {r: batch_of(codes, real, r, np.random.default_rng(r)) for r in options.radius}
    HammingIndex(256)  # so that nothing is compiled while the time runs
    start = time.process_time()
    write_snapshot(codes, file)
    taken = time.process_time() - start
    del codes
    rows = []
    for row in measured(size, file, batches, options, taken):
        rows.append(row)
        left = f"{row.codes:>11,} {row.engine:<10} {row.radius:>6} {row.ms_a_batch:>9.2f}"
        built = f"(built in {row.build_s:.1f} s)"
        print(f"{left} {row.found:>8} {row.bytes_a_code:>7.1f}  {built}", flush=True)
    workers = [scale_workers.of(file, batches[options.radius[0]], size, n) for n in options.workers]
    for worker in workers:
        print(worker, flush=True)
    file.unlink()
    return rows, workers


def draw(rows: Sequence[Row], path: Path) -> None:
    """Milliseconds a batch by size, one picture a radius, both axes logarithmic."""
    mpl.rcParams["svg.hashsalt"] = "seawall"
    radii = sorted({r.radius for r in rows})
    figure = Figure(figsize=(3.4 * len(radii), 3.4), layout="constrained")
    for axes, radius in zip(figure.subplots(1, len(radii), sharey=True), radii, strict=True):
        for name in dict.fromkeys(r.engine for r in rows):
            line = sorted(
                (r.codes, r.ms_a_batch) for r in rows if (r.engine, r.radius) == (name, radius)
            )
            style = {"color": "grey", "linestyle": "--"} if name == LIMIT else {"marker": "o"}
            label = "reading all codes once" if name == LIMIT else name
            axes.loglog(*zip(*line, strict=True), label=label, **style)
        axes.set_title(f"radius {radius}")
        axes.set_xlabel("frame hashes in the bank")
        axes.grid(True, which="major", alpha=0.3)
    figure.axes[0].set_ylabel("CPU ms for 128 codes")
    figure.axes[0].legend()
    figure.savefig(path, metadata={"Date": None})


def keep(name: str, kind: type[Any], rows: Sequence[Any], docs: Path) -> None:
    with (docs / name).open("w", newline="") as file:
        table = csv.DictWriter(file, [f.name for f in fields(kind)], lineterminator="\n")
        table.writeheader()
        for row in rows:
            values = asdict(row)
            table.writerow(
                {k: round(v, 3) if isinstance(v, float) else v for k, v in values.items()}
            )


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sizes", type=int, nargs="+", default=[100_000, 1_000_000, 10_000_000])
    parser.add_argument("--radius", type=int, nargs="+", default=[31, 40, 46])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, nargs="*", default=[1, 4])
    parser.add_argument("--faiss-most", type=int, default=10_000_000)
    parser.add_argument("--peer-most", type=int, default=1_000_000)
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "seawall-scale")
    parser.add_argument("--docs", type=Path, help="keep the tables as CSV and as SVG there")
    return parser


def main() -> None:
    options = parser().parse_args()
    faiss.omp_set_num_threads(1)
    real = real_codes(options.folder, options.work)
    print(f"{len(real):,} real codes")
    print(f"{'codes':>11} {'engine':<10} {'radius':>6} {'ms/batch':>9} {'found':>8} {'B/code':>7}")
    rows: list[Row] = []
    workers: list[Worker] = []
    for size in options.sizes:
        more, held = measured_at(size, real, options)
        rows, workers = rows + more, workers + held
    if options.docs:
        keep("scale-hashes.csv", Row, rows, options.docs)
        keep("scale-workers.csv", Worker, workers, options.docs)
        draw(rows, options.docs / "scale-hashes.svg")


if __name__ == "__main__":
    main()
