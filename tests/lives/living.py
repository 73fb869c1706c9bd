"""One member's life on a real pack, lived through the services: each event that changes a figure is a row."""

import json
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any, Self, TypeVar

from engine.benefits import service as benefits
from engine.benefits.queries.claiming import ClaimRow, Request
from engine.benefits.rules import ClaimKind
from engine.benefits.rules.claiming import available
from engine.benefits.rules.paying import AccountGiven, Payee, Payout
from engine.contributions.errors import NothingToClaim
from engine.contributions.queries.matching import MatchClaim
from engine.contributions.rules import Receipt
from engine.contributions.service import ClaimShared
from engine.enrolment.service import Enrolled
from engine.funds.service import InterestReport
from engine.identity.rules import MemberRef
from engine.kernel.errors import EngineError
from engine.runtime.database import Database
from tests.machine.world import CHECKER, MAKER, Country, World, sums

LIVES = Path(__file__).parents[1] / "golden" / "lives"
Step = tuple[date, Callable[[date], Awaitable[None]]]
DAY = timedelta(days=1)
_EVENING = time(19)  # after midnight in India, where dealing closes at 23:59
Answered = TypeVar("Answered")


def facts_of(pack: str) -> dict[str, Any]:
    """Return what the member does, which the calculation by hand reads as well."""
    return tomllib.loads((LIVES / f"{pack}.toml").read_text(encoding="utf-8"))


@dataclass
class Row:
    """An event: by how much it changed the account, what that is worth after it, and what else is told of it."""

    on: str
    what: str
    amount: str
    value: str
    figures: dict[str, str] = field(default_factory=dict)


