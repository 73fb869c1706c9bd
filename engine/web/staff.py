"""The operator's pages: today's figures, and the list behind each of them."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal, InvalidOperation
from typing import Annotated, Literal
from urllib.parse import quote, urlencode
from zoneinfo import ZoneInfo

from litestar import Controller, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, QueryParameter, URLEncodedBody
from litestar.response import Redirect
from msgspec import Meta, Struct
from sqlalchemy.ext.asyncio import AsyncSession

from engine.access.rules import Caller
from engine.contributions import service as contributions
from engine.funds import service as funds
from engine.funds.jobs import PRICE_ORDERS
from engine.identity import service as identity
from engine.identity.rules import compact_reference
from engine.kernel.amounts import Amount, Asset
from engine.kernel.clock import business_date
from engine.kernel.permissions import Permission
from engine.kernel.text import N_
from engine.ledger import service as ledger
from engine.reports import service as reports
from engine.reports.api import day_of
from engine.reports.service import Column, Letterhead, Table
from engine.runtime.database import Database
from engine.runtime.jobs import promise
from engine.runtime.key_file import FileKeyStore
from engine.runtime.settings import Settings
from engine.tenancy.service import Tenant
from engine.web import queries
from engine.web.errors import PriceDiffers
from engine.web.frame import NONE, Frame, HTTPRequest, Link
from engine.web.kinds import readable
from engine.web.waiting import count_waiting

PAGE = 50
NEWEST = 100
REASONS: Mapping[str, str] = {
    "unknown-member": N_("no member has this number"),
    "bad-check-digit": N_("the number is mistyped"),
    "member-not-active": N_("the member is no longer active"),
    "not-in-product": N_("the member is not in the product that the payment names"),
    "several-members": N_("several members have this number"),
    "not-taken": N_("the scheme's rules do not take this payment"),
    "not-eligible": N_("the member may no longer contribute"),
    "above-level": N_("more than the member's level allows"),
    "above-cap": N_("more than a scheme year takes"),
    "above-due": N_("more than is due"),
    "loan-repayment": N_("it names a loan that is not running"),
}
PAYMENT_STATES: Mapping[bool, str] = {False: N_("received"), True: N_("without an owner")}
HELD_FOR: Mapping[str, str] = {
    "moved": N_("The price moved further from the last one than the scheme takes without a second look."),
    "late": N_("The price came after others of a later day had been used."),
}
ORDER_STATES: Mapping[str, str] = {
    "placed": N_("waits for its price"),
    "priced": N_("priced"),
    "settled": N_("the money has come"),
}
DEALING_STATES: Mapping[str, str] = {"open": N_("open"), "closed": N_("closed"), "priced": N_("priced")}
JOB_STATES: Mapping[str, str] = {
    "todo": N_("waiting"),
    "doing": N_("running"),
    "succeeded": N_("done"),
    "failed": N_("failed"),
    "cancelled": N_("cancelled"),
    "aborting": N_("being stopped"),
    "aborted": N_("stopped"),
}

Before = Annotated[int | None, QueryParameter(name="before", ge=1, le=2**63 - 1)]
After = Annotated[int | None, QueryParameter(name="after", ge=0, le=2**63 - 1)]
Period = Literal["today", "month"]


@dataclass(frozen=True, slots=True)
class Figure:
    """A number of the day, and where the things it counts are listed."""

    label: str
    value: str
    href: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class HeldPrice:
    """A price that waits. What it is stays hidden: the second person types it from another source."""

    fund: str
    day: str
    why: str
    action: str
    may_decide: bool
    why_not: str


class Decision(Struct, frozen=True):
    """What the second person sends."""

    decision: Literal["approve", "reject"]
    price: Annotated[str, Meta(max_length=24)] = ""
    csrf_token: str = ""


@asynccontextmanager
async def staff_page(
    request: HTTPRequest, db: Database, tenant: Tenant, caller: Caller, settings: Settings
) -> AsyncIterator[tuple[AsyncSession, Frame]]:
    """Open the tenant's session and the frame of a page of its staff."""
    async with db.unit_of_work(tenant.tenant_id) as session:
        today = business_date(await ledger.scheme_now(session), tenant.time_zone)
        yield session, Frame(request, tenant, caller=caller, settings=settings, business_date=today)


