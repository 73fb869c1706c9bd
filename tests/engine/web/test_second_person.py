"""What waits for a second person: listed with its age and owner, read in full, and decided on exactly as it was read."""

from dataclasses import dataclass
from datetime import date, timedelta

import pytest
import pytest_asyncio
from sqlalchemy import text

from engine.access.rules import Role
from engine.benefits import service as benefits
from engine.contributions import service as contributions
from engine.kernel.statements import Side, Statement, StatementKind, StatementLine
from engine.reconciliation import service as reconciliation
from engine.reconciliation.service import Holding
from engine.web.frame import ROLES
from tests.engine.benefits.test_payroll import Pensions
from tests.engine.contributions.test_state_money import Scheme as StateMoney
from tests.engine.reconciliation.test_proofs import Told
from tests.engine.reports.scheme import Scheme
from tests.engine.web.markup import every, rows_of, tree, words
from tests.engine.web.site import BANK, Client, make_app, signed_in
from tests.engine.web.test_pages import figures
from tests.factories.claims import Claims
from tests.factories.payouts import instruct, to

DAY = date(2023, 2, 1)
CHECKERS = (Role.OPERATOR, Role.RECONCILIATION_OFFICER, Role.PAYOUT_CHECKER, Role.CLAIMS_CHECKER)
MAKERS = (Role.OPERATOR, Role.CONTRIBUTIONS_OFFICER, Role.PAYOUT_MAKER, Role.CLAIMS_OFFICER)
STATES = {
    "suspense": "select state from suspense_proposals where proposal_id = cast(:id as bigint)",
    "reversals": "select state from reversals where event_id = cast(:id as bigint)",
    "claims": "select state from benefit_claims where claim_id = cast(:id as bigint)",
    "payouts": "select state from payouts where payout_id = cast(:id as uuid)",
    "payrolls": "select state from payroll_runs where run_no = cast(:id as int)",
    "breaks": "select state from break_proposals where proposal_id = cast(:id as int)",
    "state-money": "select state from match_claims where claim_no = cast(:id as int)",
    "merges": "select state from record_merges where merge_no = cast(:id as int)",
}
APPROVED = {
    "suspense": "confirmed",
    "reversals": "reversed",
    "claims": "payable",
    "payouts": "approved",
    "payrolls": "approved",
    "breaks": "confirmed",
    "state-money": "sent",
    "merges": "approved",
}
REJECTED = dict.fromkeys(APPROVED, "rejected") | {"claims": "refused", "payouts": "refused"}


@dataclass
class Desk:
    """A scheme in which one of everything waits, who proposed it all, and who may decide on it."""

    scheme: Scheme
    maker: Client
    checker: Client
    items: dict[str, str]

    async def state(self, kind: str) -> str:
        async with self.scheme.db.unit_of_work(self.scheme.tenant.tenant_id) as session:
            return str(await session.scalar(text(STATES[kind]), {"id": self.items[kind]}))

    async def form(self, client: Client, kind: str) -> tuple[str, dict[str, str]]:
        """Return where the form of a thing sends, and what stands in its hidden fields."""
        answer = await client.get(f"/staff/waiting/{kind}/{self.items[kind]}")
        assert answer.status_code == 200, answer.text
        (form,) = every(every(tree(answer.text), "main")[0], "form")
        hidden = {one.attrib["name"]: one.attrib["value"] for one in every(form, "input", type="hidden")}
        return form.attrib["action"], hidden

    async def decide(self, client: Client, kind: str, decision: str, **changed: str) -> tuple[int, str]:
        action, hidden = await self.form(client, kind)
        sent = {**hidden, "decision": decision, "name_seen": "yes"} | changed
        answer = await client.post(action, data=sent, follow_redirects=False)
        return answer.status_code, answer.headers.get("location", "")


