"""What waits for a second person: one list of every kind, each in full, and approved or rejected as it was read."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Literal
from uuid import UUID

from litestar import Controller, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, URLEncodedBody
from litestar.response import Redirect
from msgspec import Meta, Struct
from sqlalchemy.ext.asyncio import AsyncSession

from engine.access.errors import MissingPermission
from engine.access.rules import Caller
from engine.benefits import service as benefits
from engine.benefits.service import Payers
from engine.contributions import service as contributions
from engine.identity import service as identity
from engine.kernel.amounts import Amount
from engine.kernel.errors import NotFound
from engine.kernel.permissions import Permission
from engine.kernel.text import N_
from engine.reconciliation import service as reconciliation
from engine.reports.api import LAST_DECISION
from engine.reports.service import Letterhead
from engine.runtime.database import Database
from engine.runtime.key_file import FileKeyStore
from engine.runtime.settings import Settings
from engine.tenancy.service import Tenant, explain_decision
from engine.web.frame import Frame, HTTPRequest
from engine.web.staff import NONE, staff_page
from engine.web.waiting import KINDS, Waiting, find_waiting, list_waiting, readable

MOST = 500
Event = Annotated[int, Meta(ge=1, le=LAST_DECISION)]
Serial = Annotated[int, Meta(ge=1, le=2**31 - 1)]
QUEUE = "/staff/waiting"


DONE: Mapping[str, str] = {"approve": N_("It was approved."), "reject": N_("It was rejected.")}
REASONS: Mapping[str, str] = {
    "charged-back": N_("charged back by the payer's bank or wallet"),
    "paid-twice": N_("paid twice"),
    "paid-by-mistake": N_("paid by mistake"),
    "not-allowed": N_("not allowed by the rules"),
    "wrong-member": N_("posted to the wrong member"),
}
CLAIMED: Mapping[str, str] = {
    "access": N_("money before retirement"),
    "retirement": N_("retirement"),
    "exit": N_("leaving the scheme"),
    "loan": N_("loan"),
    "cover": N_("insurance cover"),
    "transfer": N_("savings to another scheme"),
}
ACTIONS: Mapping[str, str] = {
    "match": N_("match with payments"),
    "book": N_("book to a cause"),
    "hold": N_("hold until a day"),
}
WAITS_FOR: Mapping[str, str] = {
    "bank": N_("the bank"),
    "wallet": N_("the wallet's operator"),
    "manager": N_("the fund's manager"),
    "member": N_("the member"),
}
NAME_CHECKS: Mapping[str, str] = {
    "not-asked": N_("not asked for"),
    "waiting": N_("asked for, no answer yet"),
    "agrees": N_("agrees"),
    "differs": N_("differs"),
    "unknown": N_("nobody could tell"),
}


class Verdict(Struct, frozen=True):
    """What the second person sends: the digest is of what they have read."""

    decision: Literal["approve", "reject"]
    digest: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]
    name_seen: Literal["", "yes"] = ""
    csrf_token: str = ""


@dataclass(frozen=True, slots=True)
class InFull:
    """All that is decided on: facts by label, and the digest that stands for them; `asks_name` where a name does not agree.

    `decision` is what can be explained of it, 0 for nothing.
    """

    digest: str
    facts: list[tuple[str, str]]
    asks_name: bool = False
    decision: int = 0


@dataclass(frozen=True, slots=True)
class Reading:
    """What a page of one thing is made from."""

    session: AsyncSession
    keys: FileKeyStore
    tenant: Tenant
    frame: Frame
    one: Waiting
    actor: str

    def say(self, text: str) -> str:
        """Return a text in the reader's language."""
        return self.frame.words.gettext(text)

    def product(self, code: str) -> str:
        """Return a product's name."""
        return Letterhead.of(self.tenant, self.frame.language).product_names.get(code, code)

    def channel(self, code: str) -> str:
        """Return a channel's name."""
        names = {one.code: one.name for one in self.tenant.pack.manifest.channels}
        return self.say(names[code]) if code in names else code

    def money(self, major: str) -> str:
        """Write an amount given in major units."""
        return self.frame.money(Amount.parse(major, self.tenant.asset).units)

    def assumed(self, product: str, rules: Iterable[str]) -> list[tuple[str, str]]:
        """Return what the rules behind the figures assume, a row each."""
        head = Letterhead.of(self.tenant, self.frame.language)
        found = self.tenant.assumptions(product, rules)
        return [(self.say(N_("What is assumed")), head.assumed(one.assumed)) for one in found]


