"""What does not agree between statements and receipts, for whoever runs the scheme."""

from datetime import date
from decimal import Decimal
from typing import Annotated

from litestar import Controller, get
from litestar.di import NamedDependency
from litestar.params import QueryParameter
from msgspec import Struct

from engine.kernel.permissions import Permission
from engine.reconciliation import service
from engine.runtime.database import Database
from engine.tenancy.service import Tenant

MOST = 500

Statement = Annotated[
    int | None,
    QueryParameter(name="after_statement", ge=0, le=2**53, required=False, description="The last break's statement."),
]
Row = Annotated[
    int | None,
    QueryParameter(name="after_row", ge=0, le=2**31 - 1, required=False, description="The last break's row."),
]


class BreakItem(Struct, frozen=True):
    """A statement's line that is no receipt's: "no-receipt", "amount-differs" or "already-matched"; "new" if not tried."""

    statement: int
    row: int
    account: str
    value_date: date
    amount: str
    reason: str
    received: str | None


class WaitingItem(Struct, frozen=True):
    """A reconciled receipt whose money is in no dealing yet: "suspended" or "no-fund-choice"."""

    receipt: str
    account: str
    amount: str
    reason: str


class BreakList(Struct, frozen=True):
    """Breaks by statement and row, at most 500: ask again after the last. Waiting receipts, the oldest 500."""

    items: list[BreakItem]
    waiting: list[WaitingItem]


class ReconciliationController(Controller):
    """Reconciliation."""

    path = "/v1/reconciliation"
    tags = ("Reconciliation",)

    @get("/breaks", operation_id="ListBreaks", opt={"permission": Permission.OPERATIONS_READ})
    async def list_breaks(
        self,
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
        after_statement: Statement,
        after_row: Row,
    ) -> BreakList:
        """List lines that are no receipt's, and reconciled receipts that wait for a fund."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            breaks = await service.list_breaks(session, tenant, after=(after_statement or 0, after_row or 0), most=MOST)
            waiting = await service.list_waiting(session, most=MOST)
        scale = tenant.asset.scale
        return BreakList(
            items=[
                BreakItem(
                    statement=one.statement,
                    row=one.row,
                    account=one.account,
                    value_date=one.value_date,
                    amount=one.amount,
                    reason=one.reason,
                    received=one.received,
                )
                for one in breaks
            ],
            waiting=[
                WaitingItem(
                    receipt=str(one.event_id),
                    account=one.account,
                    amount=f"{Decimal(one.amount).scaleb(-scale):.{scale}f}",
                    reason=one.reason,
                )
                for one in waiting
            ],
        )
