"""Loans over HTTP: how they stand, payments that are given to them, and what lenders say of pledges, twice seen."""

from datetime import date
from typing import Annotated, Literal

from litestar import Controller, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, QueryParameter
from msgspec import Meta, Struct

from engine.access.errors import SamePerson
from engine.access.rules import Caller
from engine.benefits import errors, service
from engine.benefits.api.claiming import LAST_CLAIM, MOST_MINOR, PAGE, Digest, claim_number
from engine.benefits.queries.lending import LoanRow
from engine.benefits.service import Loan
from engine.contributions.errors import AlreadyResolved, AmountNotPositive, AmountNotWhole, UnknownSuspense
from engine.kernel.amounts import Amount, Asset, NotWholeUnits
from engine.kernel.errors import Invalid
from engine.kernel.permissions import Permission
from engine.runtime.database import Database
from engine.runtime.http import refuses
from engine.runtime.key_file import FileKeyStore
from engine.tenancy.service import Tenant

LoanState = Literal["running", "in-default", "frozen", "repaid", "released", "set-off"]


class LoanItem(Struct, frozen=True):
    """A loan from savings, or savings pledged to a lender; amounts in major units.

    Its number is its claim's. A payment under its `reference` pays it back. `owed` is the principal that is not paid back;
    of a pledge, what it secures, as the lender last said. While a lender's word waits, `said_owed` and `said_unpaid_since`
    are that word, and its `digest` is sent back to confirm it.
    """

    loan: str
    reference: str
    product: str
    rule: str
    form: str
    state: LoanState
    lender: str
    percent: str
    began_on: date
    principal: str
    owed: str
    said_owed: str | None
    said_unpaid_since: date | None
    digest: str


class LoanInstalment(Struct, frozen=True):
    """What was agreed to fall due on a day, in major units."""

    due_on: date
    principal: str
    interest: str


class LoanDetail(Struct, frozen=True):
    """A loan with its schedule. Of one from savings, `interest` has fallen due and is unpaid; `unpaid_since` is the oldest day."""

    loan: LoanItem
    instalments: list[LoanInstalment]
    interest: str | None
    unpaid_since: date | None


class LoanRepayment(Struct, frozen=True, forbid_unknown_fields=True):
    """The receipt of a payment in suspense that pays the loan back."""

    receipt: Annotated[str, Meta(pattern=r"^[0-9]{1,19}$")]


class LenderReport(Struct, frozen=True, forbid_unknown_fields=True):
    """What a lender says: how much of the loan is still owed, and since when an instalment is unpaid, if one is."""

    owed: Annotated[str, Meta(max_length=24, pattern=r"^[0-9]+(\.[0-9]+)?$", examples=["1500.00"])]
    unpaid_since: date | None = None


class LenderReportDecision(Struct, frozen=True, forbid_unknown_fields=True):
    """The digest of the lender's word that you have read."""

    digest: Digest