class StaffPages(Controller):
    """What staff see once they are signed in."""

    path = "/staff"
    include_in_schema = False

    @get("/", operation_id="ShowToday", opt={"permission": Permission.OPERATIONS_READ})
    async def today(
        self,
        request: HTTPRequest,
        tenant: NamedDependency[Tenant],
        caller: NamedDependency[Caller],
        db: NamedDependency[Database],
        settings: NamedDependency[Settings],
    ) -> Response[str]:
        """Show what wants doing today, each number with a link to what it counts."""
        async with staff_page(request, db, tenant, caller, settings) as (session, frame):
            figures = await _figures(session, frame, tenant)
        return frame.page("staff.html", figures=figures)

    @get("/members", operation_id="ListMembersPage", opt={"permission": Permission.MEMBERS_READ})
    async def members(
        self,
        request: HTTPRequest,
        tenant: NamedDependency[Tenant],
        caller: NamedDependency[Caller],
        db: NamedDependency[Database],
        keys: NamedDependency[FileKeyStore],
        settings: NamedDependency[Settings],
        before: Before = None,
    ) -> Response[str]:
        """List members by number, the newest first. Their names stay in the vault."""
        async with staff_page(request, db, tenant, caller, settings) as (session, frame):
            count = await queries.count_members(session)
            rows = await queries.list_members(session, before=before, most=PAGE + 1)
            people = await identity.read_people(
                session, keys, [row.member_id for row in rows[:PAGE]], actor=caller.actor, reason="member list"
            )
        names = Letterhead.of(tenant, frame.language).product_names
        shown = []
        for row in rows[:PAGE]:
            number = people[row.member_id].member_number if row.member_id in people else NONE
            shown.append(
                {
                    "number": number,
                    "href": _statement_href(number) if frame.may(Permission.STATEMENTS_READ) else "",
                    "product": names.get(row.product, row.product),
                    "group": row.group_code or NONE,
                    "joined": frame.day(row.joined_on),
                }
            )
        older = f"/staff/members?before={rows[PAGE - 1].enrolled_event}" if len(rows) > PAGE else ""
        return frame.page("members.html", count=count, rows=shown, next=older)

    @get("/members/find", operation_id="FindMemberPage", opt={"permission": Permission.STATEMENTS_READ})
    async def find(self, number: Annotated[str, QueryParameter(name="number", max_length=40)]) -> Redirect:
        """Go to the statement of the member whose number was typed, however it was spaced."""
        return Redirect(_statement_href(compact_reference(number) or "0"), status_code=303)

    @get(
        "/members/{number:str}/statement", operation_id="ShowStatement", opt={"permission": Permission.STATEMENTS_READ}
    )
    async def statement(
        self,
        request: HTTPRequest,
        number: FromPath[str],
        tenant: NamedDependency[Tenant],
        caller: NamedDependency[Caller],
        db: NamedDependency[Database],
        keys: NamedDependency[FileKeyStore],
        settings: NamedDependency[Settings],
        as_of: Annotated[str | None, QueryParameter(name="as_of", max_length=10)] = None,
    ) -> Response[str]:
        """Show a member's statement at any day up to today, without their name."""
        async with staff_page(request, db, tenant, caller, settings) as (session, frame):
            member = await reports.find_member(session, keys, number)
            day = await day_of(session, tenant, as_of)
            into = await identity.number_merged_into(session, keys, number, member.member_id, actor=caller.actor)
            statement = await reports.statement(
                session, tenant, member, number=compact_reference(number), as_of=day, merged_into=into
            )
            expectation = await reports.expectation_of(session, keys, tenant, member, on=day, actor=caller.actor)
        sheet = reports.sheet_of(statement, Letterhead.of(tenant, frame.language), expectation=expectation)
        place = f"/v1/members/{quote(statement.member)}/statement"
        asked = urlencode({"as_of": day.isoformat()})
        return frame.page(
            "statement.html",
            sheet=sheet,
            as_of=day,
            pdf=f"{place}.pdf?{asked}&{urlencode({'lang': frame.language})}",
            json=f"{place}?{asked}",
        )

    @get("/contributions", operation_id="ListPaymentsPage", opt={"permission": Permission.CONTRIBUTIONS_READ})
    async def payments(
        self,
        request: HTTPRequest,
        tenant: NamedDependency[Tenant],
        caller: NamedDependency[Caller],
        db: NamedDependency[Database],
        settings: NamedDependency[Settings],
        since: FromQuery[Period] = "today",
        before: Before = None,
    ) -> Response[str]:
        """List what was recorded today or this month, the newest first."""
        async with staff_page(request, db, tenant, caller, settings) as (session, frame):
            start = _start_of(frame, tenant, since)
            total = await queries.payments_since(session, start)
            rows = await queries.list_payments(session, start, before=before, most=PAGE + 1)
        say = frame.words.gettext
        names = channels_of(frame, tenant)
        shown = [
            {
                "receipt": str(row.event_id),
                "paid_on": frame.day(row.paid_on),
                "channel": names.get(row.channel, row.channel),
                "amount": frame.money(row.amount),
                "state": say(PAYMENT_STATES[row.is_suspended]),
            }
            for row in rows[:PAGE]
        ]
        asked = urlencode({"since": since, "before": rows[PAGE - 1].event_id}) if len(rows) > PAGE else ""
        return frame.page(
            "payments.html",
            count=total.count,
            amount=frame.money(total.amount),
            rows=shown,
            since=say(N_("Recorded since {day}")).format(day=frame.day(start.date())),
            periods=[
                Link("/staff/contributions?since=today", say(N_("Today")), is_here=since == "today"),
                Link("/staff/contributions?since=month", say(N_("This month")), is_here=since == "month"),
            ],
            next=f"/staff/contributions?{asked}" if asked else "",
        )

    @get("/dealing", operation_id="ShowDealing", opt={"permission": Permission.OPERATIONS_READ})
    async def dealing(
        self,
        request: HTTPRequest,
        tenant: NamedDependency[Tenant],
        caller: NamedDependency[Caller],
        db: NamedDependency[Database],
        settings: NamedDependency[Settings],
        done: FromQuery[Literal["approve", "reject"] | None] = None,
    ) -> Response[str]:
        """Show dealings, orders, prices, and the prices that wait for a second person."""
        async with staff_page(request, db, tenant, caller, settings) as (session, frame):
            held = await queries.list_prices(session, is_held=True, most=10 * NEWEST)
            accepted = await queries.list_prices(session, is_held=False, most=NEWEST)
            waiting = await queries.list_orders(session, is_priced=False, most=10 * NEWEST)
            priced = await queries.list_orders(session, is_priced=True, most=NEWEST)
            sold = await queries.list_sales(session, most=NEWEST)
            dealings = await queries.list_dealings(session, most=NEWEST)
        say = frame.words.gettext
        notices = {"approve": N_("The price was approved."), "reject": N_("The price was rejected.")}
        return frame.page(
            "dealing.html",
            notice=say(notices[done]) if done else "",
            held=[_held(frame, tenant, row) for row in held],
            waiting=_orders(frame, tenant, waiting, say(N_("Orders that wait for their price"))),
            priced=_orders(frame, tenant, priced, say(N_("The newest priced orders"))),
            sold=_sales(frame, tenant, sold) if sold else None,
            dealings=_dealings(frame, tenant, dealings),
            prices=_prices(frame, tenant, accepted),
        )

    @post(
        "/dealing/prices/{fund:str}/{day:date}",
        status_code=303,
        operation_id="DecideHeldPrice",
        opt={"permission": Permission.PRICES_APPROVE},
    )
    async def decide(
        self,
        fund: FromPath[str],
        day: FromPath[date],
        data: URLEncodedBody[Decision],
        tenant: NamedDependency[Tenant],
        caller: NamedDependency[Caller],
        db: NamedDependency[Database],
    ) -> Redirect:
        """Approve or reject a price that waits. To approve it, the second person types it anew."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            if data.decision == "approve":
                held = await queries.list_prices(session, is_held=True, most=10 * NEWEST)
                waits = [row.price for row in held if row.fund == fund and row.price_on == day]
                if waits and waits[0].decimal() != _typed(data.price):
                    raise PriceDiffers(field="price")
                await funds.approve_price(session, tenant, fund, day, caller.actor)
            else:
                await funds.reject_price(session, tenant, fund, day, caller.actor)
            await promise(session, PRICE_ORDERS, tenant_id=tenant.tenant_id)
        return Redirect(f"/staff/dealing?done={data.decision}#held", status_code=303)

    @get("/jobs", operation_id="ShowJobs", opt={"permission": Permission.OPERATIONS_READ})
    async def jobs(
        self,
        request: HTTPRequest,
        tenant: NamedDependency[Tenant],
        caller: NamedDependency[Caller],
        db: NamedDependency[Database],
        settings: NamedDependency[Settings],
    ) -> Response[str]:
        """Show how many background jobs wait, run, are done or failed."""
        async with staff_page(request, db, tenant, caller, settings) as (session, frame):
            rows = await queries.count_jobs(session)
        say = frame.words.gettext
        table = Table(
            caption=say(N_("Jobs by name and state")),
            columns=(
                Column(say(N_("Job"))),
                Column(say(N_("State"))),
                Column(say(N_("Count")), is_figure=True),
                Column(say(N_("Most attempts")), is_figure=True),
            ),
            rows=tuple(
                (
                    row.task,
                    say(JOB_STATES[row.status]) if row.status in JOB_STATES else row.status,
                    frame.number(row.count),
                    frame.number(row.attempts),
                )
                for row in rows
            ),
            empty=say(N_("No jobs were needed yet.")),
        )
        return frame.page("jobs.html", jobs=table)


# -- figures


async def _figures(session: AsyncSession, frame: Frame, tenant: Tenant) -> list[Figure]:
    say = frame.words.gettext
    waiting = await contributions.suspense_figures(session, tenant)
    assert frame.money_asset is not None
    today = await queries.payments_since(session, _start_of(frame, tenant, "today"))
    month = await queries.payments_since(session, _start_of(frame, tenant, "month"))
    members = await queries.count_members(session)
    held = await queries.count_held_prices(session)
    assert frame.caller is not None
    proposed = await count_waiting(session, readable(frame.caller), zone=tenant.time_zone)
    orders = await queries.unpriced_orders(session)
    price_on = await queries.last_price_on(session)
    checkpoint = await queries.last_checkpoint(session)
    pays = frame.may(Permission.CONTRIBUTIONS_READ)
    figures = [
        Figure(
            say(N_("Money without an owner")),
            frame.money(minor_of(waiting.amount, frame.money_asset)),
            "/staff/suspense" if pays else "",
            _payments(frame, waiting.count) + _oldest(frame, waiting.oldest_on),
        ),
        Figure(
            say(N_("Received today")),
            frame.money(today.amount),
            "/staff/contributions?since=today" if pays else "",
            _payments(frame, today.count),
        ),
        Figure(
            say(N_("Received this month")),
            frame.money(month.amount),
            "/staff/contributions?since=month" if pays else "",
            _payments(frame, month.count),
        ),
        Figure(
            say(N_("Members")), frame.number(members), "/staff/members" if frame.may(Permission.MEMBERS_READ) else ""
        ),
        Figure(say(N_("Waiting for a second person")), frame.number(proposed), "/staff/waiting"),
    ]
    if price_on is not None or orders.count or held:
        figures += [
            Figure(say(N_("Prices that wait for a second person")), frame.number(held), "/staff/dealing#held"),
            Figure(
                say(N_("Orders that wait for their price")),
                frame.money(orders.amount),
                "/staff/dealing#orders",
                frame.words.ngettext("{count} order", "{count} orders", orders.count).format(
                    count=frame.number(orders.count)
                ),
            ),
            Figure(say(N_("Last price")), NONE if price_on is None else frame.day(price_on), "/staff/dealing#prices"),
        ]
    if checkpoint is None:
        figures.append(Figure(say(N_("Entries in the signed log")), frame.number(0)))
    else:
        signed = checkpoint.signed_at.astimezone(ZoneInfo(tenant.time_zone))
        figures.append(
            Figure(
                say(N_("Entries in the signed log")),
                frame.number(checkpoint.size),
                f"/log/{quote(tenant.code)}/checkpoint",
                say(N_("Signed on {day} at {time}")).format(day=frame.day(signed.date()), time=f"{signed:%H:%M}"),
            )
        )
    return figures


def _payments(frame: Frame, count: int) -> str:
    return frame.words.ngettext("{count} payment", "{count} payments", count).format(count=frame.number(count))


def _oldest(frame: Frame, oldest_on: date | None) -> str:
    if oldest_on is None or frame.business_date is None:
        return ""
    days = days_in_words(frame, (frame.business_date - oldest_on).days)
    return " · " + frame.words.gettext(N_("the oldest waits {days}")).format(days=days)


def days_in_words(frame: Frame, days: int) -> str:
    """Return so many days, in the reader's language."""
    return frame.words.ngettext("{count} day", "{count} days", days).format(count=frame.number(days))


