"""How fast what is old is deleted, how long each transaction takes, and what a verdict takes up.

    python -m bench.purge [--uploads 20000] [--batches 100 200 500] [--reviewed 0.01]

One picture is judged; then so many uploads like it are recorded, each with a job as if it had been
promised, and a share of them with a review, which stay. Then all is purged as if a year were over:
uploads a second with the pauses that leave others their turn, and the milliseconds of one
transaction, for which other writers wait on SQLite. Before that, on PostgreSQL, the bytes of each
table, indexes and all, an upload.
"""

from __future__ import annotations

import argparse
import io
import tempfile
import time
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from statistics import median

from sqlalchemy import create_engine, text

from api import render, tasks, wiring
from api.purging import Purge, due
from api.settings import Settings
from bench.tasks import database, picture
from hashdb.model import Action, now
from hashdb.store import Store
from hashdb.store.uploads import Past
from matcher.digest import digest_file

TABLES = ("uploads", "verdicts", "upload_fingerprints", "jobs", "reviews")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--uploads", type=int, default=20_000)
    parser.add_argument("--batches", type=int, nargs="*", default=[100, 200, 500])
    parser.add_argument("--reviewed", type=float, default=0.01)
    asked = parser.parse_args()
    for name in ("sqlite", "postgresql"):
        for batch in asked.batches:
            with tempfile.TemporaryDirectory() as place, database(name, Path(place)) as url:
                settings = Settings(data_dir=Path(place) / "data", database_url=url)
                fill(settings, Path(place), asked.uploads, asked.reviewed)
                if name == "postgresql" and batch == asked.batches[0]:
                    tell_sizes(url, asked.uploads)
                measure(name, settings, batch)


def fill(settings: Settings, place: Path, n: int, reviewed: float) -> None:
    like = judged(settings, place)
    with closing(Store.open(settings.database_url)) as store:
        for first in range(0, n, 1000):
            with store.begin() as tx:
                for i in range(first, min(n, first + 1000)):
                    upload_id = f"upload-{i:012d}"
                    verdict = replace(like.verdict, upload_id=upload_id)
                    if i < n * reviewed:
                        verdict = replace(verdict, action=Action.REVIEW)
                    tx.uploads.record(
                        "key", upload_id, f"{i:064x}", verdict, like.digests, like.fingerprints
                    )
                    payload = {
                        "upload_id": upload_id,
                        "request_digest": f"{i:064x}",
                        "file": f"spool_{i:032x}",
                        "holds": tasks.MEDIA,
                        "sha256": like.digests.sha256,
                        "md5": like.digests.md5,
                        "classifications": [],
                        "metadata": {},
                        "suspicious": False,
                    }
                    job = tx.jobs.add(tasks.MATCH, "key", payload, key=upload_id)
                    tx.jobs.finish(job.id, render.verdict_json(verdict))


def judged(settings: Settings, place: Path) -> Past:
    """What is kept of one picture."""
    picture(place / "picture", 1)
    media = io.BytesIO((place / "picture").read_bytes())
    with closing(wiring.build(settings)) as parts:
        parts.checker.check_media("key", "first", media, digest_file(media))
        with parts.store.read() as tx:
            (row,) = tx.uploads.rows_since(now() - timedelta(days=1), limit=1)
            return tx.uploads.past(row)


def tell_sizes(url: str, n: int) -> None:
    engine = create_engine(url)
    with engine.connect() as connection:
        for table in TABLES:
            query = text("SELECT pg_total_relation_size(to_regclass(:name))")
            size = connection.scalar(query, {"name": table}) or 0
            print(f"postgresql   {table:<22} {size / n:>8.0f} bytes an upload", flush=True)
    engine.dispose()


def measure(name: str, settings: Settings, batch: int) -> None:
    spent: list[float] = []
    with closing(Store.open(settings.database_url)) as store:
        begin = store.begin

        def timed() -> object:
            spent.append(time.perf_counter())
            return begin()

        at = now() + timedelta(days=400)
        counted = time.perf_counter()
        numbers = due(store, settings, at)
        counted = time.perf_counter() - counted
        took: dict[str, list[float]] = {}

        def told(kind: str, _: int) -> None:
            took.setdefault(kind, []).append(time.perf_counter() - spent[-1])

        store.begin = timed  # type: ignore[method-assign, assignment]
        began = time.perf_counter()
        removed = Purge(store, settings, batch=batch).run(told, at=at) or {}
        seconds = time.perf_counter() - began
        store.begin = begin  # type: ignore[method-assign]
        again = time.perf_counter()
        Purge(store, settings, batch=batch).run(at=at)
        again = time.perf_counter() - again
    assert removed == numbers
    for kind, each in took.items():
        print(
            f"{name:<12} batches of {batch:>4}  {kind:<14} {removed[kind]:>8} removed  "
            f"{removed[kind] / (2 * sum(each)):>8.0f} a second  "
            f"{1000 * median(each):>6.1f} ms a transaction, {1000 * max(each):.0f} at most",
            flush=True,
        )
    print(
        f"{name:<12} batches of {batch:>4}  all in {seconds:.1f} s; counted before in "
        f"{counted:.2f} s; with nothing left but what is kept: {again:.2f} s",
        flush=True,
    )


if __name__ == "__main__":
    main()