class Life:
    """One member, and somebody else where the bank needs more money than theirs; `heirs` are who inherits, by their numbers.

    Interest is declared in a `series` for scheme years, which begin on the first of a month.
    """

    heirs: Sequence[int] = (1, 2)
    series = "declared-interest"
    year_begins = 1

    def __init__(self, world: World, facts: Mapping[str, Any]) -> None:
        self.world, self.facts = world, facts
        self.rows: list[Row] = []
        self.number = self.document = ""
        self.worth = 0
        self.serial = 0

    @classmethod
    async def open(cls, db: Database, folder: Path, country: Country, facts: Mapping[str, Any]) -> Self:
        """A scheme of its own on the pack, on the day the member joins."""
        opens = datetime.combine(facts["joins_on"], time(7), UTC)
        life = cls(await World.open(db, folder, replace(country, opens=opens), Counter()), facts)
        life.document = life.world.new_number(facts["born_on"])
        joined = await life.world.join(born_on=facts["born_on"], number=life.document, name="Ama Invented")
        answer = done(joined)
        assert isinstance(answer, Enrolled)
        life.number = answer.number
        return life

    async def live(self, steps: Sequence[Step]) -> list[Row]:
        """Take the steps in the order of their days; the laws hold and the bank agrees at the end."""
        for on, step in sorted(steps, key=lambda one: one[0]):
            if on > self.world.now.date():
                await self.world.to(on)
            await step(on)
        assert await self.world.offences() == []
        proof = await self.world.proof()
        (account,) = [one for one in proof.accounts if one.account == self.world.country.channel]
        money = self.world.major(self.world.bank.balance)
        assert (account.books, account.closing) == (money, money), proof.lines()
        return self.rows

    async def member(self) -> MemberRef:
        return await self.world.member(self.number)

    async def tell(self, on: date, what: str, **figures: str) -> None:
        """Write down an event, after which the account is worth what its statement of the day says."""
        said = await self.world.statement_of(self.number, on)
        worth = said.totals.value_minor
        self.rows.append(
            Row(on.isoformat(), what, self.world.major(worth - self.worth), self.world.major(worth), figures)
        )
        self.worth = worth

    # -- money in

    async def others_save(self, minor: int) -> None:
        """Somebody else saves: the bank holds more than one member's money, out of which it pays what interest promised."""
        born = self.facts["born_on"]
        joined = await self.world.join(born_on=born, number=self.world.new_number(born), name="Kofi Invented")
        answer = done(joined)
        assert isinstance(answer, Enrolled)
        await self._pay_in(answer.number, minor)

    async def strangers_pay(self, minor: int) -> None:
        """A payment that is nobody's waits: where nobody may pay in much, it is what the bank holds beside the member's money."""
        await self._pay_in(self.world.country.nobody, minor)

    async def save(self, minor: int) -> None:
        """A payment, which the bank's statement of the day shows."""
        await self._pay_in(self.number, minor)

    async def _pay_in(self, number: str, minor: int) -> None:
        self.serial += 1
        reference = f"LIFE{self.serial:05d}"
        (answer,) = await self.world.pay(self.world.payment(number, minor, reference, reference))
        assert isinstance(answer, Receipt), answer
        self.world.bank.credit(minor, end_to_end_id=reference, text=reference)
        await self.world.take_from_bank()

    async def earn(self, year: int, percent: str) -> None:
        """Two people declare the rate of the year that begins in a year; its interest is credited."""
        begins = date(year, self.year_begins, 1)
        await self.world.declare(self.series, begins, percent, CHECKER)
        report = done(await self.world.credit_interest(begins))
        assert isinstance(report, InterestReport)
        assert not report.waiting, report

    async def match(self, year: int) -> int:
        """Claim the state money of the year that began in a year, have it come and share it; return what came."""
        answer = await self.world.prepare_match(date(year, self.year_begins, 1))
        if isinstance(answer, NothingToClaim):
            return 0
        claim = done(answer)
        assert isinstance(claim, MatchClaim)
        done(await self.world.send_match(claim.claim_no, claim.digest, CHECKER))
        reference = f"STATE{year}"
        done(await self.world.receive_match(claim.claim_no, claim.total, reference))
        self.world.bank.credit(claim.total, end_to_end_id=reference, text=reference)
        await self.world.take_from_bank()
        shared = done(await self.world.share_match(claim.claim_no))
        assert isinstance(shared, ClaimShared)
        return claim.total

    # -- money out

    async def most(self, rule: str) -> str:
        """Return what a way to take money gives now, as the member is told."""
        world, member = self.world, await self.member()
        async with world.unit() as session:
            stands = await benefits.standing_of(session, world.keys, world.tenant, member, actor=MAKER)
        year_of = world.tenant.product(member.product).scheme_year
        ways = available(stands.terms, stands.claimant, stands.figures, year_of, world.tenant.asset)
        (way,) = [one for one in ways if one.rule.id == rule]
        assert way.minor is not None, way
        return world.major(way.minor)

    async def claim(self, kind: ClaimKind, request: Request, minor: int | None = None) -> ClaimRow:
        """Ask for something, and have it granted."""
        self.serial += 1
        asked = done(
            await self.world.claim(await self.member(), kind, minor=minor, key=f"claim{self.serial}", request=request)
        )
        assert isinstance(asked, ClaimRow)
        assert asked.state == "decided", asked
        done(await self.world.approve_claim(asked.claim_id, asked.digest, CHECKER))
        return await self.world.find_claim(asked.claim_id)

    async def pay_out(self, claim: ClaimRow) -> str:
        """Pay a claim that is payable to the member's bank account; return how much."""
        amounts = sums([(one.pot, one.origin, one.minor) for one in claim.parts if not one.is_forfeited])
        net = claim.amount - claim.tax
        if sum(amounts.values()) != net:  # what was sold brought something else, or bears a tax
            amounts = {next(iter(amounts)): net}
        payout = done(await self.world.instruct(claim, amounts, "0012345"))
        assert isinstance(payout, Payout)
        done(await self.world.approve_payout(payout, payout.digest, CHECKER))
        await self.send()
        return payout.amount

    async def send(self) -> None:
        """Send the bank what is approved; it pays."""
        await self.world.file_payouts()
        await self.world.take_from_bank()
        await self.world.take_from_bank()

    async def name_account(self, claim: int) -> None:
        """Name the account that a pension goes to."""
        account = AccountGiven(rail="bank", number="0012345", holder="Ama Invented", is_verified=True)
        async with self.world.unit() as session:
            await benefits.name_payee(
                session, self.world.keys, self.world.tenant, claim, Payee(accounts=(account,)), actor=MAKER
            )

    async def pay_month(self, on: date) -> str:
        """A payroll, approved by another person and paid by the bank; return what it paid."""
        world = self.world
        run = await benefits.propose_payroll(
            world.db, world.tenant, world.country.product, on.replace(day=1), actor=MAKER
        )
        await benefits.approve_payroll(world.db, world.tenant, run.row.run_no, digest=run.row.digest, actor=CHECKER)
        while await benefits.carry_on_payrolls(world.db, world.keys, world.tenant, world.payers):
            pass
        await self.send()
        async with world.unit() as session:
            found = await benefits.find_payroll(session, run.row.run_no)
        assert found.row.state == "done", found
        assert found.fates.keys() <= {"succeeded"}, found.fates
        return world.major(found.totals.paying)

    async def die(self, died_on: date) -> None:
        """A register reports the death."""
        await self.world.die((await self.member()).member_id, died_on)
        await self.world.carry_on()

    async def approve_death(self) -> ClaimRow:
        """Approve the claim that a death opened, or money that came after it; return it."""
        await self.world.carry_on()
        (claim,) = [one for one in await self.world.death_claims() if one.state == "decided"]
        done(await self.world.approve_claim(claim.claim_id, claim.digest, CHECKER))
        return claim

    async def pay_heirs(self, claim: ClaimRow) -> list[str]:
        """Pay each of the heirs what is due; return how much."""
        paid = []
        for heir in self.heirs:
            await self.world.document_heir(claim.claim_id, heir)
            payout = done(await self.world.pay_heir(claim.claim_id, heir, f"009876{heir}"))
            assert isinstance(payout, Payout)
            done(await self.world.approve_payout(payout, payout.digest, CHECKER))
            paid.append(payout.amount)
        await self.send()
        return paid

    # -- steps of any life

    async def saved(self, minor: int, on: date) -> None:
        await self.save(minor)
        await self.tell(on, "paid")

    async def year_ended(self, year: int, percent: str, on: date) -> None:
        await self.earn(year, percent)
        await self.tell(on, "interest", percent=percent)

    async def died(self, on: date) -> None:
        await self.die(self.facts["died_on"])
        await self.tell(on, "died")

    async def inherited(self, on: date) -> None:
        first, second = await self.pay_heirs(await self.approve_death())
        await self.tell(on, "inherited", first=first, second=second)


