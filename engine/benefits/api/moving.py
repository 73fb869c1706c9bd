"""Moves between products over HTTP: asked for by a member or for everyone, approved by another person."""

from datetime import date
from typing import Annotated

from litestar import Controller, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from msgspec import Meta, Struct

from engine.access.errors import SamePerson
from engine.access.rules import Caller
from engine.benefits import errors, service
from engine.enrolment import service as enrolment
from engine.enrolment.errors import ProductsDoNotFit
from engine.enrolment.errors import UnknownMember as NotAMember
from engine.kernel.errors import EngineError
from engine.kernel.permissions import Permission
from engine.runtime.database import Database
from engine.runtime.http import refuses
from engine.runtime.key_file import FileKeyStore
from engine.tenancy.errors import UnknownProduct
from engine.tenancy.service import Tenant

LAST_MOVE = 2**31 - 1

Product = Annotated[str, Meta(max_length=40, pattern=r"^[a-z][a-z0-9-]*$")]
Digest = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]


class MoveRequest(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """From which product into which one, and whether the member has agreed to it."""

    source: Annotated[Product, Meta(examples=["mpp"])]
    target: Annotated[Product, Meta(examples=["ppp"])]
    consent: bool = False


class MoveOfAllRequest(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The product that the law re-designates, and what it becomes."""

    source: Annotated[Product, Meta(examples=["mpp"])]
    target: Annotated[Product, Meta(examples=["ppp"])]


class MoveDecision(Struct, frozen=True, forbid_unknown_fields=True):
    """The digest of the move that you have read."""

    digest: Digest


class MoveItem(Struct, frozen=True, kw_only=True):
    """A move of one member or of everyone in a product: `moved` of `members` have moved. Approval names the `digest`."""

    move: str
    source: str
    target: str
    is_of_all: bool
    asked_on: date
    state: str
    digest: str
    consent: bool
    moves_as: str
    pots: dict[str, str]
    keeps: list[str]
    members: int
    moved: int
    rules: list[str]
    maker: str
    checker: str


class MovesAnswer(Struct, frozen=True):
    """Moves, newest first."""

    items: list[MoveItem]


def shown(run: service.MoveRun) -> MoveItem:
    """Return a move as the API and the command line show it."""
    return MoveItem(
        move=str(run.run_no),
        source=run.source,
        target=run.target,
        is_of_all=run.member_id == 0,
        asked_on=run.asked_on,
        state=run.state,
        digest=run.digest,
        consent=run.has_consent,
        moves_as=run.terms.moves_as,
        pots=dict(run.terms.pots),
        keeps=list(run.terms.keeps),
        members=run.members,
        moved=run.moved,
        rules=list(run.terms.rules),
        maker=run.maker,
        checker=run.checker,
    )


def _number(move: int) -> int:
    return move if 0 < move <= LAST_MOVE else 0


_REFUSED = (
    UnknownProduct,
    ProductsDoNotFit,
    errors.CannotMove,
    errors.ConsentNeeded,
    errors.MoveNotServed,
    errors.MoveOpen,
    errors.PaymentsSuspended,
)


class MemberMoveController(Controller):
    """What a member asks for."""

    path = "/v1/members/{number:str}/moves"
    tags = ("Members",)

    @post(
        operation_id="ProposeMove",
        opt={"permission": Permission.MEMBERS_ENROL},
        responses=refuses(NotAMember, *_REFUSED),
    )
    async def propose(
        self,
        number: FromPath[str],
        data: JSONBody[MoveRequest],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
        keys: NamedDependency[FileKeyStore],
    ) -> MoveItem:
        """Ask that a member moves with all that is theirs from one product into another; a second person decides on it.

        What the rules refuse is on record; `decision` in the refusal is the number by which it is explained. The same
        request again is answered with the move that waits.
        """
        async with db.unit_of_work(tenant.tenant_id) as session:
            member = await enrolment.find_in_product(session, keys, number, data.source)
            answer = await service.propose_move(
                session,
                tenant,
                source=data.source,
                target=data.target,
                member=member,
                has_consent=data.consent,
                actor=caller.actor,
            )
        if isinstance(answer, EngineError):
            raise answer
        return shown(answer)


class MoveController(Controller):
    """Moves, and their approval."""

    path = "/v1/product-moves"
    tags = ("Members",)

    @get(operation_id="ListMoves", opt={"permission": Permission.CLAIMS_READ})
    async def list_moves(self, tenant: NamedDependency[Tenant], db: NamedDependency[Database]) -> MovesAnswer:
        """Return the newest moves, newest first."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            return MovesAnswer([shown(one) for one in await service.list_moves(session)])

    @post(operation_id="ProposeMoveOfAll", opt={"permission": Permission.CLAIMS_OPEN}, responses=refuses(*_REFUSED))
    async def propose(
        self,
        data: JSONBody[MoveOfAllRequest],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
    ) -> MoveItem:
        """Propose that everyone in a product moves into another, as a re-designation by law has it."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            answer = await service.propose_move(
                session, tenant, source=data.source, target=data.target, actor=caller.actor
            )
        if isinstance(answer, EngineError):
            raise answer
        return shown(answer)

    @get(
        "/{move:int}",
        operation_id="GetMove",
        opt={"permission": Permission.CLAIMS_READ},
        responses=refuses(errors.UnknownMove),
    )
    async def find(
        self, move: FromPath[int], tenant: NamedDependency[Tenant], db: NamedDependency[Database]
    ) -> MoveItem:
        """Return a move."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            return shown(await service.find_move(session, _number(move)))

    @post(
        "/{move:int}/approval",
        operation_id="ApproveMove",
        status_code=200,
        opt={"permission": Permission.CLAIMS_APPROVE},
        responses=refuses(errors.UnknownMove, errors.MoveDecided, errors.MoveChanged, errors.MoveNotServed, SamePerson),
    )
    async def approve(
        self,
        move: FromPath[int],
        data: JSONBody[MoveDecision],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
    ) -> MoveItem:
        """Let a move be carried out, as a second person: who has nothing on its way moves at once, the others as soon as they can."""
        return shown(await service.approve_move(db, tenant, _number(move), digest=data.digest, actor=caller.actor))

    @post(
        "/{move:int}/rejection",
        operation_id="RejectMove",
        status_code=200,
        opt={"permission": Permission.CLAIMS_APPROVE},
        responses=refuses(errors.UnknownMove, errors.MoveDecided, errors.MoveChanged, SamePerson),
    )
    async def reject(
        self,
        move: FromPath[int],
        data: JSONBody[MoveDecision],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
    ) -> MoveItem:
        """Give a proposed move up, as a second person."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            return shown(
                await service.reject_move(session, tenant, _number(move), digest=data.digest, actor=caller.actor)
            )