class LoanController(Controller):
    """Loans and pledges; they are asked for, and approved, as claims."""

    path = "/v1/loans"
    tags = ("Claims",)

    @get(operation_id="ListLoans", opt={"permission": Permission.CLAIMS_READ})
    async def list_loans(
        self,
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
        in_state: Annotated[LoanState | None, QueryParameter(name="state")] = None,
        after: Annotated[
            int | None,
            QueryParameter(name="after", ge=0, le=LAST_CLAIM, description="The last loan of the page before."),
        ] = None,
    ) -> list[LoanItem]:
        """Return up to 100 loans and pledges, the oldest first."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            rows = await service.list_loans(session, state=in_state or "", after=after or 0, most=PAGE)
        return [loan_shown(row, tenant.asset) for row in rows]

    @get(
        "/{loan:int}",
        operation_id="GetLoan",
        opt={"permission": Permission.CLAIMS_READ},
        responses=refuses(errors.UnknownLoan),
    )
    async def find(
        self, loan: FromPath[int], tenant: NamedDependency[Tenant], db: NamedDependency[Database]
    ) -> LoanDetail:
        """Return a loan with what falls due of it, and how it stands."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            return detail_shown(await service.find_loan(session, tenant, claim_number(loan)), tenant.asset)

    @post(
        "/{loan:int}/repayments",
        operation_id="RepayLoan",
        status_code=200,
        opt={"permission": Permission.SUSPENSE_RESOLVE},
        responses=refuses(errors.UnknownLoan, errors.LoanDecided, UnknownSuspense, AlreadyResolved),
    )
    async def repay(
        self,
        loan: FromPath[int],
        data: JSONBody[LoanRepayment],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
    ) -> LoanItem:
        """Give a payment in suspense to a loan, once. Payments that name the loan's reference are given to it by themselves."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            row = await service.repay(
                session, tenant, claim_number(loan), claim_number(int(data.receipt)), actor=caller.actor
            )
        return loan_shown(row, tenant.asset)

    @post(
        "/{loan:int}/lender-reports",
        operation_id="ReportLender",
        status_code=200,
        opt={"permission": Permission.CLAIMS_OPEN},
        responses=refuses(errors.UnknownLoan, errors.LoanDecided, AmountNotWhole, AmountNotPositive, Invalid),
    )
    async def report(
        self,
        loan: FromPath[int],
        data: JSONBody[LenderReport],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
    ) -> LoanItem:
        """Bring what a lender says of a pledge; it counts once another person has confirmed it."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            row = await service.report_lender(
                session,
                tenant,
                claim_number(loan),
                owed=_minor(data.owed, tenant.asset),
                unpaid_since=data.unpaid_since,
                actor=caller.actor,
            )
        return loan_shown(row, tenant.asset)

    @post(
        "/{loan:int}/lender-reports/approval",
        operation_id="ConfirmLender",
        status_code=200,
        opt={"permission": Permission.CLAIMS_APPROVE},
        responses=refuses(errors.UnknownLoan, errors.LoanDecided, errors.LoanDiffers, errors.NoPriceYet, SamePerson),
    )
    async def confirm(
        self,
        loan: FromPath[int],
        data: JSONBody[LenderReportDecision],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
        keys: NamedDependency[FileKeyStore],
    ) -> LoanItem:
        """Let a lender's word count, as a second person: what is not owed any more is free, what is set off is the lender's."""
        row = await service.confirm_report(db, keys, tenant, claim_number(loan), digest=data.digest, actor=caller.actor)
        return loan_shown(row, tenant.asset)

    @post(
        "/{loan:int}/lender-reports/rejection",
        operation_id="RejectLender",
        status_code=200,
        opt={"permission": Permission.CLAIMS_APPROVE},
        responses=refuses(errors.UnknownLoan, errors.LoanDecided, errors.LoanDiffers, SamePerson),
    )
    async def reject(
        self,
        loan: FromPath[int],
        data: JSONBody[LenderReportDecision],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
    ) -> LoanItem:
        """Refuse what a lender was said to say, as a second person."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            row = await service.reject_report(
                session, tenant, claim_number(loan), digest=data.digest, actor=caller.actor
            )
        return loan_shown(row, tenant.asset)


def loan_shown(row: LoanRow, asset: Asset) -> LoanItem:
    """Return a loan as it is told, in major units."""
    states: dict[str, LoanState] = {
        "running": "running",
        "in-default": "in-default",
        "frozen": "frozen",
        "repaid": "repaid",
        "released": "released",
        "set-off": "set-off",
    }
    return LoanItem(
        loan=str(row.loan_id),
        reference="" if row.lender else f"L{row.loan_id}",
        product=row.product,
        rule=row.rule,
        form=row.form,
        state=states[row.state],
        lender=row.lender,
        percent=row.percent,
        began_on=row.began_on,
        principal=_major(row.principal, asset),
        owed=_major(row.owed, asset),
        said_owed=None if row.said_owed is None else _major(row.said_owed, asset),
        said_unpaid_since=row.said_unpaid_since,
        digest=row.digest,
    )


def detail_shown(loan: Loan, asset: Asset) -> LoanDetail:
    """Return a loan with its schedule as it is told, in major units."""
    stands = loan.standing
    return LoanDetail(
        loan=loan_shown(loan.row, asset),
        instalments=[
            LoanInstalment(one.due_on, _major(one.principal_minor, asset), _major(one.interest_minor, asset))
            for one in loan.schedule
        ],
        interest=None if stands is None else _major(stands.interest_minor, asset),
        unpaid_since=None if stands is None else stands.unpaid_since,
    )


def _major(minor: int, asset: Asset) -> str:
    return f"{Amount(minor, asset).decimal():.{asset.scale}f}"


def _minor(amount: str, asset: Asset) -> int:
    try:
        minor = Amount.parse(amount, asset).units
    except NotWholeUnits:
        raise AmountNotWhole(field="owed", scale=asset.scale) from None
    if minor >= MOST_MINOR:
        raise AmountNotPositive(field="owed")
    return minor
