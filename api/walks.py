"""Walks over what runs are about: each thing becomes an item, for workers to take up.

One thread in each process that works walks, and of all such processes one at a time walks a run.
A walk stays so far ahead of the workers and no further, so that what it holds and what waits are
bounded; and it adds items no faster than the run's rate.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from api import tasks
from api.jobs import LEASE_S, POLL_S
from api.leases import kept
from api.looping import Looping
from api.names import as_payload, printable
from api.settings import Settings
from hashdb.errors import DatabaseUnavailable, SeawallError, Unavailable
from hashdb.model import Run, new_id
from hashdb.store import Store

log = logging.getLogger("seawall.walks")

IN_HAND = 1000
"""Items of a run that wait or are worked at; of one with a rate, ten seconds' worth."""
UPLOADS = 100
"""Past uploads in one item of a look-back."""

Item = tuple[str, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Page:
    """Some items (key, payload), and where the walk goes on behind them, if it can."""

    items: Sequence[Item]
    cursor: str | None


def backfill(store: Store, settings: Settings, run: Run) -> Iterator[Page]:
    """An archive's objects, to be judged. Each is an upload of its own name for ever."""
    for page in _archived(settings, run):
        yield Page([(k, {**p, "upload_id": f"obj_{k}"}) for k, p in page.items], page.cursor)


def enrolment(store: Store, settings: Settings, run: Run) -> Iterator[Page]:
    """An archive's objects, to be put into a bank."""
    more = {"bank": run.options["bank"], "actor": run.options["actor"]}
    for page in _archived(settings, run):
        yield Page([(k, {**p, **more}) for k, p in page.items], page.cursor)


def _archived(settings: Settings, run: Run) -> Iterator[Page]:
    url = run.options["archive"]
    for page in tasks.archive(settings, url).pages(run.cursor):
        items = [
            (e.key, {"archive": url, **as_payload(e.path), "size": e.size, "version": e.version})
            for e in page.entries
        ]
        yield Page(items, page.cursor)


def look_back(store: Store, settings: Settings, run: Run) -> Iterator[Page]:
    """Past uploads, some in each item."""
    since, cursor = datetime.fromisoformat(run.options["since"]), run.cursor
    while True:
        with store.read() as tx:
            rows = tx.uploads.rows_since(since, limit=UPLOADS, after=cursor)
        if not rows:
            return
        cursor = rows[-1]
        yield Page([(f"{rows[0]} {len(rows)}", {"uploads": rows})], cursor)


WALKS: Mapping[str, Callable[[Store, Settings, Run], Iterator[Page]]] = {
    tasks.BACKFILL: backfill,
    tasks.ENROLMENT: enrolment,
    tasks.LOOK_BACK: look_back,
}


class Walker(Looping):
    """The thread that walks. `start` it after the process has forked."""

    name = "seawall-walk"

    def __init__(
        self,
        store: Store,
        settings: Settings,
        *,
        kinds: Sequence[str] = tasks.RUNS,
        lease_s: float = LEASE_S,
        poll_s: float = POLL_S,
        in_hand: int = IN_HAND,
    ) -> None:
        super().__init__()
        self._store = store
        self._settings = settings
        self._kinds = kinds
        self._lease_s = lease_s
        self._poll_s = poll_s
        self._most = in_hand

    def _run(self) -> None:
        worker = new_id("walker")
        away = False
        while not self._stop.is_set():
            try:
                self.step(worker)
                away = False
                self._stop.wait(self._poll_s)
            except Exception as error:
                foreseen = isinstance(error, SeawallError)
                if not (away and isinstance(error, DatabaseUnavailable)):  # once for an outage
                    log.warning("a walk broke off: %s", error, exc_info=not foreseen)
                away = True
                self._stop.wait(self._poll_s)

    def step(self, worker: str) -> bool:
        """Walk one run to its end, or until told to stop; False where there was none to walk. One
        whose archive is away keeps its lease, so that others have their turn before it is tried
        again."""
        with self._store.begin() as tx:
            run = tx.runs.claim(worker, self._lease_s, kinds=self._kinds)
        if run is None:
            return False
        log.info("run %s: walking %s", run.id, run.subject)
        with kept(f"run {run.id}", lambda: self._extend(run, worker), self._lease_s):
            ended = self._walked(run, worker)
        if not ended:
            self._release(run, worker)
        return True

    def _walked(self, run: Run, worker: str) -> bool:
        """Whether it is at its end: one that breaks off for what will not pass is not tried again
        until somebody starts it."""
        try:
            return self._walk(run, worker)
        except Unavailable:
            raise
        except Exception as error:
            foreseen = isinstance(error, SeawallError)
            why = printable(str(error) if foreseen else f"{type(error).__name__}: {error}")
            log.warning("run %s: the walk broke off: %s", run.id, why, exc_info=not foreseen)
            with self._store.begin() as tx:
                tx.runs.break_off(run, worker, why)
            return True

    def _walk(self, run: Run, worker: str) -> bool:
        """Whether it came to the end."""
        reached = run.cursor
        for page in WALKS[run.kind](self._store, self._settings, run):
            for items, cursor in _portions(page, reached, _rate(run)):
                current = self._room(run)
                if current is None:
                    return False
                with self._store.begin() as tx:
                    new = tx.runs.advance(run, worker, cursor, items)
                if new is None:
                    log.info("run %s is walked by another", run.id)
                    return False
                rate = _rate(current)
                if rate and self._stop.wait(new / rate):
                    return False
                run = current
            reached = page.cursor
        with self._store.begin() as tx:
            tx.runs.end_walk(run.id, worker)
        return True

    def _room(self, run: Run) -> Run | None:
        """Waits until few enough items are in hand; the run with its options of now. None when it
        is to stop."""
        while not self._stop.is_set():
            with self._store.read() as tx:
                current, in_hand = tx.runs.get(run.id), tx.runs.counts(run.id).in_hand
            rate = _rate(current)
            if in_hand < (min(self._most, max(1, int(10 * rate))) if rate else self._most):
                return current
            time.sleep(min(self._poll_s, 0.2))
        return None

    def _extend(self, run: Run, worker: str) -> None:
        with self._store.begin() as tx:
            tx.runs.extend(run.id, worker, self._lease_s)

    def _release(self, run: Run, worker: str) -> None:
        try:
            with self._store.begin() as tx:
                tx.runs.release(run.id, worker)
        except DatabaseUnavailable:
            return  # its lease runs out


def _portions(
    page: Page, before: str | None, rate: float
) -> Iterator[tuple[Sequence[Item], str | None]]:
    """A page in pieces of a second's worth; only behind the last one a walk can go on."""
    n = max(1, int(rate)) if rate else max(1, len(page.items))
    for first in range(0, max(1, len(page.items)), n):
        last = first + n >= len(page.items)
        yield page.items[first : first + n], page.cursor if last else before


def _rate(run: Run) -> float:
    """Items a second; 0: as fast as workers do them."""
    return float(run.options.get("rate") or 0)
