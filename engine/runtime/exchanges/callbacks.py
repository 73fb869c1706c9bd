"""Takes what the outside sends: kept raw in one insert and answered at once; read afterwards, and never believed.

A callback to a request's address wakes an enquiry. One to an enquiry's address is the enquiry's answer only if it names
what the counterparty called that enquiry, and once. One to a standing address wakes the request that it names, or
opens one that confirms what it claims.
"""

import hashlib
from collections.abc import Callable
from typing import TypeVar
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from engine.kernel.outcomes import Hint, RequestState
from engine.kernel.transport import Callback
from engine.runtime.exchanges import queries, rules
from engine.runtime.exchanges.engine import Exchanges, Operation, address_digest
from engine.runtime.exchanges.queries import Address, StoredCallback
from engine.runtime.exchanges.rules import Purpose
from engine.runtime.logging import get_logger
from engine.runtime.sealing import seal, unseal

BODY_BYTES_MAX = 256 * 1024
"""Longer bodies are refused before they come here: no operator's is."""

_TABLE = "callbacks"
_Read = TypeVar("_Read")
_log = get_logger(__name__)


async def take(exchanges: Exchanges, tenant_id: int, counterparty: str, secret: str, callback: Callback) -> None:
    """Keep a callback as it came. Whatever it is, the answer is the same, so nothing can be learned from it."""
    await _keep(exchanges, tenant_id, counterparty, address_digest(tenant_id, secret), secret, callback)


async def take_ours(
    exchanges: Exchanges, tenant_id: int, counterparty: str, operation: str, callback: Callback
) -> None:
    """Keep what came by a connection that we hold, as `take` keeps what came to an address."""
    async with exchanges.db.unit_of_work(tenant_id) as session:
        address = await exchanges.own_address(session, counterparty=counterparty, operation=operation)
    await _keep(exchanges, tenant_id, counterparty, address, "", callback)


async def _keep(
    exchanges: Exchanges, tenant_id: int, counterparty: str, address: UUID, secret: str, callback: Callback
) -> None:
    # A signature tells callbacks apart: the same words without a true one, sent first, must not shut those with it out.
    signed = "".join(f"\n{name}:{value}" for name, value in sorted(callback.headers.items()) if "signature" in name)
    query = f"\n?{callback.query}" if callback.query else ""
    told = address.bytes + secret.encode() + callback.body + signed.encode() + query.encode()
    digest = UUID(bytes=hashlib.sha256(told).digest()[:16])
    sealed = seal(exchanges.keys, tenant_id, _TABLE, digest, msgspec.json.encode(callback))
    async with exchanges.db.unit_of_work(tenant_id) as session:
        if not await queries.insert_callback(session, digest, address, counterparty, sealed):
            _log.warning("a callback was not kept: no such address, or kept before", adapter=counterparty)


async def read_all(exchanges: Exchanges, tenant_id: int) -> int:
    """Read every callback of the tenant that was kept and not read; return how many."""
    count = 0
    while await _read_one(exchanges, tenant_id):
        count += 1
    return count


async def _read_one(exchanges: Exchanges, tenant_id: int) -> bool:
    async with exchanges.db.unit_of_work(tenant_id) as session:
        stored = await queries.lock_unread(session, list(exchanges.counterparties))
        if stored is None:
            return False
        verdict, exchange_id = await _verdict(exchanges, session, stored)
        await queries.mark_read(session, stored.callback_id, verdict, exchange_id)
        return True


async def _verdict(exchanges: Exchanges, session: AsyncSession, stored: StoredCallback) -> tuple[str, int | None]:
    tenant_id: int = session.info["tenant_id"]
    address = await queries.find_address(session, stored.address)
    assert address is not None, stored.callback_id  # or it had not been kept
    raw = unseal(exchanges.keys, tenant_id, _TABLE, stored.digest, stored.document)
    callback = msgspec.json.decode(raw, type=Callback)
    operation = exchanges.counterparties[address.counterparty].operations[address.operation]
    if address.exchange_id is None:
        return await _read_standing(exchanges, session, address, operation, callback)
    if address.purpose is Purpose.ENQUIRY:
        return await _answer(exchanges, session, stored, address, operation, callback), address.exchange_id
    hint = _read(operation.read_callback, callback)
    return await _wake(exchanges, session, address.exchange_id, hint), address.exchange_id


async def _read_standing(
    exchanges: Exchanges, session: AsyncSession, address: Address, operation: Operation, callback: Callback
) -> tuple[str, int | None]:
    """Wake the request that a callback to a standing address names, or open the one that confirms what it claims."""
    hint = _read(operation.read_callback, callback)
    if hint is None:
        return "unreadable", None
    if hint.reference:
        row = await _find_named(session, address, hint.reference)
        return ("unreadable", None) if row is None else (await _wake(exchanges, session, row, hint), row)
    return await _open_claimed(exchanges, session, address, operation, hint), None


async def _find_named(session: AsyncSession, address: Address, reference: str) -> int | None:
    try:
        row = await queries.find_exchange(session, UUID(reference))
    except ValueError:
        return None
    return row.exchange_id if row and row.counterparty == address.counterparty else None


async def _open_claimed(
    exchanges: Exchanges, session: AsyncSession, address: Address, operation: Operation, hint: Hint
) -> str:
    """Open the request that confirms what a callback claims; the same claim opens one."""
    claimed = operation.claims(hint)
    if claimed is None:
        return "unreadable"
    reference, question = claimed
    opened = await exchanges.open(
        session, counterparty=address.counterparty, operation=address.operation, reference=reference, question=question
    )
    return "opened" if opened else "late"


async def _answer(
    exchanges: Exchanges,
    session: AsyncSession,
    stored: StoredCallback,
    address: Address,
    operation: Operation,
    callback: Callback,
) -> str:
    """Take the late answer to an enquiry, if it is one."""
    assert address.exchange_id is not None
    said = _read(operation.read_enquiry_callback, callback)
    if said is None:
        return "unreadable"
    if address.is_answered or not address.question or said.handle != address.question:
        return "not-asked"
    row = await queries.lock_exchange(session, address.exchange_id)
    if row.outcome.is_final:
        return "late"
    await queries.answer_question(session, stored.address)
    standing = rules.after_enquiry(exchanges.standing_of(session.info["tenant_id"], row), said)
    await exchanges.store(session, row, standing)
    return "answered"


async def _wake(exchanges: Exchanges, session: AsyncSession, exchange_id: int, hint: Hint | None) -> str:
    """Let the counterparty be asked now what a callback claims."""
    row = await queries.lock_exchange(session, exchange_id)
    if row.outcome.is_final:
        return "late" if hint else "unreadable"
    tenant_id: int = session.info["tenant_id"]
    known = exchanges.standing_of(tenant_id, row)
    hinted = rules.after_hint(known, hint.claimed) if hint else known
    answer = None
    if hinted is not known and hinted.outcome is not RequestState.CREATED:
        answer = exchanges.sealed_answer(tenant_id, row.reference, hinted.answer)
    await queries.wake(session, exchange_id, answer)
    return "woke" if hint else "unreadable"


def _read(read: Callable[[Callback], _Read | None], callback: Callback) -> _Read | None:
    """Return what an adapter reads; one that stumbles has read nothing, and holds up no other callback."""
    try:
        return read(callback)
    except Exception:  # noqa: BLE001 - whatever was sent, it is kept raw
        _log.exception("an adapter could not read a callback")
        return None
