"""Add triggers that let votes be added and read, and neither changed nor deleted."""

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

KEPT = (
    "id", "token", "pair_id", "person", "queue", "shown_left", "vote", "undoes", "seconds", "weak_label", "confidence",
    "at",
)  # fmt: skip
# Emptied by the foreign keys, when the run or the data that a vote points to are deleted; never led elsewhere.
EMPTIED = ("data_stage_id", "run_id")
REFUSAL = "Votes are never changed and never deleted."
ON_SQLITE = """
CREATE TRIGGER votes_no_{name} BEFORE {verb} ON votes {when}
BEGIN SELECT RAISE(ABORT, '{refusal}'); END
"""
FUNCTION = """
CREATE FUNCTION cwpo_refuse_change_of_votes() RETURNS trigger LANGUAGE plpgsql
AS $$ BEGIN RAISE EXCEPTION '{refusal}'; END $$
"""
ON_POSTGRES = """
CREATE TRIGGER votes_no_{name} BEFORE {verb} ON votes
FOR EACH ROW {when} EXECUTE FUNCTION cwpo_refuse_change_of_votes()
"""


def upgrade() -> None:
    sqlite = op.get_bind().dialect.name == "sqlite"
    create = ON_SQLITE if sqlite else ON_POSTGRES
    if not sqlite:
        op.execute(FUNCTION.format(refusal=REFUSAL))
    changed = _changed("IS NOT" if sqlite else "IS DISTINCT FROM")
    for verb, when in (("UPDATE", f"WHEN ({changed})"), ("DELETE", "")):
        op.execute(create.format(name=verb.lower(), verb=verb, when=when, refusal=REFUSAL))


def _changed(differs: str) -> str:
    """Whether an update does more than empty what points to something that is gone."""
    other = [f'NEW."{name}" {differs} OLD."{name}"' for name in KEPT]
    led = [f'(NEW."{name}" IS NOT NULL AND NEW."{name}" {differs} OLD."{name}")' for name in EMPTIED]
    return " OR ".join([*other, *led])


def downgrade() -> None:
    """Votes can be changed again; every one stays."""
    sqlite = op.get_bind().dialect.name == "sqlite"
    for name in ("update", "delete"):
        op.execute(f"DROP TRIGGER votes_no_{name}" + ("" if sqlite else " ON votes"))
    if not sqlite:
        op.execute("DROP FUNCTION cwpo_refuse_change_of_votes()")
