"""The menu on a telephone over the real application: everything answered once, whatever the gateway sends or the process does."""

import asyncio
import re
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.app import adapter
from engine.channels.ussd import api, desk, pins, queries, service
from engine.channels.ussd.service import Line
from engine.contributions import service as contributions
from engine.contributions.errors import BelowMinimum
from engine.contributions.rules import Payment, lane_of
from engine.contributions.service import Collectors, receive
from engine.enrolment import service as enrolment
from engine.enrolment.rules import Application, ConsentGiven, DocumentGiven
from engine.enrolment.service import Enrolled
from engine.identity import service as identity
from engine.notices.ports import UssdLine, UssdRequest, UssdScreen
from engine.notices.rules import gsm7
from engine.outside import Outside
from engine.runtime.counterparty_file import CounterpartyFile
from engine.runtime.database import Database
from engine.runtime.exchanges.transport import HttpTransport
from engine.runtime.key_file import FileKeyStore
from integrations.messaging.africas_talking.adapter import AfricasTalkingUssd
from integrations.messaging.africas_talking.joining import JoinsUssd
from integrations.messaging.africas_talking.simulator import Handset
from tests.factories.wallets import KINDS, Kind, Wallets, impatient, open_wallets
from tests.integrations.messaging.wire_transport import LoopbackTransport

SECRET = "s" * 40
CODE = "*303#"
PHONE = "+254712345678"
STRANGER = "+254712345999"
PIN = "4711"
KENYA = KINDS["mpesa-daraja"]
WHOSE_MENU = "Haba Haba\n1 Save\n2 My savings\n3 Last payments\n4 My five years\n5 Withdraw\n6 More"


def number() -> str:
    return f"{secrets.randbelow(10**8 - 10**7) + 10**7}"


@dataclass
class Desk:
    """A scheme with a member, its operator, and its menu as a gateway reaches it and as a process holds it."""

    wallets: Wallets
    line: Line
    member: Enrolled
    document: str

    @property
    def db(self) -> Database:
        return self.wallets.db

    @property
    def keys(self) -> FileKeyStore:
        return self.wallets.keys

    def handset(self, transport: LoopbackTransport, phone: str = PHONE, code: str = CODE) -> Handset:
        url = f"{self.wallets.address}/ussd/{SECRET}"
        return Handset(transport, url, phone=phone, service_code=code, ends_to=f"{url}/end")

    async def ask(self, session: str, *inputs: str, phone: str = PHONE) -> UssdScreen:
        """Ask as the route does, in this process."""
        step = UssdRequest(session=session, phone=phone, service_code=CODE, inputs=inputs, network="63902")
        return await service.answer(self.db, self.keys, self.line, step)

    async def run(self, *inputs: str, phone: str = PHONE, session: str = "") -> str:
        """Type one thing after the other in a session of its own; return the last screen."""
        name = session or secrets.token_hex(8)
        screen = await self.ask(name, phone=phone)
        for typed in range(len(inputs)):
            screen = await self.ask(name, *inputs[: typed + 1], phone=phone)
        return screen.text

    async def choose_pin(self, pin: str = PIN, *, phone: str = PHONE, document: str = "") -> str:
        return await self.run("2", "1", document or self.document, pin, pin, phone=phone)

    async def pay(self, amount: str) -> None:
        payment = Payment(
            member=self.member.number,
            amount=amount,
            currency=self.wallets.kind.currency,
            channel=self.wallets.kind.channel,
            reference=secrets.token_hex(8),
            sent_by="partner:1",
        )
        await receive(self.db, self.keys, self.wallets.tenant, [payment], lane=lane_of(payment.member))

    async def count(self, table: str, where: str = "true") -> int:
        return int((await self.wallets.select(f"select count(*) from {table} where {where}"))[0][0])

    async def requests(self) -> list[desk.MenuRequest]:
        async with self.db.unit_of_work(self.wallets.tenant.tenant_id) as session:
            return await desk.open_requests(session, self.keys, self.wallets.tenant, actor="staff:1")


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def transport() -> AsyncIterator[HttpTransport]:
    async with impatient() as opened:
        yield opened


