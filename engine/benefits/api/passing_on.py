"""Money for others than members over HTTP: what lies there, and payouts of it."""

from typing import Annotated

from litestar import Controller, get, post
from litestar.di import NamedDependency
from litestar.params import JSONBody
from msgspec import Meta, Struct

from engine.access.rules import Caller
from engine.benefits import errors, service
from engine.benefits.api.paying import AccountAsked, given
from engine.benefits.rules.paying import Payout
from engine.identity.errors import UnusablePhone
from engine.kernel.amounts import Amount, Asset
from engine.kernel.permissions import Permission
from engine.runtime.database import Database
from engine.runtime.http import refuses
from engine.runtime.key_file import FileKeyStore
from engine.tenancy.service import Tenant

Word = Annotated[str, Meta(min_length=1, max_length=24, pattern=r"^[a-z0-9][a-z0-9-]*$")]


class PassedOnPaid(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A payout to a party that payments brought money for: one for each reference of yours, such as a month."""

    product: Word
    party: Word
    reference: Word
    account: AccountAsked


class PassedOnItem(Struct, frozen=True):
    """What lies for a party, in major units: in all, what statements have not shown yet, what a payout waits for, and what may be paid."""

    product: str
    party: str
    amount: str
    unshown: str
    waiting: str
    payable: str


class PassedOnAnswer(Struct, frozen=True):
    """What lies for others than members."""

    items: list[PassedOnItem]


class PassedOnController(Controller):
    """What payments brought for others than their members."""

    path = "/v1/passed-on"
    tags = ("Payouts",)

    @get(operation_id="ListPassedOn", opt={"permission": Permission.PAYOUTS_READ})
    async def list_held(self, tenant: NamedDependency[Tenant], db: NamedDependency[Database]) -> PassedOnAnswer:
        """Return what lies for others, by product and party."""
        asset = tenant.asset
        async with db.unit_of_work(tenant.tenant_id) as session:
            return PassedOnAnswer(
                [
                    PassedOnItem(
                        one.product,
                        one.party,
                        _major(one.amount, asset),
                        _major(one.unshown, asset),
                        _major(one.waiting, asset),
                        _major(one.payable, asset),
                    )
                    for one in await service.held_for_others(session)
                ]
            )

    @post(
        "/payouts",
        operation_id="PayPassedOn",
        opt={"permission": Permission.PAYOUTS_INSTRUCT},
        responses=refuses(errors.NotPayable, errors.PayoutUnderWay, UnusablePhone),
    )
    async def pay(
        self,
        data: JSONBody[PassedOnPaid],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
        keys: NamedDependency[FileKeyStore],
    ) -> Payout:
        """Make a payout of all that may be paid to a party; it waits for another person, as every payout."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            return await service.pay_passed_on(
                session,
                keys,
                tenant,
                product=data.product,
                party=data.party,
                reference=data.reference,
                account=given(data.account),
                actor=caller.actor,
            )


def _major(units: int, asset: Asset) -> str:
    return f"{Amount(units, asset).decimal():.{asset.scale}f}"
