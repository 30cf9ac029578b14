"""`seawall serve`, and what an operator does: the database, keys, the index, exchanges."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from urllib.parse import urlsplit

import click

from api.commands import output
from api.commands.output import json_option
from api.commands.values import not_empty
from api.settings import Settings
from hashdb import store as database
from hashdb.errors import BadSnapshot, Conflict, PartnerUnavailable
from hashdb.model import Key, Role
from hashdb.snapshot import SnapshotState
from hashdb.store import Store
from hashdb.sync import Pulled, pull
from matcher.policy import load_policy

log = logging.getLogger("seawall.metrics")

SYNC_KEY = "SEAWALL_SYNC_KEY"
METRICS_DIR = "PROMETHEUS_MULTIPROC_DIR"
SNAPSHOTS = {
    SnapshotState.GOOD: "the snapshot is good",
    SnapshotState.DAMAGED: "the snapshot is DAMAGED, and is made anew at the next start",
    SnapshotState.MISSING: "the snapshot is missing, and is made at the next start",
    SnapshotState.STALE: "the snapshot is STALE, and is made anew at the next start",
}


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8080,
    show_default=True,
    help="The port; 0 takes a free one.",
)
@click.option("--workers", type=click.IntRange(1, 64), default=1, show_default=True)
@click.option("--threads", type=click.IntRange(1, 256), default=8, show_default=True)
@click.option(
    "--jobs",
    type=click.IntRange(0, 256),
    help="Jobs done at once in each process; 0 leaves them to `seawall worker`."
    "  [default: half of SEAWALL_DECODERS]",
)
@json_option
def serve(
    host: str, port: int, workers: int, threads: int, jobs: int | None, as_json: bool
) -> None:
    """Answer over HTTP until interrupted.

    Each worker is a process; they share the index's snapshot. A worker's threads answer side by
    side what has no media; uploads with media have threads of their own.
    """
    with _metrics_added_up(workers):
        from api import serve as server

        where = server.Where(host, port, workers, threads, as_json, jobs)
        server.serve(Settings.from_env(), where)


@contextmanager
def _metrics_added_up(workers: int) -> Iterator[None]:
    """A folder in which several workers count together, if one can be made. prometheus_client looks
    for its name when it is imported."""
    if workers == 1 or os.environ.get(METRICS_DIR):
        yield
        return
    try:
        folder, mine = tempfile.mkdtemp(prefix="seawall-metrics-"), os.getpid()
    except OSError as error:
        log.warning("each worker counts alone, for its metrics: %s", error)
        yield
        return
    os.environ[METRICS_DIR] = folder
    try:
        yield
    finally:
        if os.getpid() == mine:  # workers come by here too
            shutil.rmtree(folder, ignore_errors=True)


@click.group()
def db() -> None:
    """The database's schema."""


@db.command("upgrade")
@json_option
def db_upgrade(as_json: bool) -> None:
    """Bring the schema to this version. SQLite does that by itself; PostgreSQL waits for this."""
    database.upgrade(Settings.from_env().database_url)
    output.result({"upgraded": True}, "The database is up to date.", as_json=as_json)


@db.command("downgrade")
@click.argument("revision")
@click.option("--yes", is_flag=True, help="Do not ask: what newer columns hold is lost.")
@json_option
def db_downgrade(revision: str, yes: bool, as_json: bool) -> None:
    """Take the schema back to an older revision (base: to nothing)."""
    if not yes:
        click.confirm("What newer columns and tables hold is lost. Go on?", abort=True, err=True)
    database.downgrade(Settings.from_env().database_url, revision)
    output.result({"revision": revision}, f"The schema is at {revision}.", as_json=as_json)


@click.group()
def key() -> None:
    """API keys."""


