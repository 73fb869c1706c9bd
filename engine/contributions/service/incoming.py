"""A payment on its way to the books, as far as the rules have decided it, and the receipt that answers it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from uuid import UUID

from engine.contributions.rules import (
    ABOVE_CAP,
    OWN,
    Capped,
    CollectionCounted,
    ContributionTerms,
    PaidAs,
    PassedPart,
    Payment,
    Receipt,
    ReceiptPart,
)
from engine.contributions.service.capping import CappedNow
from engine.contributions.service.converting import Converted
from engine.contributions.service.declared import AsDeclared
from engine.contributions.service.passing import Shared, Taken
from engine.contributions.service.undertaken import Decided as AsUndertaken
from engine.enrolment.rules import ContributionTests
from engine.identity.rules import MemberRef
from engine.kernel.amounts import Amount


@dataclass(slots=True)
class Incoming:
    """A payment on its way to the books: where it goes and what it claims."""

    index: int
    amount: Amount
    digest: int
    claims: tuple[UUID, ...]
    business_date: date
    member: MemberRef | None
    shared: Shared
    parts: tuple[tuple[str, Amount], ...] = ()
    terms: ContributionTerms | None = None
    reason: str | None = None
    tests: ContributionTests | None = None
    held_by: tuple[str, tuple[str, ...]] | None = None
    undertaken: AsUndertaken | None = None
    declared: AsDeclared | None = None
    cap: CappedNow | None = None
    over: Amount | None = None
    over_for: str = ABOVE_CAP
    origin: str = OWN
    payers: tuple[str, ...] = ()
    collected: tuple[CollectionCounted, str] | None = None
    taken: Taken | None = None
    foreign: Converted | None = None

    @property
    def decided_by(self) -> tuple[str, tuple[str, ...]] | None:
        """Return the product and the rules that decide where the money goes, and what it counts for; None where no rule does."""
        rate = (self.foreign.rule,) if self.foreign is not None else ()
        if not (self.member and self.terms):
            if self.foreign is None:
                return self.held_by
            product, rules = self.held_by or (self.foreign.product, ())
            return product, (*rules, *rate)
        further = [
            one.rules for one in (self.shared, self.undertaken, self.declared, self.cap, self.taken) if one is not None
        ]
        return self.member.product, (
            *self.terms.rules,
            *rate,
            *self.payers,
            *(() if self.collected is None else self.collected[1:]),
            *(rule for rules in further for rule in rules),
        )

    @property
    def others(self) -> tuple[tuple[str, Amount], ...]:
        """Return what others than the member get, by party."""
        return (*self.shared.others, *(self.taken.parts if self.taken is not None else ()))

    @property
    def counted(self) -> Amount:
        """Return what of the payment is the member's contribution and does not go back."""
        return self.shared.contribution if self.over is None else self.shared.contribution - self.over

    @property
    def facts(self) -> Mapping[str, object]:
        """Return what the event says of the payment besides what came; amounts in smallest units."""
        found: dict[str, object] = dict(self.shared.facts)
        for one in (self.undertaken, self.declared, self.taken):
            found |= one.facts if one is not None else {}
        if self.collected is not None:
            counted, _ = self.collected
            found["deposit_due"] = counted.deposit_due.isoformat()
            if counted.days_late:
                found["days_late"] = str(counted.days_late)
        if self.over is not None:
            found["over"] = str(self.over.units)
        if self.cap is not None and isinstance(self.cap.answer, Capped) and self.cap.answer.carried.units:
            found["carried"] = str(self.cap.answer.carried.units)
        return found

    def suspend(self, reason: str, rules: tuple[str, ...]) -> None:
        """Keep the payment from the member, in suspense, for a reason and by rules of their product."""
        assert self.member is not None
        self.held_by = (self.member.product, rules)
        self.member, self.parts, self.terms, self.reason = None, (), None, reason
        self.shared, self.taken, self.over = Shared(self.amount), None, None


def receipt_of(
    event_id: int,
    payment: Payment,
    amount: Amount,
    day: date,
    parts: Sequence[tuple[str, Amount]],
    reason: str | None,
    *,
    origin: str = OWN,
    over: Amount | None = None,
    others: Sequence[tuple[str, Amount]] = (),
    paid: PaidAs | None = None,
) -> Receipt:
    """Return the answer to a payment: what each pot got, what of it goes back, or why it lies in suspense."""
    return Receipt(
        receipt=str(event_id),
        state="suspended" if reason else "received",
        member=payment.member,
        amount=_fixed(amount),
        currency=amount.asset.symbol,
        business_date=day,
        parts=tuple(ReceiptPart(pot, origin, _fixed(part)) for pot, part in parts),
        reason=reason,
        over=_fixed(over) if over is not None and over.units else "",
        others=tuple(PassedPart(party, _fixed(part)) for party, part in others),
        paid=paid,
    )


def _fixed(amount: Amount) -> str:
    return f"{amount.decimal():.{amount.asset.scale}f}"
