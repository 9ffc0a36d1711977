"""Devices of a fleet; jobs count their attempts, and say which device has them. A queue of a
hundred thousand jobs is read by state and by device."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision: str | None = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("attempt", sa.Integer, nullable=False, server_default="0"))
    op.add_column("jobs", sa.Column("device", sa.String(16), nullable=True))
    op.create_table(
        "fleet_devices",
        sa.Column("id", sa.String(16), nullable=False),
        sa.Column("host", sa.Text, nullable=False),
        sa.Column("worker", sa.Text, nullable=False),
        sa.Column("backend", sa.Text, nullable=False),
        sa.Column("fingerprint", sa.JSON, nullable=False),
        sa.Column("labels", sa.JSON, nullable=False),
        sa.Column("versions", sa.JSON, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("hangs", sa.Integer, nullable=False),
        sa.Column("seen_at", sa.String(32), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_fleet_devices"),
    )
    op.create_index("ix_jobs_state_id", "jobs", ["state", "id"])
    op.create_index("ix_jobs_device_id", "jobs", ["device", "id"])


def downgrade() -> None:
    raise NotImplementedError("restore the backup that the upgrade made")
