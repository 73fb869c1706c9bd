"""Promises that wait for a choice, against PostgreSQL: told apart from the balance, kept once, or lapsed; and two at once."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from engine.app import KINDS
from engine.benefits.errors import ClaimMoneyGone
from engine.benefits.queries import promises as queries
from engine.benefits.rules import promise_problems
from engine.identity.rules import MemberRef
from engine.reports import service as reports
from engine.reports.api import StatementPromise, document_of
from engine.reports.rules import Statement
from engine.runtime.database import Database
from engine.tenancy.service import load_pack
from tests.factories.claims import Claims
from tests.factories.heirs import Estates, nominee, open_estates

JOINED, OLD, FORTY = date(2021, 6, 1), date(1967, 1, 31), date(1983, 1, 1)
PROMISE = """
[[rule]]
kind = "conditional-entitlement"
id = "bonus"
choice = "{choice}"
origins = ["own"]
share_bp = 1000
most = "{most}"
payer = "{payer}"
pot = "{pot}"
rounding = "down"
source = "Invented: a tenth of own savings for those who take instalments"
confidence = "high"
"""
BONUS = PROMISE.format(choice="own-instalments", most="15000", payer="state", pot="savings")


@pytest_asyncio.fixture(loop_scope="session")
async def ejoheza(db: Database, tenant_id: int, tmp_path: Path) -> AsyncIterator[Estates]:
    """EjoHeza on 1 February 2023, where the state promises a tenth, at most 15,000, to whoever retires by instalments."""
    yield await open_estates(db, tenant_id, tmp_path, "rw-ejoheza", "2023-02-01T08:00:00", rules=BONUS)


async def saver(scheme: Claims, born_on: date = OLD) -> MemberRef:
    """A member who paid 100,009 francs, of which the state promises 10,000.9: 10,000; what the state paid earns no promise."""
    member = await scheme.member(JOINED, born_on)
    await scheme.pay(member, 100_009, pot="savings", on=date(2022, 1, 5))
    await scheme.pay(member, 18_000, pot="savings", on=date(2022, 4, 5), origin="state-match")
    return member


async def statement_of(scheme: Claims, member: MemberRef, as_of: date = date(2023, 2, 1)) -> Statement:
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        return await reports.statement(session, scheme.tenant, member, number="7", as_of=as_of)


async def promised_to(scheme: Claims, member: MemberRef) -> dict[str, str]:
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        found, decision = await reports.tell_entitlements(session, scheme.tenant, member, on=date(2023, 2, 1))
    names = {name: value for name, value in found.figures.items() if name.startswith("promised.")}
    assert ("bonus" in await rules_of(scheme, decision)) == bool(names)
    return names


async def rules_of(scheme: Claims, decision: int) -> list[str]:
    """The rules that a decision on record names, without their versions."""
    ((rules,),) = await scheme.rows(
        """select x.trace -> 'rules' from determinations d join decisions x on x.decision_id = d.decision where d.decision_id = :d""",
        d=decision,
    )
    return [one.partition("@")[0] for one in rules]


async def settled(scheme: Claims, member: MemberRef) -> list[tuple[Any, ...]]:
    return await scheme.rows(
        """select p.rule, p.outcome, p.minor, e.kind, x.trace -> 'rules' ->> 0 from promises_settled p
             join events e on e.member_id = p.member_id and e.event_id = p.event_id join decisions x on x.decision_id = e.decision
            where p.member_id = :m order by p.event_id""",
        m=member.member_id,
    )


async def test_a_promise_is_told_apart_and_is_in_no_figure_of_the_balance(ejoheza: Estates) -> None:
    scheme = ejoheza.scheme
    member = await saver(scheme)
    found = await statement_of(scheme, member)
    assert document_of(found).conditional == (StatementPromise("bonus", "own-instalments", "state", "10000"),)
    assert (found.totals.value_minor, found.totals.contributed_minor) == (118_009, 118_009)
    before = await statement_of(scheme, member, date(2022, 1, 4))
    assert before.conditional == (), "nothing was paid in by then"
    assert await promised_to(scheme, member) == {"promised.bonus": "10000"}


async def test_the_promise_is_at_most_what_the_rule_says_and_follows_what_is_taken_back(ejoheza: Estates) -> None:
    scheme = ejoheza.scheme
    member = await scheme.member(JOINED, OLD)
    await scheme.pay(member, 149_999, pot="savings", on=date(2022, 1, 5))
    assert await promised_to(scheme, member) == {"promised.bonus": "14999"}
    await scheme.pay(member, 60_000, pot="savings", on=date(2022, 2, 5))
    assert await promised_to(scheme, member) == {"promised.bonus": "15000"}


async def test_whoever_retires_by_the_choice_has_it_once_and_the_instalments_pay_it_too(ejoheza: Estates) -> None:
    """118,009 and 10,000 are paid over ten years."""
    scheme = ejoheza.scheme
    member = await saver(scheme)
    claim = await scheme.claim(member, "retirement", rule="own-instalments", years=10)
    assert claim.state == "decided", claim.reason
    assert claim.facts is not None
    assert claim.facts.schedule is not None
    assert claim.facts.schedule.rest == 128_009
    assert await promised_to(scheme, member) == {"promised.bonus": "10000"}, "decided, and not approved yet"
    await scheme.approve(claim)
    assert await scheme.holds(member) == {"cash:own": 100_009, "cash:state-match": 28_000}
    assert await scheme.control("promises-receivable") == -10_000
    [(rule, outcome, minor, kind, ref)] = await settled(scheme, member)
    assert (rule, outcome, minor, kind) == ("bonus", "kept", 10_000, 325)
    assert ref.startswith("bonus@2018-12-14")
    assert "bonus" in await rules_of(scheme, claim.decision)
    after = await statement_of(scheme, member)
    assert after.conditional == ()
    assert after.totals.value_minor == 128_009
    assert await promised_to(scheme, member) == {}
    assert not await scheme.broken()


async def test_another_choice_lets_it_lapse_and_a_withdrawal_does_not(ejoheza: Estates) -> None:
    scheme = ejoheza.scheme
    member = await saver(scheme)
    school = await scheme.claim(member, "access", key="k0", rule="early-access", purpose="education", minor=1_000)
    await scheme.approve(school)
    assert await promised_to(scheme, member) == {"promised.bonus": "10000"}
    claim = await scheme.claim(member, "retirement", rule="all-at-once")
    assert claim.amount == 117_009
    await scheme.approve(claim)
    assert await scheme.holds(member) == {"payable:own": 100_009, "payable:state-match": 18_000}
    [(rule, outcome, minor, kind, _)] = await settled(scheme, member)
    assert (rule, outcome, minor, kind) == ("bonus", "lapsed", 10_000, 326)
    assert await scheme.control("promises-receivable") == 0
    assert (await statement_of(scheme, member)).conditional == ()
    assert await promised_to(scheme, member) == {}
    assert not await scheme.broken()


async def test_a_death_lets_it_lapse_and_a_death_taken_back_promises_it_again(ejoheza: Estates) -> None:
    scheme = ejoheza.scheme
    member = await scheme.member(JOINED, OLD, [nominee("Aline Invented", 10_000)])
    await scheme.pay(member, 100_009, pot="savings", on=date(2022, 1, 5))
    notice = await ejoheza.dies(member, on=date(2023, 1, 20))
    await ejoheza.follow()
    [claim] = await ejoheza.claims()
    await scheme.approve(claim)
    assert [one[1] for one in await settled(scheme, member)] == ["lapsed"]
    assert await promised_to(scheme, member) == {}
    await ejoheza.lives(notice)
    await ejoheza.follow()
    assert await promised_to(scheme, member) == {"promised.bonus": "10000"}
    assert len((await statement_of(scheme, member)).conditional) == 1
    retired = await scheme.claim(member, "retirement", rule="own-instalments", years=10)
    await scheme.approve(retired)
    assert [one[1] for one in await settled(scheme, member)] == ["lapsed", "kept"]
    assert not await scheme.broken()


async def test_of_two_choices_at_once_one_settles_the_promise(
    ejoheza: Estates, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both see the promise waiting before either has settled it; whoever comes second is refused, and moves nothing."""
    scheme = ejoheza.scheme
    member = await saver(scheme)
    warm = await scheme.claim(member, "access", key="k0", rule="early-access", purpose="education", minor=1_000)
    await scheme.approve(warm)  # who approves is known to the books: neither waits for the other's first word
    first = await scheme.claim(member, "retirement", key="k1", rule="own-instalments", years=10)
    other = await scheme.claim(member, "retirement", key="k2", rule="all-at-once")
    assert (first.state, other.state) == ("decided", "decided")
    barrier = asyncio.Barrier(2)
    real = queries.times_settled

    async def meet(*given: Any) -> Any:
        found = await real(*given)
        await asyncio.wait_for(barrier.wait(), 20)
        return found

    monkeypatch.setattr(queries, "times_settled", meet)
    ends = await asyncio.gather(scheme.approve(first), scheme.approve(other), return_exceptions=True)
    assert [type(one) for one in ends if isinstance(one, BaseException)] == [ClaimMoneyGone], ends
    assert len(await settled(scheme, member)) == 1
    assert not await scheme.broken()


