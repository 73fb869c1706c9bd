"""Cut-offs of dealings; splits and income of funds; choices and paths of ages; switches at wrong prices.

Step: expand.
"""

from collections.abc import Sequence
from pathlib import Path

from alembic import op

from migrations.walls import append_only, grant, wall

revision: str = "0048_dealing"
down_revision: str | None = "0047_transfers"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Apply."""
    op.execute("set local lock_timeout = '5s'")
    op.execute((Path(__file__).parent / "0048_dealing.sql").read_text(encoding="utf-8"))
    for table in (
        "fund_actions",
        "fund_action_ranges",
        "fund_action_lines",
        "fund_choices",
        "rebalancings",
        "rebalancing_ranges",
        "correction_switches",
        "correction_switch_results",
    ):
        wall(table)
    append_only("fund_action_lines")
    grant("fund_actions", app="select, insert, update", jobs="select, update (settled_event)")
    grant("fund_action_ranges", app="select, insert, update", jobs="select, update (is_done, event_id)")
    grant("fund_action_lines", app="select, insert", jobs="select, insert")
    grant("fund_choices", app="select, insert, update", jobs="select")
    for table in ("rebalancings", "correction_switches", "correction_switch_results"):
        append_only(table)
    grant("correction_switches", app="select, insert")
    grant("correction_switch_results", app="select, insert")
    grant("rebalancings", app="select, insert", jobs="select")
    grant("rebalancing_ranges", app="select, insert, update", jobs="select")
    grant("sales", jobs="update (units)")
    grant("sale_orders", jobs="update (units)")
