"""Runs for tests: begun, done to their end, and what came of them."""

from __future__ import annotations

from typing import Any

from api import tasks
from api.jobs import Runner
from api.walks import Walker
from hashdb.model import Job, Run, RunCounts
from hashdb.store import Store
from tests.archives import Files
from tests.fakes import ServiceParts


def begun(parts: ServiceParts, files: Files, **options: Any) -> Run:
    url = tasks.archive(parts.settings, files.url).url
    with parts.store.begin() as tx:
        return tx.runs.open(tasks.BACKFILL, url, {"archive": url, "rate": None, **options})


def done(parts: ServiceParts, run: Run, worker: str = "w") -> RunCounts:
    """Everything that there is to do, by one walker and one runner."""
    Walker(parts.store, parts.settings, poll_s=0.01).step(worker)
    runner = Runner(parts)
    while runner.step(worker):
        pass
    return counts(parts.store, run)


def counts(store: Store, run: Run) -> RunCounts:
    with store.read() as tx:
        return tx.runs.counts(run.id)


def items(parts: ServiceParts, run: Run, outcome: str) -> list[Job]:
    with parts.store.read() as tx:
        return tx.runs.items(run.id, outcome)
