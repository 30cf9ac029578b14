"""How long frame hashes take to look up in a bank padded to millions of them, engine by engine.

    python -m bench.scale_hashes FOLDER [--sizes 100000 1000000 10000000] [--work DIR] [--docs DIR]

The bank's first codes are PDQ hashes of the folder's videos, every frame as references have them,
by the product's own hasher. The others are made of them: each made scene begins with the
first words of one real code and the last of another, so that parts go together as they do in life,
and its frames wander as the frames of a hand-held camera do, 12 to 50 bits from one to the next. A
title card fills a fiftieth of the bank. The codes go through `hashdb.shelf`, as in the product.

Asked are batches of 128 codes: half lie just within the radius of a stored one; half are what an
upload asks most of, real codes turned and mirrored that match nothing. Times are CPU milliseconds
of one thread a batch, the best of some rounds; bytes are the process's growth, rows and all (rough
below a million). The peer's `IndexBinaryMultiHash` is left out above `--peer-most` codes, where it
outgrows the memory.
With `--docs` the table is kept as CSV and drawn.
"""

from __future__ import annotations

import argparse
import csv
import gc
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import faiss
import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from tqdm import tqdm

from api.settings import Settings
from api.wiring import make_sandbox
from bench.copies import copies_in, related, videos
from bench.index import PEER, changes, near_copies
from bench.scale import resident
from hashdb.errors import SeawallError
from hashdb.index.faiss_flat import FaissIndex
from hashdb.index.hamming import HammingIndex
from hashdb.model import Codes, Orientation
from hashdb.ports import IndexBackend
from hashdb.shelf import Rows, Shelf
from matcher.hashers.pdq import orientations
from matcher.ports import Sampling

BATCH = 128
SCENE = 40  # frames of a made scene
WANDER = (12, 50)  # bits from one frame to the next
CARD = 50  # the title card is one code in so many
FRAMES = 300  # hashed of each video; of a reference's rows in the shelf
ENGINES: dict[str, type[FaissIndex] | type[HammingIndex]] = {
    "faiss": FaissIndex,
    "hamming": HammingIndex,
}
Search = Callable[[Codes, int], int]


@dataclass(frozen=True, slots=True)
class Row:
    """One engine at one size and radius; `found`: hits of the batch."""

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


def wandering(begin: NDArray[np.uint64], rng: np.random.Generator) -> Codes:
    """(scenes * SCENE, 32): the frames of scenes, of which (scenes, 4) are the first ones."""
    scenes, now = len(begin), begin.copy()
    made = np.empty((scenes, SCENE, 4), np.uint64)
    for frame in tqdm(range(SCENE), desc=f"{scenes:,} scenes", disable=None, leave=False):
        made[:, frame] = now
        bits = rng.integers(*WANDER, scenes)
        for turn in range(int(bits.max())):
            place = rng.integers(0, 256, scenes)
            bit = np.left_shift(np.uint64(1), (place & 63).astype(np.uint64))
            now[np.arange(scenes), place >> 6] ^= np.where(turn < bits, bit, np.uint64(0))
    return made.reshape(-1, 4).view(np.uint8)


