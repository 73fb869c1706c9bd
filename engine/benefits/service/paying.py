"""Payouts: what is payable is instructed by one person and approved by another, on the digest of exactly what is paid.

The approval posts the money into transit in the transaction that hands the payout to its rail. From then on it is in
transit until a statement shows it gone, or it comes home.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from uuid import UUID, uuid4

import msgspec
from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncSession

from engine.access.rules import checked_by_other
from engine.benefits.errors import (
    AccountNotChecked,
    BelowLeastPayable,
    ClaimDecided,
    CoolingOff,
    DeathNotConfirmed,
    MemberDeceased,
    NameDiffers,
    NoRail,
    NotPayable,
    PayoutChanged,
    PayoutDecided,
    PayoutUnderWay,
    RailNotJoined,
    UnknownPayout,
)
from engine.benefits.ports import PayoutRequest
from engine.benefits.queries import claiming as claims
from engine.benefits.queries import paying as queries
from engine.benefits.queries.passed_on import held_for_others
from engine.benefits.queries.paying import AccountHistory, PayoutRow
from engine.benefits.rules import PayoutRouteRule, Route, route_payout
from engine.benefits.rules.paying import (
    ANNUITIES,
    LEAST_MATCH_BP,
    PASSED_ON,
    SUSPENSE,
    TRANSFER_SOURCE,
    AccountGiven,
    NameState,
    Part,
    Payee,
    Payload,
    Payout,
    PayoutState,
    cut,
    name_state,
)
from engine.benefits.rules.payouts import PayeeAccount
from engine.benefits.service import transits
from engine.contributions import service as contributions
from engine.contributions.ports import AccountCheck
from engine.enrolment import service as enrolment
from engine.identity import service as identity
from engine.identity.errors import UnknownMember
from engine.identity.rules import check_phone
from engine.identity.rules.names import WHOLE_BP, score
from engine.kernel.amounts import Amount
from engine.kernel.clock import business_date
from engine.kernel.errors import Invalid
from engine.kernel.ids import claim_digest
from engine.kernel.payment_files import BankAccount
from engine.kernel.rules import Dates
from engine.ledger import service as ledger
from engine.ledger.rules import Account, Entry, EventKind, Outcome, Transfer
from engine.runtime.exchanges.engine import Exchanges
from engine.runtime.key_file import FileKeyStore
from engine.runtime.sealing import seal, unseal
from engine.runtime.secrets import blind_index
from engine.tenancy import service as tenancy
from engine.tenancy.rules.books import InForce
from engine.tenancy.service import Tenant

PAYOUTS, PAYEE_CHECKS = "payouts", "payee-checks"
BANK = "bank"


class BankRail(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A bank that pays by files: the channel whose account it debits, that account, and what we are called in its files.

    Its files travel by the place `place`, whose adapter is `by`, those made on or after `since`; without `by` people carry them.
    It collects too, into that account, where it has given us a `creditor_ref`.
    """

    pays_from: str
    holder: str
    number: str
    bank: str = ""
    sender: str
    files: str = "pain"
    by: str = ""
    since: date | None = None
    place: dict[str, object] = {}
    creditor_ref: str = ""

    def __repr__(self) -> str:
        return f"BankRail({self.pays_from})"

    @property
    def account(self) -> BankAccount:
        """Return the account that is debited."""
        return BankAccount(holder=self.holder, number=self.number, bank=self.bank)


@dataclass(frozen=True, slots=True)
class Payers:
    """How payees of one tenant are paid: the wallets by whose operators money is sent, and the banks that take files."""

    exchanges: Exchanges
    wallets: frozenset[str] = frozenset()
    checks: Mapping[str, AccountCheck] = field(default_factory=dict)
    banks: Mapping[str, BankRail] = field(default_factory=dict)


class Question(Struct, frozen=True, kw_only=True):
    """What an exchange of a payout keeps: what is asked, and the digest that was approved."""

    wanted: PayoutRequest
    digest: str

    def __repr__(self) -> str:
        return f"Question({self.digest})"


