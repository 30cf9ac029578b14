"""The database's change log, as whoever follows it reads it."""

from __future__ import annotations

from collections.abc import Iterator

from hashdb.model import Change
from hashdb.store import Transaction


def pages(tx: Transaction, number: int, limit: int) -> Iterator[list[Change]]:
    """All changes with a higher number, in order, at most `limit` at once; no page is empty."""
    while page := tx.changes.since(number, limit=limit):
        yield page
        number = page[-1].number


def reference_of(tx: Transaction, number: int) -> str | None:
    """The reference of that change; None where there is no such change."""
    found = tx.changes.since(number - 1, limit=1) if number else []
    return found[0].reference_id if found and found[0].number == number else None