@pytest_asyncio.fixture
async def desk(rwanda: Scheme) -> Desk:
    await rwanda.advance(DAY)
    app = make_app(rwanda)
    maker = await signed_in(app, rwanda, *MAKERS, label="desk one")
    checker = await signed_in(app, rwanda, *CHECKERS, label="desk two")
    actor = await actor_of(rwanda, "desk one")
    items: dict[str, str] = {}
    tenant, db, keys = rwanda.tenant, rwanda.db, rwanda.keys

    number = await rwanda.enrol(name="Keza Uwase", language="rw")
    receipt = await rwanda.pay(number, "1500")
    nobodys = await rwanda.pay("4711", "900")
    held = Claims(db, tenant, keys, "ltss", "mtn-momo")
    member = await held.member(date(2021, 6, 1), date(1983, 1, 1))
    await held.pay(member, 125_001, pot="savings", on=date(2022, 1, 5))
    claim = await held.claim(member, "access", rule="early-access", purpose="education")
    items["claims"] = str(claim.claim_id)
    assert claim.state == "decided", claim
    owed = await held.member(date(2021, 6, 1), date(1983, 1, 1))
    await held.pay(owed, 10_000, pot="savings", on=date(2022, 1, 5))
    await held.approve(await held.claim(owed, "access", key="k2", rule="early-access", purpose="education"))
    payout = await instruct(
        db, keys, tenant, owed.member_id, "ltss", {("savings", "own"): 4_000}, to(BANK, "0012345", name="Keza Uwase"),
        actor=actor,
    )  # fmt: skip
    items["payouts"] = str(payout.id)
    pensions = Pensions(held)
    await pensions.retire(90_000, state=10_007, rule="own-instalments", years=1)
    items["payrolls"] = str((await pensions.propose(DAY, actor=actor)).row.run_no)
    goes, stays = [await held.member(date(2021, 6, 1), date(1983, 1, 1)) for _ in range(2)]
    async with db.unit_of_work(tenant.tenant_id) as session:
        merge = await benefits.propose_merge(session, tenant, goes=goes, stays=stays, actor=actor)
    items["merges"] = str(merge.merge_no)
    states = StateMoney(db, tenant, keys)
    await states.member("ubudehe-1", [10_000, 5_000])
    items["state-money"] = str((await states.prepare(actor=actor)).claim_no)

    account = next(one.account for one in tenant.pack.manifest.channels if one.code == "mtn-momo")
    line = StatementLine(2, Side.CREDIT, 777, DAY, DAY, bank_ref="STRANGE")
    statement = Statement(
        kind=StatementKind.STATEMENT, account=account, currency=tenant.asset, lines=(line,), opening=0, closing=777,
        opened_on=DAY, closed_on=DAY,
    )  # fmt: skip
    await reconciliation.import_statement(db, tenant, keys, Told(statement), b"one", "one", "mtn-momo", actor)
    async with db.unit_of_work(tenant.tenant_id) as session:
        (found,) = await reconciliation.list_breaks(session, tenant)
        until = Holding(waits_for="wallet", until=DAY + timedelta(days=9))
        proposed = await reconciliation.propose_resolution(
            session, tenant, found.statement, found.line, until, actor=actor
        )
        items["breaks"] = str(proposed.proposal)
        await contributions.propose_reversal(session, tenant, int(receipt.receipt), reason="paid-twice", actor=actor)
        items["reversals"] = receipt.receipt
        found_owner = await contributions.propose_owner(
            session, keys, tenant, int(nobodys.receipt), member=number, actor=actor
        )
        items["suspense"] = str(found_owner.proposal)
    await rwanda.advance(DAY + timedelta(days=3))
    return Desk(rwanda, maker, checker, items)


async def actor_of(scheme: Scheme, label: str) -> str:
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        found = await session.scalar(
            text("select staff_id from staff where tenant_id = :t and label = :label"),
            {"t": scheme.tenant.tenant_id, "label": label},
        )
    return f"staff:{found}"


async def test_the_list_has_every_kind_with_its_age_and_owner(desk: Desk) -> None:
    page = tree((await desk.checker.get("/staff/waiting")).text)
    rows = {row[0]: row for row in rows_of(page, "waiting")}
    assert {words(link) for link in every(every(page, "table")[0], "a")} == set(rows)
    assert rows["Payment to be taken back"][2:] == ["RF 1,500", "desk one", "1 Feb 2023", "3 days"]
    assert rows["Claim of a benefit"][2] == "RF 50,000"
    assert rows["Payout"][1:] == [desk.items["payouts"], "RF 4,000", "desk one", "1 Feb 2023", "3 days"]
    assert rows["Line of a statement that matches nothing"][2:] == ["RF 777", "desk one", "1 Feb 2023", "3 days"]
    assert rows["Claim of state money"][2:] == ["RF 15,000", "desk one", "1 Feb 2023", "3 days"]
    assert rows["Payroll of pensions"][2:] == ["RF 8,333", "desk one", "1 Feb 2023", "3 days"]
    assert rows["Records to be merged"][1:] == [desk.items["merges"], "RF 0", "desk one", "1 Feb 2023", "3 days"]
    assert rows["Owner of a payment"][2:] == ["RF 900", "desk one", "1 Feb 2023", "3 days"]
    assert len(rows) == 8

    mine = rows_of(tree((await desk.maker.get("/staff/waiting")).text), "waiting")
    assert {row[3] for row in mine if row[0] != "Claim of a benefit"} == {"desk one (you)"}
    today = (await desk.checker.get("/staff")).text
    assert figures(today)["Waiting for a second person"] == ("8", "", "/staff/waiting")


async def test_what_the_figures_rest_on_is_shown_with_them(desk: Desk) -> None:
    """EjoHeza's match and the withdrawal rest on assumptions; a payment to be taken back does not."""
    said = "The sources do not settle this. Assumed, in the words of the rule book:"
    shown = {
        kind: (await desk.checker.get(f"/staff/waiting/{kind}/{desk.items[kind]}")).text
        for kind in ("state-money", "claims", "reversals")
    }
    assert [kind for kind, page in shown.items() if said in page] == ["state-money", "claims"]


