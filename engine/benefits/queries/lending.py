"""SQL of loans: those that run, what fell due and was paid of them, and what lenders say."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncSession

from engine.benefits.rules.loans import Instalment, LoanMovement
from engine.ledger.rules import EventKind
from engine.runtime.database import driver

ENDED = ("repaid", "released", "set-off")


@dataclass(frozen=True, slots=True, kw_only=True)
class LoanRow:
    """A loan or pledge as it is stored; see the table. `said_owed` is None while no word of a lender waits."""

    member_id: int
    loan_id: int
    product: str
    rule: str
    form: str
    state: str
    principal: int
    owed: int
    percent: str
    lender: str
    instalments: int
    began_on: date
    joined_on: date
    began_event: int
    ended_event: int = 0
    said_owed: int | None = None
    said_unpaid_since: date | None = None
    said_by: str = ""
    digest: str = ""


_LOAN = """
select l.member_id, l.loan_id, l.product, l.rule, l.form, l.state, l.principal, l.owed, l.percent, l.lender, l.instalments, l.began_on,
       l.joined_on, l.began_event, l.ended_event, nullif(l.said_owed, -1) as said_owed, l.said_unpaid_since,
       coalesce(a.name, '') as said_by, l.digest
  from loans l left join actors a on a.tenant_id = l.tenant_id and a.actor_id = l.said_by
"""


async def add_loan(session: AsyncSession, row: LoanRow, schedule: Sequence[Instalment], *, default_months: int) -> None:
    """Add a loan with what falls due when; it is in default once an instalment is unpaid for so many months."""
    tenant = session.info["tenant_id"]
    connection = await driver(session)
    await connection.execute(
        """insert into loans (member_id, loan_id, principal, owed, began_event, tenant_id, began_on, joined_on, instalments, product,
             rule, form, percent, lender, default_months)
           values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)""",
        (
            row.member_id, row.loan_id, row.principal, row.owed, row.began_event, tenant, row.began_on, row.joined_on,
            row.instalments, row.product, row.rule, row.form, row.percent, row.lender, default_months,
        ),
    )  # fmt: skip
    await connection.execute(
        """insert into loan_instalments (member_id, loan_id, tenant_id, number, due_on, principal, interest)
           select %s, %s, %s, x.number, x.due_on, x.principal, x.interest
             from unnest(%s::date[], %s::bigint[], %s::bigint[]) with ordinality x(due_on, principal, interest, number)""",
        (
            row.member_id, row.loan_id, tenant, [one.due_on for one in schedule],
            [one.principal_minor for one in schedule], [one.interest_minor for one in schedule],
        ),
    )  # fmt: skip


async def save_loan(session: AsyncSession, row: LoanRow, *, said_by: int = 0) -> None:
    """Write how a loan stands; `said_by` is who brought the word that waits."""
    await session.execute(
        text("""update loans set owed = :owed, state = :state, ended_event = :ended, said_owed = :said,
                       said_unpaid_since = :since, said_by = :by, digest = :digest
                 where member_id = :m and loan_id = :l"""),
        {
            "m": row.member_id,
            "l": row.loan_id,
            "owed": row.owed,
            "state": row.state,
            "ended": row.ended_event,
            "said": -1 if row.said_owed is None else row.said_owed,
            "since": row.said_unpaid_since,
            "by": said_by,
            "digest": row.digest,
        },
    )


async def find_loan(session: AsyncSession, loan_id: int, *, hold: bool = False) -> LoanRow | None:
    """Return a loan; with `hold`, nobody else can change it until the session ends."""
    found = await session.execute(
        text(f"{_LOAN} where l.loan_id = :l {'for update of l' if hold else ''}"), {"l": loan_id}
    )
    row = found.mappings().one_or_none()
    return None if row is None else _row(row)


async def list_loans(session: AsyncSession, *, state: str = "", after: int = 0, most: int = 100) -> list[LoanRow]:
    """Return loans after `after`, the oldest first; of one state if one is given."""
    rows = await session.execute(
        text(f"{_LOAN} where l.loan_id > :after and (:state = '' or l.state = :state) order by l.loan_id limit :most"),
        {"after": after, "state": state, "most": most},
    )
    return [_row(row) for row in rows.mappings()]


async def running_loans(
    session: AsyncSession, member_id: int, products: Sequence[str], *, hold: bool = False
) -> list[LoanRow]:
    """Return a member's loans that are not ended, the oldest first."""
    rows = await session.execute(
        text(f"""{_LOAN} where l.member_id = :m and l.product = any(:p) and l.ended_event = 0
                 order by l.loan_id {"for update of l" if hold else ""}"""),
        {"m": member_id, "p": list(products)},
    )
    return [_row(row) for row in rows.mappings()]


