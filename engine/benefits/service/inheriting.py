"""What heirs inherit: shared out of a claim that is payable, held in trust for children, paid to each by payouts of their own."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date

import msgspec
from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncSession

from engine.access.rules import checked_by_other
from engine.benefits.errors import (
    ClaimDecided,
    ClaimMoneyGone,
    DeathNotConfirmed,
    DocumentsNeeded,
    MoreThanReleased,
    NotPayable,
    PayoutUnderWay,
    UnknownClaim,
    UnknownHeir,
)
from engine.benefits.queries import claiming as claims
from engine.benefits.queries import estates as queries
from engine.benefits.queries.claiming import ClaimRow
from engine.benefits.queries.estates import HeirRow, Inheritance
from engine.benefits.rules import CorpusRule, MinorTrustRule, ProofRule, SpouseRule
from engine.benefits.rules.estates import MAJORITY, DeathTerms, Split, majority_of, payee_lacks, share_parts
from engine.benefits.rules.minors import Inheritance as TrustMoney
from engine.benefits.rules.minors import released as released_on
from engine.benefits.rules.paying import Part, Payee, Payout, cut
from engine.benefits.service import keeping, paying
from engine.enrolment import service as enrolment
from engine.funds.rules import Benchmark, Movement, benchmark_interest
from engine.funds.rules.interest import InterestTerms
from engine.identity import service as identity
from engine.identity.errors import UnknownMember
from engine.kernel.clock import business_date
from engine.kernel.ids import claim_digest
from engine.kernel.rules import Dates
from engine.ledger import service as ledger
from engine.ledger.rules import Account, Entry, EventKind, Outcome, Transfer
from engine.runtime.key_file import FileKeyStore
from engine.tenancy import service as tenancy
from engine.tenancy.service import Tenant

TRUST_TERMS = InterestTerms(
    day_count="actual/365", first_day_counts=False, last_day_counts=True, balance="daily", interest="compound",
    posted_every_months=12, rounding="down",
)  # fmt: skip
"""How a trust that earns by a series is counted, since a `minor-trust` rule names the series alone."""


class HeirPerson(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who an heir is; sealed under the key of the member whose they are. A child is stood for by a guardian."""

    full_name: str
    relationship: str
    born_on: date | None = None
    phone: str = ""
    guardian: str = ""

    def __repr__(self) -> str:
        """Return what may be logged."""
        return "HeirPerson()"


def death_terms(tenant: Tenant, product: str, *, on: date, joined_on: date, born_on: date | None, died_on: date) -> DeathTerms:  # fmt: skip
    """Return the rules in force on a member's death."""
    year_from, _ = tenant.product(product).scheme_year(on)
    dates = Dates(
        on=on,
        joined_on=joined_on,
        born_on=born_on,
        tranche_on=on,
        scheme_year_from=year_from,
        benefit_from=on,
        died_on=died_on,
    )
    book = tenant.book(product)
    return DeathTerms(
        corpora=book.all_in_force(CorpusRule, dates),
        spouse=book.in_force(SpouseRule, dates),
        proofs=book.all_in_force(ProofRule, dates),
        trust=book.in_force(MinorTrustRule, dates),
    )


async def check_confirmed(session: AsyncSession, member_id: int) -> enrolment.KnownDeath:
    """Return the member's death, whose day may be unknown.

    Raises:
        DeathNotConfirmed: nobody has said that they died, or somebody says that it is wrong.
    """
    death = await enrolment.known_death(session, member_id)
    if death is None or death.is_doubted:
        raise DeathNotConfirmed
    return death


async def check_approval(session: AsyncSession, row: ClaimRow, actor: str) -> None:
    """Refuse an approval of a death's claim by one who had a part in it, or of a member who may live.

    Raises:
        SamePerson, DeathNotConfirmed: see there.
    """
    assert row.estate is not None, row
    for maker in row.estate.prepared_by:
        checked_by_other(maker=maker, checker=actor)
    await check_confirmed(session, row.member_id)


