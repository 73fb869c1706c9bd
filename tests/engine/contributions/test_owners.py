"""Payments without an owner: whose they may be, given by two people once, what they earned meanwhile, and what is published."""

import asyncio
import shutil
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from engine.access.errors import SamePerson
from engine.app import KINDS, LAWS
from engine.contributions import errors, service
from engine.contributions.rules import (
    Receipt,
    Sign,
    Sought,
    likely_owners,
    price_problems,
    slips,
)
from engine.enrolment.service import Enrolled
from engine.identity import service as identity
from engine.kernel.ids import is_member_number
from engine.kernel.series import SeriesValueMissing
from engine.ledger import service as ledger
from engine.reconciliation import service as reconciliation
from engine.runtime.database import Database
from engine.runtime.key_file import FileKeyStore
from engine.tenancy import service as tenancy
from engine.tenancy.service import Tenant, load_pack
from integrations.banking.tabular.adapter import TabularStatements
from tests.engine.contributions.test_service import cash_of, pays, send
from tests.engine.reports.scheme import Scheme, open_scheme
from tests.factories.schemes import PACKS, enrol, serve
from tests.factories.suspense import give

NOBODY = "100000000008"


@pytest_asyncio.fixture(loop_scope="session")
async def tenant(db: Database, tmp_path: Path) -> Tenant:
    return await serve(db, tmp_path)


async def suspend(db: Database, keys: FileKeyStore, tenant: Tenant, reference: str, **others: Any) -> int:
    """A payment that leads to nobody; its receipt."""
    (receipt,) = await send(db, keys, tenant, pays(reference, **others))
    assert isinstance(receipt, Receipt)
    assert receipt.state == "suspended"
    return int(receipt.receipt)


async def sought(db: Database, keys: FileKeyStore, tenant: Tenant) -> dict[int, list[tuple[str, int, list[str]]]]:
    """Whose each payment may be: (member, score, signs) by receipt."""

    def told(one: Sought) -> list[tuple[str, int, list[str]]]:
        return [(owner.member, owner.score, [reason.sign for reason in owner.reasons]) for owner in one.owners]

    async with db.unit_of_work(tenant.tenant_id) as session:
        found = await service.seek_owners(session, keys, tenant, actor="staff:1")
    return {int(one.payment.receipt): told(one) for one in found}


async def lawful(db: Database, tenant: Tenant) -> bool:
    async with db.unit_of_work(tenant.tenant_id) as session:
        return await ledger.check(session, LAWS) == []


def swapped(number: str) -> str:
    """The number with its first two digits that differ swapped."""
    at = next(i for i in range(len(number) - 1) if number[i] != number[i + 1])
    return number[:at] + number[at + 1] + number[at] + number[at + 2 :]


# -- the rules


@given(st.integers(min_value=0), st.integers(0, 11), st.integers(1, 9))
def test_every_number_is_found_from_one_wrong_digit(seed: int, at: int, by: int) -> None:
    number = _number(seed)
    wrong = number[:at] + str((int(number[at]) + by) % 10) + number[at + 1 :]
    assert slips(wrong, digits=12)[number] == Sign.MISTYPED


@given(st.integers(min_value=0), st.integers(0, 10))
def test_every_number_is_found_from_two_digits_swapped(seed: int, at: int) -> None:
    number = _number(seed)
    wrong = number[:at] + number[at + 1] + number[at] + number[at + 2 :]
    if wrong != number:
        assert slips(wrong, digits=12)[number] in {Sign.SWAPPED, Sign.MISTYPED}


@given(st.integers(min_value=0), st.integers(0, 11), st.integers(0, 9))
def test_every_number_is_found_with_a_digit_missing_or_too_many(seed: int, at: int, extra: int) -> None:
    number = _number(seed)
    assert slips(number[:at] + number[at + 1 :], digits=12)[number] == Sign.LEFT_OUT
    assert slips(number[:at] + str(extra) + number[at:], digits=12)[number] == Sign.TOO_MANY


@given(st.text("0123456789", min_size=10, max_size=14))
def test_slips_lead_to_whole_numbers_of_the_scheme_alone(reference: str) -> None:
    found = slips(reference, digits=12, prefix="10")
    assert all(len(one) == 12 and one.startswith("10") and is_member_number(one) for one in found)
    assert reference not in found


