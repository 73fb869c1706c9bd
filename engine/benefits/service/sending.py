"""Sending payouts by wallets' operators, and asking operators whose an account is; each by an exchange."""

from uuid import UUID, uuid5

import msgspec
from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncSession

from engine.benefits.ports import Payouts
from engine.benefits.queries import paying as queries
from engine.benefits.queries.paying import PayoutRow
from engine.benefits.rules.paying import AMOUNT_DIFFERS, CONTRADICTED, NameState, PayoutState, states_other
from engine.benefits.service.homing import bring_home
from engine.benefits.service.paying import PAYEE_CHECKS, Payers, Question, compared, decimal_of, opened
from engine.contributions.ports import AccountCheck, HolderState
from engine.kernel.ids import claim_digest
from engine.kernel.outcomes import Answer, RequestState
from engine.runtime.database import Database
from engine.runtime.exchanges.engine import Operation, Settled
from engine.runtime.key_file import FileKeyStore
from engine.runtime.logging import get_logger
from engine.tenancy.service import Tenant

_ACTOR = "system:payouts"
_MOST_CHECKS = 500
_log = get_logger(__name__)


def payout_operation(payouts: Payouts, tenant: Tenant, keys: FileKeyStore) -> Operation:
    """Return how exchanges send payouts by an adapter; what was refused comes home, what succeeded waits for the statement."""

    def question_of(raw: bytes) -> Question:
        return msgspec.json.decode(raw, type=Question)

    async def settle(session: AsyncSession, settled: Settled) -> None:
        row = await queries.find_payout(session, settled.reference, lock=True)
        assert row is not None, settled.reference
        if settled.answer.state is RequestState.SUCCEEDED:
            await _sent(session, tenant, row, settled.answer)
        elif row.settled_event:
            _log.error("an operator refuses what a statement shows", tenant=tenant.code, payout=str(row.payout_id))
            await queries.note(session, row.payout_id, state=row.state, reason=CONTRADICTED)
        else:
            reason = (settled.answer.reason or "other")[:60]
            await bring_home(session, keys, tenant, [row], reason=reason, actor=_ACTOR)

    return Operation(
        ask=lambda raw, url: payouts.send(question_of(raw).wanted, callback_url=url),
        enquire=lambda raw, last, url: payouts.enquire(question_of(raw).wanted, last, callback_url=url),
        settle=settle,
        read_callback=payouts.read_callback,
        read_enquiry_callback=payouts.read_enquiry_callback,
    )


async def _sent(session: AsyncSession, tenant: Tenant, row: PayoutRow, answer: Answer) -> None:
    """Note what the operator confirms; where it names another amount, only a statement tells what is true."""
    amount = decimal_of(tenant, row.amount)
    differs = states_other(answer.amount, answer.currency, amount=amount, symbol=tenant.asset.symbol)
    if differs:
        _log.error("an operator confirms another amount", tenant=tenant.code, payout=str(row.payout_id))
    state = row.state if row.settled_event else PayoutState.PENDING if differs else PayoutState.SUCCEEDED
    await queries.note(
        session,
        row.payout_id,
        state=state,
        reason=AMOUNT_DIFFERS if differs else "",
        provider_digest=claim_digest(tenant.tenant_id, f"provider:{row.account}", answer.provider_ref),
    )


# -- whose the account is


class _Check(Struct, frozen=True, kw_only=True):
    """What an exchange of a check keeps."""

    payout_id: UUID
    msisdn: str

    def __repr__(self) -> str:
        return f"_Check({self.payout_id})"


def check_operation(accounts: AccountCheck, tenant: Tenant, keys: FileKeyStore) -> Operation:
    """Return how exchanges ask whose an account is; the name is compared where the answer is stored, and kept nowhere else."""

    async def ask(raw: bytes, _url: str) -> Answer:
        check = msgspec.json.decode(raw, type=_Check)
        holder = await accounts.holder(check.msisdn)
        if holder.state is HolderState.UNKNOWN:
            return Answer(state=RequestState.CREATED, reason=holder.reason)
        return Answer(
            state=RequestState.SUCCEEDED,
            provider_ref=f"check:{check.payout_id}",
            account=holder.name,
            code=holder.state,
        )

    async def settle(session: AsyncSession, settled: Settled) -> None:
        check = msgspec.json.decode(settled.question, type=_Check)
        row = await queries.find_payout(session, check.payout_id, lock=True)
        assert row is not None, check.payout_id
        if settled.answer.code == HolderState.ACTIVE:
            name = compared(opened(keys, tenant, row).payload, settled.answer.account, row.least_match_bp)
        else:
            name = (NameState.DIFFERS, 0)  # nobody's, or closed: it is not the payee's to be paid on
        await queries.note_name(session, row.payout_id, name_state=name[0], name_bp=name[1])

    return Operation(ask=ask, enquire=lambda raw, _last, url: ask(raw, url), settle=settle)


async def check_names(db: Database, keys: FileKeyStore, tenant: Tenant, payers: Payers) -> int:
    """Have the names of accounts that wait for it checked; return how many were begun or decided.

    Where the operator tells none, the name that was told with the account is compared, or people look at it.
    """
    async with db.unit_of_work(tenant.tenant_id) as session:
        waiting = await queries.unchecked(session, most=_MOST_CHECKS)
        for row in waiting:
            payload = opened(keys, tenant, row).payload
            if row.rail in payers.checks:
                check = _Check(payout_id=row.payout_id, msisdn=payload.account.number)
                await payers.exchanges.open(
                    session,
                    counterparty=row.rail,
                    operation=PAYEE_CHECKS,
                    reference=check_reference(row.payout_id),
                    question=msgspec.json.encode(check),
                )
            else:
                state, match_bp = compared(payload, payload.account.holder, row.least_match_bp)
                await queries.note_name(session, row.payout_id, name_state=state, name_bp=match_bp)
        await queries.begin_checks(session, [row.payout_id for row in waiting])
        return len(waiting)


def check_reference(payout_id: UUID) -> UUID:
    """Return our reference of the check of a payout's account."""
    return uuid5(payout_id, PAYEE_CHECKS)
