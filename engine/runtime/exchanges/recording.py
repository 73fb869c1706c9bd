"""The transport that adapters are given: every message of an exchange is kept, what goes out before it goes.

Which exchange a message belongs to is known from the task that sends it, so an adapter passes nothing on.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

import msgspec

from engine.kernel.file_drops import StagedDrop
from engine.kernel.files import NamedFile
from engine.kernel.transport import Transport, Unanswered, Unreachable, WireRequest, WireResponse
from engine.runtime.database import Database
from engine.runtime.exchanges import queries
from engine.runtime.exchanges.rules import Purpose
from engine.runtime.sealing import seal
from engine.runtime.secrets import KeyStore

_CREDENTIALS = frozenset(
    "authorization ocp-apim-subscription-key x-api-key x-key x-user-bearer cookie set-cookie".split()
)
HIDDEN = "(not recorded)"


@dataclass(slots=True)
class Call:
    """One call of a counterparty for an exchange, and how many messages it has had."""

    tenant_id: int
    exchange_id: int
    lease: int
    purpose: Purpose
    messages: int = field(default=0)


_current: ContextVar[Call | None] = ContextVar("exchange call", default=None)


@asynccontextmanager
async def calling(call: Call) -> AsyncIterator[None]:
    """Let what is sent inside belong to `call`."""
    token = _current.set(call)
    try:
        yield
    finally:
        _current.reset(token)


class _Record:
    """Keeps messages in `db`, sealed by `keys`."""

    def __init__(self, db: Database, keys: KeyStore) -> None:
        self._db, self._keys = db, keys

    async def keep(self, call: Call, kind: str, document: bytes, *, marks: bool = False) -> None:
        call.messages += 1
        row_id = message_id(call.exchange_id, call.lease, call.messages)
        sealed = seal(self._keys, call.tenant_id, "exchange_messages", row_id, document)
        async with self._db.unit_of_work(call.tenant_id) as session:
            if marks and not await queries.mark_sent(session, call.exchange_id, call.lease):
                raise Unreachable("another has the lease")
            await queries.insert_message(session, call.exchange_id, call.lease, call.messages, kind, sealed)


class RecordedDelivery:
    """Leaves files in a place, and keeps what was left: it is staged first, so that a crash never leaves open what went."""

    def __init__(self, drop: StagedDrop, db: Database, keys: KeyStore) -> None:
        """Leave in `drop`, keep in `db`, sealed by `keys`."""
        self._drop, self._record = drop, _Record(db, keys)

    async def deliver(self, file: NamedFile) -> bool:
        """Leave a file for the exchange that is being called for, once; return False if it was left before.

        Raises:
            NameTaken: other bytes lie there under that name.
            Unreachable: it was not left; or another process has taken the exchange over, and this one must not.
            Unanswered: whether it was left is not known; an enquiry that hands it over once more tells.
        """
        call = _current.get()
        assert call is not None, file.name
        if call.purpose is Purpose.REQUEST:
            await self._drop.stage(file)
            shown = msgspec.json.encode({"name": file.name, "sha256": file.sha256, "bytes": file.raw})
            await self._record.keep(call, "sent", shown, marks=True)
        try:
            is_new = await self._drop.hand_over(file)
        except Unreachable as error:
            await self._record.keep(call, "unreachable", str(error).encode())
            raise
        except Unanswered as error:
            await self._record.keep(call, "unanswered", str(error).encode())
            raise
        await self._record.keep(call, "received", msgspec.json.encode({"name": file.name, "is_new": is_new}))
        return is_new


class RecordedTransport:
    """Sends by another transport, and keeps what went and came."""

    def __init__(self, transport: Transport, db: Database, keys: KeyStore) -> None:
        """Send by `transport`, keep in `db`, sealed by `keys`."""
        self._transport, self._record = transport, _Record(db, keys)

    async def send(self, request: WireRequest) -> WireResponse:
        """Return the answer.

        Raises:
            Unreachable: as the transport beneath; or another process has taken the exchange over, and this one, late
                as it is, must not send.
            Unanswered: as the transport beneath.
        """
        call = _current.get()
        if call is None or request.is_secret:
            return await self._transport.send(request)
        marks = call.purpose is Purpose.REQUEST and (request.method != "GET" or request.acts)
        await self._record.keep(call, "sent", _shown(request), marks=marks)
        try:
            response = await self._transport.send(request)
        except Unreachable as error:
            await self._record.keep(call, "unreachable", str(error).encode())
            raise
        except Unanswered as error:
            await self._record.keep(call, "unanswered", str(error).encode())
            raise
        await self._record.keep(call, "received", _shown(response))
        return response


def message_id(exchange_id: int, call_no: int, message_no: int) -> str:
    """Return the name of the place that a message is sealed for."""
    return f"{exchange_id}/{call_no}/{message_no}"


def _shown(message: WireRequest | WireResponse) -> bytes:
    """Return the message whole but for credentials in its headers."""
    headers = {name: HIDDEN if name.lower() in _CREDENTIALS else value for name, value in message.headers.items()}
    return msgspec.json.encode(msgspec.structs.replace(message, headers=headers))