class Document(Struct, frozen=True, kw_only=True):
    """What is sealed of a payout: exactly what is paid, and what was asked for where the rail pays less.

    `is_members` says that it is to the member, and nobody else was named to be paid.
    """

    payload: Payload
    asked: str
    stays: int
    is_members: bool = False

    def __repr__(self) -> str:
        return f"Document({self.payload.payout_id})"


# -- making


async def instruct(
    session: AsyncSession,
    keys: FileKeyStore,
    tenant: Tenant,
    *,
    member_id: int,
    product: str,
    amounts: Mapping[tuple[str, str], int],
    payee: Payee,
    source: str,
    actor: str,
    inherited: tuple[int, int] = (0, 0),
) -> Payout:
    """Make a payout of what is payable to a member; it waits for another person. Once for each source that is under way.

    Args:
        session: the use case's; nothing leaves before another person's approval.
        keys: seal what names the payee.
        tenant: whose member it is.
        member_id: whose payable money it is.
        product: the product that it is of.
        amounts: smallest units (> 0) by (pot, origin).
        payee: who is paid; the product's rules choose among their accounts.
        source: what the money is due for ("claim:17"); its next payout is possible once this one failed or came back.
        actor: who makes it.
        inherited: the claim and the number of an heir, who is paid out of what is due to the member's heirs.

    Raises:
        Invalid: no amount above zero, or the source is a transfer's.
        UnknownMember, MemberDeceased, UnknownProduct, NoRail, AccountNotChecked, DocumentsNeeded, BelowLeastPayable, NotPayable,
        PayoutUnderWay (another payout of the same source), UnusablePhone.
    """
    if source.startswith(TRANSFER_SOURCE):
        raise Invalid(field="source", reason="a transfer is paid by its own number")
    asked = _asked(member_id, product, amounts, payee)
    await queries.lock_source(session, source)
    live = await queries.find_live(session, source)
    if live is not None:
        if opened(keys, tenant, live).asked != asked:
            raise PayoutUnderWay
        return shown(tenant, live)
    members = await identity.members_by_id(session, [member_id])
    if member_id not in members:
        raise UnknownMember
    if not payee.name:
        await _check_living(session, member_id)
    total = sum(amounts.values())
    if total <= 0 or min(amounts.values()) <= 0:
        raise Invalid(field="amounts", reason="an amount above zero is needed")
    people = await identity.read_people(session, keys, [member_id], actor=actor, reason="payout")
    if member_id not in people:
        raise UnknownMember
    person = people[member_id]
    today = business_date(await ledger.scheme_now(session), tenant.time_zone)
    accounts = [_checked(tenant, account) for account in payee.accounts]
    digests = {account.rail: _account_digest(keys, tenant, account) for account in accounts}
    histories = await queries.account_histories(session, member_id, list(digests.values()), inherited[1])
    rules = tenant.rules(
        PayoutRouteRule, product=product, dates=Dates(on=today, joined_on=members[member_id].joined_on)
    )
    figures = await tenancy.figures_for(session, tenant)
    if rules:
        route = route_payout(
            rules, total, [_known(one, histories[digests[one.rail]]) for one in accounts], figures, today
        )
    else:
        route = _unruled(accounts, total)
    if not route.paid_minor:
        raise BelowLeastPayable(rail=route.rail)
    parts = cut(amounts, route.paid_minor)
    left = await queries.payable_left(session, member_id, product, "heirs" if inherited[1] else "payable")
    if any(left.get((part.pot, part.origin), 0) < part.amount for part in parts):
        raise NotPayable
    account = next(one for one in accounts if one.rail == route.rail)
    rule = next((one for one in rules if one.ref in route.rules), None)
    payload = Payload(
        payout_id=uuid4(),
        member_id=member_id,
        member=person.member_number,
        product=product,
        source=source,
        currency=tenant.asset.symbol,
        amount=route.paid_minor,
        parts=parts,
        payee_name=payee.name or person.person.full_name,
        account=account,
        claim=inherited[0],
        heir=inherited[1],
    )
    history = histories[digests[route.rail]]
    least_bp, waits = name_rule(rule, history)
    state, match_bp = told_name(tenant, payload, least_bp) if waits else (NameState.NOT_ASKED, None)
    return await keep(
        session,
        keys,
        tenant,
        Document(payload=payload, asked=asked, stays=route.stays_minor, is_members=not payee.name),
        account_digest=digests[route.rail],
        least_match_bp=least_bp,
        name=(state, match_bp),
        not_before=not_before_of(rule, history, today),
        rules=route.rules,
        today=today,
        actor=actor,
    )


