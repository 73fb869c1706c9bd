"""What waits for a second person and is about the scheme as a whole, in full: funds, figures, rules, premiums, openings, days, mergers."""

import hashlib
from collections.abc import Mapping

import msgspec

from engine.benefits import service as benefits
from engine.closing import service as closing
from engine.funds import service as funds
from engine.kernel.errors import NotFound
from engine.kernel.text import N_
from engine.mergers import service as mergers
from engine.opening import service as opening
from engine.reports.service import Letterhead
from engine.tenancy import service as tenancy
from engine.tenancy.queries import StoredPoint
from engine.web.frame import NONE
from engine.web.in_full import InFull, Reading

ACTIONS: Mapping[str, str] = {
    "split": N_("Split of its units"),
    "income-in-units": N_("Income, paid in units"),
    "income-in-cash": N_("Income, paid in money"),
}
SIDES: Mapping[str, str] = {"subscribe": N_("buys units"), "redeem": N_("sells units")}
CAUSES: Mapping[str, str] = {
    "sent-in-error": N_("sent in error"),
    "wrong-details": N_("wrong details"),
    "refused-by-manager": N_("refused by the manager"),
    "asked-by-manager": N_("asked for by the manager"),
}


async def tell_action(page: Reading) -> InFull:
    """Tell of a split of a fund or income that it pays; the first price of new units is typed by whoever approves."""
    found = await funds.find_action(page.session, int(page.one.item))
    say, said = page.say, found.terms.said
    is_split = found.kind == "split"
    scale = found.unit_scale
    facts = [
        (say(N_("Fund")), Letterhead.of(page.tenant, page.frame.language).fund_names.get(found.fund, found.fund)),
        (say(N_("What")), say(ACTIONS[found.kind])),
        (say(N_("Day")), page.frame.day(found.on)),
    ]
    if is_split:
        facts.append((say(N_("New units for old units")), f"{said['new']} : {said['old']}"))
    else:
        paid = page.frame.money if found.kind == "income-in-cash" else lambda got: page.frame.units(got, scale)
        facts += [
            (say(N_("Product")), page.product(found.product)),
            (say(N_("Income of a unit")), said["per_unit"]),
            (say(N_("Price")), said.get("price") or NONE),
            (say(N_("Units that are paid on")), page.frame.units(found.had, scale)),
            (say(N_("Members")), page.frame.number(found.members)),
            (say(N_("Stated by the manager")), paid(found.stated)),
            (say(N_("Members get")), paid(found.got)),
            (say(N_("Reference")), found.reference or NONE),
        ]
    return InFull(found.digest, [*facts, *page.assumed(found.product, found.terms.rules)], asks_price=is_split)


def figure_digest(point: StoredPoint) -> str:
    """Return what stands for a point of a series as it was proposed."""
    said = [point.point_id, point.series, point.effective_from, point.published_on, f"{point.value:f}", point.source]
    return hashlib.sha256(msgspec.json.encode([*said, point.confidence])).hexdigest()


async def tell_figure(page: Reading) -> InFull:
    """Tell of a point of a series of figures, and of the last one that counts before it."""
    points = await tenancy.list_figures(page.session)
    found = next(one for one in points if one.point_id == int(page.one.item))
    known = (await tenancy.figures_for(page.session, page.tenant)).series.get(found.series)
    earlier = [one for one in known.points if one.effective_from <= found.effective_from] if known else []
    last = max(earlier, key=lambda one: (one.effective_from, one.published_on), default=None)
    say = page.say
    facts = [
        (say(N_("Series of figures")), found.series),
        (say(N_("Value")), f"{found.value:f}"),
        (say(N_("From")), page.frame.day(found.effective_from)),
        (say(N_("Published on")), page.frame.day(found.published_on)),
        (say(N_("Source")), found.source),
        (say(N_("How sure it is")), found.confidence),
        (say(N_("Value until then")), NONE if last is None else f"{last.value:f}"),
    ]
    return InFull(figure_digest(found), facts)


async def tell_version(page: Reading) -> InFull:
    """Tell of a new version of the rules: from when, and which pages differ from those in force."""
    proposals = await tenancy.list_proposals(page.session)
    found = next(one for one in proposals if one.proposal_id == int(page.one.item))
    before, after = page.tenant.pack.files, await tenancy.stored_files(page.session, found.pack)
    changed = sorted(path for path in {*before, *after} if before.get(path) != after.get(path))
    say = page.say
    facts = [
        (say(N_("Version")), found.sha256),
        (say(N_("In force from")), page.frame.day(found.in_force_from)),
        (say(N_("Pages that differ from those in force")), ", ".join(changed) or NONE),
    ]
    return InFull(found.sha256, facts)


