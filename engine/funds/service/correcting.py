"""Prices that were wrong: proposed by one person, decided by another, and put right by ranges of members.

Nothing is edited. The right price stands beside the wrong one and counts from then on; what members have too little or too
much is booked by new events, and what nobody owes back the party at fault owes.
"""

import csv
import hashlib
import io
from collections.abc import Callable, Mapping
from datetime import date
from decimal import Decimal
from functools import partial

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from engine.access.rules import checked_by_other
from engine.funds.errors import (
    CorrectionChanged,
    CorrectionDecided,
    CorrectionOpen,
    NoCorrectionRule,
    OrdersInProgress,
    SamePrice,
    SplitSince,
    UnknownCorrection,
    UnknownParty,
    UnknownPrice,
)
from engine.funds.queries import acting as action_queries
from engine.funds.queries import correcting as queries
from engine.funds.queries import prices as price_queries
from engine.funds.queries.correcting import (
    Correction,
    CorrectionCodes,
    CorrectionLine,
    Figures,
    NewCorrection,
    Repricing,
)
from engine.funds.rules import Conversion, CorrectionTerms, FundsRule, WrongPriceRule, is_material, price_of
from engine.identity import service as identity
from engine.kernel.clock import business_date
from engine.kernel.ids import house_member
from engine.kernel.prices import Price
from engine.kernel.rules import Dates
from engine.ledger import service as ledger
from engine.ledger.rules import Account, Entry, EventKind
from engine.runtime.database import Database, retry_transaction
from engine.runtime.jobs import promise
from engine.runtime.key_file import FileKeyStore
from engine.tenancy.service import Tenant

_ACTOR = "system:corrections"
_PEOPLE_AT_ONCE = 1000
Progress = Callable[[int], None]


async def propose_correction(
    db: Database, tenant: Tenant, fund: str, price_on: date, *, price: str, party: str, reason: str, actor: str
) -> Correction:
    """Say that an accepted price was wrong; count what that did to every account that dealt at it. Nothing is booked yet.

    Until another person has decided, no order takes the price. An error below the pack's figure touches nobody: it is only
    noted.

    Args:
        db: of the scheme.
        tenant: whose fund is priced.
        fund: its code.
        price_on: the day of the price.
        price: the right price in major units of money, as a decimal string of at most eight decimals.
        party: the role of the pack that is at fault.
        reason: why it was wrong, in a word.
        actor: who says so, and so may not approve.

    Raises:
        UnknownPrice: no price of the fund and day was accepted.
        PriceNotUsable, SamePrice: the right price is none, or the one that stands.
        UnknownParty: the scheme has no such role.
        NoCorrectionRule: a product that deals in the fund has no rule of wrong prices.
        OrdersInProgress: orders have taken the price and are not finished.
        SplitSince: the fund's units were split since, or are about to be.
        CorrectionOpen: another correction of it is not finished.
    """
    right = price_of(price)
    if party not in tenant.pack.roles:
        raise UnknownParty(field="party", party=party, known=", ".join(sorted(tenant.pack.roles)))

    async def once() -> int:
        async with db.unit_of_work(tenant.tenant_id) as session:
            await price_queries.hold_prices(session)
            found = await queries.hold_price(session, fund, price_on)
            if found is None:
                raise UnknownPrice(fund=fund, day=price_on.isoformat())
            fund_id, unit_scale, wrong_file, wrong = found
            if wrong.decimal() == right.decimal():
                raise SamePrice(field="price", fund=fund, day=price_on.isoformat())
            if any(one.on > price_on for one in (await action_queries.splits(session, [fund_id])).get(fund_id, ())):
                raise SplitSince(fund=fund, day=price_on.isoformat())
            other = await queries.open_correction(session, fund_id, price_on)
            if other is not None:
                raise CorrectionOpen(number=other, fund=fund, day=price_on.isoformat())
            if await queries.is_in_progress(session, fund_id, price_on):
                raise OrdersInProgress(fund=fund, day=price_on.isoformat())
            terms = await _terms(session, tenant, fund, fund_id, price_on)
            material = is_material(wrong, right, terms.material_bp)
            maker = await ledger.actor_id(session, actor)
            new = NewCorrection(fund_id, price_on, wrong_file, wrong, right, material, party, reason, terms, maker)
            number = await queries.add_correction(session, new)
            members, digest = 0, ""
            if material:
                members, digest = await _count(session, tenant, number, new, fund, unit_scale)
            one = await _found(session, number)
            event = await _note(session, tenant, EventKind.PRICE_CORRECTION_PROPOSED, one, actor, members=members)
            await queries.propose(session, number, members=members, digest=_digest(one, digest), event_id=event)
            return number

    number = await retry_transaction(once)
    async with db.unit_of_work(tenant.tenant_id) as session:
        return await _found(session, number)


