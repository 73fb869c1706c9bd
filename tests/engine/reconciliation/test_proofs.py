"""Statements of other formats, later versions, money that goes out, and the proof of a day, in PostgreSQL."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from engine.contributions import service as contributions
from engine.funds import service as funds
from engine.kernel.amounts import Asset
from engine.kernel.files import FileRefused
from engine.kernel.fund_orders import Holding, HoldingsFile
from engine.kernel.statements import Side, Statement, StatementFile, StatementKind, StatementLine
from engine.reconciliation import service
from engine.reconciliation.errors import UnreadableHoldings, UnreadableStatement
from engine.reconciliation.service import AccountProof, DayProof
from tests.engine.funds.conftest import PRODUCT, Scheme
from tests.engine.funds.test_acting import FUND, cash, paying
from tests.engine.funds.test_selling import progress, sell

INR = Asset.currency("INR")
ACCOUNT = "NPS TRUST COLLECTION UPI"
DAY = date(2023, 4, 3)


def line(amount: int, reference: str = "", *, e2e: str = "", row: int = 2, day: date = DAY) -> StatementLine:
    side = Side.CREDIT if amount > 0 else Side.DEBIT
    return StatementLine(row, side, abs(amount), day, day, bank_ref=reference, end_to_end_id=e2e)


def statement(*lines: StatementLine, opening: int | None = 0, day: date = DAY, **more: Any) -> Statement:
    total = sum(one.movement for one in lines)
    given: dict[str, Any] = {
        "kind": StatementKind.STATEMENT, "account": ACCOUNT, "currency": INR, "lines": lines, "opening": opening,
        "closing": None if opening is None else opening + total, "opened_on": day, "closed_on": day,
    }  # fmt: skip
    return Statement(**given | more)


class Told:
    """A source whose files say what the test says; the bytes are their names."""

    def __init__(self, *statements: Statement) -> None:
        self.statements = statements

    def read(self, raw: bytes, name: str) -> StatementFile:
        import hashlib

        return StatementFile(name, hashlib.sha256(raw).hexdigest(), self.statements)


async def take(scheme: Scheme, name: str, *statements: Statement, account: str = "upi") -> service.StatementReport:
    return await service.import_statement(
        scheme.db, scheme.tenant, scheme.keys, Told(*statements), name.encode(), name, account, "staff:3"
    )


async def prove(scheme: Scheme, on: date = DAY) -> DayProof:
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        return await service.prove_day(session, scheme.tenant, on)


async def upi(scheme: Scheme, on: date = DAY) -> AccountProof:
    (found,) = [one for one in (await prove(scheme, on)).accounts if one.account == "upi"]
    return found


def items(proof: AccountProof) -> dict[str, tuple[int, str]]:
    return {one.kind: (one.count, one.amount) for one in proof.items}


async def test_a_receipt_is_known_by_either_reference(scheme: Scheme) -> None:
    first, second = await scheme.members(["first", "first"])
    await scheme.receive([(first, {"retirement": 100}, "E2E-1"), (second, {"retirement": 200}, "BANK-2")])
    report = await take(
        scheme, "a", statement(line(100, "BANK-1", e2e="E2E-1"), line(200, "BANK-2", e2e="E2E-2", row=3))
    )
    assert (report.matched, report.unmatched, report.gap) == (2, 0, False)
    assert not await scheme.broken()


async def test_several_statements_of_a_file_and_lines_of_one_row(scheme: Scheme) -> None:
    later = date(2023, 4, 4)
    await scheme.clock("2023-04-04T04:30:00")
    report = await take(
        scheme, "a", statement(line(100, "A"), line(-3, "A")), statement(line(5, "B", day=later), opening=97, day=later)
    )
    assert (report.line_count, report.total, report.unmatched) == (3, "1.02", 3)
    assert [(one.line, one.row, one.amount, one.reason, one.age_days) for one in report.breaks] == [
        (1, 2, "1.00", "no-receipt", 1),
        (2, 2, "-0.03", "money-out", 1),
        (2, 2, "0.05", "no-receipt", 0),
    ]
    again = await take(scheme, "a", statement(line(100, "A")))
    assert again.first_imported_at is not None
    assert await scheme.rows("select count(*) from statement_lines") == [(3,)]


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        (statement(account="SOMEBODY ELSE"), "account"),
        (statement(kind=StatementKind.INTRADAY), "statement"),
        (statement(currency=Asset.currency("KES")), "currency"),
        (statement(line(1, "A", day=date(2023, 4, 4))), "date"),
    ],
)
async def test_what_is_not_ours_or_not_final_is_refused_whole(scheme: Scheme, wrong: Statement, field: str) -> None:
    with pytest.raises(UnreadableStatement) as refusal:
        await take(scheme, "a", statement(line(100, "A")), wrong)
    assert refusal.value.details["field"] == field
    assert not await scheme.rows("select 1 from statements")


async def test_a_gap_between_statements_is_told_until_the_missing_one_comes(scheme: Scheme) -> None:
    days = [date(2023, 4, one) for one in (3, 4, 5)]
    await scheme.clock("2023-04-05T04:30:00")
    made = [
        statement(line(100 + at, f"R{at}", day=day), opening=sum(range(100, 100 + at)), day=day)
        for at, day in enumerate(days)
    ]
    assert (await take(scheme, "a", made[0])).gap is False
    assert (await take(scheme, "c", made[2])).gap is True
    assert (await upi(scheme, days[2])).unexplained == "1.01"
    assert (await take(scheme, "b", made[1])).gap is False
    assert (await take(scheme, "c", made[2])).gap is False
    assert (await upi(scheme, days[2])).unexplained == "0.00"


async def test_a_later_version_brings_what_is_new_and_withdraws_what_is_gone(scheme: Scheme) -> None:
    members = await scheme.members(["first"] * 3)
    await scheme.receive([(one, {"retirement": 100 + at}, f"R{at}") for at, one in enumerate(members)])
    first = statement(line(100, "R0"), line(101, "R1", row=3), line(7, "X", row=4), number=9)
    await take(scheme, "v1", first)
    lines = (line(100, "R0"), line(102, "R2", row=3), line(8, "Y", row=4))
    report = await take(scheme, "v2", statement(*lines, number=9))
    # R0 is matched and stays; R1 is matched and gone: a break; X was open and goes; R2 and Y come.
    assert report.corrects > 0
    assert (report.line_count, report.withdrawn, report.matched, report.unmatched) == (2, 2, 1, 1)
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        breaks = await service.list_breaks(session, scheme.tenant)
    assert [(one.amount, one.reason) for one in breaks] == [("1.01", "withdrawn"), ("0.08", "no-receipt")]
    assert not await scheme.broken()
    proof = await upi(scheme)
    assert proof.closing == "2.10"
    assert items(proof) == {"in-not-booked": (1, "0.08"), "withdrawn-receipt": (1, "-1.01")}
    assert proof.unexplained == "0.00"
    third = await take(scheme, "v3", statement(*lines, number=9, reference="again"))
    assert (third.line_count, third.withdrawn, third.unmatched) == (1, 1, 1)
    assert not await scheme.broken()
    assert (await upi(scheme)).unexplained == "0.00"


async def test_statements_without_number_and_reference_are_no_versions_of_each_other(scheme: Scheme) -> None:
    await take(scheme, "a", statement(line(100, "A"), opening=None))
    assert (await take(scheme, "b", statement(line(100, "A"), opening=None))).corrects == 0
    assert (await take(scheme, "c", statement(line(1, "C"), opening=None, reference="S-1"))).corrects == 0
    assert (await take(scheme, "d", statement(line(1, "C"), opening=None, reference="S-1"))).corrects > 0


async def test_an_order_is_paid_by_the_line_that_bears_its_reference(scheme: Scheme) -> None:
    (member,) = await scheme.members(["mixed"])
    await scheme.receive([(member, {"retirement": 10_000}, "R1")])
    await take(scheme, "a", statement(line(10_000, "R1")))
    dealt = await scheme.deal("2023-04-03")
    parts = {one.reference: one.taken_from for one in dealt.orders}
    assert {tuple(one.items()) for one in parts.values()} == {(("upi", "33.33"),), (("upi", "33.34"),)}
    before = await upi(scheme)
    assert (before.closing, before.books, before.unexplained) == ("100.00", "0.00", "0.00")
    assert items(before) == {"order-not-shown": (3, "100.00")}
    references = sorted(parts)
    out = [
        line(-int(Decimal(parts[reference]["upi"]) * 100), "", e2e=reference, row=at)
        for at, reference in enumerate(references, 2)
    ]
    report = await take(scheme, "b", statement(*out[:2], out[2], replace(out[2], row=9), opening=10_000))
    assert (report.matched, report.unmatched) == (3, 1)
    assert [one.reason for one in report.breaks] == ["money-out"], "the second payment of one order is nobody's"
    proof = await upi(scheme)
    assert items(proof) == {"out-not-booked": (1, report.breaks[0].amount)}
    assert proof.unexplained == "0.00"
    assert not await scheme.broken()


async def test_income_of_a_fund_comes_by_the_line_that_bears_its_reference(scheme: Scheme) -> None:
    """3.3333 units at 0.37 are 1.23: members have it once the bank has it."""
    (member,) = await scheme.members(["first"])
    paying(scheme, "cash")
    await scheme.receive([(member, {"retirement": 10_000}, "R1")])
    await take(scheme, "a", statement(line(10_000, "R1")))
    await scheme.deal("2023-04-03")
    await scheme.clock("2023-04-05T04:30:00")
    await scheme.price("2023-04-05", {FUND: "30"})
    await scheme.deal("2023-04-05")
    await scheme.clock("2023-04-06T04:30:00")
    income = await funds.propose_distribution(
        scheme.db, scheme.tenant, FUND, PRODUCT, date(2023, 4, 5),
        per_unit="0.37", price="", stated="1.23", reference="INC-1", actor="staff:1",
    )  # fmt: skip
    await funds.approve_action(scheme.db, scheme.tenant, income.number, income.digest, actor="staff:2")

    report = await take(scheme, "b", statement(line(123, e2e="INC-1", day=date(2023, 4, 6)), opening=10_000, number=7))

    assert (report.matched, report.unmatched) == (1, 0)
    assert await funds.carry_on_actions(scheme.db, scheme.tenant) == 1
    assert await cash(scheme, member) == 123
    assert await scheme.rows(
        "select 1 from procrastinate_jobs where task_name = 'funds.carry_on_actions' and status = 'todo' limit 1"
    )


async def test_money_of_sold_units_comes_by_the_line_that_bears_its_reference(scheme: Scheme) -> None:
    (member,) = await scheme.members(["first"])
    await scheme.receive([(member, {"retirement": 10_000}, "R1")])
    await take(scheme, "a", statement(line(10_000, "R1")))
    await scheme.deal("2023-04-03")
    await scheme.clock("2023-04-05T04:30:00")
    await scheme.price("2023-04-05", {"SM001009": "30"})
    await scheme.deal("2023-04-05")
    sale = await sell(scheme, member)
    await scheme.deal("2023-04-05")
    await scheme.clock("2023-04-06T04:30:00")
    assert (await upi(scheme, date(2023, 4, 6))).unexplained == "0.00"
    await scheme.price("2023-04-06", {"SM001009": "31"})
    (order,) = (await scheme.deal("2023-04-06")).sales
    assert order.confirmed == "103.33"  # 3.3333 units at 31
    priced = await prove(scheme, date(2023, 4, 6))
    assert [one.books for one in priced.funds if one.fund == "SM001009"] == ["0.0000"]
    assert priced.accounts[0].unexplained == "0.00", "what the manager owes is on no statement and in no account yet"

    later = date(2023, 4, 7)
    await scheme.clock("2023-04-08T04:30:00")
    lines = [
        line(10_332, e2e=order.reference, row=2, day=later),
        line(10_333, e2e=order.reference, row=3, day=later),
        line(10_333, e2e=order.reference, row=4, day=later),
    ]
    report = await take(scheme, "b", statement(*lines, opening=10_000, day=later, number=7))
    assert (report.matched, report.unmatched) == (1, 2)
    found = await progress(scheme, sale)
    assert found is not None
    assert (found.state, found.proceeds) == ("settled", {("retirement", "own"): 10_333})
    again = await service.match_statements(scheme.db, scheme.tenant)
    assert (again.proceeds, again.unmatched) == (0, 2)
    proof = await upi(scheme, later)
    assert items(proof) == {"in-not-booked": (2, "206.65"), "order-not-shown": (1, "100.00")}
    assert (proof.books, proof.unexplained) == ("103.33", "0.00")
    assert not await scheme.broken()

    corrected = await take(scheme, "c", statement(lines[1], opening=10_000, day=later, number=7))
    assert (corrected.line_count, corrected.withdrawn) == (0, 2)
    assert items(await upi(scheme, later)) == {"order-not-shown": (1, "100.00")}
    assert not await scheme.broken()


async def test_a_payment_that_was_charged_back_is_shown_by_one_line(scheme: Scheme) -> None:
    (member,) = await scheme.members(["first"])
    (receipt,) = await scheme.receive([(member, {"retirement": 10_000}, "R1")])
    await take(scheme, "a", statement(line(10_000, "R1"), line(-10_000, "R1", row=3)))
    assert items(await upi(scheme)) == {"out-not-booked": (1, "-100.00")}
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        proposed = await contributions.propose_reversal(
            session, scheme.tenant, receipt, reason="charged-back", actor="staff:1"
        )
    await contributions.confirm_reversal(
        scheme.db, scheme.keys, scheme.tenant, receipt, digest=proposed.digest, actor="staff:2"
    )
    assert items(await upi(scheme)) == {"out-not-booked": (1, "-100.00"), "out-not-shown": (1, "100.00")}

    report = await service.match_statements(scheme.db, scheme.tenant)

    assert report.orders == 1
    proof = await upi(scheme)
    assert (proof.items, proof.closing, proof.books, proof.unexplained) == ((), "0.00", "0.00", "0.00")
    assert not await scheme.broken()
    await take(scheme, "b", statement(line(-10_000, "R1", row=3), opening=0))
    assert items(await upi(scheme)) == {"out-not-booked": (1, "-100.00")}, "the second of one payment is nobody's"
    assert not await scheme.broken()


async def test_a_payment_is_matched_or_taken_back_whichever_comes_first(scheme: Scheme) -> None:
    members = await scheme.members(["first"] * 12)
    receipts = await scheme.receive([(m, {"retirement": 10_000}, f"R{i}") for i, m in enumerate(members)])
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        proposed = [
            await contributions.propose_reversal(session, scheme.tenant, one, reason="charged-back", actor="staff:1")
            for one in receipts
        ]

    async def confirm_all() -> None:
        for one in proposed:
            await contributions.confirm_reversal(
                scheme.db, scheme.keys, scheme.tenant, int(one.receipt), digest=one.digest, actor="staff:2"
            )

    lines = [line(10_000, f"R{i}", row=2 + i) for i in range(12)]
    await asyncio.gather(take(scheme, "a", statement(*lines)), confirm_all())
    assert await scheme.rows("select 1 from allocations") == []
    assert (await upi(scheme)).books == "0.00"
    assert not await scheme.broken()


async def test_a_proof_names_every_gap_and_what_nothing_explains(scheme: Scheme) -> None:
    first, second = await scheme.members(["first", "second"])
    await scheme.receive([(first, {"retirement": 500}, "R1"), (second, {"retirement": 700}, "R2")])
    nothing = await upi(scheme)
    assert (nothing.closing, nothing.books, nothing.unexplained) == (None, "12.00", None)
    assert not (await prove(scheme)).is_clean
    await take(scheme, "a", statement(line(500, "R1"), line(90, "X", row=3), line(-20, "Y", row=4), opening=1_000))
    proof = await upi(scheme)
    assert (proof.closing, proof.books) == ("15.70", "12.00")
    assert items(proof) == {
        "before-statements": (1, "10.00"),
        "in-not-booked": (1, "0.90"),
        "out-not-booked": (1, "-0.20"),
        "receipt-not-shown": (1, "-7.00"),
    }
    assert proof.unexplained == "0.00"
    assert "unexplained 0.00" in (await prove(scheme)).lines()[0]
    earlier = await upi(scheme, date(2023, 4, 2)) if (await prove(scheme, date(2023, 4, 2))).accounts else None
    assert earlier is None, "nothing was booked and nothing told by then"


class Holds:
    """A custodian whose files say what the test says."""

    def __init__(self, *holdings: Holding, day: date = DAY, refused: Sequence[str] = ()) -> None:
        self.holdings, self.day, self.refused = holdings, day, refused

    def read_holdings(self, raw: bytes, name: str) -> HoldingsFile:
        assert raw
        if self.refused:
            raise FileRefused(file=name, row=3, field="units", reason="malformed")
        return HoldingsFile(name=name, sha256="", account="A", day=self.day, holdings=self.holdings)


async def test_what_a_holder_tells_is_held_against_the_books(scheme: Scheme) -> None:
    (member,) = await scheme.members(["first"])
    await scheme.receive([(member, {"retirement": 10_000}, "R1")])
    await take(scheme, "a", statement(line(10_000, "R1")))
    await scheme.deal("2023-04-03")
    await scheme.clock("2023-04-04T10:00:00")
    await scheme.price("2023-04-04", {"SM001009": "30.0000"})
    await scheme.deal("2023-04-04")
    day = date(2023, 4, 4)
    ((units,),) = await scheme.rows("select units_confirmed from orders where state = 'priced'")
    assert units == 33_333  # 100.00 at 30.0000 are 3.3333 units

    async def told(name: str, *holdings: Holding, **more: Any) -> service.HoldingsReport:
        return await service.import_holdings(
            scheme.db, scheme.tenant, Holds(*holdings, day=day, **more), name.encode(), name, "staff:3"
        )

    def fund(proof: DayProof) -> Any:
        return next(one for one in proof.funds if one.fund == "SM001009")

    assert fund(await prove(scheme, day)).told is None
    report = await told(
        "h1",
        Holding(row=2, fund_code="SM001009", units=Decimal("3.3332")),
        Holding(row=3, fund_code="OTHER", units=Decimal(9)),
    )
    assert (report.funds, report.not_ours) == (1, 1)
    found = fund(await prove(scheme, day))
    assert (found.books, found.told, found.difference, found.price, found.value) == (
        "3.3333",
        "3.3332",
        "-0.0001",
        "30.0000",
        "99.99",
    )
    assert (await told("h1")).first_imported_at is not None
    await told("h2", Holding(row=2, fund_code="SM001009", units=Decimal("3.3333")))
    assert fund(await prove(scheme, day)).difference == "0.0000"
    with pytest.raises(UnreadableHoldings, match="4 decimals"):
        await told("h3", Holding(row=2, fund_code="SM001009", units=Decimal("3.33333")))
    with pytest.raises(UnreadableHoldings):
        await told("h4", refused=["x"])
    with pytest.raises(UnreadableHoldings, match="has not come"):
        await service.import_holdings(scheme.db, scheme.tenant, Holds(day=date(2030, 1, 1)), b"h5", "h5", "staff:3")
    assert await scheme.rows("select count(*) from holdings_files") == [(2,)]
