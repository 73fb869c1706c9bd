"""What a session on a telephone ends in: services that are there for everybody, called in the session's transaction."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from engine.channels.ussd import desk, pins, queries
from engine.channels.ussd.pins import Tried
from engine.channels.ussd.rules import LAST_PAYMENTS, Asked, Holder, fitting, last_payments
from engine.contributions import service as contributions
from engine.contributions.errors import AmountNotPositive, CannotCollect
from engine.contributions.rules import Ask
from engine.contributions.service import Collectors
from engine.enrolment import service as enrolment
from engine.identity import service as identity
from engine.identity.rules import MemberRef
from engine.kernel.amounts import Amount
from engine.kernel.clock import business_date
from engine.kernel.errors import EngineError, Refused
from engine.ledger import service as ledger
from engine.ledger.rules import EventKind
from engine.notices import service as notices
from engine.notices.ports import UssdRequest
from engine.notices.rules.contents import GUARDED, lessons_of
from engine.notices.rules.gsm7 import money
from engine.notices.rules.menus import MEMBER_NUMBER, PIN, Menu
from engine.reports import service as reports
from engine.runtime.database import driver
from engine.runtime.key_file import FileKeyStore
from engine.tenancy.service import Tenant

ACTOR = "system:ussd"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """All that an action knows: whose session it is, where it ended, what was typed on the way."""

    session: AsyncSession
    keys: FileKeyStore
    tenant: Tenant
    collectors: Collectors
    channel: str
    request: UssdRequest
    session_id: UUID
    phone: UUID
    menu: Menu
    language: str
    answers: Mapping[str, str]
    today: date
    member: Holder | None = None

    @property
    def known(self) -> Holder:
        """Return the member, who gave the PIN."""
        assert self.member is not None
        return self.member

    def asked(self, **more: str) -> Asked:
        """Return what people are told of this session."""
        return Asked(phone=self.request.phone, language=self.language, **more)


@dataclass(frozen=True, slots=True)
class Ended:
    """How an action ended: with values for its screen, or with another line in its place."""

    values: Mapping[str, str]
    line: str = ""


async def act(action: str, ending: Ending) -> Ended:
    """Do what a session ends in; what is guarded only for whoever gives the right PIN.

    A refusal of the services changes nothing and is told on the screen where it is short enough.
    """
    if action in GUARDED:
        line = await _unproven(ending)
        if line:
            return Ended({}, line)
    try:
        async with (await driver(ending.session)).transaction():  # a refusal takes back what came before it
            values = await _ACTIONS[action](ending)
    except EngineError as error:
        return Ended({}, _told(error, ending) or ending.menu.not_now)
    return Ended({}, ending.menu.nothing) if values is None else Ended(values)


def named(ending_holders: tuple[Holder, ...], answers: Mapping[str, str]) -> Holder | None:
    """Return the member of the telephone whom the session is of, as far as it says; None if it says somebody else."""
    number = answers.get(MEMBER_NUMBER, "")
    if number:
        return next((one for one in ending_holders if one.number == number), None)
    return ending_holders[0] if len(ending_holders) == 1 else None


async def _unproven(ending: Ending) -> str:
    """Return the line that ends the session of whoever did not give the right PIN, else ""."""
    if ending.member is None:
        return ending.menu.wrong_pin
    tried = await pins.try_pin(
        ending.session, ending.keys, ending.tenant.tenant_id, ending.phone, ending.member.member_id, ending.answers[PIN]
    )
    if tried is Tried.LOCKED_NOW:
        await _ask(ending, "locked")
    if tried is Tried.RIGHT:
        return ""
    return ending.menu.wrong_pin if tried is Tried.WRONG else ending.menu.locked


def _told(error: EngineError, ending: Ending) -> str:
    """Return a refusal as a screen shows it, "" where whoever holds the telephone could do nothing about it."""
    if isinstance(error, CannotCollect) or not isinstance(error, Refused | AmountNotPositive):
        return ""
    sentence = ending.tenant.translator(ending.language).gettext(error.message)
    try:
        return fitting(sentence.format(**error.details), ending.menu.encoding)
    except (KeyError, IndexError):
        return ""


async def _ask(ending: Ending, kind: str, **more: str) -> None:
    member_id = ending.member.member_id if ending.member else 0
    await desk.ask_people(
        ending.session, ending.keys, ending.tenant, ending.phone, member_id, kind, ending.asked(**more)
    )


async def _ref(ending: Ending) -> MemberRef:
    number = ending.known.number
    return await enrolment.find_member(ending.session, ending.keys, number)


# -- the actions: each returns the values of its screen, None where there is nothing to show


async def _join(ending: Ending) -> Mapping[str, str] | None:
    """Let a member choose a PIN by their identity number, or ask people to take somebody in who is none.

    Whoever types a number learns nothing by it: the answer is the same.
    """
    pin = await pins.hashed(ending.keys, ending.tenant.tenant_id, ending.answers[PIN])
    member_id = await _known_by(ending)
    if member_id is None:
        await _ask(
            ending, "join", id_number=ending.answers["id_number"], consent=ending.answers.get("consent", ""), pin=pin
        )
    elif await desk.set_pin(ending.session, ending.tenant, ending.phone, member_id, pin):
        await _speak(ending, member_id)
    return {}


async def _known_by(ending: Ending) -> int | None:
    """Return the member of that identity number who has this telephone on record."""
    found = await enrolment.members_by_document(
        ending.session, ending.keys, ending.tenant, ending.answers["id_number"], ending.today
    )
    people = await identity.read_people(ending.session, ending.keys, sorted(found), actor=ACTOR, reason="ussd-pin")
    theirs = [one for one, document in people.items() if ending.request.phone in document.person.phones]
    return theirs[0] if len(theirs) == 1 else None


async def _save(ending: Ending) -> Mapping[str, str] | None:
    """Ask for the payment on this telephone, once a session."""
    ask = Ask(
        member=ending.known.number,
        amount=ending.answers["amount"],
        currency=ending.tenant.pack.currency,
        channel=ending.channel,
        sent_by=ACTOR,
        key=str(ending.session_id),
        phone=ending.request.phone,
    )
    await contributions.ask_for_payment(ending.session, ending.keys, ending.tenant, ending.collectors, ask)
    return {}


async def _balance(ending: Ending) -> Mapping[str, str] | None:
    total = await notices.total_of(ending.session, ending.known.member_id)
    return {"balance": money(Amount(total, ending.tenant.asset))}


async def _last_payments(ending: Ending) -> Mapping[str, str] | None:
    found = await queries.last_payments(ending.session, ending.known.member_id, LAST_PAYMENTS)
    return {"last_payments": last_payments(found, ending.tenant.asset.scale)} if found else None


async def _plan(ending: Ending) -> Mapping[str, str] | None:
    """Say what there may be at the benefit's day: the promised pension, else the pot in today's money, from cautious to favourable."""
    found = await reports.project_member(
        ending.session, ending.keys, ending.tenant, await _ref(ending), on=ending.today, actor=ACTOR
    )
    illustrated, asset = found.illustrated, ending.tenant.asset
    amounts = (
        [illustrated.promised.amount]
        if illustrated.promised
        else [one.pot_today for one in illustrated.projection.illustrations]
    )
    told = dict.fromkeys(money(Amount(one, asset)) for one in (min(amounts), max(amounts)))
    return {"plan": f"{illustrated.benefit_on:%d/%m/%Y}: {' - '.join(told)}"}


async def _match(ending: Ending) -> Mapping[str, str] | None:
    member = await _ref(ending)
    found = await reports.entitlements_of(
        ending.session, ending.tenant, member.member_id, member.product, on=ending.today
    )
    amount = found.figures.get("match", "") if found else ""
    if not amount.isdigit():
        return None
    _, next_year = ending.tenant.product(member.product).scheme_year(ending.today)
    return {
        "match": money(Amount(int(amount), ending.tenant.asset)),
        "until": f"{next_year - timedelta(days=1):%d/%m/%Y}",
    }


async def _withdraw(ending: Ending) -> Mapping[str, str] | None:
    await _ask(ending, "withdrawal", amount=ending.answers["amount"])
    return {}


async def _statement(ending: Ending) -> Mapping[str, str] | None:
    await _want(ending, {"occasion": "statement-ready"})
    return {}


async def _lesson(ending: Ending) -> Mapping[str, str] | None:
    """Send the next lesson: the first, for somebody who had none, and again after the last."""
    if ending.member is None:
        return None
    lessons = lessons_of(ending.tenant.pack, ending.language)
    if not lessons:
        return None
    had = await notices.lessons_wanted(ending.session, ending.member.member_id)
    lesson = lessons[had % len(lessons)]
    await _want(ending, {"occasion": "lesson", "lesson": lesson.id})
    return {"title": lesson.title}


async def _want(ending: Ending, body: dict[str, object]) -> None:
    await desk.record(ending.session, ending.tenant, ending.known.member_id, EventKind.MESSAGE_WANTED, body)


async def _choose_language(ending: Ending) -> Mapping[str, str] | None:
    await _speak(ending, ending.known.member_id)
    return {}


async def _speak(ending: Ending, member_id: int) -> None:
    """Write to a member in the session's language from now on."""
    await identity.change_language(ending.session, ending.keys, member_id, ending.language)
    await desk.record(
        ending.session, ending.tenant, member_id, EventKind.LANGUAGE_CHOSEN, {"language": ending.language}
    )


async def _call(ending: Ending) -> Mapping[str, str] | None:
    await _ask(ending, "call")
    return {}


async def _complain(ending: Ending) -> Mapping[str, str] | None:
    await _ask(ending, "complaint")
    return {}


async def _leave(_: Ending) -> Mapping[str, str] | None:
    return {}


_ACTIONS: Mapping[str, Callable[[Ending], Awaitable[Mapping[str, str] | None]]] = {
    "join": _join,
    "save": _save,
    "show-balance": _balance,
    "show-last-payments": _last_payments,
    "show-plan": _plan,
    "show-match": _match,
    "ask-to-withdraw": _withdraw,
    "send-statement": _statement,
    "choose-language": _choose_language,
    "ask-for-call": _call,
    "complain": _complain,
    "read-lesson": _lesson,
    "leave": _leave,
}


async def today_of(session: AsyncSession, tenant: Tenant) -> date:
    """Return the scheme's present day."""
    return business_date(await ledger.scheme_now(session), tenant.time_zone)
