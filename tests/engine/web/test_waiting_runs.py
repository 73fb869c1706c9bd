"""Runs, proposals of the scheme as a whole and transfers that wait for a second person: listed, read in full, and decided on from the page."""

from datetime import date

import pytest
from sqlalchemy import text

from engine.access.rules import Role
from engine.benefits import service as benefits
from engine.funds import service as funds
from engine.identity import service as identity
from engine.ledger import service as ledger
from engine.ledger.rules import Account, Entry, EventKind
from engine.tenancy.service import propose_pack
from tests.engine.reports.scheme import Scheme
from tests.engine.web.markup import every, rows_of, tree, words
from tests.engine.web.site import Client, make_app, signed_in
from tests.engine.web.test_corrections import FUND, dealt_in, wrong_price
from tests.factories.trading import Trading, trading_of

DAY = date(2023, 6, 15)
CHECKERS = (Role.OPERATOR, Role.CLAIMS_CHECKER, Role.PRICE_CHECKER, Role.RULES_CHECKER, Role.RECONCILIATION_OFFICER)
RUNS = {
    "fees": """insert into fee_runs (tenant_id, run_no, net, vat, maker, members, charged_on, year_from, product, digest, state, terms, by_fee)
               values (:t, 1, 900, 100, :maker, 2, date '2023-03-31', date '2022-04-01', 'nps-lite', :digest, 'proposed', '[]',
                       '[{"fee": "annual", "payee": "operator", "members": 2, "net": 900, "vat": 100, "arrears": 0}]')""",
    "moves": """insert into move_runs (tenant_id, run_no, proposed_event, maker, members, asked_on, source, target, has_consent, digest, terms)
                values (:t, 1, 1, :maker, 0, date '2023-06-15', 'nps-lite', 'other', true, :digest,
                        '{"act": "law", "moves_as": "units", "keeps": [], "pots": {"retirement": "savings"}, "both_dates": "earlier", "rules": []}')""",
    "recounts": """insert into recounts (tenant_id, recount_no, proposed_event, pack, accepted, maker, state, digest, items)
                   values (:t, 1, :event, 99, 0, :maker, 'proposed', :digest, '[{"what": "fees", "product": "nps-lite", "day": "2023-03-31", "run": 7}]')""",
    "figures": """insert into series_points (tenant_id, value, proposed_at, proposed_by, effective_from, published_on, series, source, confidence)
                  values (:t, 7.25, now(), :maker, date '2023-06-01', date '2023-06-02', 'savings-rate', 'the gazette', 'high') returning point_id""",
    "openings": """with o as (insert into openings (tenant_id, opening_no, staged_at, members, staged_by, pack, as_of, state, digest, source, manifest)
                   values (:t, 1, now(), 3, :maker, :pack, date '2023-05-31', 'staged', :digest, 'old-books', '{}'))
                   insert into opening_controls (tenant_id, opening_no, code, opening_code, amount) values (:t, 1, :collections, :opening, 90050)""",
    "transfers-in": """insert into transfers_in (tenant_id, member_id, advice_id, amount, maker, advised_on, joined_there, joined_on, product, sender,
                         reference, digest, sha256, rule, brought)
                       values (:t, :member, :event, 5000, :maker, date '2023-06-15', date '2020-01-01', date '2020-01-01', 'nps-lite', 'other-fund',
                         'ADV-1', :digest, :digest, 'transfer', '[[["retirement", "own", 5000, 4000]], []]')""",
    "premiums": """insert into premium_runs (tenant_id, run_no, proposed_event, due, maker, premiums, charged_on, product, digest, state, terms)
                   values (:t, 1, :event, 1200, :maker, 4, date '2023-06-01', 'nps-lite', :digest, 'proposed',
                     '[{"cover": "life", "rules": [], "insurer": "operator", "paid_by": "", "minor": 300, "since": "2023-06-01", "until": "2023-07-01",
                        "pots": ["retirement"], "origins": ["own"], "grace_until": "2023-08-01",
                        "begins_after_days": 0, "reinstated_within_days": 0, "earned_since": "2023-06-01", "earned_until": "2023-07-01",
                        "least_by_class": {}, "by_class": false, "least_payments": 0, "least_payment": 0, "net_of_reversals": false}]')""",
    "hand-overs": """insert into unclaimed_runs (tenant_id, run_no, proposed_event, total, members, maker, handed_over_on, product, handed_to, rule, digest)
                     values (:t, 1, :event, 700, 1, :maker, date '2023-06-30', 'nps-lite', 'operator', 'unclaimed', :digest)""",
    "reopenings": """insert into reopenings (tenant_id, reopening_no, proposed_at, proposed_by, from_day, reason)
                     values (:t, 1, now(), :maker, date '2023-06-01', 'late statement')""",
    "pool-incomes": """insert into pool_incomes (tenant_id, income_no, amount, proposed_event, maker, year_from, product, held_by, reference, digest)
                       values (:t, 1, 90000, :event, :maker, date '2022-04-01', 'nps-lite', 'operator', 'POOL-1', :digest)""",
    "mergers": """insert into mergers (tenant_id, merger_no, proposed_event, maker, effective_on, into_scheme, source, digest, terms)
                  values (:t, 1, :event, :maker, date '2023-07-01', 'bigger', 'smaller', :digest,
                    '{"into_scheme": "bigger", "source": "smaller", "effective_on": "2023-07-01", "channel": "bank", "owed_to": "operator",
                      "products": [{"product": "nps-lite", "into": "all", "pots": {"retirement": "savings"}}]}')""",
}
STATES = {
    "fees": ("fee_runs", "run_no"),
    "moves": ("move_runs", "run_no"),
    "recounts": ("recounts", "recount_no"),
    "price-corrections": ("price_corrections", "correction_no"),
    "fund-actions": ("fund_actions", "action_no"),
    "figures": ("series_points", "point_id"),
    "pack-versions": ("pack_proposals", "proposal_id"),
    "openings": ("openings", "opening_no"),
    "transfers-in": ("transfers_in", "advice_id"),
    "premiums": ("premium_runs", "run_no"),
    "hand-overs": ("unclaimed_runs", "run_no"),
    "record-splits": ("record_splits", "split_no"),
    "reopenings": ("reopenings", "reopening_no"),
    "pool-incomes": ("pool_incomes", "income_no"),
    "mergers": ("mergers", "merger_no"),
    "order-cancellations": ("order_cancellations", "cancellation_no"),
}
SHOWN = {
    "fees": ("Fees of a product", "₹10.00", "annual · operator"),
    "moves": ("Move between products", "–", "retirement → savings"),
    "recounts": ("What changed rules change of what was posted", "–", "run 7"),
    "price-corrections": ("Correction of a price", "–", "typed-wrong"),
    "fund-actions": ("Split or income of a fund", "–", "2 : 1"),
    "figures": ("Figure of a series", "–", "7.25"),
    "pack-versions": ("New version of the rules", "–", "20 Jun 2023"),
    "openings": ("Opening balances", "–", "collections:bank₹900.50"),
    "transfers-in": ("Savings from another scheme", "₹50.00", "retirement · own"),
    "premiums": ("Premiums of a product", "₹12.00", "life · "),
    "hand-overs": ("Unclaimed money to be handed over", "₹7.00", "30 Jun 2023"),
    "record-splits": ("Payments in the wrong record", "₹500.00", "To the record of"),
    "reopenings": ("Closed days to be opened again", "–", "late statement"),
    "pool-incomes": ("Income of a pool", "₹900.00", "POOL-1"),
    "mergers": ("Scheme that goes into another", "–", "all · retirement → savings"),
    "order-cancellations": ("Order to be asked back", "–", "wrong details"),
}
FIRST_PRICE = "20"
DIGEST = "ab" * 32
MAKER, PRICE_MAKER = "staff:2000000077", "staff:2000000078"  # nobody who signs in here


