"""Savings on their way to another scheme, as claims and payouts book them."""

from collections.abc import Mapping

from sqlalchemy.ext.asyncio import AsyncSession

from engine.benefits.errors import TransferDecided, TransferWaits, UnknownTransfer
from engine.benefits.queries import transferring as queries
from engine.benefits.queries.claiming import ClaimRow
from engine.benefits.queries.transferring import OutRow
from engine.benefits.rules.advices import carried
from engine.benefits.rules.transfers import less_charge
from engine.benefits.service.histories import moves_behind, paid_into
from engine.contributions.service import Held
from engine.kernel.clock import business_date
from engine.ledger import service as ledger
from engine.ledger.rules import Account
from engine.tenancy.service import Tenant

Move = tuple[int, Account, Account]


def transit_of(tenant: Tenant, product: str) -> Account:
    """Return the account of what left a product for other schemes, and was not paid to them yet."""
    return Account("transfers-in-transit", tenant.asset.symbol, product)


def arrival(tenant: Tenant, product: str, held: Held) -> Move:
    """Return what takes a held payment out of suspense: Dr suspense / Cr transfers-in-transit."""
    suspense = Account("suspense", tenant.asset.symbol, party=held.channel)
    return held.amount, suspense, transit_of(tenant, product)


def reference_of(claim_id: int) -> str:
    """Return the reference that stands in the advice of a transfer, and with its money."""
    return f"T{claim_id}"


async def check_free(session: AsyncSession, row: ClaimRow, *, is_unitised: bool) -> None:
    """Refuse a transfer of a member of whom something is under way: TransferWaits."""
    reason = await queries.bound_by(session, row.member_id, row.product, but=row.claim_id, is_unitised=is_unitised)
    if reason:
        raise TransferWaits(reason=reason)


async def hold_open(session: AsyncSession, claim_id: int) -> OutRow:
    """Return a transfer that is not over; nobody else can change it until the session ends.

    Raises:
        UnknownTransfer, TransferDecided: there is none, or it is over.
    """
    row = await queries.find_out(session, claim_id, hold=True)
    if row is None:
        raise UnknownTransfer
    if row.state != "open":
        raise TransferDecided(state=row.state)
    return row


def moves_of(tenant: Tenant, row: ClaimRow, nets: Mapping[tuple[str, str], int]) -> list[Move]:
    """Return what leaves for another scheme, after tax: Dr member payable / Cr transfers-in-transit, and the charge / Cr fees-payable."""
    assert row.facts is not None, row
    money, product = tenant.asset.symbol, row.product
    borne = less_charge(nets, row.facts.charge)
    moves: list[Move] = []
    for (pot, origin), minor in sorted(nets.items()):
        payable = Account("payable", money, product, pot, origin)
        charge = borne.get((pot, origin), 0)
        moves.append((minor - charge, payable, transit_of(tenant, product)))
        if charge:
            moves.append((charge, payable, Account("fees-payable", money, product, party=row.facts.charge_to)))
    return moves


async def booked(session: AsyncSession, tenant: Tenant, row: ClaimRow, nets: Mapping[tuple[str, str], int]) -> None:
    """Keep what `moves_of` put in transit, with what its advice says of it."""
    assert row.facts is not None, row
    borne = less_charge(nets, row.facts.charge)
    left = {key: minor - borne.get(key, 0) for key, minor in nets.items() if minor > borne.get(key, 0)}
    if not left:  # units may bring nothing
        return
    moves = await moves_behind(session, tenant, row.member_id, row.product)
    paid = await paid_into(session, row.member_id, row.product, moves, row.facts.on)
    parts, payments = carried(left, paid, row.facts.returned)
    await queries.add_out(
        session,
        OutRow(
            member_id=row.member_id,
            claim_id=row.claim_id,
            amount=sum(left.values()),
            ended_event=0,
            receipt=0,
            dated_on=business_date(await ledger.scheme_now(session), tenant.time_zone),
            joined_on=row.facts.joined_on,
            product=row.product,
            state="open",
            acknowledgement="",
            parts=parts,
            payments=payments,
        ),
    )
