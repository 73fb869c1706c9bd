"""Statements over HTTP: as figures in JSON, as a PDF in the member's language."""

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Annotated, Self

from litestar import Controller, Response, get
from litestar.di import NamedDependency
from litestar.params import FromPath, QueryParameter
from msgspec import UNSET, Meta, Struct, UnsetType
from sqlalchemy.ext.asyncio import AsyncSession

from engine.access.rules import Caller
from engine.benefits.errors import NoBenefitAge, NoProjection
from engine.identity import service as identity
from engine.identity.rules import MemberRef, compact_reference
from engine.kernel.clock import business_date
from engine.kernel.permissions import Permission
from engine.kernel.tables import TableValueMissing
from engine.ledger import service as ledger
from engine.reports import service
from engine.reports.errors import (
    ChoiceMalformed,
    ContributionMalformed,
    DateInFuture,
    DateMalformed,
    NoPrice,
    UnknownFrequency,
    UnknownLanguage,
    UnknownMember,
)
from engine.reports.rules import Statement
from engine.runtime.database import Database
from engine.runtime.http import refuses
from engine.runtime.key_file import FileKeyStore
from engine.tenancy.errors import PackNotStored, UnknownDecision
from engine.tenancy.rules.assuming import Assumption
from engine.tenancy.rules.decided import ZeroResult
from engine.tenancy.rules.explaining import RuleUsed
from engine.tenancy.service import Tenant

PDF = "application/pdf"
LAST_DECISION = 2**63 - 1024
"""The largest number below 2^63 that is the same to readers of JSON who keep numbers as doubles."""
_NO_STORE = {"Cache-Control": "no-store"}


class StatementLine(Struct, frozen=True, omit_defaults=True):
    """What a payment put into a pot, and what it bought. Amounts in major units, units and prices as exact decimals."""

    receipt: str
    paid_on: date
    amount: str
    pot: str
    origin: str
    state: str
    fund: str | None = None
    price_on: date | None = None
    price: str | None = None
    units: str | None = None


class StatementHolding(Struct, frozen=True):
    """The units held of a fund, at its last price by the statement's day; the value is rounded down.

    `selling` of them are being sold, and wait for the price that they will be sold at.
    """

    fund: str
    units: str
    selling: str
    price: str
    price_on: date
    value: str


class StatementTotals(Struct, frozen=True):
    """The sums. gain = value + paid out - contributed; what is payable to the member is in the value until it is paid out.

    `return_a_year` is the money-weighted effective yearly rate: "0.1034" is 10.34 %. It is null where
    none can be told; `no_return` then says why: no-payments, too-short, nothing-invested, undefined.
    """

    contributed: str
    charges: str
    uninvested: str
    payable: str
    paid_out: str
    value: str
    gain: str
    return_a_year: str | None
    no_return: str | None


class StatementMove(Struct, frozen=True):
    """A move out of another product, with all that was the member's; what was paid in there is among the lines."""

    moved_on: date
    source: str


class StatementPromise(Struct, frozen=True):
    """Money that `payer` promises for the retirement option `choice`: the member's once they retire by it, no part of the value."""

    rule: str
    choice: str
    payer: str
    amount: str


class StatementDocument(Struct, frozen=True):
    """A member's account at the end of a business day; `items` are what the scheme's statement says of its year.

    An item is null where it is not counted yet: it is not known to be zero. `assumptions` are what the rules behind the items
    assume, where their sources do not settle it. `merged_into` is the number of the record that the one of this number was
    merged into, and that this is of. `conditional` is what a later choice gives, and is in no total.
    """

    member: str
    product: str
    joined_on: date
    as_of: date
    log_size: int | None
    currency: str
    totals: StatementTotals
    holdings: tuple[StatementHolding, ...]
    lines: tuple[StatementLine, ...]
    year_from: date | UnsetType = UNSET
    items: Mapping[str, str | None] | UnsetType = UNSET
    assumptions: tuple[Assumption, ...] | UnsetType = UNSET
    moves: tuple[StatementMove, ...] | UnsetType = UNSET
    merged_into: str | UnsetType = UNSET
    conditional: tuple[StatementPromise, ...] | UnsetType = UNSET


