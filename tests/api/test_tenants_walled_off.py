"""Two schemes in one deployment: what one of them asks with the other's identifiers is answered as if they were nobody's."""

import json
import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import msgspec
import psycopg
import pytest
import pytest_asyncio
from sqlalchemy import make_url, text

from engine.access.rules import PARTNER_SCOPES
from engine.access.service import Partner, Tokens
from engine.benefits.queries.lending import LoanRow, add_loan
from engine.benefits.rules.loans import Instalment
from engine.channels.ussd import desk
from engine.channels.ussd.rules import Asked
from engine.enrolment.rules import Application
from engine.kernel.permissions import Permission
from engine.runtime.http import PROBLEM
from integrations.fund_managers.csv_files.layouts import PLAIN
from integrations.fund_managers.simulation.csv_messages import header_of, write_holdings
from tests.api.site import FIRST_DAY, Site
from tests.factories.payouts import instruct, owe, to
from tests.factories.schemes import application

DOCUMENT = json.loads(Path(__file__).with_name("openapi.json").read_text())
SECOND_DAY = FIRST_DAY + timedelta(days=1)
Json = dict[str, Any]
_HELD: Json = {
    "resolution": {"action": "hold", "waits_for": "bank", "until": (FIRST_DAY + timedelta(days=9)).isoformat()}
}


_TRANSFERRED = """
with going as (
  insert into transfers_out (member_id, claim_id, amount, tenant_id, dated_on, joined_on, product, parts, payments)
  select :m, :c, 1, tenant_id, date '2023-01-01', date '2023-01-01', :p, '[["retirement", "own", 1, 1]]', '[]' from tenants
   where tenant_id = current_setting('app.tenant')::int returning tenant_id)
insert into transfers_in (member_id, advice_id, amount, tenant_id, maker, advised_on, joined_there, joined_on, product, sender, reference,
                          digest, sha256, rule, brought)
select :m, :c, 1, tenant_id, 1, date '2023-01-01', date '2023-01-01', date '2023-01-01', :p, 'nobody', 'none', repeat('0', 64), repeat('0', 64), 'rule',
       '[[["retirement", "own", 1, 1]], []]' from going
"""
"""Savings on their way to and from another scheme next door, under the number of a claim, that nobody here may see."""

_ADVICE: Json = {
    "version": 1,
    "reference": "T1",
    "sender": "There",
    "receiver": "Here",
    "dated_on": "2023-01-01",
    "currency": "INR",
    "member": {"number": "1", "full_name": "Asha Example"},
    "product": "there",
    "joined_on": "2020-01-01",
    "parts": [{"pot": "a", "origin": "own", "amount": "1.00", "contributions": "0.00", "income": "1.00"}],
    "payments": [],
    "totals": {"amount": "1.00", "contributions": "0.00", "income": "1.00", "parts": 1, "payments": 0},
}

_HANDED_OVER = """
with run as (
  insert into unclaimed_runs (total, tenant_id, run_no, members, maker, handed_over_on, product, handed_to, rule, digest)
  select 1, tenant_id, 1, 1, 1, date '2023-01-01', :p, 'nobody', 'rule', 'digest' from tenants
   where tenant_id = current_setting('app.tenant')::int returning tenant_id), file as (
  insert into cover_files (total, tenant_id, file_no, claims, maker, made_on, product, payer)
  select 1, tenant_id, 1, 1, 1, date '2023-01-01', :p, 'nobody' from run),
asked as (
  insert into cover_claims (member_id, claim_id, amount, tenant_id, happened_on, product, payer, peril)
  select :m, 1, 1, tenant_id, date '2023-01-01', :p, 'nobody', 'peril' from run),
debited as (
  insert into debit_files (total, tenant_id, file_id, debits, maker, collect_on, product, rail, sequence, message_ref, digest)
  select 1, tenant_id, 1, 1, 1, date '2023-01-01', :p, 'bank', 'FRST', 'DD-1', repeat('0', 64) from run)
insert into unclaimed_cases (member_id, opened_event, tenant_id, run_no, counted_from, handed_over_on, product, rule, state)
select :m, 1, tenant_id, 1, date '2020-01-01', date '2023-01-01', :p, 'rule', 'handed-over' from run
"""
"""A handing over, a claim of cover and direct debits next door, that nobody here may see."""


@dataclass(frozen=True)
class Identifiers:
    """What things are called in one scheme, or in none."""

    member: str
    receipt: str
    collection: str
    menu_request: str
    payout: str
    claim: str
    held_on: date
    day: date
    dealing: int
    statement: int
    line: int
    proposal: int
    owner: int
    product: str
    key: str
    reference: str
    settled: str
    person: Json
    price_file: bytes
    clock: str


@dataclass(frozen=True)
class Other:
    """The scheme next door, in full swing."""

    site: Site
    ids: Identifiers
    secrets: tuple[str, ...]


@dataclass(frozen=True)
class Ask:
    """How a route is asked with some identifiers."""

    method: str
    path: Callable[[Identifiers], str]
    permission: Permission
    status: int = 404
    request: Callable[[Identifiers, Site], Mapping[str, Any]] = lambda _ids, _site: {}
    same: Callable[[Any], Any] = lambda answer: answer
    key: bool = False


def without(*names: str) -> Callable[[Any], Any]:
    """Return what leaves fields out of an answer, however deep: those that differ from request to request by right."""

    def stripped(node: Any) -> Any:
        if isinstance(node, dict):
            return {name: stripped(value) for name, value in node.items() if name not in names}
        return [stripped(one) for one in node] if isinstance(node, list) else node

    return stripped


def json_of(made: Application) -> Json:
    found: Json = msgspec.to_builtins(made)
    return found


