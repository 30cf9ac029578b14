"""Which references an index passes over, and whether anything is new for it."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, func, not_, or_, select

from hashdb.store.prepared import Prepared
from hashdb.tables import bank_references, banks, changes

# Made once: it is asked for every upload. One row for each bank that is off, or one.
_AT = select(
    select(func.max(changes.c.number)).scalar_subquery().label("head"),
    select(changes.c.reference_id)
    .where(changes.c.number == bindparam("number"))
    .scalar_subquery()
    .label("last"),
).subquery()
_NEWS = Prepared(
    select(_AT.c.head, _AT.c.last, banks.c.id.label("off")).select_from(
        _AT.outerjoin(banks, not_(banks.c.enabled))
    )
)


@dataclass(frozen=True, slots=True)
class News:
    """`head`: the highest number in the change log, 0 where it is empty; `last`: the reference of
    the change that was asked about, None where there is none; `banks_off`: the ids of the banks
    that are switched off."""

    head: int
    last: str | None
    banks_off: frozenset[str]


class Hidden:
    """Hidden are references that are not withdrawn, and may not be enforced."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def news(self, number: int) -> News:
        """How things stand, and whose the change of that number is: one query."""
        found = _NEWS.rows(self._connection, {"number": number})
        off = frozenset(row["off"] for row in found if row["off"] is not None)
        return News(found[0]["head"] or 0, found[0]["last"], off)

    def references(self) -> list[str]:
        """The ids of all that are hidden."""
        query = (
            select(bank_references.c.id)
            .join(banks, banks.c.id == bank_references.c.bank_id)
            .where(bank_references.c.withdrawn_at.is_(None))
            .where(or_(not_(bank_references.c.enabled), not_(banks.c.enabled)))
        )
        return list(self._connection.scalars(query))
