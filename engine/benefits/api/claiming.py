"""Claims over HTTP: what is open to a member, a claim with its documents, its approval by another person."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Annotated, Literal

from litestar import Controller, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, HeaderParameter, JSONBody, QueryParameter
from msgspec import Meta, Struct
from sqlalchemy.ext.asyncio import AsyncSession

from engine.access.errors import SamePerson
from engine.access.rules import Caller
from engine.benefits import errors, service
from engine.benefits.queries.claiming import ClaimRow, Request
from engine.benefits.rules import (
    Available,
    available,
)
from engine.enrolment import service as enrolment
from engine.identity import service as identity
from engine.identity.errors import UnknownMember
from engine.identity.rules import MemberRef
from engine.kernel.amounts import Amount, Asset, NotWholeUnits
from engine.kernel.permissions import Permission
from engine.runtime.database import Database
from engine.runtime.http import refuses
from engine.runtime.key_file import FileKeyStore
from engine.tenancy.rules.assuming import Assumption
from engine.tenancy.service import Tenant, rules_behind

LAST_CLAIM = 2**63 - 1024
"""The largest number below 2^63 that is the same to readers of JSON who keep numbers as doubles."""
MOST_MINOR = 2**53
PAGE = 100

Word = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[\x21-\x7e]+$")]
Code = Annotated[str, Meta(max_length=64, pattern=r"^[\x21-\x7e]*$")]
Digest = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]
State = Literal[
    "open", "decided", "selling", "payable", "paid", "refused", "withdrawn", "continued", "pledged", "asked", "closed"
]
Key = Annotated[
    str | None,
    HeaderParameter(
        name="Idempotency-Key",
        required=False,
        max_length=66,
        description="Your own name for this claim: the same key and body are answered alike for ever.",
    ),
]


class BenefitClaimRequest(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a member claims. `documents` are the SHA-256 of each document by its kind; the files stay with you.

    `rule` is the way of access or the option of retirement, as the member's benefits name it; an exit has its rule by
    its ground. Without an amount, as much is paid as the rule gives; without `lump_bp`, the largest lump sum. The claim of
    a death takes all that the account holds: it needs `died_on` with documents where no register has told of it. A loan is
    paid back in `instalments`, the most that its rule allows if absent; savings are pledged to a `lender`, at `percent` a year.
    A cover is claimed with its peril as the ground and the day that it `happened_on`.
    """

    member: Annotated[Word, Meta(examples=["100000000008"])]
    kind: Literal["access", "retirement", "exit", "death", "loan", "cover"]
    product: Annotated[Code, Meta(description="The first the member joined if absent.")] = ""
    rule: Code = ""
    ground: Code = ""
    purpose: Code = ""
    amount: Annotated[str, Meta(max_length=24, pattern=r"^[0-9]+(\.[0-9]+)?$", examples=["1500.00"])] | None = None
    documents: Annotated[dict[Word, Digest], Meta(max_length=50)] = {}
    lump_bp: Annotated[int, Meta(ge=0, le=10_000)] | None = None
    years: Annotated[int, Meta(ge=1, le=60)] | None = None
    instalments: Annotated[int, Meta(ge=1, le=1200)] | None = None
    lender: Code = ""
    percent: Annotated[str, Meta(max_length=8, pattern=r"^([0-9]{1,3}(\.[0-9]{1,4})?)?$", examples=["18.5"])] = ""
    happened_on: Annotated[date, Meta(description="The day of what a cover is claimed for.")] | None = None
    died_on: Annotated[date, Meta(description="The day of a member's death, for its claim.")] | None = None
    saved_before_tax: Annotated[
        bool, Meta(description="Whether the contributions were deducted from taxed income, as the member's proof says.")
    ] = False


class DocumentsAsked(Struct, frozen=True, forbid_unknown_fields=True):
    """The SHA-256 of each document by its kind."""

    documents: Annotated[dict[Word, Digest], Meta(min_length=1, max_length=50)]


class BenefitClaimDecision(Struct, frozen=True, forbid_unknown_fields=True):
    """The digest of the claim that you have read."""

    digest: Digest


class ClaimPart(Struct, frozen=True):
    """Money of one pot and origin in major units; units of a fund that were sold for it are priced later."""

    pot: str
    origin: str
    amount: str
    forfeited: bool