ASKED: dict[str, Ask] = {
    "GetMember": Ask("GET", lambda ids: f"/v1/members/{ids.member}", Permission.MEMBERS_READ),
    "GetUndertaking": Ask("GET", lambda ids: f"/v1/members/{ids.member}/undertaking", Permission.MEMBERS_READ),
    "Undertake": Ask(
        "POST",
        lambda ids: f"/v1/members/{ids.member}/undertaking",
        Permission.MEMBERS_ENROL,
        request=lambda _ids, _site: {"json": {"frequency": "monthly", "slab": "1000"}},
    ),
    "GetDeclaredIncome": Ask("GET", lambda ids: f"/v1/members/{ids.member}/declared-income", Permission.MEMBERS_READ),
    "DeclareIncome": Ask(
        "POST",
        lambda ids: f"/v1/members/{ids.member}/declared-income",
        Permission.MEMBERS_ENROL,
        request=lambda _ids, _site: {"json": {"income": "1000"}},
    ),
    "ListProductsOfMember": Ask("GET", lambda ids: f"/v1/members/{ids.member}/products", Permission.MEMBERS_READ),
    "JoinProduct": Ask(
        "POST",
        lambda ids: f"/v1/members/{ids.member}/products",
        Permission.MEMBERS_ENROL,
        request=lambda ids, _site: {"json": {"product": ids.product}},
    ),
    "RecordStatus": Ask(
        "POST",
        lambda ids: f"/v1/members/{ids.member}/statuses",
        Permission.MEMBERS_STATUS,
        request=lambda _ids, _site: {
            "json": {"attribute": "class", "value": "one", "source": "register", "as_of": "2023-04-01"}
        },
    ),
    "AskForVerification": Ask(
        "POST",
        lambda ids: f"/v1/members/{ids.member}/verifications",
        Permission.MEMBERS_VERIFY,
        request=lambda _ids, _site: {"json": {"document": "aadhaar"}},
    ),
    "StartSignIn": Ask(
        "POST",
        lambda ids: f"/v1/members/{ids.member}/sign-ins",
        Permission.MEMBERS_VERIFY,
        request=lambda _ids, _site: {"json": {}},
    ),
    "FinishSignIn": Ask(
        "POST",
        lambda _: "/v1/sign-ins/return",
        Permission.MEMBERS_VERIFY,
        409,
        request=lambda ids, _site: {"json": {"returned": {"state": ids.key, "code": "x"}}},
    ),
    "GetVerification": Ask("GET", lambda ids: f"/v1/verifications/{ids.collection}", Permission.MEMBERS_READ),
    "ListIdentityDoubts": Ask("GET", lambda _: "/v1/identity/doubts", Permission.IDENTITY_DECIDE, 200),
    "DecideIdentityDoubt": Ask(
        "POST",
        lambda ids: f"/v1/identity/doubts/{ids.collection}/decision",
        Permission.IDENTITY_DECIDE,
        request=lambda _ids, _site: {"json": {"is_same_person": True, "reason": "documents-seen"}},
    ),
    "ListIdentifiers": Ask("GET", lambda ids: f"/v1/members/{ids.member}/identifiers", Permission.MEMBERS_READ),
    "ProposeIdentifier": Ask(
        "POST",
        lambda ids: f"/v1/members/{ids.member}/identifiers",
        Permission.MEMBERS_VERIFY,
        request=lambda _ids, _site: {"json": {"document": "aadhaar", "reason": "card-lost"}},
    ),
    "VerifyByFile": Ask(
        "POST",
        lambda ids: f"/v1/members/{ids.member}/offline-documents",
        Permission.MEMBERS_VERIFY,
        409,
        request=lambda _ids, _site: {"json": {"document": "aadhaar", "file": "eHh4", "share_code": "abcd"}},
    ),
    "ListNumberChanges": Ask("GET", lambda _: "/v1/identity/number-changes", Permission.IDENTITY_DECIDE, 200),
    "FindSamePerson": Ask(
        "POST",
        lambda ids: f"/v1/identity/number-changes/{ids.collection}/finding",
        Permission.IDENTITY_DECIDE,
        request=lambda _ids, _site: {"json": {"is_same_person": True, "reason": "documents-seen"}},
    ),
    "ApproveNumberChange": Ask(
        "POST",
        lambda ids: f"/v1/identity/number-changes/{ids.collection}/approval",
        Permission.IDENTITY_DECIDE,
        request=lambda _ids, _site: {"json": {"digest": "0" * 64}},
    ),
    "RejectNumberChange": Ask(
        "POST",
        lambda ids: f"/v1/identity/number-changes/{ids.collection}/rejection",
        Permission.IDENTITY_DECIDE,
        request=lambda _ids, _site: {"json": {"reason": "card-lost"}},
    ),
    "ListDeathNotices": Ask("GET", lambda _: "/v1/identity/deaths", Permission.IDENTITY_DECIDE, 200),
    "DecideDeathNotice": Ask(
        "POST",
        lambda ids: f"/v1/identity/deaths/{ids.dealing}/decision",
        Permission.IDENTITY_DECIDE,
        request=lambda _ids, _site: {"json": {"is_member": False, "reason": "not-ours"}},
    ),
    "ProposeDeathReversal": Ask(
        "POST",
        lambda ids: f"/v1/identity/deaths/{ids.dealing}/reversal",
        Permission.IDENTITY_DECIDE,
        request=lambda _ids, _site: {"json": {"reason": "member-appeared"}},
    ),
    "ApproveDeathReversal": Ask(
        "POST", lambda ids: f"/v1/identity/deaths/{ids.dealing}/reversal/approval", Permission.IDENTITY_DECIDE
    ),
    "GetStatement": Ask("GET", lambda ids: f"/v1/members/{ids.member}/statement", Permission.STATEMENTS_READ),
    "GetStatementPDF": Ask("GET", lambda ids: f"/v1/members/{ids.member}/statement.pdf", Permission.STATEMENTS_READ),
    "GetEnrolmentTerms": Ask("GET", lambda ids: f"/v1/enrolment-terms/{ids.product}", Permission.MEMBERS_ENROL),
    "ProposeOwner": Ask(
        "POST",
        lambda ids: f"/v1/suspense/{ids.receipt}/proposals",
        Permission.SUSPENSE_RESOLVE,
        request=lambda _ids, site: {"json": {"member": site.members[0].number}},
    ),
    "ListOwnerProposals": Ask(
        "GET", lambda ids: f"/v1/suspense/{ids.receipt}/proposals", Permission.CONTRIBUTIONS_READ, 200
    ),
    "ConfirmOwner": Ask(
        "POST",
        lambda ids: f"/v1/suspense/proposals/{ids.owner}/confirmation",
        Permission.SUSPENSE_APPROVE,
        request=lambda _ids, _site: {"json": {"digest": "0" * 64}},
    ),
    "RejectOwner": Ask(
        "POST", lambda ids: f"/v1/suspense/proposals/{ids.owner}/rejection", Permission.SUSPENSE_APPROVE
    ),
    "SeekOwners": Ask(
        "GET",
        lambda ids: f"/v1/suspense/owners?after={int(ids.receipt) - 1}",
        Permission.SUSPENSE_RESOLVE,
        200,
        same=lambda _: None,  # each finds its own: what it finds is looked through for what is the other's
    ),
    "GetSuspenseFigures": Ask("GET", lambda _: "/v1/suspense/figures", Permission.CONTRIBUTIONS_READ, 200),
    "ProposeReversal": Ask(
        "POST",
        lambda ids: f"/v1/contributions/{ids.receipt}/reversal",
        Permission.REVERSALS_PROPOSE,
        request=lambda _ids, _site: {"json": {"reason": "charged-back"}},
    ),
    "GetReversal": Ask("GET", lambda ids: f"/v1/contributions/{ids.receipt}/reversal", Permission.CONTRIBUTIONS_READ),
    "ConfirmReversal": Ask(
        "POST",
        lambda ids: f"/v1/contributions/{ids.receipt}/reversal/confirmation",
        Permission.REVERSALS_APPROVE,
        request=lambda _ids, _site: {"json": {"digest": "0" * 64}},
    ),
    "RejectReversal": Ask(
        "POST", lambda ids: f"/v1/contributions/{ids.receipt}/reversal/rejection", Permission.REVERSALS_APPROVE
    ),
    "ApprovePrice": Ask("POST", lambda ids: f"/v1/prices/SM001009/{ids.held_on}/approve", Permission.PRICES_APPROVE),
    "RejectPrice": Ask("POST", lambda ids: f"/v1/prices/SM001009/{ids.held_on}/reject", Permission.PRICES_APPROVE),
    "ReceiveContribution": Ask(
        "POST",
        lambda _: "/v1/contributions",
        Permission.CONTRIBUTIONS_RECEIVE,
        202,
        request=lambda ids, site: {"json": site.payment(ids.member, reference=ids.reference)},
        same=without("receipt", "member"),
        key=True,
    ),
    "ReceiveContributions": Ask(
        "POST",
        lambda _: "/v1/contributions/batch",
        Permission.CONTRIBUTIONS_RECEIVE,
        200,
        request=lambda ids, site: {
            "json": {"items": [site.payment(ids.member, reference=f"{ids.reference}-batch", key=f"{ids.key}-batch")]}
        },
        same=without("receipt", "member"),
    ),
    "EnrolMember": Ask(
        "POST",
        lambda _: "/v1/members",
        Permission.MEMBERS_ENROL,
        201,
        request=lambda ids, site: {"json": ids.person | {"consents": json_of(application(site.tenant))["consents"]}},
        same=without("number"),
        key=True,
    ),
    "EnrolMembers": Ask(
        "POST",
        lambda _: "/v1/members/batch",
        Permission.MEMBERS_ENROL,
        200,
        request=lambda ids, site: {
            "json": {"items": [json_of(application(site.tenant, name="Same Again")) | {"key": f"{ids.key}-batch"}]}
        },
        same=without("number"),
    ),
    "GetEntitlements": Ask("GET", lambda ids: f"/v1/members/{ids.member}/entitlements", Permission.STATEMENTS_READ),
    "GetProjection": Ask("GET", lambda ids: f"/v1/members/{ids.member}/projection", Permission.STATEMENTS_READ),
    "ExplainDecision": Ask("GET", lambda ids: f"/v1/decisions/{ids.receipt}", Permission.DECISIONS_READ),
    "ListZeroResults": Ask("GET", lambda ids: f"/v1/members/{ids.member}/zero-results", Permission.DECISIONS_READ),
    "ListFigures": Ask("GET", lambda _: "/v1/figures", Permission.OPERATIONS_READ, 200),
    "ProposeFigures": Ask(
        "POST",
        lambda _: "/v1/figures/no-series?name=a.csv",
        Permission.FIGURES_PROPOSE,
        request=lambda _ids, _site: {"content": b"effective_from,published_on,value,source,confidence\n"},
    ),
    "AcceptFigure": Ask("POST", lambda ids: f"/v1/figures/{ids.dealing}/accept", Permission.FIGURES_APPROVE),
    "RejectFigure": Ask("POST", lambda ids: f"/v1/figures/{ids.dealing}/reject", Permission.FIGURES_APPROVE),
    "ListPackVersions": Ask("GET", lambda _: "/v1/pack-versions", Permission.OPERATIONS_READ, 200),
    "ApprovePackVersion": Ask(
        "POST",
        lambda ids: f"/v1/pack-versions/{ids.dealing}/approve",
        Permission.PACKS_APPROVE,
        request=lambda _ids, _site: {"json": {"sha256": "0" * 64}},
    ),
    "RejectPackVersion": Ask(
        "POST",
        lambda ids: f"/v1/pack-versions/{ids.dealing}/reject",
        Permission.PACKS_APPROVE,
        request=lambda _ids, _site: {"json": {"sha256": "0" * 64}},
    ),
    "ListRecounts": Ask("GET", lambda _: "/v1/recounts", Permission.OPERATIONS_READ, 200),
    **{
        f"{act.title()}Recount": Ask(
            "POST",
            lambda _, act=act: f"/v1/recounts/1/{act}",  # type: ignore[misc]
            Permission.PACKS_APPROVE,
            request=lambda _ids, _site: {"json": {"digest": "0" * 64}},
        )
        for act in ("approve", "reject")
    },
    "AskForPayment": Ask(
        "POST",
        lambda _: "/v1/collections",
        Permission.COLLECTIONS_REQUEST,
        request=lambda ids, site: {"json": without("reference")(site.payment(ids.member))},
        key=True,
    ),
    "GetCollection": Ask("GET", lambda ids: f"/v1/collections/{ids.collection}", Permission.CONTRIBUTIONS_READ),
    "ListUnsettled": Ask("GET", lambda _: "/v1/collections/unsettled", Permission.CONTRIBUTIONS_READ, 200),
    "ListMessages": Ask("GET", lambda ids: f"/v1/messages?member={ids.member}", Permission.OPERATIONS_READ),
    "ListMessageCosts": Ask(
        "GET", lambda _: "/v1/messages/costs?from=2026-01-01&until=2026-01-31", Permission.OPERATIONS_READ, 200
    ),
    "ListMenuRequests": Ask("GET", lambda _: "/v1/menu-requests", Permission.MEMBERS_ASSIST, 200),
    "CloseMenuRequest": Ask(
        "POST",
        lambda ids: f"/v1/menu-requests/{ids.menu_request}/close",
        Permission.MEMBERS_ASSIST,
        request=lambda _ids, _site: {"json": {}},
    ),
    "EnrolByMenuRequest": Ask(
        "POST",
        lambda ids: f"/v1/menu-requests/{ids.menu_request}/enrolment",
        Permission.MEMBERS_ASSIST,
        request=lambda _ids, _site: {
            "json": {"product": "nps-lite", "full_name": "Asha Example", "born_on": "1990-05-01"}
        },
    ),
    "ListStateClaims": Ask("GET", lambda _: "/v1/state-claims", Permission.CONTRIBUTIONS_READ, 200),
    "PrepareStateClaim": Ask(
        "POST",
        lambda _: "/v1/state-claims",
        Permission.MATCH_CLAIM,
        404,
        request=lambda _ids, _site: {"json": {"product": "nps-lite", "date": "2023-03-31"}},
    ),
    "GetStateClaimFile": Ask("GET", lambda _: "/v1/state-claims/1/file", Permission.MATCH_APPROVE, 404),
    "SendStateClaim": Ask(
        "POST",
        lambda _: "/v1/state-claims/1/sending",
        Permission.MATCH_APPROVE,
        404,
        request=lambda _ids, _site: {"json": {"digest": "0" * 64}},
    ),
    "RejectStateClaim": Ask(
        "POST",
        lambda _: "/v1/state-claims/1/rejection",
        Permission.MATCH_APPROVE,
        404,
        request=lambda _ids, _site: {"json": {"digest": "0" * 64}},
    ),
    "ReceiveStateMoney": Ask(
        "POST",
        lambda _: "/v1/state-claims/1/receipt",
        Permission.MATCH_CLAIM,
        404,
        request=lambda _ids, _site: {"json": {"amount": "1", "channel": "upi", "reference": "T-1"}},
    ),
    "ShareStateMoney": Ask("POST", lambda _: "/v1/state-claims/1/sharing", Permission.MATCH_CLAIM, 404),
    "GetBenefits": Ask("GET", lambda ids: f"/v1/members/{ids.member}/benefits", Permission.CLAIMS_READ),
    "OpenClaim": Ask(
        "POST",
        lambda _: "/v1/claims",
        Permission.CLAIMS_OPEN,
        request=lambda ids, _site: {"json": {"member": ids.member, "kind": "exit", "ground": "voluntary"}},
        key=True,
    ),
    "ListClaims": Ask("GET", lambda _: "/v1/claims", Permission.CLAIMS_READ, 200),
    "GetClaim": Ask("GET", lambda ids: f"/v1/claims/{ids.claim}", Permission.CLAIMS_READ),
    "AddClaimDocuments": Ask(
        "POST",
        lambda ids: f"/v1/claims/{ids.claim}/documents",
        Permission.CLAIMS_OPEN,
        request=lambda _ids, _site: {"json": {"documents": {"invoice": "0" * 64}}},
    ),
    "ApproveClaim": Ask(
        "POST",
        lambda ids: f"/v1/claims/{ids.claim}/approval",
        Permission.CLAIMS_APPROVE,
        request=lambda _ids, _site: {"json": {"digest": "0" * 64}},
    ),
    "RejectClaim": Ask(
        "POST",
        lambda ids: f"/v1/claims/{ids.claim}/rejection",
        Permission.CLAIMS_APPROVE,
        request=lambda _ids, _site: {"json": {"digest": "0" * 64}},
    ),
    "WithdrawClaim": Ask("POST", lambda ids: f"/v1/claims/{ids.claim}/withdrawal", Permission.CLAIMS_OPEN),
    "ListLoans": Ask("GET", lambda _: "/v1/loans", Permission.CLAIMS_READ, 200),
    "GetLoan": Ask("GET", lambda ids: f"/v1/loans/{ids.claim}", Permission.CLAIMS_READ),
    "RepayLoan": Ask(
        "POST",
        lambda ids: f"/v1/loans/{ids.claim}/repayments",
        Permission.SUSPENSE_RESOLVE,
        request=lambda ids, _site: {"json": {"receipt": ids.receipt}},
    ),
    "ReportLender": Ask(
        "POST",
        lambda ids: f"/v1/loans/{ids.claim}/lender-reports",
        Permission.CLAIMS_OPEN,
        request=lambda _ids, _site: {"json": {"owed": "1"}},
    ),
    "ConfirmLender": Ask(
        "POST",
        lambda ids: f"/v1/loans/{ids.claim}/lender-reports/approval",
        Permission.CLAIMS_APPROVE,
        request=lambda _ids, _site: {"json": {"digest": "0" * 64}},
    ),
    "RejectLender": Ask(
        "POST",
        lambda ids: f"/v1/loans/{ids.claim}/lender-reports/rejection",
        Permission.CLAIMS_APPROVE,
        request=lambda _ids, _site: {"json": {"digest": "0" * 64}},
    ),
    "MakeCoverFile": Ask(
        "POST",
        lambda _: "/v1/cover-files",
        Permission.CLAIMS_APPROVE,
        409,
        request=lambda _ids, _site: {"json": {"product": "nps-lite", "payer": "nobody"}},
    ),
    "ListCoverFiles": Ask("GET", lambda _: "/v1/cover-files", Permission.CLAIMS_READ, 200),
    "GetCoverFile": Ask("GET", lambda _: "/v1/cover-files/1/content", Permission.CLAIMS_APPROVE),
    "TakeCoverAnswers": Ask(
        "POST",
        lambda _: "/v1/cover-files/1/answers",
        Permission.CLAIMS_APPROVE,
        request=lambda ids, _site: {"json": {"answers": [{"claim": ids.claim, "answer": "accepted"}]}},
    ),
    "ListSettingsAside": Ask("GET", lambda _: "/v1/confirmation-proposals", Permission.OPERATIONS_READ, 200),
    "ProposeSettingAside": Ask(
        "POST",
        lambda _: "/v1/confirmation-proposals",
        Permission.BREAKS_PROPOSE,
        request=lambda _ids, _site: {"json": {"file": 1, "place": 1, "cause": "sent-in-error"}},
    ),
    "ApproveSettingAside": Ask(
        "POST",
        lambda _: "/v1/confirmation-proposals/1/approve",
        Permission.BREAKS_APPROVE,
        request=lambda _ids, _site: {"json": {"digest": "0" * 64}},
    ),
    "RejectSettingAside": Ask(
        "POST",
        lambda _: "/v1/confirmation-proposals/1/reject",
        Permission.BREAKS_APPROVE,
        request=lambda _ids, _site: {"json": {"digest": "0" * 64}},
    ),
    "ListSentOrders": Ask("GET", lambda _: "/v1/sent-orders", Permission.OPERATIONS_READ, 200),
    "ListCancellations": Ask("GET", lambda _: "/v1/order-cancellations", Permission.OPERATIONS_READ, 200),
    "ProposeCancellation": Ask(
        "POST",
        lambda _: "/v1/order-cancellations",
        Permission.BREAKS_PROPOSE,
        request=lambda _ids, _site: {"json": {"order": "xx-1-FUND", "reason": "wrong-details"}},
    ),
    "ApproveCancellation": Ask(
        "POST",
        lambda _: "/v1/order-cancellations/1/approve",
        Permission.BREAKS_APPROVE,
        request=lambda _ids, _site: {"json": {"digest": "0" * 64}},
    ),
    "RejectCancellation": Ask(
        "POST",
        lambda _: "/v1/order-cancellations/1/reject",
        Permission.BREAKS_APPROVE,
        request=lambda _ids, _site: {"json": {"digest": "0" * 64}},
    ),
    "PrepareDebits": Ask(
        "POST",
        lambda _: "/v1/debit-files",
        Permission.PAYOUTS_INSTRUCT,
        201,
        request=lambda _ids, _site: {
            "json": {"rail": "bank", "product": "nps-lite", "collect_on": SECOND_DAY.isoformat()}
        },
    ),
    "ListDebits": Ask("GET", lambda _: "/v1/debit-files", Permission.PAYOUTS_READ, 200),
    "ApproveDebits": Ask(
        "POST",
        lambda _: "/v1/debit-files/1/approve",
        Permission.PAYOUTS_APPROVE,
        request=lambda _ids, _site: {"json": {"digest": "0" * 64}},
    ),
    "RejectDebits": Ask(
        "POST",
        lambda _: "/v1/debit-files/1/reject",
        Permission.PAYOUTS_APPROVE,
        request=lambda _ids, _site: {"json": {"digest": "0" * 64}},
    ),
    "ListUnclaimed": Ask(
        "GET",
        lambda _: "/v1/unclaimed",
        Permission.CLAIMS_READ,
        200,
        request=lambda _ids, _site: {"params": {"product": "nps-lite"}},
    ),
    "FindUnclaimed": Ask(
        "POST",
        lambda _: "/v1/unclaimed/presumptions",
        Permission.CLAIMS_OPEN,
        409,
        request=lambda _ids, _site: {"json": {"product": "nps-lite"}},
    ),
    "NoteUnclaimedSearch": Ask(
        "POST",
        lambda _: "/v1/unclaimed/searches",
        Permission.CLAIMS_OPEN,
        request=lambda ids, _site: {
            "json": {"product": ids.product, "means": "phone", "outcome": "told", "member": ids.member}
        },
    ),
    "ProposeHandOver": Ask(
        "POST",
        lambda _: "/v1/unclaimed/hand-overs",
        Permission.CLAIMS_OPEN,
        409,
        request=lambda _ids, _site: {"json": {"product": "nps-lite"}},
    ),
    "ListHandOvers": Ask("GET", lambda _: "/v1/unclaimed/hand-overs", Permission.CLAIMS_READ, 200),
    "GetHandOverFile": Ask("GET", lambda _: "/v1/unclaimed/hand-overs/1/file", Permission.CLAIMS_APPROVE),
    "ApproveHandOver": Ask(
        "POST",
        lambda _: "/v1/unclaimed/hand-overs/1/approval",
        Permission.CLAIMS_APPROVE,
        request=lambda _ids, _site: {"json": {"digest": "0" * 64}},
    ),
    "RejectHandOver": Ask(
        "POST",
        lambda _: "/v1/unclaimed/hand-overs/1/rejection",
        Permission.CLAIMS_APPROVE,
        request=lambda _ids, _site: {"json": {"digest": "0" * 64}},
    ),
    "ReceiptHandOver": Ask(
        "POST",
        lambda _: "/v1/unclaimed/hand-overs/1/receipt",
        Permission.CLAIMS_OPEN,
        request=lambda _ids, _site: {"json": {"receipt": "R1"}},
    ),
    "ReclaimUnclaimed": Ask(
        "POST",
        lambda ids: f"/v1/members/{ids.member}/reclaim",
        Permission.CLAIMS_OPEN,
        request=lambda ids, _site: {"json": {"product": ids.product, "documents": {"card": "0" * 64}}},
    ),
    "ApproveReclaim": Ask(
        "POST",
        lambda ids: f"/v1/members/{ids.member}/reclaim/approval",
        Permission.CLAIMS_APPROVE,
        request=lambda ids, _site: {"json": {"product": ids.product, "digest": "0" * 64}},
    ),
    "ListPensions": Ask("GET", lambda _: "/v1/pensions", Permission.CLAIMS_READ, 200),
    "GetPension": Ask("GET", lambda ids: f"/v1/pensions/{ids.claim}", Permission.CLAIMS_READ),
    "GetGuaranteedPayments": Ask("GET", lambda ids: f"/v1/pensions/{ids.claim}/guaranteed", Permission.CLAIMS_READ),
    "NamePensionPayee": Ask(
        "POST",
        lambda ids: f"/v1/pensions/{ids.claim}/payee",
        Permission.PENSIONS_MANAGE,
        request=lambda _ids, _site: {"json": {"accounts": [{"rail": "bank", "number": "1"}]}},
    ),
    "ProveLife": Ask(
        "POST",
        lambda ids: f"/v1/pensions/{ids.claim}/life-proofs",
        Permission.PENSIONS_MANAGE,
        request=lambda _ids, _site: {"json": {"seen_on": "2023-04-01", "source": "agent"}},
    ),
    "ListPayrolls": Ask("GET", lambda _: "/v1/payrolls", Permission.PAYOUTS_READ, 200),
    "GetPayroll": Ask("GET", lambda _: "/v1/payrolls/1", Permission.PAYOUTS_READ, 404),
    "ProposePayroll": Ask(
        "POST",
        lambda _: "/v1/payrolls",
        Permission.PAYROLL_PROPOSE,
        request=lambda ids, _site: {"json": {"product": ids.product, "month": "2023-04-01"}},
    ),
    "ApprovePayroll": Ask(
        "POST",
        lambda _: "/v1/payrolls/1/approval",
        Permission.PAYROLL_APPROVE,
        404,
        request=lambda _ids, _site: {"json": {"digest": "0" * 64}},
    ),
    "RejectPayroll": Ask(
        "POST",
        lambda _: "/v1/payrolls/1/rejection",
        Permission.PAYROLL_APPROVE,
        404,
        request=lambda _ids, _site: {"json": {"digest": "0" * 64}},
    ),
    "ListHeirs": Ask("GET", lambda ids: f"/v1/claims/{ids.claim}/heirs", Permission.CLAIMS_READ),
    "NameHeirs": Ask(
        "POST",
        lambda ids: f"/v1/claims/{ids.claim}/heirs",
        Permission.CLAIMS_OPEN,
        request=lambda _ids, _site: {
            "json": {"heirs": [{"name": "Meera Example", "relationship": "daughter", "share_bp": 10_000}]}
        },
    ),
    "ApproveShares": Ask(
        "POST",
        lambda ids: f"/v1/claims/{ids.claim}/heirs/approval",
        Permission.CLAIMS_APPROVE,
        request=lambda _ids, _site: {"json": {"digest": "0" * 64}},
    ),
    "AddHeirDocuments": Ask(
        "POST",
        lambda ids: f"/v1/claims/{ids.claim}/heirs/1/documents",
        Permission.CLAIMS_OPEN,
        request=lambda _ids, _site: {"json": {"documents": {"identity": "0" * 64}}},
    ),
    "ExcludeHeir": Ask(
        "POST",
        lambda ids: f"/v1/claims/{ids.claim}/heirs/1/exclusion",
        Permission.CLAIMS_OPEN,
        request=lambda _ids, _site: {"json": {"why": "renounced", "documents": {"waiver": "0" * 64}}},
    ),
    "PayHeir": Ask(
        "POST",
        lambda ids: f"/v1/claims/{ids.claim}/heirs/1/payouts",
        Permission.PAYOUTS_INSTRUCT,
        request=lambda _ids, _site: {"json": {"accounts": [{"rail": "bank", "number": "1"}]}},
    ),
    "InstructPayout": Ask(
        "POST",
        lambda _: "/v1/payouts",
        Permission.PAYOUTS_INSTRUCT,
        request=lambda ids, _site: {
            "json": {
                "member": ids.member,
                "product": "nps-lite",
                "parts": [{"pot": "retirement", "origin": "own", "amount": "1.00"}],
                "accounts": [{"rail": "bank", "number": "1"}],
                "source": "claim:1",
            }
        },
    ),
    "RefundSuspense": Ask(
        "POST",
        lambda _: "/v1/payouts/refunds",
        Permission.PAYOUTS_INSTRUCT,
        request=lambda ids, _site: {"json": {"receipt": ids.receipt, "account": {"rail": "bank", "number": "1"}}},
    ),
    "GetPayout": Ask("GET", lambda ids: f"/v1/payouts/{ids.payout}", Permission.PAYOUTS_READ),
    "ApprovePayout": Ask(
        "POST",
        lambda ids: f"/v1/payouts/{ids.payout}/approval",
        Permission.PAYOUTS_APPROVE,
        request=lambda _ids, _site: {"json": {"digest": "0" * 64}},
    ),
    "RefusePayout": Ask("POST", lambda ids: f"/v1/payouts/{ids.payout}/refusal", Permission.PAYOUTS_APPROVE),
    "ListPayouts": Ask("GET", lambda ids: f"/v1/payouts?after={ids.payout}", Permission.PAYOUTS_READ, 200),
    "GetClosing": Ask(
        "GET", lambda ids: f"/v1/closings/{ids.day}", Permission.OPERATIONS_READ, 409, same=without("detail")
    ),
    "ListReopenings": Ask("GET", lambda _: "/v1/reopenings", Permission.OPERATIONS_READ, 200),
    "ProposeReopening": Ask(
        "POST",
        lambda _: "/v1/reopenings",
        Permission.DAYS_REOPEN,
        409,
        request=lambda ids, _site: {"json": {"from_day": ids.day.isoformat(), "reason": "late-correction"}},
        same=without("detail"),
    ),
    "ApproveReopening": Ask(
        "POST",
        lambda ids: f"/v1/reopenings/{ids.dealing}/approval",
        Permission.DAYS_APPROVE,
        request=lambda _ids, _site: {"json": {"digest": "0" * 64}},
    ),
    "RejectReopening": Ask(
        "POST",
        lambda ids: f"/v1/reopenings/{ids.dealing}/rejection",
        Permission.DAYS_APPROVE,
        request=lambda _ids, _site: {"json": {"digest": "0" * 64}},
    ),
    "ListQuarantine": Ask("GET", lambda _: "/v1/quarantine", Permission.OPERATIONS_READ, 200),
    "ReleaseFromQuarantine": Ask(
        "POST", lambda ids: f"/v1/quarantine/{ids.dealing}/release", Permission.QUARANTINE_RELEASE
    ),
    "ListOpenings": Ask("GET", lambda _: "/v1/openings", Permission.OPERATIONS_READ, 200),
    "ApproveOpening": Ask(
        "POST",
        lambda ids: f"/v1/openings/{ids.dealing}/approval",
        Permission.OPENINGS_APPROVE,
        request=lambda _ids, _site: {"json": {"digest": "0" * 64}},
    ),
    "RejectOpening": Ask(
        "POST",
        lambda ids: f"/v1/openings/{ids.dealing}/rejection",
        Permission.OPENINGS_APPROVE,
        request=lambda _ids, _site: {"json": {"digest": "0" * 64}},
    ),
    "ListSuspense": Ask(
        "GET",
        lambda ids: f"/v1/suspense?after={int(ids.receipt) - 1}",
        Permission.CONTRIBUTIONS_READ,
        200,
        same=lambda _: None,  # each finds its own: what it finds is looked through for what is the other's
    ),
    "ListPrices": Ask(
        "GET",
        lambda ids: f"/v1/prices?fund=SM001009&from={ids.held_on}&until={ids.held_on}",
        Permission.OPERATIONS_READ,
        200,
    ),
    "ListDealings": Ask("GET", lambda ids: f"/v1/dealings?before={ids.dealing + 1}", Permission.OPERATIONS_READ, 200),
    "ListBreaks": Ask(
        "GET",
        lambda ids: f"/v1/reconciliation/breaks?after_statement={ids.statement - 1}",
        Permission.OPERATIONS_READ,
        200,
        same=lambda _: None,
    ),
    "ListProposals": Ask(
        "GET",
        lambda ids: f"/v1/reconciliation/breaks/{ids.statement}/{ids.line}/proposals",
        Permission.OPERATIONS_READ,
        200,
    ),
    "ProposeResolution": Ask(
        "POST",
        lambda ids: f"/v1/reconciliation/breaks/{ids.statement}/{ids.line}/proposals",
        Permission.BREAKS_PROPOSE,
        request=lambda _ids, _site: {"json": _HELD},
    ),
    "ConfirmProposal": Ask(
        "POST",
        lambda ids: f"/v1/reconciliation/proposals/{ids.proposal}/confirmation",
        Permission.BREAKS_APPROVE,
        request=lambda _ids, _site: {"json": {"digest": "0" * 64}},
    ),
    "RejectProposal": Ask(
        "POST", lambda ids: f"/v1/reconciliation/proposals/{ids.proposal}/rejection", Permission.BREAKS_APPROVE
    ),
    "ProveDay": Ask("GET", lambda _: "/v1/reconciliation/proof", Permission.OPERATIONS_READ, 200, same=lambda _: None),
    "ImportHoldings": Ask(
        "POST",
        lambda _: "/v1/operations/holdings?name=h.csv",
        Permission.STATEMENTS_IMPORT,
        200,
        request=lambda _ids, _site: {
            "content": write_holdings(
                PLAIN, header_of(PLAIN, "CUSTODIAN", 1, FIRST_DAY), "A", {"SM001009": Decimal("1.5")}
            )
        },
        same=without("first_imported_at"),
    ),
    "ImportConfirmations": Ask(
        "POST",
        lambda _: "/v1/operations/confirmations?name=c.csv&manager=pfm",
        Permission.STATEMENTS_IMPORT,
        request=lambda _ids, _site: {"content": b"H,EXECUTIONS"},
    ),
    "ListOrderFiles": Ask("GET", lambda _: "/v1/order-files", Permission.OPERATIONS_READ, 200, same=lambda _: None),
    "ListConfirmations": Ask(
        "GET", lambda _: "/v1/confirmations", Permission.OPERATIONS_READ, 200, same=lambda _: None
    ),
    "GetWebhook": Ask("GET", lambda _: "/v1/webhooks", Permission.WEBHOOKS_MANAGE),
    "RemoveWebhook": Ask("DELETE", lambda _: "/v1/webhooks", Permission.WEBHOOKS_MANAGE),
    "ChangeWebhookSecret": Ask("POST", lambda _: "/v1/webhooks/secret", Permission.WEBHOOKS_MANAGE),
    "ReplayWebhook": Ask(
        "POST",
        lambda _: "/v1/webhooks/replay",
        Permission.WEBHOOKS_MANAGE,
        request=lambda _ids, _site: {"json": {"since": datetime.now(UTC).isoformat()}},
    ),
    "SetWebhook": Ask(
        "PUT",
        lambda _: "/v1/webhooks",
        Permission.WEBHOOKS_MANAGE,
        422,
        request=lambda _ids, _site: {"json": {"url": "https://10.0.0.1/hooks"}},
    ),
    "ReadSession": Ask("GET", lambda _: "/v1/operations/session", Permission.OPERATIONS_READ, 200),
    "AdvanceClock": Ask(
        "POST",
        lambda _: "/v1/operations/clock",
        Permission.DEALING_RUN,
        200,
        request=lambda ids, _site: {"json": {"to": ids.clock}},
        same=without("now"),
    ),
    "CreditInterest": Ask(
        "POST",
        lambda _: "/v1/operations/interest",
        Permission.DEALING_RUN,
        404,
        request=lambda _ids, _site: {"json": {"product": "nps-lite", "date": "2023-06-30"}},
    ),
    "ListStandings": Ask("GET", lambda ids: f"/v1/members/{ids.member}/standings", Permission.MEMBERS_READ),
    "ProposeRecordSplit": Ask(
        "POST",
        lambda ids: f"/v1/members/{ids.member}/split",
        Permission.REVERSALS_PROPOSE,
        request=lambda ids, _site: {"json": {"to": ids.member, "receipts": [ids.receipt]}},
    ),
    "ListRecordSplits": Ask("GET", lambda _: "/v1/record-splits", Permission.CONTRIBUTIONS_READ, 200),
    "GetRecordSplit": Ask("GET", lambda _: "/v1/record-splits/1", Permission.CONTRIBUTIONS_READ),
    "ApproveRecordSplit": Ask(
        "POST",
        lambda _: "/v1/record-splits/1/approval",
        Permission.REVERSALS_APPROVE,
        request=lambda _ids, _site: {"json": {"digest": "0" * 64}},
    ),
    "RejectRecordSplit": Ask(
        "POST",
        lambda _: "/v1/record-splits/1/rejection",
        Permission.REVERSALS_APPROVE,
        request=lambda _ids, _site: {"json": {"digest": "0" * 64}},
    ),
    "ProposeMerge": Ask(
        "POST",
        lambda ids: f"/v1/members/{ids.member}/merging",
        Permission.IDENTITY_DECIDE,
        request=lambda ids, _site: {"json": {"into": ids.member}},
    ),
    "ListMerges": Ask("GET", lambda _: "/v1/record-merges", Permission.IDENTITY_DECIDE, 200),
    "GetMerge": Ask("GET", lambda _: "/v1/record-merges/1", Permission.IDENTITY_DECIDE),
    "ApproveMerge": Ask(
        "POST",
        lambda _: "/v1/record-merges/1/approval",
        Permission.IDENTITY_DECIDE,
        request=lambda _ids, _site: {"json": {"digest": "0" * 64}},
    ),
    "RejectMerge": Ask(
        "POST",
        lambda _: "/v1/record-merges/1/rejection",
        Permission.IDENTITY_DECIDE,
        request=lambda _ids, _site: {"json": {"digest": "0" * 64}},
    ),
    "ListMergers": Ask("GET", lambda _: "/v1/mergers", Permission.OPERATIONS_READ, 200),
    "GetMerger": Ask("GET", lambda _: "/v1/mergers/1", Permission.OPERATIONS_READ),
    "ReportMerger": Ask("GET", lambda _: "/v1/mergers/1/report", Permission.OPERATIONS_READ),
    "ProposeMerger": Ask(
        "POST",
        lambda _: "/v1/mergers",
        Permission.MERGERS_PROPOSE,
        422,
        request=lambda _ids, _site: {
            "json": {
                "into_scheme": "xx-none",
                "source": "Another",
                "effective_on": "2023-04-05",
                "products": [{"product": "none", "into": "none", "pots": {"a": "b"}}],
                "channel": "upi",
                "owed_to": "operator",
            }
        },
    ),
    "ApproveMerger": Ask(
        "POST",
        lambda _: "/v1/mergers/1/approval",
        Permission.MERGERS_APPROVE,
        request=lambda _ids, _site: {"json": {"digest": "0" * 64}},
    ),
    "RejectMerger": Ask(
        "POST",
        lambda _: "/v1/mergers/1/rejection",
        Permission.MERGERS_APPROVE,
        request=lambda _ids, _site: {"json": {"digest": "0" * 64}},
    ),
    "BeginLateRound": Ask("POST", lambda _: "/v1/mergers/1/late-rounds", Permission.MERGERS_PROPOSE),
    "AcknowledgeHandOver": Ask(
        "POST",
        lambda _: "/v1/mergers/1/rounds/1/receipt",
        Permission.MERGERS_APPROVE,
        request=lambda _ids, _site: {
            "json": {"version": 1, "scheme": "xx-none", "opening": 1, "digest": "0" * 64, "members": 0, "lines": []}
        },
    ),
    "ProposeMove": Ask(
        "POST",
        lambda ids: f"/v1/members/{ids.member}/moves",
        Permission.MEMBERS_ENROL,
        request=lambda ids, _site: {"json": {"source": ids.product, "target": "apy"}},
    ),
    "ListMoves": Ask("GET", lambda _: "/v1/product-moves", Permission.CLAIMS_READ, 200),
    "ProposeMoveOfAll": Ask(
        "POST",
        lambda _: "/v1/product-moves",
        Permission.CLAIMS_OPEN,
        request=lambda _ids, _site: {"json": {"source": "nps-lite", "target": "apy"}},
    ),
    "GetMove": Ask("GET", lambda _: "/v1/product-moves/1", Permission.CLAIMS_READ),
    "ApproveMove": Ask(
        "POST",
        lambda _: "/v1/product-moves/1/approval",
        Permission.CLAIMS_APPROVE,
        request=lambda _ids, _site: {"json": {"digest": "0" * 64}},
    ),
    "RejectMove": Ask(
        "POST",
        lambda _: "/v1/product-moves/1/rejection",
        Permission.CLAIMS_APPROVE,
        request=lambda _ids, _site: {"json": {"digest": "0" * 64}},
    ),
    "AskTransfer": Ask(
        "POST",
        lambda _: "/v1/transfers-out",
        Permission.CLAIMS_OPEN,
        request=lambda ids, _site: {
            "json": {"member": ids.member, "to": {"scheme": "There", "rail": "bank", "number": "1"}}
        },
        key=True,
    ),
    "ListTransfersOut": Ask("GET", lambda _: "/v1/transfers-out", Permission.CLAIMS_READ, 200),
    "GetTransferOut": Ask("GET", lambda ids: f"/v1/transfers-out/{ids.claim}", Permission.CLAIMS_READ),
    "GetTransferAdvice": Ask("GET", lambda ids: f"/v1/transfers-out/{ids.claim}/advice", Permission.CLAIMS_OPEN),
    "PayTransfer": Ask("POST", lambda ids: f"/v1/transfers-out/{ids.claim}/payout", Permission.PAYOUTS_INSTRUCT),
    "AcknowledgeTransfer": Ask(
        "POST",
        lambda ids: f"/v1/transfers-out/{ids.claim}/acknowledgement",
        Permission.CLAIMS_OPEN,
        request=lambda _ids, _site: {"json": {"reference": "1"}},
    ),
    "BringTransferHome": Ask(
        "POST",
        lambda ids: f"/v1/transfers-out/{ids.claim}/homecoming",
        Permission.CLAIMS_OPEN,
        request=lambda _ids, _site: {"json": {"reason": "refused"}},
    ),
    "AdviseTransfer": Ask(
        "POST",
        lambda _: "/v1/transfers-in",
        Permission.CLAIMS_OPEN,
        request=lambda ids, _site: {"json": {"member": ids.member, "advice": _ADVICE}},
    ),
    "ListTransfersIn": Ask("GET", lambda _: "/v1/transfers-in", Permission.CLAIMS_READ, 200),
    "GetTransferIn": Ask("GET", lambda ids: f"/v1/transfers-in/{ids.claim}", Permission.CLAIMS_READ),
    **{
        f"{act}TransferIn": Ask(
            "POST",
            lambda ids, noun=noun: f"/v1/transfers-in/{ids.claim}/{noun}",  # type: ignore[misc]
            Permission.CLAIMS_APPROVE,
            request=lambda _ids, _site: {"json": {"digest": "0" * 64}},
        )
        for act, noun in (("Approve", "approval"), ("Reject", "rejection"))
    },
    "WithdrawTransferIn": Ask("POST", lambda ids: f"/v1/transfers-in/{ids.claim}/withdrawal", Permission.CLAIMS_OPEN),
    "TakeTransferIn": Ask(
        "POST",
        lambda ids: f"/v1/transfers-in/{ids.claim}/payment",
        Permission.SUSPENSE_RESOLVE,
        request=lambda ids, _site: {"json": {"receipt": ids.receipt}},
    ),
    "ListFeeRuns": Ask("GET", lambda _: "/v1/operations/fees", Permission.OPERATIONS_READ, 200),
    "ProposeFees": Ask(
        "POST",
        lambda _: "/v1/operations/fees",
        Permission.FEES_PROPOSE,
        404,
        request=lambda _ids, _site: {"json": {"product": "nps-lite", "date": "2023-03-31"}},
    ),
    "GetFeeRun": Ask("GET", lambda _: "/v1/operations/fees/1", Permission.OPERATIONS_READ, 404),
    "ApproveFees": Ask(
        "POST",
        lambda _: "/v1/operations/fees/1/approval",
        Permission.FEES_APPROVE,
        404,
        request=lambda _ids, _site: {"json": {"digest": "0" * 64}},
    ),
    "RejectFees": Ask(
        "POST",
        lambda _: "/v1/operations/fees/1/rejection",
        Permission.FEES_APPROVE,
        404,
        request=lambda _ids, _site: {"json": {"digest": "0" * 64}},
    ),
    "ProposeFeeRefund": Ask(
        "POST",
        lambda _: "/v1/operations/fees/1/refund",
        Permission.FEES_PROPOSE,
        404,
        request=lambda _ids, _site: {"json": {"reason": "wrong-rate"}},
    ),
    "ListPremiumRuns": Ask("GET", lambda _: "/v1/operations/premiums", Permission.OPERATIONS_READ, 200),
    "ProposePremiums": Ask(
        "POST",
        lambda _: "/v1/operations/premiums",
        Permission.FEES_PROPOSE,
        404,
        request=lambda _ids, _site: {"json": {"product": "nps-lite", "date": "2023-03-31"}},
    ),
    "GetPremiumRun": Ask("GET", lambda _: "/v1/operations/premiums/1", Permission.OPERATIONS_READ, 404),
    "ApprovePremiums": Ask(
        "POST",
        lambda _: "/v1/operations/premiums/1/approval",
        Permission.FEES_APPROVE,
        404,
        request=lambda _ids, _site: {"json": {"digest": "0" * 64}},
    ),
    "RejectPremiums": Ask(
        "POST",
        lambda _: "/v1/operations/premiums/1/rejection",
        Permission.FEES_APPROVE,
        404,
        request=lambda _ids, _site: {"json": {"digest": "0" * 64}},
    ),
    "GetMemberPremiums": Ask("GET", lambda ids: f"/v1/members/{ids.member}/premiums", Permission.STATEMENTS_READ),
    "MakePremiumFile": Ask(
        "POST",
        lambda _: "/v1/premium-files",
        Permission.FEES_APPROVE,
        404,
        request=lambda _ids, _site: {"json": {"product": "nps-lite", "insurer": "insurer"}},
    ),
    "ListPremiumFiles": Ask("GET", lambda _: "/v1/premium-files", Permission.OPERATIONS_READ, 200),
    "GetPremiumFile": Ask("GET", lambda _: "/v1/premium-files/1/content", Permission.FEES_APPROVE),
    "TakePremiumAnswers": Ask(
        "POST",
        lambda _: "/v1/premium-files/1/answers",
        Permission.FEES_APPROVE,
        404,
        request=lambda _ids, _site: {"json": {"answers": [{"line": 1, "answer": "accepted"}]}},
    ),
    "ListPassedOn": Ask("GET", lambda _: "/v1/passed-on", Permission.PAYOUTS_READ, 200),
    "PayPassedOn": Ask(
        "POST",
        lambda _: "/v1/passed-on/payouts",
        Permission.PAYOUTS_INSTRUCT,
        409,
        request=lambda _ids, _site: {
            "json": {
                "product": "ltss",
                "party": "insurer",
                "reference": "r",
                "account": {"rail": "bank", "number": "1"},
            }
        },
    ),
    "GetAnnuity": Ask("GET", lambda ids: f"/v1/annuities/{ids.claim}", Permission.CLAIMS_READ),
    "GetAnnuityDocument": Ask("GET", lambda ids: f"/v1/annuities/{ids.claim}/document", Permission.CLAIMS_APPROVE),
    "PayAnnuity": Ask(
        "POST",
        lambda ids: f"/v1/annuities/{ids.claim}/payout",
        Permission.PAYOUTS_INSTRUCT,
        request=lambda _ids, _site: {"json": {"account": {"rail": "bank", "number": "1"}}},
    ),
    "ConfirmAnnuity": Ask(
        "POST",
        lambda ids: f"/v1/annuities/{ids.claim}/policy",
        Permission.CLAIMS_APPROVE,
        request=lambda _ids, _site: {"json": {"policy": "P-1"}},
    ),
    "RefuseAnnuity": Ask("POST", lambda ids: f"/v1/annuities/{ids.claim}/refusal", Permission.CLAIMS_APPROVE),
    "GetMemberFees": Ask("GET", lambda ids: f"/v1/members/{ids.member}/fees", Permission.STATEMENTS_READ),
    "ListPriceCorrections": Ask("GET", lambda _: "/v1/operations/price-corrections", Permission.OPERATIONS_READ, 200),
    "ProposePriceCorrection": Ask(
        "POST",
        lambda _: "/v1/operations/price-corrections",
        Permission.PRICES_IMPORT,
        404,
        request=lambda _ids, _site: {
            "json": {
                "fund": "SM009009",
                "price_on": "2023-04-03",
                "price": "10",
                "party": "operator",
                "reason": "typed-wrong",
            }
        },
    ),
    "GetPriceCorrection": Ask("GET", lambda _: "/v1/operations/price-corrections/1", Permission.OPERATIONS_READ, 404),
    "GetPriceCorrectionMembers": Ask(
        "GET", lambda _: "/v1/operations/price-corrections/1/members.csv", Permission.STATEMENTS_READ, 404
    ),
    "ApprovePriceCorrection": Ask(
        "POST",
        lambda _: "/v1/operations/price-corrections/1/approval",
        Permission.PRICES_APPROVE,
        404,
        request=lambda _ids, _site: {"json": {"digest": "0" * 64}},
    ),
    "RejectPriceCorrection": Ask(
        "POST",
        lambda _: "/v1/operations/price-corrections/1/rejection",
        Permission.PRICES_APPROVE,
        404,
        request=lambda _ids, _site: {"json": {"digest": "0" * 64}},
    ),
    "ListFundActions": Ask("GET", lambda _: "/v1/operations/fund-actions", Permission.OPERATIONS_READ, 200),
    "ProposeSplit": Ask(
        "POST",
        lambda _: "/v1/operations/fund-actions/splits",
        Permission.PRICES_IMPORT,
        404,
        request=lambda _ids, _site: {"json": {"fund": "SM009009", "on": "2030-04-03", "new": 2, "old": 1}},
    ),
    "ProposeDistribution": Ask(
        "POST",
        lambda _: "/v1/operations/fund-actions/distributions",
        Permission.PRICES_IMPORT,
        409,
        request=lambda _ids, site: {
            "json": {
                "fund": "SM009009",
                "product": site.tenant.pack.products[0].code,
                "on": "2023-04-03",
                "per_unit": "0.1",
                "stated": "1",
                "reference": "INC-1",
            }
        },
    ),
    "ListPoolIncomes": Ask("GET", lambda _: "/v1/operations/pool-incomes", Permission.OPERATIONS_READ, 200),
    "ProposePoolIncome": Ask(
        "POST",
        lambda _: "/v1/operations/pool-incomes",
        Permission.DEALING_RUN,
        409,
        request=lambda _ids, site: {
            "json": {
                "product": site.tenant.pack.products[0].code,
                "on": "2023-04-03",
                "amount": "10.00",
                "reference": "POOL-1",
            }
        },
    ),
    "ApprovePoolIncome": Ask(
        "POST",
        lambda _: "/v1/operations/pool-incomes/1/approval",
        Permission.PRICES_APPROVE,
        404,
        request=lambda _ids, _site: {"json": {"digest": "0" * 64}},
    ),
    "RejectPoolIncome": Ask(
        "POST",
        lambda _: "/v1/operations/pool-incomes/1/rejection",
        Permission.PRICES_APPROVE,
        404,
        request=lambda _ids, _site: {"json": {"digest": "0" * 64}},
    ),
    "GetFundAction": Ask("GET", lambda _: "/v1/operations/fund-actions/1", Permission.OPERATIONS_READ, 404),
    "ApproveFundAction": Ask(
        "POST",
        lambda _: "/v1/operations/fund-actions/1/approval",
        Permission.PRICES_APPROVE,
        404,
        request=lambda _ids, _site: {"json": {"digest": "0" * 64}},
    ),
    "RejectFundAction": Ask(
        "POST",
        lambda _: "/v1/operations/fund-actions/1/rejection",
        Permission.PRICES_APPROVE,
        404,
        request=lambda _ids, _site: {"json": {"digest": "0" * 64}},
    ),
    "ListFundChoices": Ask("GET", lambda ids: f"/v1/members/{ids.member}/fund-choices", Permission.STATEMENTS_READ),
    "ChooseFunds": Ask(
        "POST",
        lambda ids: f"/v1/members/{ids.member}/fund-choices",
        Permission.CLAIMS_OPEN,
        request=lambda _ids, site: {"json": {"product": site.tenant.pack.products[0].code, "to": {}}},
    ),
    "ListSwitches": Ask("GET", lambda ids: f"/v1/members/{ids.member}/switches", Permission.STATEMENTS_READ),
    "AskSwitch": Ask(
        "POST",
        lambda ids: f"/v1/members/{ids.member}/switches",
        Permission.CLAIMS_OPEN,
        request=lambda _ids, _site: {
            "json": {
                "product": "nps-lite",
                "pot": "retirement",
                "origin": "own",
                "fund": "SM001009",
                "to": {"SM002009": 10_000},
                "reference": "switch-1",
            }
        },
    ),
    "RunDealingDay": Ask(
        "POST",
        lambda _: "/v1/operations/dealing-days",
        Permission.DEALING_RUN,
        200,
        request=lambda ids, _site: {"json": {"date": ids.day.isoformat()}},
        same=without("day"),
    ),
    "ImportPrices": Ask(
        "POST",
        lambda ids: f"/v1/operations/prices?name=a.out&date={ids.day}",
        Permission.PRICES_IMPORT,
        200,
        request=lambda ids, _site: {"content": ids.price_file},
        same=lambda report: (report["state"], len(report["accepted"]) + len(report["held"]), report["refused"]),
    ),
    "ImportStatement": Ask(
        "POST",
        lambda _: "/v1/operations/statements?name=a.csv&account=upi",
        Permission.STATEMENTS_IMPORT,
        200,
        request=lambda ids, _site: {
            "content": f"date,reference,amount,currency\n{FIRST_DAY},{ids.settled},100.00,INR\n".encode()
        },
        same=lambda report: (
            report["line_count"],
            report["matched"],
            report["breaks"][-1:] and report["breaks"][-1]["reason"],
        ),
    ),
}
"""Every route under /v1, asked by one scheme with what is the other's."""


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def other(neighbour: Site, served: Any) -> Other:
    """The scheme next door: a payment received, one in suspense, a price held, a dealing priced, a statement matched."""
    key, reference = secrets.token_hex(8), f"R-{secrets.token_hex(8)}"
    person = json_of(application(neighbour.tenant, name="Nobody Elses"))
    enrolled = neighbour.ask("POST", "/v1/members", Permission.MEMBERS_ENROL, json=person, key=key)
    member = enrolled.json()["number"]
    received = neighbour.pay(neighbour.payment(member, reference=reference), key=key).json()
    suspended = neighbour.pay(neighbour.payment("500000000009")).json()
    asked_for = neighbour.ask(
        "POST",
        "/v1/collections",
        Permission.COLLECTIONS_REQUEST,
        json=without("reference")(neighbour.payment(member)),
        key=key,
    )
    assert asked_for.status_code == 202, asked_for.text
    settled = f"S-{secrets.token_hex(8)}"
    assert neighbour.pay(neighbour.payment(member, reference=settled)).status_code == 201
    lines = f"{FIRST_DAY},{settled},100.00,INR\n{FIRST_DAY},NOBODYS,70.00,INR\n"
    matched = neighbour.ask(
        "POST",
        "/v1/operations/statements",
        Permission.STATEMENTS_IMPORT,
        params={"name": "b.csv", "account": "upi"},
        content=f"date,reference,amount,currency\n{lines}".encode(),
    ).json()
    assert (matched["matched"], matched["unmatched"]) == (1, 1)
    price_file = neighbour.price_file(FIRST_DAY, "30.0000")
    assert neighbour.import_prices(FIRST_DAY, price_file)["accepted"]
    run = neighbour.ask(
        "POST", "/v1/operations/dealing-days", Permission.DEALING_RUN, json={"date": FIRST_DAY.isoformat()}
    ).json()
    neighbour.advance(SECOND_DAY)
    assert neighbour.import_prices(SECOND_DAY, neighbour.price_file(SECOND_DAY, "60.0000"))["held"]
    breaks = neighbour.ask("GET", "/v1/reconciliation/breaks", Permission.OPERATIONS_READ).json()["items"]
    ref = neighbour.members[0]
    parts = await owe(neighbour.db, neighbour.keys, neighbour.tenant, ref.number, ref.member_id, 100_00, channel="upi")
    payout = await instruct(
        neighbour.db, neighbour.keys, neighbour.tenant, ref.member_id, parts[0], {parts[1:]: 100_00}, to("bank", "1")
    )
    proposed = neighbour.ask(
        "POST",
        f"/v1/reconciliation/breaks/{breaks[0]['statement']}/{breaks[0]['line']}/proposals",
        Permission.BREAKS_PROPOSE,
        json=_HELD,
    ).json()
    owner = neighbour.ask(
        "POST",
        f"/v1/suspense/{suspended['receipt']}/proposals",
        Permission.SUSPENSE_RESOLVE,
        json={"member": member},
    ).json()
    claim = neighbour.ask(
        "POST",
        "/v1/claims",
        Permission.CLAIMS_OPEN,
        key=secrets.token_hex(8),
        json={"member": member, "kind": "exit", "ground": "NOBODYS"},
    ).json()
    loan = LoanRow(
        member_id=ref.member_id, loan_id=int(claim["claim"]), product=ref.product, rule="pledge", form="pledge",
        state="running", principal=100_00, owed=100_00, percent="12", lender="lender", instalments=1,
        began_on=FIRST_DAY, joined_on=FIRST_DAY, began_event=int(claim["claim"]),
    )  # fmt: skip
    async with neighbour.db.unit_of_work(neighbour.tenant.tenant_id) as session:
        await add_loan(session, loan, [Instalment(SECOND_DAY, 100_00, 1_00)], default_months=3)
        await session.execute(text(_HANDED_OVER), {"m": ref.member_id, "p": ref.product})
        await session.execute(text(_TRANSFERRED), {"m": ref.member_id, "p": ref.product, "c": int(claim["claim"])})
    webhook = neighbour.ask(
        "PUT", "/v1/webhooks", Permission.WEBHOOKS_MANAGE, json={"url": "https://neighbour.example/hooks"}
    )
    assert webhook.status_code == 200, webhook.text
    caller = Asked(phone="+919812345678", language="en")
    async with neighbour.db.unit_of_work(neighbour.tenant.tenant_id) as session:
        await desk.ask_people(session, neighbour.keys, neighbour.tenant, uuid4(), 0, "call", caller)
        [wanted] = await desk.open_requests(session, neighbour.keys, neighbour.tenant, actor="staff:1")
    ids = Identifiers(
        member=member,
        receipt=suspended["receipt"],
        collection=asked_for.json()["reference"],
        menu_request=str(wanted.request),
        payout=str(payout.id),
        claim=claim["claim"],
        held_on=SECOND_DAY,
        day=FIRST_DAY,
        dealing=run["closed"][0],
        statement=breaks[0]["statement"],
        line=breaks[0]["line"],
        proposal=proposed["proposal"],
        owner=owner["proposal"],
        product=served.tenants[4].pack.manifest.products[0].code,
        key=key,
        reference=reference,
        settled=settled,
        person=person,
        price_file=price_file,
        clock=f"{SECOND_DAY}T05:00:00Z",
    )
    own = (
        received["receipt"],
        suspended["receipt"],
        ids.collection,
        ids.menu_request,
        caller.phone,
        ids.payout,
        ids.claim,
        webhook.json()["secret"],
        "neighbour.example",
        "NOBODYS",
        neighbour.host,
        neighbour.tenant.code,
    )
    return Other(neighbour, ids, own)


