"""Features of references that are no rows of hashes: local features, peaks of the sound.

Revision 0002, after 0001. References that are there already have none, and are found by their
hashes as before; `seawall reference add` of the same files adds them.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TABLE = "reference_features"


def upgrade() -> None:
    op.create_table(
        TABLE,
        sa.Column("reference_id", sa.Text(), nullable=False),
        sa.Column("signal_type", sa.Text(), nullable=False),
        sa.Column("pipeline", sa.Text(), nullable=False),
        sa.Column("track", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["reference_id"],
            ["bank_references.id"],
            name=f"fk_{TABLE}_reference_id_bank_references",
        ),
        sa.PrimaryKeyConstraint(
            "reference_id", "signal_type", "pipeline", "track", name=f"pk_{TABLE}"
        ),
    )


def downgrade() -> None:
    op.drop_table(TABLE)
