"""Deciding 1,000 contributions under each pack, against posting 1,000 contributions on one connection.

Deciding is what `contributions.service.receive` does before it writes: the payment's checks, the terms in force for the
member's product, day and joining date, who may pay, how it is shared among payees, and the split. Members joined on days drawn anew for every batch, so that terms are
looked up in rule books as well as found again. Posting is `ledger.service.post` as `posting` measures it.
"""

import asyncio
import random
import statistics
import time
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from benchmarks.posting import BATCH, entries
from benchmarks.stage import Stage, stage
from engine.app import KINDS
from engine.contributions.rules import Payment, Scheme, check_payment, split_contribution
from engine.contributions.service.passing import share_payment
from engine.contributions.service.terms import origin_for, terms_for, tests_for
from engine.identity.rules import MemberRef, MemberStatus
from engine.ledger import service as ledger
from engine.runtime.database import Database
from engine.runtime.settings import Settings
from engine.tenancy.rules.packs import Pack
from engine.tenancy.service import Tenant, load_pack, pack_folders

TODAY = date(2026, 6, 15)
JOINED_WITHIN = 1000  # days


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
    amount = _least(tenant, product)
    for _ in range(batches + 1):
        joined = [TODAY - timedelta(days=chosen.randrange(JOINED_WITHIN)) for _ in range(BATCH)]
        payments = [
            Payment(member="", amount=amount, currency=pack.currency, channel=pack.channels[0].code, reference=str(at),
                    sent_by="partner:1")
            for at in range(BATCH)
        ]  # fmt: skip
        start = time.perf_counter()
        for payment, joined_on in zip(payments, joined, strict=True):
            paid, day = check_payment(payment, scheme, today=TODAY)
            origin_for(tenant, product, day, joined_on, payment.payer)
            member = MemberRef(1, product, joined_on, "", MemberStatus.ACTIVE)
            shared = share_payment(tenant, figures, member, payment.channel, day, paid)
            split_contribution(shared.contribution, terms_for(tenant, figures, product, day, joined_on))
            tests_for(tenant, product, day, joined_on)
        spans.append(time.perf_counter() - start)
    return spans[1:]


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
