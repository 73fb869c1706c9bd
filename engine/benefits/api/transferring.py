"""Savings to and from other schemes over HTTP: asked for or advised by one person, approved by another."""

from datetime import date
from typing import Annotated, Literal

from litestar import Controller, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, QueryParameter
from msgspec import Meta, Struct

from engine.access.errors import SamePerson
from engine.access.rules import Caller
from engine.benefits import errors, service
from engine.benefits.api.claiming import LAST_CLAIM, PAGE, Digest, Key, Word, claim_number, member_of
from engine.benefits.queries.claiming import Receiving
from engine.benefits.queries.transferring import InRow
from engine.benefits.rules.advices import TransferAdvice
from engine.benefits.rules.paying import Payout
from engine.contributions.errors import AlreadyResolved, UnknownSuspense
from engine.funds.errors import NoFundChoice
from engine.identity.errors import UnknownMember, UnusablePhone
from engine.kernel.amounts import Amount
from engine.kernel.permissions import Permission
from engine.runtime.database import Database
from engine.runtime.http import refuses
from engine.runtime.key_file import FileKeyStore
from engine.tenancy.service import Tenant

SchemeName = Annotated[str, Meta(min_length=1, max_length=120, pattern=r"^[^\x00-\x1f\x7f]+$")]
Line = Annotated[str, Meta(max_length=140, pattern=r"^[^\x00-\x1f\x7f]*$")]
Optional = Annotated[str, Meta(max_length=64, pattern=r"^[\x21-\x7e]*$")]
Receipt = Annotated[str, Meta(pattern=r"^[1-9][0-9]{0,18}$", description="The receipt of a payment in suspense.")]
After = Annotated[
    int | None,
    QueryParameter(name="after", ge=0, le=2**63 - 1, description="The last number of the page before."),
]


