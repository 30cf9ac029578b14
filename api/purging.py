"""The purge: what is older than the settings keep it is deleted, by one process at a time.

Small transactions, one after the other, each followed by a pause as long as it took: on SQLite,
where one writer works at a time, requests have half of it at least. A purge that is cut off has
lost nothing; the next one begins with the oldest that is left.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from api import tasks
from api.looping import Looping
from api.metrics import Metrics
from api.settings import Settings
from api.spool import Spool
from hashdb.errors import Conflict, SeawallError
from hashdb.model import new_id, now
from hashdb.store import Store, Transaction
from hashdb.store.retention import Batch

log = logging.getLogger("seawall.purge")

LEASE = "purge"
LEASE_S = 60.0
EVERY_S = 3600.0
POLL_S = 300.0
"""How often a process looks whether a purge is due, which another may have done."""
BATCH = 200
ENDED_JOBS = (*tasks.PROMISES, tasks.LOOK_BACK)
"""Jobs that are deleted some time after their end. The objects of an archive are not among them:
that they are known is what makes its next backfill short."""

Told = Callable[[str, int], None]
"""What is told of a batch: the kind, and how many went."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One kind of thing, and after how many days it goes."""

    kind: str
    days: int
    remove: Callable[[Transaction, datetime, int, Any], Batch]
    count: Callable[[Transaction, datetime], int]


def rules(settings: Settings) -> tuple[Rule, ...]:
    """Of all kinds that are not kept for good."""
    every = (
        Rule(
            "jobs",
            settings.keep_jobs_days,
            lambda tx, *rest: tx.retention.jobs(ENDED_JOBS, *rest),
            lambda tx, before: tx.retention.count_jobs(ENDED_JOBS, before),
        ),
        Rule(
            "fingerprints",
            settings.retention_days,
            lambda tx, *rest: tx.retention.fingerprints(*rest),
            lambda tx, before: tx.retention.count_fingerprints(before),
        ),
        Rule(
            "verdicts",
            settings.keep_verdicts_days,
            lambda tx, *rest: tx.retention.verdicts(*rest),
            lambda tx, before: tx.retention.count_verdicts(before),
        ),
        Rule(
            "audit",
            settings.keep_audit_days,
            lambda tx, *rest: tx.retention.audit(*rest),
            lambda tx, before: tx.retention.count_audit(before),
        ),
    )
    return tuple(rule for rule in every if rule.days)


def due(store: Store, settings: Settings, at: datetime | None = None) -> dict[str, int]:
    """How many of each kind a purge would delete at that moment (now)."""
    found = {}
    for rule in rules(settings):
        with store.read() as tx:
            found[rule.kind] = rule.count(tx, _before(rule, at or now()))
    return found


class Purge:
    """One process's purging. `stop` ends it between two batches."""

    def __init__(
        self,
        store: Store,
        settings: Settings,
        *,
        actor: str = LEASE,
        batch: int = BATCH,
        stop: threading.Event | None = None,
    ) -> None:
        self._store = store
        self._settings = settings
        self._actor = actor
        self._batch = batch
        self._stop = stop or threading.Event()
        self._worker = new_id("purge")

    def run(
        self, told: Told = lambda kind, n: None, *, every_s: float = 0.0, at: datetime | None = None
    ) -> dict[str, int] | None:
        """Deletes all that is due at that moment (now): how many of each kind. None where it was
        done less than `every_s` seconds ago. Raises `Conflict` while another process does it."""
        with self._store.begin() as tx:
            if not tx.leases.claim(LEASE, self._worker, LEASE_S, every_s=every_s):
                if every_s:
                    return None
                raise Conflict("another process is purging")
        removed = {rule.kind: 0 for rule in rules(self._settings)}
        ended = False
        try:
            for rule in rules(self._settings):
                self._apply(rule, at or now(), removed, told)
            ended = not self._stop.is_set()
            return removed
        finally:
            self._end(removed, ended)

    def _apply(self, rule: Rule, at: datetime, removed: dict[str, int], told: Told) -> None:
        before, cursor = _before(rule, at), None
        while not self._stop.is_set():
            began = time.monotonic()
            with self._store.begin() as tx:
                if not tx.leases.extend(LEASE, self._worker, LEASE_S):
                    raise Conflict("another process is purging")
                batch = rule.remove(tx, before, self._batch, cursor)
            removed[rule.kind] += batch.removed
            told(rule.kind, batch.removed)
            self._drop(batch.files)
            cursor = batch.cursor
            if cursor is None:
                break
            self._stop.wait(time.monotonic() - began)

    def _drop(self, files: tuple[str, ...]) -> None:
        if files:
            spool = Spool(self._settings)
            for name in files:
                spool.drop(name)

    def _end(self, removed: Mapping[str, int], ended: bool) -> None:
        """What was removed stands in the audit; what is left is counted for the metrics. One that
        was cut off has not been done: the next may come at once."""
        with self._store.read() as tx:
            stored = tx.retention.stored()
        with self._store.begin() as tx:
            if any(removed.values()):
                tx.audit.record(self._actor, "purge", LEASE, removed)
            if ended:
                tx.leases.done(LEASE, self._worker, {"removed": dict(removed), "stored": stored})
            else:
                tx.leases.release(LEASE, self._worker)


class Housekeeper(Looping):
    """The thread that purges once an hour, if no other process has, and sweeps the spool. `start`
    it after the process has forked."""

    name = "seawall-housekeeping"

    def __init__(self, store: Store, settings: Settings, metrics: Metrics) -> None:
        super().__init__()
        self._store = store
        self._settings = settings
        self._metrics = metrics
        self._purge = Purge(store, settings, stop=self._stop)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self.step()
            except SeawallError as error:
                log.warning("the purge: %s; tried again in %d s", error, POLL_S)
            except Exception:
                log.exception("the purge broke off")
            self._stop.wait(POLL_S)

    def step(self) -> dict[str, int] | None:
        """Purge where that is due, and sweep the spool."""
        Spool(self._settings).sweep(partial(_waiting, self._store))
        removed = self._purge.run(self._metrics.purged, every_s=EVERY_S)
        if removed and any(removed.values()):
            log.info("purged: %s", ", ".join(f"{n} {kind}" for kind, n in removed.items()))
        return removed


def _waiting(store: Store, before: datetime) -> set[str]:
    with store.read() as tx:
        return tx.jobs.waiting_files(tasks.PROMISES, before)


def _before(rule: Rule, at: datetime) -> datetime:
    return at - timedelta(days=rule.days)
