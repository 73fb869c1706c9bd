"""What law that reaches back and revised figures change of what was posted: found, approved, and posted as differences."""

from __future__ import annotations

import asyncio
import dataclasses
import secrets
from datetime import date
from typing import TYPE_CHECKING

import pytest
from litestar import Litestar
from litestar.di import Provide
from litestar.testing import AsyncTestClient
from sqlalchemy import text

from engine.access.errors import SamePerson
from engine.access.rules import Caller
from engine.app import KINDS
from engine.benefits import service
from engine.benefits.api import FigureAcceptanceController
from engine.benefits.errors import RecountChanged
from engine.benefits.queries.recounting import Recount
from engine.contributions import service as contributions
from engine.contributions.queries.matching import MatchClaim
from engine.funds.rules.interest import Movement
from engine.funds.service import credit_interest
from engine.kernel.permissions import Permission
from engine.ledger import service as ledger
from engine.runtime.http import exception_handlers
from engine.tenancy.errors import FigureDecided
from engine.tenancy.service import load_pack, propose_figures
from tests.engine.benefits.test_charging import END, ROOT, approve, broken, cap, charge, fee, holds, pay_in, with_rules
from tests.engine.benefits.test_charging import scheme as charged
from tests.engine.funds.conftest import PRODUCT, Scheme
from tests.engine.funds.test_crediting import by_rule, credited, day, move, series, with_rule
from tests.engine.reports.test_entitlements import RULES
from tests.engine.reports.test_entitlements import Scheme as Rwandan
from tests.engine.reports.test_entitlements import scheme as rwandan
from tests.engine.reports.test_previewing import BASE, MATCH_CLAIM, OLD, activated, at

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["charged", "rwandan"]


async def another_pack(scheme: Scheme) -> Scheme:
    """The scheme as it is after another version of its pack has come into force."""
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        number = await ledger.pack_id(session, secrets.token_hex(32), {})
    return dataclasses.replace(scheme, tenant=dataclasses.replace(scheme.tenant, pack_id=number))


async def found(scheme: Scheme) -> Recount:
    one = await service.find_recount(scheme.db, scheme.tenant)
    assert one is not None
    assert await service.find_recount(scheme.db, scheme.tenant) is None, "it is looked for once"
    return one


def items(one: Recount) -> Sequence[tuple[str, str]]:
    return [(item.what, item.day) for item in one.items]


async def let(scheme: Scheme | Rwandan, one: Recount) -> Recount:
    await service.approve_recount(scheme.db, scheme.tenant, one.recount_no, one.digest, actor="staff:9")
    await service.carry_on_recounts(scheme.db, scheme.tenant)
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        return next(two for two in await service.list_recounts(session) if two.recount_no == one.recount_no)


async def test_interest_is_credited_again_by_its_difference_and_so_are_later_years(charged: Scheme) -> None:
    first = with_rule(charged, series(("2022-04-01", "2023-03-20", "12"), ("2023-04-01", "2024-03-20", "12")))
    (member,) = await first.members(["first"], date(2022, 4, 1))
    moves = [Movement(date(2022, 4, 1), 100_000), Movement(day(100), 50_000)]
    await move(first, member, moves)
    await first.clock("2024-04-02T12:00:00")
    for on in (date(2022, 6, 1), date(2023, 6, 1)):
        await credit_interest(first.db, first.tenant, PRODUCT, on, "staff:2")
    assert await service.find_recount(first.db, first.tenant) is None
    was = await credited(first, member)

    revised = await another_pack(
        with_rule(charged, series(("2022-04-01", "2023-03-20", "8"), ("2023-04-01", "2024-03-20", "12")))
    )
    one = await found(revised)
    assert items(one) == [("interest", "2022-04-01"), ("interest", "2023-04-01")]
    with pytest.raises(RecountChanged):
        await service.approve_recount(revised.db, revised.tenant, one.recount_no, "0" * 64, actor="staff:9")
    with pytest.raises(SamePerson):
        await service.approve_recount(revised.db, revised.tenant, one.recount_no, one.digest, actor="system:rules")
    assert await credited(revised, member) == was
    answers = await asyncio.gather(let(revised, one), let(revised, one), return_exceptions=True)
    assert sum(isinstance(answer, Recount) for answer in answers) == 1, answers

    earlier = by_rule(revised, moves, "2022-06-01")
    assert await credited(revised, member) == earlier + by_rule(revised, moves, "2023-06-01", opening=earlier) < was
    assert await service.carry_on_recounts(revised.db, revised.tenant) == 0
    ((state,),) = await revised.rows("select state from recounts where state <> 'empty'")
    kinds = await revised.rows("select kind, count(*) from events where kind between 230 and 233 group by 1 order by 1")
    assert (state, kinds) == ("done", [(230, 1), (231, 1), (233, 1)])


