"""Jobs, error curves, sensitivities, imports, pruned sessions; summaries know their device."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision: str | None = "0001"
branch_labels = None
depends_on = None

SUMMARY_NUMBERS = (
    "estimator_version, rounds, log_ratio, log_ratio_var, saving_s, saving_var, original_s, "
    "candidate_s"
)


def upgrade() -> None:
    _cluster_summaries_by_device()
    op.create_table(
        "error_curves",
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("size_bytes", sa.Integer(), nullable=False),
        sa.Column("meta", sa.JSON(), nullable=False),
        sa.Column("put_at", sa.String(length=32), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_error_curves")),
    )
    op.create_index(op.f("ix_error_curves_sha256"), "error_curves", ["sha256"], unique=False)
    op.create_table(
        "sensitivities",
        sa.Column("key", sa.String(length=32), nullable=False),
        sa.Column("network_sha256", sa.String(length=64), nullable=False),
        sa.Column("calibration_sha256", sa.String(length=64), nullable=False),
        sa.Column("layer", sa.Text(), nullable=False),
        sa.Column("decomposition", sa.JSON(), nullable=False),
        sa.Column("metric", sa.String(length=64), nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.Column("upper", sa.Double(), nullable=False),
        sa.Column("put_at", sa.String(length=32), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_sensitivities")),
    )
    op.create_index(
        op.f("ix_sensitivities_network_sha256_calibration_sha256"),
        "sensitivities",
        ["network_sha256", "calibration_sha256"],
        unique=False,
    )
    _create_jobs()
    _create_imports()


def _cluster_summaries_by_device() -> None:
    """Made anew under the old name; nothing refers to summaries."""
    op.execute("CREATE TABLE summaries_0001 AS SELECT * FROM summaries")
    op.drop_table("summaries")
    op.create_table(
        "summaries",
        sa.Column("workload_id", sa.Integer(), nullable=False),
        sa.Column("device_id", sa.Integer(), nullable=False),
        sa.Column("policy_id", sa.Integer(), nullable=False),
        sa.Column("session_id", sa.Integer(), nullable=False),
        sa.Column("estimator_version", sa.Integer(), nullable=False),
        sa.Column("rounds", sa.Integer(), nullable=False),
        sa.Column("log_ratio", sa.Double(), nullable=False),
        sa.Column("log_ratio_var", sa.Double(), nullable=False),
        sa.Column("saving_s", sa.Double(), nullable=False),
        sa.Column("saving_var", sa.Double(), nullable=False),
        sa.Column("original_s", sa.Double(), nullable=False),
        sa.Column("candidate_s", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["device_id"], ["devices.id"], name=op.f("fk_summaries_device_id")),
        sa.ForeignKeyConstraint(
            ["policy_id"], ["policies.id"], name=op.f("fk_summaries_policy_id")
        ),
        sa.ForeignKeyConstraint(
            ["session_id"], ["sessions.id"], name=op.f("fk_summaries_session_id")
        ),
        sa.ForeignKeyConstraint(
            ["workload_id"], ["workloads.id"], name=op.f("fk_summaries_workload_id")
        ),
        sa.PrimaryKeyConstraint(
            "workload_id", "device_id", "policy_id", "session_id", name=op.f("pk_summaries")
        ),
        sqlite_with_rowid=False,
    )
    op.execute(
        "INSERT INTO summaries "
        f"(workload_id, device_id, policy_id, session_id, {SUMMARY_NUMBERS}) "
        f"SELECT workload_id, device_id, policy_id, session_id, {SUMMARY_NUMBERS} "
        "FROM summaries_0001 JOIN sessions ON sessions.id = session_id"
    )
    op.drop_table("summaries_0001")
    op.create_index(op.f("ix_summaries_session_id"), "summaries", ["session_id"], unique=False)


def _create_jobs() -> None:
    op.create_table(
        "jobs",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("uuid", sa.String(length=32), nullable=False),
        sa.Column("kind", sa.String(length=64), nullable=False),
        sa.Column("request", sa.JSON(), nullable=False),
        sa.Column("request_key", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("progress", sa.Double(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("result", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("created_at", sa.String(length=32), nullable=False),
        sa.Column("started_at", sa.String(length=32), nullable=True),
        sa.Column("ended_at", sa.String(length=32), nullable=True),
        sa.Column("host", sa.Text(), nullable=True),
        sa.Column("boot", sa.String(length=64), nullable=True),
        sa.Column("pid", sa.Integer(), nullable=True),
        sa.Column("process_started", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_jobs")),
        sa.UniqueConstraint("uuid", name=op.f("uq_jobs_uuid")),
    )
    op.create_index(op.f("ix_jobs_request_key"), "jobs", ["request_key"], unique=False)
    op.create_index(op.f("ix_jobs_state"), "jobs", ["state"], unique=False)


def _create_imports() -> None:
    op.create_table(
        "imports",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("imported_at", sa.String(length=32), nullable=False),
        sa.Column("exported_at", sa.String(length=32), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("rankwise_version", sa.String(length=32), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_imports")),
        sa.UniqueConstraint("sha256", name=op.f("uq_imports_sha256")),
    )
    op.create_table(
        "session_imports",
        sa.Column("session_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("import_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["import_id"], ["imports.id"], name=op.f("fk_session_imports_import_id")
        ),
        sa.ForeignKeyConstraint(
            ["session_id"], ["sessions.id"], name=op.f("fk_session_imports_session_id")
        ),
        sa.PrimaryKeyConstraint("session_id", name=op.f("pk_session_imports")),
        sqlite_with_rowid=False,
    )
    op.create_index(
        op.f("ix_session_imports_import_id"), "session_imports", ["import_id"], unique=False
    )
    op.create_table(
        "pruned",
        sa.Column("session_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("samples", sa.Integer(), nullable=False),
        sa.Column("at", sa.String(length=32), nullable=False),
        sa.ForeignKeyConstraint(["session_id"], ["sessions.id"], name=op.f("fk_pruned_session_id")),
        sa.PrimaryKeyConstraint("session_id", name=op.f("pk_pruned")),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    raise NotImplementedError("restore the backup that the upgrade made")