def document_of(statement: Statement) -> StatementDocument:
    """Return the statement as the API tells it: every figure a decimal string, nothing rounded again."""

    def money(minor: int) -> str:
        return _fixed(minor, statement.scale)

    totals = statement.totals
    return StatementDocument(
        member=statement.member,
        product=statement.product,
        joined_on=statement.joined_on,
        as_of=statement.as_of,
        log_size=statement.log_size,
        currency=statement.currency,
        totals=StatementTotals(
            contributed=money(totals.contributed_minor),
            charges=money(totals.charges_minor),
            uninvested=money(statement.uninvested_minor),
            payable=money(totals.payable_minor),
            paid_out=money(totals.paid_out_minor),
            value=money(totals.value_minor),
            gain=money(totals.gain_minor),
            return_a_year=None if totals.return_bp is None else _fixed(totals.return_bp, 4),
            no_return=None if totals.no_return is None else totals.no_return.value,
        ),
        holdings=tuple(
            StatementHolding(
                fund=holding.fund,
                units=_fixed(holding.units, holding.unit_scale),
                selling=_fixed(holding.selling, holding.unit_scale),
                price=str(holding.price.decimal()),
                price_on=holding.price_on,
                value=money(holding.value_minor),
            )
            for holding in statement.holdings
        ),
        year_from=UNSET if statement.year_from is None else statement.year_from,
        items={item: None if minor is None else money(minor) for item, minor in statement.items.items()} or UNSET,
        assumptions=statement.assumptions or UNSET,
        moves=tuple(StatementMove(one.moved_on, one.source) for one in statement.moves) or UNSET,
        merged_into=statement.merged_into or UNSET,
        conditional=tuple(
            StatementPromise(one.rule, one.choice, one.payer, money(one.minor)) for one in statement.conditional
        )
        or UNSET,
        lines=tuple(
            StatementLine(
                receipt=str(line.receipt),
                paid_on=line.paid_on,
                amount=money(line.amount_minor),
                pot=line.pot,
                origin=line.origin,
                state=line.state.value,
                fund=line.fund or None,
                price_on=line.price_on,
                price=None if line.price is None else str(line.price.decimal()),
                units=None if line.units is None else _fixed(line.units, line.unit_scale),
            )
            for line in statement.lines
        ),
    )


def _fixed(smallest: int, scale: int) -> str:
    return f"{Decimal(smallest).scaleb(-scale):.{scale}f}"


AsOf = Annotated[
    str | None,
    QueryParameter(name="as_of", max_length=10, description="A day up to today, as 2024-03-31; today if left out."),
]
LogSize = Annotated[
    int | None,
    QueryParameter(
        name="log_size",
        ge=1,
        le=2**53 - 1,
        description="Only what stood in the audit log of this size; the same day and size give the same answer for ever.",
    ),
]
Language = Annotated[
    str | None,
    QueryParameter(name="lang", max_length=12, description="A language of the scheme; the member's own if left out."),
]


ProductCode = Annotated[
    str | None,
    QueryParameter(name="product", max_length=40, description="A product the member is in; the first if left out."),
]


async def day_of(session: AsyncSession, tenant: Tenant, as_of: str | None) -> date:
    """Return the day asked for; the scheme's today where none is.

    Raises:
        DateMalformed: it is no day written as 2024-03-31.
    """
    if not as_of:
        return business_date(await ledger.scheme_now(session), tenant.time_zone)
    try:
        day = date.fromisoformat(as_of)
    except ValueError as error:
        raise DateMalformed(field="as_of") from error
    if day.isoformat() != as_of:
        raise DateMalformed(field="as_of")
    return day