async def test_fees_are_given_back_and_charged_anew_each_by_two_people(charged: Scheme) -> None:
    old = with_rules(charged, fee("annual", 'amount = "100.00"'))
    (member,) = await old.members(["first"])
    await pay_in(old, member, 50_000)
    await charge(old)
    new = await another_pack(with_rules(charged, fee("annual", 'amount = "30.00"')))
    one = await found(new)
    assert items(one) == [("fees", END.isoformat())]
    assert (await let(new, one)).state == "approved"
    assert await holds(new, member) == {("retirement", "own"): 40_000}, "nothing moves before the run is approved"
    for corrects in (True, False):
        async with new.db.unit_of_work(new.tenant.tenant_id) as session:
            (run, *_) = await service.list_fee_runs(session)
        assert (run.state, run.maker, bool(run.corrects)) == ("proposed", "system:rules", corrects)
        await approve(new, run)
        await service.carry_on_recounts(new.db, new.tenant)
    assert await holds(new, member) == {("retirement", "own"): 47_000}
    assert (await new.rows("select state from recounts where recount_no = :n", n=one.recount_no)) == [("done",)]
    assert not await broken(new)
    assert await service.find_recount(new.db, (await another_pack(new)).tenant) is None, "what stands is right now"


async def test_fees_capped_by_a_table_are_charged_anew_by_the_row_that_they_were_charged_by(charged: Scheme) -> None:
    rule = cap("agency", ["annual"], "1.00", per="charge").replace(
        'most = "1.00"', 'table = "recordkeeping"\ncolumn = "annual"'
    )
    tables = load_pack(ROOT / "tenants/in-apy", KINDS).tables

    def capped(amount: str) -> Scheme:
        made = with_rules(charged, fee("annual", f'amount = "{amount}"'), rule)
        return dataclasses.replace(
            made, tenant=dataclasses.replace(made.tenant, pack=dataclasses.replace(made.tenant.pack, tables=tables))
        )

    old = capped("20.00")
    (member,) = await old.members(["first"])
    await pay_in(old, member, 50_000)
    assert (await charge(old, keys={"agency": "kfintech"})).taken == 1_440
    new = await another_pack(capped("12.00"))

    one = await found(new)
    assert items(one) == [("fees", END.isoformat())]
    await let(new, one)
    for _ in range(2):
        async with new.db.unit_of_work(new.tenant.tenant_id) as session:
            (run, *_) = await service.list_fee_runs(session)
        await approve(new, run)
        await service.carry_on_recounts(new.db, new.tenant)

    assert await holds(new, member) == {("retirement", "own"): 50_000 - 1_200}
    assert (await new.rows("select state from recounts where recount_no = :n", n=one.recount_no)) == [("done",)]
    assert not await broken(new)
    assert await service.find_recount(new.db, (await another_pack(new)).tenant) is None, "what stands is right now"


async def test_a_rejected_recount_leaves_all_as_it_was(charged: Scheme) -> None:
    old = with_rules(charged, fee("annual", 'amount = "100.00"'))
    (member,) = await old.members(["first"])
    await pay_in(old, member, 50_000)
    await charge(old)
    new = await another_pack(with_rules(charged, fee("annual", 'amount = "30.00"')))
    one = await found(new)
    rejected = await service.reject_recount(new.db, new.tenant, one.recount_no, one.digest, actor="staff:9")
    assert rejected.state == "rejected"
    assert await service.carry_on_recounts(new.db, new.tenant) == 0
    assert await holds(new, member) == {("retirement", "own"): 40_000}
    with pytest.raises(RecountChanged):
        await let(new, one)


async def test_state_money_is_claimed_again_by_its_difference(rwandan: Rwandan) -> None:
    await activated(rwandan, "2019-06-01", MATCH_CLAIM, date(2023, 4, 3))
    await at(rwandan, date(2024, 1, 2))
    async with rwandan.db.unit_of_work(rwandan.tenant.tenant_id) as session:
        claim = await contributions.prepare_claim(session, rwandan.tenant, "ltss", date(2023, 6, 1), actor="staff:1")
        assert isinstance(claim, MatchClaim)
        await contributions.send_claim(session, rwandan.tenant, claim.claim_no, claim.digest, actor="staff:2")
    assert await service.find_recount(rwandan.db, rwandan.tenant) is None
    law = "[change]\nenacted_on = 2024-01-02\n" + RULES.format(threshold="9000")
    await activated(rwandan, "2023-01-01-law", law, date(2024, 1, 2))
    one = await service.find_recount(rwandan.db, rwandan.tenant)
    assert one is not None
    assert items(one) == [("state-money", "2023-01-01")]
    done = await let(rwandan, one)
    assert done.state == "done"
    async with rwandan.db.unit_of_work(rwandan.tenant.tenant_id) as session:
        (newest, *_) = await contributions.list_claims(session)
    assert (newest.state, newest.total, newest.lines) == ("prepared", 12_000, 1)
    assert newest.claim_no != claim.claim_no


