"""The identity vault and members.

Step: expand.
"""

from collections.abc import Sequence
from pathlib import Path

from alembic import op

from migrations.walls import append_only, grant, wall

revision: str = "0004_identity"
down_revision: str | None = "0003_access"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Apply."""
    op.execute("set local lock_timeout = '5s'")
    op.execute((Path(__file__).parent / "0004_identity.sql").read_text(encoding="utf-8"))
    for table in ("members", "member_keys", "vault", "person_indexes", "vault_reads"):
        wall(table)
    append_only("vault_reads")
    grant("members", app="select, insert, update (status)", jobs="select")
    grant("member_keys", app="select, insert, delete")
    grant("vault", app="select, insert, update (version, document)")
    grant("person_indexes", app="select, insert, delete", jobs="select")
    grant("vault_reads", app="select, insert")
