"""Heirs of a member who died, over HTTP: who they are, what each inherits, their documents, and payouts to them."""

from collections.abc import Sequence
from datetime import date
from typing import Annotated, Literal

from litestar import Controller, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from msgspec import Meta, Struct

from engine.access.errors import SamePerson
from engine.access.rules import Caller
from engine.benefits import errors, service
from engine.benefits.api.claiming import BenefitClaim, Digest, Word, claim_number, shown, told_one
from engine.benefits.api.paying import AccountAsked, Line, given
from engine.benefits.queries.claiming import ClaimRow
from engine.benefits.rules.paying import Payee, Payout
from engine.benefits.service import HeirNamed, HeirPerson, KnownHeir
from engine.enrolment.errors import SharesDoNotAddUp
from engine.identity.errors import UnknownMember, UnusablePhone
from engine.kernel.amounts import Amount
from engine.kernel.permissions import Permission
from engine.runtime.database import Database
from engine.runtime.http import refuses
from engine.runtime.key_file import FileKeyStore
from engine.tenancy.errors import UnknownProduct
from engine.tenancy.service import Tenant

Name = Annotated[str, Meta(min_length=1, max_length=140, pattern=r"^[^\x00-\x1f\x7f]+$")]
ShareBp = Annotated[int, Meta(ge=1, le=10_000, description="Basis points of the whole: 10000 is all of it.")]


