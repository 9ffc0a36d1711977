"""Sessions say `run_metadata`; error curves and calibrations, which nothing wrote, are gone."""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision: str | None = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE sessions RENAME COLUMN circumstances TO run_metadata")
    op.drop_table("error_curves")
    op.drop_table("calibrations")


def downgrade() -> None:
    raise NotImplementedError("restore the backup that the upgrade made")
