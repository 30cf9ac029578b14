"""The hash list for partners: docs/exchange.md is its specification."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated

from pydantic import StringConstraints

from api import render, schemas
from api.bank_change import shared_bank
from api.routes.route import Answer, Call, Route, Service
from hashdb.errors import Conflict
from hashdb.model import Change, ChangeKind, Reference, Role
from hashdb.store import Store

MEDIA_TYPE = "application/jsonl"
CHECKPOINT_HEADER = "Seawall-Checkpoint"
ADDS = frozenset({ChangeKind.ADD, ChangeKind.ENABLE})
IDENTITY_SIZE = 12
"""Characters of the database's identity in a checkpoint: `<identity>.<change number>`."""


# A bare number is what checkpoints were before they named their database: of no feed by now.
CHECKPOINT = r"^([0-9a-f]{12}\.)?[0-9]{1,19}$"


class ChangesQuery(schemas.FeedQuery):
    since: Annotated[str, StringConstraints(pattern=CHECKPOINT)] | None = None


def changes(service: Service, call: Call) -> Answer:
    query: ChangesQuery = call.query
    store = service.parts.store
    database = store.identity()[:IDENTITY_SIZE]

    def named(number: int) -> str:
        return f"{database}.{number}"

    origin, _, number = (query.since or named(0)).rpartition(".")
    since = int(number)
    with store.read() as tx:
        if origin != database or since > tx.changes.head():
            raise Conflict("this checkpoint is not one of this feed's: begin without it")
        page = tx.changes.since(since, limit=query.limit)
        references = tx.banks.references_by_ids({c.reference_id for c in page})
    checkpoint = named(page[-1].number if page else since)
    headers = {CHECKPOINT_HEADER: checkpoint}
    if len(page) == query.limit:
        target = f"/exchange/v1/changes?since={checkpoint}&limit={query.limit}"
        headers["Link"] = f'<{target}>; rel="next"'
    lines = _lines(store, page, references, named)
    return Answer(lines, headers=headers, media_type=MEDIA_TYPE)


def _lines(
    store: Store,
    page: Sequence[Change],
    references: Mapping[str, Reference],
    named: Callable[[int], str],
) -> Iterator[str]:
    """One line a shared change, made while it is sent: a page may be hundreds of megabytes."""
    for change in page:
        reference = references.get(change.reference_id)
        if reference is None or reference.origin is not None:
            continue
        line: schemas.FeedAdd | schemas.FeedWithdraw
        if change.kind not in ADDS:
            line = schemas.FeedWithdraw(
                checkpoint=named(change.number), reference_id=change.reference_id
            )
        elif shared(reference):
            with store.read() as tx:
                fingerprints = tx.banks.fingerprints(reference.id)
            line = render.feed_add(change.number, reference, fingerprints)
            line = line.model_copy(update={"checkpoint": named(change.number)})
        else:
            continue
        yield line.model_dump_json() + "\n"


def shared(reference: Reference) -> bool:
    """Whether partners are given it: it may be enforced, and is of no allow-list."""
    return reference.enforceable and shared_bank(reference.bank)


ROUTES = (
    Route(
        "GET",
        "/exchange/v1/changes",
        "exchangeChanges",
        changes,
        "The hash list as a feed of additions and withdrawals",
        "exchange",
        frozenset({Role.PARTNER}),
        {200: MEDIA_TYPE},
        query=ChangesQuery,
        errors=(Conflict,),
        text="JSON lines; the documentation's page on the exchange feed describes each member.",
    ),
)
