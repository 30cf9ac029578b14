"""Retention: what is old is found by ids and moments that are there, not by a date of its own.

Revision 0004, after 0003. How long fingerprints are kept is what the setting says when they are
purged, so uploads lose `expires_at`.
"""

import sqlalchemy as sa
from alembic import op

from hashdb.tables import UtcDateTime

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

ENDED = sa.text("finished_at IS NOT NULL")
IN_30_DAYS = {
    "postgresql": "received_at + interval '30 days'",
    "sqlite": "strftime('%Y-%m-%d %H:%M:%f000', received_at, '+30 days')",
}


def upgrade() -> None:
    with op.batch_alter_table("uploads") as uploads:
        uploads.drop_index("ix_uploads_expires_at")
        uploads.drop_column("expires_at")
    op.create_index(
        "ix_jobs_kind_finished_at",
        "jobs",
        ["kind", "finished_at"],
        sqlite_where=ENDED,
        postgresql_where=ENDED,
    )
    op.create_table(
        "leases",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text()),
        sa.Column("until", UtcDateTime()),
        sa.Column("done_at", UtcDateTime()),
        sa.Column("report", sa.JSON(none_as_null=True)),
        sa.PrimaryKeyConstraint("name", name="pk_leases"),
    )


def downgrade() -> None:
    op.drop_table("leases")
    op.drop_index("ix_jobs_kind_finished_at", "jobs")
    with op.batch_alter_table("uploads") as uploads:
        uploads.add_column(sa.Column("expires_at", UtcDateTime()))
    op.execute(f"UPDATE uploads SET expires_at = {IN_30_DAYS[op.get_bind().dialect.name]}")
    with op.batch_alter_table("uploads") as uploads:
        uploads.alter_column("expires_at", existing_type=UtcDateTime(), nullable=False)
        uploads.create_index("ix_uploads_expires_at", ["expires_at"])