class BenefitClaim(Struct, frozen=True):
    """A claim; amounts in major units. `amount` less `tax` is payable; `decision` can be asked for by its number.

    `reason` says why it is refused. `due_on` is the last day on which it is paid in time, by the law's clock. `assumptions`
    are what the rules behind its figures assume.
    """

    claim: str
    kind: str
    product: str
    rule: str
    state: State
    reason: str
    opened_on: date
    due_on: date | None
    missing: list[str]
    amount: str
    tax: str
    payable: str
    forfeited: str
    added: str
    paid: str
    parts: list[ClaimPart]
    digest: str
    decision: str
    assumptions: tuple[Assumption, ...]


class BenefitItem(Struct, frozen=True):
    """One way to take money: how much now, or why not. `details` fill the reason: from which day, from which age.

    What is paid later is paid in `instalments` (0: for life) from `first_due_on` on; `instalment` is each, where that is
    fixed for good.
    """

    kind: str
    rule: str
    ground: str
    available: str | None
    reason: str
    details: Mapping[str, str]
    purposes: Mapping[str, list[str]]
    source: str
    assumption: str
    instalments: int | None = None
    instalment: str | None = None
    first_due_on: date | None = None


class Benefits(Struct, frozen=True):
    """What a member may take now and later, under the rules in force; amounts in major units before tax."""

    member: str
    product: str
    as_of: date
    currency: str
    free: str
    ways: list[BenefitItem]