def padded(real: Codes, n: int, rng: np.random.Generator) -> Codes:
    """`n` codes, of which the first are the real ones."""
    scenes = -(-max(0, n - len(real)) // SCENE)
    first, last = rng.integers(0, len(real), (2, scenes))
    cut = rng.integers(1, 4, scenes)[:, None]  # words from the first
    words = real.view(np.uint64)
    begin = np.where(np.arange(4) < cut, words[first], words[last])
    codes = np.concatenate([real, wandering(begin, rng)])[:n]
    codes[rng.choice(np.arange(len(codes) // 2, len(codes)), n // CARD, replace=False)] = real[0]
    return codes


def batch_of(codes: Codes, real: Codes, radius: int, rng: np.random.Generator) -> Codes:
    """The codes of one batch; see the module's text."""
    half = BATCH // 2
    near = near_copies(codes[rng.choice(len(codes), half)], radius, rng)
    turned = orientations(real[rng.choice(len(real), half)])[:, 1:].reshape(-1, real.shape[1])
    return np.concatenate([near, turned[rng.choice(len(turned), half, replace=False)]])


def shelf_of(codes: Codes, backend: IndexBackend) -> Shelf:
    """The codes as rows of references of `FRAMES` frames each."""
    shelf = Shelf(backend)
    rows = np.arange(len(codes))
    offsets = (rows % FRAMES) / 30.0
    references = (rows // FRAMES).astype(np.int32)
    shelf.add(Rows(codes, references, offsets, np.full(len(rows), 1 / 30), references * 0))
    return shelf


def _search(shelf: Shelf) -> Search:
    return lambda queries, radius: len(shelf.backend.search(queries, radius))


def _peer(codes: Codes) -> Search:
    index = faiss.IndexBinaryMultiHash(*PEER)
    index.nflip = 1
    index.add(codes)
    return lambda queries, radius: int(index.range_search(queries, radius + 1)[0][-1])


def engines(codes: Codes, peer_most: int) -> Iterator[tuple[str, Callable[[], Search]]]:
    for name, engine in ENGINES.items():
        yield name, lambda engine=engine: _search(shelf_of(codes, engine(256)))  # type: ignore[misc]
    if len(codes) <= peer_most:
        yield "multihash", lambda: _peer(codes)


def measured(
    codes: Codes, real: Codes, radii: Sequence[int], rounds: int, peer_most: int
) -> Iterator[Row]:
    batches = {r: batch_of(codes, real, r, np.random.default_rng(r)) for r in radii}
    for name, build in engines(codes, peer_most):
        HammingIndex(256)  # so that nothing is compiled while the time runs
        gc.collect()
        before, start = resident(), time.process_time()
        search = build()
        taken, size = time.process_time() - start, (resident() - before) / len(codes)
        for radius, queries in batches.items():
            times = []
            for _ in range(rounds):
                start = time.thread_time()
                found = search(queries, radius)
                times.append((time.thread_time() - start) * 1000)
            yield Row(len(codes), name, radius, min(times), found, size, taken)
        del search  # or its memory would be counted against the next


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
            axes.loglog(*zip(*line, strict=True), marker="o", label=name)
        axes.set_title(f"radius {radius}")
        axes.set_xlabel("frame hashes in the bank")
        axes.grid(True, which="major", alpha=0.3)
    figure.axes[0].set_ylabel("CPU ms for 128 codes")
    figure.axes[0].legend()
    figure.savefig(path, metadata={"Date": None})


def keep(rows: Sequence[Row], docs: Path) -> None:
    with (docs / "scale-hashes.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, [f.name for f in fields(Row)], lineterminator="\n")
        table.writeheader()
        for row in rows:
            values = asdict(row)
            table.writerow(
                {k: round(v, 3) if isinstance(v, float) else v for k, v in values.items()}
            )
    draw(rows, docs / "scale-hashes.svg")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sizes", type=int, nargs="+", default=[100_000, 1_000_000, 10_000_000])
    parser.add_argument("--radius", type=int, nargs="+", default=[31, 40, 46])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--turns", type=int, default=2000, help="single additions at the last size")
    parser.add_argument("--peer-most", type=int, default=1_000_000)
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "seawall-scale")
    parser.add_argument("--docs", type=Path, help="keep the table as CSV and as SVG there")
    options = parser.parse_args()
    faiss.omp_set_num_threads(1)
    real = real_codes(options.folder, options.work)
    print(f"{len(real):,} real codes")
    rows = []
    print(f"{'codes':>11} {'engine':<10} {'radius':>6} {'ms/batch':>9} {'found':>8} {'B/code':>7}")
    for size in options.sizes:
        codes = padded(real, size, np.random.default_rng(size))
        for row in measured(codes, real, options.radius, options.rounds, options.peer_most):
            rows.append(row)
            left = f"{row.codes:>11,} {row.engine:<10} {row.radius:>6} {row.ms_a_batch:>9.2f}"
            built = f"(built in {row.build_s:.1f} s)"
            print(f"{left} {row.found:>8} {row.bytes_a_code:>7.1f}  {built}", flush=True)
    print(f"{size:>11,} hamming {changes(HammingIndex, codes, options.turns)}")
    if options.docs:
        keep(rows, options.docs)


if __name__ == "__main__":
    main()
