"""Money without an owner: what lies there and for how long, whose each payment may be, and what is proposed."""

from collections.abc import Mapping
from typing import Annotated, Literal

from litestar import Controller, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, URLEncodedBody
from litestar.response import Redirect
from msgspec import Meta, Struct

from engine.access.rules import Caller
from engine.contributions import service as contributions
from engine.contributions.rules import Sought, Suspended, SuspenseOf
from engine.contributions.service import OwnerProposal
from engine.kernel.errors import NotFound
from engine.kernel.permissions import Permission
from engine.kernel.text import N_
from engine.reports.service import Column, Letterhead, Table
from engine.runtime.database import Database
from engine.runtime.key_file import FileKeyStore
from engine.runtime.settings import Settings
from engine.tenancy.service import Tenant
from engine.web.frame import NONE, Frame, HTTPRequest
from engine.web.staff import PAGE, REASONS, After, channels_of, days_in_words, minor_of, staff_page

LAST = 2**63 - 1024
STATES: Mapping[str, str] = {
    "proposed": N_("waits for a second person"),
    "rejected": N_("rejected"),
    "confirmed": N_("confirmed"),
}


class OwnerMeant(Struct, frozen=True):
    """Whose a payment is, as somebody proposes."""

    member: Annotated[str, Meta(min_length=1, max_length=64)]
    csrf_token: str = ""