@key.command("create")
@click.option(
    "--role", type=click.Choice([r.value for r in Role]), required=True, help="What it may do."
)
@click.option("--name", help="Whose it is.  [default: the role]")
@json_option
def key_create(role: str, name: str | None, as_json: bool) -> None:
    """Make a key and print it, this once: the database keeps only its hash."""
    store = Store.open(Settings.from_env().database_url)
    named = name or role
    with store.begin() as tx:
        made, secret = tx.access.create(Role(role), named)
        tx.audit.record(output.actor(), "key.create", made.id, {"name": named, "role": role})
    output.result({**key_json(made), "key": secret}, secret, as_json=as_json)
    if not as_json:
        output.note(f"{made.id}, role {role}. Keep the key: it is not shown again.")


@key.command("list")
@json_option
def key_list(as_json: bool) -> None:
    """Show the keys, without their secrets."""
    store = Store.open(Settings.from_env().database_url)
    with store.read() as tx:
        keys = tx.access.list()
    for each in keys:
        state = "revoked" if each.revoked_at else "good"
        words = f"{each.id}  {each.role.value:<9}  {state:<7}  {each.name}"
        output.result(key_json(each), words, as_json=as_json)


@key.command("revoke")
@click.argument("key_id")
@json_option
def key_revoke(key_id: str, as_json: bool) -> None:
    """Let a key open nothing from now on."""
    store = Store.open(Settings.from_env().database_url)
    with store.begin() as tx:
        revoked = tx.access.revoke(key_id)
        tx.audit.record(output.actor(), "key.revoke", revoked.id, {"name": revoked.name})
    output.result(key_json(revoked), f"{revoked.id} is revoked", as_json=as_json)


def key_json(each: Key) -> dict[str, object]:
    return {
        "id": each.id,
        "name": each.name,
        "role": each.role.value,
        "created_at": each.created_at.isoformat(),
        "revoked_at": each.revoked_at.isoformat() if each.revoked_at else None,
    }


@click.group()
def sync() -> None:
    """Hash lists of partners."""


@sync.command("pull")
@click.argument("url", callback=not_empty)
@click.option("--bank", "bank_name", required=True, metavar="NAME", help="The bank to fill.")
@click.option(
    "--key-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help=f"A file with the key that the partner gave; else the variable {SYNC_KEY} holds it.",
)
@click.option(
    "--from-start",
    is_flag=True,
    help="Read the whole list again: the other side's database was replaced or restored.",
)
@json_option
@click.pass_context
def sync_pull(
    context: click.Context,
    url: str,
    bank_name: str,
    key_file: Path | None,
    from_start: bool,
    as_json: bool,
) -> None:
    """Read another Seawall's hash list (or a file of JSON lines) into a bank.

    Goes on where it stopped. Give each partner a bank of its own: what the partner withdraws is
    withdrawn there. What a moderator here withdrew stays withdrawn, and is counted as overruled.
    """
    from api import wiring

    secret = key_file.read_text() if key_file else os.environ.get(SYNC_KEY, "")
    partner = wiring.partner(url, secret.strip() or None)
    if url.startswith("http://") and not _is_loopback(url):
        output.note("seawall: warning: the key and the list travel in the clear; use https")
    store = Store.open(Settings.from_env().database_url)
    with store.read() as tx:
        bank = tx.banks.get(bank_name)

    last = Pulled()
    with output.counter("lines") as count:

        def progress(done: Pulled) -> None:
            nonlocal last
            count(done.lines - last.lines)
            last = done

        try:
            last = pull(
                store,
                partner,
                name=partner.name,
                bank=bank,
                actor=output.actor(),
                from_start=from_start,
                progress=progress,
            )
        except (PartnerUnavailable, Conflict):
            _tell_refused(last)
            output.note(f"seawall: broken off. Kept so far: {describe_pulled(last)}")
            raise
    output.result(pulled_json(last), describe_pulled(last), as_json=as_json)
    _tell_refused(last)
    context.exit(1 if last.refused else 0)


def _tell_refused(done: Pulled) -> None:
    for refused in done.refused:
        what = refused.reference_id or f"line {refused.line}"
        output.note(f"seawall: {what} was passed over: {refused.why}")