@pytest.fixture
def nobodys(site: Site) -> Identifiers:
    """Identifiers of the same shapes that are nobody's."""
    day = FIRST_DAY - timedelta(days=1 + secrets.randbelow(700))
    return Identifiers(
        member="500000000017",
        receipt=str(2**62 + secrets.randbelow(2**40)),
        collection=str(uuid4()),
        menu_request=str(uuid4()),
        payout=str(uuid4()),
        claim=str(2**61 + secrets.randbelow(2**60)),
        held_on=FIRST_DAY + timedelta(days=700),
        day=day,
        dealing=2**31 - 3,
        statement=2**40,
        line=2,
        proposal=2**40,
        owner=2**40,
        product="no-product",
        key=secrets.token_hex(8),
        reference=f"R-{secrets.token_hex(8)}",
        settled=f"S-{secrets.token_hex(8)}",
        person=json_of(application(site.tenant, name="Some One")),
        price_file=site.price_file(day, "30.0000"),
        clock=f"{SECOND_DAY}T06:{secrets.randbelow(60):02d}:{secrets.randbelow(60):02d}Z",
    )


@pytest.fixture
def rows(superuser_url: str, database_urls: tuple[str, str]) -> Iterator[Callable[[Site], dict[str, tuple[int, str]]]]:
    """Every row that a scheme has, table by table: how many, and a digest of them."""
    url = make_url(superuser_url).set(database=make_url(database_urls[0]).database)
    with psycopg.connect(url.render_as_string(hide_password=False), autocommit=True) as connection:
        walled = connection.execute("""
            select relname from pg_class where relrowsecurity and relkind in ('r', 'p') and not relispartition
               and relname <> 'staff_sessions' -- when a session was last used is written down as time passes
            union select 'tenants'""").fetchall()

        def rows_of(site: Site) -> dict[str, tuple[int, str]]:
            found = {}
            for (table,) in walled:
                row = connection.execute(
                    f"select count(*), coalesce(md5(string_agg(t::text, '|' order by t::text)), '') from {table} t"
                    " where tenant_id = %s",
                    (site.tenant.tenant_id,),
                ).fetchone()
                assert row is not None
                found[str(table)] = (int(row[0]), str(row[1]))
            return found

        yield rows_of


