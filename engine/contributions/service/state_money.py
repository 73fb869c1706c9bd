"""State money: what savings earned of it is claimed by a file that two people stand for, received, and shared among members."""

import csv
import hashlib
import io
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal

from sqlalchemy.ext.asyncio import AsyncSession

from engine.access.rules import checked_by_other
from engine.contributions.errors import (
    AlreadyReceived,
    ClaimChanged,
    ClaimDecided,
    ClaimPrepared,
    MatchNotDue,
    MoreThanClaimed,
    NoMatch,
    NoTerms,
    NothingToClaim,
    NotOnStatement,
    UnknownChannel,
    UnknownClaim,
)
from engine.contributions.queries import matching as queries
from engine.contributions.queries.matching import ClaimLine, MatchClaim, Shared, Sharing, Split
from engine.contributions.rules import SplitRule
from engine.contributions.rules.matching import MatchClaimRule, MatchRule, MatchScale, forfeited_in_claim, match_scale
from engine.contributions.service.rules_of import rule_of
from engine.funds import service as funds
from engine.funds.rules import FundsRule
from engine.identity import service as identity
from engine.kernel.amounts import Amount
from engine.kernel.clock import business_date
from engine.kernel.ids import claim_digest, house_member
from engine.kernel.rules import Dates
from engine.ledger import service as ledger
from engine.ledger.rules import Account, Entry, EventKind, Outcome, Transfer
from engine.runtime.database import Database
from engine.runtime.jobs import promise
from engine.runtime.key_file import FileKeyStore
from engine.tenancy import service as tenancy
from engine.tenancy.rules.books import InForce, Stretch
from engine.tenancy.rules.decided import RunDecided
from engine.tenancy.service import Tenant

STATE_MATCH = "state-match"
_PEOPLE_AT_ONCE = 1000
_MEMBERS_AT_ONCE = 20_000
_SEPARATOR = " "
"""Between the rules of a claim whose members go by different ones."""


@dataclass(frozen=True, slots=True)
class ClaimShared:
    """What sharing a receipt came to, in major units; `event` is of the books. The rest of the claim is asked again or given up."""

    claim: int
    event: str
    members: int
    given: Decimal
    taken_back: Decimal
    owed_back: Decimal


async def prepare_claim(
    session: AsyncSession, tenant: Tenant, product: str, on: date, *, actor: str
) -> MatchClaim | NothingToClaim:
    """Prepare the claim of the scheme year that `on` lies in: what it earned, less what was claimed for it before.

    A claim that was sent is never edited: payments that came late, reversals and classes that changed are lines of the next.
    What members forfeited to its funder since pays part of it, where the rule says so and the product is not in funds.

    Returns:
        The claim; or NothingToClaim, as all was claimed before, which is on record with why each member has nothing.

    Raises:
        NoMatch: nothing is claimed for pension accounts by the rules of that year. Matches that ask for years without
            arrears, or for a later choice, or that go to a bank account, are none.
        MatchNotDue: it is not the day yet.
        ClaimPrepared: another claim of the product waits for a second person.
    """
    now = await ledger.scheme_now(session)
    today = business_date(now, tenant.time_zone)
    year = tenant.product(product).scheme_year(on)
    claiming = _claiming(tenant, product, year[0])
    matches = await _matches(session, tenant, product, year)
    ended = year[1] + timedelta(days=claiming.rule.after_days)
    opens = [year[0] + timedelta(days=1) if one.is_at_once else ended for one in matches]
    due = [one for one, day in zip(matches, opens, strict=True) if today >= day]
    if not due:
        raise MatchNotDue(day=min(opens).isoformat())
    until = min(year[1], today) if all(one.is_at_once for one in due) else year[1]
    await queries.hold_claims(session, product)
    waiting = await queries.prepared_claim(session, product)
    if waiting is not None:
        raise ClaimPrepared(claim=str(waiting))
    figures = await tenancy.figures_for(session, tenant)
    facts = {
        "product": product,
        "year_from": year[0].isoformat(),
        "until": until.isoformat(),
        "funder": claiming.rule.funder,
    }
    refs = tuple(dict.fromkeys(one.match.ref for one in due))
    event_id = await _note(session, tenant, EventKind.MATCH_PREPARED, today, actor, (*refs, claiming.ref), facts)
    number = await queries.begin_claim(
        session,
        product=product,
        funder=claiming.rule.funder,
        rule=_SEPARATOR.join(refs),
        year=(year[0], until),
        today=today,
        maker=await ledger.actor_id(session, actor),
        event_id=event_id,
    )
    decision = await tenancy.record_run(
        session,
        tenant,
        RunDecided(
            kind="match",
            run_no=number,
            product=product,
            decided_on=today,
            rules=(*refs, claiming.ref),
            inputs={"claim": number, **facts},
        ),
    )
    again = claiming.rule.unpaid_rest == "claim-again"
    lines = 0
    for one in due:
        ends = min(year[1], today) if one.is_at_once else year[1]
        scale = one.within(match_scale(one.match.rule, figures, since=year[0], until=ends))
        lines += await queries.add_lines(session, number, product, scale, claims_again=again, decision=decision)
    if not lines:
        await queries.end_empty(session, number)
        return NothingToClaim(decision=str(decision))
    digest = await _digest(queries.claim_lines(session, number))
    await queries.sum_lines(session, number, digest)
    claim = await find_claim(session, number)
    role = claiming.rule.forfeitures_of
    if role is None or tenant.rule(FundsRule, product=product, dates=Dates(on=today, joined_on=today)) is not None:
        return claim
    there = await ledger.credit_balance(session, (await _forfeitures(session, tenant, product, role))[0])
    forfeited = forfeited_in_claim(there=there, asked=claim.asked, given_back=claim.given_back)
    if forfeited:
        told = hashlib.sha256(f"{claim.digest},{forfeited}".encode()).hexdigest()
        await queries.forfeit(session, number, forfeited, told)
    return await find_claim(session, number)