async def keep(
    session: AsyncSession,
    keys: FileKeyStore,
    tenant: Tenant,
    document: Document,
    *,
    account_digest: UUID,
    least_match_bp: int,
    name: tuple[NameState, int | None],
    not_before: date | None,
    rules: Sequence[str],
    today: date,
    actor: str,
) -> Payout:
    """Keep a payout and its event, for another person to decide on."""
    payload = document.payload
    await queries.add_payout(
        session,
        payout_id=payload.payout_id,
        member_id=payload.member_id,
        amount=payload.amount,
        parts=payload.parts,
        account_digest=account_digest,
        least_match_bp=least_match_bp,
        made_on=today,
        not_before=not_before,
        name_state=name[0],
        name_bp=name[1],
        product=payload.product,
        source=payload.source,
        rail=payload.account.rail,
        digest=payload.digest(),
        maker=actor,
        rules=rules,
        document=seal(keys, tenant.tenant_id, "payouts", payload.payout_id, msgspec.json.encode(document)),
        inherited=(payload.claim, payload.heir),
    )
    entry = await entry_of(
        session, tenant, EventKind.PAYOUT_INSTRUCTED, payload, actor=actor, rules=rules, claim="instructed"
    )
    await ledger.post(session, [entry])
    row = await queries.find_payout(session, payload.payout_id)
    assert row is not None, payload.payout_id
    return shown(tenant, row, document)


def _asked(member_id: int, product: str, amounts: Mapping[tuple[str, str], int], payee: Payee) -> str:
    """Return what tells the same request from another of the same source."""
    said = [member_id, product, sorted((pot, origin, units) for (pot, origin), units in amounts.items()), payee]
    return hashlib.sha256(msgspec.json.encode(said)).hexdigest()


def is_wallet(tenant: Tenant, rail: str) -> bool:
    """Return whether a rail is a wallet's: a channel of the scheme that is joined by a protocol. Others are banks'."""
    return any(channel.code == rail and channel.adapter for channel in tenant.pack.channels)


def _checked(tenant: Tenant, account: AccountGiven) -> AccountGiven:
    if not is_wallet(tenant, account.rail):
        return msgspec.structs.replace(account, number="".join(account.number.split()).upper())
    return msgspec.structs.replace(
        account, number=check_phone(account.number, tenant.pack.phone_country, field="number")
    )


def _account_digest(keys: FileKeyStore, tenant: Tenant, account: AccountGiven) -> UUID:
    key = keys.tenant(tenant.tenant_id).blind_index_key
    return blind_index(key, "payout-account", f"{account.rail}:{account.bank}:{account.number}")


def known_account(keys: FileKeyStore, tenant: Tenant, account: AccountGiven) -> tuple[AccountGiven, UUID]:
    """Return an account in its one spelling, and what it is known by.

    Raises:
        UnusablePhone: on the rail of a wallet, no telephone number.
    """
    checked = _checked(tenant, account)
    return checked, _account_digest(keys, tenant, checked)