class HeirAsked(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An heir by law, or the spouse, with their share; `documents` are the SHA-256 of each document by its kind."""

    name: Name
    relationship: Annotated[
        str, Meta(min_length=1, max_length=60, pattern=r"^[^\x00-\x1f\x7f]+$", examples=["daughter"])
    ]
    share_bp: ShareBp
    born_on: date | None = None
    phone: Annotated[str, Meta(max_length=20, pattern=r"^[0-9+ -]*$")] = ""
    guardian: Annotated[Line, Meta(description="Who stands for a child.")] = ""
    spouse: bool = False
    documents: Annotated[dict[Word, Digest], Meta(max_length=50)] = {}


class KnownShare(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The new share of an heir by law who is known already."""

    heir: Annotated[int, Meta(ge=1, le=10_000)]
    share_bp: ShareBp


class HeirsAsked(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Who inherits by law, and what proves it. All shares, new and known, make one whole.

    `choice` is the spouse's, where the rules let them choose: to leave with the account, or to pay in on.
    """

    heirs: Annotated[list[HeirAsked], Meta(max_length=50)] = []
    known: Annotated[list[KnownShare], Meta(max_length=50)] = []
    documents: Annotated[dict[Word, Digest], Meta(max_length=50)] = {}
    choice: Literal["exit", "contribute-on"] | None = None


class HeirDocuments(Struct, frozen=True, forbid_unknown_fields=True):
    """The SHA-256 of each document of an heir by its kind."""

    documents: Annotated[dict[Word, Digest], Meta(min_length=1, max_length=50)]


class HeirExclusion(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Why somebody does not inherit, with the documents that say so."""

    why: Literal["died-before", "died-after", "renounced"]
    died_on: Annotated[date, Meta(description="Of a spouse who died after the member: the day.")] | None = None
    documents: Annotated[dict[Word, Digest], Meta(min_length=1, max_length=50)]


class HeirPayoutAsked(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The heir's own accounts. A child's money may go to another `payee` for a `purpose` of the rule: a school, a doctor."""

    accounts: Annotated[list[AccountAsked], Meta(min_length=1, max_length=10)]
    purpose: Annotated[str, Meta(max_length=64, pattern=r"^[\x21-\x7e]*$")] = ""
    payee: Line = ""


class SharesDecision(Struct, frozen=True, forbid_unknown_fields=True):
    """The digest of the new shares that you have read."""

    digest: Digest


class HeirShown(Struct, frozen=True):
    """An heir; amounts in major units. `in_trust` is held for a child, `owed_back` of a member who lives after all."""

    heir: int
    named_as: str
    name: str
    relationship: str
    born_on: date | None
    spouse: bool
    share_bp: int
    excluded: str
    documents: list[str]
    amount: str
    in_trust: str
    paid: str
    due: str
    owed_back: str


class HeirsShown(Struct, frozen=True):
    """Who inherits by a claim: on which ground, and what is still missing. `anew` is the digest of new shares that wait."""

    claim: str
    state: str
    died_on: date
    basis: str
    missing: list[str]
    contributes_until: date | None
    anew: str
    heirs: list[HeirShown]


class HeirController(Controller):
    """Heirs."""

    path = "/v1/claims/{claim:int}/heirs"
    tags = ("Claims",)

    @get(
        operation_id="ListHeirs",
        opt={"permission": Permission.CLAIMS_READ},
        responses=refuses(errors.UnknownClaim, UnknownMember),
    )
    async def list_heirs(
        self,
        claim: FromPath[int],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
        keys: NamedDependency[FileKeyStore],
    ) -> HeirsShown:
        """Return everybody who may inherit by a claim of a death, with what each was given and paid."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            row, found = await service.list_heirs(session, keys, claim_number(claim), actor=caller.actor)
        return heirs_shown(row, found, tenant)

    @post(
        operation_id="NameHeirs",
        status_code=200,
        opt={"permission": Permission.CLAIMS_OPEN},
        responses=refuses(
            errors.UnknownClaim,
            errors.UnknownHeir,
            errors.ClaimDecided,
            errors.NoPriceYet,
            errors.TrustNotOffered,
            SharesDoNotAddUp,
            UnknownMember,
        ),
    )
    async def name(
        self,
        claim: FromPath[int],
        data: JSONBody[HeirsAsked],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
        keys: NamedDependency[FileKeyStore],
    ) -> BenefitClaim:
        """Say who inherits by law, and what the spouse chose; the claim is decided once nothing is missing.

        After the money was shared these are late heirs: another person approves the new shares of what is not paid yet.
        """
        async with db.unit_of_work(tenant.tenant_id) as session:
            row = await service.name_heirs(
                session,
                keys,
                tenant,
                claim_number(claim),
                [_named(one) for one in data.heirs],
                known={one.heir: one.share_bp for one in data.known},
                documents=data.documents,
                choice=data.choice or "",
                actor=caller.actor,
            )
            return await told_one(session, tenant, row)

    @post(
        "/approval",
        operation_id="ApproveShares",
        status_code=200,
        opt={"permission": Permission.CLAIMS_APPROVE},
        responses=refuses(
            errors.UnknownClaim,
            errors.ClaimDecided,
            errors.ClaimDiffers,
            errors.DeathNotConfirmed,
            errors.PayoutUnderWay,
            SamePerson,
        ),
    )
    async def approve(
        self,
        claim: FromPath[int],
        data: JSONBody[SharesDecision],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
    ) -> BenefitClaim:
        """Share what is not paid yet by new shares, as a second person."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            row = await service.share_anew(session, tenant, claim_number(claim), digest=data.digest, actor=caller.actor)
            return await told_one(session, tenant, row)

    @post(
        "/{heir:int}/documents",
        operation_id="AddHeirDocuments",
        status_code=200,
        opt={"permission": Permission.CLAIMS_OPEN},
        responses=refuses(errors.UnknownClaim, errors.UnknownHeir, errors.ClaimDecided),
    )
    async def documents(
        self,
        claim: FromPath[int],
        heir: FromPath[int],
        data: JSONBody[HeirDocuments],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
    ) -> BenefitClaim:
        """Add documents of an heir: who they are, that they are of age, who stands for them."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            row = await service.document_heir(
                session, tenant, claim_number(claim), heir, data.documents, actor=caller.actor
            )
            return await told_one(session, tenant, row)

    @post(
        "/{heir:int}/exclusion",
        operation_id="ExcludeHeir",
        status_code=200,
        opt={"permission": Permission.CLAIMS_OPEN},
        responses=refuses(
            errors.UnknownClaim, errors.UnknownHeir, errors.ClaimDecided, errors.NoPriceYet, UnknownMember
        ),
    )
    async def exclude(
        self,
        claim: FromPath[int],
        heir: FromPath[int],
        data: JSONBody[HeirExclusion],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
        keys: NamedDependency[FileKeyStore],
    ) -> BenefitClaim:
        """Note that somebody died before the member, or renounces: the others share what would have been theirs.

        With a spouse who dies after the member their pension ends, and what is left is for whoever inherits after both.
        """
        async with db.unit_of_work(tenant.tenant_id) as session:
            row = await service.exclude_heir(
                session,
                keys,
                tenant,
                claim_number(claim),
                heir,
                gone=data.why,
                died_on=data.died_on,
                documents=data.documents,
                actor=caller.actor,
            )
            return await told_one(session, tenant, row)

    @post(
        "/{heir:int}/payouts",
        operation_id="PayHeir",
        opt={"permission": Permission.PAYOUTS_INSTRUCT},
        responses=refuses(
            errors.UnknownClaim,
            errors.UnknownHeir,
            errors.ClaimDecided,
            errors.DeathNotConfirmed,
            errors.DocumentsNeeded,
            errors.MoreThanReleased,
            errors.PurposeNeeded,
            errors.PayoutUnderWay,
            errors.NotPayable,
            errors.NoRail,
            errors.AccountNotChecked,
            errors.BelowLeastPayable,
            UnknownMember,
            UnknownProduct,
            UnusablePhone,
        ),
    )
    async def pay(
        self,
        claim: FromPath[int],
        heir: FromPath[int],
        data: JSONBody[HeirPayoutAsked],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
        keys: NamedDependency[FileKeyStore],
    ) -> Payout:
        """Make a payout of all that an heir may be paid now, to an account of their own; it waits for another person.

        A child's money is held in trust until they are of age, but for what the rule releases before.
        """
        payee = Payee(accounts=tuple(map(given, data.accounts)), name=data.payee)
        kept = service.paying_heir(db, tenant, claim_number(claim), heir, data.purpose)
        async with kept, db.unit_of_work(tenant.tenant_id) as session:
            return await service.pay_heir(
                session,
                keys,
                tenant,
                claim_number(claim),
                heir,
                payee=payee,
                purpose=data.purpose,
                actor=caller.actor,
            )


def heirs_shown(row: ClaimRow, found: Sequence[KnownHeir], tenant: Tenant) -> HeirsShown:
    """Return the heirs of a death's claim as they are told, in major units."""
    assert row.estate is not None, row
    return HeirsShown(
        claim=str(row.claim_id),
        state=shown(row, tenant, ()).state,
        died_on=row.estate.died_on,
        basis=row.estate.basis,
        missing=list(row.estate.missing),
        contributes_until=row.estate.until,
        anew=service.anew_digest(row),
        heirs=[_heir(one, tenant) for one in found],
    )


def _named(one: HeirAsked) -> HeirNamed:
    return HeirNamed(
        person=HeirPerson(
            full_name=one.name,
            relationship=one.relationship,
            born_on=one.born_on,
            phone=one.phone,
            guardian=one.guardian,
        ),
        share_bp=one.share_bp,
        is_spouse=one.spouse,
        documents=one.documents,
    )


def _heir(one: KnownHeir, tenant: Tenant) -> HeirShown:
    def major(minor: int) -> str:
        return f"{Amount(minor, tenant.asset).decimal():.{tenant.asset.scale}f}"

    mine = one.given
    return HeirShown(
        heir=one.row.heir_no,
        named_as=one.row.named_as,
        name=one.person.full_name,
        relationship=one.person.relationship,
        born_on=one.person.born_on,
        spouse=one.row.is_spouse,
        share_bp=one.row.share_bp,
        excluded=one.row.gone,
        documents=sorted(one.row.documents),
        amount=major(mine.amount if mine else 0),
        in_trust=major(mine.in_trust if mine else 0),
        paid=major(mine.paid if mine else 0),
        due=major(max(mine.due, 0) if mine else 0),
        owed_back=major(mine.overpaid if mine else 0),
    )