class _TakenBackError(Exception):
    """Undoes a transaction that was only to be tried."""


async def years_to_claim_again(db: Database, tenant: Tenant) -> list[tuple[str, date]]:
    """Return (product, first day) of claimed scheme years that earn otherwise by the rules and figures in force.

    Each is found by a claim that is prepared and taken back, in a transaction of its own. Years of a product whose claim
    waits are left out: once that is decided on, the next claim has their difference.
    """
    async with db.unit_of_work(tenant.tenant_id) as session:
        years = [
            (product, day)
            for product, day in await queries.claimed_years(session)
            if await queries.prepared_claim(session, product) is None
        ]
    found = []
    for product, day in years:
        with suppress(ClaimPrepared, MatchNotDue, NoMatch, _TakenBackError):
            async with db.unit_of_work(tenant.tenant_id) as session:
                claim = await prepare_claim(session, tenant, product, day, actor="system:rules")
                if isinstance(claim, MatchClaim):
                    found.append((product, day))
                raise _TakenBackError
    return found


async def find_claim(session: AsyncSession, claim_no: int) -> MatchClaim:
    """Return a claim.

    Raises:
        UnknownClaim: there is none of that number.
    """
    found = await queries.find_claim(session, claim_no)
    if found is None:
        raise UnknownClaim
    return found


async def list_claims(session: AsyncSession, *, most: int = 100) -> list[MatchClaim]:
    """Return the newest claims, newest first."""
    return await queries.list_claims(session, most=most)


async def unsent_claims(session: AsyncSession, funder: str, since: date) -> list[int]:
    """Return the numbers of a funder's claims, let go and prepared on or after a day, whose files are not staged to leave."""
    return await queries.unsent_claims(session, funder, since)


async def send_claim(session: AsyncSession, tenant: Tenant, claim_no: int, digest: str, *, actor: str) -> MatchClaim:
    """Let a claim go to its funder, as a second person who has read the lines that `digest` is of.

    What was forfeited to its funder pays part of it: Dr forfeitures / Cr state-match-receivable.

    Raises:
        UnknownClaim, ClaimDecided, ClaimChanged: there is none, it was decided on before, or its lines are others.
        SamePerson: `actor` prepared it.
    """
    return await _decide(session, tenant, claim_no, digest, actor, state="sent", kind=EventKind.MATCH_SENT)


async def reject_claim(session: AsyncSession, tenant: Tenant, claim_no: int, digest: str, *, actor: str) -> MatchClaim:
    """Give a prepared claim up, as a second person; its lines count for nothing. Raises as `send_claim` does."""
    return await _decide(session, tenant, claim_no, digest, actor, state="rejected", kind=EventKind.MATCH_REJECTED)