async def enrol(wallets: Wallets, document: str, phone: str, name: str = "Amina Wanjiru") -> Enrolled:
    consents = tuple(
        ConsentGiven(consent=one, language="en", version=found.version, channel="agent")
        for one in ("scheme-rules", "personal-data")
        if (found := wallets.tenant.pack.consent(one, "en")) is not None
    )
    application = Application(
        product=wallets.kind.product,
        full_name=name,
        born_on=date(1988, 3, 4),
        sex="female",
        phone=phone,
        language="en",
        consents=consents,
        documents=(DocumentGiven(wallets.kind.document, document),),
    )
    (answer,) = await enrolment.enrol(
        wallets.db, wallets.tenant, wallets.keys, [enrolment.Enrolment(document, application)], actor="partner:1"
    )
    assert isinstance(answer, Enrolled), answer
    return answer


@asynccontextmanager
async def opened(
    db: Database,
    keys: FileKeyStore,
    url: str,
    folder: Path,
    transport: HttpTransport,
    *,
    kind: Kind = KENYA,
    document: str = "",
    **config: object,
) -> AsyncIterator[Desk]:
    table: Mapping[str, Any] = {"secret": SECRET, "service_codes": [CODE], **config}
    async with open_wallets(kind, db, keys, url, folder, transport, members=0, others={"ussd": table}) as wallets:
        file = CounterpartyFile(folder / "counterparties.toml")
        joined = Outside(db, keys, file, wallets.address, installed, transport).of(wallets.tenant)
        assert joined.ussd is not None
        document = document or number()
        member = await enrol(wallets, document, kind.payer)
        yield Desk(wallets, Line(wallets.tenant, *joined.ussd, joined.collectors), member, document)


def installed(port: str, name: str) -> Any:
    return JoinsUssd() if port == "Ussd" else adapter(port, name)


@pytest_asyncio.fixture(loop_scope="session")
async def menu(
    db: Database, keys: FileKeyStore, database_urls: tuple[str, str], tmp_path: Path, transport: HttpTransport
) -> AsyncIterator[Desk]:
    async with opened(db, keys, database_urls[0], tmp_path, transport) as desk_there:
        yield desk_there


@pytest_asyncio.fixture(loop_scope="session")
async def wire() -> AsyncIterator[LoopbackTransport]:
    async with LoopbackTransport(seconds=10) as opened_there:
        yield opened_there


async def test_a_member_chooses_a_pin_and_saves_on_the_telephone(menu: Desk, wire: LoopbackTransport) -> None:
    handset = menu.handset(wire)
    assert (await handset.dial()).startswith("Haba Haba na NSSF. Chagua:")
    assert "I join freely" in await handset.type("2")  # English
    for typed in ("1", menu.document, PIN):
        await handset.type(typed)
    assert await handset.type(PIN) == "Karibu. A message with your member number follows."
    assert not handset.open

    assert await handset.dial() == WHOSE_MENU
    assert await handset.type("1") == "How many shillings?\n0 Back 00 Home"
    assert await handset.type("500") == "Save KES 500.00 in Haba Haba?\n1 Yes\n2 No\n0 Back 00 Home"
    assert await handset.type("1") == "Your PIN:\n0 Back 00 Home"
    assert await handset.type(PIN) == "Enter your M-Pesa PIN when asked."
    for _ in range(8):
        await menu.wallets.rest()
    assert await menu.wallets.payments() == [("10", 50_000)]

    await handset.dial()
    await handset.type("2")
    assert await handset.type(PIN) == "Your savings: KES 500.00"
    await handset.dial()
    await handset.type("3")
    assert (await handset.type(PIN)).endswith("+500")
    assert await menu.count("ussd_sessions", "cost > 0") == 4
    assert await menu.wallets.offences() == []


async def test_a_request_that_comes_again_is_answered_alike_and_asks_for_one_payment(menu: Desk) -> None:
    await menu.choose_pin()
    typed = ("1", "500", "1", PIN)
    screens = [await menu.ask("s1", *typed[:many]) for many in range(5)]

    again = await asyncio.gather(*(menu.ask("s1", *typed[:many]) for many in (4, 0, 4, 3, 2, 4, 1)))

    assert again == [screens[many] for many in (4, 0, 4, 3, 2, 4, 1)]
    assert await menu.count("collections") == 1
    assert await menu.ask("s1", *typed, "1", "7") == screens[-1]  # nothing after an end
    assert await menu.count("collections") == 1


