"""Why a decision came out as it did, in the language of whom it was about."""

from dataclasses import dataclass, replace

from sqlalchemy.ext.asyncio import AsyncSession

from engine.enrolment import service as enrolment
from engine.identity import service as identity
from engine.kernel.text import N_
from engine.ledger import service as ledger
from engine.reports.service.statements import find_member
from engine.reports.service.telling import Teller
from engine.runtime.key_file import FileKeyStore
from engine.tenancy.rules.decided import DecisionExplained, ZeroResult
from engine.tenancy.service import Tenant, explain_decision, zero_results

REASON = "decision-explained"


@dataclass(frozen=True, slots=True)
class Told:
    """A decision and its explanation, a sentence each, in `language`."""

    decision: DecisionExplained
    language: str
    sentences: tuple[str, ...]


async def tell_decision(
    session: AsyncSession,
    keys: FileKeyStore,
    tenant: Tenant,
    decision_id: int,
    *,
    actor: str,
    language: str | None = None,
    member: str | None = None,
) -> Told:
    """Return why a decision came out as it did: inputs, rules, sources; nothing personal.

    Args:
        session: the tenant's.
        keys: where the scheme's keys are; the member's language is read from the vault, and the reading put on record.
        tenant: the scheme.
        decision_id: a receipt, or the number that a refusal, an answer or a run bore.
        actor: who asks; nothing personal.
        language: a language of the scheme; the member's own if None.
        member: of a run over members: the number of one whom it gave nothing; the run itself if None.

    Raises:
        UnknownMember: there is no such member.
        UnknownDecision: the scheme has made none of that number.
        PackNotStored: the pack version it names is not stored.
    """
    about = await find_member(session, keys, member) if member else None
    found = await explain_decision(session, decision_id, member_id=about.member_id if about else 0)
    if language is None and found.member_id > 0:
        people = await identity.read_people(session, keys, [found.member_id], actor=actor, reason=REASON)
        person = people.get(found.member_id)
        language = person.person.language if person else None
    spoken = tenant.pack.language(language)
    booked = await _booked(session, tenant, found) if found.is_event else {}
    found = replace(found, outcome={**found.outcome, **booked})
    whole = replace(found, inputs={**found.inputs, **await _chart_row(session, found)})
    teller = Teller.of(tenant, spoken, found.product, found.names)
    sentences = teller.decision(whole)
    if found.member_id > 0 and await identity.is_merged(session, found.member_id):
        merged = N_("The record that this was about was merged into another one.")
        sentences = (*sentences, teller.head.words.gettext(merged))
    return Told(found, spoken, sentences)


async def nothing_given(session: AsyncSession, keys: FileKeyStore, member: str) -> list[ZeroResult]:
    """Return what runs gave a member nothing by, the newest first; each decision can be told of that member.

    Raises:
        UnknownMember: there is no such member.
    """
    return await zero_results(session, (await find_member(session, keys, member)).member_id)


async def _chart_row(session: AsyncSession, found: DecisionExplained) -> dict[str, object]:
    """Return what else picked the row of the chart that an instalment was read from: the entry age.

    It leads to a birth date, so it stands in no event, and goes with the person.
    """
    if "frequency" not in found.inputs or found.member_id <= 0:
        return {}
    held = (await enrolment.memberships_of(session, [found.member_id])).get(found.member_id, ())
    ages = [one.entry_age for one in held if one.product == found.product and one.entry_age is not None]
    return {"entry_age": ages[0]} if ages else {}


async def _booked(session: AsyncSession, tenant: Tenant, found: DecisionExplained) -> dict[str, object]:
    """Return what an event of a member's own moved on their accounts of money, in smallest units; less, if negative."""
    if found.member_id <= 0:
        return {}
    moved = await ledger.transfers_of(session, [(found.member_id, found.decision_id)])
    chart = await ledger.accounts_by_code(session)
    sums: dict[str, int] = {}
    for amount, debit, credit in moved.get(found.decision_id, ()):
        for code, minor in ((debit, -amount), (credit, amount)):
            account = chart[code]
            if account.is_members and account.asset == tenant.asset.symbol:
                name = ".".join(one for one in ("booked", account.kind, account.pot, account.origin) if one)
                sums[name] = sums.get(name, 0) + minor
    return {name: str(minor) for name, minor in sums.items() if minor}