async def split_of_fund(india: Scheme) -> str:
    """A fund that is dealt in, two new units of which stand for each old one from a Monday on; the first price waits."""
    await dealt_in(india)
    on = date(2023, 6, 19)
    one = await funds.propose_split(india.db, india.tenant, FUND, on, new=2, old=1, actor=MAKER)
    await india.advance(on)
    await india.prices(on, {FUND: FIRST_PRICE}, actor=PRICE_MAKER)
    return str(one.number)


async def wrong_record(india: Scheme) -> str:
    """A payment of one member that lies in the record of another."""
    await india.advance(DAY)
    numbers = [await india.enrol(name=name) for name in ("Asha Kumari", "Usha Devi")]
    receipt = await india.pay(numbers[0], "500")
    async with india.db.unit_of_work(india.tenant.tenant_id) as session:
        found = await identity.members_by_number(session, india.keys, numbers)
        one, other = (found[number] for number in numbers)
        split = await benefits.propose_split(
            session, india.tenant, member=one, to=other, receipts=[int(receipt.receipt)], actor=MAKER
        )
    return str(split.split_no)


async def order_sent(india: Scheme) -> str:
    """An order of a Thursday that its manager has."""
    await india.advance(DAY)
    await india.reconcile([await india.pay(await india.enrol(group="sahyog"), "500")])
    await india.deal(DAY)
    trading = desk_of(india)
    assert await trading.send() == 1
    async with india.db.unit_of_work(india.tenant.tenant_id) as session:
        (sent,) = await funds.list_sent_orders(session, india.tenant)
        one = await funds.propose_cancellation(
            session, india.tenant, trading.desk(), sent.reference, reason="wrong-details", actor=MAKER
        )
    return str(one.cancellation)


def desk_of(india: Scheme) -> Trading:
    return trading_of(india, india.keys.path.parent / "desk", "iso-20022")


async def new_version(india: Scheme) -> str:
    await india.advance(DAY)
    async with india.db.unit_of_work(india.tenant.tenant_id) as session:
        day = date(2023, 6, 20)
        one = await propose_pack(session, india.tenant, india.tenant.pack, in_force_from=day, actor=MAKER)
    return str(one.proposal_id)


