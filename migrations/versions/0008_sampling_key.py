"""A secret of each installation, by which the pictures of uploads are drawn.

Revision 0008, after 0007. Whoever knows it and the program knows which pictures are looked at.
"""

import secrets

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

META = sa.table("meta", sa.column("key", sa.Text()), sa.column("value", sa.Text()))


def upgrade() -> None:
    op.bulk_insert(META, [{"key": "sampling_key", "value": secrets.token_hex(32)}])


def downgrade() -> None:
    op.execute(META.delete().where(META.c.key == "sampling_key"))