class ReceivingAsked(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The scheme that the savings go to, its account, and its own reference of the case."""

    scheme: Annotated[SchemeName, Meta(examples=["Another Pension Scheme"])]
    rail: Annotated[Word, Meta(description="A bank's name, or a channel joined to a wallet.")]
    number: Annotated[str, Meta(min_length=1, max_length=40, pattern=r"^[^\x00-\x1f\x7f]+$")]
    bank: Annotated[str, Meta(max_length=35, pattern=r"^[\x21-\x7e]*$")] = ""
    holder: Line = ""
    reference: Optional = ""


class TransferAsked(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """That a member's savings go to another scheme: the member asks, or (`by_scheme`) the other scheme does.

    `documents` are the SHA-256 of each document by its kind; the files stay with you.
    """

    member: Annotated[Word, Meta(examples=["100000000008"])]
    to: ReceivingAsked
    product: Annotated[Optional, Meta(description="The first the member joined if absent.")] = ""
    by_scheme: bool = False
    documents: Annotated[dict[Word, Digest], Meta(max_length=50)] = {}


class Acknowledgement(Struct, frozen=True, forbid_unknown_fields=True):
    """The reference by which the other scheme says that it has taken the savings in."""

    reference: Word


class Homecoming(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Why the savings come back, and by which payment in suspense; without one, they are in transit."""

    reason: Word
    receipt: Receipt | None = None


class CarriedPart(Struct, frozen=True):
    """Money of one pot and origin in major units, and how much of it was paid in."""

    pot: str
    origin: str
    amount: str
    contributions: str


class TransferOutItem(Struct, frozen=True, kw_only=True):
    """Savings that go to another scheme; numbered as their claim, which another person approves under /v1/claims.

    `state` is the claim's, then in-transit, paying (its payout is made), sent (a statement shows it gone), acknowledged or home.
    """

    transfer: str
    product: str
    scheme: str
    reference: str
    by_scheme: bool
    state: Literal[
        "open",
        "decided",
        "selling",
        "payable",
        "refused",
        "withdrawn",
        "in-transit",
        "paying",
        "sent",
        "acknowledged",
        "home",
    ]
    reason: str
    opened_on: date
    missing: list[str]
    currency: str
    amount: str
    tax: str
    charge: str
    sent: str
    parts: list[CarriedPart]
    acknowledgement: str
    digest: str
    decision: str


class AdviceAsked(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The advice of another scheme, and the member whose savings it brings."""

    member: Annotated[Word, Meta(examples=["100000000008"])]
    advice: TransferAdvice
    product: Annotated[Optional, Meta(description="The first the member joined if absent.")] = ""


class AdviceDecision(Struct, frozen=True, forbid_unknown_fields=True):
    """The digest of the savings that you have read of."""

    digest: Digest


class PaymentNamed(Struct, frozen=True, forbid_unknown_fields=True):
    """The payment in suspense that the savings came by."""

    receipt: Receipt


class TransferInItem(Struct, frozen=True, kw_only=True):
    """Savings that another scheme advised, in this scheme's pots; `approved` ones wait for their payment."""

    transfer: str
    product: str
    sender: str
    reference: str
    state: Literal["staged", "approved", "posted", "rejected", "withdrawn"]
    advised_on: date
    joined_there: date
    joined_on: date
    currency: str
    amount: str
    parts: list[CarriedPart]
    payments: int
    rule: str
    maker: str
    checker: str
    digest: str
    receipt: str


def out_shown(one: service.TransferOut, tenant: Tenant) -> TransferOutItem:
    """Return savings that go to another scheme as they are told, in major units."""
    claim, left = one.claim, one.left
    return TransferOutItem(
        transfer=str(claim.claim_id),
        product=claim.product,
        scheme=one.receiving.scheme,
        reference=one.receiving.reference,
        by_scheme=one.receiving.by_scheme,
        state=one.state,  # type: ignore[arg-type]
        reason=claim.reason,
        opened_on=claim.opened_on,
        missing=list(service.missing_of(tenant, claim)) if claim.state == "open" else [],
        currency=tenant.asset.symbol,
        amount=_major(claim.amount, tenant),
        tax=_major(claim.tax, tenant),
        charge=_major(claim.facts.charge if claim.facts else 0, tenant),
        sent=_major(left.amount if left else 0, tenant),
        parts=[
            CarriedPart(one.pot, one.origin, _major(one.amount, tenant), _major(one.contributions, tenant))
            for one in (left.parts if left else ())
        ],
        acknowledgement=left.acknowledgement if left else "",
        digest=claim.digest,
        decision=str(claim.decision) if claim.decision else "",
    )


def in_shown(row: InRow, tenant: Tenant) -> TransferInItem:
    """Return savings that were advised as they are told, in major units."""
    return TransferInItem(
        transfer=str(row.advice_id),
        product=row.product,
        sender=row.sender,
        reference=row.reference,
        state=row.state,  # type: ignore[arg-type]
        advised_on=row.advised_on,
        joined_there=row.joined_there,
        joined_on=row.joined_on,
        currency=tenant.asset.symbol,
        amount=_major(row.amount, tenant),
        parts=[
            CarriedPart(one.pot, one.origin, _major(one.amount, tenant), _major(one.contributions, tenant))
            for one in row.brought.parts
        ],
        payments=len(row.brought.payments),
        rule=row.rule,
        maker=row.maker,
        checker=row.checker,
        digest=row.digest,
        receipt=str(row.receipt) if row.receipt else "",
    )


def _receipt(receipt: str) -> int:
    return min(int(receipt), LAST_CLAIM)


def _major(minor: int, tenant: Tenant) -> str:
    return f"{Amount(minor, tenant.asset).decimal():.{tenant.asset.scale}f}"


class TransferOutController(Controller):
    """Savings that go to other schemes."""

    path = "/v1/transfers-out"
    tags = ("Transfers",)

    @post(
        operation_id="AskTransfer",
        opt={"permission": Permission.CLAIMS_OPEN},
        responses=refuses(
            errors.ClaimKeyMissing, errors.ClaimKeyReused, errors.NoPriceYet, UnknownMember, UnusablePhone
        ),
    )
    async def ask(
        self,
        data: JSONBody[TransferAsked],
        idempotency_key: Key,
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
        keys: NamedDependency[FileKeyStore],
    ) -> TransferOutItem:
        """Ask that a member's savings go to another scheme, once for each Idempotency-Key.

        It is a claim, decided at once where no document is missing; what the rule refuses, or must end first, is one that is refused.
        """
        key = (idempotency_key or "").strip().strip('"')
        if not key:
            raise errors.ClaimKeyMissing
        to = data.to
        receiving = Receiving(
            scheme=to.scheme,
            rail=to.rail,
            number=to.number,
            bank=to.bank,
            holder=to.holder,
            reference=to.reference,
            by_scheme=data.by_scheme,
        )
        async with db.unit_of_work(tenant.tenant_id) as session:
            member = await member_of(session, keys, data.member, data.product)
            found = await service.ask_transfer(
                session,
                keys,
                tenant,
                member,
                receiving=receiving,
                documents=data.documents,
                key=key,
                actor=caller.actor,
            )
        return out_shown(found, tenant)

    @get(operation_id="ListTransfersOut", opt={"permission": Permission.CLAIMS_READ})
    async def list_transfers(
        self, tenant: NamedDependency[Tenant], db: NamedDependency[Database], after: After = None
    ) -> list[TransferOutItem]:
        """Return up to 100 transfers to other schemes, the oldest first."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            found = await service.list_transfers(session, after=after or 0, most=PAGE)
        return [out_shown(one, tenant) for one in found]

    @get(
        "/{transfer:int}",
        operation_id="GetTransferOut",
        opt={"permission": Permission.CLAIMS_READ},
        responses=refuses(errors.UnknownTransfer),
    )
    async def find(
        self, transfer: FromPath[int], tenant: NamedDependency[Tenant], db: NamedDependency[Database]
    ) -> TransferOutItem:
        """Return a transfer to another scheme."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            return out_shown(await service.find_transfer(session, claim_number(transfer)), tenant)

    @get(
        "/{transfer:int}/advice",
        operation_id="GetTransferAdvice",
        opt={"permission": Permission.CLAIMS_OPEN},
        responses=refuses(errors.UnknownTransfer, UnknownMember),
    )
    async def advice(
        self,
        transfer: FromPath[int],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
        keys: NamedDependency[FileKeyStore],
    ) -> TransferAdvice:
        """Return what the other scheme is told: whose savings they are, pot by pot, with contributions by day and totals."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            return await service.advice_of(session, keys, tenant, claim_number(transfer), actor=caller.actor)

    @post(
        "/{transfer:int}/payout",
        operation_id="PayTransfer",
        opt={"permission": Permission.PAYOUTS_INSTRUCT},
        responses=refuses(errors.UnknownTransfer, errors.TransferDecided),
    )
    async def pay(
        self,
        transfer: FromPath[int],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
        keys: NamedDependency[FileKeyStore],
    ) -> Payout:
        """Make the payout of what is in transit to the account that the transfer named; another person approves it as any payout."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            return await service.pay_transfer(session, keys, tenant, claim_number(transfer), actor=caller.actor)

    @post(
        "/{transfer:int}/acknowledgement",
        operation_id="AcknowledgeTransfer",
        status_code=200,
        opt={"permission": Permission.CLAIMS_OPEN},
        responses=refuses(errors.UnknownTransfer, errors.TransferDecided, errors.TransferNotSent),
    )
    async def acknowledge(
        self,
        transfer: FromPath[int],
        data: JSONBody[Acknowledgement],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
    ) -> TransferOutItem:
        """Note that the other scheme has taken the savings in."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            found = await service.acknowledge_transfer(
                session, tenant, claim_number(transfer), reference=data.reference, actor=caller.actor
            )
        return out_shown(found, tenant)

    @post(
        "/{transfer:int}/homecoming",
        operation_id="BringTransferHome",
        status_code=200,
        opt={"permission": Permission.CLAIMS_OPEN},
        responses=refuses(
            errors.UnknownTransfer,
            errors.TransferDecided,
            errors.PayoutUnderWay,
            errors.TransferNotSent,
            errors.PaymentDiffers,
            errors.NotReconciled,
            UnknownSuspense,
            AlreadyResolved,
            NoFundChoice,
        ),
    )
    async def bring_home(
        self,
        transfer: FromPath[int],
        data: JSONBody[Homecoming],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
    ) -> TransferOutItem:
        """Post savings that the other scheme refused back to where they came from, and invest them again."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            found = await service.bring_transfer_home(
                session,
                tenant,
                claim_number(transfer),
                reason=data.reason,
                receipt=_receipt(data.receipt) if data.receipt else 0,
                actor=caller.actor,
            )
        return out_shown(found, tenant)


class TransferInController(Controller):
    """Savings that come from other schemes."""

    path = "/v1/transfers-in"
    tags = ("Transfers",)

    @post(
        operation_id="AdviseTransfer",
        opt={"permission": Permission.CLAIMS_OPEN},
        responses=refuses(
            errors.AdviceDiffers,
            errors.AdviceKnown,
            errors.TransferNotTaken,
            errors.OriginNotTaken,
            errors.PotNotTaken,
            errors.PaymentsSuspended,
            UnknownMember,
        ),
    )
    async def advise(
        self,
        data: JSONBody[AdviceAsked],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
        keys: NamedDependency[FileKeyStore],
    ) -> TransferInItem:
        """Take the advice of another scheme for a member, once for its reference; another person decides on it."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            member = await member_of(session, keys, data.member, data.product)
            row = await service.advise_transfer(session, keys, tenant, member, data.advice, actor=caller.actor)
        return in_shown(row, tenant)

    @get(operation_id="ListTransfersIn", opt={"permission": Permission.CLAIMS_READ})
    async def list_transfers(
        self, tenant: NamedDependency[Tenant], db: NamedDependency[Database], after: After = None
    ) -> list[TransferInItem]:
        """Return up to 100 transfers from other schemes, the oldest first."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            rows = await service.list_advices(session, after=after or 0, most=PAGE)
        return [in_shown(row, tenant) for row in rows]

    @get(
        "/{transfer:int}",
        operation_id="GetTransferIn",
        opt={"permission": Permission.CLAIMS_READ},
        responses=refuses(errors.UnknownTransfer),
    )
    async def find(
        self, transfer: FromPath[int], tenant: NamedDependency[Tenant], db: NamedDependency[Database]
    ) -> TransferInItem:
        """Return a transfer from another scheme."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            return in_shown(await service.find_advice(session, claim_number(transfer)), tenant)

    @post(
        "/{transfer:int}/approval",
        operation_id="ApproveTransferIn",
        status_code=200,
        opt={"permission": Permission.CLAIMS_APPROVE},
        responses=refuses(errors.UnknownTransfer, errors.TransferDecided, errors.TransferDiffers, SamePerson),
    )
    async def approve(
        self,
        transfer: FromPath[int],
        data: JSONBody[AdviceDecision],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
    ) -> TransferInItem:
        """Let the savings come in as soon as their payment is there, as a second person."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            row = await service.approve_advice(
                session, tenant, claim_number(transfer), digest=data.digest, actor=caller.actor
            )
        return in_shown(row, tenant)

    @post(
        "/{transfer:int}/rejection",
        operation_id="RejectTransferIn",
        status_code=200,
        opt={"permission": Permission.CLAIMS_APPROVE},
        responses=refuses(errors.UnknownTransfer, errors.TransferDecided, errors.TransferDiffers, SamePerson),
    )
    async def reject(
        self,
        transfer: FromPath[int],
        data: JSONBody[AdviceDecision],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
    ) -> TransferInItem:
        """Refuse the savings, as a second person; their payment can go back to whoever sent it."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            row = await service.reject_advice(
                session, tenant, claim_number(transfer), digest=data.digest, actor=caller.actor
            )
        return in_shown(row, tenant)

    @post(
        "/{transfer:int}/withdrawal",
        operation_id="WithdrawTransferIn",
        status_code=200,
        opt={"permission": Permission.CLAIMS_OPEN},
        responses=refuses(errors.UnknownTransfer, errors.TransferDecided),
    )
    async def withdraw(
        self,
        transfer: FromPath[int],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
    ) -> TransferInItem:
        """Give up savings whose payment has not come."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            row = await service.withdraw_advice(session, tenant, claim_number(transfer), actor=caller.actor)
        return in_shown(row, tenant)

    @post(
        "/{transfer:int}/payment",
        operation_id="TakeTransferIn",
        status_code=200,
        opt={"permission": Permission.SUSPENSE_RESOLVE},
        responses=refuses(
            errors.UnknownTransfer,
            errors.TransferDecided,
            errors.PaymentDiffers,
            errors.PaymentsSuspended,
            UnknownSuspense,
            AlreadyResolved,
            UnknownMember,
        ),
    )
    async def take(
        self,
        transfer: FromPath[int],
        data: JSONBody[PaymentNamed],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
        keys: NamedDependency[FileKeyStore],
    ) -> TransferInItem:
        """Post a payment in suspense as these savings; the worker does so by itself where reference and amount agree."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            row = await service.take_in(
                session, keys, tenant, claim_number(transfer), receipt=_receipt(data.receipt), actor=caller.actor
            )
        return in_shown(row, tenant)
