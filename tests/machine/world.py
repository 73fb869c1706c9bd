"""A whole scheme under hand: a real pack, a bank and a fund manager, and what people and counterparties do to them."""

import asyncio
import itertools
import secrets
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

from msgspec import structs
from sqlalchemy.ext.asyncio import AsyncSession

from engine.app import LAWS
from engine.audit import service as audit
from engine.benefits import service as benefits
from engine.benefits.queries.claiming import ClaimRow, Request
from engine.benefits.rules import ClaimKind
from engine.benefits.rules.paying import AccountGiven, Payee, Payout
from engine.benefits.service import BankRail, Payers
from engine.closing import service as closing
from engine.contributions import service as contributions
from engine.contributions.queries.matching import MatchClaim
from engine.contributions.rules import Payment, Receipt
from engine.contributions.service import Intake
from engine.enrolment import service as enrolment
from engine.enrolment.rules import Application, ConsentGiven, DocumentGiven, NomineeGiven
from engine.enrolment.service import Enrolled, Enrolment
from engine.funds import service as funds
from engine.identity.ports import SocialClass
from engine.identity.rules import MemberRef
from engine.kernel.errors import EngineError
from engine.ledger import service as ledger
from engine.ledger.rules import Offence
from engine.reconciliation import service as reconciliation
from engine.reports.rules.statements import Statement
from engine.reports.service import statement
from engine.runtime.database import Database
from engine.runtime.exchanges.engine import Exchanges
from engine.runtime.key_file import FileKeyStore
from engine.tenancy import service as tenancy
from engine.tenancy.service import Tenant, advance_clock
from integrations.banking.camt.adapter import CamtStatements
from integrations.banking.file_drops.simulator import DropSite
from integrations.banking.pain.adapter import PainFiles
from integrations.banking.simulation.bank import SimulatedBank
from tests.engine.funds.conftest import Adapter
from tests.factories.schemes import serve
from tests.factories.suspense import give

MAKER, CHECKER, CLERK = "staff:1", "staff:2", "staff:3"
DONE = "done"
Answered = TypeVar("Answered")
_person = itertools.count(secrets.randbelow(10**6) * 100)


@dataclass(frozen=True)
class Country:
    """What the machine must know of a pack to play its people, bank and manager."""

    pack: str
    product: str
    channel: str
    account: str
    document: str
    number: str
    consents: tuple[str, ...]
    funds: tuple[tuple[str, str], ...] = ()
    rules: str = ""
    later: Mapping[str, str] = field(
        default_factory=dict
    )  # further rules, by the day (or product/day) they are in force from
    group: str = ""
    applied: Mapping[str, Any] = field(default_factory=dict)  # what else an application says
    nobody: str = "5999999999"
    opens: datetime = datetime(2023, 4, 3, 8, 0, tzinfo=UTC)


