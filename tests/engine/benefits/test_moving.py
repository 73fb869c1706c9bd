"""Moves between products by the rule: of everyone by law, of one who asks; as units, or sold and bought anew; once, whatever happens."""

import asyncio
import shutil
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from engine.access.errors import SamePerson
from engine.app import LAWS
from engine.audit import service as audit
from engine.benefits import service as benefits
from engine.benefits.errors import (
    CannotMove,
    ConsentNeeded,
    LoanRunning,
    MoveChanged,
    MoveDecided,
    MoveNotServed,
    MoveOpen,
    UnknownMove,
)
from engine.benefits.queries import moving as queries
from engine.benefits.queries.moving import MoveRun
from engine.benefits.rules.carried import Came, paid_before
from engine.benefits.rules.claiming import PaidIn
from engine.benefits.service import moving
from engine.contributions import service as contributions
from engine.contributions.service import Reversal
from engine.enrolment import service as enrolment
from engine.enrolment.rules import UndertakingGiven
from engine.enrolment.service import Undertaking
from engine.identity.rules import MemberRef
from engine.kernel.errors import EngineError
from engine.kernel.outcomes import ExchangeState
from engine.ledger import service as ledger
from engine.ledger.rules import Account, Entry, EventKind, Transfer
from engine.notices import service as notices
from engine.notices.ports import MessageAnswer
from engine.notices.rules.messages import OutgoingMessage
from engine.reports import queries as report_queries
from engine.reports import service as reports
from engine.reports.api import StatementMove, document_of
from engine.reports.service import Letterhead
from engine.runtime.database import Database
from engine.runtime.exchanges.engine import Counterparty, Exchanges
from tests.factories.claims import CHECKER, MAKER, ROOT, Claims, open_scheme
from tests.factories.schemes import without

FUND = "MICRO-PENSION-FUND"
AFTER = "2025-09-05 08:00"
_NOT_OF_FACTORIES = {
    "memberships-are-whole",
    "members-were-enrolled",
    "members-can-be-known",
    "only-reconciled-cash-is-dealt",
    "proceeds-come-once",
}
"""The factory's members joined by no event, and no statement shows its money."""


async def nigerian(
    db: Database, tenant_id: int, folder: Path, monkeypatch: pytest.MonkeyPatch, *changes: tuple[str, str]
) -> Claims:
    """The Micro Pension Plan in June 2025, before it is re-designated; `changes` are of the new plan's rules."""
    if changes:
        copy = folder / "tenants" / "ng-ppp"
        shutil.copytree(ROOT / "tenants/ng-ppp", copy)
        book = copy / "ppp/rules/2025-09-01.toml"
        rules = book.read_text()
        for old, new in changes:
            assert rules.count(old) == 1, old
            rules = rules.replace(old, new)
        book.write_text(rules)
        monkeypatch.setattr("tests.factories.claims.ROOT", folder)
    return await open_scheme(db, tenant_id, folder, "ng-ppp", "2025-06-02 08:00")


