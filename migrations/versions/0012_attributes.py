"""What registers outside say of members.

Step: expand.
"""

from collections.abc import Sequence
from pathlib import Path

from alembic import op

from migrations.walls import append_only, grant, wall

revision: str = "0012_attributes"
down_revision: str | None = "0011_memberships"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Apply."""
    op.execute("set local lock_timeout = '5s'")
    op.execute((Path(__file__).parent / "0012_attributes.sql").read_text(encoding="utf-8"))
    append_only("member_attributes")
    wall("member_attributes")
    grant("member_attributes", app="select, insert", jobs="select")
