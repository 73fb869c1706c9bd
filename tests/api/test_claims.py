"""Claims over HTTP: a claim that the rules refuse is a claim with a reason, and the decision explains it."""

import secrets

import msgspec

from engine.kernel.permissions import Permission
from tests.api.site import Site
from tests.factories.schemes import application

READ, OPEN, APPROVE = Permission.CLAIMS_READ, Permission.CLAIMS_OPEN, Permission.CLAIMS_APPROVE


def test_a_claim_is_opened_once_told_explained_and_given_up(site: Site) -> None:
    member = site.members[0].number
    told = site.ask("GET", f"/v1/members/{member}/benefits", READ)
    assert told.status_code == 200, told.text
    ways = {(one["kind"], one["rule"]): one for one in told.json()["ways"]}
    assert all(one["source"] for one in ways.values())
    assert {one["available"] is None for one in ways.values()} <= {True, False}

    gives = site.ask("GET", f"/v1/members/{member}/entitlements", Permission.STATEMENTS_READ).json()
    assert gives["entitlements"]["terms.minimum"] == "100.00"
    assert {one["rule"] for one in gives["assumptions"]} <= {"annuity@2010-04-01", "before-sixty@2010-04-01"}

    body = {"member": member, "kind": "exit", "ground": "no-such-ground"}
    key = secrets.token_hex(8)
    first = site.ask("POST", "/v1/claims", OPEN, key=key, json=body)
    assert first.status_code == 201, first.text
    claim = first.json()
    assert (claim["state"], claim["reason"]) == ("refused", "benefits.no-exit")
    assert site.ask("POST", "/v1/claims", OPEN, key=key, json=body).json() == claim
    again = site.ask("POST", "/v1/claims", OPEN, key=key, json={**body, "ground": "other"})
    assert (again.status_code, again.json()["code"]) == (422, "benefits.claim-key-reused")

    why = site.ask("GET", f"/v1/decisions/{claim['decision']}", Permission.DECISIONS_READ)
    assert why.status_code == 200, why.text
    assert why.json()["refusal"] == "benefits.no-exit"
    assert site.ask("GET", f"/v1/claims/{claim['claim']}", READ).json() == claim
    assert claim in site.ask("GET", "/v1/claims?state=refused", READ).json()
    late = site.ask("POST", f"/v1/claims/{claim['claim']}/approval", APPROVE, json={"digest": "0" * 64})
    assert (late.status_code, late.json()["code"]) == (409, "benefits.claim-decided")
    given_up = site.ask("POST", f"/v1/claims/{claim['claim']}/withdrawal", OPEN)
    assert given_up.status_code == 409


def test_a_claim_without_key_or_with_a_malformed_amount_is_told_so(site: Site) -> None:
    body = {"member": site.members[0].number, "kind": "access", "rule": "any"}
    bare = site.ask("POST", "/v1/claims", OPEN, json=body)
    assert (bare.status_code, bare.json()["code"]) == (400, "benefits.claim-key-missing")
    finer, malformed = "benefits.claim-amount", "request.invalid"
    for amount, code in (("0", finer), ("1.234", finer), ("-1", malformed), ("x", malformed)):
        odd = site.ask("POST", "/v1/claims", OPEN, key=secrets.token_hex(8), json={**body, "amount": amount})
        assert (odd.status_code, odd.json()["code"]) == (422, code), amount
    huge = site.ask("GET", f"/v1/claims/{10**30}", READ)
    assert huge.status_code == 404


def test_a_death_is_claimed_with_its_papers_and_its_heirs_are_told(neighbour: Site) -> None:
    """A new member, of the scheme next door, who has nothing yet: the claim is refused, and says so; who was named is there."""
    enrolled = neighbour.ask(
        "POST", "/v1/members", Permission.MEMBERS_ENROL, key=secrets.token_hex(8),
        json=msgspec.to_builtins(application(neighbour.tenant)),
    )  # fmt: skip
    assert enrolled.status_code == 201, enrolled.text
    member = enrolled.json()["number"]
    body = {"member": member, "kind": "death"}
    unsaid = neighbour.ask("POST", "/v1/claims", OPEN, key=secrets.token_hex(8), json=body)
    assert (unsaid.status_code, unsaid.json()["code"]) == (409, "benefits.death-not-confirmed")
    body |= {"died_on": "2999-01-01", "documents": {"death-certificate": "1" * 64}}
    future = neighbour.ask("POST", "/v1/claims", OPEN, key=secrets.token_hex(8), json=body)
    assert future.status_code == 422, future.text
    body |= {"died_on": neighbour.today.isoformat()}
    key = secrets.token_hex(8)
    made = neighbour.ask("POST", "/v1/claims", OPEN, key=key, json=body)
    assert made.status_code == 201, made.text
    claim = made.json()
    assert (claim["kind"], claim["state"], claim["reason"]) == ("death", "refused", "benefits.nothing-at-once")
    assert neighbour.ask("POST", "/v1/claims", OPEN, key=key, json=body).json() == claim
    place = f"/v1/claims/{claim['claim']}/heirs"
    told = neighbour.ask("GET", place, READ).json()
    assert (told["basis"], told["died_on"], told["anew"]) == ("nominees", neighbour.today.isoformat(), "")
    [heir] = told["heirs"]
    assert (heir["name"], heir["share_bp"], heir["amount"], heir["owed_back"]) == (
        "Meera Example",
        10_000,
        "0.00",
        "0.00",
    )
    late = neighbour.ask("POST", f"{place}/1/documents", OPEN, json={"documents": {"identity": "2" * 64}})
    assert (late.status_code, late.json()["code"]) == (409, "benefits.claim-decided")
    paid = neighbour.ask(
        "POST", f"{place}/1/payouts", Permission.PAYOUTS_INSTRUCT, json={"accounts": [{"rail": "bank", "number": "1"}]}
    )
    assert (paid.status_code, paid.json()["code"]) == (409, "benefits.claim-decided")
    nobody = neighbour.ask("POST", f"{place}/approval", APPROVE, json={"digest": "0" * 64})
    assert nobody.status_code == 409
