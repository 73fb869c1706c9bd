"""SQL of claims of cover: what is asked of whoever pays, in which file, and what they answered."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from engine.runtime.database import driver


@dataclass(frozen=True, slots=True, kw_only=True)
class CoverClaim:
    """What is asked of a claim, smallest units; `file_no` is 0 until it is in a file."""

    member_id: int
    claim_id: int
    amount: int
    file_no: int
    happened_on: date
    product: str
    payer: str
    peril: str
    state: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CoverFile:
    """A file of claims to whoever pays; `answered` of its claims are. Smallest units."""

    file_no: int
    product: str
    payer: str
    claims: int
    total: int
    made_on: date
    answered: int


async def unsent_files(session: AsyncSession, payer: str, since: date) -> list[int]:
    """Return the numbers of a payer's files made on or after a day that are not staged to leave, the oldest first."""
    connection = await driver(session)
    cursor = await connection.execute(
        """select file_no from cover_files where tenant_id = %(tenant)s and payer = %(payer)s and made_on >= %(since)s
              and file_no::text not in (select about from outgoing_files
                                         where tenant_id = %(tenant)s and kind = 'cover-claims' and state <> 'rejected')
            order by file_no""",
        {"tenant": session.info["tenant_id"], "payer": payer, "since": since},
    )
    return [row[0] for row in await cursor.fetchall()]


async def add_cover_claim(
    session: AsyncSession,
    member_id: int,
    claim_id: int,
    *,
    amount: int,
    happened_on: date,
    product: str,
    payer: str,
    peril: str,
) -> None:
    """Note that a claim is to be asked of whoever pays."""
    await session.execute(
        text("""insert into cover_claims (member_id, claim_id, amount, tenant_id, happened_on, product, payer, peril)
                values (:m, :c, :a, :t, :on, :p, :payer, :peril)"""),
        {
            "m": member_id,
            "c": claim_id,
            "a": amount,
            "t": session.info["tenant_id"],
            "on": happened_on,
            "p": product,
            "payer": payer,
            "peril": peril,
        },
    )


async def make_file(session: AsyncSession, product: str, payer: str, *, maker: int, on: date) -> int:
    """Put all claims that wait for it into one new file; return its number, 0 where none waits."""
    connection = await driver(session)
    tenant = session.info["tenant_id"]
    await connection.execute("select pg_advisory_xact_lock(hashtextextended('cover:' || %s, 0))", (str(tenant),))
    cursor = await connection.execute(
        """insert into cover_files (total, tenant_id, file_no, claims, maker, made_on, product, payer)
           select s.total, %(t)s, n.file_no, s.claims, %(maker)s, %(on)s, %(p)s, %(payer)s
             from (select coalesce(sum(amount), 0)::bigint as total, count(*)::int as claims from cover_claims
                    where product = %(p)s and payer = %(payer)s and state = 'approved') s,
                  (select coalesce(max(file_no), 0) + 1 as file_no from cover_files where tenant_id = %(t)s) n
            where s.claims > 0 returning file_no""",
        {"t": tenant, "maker": maker, "on": on, "p": product, "payer": payer},
    )
    row = await cursor.fetchone()
    if row is None:
        return 0
    await connection.execute(
        "update cover_claims set state = 'sent', file_no = %s where product = %s and payer = %s and state = 'approved'",
        (row[0], product, payer),
    )
    return int(row[0])


_FILE = """
select f.file_no, f.product, f.payer, f.claims, f.total, f.made_on,
       (select count(*)::int from cover_claims c where c.tenant_id = f.tenant_id and c.file_no = f.file_no and c.state <> 'sent') as answered
  from cover_files f
"""


async def find_file(session: AsyncSession, file_no: int) -> CoverFile | None:
    """Return a file."""
    found = await session.execute(text(f"{_FILE} where f.file_no = :n"), {"n": file_no})
    row = found.mappings().one_or_none()
    return None if row is None else CoverFile(**row)


async def list_files(session: AsyncSession, *, most: int) -> list[CoverFile]:
    """Return the newest files, newest first."""
    rows = await session.execute(text(f"{_FILE} order by f.file_no desc limit :most"), {"most": most})
    return [CoverFile(**row) for row in rows.mappings()]


_CLAIM = """
select member_id, claim_id, amount, file_no, happened_on, product, payer, peril, state, reason from cover_claims
"""


async def claims_in(session: AsyncSession, file_no: int) -> Sequence[CoverClaim]:
    """Return the claims of a file, by their numbers."""
    rows = await session.execute(text(f"{_CLAIM} where file_no = :n order by claim_id"), {"n": file_no})
    return [CoverClaim(**row) for row in rows.mappings()]


async def hold_cover_claims(session: AsyncSession, claim_ids: Sequence[int]) -> dict[int, CoverClaim]:
    """Return what is asked of claims, by their numbers; nobody else can change it until the session ends."""
    rows = await session.execute(
        text(f"{_CLAIM} where claim_id = any(:c) order by claim_id for update"), {"c": list(claim_ids)}
    )
    return {row["claim_id"]: CoverClaim(**row) for row in rows.mappings()}


async def note_answers(session: AsyncSession, answered: Sequence[tuple[CoverClaim, str, str, str, int]]) -> None:
    """Note what was answered of claims: of each what it was, its reason, that of the claim ("" where it is payable), and the event."""
    given = {
        "m": [one.member_id for one, *_ in answered],
        "c": [one.claim_id for one, *_ in answered],
        "s": [said for _, said, *_ in answered],
        "r": [reason for _, _, reason, *_ in answered],
        "why": [why for _, _, _, why, _ in answered],
        "e": [event for *_, event in answered],
    }
    of = "unnest(cast(:m as bigint[]), cast(:c as bigint[]), cast(:s as text[]), cast(:r as text[]), cast(:why as text[]), cast(:e as bigint[]))"
    await session.execute(
        text(f"""update cover_claims c set state = a.said, reason = a.reason
                   from {of} a(member_id, claim_id, said, reason, why, event_id) where c.member_id = a.member_id and c.claim_id = a.claim_id"""),
        given,
    )
    await session.execute(
        text(f"""update benefit_claims b set state = case a.why when '' then 'payable' else 'refused' end, reason = a.why,
                        payable_event = case a.why when '' then a.event_id else 0 end
                   from {of} a(member_id, claim_id, said, reason, why, event_id) where b.member_id = a.member_id and b.claim_id = a.claim_id"""),
        given,
    )


async def class_on(session: AsyncSession, member_id: int, on: date) -> str:
    """Return the class that a member was in on a day, as registers told; "" where none did."""
    found = await session.scalar(
        text("""select value from member_attributes where member_id = :m and attribute = 'class' and as_of <= :on
                   and (expires_on is null or expires_on > :on) order by as_of desc, event_id desc limit 1"""),
        {"m": member_id, "on": on},
    )
    return str(found or "")
