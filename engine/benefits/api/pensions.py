"""Pensions over HTTP: what claims pay over time, to which account, and proofs that pensioners are alive."""

from datetime import date
from typing import Annotated

from litestar import Controller, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, QueryParameter
from msgspec import Meta, Struct

from engine.access.rules import Caller
from engine.benefits import errors, service
from engine.benefits.api.claiming import LAST_CLAIM, PAGE, Word
from engine.benefits.api.paying import AccountAsked, Line, given
from engine.benefits.queries.schedules import ScheduleRow
from engine.benefits.rules.paying import Payee
from engine.identity.errors import UnknownMember, UnusablePhone
from engine.kernel.amounts import Amount
from engine.kernel.permissions import Permission
from engine.runtime.database import Database
from engine.runtime.http import refuses
from engine.runtime.key_file import FileKeyStore
from engine.tenancy.service import Tenant


class Pension(Struct, frozen=True):
    """What a claim pays over time; amounts in major units. `instalments` is 0 for life; `amount` each, where fixed for good.

    `paid_until` is the last day on which it is paid without a new proof of life; from `stops_on` on nothing is due. `posted`
    became payable after tax, `paid` went out by a statement, `lacking` is what pots and pools lacked and is owed. `reserve` is what
    a pool was given for it; `owed_back` went out for time after a death. One `after` another is a survivor's.
    """

    claim: str
    product: str
    form: str
    rules: list[str]
    first_due_on: date
    every_months: int
    instalments: int
    amount: str
    last_number: int
    running: bool
    paid_until: date | None
    stops_on: date | None
    guaranteed_until: date | None
    rails: list[str]
    posted: str
    paid: str
    lacking: str
    reserve: str
    owed_back: str
    after: str


class PayeeNamed(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Whom a pension pays from the next payroll on."""

    accounts: Annotated[list[AccountAsked], Meta(min_length=1, max_length=10)]
    payee: Annotated[Line, Meta(description="The payee's name; the member's own if absent.")] = ""


class LifeSeen(Struct, frozen=True, forbid_unknown_fields=True):
    """The day on which a pensioner was seen alive, and by whose word: one of the rule's sources."""

    seen_on: date
    source: Word


class GuaranteedPayment(Struct, frozen=True):
    """A payment that is guaranteed; its amount in major units by figures known now, None where they say nothing yet."""

    number: int
    due_on: date
    amount: str | None


class PensionController(Controller):
    """Benefits that are paid over time; each bears the number of the claim that decided it."""

    path = "/v1/pensions"
    tags = ("Pensions",)

    @get(operation_id="ListPensions", opt={"permission": Permission.CLAIMS_READ})
    async def list_pensions(
        self,
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
        product: Annotated[str | None, QueryParameter(name="product", max_length=64)] = None,
        after: Annotated[
            int | None,
            QueryParameter(name="after", ge=0, le=LAST_CLAIM, description="The last claim of the page before."),
        ] = None,
    ) -> list[Pension]:
        """Return up to 100 pensions, the oldest first."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            rows = await service.list_pensions(session, product=product or "", after=after or 0, most=PAGE)
        return [shown(row, tenant) for row in rows]

    @get(
        "/{claim:int}",
        operation_id="GetPension",
        opt={"permission": Permission.CLAIMS_READ},
        responses=refuses(errors.UnknownPension),
    )
    async def find(
        self, claim: FromPath[int], tenant: NamedDependency[Tenant], db: NamedDependency[Database]
    ) -> Pension:
        """Return a pension and how far it has come."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            return shown(await service.find_pension(session, number_of(claim)), tenant)

    @get(
        "/{claim:int}/guaranteed",
        operation_id="GetGuaranteedPayments",
        opt={"permission": Permission.CLAIMS_READ},
        responses=refuses(errors.UnknownPension),
    )
    async def guaranteed(
        self, claim: FromPath[int], tenant: NamedDependency[Tenant], db: NamedDependency[Database]
    ) -> list[GuaranteedPayment]:
        """Return the payments that are left of a guarantee period, whether the pensioner lives or not."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            found = await service.remaining_guaranteed(session, tenant, number_of(claim))
        return [
            GuaranteedPayment(one.number, one.due_on, None if one.minor is None else major(one.minor, tenant))
            for one in found
        ]

    @post(
        "/{claim:int}/payee",
        operation_id="NamePensionPayee",
        status_code=200,
        opt={"permission": Permission.PENSIONS_MANAGE},
        responses=refuses(errors.UnknownPension, errors.MoreThanReleased, UnusablePhone, UnknownMember),
    )
    async def payee(
        self,
        claim: FromPath[int],
        data: JSONBody[PayeeNamed],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
        keys: NamedDependency[FileKeyStore],
    ) -> Pension:
        """Name whom a pension pays from the next payroll on; whoever approves that approves the account with it."""
        payee = Payee(accounts=tuple(map(given, data.accounts)), name=data.payee)
        async with db.unit_of_work(tenant.tenant_id) as session:
            row = await service.name_payee(session, keys, tenant, number_of(claim), payee, actor=caller.actor)
        return shown(row, tenant)

    @post(
        "/{claim:int}/life-proofs",
        operation_id="ProveLife",
        status_code=200,
        opt={"permission": Permission.PENSIONS_MANAGE},
        responses=refuses(errors.UnknownPension, errors.NoSuchRule, errors.LifeProofNotTaken),
    )
    async def life_proof(
        self,
        claim: FromPath[int],
        data: JSONBody[LifeSeen],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
    ) -> Pension:
        """Record that a pensioner was seen alive; what was held back is paid by the next payroll."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            row = await service.prove_life(
                session, tenant, number_of(claim), seen_on=data.seen_on, source=data.source, actor=caller.actor
            )
        return shown(row, tenant)


def number_of(number: int) -> int:
    """Return a number that may be one of ours; one beyond all numbers is nobody's."""
    return number if 0 < number <= LAST_CLAIM else 0


def major(minor: int, tenant: Tenant) -> str:
    """Return smallest units in major units."""
    return f"{Amount(minor, tenant.asset).decimal():.{tenant.asset.scale}f}"


def shown(row: ScheduleRow, tenant: Tenant) -> Pension:
    """Return a pension as it is told, in major units."""
    plan = row.plan
    return Pension(
        claim=str(row.claim_id),
        product=row.product,
        form=plan.terms.form,
        rules=list(plan.rules),
        first_due_on=plan.due_on(1),
        every_months=plan.every_months,
        instalments=plan.instalments,
        amount=major(plan.amount, tenant),
        last_number=row.number,
        running=row.is_running,
        paid_until=row.life_until,
        stops_on=row.stops_on,
        guaranteed_until=plan.guaranteed_until,
        rails=[one.rail for one in row.accounts],
        posted=major(row.posted, tenant),
        paid=major(row.paid, tenant),
        lacking=major(row.outstanding, tenant),
        reserve=major(plan.reserve.minor if plan.reserve else 0, tenant),
        owed_back=major(row.overpaid, tenant),
        after=str(row.after_claim) if row.after_claim else "",
    )
