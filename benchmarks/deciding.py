"""Deciding 1,000 contributions under each pack, against posting 1,000 contributions on one connection.

Deciding is what `contributions.service.receive` does before it writes: the payment's checks, the terms in force for the
member's product, day and joining date, who may pay, how it is shared among payees, and the split; where instalments are read from a
chart, every member undertook one, has paid all before, and pays the one that is due with its charge. Members joined on days drawn anew for every batch, so that terms are
looked up in rule books as well as found again. Posting is `ledger.service.post` as `posting` measures it.
"""

import asyncio
import random
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from benchmarks.posting import BATCH, entries
from benchmarks.stage import Stage, stage
from engine.app import KINDS
from engine.contributions.rules import (
    Instalments,
    Payment,
    Scheme,
    Towards,
    Undertook,
    check_payment,
    instalment_terms,
    split_contribution,
)
from engine.contributions.service.passing import share_payment
from engine.contributions.service.terms import origin_for, terms_for, tests_for
from engine.contributions.service.undertaken import Paying, charted_products, decide_instalments
from engine.enrolment.rules import Undertaken, undertaking_terms_of
from engine.identity.rules import MemberRef, MemberStatus
from engine.kernel.rules import Dates
from engine.ledger import service as ledger
from engine.runtime.database import Database
from engine.runtime.settings import Settings
from engine.tenancy.rules.books import OnDates
from engine.tenancy.rules.packs import Pack
from engine.tenancy.service import Tenant, load_pack, pack_folders

TODAY = date(2026, 6, 15)
JOINED_WITHIN = 1000  # days


@dataclass(frozen=True, slots=True)
class _Paying:
    """A member as they joined, what they undertook, and what they pay."""

    member: MemberRef
    amount: str
    undertook: Undertook | None


def measure(settings: Settings, scale: float) -> dict[str, Any]:
    """Return for each pack what deciding a batch takes of posting one, the heaviest one's first."""
    batches = max(4, int(20 * scale))
    with stage(settings) as where:
        posting = asyncio.run(_posting(where, batches))
    ratios = {
        pack.code: statistics.median(_deciding(pack, batches)) / posting
        for pack in (load_pack(folder, KINDS) for folder in _folders(settings.packs))
    }
    heaviest = max(ratios, key=ratios.__getitem__)
    return {
        "heaviest": heaviest,
        "ratio_to_posting": round(ratios[heaviest], 3),
        "wanted_ratio_at_most": 0.5,
        "by_pack": {code: round(ratio, 3) for code, ratio in sorted(ratios.items(), key=lambda one: -one[1])},
        "posting_seconds_a_batch": round(posting, 4),
        "denominator": "ledger.service.post of 1000 contributions, one connection, a commit each",
    }


def _folders(packs: Sequence[Path]) -> list[Path]:
    return pack_folders(packs)


def _deciding(pack: Pack, batches: int) -> list[float]:
    """Return the seconds that each batch took, the first left out: it compiles what is compiled once."""
    tenant = Tenant(1, pack.code, pack, 1)
    # The newest: one that was closed takes no contributions any more.
    product = pack.products[-1].code
    scheme = Scheme.of(pack)
    chosen, figures, spans = random.Random(7), pack.figures(), []
    least = _least(tenant, product)
    for _ in range(batches + 1):
        paying = [_joined(tenant, product, at, least, chosen) for at in range(BATCH)]
        payments = [
            Payment(member="", amount=one.amount, currency=pack.currency, channel=pack.channels[0].code, reference=str(at),
                    sent_by="partner:1")
            for at, one in enumerate(paying)
        ]  # fmt: skip
        known = {(one.member.member_id, product): one.undertook for one in paying if one.undertook is not None}
        towards = []
        start = time.perf_counter()
        for payment, one in zip(payments, paying, strict=True):
            member, joined_on = one.member, one.member.joined_on
            paid, day = check_payment(payment, scheme, today=TODAY)
            origin_for(tenant, product, day, joined_on, payment.payer)
            shared = share_payment(tenant, figures, member, payment.channel, day, paid)
            split_contribution(shared.contribution, terms_for(tenant, figures, product, day, joined_on))
            tests_for(tenant, product, day, joined_on)
            towards.append(Paying(member, day, shared.contribution))
        decided = decide_instalments(tenant, figures, known, towards) if known else []
        spans.append(time.perf_counter() - start)
        assert all(one is not None and isinstance(one.answer, Towards) for one in decided), pack.code
    return spans[1:]


def _joined(tenant: Tenant, product: str, at: int, least: str, chosen: random.Random) -> _Paying:
    """Return a member who joined on some day; in a product with a chart, of some entry age, slab and frequency of it."""
    joined_on = TODAY - timedelta(days=chosen.randrange(JOINED_WITHIN))
    member = MemberRef(at + 1, product, joined_on, "", MemberStatus.ACTIVE)
    terms = undertaking_terms_of(tenant.pack, product, joined_on, joined_on)
    # Not by `terms_of_instalments`, which would know the terms then before they are timed.
    year_from = tenant.product(product).scheme_year(TODAY)[0]
    dates = Dates(on=TODAY, joined_on=joined_on, tranche_on=TODAY, scheme_year_from=year_from)
    paid_by = instalment_terms(product, OnDates(tenant.book(product), dates))
    if product not in charted_products(tenant) or terms is None or paid_by is None:
        return _Paying(member, least, None)
    undertaken = Undertaken(
        chosen.choice(terms.chart.rule.slabs or ("",)), chosen.choice(terms.frequencies), joined_on, joined_on
    )
    entry_age, figures = chosen.randrange(18, 36), tenant.pack.figures()
    instalment = terms.instalment(
        tenant.pack.tables, undertaken.slab, undertaken.frequency, entry_age=entry_age, figures=figures, on=TODAY
    )
    nothing = Undertook(given=(undertaken,), entry_age=entry_age, joined_on=joined_on, paid=0)
    owed = Instalments(paid_by, nothing, tenant.pack.tables, figures, TODAY).owed()
    undertook = replace(nothing, paid=max(owed.units - instalment.units, 0))
    due = Instalments(paid_by, undertook, tenant.pack.tables, figures, TODAY).collectable(instalment + instalment)
    return _Paying(member, str((due if due.units else instalment).decimal()), undertook)


def _least(tenant: Tenant, product: str) -> str:
    """Return an amount that the product's terms take."""
    limits = terms_for(tenant, tenant.pack.figures(), product, TODAY, TODAY).limits
    least = limits.tiers[0] if limits.tiers else limits.minimum
    return str(least.decimal())


async def _posting(where: Stage, batches: int) -> float:
    db = Database(where.app_url, pool_size=1)
    spans = []
    for _ in range(batches + 1):
        work = entries(where, random.Random())
        start = time.perf_counter()
        async with db.unit_of_work(where.tenant_id) as session:
            await ledger.post(session, work)
        spans.append(time.perf_counter() - start)
    await db.dispose()
    return statistics.median(spans[1:])
