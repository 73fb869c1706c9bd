"""What waits for a second person: one list of every kind, each in full, and approved or rejected as it was read."""

from collections.abc import Mapping
from typing import Literal

from litestar import Controller, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, URLEncodedBody
from litestar.response import Redirect

from engine.access.errors import MissingPermission
from engine.access.rules import Caller
from engine.benefits.service import Payers
from engine.funds.service import OrderDesk
from engine.kernel.errors import NotFound
from engine.kernel.permissions import Permission
from engine.kernel.text import N_
from engine.runtime.database import Database
from engine.runtime.key_file import FileKeyStore
from engine.runtime.settings import Settings
from engine.tenancy.service import Tenant
from engine.web.deciding import Deciding
from engine.web.frame import NONE, Frame, HTTPRequest
from engine.web.in_full import Reading, Verdict
from engine.web.kinds import KINDS, readable
from engine.web.staff import staff_page
from engine.web.waiting import Waiting, find_waiting, list_waiting

MOST = 500
QUEUE = "/staff/waiting"


DONE: Mapping[str, str] = {"approve": N_("It was approved."), "reject": N_("It was rejected.")}


class SecondPersonPages(Controller):
    """What one person has proposed, for another to decide on."""

    path = "/staff"
    include_in_schema = False

    @get("/waiting", operation_id="ListWaitingPage", opt={"permission": Permission.OPERATIONS_READ})
    async def queue(
        self,
        request: HTTPRequest,
        tenant: NamedDependency[Tenant],
        caller: NamedDependency[Caller],
        db: NamedDependency[Database],
        settings: NamedDependency[Settings],
        done: FromQuery[Literal["approve", "reject"] | None] = None,
    ) -> Response[str]:
        """List what waits for a second person, the oldest first, with its age and who proposed it."""
        async with staff_page(request, db, tenant, caller, settings) as (session, frame):
            found = await list_waiting(session, readable(caller), zone=tenant.time_zone, most=MOST + 1)
        say = frame.words.gettext
        assert frame.business_date is not None
        rows = [
            {
                "href": f"{QUEUE}/{one.kind}/{one.item}",
                "what": say(KINDS[one.kind].label),
                "number": one.item,
                "amount": NONE if one.amount is None else frame.money(one.amount),
                "since": frame.day(one.since),
                "age": _age(frame, one),
                "owner": one.owner,
                "mine": one.maker == caller.actor,
            }
            for one in found[:MOST]
        ]
        return frame.page("waiting.html", rows=rows, has_more=len(found) > MOST, notice=say(DONE[done]) if done else "")

    @get(
        "/waiting/{kind:str}/{item:str}", operation_id="ShowWaitingPage", opt={"permission": Permission.OPERATIONS_READ}
    )
    async def show(
        self,
        request: HTTPRequest,
        kind: FromPath[str],
        item: FromPath[str],
        tenant: NamedDependency[Tenant],
        caller: NamedDependency[Caller],
        db: NamedDependency[Database],
        keys: NamedDependency[FileKeyStore],
        settings: NamedDependency[Settings],
    ) -> Response[str]:
        """Show one of them in full, with what approves or rejects it for whoever may."""
        if kind not in KINDS:
            raise NotFound
        if not caller.may(KINDS[kind].read):
            raise MissingPermission(permission=KINDS[kind].read.value)
        async with staff_page(request, db, tenant, caller, settings) as (session, frame):
            one = await find_waiting(session, kind, item, zone=tenant.time_zone)
            if one is None:
                raise NotFound
            found = await KINDS[kind].tell(Reading(session, keys, tenant, frame, one, caller.actor))
        say = frame.words.gettext
        facts = [*found.facts, (say(N_("Proposed by")), one.owner), (say(N_("Waiting for")), _age(frame, one))]
        may, is_maker = caller.may(KINDS[kind].decide), one.maker == caller.actor
        return frame.page(
            "decide.html",
            title=say(KINDS[kind].label),
            facts=facts,
            found=found,
            explained=found.decision if caller.may(Permission.DECISIONS_READ) else 0,
            action=f"/staff/decisions/{kind}/{one.item}",
            may_decide=may and not is_maker,
            why_not=say(
                N_("You proposed it; another person decides on it.")
                if is_maker
                else N_("Your role does not decide on it.")
            ),
        )

    @post(
        "/decisions/{kind:str}/{item:str}",
        status_code=303,
        operation_id="DecidePage",
        opt={"permission": Permission.OPERATIONS_READ},
    )
    async def decide(
        self,
        kind: FromPath[str],
        item: FromPath[str],
        data: URLEncodedBody[Verdict],
        tenant: NamedDependency[Tenant],
        caller: NamedDependency[Caller],
        db: NamedDependency[Database],
        keys: NamedDependency[FileKeyStore],
        payers: NamedDependency[Payers],
        order_desk: NamedDependency[OrderDesk],
    ) -> Redirect:
        """Approve or reject exactly what was read, by whoever may decide on its kind."""
        if kind not in KINDS:
            raise NotFound
        if not caller.may(KINDS[kind].decide):
            raise MissingPermission(permission=KINDS[kind].decide.value)
        given = Deciding(
            db=db, keys=keys, tenant=tenant, payers=payers, desk=order_desk, item=item, said=data, actor=caller.actor
        )
        await (KINDS[kind].approve if data.decision == "approve" else KINDS[kind].reject)(given)
        return Redirect(f"{QUEUE}?done={data.decision}", status_code=303)


def _age(frame: Frame, one: Waiting) -> str:
    assert frame.business_date is not None
    days = max((frame.business_date - one.since).days, 0)
    return frame.words.ngettext("{count} day", "{count} days", days).format(count=frame.number(days))
