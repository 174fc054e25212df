"""Add what people vote on pairs, who looks at which pair, and the sets of labels that runs use."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TIME = sa.DateTime(timezone=True)


def _reference(name: str, table: str, ondelete: str) -> "sa.Column[int]":
    key = sa.ForeignKey(f"{table}.id", ondelete=ondelete)
    return sa.Column(name, sa.Integer(), key, nullable=ondelete != "CASCADE")


def upgrade() -> None:
    _create_votes()
    _create_leases()
    _create_sets()


def _create_votes() -> None:
    op.create_table(
        "voted_pairs",
        sa.Column("pair_id", sa.String(32), primary_key=True),
        sa.Column("prompt_id", sa.String(32), nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("prompt", "response_a", "response_b")),
    )
    op.create_table(
        "votes",
        sa.Column("id", BIG_ID, primary_key=True),
        sa.Column("token", sa.String(32), nullable=False),
        sa.Column("pair_id", sa.String(32), sa.ForeignKey("voted_pairs.pair_id", ondelete="RESTRICT"), nullable=False),
        _reference("data_stage_id", "stages", "SET NULL"),
        _reference("run_id", "runs", "SET NULL"),
        sa.Column("person", sa.String(80), nullable=False),
        sa.Column("queue", sa.String(40), nullable=False),
        sa.Column("shown_left", sa.String(1), nullable=False),
        sa.Column("vote", sa.String(8), nullable=False),
        sa.Column("undoes", BIG_ID),
        sa.Column("seconds", sa.Float()),
        sa.Column("weak_label", sa.String(1)),
        sa.Column("confidence", sa.Float()),
        sa.Column("at", TIME, nullable=False),
        sa.UniqueConstraint("token"),
        sa.UniqueConstraint("undoes"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_votes_pair", "votes", ["pair_id", "id"])
    op.create_index("ix_votes_run", "votes", ["run_id", "id"])
    op.create_index("ix_votes_data_stage", "votes", ["data_stage_id", "id"])
    op.create_index("ix_votes_person", "votes", ["person", "id"])


def _create_leases() -> None:
    op.create_table(
        "vote_leases",
        sa.Column("token", sa.String(32), primary_key=True),
        sa.Column("pair_id", sa.String(32), nullable=False),
        _reference("run_id", "runs", "CASCADE"),
        sa.Column("person", sa.String(80), nullable=False),
        sa.Column("queue", sa.String(40), nullable=False),
        sa.Column("shown_left", sa.String(1), nullable=False),
        sa.Column("set_aside", sa.Boolean(), nullable=False),
        sa.Column("expires_at", TIME, nullable=False),
        sa.UniqueConstraint("pair_id", "person"),
    )
    op.create_index("ix_vote_leases_person", "vote_leases", ["person", "run_id"])
    op.create_index("ix_vote_leases_run_id", "vote_leases", ["run_id"])


def _create_sets() -> None:
    op.create_table(
        "relabel_sets",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("name", sa.String(120), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        *(
            sa.Column(name, sa.Integer(), nullable=False)
            for name in ("labels", "dropped", "undecided", "votes", "people")
        ),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.UniqueConstraint("name", "version"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_relabel_sets_fingerprint", "relabel_sets", ["fingerprint"])
    op.create_table(
        "relabel_uses",
        sa.Column("run_id", sa.Integer(), sa.ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("fingerprint", sa.String(64), nullable=False),
    )
    op.create_index("ix_relabel_uses_fingerprint", "relabel_uses", ["fingerprint", "run_id"])


def downgrade() -> None:
    for table in ("relabel_uses", "relabel_sets", "vote_leases", "votes", "voted_pairs"):
        op.drop_table(table)