def _known(account: AccountGiven, history: AccountHistory) -> PayeeAccount:
    """Return what the choice of a rail knows of an account; its name is compared afterwards, where people can decide."""
    return PayeeAccount(
        rail=account.rail,
        is_verified=account.is_verified,
        paid_in=account.paid_in,
        was_paid_before=history.was_paid,
        match_bp=WHOLE_BP,
        documents=frozenset(account.documents),
    )


def _unruled(accounts: Sequence[AccountGiven], total: int) -> Route:
    """Return the way of a product without rules of rails: all of it, to the account that was named first."""
    if not accounts:
        raise NoRail
    return Route(accounts[0].rail, total, 0, "", ())


def name_rule(rule: InForce[PayoutRouteRule] | None, history: AccountHistory) -> tuple[int, bool]:
    """Return how alike names must be, and whether they are to be compared now."""
    check = rule.rule.name_check if rule else "before-first-payment"
    least = (rule.rule.least_match_bp if rule else LEAST_MATCH_BP) or 0
    return least, check == "before-each-payment" or (check == "before-first-payment" and not history.was_paid)


def told_name(tenant: Tenant, payload: Payload, least_bp: int) -> tuple[NameState, int | None]:
    """Return what the name that was told says; wallets are asked for theirs."""
    if is_wallet(tenant, payload.account.rail):
        return NameState.WAITING, None
    return compared(payload, payload.account.holder, least_bp)


def compared(payload: Payload, holder: str, least_bp: int) -> tuple[NameState, int | None]:
    """Return what the name on the account says of the payee's, and how alike they are in basis points."""
    match_bp = score(payload.payee_name, holder) if holder and payload.payee_name else None
    return name_state(match_bp, least_bp), match_bp


def not_before_of(rule: InForce[PayoutRouteRule] | None, history: AccountHistory, today: date) -> date | None:
    """Return the first day on which an account may be paid; None where it need not cool off."""
    days = rule.rule.cooling_off_days if rule else None
    if not days or not history.other_was_paid or history.was_paid:
        return None
    return (history.named_on or today) + timedelta(days=days)


# -- deciding


async def approve(
    session: AsyncSession,
    keys: FileKeyStore,
    tenant: Tenant,
    payers: Payers,
    payout_id: UUID,
    *,
    digest: str,
    actor: str,
    name_seen: bool = False,
) -> Payout:
    """Approve exactly what was seen: its money goes into transit, and the payout to its rail, in this transaction.

    Args:
        session: the use case's.
        keys: open what is paid, to be compared once more.
        tenant: whose it is.
        payers: how its rails are joined.
        payout_id: which payout.
        digest: of what the approver saw.
        actor: who approves; not who made it.
        name_seen: whether the approver has looked at a name that does not agree, or that nobody could tell, and accepts it.

    Raises:
        UnknownPayout, SamePerson, PayoutDecided, PayoutChanged, CoolingOff, AccountNotChecked (the name is still asked
        for), NameDiffers, RailNotJoined, NotPayable, MemberDeceased, DeathNotConfirmed and ClaimDecided (of an heir: the
            member lives after all), TransferDecided (its money is home), AlreadyResolved (money in suspense that is another's
        by now).
    """
    row = await _waiting(session, payout_id, actor)
    document = opened(keys, tenant, row)
    payload = document.payload
    if not digest == row.digest == payload.digest():
        raise PayoutChanged
    today = business_date(await ledger.scheme_now(session), tenant.time_zone)
    if document.is_members:
        await _check_living(session, payload.member_id)
    if payload.heir:
        await _check_heir(session, payload)
    if payload.transfer:
        await transits.hold_open(session, payload.transfer)
    await _check_passed_on(session, payload)
    if row.not_before is not None and today < row.not_before:
        raise CoolingOff(day=row.not_before.isoformat())
    if row.name_state is NameState.WAITING and not name_seen:
        raise AccountNotChecked(rail=row.rail)
    if row.name_state in {NameState.DIFFERS, NameState.UNKNOWN} and not name_seen:
        raise NameDiffers(rail=row.rail)
    account = account_of(payers, row.rail)
    if payload.suspended is not None:  # before anything is interned: whoever else decides on it does so in this order
        await contributions.hold_in_suspense(session, payload.suspended)
    entry = await entry_of(
        session, tenant, EventKind.PAYOUT_APPROVED, payload, actor=actor, rules=row.rules, claim="approved"
    )
    entry = msgspec.structs.replace(entry, transfers=await into_transit(session, tenant, payload))
    (fate,) = await ledger.post(session, [entry])
    if fate.outcome is Outcome.OVERDRAWN:
        raise NotPayable
    assert fate.outcome is Outcome.POSTED, fate
    if payload.suspended is not None:
        await contributions.begin_refund(session, payload.suspended, fate.event_id)
    reference = payout_id.hex
    if row.rail in payers.wallets:
        reference = str(payout_id)
        await _hand_over(session, tenant, payers, payload)
    await queries.decide(
        session,
        payout_id,
        state=PayoutState.APPROVED,
        checker=actor,
        approved_event=fate.event_id,
        account=account,
        reference_digest=claim_digest(tenant.tenant_id, f"provider:{account}", reference),
        is_name_seen=name_seen,
    )
    return await find(session, keys, tenant, payout_id)


