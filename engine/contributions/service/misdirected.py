"""Payments that were posted to a wrong member: out of suspense, where taking them back has put them, to whose they are."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from typing import cast

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from engine.contributions import queries
from engine.contributions.errors import AlreadyResolved, MemberClosed
from engine.contributions.queries import CameAs, ReversalRow, SuspenseRow, ToSuspend
from engine.contributions.rules import PayerKind, Payment
from engine.contributions.service.giving import give_suspended
from engine.contributions.service.suspense import WRONG_MEMBER
from engine.contributions.service.terms import figures_now, rules_for
from engine.enrolment import service as enrolment
from engine.identity import service as identity
from engine.identity.rules import MemberStatus
from engine.kernel.amounts import Amount
from engine.kernel.clock import business_date
from engine.kernel.errors import EngineError
from engine.kernel.ids import house_member
from engine.ledger import service as ledger
from engine.ledger.rules import Entry, EventKind
from engine.runtime.database import put_role_down
from engine.runtime.key_file import FileKeyStore
from engine.runtime.sealing import seal, unseal
from engine.tenancy import service as tenancy
from engine.tenancy.rules.decided import Determination
from engine.tenancy.service import Tenant


class Misdirected:
    """A payment that was taken from a wrong member, on its way to the right one in the same transaction."""

    def __init__(self, session: AsyncSession, keys: FileKeyStore, tenant: Tenant, came: CameAs, actor: str) -> None:
        self._session, self._keys, self._tenant = session, keys, tenant
        self._came, self._actor = came, actor

    async def give(self, row: ReversalRow) -> ReversalRow:
        """Let it lie in suspense under a receipt of its own, and give it to whose it is, unless their terms refuse it."""
        session, tenant, came = self._session, self._tenant, self._came
        await put_role_down(session)  # taken to release allocations; members' rules are the application's
        body = (await ledger.stored_events(session, [came.of]))[came.of[1]].body
        part = await queries.suspended_part(session, came.event_id)
        amount = row.amount + (part.amount if part is not None and await self._ended(part) else 0)
        today = business_date(await ledger.scheme_now(session), tenant.time_zone)
        entry = Entry(
            member_id=house_member(tenant.tenant_id),
            kind=EventKind.CONTRIBUTION_MISDIRECTED,
            business_date=today,
            actor=await ledger.actor_id(session, self._actor),
            pack=tenant.pack_id,
            body={
                "receipt": str(row.event_id),
                "amount": str(amount),
                "channel": came.channel,
                "reason": WRONG_MEMBER,
                **({"ref": body["ref"]} if "ref" in body else {}),
            },
        )
        (held,) = await ledger.post(session, [entry])
        payment = await self._payment(row, amount, body)
        document = seal(self._keys, tenant.tenant_id, "suspense", held.event_id, msgspec.json.encode(payment))
        lies = ToSuspend(held.event_id, amount, came.came_on, WRONG_MEMBER, came.channel, document, came.of)
        await queries.add_suspense(session, [lies])
        await queries.wait_for_match(session, held.event_id, came.collected)
        row = replace(row, held_event=held.event_id)
        suspended = await queries.hold_suspense(session, held.event_id)
        assert suspended is not None, "written just now"
        return await self._to_owner(row, suspended, payment, today)

    async def _ended(self, part: SuspenseRow) -> bool:
        house = house_member(self._tenant.tenant_id)
        return await ledger.is_corrected(self._session, house, part.event_id)

    async def _payment(self, row: ReversalRow, amount: int, body: Mapping[str, object]) -> Payment:
        """Return the payment as it stands: what came of it, of the product that it was posted to."""
        asset, came = self._tenant.asset, self._came
        known: Payment | None = None
        if came.kind != EventKind.CONTRIBUTION_RECEIVED:
            first = await queries.find_suspense(self._session, came.event_id)
            assert first is not None, came
            raw = unseal(self._keys, self._tenant.tenant_id, "suspense", came.event_id, first.document)
            known = msgspec.json.decode(raw, type=Payment)
        return Payment(
            member=known.member if known else "",
            amount=f"{Amount(amount, asset).decimal():f}",
            currency=asset.symbol,
            channel=came.channel,
            reference=known.reference if known else str(row.event_id),
            sent_by=self._actor,
            paid_on=came.came_on,
            is_held=True,
            product=came.product,
            payer=known.payer if known else cast("PayerKind", body.get("payer", "")),
        )

    async def _to_owner(self, row: ReversalRow, held: SuspenseRow, payment: Payment, today: date) -> ReversalRow:
        known = await identity.members_by_id(self._session, [row.given_to])
        owner = known.get(row.given_to)
        if owner is None or owner.status != MemberStatus.ACTIVE:
            return replace(row, refused=MemberClosed.code)
        found = await enrolment.in_their_products(self._session, {"": owner}, product=payment.product)
        found = found or await enrolment.in_their_products(self._session, {"": owner})
        ref = found[""]
        try:
            await give_suspended(self._session, self._tenant, held, payment, ref, actor=self._actor)
        except AlreadyResolved:
            raise
        except EngineError as refusal:
            figures = await figures_now(self._session, self._tenant)
            determination = Determination(
                kind="contribution",
                product=ref.product,
                decided_on=today,
                rules=rules_for(self._tenant, figures, ref, held.received_on),
                member_id=ref.member_id,
                code=refusal.code,
                inputs={"amount": payment.amount, "channel": payment.channel},
                outcome=refusal.details,
            )
            await tenancy.record(self._session, self._tenant, [determination])
            return replace(row, refused=refusal.code)
        return row
