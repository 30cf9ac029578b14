"""`seawall bank` and `seawall reference`: what is banned, and what is known to be fine."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import click

from api import render
from api.bank_change import change_bank
from api.commands import files, output
from api.commands.media import paths_argument, whole_picture
from api.commands.output import json_option
from api.commands.values import field
from api.names import printable
from api.schemas import BankChange
from api.schemas.base import Label, Line, Name
from api.settings import Settings
from hashdb.model import Action, Bank, Digests, MediaKind, Reference
from hashdb.store import Store
from hashdb.store.banks import ReferenceState
from matcher.digest import digest_file
from matcher.enroll import Enroller
from matcher.policy import load_policy

PAGE = 1000
EXACT_ONLY = "all of it is too flat to mean anything: only the very same file matches it, no copy"


@dataclass(frozen=True, slots=True)
class Added:
    """`exact_only`: nothing is kept of it but its digests."""

    reference: Reference
    new: bool
    exact_only: bool


@click.group()
def bank() -> None:
    """Sets of references that share an action and a label."""


@bank.command("create")
@click.argument("name")
@click.option(
    "--action",
    type=click.Choice([a.value for a in Action]),
    default=Action.BLOCK.value,
    show_default=True,
    help="What a confident match asks for; allow makes it an allow-list.",
)
@click.option(
    "--label",
    callback=field(Label),
    help="The kind of harm, such as violent-extremism.",
)
@json_option
def bank_create(name: str, action: str, label: str | None, as_json: bool) -> None:
    """Make a bank."""
    store = Store.open(Settings.from_env().database_url)
    with store.begin() as tx:
        made = tx.banks.create(name, Action(action), label)
        tx.audit.record(output.actor(), "bank.create", made.id, {"name": name, "action": action})
    output.result(render.bank_json(made), f"{made.name} ({made.id})", as_json=as_json)


@bank.command("list")
@json_option
def bank_list(as_json: bool) -> None:
    """Show the banks."""
    store = Store.open(Settings.from_env().database_url)
    with store.read() as tx:
        banks = tx.banks.list()
    for each in banks:
        output.result(render.bank_json(each), describe_bank(each), as_json=as_json)


@bank.command("change")
@click.argument("name")
@click.option("--name", "new_name", callback=field(Name), help="Another name.")
@click.option("--action", type=click.Choice([a.value for a in Action]), help="Another action.")
@click.option("--label", callback=field(Label), help="Another kind of harm.")
@click.option("--no-label", is_flag=True, help="None any more.")
@click.option(
    "--enable/--disable",
    "enabled",
    default=None,
    help="Whether its references match anything, from the next upload on.",
)
@json_option
def bank_change(
    name: str,
    new_name: str | None,
    action: str | None,
    label: str | None,
    no_label: bool,
    enabled: bool | None,
    as_json: bool,
) -> None:
    """Change a bank's name, action or label, or switch it on or off.

    A bank is never deleted: switched off, it matches nothing and stays on record.
    """
    if no_label and label is not None:
        raise click.UsageError("either --label or --no-label")
    other = None if action is None else Action(action)
    given = {"name": new_name, "action": other, "label": label, "enabled": enabled}
    changes: dict[str, object] = {key: value for key, value in given.items() if value is not None}
    if no_label:
        changes["label"] = None
    if not changes:
        raise click.UsageError("nothing to change was said")
    store = Store.open(Settings.from_env().database_url)
    with store.begin() as tx:
        changed = change_bank(tx, name, BankChange.model_validate(changes), actor=output.actor())
    output.result(render.bank_json(changed), describe_bank(changed), as_json=as_json)


def describe_bank(each: Bank) -> str:
    label = f"  {each.label}" if each.label else ""
    off = "" if each.enabled else "  (disabled)"
    return f"{each.name:<32} {each.action.value:<6}  {each.id}{label}{off}"


ids_argument = click.argument("reference_ids", nargs=-1, required=True, metavar="REFERENCE_ID...")


@click.group()
def reference() -> None:
    """Confirmed media in a bank."""


@reference.command("add")
@click.option("--bank", "bank_name", required=True, metavar="NAME", help="The bank's name or id.")
@click.option("--source", callback=field(Line), help="Where the media comes from, in words.")
@click.option("--vpdq", is_flag=True, help="The files are vPDQ hash lists, not media.")
@paths_argument
@json_option
@click.pass_context
def reference_add(
    context: click.Context,
    bank_name: str,
    source: str | None,
    vpdq: bool,
    paths: tuple[str, ...],
    as_json: bool,
) -> None:
    """Put files and folders into a bank.

    A file that the bank already has gives its reference again, so a run that was interrupted is
    simply repeated.
    """
    settings = Settings.from_env()
    store = Store.open(settings.database_url)
    with store.read() as tx:
        into = tx.banks.get(bank_name)
    add = add_list if vpdq else add_media
    with opened_enroller(settings, store) as enroller:

        def enrol(file: str) -> Added:
            made, new = add(enroller, into, file, source or printable(file))
            with store.read() as tx:
                return Added(made, new, tx.banks.nothing_but_digests(made.id))

        found = list(files.find(paths))
        code = files.run(found, enrol, show_added, at_once=settings.decoders, as_json=as_json)
    context.exit(code)


@contextmanager
def opened_enroller(settings: Settings, store: Store) -> Iterator[Enroller]:
    from api import wiring

    policy = load_policy(settings.policy)
    descriptor = wiring.make_descriptor(settings, policy)
    with closing(wiring.make_sandbox(settings)) as sandbox:
        yield wiring.make_enroller(store, sandbox, policy, descriptor)


def add_media(enroller: Enroller, bank: Bank, file: str, source: str) -> tuple[Reference, bool]:
    with open(file, "rb") as media:
        digests = digest_file(media)
        return enroller.add_media(bank, media, digests, actor=output.actor(), source=source)


def add_list(enroller: Enroller, bank: Bank, file: str, source: str) -> tuple[Reference, bool]:
    from api import wiring

    listed = Path(file).read_bytes()
    return enroller.add_hashes(
        bank,
        Digests(),
        [wiring.read_vpdq(listed.decode("utf-8", "replace"))],
        kind=MediaKind.VIDEO,
        actor=output.actor(),
        source=source,
        # So the same list gives its reference again.
        origin=f"vpdq:{hashlib.sha256(listed).hexdigest()}",
    )


def show_added(file: str, added: Added, as_json: bool) -> None:
    made = added.reference
    row: dict[str, object] = {"file": printable(file), "reference_id": made.id}
    note = "" if added.new else "  (the bank has it already)"
    if not made.enforceable:
        row["enforceable"] = False
        what = "reference" if made.bank.enabled else "bank"
        note += f"  WARNING: the {what} is disabled, so it matches nothing"
    if added.exact_only:
        row["exact_only"] = True
        output.note(f"seawall: warning: {file}: {EXACT_ONLY}")
    output.result(row, f"{made.id}  {file}{note}", as_json=as_json)


@reference.command("list")
@click.option("--bank", "bank_name", metavar="NAME", help="Of this bank only.")
@click.option(
    "--state",
    type=click.Choice(["enabled", "disabled", "withdrawn"]),
    help="In this state only.",
)
@click.option("--text", help="With this text in its id, source or metadata.")
@json_option
def reference_list(
    bank_name: str | None, state: ReferenceState | None, text: str | None, as_json: bool
) -> None:
    """Show the references."""
    store = Store.open(Settings.from_env().database_url)
    after: str | None = None
    while True:
        with store.read() as tx:
            found, after = tx.banks.references(
                bank=bank_name, text=text, state=state, limit=PAGE, after=after
            )
        for each in found:
            output.result(render.reference_json(each), describe_reference(each), as_json=as_json)
        if after is None:
            return


def describe_reference(each: Reference) -> str:
    state = "withdrawn" if each.withdrawn_at else "enabled" if each.enabled else "disabled"
    length = output.clock(each.duration_s) if each.duration_s is not None else each.kind.value
    return f"{each.id}  {each.bank.name:<24} {state:<9} {length:>9}  {each.source or ''}".rstrip()


@reference.command("withdraw")
@ids_argument
@json_option
def reference_withdraw(reference_ids: tuple[str, ...], as_json: bool) -> None:
    """Take references out for good: they stay on record and match nothing."""
    _each(reference_ids, "withdrawn", lambda e, i: e.withdraw(i, actor=output.actor()), as_json)


@reference.command("disable")
@ids_argument
@json_option
def reference_disable(reference_ids: tuple[str, ...], as_json: bool) -> None:
    """Switch references off: they match nothing until they are switched on."""
    _each(
        reference_ids,
        "disabled",
        lambda e, i: e.set_enabled(i, False, actor=output.actor()),
        as_json,
    )


@reference.command("enable")
@ids_argument
@json_option
def reference_enable(reference_ids: tuple[str, ...], as_json: bool) -> None:
    """Switch references on again."""
    _each(
        reference_ids,
        "enabled",
        lambda e, i: e.set_enabled(i, True, actor=output.actor()),
        as_json,
    )


def _each(
    reference_ids: Sequence[str],
    became: str,
    change: Callable[[Enroller, str], Reference],
    as_json: bool,
) -> None:
    settings = Settings.from_env()
    store = Store.open(settings.database_url)
    with opened_enroller(settings, store) as enroller:
        for reference_id in reference_ids:
            changed = change(enroller, reference_id)
            words = f"{changed.id} is {became}"
            output.result(render.reference_json(changed), words, as_json=as_json)


@reference.command("export")
@click.argument("reference_id")
def reference_export(reference_id: str) -> None:
    """Print a reference's PDQ codes as a vPDQ list: `frame,quality,hash,seconds` a line."""
    from api import wiring

    store = Store.open(Settings.from_env().database_url)
    with store.read() as tx:
        fingerprints = tx.banks.fingerprints(tx.banks.reference(reference_id).id)
    output.raw(wiring.write_vpdq(whole_picture(fingerprints)))
