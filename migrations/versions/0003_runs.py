"""Runs: walks over many things, such as the objects of an archive, each item of which is a job.

Revision 0003, after 0002. Jobs that are there already are of no run.
"""

import sqlalchemy as sa
from alembic import op

from hashdb.tables import UtcDateTime

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "runs",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("options", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("walked", sa.Boolean(), nullable=False),
        sa.Column("cursor", sa.Text()),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("lease_owner", sa.Text()),
        sa.Column("lease_until", UtcDateTime()),
        sa.PrimaryKeyConstraint("id", name="pk_runs"),
        sa.UniqueConstraint("kind", "subject", name="uq_runs_kind_subject"),
    )
    op.create_table(
        "run_counts",
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("n", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name="fk_run_counts_run_id_runs"),
        sa.PrimaryKeyConstraint("run_id", "name", name="pk_run_counts"),
    )
    with op.batch_alter_table("jobs") as jobs:
        jobs.add_column(sa.Column("run_id", sa.Text()))
        jobs.add_column(sa.Column("outcome", sa.Text()))
        jobs.create_foreign_key("fk_jobs_run_id_runs", "runs", ["run_id"], ["id"])
        jobs.create_index("ix_jobs_run_id_outcome_id", ["run_id", "outcome", "id"])


def downgrade() -> None:
    # Items of runs mean nothing without them.
    op.execute("DELETE FROM jobs WHERE run_id IS NOT NULL")
    with op.batch_alter_table("jobs") as jobs:
        jobs.drop_index("ix_jobs_run_id_outcome_id")
        jobs.drop_constraint("fk_jobs_run_id_runs", type_="foreignkey")
        jobs.drop_column("outcome")
        jobs.drop_column("run_id")
    op.drop_table("run_counts")
    op.drop_table("runs")
