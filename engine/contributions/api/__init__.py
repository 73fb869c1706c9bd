"""The partners' way in: payments one by one or many at once, and what lies in suspense."""

from dataclasses import dataclass
from datetime import date
from typing import Annotated
from uuid import UUID

from litestar import Controller, MediaType, get, post
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath, HeaderParameter, JSONBody, QueryParameter
from litestar.response.base import ASGIResponse
from msgspec import Meta, Struct
from msgspec.json import Encoder

from engine.access.errors import SamePerson
from engine.access.rules import Caller
from engine.contributions import errors, service
from engine.contributions.queries.matching import MatchClaim
from engine.contributions.rules import (
    AgentCollected,
    Ask,
    Collection,
    Envelope,
    PayerKind,
    Payment,
    Receipt,
    Sought,
    Suspended,
    SuspenseFigures,
    Unsettled,
)
from engine.contributions.service import Collectors, Intake, OwnerProposal, Reason, Reversal
from engine.funds.errors import NoDealingRule
from engine.identity import service as identity
from engine.identity.errors import UnknownMember, UnusablePhone
from engine.kernel.amounts import Amount
from engine.kernel.errors import EngineError, NotFound
from engine.kernel.permissions import Permission
from engine.kernel.series import SeriesValueMissing
from engine.runtime.database import Database
from engine.runtime.http import Problem, problem_of, refuses
from engine.runtime.key_file import FileKeyStore
from engine.tenancy.errors import UnknownProduct
from engine.tenancy.rules.assuming import Assumption
from engine.tenancy.service import Tenant

MOST_ITEMS = 1000
_encode = Encoder().encode
LAST_RECEIPT = 2**63 - 1024
"""The largest number below 2^63 that is the same to readers of JSON who keep numbers as doubles."""

Word = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[\x21-\x7e]+$")]
Key = Annotated[
    str | None,
    HeaderParameter(
        name="Idempotency-Key",
        required=False,
        max_length=66,
        description="Your own name for this payment: the same key and body are answered alike for ever.",
    ),
]


class ContributionRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """A payment that your channel has collected for a member, in major units of the scheme's currency."""

    member: Annotated[
        Word,
        Meta(
            description="The member number the payer gave, or what else the scheme finds members by, "
            "such as the number of their identity document.",
            examples=["100000000008"],
        ),
    ]
    amount: Annotated[
        str,
        Meta(max_length=24, description="A decimal with no more digits than the currency has.", examples=["500.00"]),
    ]
    currency: Annotated[str, Meta(pattern=r"^[A-Z]{3}$", examples=["INR"])]
    channel: Annotated[Word, Meta(description="The collection channel, as the scheme names it.", examples=["upi"])]
    reference: Annotated[
        Word,
        Meta(description="The provider's transaction id; it posts once, for ever.", examples=["UPI-20230403-000017"]),
    ]
    paid_on: Annotated[date | None, Meta(description="The day the payer paid; today if absent.")] = None
    product: (
        Annotated[Word, Meta(description="What it is for; the first product the member joined if absent.")] | None
    ) = None
    payer: (
        Annotated[PayerKind, Meta(description="Who pays; the member if absent. Their money keeps its origin.")] | None
    ) = None
    paid_from: (
        Annotated[
            Word,
            Meta(
                description="Whom the channel had it from: a telephone number or an account. It helps to find the owner of a "
                "payment that names nobody; it is no part of what tells a retry from another payment.",
            ),
        ]
        | None
    ) = None
    collected: (
        Annotated[
            AgentCollected,
            Meta(
                description="What an agent took for the member, where this is the deposit of it: cash or goods, on which day, "
                "under which receipt. The receipt posts once, for ever."
            ),
        ]
        | None
    ) = None
    batch: (
        Annotated[
            Word,
            Meta(
                description="The reference by which the bank's statement will show it in one line together with others; "
                "it is no part of what tells a retry from another payment.",
            ),
        ]
        | None
    ) = None