def test_what_is_no_number_has_no_slips() -> None:
    assert slips("AMINA", digits=12) == slips("12345", digits=12) == slips("", digits=12) == {}


def _number(seed: int) -> str:
    body = f"{seed % 10**11:011d}"
    return next(body + str(digit) for digit in range(10) if is_member_number(body + str(digit)))


@pytest.mark.parametrize(
    ("signs", "told"),
    [
        ({1: [Sign.SWAPPED]}, [(1, 70)]),
        ({1: [Sign.SWAPPED, Sign.USUAL_AMOUNT]}, [(1, 76)]),
        ({1: [Sign.THEIR_TELEPHONE], 2: [Sign.THEIR_TELEPHONE]}, [(1, 25), (2, 25)]),
        ({1: [Sign.THEIR_TELEPHONE], 2: [Sign.THEIR_TELEPHONE, Sign.AMOUNT_DUE]}, [(2, 47), (1, 25)]),
        ({1: [Sign.USUAL_AMOUNT, Sign.AMOUNT_DUE]}, []),
        ({1: [Sign.THEIR_NUMBER, Sign.THEIR_DOCUMENT]}, [(1, 99)]),
        ({}, []),
    ],
)
def test_signs_add_up_and_shared_ones_are_divided(signs: dict[int, list[Sign]], told: list[tuple[int, int]]) -> None:
    assert [(one.member_id, one.score) for one in likely_owners(signs)] == told


# -- whose it may be


async def test_a_payment_is_traced_by_slips_by_documents_and_by_telephones(
    db: Database, keys: FileKeyStore, tenant: Tenant
) -> None:
    first, second = await enrol(db, keys, tenant, ["sahyog", "gramin"])
    typo = await suspend(db, keys, tenant, swapped(first.number))
    short = await suspend(db, keys, tenant, second.number[:5] + second.number[6:])
    phone = await suspend(db, keys, tenant, "098765-43210")
    nobody = await suspend(db, keys, tenant, NOBODY)

    found = await sought(db, keys, tenant)
    assert found[typo] == [(first.number, 70, ["two-digits-swapped"])]
    assert found[short] == [(second.number, 55, ["one-digit-left-out"])]
    assert found[phone] == found[nobody] == []  # telephones are indexed by a job

    async with db.unit_of_work(tenant.tenant_id) as session:
        assert await identity.index_telephones(session, keys) == 2
    async with db.unit_of_work(tenant.tenant_id) as session:
        assert await identity.index_telephones(session, keys) == 0
    found = await sought(db, keys, tenant)
    both = [(first.number, 25, ["their-telephone"]), (second.number, 25, ["their-telephone"])]
    assert sorted(found[phone]) == sorted(both)

    async with db.unit_of_work(tenant.tenant_id) as session:
        await identity.erase(session, second.member_id, actor="staff:1", business_date=date(2023, 4, 3))
    found = await sought(db, keys, tenant)
    assert found[phone] == [(first.number, 50, ["their-telephone"])]
    assert found[short] == []
    assert await lawful(db, tenant)


async def test_a_payment_is_traced_by_its_payer_and_its_reference(
    db: Database, keys: FileKeyStore, tenant: Tenant
) -> None:
    first, second = await enrol(db, keys, tenant, ["sahyog", "gramin"])
    await send(db, keys, tenant, pays(first.number, "300.00", paid_from="+91 98765 00001"))
    same_payer = await suspend(db, keys, tenant, "FOR MUM", paid_from="9876500001")
    named = await suspend(db, keys, tenant, "AMINA'S PENSION", amount="200.00")
    await give(db, keys, tenant, named, member=second.number)
    again = await suspend(db, keys, tenant, "amina's  pension", amount="200.00")

    found = await sought(db, keys, tenant)
    assert found[same_payer] == [(first.number, 60, ["same-payer-before"])]
    assert found[again] == [(second.number, 84, ["same-reference-before", "usual-amount"])]