class StatementController(Controller):
    """A member's statement."""

    path = "/v1/members"
    tags = ("Statements",)

    @get(
        "/{number:str}/statement",
        operation_id="GetStatement",
        opt={"permission": Permission.STATEMENTS_READ},
        responses=refuses(UnknownMember, DateMalformed, DateInFuture, NoPrice),
    )
    async def show(
        self,
        number: FromPath[str],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
        keys: NamedDependency[FileKeyStore],
        as_of: AsOf = None,
        log_size: LogSize = None,
        product: ProductCode = None,
    ) -> Response[StatementDocument]:
        """Tell a member's account at the end of a business day: payments, units, prices, value, return."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            _, statement = await _statement(session, tenant, keys, number, as_of, log_size, product, caller.actor)
        return Response(document_of(statement), headers=_NO_STORE)

    @get(
        "/{number:str}/statement.pdf",
        operation_id="GetStatementPDF",
        opt={"permission": Permission.STATEMENTS_READ},
        media_type=PDF,
        responses=refuses(UnknownMember, DateMalformed, DateInFuture, NoPrice, UnknownLanguage),
    )
    async def print(
        self,
        number: FromPath[str],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
        keys: NamedDependency[FileKeyStore],
        caller: NamedDependency[Caller],
        as_of: AsOf = None,
        log_size: LogSize = None,
        lang: Language = None,
        product: ProductCode = None,
    ) -> Response[bytes]:
        """Print a member's statement, in their own language unless another is asked for."""
        if lang is not None and lang not in tenant.pack.languages:
            raise UnknownLanguage(field="lang", allowed=", ".join(tenant.pack.languages))
        async with db.unit_of_work(tenant.tenant_id) as session:
            member, statement = await _statement(session, tenant, keys, number, as_of, log_size, product, caller.actor)
            made = await service.print_statement(
                session, keys, tenant, member, statement, actor=caller.actor, language=lang
            )
        name = f"statement-{statement.as_of.isoformat()}.pdf"
        return Response(
            made, media_type=PDF, headers={**_NO_STORE, "Content-Disposition": f'inline; filename="{name}"'}
        )


class EntitlementsDocument(Struct, frozen=True):
    """What the rules give a member on a day: money in major units, or the code of what stands against it.

    `decision` can be asked to be explained; `assumptions` are what the rules behind them assume.
    """

    member: str
    product: str
    on: date
    currency: str
    entitlements: Mapping[str, str]
    decision: str
    assumptions: tuple[Assumption, ...]


class EntitlementController(Controller):
    """What the rules give a member."""

    path = "/v1/members"
    tags = ("Entitlements",)

    @get(
        "/{number:str}/entitlements",
        operation_id="GetEntitlements",
        opt={"permission": Permission.STATEMENTS_READ},
        responses=refuses(UnknownMember, DateMalformed),
    )
    async def show(
        self,
        number: FromPath[str],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
        keys: NamedDependency[FileKeyStore],
        as_of: AsOf = None,
        product: ProductCode = None,
    ) -> Response[EntitlementsDocument]:
        """Tell what the rules in force give a member: match so far, what is open to them, what stands against it."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            member = await service.find_member(session, keys, number, product=product or "")
            day = await day_of(session, tenant, as_of)
            found, decision = await service.tell_entitlements(session, tenant, member, on=day)
        return Response(
            EntitlementsDocument(
                member=compact_reference(number),
                product=member.product,
                on=day,
                currency=tenant.asset.symbol,
                entitlements={
                    name: (
                        _fixed(int(value), tenant.asset.scale) if service.is_money(name) and value.isdigit() else value
                    )
                    for name, value in found.figures.items()
                },
                decision=str(decision),
                assumptions=tenant.assumptions(member.product, found.rules),
            ),
            headers=_NO_STORE,
        )


class DecisionRule(Struct, frozen=True, omit_defaults=True):
    """A rule that decided: its version, its parameters by name, where they are from and how far that settles them."""

    version: str
    kind: str
    effective_from: str
    applies_by: str
    parameters: Mapping[str, str]
    source: str
    confidence: str
    assumption: str = ""


class DecisionDocument(Struct, frozen=True, omit_defaults=True):
    """A decision and why it came out so. `refusal` is the code of the refusal, where it was one."""

    decision: str
    kind: str
    product: str
    decided_on: date
    language: str
    pack: str
    explanation: tuple[str, ...]
    rules: tuple[DecisionRule, ...]
    inputs: Mapping[str, object]
    outcome: Mapping[str, object] = {}
    refusal: str | None = None


def decision_document(told: service.Told) -> DecisionDocument:
    """Return a decision as the API tells it."""
    found = told.decision
    return DecisionDocument(
        decision=str(found.decision_id),
        kind=found.kind,
        product=found.product,
        decided_on=found.decided_on,
        language=told.language,
        pack=found.pack,
        explanation=told.sentences,
        rules=tuple(map(_decision_rule, found.rules)),
        inputs=found.inputs,
        outcome=found.outcome,
        refusal=found.code or None,
    )


def _decision_rule(rule: RuleUsed) -> DecisionRule:
    return DecisionRule(
        version=rule.ref,
        kind=rule.kind,
        effective_from=rule.effective_from,
        applies_by=rule.applies_by,
        parameters=rule.parameters,
        source=rule.source,
        confidence=rule.confidence,
        assumption=rule.assumption,
    )


class ZeroResultDocument(Struct, frozen=True):
    """What a run over members gave one of them nothing by: the fee or the class where it tells some apart, and why."""

    decision: str
    kind: str
    run: int
    product: str
    decided_on: date
    subject: str
    reason: str

    @classmethod
    def of(cls, one: ZeroResult) -> Self:
        """Return it as the API tells it."""
        return cls(str(one.decision_id), one.kind, one.run_no, one.product, one.decided_on, one.subject, one.reason)


AboutMember = Annotated[
    str | None,
    QueryParameter(name="member", max_length=40, description="Of a run: the member whom it gave nothing, and why."),
]


class ZeroResultController(Controller):
    """What came to nothing."""

    path = "/v1/members"
    tags = ("Decisions",)

    @get(
        "/{number:str}/zero-results",
        operation_id="ListZeroResults",
        opt={"permission": Permission.DECISIONS_READ},
        responses=refuses(UnknownMember),
    )
    async def zero_results(
        self,
        number: FromPath[str],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
        keys: NamedDependency[FileKeyStore],
    ) -> Response[list[ZeroResultDocument]]:
        """List the matches, fees and interest that came to nothing for a member; each decision can be explained."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            found = await service.nothing_given(session, keys, number)
        return Response([ZeroResultDocument.of(one) for one in found], headers=_NO_STORE)


