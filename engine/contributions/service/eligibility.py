"""Asking again at contributions what the products' rules want to know: by a few statements, however many there are."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from sqlalchemy.ext.asyncio import AsyncSession

from engine.contributions import queries
from engine.contributions.errors import AboveLevel, NotEligible
from engine.enrolment import service as enrolment
from engine.enrolment.rules import ContributionTests, PaidSoFar, Unmet, ask_again
from engine.identity.rules import MemberRef
from engine.kernel.errors import EngineError
from engine.kernel.series import Figures
from engine.tenancy.service import Tenant

LEVEL_TEST = "level"


@dataclass(frozen=True, slots=True)
class Asked:
    """A contribution of smallest units by a member on a day, and what the product asks of it."""

    member: MemberRef
    on: date
    units: int
    tests: ContributionTests


async def unmet_of(
    session: AsyncSession, tenant: Tenant, figures: Figures, asked: Sequence[Asked]
) -> list[Unmet | None]:
    """Return what each contribution fails on, or None, in their order; those before count in the limits of those after.

    One statement, or two where limits of a scheme year or of the balance count; none where nothing is asked.
    """
    if not asked:
        return []
    places = {(one.member.member_id, one.member.product, one.on) for one in asked}
    known = await enrolment.known_again(session, sorted(places))
    in_year, held = await _paid_so_far(session, tenant, asked)
    found = []
    for one in asked:
        account = (one.member.member_id, one.member.product)
        year = (*account, tenant.product(one.member.product).scheme_year(one.on)[0])
        unmet = ask_again(
            one.tests,
            known[*account, one.on],
            one.member.joined_on,
            paid=one.units,
            before=PaidSoFar(in_year[year], held[account]),
            figures=figures,
            on=one.on,
        )
        if unmet is None:
            in_year[year] += one.units
            held[account] += one.units
        found.append(unmet)
    return found


def refusal_of(unmet: Unmet, product: str) -> EngineError:
    """Return how a contribution is refused that fails on something."""
    return AboveLevel() if unmet.test == LEVEL_TEST else NotEligible(product=product)


async def _paid_so_far(
    session: AsyncSession, tenant: Tenant, asked: Sequence[Asked]
) -> tuple[dict[tuple[int, str, date], int], dict[tuple[int, str], int]]:
    """Return what was paid, by member, product and scheme year, and what is held, where limits count it; else 0."""
    in_year: dict[tuple[int, str, date], int] = defaultdict(int)
    held: dict[tuple[int, str], int] = defaultdict(int)
    wanted = sorted(
        {
            (one.member.member_id, one.member.product, *tenant.product(one.member.product).scheme_year(one.on))
            for one in asked
            if one.tests.counts_money
        }
    )
    if wanted:
        for row, (paid, balance) in zip(wanted, await queries.paid_and_held(session, wanted), strict=True):
            in_year[row[:3]], held[row[:2]] = paid, balance
    return in_year, held