class BatchItem(ContributionRequest, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A payment of a batch, with its own key."""

    key: Word | None = None


class ContributionBatch(Struct, frozen=True, forbid_unknown_fields=True):
    """Up to 1,000 payments; each is answered on its own and never fails its neighbours."""

    items: Annotated[list[BatchItem], Meta(min_length=1, max_length=MOST_ITEMS)]
    declared: (
        Annotated[Envelope, Meta(description="Where it is given and the payments are others, none is taken.")] | None
    ) = None


class ContributionItemAnswer(Struct, frozen=True, omit_defaults=True):
    """What became of one payment of a batch: a receipt, or a problem."""

    index: int
    status: int
    receipt: Receipt | None = None
    problem: Problem | None = None


class ContributionBatchAnswer(Struct, frozen=True):
    """The answers, in the order of the payments."""

    items: list[ContributionItemAnswer]


class OwnerRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """Whose the suspended payment is, as you propose."""

    member: Annotated[Word, Meta(description="The member's number.", examples=["100000000008"])]


class OwnerSeen(Struct, frozen=True, forbid_unknown_fields=True):
    """The digest of the proposal that you have read."""

    digest: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]


def _payment(request: ContributionRequest, caller: Caller, key: str | None) -> Payment:
    return Payment(
        member=request.member,
        amount=request.amount,
        currency=request.currency,
        channel=request.channel,
        reference=request.reference,
        sent_by=caller.actor,
        key=key,
        paid_on=request.paid_on,
        product=request.product or "",
        payer=request.payer or "",
        paid_from=request.paid_from or "",
        collected=request.collected,
        batch=request.batch or "",
    )


def _bare(key: str | None) -> str:
    """Return the key without the quotes of a structured field: most clients send it bare, the draft wants it quoted."""
    if key and len(key) > 1 and key[0] == key[-1] == '"':
        key = key[1:-1]
    if not key or not key.isascii() or not key.isprintable():
        raise errors.KeyMissing
    return key


def _status(receipt: Receipt) -> int:
    return 202 if receipt.state == "suspended" else 201


@dataclass(frozen=True, slots=True)
class Desk:
    """Who sends, to which scheme, and where payments are gathered: all that the busiest routes need, in one dependency.

    Several dependencies of one route are resolved in a task group, which costs more than the rules and the encoding.
    """

    caller: Caller
    tenant: Tenant
    intake: Intake


class ContributionController(Controller):
    """Payments in."""

    path = "/v1/contributions"
    tags = ("Contributions",)

    @post(
        operation_id="ReceiveContribution",
        opt={"permission": Permission.CONTRIBUTIONS_RECEIVE},
        responses={
            201: ResponseSpec(data_container=Receipt, generate_examples=False, description="Credited to the member."),
            202: ResponseSpec(data_container=Receipt, generate_examples=False, description="Held in suspense."),
        }
        | refuses(
            errors.KeyMissing,
            errors.WrongCurrency,
            errors.AmountNotWhole,
            errors.AmountNotPositive,
            errors.UnknownChannel,
            errors.PaidInFuture,
            errors.KeyReused,
            errors.BelowMinimum,
            errors.AboveMaximum,
            errors.NotAMultiple,
            errors.NotWhatIsDue,
            errors.NothingDue,
            errors.NoTerms,
            errors.NotEligible,
            errors.AboveLevel,
            errors.CapReached,
            errors.PayerNotTaken,
            errors.PaymentTooShort,
            errors.CollectionNotTaken,
            errors.CollectionReceiptNeeded,
            errors.CollectedLater,
            errors.QuantityWanted,
            errors.GoodsWorthOtherwise,
            errors.MemberNotActive,
            UnknownMember,
            SeriesValueMissing,
        ),
    )
    async def receive(
        self,
        data: JSONBody[ContributionRequest],
        idempotency_key: Key,
        desk: NamedDependency[Desk],
    ) -> ASGIResponse:
        """Credit one payment to its member, once for its reference and its Idempotency-Key.

        201 with a receipt; 202 where no member answers to the number, or a rule of the scheme keeps the money apart: it is
        held in suspense until somebody decides whose it is. The same request gets the same answer, for ever.
        """
        answer = await desk.intake.receive(desk.tenant, _payment(data, desk.caller, _bare(idempotency_key)))
        if isinstance(answer, EngineError):
            raise answer
        # Encoded here: it spares the busiest route a tenth of its time between handler and socket.
        return ASGIResponse(body=_encode(answer), status_code=_status(answer), media_type=MediaType.JSON)

    @post(
        "/batch",
        operation_id="ReceiveContributions",
        status_code=200,
        opt={"permission": Permission.CONTRIBUTIONS_RECEIVE},
        responses=refuses(errors.EnvelopeDiffers),
    )
    async def receive_batch(
        self,
        data: JSONBody[ContributionBatch],
        desk: NamedDependency[Desk],
    ) -> ContributionBatchAnswer:
        """Credit many payments; each is answered on its own, unless they are others than was declared."""
        if data.declared is not None:
            data.declared.check("items", (item.amount for item in data.items))
        payments = [_payment(item, desk.caller, item.key) for item in data.items]
        answers = await desk.intake.receive_many(desk.tenant, payments)
        return ContributionBatchAnswer(
            [
                ContributionItemAnswer(index, answer.status, problem=problem_of(answer))
                if isinstance(answer, EngineError)
                else ContributionItemAnswer(index, _status(answer), receipt=answer)
                for index, answer in enumerate(answers)
            ]
        )


class CollectionRequested(Struct, frozen=True, forbid_unknown_fields=True):
    """A payment that a member is to be asked for on their telephone, in major units of the scheme's currency."""

    member: Annotated[Word, Meta(description="The member's number.", examples=["100000000008"])]
    amount: Annotated[
        str,
        Meta(max_length=24, description="A decimal with no more digits than the currency has.", examples=["500.00"]),
    ]
    currency: Annotated[str, Meta(pattern=r"^[A-Z]{3}$", examples=["KES"])]
    channel: Annotated[Word, Meta(description="The collection channel to ask over.", examples=["mpesa"])]
    phone: Annotated[
        str, Meta(max_length=40, description="The number to ask; the one on the member's record if absent.")
    ] = ""
    product: (
        Annotated[Word, Meta(description="What it is for; the first product the member joined if absent.")] | None
    ) = None


class CollectionController(Controller):
    """Members asked for payments on their telephones."""

    path = "/v1/collections"
    tags = ("Collections",)

    @post(
        operation_id="AskForPayment",
        status_code=202,
        opt={"permission": Permission.COLLECTIONS_REQUEST},
        responses=refuses(
            errors.KeyMissing,
            errors.WrongCurrency,
            errors.AmountNotWhole,
            errors.AmountNotPositive,
            errors.UnknownChannel,
            UnknownProduct,
            errors.KeyReused,
            errors.BelowMinimum,
            errors.AboveMaximum,
            errors.NotAMultiple,
            errors.NotWhatIsDue,
            errors.NothingDue,
            errors.NoTerms,
            errors.NotEligible,
            errors.AboveLevel,
            errors.CapReached,
            errors.PaymentTooShort,
            errors.CannotCollect,
            errors.NoPhone,
            errors.MemberNotActive,
            UnknownMember,
            UnusablePhone,
        ),
    )
    async def ask(
        self,
        data: JSONBody[CollectionRequested],
        idempotency_key: Key,
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
        keys: NamedDependency[FileKeyStore],
        collectors: NamedDependency[Collectors],
    ) -> Collection:
        """Ask a member for a payment, once for its Idempotency-Key.

        The answer is a reference. What was truly paid is posted as soon as the channel's operator has confirmed it;
        `state` then says `succeeded`, with the receipt.
        """
        ask = Ask(
            member=data.member,
            amount=data.amount,
            currency=data.currency,
            channel=data.channel,
            phone=data.phone,
            product=data.product or "",
            sent_by=caller.actor,
            key=_bare(idempotency_key),
        )
        async with db.unit_of_work(tenant.tenant_id) as session:
            return await service.ask_for_payment(session, keys, tenant, collectors, ask)

    @get(
        "/{reference:uuid}",
        operation_id="GetCollection",
        opt={"permission": Permission.CONTRIBUTIONS_READ},
        responses=refuses(errors.UnknownCollection),
    )
    async def find(
        self,
        reference: FromPath[UUID],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
        keys: NamedDependency[FileKeyStore],
    ) -> Collection:
        """Return what has become of a request for a payment."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            return await service.find_collection(session, keys, tenant, reference)

    @get("/unsettled", operation_id="ListUnsettled", opt={"permission": Permission.CONTRIBUTIONS_READ})
    async def list_unsettled(
        self,
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
        limit: Annotated[int, QueryParameter(ge=1, le=1000)] = 100,
    ) -> list[Unsettled]:
        """Return what people must look at, oldest first: unknown for long, or confirmed and not taken by the books."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            return await service.list_unsettled(session, most=limit)


class ReversalRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """Why a payment is to be taken back; or the number of the member whose it is, where it was posted to a wrong one.

    One of the two.
    """

    reason: Reason | None = None
    member: Annotated[Word, Meta(description="The right member's number.")] | None = None


class ReversalSeen(Struct, frozen=True, forbid_unknown_fields=True):
    """The digest of the proposal that is confirmed."""

    digest: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]


