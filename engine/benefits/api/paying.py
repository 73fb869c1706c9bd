"""Payouts over HTTP: one person makes one, another approves it by its digest."""

from typing import Annotated
from uuid import UUID

from litestar import Controller, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, QueryParameter
from msgspec import Meta, Struct

from engine.access.errors import SamePerson
from engine.access.rules import Caller
from engine.benefits import errors, service
from engine.benefits.rules.paying import LONGEST_SOURCE, AccountGiven, Payee, Payout, PayoutState
from engine.benefits.service import Payers
from engine.contributions.errors import AlreadyResolved, AmountNotPositive, AmountNotWhole, UnknownSuspense
from engine.identity import service as identity
from engine.identity.errors import UnknownMember, UnusablePhone
from engine.kernel.amounts import Amount, NotWholeUnits
from engine.kernel.permissions import Permission
from engine.runtime.database import Database
from engine.runtime.http import refuses
from engine.runtime.key_file import FileKeyStore
from engine.tenancy.errors import UnknownProduct
from engine.tenancy.service import Tenant

Word = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[\x21-\x7e]+$")]
Line = Annotated[str, Meta(max_length=140, pattern=r"^[^\x00-\x1f\x7f]*$")]
Digest = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]


class PartAsked(Struct, frozen=True, forbid_unknown_fields=True):
    """An amount out of one pot and origin, in major units of the scheme's currency."""

    pot: Word
    origin: Word
    amount: Annotated[str, Meta(max_length=24, pattern=r"^(?!0+(\.0+)?$)[0-9]+(\.[0-9]+)?$", examples=["1500.00"])]