async def refuse(session: AsyncSession, keys: FileKeyStore, tenant: Tenant, payout_id: UUID, *, actor: str) -> Payout:
    """Say no to a payout: nothing was moved, and another may be made for its source.

    Raises:
        UnknownPayout, SamePerson, PayoutDecided.
    """
    row = await _waiting(session, payout_id, actor)
    payload = opened(keys, tenant, row).payload
    entry = await entry_of(
        session, tenant, EventKind.PAYOUT_REFUSED, payload, actor=actor, rules=row.rules, claim="refused"
    )
    await ledger.post(session, [entry])
    await queries.decide(session, payout_id, state=PayoutState.REFUSED, checker=actor)
    return await find(session, keys, tenant, payout_id)


async def _check_living(session: AsyncSession, member_id: int) -> None:
    if await enrolment.suspended(session, [member_id]):
        raise MemberDeceased


async def _check_heir(session: AsyncSession, payload: Payload) -> None:
    """Refuse a payout to an heir whose claim is closed, or of a member who may live; the claim stays as it is meanwhile."""
    claim = await claims.find_claim(session, payload.claim, hold=True)
    death = await enrolment.known_death(session, payload.member_id)
    if death is None or death.is_doubted:
        raise DeathNotConfirmed
    if claim is None or claim.closed_event:
        raise ClaimDecided(state="closed")


async def _check_passed_on(session: AsyncSession, payload: Payload) -> None:
    """Refuse a payout of more than lies for a party by now: payments that brought it were taken back."""
    parts = {(payload.product, part.pot): part.amount for part in payload.parts if part.origin == PASSED_ON}
    if parts:
        found = await held_for_others(session)
        there = {(one.product, one.party): one.amount - one.unshown for one in found}
        if any(there.get(key, 0) < amount for key, amount in parts.items()):
            raise NotPayable


async def _waiting(session: AsyncSession, payout_id: UUID, actor: str) -> PayoutRow:
    row = await queries.find_payout(session, payout_id, lock=True)
    if row is None:
        raise UnknownPayout
    if row.state is not PayoutState.CREATED:
        raise PayoutDecided
    checked_by_other(maker=row.maker, checker=actor)
    return row


def account_of(payers: Payers, rail: str) -> str:
    """Return the collection channel whose account a rail pays from.

    Raises:
        RailNotJoined: nothing can be paid by it.
    """
    if rail in payers.wallets:
        return rail
    if rail in payers.banks:
        return payers.banks[rail].pays_from
    raise RailNotJoined(rail=rail)


