"""${message}."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
${imports if imports else ""}

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = ${repr(branch_labels)}
depends_on = ${repr(depends_on)}
# "expand": servers of the revision before go on. "contract" takes something away: `least_server = ` names the least
# revision whose servers do without it, which has to be one that landed before (docs/adr/0018).
phase = "expand"


def upgrade() -> None:
    """${message}."""
    ${upgrades if upgrades else "pass"}
