"""What one process of several has of a snapshot that they all map.

    python -m bench.scale_workers FILE BATCH

Opens the snapshot FILE as a service does, searches BATCH (an .npy file of codes) and says on
standard output, as one line of JSON, how long that took; then waits for its standard input to end.
`of` starts some of these and reads from the kernel what each has for itself.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hashdb.format import Contents, read_file
from hashdb.index.hamming import HammingIndex
from hashdb.model import Codes
from hashdb.shelf import Rows, Shelf
from hashdb.shelves import Shelves
from hashdb.snapshot_folder import KIND

RADIUS = 31
MOST = 2000  # hits of a code, as `matcher.judge` asks
CHANGES = 1000


@dataclass(frozen=True, slots=True)
class Worker:
    """`open_ms`: until it can search; `first_ms`: the first batch, before the file is in its page
    tables; `enter_ms`: what entering it there takes; `own_mb`: memory of its own that came with the
    opening and the searches; `pss_mb`: all its memory, with its part of what is shared, and
    `beside_mb` the same without its part of the snapshot; `add_us`,
    `remove_us`: of the CPU, for one code's addition and one reference's removal, at the median and
    the 99th percentile."""

    codes: int
    workers: int
    open_ms: float
    first_ms: float
    enter_ms: float
    own_mb: float
    pss_mb: float
    beside_mb: float
    add_us: float
    add_us_99: float
    remove_us: float
    remove_us_99: float


def opened(file: Path) -> tuple[Contents, Shelves]:
    contents = read_file(file, KIND, whole=False)
    shelves = Shelves({"pdq": Shelf(HammingIndex(256))})
    shelves.load(contents.arrays)
    return contents, shelves


def of(file: Path, batch: Codes, codes: int, workers: int) -> Worker:
    """The slowest and largest of so many processes."""
    queries = file.with_name("batch.npy")
    np.save(queries, batch)
    command = [sys.executable, "-m", "bench.scale_workers", str(file), str(queries)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    started, told = [], []
    for _ in range(workers):  # one after the other: none waits for another's processor
        process = subprocess.Popen(command, **pipes)  # type: ignore[call-overload]
        told.append(json.loads(process.stdout.readline()))
        started.append(process)
    held = [_memory(process.pid) for process in started]
    beside = max(_pss_beside(process.pid, file) for process in started)
    for process in started:
        process.communicate()
    worst = {name: max(one[name] for one in told) for name in told[0] if name != "anon_mb"}
    own = max(one["Pss_Anon"] - t["anon_mb"] for one, t in zip(held, told, strict=True))
    pss = max(one["Pss"] for one in held)
    return Worker(codes, workers, own_mb=own, pss_mb=pss, beside_mb=beside, **worst)


def _memory(pid: int | str) -> dict[str, float]:
    """Of smaps_rollup, in MB."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    pairs = [line.split(":") for line in lines]
    return {name: int(rest.split()[0]) / 1000 for name, rest in pairs}


def _pss_beside(pid: int, file: Path) -> float:
    """MB of a process, but for what is mapped of the file."""
    total, counts = 0, True
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        if line.startswith("Pss:"):
            total += int(line.split()[1]) if counts else 0
        elif "-" in line.split(" ", 1)[0]:
            counts = not line.endswith(str(file))
    return total / 1000


def _changes(shelf: Shelf, references: int) -> dict[str, float]:
    """Microseconds of additions of one code and of removals of a reference: see `Worker`."""
    rng, added, removed = np.random.default_rng(1), [], []
    for turn in range(CHANGES):
        code = rng.integers(0, 256, (1, 32), dtype=np.uint8)
        ordinal = np.array([references + turn], dtype=np.int32)
        row = Rows(code, ordinal, np.zeros(1), np.ones(1), ordinal * 0)
        start = time.thread_time()
        shelf.add(row)
        added.append((time.thread_time() - start) * 1e6)
    for gone in rng.choice(references, CHANGES // 10, replace=False).tolist():
        start = time.thread_time()
        shelf.remove([gone])
        removed.append((time.thread_time() - start) * 1e6)
    return {
        f"{name}_us{end}": float(np.percentile(times, rank))
        for name, times in (("add", added), ("remove", removed))
        for end, rank in (("", 50), ("_99", 99))
    }


def main() -> None:
    file, queries = Path(sys.argv[1]), np.load(sys.argv[2])
    HammingIndex(256)  # so that nothing is compiled while the time runs
    anon = _memory("self")["Pss_Anon"]
    start = time.perf_counter()
    contents, shelves = opened(file)
    shelf = shelves.shelves["pdq"]
    ready = time.perf_counter()
    shelf.search(queries, RADIUS, MOST)
    searched = time.perf_counter()
    contents.enter()
    entered = time.perf_counter()
    for _ in range(3):
        shelf.search(queries, RADIUS, MOST)
    changed = _changes(shelf, len(shelves.names))
    moments = {
        "open_ms": ready - start,
        "first_ms": searched - ready,
        "enter_ms": entered - searched,
    }
    told = {name: seconds * 1000 for name, seconds in moments.items()}
    told |= {**changed, "anon_mb": anon}
    print(json.dumps(told), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