class ReversalController(Controller):
    """Payments that are taken back, by two people."""

    path = "/v1/contributions/{receipt:int}/reversal"
    tags = ("Contributions",)

    @post(
        operation_id="ProposeReversal",
        opt={"permission": Permission.REVERSALS_PROPOSE},
        responses=refuses(
            errors.UnknownContribution,
            errors.ReversalDecided,
            errors.AlreadyResolved,
            errors.NothingToMove,
            errors.MemberClosed,
            errors.ReasonOrMember,
            NotFound,
        ),
    )
    async def propose(
        self,
        receipt: FromPath[int],
        data: JSONBody[ReversalRequest],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
        keys: NamedDependency[FileKeyStore],
    ) -> Reversal:
        """Propose to take a payment back, charged back, paid twice or by mistake or never allowed, or to move it to its member."""
        if (data.reason is None) == (data.member is None):
            raise errors.ReasonOrMember
        async with db.unit_of_work(tenant.tenant_id) as session:
            to = None
            if data.member is not None:
                to = (await identity.members_by_number(session, keys, [data.member])).get(data.member)
                if to is None:
                    raise NotFound
            return await service.propose_reversal(
                session, tenant, receipt, reason=data.reason, to=to, actor=caller.actor
            )

    @get(
        operation_id="GetReversal",
        opt={"permission": Permission.CONTRIBUTIONS_READ},
        responses=refuses(errors.UnknownContribution),
    )
    async def find(
        self, receipt: FromPath[int], tenant: NamedDependency[Tenant], db: NamedDependency[Database]
    ) -> Reversal:
        """Return how far the taking back of a payment has come."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            return await service.find_reversal(session, tenant, receipt)

    @post(
        "/confirmation",
        operation_id="ConfirmReversal",
        status_code=200,
        opt={"permission": Permission.REVERSALS_APPROVE},
        responses=refuses(
            errors.UnknownContribution,
            errors.ReversalDecided,
            errors.ReversalDiffers,
            errors.AlreadyResolved,
            NoDealingRule,
            SamePerson,
        ),
    )
    async def confirm(
        self,
        receipt: FromPath[int],
        data: JSONBody[ReversalSeen],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
        keys: NamedDependency[FileKeyStore],
    ) -> Reversal:
        """Take the payment back, as a second person; where a price is missing the rest follows once it has come."""
        return await service.confirm_reversal(db, keys, tenant, receipt, digest=data.digest, actor=caller.actor)

    @post(
        "/rejection",
        operation_id="RejectReversal",
        status_code=200,
        opt={"permission": Permission.REVERSALS_APPROVE},
        responses=refuses(errors.UnknownContribution, errors.ReversalDecided, SamePerson),
    )
    async def reject(
        self,
        receipt: FromPath[int],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
    ) -> Reversal:
        """Refuse to take the payment back, as a second person."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            return await service.reject_reversal(session, tenant, receipt, actor=caller.actor)


