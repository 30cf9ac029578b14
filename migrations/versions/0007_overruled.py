"""What a moderator withdrew is negative: no partner's list brings it back.

Revision 0007, after 0006. Who withdrew what until now is in the audit: of a partner's withdrawal
it has details, of a moderator's none. Where it was purged, what it told of stays as it is. An index
finds references, withdrawn ones too, by a partner's id.
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

INDEX, TABLE = "ix_bank_references_bank_id_origin", "bank_references"


def upgrade() -> None:
    given = sa.text("origin IS NOT NULL")
    op.create_index(INDEX, TABLE, ["bank_id", "origin"], sqlite_where=given, postgresql_where=given)
    op.execute(
        "UPDATE bank_references SET standing = 'negative' WHERE withdrawn_at IS NOT NULL AND id IN "
        "(SELECT subject FROM audit WHERE act = 'withdraw' AND CAST(detail AS TEXT) = '{}')"
    )


def downgrade() -> None:
    """The standing is left: earlier versions do not ask for it."""
    op.drop_index(INDEX, table_name=TABLE)
