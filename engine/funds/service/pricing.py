"""Importing published prices, and deciding on those that wait for a second person."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from fractions import Fraction

from sqlalchemy.ext.asyncio import AsyncSession

from engine.access.rules import checked_by_other
from engine.funds.errors import ActionOpen, PriceDecided, UnitScaleChanged, UnknownPrice
from engine.funds.ports import FundManager
from engine.funds.queries import acting as action_queries
from engine.funds.queries import prices as queries
from engine.funds.queries.acting import Split
from engine.funds.queries.prices import Neighbourhood, StoredPrice
from engine.funds.rules import Fund, FundsRule, PriceToleranceRule, is_doubtful
from engine.kernel.clock import business_date
from engine.kernel.ids import house_member
from engine.kernel.price_files import PriceFile, PriceFileRefused, PublishedPrice
from engine.kernel.prices import Price
from engine.kernel.rules import Dates
from engine.kernel.text import N_
from engine.ledger import service as ledger
from engine.ledger.rules import Entry, EventKind
from engine.runtime.database import Database, retry_transaction
from engine.runtime.jobs import promise
from engine.tenancy.service import Tenant

IMPORTED, REFUSED, KNOWN = "imported", "refused", "known"
ANOTHER_MANAGER = "another-manager"
ANOTHER_PRICE = "another-price"
BEFORE_SPLIT = "before-split"
_REASONS: Mapping[str, str] = {
    ANOTHER_MANAGER: N_("The fund belongs to another manager in the scheme's rules."),
    ANOTHER_PRICE: N_("Another price of this fund and day was accepted, or waits to be."),
    BEFORE_SPLIT: N_("The fund's units were split since: prices of before are not taken any more."),
}


@dataclass(frozen=True, slots=True)
class RowRefusal:
    """A row of a file that gave no price: which, the field at fault, and why. `row` is None for the whole file."""

    row: int | None
    field: str
    reason: str
    sentence: str
    text: str = ""


@dataclass(frozen=True, slots=True)
class HeldPrice:
    """A price that waits for a second person: because it "moved" too far, or came too "late" for its orders."""

    fund: str
    price: str
    last: str | None
    held_for: str


@dataclass(frozen=True, slots=True)
class PriceImport:
    """What became of a price file. `unchanged` prices were known already; `not_ours` rows are of other schemes."""

    file: str
    sha256: str
    state: str
    day: date | None = None
    received_at: datetime | None = None
    accepted: Mapping[str, str] = field(default_factory=dict)
    held: tuple[HeldPrice, ...] = ()
    unchanged: int = 0
    not_ours: int = 0
    refused: tuple[RowRefusal, ...] = ()

    @property
    def is_refused(self) -> bool:
        """Return whether the file was refused whole and changed nothing."""
        return self.state == REFUSED

    def lines(self) -> list[str]:
        """Return the report in sentences, for the command line."""
        if self.state == KNOWN:
            return [f"{self.file}: the same bytes first came at {self.received_at:%Y-%m-%d %H:%M} UTC; nothing changed"]
        if self.is_refused:
            head = f"{self.file}: refused whole, nothing changed"
        else:
            head = (
                f"{self.file}: {self.day}: {len(self.accepted)} accepted, {len(self.held)} held, "
                f"{self.unchanged} known already, {self.not_ours} of other schemes, {len(self.refused)} refused"
            )
        held = [
            f"  {one.fund} {one.price} waits for a second person: "
            + (
                f"the last price was {one.last}"
                if one.held_for == "moved"
                else "orders took a later price before it came"
            )
            for one in self.held
        ]
        return [
            head,
            *held,
            *(
                f"  {'' if bad.row is None else f'row {bad.row}, '}{bad.field}: {bad.sentence} {bad.text}".rstrip()
                for bad in self.refused
            ),
        ]


async def import_prices(
    db: Database,
    tenant: Tenant,
    adapter: FundManager,
    raw: bytes,
    name: str,
    day: date | None,
    actor: str,
    *,
    manager_code: str = "",
) -> PriceImport:
    """Take the prices of the tenant's funds from a file; keep the file as it came, with its hash.

    A file refused whole is kept and changes nothing; its bytes may come again. The same bytes twice change nothing and
    say when they first came. A price that moved further than the tolerance from the last accepted one, or that comes
    after orders took a later one, waits for a second person. The same price again is no news; another price of a fund
    and day that has one is refused, row by row.

    Args:
        db: the database; the import is one transaction.
        tenant: whose funds are priced.
        adapter: reads the file.
        raw: the file's bytes.
        name: the file's name, as it came.
        day: the file's day; None to take it from the name.
        actor: who imports, and so may not approve.
        manager_code: whose the prices are that name no manager; of each fund's own if absent.

    """
    sha256 = hashlib.sha256(raw).hexdigest()
    read: PriceFile | PriceFileRefused
    try:
        read = adapter.read(raw, name, day)
    except PriceFileRefused as refusal:
        read = refusal

    async def once() -> PriceImport:
        async with db.unit_of_work(tenant.tenant_id) as session:
            await queries.hold_prices(session)
            earlier = await queries.find_file(session, sha256)
            if earlier is not None and earlier.state == IMPORTED:
                return PriceImport(name, sha256, KNOWN, received_at=earlier.received_at)
            if isinstance(read, PriceFileRefused):
                return await _keep_refused(session, read, raw, name, sha256)
            return await _import(session, tenant, read, raw, name, sha256, actor, manager_code)

    return await retry_transaction(once)


async def _keep_refused(
    session: AsyncSession, refusal: PriceFileRefused, raw: bytes, name: str, sha256: str
) -> PriceImport:
    bad = RowRefusal(refusal.row, refusal.field, refusal.reason, refusal.sentence, refusal.detail)
    now = await ledger.scheme_now(session)
    await queries.keep_file(
        session,
        name=name,
        sha256=sha256,
        raw=raw,
        state=REFUSED,
        day=None,
        received_at=now,
        event_id=0,
        accepted=0,
        refused=[_stored(bad)],
    )
    return PriceImport(name, sha256, REFUSED, received_at=now, refused=(bad,))


@dataclass(frozen=True, slots=True)
class _News:
    """A price that is new: what state it enters the books in."""

    fund: str
    price: Price
    held_for: str
    last: Price | None


async def _import(
    session: AsyncSession,
    tenant: Tenant,
    file: PriceFile,
    raw: bytes,
    name: str,
    sha256: str,
    actor: str,
    manager_code: str,
) -> PriceImport:
    funds, tolerances, rules = funds_on(tenant, file.day)
    ours = [row for row in file.prices if row.fund_code in funds]
    numbers = await queries.intern_funds(session, [funds[row.fund_code] for row in ours])
    around = await queries.neighbourhoods(session, list(numbers.values()), file.day)
    splits = await action_queries.splits(session, list(numbers.values()))
    refused = [RowRefusal(bad.row, bad.field, bad.reason, bad.sentence, bad.text) for bad in file.refused]
    news: list[_News] = []
    unchanged = 0
    for row in (replace(one, manager_code=one.manager_code or manager_code) for one in ours):
        number = numbers[row.fund_code]
        found = _judge(
            row, funds[row.fund_code], around[number], tolerances.get(row.fund_code), splits.get(number, ()), file.day
        )
        if isinstance(found, _News):
            news.append(found)
        elif found is None:
            unchanged += 1
        else:
            refused.append(found)

    now = await ledger.scheme_now(session)
    today = business_date(now, tenant.pack.time_zone)
    maker = await ledger.actor_id(session, actor)
    decision = await ledger.decision_id(session, {"rules": list(rules)})

    def entry(kind: EventKind, body: Mapping[str, object]) -> Entry:
        return Entry(
            member_id=house_member(tenant.tenant_id),
            kind=kind,
            business_date=today,
            actor=maker,
            pack=tenant.pack_id,
            decision=decision,
            body=body,
        )

    held = [one for one in news if one.held_for]
    counts = {
        "accepted": len(news) - len(held),
        "held": len(held),
        "unchanged": unchanged,
        "not_ours": len(file.prices) - len(ours),
        "refused": len(refused),
    }
    posted = await ledger.post(
        session,
        [
            entry(EventKind.PRICE_FILE_IMPORTED, {"sha256": sha256, "day": file.day.isoformat(), **counts}),
            *(
                entry(
                    EventKind.PRICE_HELD if one.held_for else EventKind.PRICE_ACCEPTED,
                    {
                        "fund": one.fund,
                        "price_on": file.day.isoformat(),
                        "price": _text(one.price),
                        **({"held_for": one.held_for} if one.held_for else {}),
                    },
                )
                for one in news
            ),
        ],
        recorded_at=now,
    )
    file_id = await queries.keep_file(
        session,
        name=name,
        sha256=sha256,
        raw=raw,
        state=IMPORTED,
        day=file.day,
        received_at=now,
        event_id=posted[0].event_id,
        accepted=len(news) - len(held),
        refused=[_stored(bad) for bad in refused],
    )
    await queries.add_prices(
        session,
        [
            (numbers[one.fund], one.price, "held" if one.held_for else "accepted", one.held_for, fate.event_id)
            for one, fate in zip(news, posted[1:], strict=True)
        ],
        price_on=file.day,
        file_id=file_id,
        maker=maker,
    )
    return PriceImport(
        name,
        sha256,
        IMPORTED,
        day=file.day,
        received_at=now,
        accepted={one.fund: _text(one.price) for one in news if not one.held_for},
        held=tuple(
            HeldPrice(one.fund, _text(one.price), None if one.last is None else _text(one.last), one.held_for)
            for one in held
        ),
        unchanged=unchanged,
        not_ours=len(file.prices) - len(ours),
        refused=tuple(sorted(refused, key=lambda bad: bad.row or 0)),
    )


def _judge(
    row: PublishedPrice, fund: Fund, around: Neighbourhood, move_bp: int | None, splits: Sequence[Split], day: date
) -> _News | RowRefusal | None:
    """Return what a row of one of our funds is: news, a refusal, or None for a price that is known."""
    if row.manager_code not in ("", fund.manager):
        return RowRefusal(row.row, "manager_code", ANOTHER_MANAGER, _REASONS[ANOTHER_MANAGER], row.manager_code)
    price = Price.of(row.price)
    if around.price is not None:
        if around.price.decimal() == price.decimal():
            return None
        return RowRefusal(row.row, "price", ANOTHER_PRICE, _REASONS[ANOTHER_PRICE], _text(around.price))
    if any(day < one.on and one.state != "proposed" for one in splits):
        return RowRefusal(row.row, "price", BEFORE_SPLIT, _REASONS[BEFORE_SPLIT])
    split = Fraction(1)
    for one in splits:
        if around.last_on is not None and around.last_on < one.on <= day and one.state == "done":
            split *= Fraction(one.ratio.multiplier, one.ratio.divisor)
    held_for = ""
    if around.is_late:
        held_for = "late"
    elif any(one.on <= day and one.state != "done" for one in splits) or (
        around.last is not None and move_bp is not None and is_doubtful(price, around.last, move_bp, split)
    ):
        held_for = "moved"
    return _News(fund.code, price, held_for, around.last)


def funds_on(tenant: Tenant, day: date) -> tuple[dict[str, Fund], dict[str, int], tuple[str, ...]]:
    """Return a tenant's funds on a day by code, each one's strictest tolerance, and the rules that say so.

    Raises:
        UnitScaleChanged: two products count one fund's units otherwise.
    """
    funds: dict[str, Fund] = {}
    tolerances: dict[str, int] = {}
    rules: set[str] = set()
    for product in tenant.pack.products:
        dealt = tenant.rule(FundsRule, product=product.code, dates=Dates(on=day))
        tolerance = tenant.rule(PriceToleranceRule, product=product.code, dates=Dates(on=day))
        if dealt is None:
            continue
        rules.add(dealt.ref)
        if tolerance is not None:
            rules.add(tolerance.ref)
        for fund in dealt.rule.funds:
            kept = funds.setdefault(fund.code, fund)
            if kept.unit_scale != fund.unit_scale:
                raise UnitScaleChanged(fund=fund.code, kept=kept.unit_scale, wanted=fund.unit_scale)
            if tolerance is not None:
                tolerances[fund.code] = min(tolerance.rule.move_bp, tolerances.get(fund.code, tolerance.rule.move_bp))
    return funds, tolerances, tuple(sorted(rules))


async def approve_price(session: AsyncSession, tenant: Tenant, fund: str, price_on: date, actor: str) -> StoredPrice:
    """Let a held price count, and promise the job that allots the orders which waited for it.

    Raises:
        UnknownPrice: none of that fund and day was received.
        PriceDecided: it waits for nobody.
        SamePerson: `actor` imported it.
        ActionOpen: the price is of units that are to be split, and are not yet: it is approved with the split.
    """
    return await _decide(session, tenant, fund, price_on, actor, state="accepted", kind=EventKind.PRICE_APPROVED)


async def reject_price(session: AsyncSession, tenant: Tenant, fund: str, price_on: date, actor: str) -> StoredPrice:
    """Refuse a held price; another may then come for its day. Raises as `approve_price` does.

    The first price of units that two people are splitting stays.
    """
    return await _decide(session, tenant, fund, price_on, actor, state="rejected", kind=EventKind.PRICE_REJECTED)


async def _decide(
    session: AsyncSession, tenant: Tenant, fund: str, price_on: date, actor: str, *, state: str, kind: EventKind
) -> StoredPrice:
    await queries.hold_prices(session)
    price = await queries.undecided_price(session, fund, price_on)
    if price is None:
        raise UnknownPrice(fund=fund, day=price_on.isoformat())
    if price.state != "held":
        raise PriceDecided(fund=fund, day=price_on.isoformat(), state=price.state)
    checked_by_other(maker=price.maker, checker=actor)
    waits_for = ("proposed", "approved") if state == "accepted" else ("approved",)
    for one in (await action_queries.splits(session, [price.fund_id])).get(price.fund_id, ()):
        if one.on <= price_on and one.state in waits_for:
            raise ActionOpen(number=await action_queries.open_action(session, price.fund_id), fund=fund)
    checker = await ledger.actor_id(session, actor)
    _, _, rules = funds_on(tenant, price_on)
    now = await ledger.scheme_now(session)
    (posted,) = await ledger.post(
        session,
        [
            Entry(
                member_id=house_member(tenant.tenant_id),
                kind=kind,
                business_date=business_date(now, tenant.pack.time_zone),
                actor=checker,
                pack=tenant.pack_id,
                decision=await ledger.decision_id(session, {"rules": list(rules)}),
                body={
                    "fund": fund,
                    "price_on": price_on.isoformat(),
                    "price": _text(price.price),
                    "held_for": price.held_for,
                },
            )
        ],
        recorded_at=now,
    )
    await queries.decide_price(session, price, state=state, checker=checker, event_id=posted.event_id)
    await promise(session, "funds.price_orders", tenant_id=tenant.tenant_id)
    return replace(price, state=state)


def _stored(bad: RowRefusal) -> dict[str, object]:
    return {"row": bad.row, "field": bad.field, "reason": bad.reason, "text": bad.text}


def _text(price: Price) -> str:
    return f"{price.decimal():.{price.scale}f}"


async def open_funds(session: AsyncSession, dealt: Sequence[Fund]) -> None:
    """Open funds and the assets of their units, those that are new.

    Raises:
        UnitScaleChanged: the books count a fund's units to another number of decimals.
    """
    await queries.intern_funds(session, dealt)
