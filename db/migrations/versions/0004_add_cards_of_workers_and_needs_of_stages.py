"""Add what card a worker has and to whom it is lent, and how many cards of what size a stage needs."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
WORKERS = (
    ("card", sa.String(80)),
    ("card_bytes", BIG_ID),
    ("card_free_bytes", BIG_ID),
    ("host_bytes", BIG_ID),
    ("lent_to", sa.Integer()),
)


def upgrade() -> None:
    for name, kind in WORKERS:
        op.add_column("workers", sa.Column(name, kind))
    op.add_column("stages", sa.Column("cards", sa.Integer(), nullable=False, server_default="1"))
    op.add_column("stages", sa.Column("card_bytes", BIG_ID))


def downgrade() -> None:
    """Column by column: SQLite would rebuild a whole table otherwise, and rows that point to its rows would go."""
    for name in ("card_bytes", "cards"):
        op.drop_column("stages", name)
    op.execute("UPDATE workers SET state = 'idle' WHERE state = 'lent'")
    for name, _ in reversed(WORKERS):
        op.drop_column("workers", name)