async def cash_of_mpp(db: Database, tenant_id: int, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Claims:
    """As `nigerian`, but the Micro Pension Plan keeps its money in cash, and it moves as money."""
    copy = folder / "tenants" / "ng-ppp"
    shutil.copytree(ROOT / "tenants/ng-ppp", copy)
    book = copy / "mpp/rules/2019-03-28.toml"
    book.write_text(without(book.read_text(), {"funds", "fund-choice", "dealing", "unit-pricing", "wrong-price"}))
    later = copy / "ppp/rules/2025-09-01.toml"
    later.write_text(later.read_text().replace(*MONEY))
    monkeypatch.setattr("tests.factories.claims.ROOT", folder)
    return await open_scheme(db, tenant_id, folder, "ng-ppp", "2025-06-02 08:00")


async def shown(scheme: Claims, receipt: int, member: MemberRef) -> None:
    """Let a statement show a receipt."""
    await scheme.run(
        "insert into matches values (:m, :e, 1, 1, :t, (select count(*) + 1 from matches))",
        m=member.member_id,
        e=receipt,
    )


async def saver(scheme: Claims, minor: int = 1_000_000) -> MemberRef:
    """A member whose payment is split over both pots and bought units on 2 June."""
    member = await scheme.member(date(2025, 6, 1), date(1985, 1, 1))
    await paid(scheme, member, minor)
    return member


async def paid(scheme: Claims, member: MemberRef, minor: int, on: date = date(2025, 6, 2)) -> None:
    receipts = [
        (member.member_id, await scheme.pay(member, minor * share // 10, pot=pot, on=on))
        for pot, share in (("contingent", 4), ("retirement", 6))
    ]
    await scheme.allocate(receipts)


async def deal(scheme: Claims, cut_off: str, priced: str, price: str) -> None:
    """Close the dealing of a day, and give its orders the price of another."""
    await scheme.clock(f"{cut_off} 17:00")
    await scheme.deal(cut_off)
    await scheme.clock(f"{priced} 17:00")
    await scheme.deal(priced, {FUND: price})


async def propose(scheme: Claims, member: MemberRef | None = None, **given: Any) -> MoveRun | EngineError:
    asked = {"source": "mpp", "target": "ppp", "actor": MAKER} | given
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        return await benefits.propose_move(session, scheme.tenant, member=member, **asked)


async def approve(scheme: Claims, run: object, actor: str = CHECKER, digest: str = "") -> MoveRun:
    assert isinstance(run, MoveRun), run
    return await benefits.approve_move(scheme.db, scheme.tenant, run.run_no, digest=digest or run.digest, actor=actor)


async def held(scheme: Claims, member: MemberRef) -> dict[str, int]:
    rows = await scheme.rows(
        """select c.kind || ':' || c.product || ':' || c.pot, sum(b.credits - b.debits)::bigint from balances b join chart c on c.code = b.code
            where b.member_id = :m group by 1 having sum(b.credits - b.debits) <> 0""",
        m=member.member_id,
    )
    return dict(rows)


async def products(scheme: Claims, member: MemberRef) -> list[tuple[str, date, date]]:
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        found = await enrolment.memberships_of(session, [member.member_id])
    return [(one.product, one.joined_on, one.from_on) for one in found.get(member.member_id, ())]


async def here(scheme: Claims, member: MemberRef, product: str) -> MemberRef:
    ((found, joined_on, _),) = await products(scheme, member)
    assert found == product
    return replace(member, product=product, joined_on=joined_on)


async def broken(scheme: Claims) -> Sequence[object]:
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        return await ledger.check(session, [one for one in LAWS if one.name not in _NOT_OF_FACTORIES])


async def events(scheme: Claims, kind: int) -> list[dict[str, Any]]:
    rows = await scheme.rows("select body from events where kind = :k order by event_id", k=kind)
    return [row[0] for row in rows]


async def test_by_law_everyone_moves_with_their_units_once_nothing_of_theirs_is_on_its_way(
    db: Database, tenant_id: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheme = await nigerian(db, tenant_id, tmp_path, monkeypatch)
    settled, waiting = await saver(scheme), await saver(scheme)
    await deal(scheme, "2025-06-02", "2025-06-03", "1.2500")
    bought = await held(scheme, settled)
    assert bought == {"units:mpp:contingent": 32_000_000, "units:mpp:retirement": 48_000_000}
    await scheme.clock(AFTER)
    await paid(scheme, waiting, 5_000, on=date(2025, 9, 5))

    run = await propose(scheme)
    again = await propose(scheme)
    assert isinstance(run, MoveRun)
    assert again == run
    assert (run.members, run.terms.moves_as, run.terms.act) == (2, "units", "re-designation")
    with pytest.raises(SamePerson):
        await approve(scheme, run, actor=MAKER)
    with pytest.raises(MoveChanged):
        await approve(scheme, run, digest="0" * 64)
    with pytest.raises(MoveOpen):
        await propose(scheme, settled, source="mpp")
    moved = await approve(scheme, run)

    assert (moved.state, moved.moved, moved.checker) == ("approved", 1, CHECKER)
    assert await held(scheme, settled) == {"units:ppp:contingent": 32_000_000, "units:ppp:retirement": 48_000_000}
    assert await products(scheme, settled) == [("ppp", date(2025, 6, 1), date(2025, 9, 5))]
    assert [one for one, _, _ in await products(scheme, waiting)] == ["mpp"]

    await deal(scheme, "2025-09-05", "2025-09-08", "1.2500")
    await benefits.carry_on_moves(db, scheme.tenant)
    assert await benefits.carry_on_moves(db, scheme.tenant) == 0

    assert await held(scheme, waiting) == {"units:ppp:contingent": 32_160_000, "units:ppp:retirement": 48_240_000}
    async with db.unit_of_work(tenant_id) as session:
        done = await benefits.find_move(session, run.run_no)
        account = await reports.statement(
            session, scheme.tenant, await here(scheme, settled, "ppp"), number="1", as_of=date(2025, 9, 5)
        )
    assert (done.state, done.moved) == ("done", 2)
    with pytest.raises(MoveDecided):
        await approve(scheme, run)
    facts = {"from": "mpp", "to": "ppp", "joined_on": "2025-06-01", "run": run.run_no}
    assert await events(scheme, 6) == [facts, facts]
    rules = await scheme.rows(
        "select distinct d.trace -> 'rules' ->> 0 from events e join decisions d on d.decision_id = e.decision where kind = 6"
    )
    assert [one for (one,) in rules] == list(run.terms.rules)
    assert (account.totals.contributed_minor, account.totals.value_minor) == (1_000_000, 1_000_000)
    told = document_of(account)
    assert told.moves == (StatementMove(date(2025, 9, 5), "mpp"),)
    sheet = reports.sheet_of(account, Letterhead.of(scheme.tenant, "en"))
    assert any("5 Sept 2025 you moved here from Micro Pension Plan" in note for note in sheet.notes), sheet.notes
    assert [len(await events(scheme, kind)) for kind in (215, 216)] == [1, 1]
    assert await broken(scheme) == []


async def test_who_owes_a_loan_moves_once_it_is_over(
    db: Database, tenant_id: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheme = await nigerian(db, tenant_id, tmp_path, monkeypatch)
    member = await saver(scheme)
    await deal(scheme, "2025-06-02", "2025-06-03", "1.2500")
    await scheme.run(
        """insert into loans (member_id, loan_id, principal, owed, began_event, tenant_id, began_on, joined_on, instalments, default_months,
                              product, rule, form, percent, lender)
           values (:m, 1, 100, 0, 1, :t, '2025-06-03', '2025-06-01', 1, 3, 'mpp', 'pledge', 'pledge', '', 'A Bank')""",
        m=member.member_id,
    )
    await scheme.clock(AFTER)
    refused = await propose(scheme, member)
    assert isinstance(refused, LoanRunning)
    assert refused.details["decision"]
    run = await approve(scheme, await propose(scheme))
    assert (run.moved, [one for one, _, _ in await products(scheme, member)]) == (0, ["mpp"])

    await scheme.run("update loans set state = 'released', ended_event = 2 where member_id = :m", m=member.member_id)
    assert await benefits.carry_on_moves(db, scheme.tenant) == 1
    assert [one for one, _, _ in await products(scheme, member)] == ["ppp"]


async def test_what_was_paid_and_drawn_before_counts_in_the_new_product(
    db: Database, tenant_id: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheme = await nigerian(db, tenant_id, tmp_path, monkeypatch)
    member = await saver(scheme)
    await deal(scheme, "2025-06-02", "2025-06-03", "1.0000")
    await scheme.clock(AFTER)
    await approve(scheme, await propose(scheme))

    moved = await here(scheme, member, "ppp")
    async with db.unit_of_work(tenant_id) as session:
        stands = await benefits.standing_of(session, scheme.keys, scheme.tenant, moved, actor=MAKER)
    assert stands.claimant.first_paid_on == date(2025, 6, 2)
    assert [(one.pot, one.minor) for one in stands.claimant.paid] == [("contingent", 400_000), ("retirement", 600_000)]
    claim = await scheme.claim(moved, "access", rule="contingent")
    assert (claim.state, claim.amount) == ("decided", 400_000)


@pytest.mark.parametrize(
    ("kept", "first_paid_on", "contributed"),
    [
        ('"first-contribution", "cost-basis"', date(2025, 6, 2), [("c", 0, 4), ("r", 0, 6)]),
        ('"cost-basis"', date(2025, 9, 5), [("c", 1, 4), ("r", 1, 6)]),
        ('"first-contribution"', date(2025, 6, 2), [("c", 0, 0), ("c", 1, 8), ("r", 1, 12)]),
        ("", date(2025, 9, 5), [("c", 1, 8), ("r", 1, 12)]),
    ],
)
async def test_what_the_rule_leaves_behind_begins_anew(
    db: Database,
    tenant_id: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kept: str,
    first_paid_on: date,
    contributed: list[tuple[str, int, int]],
) -> None:
    """Units have doubled in price: 400,000 and 600,000 were paid in, 800,000 and 1,200,000 moved."""
    all_kept = '"joining-date", "first-contribution", "last-withdrawal", "cost-basis", "nominees", "consents"'
    keeps = ", ".join(one for one in (kept, '"nominees", "consents"') if one)
    scheme = await nigerian(db, tenant_id, tmp_path, monkeypatch, (all_kept, keeps))
    member = await saver(scheme)
    await deal(scheme, "2025-06-02", "2025-06-03", "1.0000")
    await scheme.clock(AFTER)
    await scheme.deal("2025-09-04", {FUND: "2.0000"})
    await approve(scheme, await propose(scheme))

    moved = await here(scheme, member, "ppp")
    assert moved.joined_on == date(2025, 9, 5)
    async with db.unit_of_work(tenant_id) as session:
        stands = await benefits.standing_of(session, scheme.keys, scheme.tenant, moved, actor=MAKER)
        (facts,) = await report_queries.member_facts(session, on=date(2025, 9, 5), members=[member.member_id])
    days = (date(2025, 6, 2), date(2025, 9, 5))
    wanted: dict[date, int] = {}
    for _, day, hundreds in contributed:
        wanted[days[day]] = wanted.get(days[day], 0) + hundreds * 100_000
    assert dict((*facts.paid, *facts.came)) == {k: v for k, v in wanted.items() if v}
    assert bool(facts.came) == ("cost-basis" not in kept)
    assert stands.claimant.first_paid_on == first_paid_on
    assert [(one.pot[0], days.index(one.on), one.minor // 100_000) for one in stands.claimant.paid] == contributed


MONEY = ('moves_as = "units"', 'moves_as = "money"')


async def test_as_money_units_are_sold_and_what_they_bring_is_invested_anew(
    db: Database, tenant_id: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheme = await nigerian(db, tenant_id, tmp_path, monkeypatch, MONEY)
    member = await saver(scheme)
    await deal(scheme, "2025-06-02", "2025-06-03", "1.2500")
    await scheme.clock(AFTER)

    run = await approve(scheme, await propose(scheme))
    assert (run.state, run.moved) == ("approved", 0)
    assert await held(scheme, member) == {"selling:mpp:contingent": 32_000_000, "selling:mpp:retirement": 48_000_000}
    await deal(scheme, "2025-09-05", "2025-09-08", "1.5000")
    await benefits.carry_on_moves(db, scheme.tenant)
    sold = {"payable:mpp:contingent": 480_000, "payable:mpp:retirement": 720_000}
    assert await held(scheme, member) == sold
    assert [one for one, _, _ in await products(scheme, member)] == ["mpp"]
    assert await broken(scheme) == []

    await scheme.settle("2025-09-08")
    await benefits.carry_on_moves(db, scheme.tenant)
    assert await held(scheme, member) == {"cash:ppp:contingent": 480_000, "cash:ppp:retirement": 720_000}
    await deal(scheme, "2025-09-09", "2025-09-10", "1.6000")

    assert await held(scheme, member) == {"units:ppp:contingent": 30_000_000, "units:ppp:retirement": 45_000_000}
    moved = await here(scheme, member, "ppp")
    async with db.unit_of_work(tenant_id) as session:
        account = await reports.statement(session, scheme.tenant, moved, number="1", as_of=date(2025, 9, 10))
        stands = await benefits.standing_of(session, scheme.keys, scheme.tenant, moved, actor=MAKER)
    assert (account.totals.contributed_minor, account.totals.value_minor) == (1_000_000, 1_200_000)
    assert sum(one.amount_minor for one in account.lines) == 1_000_000
    assert [one.minor for one in stands.claimant.paid] == [400_000, 600_000]
    assert await broken(scheme) == []


async def test_cash_moves_into_funds_once_statements_show_it_and_buys_there(
    db: Database, tenant_id: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheme = await cash_of_mpp(db, tenant_id, tmp_path, monkeypatch)
    member, unshown = [await scheme.member(date(2025, 6, 1), date(1985, 1, 1)) for _ in range(2)]
    first = await scheme.pay(member, 600_000, pot="retirement", on=date(2025, 6, 2))
    await shown(scheme, first, member)
    late = await scheme.pay(unshown, 50_000, pot="contingent", on=date(2025, 6, 2))
    await scheme.clock(AFTER)

    run = await approve(scheme, await propose(scheme))
    assert (run.state, run.moved) == ("approved", 1)
    assert await held(scheme, member) == {"cash:ppp:retirement": 600_000}
    assert await held(scheme, unshown) == {"cash:mpp:contingent": 50_000}
    await shown(scheme, late, unshown)
    done = await asyncio.gather(*(benefits.carry_on_moves(db, scheme.tenant) for _ in range(3)))
    assert sum(done) == 1
    await deal(scheme, "2025-09-05", "2025-09-08", "1.5000")

    assert await held(scheme, member) == {"units:ppp:retirement": 40_000_000}
    assert await held(scheme, unshown) == {"units:ppp:contingent": 3_333_333}
    await scheme.pay(member, 30_000, pot="retirement", on=date(2025, 9, 9))
    assert await benefits.carry_on_moves(db, scheme.tenant) == 0
    ((paid_late,),) = await scheme.rows(
        "select event_id from events where kind = 10 and body ->> 'amount' = '30000' and member_id = :m",
        m=member.member_id,
    )
    await shown(scheme, paid_late, member)
    await scheme.clock("2025-09-09 08:00")
    assert await benefits.carry_on_moves(db, scheme.tenant) == 1
    await deal(scheme, "2025-09-09", "2025-09-10", "1.5000")
    assert await held(scheme, member) == {"units:ppp:retirement": 42_000_000}
    async with db.unit_of_work(tenant_id) as session:
        account = await reports.statement(
            session, scheme.tenant, await here(scheme, member, "ppp"), number="1", as_of=date(2025, 9, 10)
        )
    assert (account.totals.contributed_minor, account.totals.value_minor) == (630_000, 630_000)
    assert await broken(scheme) == []


async def test_money_without_a_payment_is_invested_out_of_the_fullest_account(
    db: Database, tenant_id: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheme = await cash_of_mpp(db, tenant_id, tmp_path, monkeypatch)
    member, other = [await scheme.member(date(2025, 6, 1), date(1985, 1, 1)) for _ in range(2)]
    await shown(scheme, await scheme.pay(other, 90_000, pot="retirement", on=date(2025, 6, 2)), other)
    money = scheme.tenant.asset.symbol
    reserve, cash = Account("interest-reserve", money, "mpp"), Account("cash", money, "mpp", "retirement", "own")
    async with db.unit_of_work(tenant_id) as session:
        codes = await ledger.account_codes(session, {reserve, cash})
        entry = Entry(
            member_id=member.member_id,
            kind=EventKind.INTEREST_CREDITED,
            business_date=date(2025, 6, 2),
            actor=await ledger.actor_id(session, "system:test"),
            transfers=[Transfer(7_500, codes[reserve], codes[cash])],
        )
        await ledger.post(session, [entry])
    await scheme.clock(AFTER)

    assert (await approve(scheme, await propose(scheme))).moved == 2
    await deal(scheme, "2025-09-05", "2025-09-08", "1.5000")

    assert await held(scheme, member) == {"units:ppp:retirement": 500_000}
    assert await scheme.control("collections") == 7_500


async def taken_back(scheme: Claims, receipt: int) -> Reversal:
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        found = await contributions.propose_reversal(
            session, scheme.tenant, receipt, reason="paid-by-mistake", actor=MAKER
        )
    return await contributions.confirm_reversal(
        scheme.db, scheme.keys, scheme.tenant, receipt, digest=found.digest, actor=CHECKER
    )


async def reversed_at(scheme: Claims, receipt: int, cut_off: str, priced: str, price: str) -> Reversal:
    """Take a payment back whose units are sold by the dealing of a day; return how it ended."""
    assert (await taken_back(scheme, receipt)).state == "selling"
    await deal(scheme, cut_off, priced, price)
    assert await contributions.carry_on_reversals(scheme.db, scheme.keys, scheme.tenant) == 1
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        return await contributions.find_reversal(session, scheme.tenant, receipt)


async def test_a_payment_taken_back_after_a_move_leaves_the_product_that_it_is_in_now(
    db: Database, tenant_id: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheme = await nigerian(db, tenant_id, tmp_path, monkeypatch)
    member = await saver(scheme)
    wrong = await scheme.pay(member, 200_000, pot="retirement", on=date(2025, 6, 2))
    await scheme.allocate([(member.member_id, wrong)])
    await deal(scheme, "2025-06-02", "2025-06-03", "1.0000")
    await scheme.clock(AFTER)
    await approve(scheme, await propose(scheme))
    before = await held(scheme, member)

    ended = await reversed_at(scheme, wrong, "2025-09-05", "2025-09-08", "1.5000")

    assert (ended.state, ended.owed, ended.difference) == ("reversed", "0.00", "-1000.00")
    after = await held(scheme, member)
    assert before["units:ppp:retirement"] - after["units:ppp:retirement"] == 20_000_000
    assert {one for one in after if ":mpp:" in one} == set()
    assert await broken(scheme) == []


async def test_a_payment_that_a_move_has_invested_is_taken_out_of_what_it_bought(
    db: Database, tenant_id: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheme = await cash_of_mpp(db, tenant_id, tmp_path, monkeypatch)
    member = await scheme.member(date(2025, 6, 1), date(1985, 1, 1))
    receipts = [await scheme.pay(member, minor, pot="retirement", on=date(2025, 6, 2)) for minor in (600_000, 200_000)]
    for one in receipts:
        await shown(scheme, one, member)
    await scheme.clock(AFTER)
    await approve(scheme, await propose(scheme))

    assert (await taken_back(scheme, receipts[1])).state == "waiting"
    await deal(scheme, "2025-09-05", "2025-09-08", "2.0000")
    assert await held(scheme, member) == {"units:ppp:retirement": 40_000_000}
    await contributions.carry_on_reversals(db, scheme.keys, scheme.tenant)
    assert await held(scheme, member) == {"units:ppp:retirement": 30_000_000, "selling:ppp:retirement": 10_000_000}
    await deal(scheme, "2025-09-08", "2025-09-09", "1.0000")
    assert await contributions.carry_on_reversals(db, scheme.keys, scheme.tenant) == 1

    assert await held(scheme, member) == {"units:ppp:retirement": 30_000_000}
    async with db.unit_of_work(tenant_id) as session:
        ended = await contributions.find_reversal(session, scheme.tenant, receipts[1])
    assert (ended.state, ended.owed, ended.difference, ended.difference_to) == ("reversed", "0.00", "1000.00", "scheme")
    assert await broken(scheme) == []


async def test_a_payment_whose_units_were_sold_for_a_move_is_taken_out_of_what_their_money_bought(
    db: Database, tenant_id: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheme = await nigerian(db, tenant_id, tmp_path, monkeypatch, MONEY)
    member = await scheme.member(date(2025, 6, 1), date(1985, 1, 1))
    receipts = [await scheme.pay(member, minor, pot="retirement", on=date(2025, 6, 2)) for minor in (600_000, 200_000)]
    await scheme.allocate([(member.member_id, one) for one in receipts])
    await deal(scheme, "2025-06-02", "2025-06-03", "1.0000")
    await scheme.clock(AFTER)
    await approve(scheme, await propose(scheme))
    assert (await taken_back(scheme, receipts[1])).state == "waiting"
    await deal(scheme, "2025-09-05", "2025-09-08", "1.5000")
    assert await contributions.carry_on_reversals(db, scheme.keys, scheme.tenant) == 0
    await scheme.settle("2025-09-08")
    await benefits.carry_on_moves(db, scheme.tenant)
    await deal(scheme, "2025-09-09", "2025-09-10", "1.5000")
    await contributions.carry_on_reversals(db, scheme.keys, scheme.tenant)
    assert await held(scheme, member) == {"units:ppp:retirement": 60_000_000, "selling:ppp:retirement": 20_000_000}
    await deal(scheme, "2025-09-10", "2025-09-11", "1.5000")
    assert await contributions.carry_on_reversals(db, scheme.keys, scheme.tenant) == 1

    async with db.unit_of_work(tenant_id) as session:
        ended = await contributions.find_reversal(session, scheme.tenant, receipts[1])
    assert (ended.state, ended.owed, ended.difference) == ("reversed", "0.00", "-1000.00")
    assert await broken(scheme) == []


INTO_PLUS = """
[[rule]]
kind = "product-move"
id = "from-apy"
from_product = "apy"
act = "re-designation"
keeps = ["joining-date", "first-contribution", "last-withdrawal", "cost-basis", "nominees", "consents"]
pots = { pension = "pension" }
moves_as = "units"
both_dates = "earlier"
both_choices = "moved"
needs_consent = false
undertaking = "carried"
source = "test"
confidence = "high"
"""


async def test_an_undertaking_is_carried_where_the_rule_says_so_and_the_new_product_takes_it(
    db: Database, tenant_id: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "tenants" / "in-apy"
    shutil.copytree(ROOT / "tenants/in-apy", copy)
    manifest = (copy / "pack.toml").read_text()
    block = manifest[manifest.index("[[products]]") :].split("\n\n", 1)[0]
    plus = block.replace('code = "apy"', 'code = "apy-plus"')
    (copy / "pack.toml").write_text(manifest.replace(block, f"{block}\n\n{plus}"))
    shutil.copytree(copy / "apy", copy / "apy-plus")
    book = min((copy / "apy-plus/rules").iterdir())
    only = book.read_text().replace(
        'frequencies = ["monthly", "quarterly", "half-yearly"]', 'frequencies = ["monthly"]'
    )
    book.write_text(only + INTO_PLUS)
    monkeypatch.setattr("tests.factories.claims.ROOT", tmp_path)
    scheme = await open_scheme(db, tenant_id, tmp_path, "in-apy", "2023-04-10 08:00")
    members = [await scheme.member(date(2022, 5, 2), date(1992, 5, 1)) for _ in range(3)]
    await scheme.run("update memberships set entry_age = 30")
    async with db.unit_of_work(tenant_id) as session:
        for member, frequency in zip(members, ("monthly", "quarterly"), strict=False):
            given = UndertakingGiven(slab="1000", frequency=frequency)  # type: ignore[arg-type]
            assert isinstance(
                await enrolment.undertake(session, scheme.tenant, member, given, actor=MAKER), Undertaking
            )

    run = await approve(scheme, await propose(scheme, source="apy", target="apy-plus"))

    assert run.moved == 3
    async with db.unit_of_work(tenant_id) as session:
        found = await enrolment.undertakings_of(session, [(one.member_id, "apy-plus") for one in members])
    assert [[(one.slab, one.from_on) for one in given] for given in found.values()] == [
        [("1000", date(2023, 5, 1))],
        [],
        [],
    ]
    refused = await scheme.rows("select code, member_id from determinations where kind = 'undertaking'")
    assert refused == [("enrolment.unknown-frequency", members[1].member_id)]
    assert await broken(scheme) == []


class Carrier:
    """A way for messages that keeps what it is given."""

    def __init__(self) -> None:
        self.sent: list[str] = []

    async def send(self, message: OutgoingMessage) -> MessageAnswer:
        self.sent.append(message.text)
        return MessageAnswer(state=ExchangeState.ACCEPTED, provider_ref="1")


async def test_who_moved_is_told(db: Database, tenant_id: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scheme = await nigerian(db, tenant_id, tmp_path, monkeypatch)
    member = await scheme.member(date(2025, 6, 1), date(1985, 1, 1), phones=("+2348030000001",))
    await paid(scheme, member, 1_000_000)
    await deal(scheme, "2025-06-02", "2025-06-03", "1.2500")
    await scheme.clock(AFTER)
    carrier: Any = Carrier()
    operation = notices.message_operation(carrier, db, scheme.keys, scheme.tenant)
    counterparty = Counterparty(notices.MESSAGES, {notices.MESSAGES: operation})
    exchanges = Exchanges(db, scheme.keys, {notices.MESSAGES: counterparty}, lambda *_: "")
    messenger = notices.Messenger(exchanges)
    now = datetime(2025, 9, 5, 12, tzinfo=UTC)
    await notices.queue_messages(db, scheme.tenant, messenger, now=now)
    await audit.append(db, scheme.keys, tenant_id, scheme.tenant.pack.log_origin)
    await notices.queue_messages(db, scheme.tenant, messenger, now=now)
    await approve(scheme, await propose(scheme))
    await audit.append(db, scheme.keys, tenant_id, scheme.tenant.pack.log_origin)

    assert await notices.queue_messages(db, scheme.tenant, messenger, now=now) == 1
    await exchanges.work(tenant_id)

    assert [one for one in carrier.sent if "are now in" in one] == [
        "PPP: your savings are now in Personal Pension Plan. You hold NGN 10,000.00. What was yours stays yours."
    ]


async def test_what_comes_late_follows_whoever_moved(
    db: Database, tenant_id: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheme = await nigerian(db, tenant_id, tmp_path, monkeypatch)
    member = await saver(scheme)
    await deal(scheme, "2025-06-02", "2025-06-03", "1.0000")
    await scheme.clock(AFTER)
    await approve(scheme, await propose(scheme))
    await paid(scheme, member, 5_000, on=date(2025, 9, 5))
    assert await benefits.carry_on_moves(db, scheme.tenant) == 0
    await deal(scheme, "2025-09-05", "2025-09-08", "1.0000")

    done = await asyncio.gather(*(benefits.carry_on_moves(db, scheme.tenant) for _ in range(3)))

    assert sum(done) == 1
    assert await held(scheme, member) == {"units:ppp:contingent": 40_200_000, "units:ppp:retirement": 60_300_000}
    assert [one["joined_on"] for one in await events(scheme, 218)] == ["2025-06-01"]
    assert await broken(scheme) == []


async def test_stopped_half_way_a_move_goes_on_and_nobody_moves_twice(
    db: Database, tenant_id: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheme = await nigerian(db, tenant_id, tmp_path, monkeypatch)
    members = [await saver(scheme) for _ in range(4)]
    await deal(scheme, "2025-06-02", "2025-06-03", "1.0000")
    await scheme.clock(AFTER)
    run = await propose(scheme)
    monkeypatch.setattr(moving, "MOST_MOVED", 1)
    note, noted = queries.note_moved, 0

    async def dies(*given: Any, **named: Any) -> None:
        nonlocal noted
        noted += 1
        if noted == 3:
            raise ConnectionError
        await note(*given, **named)

    monkeypatch.setattr(queries, "note_moved", dies)
    with pytest.raises(ConnectionError):
        await approve(scheme, run)
    assert len(await events(scheme, 6)) == 2
    monkeypatch.setattr(queries, "note_moved", note)

    await asyncio.gather(*(approve(scheme, run) for _ in range(2)), benefits.carry_on_moves(db, scheme.tenant))

    assert len(await events(scheme, 6)) == 4
    assert [await held(scheme, one) for one in members] == [
        {"units:ppp:contingent": 40_000_000, "units:ppp:retirement": 60_000_000}
    ] * 4
    assert isinstance(run, MoveRun)
    async with db.unit_of_work(tenant_id) as session:
        done = await benefits.find_move(session, run.run_no)
    assert (done.state, done.moved) == ("done", 4)
    assert await broken(scheme) == []


async def test_a_claim_and_a_move_at_once_do_not_take_the_same_money(
    db: Database, tenant_id: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheme = await nigerian(db, tenant_id, tmp_path, monkeypatch)
    members = [await saver(scheme) for _ in range(4)]
    await deal(scheme, "2025-06-02", "2025-06-03", "1.0000")
    await scheme.clock(AFTER)
    run = await propose(scheme)

    claims: list[Any] = await asyncio.gather(
        *(scheme.claim(one, "access", rule="contingent", key=str(n)) for n, one in enumerate(members)),
        approve(scheme, run),
    )

    for member, claim in zip(members, claims, strict=False):
        ((product, _, _),) = await products(scheme, member)
        assert (product, claim.state) in {("mpp", "decided"), ("ppp", "refused")}, claim
    await benefits.carry_on_moves(db, scheme.tenant)
    assert await broken(scheme) == []


async def test_who_asks_moves_if_the_rule_lets_them(
    db: Database, tenant_id: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    switch = ('act = "re-designation"', 'act = "switch"'), ("needs_consent = false", "needs_consent = true")
    scheme = await nigerian(db, tenant_id, tmp_path, monkeypatch, *switch)
    member, other = await saver(scheme), await saver(scheme)
    await deal(scheme, "2025-06-02", "2025-06-03", "1.0000")
    too_soon = await propose(scheme, member, has_consent=True)
    await scheme.clock(AFTER)
    of_all = await propose(scheme)
    unwilling = await propose(scheme, member)
    backwards = await propose(scheme, member, has_consent=True, source="ppp", target="mpp")
    refused = [too_soon, of_all, unwilling, backwards]
    assert [type(one) for one in refused] == [CannotMove, MoveNotServed, ConsentNeeded, CannotMove]
    kept = await scheme.rows("select kind, code, inputs ->> 'from' from determinations order by decision_id")
    assert [one[:2] for one in kept] == [
        ("product-move", str(one.code)) for one in refused if isinstance(one, EngineError)
    ]

    run = await propose(scheme, member, has_consent=True)
    with pytest.raises(MoveOpen):
        await propose(scheme, member, has_consent=True, actor="staff:9")
    assert isinstance(run, MoveRun)
    async with db.unit_of_work(tenant_id) as session:
        given_up = await benefits.reject_move(session, scheme.tenant, run.run_no, digest=run.digest, actor=CHECKER)
        with pytest.raises(UnknownMove):
            await benefits.find_move(session, 99)
    with pytest.raises(MoveDecided):
        await approve(scheme, run)
    again = await approve(scheme, await propose(scheme, member, has_consent=True))

    assert (given_up.state, again.state, again.moved) == ("rejected", "done", 1)
    assert [one for one, _, _ in await products(scheme, member)] == ["ppp"]
    assert [one for one, _, _ in await products(scheme, other)] == ["mpp"]
    assert len(await events(scheme, 217)) == 1
    assert await broken(scheme) == []


@pytest.mark.parametrize(
    ("change", "refusal", "words"),
    [
        ((', "nominees", "consents"]', "]"), MoveNotServed, "nominees, consents cannot be left behind"),
        (
            ('pots = { contingent = "contingent", retirement = "retirement" }', 'pots = { contingent = "contingent" }'),
            CannotMove,
            "retirement",
        ),
        (('funds = [{ code = "MICRO-PENSION-FUND",', 'funds = [{ code = "OTHER-FUND",'), CannotMove, FUND),
    ],
)
async def test_what_cannot_be_carried_out_is_refused(
    db: Database,
    tenant_id: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: tuple[str, str],
    refusal: type[EngineError],
    words: str,
) -> None:
    scheme = await nigerian(db, tenant_id, tmp_path, monkeypatch, change)
    member = await saver(scheme)
    await deal(scheme, "2025-06-02", "2025-06-03", "1.0000")
    await scheme.clock(AFTER)

    for who in (None, member):
        refused = await propose(scheme, who)
        assert isinstance(refused, refusal)
        assert words in str(refused)
        assert refused.details["decision"]
    assert await events(scheme, 215) == []


def test_money_that_brought_nothing_is_no_payment() -> None:
    came = Came(on=date(2025, 9, 5), keeps=("first-contribution",), pots={"a": "b"}, money={("b", "own"): 0})

    assert paid_before([PaidIn(date(2025, 6, 2), "a", "own", 5)], came) == (PaidIn(date(2025, 6, 2), "b", "own", 0),)
    assert paid_before([], came) == ()
