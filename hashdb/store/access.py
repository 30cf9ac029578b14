"""API keys. Their secrets are never stored.

A secret is 256 random bits, so nobody can guess one from its SHA-256: the slow, salted hashes
that passwords need would cost time on every request and protect nothing more.
"""

from __future__ import annotations

import hmac
import secrets
from hashlib import sha256

from sqlalchemy import Connection, bindparam, insert, select, update

from hashdb.errors import NotFound
from hashdb.model import Key, Role, new_id, now
from hashdb.store import rows
from hashdb.store.prepared import Prepared
from hashdb.tables import api_keys

PREFIX = "swk_"

# Made once: it is asked for every request.
_BY_SECRET = Prepared(select(api_keys).where(api_keys.c.secret_hash == bindparam("secret_hash")))


class Access:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def create(self, role: Role, name: str) -> tuple[Key, str]:
        """A new key and its secret, which cannot be read again."""
        secret = PREFIX + secrets.token_urlsafe(32)
        key = Key(new_id("key"), name, role, created_at=now())
        values = {
            "id": key.id,
            "name": name,
            "role": role.value,
            "secret_hash": _hash(secret),
            "created_at": key.created_at,
        }
        self._connection.execute(insert(api_keys), values)
        return key, secret

    def find(self, secret: str) -> Key | None:
        """The key of that secret; None where it is unknown or revoked.

        It is looked up by its digest, of which a guess says nothing about the secret, and the
        digests are compared in constant time.
        """
        wanted = _hash(secret)
        row = _BY_SECRET.first(self._connection, {"secret_hash": wanted})
        if row is None or not hmac.compare_digest(row["secret_hash"], wanted):
            return None
        return None if row["revoked_at"] is not None else rows.key(row)

    def get(self, key_id: str) -> Key:
        """The key, revoked or not; `NotFound` where there is none."""
        query = select(api_keys).where(api_keys.c.id == key_id)
        row = self._connection.execute(query).mappings().first()
        if row is None:
            raise NotFound(f"there is no key {key_id!r}")
        return rows.key(row)

    def list(self) -> list[Key]:
        """All keys, revoked ones too, oldest first."""
        query = select(api_keys).order_by(api_keys.c.id)
        return [rows.key(row) for row in self._connection.execute(query).mappings()]

    def revoke(self, key_id: str) -> Key:
        """From the commit on, the key opens nothing; `NotFound` where there is none."""
        statement = (
            update(api_keys)
            .where(api_keys.c.id == key_id, api_keys.c.revoked_at.is_(None))
            .values(revoked_at=now())
        )
        self._connection.execute(statement)
        return self.get(key_id)


def _hash(secret: str) -> str:
    return sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
