"""SQL of what is kept of heirs' shares for what went out of a pension after the death."""

from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession


@dataclass(frozen=True, slots=True)
class Owing:
    """A member's own pension of which smallest units are owed back."""

    claim_id: int
    minor: int


async def owing(session: AsyncSession, member_id: int, product: str) -> Owing | None:
    """Return the member's pension of which most is owed back, if any is; nobody else can change it until the session ends."""
    row = (
        await session.execute(
            text("""select claim_id, amount_total(overpaid) as minor from pension_schedules
                     where member_id = :m and product = :p and heir_no = 0 and amount_total(overpaid) > 0
                     order by minor desc, claim_id limit 1 for update"""),
            {"m": member_id, "p": product},
        )
    ).one_or_none()
    return None if row is None else Owing(row.claim_id, int(row.minor))


async def keep(session: AsyncSession, member_id: int, claim_id: int, minor: int) -> None:
    """Note smallest units that were kept of heirs' shares and are owed no more; below zero, that are owed again."""
    await session.execute(
        text("""update pension_schedules
                   set kept = kept + :minor,
                       overpaid = case when :minor > 0 then amounts_less(overpaid, amounts_shared(:minor, overpaid, 'in-order'))
                                       else array_prepend(overpaid[1] - :minor, overpaid[2:]) end
                 where member_id = :m and claim_id = :c"""),
        {"m": member_id, "c": claim_id, "minor": minor},
    )
