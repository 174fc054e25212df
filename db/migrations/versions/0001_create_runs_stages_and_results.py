"""Create runs, stages and results."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TABLES = (
    "settings",
    "workers",
    "stages",
    "attempts",
    "artifacts",
    "stage_inputs",
    "runs",
    "run_stages",
    "log_lines",
    "metrics",
    "pairs",
    "annotations",
    "histograms",
    "prompts",
    "samples",
    "scores",
    "outcomes",
    "evaluations",
)


def upgrade() -> None:
    _create_workers_and_settings()
    _create_stages()
    _create_attempts_and_artifacts()
    _create_runs()
    _create_progress()
    _create_pairs()
    _create_answers()
    _create_results()
    op.execute("INSERT INTO settings (key) VALUES ('graph')")


def downgrade() -> None:
    for table in reversed(TABLES):
        op.drop_table(table)


def _foreign(table: str, column: str, referred: str, ondelete: str = "CASCADE") -> sa.ForeignKeyConstraint:
    name = op.f(f"fk_{table}_{column}_{referred}")
    return sa.ForeignKeyConstraint([column], [f"{referred}.id"], name=name, ondelete=ondelete)


def _create_workers_and_settings() -> None:
    op.create_table(
        "settings",
        sa.Column("key", sa.String(length=80), nullable=False),
        sa.Column("value", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_settings")),
    )
    op.create_table(
        "workers",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("host", sa.String(length=200), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("device", sa.String(length=40), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("stage_id", sa.Integer(), nullable=True),
        sa.Column("heartbeat_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("rss_mb", sa.Float(precision=53), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_workers")),
        sa.UniqueConstraint("name", name=op.f("uq_workers_name")),
    )


def _create_stages() -> None:
    op.create_table(
        "stages",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("config", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("model", sa.String(length=300), nullable=True),
        sa.Column("device", sa.String(length=8), nullable=False),
        sa.Column("status", sa.String(length=12), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("done", sa.Integer(), nullable=True),
        sa.Column("total", sa.Integer(), nullable=True),
        sa.Column("unit", sa.String(length=20), nullable=True),
        sa.Column("token", sa.Integer(), nullable=False),
        sa.Column("losses", sa.Integer(), nullable=False),
        sa.Column("worker_id", sa.Integer(), nullable=True),
        sa.Column("lease_expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("current_attempt_id", sa.Integer(), nullable=True),
        sa.Column("published_attempt_id", sa.Integer(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("summary", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("seconds", sa.Float(precision=53), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        _foreign("stages", "worker_id", "workers", ondelete="SET NULL"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_stages")),
        sa.UniqueConstraint("fingerprint", name=op.f("uq_stages_fingerprint")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_stages_kind_model", "stages", ["kind", "model"])
    op.create_index("ix_stages_ready", "stages", ["status", "priority", "id"])


def _create_attempts_and_artifacts() -> None:
    op.create_table(
        "attempts",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("stage_id", sa.Integer(), nullable=False),
        sa.Column("token", sa.Integer(), nullable=False),
        sa.Column("worker_id", sa.Integer(), nullable=True),
        sa.Column("worker", sa.String(length=200), nullable=True),
        sa.Column("pid", sa.Integer(), nullable=True),
        sa.Column("host", sa.String(length=200), nullable=True),
        sa.Column("device", sa.String(length=40), nullable=True),
        sa.Column("status", sa.String(length=12), nullable=False),
        sa.Column("first_step", sa.Integer(), nullable=True),
        sa.Column("cause", sa.Text(), nullable=True),
        sa.Column("environment", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        _foreign("attempts", "stage_id", "stages"),
        _foreign("attempts", "worker_id", "workers", ondelete="SET NULL"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_attempts")),
        sa.UniqueConstraint("stage_id", "token", name=op.f("uq_attempts_stage_id_token")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "artifacts",
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("stage_id", sa.Integer(), nullable=True),
        sa.Column("bytes", BIG_ID, nullable=False),
        sa.Column("files", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        _foreign("artifacts", "stage_id", "stages", ondelete="SET NULL"),
        sa.PrimaryKeyConstraint("fingerprint", name=op.f("pk_artifacts")),
    )
    op.create_index("ix_artifacts_stage_id", "artifacts", ["stage_id"])
    op.create_table(
        "stage_inputs",
        sa.Column("stage_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("input_stage_id", sa.Integer(), nullable=False),
        _foreign("stage_inputs", "input_stage_id", "stages"),
        _foreign("stage_inputs", "stage_id", "stages"),
        sa.PrimaryKeyConstraint("stage_id", "name", name=op.f("pk_stage_inputs")),
    )
    op.create_index("ix_stage_inputs_input_stage_id", "stage_inputs", ["input_stage_id"])


def _create_runs() -> None:
    op.create_table(
        "runs",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("sweep_id", sa.String(length=200), nullable=True),
        sa.Column("config", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("config_hash", sa.String(length=64), nullable=False),
        sa.Column("group_key", sa.String(length=64), nullable=False),
        sa.Column("method", sa.String(length=40), nullable=False),
        sa.Column("method_label", sa.String(length=80), nullable=False),
        sa.Column("labels", sa.String(length=40), nullable=False),
        sa.Column("pool", sa.String(length=40), nullable=False),
        sa.Column("weighting", sa.String(length=40), nullable=False),
        sa.Column("objective", sa.String(length=40), nullable=False),
        sa.Column("policy", sa.String(length=300), nullable=False),
        sa.Column("annotator", sa.String(length=300), nullable=True),
        sa.Column("dataset", sa.String(length=300), nullable=False),
        sa.Column("label_fraction", sa.Float(precision=53), nullable=False),
        sa.Column("seed", sa.Integer(), nullable=False),
        sa.Column("baseline", sa.String(length=64), nullable=True),
        sa.Column("status", sa.String(length=12), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("failed_stage_id", sa.Integer(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("queued_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("archived", sa.Boolean(), nullable=False),
        _foreign("runs", "failed_stage_id", "stages", ondelete="SET NULL"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_runs")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_runs_config_hash", "runs", ["config_hash"])
    op.create_index("ix_runs_group_key", "runs", ["group_key", "id"])
    op.create_index("ix_runs_list", "runs", ["archived", "id"])
    op.create_index("ix_runs_status", "runs", ["status"])
    op.create_index("ix_runs_sweep_id", "runs", ["sweep_id"])
    op.create_table(
        "run_stages",
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("slot", sa.String(length=40), nullable=False),
        sa.Column("stage_id", sa.Integer(), nullable=False),
        sa.Column("reused", sa.Boolean(), nullable=False),
        _foreign("run_stages", "run_id", "runs"),
        _foreign("run_stages", "stage_id", "stages"),
        sa.PrimaryKeyConstraint("run_id", "slot", name=op.f("pk_run_stages")),
    )
    op.create_index("ix_run_stages_stage_id", "run_stages", ["stage_id", "run_id"])


def _create_progress() -> None:
    op.create_table(
        "log_lines",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("attempt_id", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        _foreign("log_lines", "attempt_id", "attempts"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_log_lines")),
    )
    op.create_index("ix_log_lines_attempt_id", "log_lines", ["attempt_id", "id"])
    op.create_table(
        "metrics",
        sa.Column("attempt_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=80), nullable=False),
        sa.Column("step", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("value", sa.Float(precision=53), nullable=True),
        _foreign("metrics", "attempt_id", "attempts"),
        sa.PrimaryKeyConstraint("attempt_id", "name", "step", name=op.f("pk_metrics")),
    )


def _create_pairs() -> None:
    op.create_table(
        "pairs",
        sa.Column("stage_id", sa.Integer(), nullable=False),
        sa.Column("pair_id", sa.String(length=32), nullable=False),
        sa.Column("attempt_id", sa.Integer(), nullable=False),
        sa.Column("prompt_id", sa.String(length=32), nullable=False),
        sa.Column("prompt", sa.Text(), nullable=False),
        sa.Column("response_a", sa.Text(), nullable=False),
        sa.Column("response_b", sa.Text(), nullable=False),
        sa.Column("human_label", sa.String(length=1), nullable=True),
        sa.Column("true_label", sa.String(length=1), nullable=True),
        _foreign("pairs", "attempt_id", "attempts"),
        _foreign("pairs", "stage_id", "stages"),
        sa.PrimaryKeyConstraint("stage_id", "pair_id", name=op.f("pk_pairs")),
    )
    op.create_index("ix_pairs_attempt_id", "pairs", ["attempt_id"])
    op.create_table(
        "annotations",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("attempt_id", sa.Integer(), nullable=False),
        sa.Column("stage_id", sa.Integer(), nullable=False),
        sa.Column("pair_id", sa.String(length=32), nullable=False),
        sa.Column("data_stage_id", sa.Integer(), nullable=False),
        sa.Column("score_a", sa.Float(precision=53), nullable=False),
        sa.Column("score_b", sa.Float(precision=53), nullable=False),
        sa.Column("margin", sa.Float(precision=53), nullable=False),
        sa.Column("confidence", sa.Float(precision=53), nullable=False),
        sa.Column("label", sa.String(length=1), nullable=False),
        sa.Column("agrees_human", sa.Boolean(), nullable=True),
        _foreign("annotations", "attempt_id", "attempts"),
        _foreign("annotations", "data_stage_id", "stages"),
        _foreign("annotations", "stage_id", "stages"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_annotations")),
        sa.UniqueConstraint("attempt_id", "pair_id", name=op.f("uq_annotations_attempt_id_pair_id")),
    )
    op.create_index(
        "ix_annotations_browse", "annotations", ["stage_id", "attempt_id", "confidence", "id", "agrees_human"]
    )
    op.create_index("ix_annotations_data_stage_id", "annotations", ["data_stage_id"])
    op.create_table(
        "histograms",
        sa.Column("stage_id", sa.Integer(), nullable=False),
        sa.Column("attempt_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=80), nullable=False),
        sa.Column("data", sa.JSON(none_as_null=True), nullable=False),
        _foreign("histograms", "attempt_id", "attempts"),
        _foreign("histograms", "stage_id", "stages"),
        sa.PrimaryKeyConstraint("stage_id", "attempt_id", "name", name=op.f("pk_histograms")),
    )
    op.create_index("ix_histograms_attempt_id", "histograms", ["attempt_id"])


def _create_answers() -> None:
    op.create_table(
        "prompts",
        sa.Column("stage_id", sa.Integer(), nullable=False),
        sa.Column("prompt_id", sa.String(length=32), nullable=False),
        sa.Column("attempt_id", sa.Integer(), nullable=False),
        sa.Column("prompt", sa.Text(), nullable=False),
        _foreign("prompts", "attempt_id", "attempts"),
        _foreign("prompts", "stage_id", "stages"),
        sa.PrimaryKeyConstraint("stage_id", "prompt_id", name=op.f("pk_prompts")),
    )
    op.create_index("ix_prompts_attempt_id", "prompts", ["attempt_id"])
    op.create_table(
        "samples",
        sa.Column("stage_id", sa.Integer(), nullable=False),
        sa.Column("attempt_id", sa.Integer(), nullable=False),
        sa.Column("prompt_id", sa.String(length=32), nullable=False),
        sa.Column("sample", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("tokens", sa.Integer(), nullable=False),
        sa.Column("logp", sa.Float(precision=53), nullable=True),
        sa.Column("reference_logp", sa.Float(precision=53), nullable=True),
        _foreign("samples", "attempt_id", "attempts"),
        _foreign("samples", "stage_id", "stages"),
        sa.PrimaryKeyConstraint("stage_id", "attempt_id", "prompt_id", "sample", name=op.f("pk_samples")),
    )
    op.create_index("ix_samples_attempt_id", "samples", ["attempt_id"])
    op.create_table(
        "scores",
        sa.Column("stage_id", sa.Integer(), nullable=False),
        sa.Column("attempt_id", sa.Integer(), nullable=False),
        sa.Column("prompt_id", sa.String(length=32), nullable=False),
        sa.Column("sample", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("score", sa.Float(precision=53), nullable=False),
        sa.Column("ungrammatical", sa.Boolean(), nullable=True),
        _foreign("scores", "attempt_id", "attempts"),
        _foreign("scores", "stage_id", "stages"),
        sa.PrimaryKeyConstraint("stage_id", "attempt_id", "prompt_id", "sample", name=op.f("pk_scores")),
    )
    op.create_index("ix_scores_attempt_id", "scores", ["attempt_id"])


def _create_results() -> None:
    op.create_table(
        "outcomes",
        sa.Column("stage_id", sa.Integer(), nullable=False),
        sa.Column("attempt_id", sa.Integer(), nullable=False),
        sa.Column("prompt_id", sa.String(length=32), nullable=False),
        sa.Column("outcome", sa.Float(precision=53), nullable=False),
        sa.Column("score", sa.Float(precision=53), nullable=True),
        sa.Column("baseline_score", sa.Float(precision=53), nullable=True),
        sa.Column("tokens", sa.Float(precision=53), nullable=True),
        sa.Column("baseline_tokens", sa.Float(precision=53), nullable=True),
        sa.Column("logratio", sa.Float(precision=53), nullable=True),
        sa.Column("ungrammatical", sa.Float(precision=53), nullable=True),
        sa.Column("baseline_ungrammatical", sa.Float(precision=53), nullable=True),
        _foreign("outcomes", "attempt_id", "attempts"),
        _foreign("outcomes", "stage_id", "stages"),
        sa.PrimaryKeyConstraint("stage_id", "attempt_id", "prompt_id", name=op.f("pk_outcomes")),
    )
    op.create_index("ix_outcomes_attempt_id", "outcomes", ["attempt_id"])
    op.create_table(
        "evaluations",
        sa.Column("stage_id", sa.Integer(), nullable=False),
        sa.Column("attempt_id", sa.Integer(), nullable=False),
        sa.Column("gra", sa.Float(precision=53), nullable=False),
        sa.Column("gra_strict", sa.Float(precision=53), nullable=False),
        sa.Column("gra_ties_dropped", sa.Float(precision=53), nullable=True),
        sa.Column("wins", sa.Float(precision=53), nullable=False),
        sa.Column("ties", sa.Float(precision=53), nullable=False),
        sa.Column("losses", sa.Float(precision=53), nullable=False),
        sa.Column("prompts", sa.Integer(), nullable=False),
        sa.Column("samples", sa.Integer(), nullable=False),
        sa.Column("ci_low", sa.Float(precision=53), nullable=False),
        sa.Column("ci_high", sa.Float(precision=53), nullable=False),
        sa.Column("interval_method", sa.String(length=80), nullable=False),
        sa.Column("mean_tokens", sa.Float(precision=53), nullable=True),
        sa.Column("baseline_mean_tokens", sa.Float(precision=53), nullable=True),
        sa.Column("kl", sa.Float(precision=53), nullable=True),
        sa.Column("ungrammatical", sa.Float(precision=53), nullable=True),
        sa.Column("baseline_ungrammatical", sa.Float(precision=53), nullable=True),
        sa.Column("mean_score", sa.Float(precision=53), nullable=True),
        sa.Column("baseline_mean_score", sa.Float(precision=53), nullable=True),
        _foreign("evaluations", "attempt_id", "attempts"),
        _foreign("evaluations", "stage_id", "stages"),
        sa.PrimaryKeyConstraint("stage_id", name=op.f("pk_evaluations")),
    )
    op.create_index("ix_evaluations_attempt_id", "evaluations", ["attempt_id"])
