"""Direct debits over HTTP: what members owe is prepared by one person and let go by another."""

from datetime import date
from typing import Annotated

from litestar import Controller, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from msgspec import Meta, Struct

from engine.access.errors import SamePerson
from engine.access.rules import Caller
from engine.debits import errors, service
from engine.debits.queries import DebitFileRow
from engine.kernel.amounts import Amount, Asset
from engine.kernel.permissions import Permission
from engine.runtime.database import Database
from engine.runtime.http import refuses
from engine.tenancy.errors import UnknownProduct
from engine.tenancy.service import Tenant

LAST_FILE = 2**31 - 1
_Name = Annotated[str, Meta(min_length=1, max_length=40, pattern=r"^[a-z0-9-]+$")]


class DebitsWanted(Struct, frozen=True, forbid_unknown_fields=True):
    """What is to be collected: by which bank's rail, of which product's members, on which day."""

    rail: _Name
    product: _Name
    collect_on: date


class DebitsSeenAs(Struct, frozen=True, forbid_unknown_fields=True):
    """The digest of the debits that were seen."""

    digest: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]


class DebitFileItem(Struct, frozen=True):
    """A file of direct debits, its total in major units; `digest` stands for exactly what is collected from whom."""

    file: int
    message_ref: str
    rail: str
    product: str
    sequence: str
    collect_on: date
    debits: int
    total: str
    state: str
    maker: str
    checker: str
    digest: str


class DebitFileController(Controller):
    """Files of direct debits."""

    path = "/v1/debit-files"
    tags = ("Direct debits",)

    @post(
        operation_id="PrepareDebits",
        opt={"permission": Permission.PAYOUTS_INSTRUCT},
        responses=refuses(UnknownProduct),
    )
    async def prepare(
        self,
        data: JSONBody[DebitsWanted],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
    ) -> list[DebitFileItem]:
        """Prepare what members owe on a day; return one file of first debits and one of following ones, none where nobody owes."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            made = await service.prepare_debits(
                session,
                tenant,
                rail=data.rail,
                product=data.product,
                collect_on=data.collect_on,
                actor=caller.actor,
            )
        return [debit_file_shown(one, tenant.asset) for one in made]

    @get(operation_id="ListDebits", opt={"permission": Permission.PAYOUTS_READ})
    async def list_files(self, tenant: NamedDependency[Tenant], db: NamedDependency[Database]) -> list[DebitFileItem]:
        """Return the newest 100 files."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            return [debit_file_shown(one, tenant.asset) for one in await service.list_debits(session)]

    @post(
        "/{file:int}/approve",
        operation_id="ApproveDebits",
        status_code=200,
        opt={"permission": Permission.PAYOUTS_APPROVE},
        responses=refuses(errors.UnknownDebits, errors.DebitsDecided, errors.DebitsChanged, SamePerson),
    )
    async def approve(
        self,
        file: FromPath[int],
        data: JSONBody[DebitsSeenAs],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
    ) -> DebitFileItem:
        """Let a file go that another person prepared: exactly what its digest is of is collected."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            done = await service.approve_debits(session, _number(file), digest=data.digest, actor=caller.actor)
        return debit_file_shown(done, tenant.asset)

    @post(
        "/{file:int}/reject",
        operation_id="RejectDebits",
        status_code=200,
        opt={"permission": Permission.PAYOUTS_APPROVE},
        responses=refuses(errors.UnknownDebits, errors.DebitsDecided, errors.DebitsChanged, SamePerson),
    )
    async def reject(
        self,
        file: FromPath[int],
        data: JSONBody[DebitsSeenAs],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
    ) -> DebitFileItem:
        """Drop a file that another person prepared: nothing of it is collected."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            done = await service.reject_debits(session, _number(file), digest=data.digest, actor=caller.actor)
        return debit_file_shown(done, tenant.asset)


def _number(file: int) -> int:
    """Return a file's number, 0 where no file can have it."""
    return file if 0 < file <= LAST_FILE else 0


def debit_file_shown(one: DebitFileRow, asset: Asset) -> DebitFileItem:
    """Return a file as it is told, in major units."""
    return DebitFileItem(
        file=one.file_id,
        message_ref=one.message_ref,
        rail=one.rail,
        product=one.product,
        sequence=one.sequence,
        collect_on=one.collect_on,
        debits=one.debits,
        total=f"{Amount(one.total, asset).decimal():.{asset.scale}f}",
        state=one.state,
        maker=one.maker,
        checker=one.checker,
        digest=one.digest,
    )
