"""Four indexes that no query asks: each upload was written into them nevertheless.

Revision 0006, after 0005. Uploads since a moment are found by their ids, which sort by time.
"""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

INDEXES = (
    ("ix_uploads_sha256", "uploads", "sha256"),
    ("ix_uploads_received_at", "uploads", "received_at"),
    ("ix_verdicts_action", "verdicts", "action"),
    ("ix_verdicts_judged_at", "verdicts", "judged_at"),
)


def upgrade() -> None:
    for name, table, _ in INDEXES:
        op.drop_index(name, table_name=table)


def downgrade() -> None:
    for name, table, column in INDEXES:
        op.create_index(name, table, [column])
