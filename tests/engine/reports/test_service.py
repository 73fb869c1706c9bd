"""Statements of histories that the engine itself wrote, against arithmetic in fractions that shares nothing with it."""

from dataclasses import replace
from datetime import date
from fractions import Fraction

import msgspec
import pytest
from sqlalchemy import event

from engine.contributions import service as contributions
from engine.funds import service as funds
from engine.funds.rules import ReconciledReceipt
from engine.identity import service as identity
from engine.kernel.errors import EngineError
from engine.ledger import service as ledger
from engine.ledger.rules import Account, Entry, EventKind, Outcome, Transfer
from engine.reports import service
from engine.reports.api import document_of
from engine.reports.errors import DateInFuture, UnknownMember
from engine.reports.rules import LineState, NoReturn, Statement
from tests.engine.reports.scheme import Scheme, days


async def statement(scheme: Scheme, number: str, as_of: date, known_size: int | None = None) -> Statement:
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        member = await service.find_member(session, scheme.keys, number)
        return await service.statement(
            session, scheme.tenant, member, number=number, as_of=as_of, known_size=known_size
        )


def floor(value: Fraction) -> int:
    return value.numerator // value.denominator


async def test_a_year_of_one_fund(india: Scheme) -> None:
    await india.advance(date(2023, 4, 3))
    asha = await india.enrol(group="sahyog")
    bina = await india.enrol(group="gramin")
    price = Fraction(326034, 10_000)
    bought: list[tuple[date, int, date, Fraction, int]] = []
    for number, day in enumerate(days(date(2023, 4, 4), 6, step=7)):
        await india.advance(day)
        amount = 100_00 + 37 * number
        receipt = await india.pay(asha, f"{amount // 100}.{amount % 100:02}")
        other = await india.pay(bina, "250.00")
        await india.reconcile([receipt, other])
        next_day = date.fromordinal(day.toordinal() + 1)
        await india.advance(next_day)
        price += Fraction(371 * number, 10_000)
        await india.prices(next_day, {"SM001009": f"{float(price):.4f}", "SM002009": "31.5000"})
        await india.deal(day)
        await india.deal(next_day)
        units = floor(Fraction(amount, 100) / price * 10_000)
        bought.append((day, amount, next_day, price, units))
    await india.advance(date(2023, 5, 20))
    waiting = await india.pay(asha, "100.00")

    found = await statement(india, asha, date(2023, 5, 20))

    held = sum(units for *_, units in bought)
    value = floor(Fraction(held, 10_000) * price * 100) + 100_00
    paid = sum(amount for _, amount, *_ in bought) + 100_00
    assert [(line.paid_on, line.amount_minor, line.state) for line in found.lines] == [
        *((day, amount, LineState.INVESTED) for day, amount, *_ in bought),
        (date(2023, 5, 20), 100_00, LineState.RECEIVED),
    ]
    assert [(line.price_on, line.units) for line in found.lines[:-1]] == [(on, units) for *_, on, _, units in bought]
    assert [Fraction(line.price.decimal()) for line in found.lines if line.price] == [p for _, _, _, p, _ in bought]
    (holding,) = found.holdings
    assert (holding.fund, holding.units, holding.price_on) == ("SM001009", held, bought[-1][2])
    assert holding.value_minor == value - 100_00
    assert found.uninvested_minor == 100_00
    assert found.totals.contributed_minor == paid
    assert found.totals.value_minor == value
    assert found.totals.gain_minor == value - paid
    assert found.totals.charges_minor == 0
    assert found.lines[-1].receipt == int(waiting.receipt)


async def test_four_parts_of_one_payment_are_told_apart(mixed: Scheme) -> None:
    await mixed.advance(date(2023, 4, 3))
    asha = await mixed.enrol(group="sahyog")
    first = await mixed.pay(asha, "100.01")
    second = await mixed.pay(asha, "777.77")
    await mixed.reconcile([first, second])
    await mixed.advance(date(2023, 4, 5))
    await mixed.prices(date(2023, 4, 4), {"SM001009": "32.6034", "SM002009": "0.0371"})
    await mixed.deal(date(2023, 4, 3))
    await mixed.deal(date(2023, 4, 5))

    found = await statement(mixed, asha, date(2023, 4, 5))

    expected = []
    for receipt, amount in ((first, 100_01), (second, 777_77)):
        retirement = round(Fraction(amount * 6000, 10_000) - Fraction(1, 10**9))
        for pot, part in (("retirement", retirement), ("access", amount - retirement)):
            rest = part * 6667 // 10_000
            for fund, share, price in (
                ("SM001009", part - rest, Fraction(326034, 10_000)),
                ("SM002009", rest, Fraction(371, 10_000)),
            ):
                units = floor(Fraction(share, 100) / price * 10_000)
                expected.append((int(receipt.receipt), pot, fund, share, units))
    lines = [(line.receipt, line.pot, line.fund, line.amount_minor, line.units) for line in found.lines]
    assert sorted(lines) == sorted(expected)
    assert sum(holding.units for holding in found.holdings) == sum(units for *_, units in expected)
    assert found.uninvested_minor == 0
    assert found.totals.contributed_minor == 877_78


