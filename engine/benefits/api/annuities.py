"""Annuities over HTTP: paid to the insurer with a document, closed by a policy's number, or refused and home again."""

from typing import Annotated

from litestar import Controller, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from msgspec import Meta, Struct
from sqlalchemy.ext.asyncio import AsyncSession

from engine.access.rules import Caller
from engine.benefits import errors, service
from engine.benefits.api.claiming import claim_number
from engine.benefits.api.paying import AccountAsked, given
from engine.benefits.rules.paying import Payout
from engine.identity.errors import UnknownMember, UnusablePhone
from engine.kernel.amounts import Amount
from engine.kernel.permissions import Permission
from engine.runtime.database import Database
from engine.runtime.http import refuses
from engine.runtime.key_file import FileKeyStore
from engine.tenancy.service import Tenant


class AnnuityPaid(Struct, frozen=True, forbid_unknown_fields=True):
    """The insurer's account."""

    account: AccountAsked


class PolicyIssued(Struct, frozen=True, forbid_unknown_fields=True):
    """The number of the policy that the insurer issued."""

    policy: Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[\x21-\x7e]+$")]


class AnnuityItem(Struct, frozen=True):
    """What a claim gives to buy an annuity, in major units, from whom, and the number of the policy once there is one."""

    claim: str
    product: str
    insurer: str
    amount: str
    state: str
    policy: str


class AnnuityController(Controller):
    """Annuities that retirement claims buy from insurers."""

    path = "/v1/annuities/{claim:int}"
    tags = ("Annuities",)

    @get(
        operation_id="GetAnnuity", opt={"permission": Permission.CLAIMS_READ}, responses=refuses(errors.UnknownAnnuity)
    )
    async def find(
        self,
        claim: FromPath[int],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
        keys: NamedDependency[FileKeyStore],
    ) -> AnnuityItem:
        """Return what a claim buys an annuity for."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            return await _shown(session, keys, tenant, await service.find_annuity(session, claim_number(claim)))

    @get(
        "/document",
        operation_id="GetAnnuityDocument",
        opt={"permission": Permission.CLAIMS_APPROVE},
        media_type="text/csv",
        responses=refuses(errors.UnknownAnnuity, UnknownMember),
    )
    async def document(
        self,
        claim: FromPath[int],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
        keys: NamedDependency[FileKeyStore],
    ) -> bytes:
        """Return what the insurer gets with the money: whom the annuity is for, and how much buys it."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            return await service.annuity_document(session, keys, tenant, claim_number(claim), actor=caller.actor)

    @post(
        "/payout",
        operation_id="PayAnnuity",
        opt={"permission": Permission.PAYOUTS_INSTRUCT},
        responses=refuses(
            errors.UnknownAnnuity, errors.AnnuityAnswered, errors.PayoutUnderWay, UnknownMember, UnusablePhone
        ),
    )
    async def pay(
        self,
        claim: FromPath[int],
        data: JSONBody[AnnuityPaid],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
        keys: NamedDependency[FileKeyStore],
    ) -> Payout:
        """Make the payout to the insurer; it waits for another person, as every payout."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            return await service.pay_annuity(
                session, keys, tenant, claim_number(claim), account=given(data.account), actor=caller.actor
            )

    @post(
        "/policy",
        operation_id="ConfirmAnnuity",
        status_code=200,
        opt={"permission": Permission.CLAIMS_APPROVE},
        responses=refuses(errors.UnknownAnnuity, errors.AnnuityAnswered, errors.AnnuityNotPaid, UnknownMember),
    )
    async def confirm(
        self,
        claim: FromPath[int],
        data: JSONBody[PolicyIssued],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
        keys: NamedDependency[FileKeyStore],
    ) -> AnnuityItem:
        """Note the policy's number, which closes the purchase. The same again changes nothing."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            bought = await service.confirm_annuity(
                session, keys, tenant, claim_number(claim), policy=data.policy, actor=caller.actor
            )
            return await _shown(session, keys, tenant, bought)

    @post(
        "/refusal",
        operation_id="RefuseAnnuity",
        status_code=200,
        opt={"permission": Permission.CLAIMS_APPROVE},
        responses=refuses(errors.UnknownAnnuity, errors.AnnuityAnswered, errors.PayoutUnderWay),
    )
    async def refuse(
        self,
        claim: FromPath[int],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
        keys: NamedDependency[FileKeyStore],
    ) -> AnnuityItem:
        """Let the money come home to where it came from, once it is back from the insurer or was never sent."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            bought = await service.refuse_annuity(session, tenant, claim_number(claim), actor=caller.actor)
            return await _shown(session, keys, tenant, bought)


async def _shown(session: AsyncSession, keys: FileKeyStore, tenant: Tenant, bought: service.Purchase) -> AnnuityItem:
    return AnnuityItem(
        claim=str(bought.claim_id),
        product=bought.product,
        insurer=bought.insurer,
        amount=f"{Amount(bought.amount, tenant.asset).decimal():.{tenant.asset.scale}f}",
        state=bought.state,
        policy=await service.policy_of(session, keys, bought),
    )