async def test_a_claim_leads_to_why_it_came_out_so(desk: Desk) -> None:
    page = await desk.checker.get(f"/staff/waiting/claims/{desk.items['claims']}")
    (link,) = [one for one in every(tree(page.text), "a") if words(one) == "Why it came out so"]
    told = await desk.checker.get(f"{link.attrib['href']}?lang=rw")
    assert told.status_code == 200
    said = [words(one) for one in every(tree(told.text), "li")]
    assert any(one.startswith("Icyavuyemo – Amafaranga: ") and "50" in one for one in said), said
    assert (await desk.checker.get("/staff/decisions/1")).status_code == 404
    assert (await desk.checker.get("/staff/decisions/x")).status_code == 404


@pytest.mark.parametrize("kind", APPROVED)
async def test_another_person_approves_exactly_what_was_read_once(desk: Desk, kind: str) -> None:
    before = await desk.state(kind)
    own = await desk.maker.get(f"/staff/waiting/{kind}/{desk.items[kind]}")
    assert own.status_code == 200
    assert not every(every(tree(own.text), "main")[0], "form")
    action, hidden = await desk.form(desk.checker, kind)
    approve = {**hidden, "decision": "approve", "name_seen": "yes"}
    by_maker = await desk.maker.post(action, data=approve, follow_redirects=False)
    forged = await desk.checker.post(
        action, data={name: value for name, value in approve.items() if name != "csrf_token"}, follow_redirects=False
    )
    other = await desk.checker.post(action, data={**approve, "digest": "0" * 64}, follow_redirects=False)
    broken = await desk.checker.post(action, data={**approve, "digest": "x"}, follow_redirects=False)
    assert [by_maker.status_code, forged.status_code, broken.status_code] == [403, 403, 422]
    assert other.status_code in (409, 422)
    assert await desk.state(kind) == before

    assert await desk.decide(desk.checker, kind, "approve") == (303, "/staff/waiting?done=approve")
    assert await desk.state(kind) == APPROVED[kind]
    again = await desk.checker.post(action, data=approve, follow_redirects=False)
    assert again.status_code in (404, 409)
    assert (await desk.checker.get(f"/staff/waiting/{kind}/{desk.items[kind]}")).status_code == 404
    done = await desk.checker.get("/staff/waiting?done=approve")
    assert "It was approved." in done.text
    assert f"/staff/waiting/{kind}/{desk.items[kind]}" not in done.text
    assert done.text.count('href="/staff/waiting/') == len(APPROVED) - 1


@pytest.mark.parametrize("kind", REJECTED)
async def test_another_person_rejects_it(desk: Desk, kind: str) -> None:
    assert await desk.decide(desk.checker, kind, "reject") == (303, "/staff/waiting?done=reject")
    assert await desk.state(kind) == REJECTED[kind]


@pytest.mark.parametrize("item", ["0", "9" * 30, str(2**40), "00000000-0000-0000-0000-000000000000"])
async def test_a_number_that_nothing_has_is_refused(desk: Desk, item: str) -> None:
    _, hidden = await desk.form(desk.checker, "claims")
    for kind in APPROVED:
        assert (await desk.checker.get(f"/staff/waiting/{kind}/{item}")).status_code == 404
        sent = await desk.checker.post(f"/staff/decisions/{kind}/{item}", data={**hidden, "decision": "reject"})
        assert sent.status_code in (404, 422), (kind, sent.text)


async def test_whoever_may_not_read_a_kind_neither_lists_nor_opens_it(desk: Desk) -> None:
    app = desk.checker.app
    reader = await signed_in(app, desk.scheme, Role.PRICE_MAKER, label="desk three")
    rows = rows_of(tree((await reader.get("/staff/waiting")).text), "waiting")
    assert [row[0] for row in rows] == ["Line of a statement that matches nothing"]
    for kind, item in desk.items.items():
        answer = await reader.get(f"/staff/waiting/{kind}/{item}")
        assert answer.status_code == (200 if kind == "breaks" else 403)
    assert (await reader.get("/staff/waiting/payouts/no-such")).status_code == 403
    assert (await desk.checker.get("/staff/waiting/payouts/no-such")).status_code == 404
    assert (await desk.checker.get("/staff/waiting/else/1")).status_code == 404


async def test_another_schemes_things_are_not_there(desk: Desk, india: Scheme) -> None:
    await india.advance(DAY)
    stranger = await signed_in(make_app(india, desk.scheme), india, *CHECKERS, label="desk four")
    assert [row for row in rows_of(tree((await stranger.get("/staff/waiting")).text), "waiting") if len(row) > 1] == []
    for kind, item in desk.items.items():
        assert (await stranger.get(f"/staff/waiting/{kind}/{item}")).status_code == 404


def test_every_role_has_a_name() -> None:
    assert set(ROLES) == set(Role)
