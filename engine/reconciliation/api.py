"""What does not agree between statements and receipts, for whoever runs the scheme."""

from datetime import date
from decimal import Decimal
from typing import Annotated

from litestar import Controller, get
from litestar.di import NamedDependency
from litestar.params import QueryParameter
from msgspec import Struct

from engine.kernel.clock import business_date
from engine.kernel.permissions import Permission
from engine.ledger import service as ledger
from engine.reconciliation import service
from engine.runtime.database import Database
from engine.tenancy.service import Tenant

MOST = 500

Statement = Annotated[
    int | None,
    QueryParameter(name="after_statement", ge=0, le=2**53, required=False, description="The last break's statement."),
]
Line = Annotated[
    int | None,
    QueryParameter(name="after_line", ge=0, le=2**31 - 1, required=False, description="The last break's line."),
]


class WaitingItem(Struct, frozen=True):
    """A reconciled receipt whose money is in no dealing yet: "suspended" or "no-fund-choice"."""

    receipt: str
    account: str
    amount: str
    reason: str


class BreakList(Struct, frozen=True):
    """Breaks by statement and line, at most 500: ask again after the last. Waiting receipts, the oldest 500."""

    items: list[service.Break]
    waiting: list[WaitingItem]


Day = Annotated[
    date | None, QueryParameter(name="as_of", required=False, description="The business day; today if left out.")
]


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
        after_line: Line,
    ) -> BreakList:
        """List lines that are no receipt's, and reconciled receipts that wait for a fund."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            breaks = await service.list_breaks(
                session, tenant, after=(after_statement or 0, after_line or 0), most=MOST
            )
            waiting = await service.list_waiting(session, most=MOST)
        scale = tenant.asset.scale
        return BreakList(
            items=breaks,
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

    @get("/proof", operation_id="ProveDay", opt={"permission": Permission.OPERATIONS_READ})
    async def prove(
        self, tenant: NamedDependency[Tenant], db: NamedDependency[Database], as_of: Day = None
    ) -> service.DayProof:
        """Prove a day: bank or wallet against the books, fund manager against the books, every gap by name."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            today = business_date(await ledger.scheme_now(session), tenant.time_zone)
            return await service.prove_day(session, tenant, as_of or today)