async def share(session: AsyncSession, tenant: Tenant, row: ClaimRow, nets: Split, actor: str) -> ClaimRow:
    """Give each heir their share of what a claim pays after tax, and of what waited for the member: Dr payable / Cr heirs.

    Children's shares are held in trust: Cr minors-trust. First what went out of a pension after the death is kept, as far as the rule
    says. In the transaction that makes the claim payable.

    Raises:
        ClaimMoneyGone: what waited for the member is no longer there.
    """
    assert row.estate is not None, row
    parts = dict(nets)
    for one in row.estate.waiting:
        parts[one.pot, one.origin] = parts.get((one.pot, one.origin), 0) + one.minor
    weights = {int(heir): weight for heir, weight in row.estate.shares.items()}
    if not weights or not sum(parts.values()):
        return row
    row, rest = await keeping.keep_overpaid(session, tenant, row, parts, actor)
    parts = {place: minor for place, minor in rest.items() if minor}
    assert row.estate is not None, row
    if not parts:
        return row
    split = share_parts(parts, weights)
    moves: list[tuple[int, Account, Account]] = []
    for place in sorted(parts):
        for kind, is_child in (("heirs", False), ("minors-trust", True)):
            minor = sum(of.get(place, 0) for heir, of in split.items() if (heir in row.estate.children) == is_child)
            moves.append((minor, _account(tenant, row, "payable", place), _account(tenant, row, kind, place)))
    body = {"heirs": str(len(split)), "amount": str(sum(parts.values()))}
    await post(session, tenant, row, EventKind.INHERITANCE_SHARED, moves, actor=actor, body=body, once=("shared", ""))
    today = business_date(await ledger.scheme_now(session), tenant.time_zone)
    await queries.add_inheritances(
        session,
        row.member_id,
        row.claim_id,
        [
            Inheritance(
                heir_no=heir, amount=sum(of.values()), released=0, earned=0, overpaid=0, shared_on=today,
                is_trust=heir in row.estate.children, parts=as_parts(of), released_parts=(),
            )
            for heir, of in sorted(split.items())
        ],
        maker=await ledger.actor_id(session, actor),
    )  # fmt: skip
    return row


async def pay_heir(
    session: AsyncSession,
    keys: FileKeyStore,
    tenant: Tenant,
    claim_id: int,
    heir_no: int,
    *,
    payee: Payee,
    purpose: str = "",
    actor: str,
) -> Payout:
    """Make a payout of all that an heir may be paid now; it waits for another person, as every payout.

    The payee is the heir under their own name. Only a child's money is paid to another name, that of a school or a doctor, for a
    purpose of the rule; the rest is theirs at the ages that the rule says, or as they come of age.

    Raises:
        UnknownClaim, UnknownHeir: there is none, or they do not inherit.
        ClaimDecided: the claim is not payable, or was closed.
        DeathNotConfirmed: the member may live.
        DocumentsNeeded: the heir has not brought what proves who they are.
        MoreThanReleased, PurposeNeeded: it is held in trust.
        PayoutUnderWay, NotPayable: a payout waits, or all is paid.
        EngineError: what `paying.instruct` refuses.
    """
    row = await hold_payable(session, claim_id)
    await check_confirmed(session, row.member_id)
    heir, given = await _inherits(session, row, heir_no)
    person = await opened(session, keys, row, heir)
    today = business_date(await ledger.scheme_now(session), tenant.time_zone)
    terms = await terms_of(session, tenant, row, today)
    is_child = given.is_trust and person.born_on is not None and today < majority_of(terms.trust, person.born_on)
    figures = await tenancy.figures_for(session, tenant)
    lacks = payee_lacks(terms, frozenset(heir.documents), given.amount, figures, today, is_minor=is_child)
    if lacks:
        raise DocumentsNeeded(missing=", ".join(lacks))
    if given.asked:
        raise PayoutUnderWay
    if given.in_trust:
        given = await _release(session, tenant, row, terms, given, person.born_on, purpose, actor=actor)
    if given.due <= 0:
        raise NotPayable
    is_to_other = is_child and bool(purpose) and bool(payee.name)
    return await paying.instruct(
        session,
        keys,
        tenant,
        member_id=row.member_id,
        product=row.product,
        amounts=by_place(
            cut(less(given.released_parts if given.is_trust else given.parts, given.paid_parts), given.due)
        ),
        payee=msgspec.structs.replace(payee, name=payee.name if is_to_other else person.full_name),
        source=f"heir:{claim_id}/{heir_no}/{given.payouts + 1}",
        actor=actor,
        inherited=(claim_id, heir_no),
    )