def as_asked(answer: httpx.Response, ids: Identifiers) -> str:
    """Return an answer's text without what it repeats of the question."""
    text = answer.text
    for one in (ids.member, ids.receipt, ids.collection, ids.payout, ids.claim, ids.held_on.isoformat(), ids.product):
        text = text.replace(one, "…")
    return text


def asked(site: Site, ask: Ask, ids: Identifiers, **headers: str) -> httpx.Response:
    return site.ask(
        ask.method,
        ask.path(ids),
        ask.permission,
        key=ids.key if ask.key else "",
        headers=headers,
        **ask.request(ids, site),
    )


def test_no_route_is_forgotten() -> None:
    documented = {
        operation["operationId"]
        for path, item in DOCUMENT["paths"].items()
        if path.startswith("/v1/")
        for operation in item.values()
    }

    assert documented == set(ASKED)


@pytest.mark.parametrize("name", ASKED)
def test_the_others_are_nobodys(
    site: Site, other: Other, nobodys: Identifiers, rows: Callable[[Site], Any], name: str
) -> None:
    """The same status and the same body, nothing told, and not a row of the other's changed."""
    ask = ASKED[name]
    before, own_before = rows(other.site), rows(site)
    theirs = asked(site, ask, other.ids)
    after, own_after = rows(other.site), rows(site)
    nobody = asked(site, ask, nobodys)

    assert (theirs.status_code, nobody.status_code) == (ask.status, ask.status), (theirs.text, nobody.text)
    assert {**theirs.headers, "date": "", "content-length": ""} == {
        **nobody.headers,
        "date": "",
        "content-length": "",
    } or (ask.status in {201, 202})
    if ask.status == 404:
        assert as_asked(theirs, other.ids) == as_asked(nobody, nobodys)
        assert theirs.headers["content-type"] == PROBLEM
        assert own_after == own_before
    else:
        assert ask.same(theirs.json()) == ask.same(nobody.json())
    for one in other.secrets:
        assert one not in theirs.text
    assert after == before