def pulled_json(done: Pulled) -> dict[str, object]:
    return {
        "added": done.added,
        "known": done.known,
        "withdrawn": done.withdrawn,
        "overruled": done.overruled,
        "refused": [
            {"reference_id": r.reference_id, "line": r.line, "why": r.why} for r in done.refused
        ],
        "checkpoint": done.checkpoint,
    }


def describe_pulled(done: Pulled) -> str:
    words = f"{done.added} added, {done.known} known, {done.withdrawn} withdrawn"
    words += f", {done.overruled} overruled" if done.overruled else ""
    return words + (f", {len(done.refused)} refused" if done.refused else "")


def _is_loopback(url: str) -> bool:
    return urlsplit(url).hostname in ("localhost", "127.0.0.1", "::1")


@click.group()
def index() -> None:
    """The index, which is made from the database."""


@index.command("verify")
@json_option
@click.pass_context
def index_verify(context: click.Context, as_json: bool) -> None:
    """Compare the index with the database, code by code; exit code 1 where they differ."""
    from api import wiring

    settings = Settings.from_env()
    opened = wiring.reference_index(
        settings,
        Store.open(settings.database_url),
        load_policy(settings.policy),
        wiring.make_descriptor(settings),
    )
    opened.open(save=False, whole=True)
    report = opened.verify()
    value = {
        "ok": report.ok,
        "change": report.number,
        "references": report.references,
        "codes": dict(report.codes),
        "missing": list(report.missing),
        "extra": list(report.extra),
        "snapshot": opened.snapshot.value,
    }
    words = f"{report.references} references, {describe_sizes(report.codes)}: "
    words += "the index and the database agree" if report.ok else "they DIFFER; rebuild the index"
    words += f"; {SNAPSHOTS[opened.snapshot]}"
    output.result(value, words, as_json=as_json)
    for name, found in (("missing", report.missing), ("extra", report.extra)):
        if found and not as_json:
            output.note(f"seawall: {name}: {', '.join(found)}")
    context.exit(0 if report.ok else 1)


@index.command("rebuild")
@json_option
def index_rebuild(as_json: bool) -> None:
    """Make the index anew from the database and save it."""
    from api import wiring

    settings = Settings.from_env()
    made = wiring.reference_index(
        settings,
        Store.open(settings.database_url),
        load_policy(settings.policy),
        wiring.make_descriptor(settings),
    )
    with output.fraction("references") as progress:
        made.rebuild(progress, save=False)
    try:
        path = made.save()
    except OSError as error:
        raise BadSnapshot(
            "the index was made and is good, but its snapshot cannot be written, so that each "
            f"start makes it again: {error}"
        ) from error
    value = {"path": str(path), "change": made.number, "codes": dict(made.sizes())}
    output.result(value, f"{describe_sizes(made.sizes())} in {path}", as_json=as_json)


@index.command("publish")
@click.argument("url", callback=not_empty)
@json_option
def index_publish(url: str, as_json: bool) -> None:
    """Put the index's snapshot where other machines fetch it at their start.

    URL is a folder's path, s3://bucket/folder or another that fsspec knows; they have it as
    SEAWALL_INDEX_SOURCE.
    """
    from api import wiring

    settings = Settings.from_env()
    target = wiring.published(url)
    made = wiring.reference_index(
        settings,
        Store.open(settings.database_url),
        load_policy(settings.policy),
        wiring.make_descriptor(settings),
    )
    with output.fraction("references") as progress:
        made.open(progress)
    made.wait()
    try:
        published, file = made.published()
    except OSError as error:
        raise BadSnapshot(f"the snapshot cannot be written: {error}") from error
    with output.fraction("bytes") as progress:
        target.publish(published, file, progress)
    value = {"url": url, **asdict(published)}
    words = f"{published.file}, {published.size} bytes, change {published.number}, is at {url}"
    output.result(value, words, as_json=as_json)


def describe_sizes(codes: Mapping[str, int]) -> str:
    return ", ".join(f"{n} {name} codes" for name, n in codes.items()) or "no codes"