def _start_of(frame: Frame, tenant: Tenant, period: Period) -> datetime:
    """Return the first instant of the scheme's today or of its month."""
    assert frame.business_date is not None
    day = frame.business_date if period == "today" else frame.business_date.replace(day=1)
    return datetime.combine(day, time(), ZoneInfo(tenant.time_zone))


# -- lists


def _statement_href(number: str) -> str:
    return f"/staff/members/{quote(number, safe='')}/statement"


def channels_of(frame: Frame, tenant: Tenant) -> dict[str, str]:
    """Return the names of the channels, in the reader's language."""
    return {channel.code: frame.words.gettext(channel.name) for channel in tenant.pack.manifest.channels}


def minor_of(amount: Decimal | str, asset: Asset) -> int:
    """Return an amount in major units in smallest ones."""
    return Amount.parse(str(amount), asset).units


def _typed(price: str) -> Decimal | None:
    try:
        return Decimal(price.strip())
    except InvalidOperation:
        return None


def _held(frame: Frame, tenant: Tenant, row: queries.PriceRow) -> HeldPrice:
    assert frame.caller is not None
    say = frame.words.gettext
    names = Letterhead.of(tenant, frame.language).fund_names
    why = [say(HELD_FOR[row.held_for]) if row.held_for in HELD_FOR else ""]
    if row.previous is not None and row.previous_on is not None:
        why.append(
            say(N_("The last price was {price}, of {day}.")).format(
                price=frame.price(row.previous), day=frame.day(row.previous_on)
            )
        )
    is_maker = row.maker == frame.caller.actor
    may = frame.may(Permission.PRICES_APPROVE)
    return HeldPrice(
        fund=names.get(row.fund, row.fund),
        day=frame.day(row.price_on),
        why=" ".join(why),
        action=f"/staff/dealing/prices/{quote(row.fund, safe='')}/{row.price_on.isoformat()}",
        may_decide=may and not is_maker,
        why_not=say(
            N_("You brought this price in; another person decides on it.")
            if is_maker
            else N_("Only a price checker decides on it.")
        ),
    )