def note_of(tenant: Tenant, payload: Payload) -> str:
    """Return what the payee reads beside the money: who pays, and of a transfer the reference of its advice."""
    short = tenant.pack.manifest.short_name
    return f"{short} {transits.reference_of(payload.transfer)}" if payload.transfer else short


def question_of(tenant: Tenant, payload: Payload) -> bytes:
    """Return what the exchange keeps that sends a payout by a wallet's operator."""
    question = Question(
        wanted=PayoutRequest(
            reference=payload.payout_id,
            msisdn=payload.account.number,
            amount=Amount(payload.amount, tenant.asset),
            account=payload.member or payload.payout_id.hex[:12],
            note=note_of(tenant, payload),
        ),
        digest=payload.digest(),
    )
    return msgspec.json.encode(question)


async def _hand_over(session: AsyncSession, tenant: Tenant, payers: Payers, payload: Payload) -> None:
    is_new = await payers.exchanges.open(
        session,
        counterparty=payload.account.rail,
        operation=PAYOUTS,
        reference=payload.payout_id,
        question=question_of(tenant, payload),
    )
    assert is_new, payload.payout_id


# -- posting


async def entry_of(
    session: AsyncSession,
    tenant: Tenant,
    kind: EventKind,
    payload: Payload,
    *,
    actor: str,
    rules: Sequence[str],
    claim: str,
    now: datetime | None = None,
) -> Entry:
    """Return the event of a step of a payout, which happens once: its number and that of the step are claimed.

    `now` is the scheme's instant where that was asked for already.
    """
    now = now or await ledger.scheme_now(session)
    return Entry(
        member_id=payload.member_id,
        kind=kind,
        business_date=business_date(now, tenant.time_zone),
        actor=await ledger.actor_id(session, actor),
        pack=tenant.pack_id,
        decision=await ledger.decision_id(session, tenancy.trace(payload.product, list(rules))),
        body={
            "payout": str(payload.payout_id),
            "amount": str(payload.amount),
            "rail": payload.account.rail,
            "source": payload.source,
            "digest": payload.digest(),
        },
        claims=(claim_digest(tenant.tenant_id, f"payout-{claim}", str(payload.payout_id)),),
    )


async def into_transit(session: AsyncSession, tenant: Tenant, payload: Payload) -> tuple[Transfer, ...]:
    """Return the transfers of a payout that leaves: Dr payable, or suspense, / Cr payouts in transit, one for each part."""
    transit = transit_of(tenant, payload.account.rail)
    owed = {part: _owed(tenant, payload, part) for part in payload.parts}
    codes = await ledger.account_codes(session, {transit, *owed.values()})
    return tuple(Transfer(part.amount, codes[owed[part]], codes[transit]) for part in payload.parts)


def turned(transfers: Sequence[Transfer]) -> tuple[Transfer, ...]:
    """Return transfers with their sides exchanged."""
    return tuple(Transfer(one.amount, one.credit, one.debit) for one in transfers)


def transit_of(tenant: Tenant, rail: str) -> Account:
    """Return the account of what is in transit by a rail."""
    return Account("payouts-in-transit", tenant.asset.symbol, party=rail)


def _owed(tenant: Tenant, payload: Payload, part: Part) -> Account:
    if not payload.product:
        return Account(SUSPENSE, tenant.asset.symbol, party=part.pot)
    if part.origin in (ANNUITIES, PASSED_ON):
        return Account(part.origin, tenant.asset.symbol, product=payload.product, party=part.pot)
    if payload.transfer:
        return transits.transit_of(tenant, payload.product)
    return Account(payload.owed_from, tenant.asset.symbol, product=payload.product, pot=part.pot, origin=part.origin)


# -- telling


async def find_payout(
    session: AsyncSession, keys: FileKeyStore, tenant: Tenant, payout_id: UUID, *, actor: str
) -> Payout:
    """Return a payout with whom it pays, for those who decide on it; that it was read is noted.

    Raises:
        UnknownPayout: there is none of that number.
    """
    found = await find(session, keys, tenant, payout_id)
    row = await queries.find_payout(session, payout_id)
    if row is not None and row.member_id > 0:
        await identity.read_people(session, keys, [row.member_id], actor=actor, reason="payout")
    return found


