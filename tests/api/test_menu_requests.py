"""What people asked for by telephone, as the staff who do it see and close it."""

from uuid import uuid4

import msgspec
from sqlalchemy import text

from engine.channels.ussd import desk
from engine.channels.ussd.rules import Asked
from engine.enrolment import service as enrolment
from engine.identity import service as identity
from engine.kernel.permissions import Permission
from tests.api.site import Site
from tests.factories import schemes


async def test_a_request_is_listed_closed_once_and_forgotten(site: Site) -> None:
    asked = Asked(phone="+919812345678", language="hi", amount="500")
    async with site.db.unit_of_work(site.tenant.tenant_id) as session:
        for _ in range(2):
            await desk.ask_people(session, site.keys, site.tenant, phone := uuid4(), 0, "withdrawal", asked)
            await desk.ask_people(session, site.keys, site.tenant, phone, 0, "withdrawal", asked)

    def listed() -> list[dict[str, str]]:
        answer = site.ask("GET", "/v1/menu-requests", Permission.MEMBERS_ASSIST)
        assert answer.status_code == 200, answer.text
        items: list[dict[str, str]] = answer.json()["items"]
        return [one for one in items if one["phone"] == asked.phone]

    first, second = listed()
    assert (first["kind"], first["amount"], first["language"]) == ("withdrawal", "500", "hi")
    path = f"/v1/menu-requests/{first['request']}/close"
    unfit = site.ask("POST", path, Permission.MEMBERS_ASSIST, json={"member": site.members[0].number})
    closed = site.ask("POST", path, Permission.MEMBERS_ASSIST, json={})
    again = site.ask("POST", path, Permission.MEMBERS_ASSIST, json={})

    assert (closed.status_code, closed.json()) == (200, {"request": first["request"]})
    assert [(one.status_code, one.json()["code"]) for one in (unfit, again)] == [(404, "ussd.unknown-request")] * 2
    assert listed() == [second]
    by_partner = site.ask("GET", "/v1/menu-requests", Permission.MEMBERS_READ)
    assert by_partner.status_code == 403


async def test_who_asked_to_join_is_taken_in_by_one_request_and_uses_their_pin(site: Site) -> None:
    number, phone = schemes.aadhaar(), uuid4()
    asked = Asked(phone="+919812345679", language="hi", id_number=number, consent="1", pin="a hash")
    async with site.db.unit_of_work(site.tenant.tenant_id) as session:
        await desk.ask_people(session, site.keys, site.tenant, phone, 0, "join", asked)
    items = site.ask("GET", "/v1/menu-requests", Permission.MEMBERS_ASSIST).json()["items"]
    (request,) = [one["request"] for one in items if one.get("id_number") == number]
    whole = msgspec.to_builtins(schemes.application(site.tenant))
    body = {name: value for name, value in whole.items() if name not in ("phone", "documents", "language")}
    path = f"/v1/menu-requests/{request}/enrolment"
    young = site.ask("POST", path, Permission.MEMBERS_ASSIST, json={**body, "born_on": "2015-01-01"})
    taken = site.ask("POST", path, Permission.MEMBERS_ASSIST, json=body)
    again = site.ask("POST", path, Permission.MEMBERS_ASSIST, json=body)
    async with site.db.unit_of_work(site.tenant.tenant_id) as session:
        found = await enrolment.find_member(session, site.keys, taken.json()["number"])
        people = await identity.read_people(session, site.keys, [found.member_id], actor="test", reason="test")
        pins = await session.execute(
            text("select hash, phone from ussd_pins where member_id = :m"), {"m": found.member_id}
        )
        kept = await session.scalar(text("select document from ussd_requests where request_id = :r"), {"r": request})
        refused = await session.scalar(
            text("select count(*) from determinations where kind = 'enrolment' and code = 'enrolment.too-young'")
        )

    assert (young.status_code, young.json()["code"]) == (409, "enrolment.too-young")
    assert refused == 1
    assert taken.status_code == 201, taken.text
    assert (again.status_code, again.json()["code"]) == (404, "ussd.unknown-request")
    person = people[found.member_id].person
    assert (person.phones, person.language) == (("+919812345679",), "hi")
    assert [one.number for one in person.documents] == [number]
    assert [tuple(row) for row in pins] == [("a hash", phone)]
    assert kept is None