async def test_a_past_day_is_told_as_it_was(india: Scheme) -> None:
    await india.advance(date(2023, 6, 1))
    asha = await india.enrol(group="sahyog")
    receipt = await india.pay(asha, "500.00")
    before = [await statement(india, asha, date(2023, 6, 1))]
    await india.advance(date(2023, 6, 2))
    await india.reconcile([receipt])
    before.append(await statement(india, asha, date(2023, 6, 2)))
    await india.advance(date(2023, 6, 5))
    await india.prices(date(2023, 6, 5), {"SM001009": "25.0000"})
    await india.deal(date(2023, 6, 2))
    await india.deal(date(2023, 6, 5))
    before.append(await statement(india, asha, date(2023, 6, 5)))
    await india.advance(date(2023, 6, 6))
    await india.prices(date(2023, 6, 6), {"SM001009": "26.0000"})

    again = [await statement(india, asha, date(2023, 6, day)) for day in (1, 2, 5)]
    now = await statement(india, asha, date(2023, 6, 6))

    assert again == before
    assert [one.lines[0].state for one in again] == [LineState.RECEIVED, LineState.RECONCILED, LineState.INVESTED]
    assert [one.totals.value_minor for one in (*again, now)] == [500_00, 500_00, 500_00, 520_00]
    assert (await statement(india, asha, date(2023, 5, 31))).lines == ()


async def test_the_same_day_and_log_size_give_the_same_bytes_for_ever(india: Scheme) -> None:
    await india.advance(date(2023, 6, 1))
    asha = await india.enrol(group="sahyog")
    receipt = await india.pay(asha, "500.00")
    await india.reconcile([receipt])
    await india.advance(date(2023, 6, 5))
    await india.prices(date(2023, 6, 2), {"SM001009": "25.0000"})
    await india.deal(date(2023, 6, 1))
    size = await india.sequence()
    first = msgspec.json.encode(document_of(await statement(india, asha, date(2023, 6, 5), size)))

    # Everything below is dated on or before the statement's day, and was known only later.
    late = await india.pay(asha, "100.00", paid_on=date(2023, 6, 1))
    await india.reconcile([late])
    await india.prices(date(2023, 6, 5), {"SM001009": "25.5000"})
    await india.deal(date(2023, 6, 5))
    later = await india.sequence()

    assert msgspec.json.encode(document_of(await statement(india, asha, date(2023, 6, 5), size))) == first
    now = await statement(india, asha, date(2023, 6, 5))
    assert msgspec.structs.replace(await statement(india, asha, date(2023, 6, 5), later), log_size=None) == now
    assert (now.totals.contributed_minor, now.totals.value_minor) == (600_00, 610_00)


async def test_money_that_found_its_owner_counts_from_that_day(india: Scheme) -> None:
    await india.advance(date(2023, 6, 1))
    asha = await india.enrol(group="sahyog")
    lost = await india.pay("4711", "300.00")
    await india.reconcile([lost])
    await india.advance(date(2023, 6, 3))
    await india.resolve(lost, asha)

    found = await statement(india, asha, date(2023, 6, 3))

    (line,) = found.lines
    assert (line.paid_on, line.amount_minor, line.state) == (date(2023, 6, 3), 300_00, LineState.RECONCILED)
    assert (await statement(india, asha, date(2023, 6, 2))).lines == ()


async def test_savings_without_units(rwanda: Scheme) -> None:
    await rwanda.advance(date(2023, 6, 1))
    keza = await rwanda.enrol()
    first = await rwanda.pay(keza, "1500")
    await rwanda.advance(date(2023, 8, 1))
    await rwanda.pay(keza, "2000")
    await rwanda.reconcile([first])

    found = await statement(rwanda, keza, date(2023, 8, 1))

    assert not found.is_unitised
    assert found.holdings == ()
    assert (found.currency, found.scale, found.uninvested_minor) == ("RWF", 0, 3500)
    assert [line.state for line in found.lines] == [LineState.RECONCILED, LineState.RECEIVED]
    assert (found.totals.value_minor, found.totals.gain_minor) == (3500, 0)
    assert (found.totals.return_bp, found.totals.no_return) == (None, NoReturn.NOTHING_INVESTED)


