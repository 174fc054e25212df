"""Add how much memory of its machine a stage needs."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column("stages", sa.Column("host_bytes", BIG_ID))


def downgrade() -> None:
    op.drop_column("stages", "host_bytes")