async def test_a_payment_that_was_taken_back_speaks_for_nobody(
    db: Database, keys: FileKeyStore, tenant: Tenant
) -> None:
    (member,) = await enrol(db, keys, tenant, ["sahyog"])
    (paid,) = await send(db, keys, tenant, pays(member.number, paid_from="9876500001"))
    assert isinstance(paid, Receipt)
    receipt = await suspend(db, keys, tenant, "FOR MUM", paid_from="9876500001")
    assert [one[0] for one in (await sought(db, keys, tenant))[receipt]] == [member.number]
    async with db.unit_of_work(tenant.tenant_id) as session:
        proposed = await service.propose_reversal(
            session, tenant, int(paid.receipt), reason="charged-back", actor="staff:1"
        )
    await service.confirm_reversal(db, keys, tenant, int(paid.receipt), digest=proposed.digest, actor="staff:2")
    assert (await sought(db, keys, tenant))[receipt] == []


async def test_whose_numbers_are_told_is_noted(db: Database, keys: FileKeyStore, tenant: Tenant) -> None:
    (member,) = await enrol(db, keys, tenant, ["sahyog"])
    await suspend(db, keys, tenant, swapped(member.number))
    await sought(db, keys, tenant)
    async with db.unit_of_work(tenant.tenant_id) as session:
        rows = await session.execute(text("select actor, member_ids from vault_reads where reason = 'suspense'"))
        assert [tuple(row) for row in rows] == [("staff:1", [member.member_id])]


# -- two people


async def propose(
    db: Database, keys: FileKeyStore, tenant: Tenant, receipt: int, member: Enrolled, actor: str = "staff:1"
) -> service.OwnerProposal:
    async with db.unit_of_work(tenant.tenant_id) as session:
        return await service.propose_owner(session, keys, tenant, receipt, member=member.number, actor=actor)


async def test_two_people_give_exactly_what_was_proposed(db: Database, keys: FileKeyStore, tenant: Tenant) -> None:
    first, second = await enrol(db, keys, tenant, ["sahyog", "gramin"])
    receipt = await suspend(db, keys, tenant, swapped(first.number))
    made = await propose(db, keys, tenant, receipt, first)
    assert (made.member, made.amount, made.earned, made.state) == (first.number, "500.00", "0.00", "proposed")
    assert [(part.to, part.name, part.amount) for part in made.parts] == [("cash", "retirement", "500.00")]
    assert await cash_of(db, tenant, first.member_id) == 0
    with pytest.raises(errors.OwnerProposed):
        await propose(db, keys, tenant, receipt, second)
    for digest, actor, refusal in (
        ("0" * 64, "staff:2", errors.OwnerDiffers),
        (made.digest, "staff:1", SamePerson),
    ):
        with pytest.raises(refusal):
            await service.confirm_owner(db, keys, tenant, made.proposal, digest=digest, actor=actor)
    with pytest.raises(errors.UnknownOwner):
        await service.confirm_owner(db, keys, tenant, made.proposal + 1, digest=made.digest, actor="staff:2")

    async with db.unit_of_work(tenant.tenant_id) as session:
        rejected = await service.reject_owner(session, keys, tenant, made.proposal, actor="staff:2")
    assert (rejected.state, rejected.decided_by) == ("rejected", "staff:2")
    with pytest.raises(errors.OwnerDecided):
        await service.confirm_owner(db, keys, tenant, made.proposal, digest=made.digest, actor="staff:2")

    given_to = await give(db, keys, tenant, receipt, member=second.number)
    assert given_to.state == "received"
    assert (await cash_of(db, tenant, first.member_id), await cash_of(db, tenant, second.member_id)) == (0, 50_000)
    async with db.unit_of_work(tenant.tenant_id) as session:
        told = await service.list_owner_proposals(session, keys, tenant, receipt=receipt, actor="staff:3")
    assert [(one.member, one.state, one.event) for one in told] == [
        (first.number, "rejected", None),
        (second.number, "confirmed", given_to.receipt),
    ]
    with pytest.raises(errors.AlreadyResolved):
        await propose(db, keys, tenant, receipt, first)
    assert await lawful(db, tenant)


