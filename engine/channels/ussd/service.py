"""Answers one request of a gateway: one transaction, which shows the screen, does what the session ends in, and keeps both.

The session's row is locked from the first statement, so the same request sent twice, at once or later, is answered by
the screen that was kept, and nothing happens twice. A process that dies before the commit has done nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from uuid import UUID

import msgspec
from msgspec.structs import replace
from sqlalchemy.ext.asyncio import AsyncSession

from engine.channels.ussd import queries
from engine.channels.ussd.acting import ACTOR, Ended, Ending, act, named, today_of
from engine.channels.ussd.rules import (
    SCREENS_A_MINUTE,
    SCREENS_MAX,
    Holder,
    Kept,
    Menus,
    Shown,
    follow,
    spoken,
    start_of,
)
from engine.contributions.service import Collectors
from engine.identity import service as identity
from engine.kernel.amounts import Amount
from engine.notices.errors import ValueTooLong
from engine.notices.ports import Ussd, UssdEnd, UssdLine, UssdRequest, UssdScreen
from engine.notices.rules.contents import menus_of
from engine.notices.rules.gsm7 import money
from engine.notices.rules.menus import Menu, Position, begin, keepable, show
from engine.notices.rules.placeholders import written
from engine.runtime.database import Database, retry_transaction
from engine.runtime.key_file import FileKeyStore
from engine.runtime.sealing import seal, unseal
from engine.runtime.secrets import blind_index, keyed_digest
from engine.tenancy.service import Tenant

_TABLE = "ussd_sessions"
_menus: dict[str, Menus] = {}


@dataclass(frozen=True, slots=True)
class Line:
    """One scheme's menu and how its gateway reaches it."""

    tenant: Tenant
    gateway: Ussd
    config: UssdLine
    collectors: Collectors

    @property
    def menus(self) -> Menus:
        """Return the menus of the pack in force, by language; each version of a pack is read once."""
        pack = self.tenant.pack
        if pack.sha256 not in _menus:
            _menus[pack.sha256] = menus_of(pack)
        return _menus[pack.sha256]


@dataclass(frozen=True, slots=True)
class _Place:
    """Whose session a request is of, in words that only the tenant's keys can tell."""

    session_id: UUID
    phone: UUID

    @classmethod
    def of(cls, keys: FileKeyStore, tenant_id: int, session: str, phone: str) -> "_Place":
        key = keys.tenant(tenant_id).blind_index_key
        return cls(blind_index(key, "ussd-session", session), blind_index(key, "msisdn", phone))


async def answer(db: Database, keys: FileKeyStore, line: Line, request: UssdRequest) -> UssdScreen:
    """Return the screen for a request; the same request is answered alike and does nothing twice."""
    menus = line.menus

    async def run() -> UssdScreen:
        async with db.unit_of_work(line.tenant.tenant_id) as session:
            return await _answer(session, keys, line, menus, request)

    return await retry_transaction(run)


async def note_end(db: Database, keys: FileKeyStore, line: Line, end: UssdEnd) -> None:
    """Keep what a session cost. How it ended changes nothing: one that was cut off may go on for five minutes."""
    place = _Place.of(keys, line.tenant.tenant_id, end.session, "")
    try:
        cost = Decimal(end.cost)
    except InvalidOperation:
        return
    async with db.unit_of_work(line.tenant.tenant_id) as session:
        await queries.note_end(session, place.session_id, cost, end.currency)


def not_now(line: Line) -> UssdScreen:
    """Return the screen that says so, in the scheme's first language."""
    menu = next(iter(line.menus.values()))
    return UssdScreen(text=written(menu.not_now, menu.encoding), ends=True)