class UnitLife(Life):
    """A life in a scheme of one fund; `dealt` counts the prices that were published."""

    dealt = 0

    async def deal(self, on: date) -> None:
        """Close the day's dealing, and price it by the next day's price; managers and the bank pay."""
        world, ((fund, _),) = self.world, self.world.country.funds
        await world.to(on, at=_EVENING)
        done(await world.deal())
        await world.to(on + DAY)
        if self.dealt:
            moves = self.facts["moves_bp"]
            world.prices[fund] = world.prices[fund] * (10_000 + moves[(self.dealt - 1) % len(moves)]) // 10_000
        else:
            world.prices[fund] = int(self.facts["first_price"].replace(".", ""))
        self.dealt += 1
        done(await world.price())
        done(await world.deal())
        await world.managers_pay()
        await world.take_from_bank()
        await world.carry_on_claims()  # a life does the rest in steps of its own
        price = world.prices[fund]
        await self.tell(on + DAY, "dealt", price=f"{price // 10_000}.{price % 10_000:04d}")

    async def sold(self, claim: ClaimRow) -> tuple[ClaimRow, str]:
        """Pay out what a claim's units brought; return the claim, and how much was paid."""
        found = await self.world.find_claim(claim.claim_id)
        assert found.state == "payable", found
        return found, await self.pay_out(found)

    def deals(self) -> list[date]:
        """Return the dealing days, the last when the death is known, or money that came after it is shared."""
        joined, last = self.facts["joins_on"], self.facts.get("late_money_on", self.facts["reported_on"])
        years = range(joined.year, last.year + 1)
        days = [weekday(date(year, *map(int, day.split("-")))) for year in years for day in self.facts["deals"]]
        return [one for one in days if joined < one <= weekday(last)]

    # -- steps of any life in units

    async def left(self, on: date) -> None:
        """The death is known; all units are sold, and the heirs paid."""
        await self.die(self.facts["died_on"])
        await self.left_more(on)

    async def left_more(self, on: date) -> None:
        """What is there, or came after the death, is sold, and the heirs paid."""
        claim = await self.approve_death()
        await self.deal(on)
        first, second = await self.pay_heirs(claim)
        await self.tell(on + DAY, "inherited", first=first, second=second)


def weekday(day: date) -> date:
    """Return the day, or the Monday after a weekend."""
    return day + timedelta(days=7 - day.weekday()) if day.weekday() > 4 else day


def minor(amount: str) -> int:
    """Return an amount with all its decimals as smallest units."""
    return int(amount.replace(".", ""))


def done(answer: Answered | EngineError) -> Answered:
    """Return what was not refused."""
    assert not isinstance(answer, EngineError), (type(answer).__name__, answer.details)
    return answer


def days_of(saving: Sequence[Mapping[str, Any]]) -> Iterator[tuple[date, str]]:
    """Yield (day, amount) of each payment; 29 February is the 28th where there is none."""
    for phase in saving:
        for year in range(phase["from"], phase["until"] + 1):
            for day in phase["days"]:
                month, number = map(int, day.split("-"))
                is_leap = year % 4 == 0
                yield date(year, month, min(number, 28) if month == 2 and not is_leap else number), phase["amount"]


def rate_of(rates: Mapping[str, str], year: int) -> str:
    """Return the rate of a year: the one named last."""
    return rates[max(one for one in rates if int(one) <= year)]


def by_hand(pack: str) -> list[Row]:
    """Return the life as the script makes it, run with none of our folders in reach."""
    made = subprocess.run(
        [sys.executable, "-I", "-S", str(LIVES.parent / f"life_{pack}.py"), "--json"], check=True, capture_output=True
    )
    return [Row(**one) for one in json.loads(made.stdout)]
