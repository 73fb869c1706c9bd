"""Choices of funds over HTTP: where a member's new money goes."""

from datetime import date
from typing import Annotated

from litestar import Controller, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from msgspec import Meta, Struct

from engine.access.rules import Caller
from engine.funds import errors, service
from engine.funds.api.switching import Share, Word, member_of
from engine.funds.rules import FundCode
from engine.funds.service import FundChoice
from engine.identity.errors import UnknownMember
from engine.kernel.clock import business_date
from engine.kernel.permissions import Permission
from engine.ledger import service as ledger
from engine.runtime.database import Database
from engine.runtime.http import refuses
from engine.runtime.key_file import FileKeyStore
from engine.tenancy.errors import UnknownProduct
from engine.tenancy.service import Tenant


class FundChoiceRequest(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where new money of a product goes from now on, in basis points by fund; empty for what the rules say."""

    product: Annotated[Word, Meta(examples=["nps-lite"])]
    to: Annotated[dict[FundCode, Share], Meta(examples=[{"SM002009": 10_000}])]


class FundChoiceItem(Struct, frozen=True):
    """Where a member wants new money of a product to go, in basis points by fund, and since when; empty: what the rules say."""

    product: str
    to: dict[str, int]
    chosen_on: date


class FundChoiceController(Controller):
    """Members who choose the funds that new money goes to."""

    path = "/v1/members/{member:str}/fund-choices"
    tags = ("Members",)

    @get(
        operation_id="ListFundChoices",
        opt={"permission": Permission.STATEMENTS_READ},
        responses=refuses(UnknownMember),
    )
    async def list_choices(
        self,
        member: FromPath[str],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
        keys: NamedDependency[FileKeyStore],
    ) -> list[FundChoiceItem]:
        """Return what a member has chosen, by product; a product where they never did is left out."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            member_id = await member_of(session, keys, member)
            return [_shown(one) for one in await service.choices_of(session, member_id)]

    @post(
        operation_id="ChooseFunds",
        opt={"permission": Permission.CLAIMS_OPEN},
        responses=refuses(
            UnknownMember,
            UnknownProduct,
            errors.NoChoosing,
            errors.NotInProduct,
            errors.SharesNotWhole,
            errors.UnknownFund,
        ),
    )
    async def choose(
        self,
        member: FromPath[str],
        data: JSONBody[FundChoiceRequest],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
        keys: NamedDependency[FileKeyStore],
    ) -> FundChoiceItem:
        """Choose where new money goes from now on; what is invested stays where it is."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            member_id = await member_of(session, keys, member)
            day = business_date(await ledger.scheme_now(session), tenant.time_zone)
            return _shown(
                await service.choose_funds(
                    session, tenant, member_id, data.product, data.to, day=day, actor=caller.actor
                )
            )


def _shown(one: FundChoice) -> FundChoiceItem:
    return FundChoiceItem(product=one.product, to=dict(one.shares or {}), chosen_on=one.chosen_on)