async def claim_file(session: AsyncSession, keys: FileKeyStore, tenant: Tenant, claim_no: int, *, actor: str) -> bytes:
    """Return a claim as the file its funder gets: a line a member and year, and a last line with count and total.

    Amounts in major units. Who is erased has no number any more, and an empty one stands in its place.

    Raises:
        UnknownClaim: there is none of that number.
    """
    claim = await find_claim(session, claim_no)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(["line", "member", "year_from", "class", "saved", "amount"])
    number = 0
    waiting: list[ClaimLine] = []

    async def write() -> None:
        nonlocal number
        people = await identity.read_people(
            session, keys, [one.member_id for one in waiting], actor=actor, reason="state-money claim"
        )
        for one in waiting:
            number += 1
            member = people[one.member_id].member_number if one.member_id in people else ""
            saved, minor = (_major(tenant, units) for units in (one.saved, one.minor))
            writer.writerow([number, member, one.year_from.isoformat(), one.member_class, saved, minor])
        waiting.clear()

    async for line in queries.claim_lines(session, claim_no):
        waiting.append(line)
        if len(waiting) == _PEOPLE_AT_ONCE:
            await write()
    await write()
    if claim.forfeited:
        writer.writerow(["forfeited", "", "", "", "", f"-{_major(tenant, claim.forfeited)}"])
    writer.writerow(["total", number, claim.year_from.isoformat(), claim.digest, "", _major(tenant, claim.total)])
    return out.getvalue().encode()


async def receive_match(
    session: AsyncSession, tenant: Tenant, claim_no: int, *, amount: str, channel: str, reference: str, actor: str
) -> MatchClaim:
    """Book what a claim's funder paid into a collection account: Dr collections / Cr state-match-receivable.

    It is shared among members once a statement shows it (`share_match`). A claim is paid once: what falls short is claimed
    again or given up, as the pack says.

    Raises:
        UnknownClaim, ClaimDecided: there is none, or it was not sent, or is paid already.
        MoreThanClaimed: it asks for less.
        AlreadyReceived: the provider's reference was booked before.
        UnknownChannel: the scheme has no such collection channel.
    """
    if channel not in {one.code for one in tenant.pack.channels}:
        allowed = ", ".join(sorted(one.code for one in tenant.pack.channels))
        raise UnknownChannel(field="channel", channel=channel, allowed=allowed)
    claim = await queries.hold_claim(session, claim_no)
    if claim is None:
        raise UnknownClaim
    if claim.state != "sent" or claim.received:
        raise ClaimDecided(state="paid" if claim.received else claim.state)
    paid = Amount.parse(amount, tenant.asset)
    if paid.units > claim.total:
        raise MoreThanClaimed(total=f"{_major(tenant, claim.total)}")
    today = business_date(await ledger.scheme_now(session), tenant.time_zone)
    bank = Account("collections", tenant.asset.symbol, party=channel)
    due = Account("state-match-receivable", tenant.asset.symbol, claim.product, party=claim.funder)
    codes = await ledger.account_codes(session, {bank, due})
    (posted,) = await ledger.post(
        session,
        [
            Entry(
                member_id=house_member(tenant.tenant_id),
                kind=EventKind.MATCH_RECEIVED,
                business_date=today,
                actor=await ledger.actor_id(session, actor),
                pack=tenant.pack_id,
                body={"claim": claim_no, "amount": str(paid.units), "channel": channel},
                claims=(claim_digest(tenant.tenant_id, f"provider:{channel}", reference),),
                transfers=[Transfer(paid.units, codes[bank], codes[due])],
            )
        ],
    )
    if posted.outcome is not Outcome.POSTED:
        raise AlreadyReceived(reference=reference)
    await queries.add_receipt(session, claim_no, event_id=posted.event_id, amount=paid.units, code=codes[bank])
    await promise(session, "reconciliation.match_statements", tenant_id=tenant.tenant_id)
    return await find_claim(session, claim_no)