async def _reversal(page: Reading) -> InFull:
    found = await contributions.find_reversal(page.session, page.tenant, int(page.one.item))
    say = page.say
    return InFull(
        found.digest,
        [
            (say(N_("Receipt")), found.receipt),
            (say(N_("Amount")), page.money(found.amount)),
            (say(N_("Came by")), page.channel(found.channel)),
            (say(N_("Reason")), say(REASONS.get(found.reason, found.reason))),
            *([(say(N_("Given to")), found.given_to)] if found.given_to else []),
        ],
    )


async def _claim(page: Reading) -> InFull:
    found = await benefits.find_claim(page.session, int(page.one.item))
    say, money = page.say, page.frame.money
    facts = [
        (say(N_("Claim")), str(found.claim_id)),
        (say(N_("For")), say(CLAIMED[found.kind])),
        (say(N_("Product")), page.product(found.product)),
        (say(N_("Rule")), found.rule),
        (say(N_("Opened on")), page.frame.day(found.opened_on)),
        (say(N_("To be paid by")), NONE if found.due_on is None else page.frame.day(found.due_on)),
        (say(N_("Amount")), money(found.amount)),
        (say(N_("Tax withheld")), money(found.tax)),
        (say(N_("Payable")), money(found.amount - found.tax)),
        (say(N_("Forfeited")), money(found.forfeited)),
        (say(N_("Decision")), str(found.decision)),
    ]
    later = found.facts.schedule if found.facts else None
    if later is not None:
        count = page.frame.number(later.instalments) if later.instalments else say(N_("for life"))
        each = f"{count} × {money(later.amount)}" if later.amount else count
        facts += [(say(N_("Paid later")), each), (say(N_("First paid on")), page.frame.day(later.due_on(1)))]
    to = found.request.receiving
    if to is not None:
        facts += [
            (say(N_("Paid to")), to.scheme),
            (say(N_("Holder of the account")), to.holder or NONE),
            (say(N_("Account")), " · ".join(filter(None, (to.bank, to.number)))),
            (say(N_("Way")), to.rail),
        ]
    decided = await explain_decision(page.session, found.decision) if found.decision else None
    return InFull(
        found.digest, [*facts, *page.assumed(found.product, decided.refs if decided else ())], decision=found.decision
    )


async def _payout(page: Reading) -> InFull:
    found = await benefits.find_payout(page.session, page.keys, page.tenant, UUID(page.one.item), actor=page.actor)
    say = page.say
    facts = [
        (say(N_("Amount")), page.money(found.amount)),
        (say(N_("Paid to")), found.payee),
        (say(N_("Holder of the account")), found.holder or NONE),
        (say(N_("Account")), " · ".join(filter(None, (found.bank, found.number)))),
        (say(N_("Check of the name")), say(NAME_CHECKS[found.name_check])),
        (say(N_("Way")), found.rail),
        (say(N_("For")), found.source),
        (say(N_("Made on")), page.frame.day(found.made_on)),
        (say(N_("Not before")), NONE if found.not_before is None else page.frame.day(found.not_before)),
    ]
    return InFull(found.digest, facts, asks_name=found.name_check in ("differs", "unknown"))


async def _payroll(page: Reading) -> InFull:
    found = await benefits.find_payroll(page.session, int(page.one.item))
    say, money, totals = page.say, page.frame.money, found.totals
    facts = [
        (say(N_("Product")), page.product(found.row.product)),
        (say(N_("Month")), page.frame.day(found.row.month)),
        (say(N_("Pensions due")), page.frame.number(totals.pensions)),
        (say(N_("Due")), money(totals.due)),
        (say(N_("Lacking")), money(totals.lacking)),
        (say(N_("Tax withheld")), money(totals.taxed)),
        (say(N_("Payments")), page.frame.number(totals.payments)),
        (say(N_("To be paid")), money(totals.paying)),
        (say(N_("Suspended")), page.frame.number(totals.suspended)),
    ]
    return InFull(found.row.digest, [*facts, *page.assumed(found.row.product, found.row.rules)])