async def account_before(session: AsyncSession, keys: FileKeyStore, tenant: Tenant, payout_id: UUID) -> Payout | None:
    """Return the member's last payout that went to another account than this one does; None if there was none."""
    before = await queries.payout_before(session, payout_id)
    return None if before is None else await find(session, keys, tenant, before)


async def find(session: AsyncSession, keys: FileKeyStore, tenant: Tenant, payout_id: UUID) -> Payout:
    """Return a payout with whom it pays.

    Raises:
        UnknownPayout: there is none of that number.
    """
    row = await queries.find_payout(session, payout_id)
    if row is None:
        raise UnknownPayout
    return shown(tenant, row, opened(keys, tenant, row))


async def list_payouts(
    session: AsyncSession,
    tenant: Tenant,
    *,
    state: PayoutState | None = None,
    after: UUID | None = None,
    most: int = 100,
) -> list[Payout]:
    """Return payouts after another one, oldest first, without whom they pay."""
    rows = await queries.list_payouts(session, state=state, after=after, most=most)
    return [shown(tenant, row) for row in rows]


def opened(keys: FileKeyStore, tenant: Tenant, row: PayoutRow) -> Document:
    """Return what is sealed of a payout; once the member was erased, what its row says, and nobody's account."""
    if not row.document:
        claim, heir, _ = (
            row.source.removeprefix("heir:").split("/") if row.source.startswith("heir:") else ("0", "0", "")
        )
        payload = Payload(
            payout_id=row.payout_id,
            member_id=row.member_id,
            member="",
            product=row.product,
            source=row.source,
            currency=tenant.asset.symbol,
            amount=row.amount,
            parts=row.parts,
            payee_name="",
            account=AccountGiven(rail=row.rail, number=""),
            claim=int(claim),
            heir=int(heir),
            transfer=int(row.source.removeprefix(TRANSFER_SOURCE)) if row.source.startswith(TRANSFER_SOURCE) else 0,
        )
        return Document(payload=payload, asked="", stays=0)
    raw = unseal(keys, tenant.tenant_id, "payouts", row.payout_id, row.document)
    return msgspec.json.decode(raw, type=Document)


_BY_OUTCOME = {"sent": PayoutState.SENT, "pending": PayoutState.PENDING}


def shown(tenant: Tenant, row: PayoutRow, document: Document | None = None) -> Payout:
    """Return a payout as it is told: with `document`, whom it pays."""
    state = row.state
    if state is PayoutState.APPROVED:
        state = _BY_OUTCOME.get(row.outcome, state)
    payload = document.payload if document else None
    return Payout(
        id=row.payout_id,
        state=state,
        reason=row.reason,
        source=row.source,
        product=row.product,
        rail=row.rail,
        currency=tenant.asset.symbol,
        amount=_fixed(tenant, row.amount),
        digest=row.digest,
        name_check=row.name_state,
        maker=row.maker,
        checker=row.checker,
        made_on=row.made_on,
        not_before=row.not_before,
        is_settled=row.settled_event != 0,
        member=payload.member if payload else "",
        stays=_fixed(tenant, document.stays) if document else "",
        payee=payload.payee_name if payload else "",
        holder=payload.account.holder if payload else "",
        number=payload.account.number if payload else "",
        bank=payload.account.bank if payload else "",
        rules=row.rules,
    )


def _fixed(tenant: Tenant, units: int) -> str:
    return f"{Amount(units, tenant.asset).decimal():.{tenant.asset.scale}f}"


def decimal_of(tenant: Tenant, units: int) -> Decimal:
    """Return smallest units in major units."""
    return Amount(units, tenant.asset).decimal()