async def tell_opening(page: Reading) -> InFull:
    """Tell of balances that were staged of another scheme."""
    found = await opening.find_opening(page.session, int(page.one.item))
    say = page.say
    facts = [
        (say(N_("From the scheme")), found.source),
        (say(N_("Balances of")), page.frame.day(found.as_of)),
        (say(N_("Members")), page.frame.number(found.members)),
        *(
            (
                one.account.name,
                page.frame.units(one.amount, one.scale) if one.account.fund else page.frame.money(one.amount),
            )
            for one in await opening.list_controls(page.session, found.opening_no)
        ),
    ]
    return InFull(found.digest, facts)


async def tell_premiums(page: Reading) -> InFull:
    """Tell of a run over a product's premiums."""
    found = await benefits.find_premium_run(page.session, int(page.one.item))
    say = page.say
    facts = [
        (say(N_("Product")), page.product(found.product)),
        (say(N_("Day")), page.frame.day(found.charged_on)),
        *(
            (
                f"{one.cover} · {page.tenant.pack.roles.get(one.insurer, one.insurer)}",
                f"{page.frame.money(one.minor)} · {page.frame.day(one.since)} – {page.frame.day(one.until)}",
            )
            for one in found.terms
        ),
        (say(N_("Premiums")), page.frame.number(found.premiums)),
        (say(N_("Due")), page.frame.money(found.due)),
    ]
    return InFull(found.digest, [*facts, *page.assumed(found.product, found.rules)])


async def tell_hand_over(page: Reading) -> InFull:
    """Tell of unclaimed money that is to be handed over."""
    found = await benefits.find_hand_over(page.session, int(page.one.item))
    say = page.say
    facts = [
        (say(N_("Product")), page.product(found.product)),
        (say(N_("Rule")), found.rule),
        (say(N_("Handed to")), page.tenant.pack.roles.get(found.handed_to, found.handed_to)),
        (say(N_("To be handed over by")), page.frame.day(found.handed_over_on)),
        (say(N_("Members")), page.frame.number(found.members)),
        (say(N_("Amount")), page.frame.money(found.total)),
    ]
    return InFull(found.digest, facts)


async def tell_reopening(page: Reading) -> InFull:
    """Tell from which day on closed days are to be opened again."""
    number = int(page.one.item)
    found = next((one for one in await closing.list_reopenings(page.session) if one.number == number), None)
    if found is None:
        raise NotFound
    say = page.say
    facts = [(say(N_("From")), page.frame.day(found.from_day)), (say(N_("Reason")), found.reason)]
    return InFull(found.digest, facts)


async def tell_pool_income(page: Reading) -> InFull:
    """Tell what a pool earned in a scheme year."""
    found = await funds.find_income(page.session, int(page.one.item))
    say = page.say
    facts = [
        (say(N_("Product")), page.product(found.product)),
        (say(N_("Scheme year from")), page.frame.day(found.year_from)),
        (say(N_("Amount")), page.frame.money(found.amount)),
        (say(N_("Held by")), page.tenant.pack.roles.get(found.held_by, found.held_by)),
        (say(N_("Reference")), found.reference),
    ]
    return InFull(found.digest, facts)


async def tell_merger(page: Reading) -> InFull:
    """Tell of the terms on which the scheme goes into another."""
    found = (await mergers.find_merger(page.session, int(page.one.item))).merger
    say, terms = page.say, found.terms
    pots = [
        (
            page.product(one.product),
            " · ".join([one.into, *(f"{old} → {new}" for old, new in sorted(one.pots.items()))]),
        )
        for one in terms.products
    ]
    facts = [
        (say(N_("Into the scheme")), terms.into_scheme),
        (say(N_("Known there as")), terms.source),
        (say(N_("From")), page.frame.day(found.effective_on)),
        *pots,
        *((one.fund, f"{one.into} × {one.ratio} · {one.decimals}") for one in terms.funds),
        (say(N_("Owed to")), page.tenant.pack.roles.get(terms.owed_to, terms.owed_to)),
        (say(N_("Account")), terms.channel),
        (
            say(N_("Consent")),
            ", ".join(f"{old} → {new or NONE}" for old, new in sorted(terms.consents.items())) or NONE,
        ),
    ]
    return InFull(found.digest, facts)


async def tell_cancellation(page: Reading) -> InFull:
    """Tell of an order that is to be asked back from its manager."""
    number = int(page.one.item)
    found = next((one for one in await funds.list_cancellations(page.session) if one.cancellation == number), None)
    if found is None:
        raise NotFound
    say = page.say
    facts = [
        (say(N_("Order to a manager")), found.reference),
        (say(N_("Manager")), found.manager),
        (say(N_("What")), say(SIDES[found.side])),
        (say(N_("Reason")), say(CAUSES[found.reason])),
    ]
    return InFull(found.digest, facts)