async def approve_correction(
    db: Database, tenant: Tenant, number: int, digest: str, *, actor: str, progress: Progress = lambda _: None
) -> Correction:
    """Let a correction be booked, as a second person who has seen what `digest` is of; one that stopped goes on.

    The right price counts from now on. Then, range by range, each in a transaction of its own: Dr units-issued / Cr units for
    who bought too few, the sides exchanged for who bought too many; Dr price-correction / Cr cash for who sold for too
    little. Who switched at the wrong price is put right in the fund that they went on into, and the two funds owe each other the money:
    Dr and Cr price-correction. What is not covered is Dr correction-receivable (the member's) or compensation-due (the party's) / Cr
    price-correction, which is what the fund is owed. An error that is not material is noted, and nothing is booked.

    Raises:
        UnknownCorrection, CorrectionDecided: there is none, or it is decided already.
        CorrectionChanged: `digest` is not of what was proposed.
        SamePerson: `actor` proposed it.
    """

    async def once() -> None:
        async with db.unit_of_work(tenant.tenant_id) as session:
            await price_queries.hold_prices(session)
            one = await _found(session, number, hold=True)
            if one.state not in ("proposed", "approved"):
                raise CorrectionDecided(state=one.state)
            if one.digest != digest:
                raise CorrectionChanged
            checked_by_other(maker=one.maker, checker=actor)
            if one.state == "approved":
                return
            checker = await ledger.actor_id(session, actor)
            if not one.is_material:
                event = await _note(session, tenant, EventKind.PRICE_CORRECTION_NOTED, one, actor)
                await queries.decide(session, number, state="noted", checker=checker, event_id=event)
                return
            event = await _note(session, tenant, EventKind.PRICE_CORRECTION_APPROVED, one, actor, members=one.members)
            await queries.decide(session, number, state="approved", checker=checker, event_id=event)
            file_id = await _keep(session, one, event)
            maker = await ledger.actor_id(session, one.maker)
            await queries.add_right_price(session, one, file_id=file_id, maker=maker, checker=checker, event_id=event)
            await promise(session, "funds.carry_on_corrections", tenant_id=tenant.tenant_id)
            await promise(session, "funds.price_orders", tenant_id=tenant.tenant_id)

    await retry_transaction(once)
    return await _carry_on(db, tenant, number, actor, progress)


async def reject_correction(
    session: AsyncSession, tenant: Tenant, number: int, digest: str, *, actor: str
) -> Correction:
    """Let the price stand, as a second person; the orders that waited may take it. Raises as `approve_correction` does."""
    one = await _found(session, number, hold=True)
    if one.state != "proposed":
        raise CorrectionDecided(state=one.state)
    if one.digest != digest:
        raise CorrectionChanged
    checked_by_other(maker=one.maker, checker=actor)
    event = await _note(session, tenant, EventKind.PRICE_CORRECTION_REJECTED, one, actor)
    checker = await ledger.actor_id(session, actor)
    await queries.decide(session, number, state="rejected", checker=checker, event_id=event)
    await promise(session, "funds.price_orders", tenant_id=tenant.tenant_id)
    return await _found(session, number)


async def carry_on_corrections(db: Database, tenant: Tenant) -> int:
    """Book what is left of approved corrections; return how many are done by it. May be stopped, and run twice at once."""
    async with db.unit_of_work(tenant.tenant_id) as session:
        numbers = await queries.approved_corrections(session)
    states = [(await _carry_on(db, tenant, number, _ACTOR, lambda _: None)).state for number in numbers]
    return states.count("done")


async def find_correction(session: AsyncSession, number: int) -> Correction:
    """Return a correction; UnknownCorrection if there is none of that number."""
    return await _found(session, number)


async def list_corrections(session: AsyncSession, *, most: int = 100) -> list[Correction]:
    """Return the newest corrections, the newest first."""
    return await queries.list_corrections(session, most=most)


async def correction_lines(session: AsyncSession, number: int, *, most: int) -> list[CorrectionLine]:
    """Return the first lines of a correction, by member and account."""
    return [line for _, line in await queries.lines_of(session, number, most=most)]