class DecisionController(Controller):
    """Why a decision came out as it did."""

    path = "/v1/decisions"
    tags = ("Decisions",)

    @get(
        "/{decision:int}",
        operation_id="ExplainDecision",
        opt={"permission": Permission.DECISIONS_READ},
        responses=refuses(UnknownDecision, UnknownMember, PackNotStored, UnknownLanguage),
    )
    async def explain(
        self,
        decision: FromPath[Annotated[int, Meta(ge=1, le=LAST_DECISION)]],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
        keys: NamedDependency[FileKeyStore],
        caller: NamedDependency[Caller],
        lang: Language = None,
        member: AboutMember = None,
    ) -> Response[DecisionDocument]:
        """Explain a decision by its receipt, or the number of a refusal or run: how it came out, by which rules, from what."""
        if lang is not None and lang not in tenant.pack.languages:
            raise UnknownLanguage(field="lang", allowed=", ".join(tenant.pack.languages))
        async with db.unit_of_work(tenant.tenant_id) as session:
            told = await service.tell_decision(
                session, keys, tenant, decision, actor=caller.actor, language=lang, member=member
            )
        return Response(decision_document(told), headers=_NO_STORE)


async def _statement(
    session: AsyncSession,
    tenant: Tenant,
    keys: FileKeyStore,
    number: str,
    as_of: str | None,
    log_size: int | None,
    product: str | None,
    actor: str,
) -> tuple[MemberRef, Statement]:
    member = await service.find_member(session, keys, number, product=product or "")
    day = await day_of(session, tenant, as_of)
    into = await identity.number_merged_into(session, keys, number, member.member_id, actor=actor)
    statement = await service.statement(
        session,
        tenant,
        member,
        number=compact_reference(number),
        as_of=day,
        known_size=log_size,
        merged_into=into,
    )
    return member, statement


class ProjectedYear(Struct, frozen=True):
    """Where a projection stands at the end of a year: all paid in and added by others so far, and the pot."""

    on: date
    paid_in: str
    matched: str
    pot: str
    pot_today: str


class ProjectedOutlook(Struct, frozen=True):
    """One outlook: at the benefit's first day, and each payment of its first year; `…_today` in today's money."""

    outlook: str
    pot: str
    pot_today: str
    lump: str
    lump_today: str
    income: str
    income_today: str
    payments_a_year: int
    years: tuple[ProjectedYear, ...]