class SuspenseController(Controller):
    """Payments whose owner is not known yet."""

    path = "/v1/suspense"
    tags = ("Suspense",)

    @get(operation_id="ListSuspense", opt={"permission": Permission.CONTRIBUTIONS_READ})
    async def list_suspense(
        self,
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
        after: Annotated[
            int, QueryParameter(ge=0, le=LAST_RECEIPT, description="The last receipt of the page before.")
        ] = 0,
        limit: Annotated[int, QueryParameter(ge=1, le=1000)] = 100,
    ) -> list[Suspended]:
        """Return unresolved payments, oldest first, with reason and age."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            return await service.list_suspense(session, tenant, after=after, most=limit)

    @get("/figures", operation_id="GetSuspenseFigures", opt={"permission": Permission.CONTRIBUTIONS_READ})
    async def figures(self, tenant: NamedDependency[Tenant], db: NamedDependency[Database]) -> SuspenseFigures:
        """Return how much lies in suspense, for how long and why: a figure that a scheme may publish."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            return await service.suspense_figures(session, tenant)

    @get("/owners", operation_id="SeekOwners", opt={"permission": Permission.SUSPENSE_RESOLVE})
    async def seek_owners(
        self,
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
        keys: NamedDependency[FileKeyStore],
        after: Annotated[
            int, QueryParameter(ge=0, le=LAST_RECEIPT, description="The last receipt of the page before.")
        ] = 0,
        limit: Annotated[int, QueryParameter(ge=1, le=200)] = 50,
    ) -> list[Sought]:
        """Return unresolved payments, oldest first, each with whose it may be and why; nothing is posted by this."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            return await service.seek_owners(session, keys, tenant, after=after, most=limit, actor=caller.actor)

    @post(
        "/{receipt:int}/proposals",
        operation_id="ProposeOwner",
        opt={"permission": Permission.SUSPENSE_RESOLVE},
        responses=refuses(
            errors.UnknownSuspense,
            errors.AlreadyResolved,
            errors.OwnerProposed,
            errors.CapReached,
            errors.GoesBack,
            errors.PayerNotTaken,
            errors.PaymentTooShort,
            SeriesValueMissing,
            NotFound,
        ),
    )
    async def propose(
        self,
        receipt: FromPath[int],
        data: JSONBody[OwnerRequest],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
        keys: NamedDependency[FileKeyStore],
    ) -> OwnerProposal:
        """Propose whose a suspended payment is; it is theirs once another person has confirmed it."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            return await service.propose_owner(session, keys, tenant, receipt, member=data.member, actor=caller.actor)

    @get(
        "/{receipt:int}/proposals", operation_id="ListOwnerProposals", opt={"permission": Permission.CONTRIBUTIONS_READ}
    )
    async def list_proposals(
        self,
        receipt: FromPath[int],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
        keys: NamedDependency[FileKeyStore],
    ) -> list[OwnerProposal]:
        """Return what was proposed for a payment, the first first, and what became of it."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            return await service.list_owner_proposals(session, keys, tenant, receipt=receipt, actor=caller.actor)

    @post(
        "/proposals/{proposal:int}/confirmation",
        operation_id="ConfirmOwner",
        status_code=200,
        opt={"permission": Permission.SUSPENSE_APPROVE},
        responses=refuses(
            errors.UnknownOwner,
            errors.OwnerDecided,
            errors.OwnerDiffers,
            errors.AlreadyResolved,
            errors.CapReached,
            errors.PayerNotTaken,
            errors.PaymentTooShort,
            SeriesValueMissing,
            SamePerson,
        ),
    )
    async def confirm(
        self,
        proposal: FromPath[int],
        data: JSONBody[OwnerSeen],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
        keys: NamedDependency[FileKeyStore],
    ) -> Receipt:
        """Give the payment to its owner, as a second person, exactly as it was proposed."""
        return await service.confirm_owner(db, keys, tenant, proposal, digest=data.digest, actor=caller.actor)

    @post(
        "/proposals/{proposal:int}/rejection",
        operation_id="RejectOwner",
        status_code=200,
        opt={"permission": Permission.SUSPENSE_APPROVE},
        responses=refuses(errors.UnknownOwner, errors.OwnerDecided, SamePerson),
    )
    async def reject(
        self,
        proposal: FromPath[int],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
        keys: NamedDependency[FileKeyStore],
    ) -> OwnerProposal:
        """Refuse a proposal, as a second person; the payment stays in suspense."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            return await service.reject_owner(session, keys, tenant, proposal, actor=caller.actor)


class ClaimRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """The product whose state money is claimed, and a day in the scheme year."""

    product: Annotated[Word, Meta(examples=["ltss"])]
    date: Annotated[date, Meta(examples=["2023-06-30"])]


class ClaimDecision(Struct, frozen=True, forbid_unknown_fields=True):
    """The digest of the claim's lines that you have read."""

    digest: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]


class ClaimReceipt(Struct, frozen=True, forbid_unknown_fields=True):
    """What the funder paid for a claim, in major units, into which collection account, under which reference."""

    amount: Annotated[str, Meta(max_length=24, pattern=r"^[0-9]+(\.[0-9]+)?$", examples=["45500"])]
    channel: Annotated[Word, Meta(examples=["mtn-momo"])]
    reference: Word


class StateClaim(Struct, frozen=True):
    """A claim of state money; amounts in major units. `total` is what is asked less what is given back and was `forfeited`.

    `assumptions` are what the rules that entitle to it assume.
    """

    claim: int
    product: str
    funder: str
    year_from: date
    year_until: date
    prepared_on: date
    state: str
    digest: str
    lines: int
    asked: str
    given_back: str
    forfeited: str
    total: str
    received: str
    shared: str
    assumptions: tuple[Assumption, ...]
    maker: str
    checker: str


def _claim_item(claim: MatchClaim, tenant: Tenant) -> StateClaim:
    def major(minor: int) -> str:
        return f"{Amount(minor, tenant.asset).decimal():f}"

    return StateClaim(
        claim=claim.claim_no,
        product=claim.product,
        funder=claim.funder,
        year_from=claim.year_from,
        year_until=claim.year_until,
        prepared_on=claim.prepared_on,
        state=claim.state,
        digest=claim.digest,
        lines=claim.lines,
        asked=major(claim.asked),
        given_back=major(claim.given_back),
        forfeited=major(claim.forfeited),
        total=major(claim.total),
        received=major(claim.received),
        shared=major(claim.shared),
        assumptions=tenant.assumptions(claim.product, claim.rules),
        maker=claim.maker,
        checker=claim.checker,
    )