async def test_of_many_who_confirm_at_once_one_gives_it(db: Database, keys: FileKeyStore, tenant: Tenant) -> None:
    (member,) = await enrol(db, keys, tenant, ["sahyog"])
    receipt = await suspend(db, keys, tenant, swapped(member.number))
    made = await propose(db, keys, tenant, receipt, member)
    fates = await asyncio.gather(
        *(
            service.confirm_owner(db, keys, tenant, made.proposal, digest=made.digest, actor=f"staff:{other}")
            for other in range(2, 7)
        ),
        return_exceptions=True,
    )
    assert sorted(type(one).__name__ for one in fates) == ["OwnerDecided"] * 4 + ["Receipt"]
    assert await cash_of(db, tenant, member.member_id) == 50_000
    assert await lawful(db, tenant)


async def test_of_many_who_propose_at_once_one_does(db: Database, keys: FileKeyStore, tenant: Tenant) -> None:
    people = await enrol(db, keys, tenant, ["sahyog", "gramin", "sahyog"])
    receipt = await suspend(db, keys, tenant, NOBODY)
    fates = await asyncio.gather(
        *(propose(db, keys, tenant, receipt, one, f"staff:{at}") for at, one in enumerate(people, 1)),
        return_exceptions=True,
    )
    assert sorted(type(one).__name__ for one in fates) == ["OwnerProposal", "OwnerProposed", "OwnerProposed"]


async def test_it_is_given_or_taken_back_never_both(db: Database, keys: FileKeyStore, tenant: Tenant) -> None:
    (member,) = await enrol(db, keys, tenant, ["sahyog"])
    for _ in range(4):
        receipt = await suspend(db, keys, tenant, NOBODY)
        made = await propose(db, keys, tenant, receipt, member)
        async with db.unit_of_work(tenant.tenant_id) as session:
            back = await service.propose_reversal(session, tenant, receipt, reason="paid-by-mistake", actor="staff:1")
        fates = await asyncio.gather(
            service.confirm_owner(db, keys, tenant, made.proposal, digest=made.digest, actor="staff:2"),
            service.confirm_reversal(db, keys, tenant, receipt, digest=back.digest, actor="staff:3"),
            return_exceptions=True,
        )
        kinds = {type(one).__name__ for one in fates}
        # Whoever comes second finds it gone; a payment that was given first may be taken back from its owner.
        assert kinds in ({"AlreadyResolved", "Reversal"}, {"Receipt", "AlreadyResolved"}, {"Receipt", "Reversal"})
    assert await cash_of(db, tenant, member.member_id) % 50_000 == 0
    assert await lawful(db, tenant)


async def test_what_would_be_credited_otherwise_is_proposed_again(
    db: Database, keys: FileKeyStore, tenant: Tenant
) -> None:
    (member,) = await enrol(db, keys, tenant, ["sahyog"])
    receipt = await suspend(db, keys, tenant, NOBODY)
    made = await propose(db, keys, tenant, receipt, member)
    async with db.unit_of_work(tenant.tenant_id) as session:
        await identity.erase(session, member.member_id, actor="staff:1", business_date=date(2023, 4, 3))
        await session.execute(
            text("update memberships set moved_to = 'elsewhere' where member_id = :m"), {"m": member.member_id}
        )
    with pytest.raises(errors.OwnerDiffers):
        await service.confirm_owner(db, keys, tenant, made.proposal, digest=made.digest, actor="staff:2")


# -- what it earned


POOL = 'earns = "nothing"\nprice_of = "matched"\nreturn_goes_to = "scheme"\nreturn_after_days = 0'
BANK = """[[series]]
code = "bank-rate"
name = "Rate of the trustee bank, in percent"
unit = "percent"
source = "Invented"

[[channels]]
code = "upi"
"""
RATE = "effective_from,published_on,value,source,confidence\n2023-01-01,2023-01-01,6.0,Invented,high\n"


async def earning(db: Database, folder: Path, to: str = "member") -> Scheme:
    """The scheme, whose money without an owner earns 6 % a year, and goes back after 60 days."""
    pool = POOL.replace('"nothing"', '"simple-interest"\nseries = "bank-rate"').replace('"scheme"', f'"{to}"')
    scheme = await open_scheme(
        db,
        folder,
        "in-nps-lite",
        changes={
            "nps-lite/rules/2010-04-01.toml": (POOL, pool.replace("days = 0", "days = 60")),
            "pack.toml": ('[[channels]]\ncode = "upi"\n', BANK),
        },
    )
    await scheme.advance(date(2023, 4, 3))
    return scheme