@pytest.mark.parametrize("name", ASKED)
def test_another_schemes_host_is_not_a_way_in(
    guest: Site, other: Other, rows: Callable[[Site], Any], name: str
) -> None:
    """Whose scheme it is, says the token or the session, never the address that was called."""
    before = rows(other.site)
    answer = asked(guest, ASKED[name], other.ids, Host=other.site.host)

    assert rows(other.site) == before
    assert answer.status_code == ASKED[name].status
    for one in other.secrets:
        assert one not in answer.text


async def test_a_payment_for_the_others_member_is_held_by_who_was_sent_it(site: Site, other: Other) -> None:
    answer = site.pay(site.payment(other.ids.member, "150.00"))
    listed = site.ask("GET", f"/v1/suspense?after={int(answer.json()['receipt']) - 1}", Permission.CONTRIBUTIONS_READ)
    next_door = other.site.ask("GET", "/v1/suspense", Permission.CONTRIBUTIONS_READ)

    assert answer.status_code == 202
    assert answer.json()["reason"] == "unknown-member"
    assert answer.json()["receipt"] in {item["receipt"] for item in listed.json()}
    assert answer.json()["receipt"] not in {item["receipt"] for item in next_door.json()}


def test_a_suspended_payment_is_not_given_to_the_others_member(
    site: Site, other: Other, rows: Callable[[Site], Any]
) -> None:
    receipt = site.pay(site.payment("500000000009")).json()["receipt"]
    before = rows(site), rows(other.site)
    path = f"/v1/suspense/{receipt}/proposals"
    theirs = site.ask("POST", path, Permission.SUSPENSE_RESOLVE, json={"member": other.ids.member})
    nobodys = site.ask("POST", path, Permission.SUSPENSE_RESOLVE, json={"member": "500000000017"})

    assert theirs.status_code == nobodys.status_code == 404
    assert theirs.content == nobodys.content
    assert (rows(site), rows(other.site)) == before


