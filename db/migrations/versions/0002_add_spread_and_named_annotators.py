"""Add the spread of a margin over annotators or passes, and annotators that have a name."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("annotations") as table:
        table.add_column(sa.Column("spread", sa.Float(53)))
    op.create_table(
        "named_annotators",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.String(120), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("stage_id", sa.Integer, nullable=False),
        sa.Column("note", sa.Text, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["stage_id"], ["stages.id"], name="fk_named_annotators_stage_id_stages", ondelete="RESTRICT"
        ),
        sa.UniqueConstraint("name", "version", name="uq_named_annotators_name_version"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_named_annotators_stage_id", "named_annotators", ["stage_id"])


def downgrade() -> None:
    op.drop_table("named_annotators")
    with op.batch_alter_table("annotations") as table:
        table.drop_column("spread")