class AvailableController(Controller):
    """What a member may take."""

    path = "/v1/members/{member:str}/benefits"
    tags = ("Claims",)

    @get(
        operation_id="GetBenefits",
        opt={"permission": Permission.CLAIMS_READ},
        responses=refuses(UnknownMember, errors.NoPriceYet),
    )
    async def benefits(
        self,
        member: FromPath[str],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
        keys: NamedDependency[FileKeyStore],
        product: Annotated[str | None, QueryParameter(name="product", max_length=64)] = None,
    ) -> Benefits:
        """Return every way to take money: how much it gives now, when it opens or why not, and where the rule is from."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            ref = await member_of(session, keys, member, product or "")
            stands = await service.standing_of(session, keys, tenant, ref, actor=caller.actor)
        ways = available(
            stands.terms, stands.claimant, stands.figures, tenant.product(ref.product).scheme_year, tenant.asset
        )
        return Benefits(
            member=member,
            product=ref.product,
            as_of=stands.claimant.on,
            currency=tenant.asset.symbol,
            free=_major(sum(one.minor for one in stands.claimant.holdings), tenant.asset),
            ways=[_way(one, tenant.asset) for one in ways],
        )


class ClaimController(Controller):
    """Claims of benefits: opened by one person, approved by another."""

    path = "/v1/claims"
    tags = ("Claims",)

    @post(
        operation_id="OpenClaim",
        opt={"permission": Permission.CLAIMS_OPEN},
        responses=refuses(
            errors.ClaimKeyMissing,
            errors.ClaimKeyReused,
            errors.ClaimAmountMalformed,
            errors.ClaimDecided,
            errors.DeathNotConfirmed,
            UnknownMember,
            errors.NoPriceYet,
        ),
    )
    async def open(
        self,
        data: JSONBody[BenefitClaimRequest],
        idempotency_key: Key,
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
        keys: NamedDependency[FileKeyStore],
    ) -> BenefitClaim:
        """Open a claim, once for each Idempotency-Key. Where no document is missing it is decided at once.

        What the rules refuse is a claim too: its state is refused, with the reason and the decision's number.
        """
        key = (idempotency_key or "").strip().strip('"')
        if not key:
            raise errors.ClaimKeyMissing
        request = Request(
            rule=data.rule,
            ground=data.ground,
            purpose=data.purpose,
            documents=data.documents,
            lump_bp=data.lump_bp,
            years=data.years,
            is_pre_tax=data.saved_before_tax,
            instalments=data.instalments,
            lender=data.lender,
            percent=data.percent,
            happened_on=data.happened_on,
        )
        minor = None if data.amount is None else _minor(data.amount, tenant.asset)
        async with db.unit_of_work(tenant.tenant_id) as session:
            ref = await member_of(session, keys, data.member, data.product)
            if data.kind == "death":
                row = await service.open_death_claim(
                    session,
                    keys,
                    tenant,
                    ref,
                    died_on=data.died_on,
                    documents=data.documents,
                    key=key,
                    actor=caller.actor,
                )
                return await told_one(session, tenant, row)
            row = await service.open_claim(
                session,
                keys,
                tenant,
                ref,
                kind=data.kind,
                request=request,
                minor=minor,
                key=key,
                actor=caller.actor,
            )
            return await told_one(session, tenant, row)

    @get(operation_id="ListClaims", opt={"permission": Permission.CLAIMS_READ})
    async def list_claims(
        self,
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
        in_state: Annotated[
            Literal["open", "decided", "selling", "payable", "refused", "withdrawn", "continued", "pledged", "asked"]
            | None,
            QueryParameter(name="state"),
        ] = None,
        after: Annotated[
            int | None,
            QueryParameter(name="after", ge=0, le=LAST_CLAIM, description="The last claim of the page before."),
        ] = None,
    ) -> list[BenefitClaim]:
        """Return up to 100 claims, the oldest first."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            rows = await service.list_claims(session, state=in_state or "", after=after or 0, most=PAGE)
            return await told(session, tenant, rows)

    @get(
        "/{claim:int}",
        operation_id="GetClaim",
        opt={"permission": Permission.CLAIMS_READ},
        responses=refuses(errors.UnknownClaim),
    )
    async def find(
        self, claim: FromPath[int], tenant: NamedDependency[Tenant], db: NamedDependency[Database]
    ) -> BenefitClaim:
        """Return a claim."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            row = await service.find_claim(session, claim_number(claim))
            return await told_one(session, tenant, row)

    @post(
        "/{claim:int}/documents",
        operation_id="AddClaimDocuments",
        status_code=200,
        opt={"permission": Permission.CLAIMS_OPEN},
        responses=refuses(errors.UnknownClaim, errors.ClaimDecided, UnknownMember, errors.NoPriceYet),
    )
    async def documents(
        self,
        claim: FromPath[int],
        data: JSONBody[DocumentsAsked],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
        keys: NamedDependency[FileKeyStore],
    ) -> BenefitClaim:
        """Add documents to a claim that lacks some; with the last one it is complete, and decided."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            row = await service.add_documents(
                session, keys, tenant, claim_number(claim), data.documents, actor=caller.actor
            )
            return await told_one(session, tenant, row)

    @post(
        "/{claim:int}/approval",
        operation_id="ApproveClaim",
        status_code=200,
        opt={"permission": Permission.CLAIMS_APPROVE},
        responses=refuses(
            errors.UnknownClaim,
            errors.ClaimDecided,
            errors.ClaimDiffers,
            errors.ClaimMoneyGone,
            errors.PaymentsSuspended,
            errors.ChoiceCoolingOff,
            errors.DeathNotConfirmed,
            SamePerson,
        ),
    )
    async def approve(
        self,
        claim: FromPath[int],
        data: JSONBody[BenefitClaimDecision],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
    ) -> BenefitClaim:
        """Let a claim be paid, as a second person: cash becomes payable at once, units are put up for sale."""
        row = await service.approve_claim(db, tenant, claim_number(claim), digest=data.digest, actor=caller.actor)
        async with db.unit_of_work(tenant.tenant_id) as session:
            return await told_one(session, tenant, row)

    @post(
        "/{claim:int}/rejection",
        operation_id="RejectClaim",
        status_code=200,
        opt={"permission": Permission.CLAIMS_APPROVE},
        responses=refuses(errors.UnknownClaim, errors.ClaimDecided, errors.ClaimDiffers, SamePerson),
    )
    async def reject(
        self,
        claim: FromPath[int],
        data: JSONBody[BenefitClaimDecision],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
    ) -> BenefitClaim:
        """Refuse a decided claim, as a second person."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            row = await service.reject_claim(
                session, tenant, claim_number(claim), digest=data.digest, actor=caller.actor
            )
            return await told_one(session, tenant, row)

    @post(
        "/{claim:int}/withdrawal",
        operation_id="WithdrawClaim",
        status_code=200,
        opt={"permission": Permission.CLAIMS_OPEN},
        responses=refuses(errors.UnknownClaim, errors.ClaimDecided),
    )
    async def withdraw(
        self,
        claim: FromPath[int],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
    ) -> BenefitClaim:
        """Give up a claim that is not approved."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            row = await service.withdraw_claim(session, tenant, claim_number(claim), actor=caller.actor)
            return await told_one(session, tenant, row)


