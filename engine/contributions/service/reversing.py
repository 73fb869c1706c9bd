"""Taking a payment back, at whatever stage it is: proposed by one person, carried out once another has confirmed it.

The whole amount leaves the account that it came by; what was posted to a wrong member lies in suspense instead, by the day it
came, and is given to the right one by the same path as any suspended payment. What has bought units is raised by selling them at the next price;
the role that the investing rule names bears the difference, and the member owes what they no longer hold. `docs/corrections.md`
has the entries of each case.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Literal
from uuid import UUID

import msgspec
from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncSession

from engine.access.rules import checked_by_other
from engine.contributions import queries
from engine.contributions.errors import (
    AlreadyResolved,
    MemberClosed,
    NothingToMove,
    ReversalDecided,
    ReversalDiffers,
    UnknownContribution,
)
from engine.contributions.queries import CameAs, ReversalRow
from engine.contributions.queries.passing import passed_on
from engine.contributions.queries.suspense import earned_by
from engine.contributions.rules import Owed, parts_left
from engine.contributions.service.misdirected import Misdirected
from engine.contributions.service.moved import Place, place_of
from engine.contributions.service.suspense import WRONG_MEMBER
from engine.funds import service as funds
from engine.funds.errors import NoDealingRule
from engine.funds.rules import InvestingRule, MoneyState, on_reversal
from engine.funds.service import AllocationState, SaleState, Units
from engine.identity.rules import MemberRef, MemberStatus
from engine.kernel.amounts import Amount, Asset
from engine.kernel.clock import business_date
from engine.kernel.ids import claim_digest, house_member
from engine.kernel.rules import Dates
from engine.ledger import service as ledger
from engine.ledger.rules import Account, Entry, EventKind, Outcome, Transfer
from engine.runtime import quarantine
from engine.runtime.database import Database, Role, retry_transaction
from engine.runtime.key_file import FileKeyStore
from engine.tenancy.service import Tenant

Reason = Literal["charged-back", "paid-twice", "paid-by-mistake", "not-allowed"]
_ACTOR = "system:reversals"
_NOT_TAKEN_BACK = (EventKind.LOAN_REPAID, EventKind.TRANSFER_TAKEN_IN, EventKind.TRANSFER_CAME_HOME)
"""The kinds of events by which a suspended payment is given away for good."""
_MONEY_STATES: Mapping[AllocationState | None, MoneyState] = {
    None: "received",
    AllocationState.ALLOCATED: "reconciled",
    AllocationState.ORDERED: "ordered",
    AllocationState.PRICED: "priced",
}


class Reversal(Struct, frozen=True, kw_only=True):
    """A payment that is taken back, in major units.

    `state`: proposed, rejected, waiting (its money is in an order without a price), selling (the units it bought are), or
    reversed. `digest` stands for what was proposed, and is sent back to confirm it. `owed` is what the member no longer
    had, `difference` what the price took from `difference_to`, or gave to it if negative. `given_to` is the pseudonym of the
    member whose it is, "" where it leaves the scheme; `held` the receipt under which it lay in suspense for them, and `refused`
    why their terms did not take it, so that it lies there still.
    """

    receipt: str
    amount: str
    channel: str
    reason: str
    state: str
    digest: str
    owed: str
    difference: str
    difference_to: str
    given_to: str
    held: str
    refused: str


async def propose_reversal(
    session: AsyncSession,
    tenant: Tenant,
    receipt: int,
    *,
    reason: Reason | None = None,
    to: MemberRef | None = None,
    actor: str,
) -> Reversal:
    """Propose to take a payment back, or to move it to the right member; nothing moves until another person has confirmed it.

    Args:
        session: the tenant's.
        tenant: the scheme.
        receipt: the payment's receipt, or that of its resolution out of suspense.
        reason: why; None where it was posted to a wrong member.
        to: the right member then.
        actor: who proposes, and so may not confirm.

    Raises:
        UnknownContribution: there is no such receipt.
        ReversalDecided: it was proposed, or is taken back, already.
        AlreadyResolved: it paid a loan back, or belongs to savings that came from another scheme, or back from one.
        NothingToMove: it is in suspense, or that member's already.
        MemberClosed: that member's record takes no payments.
    """
    assert (reason is None) != (to is None), "taken back for a reason, or moved to a member"
    came = await _came(session, receipt)
    if to is not None and (came.holder is None or came.bearer == to.member_id):
        raise NothingToMove
    if to is not None and to.status != MemberStatus.ACTIVE:
        raise MemberClosed
    if came.holder is not None:
        holding = await ledger.stored_events(session, [(came.holder, came.holder_event)])
        if holding[came.holder_event].kind in _NOT_TAKEN_BACK:
            raise AlreadyResolved
    maker = await ledger.actor_id(session, actor)
    added = await queries.add_reversal(
        session,
        member_id=came.holder or house_member(tenant.tenant_id),
        event_id=came.event_id,
        amount=came.amount,
        reason=reason or WRONG_MEMBER,
        by=maker,
        given_to=to.member_id if to else 0,
    )
    row = await _row(session, came)
    if not added:
        raise ReversalDecided(state=row.state)
    await _note(session, tenant, EventKind.REVERSAL_PROPOSED, row, maker)
    return _told(row, came, tenant.asset)


async def movable(session: AsyncSession, receipts: Sequence[int], *, holder: int, to: MemberRef) -> dict[int, int]:
    """Return the amounts, in smallest units, of payments that a member holds and that may be moved to another, by receipt as it came.

    Raises:
        UnknownContribution: one of them is no payment of that member's.
        NothingToMove: `to` is that member.
        MemberClosed: the record of `to` takes no payments.
        ReversalDecided: one is taken back or moved already, or a proposal to waits.
        AlreadyResolved: one paid a loan back, or belongs to savings that came from another scheme, or back from one.
    """
    if to.member_id == holder:
        raise NothingToMove
    if to.status != MemberStatus.ACTIVE:
        raise MemberClosed
    found: dict[int, int] = {}
    for receipt in receipts:
        came = await _came(session, receipt)
        if came.holder is None or came.bearer != holder:
            raise UnknownContribution
        holding = await ledger.stored_events(session, [(came.holder, came.holder_event)])
        if holding[came.holder_event].kind in _NOT_TAKEN_BACK:
            raise AlreadyResolved
        row = await queries.hold_reversal(session, came.event_id)
        if row is not None and row.state != "rejected":
            raise ReversalDecided(state=row.state)
        found[came.event_id] = came.amount
    return found


async def move_together(
    session: AsyncSession, receipts: Sequence[int], *, holder: int, to: MemberRef, proposed_by: str, actor: str
) -> None:
    """Let payments go to another member that two people stand for; `carry_on_reversals` moves each as soon as its stage allows.

    Raises as `movable` does, by which none is moved.
    """
    amounts = await movable(session, receipts, holder=holder, to=to)
    maker, checker = await ledger.actor_id(session, proposed_by), await ledger.actor_id(session, actor)
    for receipt, amount in sorted(amounts.items()):
        came = await _came(session, receipt)
        added = await queries.add_reversal(
            session,
            member_id=came.bearer,
            event_id=receipt,
            amount=amount,
            reason=WRONG_MEMBER,
            by=maker,
            given_to=to.member_id,
        )
        row = await _row(session, came)
        if not added:
            raise ReversalDecided(state=row.state)
        await queries.save_reversal(session, replace(row, state="waiting"), decided_by=checker)


async def find_reversal(session: AsyncSession, tenant: Tenant, receipt: int) -> Reversal:
    """Return the last proposal to take a payment back, and how far it has come; UnknownContribution if there is none."""
    came = await _came(session, receipt)
    return _told(await _row(session, came), came, tenant.asset)


async def reject_reversal(session: AsyncSession, tenant: Tenant, receipt: int, *, actor: str) -> Reversal:
    """Refuse to take a payment back, as a second person; raises as `confirm_reversal` does."""
    came = await _came(session, receipt)
    row = await _proposed(session, came, actor)
    checker = await ledger.actor_id(session, actor)
    row = replace(row, state="rejected")
    await queries.save_reversal(session, row, decided_by=checker)
    await _note(session, tenant, EventKind.REVERSAL_REJECTED, row, checker)
    return _told(row, came, tenant.asset)


async def confirm_reversal(
    db: Database, keys: FileKeyStore, tenant: Tenant, receipt: int, *, digest: str, actor: str
) -> Reversal:
    """Take a payment back, as a second person, as far as its stage allows; what waits for a price is carried on later.

    In suspense or not ordered yet, it leaves the account it came by at once. In an order, it waits for the order's
    price. Where it has bought units, those that the member still holds are put up for sale. What another member is to have
    they are given by the terms of the day it came, in the same transaction; what these refuse stays in suspense.

    Raises:
        UnknownContribution: nobody proposed it.
        ReversalDecided: it is decided already.
        ReversalDiffers: `digest` is not that of the proposal.
        SamePerson: `actor` proposed it.
        AlreadyResolved: the suspended payment was given to a member in between.
        NoDealingRule: no investing rule says who bears the difference in price.
    """

    async def once() -> Reversal:
        async with db.unit_of_work(tenant.tenant_id, role=Role.JOBS) as session:
            came = await _came(session, receipt)
            if came.holder is None:  # before anything is interned: whoever else decides on it does so in this order
                await queries.hold_suspense(session, came.event_id)
            row = await _proposed(session, came, actor)
            if digest != _digest(row, came):
                raise ReversalDiffers
            checker = await ledger.actor_id(session, actor)
            await queries.save_reversal(session, replace(row, state="waiting"), decided_by=checker)
            await _note(session, tenant, EventKind.REVERSAL_CONFIRMED, row, checker)
            row = await _go_on(session, keys, tenant, row, came, actor)
            return _told(row, came, tenant.asset)

    return await retry_transaction(once)


async def carry_on_reversals(db: Database, keys: FileKeyStore, tenant: Tenant) -> int:
    """Carry on what waited for a price, each in a transaction of its own; return how many were reversed.

    May be stopped and run again, and run twice at once. One that fails is put aside.
    """
    async with db.unit_of_work(tenant.tenant_id) as session:
        waiting = await queries.open_reversals(session)

    async def carry_on(receipt: int) -> bool:
        async def once() -> bool:
            async with db.unit_of_work(tenant.tenant_id, role=Role.JOBS) as session:
                came = await _came(session, receipt)
                row = await _row(session, came)
                if row.state not in {"waiting", "selling"}:
                    return False
                return (await _go_on(session, keys, tenant, row, came, _ACTOR)).state == "reversed"

        return await retry_transaction(once)

    return await quarantine.each(
        db,
        tenant.tenant_id,
        waiting,
        carry_on,
        task="contributions.carry_on_reversals",
        owner="contributions-officer",
    )


async def _came(session: AsyncSession, receipt: int) -> CameAs:
    found = await queries.came_as(session, receipt)
    if found is None:
        raise UnknownContribution
    return found


async def _row(session: AsyncSession, came: CameAs) -> ReversalRow:
    row = await queries.hold_reversal(session, came.event_id)
    if row is None:
        raise UnknownContribution
    return row


async def _proposed(session: AsyncSession, came: CameAs, actor: str) -> ReversalRow:
    row = await _row(session, came)
    if row.state != "proposed":
        raise ReversalDecided(state=row.state)
    checked_by_other(maker=row.proposed_by, checker=actor)
    return row


def _digest(row: ReversalRow, came: CameAs) -> str:
    said: dict[str, object] = {"proposal": row.reversal_id, "receipt": row.event_id, "amount": row.amount}
    said |= {"reason": row.reason, **({"to": f"{row.given_to:x}"} if row.given_to else {})}
    return hashlib.sha256(msgspec.json.encode({**said, "channel": came.channel}, order="sorted")).hexdigest()


def _told(row: ReversalRow, came: CameAs, asset: Asset) -> Reversal:
    def money(minor: int) -> str:
        return f"{Amount(minor, asset).decimal():.{asset.scale}f}"

    return Reversal(
        receipt=str(row.event_id),
        amount=money(row.amount),
        channel=came.channel,
        reason=row.reason,
        state=row.state,
        digest=_digest(row, came),
        owed=money(sum(row.owed.values())),
        difference=money(row.difference),
        difference_to=row.difference_to,
        given_to=f"{row.given_to:x}" if row.given_to else "",
        held=str(row.held_event) if row.held_event else "",
        refused=row.refused,
    )


async def _note(session: AsyncSession, tenant: Tenant, kind: EventKind, row: ReversalRow, actor: int) -> None:
    await ledger.post(
        session,
        [
            Entry(
                member_id=house_member(tenant.tenant_id),
                kind=kind,
                business_date=business_date(await ledger.scheme_now(session), tenant.time_zone),
                actor=actor,
                pack=tenant.pack_id,
                body={
                    "receipt": str(row.event_id),
                    "amount": str(row.amount),
                    "reason": row.reason,
                    **({"to": f"{row.given_to:x}"} if row.given_to else {}),
                },
            )
        ],
    )


async def _go_on(
    session: AsyncSession, keys: FileKeyStore, tenant: Tenant, row: ReversalRow, came: CameAs, actor: str
) -> ReversalRow:
    """Go one step, or as many as can be gone now; return how far that is."""
    # A receipt that is being matched must not go into a dealing while its cash is taken back.
    await funds.hold_allocating(session)
    now = await ledger.scheme_now(session)
    step = _Step(session, tenant, came, actor, business_date(now, tenant.time_zone))
    if came.holder is None:
        row = await step.out_of_suspense(row)
    else:
        row = await step.of_member(row, (came.holder, came.holder_event))
    if row.state == "reversed" and row.given_to:
        row = await Misdirected(session, keys, tenant, came, actor).give(row)
    await queries.save_reversal(session, row)
    return row


class _Step:
    """What is done to a receipt in one transaction."""

    def __init__(self, session: AsyncSession, tenant: Tenant, came: CameAs, actor: str, today: date) -> None:
        self._session, self._tenant, self._came, self._actor = session, tenant, came, actor
        self._today = today
        self._rules: tuple[str, ...] = ()
        self._at: Place

    async def out_of_suspense(self, row: ReversalRow) -> ReversalRow:
        """Dr suspense / Cr collections; the claim is that of a resolution, so that there is either."""
        came, house = self._came, house_member(self._tenant.tenant_id)
        held = await queries.hold_suspense(self._session, came.event_id)
        if held is None or held.resolved:
            raise AlreadyResolved
        claim = claim_digest(self._tenant.tenant_id, "resolve", str(came.event_id))
        suspense = Account("suspense", self._tenant.asset.symbol, party=came.channel)
        codes = await ledger.account_codes(self._session, [suspense])
        back = Transfer(came.amount, codes[suspense], came.collected)
        event = await self._post(row, [(EventKind.CONTRIBUTION_REVERSED, house, {}, [back])], claim=claim)
        await ledger.correct(self._session, by=(house, event), of=(house, came.event_id))
        return replace(row, state="reversed", reversed_event=event)

    async def of_member(self, row: ReversalRow, key: tuple[int, int]) -> ReversalRow:
        """Go on with a receipt, as (member_id, event_id), that is a member's, or is theirs since its record was merged into theirs."""
        member_id = self._came.bearer
        row = replace(row, member_id=member_id)
        earned = await earned_by(self._session, self._came.event_id)
        events = [key, *([(key[0], earned)] if earned else [])]
        self._at = at = await place_of(self._session, self._came, events)
        if row.sale_event == 0 and (
            at.is_moving
            or at.stage is AllocationState.ORDERED
            or (at.stage is AllocationState.ALLOCATED and at.is_anew)
        ):
            return replace(row, state="waiting", difference_to=self._borne_by(AllocationState.ORDERED))
        if at.stage is not AllocationState.PRICED:
            if at.stage is not None:
                await funds.release(self._session, events)
            return await self._out_of_cash(row, at.pots)
        row = replace(row, difference_to=self._borne_by(at.stage))
        if row.sale_event == 0:
            row = await self._sell(row)
            if row.sale_event:
                return row
        return await self._out_of_proceeds(row)

    def _borne_by(self, stage: AllocationState) -> str:
        product = self._at.product
        found = self._tenant.rule(InvestingRule, product=product, dates=Dates(on=self._today))
        if found is None:
            raise NoDealingRule(product=product, day=self._today.isoformat())
        self._rules = (found.ref,)
        return on_reversal(_MONEY_STATES[stage], found).difference_to

    async def _out_of_cash(self, row: ReversalRow, pots: Mapping[str, int]) -> ReversalRow:
        """Take what the pots got out of their cash; what is not there any more, the member owes."""
        cash = await self._codes("cash", pots)
        held = await ledger.hold_balances(self._session, row.member_id, list(cash.values()))
        owed = {pot: amount - min(amount, held.get(cash[pot], 0)) for pot, amount in pots.items()}
        return await self._give_back(row, pots, owed, [])

    async def _sell(self, row: ReversalRow) -> ReversalRow:
        """Put up what the member still holds of the units that the receipt bought; keep what they owe for the rest."""
        bought = [
            Units(pot, self._came.origin, fund, units)
            for pot, per_fund in sorted(self._at.units.items())
            for fund, units in sorted(per_fund.items())
            if units
        ]
        held = await funds.held_of(self._session, row.member_id, self._at.product, bought) if bought else ()
        left = {(one.pot, one.fund): one.units or 0 for one in held}
        owed = parts_left(
            self._at.pots,
            self._at.by_fund,
            [Owed(one.pot, one.fund, one.units or 0, left[one.pot, one.fund]) for one in bought],
        )
        row = replace(row, owed=owed)
        wanted = [one for one in held if one.units]
        if not wanted:
            return row
        sale = await funds.sell(
            self._session,
            self._tenant,
            row.member_id,
            self._at.product,
            wanted,
            day=self._today,
            actor=self._actor,
            reference=f"reversal:{row.reversal_id}",
        )
        return replace(row, state="selling", sale_event=sale.event_id)

    async def _out_of_proceeds(self, row: ReversalRow) -> ReversalRow:
        """Make the pots whole out of what the units brought, the role that bears the difference, and take them back."""
        brought: dict[str, int] = {}
        if row.sale_event:
            progress = await funds.sale_progress(self._session, self._tenant, row.member_id, row.sale_event)
            assert progress is not None, row
            if progress.state not in {SaleState.PRICED, SaleState.SETTLED}:
                return row
            brought = {pot: amount for (pot, _), amount in progress.proceeds.items()}
        pots, owed = self._at.pots, dict(row.owed)
        cash, payable = await self._codes("cash", pots), await self._codes("payable", pots)
        held = await ledger.hold_balances(self._session, row.member_id, list(payable.values()))
        party = Account("reversal-difference", self._tenant.asset.symbol, party=row.difference_to)
        borne = (await ledger.account_codes(self._session, [party]))[party]
        funding: list[Transfer] = []
        difference = 0
        for pot, amount in sorted(pots.items()):
            wanted = amount - owed.get(pot, 0)
            due, there = brought.get(pot, 0), min(brought.get(pot, 0), held.get(payable[pot], 0))
            # What was paid out to the member in between, they owe as well.
            gone = min(wanted, due) - min(wanted, there)
            owed[pot] = owed.get(pot, 0) + gone
            wanted -= gone
            taken, short = min(wanted, there), wanted - min(wanted, there)
            funding += [Transfer(taken, payable[pot], cash[pot])] if taken else []
            funding += [Transfer(there - taken, payable[pot], borne)] if there > taken else []
            funding += [Transfer(short, borne, cash[pot])] if short else []
            difference += short - (there - taken)
        return await self._give_back(replace(row, difference=difference), pots, owed, funding)

    async def _give_back(
        self,
        row: ReversalRow,
        pots: Mapping[str, int],
        owed: Mapping[str, int],
        funding: list[Transfer],
    ) -> ReversalRow:
        """Dr the pots' cash, and what the member owes, / Cr the account the payment came by, or suspense: its amount in all.

        What it earned in suspense goes back to the interest reserve.
        """
        came, money, member_id = self._came, self._tenant.asset.symbol, row.member_id
        assert came.holder is not None, came
        key = (came.holder, came.holder_event)
        into = came.collected
        if row.given_to:
            suspense = Account("suspense", money, party=came.channel)
            into = (await ledger.account_codes(self._session, [suspense]))[suspense]
        cash = await self._codes("cash", pots)
        recoverable = Account("recoverable", money, self._at.product)
        debt = (await ledger.account_codes(self._session, [recoverable]))[recoverable]
        earned = self._at.earned
        reserve = Account("interest-reserve", money, self._at.product)
        reserves = (await ledger.account_codes(self._session, [reserve]))[reserve] if earned else 0
        back = []
        for pot, amount in sorted(pots.items()):
            left = amount - earned.get(pot, 0)
            for part, code in ((amount - owed.get(pot, 0), cash[pot]), (owed.get(pot, 0), debt)):
                own = min(part, left)
                left -= own
                back += [Transfer(own, code, into)] if own else []
                back += [Transfer(part - own, code, reserves)] if part > own else []
        back += [Transfer(amount, code, into) for code, amount in await passed_on(self._session, *key)]
        owed = {pot: minor for pot, minor in owed.items() if minor}
        facts = {"owed": str(sum(owed.values())), "difference": str(row.difference), "difference_to": row.difference_to}
        entries = [(EventKind.CONTRIBUTION_REVERSED, member_id, facts, back)]
        if funding:
            entries.insert(0, (EventKind.REVERSAL_FUNDED, member_id, facts, funding))
        event = await self._post(row, entries)
        await ledger.correct(self._session, by=(member_id, event), of=key)
        await self._over_out_of_suspense(row)
        return replace(row, state="reversed", reversed_event=event, owed=owed)

    async def _over_out_of_suspense(self, row: ReversalRow) -> None:
        """Take back, too, what of the receipt was more than its year takes, unless that went back to the payer already.

        Of what another member is to have it lies in suspense already, and is theirs with the rest: only its old receipt ends.
        """
        part = await queries.suspended_part(self._session, self._came.event_id)
        if part is None or (held := await queries.hold_suspense(self._session, part.event_id)) is None or held.resolved:
            return
        house, money = house_member(self._tenant.tenant_id), self._tenant.asset.symbol
        suspense = Account("suspense", money, party=part.channel)
        codes = await ledger.account_codes(self._session, [suspense])
        back = [] if row.given_to else [Transfer(part.amount, codes[suspense], self._came.collected)]
        facts = {"receipt": str(part.event_id), "amount": str(part.amount)}
        claim = claim_digest(self._tenant.tenant_id, "resolve", str(part.event_id))
        event = await self._post(row, [(EventKind.CONTRIBUTION_REVERSED, house, facts, back)], claim=claim)
        await ledger.correct(self._session, by=(house, event), of=(house, part.event_id))

    async def _post(
        self,
        row: ReversalRow,
        entries: Sequence[tuple[EventKind, int, Mapping[str, str], Sequence[Transfer]]],
        *,
        claim: UUID | None = None,
    ) -> int:
        """Post (kind, member, facts, transfers) in their order; return the last one's event."""
        actor = await ledger.actor_id(self._session, self._actor)
        decision = await ledger.decision_id(self._session, {"rules": list(self._rules)}) if self._rules else 0
        said = {
            "receipt": str(row.event_id),
            "amount": str(row.amount),
            "channel": self._came.channel,
            "reason": row.reason,
        }
        fates = await ledger.post(
            self._session,
            [
                Entry(
                    member_id=member_id,
                    kind=kind,
                    business_date=self._came.came_on
                    if row.given_to and kind is EventKind.CONTRIBUTION_REVERSED
                    else self._today,
                    actor=actor,
                    pack=self._tenant.pack_id,
                    decision=decision,
                    body={**said, **facts},
                    claims=() if claim is None else (claim,),
                    transfers=transfers,
                )
                for kind, member_id, facts, transfers in entries
            ],
        )
        if any(fate.outcome is Outcome.CLAIMED for fate in fates):
            raise AlreadyResolved
        assert all(fate.outcome is Outcome.POSTED for fate in fates), fates
        return fates[-1].event_id

    async def _codes(self, kind: str, pots: Mapping[str, int]) -> dict[str, int]:
        money, product = self._tenant.asset.symbol, self._at.product
        accounts = {pot: Account(kind, money, product, pot, self._came.origin) for pot in pots}
        codes = await ledger.account_codes(self._session, accounts.values())
        return {pot: codes[account] for pot, account in accounts.items()}
