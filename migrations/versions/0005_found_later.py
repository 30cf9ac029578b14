"""What look-backs found, beside the verdicts that they did not change.

Revision 0005, after 0004. Of what was found before, the audit alone tells.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "found_later",
        sa.Column("number", NUMBER, nullable=False, autoincrement=True),
        sa.Column("verdict_id", sa.Text(), nullable=False),
        sa.Column("review_id", sa.Text(), nullable=False),
        sa.Column("body", sa.JSON(none_as_null=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["verdict_id"], ["verdicts.id"], name="fk_found_later_verdict_id_verdicts"
        ),
        sa.ForeignKeyConstraint(
            ["review_id"], ["reviews.id"], name="fk_found_later_review_id_reviews"
        ),
        sa.PrimaryKeyConstraint("number", name="pk_found_later"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_found_later_verdict_id", "found_later", ["verdict_id"])
    op.create_index("ix_found_later_review_id", "found_later", ["review_id"])


def downgrade() -> None:
    op.drop_table("found_later")