async def approve_rate(scheme: Scheme) -> None:
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        told = await tenancy.propose_figures(
            session, scheme.tenant, "bank-rate", RATE.encode(), name="rates.csv", actor="staff:1"
        )
        for point in told.proposed:
            await tenancy.accept_figure(session, scheme.tenant, point, actor="staff:2")


async def show(scheme: Scheme, amount: str, reference: str) -> None:
    """The bank's statement shows a payment."""
    raw = f"date,reference,amount,currency\n2023-04-03,{reference},{amount},INR\n".encode()
    await reconciliation.import_statement(
        scheme.db, scheme.tenant, scheme.keys, TabularStatements(), raw, "upi.csv", "upi", "staff:3"
    )


async def moved(scheme: Scheme) -> list[tuple[int, str, str, int]]:
    """(kind of event, debited, credited, amount) of what was given out of suspense, earned there, and taken back."""
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        rows = await session.execute(
            text("""select e.kind, d.kind, c.kind, t.amount from events e
                      join transfers t on t.member_id = e.member_id and t.event_id = e.event_id
                      join chart d on d.tenant_id = e.tenant_id and d.code = t.debit
                      join chart c on c.tenant_id = e.tenant_id and c.code = t.credit
                     where e.kind in (12, 13, 305) order by e.event_id, t.line""")
        )
        return [(row[0], row[1], row[2], row[3]) for row in rows]


async def test_what_it_earned_goes_along_and_is_invested_with_it(db: Database, tmp_path: Path) -> None:
    scheme = await earning(db, tmp_path)
    member = await scheme.enrol(group="sahyog")
    payment = pays(NOBODY)
    (waits,) = await send(db, scheme.keys, scheme.tenant, payment)
    assert isinstance(waits, Receipt)
    await show(scheme, "500.00", payment.reference)
    await scheme.advance(date(2023, 5, 3))
    with pytest.raises(SeriesValueMissing):
        await scheme.resolve(waits, member)
    await approve_rate(scheme)

    async with db.unit_of_work(scheme.tenant.tenant_id) as session:
        made = await service.propose_owner(
            session, scheme.keys, scheme.tenant, int(waits.receipt), member=member, actor="staff:1"
        )
    # 500.00 × 6 % × 30 ÷ 365, rounded down; a day in which nobody confirms earns nothing.
    assert (made.earned, made.matched_on) == ("2.46", date(2023, 5, 3))
    await scheme.advance(date(2023, 5, 4))
    given_to = await service.confirm_owner(
        db, scheme.keys, scheme.tenant, made.proposal, digest=made.digest, actor="staff:2"
    )
    assert given_to.amount == "500.00"
    assert await moved(scheme) == [(12, "suspense", "cash", 50_000), (305, "interest-reserve", "cash", 246)]

    await reconciliation.match_statements(db, scheme.tenant)
    await scheme.deal(date(2023, 5, 4))
    await scheme.advance(date(2023, 5, 5))
    await scheme.prices(date(2023, 5, 5), {"SM001009": "10.0000"})
    await scheme.deal(date(2023, 5, 5))
    async with db.unit_of_work(scheme.tenant.tenant_id) as session:
        bought = await session.execute(text("select sum(amount), count(distinct dealing_id) from allocations"))
        assert tuple(bought.one()) == (50_246, 1)
    assert await lawful(db, scheme.tenant)

    # Charged back afterwards, it takes what it earned with it.
    async with db.unit_of_work(scheme.tenant.tenant_id) as session:
        back = await service.propose_reversal(
            session, scheme.tenant, int(waits.receipt), reason="charged-back", actor="staff:1"
        )
    assert (
        await service.confirm_reversal(
            db, scheme.keys, scheme.tenant, int(waits.receipt), digest=back.digest, actor="staff:2"
        )
    ).state == "selling"
    await scheme.deal(date(2023, 5, 5))
    await scheme.advance(date(2023, 5, 8))
    await scheme.prices(date(2023, 5, 8), {"SM001009": "10.0000"})
    await scheme.deal(date(2023, 5, 8))
    assert await service.carry_on_reversals(db, scheme.keys, scheme.tenant) == 1
    reversed_by = [one for one in await moved(scheme) if one[0] == 13]
    assert sorted(reversed_by) == [(13, "cash", "collections", 50_000), (13, "cash", "interest-reserve", 246)]
    assert await lawful(db, scheme.tenant)


