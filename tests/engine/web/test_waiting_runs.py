"""Fees, moves, corrected prices and recounts that wait for a second person: listed, read in full, and decided on from the page."""

from datetime import date

import pytest
from sqlalchemy import text

from engine.access.rules import Role
from engine.ledger import service as ledger
from engine.ledger.rules import Entry, EventKind
from tests.engine.reports.scheme import Scheme
from tests.engine.web.markup import every, rows_of, tree, words
from tests.engine.web.site import Client, make_app, signed_in
from tests.engine.web.test_corrections import wrong_price

DAY = date(2023, 6, 15)
CHECKERS = (Role.OPERATOR, Role.CLAIMS_CHECKER, Role.PRICE_CHECKER, Role.RULES_CHECKER)
RUNS = {
    "fees": """insert into fee_runs (tenant_id, run_no, net, vat, maker, members, charged_on, year_from, product, digest, state, terms, by_fee)
               values (:t, 1, 900, 100, :maker, 2, date '2023-03-31', date '2022-04-01', 'nps-lite', :digest, 'proposed', '[]',
                       '[{"fee": "annual", "payee": "operator", "members": 2, "net": 900, "vat": 100, "arrears": 0}]')""",
    "moves": """insert into move_runs (tenant_id, run_no, proposed_event, maker, members, asked_on, source, target, has_consent, digest, terms)
                values (:t, 1, 1, :maker, 0, date '2023-06-15', 'nps-lite', 'other', true, :digest,
                        '{"act": "law", "moves_as": "units", "keeps": [], "pots": {"retirement": "savings"}, "both_dates": "earlier", "rules": []}')""",
    "recounts": """insert into recounts (tenant_id, recount_no, proposed_event, pack, accepted, maker, state, digest, items)
                   values (:t, 1, :event, 99, 0, :maker, 'proposed', :digest, '[{"what": "fees", "product": "nps-lite", "day": "2023-03-31", "run": 7}]')""",
}
STATES = {
    "fees": ("fee_runs", "run_no"),
    "moves": ("move_runs", "run_no"),
    "recounts": ("recounts", "recount_no"),
    "price-corrections": ("price_corrections", "correction_no"),
}
SHOWN = {
    "fees": ("Fees of a product", "₹10.00", "annual · operator"),
    "moves": ("Move between products", "–", "retirement → savings"),
    "recounts": ("What changed rules change of what was posted", "–", "run 7"),
    "price-corrections": ("Correction of a price", "–", "typed-wrong"),
}
DIGEST = "ab" * 32


async def waiting(india: Scheme, kind: str) -> tuple[Client, str]:
    """One that somebody else has proposed, and whoever may decide on it."""
    if kind == "price-corrections":
        _, one = await wrong_price(india)
        item = str(one.number)
    else:
        await india.advance(DAY)
        async with india.db.unit_of_work(india.tenant.tenant_id) as session:
            t = india.tenant.tenant_id
            maker = await ledger.actor_id(session, "staff:77")
            said = Entry(member_id=-t, kind=EventKind.RECOUNT_PROPOSED, business_date=DAY, actor=maker)
            (posted,) = await ledger.post(session, [said])
            given = {"t": t, "maker": maker, "digest": DIGEST, "event": posted.event_id}
            await session.execute(text(RUNS[kind]), given)
        item = "1"
    return await signed_in(make_app(india), india, *CHECKERS, label="checker"), item


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

    other = await checker.post(action, data=sent | {"digest": "0" * 64, "decision": decision}, follow_redirects=False)
    assert other.status_code in (404, 409, 422)
    assert await state(india, kind, item) == "proposed"
    done = await checker.post(action, data=sent | {"decision": decision}, follow_redirects=False)
    assert (done.status_code, done.headers["location"]) == (303, f"/staff/waiting?done={decision}")
    assert await state(india, kind, item) != "proposed"
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