async def _break(page: Reading) -> InFull:
    of_line = await reconciliation.list_proposals(page.session, page.tenant, page.one.statement_id, page.one.line_no)
    found = next(one for one in of_line if one.proposal == int(page.one.item))
    say = page.say
    facts = [
        (say(N_("Statement")), str(found.statement)),
        (say(N_("Line")), str(found.line)),
        (say(N_("Amount")), page.frame.money(page.one.amount)),
        (say(N_("Do")), say(ACTIONS[found.action])),
        (say(N_("Receipts")), ", ".join(found.receipts) or NONE),
        (say(N_("Other lines")), ", ".join(f"{one.statement}/{one.line}" for one in found.lines) or NONE),
        (say(N_("Cause")), found.cause or NONE),
        (say(N_("Difference")), page.money(found.difference) if found.difference else NONE),
        (say(N_("Borne by")), found.party or NONE),
        (say(N_("Held for")), say(WAITS_FOR[found.waits_for]) if found.waits_for else NONE),
        (say(N_("Held until")), NONE if found.until is None else page.frame.day(found.until)),
    ]
    return InFull(found.digest, facts)


async def _state_money(page: Reading) -> InFull:
    found = await contributions.find_claim(page.session, int(page.one.item))
    say, money = page.say, page.frame.money
    facts = [
        (say(N_("Claim")), str(found.claim_no)),
        (say(N_("Product")), page.product(found.product)),
        (say(N_("Funder")), found.funder),
        (say(N_("Scheme year")), f"{page.frame.day(found.year_from)} – {page.frame.day(found.year_until)}"),
        (say(N_("Lines")), page.frame.number(found.lines)),
        (say(N_("Asked for")), money(found.asked)),
        (say(N_("Given back")), money(found.given_back)),
        (say(N_("In all")), money(found.total)),
    ]
    return InFull(found.digest, [*facts, *page.assumed(found.product, found.rules)])


async def _merge(page: Reading) -> InFull:
    found = await benefits.find_merge(page.session, int(page.one.item))
    people = await identity.read_people(
        page.session, page.keys, [found.goes, found.stays], actor=page.actor, reason="records-merged"
    )

    def told(member_id: int) -> str:
        known = people.get(member_id)
        if known is None:
            return NONE
        return ", ".join((known.member_number, known.person.full_name, page.frame.day(known.person.born_on)))

    say = page.say
    return InFull(
        found.digest,
        [(say(N_("Record that goes")), told(found.goes)), (say(N_("Record that stays")), told(found.stays))],
    )


