"""Premiums of all members at once, against PostgreSQL; the rule of one member is the oracle."""

import asyncio
import csv
import io
from datetime import date, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from engine.access.errors import SamePerson
from engine.app import LAWS
from engine.benefits import service
from engine.benefits.errors import (
    NoPremiumDue,
    NoPremiumPaid,
    PremiumRunChanged,
    PremiumRunDecided,
    PremiumRunOpen,
    PremiumsOfFunds,
    PremiumTooSoon,
    UnknownPremiumFile,
    UnknownPremiumRun,
)
from engine.benefits.queries import premiums as queries
from engine.benefits.rules import CoverRule
from engine.benefits.rules.premiums import AskedPremium, Insured, Premium, insurance_by, insured_on
from engine.benefits.service import PremiumFile, PremiumRun
from engine.benefits.service.covering import CoverAnswer
from engine.enrolment import service as enrolment
from engine.identity.rules import MemberRef
from engine.kernel.rules import Dates
from engine.ledger import service as ledger
from engine.runtime.database import Database
from tests.factories.claims import CHECKER, MAKER, Claims, open_scheme
from tests.factories.heirs import UNKEPT

PACK = "../tests/packs/xx-benefits"
BORN = date(1983, 1, 1)
JOINED = date(2018, 6, 1)
PRICE, STATES = 20_00, 25_00
OWN, STATE = "own-paid", "state-paid"


@pytest.fixture
async def scheme(db: Database, tenant_id: int, tmp_path: Path) -> Claims:
    """The worked pack on New Year's Day of 2020: 20.00 a month for a cover of one's own, 25.00 a year that the state pays."""
    return await open_scheme(db, tenant_id, tmp_path, PACK, "2020-01-01T08:00:00")


async def saver(
    scheme: Claims, minor: int, on: date = date(2020, 1, 1), *, pot: str = "open", origin: str = "own"
) -> MemberRef:
    member = await scheme.member(JOINED, BORN)
    if minor:
        await scheme.pay(member, minor, pot=pot, on=on, origin=origin)
    return member


async def propose(scheme: Claims, on: date) -> PremiumRun:
    await scheme.clock(f"{on}T08:00:00")
    return await service.propose_premiums(scheme.db, scheme.tenant, scheme.product, on, actor=MAKER)


async def approve(scheme: Claims, run: PremiumRun) -> PremiumRun:
    return await service.approve_premiums(scheme.db, scheme.tenant, run.run_no, run.digest, actor=CHECKER)


async def charge(scheme: Claims, on: date) -> PremiumRun:
    run = await propose(scheme, on)
    return await approve(scheme, run) if run.state == "proposed" else run


async def told(scheme: Claims, member: MemberRef) -> list[tuple[str, str, date, str]]:
    """A member's premiums, the oldest first: cover, state, first day, who pays."""
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        found = await service.premiums_of(session, member.member_id)
    return [(one.cover, one.state, one.period_from, one.paid_by) for one in reversed(found)]


async def lapse(scheme: Claims, on: date) -> int:
    await scheme.clock(f"{on}T08:00:00")
    return await service.lapse_covers(scheme.db, scheme.tenant)


async def sound(scheme: Claims) -> None:
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        assert [one for one in await ledger.check(session, LAWS) if one.law not in UNKEPT] == []


async def owed_to(scheme: Claims, role: str) -> int:
    ((found,),) = await scheme.rows(
        """select coalesce(sum(case when t.credit = c.code then t.amount else -t.amount end), 0)::bigint
             from chart c join transfers t on c.code in (t.debit, t.credit) where c.kind = 'due-to-party' and c.party = :r""",
        r=role,
    )
    return int(found)


async def claim_state(scheme: Claims, member: MemberRef, on: date, key: str) -> str:
    """Claim the sum for a funeral of a day; return what the rules said."""
    claim = await scheme.claim(member, "cover", key=key, ground="funeral", happened_on=on, rule=OWN)
    return claim.reason or claim.state