def test_what_is_claimed_next_door_is_free_here(site: Site, other: Other) -> None:
    """The same reference and the same key, of another scheme, are another payment."""
    reference = f"R-{secrets.token_hex(8)}"
    theirs = other.site.pay(other.site.payment(other.ids.member, reference=reference), key="one-key-of-two")
    body = site.payment(site.members[0].number, reference=reference)
    ours = site.pay(body, key="one-key-of-two")
    again = site.pay(body, key="one-key-of-two")

    assert theirs.status_code == ours.status_code == 201
    assert again.content == ours.content
    assert ours.json()["receipt"] != theirs.json()["receipt"]


def test_a_token_for_a_scheme_that_is_not_served_finds_nothing(site: Site) -> None:
    issued = Tokens(site.keys.token_signing_key, issuer=site.address).issue(
        Partner(2**31 - 1, 1, "akiba-of-tests", PARTNER_SCOPES), PARTNER_SCOPES
    )
    headers = {"Authorization": f"Bearer {issued.token}"}
    for path in (f"/v1/members/{site.members[0].number}", "/v1/suspense"):
        answer = httpx.get(site.address + path, headers=headers, timeout=60)
        assert answer.status_code == 404
        assert answer.headers["content-type"] == PROBLEM


def test_a_token_of_another_service_is_refused(site: Site) -> None:
    """Signed by the same key, but for other ears."""
    issued = Tokens(site.keys.token_signing_key, issuer="http://elsewhere.example").issue(
        Partner(site.tenant.tenant_id, 1, "akiba-of-tests", PARTNER_SCOPES), PARTNER_SCOPES
    )
    answer = httpx.get(f"{site.address}/v1/suspense", headers={"Authorization": f"Bearer {issued.token}"}, timeout=60)

    assert answer.status_code == 401


def test_a_session_of_one_scheme_cannot_be_said_to_be_the_others(site: Site, other: Other) -> None:
    """The cookie names its scheme: another number before the secret finds no session there."""
    cookie = site.staff[0].headers["Cookie"]
    turned = re.sub(r"=\d+\.", f"={other.site.tenant.tenant_id}.", cookie)
    assert turned != cookie
    answer = httpx.get(f"{site.address}/v1/operations/session", headers={"Cookie": turned}, timeout=60)

    assert answer.status_code == 401
