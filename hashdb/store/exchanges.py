"""Partners' feeds that are read into banks, and how far each was read."""

from __future__ import annotations

from sqlalchemy import Connection, insert, select, update
from sqlalchemy.exc import IntegrityError

from hashdb.errors import Conflict, NotFound
from hashdb.model import Exchange, new_id, now
from hashdb.store import rows
from hashdb.tables import exchanges


class Exchanges:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def ensure(self, partner: str, bank_id: str) -> Exchange:
        """The exchange of a partner (its feed's URL) and a bank, made where missing.
        Raises `NotFound` where there is no such bank."""
        made = Exchange(new_id("exc"), partner, bank_id, checkpoint=None, synced_at=None)
        values = {"id": made.id, "partner": partner, "bank_id": bank_id}
        try:
            with self._connection.begin_nested():
                self._connection.execute(insert(exchanges), values)
        except IntegrityError:
            same = (exchanges.c.partner == partner, exchanges.c.bank_id == bank_id)
            row = self._connection.execute(select(exchanges).where(*same)).mappings().first()
            if row is None:
                raise NotFound(f"there is no bank {bank_id!r}") from None
            return rows.exchange(row)
        return made

    def hold(self, exchange_id: str, checkpoint: str | None) -> None:
        """Nobody else moves its checkpoint before this transaction is over. Raises `Conflict` where
        it is not at `checkpoint`: another pull has moved it."""
        same = (
            exchanges.c.id == exchange_id,
            exchanges.c.checkpoint.is_not_distinct_from(checkpoint),
        )
        statement = update(exchanges).where(*same).values(checkpoint=checkpoint)
        if self._connection.execute(statement).rowcount != 1:
            raise Conflict("another pull of this list into this bank has gone on meanwhile")

    def advance(self, exchange_id: str, checkpoint: str) -> Exchange:
        """Everything up to `checkpoint` is in the bank. Raises `NotFound`."""
        statement = update(exchanges).where(exchanges.c.id == exchange_id)
        self._connection.execute(statement.values(checkpoint=checkpoint, synced_at=now()))
        return self.get(exchange_id)

    def get(self, exchange_id: str) -> Exchange:
        """The exchange; `NotFound` where there is none."""
        query = select(exchanges).where(exchanges.c.id == exchange_id)
        row = self._connection.execute(query).mappings().first()
        if row is None:
            raise NotFound(f"there is no exchange {exchange_id!r}")
        return rows.exchange(row)

    def list(self) -> list[Exchange]:
        """All exchanges, oldest first."""
        query = select(exchanges).order_by(exchanges.c.id)
        return [rows.exchange(row) for row in self._connection.execute(query).mappings()]
