"""What waits for a second person, in full: every fact that is decided on, and the digest that stands for them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Literal
from uuid import UUID

from msgspec import Meta, Struct
from sqlalchemy.ext.asyncio import AsyncSession

from engine.benefits import service as benefits
from engine.contributions import service as contributions
from engine.funds import service as funds
from engine.identity import service as identity
from engine.kernel.amounts import Amount
from engine.kernel.errors import NotFound
from engine.kernel.text import N_
from engine.reconciliation import service as reconciliation
from engine.reports.service import Letterhead
from engine.runtime.key_file import FileKeyStore
from engine.tenancy.service import Tenant, explain_decision
from engine.web.frame import NONE, Frame
from engine.web.waiting import Waiting

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


COUNTED: Mapping[str, str] = {
    "interest": N_("Interest of a year"),
    "state-money": N_("State money of a year"),
    "fees": N_("Fees of a day"),
}


class Verdict(Struct, frozen=True):
    """What the second person sends: the digest is of what they have read."""

    decision: Literal["approve", "reject"]
    digest: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]
    name_seen: Literal["", "yes"] = ""
    price: Annotated[str, Meta(pattern=r"^([0-9]{1,9}(\.[0-9]{1,8})?)?$")] = ""
    csrf_token: str = ""


@dataclass(frozen=True, slots=True)
class InFull:
    """All that is decided on: facts by label, and the digest that stands for them; `asks_name` where a name does not agree.

    `asks_price` where whoever approves has to type the first price, as its publisher states it.
    `decision` is what can be explained of it, 0 for nothing.
    """

    digest: str
    facts: list[tuple[str, str]]
    asks_name: bool = False
    asks_price: bool = False
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


async def tell_reversal(page: Reading) -> InFull:
    """Tell of a payment that is to be taken back."""
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


async def tell_claim(page: Reading) -> InFull:
    """Tell of a claim of a benefit."""
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


async def tell_payout(page: Reading) -> InFull:
    """Tell of a payout."""
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


async def tell_payroll(page: Reading) -> InFull:
    """Tell of a payroll of pensions."""
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


async def tell_break(page: Reading) -> InFull:
    """Tell of what is to become of a line of a statement."""
    of_line = await reconciliation.list_proposals(page.session, page.tenant, page.one.statement_id, page.one.line_no)
    found = next(one for one in of_line if one.proposal == int(page.one.item))
    say = page.say
    facts = [
        (say(N_("Statement")), str(found.statement)),
        (say(N_("Line")), str(found.line)),
        (say(N_("Amount")), page.frame.money(page.one.amount or 0)),
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


async def tell_state_money(page: Reading) -> InFull:
    """Tell of a claim of state money."""
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


async def tell_suspense(page: Reading) -> InFull:
    """Tell of the owner that a payment may have."""
    found = await contributions.find_owner_proposal(
        page.session, page.keys, page.tenant, int(page.one.item), actor=page.actor
    )
    say = page.say
    facts = [
        (say(N_("Receipt")), found.receipt),
        (say(N_("Member")), found.member or NONE),
        (say(N_("Product")), page.product(found.product)),
        (say(N_("Amount")), page.money(found.amount)),
        *((part.name, page.money(part.amount)) for part in found.parts),
        (say(N_("Earned while it waited")), page.money(found.earned)),
        (say(N_("Proposed on")), page.frame.day(found.matched_on)),
    ]
    return InFull(found.digest, facts)


async def tell_fees(page: Reading) -> InFull:
    """Tell of fees of a product."""
    found = await benefits.find_fee_run(page.session, int(page.one.item))
    say, money = page.say, page.frame.money
    facts = [
        (say(N_("Product")), page.product(found.product)),
        (say(N_("Day")), page.frame.day(found.charged_on)),
        (say(N_("Member")), await _number(page, found.member_id)),
        (say(N_("Gives back")), str(found.corrects) if found.corrects else NONE),
        (say(N_("Reason")), found.reason or NONE),
        (say(N_("Members")), page.frame.number(found.members)),
        *((f"{one.fee} · {one.payee}", money(one.net + one.vat + one.arrears)) for one in found.by_fee),
        (say(N_("Fees")), money(found.net)),
        (say(N_("Tax on the fee")), money(found.vat)),
        (say(N_("Owed from before")), money(found.arrears)),
    ]
    return InFull(found.digest, [*facts, *page.assumed(found.product, found.rules)])


async def tell_move(page: Reading) -> InFull:
    """Tell of a move between products."""
    found = await benefits.find_move(page.session, int(page.one.item))
    say = page.say
    facts = [
        (say(N_("From")), page.product(found.source)),
        (say(N_("To the product")), page.product(found.target)),
        (say(N_("Member")), await _number(page, found.member_id)),
        (say(N_("Members")), page.frame.number(found.members)),
        (say(N_("Asked on")), page.frame.day(found.asked_on)),
        (say(N_("Moves as")), found.terms.moves_as),
        (say(N_("Pots")), ", ".join(f"{one} → {other}" for one, other in sorted(found.terms.pots.items())) or NONE),
        (say(N_("Consent")), say(N_("yes")) if found.has_consent else NONE),
    ]
    return InFull(found.digest, [*facts, *page.assumed(found.target, found.terms.rules)])


async def tell_correction(page: Reading) -> InFull:
    """Tell of the correction of a price."""
    found = await funds.find_correction(page.session, int(page.one.item))
    say = page.say
    facts = [
        (say(N_("Fund")), Letterhead.of(page.tenant, page.frame.language).fund_names.get(found.fund, found.fund)),
        (say(N_("Price of")), page.frame.day(found.price_on)),
        (say(N_("Wrong price")), page.frame.price(found.wrong)),
        (say(N_("Right price")), page.frame.price(found.right)),
        (say(N_("At fault")), page.tenant.pack.roles.get(found.party, found.party)),
        (say(N_("Reason")), found.reason),
        (say(N_("Members")), page.frame.number(found.members)),
        (say(N_("Put right")), say(N_("yes")) if found.is_material else say(N_("no, it is only noted"))),
    ]
    return InFull(found.digest, facts)


async def tell_recount(page: Reading) -> InFull:
    """Tell of what is to be counted again."""
    number = int(page.one.item)
    found = next((one for one in await benefits.list_recounts(page.session) if one.recount_no == number), None)
    if found is None:
        raise NotFound
    say = page.say
    facts = [
        (
            say(COUNTED[item.what]),
            " · ".join(
                filter(
                    None,
                    (
                        page.product(item.product),
                        page.frame.day(date.fromisoformat(item.day)),
                        say(N_("run {number}")).format(number=item.run) if item.run else "",
                    ),
                )
            ),
        )
        for item in found.items
    ]
    return InFull(found.digest, facts)


async def _number(page: Reading, member_id: int) -> str:
    """Return the number of the one member that a run is about; NONE where it is about everybody."""
    if not member_id:
        return NONE
    people = await identity.read_people(page.session, page.keys, [member_id], actor=page.actor, reason="second-person")
    return people[member_id].member_number if member_id in people else NONE


async def tell_merge(page: Reading) -> InFull:
    """Tell of two records of one person."""
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


async def tell_transfer(page: Reading) -> InFull:
    """Tell of savings that another scheme advised for a member."""
    found = await benefits.find_advice(page.session, int(page.one.item))
    say, money = page.say, page.frame.money
    facts = [
        (say(N_("Member")), await _number(page, found.member_id)),
        (say(N_("Product")), page.product(found.product)),
        (say(N_("From the scheme")), found.sender),
        (say(N_("Reference")), found.reference),
        (say(N_("Amount")), money(found.amount)),
        *((f"{one.pot} · {one.origin}", money(one.amount)) for one in found.brought.parts),
        (say(N_("Payments")), page.frame.number(len(found.brought.payments))),
        (say(N_("Joined there on")), page.frame.day(found.joined_there)),
        (say(N_("Joined on")), page.frame.day(found.joined_on)),
    ]
    return InFull(found.digest, [*facts, *page.assumed(found.product, (found.rule,))])


async def tell_split(page: Reading) -> InFull:
    """Tell of payments in a record that are another person's."""
    found = await benefits.find_split(page.session, int(page.one.item))
    say = page.say
    facts = [
        (say(N_("From the record of")), await _person(page, found.member_id)),
        (say(N_("To the record of")), await _person(page, found.to_id)),
        (say(N_("Receipts")), ", ".join(map(str, found.receipts))),
        (say(N_("Amount")), page.frame.money(found.total)),
    ]
    return InFull(found.digest, facts)


async def _person(page: Reading, member_id: int) -> str:
    """Return the number and name of a member; NONE of one who was erased."""
    people = await identity.read_people(page.session, page.keys, [member_id], actor=page.actor, reason="second-person")
    known = people.get(member_id)
    return NONE if known is None else f"{known.member_number}, {known.person.full_name}"
