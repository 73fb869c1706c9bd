"""What a register outside says of a member: recorded by staff, once, and by nobody else."""

import httpx

from engine.kernel.permissions import Permission
from tests.api.site import Site

WORD = {"attribute": "class", "value": "poor", "source": "social registry", "as_of": "2023-04-01"}


def test_a_registers_word_is_recorded_once(site: Site) -> None:
    path = f"/v1/members/{site.members[0].number}/statuses"

    answers = [site.ask("POST", path, Permission.MEMBERS_STATUS, json=WORD) for _ in range(2)]

    assert [(one.status_code, one.json()) for one in answers] == [(201, {"is_new": True}), (201, {"is_new": False})]


def test_what_is_no_word_of_a_register_is_refused(site: Site) -> None:
    path = f"/v1/members/{site.members[0].number}/statuses"

    sentence = site.ask("POST", path, Permission.MEMBERS_STATUS, json=WORD | {"value": "Very poor"})
    nobody = site.ask("POST", "/v1/members/500000000009/statuses", Permission.MEMBERS_STATUS, json=WORD)

    assert sentence.status_code in (400, 422)
    assert nobody.status_code == 404


def test_partners_do_not_say_what_registers_say(site: Site) -> None:
    answer = httpx.post(
        f"{site.address}/v1/members/{site.members[0].number}/statuses",
        json=WORD,
        headers=dict(site.partner.headers),
        timeout=60,
    )

    assert (answer.status_code, answer.json()["code"]) == (403, "access.missing-permission")