async def share_match(session: AsyncSession, tenant: Tenant, claim_no: int, *, actor: str) -> ClaimShared:
    """Share what was received for a claim among its members, once a statement shows the money.

    Short money is shared as the pack says, never more to a line than it asks. What the claim gives back is taken from the
    members' state money first, as far as there is any; the rest is owed. Each member's part is split by the rule of the day
    they joined. Where the product has funds, it is invested.

    Raises:
        UnknownClaim: there is none of that number.
        ClaimDecided: nothing was received for it, or it was shared before.
        NotOnStatement: no statement shows the money yet.
        NoTerms: no rule says which pots it goes to, of one of them.
    """
    claim = await queries.hold_claim(session, claim_no)
    if claim is None:
        raise UnknownClaim
    receipts = await queries.unshared_receipts(session, claim_no)
    if not receipts:
        raise ClaimDecided(state=claim.state)
    receipt, amount, collected, is_matched = receipts[0]
    if not is_matched:
        raise NotOnStatement
    today = business_date(await ledger.scheme_now(session), tenant.time_zone)
    claiming = _claiming(tenant, claim.product, claim.year_from)
    symbol = tenant.asset.symbol
    by_day = {
        day: rule_of(tenant, SplitRule, product=claim.product, on=today, joined_on=day)
        for day in [today, *await queries.joining_days(session, claim_no, claim.product)]
    }
    rules = list(dict.fromkeys(by_day.values()))
    found = [one for one in rules if one is not None]
    if len(found) < len(rules):
        raise NoTerms(day=today.isoformat())
    own = {
        (one.ref, part.pot): Account("cash", symbol, claim.product, part.pot, STATE_MATCH)
        for one in found
        for part in one.rule.parts
    }
    due = Account("state-match-receivable", symbol, claim.product, party=claim.funder)
    overpaid = Account("overpayment-receivable", symbol, claim.product, origin=STATE_MATCH)
    codes = await ledger.account_codes(session, {*own.values(), due, overpaid})
    event_id, shared = await queries.share_receipt(
        session,
        claim,
        receipt,
        amount + claim.forfeited,
        Sharing(
            product=claim.product,
            splits=tuple(
                Split(
                    codes=tuple(codes[own[one.ref, part.pot]] for part in one.rule.parts),
                    share_bps=tuple(part.share_bp for part in one.rule.parts),
                    odd=tuple(
                        bool(one.rule.odd_unit_to) and part.pot == one.rule.odd_unit_to for part in one.rule.parts
                    ),
                )
                for one in found
            ),
            split_of={day: found.index(one) for day, one in by_day.items() if one is not None},
            is_pro_rata=claiming.rule.short_receipt == "pro-rata",
            receivable=codes[due],
            overpaid=codes[overpaid],
            day=today,
            actor=await ledger.actor_id(session, actor),
            pack=tenant.pack_id,
            decision=await ledger.decision_id(
                session,
                tenancy.trace(
                    claim.product, [*claim.rule.split(_SEPARATOR), claiming.ref, *(one.ref for one in found)]
                ),
            ),
            facts={"product": claim.product, "year_from": claim.year_from.isoformat()},
        ),
    )
    if tenant.rule(FundsRule, product=claim.product, dates=Dates(on=today, joined_on=today)) is not None:
        members = await queries.members_shared_with(session, event_id)
        for start in range(0, len(members), _MEMBERS_AT_ONCE):
            chunk = members[start : start + _MEMBERS_AT_ONCE]
            got = [funds.ReconciledReceipt(one, event_id, collected) for one in chunk]
            await funds.allocate(session, tenant, got)
    return _told(tenant, claim_no, event_id, shared)


def _told(tenant: Tenant, claim_no: int, event_id: int, shared: Shared) -> ClaimShared:
    def major(units: int) -> Decimal:
        return Amount(units, tenant.asset).decimal()

    return ClaimShared(
        claim_no, str(event_id), shared.members, major(shared.given), major(shared.taken), major(shared.uncovered)
    )


