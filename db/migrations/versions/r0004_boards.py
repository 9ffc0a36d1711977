"""Sessions say which physical board measured them; of those that are there nobody knows."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision: str | None = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("sessions", sa.Column("board", sa.String(length=32), nullable=True))


def downgrade() -> None:
    raise NotImplementedError("restore the backup that the upgrade made")
