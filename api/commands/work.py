"""`seawall worker`, and the runs that workers do: `seawall backfill` and `seawall look-back`.

What a service is made of is imported where it is needed: other commands start sooner, and
prometheus_client must not be there before `seawall serve` has said how its workers count.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import click

from api.commands import output
from api.commands.output import json_option
from api.commands.values import not_empty, rate
from api.settings import Settings
from hashdb.errors import DatabaseUnavailable, NotFound
from hashdb.model import Job, Run, now
from hashdb.store import Store
from hashdb.store.runs import FAILED

WATCH_S = 0.5
PAGE = 500

jobs_option = click.option(
    "--jobs",
    type=click.IntRange(0, 256),
    help="Done at once in this process; 0 leaves all to the workers.  [default: SEAWALL_DECODERS]",
)


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Where its health is told.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8081,
    show_default=True,
    help="The port of that; 0 takes a free one.",
)
@click.option(
    "--jobs",
    type=click.IntRange(1, 256),
    help="Jobs done at once.  [default: SEAWALL_DECODERS]",
)
@json_option
def worker(host: str, port: int, jobs: int | None, as_json: bool) -> None:
    """Do jobs until interrupted: promised answers, backfills, look-backs.

    Any number may run, on any machine that shares the database and the spool. What a killed one had
    in its hands another takes up.
    """
    from api import serve
    from api.routes import health

    settings = Settings.from_env()
    where = serve.Where(
        host,
        port,
        workers=1,
        threads=4,
        as_json=as_json,
        jobs=jobs or settings.decoders,
        routes=health.ROUTES,
        words="Seawall works; whether it is well: {url}/readyz",
    )
    serve.serve(settings, where)


@click.command()
@click.argument("url", callback=not_empty)
@click.option("--into", metavar="BANK", help="Put the objects into a bank instead of judging them.")
@click.option("--rate", type=float, callback=rate, help="At most so many a second.")
@jobs_option
@click.option("--retry-failed", is_flag=True, help="Try those again that failed before.")
@click.option("--cancel", is_flag=True, help="End it: what is not begun is dropped.")
@click.option("--status", is_flag=True, help="Only tell how far it is.")
@click.option("--list", "listed", metavar="OUTCOME", help="Only list what ended so, as `block`.")
@json_option
@click.pass_context
def backfill(
    context: click.Context,
    url: str,
    into: str | None,
    rate: float | None,
    jobs: int | None,
    retry_failed: bool,
    cancel: bool,
    status: bool,
    listed: str | None,
    as_json: bool,
) -> None:
    """Judge every object of an archive: a folder, s3://BUCKET/PREFIX, or what else fsspec opens.

    Started again, it goes on where it was, and takes up what is new. Verdicts and reviews are
    recorded like those of uploads.
    """
    from api import tasks

    settings = Settings.from_env()
    archive = tasks.archive(settings, url)
    store = Store.open(settings.database_url)
    kind, subject, options = tasks.BACKFILL, archive.url, {"archive": archive.url, "rate": rate}
    if into is not None:
        with store.read() as tx:
            bank = tx.banks.get(into)
        kind, subject = tasks.ENROLMENT, f"{archive.url} into {bank.id}"
        options |= {"bank": bank.id, "actor": output.actor()}
    if cancel or status or listed is not None:
        run = known(store, kind, subject)
        if cancel:
            with store.begin() as tx:
                tx.runs.cancel(run.id)
        if listed is not None:
            show_items(store, run, listed, as_json=as_json)
        else:
            show_counts(store, run, as_json=as_json)
        return
    archive.check()
    with store.begin() as tx:
        run = tx.runs.open(kind, subject, options)
        tx.runs.walk_again(run.id)
        if retry_failed:
            tx.runs.retry_failed(run.id)
    work(settings, store, run, jobs, unit="objects")
    context.exit(0 if show_counts(store, run, as_json=as_json) else 1)


def known(store: Store, kind: str, subject: str) -> Run:
    with store.read() as tx:
        run = tx.runs.find(kind, subject)
    if run is None:
        raise NotFound(f"{subject}: no backfill of it was ever begun")
    return run


@click.command("look-back")
@click.option(
    "--since",
    type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]),
    required=True,
    help="Uploads received since, in UTC.",
)
@jobs_option
@click.option("--cancel", is_flag=True, help="End it: what is not begun is dropped.")
@json_option
@click.pass_context
def look_back(
    context: click.Context, since: datetime, jobs: int | None, cancel: bool, as_json: bool
) -> None:
    """Ask about past uploads again, with what is in the banks by now.

    By the fingerprints that are kept of them (SEAWALL_RETENTION_DAYS), older ones by their digests
    alone. Where more is found than the verdict said, a review is opened; the verdict stays.
    """
    from api import tasks

    settings = Settings.from_env()
    begin = since.replace(tzinfo=UTC).isoformat()
    if cancel:
        end_look_backs(Store.open(settings.database_url), begin, as_json=as_json)
        return
    tell_of_retention(settings, since.replace(tzinfo=UTC))
    store = Store.open(settings.database_url)
    with store.begin() as tx:
        subject = f"uploads since {begin}, change {tx.changes.head()}"
        run = tx.runs.open(tasks.LOOK_BACK, subject, {"since": begin})
        tx.runs.walk_again(run.id)
    work(settings, store, run, jobs, unit="pages of uploads")
    show_items(store, run, "found", as_json=as_json)
    context.exit(0 if show_counts(store, run, as_json=as_json) else 1)


def end_look_backs(store: Store, begin: str, *, as_json: bool) -> None:
    """Those over uploads since then that are not at their end. The banks may have changed since
    one was begun, which is part of its subject."""
    from api import tasks

    with store.begin() as tx:
        found = tx.runs.begun(tasks.LOOK_BACK, f"uploads since {begin}, change ")
        if not found:
            raise NotFound(f"uploads since {begin}: no look-back of them was ever begun")
        ending = [r for r in found if not r.walked or tx.runs.counts(r.id).in_hand] or found[-1:]
        for run in ending:
            tx.runs.cancel(run.id)
    for run in ending:
        show_counts(store, run, as_json=as_json)


def tell_of_retention(settings: Settings, since: datetime) -> None:
    """How much less is found of uploads that are older than their retention."""
    for days, what in (
        (settings.keep_verdicts_days, "not found: they are deleted, unless a moderator had a say"),
        (settings.retention_days, "found by their digests alone: their fingerprints are deleted"),
    ):
        if days and since < now() - timedelta(days=days):
            output.note(f"seawall: uploads of more than {days} days ago are {what}")


def work(settings: Settings, store: Store, run: Run, jobs: int | None, *, unit: str) -> None:
    """Show how far the run is until it is at its end, and help."""
    threads = settings.decoders if jobs is None else jobs
    with helping(settings, store, run, threads), output.tally(unit) as tell:
        away = False
        while True:
            try:
                with store.read() as tx:
                    now, counts = tx.runs.get(run.id), tx.runs.counts(run.id)
                away = False
            except DatabaseUnavailable as error:
                if not away:
                    output.note(f"seawall: {error}; waiting for it")
                away = True
            else:
                tell(counts.listed - counts.in_hand, counts.listed, counts.ended)
                if now.walked and not counts.in_hand:
                    return
            time.sleep(WATCH_S)


@contextmanager
def helping(settings: Settings, store: Store, run: Run, threads: int) -> Iterator[None]:
    """This process walks, and so many threads do items of this kind of run, beside all workers."""
    from api import wiring
    from api.jobs import Runner
    from api.walks import Walker

    with ExitStack() as held:
        walker = Walker(store, settings, kinds=[run.kind])
        walker.start()
        held.callback(walker.stop)
        if threads:
            parts = held.enter_context(closing(wiring.build(settings)))
            runner = Runner(parts, threads=threads, kinds=[[run.kind]])
            runner.start()
            held.callback(runner.stop)
        yield


def show_counts(store: Store, run: Run, *, as_json: bool) -> bool:
    """How far a run is: how many things are known, wait, and ended in which way. Whether it is well
    so far: nothing failed."""
    with store.read() as tx:
        now, counts = tx.runs.get(run.id), tx.runs.counts(run.id)
    value = {
        "run_id": run.id,
        "subject": run.subject,
        "walked": now.walked,
        "broken": now.broken,
        "listed": counts.listed,
        "in_hand": counts.in_hand,
        "ended": dict(counts.ended),
    }
    nothing = "there is nothing to do" if now.walked and not counts.listed else "nothing done yet"
    ended = ", ".join(f"{n} {name}" for name, n in counts.ended.items()) or nothing
    more = "" if now.walked else "; the walk goes on"
    if now.broken is not None:
        more = f"; the walk broke off: {now.broken}"
    words = f"{run.subject}: {counts.listed} listed, {counts.in_hand} in hand, {ended}{more}"
    output.result(value, words, as_json=as_json)
    return now.broken is None and not counts.ended.get(FAILED)


def show_items(store: Store, run: Run, outcome: str, *, as_json: bool) -> None:
    """The items of a run that ended in one way, one a line."""
    after: str | None = None
    while True:
        with store.read() as tx:
            items = tx.runs.items(run.id, outcome, limit=PAGE, after=after)
        for item in items:
            for value in lines_of(item):
                output.result(value, describe(value), as_json=as_json)
        if not items:
            return
        after = items[-1].id


def lines_of(item: Job) -> Iterator[dict[str, Any]]:
    """What there is to say of an item: of an object one line, of past uploads one each."""
    result = dict(item.result or {})
    if "found" in result:
        yield from result["found"]
        return
    value: dict[str, Any] = {"path": item.payload.get("path")}
    for name in ("upload_id", "action", "reference_id"):
        if name in result:
            value[name] = result[name]
    if item.problem is not None:
        value["problem"] = dict(item.problem)
    yield value


def describe(value: Mapping[str, Any]) -> str:
    what = value.get("path") or value.get("upload_id")
    if "problem" in value:
        problem = value["problem"]
        return f"{what}  {problem.get('detail') or problem.get('title')}"
    references = ", ".join(value.get("references", ()))
    said = value.get("action") or value.get("reference_id") or ""
    return f"{what}  {said}  {references or value.get('upload_id', '')}".rstrip()
