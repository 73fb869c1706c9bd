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


class BreakItem(Struct, frozen=True):
    """A statement's line that is no receipt's: "no-receipt", "amount-differs", "already-matched"; "new" if not tried.

    "money-out" is money that left the account (a negative amount), "withdrawn" a receipt that a later version of its
    statement has no longer. `line` tells it from the others of its statement; `row` is where it stands in the file.
    """

    statement: int
    line: int
    row: int
    account: str
    value_date: date
    amount: str
    reason: str
    age_days: int
    code: str
    received: str | None


class WaitingItem(Struct, frozen=True):
    """A reconciled receipt whose money is in no dealing yet: "suspended" or "no-fund-choice"."""

    receipt: str
    account: str
    amount: str
    reason: str


class BreakList(Struct, frozen=True):
    """Breaks by statement and line, at most 500: ask again after the last. Waiting receipts, the oldest 500."""

    items: list[BreakItem]
    waiting: list[WaitingItem]


class ProofItemShown(Struct, frozen=True):
    """What stands between a statement and the books: how many of a kind, their sum, the oldest's age in days."""

    kind: str
    count: int
    amount: str
    oldest_days: int


class AccountProofShown(Struct, frozen=True):
    """An account: closing balance of its newest statement, the books' balance, what stands between, what nothing explains."""

    account: str
    statement: int | None
    closed_on: date | None
    closing: str | None
    books: str
    items: list[ProofItemShown]
    unexplained: str | None


class FundProofShown(Struct, frozen=True):
    """A fund: units of the books, as its holder told them last, the difference, and what the books' units are worth."""

    fund: str
    books: str
    told: str | None
    told_on: date | None
    difference: str | None
    price: str | None
    price_on: date | None
    value: str | None


class DayProofShown(Struct, frozen=True):
    """The proof of a business day; clean if everything was told, and nothing is left unexplained."""

    on: date
    currency: str
    is_clean: bool
    accounts: list[AccountProofShown]
    funds: list[FundProofShown]


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
            items=[
                BreakItem(
                    statement=one.statement,
                    line=one.line,
                    row=one.row,
                    account=one.account,
                    value_date=one.value_date,
                    amount=one.amount,
                    reason=one.reason,
                    age_days=one.age_days,
                    code=one.code,
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

    @get("/proof", operation_id="ProveDay", opt={"permission": Permission.OPERATIONS_READ})
    async def prove(
        self, tenant: NamedDependency[Tenant], db: NamedDependency[Database], as_of: Day = None
    ) -> DayProofShown:
        """Prove a day: bank or wallet against the books, fund manager against the books, every gap by name."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            today = business_date(await ledger.scheme_now(session), tenant.time_zone)
            proof = await service.prove_day(session, tenant, as_of or today)
        return DayProofShown(
            on=proof.on,
            currency=tenant.asset.symbol,
            is_clean=proof.is_clean,
            accounts=[
                AccountProofShown(
                    account=one.account,
                    statement=one.statement,
                    closed_on=one.closed_on,
                    closing=one.closing,
                    books=one.books,
                    items=[ProofItemShown(item.kind, item.count, item.amount, item.oldest_days) for item in one.items],
                    unexplained=one.unexplained,
                )
                for one in proof.accounts
            ],
            funds=[
                FundProofShown(
                    fund=one.fund,
                    books=one.books,
                    told=one.told,
                    told_on=one.told_on,
                    difference=one.difference,
                    price=one.price,
                    price_on=one.price_on,
                    value=one.value,
                )
                for one in proof.funds
            ],
        )