async def test_the_day_of_the_event_decides_and_not_the_day_of_the_news(scheme: Claims) -> None:
    """20.00 for January; February lacks 5.00, and 30 days of grace end with 1 March: insured from 15 January to 1 March."""
    member = await saver(scheme, 35_00)
    run = await charge(scheme, date(2020, 1, 1))
    assert (run.state, run.premiums, run.due, run.premiums_paid, run.paid) == ("done", 1, PRICE, 1, PRICE)
    assert await scheme.holds(member) == {"cash:own": 15_00}
    assert await owed_to(scheme, "insurer") == PRICE
    run = await charge(scheme, date(2020, 2, 1))
    assert (run.premiums, run.premiums_paid, run.paid) == (1, 0, 0)
    assert [one[1] for one in await told(scheme, member)] == ["paid", "due"]
    assert await lapse(scheme, date(2020, 3, 1)) == 0
    assert await lapse(scheme, date(2020, 3, 2)) == 1
    assert await lapse(scheme, date(2020, 3, 2)) == 0
    assert [one[1] for one in await told(scheme, member)] == ["paid", "lapsed"]
    assert await scheme.holds(member) == {"cash:own": 15_00}
    await scheme.clock("2020-08-01T08:00:00")
    assert await claim_state(scheme, member, date(2020, 1, 14), "k1") == "benefits.not-covered"
    assert await claim_state(scheme, member, date(2020, 1, 15), "k2") == "decided"
    assert await claim_state(scheme, member, date(2020, 3, 1), "k3") == "decided"
    assert await claim_state(scheme, member, date(2020, 3, 2), "k4") == "benefits.not-covered"
    await sound(scheme)


async def test_whether_the_lapse_was_noted_makes_no_difference(scheme: Claims) -> None:
    member = await saver(scheme, PRICE)
    await charge(scheme, date(2020, 1, 1))
    await charge(scheme, date(2020, 2, 1))
    await scheme.clock("2020-03-05T08:00:00")
    assert await claim_state(scheme, member, date(2020, 3, 1), "k1") == "decided"
    assert await claim_state(scheme, member, date(2020, 3, 2), "k2") == "benefits.not-covered"


async def test_what_is_paid_within_grace_goes_on_and_after_a_lapse_begins_anew(scheme: Claims) -> None:
    member = await saver(scheme, PRICE)
    await charge(scheme, date(2020, 1, 1))
    await charge(scheme, date(2020, 2, 1))
    await scheme.pay(member, PRICE, pot="locked", on=date(2020, 3, 1))
    run = await charge(scheme, date(2020, 3, 1))
    assert (run.premiums, run.premiums_paid) == (2, 1)  # February's is older than March's
    assert [one[1] for one in await told(scheme, member)] == ["paid", "paid", "due"]
    # March's grace ends with 30 March; taken up anew from 31 March on, for April, to begin on 15 April.
    await scheme.pay(member, PRICE, pot="open", on=date(2020, 3, 31))
    run = await charge(scheme, date(2020, 4, 1))
    assert (run.premiums, run.premiums_paid) == (1, 1)
    assert [one[1] for one in await told(scheme, member)] == ["paid", "paid", "lapsed", "paid"]
    for number, (day, said) in enumerate(
        {
            date(2020, 3, 30): "decided",
            date(2020, 3, 31): "benefits.not-covered",
            date(2020, 4, 14): "benefits.not-covered",
            date(2020, 4, 15): "decided",
        }.items()
    ):
        await scheme.clock("2020-05-01T08:00:00")
        assert await claim_state(scheme, member, day, f"k{number}") == said, day
    await sound(scheme)


async def test_a_lapse_within_its_month_is_taken_up_for_that_month(scheme: Claims) -> None:
    member = await saver(scheme, PRICE)
    await charge(scheme, date(2020, 1, 1))
    await charge(scheme, date(2020, 3, 1))
    assert await lapse(scheme, date(2020, 3, 31)) == 1
    await scheme.pay(member, PRICE, pot="open", on=date(2020, 3, 31))
    assert (await charge(scheme, date(2020, 3, 31))).premiums_paid == 1
    assert [one[1:3] for one in await told(scheme, member)] == [
        ("paid", date(2020, 1, 1)),
        ("paid", date(2020, 3, 1)),
    ]
    await sound(scheme)


async def test_after_ninety_days_nobody_is_taken_up_anew(scheme: Claims) -> None:
    late, last = await saver(scheme, PRICE), await saver(scheme, PRICE)
    await charge(scheme, date(2020, 1, 1))
    await charge(scheme, date(2020, 2, 1))
    assert await lapse(scheme, date(2020, 3, 2)) == 2
    await scheme.pay(last, PRICE, pot="open", on=date(2020, 5, 31))
    assert (await charge(scheme, date(2020, 5, 31))).premiums_paid == 1
    await scheme.pay(late, PRICE, pot="open", on=date(2020, 6, 1))
    assert (await charge(scheme, date(2020, 6, 1))).premiums == 1  # the other's for June
    assert await scheme.holds(late) == {"cash:own": PRICE}