async def test_a_revised_figure_is_found_and_lists_what_it_affects(rwandan: Rwandan) -> None:
    await activated(rwandan, "2019-06-01", BASE.format(**OLD), date(2023, 4, 3))
    await at(rwandan, date(2024, 1, 2))
    await credit_interest(rwandan.db, rwandan.tenant, "ltss", date(2023, 6, 1), "staff:1")
    assert await service.find_recount(rwandan.db, rwandan.tenant) is None

    async def minor() -> int:
        async with rwandan.db.unit_of_work(rwandan.tenant.tenant_id) as session:
            return int(await session.scalar(text("select sum(minor)::bigint from interest_credits")) or 0)

    by_last_year = await minor()
    raw = b"effective_from,published_on,value,source,confidence\n2023-01-01,2024-01-02,6,declared,high\n"
    async with rwandan.db.unit_of_work(rwandan.tenant.tenant_id) as session:
        (number,) = (
            await propose_figures(session, rwandan.tenant, "declared-interest", raw, name="f.csv", actor="staff:1")
        ).proposed
    assert await service.find_recount(rwandan.db, rwandan.tenant) is None, "a proposed figure counts for nothing"
    with pytest.raises(SamePerson):
        await service.accept_figure(rwandan.db, rwandan.tenant, number, actor="staff:1")
    accepted = await service.accept_figure(rwandan.db, rwandan.tenant, number, actor="staff:2")
    with pytest.raises(FigureDecided):
        await service.accept_figure(rwandan.db, rwandan.tenant, number, actor="staff:3")
    (one,) = accepted.recounts
    assert (accepted.point.point_id, accepted.point.state, one.state) == (number, "accepted", "proposed")
    assert items(one) == [("interest", "2023-01-01")]
    assert await service.find_recount(rwandan.db, rwandan.tenant) is None, "the acceptance has looked for it"
    assert await minor() == by_last_year, "nothing is posted before another person agrees"
    done = await let(rwandan, one)
    assert done.state == "done"
    assert 0 < await minor() < by_last_year


async def test_two_changes_of_one_date_are_one_recount_and_the_later_page_decides(rwandan: Rwandan) -> None:
    await activated(rwandan, "2019-06-01", BASE.format(**OLD), date(2023, 4, 3))
    await at(rwandan, date(2024, 1, 2))
    run = await service.propose_fees(rwandan.db, rwandan.tenant, "ltss", date(2023, 12, 31), actor="staff:1")
    await service.approve_fees(rwandan.db, rwandan.tenant, run.run_no, run.digest, actor="staff:2")
    first, second = (
        "[change]\nenacted_on = 2024-01-02\n" + BASE.format(**(OLD | {"vat": vat})) for vat in ("12", "18")
    )
    (rwandan.folder / "ltss/rules/2023-06-01-a.toml").write_text(first)
    await activated(rwandan, "2023-06-01-b", second, date(2024, 1, 2))
    one = await service.find_recount(rwandan.db, rwandan.tenant)
    assert one is not None
    assert items(one) == [("fees", "2023-12-31")]
    await let(rwandan, one)
    newest = run
    for _ in range(2):
        async with rwandan.db.unit_of_work(rwandan.tenant.tenant_id) as session:
            (newest, *_) = await service.list_fee_runs(session)
        await service.approve_fees(rwandan.db, rwandan.tenant, newest.run_no, newest.digest, actor="staff:2")
        await service.carry_on_recounts(rwandan.db, rwandan.tenant)
    assert newest.net == run.net
    assert newest.rules == ["monthly@2023-06-01-b"]
    assert newest.vat > run.vat


async def test_a_figure_that_changes_nothing_posted_is_accepted_with_an_empty_list(rwandan: Rwandan) -> None:
    caller = Caller(rwandan.tenant.tenant_id, "staff:2", frozenset(Permission), "staff")
    raw = b"effective_from,published_on,value,source,confidence\n2023-01-01,2023-04-01,6,declared,high\n"
    async with rwandan.db.unit_of_work(rwandan.tenant.tenant_id) as session:
        (number,) = (
            await propose_figures(session, rwandan.tenant, "declared-interest", raw, name="f.csv", actor="staff:1")
        ).proposed
    app = Litestar(
        [FigureAcceptanceController],
        dependencies={
            "caller": Provide(lambda: caller, sync_to_thread=False),
            "tenant": Provide(lambda: rwandan.tenant, sync_to_thread=False),
            "db": Provide(lambda: rwandan.db, sync_to_thread=False),
        },
        exception_handlers=exception_handlers(lambda _request, message: message),
    )
    async with AsyncTestClient(app) as client:
        answer = await client.post(f"/v1/figures/{number}/accept")
        again = await client.post(f"/v1/figures/{number}/accept")
    assert (answer.status_code, again.status_code) == (200, 409)
    told = answer.json()
    assert (told["figure"], told["state"], told["recounts"]) == (number, "accepted", [])