async def _decide(
    session: AsyncSession, tenant: Tenant, claim_no: int, digest: str, actor: str, *, state: str, kind: EventKind
) -> MatchClaim:
    claim = await queries.hold_claim(session, claim_no)
    if claim is None:
        raise UnknownClaim
    if claim.state != "prepared":
        raise ClaimDecided(state=claim.state)
    if claim.digest != digest:
        raise ClaimChanged
    checked_by_other(maker=claim.maker, checker=actor)
    today = business_date(await ledger.scheme_now(session), tenant.time_zone)
    facts = {"claim": claim_no, "digest": digest, "lines": claim.lines, "total": str(claim.total)}
    transfers = []
    if state == "sent" and claim.forfeited:
        role = _claiming(tenant, claim.product, claim.year_from).rule.forfeitures_of or claim.funder
        source, due = await _forfeitures(session, tenant, claim.product, role, claim.funder)
        if await ledger.credit_balance(session, source) < claim.forfeited:
            raise ClaimChanged
        facts["forfeited"] = str(claim.forfeited)
        transfers = [Transfer(claim.forfeited, source, due)]
    event_id = await _note(session, tenant, kind, today, actor, tuple(claim.rule.split(_SEPARATOR)), facts, transfers)
    checker = await ledger.actor_id(session, actor)
    await queries.decide_claim(session, claim_no, state=state, checker=checker, event_id=event_id)
    return await find_claim(session, claim_no)


@dataclass(frozen=True, slots=True)
class _Match:
    """A match, and the days on which those joined whom it is for: None is no bound."""

    match: InForce[MatchRule]
    joined_from: date | None = None
    joined_until: date | None = None

    @property
    def is_at_once(self) -> bool:
        return self.match.rule.timing == "each-contribution"

    def within(self, scale: MatchScale) -> MatchScale:
        """Return the scale for those alone who joined on these days."""
        first = max((day for day in (scale.joined_from, self.joined_from) if day is not None), default=None)
        last = min((day for day in (scale.joined_until, self.joined_until) if day is not None), default=None)
        return replace(scale, joined_from=first, joined_until=last)


async def _matches(session: AsyncSession, tenant: Tenant, product: str, year: tuple[date, date]) -> list[_Match]:
    """Return the matches of a scheme year: one, or one for each stretch of joining days where rules go by these."""
    found = [
        _Match(match, stretch.joined_from, stretch.joined_until)
        for stretch, match in tenant.book(product).in_force_by_joining(MatchRule, year)
        if _is_served(match.rule) and (stretch == Stretch() or await queries.has_joined(session, product, stretch))
    ]
    if not found:
        raise NoMatch(product=product, day=year[0].isoformat())
    return found


def _is_served(rule: MatchRule) -> bool:
    return not (
        rule.needs_all_dues
        or rule.conditional_on
        or rule.timing == "at-retirement"
        or rule.destination != "pension-account"
    )


def _claiming(tenant: Tenant, product: str, year_from: date) -> InForce[MatchClaimRule]:
    dates = Dates(on=year_from, joined_on=year_from, scheme_year_from=year_from)
    claiming = tenant.rule(MatchClaimRule, product=product, dates=dates)
    if claiming is None:
        raise NoMatch(product=product, day=year_from.isoformat())
    return claiming


async def _note(
    session: AsyncSession,
    tenant: Tenant,
    kind: EventKind,
    today: date,
    actor: str,
    rules: tuple[str, ...],
    facts: Mapping[str, object],
    transfers: Sequence[Transfer] = (),
) -> int:
    (posted,) = await ledger.post(
        session,
        [
            Entry(
                member_id=house_member(tenant.tenant_id),
                kind=kind,
                business_date=today,
                actor=await ledger.actor_id(session, actor),
                pack=tenant.pack_id,
                decision=await ledger.decision_id(session, {"rules": list(rules)}),
                body=facts,
                transfers=transfers,
            )
        ],
    )
    return posted.event_id


async def _forfeitures(
    session: AsyncSession, tenant: Tenant, product: str, role: str, funder: str = ""
) -> tuple[int, int]:
    """Return the codes of what members forfeited to a role, and of what is due from a funder."""
    symbol = tenant.asset.symbol
    lost = Account("forfeitures", symbol, product, party=role)
    due = Account("state-match-receivable", symbol, product, party=funder or role)
    codes = await ledger.account_codes(session, {lost, due})
    return codes[lost], codes[due]


async def _digest(lines: AsyncIterator[ClaimLine]) -> str:
    """Return the SHA-256 of a claim's lines, by the members' pseudonyms."""
    found = hashlib.sha256()
    async for one in lines:
        found.update(
            f"{one.member_id:x},{one.year_from.isoformat()},{one.member_class},{one.saved},{one.minor}\n".encode()
        )
    return found.hexdigest()


def _major(tenant: Tenant, units: int) -> str:
    return f"{Amount(units, tenant.asset).decimal():f}"
