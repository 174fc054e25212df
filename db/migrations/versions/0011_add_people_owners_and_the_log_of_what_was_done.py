"""Add people with their roles, owners of runs, drafts and views, and the chained log of what was done."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
OWNED = ("runs", "drafts", "saved_views")
REFUSAL = "The log of what was done is never changed."
ON_SQLITE = """
CREATE TRIGGER audit_events_no_{name} BEFORE {verb} ON audit_events
BEGIN SELECT RAISE(ABORT, '{refusal}'); END
"""
ON_POSTGRES = (
    """
    CREATE FUNCTION cwpo_refuse_change() RETURNS trigger LANGUAGE plpgsql
    AS $$ BEGIN RAISE EXCEPTION '{refusal}'; END $$
    """,
    """
    CREATE TRIGGER audit_events_no_change BEFORE UPDATE OR DELETE ON audit_events
    FOR EACH ROW EXECUTE FUNCTION cwpo_refuse_change()
    """,
)


def upgrade() -> None:
    for table in OWNED:
        op.add_column(table, sa.Column("owner", sa.String(200)))
    op.create_table(
        "people",
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("role", sa.String(12), nullable=False),
        sa.Column("first_seen_at", TIME),
        sa.Column("last_seen_at", TIME),
        sa.Column("sessions_valid_from", TIME),
        sa.PrimaryKeyConstraint("name", name="pk_people"),
    )
    op.create_table(
        "audit_events",
        sa.Column("number", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.Column("who", sa.String(200), nullable=False),
        sa.Column("source", sa.String(12), nullable=False),
        sa.Column("action", sa.String(80), nullable=False),
        sa.Column("what", sa.Text, nullable=False),
        sa.Column("before", sa.Text),
        sa.Column("after", sa.Text),
        sa.Column("previous", sa.String(64), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_audit_events"),
    )
    op.create_index("ix_audit_events_who", "audit_events", ["who", "number"])
    head = op.create_table(
        "audit_head",
        sa.Column("name", sa.String(20), nullable=False),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_audit_head"),
    )
    op.bulk_insert(head, [{"name": "audit", "number": 0, "hash": ""}])
    _refuse_changes()


def _refuse_changes() -> None:
    """Rows of the log are added and read, whoever asks."""
    if op.get_bind().dialect.name == "sqlite":
        for verb in ("update", "delete"):
            op.execute(ON_SQLITE.format(name=verb, verb=verb.upper(), refusal=REFUSAL))
        return
    for statement in ON_POSTGRES:
        op.execute(statement.format(refusal=REFUSAL))


def downgrade() -> None:
    """Who did what is forgotten."""
    for name in ("audit_head", "audit_events", "people"):
        op.drop_table(name)
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION cwpo_refuse_change()")
    for table in reversed(OWNED):
        op.drop_column(table, "owner")
