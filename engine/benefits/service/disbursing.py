"""An approved payroll is paid: payouts are made in its checker's name, and leave once their account's name is known.

One approval stands for all: the payroll's digest covers who is paid how much to which account. What needs a person to
look at it (a name that does not agree) stays among the payouts that wait for one.
"""

import hashlib
from datetime import date
from uuid import uuid4

import msgspec

from engine.benefits.queries import disbursing as queries
from engine.benefits.queries import payroll
from engine.benefits.queries.disbursing import NewPayout
from engine.benefits.queries.paying import AccountHistory
from engine.benefits.queries.payroll import PayrollRow, Waiting
from engine.benefits.rules import PayoutRouteRule
from engine.benefits.rules.paying import NameState, Part, Payee, Payload, PayoutState
from engine.benefits.service.paying import (
    PAYOUTS,
    Document,
    Payers,
    account_of,
    entry_of,
    into_transit,
    known_account,
    name_rule,
    not_before_of,
    opened,
    question_of,
    told_name,
)
from engine.benefits.service.payroll import post_payroll
from engine.enrolment import service as enrolment
from engine.identity import service as identity
from engine.identity.rules import VaultDocument
from engine.kernel.clock import SystemClock, business_date
from engine.kernel.ids import claim_digest
from engine.kernel.rules import Dates
from engine.ledger import service as ledger
from engine.ledger.rules import EventKind, Outcome
from engine.runtime import quarantine
from engine.runtime.database import Database, retry_transaction
from engine.runtime.key_file import FileKeyStore
from engine.runtime.sealing import seal, unseal
from engine.tenancy.rules.books import InForce
from engine.tenancy.service import Tenant

CHUNK = 500
RELEASE = "benefits.release_payouts"
"""The work that puts aside a payout which is not what was approved; the others leave."""


async def carry_on_payrolls(db: Database, keys: FileKeyStore, tenant: Tenant, payers: Payers) -> int:
    """Post approved payrolls, make their payouts and let leave those that may; return how many steps were taken.

    Each in transactions of its own; may be stopped and run again, and run twice at once.
    """
    async with db.unit_of_work(tenant.tenant_id) as session:
        runs = await payroll.approved_runs(session)
    done = 0
    for run_no in runs:
        done += await post_payroll(db, tenant, run_no)
        while made := await _make_chunk(db, keys, tenant, run_no):
            done += made
        async with db.unit_of_work(tenant.tenant_id) as session:
            done += await payroll.finish_run(session, run_no)
    while left := await _release_chunk(db, keys, tenant, payers):
        done += left
    return done


async def _make_chunk(db: Database, keys: FileKeyStore, tenant: Tenant, run_no: int) -> int:
    async def once() -> int:
        async with db.unit_of_work(tenant.tenant_id) as session:
            run = await payroll.find_run(session, run_no)
            if run is None or run.state != "approved" or await payroll.ranges_left(session, run_no, posting=True):
                return 0
            waiting, unfit = await payroll.take_waiting(session, run_no, most=CHUNK)
            if not waiting:
                return unfit
            now = await ledger.scheme_now(session)
            today = business_date(now, tenant.time_zone)
            people = await identity.read_people(
                session, keys, [one.member_id for one in waiting], actor=run.maker, reason="payout"
            )
            rules = {
                one.ref: one
                for one in tenant.rules(PayoutRouteRule, product=run.product, dates=Dates(on=run.counted_on))
            }
            made = [
                _payout(keys, tenant, run, one, people[one.member_id], rules.get(one.rule), today)
                for one in waiting
                if one.member_id in people
            ]
            await queries.add_payouts(session, made, maker=run.maker, made_on=today)
            entries = [
                await entry_of(
                    session, tenant, EventKind.PAYOUT_INSTRUCTED, one.payload, actor=run.maker,
                    rules=_refs(one.rule), claim="instructed", now=now,
                )
                for one in made
            ]  # fmt: skip
            await ledger.post(session, entries)
            await payroll.note_made(session, run_no, [(one.claim_id, one.payload.payout_id) for one in made])
            erased = [one.claim_id for one in waiting if one.member_id not in people]
            await payroll.drop_payments(session, run_no, erased)
            return len(waiting) + unfit

    return await retry_transaction(once)