@dataclass
class World:
    """One scheme, and counts of what was tried and what came of it."""

    db: Database
    keys: FileKeyStore
    tenant: Tenant
    country: Country
    bank: SimulatedBank
    payers: Payers
    counts: Counter[tuple[str, str]]
    now: datetime
    prices: dict[str, int] = field(default_factory=dict)
    bought: set[str] = field(default_factory=set)
    sold: set[str] = field(default_factory=set)

    @classmethod
    async def open(cls, db: Database, folder: Path, country: Country, counts: Counter[tuple[str, str]]) -> "World":
        """Make a tenant of its own on the pack."""
        added = {country.product: country.rules} if country.rules else {}
        added |= {day if "/" in day else f"{country.product}/{day}": rules for day, rules in country.later.items()}
        tenant = await serve(db, folder, country.pack, start=country.opens, rules=added, scenarios=not country.later)
        return cls.on(db, folder, tenant, country, counts)

    @classmethod
    def on(
        cls, db: Database, folder: Path, tenant: Tenant, country: Country, counts: Counter[tuple[str, str]]
    ) -> "World":
        """The world of a tenant that is served."""
        keys = FileKeyStore(folder / "keys.toml")
        bank = SimulatedBank(
            site=DropSite(folder / "bank"),
            account=country.account,
            currency=tenant.asset,
            today=country.opens.date(),
        )
        rail = BankRail(
            pays_from=country.channel, holder="A Scheme", number=country.account, bank="HDFCINBB", sender="SCHEME"
        )
        payers = Payers(Exchanges(db, keys, {}, lambda *_: ""), banks={"bank": rail})
        return cls(db, keys, tenant, country, bank, payers, counts, country.opens)

    def unit(self) -> AbstractAsyncContextManager[AsyncSession]:
        """A transaction of the scheme."""
        return self.db.unit_of_work(self.tenant.tenant_id)

    async def attempt(self, operation: str, doing: Awaitable[Answered]) -> Answered | EngineError:
        """Do something, and count what came of it; a refusal is an answer, anything else fails the test."""
        try:
            answer = await doing
        except EngineError as refused:
            self.counts[operation, refused.code] += 1
            return refused
        if isinstance(answer, EngineError):
            self.counts[operation, answer.code] += 1
            return answer
        self.counts[operation, DONE] += 1
        return answer

    async def within(
        self, operation: str, doing: Callable[[AsyncSession], Awaitable[Answered]]
    ) -> Answered | EngineError:
        """Do something in a transaction of its own, and count what came of it."""

        async def one() -> Answered:
            async with self.unit() as session:
                return await doing(session)

        return await self.attempt(operation, one())

    async def read(self, reading: Callable[[AsyncSession], Awaitable[Answered]]) -> Answered:
        """Return what a query finds."""
        async with self.unit() as session:
            return await reading(session)

    # -- people

    def application(self, *, born_on: date, number: str, name: str) -> Application:
        texts = {one: self.tenant.pack.consent(one, "en") for one in self.country.consents}
        application = Application(
            product=self.country.product,
            full_name=name,
            born_on=born_on,
            sex="female",
            documents=(DocumentGiven(self.country.document, number),),
            group=self.country.group,
            language="en",
            nominees=(
                NomineeGiven(full_name="Abena Invented", relationship="child", share_bp=6_000),
                NomineeGiven(full_name="Kofi Invented", relationship="child", share_bp=4_000),
            ),
            consents=tuple(
                ConsentGiven(consent=one, language="en", version=text.version, channel="agent")
                for one, text in texts.items()
                if text is not None
            ),
        )
        return structs.replace(application, **self.country.applied)

    def new_number(self, born_on: date) -> str:
        """Return a document's number that nobody has; some say the year of birth."""
        return self.country.number.format(serial=next(_person) % 10**7, year=born_on.year)

    async def join(self, *, born_on: date, number: str, name: str) -> Enrolled | EngineError:
        sent = Enrolment(secrets.token_hex(8), self.application(born_on=born_on, number=number, name=name))

        async def one() -> Enrolled | EngineError:
            (answer,) = await enrolment.enrol(self.db, self.tenant, self.keys, [sent], actor="partner:1")
            return answer

        return await self.attempt("join", one())

    async def member(self, number: str) -> MemberRef:
        async with self.unit() as session:
            return await enrolment.find_member(session, self.keys, number)

    # -- money in

    def major(self, minor: int) -> str:
        """Return smallest units as a decimal string."""
        scale = self.tenant.asset.scale
        return f"{Decimal(minor).scaleb(-scale):.{scale}f}"

    def payment(self, member: str, minor: int, reference: str, key: str) -> Payment:
        return Payment(
            member=member,
            amount=self.major(minor),
            currency=self.tenant.asset.symbol,
            channel=self.country.channel,
            reference=reference,
            sent_by="partner:1",
            key=key,
        )

    async def pay(self, *payments: Payment) -> list[Receipt | EngineError]:
        """Send payments at the same moment, each by a connection of its own."""

        async def one(payment: Payment) -> Receipt | EngineError:
            (answer,) = await Intake(self.db, self.keys).receive_many(self.tenant, [payment])
            return answer

        return list(await asyncio.gather(*(self.attempt("pay", one(payment)) for payment in payments)))

    async def reverse(self, receipt: int) -> contributions.Reversal | EngineError:
        async def propose() -> contributions.Reversal:
            async with self.unit() as session:
                return await contributions.propose_reversal(
                    session, self.tenant, receipt, reason="paid-by-mistake", actor=MAKER
                )

        return await self.attempt("propose reversal", propose())

    async def confirm_reversal(self, receipt: int, digest: str, actor: str) -> contributions.Reversal | EngineError:
        return await self.attempt(
            "confirm reversal",
            contributions.confirm_reversal(self.db, self.keys, self.tenant, receipt, digest=digest, actor=actor),
        )

    async def find_reversal(self, receipt: int) -> contributions.Reversal:
        async with self.unit() as session:
            return await contributions.find_reversal(session, self.tenant, receipt)

    async def resolve(self, receipt: int, member: str) -> Receipt | EngineError:
        async def one() -> Receipt:
            return await give(self.db, self.keys, self.tenant, receipt, member=member, maker=MAKER, checker=CHECKER)

        return await self.attempt("resolve suspense", one())

    # -- days

    async def to(self, day: date, at: time = time(8)) -> None:
        self.now = datetime.combine(day, at, UTC)
        async with self.unit() as session:
            await advance_clock(session, self.tenant, self.now, "development")

    async def take_from_bank(self) -> int:
        """End the bank's day; take in its reports and its statement. Return the number of files."""
        await self.pay_managers()
        self.bank.take_files()
        self.bank.today = self.now.date()
        self.bank.end_day()
        taken = 0
        for path in sorted(self.bank.site.for_us.iterdir()):
            raw = path.read_bytes()
            taken += 1
            if path.name.startswith("report"):
                await self.attempt(
                    "read report",
                    benefits.read_report(self.db, self.keys, self.tenant, PainFiles(), raw, path.name, actor=CLERK),
                )
            else:
                for _ in range(2):  # the same bytes twice change nothing
                    await self.attempt("import statement", self.show(raw, path.name))
            path.unlink()
        await benefits.settle_payouts(self.db, self.keys, self.tenant)
        return taken

    def show(self, raw: bytes, name: str) -> Awaitable[reconciliation.StatementReport]:
        return reconciliation.import_statement(
            self.db, self.tenant, self.keys, CamtStatements(), raw, name, self.country.channel, CLERK
        )

    async def deal(self) -> funds.DealingReport | EngineError:
        return await self.attempt("deal", funds.run_dealing(self.db, self.tenant, self.now.date(), CHECKER))

    async def pay_managers(self) -> None:
        """The bank pays the managers for every order that it has not paid yet."""
        async with self.unit() as session:
            dealings = await funds.list_dealings(session, most=10)
        for order in (one for orders in dealings for one in orders if one.fund and one.amount):
            reference = f"{self.tenant.code}-{order.dealing_id}-{order.fund}"
            if reference not in self.bought:
                self.bought.add(reference)
                assert order.amount
                self.bank.debit(order.amount, end_to_end_id=reference, text=reference)

    async def price(self) -> funds.PriceImport | EngineError:
        """Take in today's prices."""
        day = self.now.date()
        rows = [f"#{day}", *(f"{fund},{price / 10_000:.4f}" for fund, price in self.prices.items())]
        return await self.attempt(
            "import prices",
            funds.import_prices(
                self.db,
                self.tenant,
                Adapter(dict(self.country.funds)),
                "\n".join(rows).encode(),
                f"{day}.csv",
                day,
                MAKER,
            ),
        )

    async def approve_price(self, fund: str, actor: str) -> object:
        async def one() -> object:
            async with self.unit() as session:
                return await funds.approve_price(session, self.tenant, fund, self.now.date(), actor)

        return await self.attempt("approve price", one())

    async def reject_price(self, fund: str, actor: str) -> object:
        return await self.within(
            "reject price",
            lambda session: funds.reject_price(session, self.tenant, fund, self.now.date(), actor=actor),
        )

    async def managers_pay(self) -> int:
        """The managers' money of all sales comes to the bank; return how many sales."""
        async with self.unit() as session:
            waiting = await funds.unsettled_sales(session)
        for sale in (one for one in waiting if one.reference not in self.sold):
            self.sold.add(sale.reference)
            self.bank.credit(sale.amount, text=sale.reference, end_to_end_id=sale.reference)
        return len(waiting)

    async def carry_on_claims(self) -> None:
        """What workers do by themselves of claims, payments taken back and deaths."""
        await benefits.carry_on_claims(self.db, self.tenant)
        await contributions.carry_on_reversals(self.db, self.keys, self.tenant)
        await benefits.follow_deaths(self.db, self.keys, self.tenant)

    async def carry_on(self) -> None:
        """What workers do by themselves."""
        await self.carry_on_claims()
        await benefits.carry_on_fees(self.db, self.tenant)
        await funds.carry_on_switches(self.db, self.tenant)
        await funds.carry_on_corrections(self.db, self.tenant)
        await funds.carry_on_actions(self.db, self.tenant)
        await benefits.take_transfers_in(self.db, self.keys, self.tenant)
        await benefits.follow_merged(self.db, self.tenant)
        await benefits.take_repayments(self.db, self.keys, self.tenant)
        await benefits.follow_loans(self.db, self.tenant)
        await benefits.carry_on_moves(self.db, self.tenant)
        await benefits.lapse_covers(self.db, self.tenant)
        await benefits.carry_on_payrolls(self.db, self.keys, self.tenant, self.payers)

    async def close(self) -> object:
        return await self.attempt(
            "close of business", closing.close_business(self.db, self.keys, self.tenant, actor=CLERK)
        )

    # -- the state's money, and interest

    async def classify(self, document: str, name: str) -> object:
        """A social register tells a household's class."""
        told = SocialClass(
            registry="register",
            identifiers={self.country.document: document},
            name=name,
            as_of=self.now.date(),
        )

        async def one() -> int:
            async with self.unit() as session:
                return await enrolment.receive_classes(session, self.keys, self.tenant, [told])

        return await self.attempt("tell class", one())

    async def declare(self, series: str, effective: date, percent: str, actor: str) -> object:
        """Put a rate forward, and accept it as `actor`."""
        raw = (
            "effective_from,published_on,value,source,confidence\n"
            f"{effective},{self.now.date()},{percent},Invented,high\n"
        )

        async def propose() -> list[int]:
            async with self.unit() as session:
                made = await tenancy.propose_figures(
                    session, self.tenant, series, raw.encode(), name="rates.csv", actor=MAKER
                )
            return list(made.proposed)

        async def accept(point: int) -> object:
            async with self.unit() as session:
                return await tenancy.accept_figure(session, self.tenant, point, actor=actor)

        proposed = await self.attempt("propose figure", propose())
        if isinstance(proposed, EngineError) or not proposed:
            return proposed
        return await self.attempt("accept figure", accept(proposed[0]))

    async def credit_interest(self, on: date) -> funds.InterestReport | EngineError:
        return await self.attempt(
            "credit interest",
            funds.credit_interest(self.db, self.tenant, self.country.product, on, CLERK),
        )

    async def prepare_match(self, on: date) -> MatchClaim | EngineError:
        async def one() -> MatchClaim:
            async with self.unit() as session:
                found = await contributions.prepare_claim(session, self.tenant, self.country.product, on, actor=MAKER)
            if isinstance(found, EngineError):
                raise found
            return found

        return await self.attempt("prepare match claim", one())

    async def send_match(self, claim: int, digest: str, actor: str) -> MatchClaim | EngineError:
        async def one() -> MatchClaim:
            async with self.unit() as session:
                return await contributions.send_claim(session, self.tenant, claim, digest, actor=actor)

        return await self.attempt("send match claim", one())

    async def receive_match(self, claim: int, minor: int, reference: str) -> MatchClaim | EngineError:
        async def one() -> MatchClaim:
            async with self.unit() as session:
                return await contributions.receive_match(
                    session, self.tenant, claim,
                    amount=self.major(minor), channel=self.country.channel, reference=reference, actor=MAKER,
                )  # fmt: skip

        return await self.attempt("receive match", one())

    async def share_match(self, claim: int) -> contributions.ClaimShared | EngineError:
        async def one() -> contributions.ClaimShared:
            async with self.unit() as session:
                return await contributions.share_match(session, self.tenant, claim, actor=MAKER)

        return await self.attempt("share match", one())

    async def match_claims(self) -> list[MatchClaim]:
        async with self.unit() as session:
            return await contributions.list_claims(session)

    # -- money out

    async def claim(
        self, member: MemberRef, kind: ClaimKind, *, minor: int | None, key: str, request: Request
    ) -> ClaimRow | EngineError:
        async def one() -> ClaimRow:
            async with self.unit() as session:
                return await benefits.open_claim(
                    session, self.keys, self.tenant, member,
                    kind=kind, request=request, minor=minor, key=key, actor=MAKER,
                )  # fmt: skip

        answer = await self.attempt(f"claim {kind}", one())
        if isinstance(answer, ClaimRow) and answer.state == "refused":
            self.counts[f"claim {kind}", answer.reason] += 1
        return answer

    async def approve_claim(self, claim: int, digest: str, actor: str) -> ClaimRow | EngineError:
        return await self.attempt(
            "approve claim", benefits.approve_claim(self.db, self.tenant, claim, digest=digest, actor=actor)
        )

    async def reject_claim(self, claim: int, digest: str, actor: str) -> ClaimRow | EngineError:
        async def one() -> ClaimRow:
            async with self.unit() as session:
                return await benefits.reject_claim(session, self.tenant, claim, digest=digest, actor=actor)

        return await self.attempt("reject claim", one())

    async def refuse_payout(self, payout: Payout, actor: str) -> Payout | EngineError:
        async def one() -> Payout:
            async with self.unit() as session:
                return await benefits.refuse(session, self.keys, self.tenant, payout.id, actor=actor)

        return await self.attempt("refuse payout", one())

    async def find_payout(self, payout: Payout) -> Payout:
        async with self.unit() as session:
            return await benefits.find_payout(session, self.keys, self.tenant, payout.id, actor=CLERK)

    async def refund(self, receipt: int) -> Payout | EngineError:
        async def one() -> Payout:
            async with self.unit() as session:
                return await benefits.refund(
                    session, self.keys, self.tenant, receipt=receipt,
                    account=AccountGiven(rail="bank", number="0055555"), name="Somebody Invented", actor=MAKER,
                )  # fmt: skip

        return await self.attempt("refund suspense", one())

    async def find_claim(self, claim: int) -> ClaimRow:
        async with self.unit() as session:
            return await benefits.find_claim(session, claim)

    async def death_claims(self) -> list[ClaimRow]:
        async with self.unit() as session:
            return [one for one in await benefits.list_claims(session) if one.kind == "death"]

    async def instruct(self, claim: ClaimRow, amounts: dict[tuple[str, str], int], number: str) -> Payout | EngineError:
        async def one() -> Payout:
            async with self.unit() as session:
                return await benefits.instruct(
                    session, self.keys, self.tenant,
                    member_id=claim.member_id, product=claim.product, amounts=amounts, payee=_payee(number),
                    source=f"claim:{claim.claim_id}", actor=MAKER,
                )  # fmt: skip

        return await self.attempt("instruct payout", one())

    async def document_heir(self, claim: int, heir: int) -> object:
        async def one() -> object:
            async with self.unit() as session:
                return await benefits.document_heir(
                    session, self.tenant, claim, heir, {"identity": "5" * 64}, actor=MAKER
                )

        return await self.attempt("document heir", one())

    async def pay_heir(self, claim: int, heir: int, number: str) -> Payout | EngineError:
        async def one() -> Payout:
            async with self.unit() as session:
                return await benefits.pay_heir(
                    session,
                    self.keys,
                    self.tenant,
                    claim,
                    heir,
                    payee=_payee(number, holder="Abena Invented", documents=("proof-of-new-account",)),
                    actor=MAKER,
                )

        return await self.attempt("pay heir", one())

    async def approve_payout(self, payout: Payout, digest: str, actor: str) -> Payout | EngineError:
        async def one() -> Payout:
            async with self.unit() as session:
                return await benefits.approve(
                    session, self.keys, self.tenant, self.payers, payout.id,
                    digest=digest, actor=actor, name_seen=True,
                )  # fmt: skip

        return await self.attempt("approve payout", one())

    async def file_payouts(self) -> None:
        """Put what is approved into a file, and leave it with the bank."""
        made = await self.attempt(
            "file payouts",
            benefits.file_payouts(self.db, self.keys, self.tenant, self.payers, PainFiles(), rail="bank", actor=CLERK),
        )
        if isinstance(made, benefits.PayoutFile):
            (self.bank.site.from_us / made.name).write_bytes(made.raw)

    async def die(self, member_id: int, on: date) -> object:
        async def one() -> None:
            async with self.unit() as session:
                await enrolment.report_death(
                    session, self.keys, self.tenant, member_id,
                    died_on=on, record=secrets.token_hex(8), actor=CLERK, registry="crvs",
                )  # fmt: skip

        return await self.attempt("report death", one())

    # -- what must hold

    async def statement_of(self, number: str, as_of: date) -> Statement:
        async with self.unit() as session:
            member = await enrolment.find_member(session, self.keys, number)
            return await statement(session, self.tenant, member, number=number, as_of=as_of)

    async def offences(self) -> list[Offence]:
        async with self.unit() as session:
            return list(await ledger.check(session, LAWS))

    async def export(self, out: Path) -> audit.Report:
        """Append what was posted to the log, export it, and verify the package."""
        await audit.append(self.db, self.keys, self.tenant.tenant_id, "machine/log")
        await audit.export(self.db, self.keys, self.tenant.tenant_id, out)
        return audit.verify_package(out)

    async def proof(self) -> reconciliation.DayProof:
        async with self.unit() as session:
            return await reconciliation.prove_day(session, self.tenant, self.now.date())


def _payee(number: str, *, holder: str = "Ama Invented", documents: tuple[str, ...] = ()) -> Payee:
    account = AccountGiven(rail="bank", number=number, holder=holder, is_verified=True, documents=documents)
    return Payee(accounts=(account,))


def dealing_days(start: date) -> Iterator[date]:
    """Yield weekdays after a day."""
    day = start
    while True:
        day += timedelta(days=1)
        if day.weekday() < 5:
            yield day


def sums(parts: Sequence[tuple[str, str, int]]) -> dict[tuple[str, str], int]:
    """Add amounts by pot and origin."""
    found: dict[tuple[str, str], int] = {}
    for pot, origin, minor in parts:
        found[pot, origin] = found.get((pot, origin), 0) + minor
    return found