def _orders(frame: Frame, tenant: Tenant, rows: list[queries.OrderRow], caption: str) -> Table:
    say = frame.words.gettext
    names = Letterhead.of(tenant, frame.language).fund_names
    return Table(
        caption=f"{caption} ({frame.number(len(rows))}: {frame.money(sum(row.amount for row in rows))})",
        columns=(
            Column(say(N_("Cut-off"))),
            Column(say(N_("Fund"))),
            Column(say(N_("Amount")), is_figure=True),
            Column(say(N_("State"))),
            Column(say(N_("Price of")), is_figure=True),
            Column(say(N_("Price of a unit")), is_figure=True),
            Column(say(N_("Units")), is_figure=True),
        ),
        rows=tuple(
            (
                frame.day(row.cut_off_on),
                names.get(row.fund, row.fund),
                frame.money(row.amount),
                say(ORDER_STATES[row.state]),
                NONE if row.price_on is None else frame.day(row.price_on),
                NONE if row.price is None else frame.price(row.price),
                NONE if row.units is None else frame.units(row.units, row.unit_scale),
            )
            for row in rows
        ),
    )


def _sales(frame: Frame, tenant: Tenant, rows: list[queries.SaleRow]) -> Table:
    say = frame.words.gettext
    names = Letterhead.of(tenant, frame.language).fund_names
    return Table(
        caption=say(N_("Orders that sell units")),
        columns=(
            Column(say(N_("Cut-off"))),
            Column(say(N_("Fund"))),
            Column(say(N_("Units")), is_figure=True),
            Column(say(N_("State"))),
            Column(say(N_("Price of")), is_figure=True),
            Column(say(N_("Price of a unit")), is_figure=True),
            Column(say(N_("Amount")), is_figure=True),
        ),
        rows=tuple(
            (
                frame.day(row.cut_off_on),
                names.get(row.fund, row.fund),
                frame.units(row.units, row.unit_scale),
                say(ORDER_STATES[row.state]),
                NONE if row.price_on is None else frame.day(row.price_on),
                NONE if row.price is None else frame.price(row.price),
                NONE if row.amount is None else frame.money(row.amount),
            )
            for row in rows
        ),
    )