async def hold_payable(session: AsyncSession, claim_id: int) -> ClaimRow:
    """Return a death's claim that is shared out; nobody else can change it, or approve a payout of it, until the session ends.

    Raises:
        UnknownClaim: there is none of a death.
        ClaimDecided: it is not payable, or closed.
    """
    row = await claims.find_claim(session, claim_id, hold=True)
    if row is None or row.estate is None:
        raise UnknownClaim
    if row.state != "payable" or row.closed_event:
        raise ClaimDecided(state="closed" if row.closed_event else row.state)
    return row


async def _inherits(session: AsyncSession, row: ClaimRow, heir_no: int) -> tuple[HeirRow, Inheritance]:
    heir = next((one for one in await queries.heirs_of(session, row.member_id, row.product) if one.heir_no == heir_no), None)  # fmt: skip
    given = (await queries.inheritances_of(session, row.member_id, row.claim_id)).get(heir_no)
    if heir is None or given is None:
        raise UnknownHeir
    return heir, given


async def opened(session: AsyncSession, keys: FileKeyStore, row: ClaimRow, heir: HeirRow) -> HeirPerson:
    """Return who an heir is.

    Raises:
        UnknownMember: the member was erased, and with them all that is known of their heirs.
    """
    raw = await identity.open_for(session, keys, row.member_id, "heirs", f"{row.product}:{heir.heir_no}", heir.document)
    if raw is None:
        raise UnknownMember
    return msgspec.json.decode(raw, type=HeirPerson)


async def terms_of(session: AsyncSession, tenant: Tenant, row: ClaimRow, today: date) -> DeathTerms:
    """Return the rules by which heirs of a death's claim are paid on a day."""
    assert row.estate is not None, row
    members = await identity.members_by_id(session, [row.member_id])
    found = await enrolment.in_their_products(session, {"": members[row.member_id]}, product=row.product)
    return death_terms(
        tenant, row.product, on=today, joined_on=found[""].joined_on, born_on=None, died_on=row.estate.died_on
    )


async def _release(
    session: AsyncSession,
    tenant: Tenant,
    row: ClaimRow,
    terms: DeathTerms,
    given: Inheritance,
    born_on: date | None,
    purpose: str,
    *,
    actor: str,
) -> Inheritance:
    """Release what of a child's money may be paid now, with what it earned if that is all: Dr minors-trust / Cr heirs."""
    today = business_date(await ledger.scheme_now(session), tenant.time_zone)
    releases = await queries.releases(session, row.member_id, row.claim_id, given.heir_no)
    minor, age, earned = given.in_trust, 0, 0
    if born_on is not None and today < majority_of(terms.trust, born_on):
        if terms.trust is None:
            raise MoreThanReleased(age=MAJORITY)
        year_from, _ = tenant.product(row.product).scheme_year(today)
        held = TrustMoney(
            born_on=born_on,
            inherited_minor=given.amount,
            balance_minor=given.in_trust,
            paid_minor=given.released,
            paid_in_year_minor=sum(one for on, one in releases if on >= year_from),
        )
        free = released_on(terms.trust, held, today, purpose)
        minor, age = free.minor, free.next_age or 0
    elif terms.trust is not None and terms.trust.rule.series is not None:
        moved = (Movement(given.shared_on, given.amount), *(Movement(on, -one) for on, one in releases))
        benchmark = Benchmark(
            series=terms.trust.rule.series,
            interest=msgspec.structs.replace(TRUST_TERMS, rounding=terms.trust.rule.rounding),
        )
        earned = benchmark_interest(benchmark, moved, today, await tenancy.figures_for(session, tenant))
        minor += earned
    if minor <= 0:
        if given.due > 0:
            return given
        raise MoreThanReleased(age=age)
    parts = dict(by_place(given.parts))
    first = min(parts)
    parts[first] += earned
    taken = cut(less(as_parts(parts), given.released_parts), minor)
    moves = [
        (part.amount, _account(tenant, row, "minors-trust", place), _account(tenant, row, "heirs", place))
        for part in taken
        for place in [(part.pot, part.origin)]
    ]
    if earned:
        reserve = Account("interest-reserve", tenant.asset.symbol, row.product)
        moves.insert(0, (earned, reserve, _account(tenant, row, "minors-trust", first)))
    await post(
        session, tenant, row, EventKind.TRUST_RELEASED, moves, actor=actor,
        body={"heir": str(given.heir_no), "amount": str(minor), "earned": str(earned), **({"purpose": purpose} if purpose else {})},
        once=("trust", f"/{given.heir_no}/{len(releases)}"),
    )  # fmt: skip
    given = replace(
        given,
        amount=given.amount + earned,
        earned=given.earned + earned,
        released=given.released + minor,
        parts=as_parts(parts),
        released_parts=as_parts(_sum((*given.released_parts, *taken))),
    )
    await queries.save_inheritance(session, row.member_id, row.claim_id, given)
    return given