class AccountAsked(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An account of the payee: a wallet's telephone number, or an account at a bank, and what you vouch for."""

    rail: Annotated[Word, Meta(description="A channel joined to a wallet, or a bank's name.", examples=["mpesa"])]
    number: Annotated[str, Meta(min_length=1, max_length=40, pattern=r"^[^\x00-\x1f\x7f]+$")]
    bank: Annotated[str, Meta(max_length=35, pattern=r"^[\x21-\x7e]*$")] = ""
    holder: Line = ""
    is_verified: bool = False
    paid_in: bool = False
    documents: Annotated[list[Word], Meta(max_length=20)] = []


class PayoutAsked(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is payable to a member, and to whom it goes."""

    member: Annotated[Word, Meta(examples=["100000000008"])]
    product: Word
    parts: Annotated[list[PartAsked], Meta(min_length=1, max_length=100)]
    accounts: Annotated[list[AccountAsked], Meta(min_length=1, max_length=10)]
    payee: Annotated[Line, Meta(description="The payee's name; the member's own if absent.")] = ""
    source: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=LONGEST_SOURCE,
            pattern=r"^[\x21-\x7e]+$",
            description="What it is due for; one payout of it at a time is under way.",
            examples=["claim:17"],
        ),
    ]


class RefundAsked(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A payment in suspense that goes back to whoever paid it."""

    receipt: Annotated[str, Meta(pattern=r"^[0-9]{1,19}$", description="The receipt of the suspended payment.")]
    account: AccountAsked
    payee: Annotated[Line, Meta(description="The payer's name, where it is known.")] = ""


class Approval(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What you approve: the digest of the payout that you saw; `name_seen` accepts a name that does not agree."""

    digest: Digest
    name_seen: bool = False


def given(one: AccountAsked) -> AccountGiven:
    """Return an account as the use cases know it."""
    return AccountGiven(
        rail=one.rail,
        number=one.number,
        bank=one.bank,
        holder=one.holder,
        is_verified=one.is_verified,
        paid_in=one.paid_in,
        documents=tuple(one.documents),
    )


class PayoutController(Controller):
    """Money to members and payees."""

    path = "/v1/payouts"
    tags = ("Payouts",)

    @post(
        operation_id="InstructPayout",
        opt={"permission": Permission.PAYOUTS_INSTRUCT},
        responses=refuses(
            AmountNotPositive,
            AmountNotWhole,
            errors.NoRail,
            errors.AccountNotChecked,
            errors.DocumentsNeeded,
            errors.BelowLeastPayable,
            errors.NotPayable,
            errors.MemberDeceased,
            errors.PayoutUnderWay,
            UnknownMember,
            UnknownProduct,
            UnusablePhone,
        ),
    )
    async def instruct(
        self,
        data: JSONBody[PayoutAsked],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
        keys: NamedDependency[FileKeyStore],
    ) -> Payout:
        """Make a payout of what is payable to a member; it waits for another person.

        The scheme's rules choose the account by the amount; what its rail cannot pay stays the member's.
        """
        amounts: dict[tuple[str, str], int] = {}
        for part in data.parts:
            try:
                units = Amount.parse(part.amount, tenant.asset).units
            except NotWholeUnits:
                raise AmountNotWhole(field="amount", scale=tenant.asset.scale) from None
            if not 0 < units < 2**53:
                raise AmountNotPositive(field="amount")
            amounts[part.pot, part.origin] = amounts.get((part.pot, part.origin), 0) + units
        accounts = tuple(map(given, data.accounts))
        kept = service.instructing(
            db, keys, tenant, member=data.member, product=data.product, amounts=amounts, accounts=accounts
        )
        async with kept, db.unit_of_work(tenant.tenant_id) as session:
            found = await identity.members_by_number(session, keys, [data.member])
            if data.member not in found:
                raise UnknownMember
            return await service.instruct(
                session,
                keys,
                tenant,
                member_id=found[data.member].member_id,
                product=data.product,
                amounts=amounts,
                payee=Payee(accounts=accounts, name=data.payee),
                source=data.source,
                actor=caller.actor,
            )

    @post(
        "/refunds",
        operation_id="RefundSuspense",
        opt={"permission": Permission.PAYOUTS_INSTRUCT},
        responses=refuses(errors.NotReconciled, errors.PayoutUnderWay, AlreadyResolved, UnknownSuspense, UnusablePhone),
    )
    async def refund(
        self,
        data: JSONBody[RefundAsked],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
        keys: NamedDependency[FileKeyStore],
    ) -> Payout:
        """Send a payment in suspense back to whoever paid it, whole; it waits for another person.

        Only money that a statement shows goes back. What comes home lies in suspense again.
        """
        async with db.unit_of_work(tenant.tenant_id) as session:
            return await service.refund(
                session,
                keys,
                tenant,
                receipt=int(data.receipt),
                account=given(data.account),
                name=data.payee,
                actor=caller.actor,
            )

    @get(operation_id="ListPayouts", opt={"permission": Permission.PAYOUTS_READ})
    async def list_payouts(
        self,
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
        standing: Annotated[
            PayoutState | None,
            QueryParameter(name="state", required=False, description="As it is stored: created waits for approval."),
        ] = None,
        after: Annotated[
            UUID | None, QueryParameter(required=False, description="The last of the page before.")
        ] = None,
        limit: Annotated[int, QueryParameter(ge=1, le=1000)] = 100,
    ) -> list[Payout]:
        """Return payouts, oldest first, without whom they pay."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            return await service.list_payouts(session, tenant, state=standing, after=after, most=limit)

    @get("/{payout:uuid}", operation_id="GetPayout", opt={"permission": Permission.PAYOUTS_READ},
         responses=refuses(errors.UnknownPayout))  # fmt: skip
    async def find(
        self,
        payout: FromPath[UUID],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
        keys: NamedDependency[FileKeyStore],
    ) -> Payout:
        """Return a payout with whom it pays, how far it has come, and the digest of exactly what is paid."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            return await service.find_payout(session, keys, tenant, payout, actor=caller.actor)

    @post(
        "/{payout:uuid}/approval",
        operation_id="ApprovePayout",
        status_code=200,
        opt={"permission": Permission.PAYOUTS_APPROVE},
        responses=refuses(
            errors.UnknownPayout,
            errors.PayoutDecided,
            errors.PayoutChanged,
            errors.CoolingOff,
            errors.AccountNotChecked,
            errors.NameDiffers,
            errors.RailNotJoined,
            errors.NotPayable,
            errors.MemberDeceased,
            errors.DeathNotConfirmed,
            errors.ClaimDecided,
            AlreadyResolved,
            SamePerson,
        ),
    )
    async def approve(
        self,
        payout: FromPath[UUID],
        data: JSONBody[Approval],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
        keys: NamedDependency[FileKeyStore],
        payers: NamedDependency[Payers],
    ) -> Payout:
        """Approve exactly what you saw, as another person than its maker: it is paid."""
        async with service.approving(db, tenant, payout), db.unit_of_work(tenant.tenant_id) as session:
            return await service.approve(
                session,
                keys,
                tenant,
                payers,
                payout,
                digest=data.digest,
                actor=caller.actor,
                name_seen=data.name_seen,
            )

    @post(
        "/{payout:uuid}/refusal",
        operation_id="RefusePayout",
        status_code=200,
        opt={"permission": Permission.PAYOUTS_APPROVE},
        responses=refuses(errors.UnknownPayout, errors.PayoutDecided, SamePerson),
    )
    async def refuse(
        self,
        payout: FromPath[UUID],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
        keys: NamedDependency[FileKeyStore],
    ) -> Payout:
        """Say no, as another person than its maker: nothing is moved."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            return await service.refuse(session, keys, tenant, payout, actor=caller.actor)
