"""What people asked for by telephone, as the staff who do it see and close it."""

from uuid import uuid4

from engine.channels.ussd import desk
from engine.channels.ussd.rules import Asked
from engine.kernel.permissions import Permission
from tests.api.site import Site


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