class SuspensePages(Controller):
    """Payments that no member was found for, for staff."""

    path = "/staff/suspense"
    include_in_schema = False

    @get("/", operation_id="ListSuspensePage", opt={"permission": Permission.CONTRIBUTIONS_READ})
    async def suspense(
        self,
        request: HTTPRequest,
        tenant: NamedDependency[Tenant],
        caller: NamedDependency[Caller],
        db: NamedDependency[Database],
        settings: NamedDependency[Settings],
        after: After = None,
    ) -> Response[str]:
        """List them, the oldest first, with the reason and the age; and how much that is in all."""
        async with staff_page(request, db, tenant, caller, settings) as (session, frame):
            figures = await contributions.suspense_figures(session, tenant)
            rows = await contributions.list_suspense(session, tenant, after=after or 0, most=PAGE + 1)
        say, may_open = frame.words.gettext, frame.may(Permission.SUSPENSE_RESOLVE)
        return frame.page(
            "suspense.html",
            count=figures.count,
            amount=_money(frame, figures.amount),
            rows=[
                {"href": f"/staff/suspense/{row.receipt}" if may_open else "", **_row(frame, tenant, row)}
                for row in rows[:PAGE]
            ],
            ages=_figures(
                frame, say(N_("How long")), say(N_("Days")), {one: one.code.rstrip("-") for one in figures.by_age}
            ),
            reasons=_figures(
                frame,
                say(N_("Why")),
                say(N_("Reason")),
                {one: say(REASONS.get(one.code, one.code)) for one in (*figures.by_reason,)}
                | {figures.owed_back: say(N_("goes back to whoever paid it"))},
            ),
            next=f"/staff/suspense?after={rows[PAGE - 1].receipt}" if len(rows) > PAGE else "",
        )

    @get("/{receipt:int}", operation_id="ShowSuspensePage", opt={"permission": Permission.SUSPENSE_RESOLVE})
    async def payment(
        self,
        request: HTTPRequest,
        receipt: FromPath[int],
        tenant: NamedDependency[Tenant],
        caller: NamedDependency[Caller],
        db: NamedDependency[Database],
        keys: NamedDependency[FileKeyStore],
        settings: NamedDependency[Settings],
        done: FromQuery[Literal["proposed"] | None] = None,
    ) -> Response[str]:
        """Show a payment, whose it may be, and what was proposed; whoever is meant is proposed from here."""
        if not 0 < receipt <= LAST:
            raise NotFound
        async with staff_page(request, db, tenant, caller, settings) as (session, frame):
            found = await contributions.seek_owners(
                session, keys, tenant, after=receipt - 1, most=1, actor=caller.actor
            )
            if not found or found[0].payment.receipt != str(receipt):
                raise NotFound
            made = await contributions.list_owner_proposals(session, keys, tenant, receipt=receipt, actor=caller.actor)
        say, (one,) = frame.words.gettext, found
        return frame.page(
            "suspended.html",
            title=f"{say(N_('Receipt'))} {receipt}",
            payment=_row(frame, tenant, one.payment),
            owners=_owners(frame, one),
            proposals=_proposals(frame, tenant, made),
            action=f"/staff/suspense/{receipt}/proposals",
            may_propose=not any(proposal.state == "proposed" for proposal in made),
            notice=say(N_("It was proposed. Another person decides on it.")) if done else "",
        )

    @post(
        "/{receipt:int}/proposals",
        status_code=303,
        operation_id="ProposeOwnerPage",
        opt={"permission": Permission.SUSPENSE_RESOLVE},
    )
    async def propose(
        self,
        receipt: FromPath[Annotated[int, Meta(ge=1, le=LAST)]],
        data: URLEncodedBody[OwnerMeant],
        tenant: NamedDependency[Tenant],
        caller: NamedDependency[Caller],
        db: NamedDependency[Database],
        keys: NamedDependency[FileKeyStore],
    ) -> Redirect:
        """Propose whose a payment is."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            await contributions.propose_owner(
                session, keys, tenant, receipt, member=data.member.strip(), actor=caller.actor
            )
        return Redirect(f"/staff/suspense/{receipt}?done=proposed", status_code=303)


def _money(frame: Frame, major: str) -> str:
    assert frame.money_asset is not None
    return frame.money(minor_of(major, frame.money_asset))


def _row(frame: Frame, tenant: Tenant, row: Suspended) -> dict[str, str]:
    say = frame.words.gettext
    why = say(REASONS[row.reason]) if row.reason in REASONS else row.reason
    return {
        "receipt": row.receipt,
        "paid_on": frame.day(row.received_on),
        "age": days_in_words(frame, row.age_days),
        "channel": channels_of(frame, tenant).get(row.channel, row.channel),
        "reason": f"{why} · {say(N_('goes back to whoever paid it'))}" if row.is_owed_back else why,
        "amount": _money(frame, str(row.amount)),
    }


def _figures(frame: Frame, caption: str, of: str, rows: Mapping[SuspenseOf, str]) -> Table:
    say = frame.words.gettext
    return Table(
        caption=caption,
        columns=(
            Column(of),
            Column(say(N_("Payments")), is_figure=True),
            Column(say(N_("Amount")), is_figure=True),
        ),
        rows=tuple(
            (label, frame.number(one.count), _money(frame, one.amount)) for one, label in rows.items() if one.count
        ),
    )


def _owners(frame: Frame, one: Sought) -> list[dict[str, str]]:
    say = frame.words.gettext
    return [
        {
            "member": owner.member,
            "score": frame.number(owner.score),
            "why": " · ".join(say(reason.says) for reason in owner.reasons),
        }
        for owner in one.owners
    ]


def _proposals(frame: Frame, tenant: Tenant, made: list[OwnerProposal]) -> Table:
    say, names = frame.words.gettext, Letterhead.of(tenant, frame.language).product_names
    return Table(
        caption=say(N_("What was proposed")),
        columns=(
            Column(say(N_("Number"))),
            Column(say(N_("Member"))),
            Column(say(N_("Product"))),
            Column(say(N_("Earned while it waited")), is_figure=True),
            Column(say(N_("Proposed on"))),
            Column(say(N_("State"))),
        ),
        rows=tuple(
            (
                str(one.proposal),
                one.member or NONE,
                names.get(one.product, one.product),
                _money(frame, one.earned),
                frame.day(one.matched_on),
                say(STATES[one.state]),
            )
            for one in made
        ),
    )
