"""SQL of annuities that retirement claims buy: what was paid to which insurer, and what they answered."""

from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from engine.ledger.rules import Law


@dataclass(frozen=True, slots=True, kw_only=True)
class Purchase:
    """What a claim buys an annuity for, smallest units; the number of its `policy` is sealed."""

    member_id: int
    claim_id: int
    amount: int
    product: str
    insurer: str
    state: str
    policy: bytes | None


async def add_purchase(
    session: AsyncSession, member_id: int, claim_id: int, *, amount: int, product: str, insurer: str
) -> None:
    """Note that a claim buys an annuity."""
    await session.execute(
        text("""insert into annuity_purchases (member_id, claim_id, amount, tenant_id, product, insurer)
                values (:m, :c, :a, :t, :p, :i)"""),
        {"m": member_id, "c": claim_id, "a": amount, "t": session.info["tenant_id"], "p": product, "i": insurer},
    )


async def find_purchase(session: AsyncSession, claim_id: int, *, hold: bool = False) -> Purchase | None:
    """Return what a claim buys; with `hold`, nobody else can change it until the session ends."""
    rows = await session.execute(
        text(f"""select member_id, claim_id, amount, product, insurer, state, policy from annuity_purchases
                  where claim_id = :c {"for update" if hold else ""}"""),
        {"c": claim_id},
    )
    row = rows.mappings().one_or_none()
    return None if row is None else Purchase(**row)


async def end_purchase(
    session: AsyncSession, bought: Purchase, *, state: str, event_id: int, policy: bytes | None
) -> None:
    """Note what an insurer answered."""
    await session.execute(
        text("""update annuity_purchases set state = :s, ended_event = :e, policy = :policy
                 where member_id = :m and claim_id = :c and state = 'due'"""),
        {"s": state, "e": event_id, "policy": policy, "m": bought.member_id, "c": bought.claim_id},
    )


ANNUITY_LAWS: tuple[Law, ...] = (
    Law(
        "annuities-are-paid-once",
        "what is held to buy annuities is what claims gave for it and was not refused, less what was paid to the insurers",
        """
        with due as (
          select product, insurer, sum(minor)::bigint as minor from (
            select product, insurer, amount as minor from annuity_purchases where state <> 'refused'
            union all
            select p.product, x ->> 0, -(x ->> 2)::bigint from payouts p cross join lateral jsonb_array_elements(p.parts) x
             where x ->> 1 = 'annuity-purchases' and p.approved_event <> 0 and p.home_event = 0) d group by 1, 2),
        booked as (
          select c.product, c.party as insurer, sum(case when t.credit = c.code then t.amount else -t.amount end)::bigint as minor
            from chart c join transfers t on c.code in (t.debit, t.credit) where c.kind = 'annuity-purchases' group by 1, 2)
        select format('annuities of %s by %s', product, insurer), coalesce(d.minor, 0)::text, coalesce(b.minor, 0)::text
          from due d full join booked b using (product, insurer) where coalesce(d.minor, 0) <> coalesce(b.minor, 0)
        """,
    ),
)