COLUMNS = ("member", "product", "pot", "origin", "fund", "bought", "sold", "issued", "taken", "paid", "owed", "borne")


async def correction_file(
    session: AsyncSession, keys: FileKeyStore, tenant: Tenant, number: int, *, actor: str
) -> bytes:
    """Return the list of a correction, member by member, as CSV: units and money in major units.

    `bought` and `sold` are what the wrong price gave too little, or too much if negative: of a switch, `sold` in the fund of the
    price, `bought` in the `fund` of the row, which it went on into. The others are what was done about it,
    empty until it is booked. Who is erased has no number any more, and an empty one stands in its place.

    Raises:
        UnknownCorrection: there is none of that number.
    """
    await _found(session, number)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    async for lines in queries.every_line(session, number, at_once=_PEOPLE_AT_ONCE):
        people = await identity.read_people(
            session, keys, sorted({line.member_id for line in lines}), actor=actor, reason="price correction"
        )
        for line in lines:
            member = people[line.member_id].member_number if line.member_id in people else ""
            writer.writerow([member, line.product, line.pot, line.origin, line.fund, *shown(line, tenant)])
    return out.getvalue().encode()


def shown(line: CorrectionLine, tenant: Tenant) -> tuple[str, ...]:
    """Return a line's figures, `bought` to `borne`, in major units; empty where they are not known yet."""

    def units(count: int) -> str:
        return f"{Decimal(count).scaleb(-line.unit_scale):f}"

    def money(minor: int) -> str:
        return f"{Decimal(minor).scaleb(-tenant.asset.scale):f}"

    done = line.done
    booked = ("",) * 5 if done is None else (
        units(done.issued), units(done.taken), money(done.paid), money(done.owed), money(done.borne)
    )  # fmt: skip
    return (units(line.bought), money(line.sold), *booked)


async def _terms(session: AsyncSession, tenant: Tenant, fund: str, fund_id: int, price_on: date) -> CorrectionTerms:
    """Return by what a correction of a fund's price goes: the rules of the products that deal in it, or dealt at it."""
    dates = Dates(on=price_on)
    dealt = set(await queries.products_priced(session, fund_id, price_on))
    for product in tenant.pack.products:
        funds = tenant.rule(FundsRule, product=product.code, dates=Dates(on=price_on, joined_on=price_on))
        if funds is not None and fund in {one.code for one in funds.rule.funds}:
            dealt.add(product.code)
    rules: dict[str, WrongPriceRule] = {}
    for code in sorted(dealt):
        found = tenant.rule(WrongPriceRule, product=code, dates=dates)
        if found is None:
            raise NoCorrectionRule(product=code, day=price_on.isoformat())
        rules[found.ref] = found.rule
    if not rules:
        raise NoCorrectionRule(product=fund, day=price_on.isoformat())
    return CorrectionTerms.strictest(rules, tenant.asset)


async def _count(
    session: AsyncSession, tenant: Tenant, number: int, new: NewCorrection, fund: str, unit_scale: int
) -> tuple[int, str]:
    touched = await queries.accounts_touched(session, new.fund_id, new.price_on)
    pairs = [(Account("units", fund, *own, fund), Account("cash", tenant.asset.symbol, *own)) for own in touched]
    codes = await ledger.account_codes(session, {account for pair in pairs for account in pair})
    rows = [(*own, codes[units], codes[cash]) for own, (units, cash) in zip(touched, pairs, strict=True)]
    repricing = _repricing(tenant, new.wrong, new.right, unit_scale)
    return await queries.count_lines(session, number, new.fund_id, new.price_on, repricing, rows)


def _repricing(tenant: Tenant, wrong: Price, right: Price, unit_scale: int) -> Repricing:
    scales = {"amount_scale": tenant.asset.scale, "unit_scale": unit_scale}
    return Repricing(
        Conversion.at(wrong, **scales),
        Conversion.at(right, **scales),
        Conversion.selling_at(wrong, **scales),
        Conversion.selling_at(right, **scales),
    )


async def _carry_on(db: Database, tenant: Tenant, number: int, actor: str, progress: Progress) -> Correction:
    async with db.unit_of_work(tenant.tenant_id) as session:
        one = await _found(session, number)
        left = await queries.ranges_left(session, number)
    if one.state != "approved":
        return one
    for range_no in left:
        progress(await retry_transaction(partial(_book, db, tenant, one, range_no, actor)))

    async def finish() -> Correction:
        async with db.unit_of_work(tenant.tenant_id) as session:
            found = await _found(session, number, hold=True)
            if found.state == "approved" and not await queries.ranges_left(session, number):
                event = await _note(
                    session, tenant, EventKind.PRICE_CORRECTION_FINISHED, found, actor, **_facts(found.figures)
                )
                await queries.finish(session, number, event)
            return await _found(session, number)

    return await retry_transaction(finish)