async def test_the_last_step_sent_many_times_at_once_asks_for_one_payment(menu: Desk) -> None:
    await menu.choose_pin()

    screens = await asyncio.gather(*(menu.ask("s1", "1", "500", "1", PIN) for _ in range(6)))

    assert {one.text for one in screens} == {"Enter your M-Pesa PIN when asked."}
    assert await menu.count("collections") == await menu.count("exchanges") == 1


@pytest.mark.parametrize("step", ["keep_session", "take_session"])
async def test_who_dies_in_the_paying_step_has_done_nothing_and_it_is_done_once_after(
    menu: Desk, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    await menu.choose_pin()

    async def dies(*_: object, **__: object) -> None:
        raise ConnectionError

    with monkeypatch.context() as patched:
        patched.setattr(queries, step, dies)
        with pytest.raises(ConnectionError):
            await menu.ask("s1", "1", "500", "1", PIN)
    assert await menu.count("collections") == await menu.count("exchanges") == 0

    assert (await menu.ask("s1", "1", "500", "1", PIN)).text == "Enter your M-Pesa PIN when asked."
    assert await menu.count("collections") == 1


async def test_a_wrong_pin_shows_nothing_and_the_third_locks_it_until_people_have_called(menu: Desk) -> None:
    await menu.choose_pin()
    await menu.pay("500")

    wrong = [await menu.run("2", pin) for pin in ("1111", "2222")]
    assert wrong == ["Wrong PIN. Dial again."] * 2
    assert await menu.run("2", PIN) == "Your savings: KES 500.00"  # counted in a row
    assert await menu.run("2", "1111", session="s1") == "Wrong PIN. Dial again."
    assert (await menu.ask("s1", "2", "1111")).text == "Wrong PIN. Dial again."  # sent again, counted once
    await menu.run("2", "1111")
    locked = "The PIN is locked. We will call you."
    assert await menu.run("2", "1111") == locked
    assert await menu.run("2", PIN) == locked
    assert await menu.run("1", "500", "1", PIN) == locked
    assert await menu.count("collections") == 0

    [asked] = await menu.requests()
    assert (asked.kind, asked.member, asked.phone) == ("locked", menu.member.number, PHONE)
    async with menu.db.unit_of_work(menu.wallets.tenant.tenant_id) as session:
        await desk.close_request(session, menu.keys, menu.wallets.tenant, asked.request, member="", actor="staff:1")
    assert await menu.requests() == []
    await menu.choose_pin("2580")
    assert await menu.run("2", "2580") == "Your savings: KES 500.00"


async def test_whoever_types_an_identity_number_learns_nothing_by_it(menu: Desk) -> None:
    theirs = await menu.choose_pin(phone=STRANGER)  # a member's number, from another telephone
    unknown = await menu.choose_pin(phone="+254712345998", document=number())
    nonsense = await menu.choose_pin(phone="+254712345997", document="ABCDEFGH")

    assert theirs == unknown == nonsense == await menu.choose_pin()
    assert [(one.kind, one.phone, one.member) for one in await menu.requests()] == [
        ("join", STRANGER, ""),
        ("join", "+254712345998", ""),
        ("join", "+254712345997", ""),
    ]
    assert await menu.run("2", PIN, phone=STRANGER) != "Your savings: KES 0.00"


async def test_who_asked_to_join_uses_the_pin_chosen_then_once_enrolled(menu: Desk) -> None:
    document = number()
    await menu.choose_pin("2580", phone=STRANGER, document=document)
    await menu.choose_pin("2580", phone=STRANGER, document=document)
    [asked] = await menu.requests()  # asked for once as long as it is open
    assert (asked.kind, asked.id_number, asked.language) == ("join", document, "en")

    new = await enrol(menu.wallets, document, STRANGER, "Baraka Otieno")
    async with menu.db.unit_of_work(menu.wallets.tenant.tenant_id) as session:
        await desk.close_request(
            session, menu.keys, menu.wallets.tenant, asked.request, member=new.number, actor="staff:1"
        )

    assert await menu.run("2", "2580", phone=STRANGER) == "Your savings: KES 0.00"
    assert await menu.count("ussd_requests", "document is not null") == 0


async def test_members_who_share_a_telephone_say_who_is_there(menu: Desk) -> None:
    document = number()
    other = await enrol(menu.wallets, document, PHONE, "Baraka Otieno")
    await menu.pay("500")
    await menu.choose_pin()
    # The menu is hers now: the other member's PIN is set when people close a request.
    async with menu.db.unit_of_work(menu.wallets.tenant.tenant_id) as session:
        place = service._Place.of(menu.keys, menu.wallets.tenant.tenant_id, "", PHONE)
        hashed = await pins.hashed(menu.keys, menu.wallets.tenant.tenant_id, "2580")
        await desk.set_pin(session, menu.wallets.tenant, place.phone, other.member_id, hashed)

    asked = await menu.run()
    assert asked == "Nambari yako ya uanachama:"
    assert "500.00" in await menu.run(menu.member.number, "2", PIN)
    assert (await menu.run(other.number, "2", "2580")).endswith(" KES 0.00")
    wrong = "PIN si sahihi. Piga tena."
    assert await menu.run(menu.member.number, "2", "2580") == wrong
    assert await menu.run("3000000018", "2", PIN) == wrong


async def test_a_session_that_was_cut_off_goes_on_where_it_stopped(menu: Desk) -> None:
    await menu.choose_pin()
    assert "Save KES 500.00" in await menu.run("1", "500")

    assert "Save KES 500.00" in await menu.run()
    assert await menu.run("1", PIN) == "Enter your M-Pesa PIN when asked."
    assert await menu.count("collections") == 1
    assert await menu.run() == WHOSE_MENU  # what was ended is over


async def test_after_five_minutes_a_session_begins_anew(menu: Desk) -> None:
    await menu.choose_pin()
    await menu.run("1", "500")
    await menu.wallets.select(
        "with w as (update ussd_sessions set expires_at = clock_timestamp() returning 1) select count(*) from w"
    )
    assert await menu.run() == WHOSE_MENU


async def test_no_pin_and_no_balance_can_be_read_in_the_database(menu: Desk) -> None:
    await menu.choose_pin()
    await menu.run("2", PIN)

    rows = await menu.wallets.select(
        "select to_jsonb(s) from ussd_sessions s union all select to_jsonb(p) from ussd_pins p union all select to_jsonb(r) from ussd_requests r"
    )
    kept = b"\n".join(bytes_of(value) for (row,) in rows for value in row.values())
    assert PIN.encode() not in kept
    assert b"KES" not in kept
    assert PHONE.removeprefix("+").encode() not in kept
    assert b"$argon2id$" in kept


def bytes_of(value: object) -> bytes:
    """Return what a column holds; of keys, instants and numbers nothing, in whose digits anything may stand by chance."""
    if not isinstance(value, str):
        return b""
    if value.startswith("\\x"):
        return bytes.fromhex(value[2:])
    is_random = re.fullmatch(r"[0-9a-f]{8}-[0-9a-f-]{27}|\d{4}-\d{2}-\d{2}T.*", value)
    return b"" if is_random else value.encode()


async def test_an_error_is_a_sentence_on_the_telephone(
    menu: Desk, wire: LoopbackTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    await menu.choose_pin()
    handset = menu.handset(wire)
    await handset.dial()
    await handset.type("2")

    async def fails(*_: object, **__: object) -> None:
        raise ConnectionError(PIN)

    logged: list[object] = []
    with monkeypatch.context() as patched:
        patched.setattr(queries, "lock_pin", fails)
        patched.setattr(api, "_log", SimpleNamespace(exception=lambda *said, **more: logged.append((said, more))))
        assert await handset.type(PIN) == "Haiwezekani sasa. Jaribu baadaye."
    assert not handset.open
    assert logged == [(("a screen could not be answered",), {"tenant": menu.wallets.tenant.code})]


async def test_everything_else_on_the_menu(menu: Desk) -> None:
    await menu.choose_pin()
    assert await menu.run("3", PIN) == "There is nothing to show yet."
    assert (await menu.run("4", PIN)).count("KES") in (1, 2)
    assert await menu.run("5", "900", "1", PIN) == "We have your request. A message says what comes next."
    assert await menu.run("6", "1", PIN) == "Your statement comes by SMS."
    lessons = {await menu.run("6", "2") for _ in range(2)}
    assert len(lessons) == 2
    assert await menu.run("6", "4") == "We will call you on this number."
    assert await menu.run("6", "5") == "We have your complaint and will call you."
    assert await menu.run("6", "6") == "Thank you. Any day is a good day to begin."
    assert await menu.run("6", "3", "1", PIN) == "Imebadilishwa. Kuanzia sasa ni kwa lugha hii."
    assert (await menu.run()).startswith("Haba Haba\n1 Weka")

    assert {(one.kind, one.amount) for one in await menu.requests()} == {
        ("withdrawal", "900"),
        ("call", ""),
        ("complaint", ""),
    }
    async with menu.db.unit_of_work(menu.wallets.tenant.tenant_id) as session:
        people = await identity.read_people(session, menu.keys, [menu.member.member_id], actor="t", reason="t")
    assert people[menu.member.member_id].person.language == "sw"
    assert await menu.wallets.offences() == []


async def test_a_refusal_is_told_and_changes_nothing(menu: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    await menu.choose_pin()
    asks = contributions.ask_for_payment

    async def refuses(*asked: Any) -> None:
        await asks(*asked)
        raise BelowMinimum(field="amount", minimum="KES 25.00")

    with monkeypatch.context() as patched:
        patched.setattr(contributions, "ask_for_payment", refuses)
        assert await menu.run("1", "24", "1", PIN) == "The smallest contribution is KES 25.00."
    nobody = replace(menu.line, collectors=Collectors(menu.line.collectors.exchanges, {}))
    step = UssdRequest(session="s", phone=PHONE, service_code=CODE, inputs=("1", "25", "1", PIN))
    screen = await service.answer(menu.db, menu.keys, nobody, step)

    assert (screen.text, screen.ends) == ("That is not possible now. Please try later.", True)
    assert await menu.count("collections") == await menu.count("exchanges") == 0


async def test_an_erased_member_is_nobody_on_the_telephone(menu: Desk) -> None:
    await menu.choose_pin()
    await menu.run("6", "4")
    async with menu.db.unit_of_work(menu.wallets.tenant.tenant_id) as session:
        await identity.erase(session, menu.member.member_id, actor="staff:1", business_date=date(2026, 3, 4))

    assert await menu.run() == "Haba Haba na NSSF. Chagua:\n1 Kiswahili\n2 English"
    assert await menu.count("ussd_pins") == await menu.count("ussd_requests", "document is not null") == 0


async def test_who_asks_too_often_is_put_off(menu: Desk) -> None:
    last = [await menu.run("1", "2", "3", "x", "y", "z") for _ in range(10)][-1]
    assert last == "Haiwezekani sasa. Jaribu baadaye."
    long = await menu.run(*["x"] * 61, phone=STRANGER)
    assert long == "Haiwezekani sasa. Jaribu baadaye."


async def test_another_scheme_speaks_another_language_and_collects_by_the_telephones_operator(
    db: Database, keys: FileKeyStore, database_urls: tuple[str, str], tmp_path: Path, transport: HttpTransport
) -> None:
    kind = KINDS["mtn-momo"]
    document = f"119887{secrets.randbelow(10**7):07d}012"
    there = opened(
        db, keys, database_urls[0], tmp_path, transport, kind=kind, document=document, channels={"63902": "mtn-momo"}
    )
    async with there as menu:
        await menu.pay("500")

        async def run(*inputs: str) -> str:
            return await menu.run(*inputs, phone=kind.payer)

        assert (await run()).startswith("EjoHeza. Hitamo ururimi:")
        assert (await run("2", "1")).startswith("Votre numéro d'identité")
        assert (await run("00", "2", "1", document, PIN, PIN)).startswith("Bienvenue à EjoHeza")
        assert (await run()).startswith("EjoHeza\n1 Épargner")
        assert await run("2", PIN) == "Votre épargne: RWF 500"
        assert "+500" in await run("3", PIN)
        assert "RWF" in await run("4", PIN)
        match = await run("6", "2", PIN)
        assert "RWF" in match or match == "Il n'y a encore rien à montrer."
        assert "RWF 1,000" in await run("1", "1000")
        assert await run("1", PIN) == "Approuvez le paiement sur votre téléphone."
        assert await menu.wallets.select("select counterparty from exchanges") == [("mtn-momo",)]


TYPED = st.lists(
    st.one_of(
        st.sampled_from(["1", "2", "3", "4", "5", "6", "0", "00", PIN, "500", "99999999", "12345678"]),
        st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
    ),
    max_size=9,
)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(TYPED, st.booleans())
async def test_whatever_is_typed_is_answered_by_a_screen_that_fits(
    menu: Desk, typed: list[str], is_member: bool
) -> None:
    phone = PHONE if is_member else f"+2547{secrets.randbelow(10**8):08d}"
    if is_member:
        await menu.choose_pin()
        await menu.wallets.select(
            "with w as (update ussd_sessions set begun_at = begun_at - interval '1 hour' returning 1) select count(*) from w"
        )
    session = secrets.token_hex(8)
    screens = [await menu.ask(session, *typed[:many], phone=phone) for many in range(len(typed) + 1)]

    for screen in screens:
        assert 0 < gsm7.units(screen.text, gsm7.Encoding.GSM_7) <= 160
    assert [await menu.ask(session, *typed[:many], phone=phone) for many in range(len(typed) + 1)] == screens


FORM = {"sessionId": "s1", "serviceCode": CODE, "phoneNumber": PHONE, "networkCode": "63902", "text": ""}


@pytest.mark.parametrize(
    ("secret", "form", "status"),
    [
        pytest.param(SECRET, {}, 200, id="the gateway's"),
        pytest.param("t" * 40, {}, 404, id="another secret"),
        pytest.param(SECRET, {"serviceCode": "*999#"}, 404, id="a code of nobody"),
        pytest.param(SECRET, {"phoneNumber": "0712"}, 404, id="no number"),
        pytest.param(SECRET, {"sessionId": ""}, 404, id="no session"),
    ],
)
async def test_only_the_gateway_finds_something_there(
    menu: Desk, secret: str, form: Mapping[str, str], status: int
) -> None:
    async with httpx.AsyncClient() as client:
        answer = await client.post(
            f"{menu.wallets.address}/ussd/{secret}",
            content=urlencode({**FORM, **form}),
            headers={"content-type": "application/x-www-form-urlencoded"},
        )
    assert answer.status_code == status
    assert answer.text.startswith("CON " if status == 200 else "")
    assert status == 200 or answer.content == b""


async def test_an_address_that_is_not_the_gateways_finds_nothing(
    db: Database, keys: FileKeyStore, database_urls: tuple[str, str], tmp_path: Path, transport: HttpTransport
) -> None:
    async with opened(db, keys, database_urls[0], tmp_path, transport, networks=["192.0.2.0/24"]) as menu:
        async with httpx.AsyncClient() as client:
            answer = await client.post(
                f"{menu.wallets.address}/ussd/{SECRET}",
                content=urlencode(FORM),
                headers={"content-type": "application/x-www-form-urlencoded"},
            )
        assert answer.status_code == 404
        for address, is_theirs in {"192.0.2.7": True, "192.0.3.7": False, "::1": False, "": False, "x": False}.items():
            assert menu.line.config.admits(SECRET, address) is is_theirs
        assert not menu.line.config.admits("é" * 40, "192.0.2.7")


async def test_two_schemes_of_one_gateway_are_told_apart_by_the_code_dialled(menu: Desk) -> None:
    config = UssdLine(secret=SECRET, service_codes=("*1#",), channels={"63902": "mpesa", "": "office"})
    line = replace(menu.line, config=config, gateway=AfricasTalkingUssd())

    assert (config.channel("63902"), config.channel("63903")) == ("mpesa", "office")
    assert service._channel(line, "63902") == "mpesa"
    assert SECRET not in repr(config)