class PromisedPension(Struct, frozen=True):
    """What each payment of the promised pension comes to, exactly, and what that is worth in today's money."""

    amount: str
    amount_today: str


class ProjectionDocument(Struct, frozen=True, omit_defaults=True):
    """What a member may expect, never without what it assumes: `assumptions` are the rules that decided, with sources.

    Three outlooks, cautious to favourable: none is a promise. `promised` is, where the scheme promises a pension.
    """

    member: str
    product: str
    on: date
    benefit_on: date
    currency: str
    contribution: str
    times_a_year: int
    match: tuple[str, ...]
    outlooks: tuple[ProjectedOutlook, ...]
    assumptions: tuple[DecisionRule, ...]
    decision: str
    promised: PromisedPension | None = None


Contribution = Annotated[
    str | None,
    QueryParameter(
        name="contribution",
        max_length=20,
        description="What the member will pay each time, in major units; as over the last twelve months if left out.",
    ),
]
TimesAYear = Annotated[
    int | None,
    QueryParameter(name="times_a_year", description="How often: 365, 52, 12, 4, 2 or 1 times a year; 12 if left out."),
]
Choices = Annotated[
    list[str] | None,
    QueryParameter(
        name="choice", max_items=5, description="A key of the promised pension's table and its value, as slab:3000."
    ),
]


class ProjectionController(Controller):
    """What a member may expect at retirement."""

    path = "/v1/members"
    tags = ("Projections",)

    @get(
        "/{number:str}/projection",
        operation_id="GetProjection",
        opt={"permission": Permission.STATEMENTS_READ},
        responses=refuses(
            UnknownMember,
            ContributionMalformed,
            UnknownFrequency,
            ChoiceMalformed,
            NoProjection,
            NoBenefitAge,
            TableValueMissing,
        ),
    )
    async def show(
        self,
        number: FromPath[str],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
        keys: NamedDependency[FileKeyStore],
        caller: NamedDependency[Caller],
        contribution: Contribution = None,
        times_a_year: TimesAYear = None,
        choice: Choices = None,
        product: ProductCode = None,
    ) -> Response[ProjectionDocument]:
        """Tell what a member may expect if they go on paying: three outlooks in today's money, and what is promised."""
        saving = service.saving_of(contribution, times_a_year, tenant.asset)
        choices = service.choices_of(choice or ())
        async with db.unit_of_work(tenant.tenant_id) as session:
            member = await service.find_member(session, keys, number, product=product or "")
            found = await service.project_member(
                session,
                keys,
                tenant,
                member,
                on=await day_of(session, tenant, None),
                actor=caller.actor,
                saving=saving,
                choices=choices,
            )
        return Response(_projection(compact_reference(number), member, tenant, found), headers=_NO_STORE)


def _projection(number: str, member: MemberRef, tenant: Tenant, found: service.Projected) -> ProjectionDocument:
    def money(minor: int) -> str:
        return _fixed(minor, tenant.asset.scale)

    plan, promised = found.illustrated.projection.plan, found.illustrated.promised
    return ProjectionDocument(
        member=number,
        product=member.product,
        on=plan.starts_on,
        benefit_on=plan.benefit_on,
        currency=tenant.asset.symbol,
        contribution=money(found.saving.amount),
        times_a_year=found.saving.times_a_year,
        match=tuple(map(money, found.match)),
        outlooks=tuple(
            ProjectedOutlook(
                outlook=one.outlook.name,
                pot=money(one.pot),
                pot_today=money(one.pot_today),
                lump=money(one.lump),
                lump_today=money(one.lump_today),
                income=money(one.income),
                income_today=money(one.income_today),
                payments_a_year=one.payments_a_year,
                years=tuple(
                    ProjectedYear(row.on, *map(money, (row.paid_in, row.matched, row.pot, row.pot_today)))
                    for row in one.rows
                ),
            )
            for one in found.illustrated.projection.illustrations
        ),
        assumptions=tuple(map(_decision_rule, found.assumptions)),
        decision=str(found.decision),
        promised=None if promised is None else PromisedPension(money(promised.amount), money(promised.amount_today)),
    )