async def ended_by(session: AsyncSession, member_id: int, event_id: int) -> list[LoanRow]:
    """Return the loans of a member that an event ended; nobody else can change them until the session ends."""
    rows = await session.execute(
        text(f"{_LOAN} where l.member_id = :m and l.ended_event = :e order by l.loan_id for update of l"),
        {"m": member_id, "e": event_id},
    )
    return [_row(row) for row in rows.mappings()]


async def schedule_of(session: AsyncSession, row: LoanRow) -> list[Instalment]:
    """Return what was agreed to fall due, in its order."""
    rows = await session.execute(
        text("""select due_on, principal, interest from loan_instalments where member_id = :m and loan_id = :l
                 order by number"""),
        {"m": row.member_id, "l": row.loan_id},
    )
    return [Instalment(*one) for one in rows]


async def paid_of(session: AsyncSession, row: LoanRow) -> list[LoanMovement]:
    """Return what was paid of a loan, in its order."""
    rows = await session.execute(
        text("""select paid_on, principal, interest from loan_repayments where member_id = :m and loan_id = :l
                 order by event_id"""),
        {"m": row.member_id, "l": row.loan_id},
    )
    return [LoanMovement(*one) for one in rows]


async def add_repayment(
    session: AsyncSession, row: LoanRow, event_id: int, receipt: int, paid: LoanMovement, saved: int
) -> None:
    """Note what a payment paid of a loan."""
    await session.execute(
        text("""insert into loan_repayments (member_id, event_id, loan_id, receipt, principal, interest, saved, tenant_id, paid_on)
                values (:m, :e, :l, :r, :principal, :interest, :saved, :t, :on)"""),
        {
            "m": row.member_id,
            "e": event_id,
            "l": row.loan_id,
            "r": receipt,
            "principal": paid.principal_minor,
            "interest": paid.interest_minor,
            "saved": saved,
            "t": session.info["tenant_id"],
            "on": paid.on,
        },
    )


async def lent_movements(
    session: AsyncSession, member_id: int, products: Sequence[str], on: date
) -> list[tuple[date, str, str, int]]:
    """Return what loans took out of a member's pots (> 0) and brought back (< 0), as (day, pot, origin, smallest units)."""
    rows = await session.execute(
        text("""select e.business_date, c.pot, c.origin, (case when t.credit = c.code then t.amount else -t.amount end)::bigint
                  from chart c join transfers t on t.member_id = :m and c.code in (t.debit, t.credit)
                  join events e on e.member_id = t.member_id and e.event_id = t.event_id
                 where c.kind = 'lent' and c.product = any(:p) and e.business_date <= :on
                   and (t.debit = c.code and e.kind = :repaid or t.credit = c.code and e.kind = any(:lent))
                 order by e.event_id, t.line"""),
        {
            "m": member_id,
            "p": list(products),
            "on": on,
            "repaid": int(EventKind.LOAN_REPAID),
            "lent": [int(EventKind.BENEFIT_APPROVED), int(EventKind.BENEFIT_PAYABLE)],
        },
    )
    return [(row[0], row[1], row[2], row[3]) for row in rows]


async def late_loans(session: AsyncSession, on: date, *, most: int) -> list[tuple[int, int]]:
    """Return (member_id, loan) of loans from savings that may be in default: what was due long enough ago is not all paid."""
    rows = await session.execute(
        text("""select l.member_id, l.loan_id from loans l
                 cross join lateral (
                   select coalesce(sum(i.principal + i.interest), 0) as due from loan_instalments i
                    where i.member_id = l.member_id and i.loan_id = l.loan_id
                      and (i.due_on + make_interval(months => l.default_months))::date <= :on) d
                  left join (select member_id, loan_id, sum(principal + interest) as paid from loan_repayments
                              where tenant_id = :t group by 1, 2) p using (member_id, loan_id)
                 where l.tenant_id = :t and l.form = 'loan' and l.state = 'running' and coalesce(p.paid, 0) < d.due
                 order by l.loan_id limit :most"""),
        {"t": session.info["tenant_id"], "on": on, "most": most},
    )
    return [(row.member_id, row.loan_id) for row in rows]


def _row(row: RowMapping) -> LoanRow:
    return LoanRow(**row)
