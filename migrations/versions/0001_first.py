"""The first schema: banks, references, fingerprints, uploads, verdicts, reviews, keys, jobs.

Revision 0001, after nothing.
"""

import secrets
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
MOMENT = sa.DateTime(timezone=True)
LIVING = "withdrawn_at IS NULL"


def text(name: str, *, nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.Text(), nullable=nullable)


def moment(name: str, *, nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(name, MOMENT, nullable=nullable)


def json(name: str, *, nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.JSON(none_as_null=True), nullable=nullable)


def foreign(table: str, column: str, target: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], [f"{target}.id"], name=f"fk_{table}_{column}_{target}")


def index(table: str, *columns: str) -> None:
    op.create_index(f"ix_{table}_{'_'.join(columns)}", table, list(columns))


def partial_unique(name: str, table: str, columns: list[str], where: str) -> None:
    condition = sa.text(where)
    op.create_index(
        name, table, columns, unique=True, sqlite_where=condition, postgresql_where=condition
    )


def upgrade() -> None:
    meta()
    banks()
    references()
    fingerprints("reference_fingerprints", "reference_id", "bank_references")
    changes()
    uploads()
    fingerprints("upload_fingerprints", "upload_row_id", "uploads")
    verdicts()
    reviews()
    audit_and_keys()
    jobs()
    exchanges()


def meta() -> None:
    table = op.create_table(
        "meta",
        text("key"),
        text("value"),
        sa.PrimaryKeyConstraint("key", name="pk_meta"),
    )
    op.bulk_insert(table, [{"key": "identity", "value": secrets.token_hex(16)}])


def banks() -> None:
    op.create_table(
        "banks",
        text("id"),
        text("name"),
        text("action"),
        text("label", nullable=True),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        moment("created_at"),
        sa.PrimaryKeyConstraint("id", name="pk_banks"),
        sa.UniqueConstraint("name", name="uq_banks_name"),
    )


def references() -> None:
    name = "bank_references"
    op.create_table(
        name,
        text("id"),
        text("bank_id"),
        text("kind"),
        text("sha256", nullable=True),
        text("md5", nullable=True),
        text("source", nullable=True),
        text("origin", nullable=True),
        sa.Column("duration_s", sa.Double(), nullable=True),
        sa.Column("frames", sa.Integer(), nullable=False),
        text("standing"),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        moment("added_at"),
        moment("withdrawn_at", nullable=True),
        json("metadata"),
        foreign(name, "bank_id", "banks"),
        sa.PrimaryKeyConstraint("id", name="pk_bank_references"),
    )
    for column in ("bank_id", "md5", "sha256"):
        index(name, column)
    for column, where in (
        ("sha256", f"{LIVING} AND sha256 IS NOT NULL"),
        ("origin", f"{LIVING} AND sha256 IS NULL AND origin IS NOT NULL"),
        ("md5", f"{LIVING} AND sha256 IS NULL AND md5 IS NOT NULL AND frames = 0"),
    ):
        partial_unique(f"uq_{name}_living_{column}", name, ["bank_id", column], where)


def fingerprints(name: str, owner: str, target: str) -> None:
    keys = [owner, "signal_type", "pipeline", "track", "view"]
    op.create_table(
        name,
        text(owner),
        text("signal_type"),
        text("pipeline"),
        sa.Column("track", sa.Integer(), nullable=False, autoincrement=False),
        text("view"),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        foreign(name, owner, target),
        sa.PrimaryKeyConstraint(*keys, name=f"pk_{name}"),
    )


def changes() -> None:
    op.create_table(
        "changes",
        sa.Column("number", NUMBER, nullable=False, autoincrement=True),
        text("kind"),
        text("reference_id"),
        text("bank_id"),
        moment("at"),
        foreign("changes", "reference_id", "bank_references"),
        foreign("changes", "bank_id", "banks"),
        sa.PrimaryKeyConstraint("number", name="pk_changes"),
        sqlite_autoincrement=True,
    )
    index("changes", "reference_id")
    index("changes", "bank_id", "number")


def uploads() -> None:
    op.create_table(
        "uploads",
        text("id"),
        text("key_id"),
        text("upload_id"),
        text("request_digest"),
        text("sha256", nullable=True),
        text("md5", nullable=True),
        json("metadata"),
        moment("received_at"),
        moment("expires_at"),
        sa.PrimaryKeyConstraint("id", name="pk_uploads"),
        sa.UniqueConstraint("key_id", "upload_id", name="uq_uploads_key_id_upload_id"),
    )
    for column in ("upload_id", "sha256", "received_at", "expires_at"):
        index("uploads", column)


