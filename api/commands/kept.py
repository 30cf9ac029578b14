"""What is kept of uploads, and for how long: `seawall uploads` and `seawall purge`."""

from __future__ import annotations

import click

from api.commands import output
from api.commands.output import json_option
from api.settings import Settings
from hashdb.store import Store


@click.group()
def uploads() -> None:
    """What is kept of uploads."""


@uploads.command("erase")
@click.argument("upload_id")
@click.option("--key", "key_id", metavar="KEY_ID", help="Whose it is, where several keys have it.")
@json_option
def uploads_erase(upload_id: str, key_id: str | None, as_json: bool) -> None:
    """Delete all that is kept of one upload, its decisions too; the audit says that it was done.

    Not while a review of it is open.
    """
    from api import erasing

    settings = Settings.from_env()
    store = Store.open(settings.database_url)
    erased = erasing.erase(store, settings, upload_id, key_id, actor=output.actor())
    value = {"upload_id": upload_id, "key_id": erased.key_id, "decisions": list(erased.decisions)}
    output.result(value, f"{upload_id} of {erased.key_id} is erased", as_json=as_json)


@click.command()
@click.option("--dry-run", is_flag=True, help="Only count what would be deleted.")
@json_option
def purge(dry_run: bool, as_json: bool) -> None:
    """Delete what is older than the settings keep it: jobs, fingerprints, verdicts, the audit.

    `seawall serve` and `seawall worker` do it every hour.
    """
    from api import purging

    settings = Settings.from_env()
    store = Store.open(settings.database_url)
    numbers = purging.due(store, settings)
    if not dry_run:
        done, every = 0, sum(numbers.values())
        with output.fraction("rows") as progress:

            def told(_kind: str, n: int) -> None:
                nonlocal done
                done += n
                progress(done, max(every, done))

            numbers = purging.Purge(store, settings, actor=output.actor()).run(told) or {}
    said = "would be deleted" if dry_run else "deleted"
    for rule in purging.rules(settings):
        n = numbers.get(rule.kind, 0)
        value = {"kind": rule.kind, "keep_days": rule.days, "deleted": n, "dry_run": dry_run}
        words = f"{rule.kind}: {n} {said} (kept for {rule.days} days)"
        output.result(value, words, as_json=as_json)
