"""Payouts that are refused leave a decision on record: what was asked, by which rules of ways of payment, never whom it pays."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from engine.benefits.queries import claiming as claims
from engine.benefits.queries import paying as queries
from engine.benefits.rules import PayoutRouteRule
from engine.benefits.rules.paying import AccountGiven
from engine.benefits.service import inheriting
from engine.identity import service as identity
from engine.kernel.clock import business_date
from engine.kernel.rules import Dates
from engine.ledger import service as ledger
from engine.runtime.database import Database
from engine.runtime.key_file import FileKeyStore
from engine.tenancy.rules.decided import Determination
from engine.tenancy.service import Tenant, refusals_kept


@asynccontextmanager
async def instructing(
    db: Database,
    keys: FileKeyStore,
    tenant: Tenant,
    *,
    member: str,
    product: str,
    amounts: Mapping[tuple[str, str], int],
    accounts: Sequence[AccountGiven],
) -> AsyncIterator[None]:
    """Put on record what refuses a payout that is made inside, in a transaction of its own.

    Args:
        db: of the scheme.
        keys: find the member.
        tenant: whose member it is.
        member: their number.
        product: the product that the money is of.
        amounts: smallest units by (pot, origin).
        accounts: the payee's; of them only the ways they are paid by are kept.

    """

    async def asked(session: AsyncSession) -> Determination | None:
        found = (await identity.members_by_number(session, keys, [member])).get(member)
        if found is None or product not in tenant.pack.books:
            return None
        today = business_date(await ledger.scheme_now(session), tenant.time_zone)
        dates = Dates(on=today, joined_on=found.joined_on)
        return Determination(
            kind="payout-request",
            product=product,
            decided_on=today,
            rules=[one.ref for one in tenant.rules(PayoutRouteRule, product=product, dates=dates)],
            member_id=found.member_id,
            inputs={"amount": str(sum(amounts.values())), "rail": sorted({one.rail for one in accounts})},
        )

    async with refusals_kept(db, tenant, asked):
        yield


@asynccontextmanager
async def approving(db: Database, tenant: Tenant, payout_id: UUID) -> AsyncIterator[None]:
    """Put on record what refuses the approval of a payout that is tried inside, in a transaction of its own."""

    async def asked(session: AsyncSession) -> Determination | None:
        row = await queries.find_payout(session, payout_id)
        if row is None or row.product not in tenant.pack.books:
            return None
        return Determination(
            kind="payout-approval",
            product=row.product,
            decided_on=business_date(await ledger.scheme_now(session), tenant.time_zone),
            rules=row.rules,
            member_id=max(row.member_id, 0),
            inputs={"payout": str(payout_id), "amount": str(row.amount), "rail": row.rail},
        )

    async with refusals_kept(db, tenant, asked):
        yield


@asynccontextmanager
async def paying_heir(db: Database, tenant: Tenant, claim_id: int, heir_no: int, purpose: str) -> AsyncIterator[None]:
    """Put on record what refuses a payout to an heir that is made inside, in a transaction of its own; the heir by their number."""

    async def asked(session: AsyncSession) -> Determination | None:
        row = await claims.find_claim(session, claim_id)
        if row is None or row.estate is None:
            return None
        today = business_date(await ledger.scheme_now(session), tenant.time_zone)
        terms = await inheriting.terms_of(session, tenant, row, today)
        routes = tenant.rules(PayoutRouteRule, product=row.product, dates=Dates(on=today, joined_on=today))
        trust = () if terms.trust is None else (terms.trust.ref,)
        return Determination(
            kind="payout-request",
            product=row.product,
            decided_on=today,
            rules=[*(one.ref for one in terms.proofs), *trust, *(one.ref for one in routes)],
            member_id=row.member_id,
            inputs={"claim": str(claim_id), "heir": heir_no, **({"purpose": purpose} if purpose else {})},
        )

    async with refusals_kept(db, tenant, asked):
        yield
