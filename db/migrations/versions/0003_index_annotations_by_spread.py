"""Index annotations by their spread, so that pairs on which annotators disagree come first without a sort. Partial: a
labels stage with one annotator and one pass has no spread and pays nothing."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

KNOWN = sa.text("spread IS NOT NULL")


def upgrade() -> None:
    op.create_index(
        "ix_annotations_spread",
        "annotations",
        ["stage_id", "attempt_id", "spread", "id", "confidence", "agrees_human"],
        sqlite_where=KNOWN,
        postgresql_where=KNOWN,
    )


def downgrade() -> None:
    op.drop_index("ix_annotations_spread", "annotations")
