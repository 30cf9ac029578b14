"""The schema: one `MetaData`, the same on SQLite and on PostgreSQL. Alembic's target.

Ids are text, made by `hashdb.model.new_id`, so they sort by their making. Moments are UTC.
References and banks are never deleted: withdrawn and disabled rows stay for the record.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    text,
)


class UtcDateTime(TypeDecorator[datetime]):
    """A timezone-aware moment in UTC.

    PostgreSQL keeps it as `timestamptz`. SQLite keeps text without a zone: it is always UTC, and
    comes back as aware UTC. A naive `datetime` is refused with `ValueError`.
    """

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value!r} has no time zone")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        moment: datetime = value
        if moment.tzinfo is None:
            return moment.replace(tzinfo=UTC)
        return moment.astimezone(UTC)


metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# SQLite numbers rows by itself only where the key's type is spelt INTEGER.
_Number = BigInteger().with_variant(Integer(), "sqlite")
_Json = JSON(none_as_null=True)


def _moment(name: str, *, nullable: bool = False) -> Column[Any]:
    return Column(name, UtcDateTime(), nullable=nullable)


def _fingerprint_columns() -> list[Column[Any]]:
    """What a packed fingerprint needs beside its owner: see `hashdb.store.packing`."""
    return [
        Column("signal_type", Text(), primary_key=True),
        Column("pipeline", Text(), primary_key=True),
        Column("track", Integer(), primary_key=True, autoincrement=False),
        Column("view", Text(), primary_key=True),
        Column("version", Integer(), nullable=False),
        Column("n", Integer(), nullable=False),
        Column("data", LargeBinary(), nullable=False),
    ]


# `identity`: a random id given to each database when it is made.
meta = Table(
    "meta",
    metadata,
    Column("key", Text(), primary_key=True),
    Column("value", Text(), nullable=False),
)

banks = Table(
    "banks",
    metadata,
    Column("id", Text(), primary_key=True),
    Column("name", Text(), nullable=False, unique=True),
    Column("action", Text(), nullable=False),
    Column("label", Text()),
    Column("enabled", Boolean(), nullable=False),
    _moment("created_at"),
)

bank_references = Table(
    "bank_references",
    metadata,
    Column("id", Text(), primary_key=True),
    Column("bank_id", Text(), ForeignKey("banks.id"), nullable=False, index=True),
    Column("kind", Text(), nullable=False),
    Column("sha256", Text(), index=True),
    Column("md5", Text(), index=True),
    Column("source", Text()),
    Column("origin", Text()),
    Column("duration_s", Double()),
    Column("frames", Integer(), nullable=False),
    Column("standing", Text(), nullable=False),
    Column("enabled", Boolean(), nullable=False),
    _moment("added_at"),
    _moment("withdrawn_at", nullable=True),
    Column("metadata", _Json, nullable=False),
)

# One living reference for one piece of media in a bank. The media is known by its SHA-256; where
# that is not known, by the partner's id of it, or by an MD5 that comes without any frame.
_LIVING = "withdrawn_at IS NULL"
_BY_ORIGIN = f"{_LIVING} AND sha256 IS NULL AND origin IS NOT NULL"
_BY_MD5 = f"{_LIVING} AND sha256 IS NULL AND md5 IS NOT NULL AND frames = 0"
for _name, _column, _where in (
    ("living_sha256", bank_references.c.sha256, f"{_LIVING} AND sha256 IS NOT NULL"),
    ("living_origin", bank_references.c.origin, _BY_ORIGIN),
    ("living_md5", bank_references.c.md5, _BY_MD5),
):
    Index(
        f"uq_bank_references_{_name}",
        bank_references.c.bank_id,
        _column,
        unique=True,
        sqlite_where=text(_where),
        postgresql_where=text(_where),
    )

# Past references too: a partner's id of one is looked up for each line of its list.
Index(
    "ix_bank_references_bank_id_origin",
    bank_references.c.bank_id,
    bank_references.c.origin,
    sqlite_where=text("origin IS NOT NULL"),
    postgresql_where=text("origin IS NOT NULL"),
)

reference_fingerprints = Table(
    "reference_fingerprints",
    metadata,
    Column("reference_id", Text(), ForeignKey("bank_references.id"), primary_key=True),
    *_fingerprint_columns(),
)

# What is no row of hashes (local features): see `hashdb.store.feature_packing`.
reference_features = Table(
    "reference_features",
    metadata,
    Column("reference_id", Text(), ForeignKey("bank_references.id"), primary_key=True),
    Column("signal_type", Text(), primary_key=True),
    Column("pipeline", Text(), primary_key=True),
    Column("track", Integer(), primary_key=True, autoincrement=False),
    Column("version", Integer(), nullable=False),
    Column("n", Integer(), nullable=False),
    Column("data", LargeBinary(), nullable=False),
)

# Append-only. `number` rises in the order of commits: see hashdb.store.changes.
changes = Table(
    "changes",
    metadata,
    Column("number", _Number, primary_key=True, autoincrement=True),
    Column("kind", Text(), nullable=False),
    Column("reference_id", Text(), ForeignKey("bank_references.id"), nullable=False, index=True),
    Column("bank_id", Text(), ForeignKey("banks.id"), nullable=False),
    _moment("at"),
    Index("ix_changes_bank_id_number", "bank_id", "number"),
    sqlite_autoincrement=True,
)

uploads = Table(
    "uploads",
    metadata,
    Column("id", Text(), primary_key=True),
    Column("key_id", Text(), nullable=False),
    Column("upload_id", Text(), nullable=False, index=True),
    Column("request_digest", Text(), nullable=False),
    Column("sha256", Text()),
    Column("md5", Text()),
    Column("metadata", _Json, nullable=False),
    _moment("received_at"),
    UniqueConstraint("key_id", "upload_id"),
)

upload_fingerprints = Table(
    "upload_fingerprints",
    metadata,
    Column("upload_row_id", Text(), ForeignKey("uploads.id"), primary_key=True),
    *_fingerprint_columns(),
)

verdicts = Table(
    "verdicts",
    metadata,
    Column("id", Text(), primary_key=True),
    Column("upload_row_id", Text(), ForeignKey("uploads.id"), nullable=False, unique=True),
    Column("action", Text(), nullable=False),
    Column("reason_code", Text(), nullable=False),
    Column("policy_version", Text(), nullable=False),
    _moment("judged_at"),
    Column("body", _Json, nullable=False),
)

seen = Table(
    "seen",
    metadata,
    Column("reference_id", Text(), ForeignKey("bank_references.id"), primary_key=True),
    Column("upload_row_id", Text(), ForeignKey("uploads.id"), primary_key=True, index=True),
    _moment("at"),
)

reviews = Table(
    "reviews",
    metadata,
    Column("id", Text(), primary_key=True),
    Column("verdict_id", Text(), ForeignKey("verdicts.id"), nullable=False, index=True),
    Column("upload_id", Text(), nullable=False, index=True),
    Column("queue", Text(), nullable=False),
    _moment("opened_at"),
    Column("claimed_by", Text()),
    _moment("claimed_at", nullable=True),
    _moment("decided_at", nullable=True),
    Index(
        "uq_reviews_open",
        "verdict_id",
        unique=True,
        sqlite_where=text("decided_at IS NULL"),
        postgresql_where=text("decided_at IS NULL"),
    ),
)

decisions = Table(
    "decisions",
    metadata,
    Column("id", Text(), primary_key=True),
    Column("review_id", Text(), ForeignKey("reviews.id"), nullable=False, unique=True),
    Column("upload_id", Text(), nullable=False, index=True),
    Column("action", Text(), nullable=False),
    Column("label", Text()),
    Column("reviewer", Text(), nullable=False),
    Column("rationale", Text(), nullable=False),
    _moment("at"),
)

# What a look-back concluded of an upload after its verdict: see hashdb.store.found.
found_later = Table(
    "found_later",
    metadata,
    Column("number", _Number, primary_key=True, autoincrement=True),
    Column("verdict_id", Text(), ForeignKey("verdicts.id"), nullable=False, index=True),
    Column("review_id", Text(), ForeignKey("reviews.id"), nullable=False, index=True),
    Column("body", _Json, nullable=False),
    sqlite_autoincrement=True,
)

audit = Table(
    "audit",
    metadata,
    Column("number", _Number, primary_key=True, autoincrement=True),
    _moment("at"),
    Column("actor", Text(), nullable=False, index=True),
    Column("act", Text(), nullable=False),
    Column("subject", Text(), nullable=False, index=True),
    Column("detail", _Json, nullable=False),
    sqlite_autoincrement=True,
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", Text(), primary_key=True),
    Column("name", Text(), nullable=False),
    Column("role", Text(), nullable=False),
    Column("secret_hash", Text(), nullable=False, unique=True),
    _moment("created_at"),
    _moment("revoked_at", nullable=True),
)

jobs = Table(
    "jobs",
    metadata,
    Column("id", Text(), primary_key=True),
    Column("kind", Text(), nullable=False),
    Column("key_id", Text(), nullable=False),
    Column("dedup_key", Text()),
    Column("payload", _Json, nullable=False),
    Column("state", Text(), nullable=False),
    Column("attempts", Integer(), nullable=False),
    _moment("created_at"),
    _moment("finished_at", nullable=True),
    Column("lease_owner", Text()),
    _moment("lease_until", nullable=True),
    Column("result", _Json),
    Column("problem", _Json),
    # Of an item of a run: whose, and what came of it in one word.
    Column("run_id", Text(), ForeignKey("runs.id")),
    Column("outcome", Text()),
    UniqueConstraint("key_id", "kind", "dedup_key"),
    Index("ix_jobs_state_id", "state", "id"),
    Index("ix_jobs_run_id_outcome_id", "run_id", "outcome", "id"),
    Index(
        "ix_jobs_kind_finished_at",
        "kind",
        "finished_at",
        sqlite_where=text("finished_at IS NOT NULL"),
        postgresql_where=text("finished_at IS NOT NULL"),
    ),
)

# A walk over many things, such as the objects of an archive; each is a job. See hashdb.store.runs.
runs = Table(
    "runs",
    metadata,
    Column("id", Text(), primary_key=True),
    Column("kind", Text(), nullable=False),
    Column("subject", Text(), nullable=False),
    Column("options", _Json, nullable=False),
    Column("walked", Boolean(), nullable=False),
    Column("cursor", Text()),
    _moment("created_at"),
    Column("lease_owner", Text()),
    _moment("lease_until", nullable=True),
    UniqueConstraint("kind", "subject"),
)

# How many items a run has ("listed"), and how many of them ended with each outcome.
run_counts = Table(
    "run_counts",
    metadata,
    Column("run_id", Text(), ForeignKey("runs.id"), primary_key=True),
    Column("name", Text(), primary_key=True),
    Column("n", BigInteger(), nullable=False),
)

# What one process at a time does, such as the purge: see hashdb.store.leases.
leases = Table(
    "leases",
    metadata,
    Column("name", Text(), primary_key=True),
    Column("owner", Text()),
    _moment("until", nullable=True),
    _moment("done_at", nullable=True),
    Column("report", _Json),
)

exchanges = Table(
    "exchanges",
    metadata,
    Column("id", Text(), primary_key=True),
    Column("partner", Text(), nullable=False),
    Column("bank_id", Text(), ForeignKey("banks.id"), nullable=False),
    Column("checkpoint", Text()),
    _moment("synced_at", nullable=True),
    UniqueConstraint("partner", "bank_id"),
)
