"""Switches over HTTP: a member moves what they have into other funds."""

from datetime import date
from decimal import Decimal
from typing import Annotated

from litestar import Controller, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from msgspec import Meta, Struct
from sqlalchemy.ext.asyncio import AsyncSession

from engine.access.rules import Caller
from engine.funds import errors, service
from engine.funds.rules import FundCode
from engine.funds.service import Units
from engine.identity import service as identity
from engine.identity.errors import UnknownMember
from engine.kernel.clock import business_date
from engine.kernel.permissions import Permission
from engine.ledger import service as ledger
from engine.runtime.database import Database
from engine.runtime.http import refuses
from engine.runtime.key_file import FileKeyStore
from engine.tenancy.errors import UnknownProduct
from engine.tenancy.service import Tenant

Word = Annotated[str, Meta(min_length=1, max_length=40, pattern=r"^[a-z0-9][a-z0-9-]*$")]
Reference = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[\x21-\x7e]+$")]
Share = Annotated[int, Meta(ge=1)]


class SwitchRequest(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """All units that the member has in one fund, of one pot and origin, and where what they bring goes, in basis points by fund.

    `reference` is your own name for it: sent again, it moves nothing and answers as the first time.
    """

    product: Annotated[Word, Meta(examples=["nps-lite"])]
    pot: Annotated[Word, Meta(examples=["retirement"])]
    origin: Annotated[Word, Meta(examples=["own"])]
    fund: Annotated[FundCode, Meta(examples=["SM001009"])]
    to: Annotated[dict[FundCode, Share], Meta(min_length=1, examples=[{"SM002009": 10_000}])]
    reference: Annotated[Reference, Meta(examples=["switch-1"])]


class SwitchItem(Struct, frozen=True):
    """A switch: into which funds, in basis points; how many of its legs have bought; what they brought, in major units."""

    switch: str
    product: str
    asked_on: date
    to: dict[str, int]
    legs: int
    bought: int
    amount: str


class SwitchController(Controller):
    """Members who move what they have into other funds."""

    path = "/v1/members/{member:str}/switches"
    tags = ("Members",)

    @get(
        operation_id="ListSwitches",
        opt={"permission": Permission.STATEMENTS_READ},
        responses=refuses(UnknownMember),
    )
    async def list_switches(
        self,
        member: FromPath[str],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
        keys: NamedDependency[FileKeyStore],
    ) -> list[SwitchItem]:
        """Return a member's newest switches, the newest first; at most 100."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            return await _items(session, tenant, await member_of(session, keys, member))

    @post(
        operation_id="AskSwitch",
        opt={"permission": Permission.CLAIMS_OPEN},
        responses=refuses(
            UnknownMember,
            UnknownProduct,
            errors.NoSwitching,
            errors.SharesNotWhole,
            errors.UnknownFund,
            errors.NotEnoughUnits,
            errors.NoDealingRule,
        ),
    )
    async def ask(
        self,
        member: FromPath[str],
        data: JSONBody[SwitchRequest],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
        keys: NamedDependency[FileKeyStore],
    ) -> SwitchItem:
        """Sell what a member has in a fund, and buy others with it once its money has come: never before."""
        tenant.product(data.product)
        async with db.unit_of_work(tenant.tenant_id) as session:
            member_id = await member_of(session, keys, member)
            day = business_date(await ledger.scheme_now(session), tenant.time_zone)
            sold = await service.switch(
                session,
                tenant,
                member_id,
                data.product,
                [Units(data.pot, data.origin, data.fund)],
                data.to,
                day=day,
                actor=caller.actor,
                reference=f"{member_id}:{data.reference}",
            )
            found = await _items(session, tenant, member_id)
        return next(one for one in found if one.switch == str(sold.event_id))


async def _items(session: AsyncSession, tenant: Tenant, member_id: int) -> list[SwitchItem]:
    return [
        SwitchItem(
            switch=str(one.event_id),
            product=one.product,
            asked_on=one.asked_on,
            to=dict(one.shares),
            legs=one.legs,
            bought=one.funded,
            amount=f"{Decimal(one.minor).scaleb(-tenant.asset.scale):f}",
        )
        for one in await service.switches_of(session, member_id)
    ]


async def member_of(session: AsyncSession, keys: FileKeyStore, number: str) -> int:
    """Return the member of a number; UnknownMember if it is nobody's."""
    members = await identity.members_by_number(session, keys, [number])
    if number not in members:
        raise UnknownMember
    return members[number].member_id