async def _answer(
    session: AsyncSession, keys: FileKeyStore, line: Line, menus: Menus, request: UssdRequest
) -> UssdScreen:
    tenant = line.tenant
    place = _Place.of(keys, tenant.tenant_id, request.session, request.phone)
    row = await queries.take_session(session, place.session_id, place.phone)
    if row is None or row.steps > SCREENS_MAX or len(request.inputs) > SCREENS_MAX:
        return not_now(line)
    if row.document is None:
        await queries.forget_old(session)
        if await queries.steps_lately(session, place.phone) > SCREENS_A_MINUTE:
            return not_now(line)
        kept = await _begun(session, keys, line, menus, place)
    else:
        kept = _opened(keys, tenant.tenant_id, place.session_id, row.document)
    typed = keyed_digest(
        keys.tenant(tenant.tenant_id).digest_key, "ussd-typed", msgspec.json.encode(request.inputs)
    ).hex()
    before = kept.shown.get(typed)
    if before is not None:
        return UssdScreen(text=before.text, ends=before.ends)
    position = follow(menus, kept.language, kept.base, request.inputs)
    language = spoken(menus, kept.language, position)
    screen = await _screen(session, keys, line, menus[language], language, kept, place, request, position)
    kept = replace(
        kept,
        where=keepable(menus[language], position),
        shown={**kept.shown, typed: Shown(text=screen.text, ends=screen.ends)},
    )
    await queries.keep_session(
        session,
        place.session_id,
        state="over" if screen.ends else "open",
        screen=position.screen,
        language=language,
        document=seal(keys, tenant.tenant_id, _TABLE, place.session_id, msgspec.json.encode(kept)),
    )
    return screen


async def _begun(session: AsyncSession, keys: FileKeyStore, line: Line, menus: Menus, place: _Place) -> Kept:
    """Return a new session, which goes on where the telephone's last one was cut off."""
    ids = await queries.holders(session, place.phone)
    people = await identity.read_people(session, keys, ids, actor=ACTOR, reason="ussd")
    holders = tuple(Holder(member_id=one, number=people[one].member_number) for one in ids if one in people)
    language = people[holders[0].member_id].person.language if len(holders) == 1 else ""
    if language not in menus:
        language = next(iter(menus))
    start = begin(menus[language], start_of(holders))
    before = await queries.take_over(session, place.session_id, place.phone)
    if before is not None:
        last = _opened(keys, line.tenant.tenant_id, *before)
        if last.holders == holders and _still_there(menus[language], last.where):
            return Kept(language=last.language, holders=holders, base=last.where, where=last.where)
    return Kept(language=language, holders=holders, base=start, where=start)


def _still_there(menu: Menu, where: Position) -> bool:
    """Return whether a place of a session is one of the menu that is in force now."""
    screens = {one.id for one in menu.screen}
    return {where.start, where.screen, *(step.screen for step in where.way)} <= screens


async def _screen(
    session: AsyncSession,
    keys: FileKeyStore,
    line: Line,
    menu: Menu,
    language: str,
    kept: Kept,
    place: _Place,
    request: UssdRequest,
    position: Position,
) -> UssdScreen:
    """Return the screen of a position, after what it ends the session in was done."""
    action = menu.at(position.screen).action
    ended = Ended({})
    if action is not None:
        ending = Ending(
            session=session,
            keys=keys,
            tenant=line.tenant,
            collectors=line.collectors,
            channel=_channel(line, request.network),
            request=request,
            session_id=place.session_id,
            phone=place.phone,
            menu=menu,
            language=language,
            answers=position.answers,
            today=await today_of(session, line.tenant),
            member=named(kept.holders, position.answers),
        )
        ended = await act(action, ending)
    if ended.line:
        return UssdScreen(text=written(ended.line, menu.encoding), ends=True)
    try:
        return show(menu, position, {**_values(line.tenant, position), **ended.values})
    except ValueTooLong:
        return UssdScreen(text=written(menu.not_now, menu.encoding), ends=True)


def _values(tenant: Tenant, position: Position) -> Mapping[str, str]:
    """Return what every screen may show: the scheme, and an amount typed before as money."""
    values = {"scheme": tenant.pack.manifest.short_name}
    amount = position.answers.get("amount")
    if amount:
        values["amount"] = money(Amount.parse(amount, tenant.asset))
    return values


def _channel(line: Line, network: str) -> str:
    """Return the channel by which this telephone pays: what the line names for its operator, else the only one there is."""
    only: Sequence[str] = list(line.collectors.by_channel)
    return line.config.channel(network) or (only[0] if len(only) == 1 else "")


def _opened(keys: FileKeyStore, tenant_id: int, session_id: UUID, document: bytes) -> Kept:
    return msgspec.json.decode(unseal(keys, tenant_id, _TABLE, session_id, document), type=Kept)