async def test_other_money_and_the_dead_pay_nothing(scheme: Claims) -> None:
    await saver(scheme, 50_00, origin="state-match")
    both = await scheme.member(JOINED, BORN)
    await scheme.pay(both, 5_00, pot="open", on=JOINED)
    await scheme.pay(both, 20_00, pot="locked", on=JOINED)
    dead = await saver(scheme, 50_00)
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        await enrolment.report_death(
            session, scheme.keys, scheme.tenant, dead.member_id,
            died_on=date(2019, 12, 1), record="r", actor="staff:3", registry="crvs",
        )  # fmt: skip
    run = await charge(scheme, date(2020, 1, 1))
    assert (run.premiums, run.paid) == (1, PRICE)
    left = await scheme.rows(
        """select c.pot, b.credits - b.debits from balances b join chart c using (code) where b.member_id = :m
              and c.kind = 'cash' order by 1""",
        m=both.member_id,
    )
    assert left == [("locked", 5_00), ("open", 0)]
    await sound(scheme)


async def test_the_state_pays_for_whoever_earned_the_year(scheme: Claims) -> None:
    """1,200.00 in 2019 earns 2020; a cent less does not, nor what was paid a day too late. The premium is 1.25 % of 2,000.00."""
    earned = await saver(scheme, 1_200_00, date(2019, 12, 31))
    short = await saver(scheme, 1_199_99, date(2019, 12, 31))
    late = await saver(scheme, 1_200_00, date(2020, 1, 1))
    run = await charge(scheme, date(2020, 1, 1))
    states = {one: [line for line in await told(scheme, one) if line[0] == STATE] for one in (earned, short, late)}
    assert states == {earned: [(STATE, "paid", date(2020, 1, 1), "state")], short: [], late: []}
    assert run.paid == STATES + 3 * PRICE
    assert await owed_to(scheme, "state") == -STATES
    assert await owed_to(scheme, "insurer") == STATES + 3 * PRICE
    # Told of late: a payment booked back into 2019 earns the year, and a run for a day that is past asks the state alone.
    await charge(scheme, date(2020, 2, 1))
    await scheme.pay(short, 1, pot="open", on=date(2019, 12, 30))
    run = await service.propose_premiums(scheme.db, scheme.tenant, scheme.product, date(2020, 1, 1), actor=MAKER)
    assert (run.premiums, run.due) == (1, STATES)
    await approve(scheme, run)
    claim = await scheme.claim(short, "cover", ground="funeral", happened_on=date(2020, 1, 1), rule=STATE)
    assert (claim.state, claim.amount) == ("decided", 2_000_00)
    await sound(scheme)


async def _file(scheme: Claims) -> PremiumFile:
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        return await service.make_premium_file(session, scheme.tenant, scheme.product, "insurer", actor=CHECKER)


