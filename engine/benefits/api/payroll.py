"""Payrolls of pensions over HTTP: one person has a month counted, another approves all of it by its digest."""

from datetime import date
from typing import Annotated, Literal

from litestar import Controller, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, QueryParameter
from msgspec import Meta, Struct

from engine.access.errors import SamePerson
from engine.access.rules import Caller
from engine.benefits import errors, service
from engine.benefits.api.claiming import Digest, Word
from engine.benefits.api.pensions import major
from engine.benefits.service import Payroll
from engine.kernel.permissions import Permission
from engine.runtime.database import Database
from engine.runtime.http import refuses
from engine.tenancy.errors import UnknownProduct
from engine.tenancy.rules.assuming import Assumption
from engine.tenancy.service import Tenant

LAST_PAYROLL = 2**31 - 1
PAGE = 100


class PayrollAsked(Struct, frozen=True, forbid_unknown_fields=True):
    """A product and a month, by any of its days."""

    product: Word
    month: Annotated[date, Meta(examples=["2023-04-01"])]


class PayrollDecision(Struct, frozen=True, forbid_unknown_fields=True):
    """The digest of the payroll that you have read."""

    digest: Digest


class PaymentsFate(Struct, frozen=True):
    """How many payments came to what, and their sum in major units: a payout's state, or why none was made."""

    fate: str
    payments: int
    amount: str


class PensionsWaiting(Struct, frozen=True):
    """How many pensions of a rule have an instalment that waits for a figure: the code of the refusal, and what it names."""

    rule: str
    code: str
    missing: str
    pensions: int


class PayrollTold(Struct, frozen=True):
    """A payroll; amounts in major units. `digest` is of every instalment and payment in it: the approval names it.

    `due` is `taken` from members' pots, `pooled` from pools, or `lacking`; `tax` of it is withheld, and `set_off` kept
    against what went out after a death. `paying` is paid by
    `payments`; of what is `owed` to pensioners the rest is carried over. `suspended` pensions wait for a proof of life, those
    `waiting` for an index or a table. `assumptions` are what the rules assume.
    """

    payroll: str
    product: str
    month: date
    counted_on: date
    state: Literal["counting", "proposed", "approved", "rejected", "done"]
    maker: str
    checker: str
    digest: str
    currency: str
    instalments: int
    due: str
    taken: str
    pooled: str
    lacking: str
    tax: str
    set_off: str
    payments: int
    paying: str
    owed: str
    suspended: int
    waiting: list[PensionsWaiting]
    fates: list[PaymentsFate]
    rules: list[str]
    assumptions: tuple[Assumption, ...]


class PayrollController(Controller):
    """Payrolls of pensions."""

    path = "/v1/payrolls"
    tags = ("Pensions",)

    @post(
        operation_id="ProposePayroll",
        opt={"permission": Permission.PAYROLL_PROPOSE},
        responses=refuses(UnknownProduct, errors.PayrollOpen, errors.PayrollTooEarly),
    )
    async def propose(
        self,
        data: JSONBody[PayrollAsked],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
    ) -> PayrollTold:
        """Count what falls due to a product's pensioners by the end of a month, with what is left of earlier ones.

        Nothing moves before another person approves it. Pensions for which an index says nothing yet wait, and no others.
        A payroll that was stopped while it counted goes on.
        """
        return told(await service.propose_payroll(db, tenant, data.product, data.month, actor=caller.actor), tenant)

    @get(operation_id="ListPayrolls", opt={"permission": Permission.PAYOUTS_READ})
    async def list_payrolls(
        self,
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
        after: Annotated[
            int | None,
            QueryParameter(name="after", ge=0, le=LAST_PAYROLL, description="The last payroll of the page before."),
        ] = None,
    ) -> list[PayrollTold]:
        """Return up to 100 payrolls, the oldest first, without what became of their payments."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            found = await service.list_payrolls(session, after=after or 0, most=PAGE)
        return [told(one, tenant) for one in found]

    @get(
        "/{payroll:int}",
        operation_id="GetPayroll",
        opt={"permission": Permission.PAYOUTS_READ},
        responses=refuses(errors.UnknownPayroll),
    )
    async def find(
        self, payroll: FromPath[int], tenant: NamedDependency[Tenant], db: NamedDependency[Database]
    ) -> PayrollTold:
        """Return a payroll, what it comes to, and what became of its payments."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            return told(await service.find_payroll(session, _number(payroll)), tenant)

    @post(
        "/{payroll:int}/approval",
        operation_id="ApprovePayroll",
        status_code=200,
        opt={"permission": Permission.PAYROLL_APPROVE},
        responses=refuses(errors.UnknownPayroll, errors.PayrollDecided, errors.PayrollDiffers, SamePerson),
    )
    async def approve(
        self,
        payroll: FromPath[int],
        data: JSONBody[PayrollDecision],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
    ) -> PayrollTold:
        """Approve all of a payroll, as another person than its maker: the worker posts and pays it."""
        found = await service.approve_payroll(db, tenant, _number(payroll), digest=data.digest, actor=caller.actor)
        return told(found, tenant)

    @post(
        "/{payroll:int}/rejection",
        operation_id="RejectPayroll",
        status_code=200,
        opt={"permission": Permission.PAYROLL_APPROVE},
        responses=refuses(errors.UnknownPayroll, errors.PayrollDecided, errors.PayrollDiffers, SamePerson),
    )
    async def reject(
        self,
        payroll: FromPath[int],
        data: JSONBody[PayrollDecision],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
    ) -> PayrollTold:
        """Refuse a payroll, as another person than its maker: the next one counts everything anew."""
        found = await service.reject_payroll(db, tenant, _number(payroll), digest=data.digest, actor=caller.actor)
        return told(found, tenant)


def _number(payroll: int) -> int:
    return payroll if 0 < payroll <= LAST_PAYROLL else 0


_STATES: dict[str, Literal["counting", "proposed", "approved", "rejected", "done"]] = {
    "counting": "counting",
    "proposed": "proposed",
    "approved": "approved",
    "rejected": "rejected",
    "done": "done",
}


def told(one: Payroll, tenant: Tenant) -> PayrollTold:
    """Return a payroll as it is told, in major units."""
    row, totals = one.row, one.totals
    return PayrollTold(
        payroll=str(row.run_no),
        product=row.product,
        month=row.month,
        counted_on=row.counted_on,
        state=_STATES[row.state],
        maker=row.maker,
        checker=row.checker,
        digest=row.digest,
        currency=tenant.asset.symbol,
        instalments=totals.pensions,
        due=major(totals.due, tenant),
        taken=major(totals.taken, tenant),
        pooled=major(totals.pooled, tenant),
        lacking=major(totals.lacking, tenant),
        tax=major(totals.taxed, tenant),
        set_off=major(totals.recovered, tenant),
        payments=totals.payments,
        paying=major(totals.paying, tenant),
        owed=major(totals.owed, tenant),
        suspended=totals.suspended,
        waiting=[PensionsWaiting(*one) for one in totals.waits],
        fates=[PaymentsFate(fate, count, major(minor, tenant)) for fate, (count, minor) in one.fates.items()],
        rules=list(row.rules),
        assumptions=tenant.assumptions(row.product, row.rules),
    )
