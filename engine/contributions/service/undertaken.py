"""Contributions of members who undertook to pay: decided by their instalments, and what they still owe of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date

from sqlalchemy.ext.asyncio import AsyncSession

from engine.contributions.errors import NotWhatIsDue
from engine.contributions.queries import undertaken as queries
from engine.contributions.rules import Instalments, InstalmentTerms, Towards, Undertook, instalment_terms
from engine.contributions.service.rules_of import products_with
from engine.enrolment.rules import ChartRule
from engine.identity.rules import MemberRef
from engine.kernel.amounts import Amount
from engine.kernel.errors import EngineError
from engine.kernel.rules import Dates
from engine.kernel.series import Figures
from engine.tenancy import service as tenancy
from engine.tenancy.rules.books import OnDates
from engine.tenancy.service import Tenant

_terms: dict[tuple[str, str, date, date], InstalmentTerms | None] = {}
_MOST_TERMS = 10_000


@dataclass(frozen=True, slots=True)
class Paying:
    """A contribution of a member, as they stand in its product, on a day."""

    member: MemberRef
    on: date
    amount: Amount


@dataclass(frozen=True, slots=True)
class Decided:
    """What a contribution pays of what its member undertook, or why it is refused, and by which rules."""

    answer: Towards | EngineError
    rules: tuple[str, ...]

    @property
    def facts(self) -> Mapping[str, str]:
        """Return what the event of the contribution says of it; amounts in smallest units."""
        if isinstance(self.answer, EngineError):
            return {}
        one = self.answer
        told = {
            "slab": one.slab,
            "frequency": one.frequency,
            "instalment": str(one.instalment.units),
            "instalments": str(one.instalments),
        }
        money = {name: str(part.units) for name, part in (("charge", one.charge), ("kept", one.kept))}
        return {name: said for name, said in {**told, **money}.items() if said and (said != "0" or name not in money)}


async def undertook_by(
    session: AsyncSession, tenant: Tenant, members: Sequence[MemberRef]
) -> dict[tuple[int, str], Undertook]:
    """Return what members undertook, by (member_id, product); nothing is read where no product has a chart."""
    charted = charted_products(tenant)
    asked = sorted({(one.member_id, one.product) for one in members if one.product in charted})
    return await queries.undertook(session, asked)


def decide_instalments(
    tenant: Tenant, figures: Figures, known: Mapping[tuple[int, str], Undertook], paying: Sequence[Paying]
) -> list[Decided | None]:
    """Return what each contribution pays of what its member undertook, in their order; None where nothing is undertaken.

    Those before count in those after.
    """
    standing = dict(known)
    found: list[Decided | None] = []
    for one in paying:
        key = (one.member.member_id, one.member.product)
        terms = terms_of_instalments(tenant, one.member.product, one.on, one.member.joined_on)
        decided = None
        if key in standing and terms is not None:
            case = Instalments(terms, standing[key], tenant.pack.tables, figures, one.on)
            try:
                answer = case.towards(one.amount)
            except EngineError as refusal:
                decided = Decided(refusal, terms.refs)
            else:
                if answer is not None:
                    decided = Decided(answer, terms.refs)
                    paid = one.amount - answer.charge - answer.kept - answer.returned
                    standing[key] = replace(standing[key], paid=standing[key].paid + paid.units)
        found.append(decided)
    return found


async def decide_contribution(
    session: AsyncSession, tenant: Tenant, figures: Figures, member: MemberRef, on: date, amount: Amount
) -> Decided | None:
    """Return what one contribution that is taken whole would pay of what its member undertook; None where nothing is undertaken.

    Raises:
        EngineError: what the instalments' rules refuse; NotWhatIsDue too where a part would go back.
    """
    known = await undertook_by(session, tenant, [member])
    (decided,) = decide_instalments(tenant, figures, known, [Paying(member, on, amount)])
    if decided is None:
        return None
    answer = decided.answer
    if isinstance(answer, EngineError):
        raise answer
    if answer.returned.units:
        told = str((amount - answer.returned).decimal())
        raise NotWhatIsDue(field="amount", instalment=str(answer.instalment.decimal()), allowed=told, amounts=[told])
    return decided


async def undertakings_of(
    session: AsyncSession, asked: Sequence[tuple[int, str]], *, on: date
) -> dict[tuple[int, str], Undertook]:
    """Return what members of products undertook by the end of a day and paid of it, by (member_id, product)."""
    return await queries.undertook(session, asked, until=on)


async def contributions_payable(
    session: AsyncSession,
    tenant: Tenant,
    members: Sequence[MemberRef],
    on: date,
    *,
    log_size: int | None = None,
) -> dict[tuple[int, str], Amount]:
    """Return what members undertook and have not paid by the end of a day, by (member_id, product).

    Instalments due up to and with the day less what was paid of them; never below 0, charges for lateness not counted.
    Who undertook nothing is left out. One statement, however many.

    Args:
        session: the tenant's.
        tenant: the scheme.
        members: as they stand in their products.
        on: the day.
        log_size: as known in the log of this size; None: all there is.

    """
    charted = charted_products(tenant)
    asked = sorted({(one.member_id, one.product) for one in members if one.product in charted})
    known = await queries.undertook(session, asked, until=on, log_size=log_size)
    figures = await tenancy.figures_for(session, tenant) if known else tenant.pack.figures()
    found = {}
    for key, member in known.items():
        terms = terms_of_instalments(tenant, key[1], on, member.joined_on)
        if terms is not None:
            found[key] = Instalments(terms, member, tenant.pack.tables, figures, on).owed()
    return found


async def collectable(
    session: AsyncSession, tenant: Tenant, limits: Sequence[tuple[MemberRef, int]], on: date
) -> list[int]:
    """Return what may be collected on a day of each member, by their instalments and no more than their limit; smallest units.

    In their order; 0 of who undertook nothing, or owes nothing. One statement, however many.
    """
    known = await undertook_by(session, tenant, [one for one, _ in limits])
    figures = await tenancy.figures_for(session, tenant)
    found = []
    for member, limit in limits:
        standing = known.get((member.member_id, member.product))
        terms = None if standing is None else terms_of_instalments(tenant, member.product, on, member.joined_on)
        if standing is None or terms is None:
            found.append(0)
        else:
            case = Instalments(terms, standing, tenant.pack.tables, figures, on)
            found.append(case.collectable(Amount(limit, tenant.asset)).units)
    return found


async def first_missed(
    session: AsyncSession, tenant: Tenant, members: Sequence[MemberRef], on: date
) -> dict[tuple[int, str], date]:
    """Return the first day on which an instalment was due and is late by `on`, by (member_id, product); who owes none is left out.

    One statement, however many.
    """
    charted = charted_products(tenant)
    asked = sorted({(one.member_id, one.product) for one in members if one.product in charted})
    known = await queries.undertook(session, asked, until=on)
    figures = await tenancy.figures_for(session, tenant) if known else tenant.pack.figures()
    found = {}
    for key, member in known.items():
        terms = terms_of_instalments(tenant, key[1], on, member.joined_on)
        missed = None if terms is None else Instalments(terms, member, tenant.pack.tables, figures, on).first_late()
        if missed is not None:
            found[key] = missed
    return found


def terms_of_instalments(tenant: Tenant, product: str, on: date, joined_on: date) -> InstalmentTerms | None:
    """Return the rules by which instalments of a product are paid on a day, for who joined on `joined_on`; None: it has none."""
    key = (tenant.pack.sha256, product, on, joined_on)
    if key not in _terms:
        if len(_terms) >= _MOST_TERMS:
            _terms.clear()
        year_from = tenant.product(product).scheme_year(on)[0]
        dates = Dates(on=on, joined_on=joined_on, tranche_on=on, scheme_year_from=year_from)
        _terms[key] = instalment_terms(product, OnDates(tenant.book(product), dates))
    return _terms[key]


def charted_products(tenant: Tenant) -> frozenset[str]:
    """Return the products in which members ever undertake instalments."""
    return products_with(tenant, ChartRule)