async def test_premiums_go_to_the_insurer_once_and_what_they_refuse_comes_home(scheme: Claims) -> None:
    rich, both = await saver(scheme, 60_00), await scheme.member(JOINED, BORN)
    await scheme.pay(both, 15_00, pot="open", on=JOINED)
    await scheme.pay(both, 10_00, pot="locked", on=JOINED)
    stated = await saver(scheme, 1_200_00, date(2019, 5, 1), pot="locked")
    with pytest.raises(NoPremiumPaid):
        await _file(scheme)
    await charge(scheme, date(2020, 1, 1))
    made = await asyncio.gather(*(_file(scheme) for _ in range(3)), return_exceptions=True)
    [sent] = [one for one in made if isinstance(one, PremiumFile)]
    assert (sent.premiums, sent.total, sent.answered, sent.refused) == (4, 3 * PRICE + STATES, 0, 0)
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        raw = await service.premium_file(session, scheme.keys, scheme.tenant, sent.file_no, actor=CHECKER)
    head, *lines, last = list(csv.reader(io.StringIO(raw.decode())))
    assert head[0] == "line"
    assert last == ["total", "4", "insurer", "2020-01-01", "", "", "", "85.00"]
    assert sorted(line[4:] for line in lines) == sorted(
        [[OWN, "2020-01-01", "2020-02-01", "20.00"]] * 3 + [[STATE, "2020-01-01", "2021-01-01", "25.00"]]
    )
    numbers = {
        (member, cover): line
        for line, member, cover in await scheme.rows("select line_no, member_id, cover from premiums")
    }
    no = [
        CoverAnswer(numbers[both.member_id, OWN], "refused", "too old"),
        CoverAnswer(numbers[stated.member_id, STATE], "refused", "unknown"),
    ]
    yes = CoverAnswer(numbers[rich.member_id, OWN], "accepted")

    async def answer(*answers: CoverAnswer, file: int = 1) -> service.Answered:
        return await service.take_premium_answers(scheme.db, scheme.tenant, file, answers, actor=CHECKER)

    done = await asyncio.gather(*(answer(yes, *no) for _ in range(3)))
    assert (sum(one.accepted for one in done), sum(one.refused for one in done)) == (1, 2)
    assert sum(one.known for one in done) == 6
    other = await answer(CoverAnswer(numbers[rich.member_id, OWN], "refused", "late"), CoverAnswer(77, "accepted"))
    assert other.unfit == tuple(sorted((numbers[rich.member_id, OWN], 77)))
    with pytest.raises(UnknownPremiumFile):
        await answer(yes, file=9)
    assert await owed_to(scheme, "insurer") == 2 * PRICE
    assert await owed_to(scheme, "state") == 0
    back = await scheme.rows(
        """select c.pot, b.credits - b.debits from balances b join chart c using (code) where b.member_id = :m
              and c.kind = 'cash' order by 1""",
        m=both.member_id,
    )
    assert back == [("locked", 10_00), ("open", 15_00)]
    await scheme.clock("2020-02-01T08:00:00")
    assert await claim_state(scheme, both, date(2020, 1, 20), "k1") == "benefits.not-covered"
    assert await claim_state(scheme, rich, date(2020, 1, 20), "k2") == "decided"
    # Whom the insurer refused is asked no more.
    assert (await charge(scheme, date(2020, 2, 1))).premiums == 2
    await sound(scheme)


async def test_two_people_stand_for_a_run(scheme: Claims) -> None:
    await saver(scheme, 60_00)
    with pytest.raises(PremiumTooSoon):
        await service.propose_premiums(scheme.db, scheme.tenant, scheme.product, date(2020, 1, 2), actor=MAKER)
    run = await propose(scheme, date(2020, 1, 1))
    assert run.state == "proposed"
    with pytest.raises(SamePerson):
        await service.approve_premiums(scheme.db, scheme.tenant, run.run_no, run.digest, actor=MAKER)
    with pytest.raises(PremiumRunChanged):
        await service.approve_premiums(scheme.db, scheme.tenant, run.run_no, "0" * 64, actor=CHECKER)
    with pytest.raises(UnknownPremiumRun):
        await service.approve_premiums(scheme.db, scheme.tenant, 9, run.digest, actor=CHECKER)
    with pytest.raises(PremiumRunOpen):
        await propose(scheme, date(2020, 1, 2))
    assert await lapse(scheme, date(2020, 6, 1)) == 0
    assert await owed_to(scheme, "insurer") == 0
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        with pytest.raises(SamePerson):
            await service.reject_premiums(session, scheme.tenant, run.run_no, run.digest, actor=MAKER)
        rejected = await service.reject_premiums(session, scheme.tenant, run.run_no, run.digest, actor=CHECKER)
    assert rejected.state == "rejected"
    with pytest.raises(PremiumRunDecided):
        await approve(scheme, run)
    assert await owed_to(scheme, "insurer") == 0
    await sound(scheme)


async def test_a_product_without_premiums_or_in_funds_has_no_run(
    scheme: Claims, db: Database, tenant_id: int, tmp_path: Path
) -> None:
    with pytest.raises(NoPremiumDue):
        await service.propose_premiums(db, scheme.tenant, "pension", date(2020, 1, 1), actor=MAKER)
    rule = """
[[rule]]
kind = "cover"
id = "paid"
sums = { death = "10000" }
covers = "while-paid"
payer = "insurer"
premium = { insurer = "insurer", amount = "20", rounding = "half-up", every = "month", pots = ["savings"], origins = ["own"] }
net_of_reversals = true
source = "test"
confidence = "high"
"""
    funded = await open_scheme(db, tenant_id, tmp_path, "in-nps-lite", "2023-04-03T08:00:00", rules=rule)
    with pytest.raises(PremiumsOfFunds):
        await service.propose_premiums(db, funded.tenant, funded.product, date(2023, 4, 3), actor=MAKER)


