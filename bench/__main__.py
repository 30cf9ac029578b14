"""All figures of speed in one table: `make bench`, or

    python -m bench FOLDER [--parts decode pdq index service] [--docs DIR]
                    [--sizes 1000000 10000000] [--hashes 1000000]

Each line has Seawall's figure, that of a limit or of a peer, from the same run, and their ratio.
FOLDER holds the videos that clips are made of (tests/media in the repository). What a part measures
is told in its own module, which can be run by itself with more choices: `bench.decode`,
`bench.pdq`, `bench.scale_hashes`, `bench.service`. Peers are measured where `make bench-peers` has
installed them. With `--docs` the table is kept there as speed.md.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import islice
from pathlib import Path

import faiss

from bench import decode, pdq, scale_hashes, scale_workers, service

SECONDS, LINES, KBPS = 60.0, 1080, 5000
LONG_S, LONG_KBPS = 3600.0, 1000
EIGHT_K, EIGHT_K_PICTURES = 4320, 48
AIMS_MS = {1_000_000: 5.0, 10_000_000: 15.0, 100_000_000: 80.0}
"""For 128 hashes within 31 bits, by how many there are; five times that within 40."""


@dataclass(frozen=True, slots=True)
class Line:
    """One figure, in `unit`, and `beside` which limit, peer or aim (`theirs`, None: not measured)
    it stands."""

    what: str
    ours: float
    unit: str
    beside: str
    theirs: float | None

    def cells(self) -> list[str]:
        if self.theirs is None:
            return [self.what, f"{_short(self.ours)} {self.unit}", self.beside, "-", "-"]
        ratio = self.ours / self.theirs if self.theirs else float("nan")
        theirs = f"{_short(self.theirs)} {self.unit}"
        return [self.what, f"{_short(self.ours)} {self.unit}", self.beside, theirs, f"{ratio:.2f}"]


def _short(value: float) -> str:
    return f"{value:.3g}" if value < 1000 else f"{value:,.0f}"


def decoding(options: argparse.Namespace) -> Iterator[Line]:
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        for clip in decode.measured(options.folder, work, SECONDS, LINES, KBPS):
            what = f"first look, 60 s of 1080 lines, {clip.name}"
            yield Line(what, clip.look, "CPU s", "decoding every frame", clip.every)
            for peer, beside in decode.PEERS.items():
                theirs = clip.peers.get(peer)
                yield Line(what, clip.look, "CPU s", f"{beside} at 1 frame a second", theirs)
        path = next(work.iterdir())
        yield Line("memory of a look, 1080 lines", decode.peak_mb(path), "MB", "aim", 300.0)
    with tempfile.TemporaryDirectory() as folder:
        some = islice(decode.pictures(options.folder, LINES), service.CLIP_S * decode.RATE)
        short = next(iter(decode.encode(some, Path(folder), LONG_KBPS).values()))
        peak = decode.peak_mb(service.looped(short, LONG_S))
        yield Line("memory of a look, an hour of 1080 lines", peak, "MB", "aim", 300.0)
    with tempfile.TemporaryDirectory() as folder:
        some = islice(decode.pictures(options.folder, EIGHT_K), EIGHT_K_PICTURES)
        paths = decode.encode(some, Path(folder), 40_000)
        peak = decode.peak_mb(next(iter(paths.values())))
        yield Line("memory of a look, 8K", peak, "MB", "aim", 800.0)


def hashing(options: argparse.Namespace) -> Iterator[Line]:
    for one in pdq.measured():
        what = f"PDQ, eight placings, {one.width} x {one.height}"
        yield Line(what, one.ours, "CPU ms", "pdqhash", one.peer)


def index(options: argparse.Namespace) -> Iterator[Line]:
    faiss.omp_set_num_threads(1)
    for size in options.sizes:
        with tempfile.TemporaryDirectory() as folder:
            chosen = scale_hashes.parser().parse_args(
                [str(options.folder), "--work", folder, "--workers", "4", "--radius", "31", "40"]
            )
            real = scale_hashes.real_codes(options.folder, Path(folder))
            rows, workers = scale_hashes.measured_at(size, real, chosen)
        yield from _searching(size, rows)
        for one in workers:
            yield from _sharing(one)


def _searching(size: int, rows: Sequence[scale_hashes.Row]) -> Iterator[Line]:
    names = {
        "faiss": "FAISS's flat scan",
        "multihash": "the peer's IndexBinaryMultiHash",
        scale_hashes.LIMIT: "reading all codes once",
    }
    for radius in dict.fromkeys(r.radius for r in rows):
        took = {r.engine: r for r in rows if r.radius == radius}
        what = f"128 hashes in {size:,}, radius {radius}"
        ours = took["hamming"].ms_a_batch
        if size in AIMS_MS:
            yield Line(what, ours, "CPU ms", "aim", AIMS_MS[size] * (5 if radius > 31 else 1))
        for engine, beside in names.items():
            if engine in took:
                yield Line(what, ours, "CPU ms", beside, took[engine].ms_a_batch)
    mine = next(r for r in rows if r.engine == "hamming")
    yield Line(f"memory a hash of {size:,}, rows and all", mine.bytes_a_code, "B", "aim", 130.0)


def _sharing(one: scale_workers.Worker) -> Iterator[Line]:
    of = f"of {one.codes:,}"
    yield Line(f"opening one {of}, {one.workers} at once", one.open_ms, "ms", "aim", 50.0)
    yield Line(f"memory of its own, each process, {of}", one.own_mb, "MB", "aim", 50.0)
    yield Line(f"memory beside the snapshot, each, {of}", one.beside_mb, "MB", "aim", 100.0)
    for name, us in (("addition", one.add_us_99), ("withdrawal", one.remove_us_99)):
        yield Line(f"one {name} {of}, 99th percentile", us / 1000, "CPU ms", "aim", 1.0)


def serving(options: argparse.Namespace) -> Iterator[Line]:
    chosen = service.parser().parse_args(["--hashes", str(options.hashes)])
    told = service.measured(chosen)
    for name, percent, aim in (
        ("hashes alone", 50, 5.0),
        ("hashes alone", 99, 25.0),
        ("hashes while videos are decoded", 99, 50.0),
        ("10 s of 720p, unknown", 50, 500.0),
        ("10 s of 720p, known", 50, 500.0),
        ("added by another process", 99, 1000.0),
    ):
        what = f"{name}, {options.hashes:,} hashes, {percent}th percentile"
        yield Line(what, told[name].ms(percent), "ms", "aim", aim)
    for percent in (50, 99):
        what = f"hashes alone, {options.hashes:,} hashes, {percent}th percentile"
        took, flush = told["hashes alone"].ms(percent), told[service.FLUSH].ms(percent)
        yield Line(what, took, "ms", service.FLUSH, flush)
    at_once = told[service.AS_MANY].ms(50)
    what = f"{service.AS_MANY}, {options.hashes:,} hashes, 50th percentile"
    yield Line(what, at_once, "ms", "100 a second", 1000 * service.AT_ONCE / 100)


PARTS: dict[str, Callable[[argparse.Namespace], Iterator[Line]]] = {
    "decode": decoding,
    "pdq": hashing,
    "index": index,
    "service": serving,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--hashes", type=int, default=1_000_000, help="in the service's bank")
    parser.add_argument(
        "--sizes",
        type=int,
        nargs="+",
        default=[1_000_000, 10_000_000],
        help="of the index; 100000000 wants 16 GB of memory and six minutes",
    )
    parser.add_argument("--docs", type=Path)
    options = parser.parse_args()
    lines = [line for part in options.parts for line in PARTS[part](options)]
    heads = ["what", "Seawall", "beside", "that takes", "ratio"]
    table = [heads, ["---"] * len(heads), *(line.cells() for line in lines)]
    text = "\n".join(f"| {' | '.join(cells)} |" for cells in table)
    print(text)
    if options.docs is not None:
        (options.docs / "speed.md").write_text(page(text, options.sizes))


def page(table: str, sizes: Sequence[int]) -> str:
    """docs/speed.md."""
    cores, load = os.cpu_count() or 0, os.getloadavg()[2]
    return f"""# Speed

    make bench BENCH_ARGS='--docs docs/ --sizes {" ".join(map(str, sizes))}'

made this page on {date.today():%d %B %Y}, on {cores} cores, with a load of {load:.1f} in its last
quarter of an hour, which is what it takes. Clips, peers and Seawall follow on one another in one
run: read the ratios. Below 1, Seawall is the cheaper one, or within its aim; `-` is what was not
measured.

{table}

More than these lines: `make bench-decode`, `make bench-scale-hashes` (growth by size:
[csv](scale-hashes.csv)), `make bench-service`, `make bench-tasks`, `make bench-purge` and
`make bench-milvus`. What a machine holds and serves by these figures: [capacity](capacity.md).

![Milliseconds for 128 hashes by how many are in the bank](scale-hashes.svg)
"""


if __name__ == "__main__":
    main()