def _payout(
    keys: FileKeyStore,
    tenant: Tenant,
    run: PayrollRow,
    one: Waiting,
    person: VaultDocument,
    rule: InForce[PayoutRouteRule] | None,
    today: date,
) -> NewPayout:
    payee = msgspec.json.decode(
        unseal(keys, tenant.tenant_id, "pension_schedules", one.claim_id, one.payee), type=Payee
    )
    account = next(
        account for account in payee.accounts if known_account(keys, tenant, account)[1] == one.account_digest
    )
    payload = Payload(
        payout_id=uuid4(),
        member_id=one.member_id,
        member=person.member_number,
        product=run.product,
        source=f"pension:{one.claim_id}:{run.run_no}",
        currency=tenant.asset.symbol,
        amount=one.amount,
        parts=tuple(Part(*part) for part in one.parts),
        payee_name=payee.name or person.person.full_name,
        account=known_account(keys, tenant, account)[0],
        claim=one.claim_id if one.heir_no else 0,
        heir=one.heir_no,
    )
    history = AccountHistory(one.was_paid, one.named_on, one.other_was_paid)
    least_bp, waits = name_rule(rule, history)
    name, match_bp = told_name(tenant, payload, least_bp) if waits else (NameState.NOT_ASKED, None)
    asked = hashlib.sha256(payload.source.encode()).hexdigest()
    document = Document(payload=payload, asked=asked, stays=0, is_members=not payee.name)
    return NewPayout(
        claim_id=one.claim_id,
        payload=payload,
        sealed=seal(keys, tenant.tenant_id, "payouts", payload.payout_id, msgspec.json.encode(document)),
        account_digest=one.account_digest,
        least_match_bp=least_bp,
        name_state=name,
        name_bp=match_bp,
        not_before=not_before_of(rule, history, today),
        rule=one.rule,
    )


async def _release_chunk(db: Database, keys: FileKeyStore, tenant: Tenant, payers: Payers) -> int:
    async def once() -> int:
        async with db.unit_of_work(tenant.tenant_id) as session:
            now = await ledger.scheme_now(session)
            rails = sorted({*payers.wallets, *payers.banks})
            found = await queries.releasable(session, business_date(now, tenant.time_zone), rails, RELEASE, most=CHUNK)
            if not found:
                return 0
            dead = await enrolment.suspended(session, [row.member_id for row, _ in found])
            leaving = []
            for row, checker in found:
                payload = opened(keys, tenant, row).payload
                if payload.digest() != row.digest:
                    await quarantine.put_aside(
                        session, row.member_id, task=RELEASE, subject=str(row.payout_id), reason="payout-differs",
                        owner="payout-checker",
                    )  # fmt: skip
                else:
                    leaving.append((payload, row.rules, checker, not payload.heir and row.member_id in dead))
            entries = []
            for payload, rules, checker, is_dead in leaving:
                kind, claim = (
                    (EventKind.PAYOUT_REFUSED, "refused") if is_dead else (EventKind.PAYOUT_APPROVED, "approved")
                )
                entry = await entry_of(session, tenant, kind, payload, actor=checker, rules=rules, claim=claim, now=now)
                if not is_dead:
                    entry = msgspec.structs.replace(entry, transfers=await into_transit(session, tenant, payload))
                entries.append(entry)
            fates = await ledger.post(session, entries)
            decided = []
            for (payload, _, checker, is_dead), fate in zip(leaving, fates, strict=True):
                goes = not is_dead and fate.outcome is Outcome.POSTED
                account = account_of(payers, payload.account.rail) if goes else ""
                wallet = payload.account.rail in payers.wallets
                reference = str(payload.payout_id) if wallet else payload.payout_id.hex
                decided.append(
                    queries.Decided(
                        payout_id=payload.payout_id,
                        state=PayoutState.APPROVED if goes else PayoutState.REFUSED,
                        checker=checker,
                        approved_event=fate.event_id if goes else 0,
                        account=account,
                        reference_digest=claim_digest(tenant.tenant_id, f"provider:{account}", reference)
                        if goes
                        else None,
                    )
                )
            await queries.decide_payouts(session, decided)
            going = {one.payout_id for one in decided if one.state is PayoutState.APPROVED}
            for rail in sorted(payers.wallets):
                asked = [
                    (payload.payout_id, question_of(tenant, payload), SystemClock().now())
                    for payload, *_ in leaving
                    if payload.account.rail == rail and payload.payout_id in going
                ]
                if asked:
                    await payers.exchanges.open_many(session, counterparty=rail, operation=PAYOUTS, asked=asked)
            return len(found)

    return await retry_transaction(once)


def _refs(rule: str) -> tuple[str, ...]:
    return (rule,) if rule else ()