async def member_of(session: AsyncSession, keys: FileKeyStore, number: str, product: str) -> MemberRef:
    """Return a member as they stand in a product, the first they joined if it is ""; UnknownMember if they are in none."""
    members = await identity.members_by_number(session, keys, [number])
    found = await enrolment.in_their_products(session, members, product=product)
    if number not in found:
        raise UnknownMember
    return found[number]


def claim_number(claim: int) -> int:
    """Return a claim's number; one beyond all numbers is nobody's."""
    return claim if 0 < claim <= LAST_CLAIM else 0


def _minor(amount: str, asset: Asset) -> int:
    try:
        minor = Amount.parse(amount, asset).units
    except NotWholeUnits:
        minor = 0
    if not 0 < minor < MOST_MINOR:
        raise errors.ClaimAmountMalformed(field="amount", currency=asset.symbol, decimals=asset.scale)
    return minor


def _major(minor: int, asset: Asset) -> str:
    return f"{Amount(minor, asset).decimal():.{asset.scale}f}"


def _way(one: Available, asset: Asset) -> BenefitItem:
    later = one.schedule
    return BenefitItem(
        kind=one.kind,
        rule=one.rule.id,
        ground=one.ground,
        available=None if one.minor is None else _major(one.minor, asset),
        reason=one.reason,
        details=one.details,
        purposes=one.purposes,
        source=one.rule.source,
        assumption=one.rule.assumption,
        instalments=later.instalments if later else None,
        instalment=_major(later.amount, asset) if later and later.amount else None,
        first_due_on=later.due_on(1) if later else None,
    )


async def told(session: AsyncSession, tenant: Tenant, rows: Sequence[ClaimRow]) -> list[BenefitClaim]:
    """Return claims as they are told, in major units, with what the rules behind them assume; one statement, however many."""
    behind = await rules_behind(session, [one.decision for one in rows if one.decision])
    return [shown(one, tenant, behind.get(one.decision, ())) for one in rows]


async def told_one(session: AsyncSession, tenant: Tenant, row: ClaimRow) -> BenefitClaim:
    """Return a claim as `told`."""
    (found,) = await told(session, tenant, [row])
    return found


def shown(row: ClaimRow, tenant: Tenant, rules: Sequence[str]) -> BenefitClaim:
    """Return a claim as it is told, with what some rules assume."""
    asset = tenant.asset
    charge = row.facts.charge if row.facts else 0
    net = row.amount - row.tax - charge + (sum(one.minor for one in row.estate.waiting) if row.estate else 0)
    states: Mapping[str, State] = {
        "open": "open",
        "decided": "decided",
        "selling": "selling",
        "payable": "paid" if net and row.paid >= net else "payable",
        "refused": "refused",
        "withdrawn": "withdrawn",
        "continued": "continued",
        "pledged": "pledged",
        "asked": "asked",
    }
    return BenefitClaim(
        claim=str(row.claim_id),
        kind=row.kind,
        product=row.product,
        rule=row.rule,
        state="closed" if row.closed_event else states[row.state],
        reason=row.reason,
        opened_on=row.opened_on,
        due_on=row.due_on,
        missing=list(service.missing_of(tenant, row)) if row.state == "open" else [],
        amount=_major(row.amount, asset),
        tax=_major(row.tax, asset),
        payable=_major(net, asset),
        forfeited=_major(row.forfeited, asset),
        added=_major(row.top_up, asset),
        paid=_major(row.paid, asset),
        parts=[
            ClaimPart(pot=one.pot, origin=one.origin, amount=_major(one.minor, asset), forfeited=one.is_forfeited)
            for one in row.parts
        ],
        digest=row.digest,
        decision=str(row.decision) if row.decision else "",
        assumptions=tenant.assumptions(row.product, rules),
    )