async def test_a_run_that_stops_goes_on_and_two_approvals_pay_once(
    scheme: Claims, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "MOST_MEMBERS", 2)
    members = [await saver(scheme, 30_00) for _ in range(7)]

    class Stopped(Exception):
        pass

    def stop(_: int) -> None:
        raise Stopped

    on = date(2020, 1, 1)
    with pytest.raises(Stopped):
        await service.propose_premiums(scheme.db, scheme.tenant, scheme.product, on, actor=MAKER, progress=stop)
    run = await propose(scheme, on)
    assert (run.state, run.premiums) == ("proposed", 7)
    with pytest.raises(Stopped):
        await service.approve_premiums(scheme.db, scheme.tenant, run.run_no, run.digest, actor=CHECKER, progress=stop)
    assert await owed_to(scheme, "insurer") == 2 * PRICE
    done = await asyncio.gather(*(approve(scheme, run) for _ in range(3)), return_exceptions=True)
    assert any(isinstance(one, PremiumRun) and one.state == "done" for one in done)
    assert await owed_to(scheme, "insurer") == 7 * PRICE
    assert [await scheme.holds(one) for one in members] == [{"cash:own": 10_00}] * 7
    await charge(scheme, date(2020, 2, 1))
    assert await lapse(scheme, date(2020, 3, 2)) == 7
    await sound(scheme)


def _premium(scheme: Claims) -> Premium:
    book = scheme.tenant.book(scheme.product)
    found = next(one for one in book.all_in_force(CoverRule, Dates(on=date(2020, 1, 1))) if one.rule.id == OWN)
    assert found.rule.premium is not None
    return found.rule.premium


DAYS = st.integers(0, 300)


@settings(
    deadline=None,
    max_examples=6,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    lives=st.lists(st.lists(st.tuples(DAYS, st.sampled_from([5_00, 20_00, 25_00, 60_00])), max_size=6), min_size=1, max_size=5),
    runs=st.sets(DAYS, min_size=2, max_size=9),
    lapses=st.sets(DAYS, max_size=4),
)  # fmt: skip
async def test_members_are_insured_as_the_rule_of_one_says(
    scheme: Claims, lives: list[list[tuple[int, int]]], runs: set[int], lapses: set[int]
) -> None:
    """Random payments, runs and lapses: on every day each member is insured as by what they were asked for and paid when."""
    start = date(2020, 1, 1)
    # Who was in an example before this one has moved away.
    await scheme.run("update memberships set moved_to = 'pension' where tenant_id = :t")
    await scheme.run("update premium_runs set charged_on = date '2019-01-01' where tenant_id = :t")
    members = [await scheme.member(JOINED, BORN) for _ in lives]
    days = sorted({*runs, *lapses, *(day for life in lives for day, _ in life)})
    for day in days:
        on = start + timedelta(days=day)
        for member, life in zip(members, lives, strict=True):
            for paid, minor in life:
                if paid == day:
                    await scheme.pay(member, minor, pot="open", on=on)
        if day in lapses:
            await scheme.run("update daily_rounds set done_on = date '2019-01-01' where tenant_id = :t")
            await lapse(scheme, on)
        if day in runs:
            await charge(scheme, on)
    premium = _premium(scheme)
    for member in members:
        rows = await scheme.rows(
            """select l.period_from, min(r.charged_on), max(p.paid_on)
                 from premium_lines l join premium_runs r using (run_no) left join premiums p using (member_id, cover, period_from)
                where l.member_id = :m and l.cover = :c group by 1""",
            m=member.member_id,
            c=OWN,
        )
        asked = [AskedPremium(*row) for row in rows]
        expected = insurance_by(OWN, premium, asked)
        async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
            found = await queries.insurance_of(session, member.member_id, scheme.product)
        for number in range(420):
            on = start + timedelta(days=number)
            here, there = insured_on(found, OWN, on), insured_on(expected, OWN, on)
            assert isinstance(here, Insured) == isinstance(there, Insured), (on, asked, found, expected)
    await sound(scheme)