async def test_nothing_paid_yet(india: Scheme) -> None:
    await india.advance(date(2023, 6, 1))
    asha = await india.enrol(group="sahyog")

    found = await statement(india, asha, date(2023, 6, 1))

    assert (found.lines, found.holdings, found.totals.value_minor) == ((), (), 0)
    assert found.totals.no_return is NoReturn.NO_PAYMENTS


async def test_refuses_a_day_that_has_not_come(india: Scheme) -> None:
    await india.advance(date(2023, 6, 1))
    asha = await india.enrol(group="sahyog")

    with pytest.raises(DateInFuture) as refused:
        await statement(india, asha, date(2023, 6, 2))

    assert refused.value.details == {"field": "as_of", "day": "2023-06-02", "today": "2023-06-01"}


async def test_a_member_of_another_tenant_is_no_member(india: Scheme, rwanda: Scheme) -> None:
    keza = await rwanda.enrol()
    refusals: list[EngineError] = []
    for number in (keza, "123", "", "९९९९", "x" * 400):
        with pytest.raises(UnknownMember) as refused:
            await statement(india, number, date(2023, 6, 1))
        refusals.append(refused.value)

    assert {(type(one), str(one), str(one.details)) for one in refusals} == {
        (UnknownMember, str(UnknownMember()), "{}")
    }


async def test_a_statement_takes_the_same_few_queries_however_long_the_history(india: Scheme) -> None:
    await india.advance(date(2023, 4, 3))
    asha = await india.enrol(group="sahyog")
    counted: list[int] = []
    for count in (1, 25):
        receipts = [await india.pay(asha, "100.00") for _ in range(count)]
        await india.reconcile(receipts)
        day = await india.today()
        following = date.fromordinal(day.toordinal() + 1)
        await india.advance(following)
        await india.prices(following, {"SM001009": "25.0000"})
        await india.deal(day)
        await india.deal(following)
        async with india.db.unit_of_work(india.tenant.tenant_id) as session:
            member = await service.find_member(session, india.keys, asha)
            statements: list[str] = []
            connection = (await session.connection()).sync_connection
            assert connection is not None

            def note(_c: object, _cursor: object, sql: str, *_rest: object) -> None:
                statements.append(sql)  # noqa: B023 - read before the next round

            event.listen(connection, "before_cursor_execute", note)
            await service.statement(session, india.tenant, member, number=asha, as_of=following)
            event.remove(connection, "before_cursor_execute", note)
        counted.append(len(statements))

    assert counted == [7, 7]


async def test_nothing_is_lost_between_units_and_money(india: Scheme) -> None:
    """Whole units, then some being sold, then payable, then paid out: at one price the value and the gain stay."""
    await india.advance(date(2023, 4, 3))
    asha = await india.enrol(group="sahyog")
    await india.reconcile([await india.pay(asha, "1000.00")])
    await india.deal(date(2023, 4, 3))
    bought, sold = date(2023, 4, 5), date(2023, 4, 6)
    await india.advance(bought)
    await india.prices(bought, {"SM001009": "30.0000"})
    await india.deal(bought)
    before = await statement(india, asha, bought)
    await sell(india, asha, 100_000)
    during = await statement(india, asha, bought)
    await india.deal(bought)
    await india.advance(sold)
    await india.prices(sold, {"SM001009": "30.0000"})
    await india.deal(sold)
    after = await statement(india, asha, sold)

    assert [(one.units, one.selling) for one in during.holdings] == [(333_333, 100_000)]
    assert during.totals == before.totals
    assert [(one.units, one.selling) for one in after.holdings] == [(233_333, 0)]
    assert (after.totals.payable_minor, after.totals.paid_out_minor) == (300_00, 0)
    assert after.totals.value_minor == before.totals.value_minor == 999_99
    assert after.lines == before.lines
    totals = document_of(after).totals
    assert (totals.payable, totals.gain) == ("300.00", "-0.01")

    await pay_out(india, asha, 120_00)
    paid = await statement(india, asha, sold)
    assert (paid.totals.payable_minor, paid.totals.paid_out_minor) == (180_00, 120_00)
    assert (paid.totals.value_minor, paid.totals.gain_minor) == (999_99 - 120_00, -1)


async def sell(scheme: Scheme, number: str, units: int) -> None:
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        member = await service.find_member(session, scheme.keys, number)
        await funds.sell(
            session,
            scheme.tenant,
            member.member_id,
            member.product,
            [funds.Units("retirement", "own", "SM001009", units)],
            day=await scheme.today(),
            actor="staff:2",
            reference=f"test-{number}",
        )


