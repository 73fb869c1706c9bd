"""Members' identity documents: their numbers over time, and signed files by which members are verified."""

import base64
import binascii
from datetime import date
from typing import Annotated
from uuid import UUID

from litestar import Controller, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from msgspec import Meta, Struct

from engine.access.errors import SamePerson
from engine.access.rules import Caller
from engine.enrolment import errors, service
from engine.enrolment.api.joining import CODE
from engine.enrolment.rules import DocumentGiven
from engine.enrolment.service import NumberChange, NumberChangeSeen, NumberHeld, Verification, Verifiers
from engine.identity import errors as identity_errors
from engine.kernel.permissions import Permission
from engine.runtime.database import Database
from engine.runtime.http import refuses
from engine.runtime.key_file import FileKeyStore
from engine.tenancy.service import Tenant

Reason = Annotated[str, Meta(pattern=CODE, examples=["card-renewed"])]


class NumberRequest(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A kind of document and its new number; without a number the member holds none of the kind any more.

    `from_on` is the first day of the change; today if it is left out. `expires_on` where the scheme asks for it.
    """

    document: Annotated[str, Meta(pattern=CODE, examples=["nid"])]
    reason: Reason
    number: Annotated[str, Meta(max_length=60)] = ""
    from_on: date | None = None
    expires_on: date | None = None


class OfflineDocument(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A signed file that the member obtained from an authority, in base64, and what they sealed it with."""

    document: Annotated[str, Meta(pattern=CODE, examples=["aadhaar"])]
    file: Annotated[str, Meta(min_length=4, max_length=1_900_000, pattern=r"^[A-Za-z0-9+/]+={0,2}$")]
    share_code: Annotated[str, Meta(min_length=1, max_length=40)]


class NumberFinding(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Whether the member and who is known by the number already are one person, and why, in a short word of the scheme's own."""

    is_same_person: bool
    reason: Reason


class NumberApproval(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The digest of the change that was seen."""

    digest: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]


class NumberRejection(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Why a change does not happen, in a short word of the scheme's own."""

    reason: Reason


class NumberController(Controller):
    """Numbers of identity documents that members hold and held, and changes of them."""

    path = "/v1"
    tags = ("Members",)

    @get(
        "/members/{number:str}/identifiers",
        operation_id="ListIdentifiers",
        opt={"permission": Permission.MEMBERS_READ},
        responses=refuses(errors.UnknownMember),
    )
    async def held(
        self,
        number: FromPath[str],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
        keys: NamedDependency[FileKeyStore],
    ) -> list[NumberHeld]:
        """Return of which kinds a member holds and held numbers, from when to when, and who verified them; never the numbers."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            return await service.numbers_held(session, keys, number, actor=caller.actor)

    @post(
        "/members/{number:str}/identifiers",
        operation_id="ProposeIdentifier",
        status_code=202,
        opt={"permission": Permission.MEMBERS_VERIFY},
        responses=refuses(
            errors.UnknownMember,
            errors.DocumentNotAccepted,
            errors.DocumentExpired,
            errors.DocumentContradicts,
            errors.NumberHeldAlready,
            errors.NumberFromUnusable,
            errors.NumberChangeOpen,
            identity_errors.DocumentMalformed,
            identity_errors.CheckDigitWrong,
        ),
    )
    async def propose(
        self,
        number: FromPath[str],
        data: JSONBody[NumberRequest],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
        keys: NamedDependency[FileKeyStore],
        verifiers: NamedDependency[Verifiers],
    ) -> NumberChange:
        """Propose another number of a member's document, or its end; another person approves before anything changes."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            return await service.propose_number(
                session,
                keys,
                tenant,
                verifiers,
                number=number,
                document=DocumentGiven(data.document, data.number, data.expires_on),
                from_on=data.from_on,
                reason=data.reason,
                actor=caller.actor,
            )

    @post(
        "/members/{number:str}/offline-documents",
        operation_id="VerifyByFile",
        status_code=200,
        opt={"permission": Permission.MEMBERS_VERIFY},
        responses=refuses(
            errors.UnknownMember, errors.CannotVerify, errors.DocumentMissing, errors.ProofRefused, errors.ProofUsed
        ),
    )
    async def verify_by_file(
        self,
        number: FromPath[str],
        data: JSONBody[OfflineDocument],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
        keys: NamedDependency[FileKeyStore],
        verifiers: NamedDependency[Verifiers],
    ) -> Verification:
        """Verify a member by a file that an authority signed; it is kept sealed, and counts once."""
        try:
            raw = base64.b64decode(data.file, validate=True)
        except binascii.Error:
            raise errors.ProofRefused(field="file", reason="unreadable") from None
        async with db.unit_of_work(tenant.tenant_id) as session:
            return await service.verify_by_file(
                session,
                keys,
                tenant,
                verifiers,
                number=number,
                document=data.document,
                raw=raw,
                secret=data.share_code,
                actor=caller.actor,
            )

    @get("/identity/number-changes", operation_id="ListNumberChanges", opt={"permission": Permission.IDENTITY_DECIDE})
    async def waiting(
        self,
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
        keys: NamedDependency[FileKeyStore],
    ) -> list[NumberChangeSeen]:
        """Return the changes that a person must decide, the oldest first, 100 at most; reading them is noted."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            return await service.list_number_changes(session, keys, most=100, actor=caller.actor)

    @post(
        "/identity/number-changes/{change:uuid}/finding",
        operation_id="FindSamePerson",
        status_code=200,
        opt={"permission": Permission.IDENTITY_DECIDE},
        responses=refuses(errors.UnknownNumberChange, errors.NothingToDecide),
    )
    async def find(
        self,
        change: FromPath[UUID],
        data: JSONBody[NumberFinding],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
        keys: NamedDependency[FileKeyStore],
    ) -> NumberChange:
        """Say whether two members who are known by one number are one person; another person approves that."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            return await service.find_same_person(
                session,
                keys,
                tenant,
                change,
                is_same_person=data.is_same_person,
                reason=data.reason,
                actor=caller.actor,
            )

    @post(
        "/identity/number-changes/{change:uuid}/approval",
        operation_id="ApproveNumberChange",
        status_code=200,
        opt={"permission": Permission.IDENTITY_DECIDE},
        responses=refuses(
            errors.UnknownNumberChange,
            errors.NothingToDecide,
            errors.NumberChangeDiffers,
            errors.NumberNotVerified,
            errors.NumberFromUnusable,
            SamePerson,
        ),
    )
    async def approve(
        self,
        change: FromPath[UUID],
        data: JSONBody[NumberApproval],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
        keys: NamedDependency[FileKeyStore],
    ) -> NumberChange:
        """Approve a change as it was seen, or what was found of it; payments by the number go by its day from then on."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            return await service.approve_number(session, keys, tenant, change, digest=data.digest, actor=caller.actor)

    @post(
        "/identity/number-changes/{change:uuid}/rejection",
        operation_id="RejectNumberChange",
        status_code=200,
        opt={"permission": Permission.IDENTITY_DECIDE},
        responses=refuses(errors.UnknownNumberChange, errors.NothingToDecide),
    )
    async def reject(
        self,
        change: FromPath[UUID],
        data: JSONBody[NumberRejection],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
        keys: NamedDependency[FileKeyStore],
    ) -> NumberChange:
        """Let a change not happen."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            return await service.reject_number(session, keys, tenant, change, reason=data.reason, actor=caller.actor)