async def corrected_price(india: Scheme) -> str:
    return str((await wrong_price(india))[1].number)


MADE = {
    "price-corrections": corrected_price,
    "fund-actions": split_of_fund,
    "record-splits": wrong_record,
    "order-cancellations": order_sent,
    "pack-versions": new_version,
}


async def written(india: Scheme, kind: str) -> str:
    """Write a proposal as its own use case leaves it."""
    await india.advance(DAY)
    if kind == "transfers-in":
        await india.enrol()
    async with india.db.unit_of_work(india.tenant.tenant_id) as session:
        t = india.tenant.tenant_id
        maker = await ledger.actor_id(session, MAKER)
        said = Entry(member_id=-t, kind=EventKind.RECOUNT_PROPOSED, business_date=DAY, actor=maker)
        (posted,) = await ledger.post(session, [said])
        sides = [Account("collections", "INR", party="bank"), Account("opening", "INR")]
        codes = await ledger.account_codes(session, sides)
        given = {
            "collections": codes[sides[0]], "opening": codes[sides[1]],
            "t": t, "maker": maker, "digest": DIGEST, "event": posted.event_id, "pack": india.tenant.pack_id,
            "member": await session.scalar(text("select min(member_id) from members")),
        }  # fmt: skip
        done = await session.execute(text(RUNS[kind]), given)
        if kind == "transfers-in":
            return str(posted.event_id)
        return str(done.scalar_one()) if kind == "figures" else "1"


async def waiting(india: Scheme, kind: str) -> tuple[Client, str]:
    """One that somebody else has proposed, and whoever may decide on it."""
    item = await MADE[kind](india) if kind in MADE else await written(india, kind)
    desk = desk_of(india).desk() if kind == "order-cancellations" else None
    return await signed_in(make_app(india, desk=desk), india, *CHECKERS, label="checker"), item


async def state(india: Scheme, kind: str, item: str) -> str:
    table, number = STATES[kind]
    async with india.db.unit_of_work(india.tenant.tenant_id) as session:
        return str(await session.scalar(text(f"select state from {table} where {number} = :n"), {"n": int(item)}))


@pytest.mark.parametrize("kind", STATES)
@pytest.mark.parametrize("decision", ["approve", "reject"])
async def test_it_is_read_in_full_and_decided_on(india: Scheme, kind: str, decision: str) -> None:
    checker, item = await waiting(india, kind)
    what, amount, fact = SHOWN[kind]
    rows = rows_of(tree((await checker.get("/staff/waiting")).text), "waiting")
    (row,) = [one for one in rows if one[0] == what]
    assert row[2] == amount
    page = tree((await checker.get(f"/staff/waiting/{kind}/{item}")).text)
    said = " ".join(words(one) for one in every(page, "dl"))
    assert fact in said
    (form,) = every(every(page, "main")[0], "form")
    sent = {one.attrib["name"]: one.attrib["value"] for one in every(form, "input", type="hidden")}
    action = form.attrib["action"]

    before = await state(india, kind, item)
    other = await checker.post(action, data=sent | {"digest": "0" * 64, "decision": decision}, follow_redirects=False)
    assert other.status_code in (404, 409, 422)
    assert await state(india, kind, item) == before
    typed = {"price": FIRST_PRICE} if kind == "fund-actions" else {}
    done = await checker.post(action, data=sent | typed | {"decision": decision}, follow_redirects=False)
    assert done.status_code == 303, done.text
    assert done.headers["location"] == f"/staff/waiting?done={decision}"
    assert await state(india, kind, item) != before
    assert (await state(india, kind, item) == "rejected") == (decision == "reject")
    assert (await checker.get(f"/staff/waiting/{kind}/{item}")).status_code == 404


@pytest.mark.parametrize("kind", STATES)
async def test_who_may_not_decide_reads_it_without_a_form(india: Scheme, kind: str) -> None:
    _, item = await waiting(india, kind)
    reader = await signed_in(make_app(india), india, Role.CONTRIBUTIONS_OFFICER, label="reader")
    page = await reader.get(f"/staff/waiting/{kind}/{item}")
    assert page.status_code == 200
    assert not every(every(tree(page.text), "main")[0], "form")
    sent = {"decision": "approve", "digest": DIGEST}
    assert (await reader.post(f"/staff/decisions/{kind}/{item}", data=sent)).status_code == 403


async def test_a_split_takes_only_the_price_that_waits_for_it(india: Scheme) -> None:
    checker, item = await waiting(india, "fund-actions")
    page = tree((await checker.get(f"/staff/waiting/fund-actions/{item}")).text)
    (form,) = every(every(page, "main")[0], "form")
    sent = {one.attrib["name"]: one.attrib["value"] for one in every(form, "input", type="hidden")}
    assert len([one for one in every(form, "input") if one.attrib["name"] == "price"]) == 1
    for price, status in (("", 409), ("21", 409), ("x", 422)):
        answer = await checker.post(form.attrib["action"], data=sent | {"decision": "approve", "price": price})
        assert answer.status_code == status, (price, answer.text)
    assert await state(india, "fund-actions", item) == "proposed"