class StateMoneyController(Controller):
    """State money: claimed from who pays it, by two people, and shared among members once it came."""

    path = "/v1/state-claims"
    tags = ("State money",)

    @get(operation_id="ListStateClaims", opt={"permission": Permission.CONTRIBUTIONS_READ})
    async def list_claims(self, tenant: NamedDependency[Tenant], db: NamedDependency[Database]) -> list[StateClaim]:
        """Return the newest claims, newest first; at most 100."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            return [_claim_item(one, tenant) for one in await service.list_claims(session)]

    @post(
        operation_id="PrepareStateClaim",
        opt={"permission": Permission.MATCH_CLAIM},
        responses=refuses(
            UnknownProduct, errors.NoMatch, errors.MatchNotDue, errors.ClaimPrepared, errors.NothingToClaim
        ),
    )
    async def prepare(
        self,
        data: JSONBody[ClaimRequest],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
    ) -> StateClaim:
        """Prepare the claim of a scheme year: what it earned, less what was claimed for it before."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            claim = await service.prepare_claim(session, tenant, data.product, data.date, actor=caller.actor)
        if isinstance(claim, errors.NothingToClaim):
            raise claim
        return _claim_item(claim, tenant)

    @get(
        "/{claim:int}/file",
        operation_id="GetStateClaimFile",
        opt={"permission": Permission.MATCH_APPROVE},
        media_type="text/csv",
        responses=refuses(errors.UnknownClaim),
    )
    async def file(
        self,
        claim: FromPath[int],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
        keys: NamedDependency[FileKeyStore],
    ) -> bytes:
        """Return a claim's file: a line a member, and a last line with count, digest and total."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            return await service.claim_file(session, keys, tenant, _number(claim), actor=caller.actor)

    @post(
        "/{claim:int}/sending",
        operation_id="SendStateClaim",
        status_code=200,
        opt={"permission": Permission.MATCH_APPROVE},
        responses=refuses(errors.UnknownClaim, errors.ClaimDecided, errors.ClaimChanged, SamePerson),
    )
    async def send(
        self,
        claim: FromPath[int],
        data: JSONBody[ClaimDecision],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
    ) -> StateClaim:
        """Let a claim go to its funder, as a second person."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            found = await service.send_claim(session, tenant, _number(claim), data.digest, actor=caller.actor)
        return _claim_item(found, tenant)

    @post(
        "/{claim:int}/rejection",
        operation_id="RejectStateClaim",
        status_code=200,
        opt={"permission": Permission.MATCH_APPROVE},
        responses=refuses(errors.UnknownClaim, errors.ClaimDecided, errors.ClaimChanged, SamePerson),
    )
    async def reject(
        self,
        claim: FromPath[int],
        data: JSONBody[ClaimDecision],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
    ) -> StateClaim:
        """Give a prepared claim up, as a second person."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            found = await service.reject_claim(session, tenant, _number(claim), data.digest, actor=caller.actor)
        return _claim_item(found, tenant)

    @post(
        "/{claim:int}/receipt",
        operation_id="ReceiveStateMoney",
        opt={"permission": Permission.MATCH_CLAIM},
        responses=refuses(
            errors.UnknownClaim,
            errors.ClaimDecided,
            errors.MoreThanClaimed,
            errors.AlreadyReceived,
            errors.UnknownChannel,
        ),
    )
    async def receive(
        self,
        claim: FromPath[int],
        data: JSONBody[ClaimReceipt],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
    ) -> StateClaim:
        """Book what a claim's funder paid; it is shared once a statement shows it."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            found = await service.receive_match(
                session,
                tenant,
                _number(claim),
                amount=data.amount,
                channel=data.channel,
                reference=data.reference,
                actor=caller.actor,
            )
        return _claim_item(found, tenant)

    @post(
        "/{claim:int}/sharing",
        operation_id="ShareStateMoney",
        opt={"permission": Permission.MATCH_CLAIM},
        responses=refuses(errors.UnknownClaim, errors.ClaimDecided, errors.NotOnStatement, errors.NoTerms),
    )
    async def share(
        self,
        claim: FromPath[int],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
    ) -> service.ClaimShared:
        """Share what was received for a claim among its members, once a statement shows the money."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            return await service.share_match(session, tenant, _number(claim), actor=caller.actor)


def _number(claim: int) -> int:
    """Return a claim's number; one beyond all numbers is nobody's."""
    return claim if 0 < claim < 2**31 else 0