READERS: Mapping[str, Callable[[Reading], Awaitable[InFull]]] = {
    "reversals": _reversal,
    "claims": _claim,
    "payouts": _payout,
    "payrolls": _payroll,
    "breaks": _break,
    "state-money": _state_money,
    "merges": _merge,
}


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
                "amount": frame.money(one.amount),
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
            found = await READERS[kind](Reading(session, keys, tenant, frame, one, caller.actor))
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
        "/decisions/reversals/{item:int}",
        status_code=303,
        operation_id="DecideReversalPage",
        opt={"permission": Permission.REVERSALS_APPROVE},
    )
    async def reversal(
        self,
        item: FromPath[Event],
        data: URLEncodedBody[Verdict],
        tenant: NamedDependency[Tenant],
        caller: NamedDependency[Caller],
        db: NamedDependency[Database],
        keys: NamedDependency[FileKeyStore],
    ) -> Redirect:
        """Take a payment back, or leave it."""
        if data.decision == "approve":
            await contributions.confirm_reversal(db, keys, tenant, item, digest=data.digest, actor=caller.actor)
        else:
            async with db.unit_of_work(tenant.tenant_id) as session:
                await contributions.reject_reversal(session, tenant, item, actor=caller.actor)
        return _decided(data)

    @post(
        "/decisions/claims/{item:int}",
        status_code=303,
        operation_id="DecideClaimPage",
        opt={"permission": Permission.CLAIMS_APPROVE},
    )
    async def claim(
        self,
        item: FromPath[Event],
        data: URLEncodedBody[Verdict],
        tenant: NamedDependency[Tenant],
        caller: NamedDependency[Caller],
        db: NamedDependency[Database],
    ) -> Redirect:
        """Let a claim be paid, or refuse it."""
        if data.decision == "approve":
            await benefits.approve_claim(db, tenant, item, digest=data.digest, actor=caller.actor)
        else:
            async with db.unit_of_work(tenant.tenant_id) as session:
                await benefits.reject_claim(session, tenant, item, digest=data.digest, actor=caller.actor)
        return _decided(data)

    @post(
        "/decisions/merges/{item:int}",
        status_code=303,
        operation_id="DecideMergePage",
        opt={"permission": Permission.IDENTITY_DECIDE},
    )
    async def merge(
        self,
        item: FromPath[Event],
        data: URLEncodedBody[Verdict],
        tenant: NamedDependency[Tenant],
        caller: NamedDependency[Caller],
        db: NamedDependency[Database],
        keys: NamedDependency[FileKeyStore],
    ) -> Redirect:
        """Merge two records of one person, or leave them."""
        if data.decision == "approve":
            await benefits.approve_merge(db, keys, tenant, item, digest=data.digest, actor=caller.actor)
        else:
            async with db.unit_of_work(tenant.tenant_id) as session:
                await benefits.reject_merge(session, tenant, item, digest=data.digest, actor=caller.actor)
        return _decided(data)

    @post(
        "/decisions/payouts/{item:uuid}",
        status_code=303,
        operation_id="DecidePayoutPage",
        opt={"permission": Permission.PAYOUTS_APPROVE},
    )
    async def payout(
        self,
        item: FromPath[UUID],
        data: URLEncodedBody[Verdict],
        tenant: NamedDependency[Tenant],
        caller: NamedDependency[Caller],
        db: NamedDependency[Database],
        keys: NamedDependency[FileKeyStore],
        payers: NamedDependency[Payers],
    ) -> Redirect:
        """Pay exactly what was read, or refuse to."""
        async with benefits.approving(db, tenant, item), db.unit_of_work(tenant.tenant_id) as session:
            if data.decision == "approve":
                await benefits.approve(
                    session,
                    keys,
                    tenant,
                    payers,
                    item,
                    digest=data.digest,
                    actor=caller.actor,
                    name_seen=bool(data.name_seen),
                )
            else:
                await benefits.refuse(session, keys, tenant, item, actor=caller.actor)
        return _decided(data)

    @post(
        "/decisions/payrolls/{item:int}",
        status_code=303,
        operation_id="DecidePayrollPage",
        opt={"permission": Permission.PAYROLL_APPROVE},
    )
    async def payroll(
        self,
        item: FromPath[Serial],
        data: URLEncodedBody[Verdict],
        tenant: NamedDependency[Tenant],
        caller: NamedDependency[Caller],
        db: NamedDependency[Database],
    ) -> Redirect:
        """Approve all of a payroll, or refuse it."""
        decide = benefits.approve_payroll if data.decision == "approve" else benefits.reject_payroll
        await decide(db, tenant, item, digest=data.digest, actor=caller.actor)
        return _decided(data)

    @post(
        "/decisions/breaks/{item:int}",
        status_code=303,
        operation_id="DecideBreakPage",
        opt={"permission": Permission.BREAKS_APPROVE},
    )
    async def line(
        self,
        item: FromPath[Serial],
        data: URLEncodedBody[Verdict],
        tenant: NamedDependency[Tenant],
        caller: NamedDependency[Caller],
        db: NamedDependency[Database],
    ) -> Redirect:
        """Carry a proposal for a line out, or reject it."""
        if data.decision == "approve":
            await reconciliation.confirm_proposal(db, tenant, item, digest=data.digest, actor=caller.actor)
        else:
            async with db.unit_of_work(tenant.tenant_id) as session:
                await reconciliation.reject_proposal(session, tenant, item, actor=caller.actor)
        return _decided(data)

    @post(
        "/decisions/state-money/{item:int}",
        status_code=303,
        operation_id="DecideStateMoneyPage",
        opt={"permission": Permission.MATCH_APPROVE},
    )
    async def state_money(
        self,
        item: FromPath[Serial],
        data: URLEncodedBody[Verdict],
        tenant: NamedDependency[Tenant],
        caller: NamedDependency[Caller],
        db: NamedDependency[Database],
    ) -> Redirect:
        """Let a claim go to its funder, or give it up."""
        decide = contributions.send_claim if data.decision == "approve" else contributions.reject_claim
        async with db.unit_of_work(tenant.tenant_id) as session:
            await decide(session, tenant, item, data.digest, actor=caller.actor)
        return _decided(data)


def _decided(data: Verdict) -> Redirect:
    return Redirect(f"{QUEUE}?done={data.decision}", status_code=303)


def _age(frame: Frame, one: Waiting) -> str:
    assert frame.business_date is not None
    days = max((frame.business_date - one.since).days, 0)
    return frame.words.ngettext("{count} day", "{count} days", days).format(count=frame.number(days))