def verdicts() -> None:
    op.create_table(
        "verdicts",
        text("id"),
        text("upload_row_id"),
        text("action"),
        text("reason_code"),
        text("policy_version"),
        moment("judged_at"),
        json("body"),
        foreign("verdicts", "upload_row_id", "uploads"),
        sa.PrimaryKeyConstraint("id", name="pk_verdicts"),
        sa.UniqueConstraint("upload_row_id", name="uq_verdicts_upload_row_id"),
    )
    index("verdicts", "action")
    index("verdicts", "judged_at")
    op.create_table(
        "seen",
        text("reference_id"),
        text("upload_row_id"),
        moment("at"),
        foreign("seen", "reference_id", "bank_references"),
        foreign("seen", "upload_row_id", "uploads"),
        sa.PrimaryKeyConstraint("reference_id", "upload_row_id", name="pk_seen"),
    )
    index("seen", "upload_row_id")


def reviews() -> None:
    op.create_table(
        "reviews",
        text("id"),
        text("verdict_id"),
        text("upload_id"),
        text("queue"),
        moment("opened_at"),
        text("claimed_by", nullable=True),
        moment("claimed_at", nullable=True),
        moment("decided_at", nullable=True),
        foreign("reviews", "verdict_id", "verdicts"),
        sa.PrimaryKeyConstraint("id", name="pk_reviews"),
    )
    index("reviews", "verdict_id")
    index("reviews", "upload_id")
    partial_unique("uq_reviews_open", "reviews", ["verdict_id"], "decided_at IS NULL")
    op.create_table(
        "decisions",
        text("id"),
        text("review_id"),
        text("upload_id"),
        text("action"),
        text("label", nullable=True),
        text("reviewer"),
        text("rationale"),
        moment("at"),
        foreign("decisions", "review_id", "reviews"),
        sa.PrimaryKeyConstraint("id", name="pk_decisions"),
        sa.UniqueConstraint("review_id", name="uq_decisions_review_id"),
    )
    index("decisions", "upload_id")


def audit_and_keys() -> None:
    op.create_table(
        "audit",
        sa.Column("number", NUMBER, nullable=False, autoincrement=True),
        moment("at"),
        text("actor"),
        text("act"),
        text("subject"),
        json("detail"),
        sa.PrimaryKeyConstraint("number", name="pk_audit"),
        sqlite_autoincrement=True,
    )
    index("audit", "actor")
    index("audit", "subject")
    op.create_table(
        "api_keys",
        text("id"),
        text("name"),
        text("role"),
        text("secret_hash"),
        moment("created_at"),
        moment("revoked_at", nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_api_keys"),
        sa.UniqueConstraint("secret_hash", name="uq_api_keys_secret_hash"),
    )


def jobs() -> None:
    op.create_table(
        "jobs",
        text("id"),
        text("kind"),
        text("key_id"),
        text("dedup_key", nullable=True),
        json("payload"),
        text("state"),
        sa.Column("attempts", sa.Integer(), nullable=False),
        moment("created_at"),
        moment("finished_at", nullable=True),
        text("lease_owner", nullable=True),
        moment("lease_until", nullable=True),
        json("result", nullable=True),
        json("problem", nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_jobs"),
        sa.UniqueConstraint("key_id", "kind", "dedup_key", name="uq_jobs_key_id_kind_dedup_key"),
    )
    index("jobs", "state", "id")


def exchanges() -> None:
    op.create_table(
        "exchanges",
        text("id"),
        text("partner"),
        text("bank_id"),
        text("checkpoint", nullable=True),
        moment("synced_at", nullable=True),
        foreign("exchanges", "bank_id", "banks"),
        sa.PrimaryKeyConstraint("id", name="pk_exchanges"),
        sa.UniqueConstraint("partner", "bank_id", name="uq_exchanges_partner_bank_id"),
    )


def downgrade() -> None:
    for table in (
        "exchanges",
        "jobs",
        "api_keys",
        "audit",
        "decisions",
        "reviews",
        "seen",
        "verdicts",
        "upload_fingerprints",
        "uploads",
        "changes",
        "reference_fingerprints",
        "bank_references",
        "banks",
        "meta",
    ):
        op.drop_table(table)
