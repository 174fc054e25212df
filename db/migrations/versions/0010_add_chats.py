"""Add chats with the models of a run: their turns and answers."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "chats",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("run_id", sa.Integer, nullable=False),
        sa.Column("models", sa.String(80), nullable=False),
        sa.Column("state", sa.String(12), nullable=False),
        sa.Column("wish", sa.String(8), nullable=False),
        sa.Column("device", sa.String(40)),
        sa.Column("host", sa.String(200)),
        sa.Column("pid", sa.Integer),
        sa.Column("template", sa.Boolean, nullable=False),
        sa.Column("said", sa.Text, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("heartbeat_at", TIME, nullable=False),
        sa.Column("seen_at", TIME, nullable=False),
        sa.Column("asked_at", TIME, nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name="fk_chats_run_id_runs", ondelete="CASCADE"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_chats_run_id", "chats", ["run_id", "id"])
    op.create_index("ix_chats_state", "chats", ["state"])
    op.create_table(
        "chat_turns",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("chat_id", sa.Integer, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("prompt", sa.Text, nullable=False),
        sa.Column("temperature", sa.Float(53), nullable=False),
        sa.Column("max_new_tokens", sa.Integer, nullable=False),
        sa.Column("seed", sa.Integer, nullable=False),
        sa.Column("plain", sa.Boolean, nullable=False),
        sa.Column("state", sa.String(12), nullable=False),
        sa.Column("stop_asked", sa.Boolean, nullable=False),
        sa.Column("said", sa.Text, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.ForeignKeyConstraint(["chat_id"], ["chats.id"], name="fk_chat_turns_chat_id_chats", ondelete="CASCADE"),
        sa.UniqueConstraint("chat_id", "number", name="uq_chat_turns_chat_id_number"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "chat_answers",
        sa.Column("turn_id", sa.Integer, primary_key=True),
        sa.Column("model", sa.String(20), primary_key=True),
        sa.Column("text", sa.Text, nullable=False),
        sa.ForeignKeyConstraint(
            ["turn_id"], ["chat_turns.id"], name="fk_chat_answers_turn_id_chat_turns", ondelete="CASCADE"
        ),
    )


def downgrade() -> None:
    for name in ("chat_answers", "chat_turns", "chats"):
        op.drop_table(name)