async def _book(db: Database, tenant: Tenant, one: Correction, range_no: int, actor: str) -> int:
    money = tenant.asset.symbol
    async with db.unit_of_work(tenant.tenant_id) as session:
        members = await queries.hold_range(session, one.number, range_no)
        if members is None:
            return 0
        products = sorted(
            {product for product, _, _ in await queries.accounts_touched(session, one.fund_id, one.price_on)}
        )
        issued = Account("units-issued", one.fund, fund=one.fund)
        correction = Account("price-correction", money, fund=one.fund)
        compensation = Account("compensation-due", money, party=one.party)
        owed = {product: Account("correction-receivable", money, product) for product in products}
        others = {
            fund: (Account("units-issued", fund, fund=fund), Account("price-correction", money, fund=fund))
            for fund in await queries.funds_switched_into(session, one.number)
        }
        accounts = {
            issued,
            correction,
            compensation,
            *owed.values(),
            *(one for pair in others.values() for one in pair),
        }
        codes = await ledger.account_codes(session, accounts)
        event, figures = await queries.book_range(
            session,
            one,
            range_no,
            members,
            _repricing(tenant, one.wrong, one.right, one.unit_scale),
            CorrectionCodes(
                codes[issued],
                codes[correction],
                codes[compensation],
                {product: codes[account] for product, account in owed.items()},
                {fund: (codes[held], codes[own]) for fund, (held, own) in others.items()},
            ),
        )
        if event:
            facts = {"range": range_no, **_facts(figures)}
            entry = await _entry(session, tenant, EventKind.PRICE_CORRECTION_POSTED, one, actor, facts)
            await ledger.write_gathered_event(session, event, entry)
        return 1


def _facts(figures: Figures) -> dict[str, object]:
    return {name: str(getattr(figures, name)) for name in ("issued", "taken", "paid", "owed", "borne")}


async def _found(session: AsyncSession, number: int, *, hold: bool = False) -> Correction:
    one = await queries.find_correction(session, number, hold=hold)
    if one is None:
        raise UnknownCorrection
    return one


def _digest(one: Correction, lines: str) -> str:
    said = [
        one.number, one.fund, one.price_on.isoformat(), str(one.wrong.decimal()), str(one.right.decimal()), one.party, one.reason,
        one.is_material, msgspec.to_builtins(one.terms), lines,
    ]  # fmt: skip
    return hashlib.sha256(msgspec.json.encode(said)).hexdigest()


async def _keep(session: AsyncSession, one: Correction, event: int) -> int:
    """Keep what stands for the file of the right price: the correction itself."""
    said = {"correction": one.number, "fund": one.fund, "price_on": one.price_on.isoformat(), "price": _text(one.right)}
    raw = msgspec.json.encode(said)
    return await price_queries.keep_file(
        session,
        name=f"correction-{one.number}",
        sha256=hashlib.sha256(raw).hexdigest(),
        raw=raw,
        state="imported",
        day=one.price_on,
        received_at=await ledger.scheme_now(session),
        event_id=event,
        accepted=1,
        refused=(),
    )


async def _note(
    session: AsyncSession, tenant: Tenant, kind: EventKind, one: Correction, actor: str, **facts: object
) -> int:
    (posted,) = await ledger.post(session, [await _entry(session, tenant, kind, one, actor, facts)])
    return posted.event_id


async def _entry(
    session: AsyncSession, tenant: Tenant, kind: EventKind, one: Correction, actor: str, facts: Mapping[str, object]
) -> Entry:
    return Entry(
        member_id=house_member(tenant.tenant_id),
        kind=kind,
        business_date=business_date(await ledger.scheme_now(session), tenant.pack.time_zone),
        actor=await ledger.actor_id(session, actor),
        pack=tenant.pack_id,
        decision=await ledger.decision_id(session, {"rules": list(one.terms.rules)}),
        body={
            "correction": one.number,
            "fund": one.fund,
            "of_day": one.price_on.isoformat(),
            "wrong": _text(one.wrong),
            "right": _text(one.right),
            "party": one.party,
            "reason": one.reason,
            **facts,
        },
    )


def _text(price: Price) -> str:
    return f"{price.decimal():.{price.scale}f}"