async def pay_out(scheme: Scheme, number: str, amount: int) -> None:
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        member = await service.find_member(session, scheme.keys, number)
        payable = Account("payable", "INR", member.product, "retirement", "own")
        sent = Account("payouts-in-transit", "INR", party="bank")
        codes = await ledger.account_codes(session, [payable, sent])
        entry = Entry(
            member_id=member.member_id,
            kind=EventKind.UNITS_SOLD,
            business_date=await scheme.today(),
            actor=await ledger.actor_id(session, "staff:2"),
            transfers=[Transfer(amount, codes[payable], codes[sent])],
        )
        (posted,) = await ledger.post(session, [entry])
        assert posted.outcome == Outcome.POSTED


async def test_a_payment_taken_back_after_it_was_invested_leaves_no_gain_and_no_loss(india: Scheme) -> None:
    """The member's other money is what it was, at whatever price the units of the payment were sold."""
    await india.advance(date(2023, 4, 3))
    asha = await india.enrol(group="sahyog")
    kept, wrong = await india.pay(asha, "600.00"), await india.pay(asha, "300.00")
    await india.reconcile([kept, wrong])
    await india.deal(date(2023, 4, 3))
    await india.advance(date(2023, 4, 5))
    await india.prices(date(2023, 4, 5), {"SM001009": "30.0000"})
    await india.deal(date(2023, 4, 5))
    tenant = india.tenant
    async with india.db.unit_of_work(tenant.tenant_id) as session:
        proposed = await contributions.propose_reversal(
            session, tenant, int(wrong.receipt), reason="paid-twice", actor="staff:1"
        )
    await contributions.confirm_reversal(
        india.db, india.keys, tenant, int(wrong.receipt), digest=proposed.digest, actor="staff:2"
    )
    await india.deal(date(2023, 4, 5))
    await india.advance(date(2023, 4, 6))
    await india.prices(date(2023, 4, 6), {"SM001009": "31.0000"})
    await india.deal(date(2023, 4, 6))
    assert await contributions.carry_on_reversals(india.db, india.keys, tenant) == 1

    found = await statement(india, asha, date(2023, 4, 6))

    assert [(line.amount_minor, line.state) for line in found.lines] == [
        (600_00, LineState.INVESTED),
        (300_00, LineState.INVESTED),
        (-300_00, LineState.REVERSED),
    ]
    assert (found.totals.contributed_minor, found.totals.value_minor) == (600_00, 620_00)
    assert (found.totals.payable_minor, found.totals.paid_out_minor, found.totals.gain_minor) == (0, 0, 20_00)


async def test_state_money_that_bought_units_stands_beside_payments(india: Scheme) -> None:
    await india.advance(date(2023, 4, 3))
    asha = await india.enrol(group="sahyog")
    receipt = await india.pay(asha, "100.00")
    async with india.db.unit_of_work(india.tenant.tenant_id) as session:
        member = (await identity.members_by_number(session, india.keys, [asha]))[asha].member_id
        moved = (await ledger.transfers_of(session, [(member, int(receipt.receipt))]))[int(receipt.receipt)]
        chart = await ledger.accounts_by_code(session)
        ((_, collections, own),) = moved
        cash = replace(chart[own], origin="state-match")
        codes = await ledger.account_codes(session, [cash])
        entry = Entry(
            member_id=member,
            kind=EventKind.MATCH_SHARED,
            business_date=date(2023, 4, 3),
            actor=await ledger.actor_id(session, "staff:1"),
            transfers=[Transfer(50_00, collections, codes[cash])],
        )
        (shared,) = await ledger.post(session, [entry])
        await funds.allocate(
            session,
            india.tenant,
            [ReconciledReceipt(member, event, collections) for event in (int(receipt.receipt), shared.event_id)],
        )
    await india.advance(date(2023, 4, 4))
    await india.prices(date(2023, 4, 4), {"SM001009": "10.0000", "SM002009": "10.0000"})
    await india.deal(date(2023, 4, 3))
    await india.deal(date(2023, 4, 4))

    found = await statement(india, asha, date(2023, 4, 4))

    assert [(line.origin, line.amount_minor, line.units, line.state) for line in found.lines] == [
        ("own", 100_00, 10_0000, LineState.INVESTED),
        ("state-match", 50_00, 5_0000, LineState.INVESTED),
    ]
    assert (found.totals.contributed_minor, found.totals.gain_minor) == (150_00, 0)