async def test_a_stop_half_way_keeps_nothing(ejoheza: Estates, monkeypatch: pytest.MonkeyPatch) -> None:
    scheme = ejoheza.scheme
    member = await saver(scheme)
    claim = await scheme.claim(member, "retirement", rule="own-instalments", years=10)

    async def stop(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(queries, "add_settled", stop)
        with pytest.raises(KeyboardInterrupt):
            await scheme.approve(claim)
    assert await settled(scheme, member) == []
    assert await scheme.holds(member) == {"cash:own": 100_009, "cash:state-match": 18_000}
    await scheme.approve(claim)
    assert len(await settled(scheme, member)) == 1


async def test_the_books_tell_a_promise_that_was_not_posted(ejoheza: Estates) -> None:
    scheme = ejoheza.scheme
    member = await saver(scheme)
    claim = await scheme.claim(member, "retirement", rule="own-instalments", years=10)
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        await queries.add_settled(
            session, member_id=member.member_id, claim_id=claim.claim_id, event_id=1, minor=5, product="ltss",
            rule="bonus", outcome="kept",
        )  # fmt: skip
    assert "promises-are-kept-once" in {one.law for one in await scheme.broken()}


def test_a_pack_s_promise_names_what_is_there(tmp_path: Path) -> None:
    root = Path(__file__).parents[3] / "tenants"
    found: dict[tuple[str, str], list[str]] = {}
    wrong = PROMISE.format(choice="moon", most="15000", payer="king", pot="purse")
    for pack, rules in (("rw-ejoheza", wrong), ("rw-ejoheza", BONUS), ("in-nps-lite", BONUS)):
        copy = tmp_path / f"{len(found)}" / pack
        shutil.copytree(root / pack, copy)
        loaded = load_pack(copy, KINDS)
        book = min((copy / loaded.manifest.products[0].code / "rules").iterdir())
        book.write_text(book.read_text() + rules)
        found[pack, rules] = [str(one) for one in promise_problems(load_pack(copy, KINDS))]
    assert found["rw-ejoheza", BONUS] == []
    assert [one.split(": ")[:2] for one in found["rw-ejoheza", wrong]] == [
        ["ltss/rules/2018-12-14.toml", "bonus.choice"],
        ["ltss/rules/2018-12-14.toml", "bonus.pot"],
        ["ltss/rules/2018-12-14.toml", "bonus.payer"],
    ]
    assert "all-at-once, disability, own-instalments" in found["rw-ejoheza", wrong][0]
    assert any("the product is in funds" in one for one in found["in-nps-lite", BONUS])