async def test_taken_back_before_it_was_invested_it_earned_nothing(db: Database, tmp_path: Path) -> None:
    scheme = await earning(db, tmp_path)
    await approve_rate(scheme)
    member = await scheme.enrol(group="sahyog")
    waits = await scheme.pay(NOBODY, "500.00")
    await scheme.advance(date(2023, 5, 3))
    await scheme.resolve(waits, member)
    async with db.unit_of_work(scheme.tenant.tenant_id) as session:
        back = await service.propose_reversal(
            session, scheme.tenant, int(waits.receipt), reason="charged-back", actor="staff:1"
        )
    done = await service.confirm_reversal(
        db, scheme.keys, scheme.tenant, int(waits.receipt), digest=back.digest, actor="staff:2"
    )
    assert (done.state, done.owed) == ("reversed", "0.00")
    reversed_by = [one for one in await moved(scheme) if one[0] == 13]
    assert sorted(reversed_by) == [(13, "cash", "collections", 50_000), (13, "cash", "interest-reserve", 246)]
    assert await lawful(db, scheme.tenant)


async def test_what_stays_with_the_scheme_moves_nothing(db: Database, tmp_path: Path) -> None:
    scheme = await earning(db, tmp_path, to="scheme")
    await approve_rate(scheme)
    member = await scheme.enrol(group="sahyog")
    waits = await scheme.pay(NOBODY, "500.00")
    await scheme.advance(date(2023, 5, 3))
    await scheme.resolve(waits, member)
    assert await moved(scheme) == [(12, "suspense", "cash", 50_000)]


def test_a_fund_sells_no_units_at_the_price_of_a_day_gone_by(tmp_path: Path) -> None:
    for product, found in (("in-nps-lite", 1), ("rw-ejoheza", 0)):
        copy = tmp_path / product
        shutil.copytree(PACKS / product, copy)
        for page in copy.glob("*/rules/*.toml"):
            page.write_text(page.read_text().replace('price_of = "matched"', 'price_of = "received"'))
        problems = price_problems(load_pack(copy, KINDS))
        assert [(one.file, one.key) for one in problems] == [
            ("nps-lite/rules/2010-04-01.toml", "suspense.price_of")
        ] * found


# -- what is published


async def test_the_figures_tell_how_much_waits_how_long_and_why(db: Database, tmp_path: Path) -> None:
    scheme = await earning(db, tmp_path)
    member = await scheme.enrol(group="sahyog")
    first = await scheme.pay(NOBODY, "500.00")
    given_away = await scheme.pay(NOBODY, "700.00")
    async with db.unit_of_work(scheme.tenant.tenant_id) as session:
        empty = await service.suspense_figures(session, scheme.tenant)
    assert (empty.count, empty.amount, [one.code for one in empty.by_age]) == (
        2,
        "1200.00",
        ["0-7", "8-30", "31-90", "91-365", "366-"],
    )
    await approve_rate(scheme)
    await scheme.resolve(given_away, member)
    await scheme.advance(date(2023, 4, 3) + timedelta(days=60))
    typo = await scheme.pay(swapped(member), "100.00")
    async with db.unit_of_work(scheme.tenant.tenant_id) as session:
        told = await service.suspense_figures(session, scheme.tenant)
        listed = await service.list_suspense(session, scheme.tenant)
    assert (told.count, told.amount, told.oldest_on) == (2, "600.00", date(2023, 4, 3))
    assert [(one.code, one.count, one.amount) for one in told.by_reason] == [
        ("bad-check-digit", 1, "100.00"),
        ("unknown-member", 1, "500.00"),
    ]
    assert [(one.count, one.amount) for one in told.by_age] == [
        (1, "100.00"),
        (0, "0.00"),
        (1, "500.00"),
        (0, "0.00"),
        (0, "0.00"),
    ]
    assert (told.owed_back.count, told.owed_back.amount) == (1, "500.00")
    assert [(one.receipt, one.is_owed_back) for one in listed] == [(first.receipt, True), (typo.receipt, False)]