def _dealings(frame: Frame, tenant: Tenant, rows: list[queries.DealingRow]) -> Table:
    say = frame.words.gettext
    names = Letterhead.of(tenant, frame.language).product_names
    return Table(
        caption=say(N_("The newest dealings")),
        columns=(
            Column(say(N_("Opened"))),
            Column(say(N_("Cut-off"))),
            Column(say(N_("Product"))),
            Column(say(N_("State"))),
            Column(say(N_("Orders")), is_figure=True),
            Column(say(N_("Amount")), is_figure=True),
        ),
        rows=tuple(
            (
                frame.day(row.opened_on),
                NONE if row.cut_off_on is None else frame.day(row.cut_off_on),
                names.get(row.product, row.product),
                say(DEALING_STATES[row.state]),
                frame.number(row.orders),
                frame.money(row.amount),
            )
            for row in rows
        ),
    )


def _prices(frame: Frame, tenant: Tenant, rows: list[queries.PriceRow]) -> Table:
    say = frame.words.gettext
    names = Letterhead.of(tenant, frame.language).fund_names
    return Table(
        caption=say(N_("The newest prices")),
        columns=(
            Column(say(N_("Price of"))),
            Column(say(N_("Fund"))),
            Column(say(N_("Price of a unit")), is_figure=True),
            Column(say(N_("File"))),
        ),
        rows=tuple(
            (frame.day(row.price_on), names.get(row.fund, row.fund), frame.price(row.price), row.file) for row in rows
        ),
    )