async def post(
    session: AsyncSession,
    tenant: Tenant,
    row: ClaimRow,
    kind: EventKind,
    moves: Sequence[tuple[int, Account, Account]],
    *,
    actor: str,
    body: Mapping[str, object],
    once: tuple[str, str],
) -> int:
    """Post one step of a claim, once; return its event. `moves` are (smallest units, debit, credit); none of nothing is written.

    Raises:
        ClaimMoneyGone: an account does not hold what is moved.
    """
    moves = [move for move in moves if move[0]]
    codes = await ledger.account_codes(session, {one for _, *pair in moves for one in pair})
    (fate,) = await ledger.post(
        session,
        [
            Entry(
                member_id=row.member_id,
                kind=kind,
                business_date=business_date(await ledger.scheme_now(session), tenant.time_zone),
                actor=await ledger.actor_id(session, actor),
                pack=tenant.pack_id,
                body={"claim": str(row.claim_id), "product": row.product, **body},
                claims=(claim_digest(tenant.tenant_id, f"inheritance-{once[0]}", f"{row.claim_id}{once[1]}"),),
                transfers=[Transfer(minor, codes[debit], codes[credit]) for minor, debit, credit in moves],
            )
        ],
    )
    if fate.outcome is Outcome.OVERDRAWN:
        raise ClaimMoneyGone
    assert fate.outcome is Outcome.POSTED, "each step of a claim happens once"
    return fate.event_id


def _account(tenant: Tenant, row: ClaimRow, kind: str, place: tuple[str, str]) -> Account:
    return Account(kind, tenant.asset.symbol, row.product, *place)


def by_place(parts: Sequence[Part]) -> dict[tuple[str, str], int]:
    """Return parts by pot and origin."""
    return _sum(parts)


def as_parts(split: Split) -> tuple[Part, ...]:
    """Return money by pot and origin as parts, in their order, without zeros."""
    return tuple(Part(pot, origin, minor) for (pot, origin), minor in sorted(split.items()) if minor)


def less(parts: Sequence[Part], taken: Sequence[Part]) -> dict[tuple[str, str], int]:
    """Return what is left of parts once others are taken out of them; never below nothing."""
    left = _sum(parts)
    for place, minor in _sum(taken).items():
        left[place] = max(left.get(place, 0) - minor, 0)
    return left


def _sum(parts: Sequence[Part]) -> dict[tuple[str, str], int]:
    found: dict[tuple[str, str], int] = {}
    for part in parts:
        found[part.pot, part.origin] = found.get((part.pot, part.origin), 0) + part.amount
    return found
