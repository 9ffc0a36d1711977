"""A queue of a hundred thousand jobs is read by state and by device."""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision: str | None = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_jobs_state_id", "jobs", ["state", "id"])
    op.create_index("ix_jobs_device_id", "jobs", ["device", "id"])


def downgrade() -> None:
    raise NotImplementedError("restore the backup that the upgrade made")
