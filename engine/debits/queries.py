"""SQL of mandates and direct debits, and their laws."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from engine.debits.rules import Collected
from engine.ledger.rules import Law
from engine.runtime.database import driver

LAWS: tuple[Law, ...] = (
    Law(
        "debits-add-up",
        "a file of direct debits holds as many debits, and as much, as it says",
        """
        select format('file %s', f.message_ref), format('%s debits, %s', f.debits, f.total),
               format('%s debits, %s', count(d.debit_id), coalesce(sum(d.amount), 0))
          from debit_files f left join debits d on d.tenant_id = f.tenant_id and d.file_id = f.file_id
         group by f.tenant_id, f.message_ref, f.debits, f.total having (count(d.debit_id), coalesce(sum(d.amount), 0)) <> (f.debits, f.total)
        """,
    ),
    Law(
        "debits-are-received-once",
        "a direct debit that a statement showed is one receipt of its amount, and no other's",
        """
        select format('debit %s', d.debit_id), d.amount::text, coalesce(sum(t.amount), 0)::text
          from debits d
          left join (select t.event_id, t.amount from transfers t join chart c on c.kind = 'collections' and c.code = t.debit) t
            on t.event_id = d.receipt
         where d.receipt <> 0 group by d.debit_id, d.amount having coalesce(sum(t.amount), 0) <> d.amount
        union all
        select format('receipt %s', receipt), 'one debit', count(*)::text from debits where receipt <> 0 group by receipt having count(*) > 1
        """,
    ),
    Law(
        "debits-had-a-mandate",
        "nothing was collected above a mandate, by another's, or before it was signed",
        """
        select format('debit %s', d.debit_id), format('%s of %s', m.most, m.member_id), format('%s of %s', d.amount, d.member_id)
          from debits d join mandates m on m.tenant_id = d.tenant_id and m.mandate_id = d.mandate_id
          join debit_files f on f.tenant_id = d.tenant_id and f.file_id = d.file_id
         where d.amount > m.most or d.member_id <> m.member_id or f.collect_on < m.signed_on or f.rail <> m.rail or f.product <> m.product
        """,
    ),
)


@dataclass(frozen=True, slots=True)
class MandateRow:
    """A mandate that may be drawn on, its member as they stand in the product; `is_followed`: it was drawn on before."""

    mandate_id: UUID
    member_id: int
    most: int
    joined_on: date
    group_code: str
    is_followed: bool


@dataclass(frozen=True, slots=True)
class DebitFileRow:
    """A file of debits, in smallest units, sealed where it is written."""

    file_id: int
    message_ref: str
    rail: str
    product: str
    sequence: str
    collect_on: date
    debits: int
    total: int
    state: str
    maker: str
    checker: str
    digest: str
    sha256: str
    document: bytes | None


@dataclass(frozen=True, slots=True)
class DebitRow:
    """A debit as it stands, and its mandate, sealed."""

    debit_id: UUID
    mandate_id: UUID
    member_id: int
    amount: int
    state: str
    reason: str
    signed_on: date
    is_ended: bool
    mandate: bytes

    @property
    def collected(self) -> Collected:
        """Return what two people stand for of it."""
        return Collected(self.debit_id, self.mandate_id, self.member_id, self.amount)


async def hold_debits(session: AsyncSession) -> None:
    """Wait until no other transaction makes, decides on or reports of debits."""
    connection = await driver(session)
    await connection.execute("select pg_advisory_xact_lock(7253, %s)", (session.info["tenant_id"],))


# -- mandates


async def add_mandate(
    session: AsyncSession,
    mandate_id: UUID,
    *,
    member_id: int,
    product: str,
    rail: str,
    most: int,
    signed_on: date,
    event_id: int,
    document: bytes,
) -> bool:
    """Keep a mandate; False if its reference, or its membership, has one."""
    connection = await driver(session)
    cursor = await connection.execute(
        """insert into mandates (tenant_id, mandate_id, member_id, product, rail, most, signed_on, event_id, document)
           values (%s, %s, %s, %s, %s, %s, %s, %s, %s) on conflict do nothing""",
        (session.info["tenant_id"], mandate_id, member_id, product, rail, most, signed_on, event_id, document),
    )
    return cursor.rowcount == 1


async def is_held(session: AsyncSession, mandate_id: UUID, member_id: int, product: str) -> bool:
    """Return whether a reference, or a membership, has a mandate."""
    connection = await driver(session)
    cursor = await connection.execute(
        """select 1 from mandates where tenant_id = %(t)s and mandate_id = %(m)s
           union all select 1 from mandates where tenant_id = %(t)s and member_id = %(w)s and product = %(p)s and ended_event = 0""",
        {"t": session.info["tenant_id"], "m": mandate_id, "w": member_id, "p": product},
    )
    return await cursor.fetchone() is not None


async def held_mandate(session: AsyncSession, member_id: int, product: str) -> UUID | None:
    """Return a membership's mandate, locked."""
    connection = await driver(session)
    cursor = await connection.execute(
        """select mandate_id from mandates
            where tenant_id = %s and member_id = %s and product = %s and ended_event = 0 for update""",
        (session.info["tenant_id"], member_id, product),
    )
    row = await cursor.fetchone()
    return None if row is None else row[0]


async def end_mandate(session: AsyncSession, mandate_id: UUID, event_id: int) -> None:
    """Keep that a mandate ended."""
    connection = await driver(session)
    await connection.execute(
        "update mandates set ended_event = %s where tenant_id = %s and mandate_id = %s",
        (event_id, session.info["tenant_id"], mandate_id),
    )


async def drawable(
    session: AsyncSession, rail: str, product: str, *, on: date, after: UUID | None, most: int
) -> list[MandateRow]:
    """Return mandates of a rail and product, signed by a day, with no debit under way, by number; erased members are left out."""
    connection = await driver(session)
    cursor = await connection.execute(
        """select m.mandate_id, m.member_id, m.most, s.joined_on, s.group_code,
                  m.mandate_id in (select mandate_id from debits where tenant_id = %(t)s and state in ('paid', 'returned'))
             from mandates m join members b on b.tenant_id = m.tenant_id and b.member_id = m.member_id and b.status = 'active'
             join memberships s on s.member_id = m.member_id and s.product = m.product and s.moved_to = ''
            where m.tenant_id = %(t)s and m.rail = %(rail)s and m.product = %(product)s and m.ended_event = 0 and m.signed_on <= %(on)s
              and (%(after)s::uuid is null or m.mandate_id > %(after)s)
              and m.mandate_id not in (select mandate_id from debits where tenant_id = %(t)s and state in ('prepared', 'asked', 'pending'))
            order by m.mandate_id limit %(most)s""",
        {"t": session.info["tenant_id"], "rail": rail, "product": product, "on": on, "after": after, "most": most},
    )
    return [MandateRow(*row) for row in await cursor.fetchall()]


# -- files


async def add_file(
    session: AsyncSession,
    debits: Sequence[Collected],
    *,
    file_id: int,
    message_ref: str,
    rail: str,
    product: str,
    sequence: str,
    collect_on: date,
    maker: int,
    digest: str,
) -> None:
    """Keep a prepared file and its debits."""
    connection = await driver(session)
    tenant = session.info["tenant_id"]
    await connection.execute(
        """insert into debit_files (tenant_id, file_id, message_ref, rail, product, sequence, collect_on, maker, digest, debits, total)
           values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)""",
        (
            tenant, file_id, message_ref, rail, product, sequence, collect_on, maker, digest,
            len(debits), sum(one.amount for one in debits),
        ),
    )  # fmt: skip
    await connection.execute(
        """insert into debits (tenant_id, file_id, debit_id, mandate_id, member_id, amount)
           select %s, %s, * from unnest(%s::uuid[], %s::uuid[], %s::bigint[], %s::bigint[])""",
        (
            tenant, file_id, [one.debit_id for one in debits], [one.mandate_id for one in debits],
            [one.member_id for one in debits], [one.amount for one in debits],
        ),
    )  # fmt: skip


_FILE = """select f.file_id, f.message_ref, f.rail, f.product, f.sequence, f.collect_on, f.debits, f.total, f.state, m.name,
                  coalesce(c.name, ''), f.digest, f.sha256, f.document
             from debit_files f join actors m on m.tenant_id = f.tenant_id and m.actor_id = f.maker
             left join actors c on c.tenant_id = f.tenant_id and c.actor_id = f.checker"""


async def next_number(session: AsyncSession) -> int:
    """Return the number of the tenant's next file; debits are held."""
    connection = await driver(session)
    cursor = await connection.execute(
        "select coalesce(max(file_id), 0) + 1 from debit_files where tenant_id = %s", (session.info["tenant_id"],)
    )
    row = await cursor.fetchone()
    assert row is not None
    return int(row[0])


async def find_file(session: AsyncSession, *, file_id: int = 0, message_ref: str = "") -> DebitFileRow | None:
    """Return a file by its number or its reference."""
    connection = await driver(session)
    cursor = await connection.execute(
        f"{_FILE} where f.tenant_id = %s and (f.file_id = %s or f.message_ref = %s)",
        (session.info["tenant_id"], file_id, message_ref),
    )
    row = await cursor.fetchone()
    return None if row is None else DebitFileRow(*row)


async def list_files(session: AsyncSession, *, most: int) -> list[DebitFileRow]:
    """Return files, the newest first."""
    connection = await driver(session)
    cursor = await connection.execute(
        f"{_FILE} where f.tenant_id = %s order by f.file_id desc limit %s", (session.info["tenant_id"], most)
    )
    return [DebitFileRow(*row) for row in await cursor.fetchall()]


async def files_in(session: AsyncSession, rail: str, state: str) -> list[int]:
    """Return the numbers of a rail's files in a state, the oldest first."""
    connection = await driver(session)
    cursor = await connection.execute(
        "select file_id from debit_files where tenant_id = %s and rail = %s and state = %s order by file_id",
        (session.info["tenant_id"], rail, state),
    )
    return [row[0] for row in await cursor.fetchall()]


async def unsent_files(session: AsyncSession, rail: str, since: date) -> list[int]:
    """Return the numbers of a rail's files, written on or after a day, that are not staged to leave."""
    connection = await driver(session)
    cursor = await connection.execute(
        """select file_id from debit_files where tenant_id = %(t)s and rail = %(rail)s and state = 'filed' and made_at >= %(since)s
              and message_ref not in (select about from outgoing_files where tenant_id = %(t)s and kind = 'debits' and state <> 'rejected')
            order by file_id""",
        {"t": session.info["tenant_id"], "rail": rail, "since": since},
    )
    return [row[0] for row in await cursor.fetchall()]


async def debits_of(session: AsyncSession, file_id: int) -> list[DebitRow]:
    """Return the debits of a file, locked, by number."""
    connection = await driver(session)
    cursor = await connection.execute(
        """select d.debit_id, d.mandate_id, d.member_id, d.amount, d.state, d.reason, m.signed_on, m.ended_event <> 0, m.document
             from debits d join mandates m on m.tenant_id = d.tenant_id and m.mandate_id = d.mandate_id
            where d.tenant_id = %s and d.file_id = %s order by d.debit_id for update of d""",
        (session.info["tenant_id"], file_id),
    )
    return [DebitRow(*row) for row in await cursor.fetchall()]


async def decide_file(session: AsyncSession, file_id: int, *, state: str, checker: int) -> None:
    """Keep what a second person decided on a file; the debits of a rejected one are dropped."""
    connection = await driver(session)
    tenant = session.info["tenant_id"]
    await connection.execute(
        "update debit_files set state = %s, checker = %s where tenant_id = %s and file_id = %s",
        (state, checker, tenant, file_id),
    )
    if state == "rejected":
        await connection.execute(
            "update debits set state = 'dropped' where tenant_id = %s and file_id = %s", (tenant, file_id)
        )


async def write_file(
    session: AsyncSession,
    file_id: int,
    lines: Sequence[tuple[UUID, UUID]],
    *,
    sha256: str,
    document: bytes,
    event_id: int,
) -> None:
    """Keep a file as it is written; its debits are asked for by it, each (number, what its statement's line is known by)."""
    connection = await driver(session)
    tenant = session.info["tenant_id"]
    await connection.execute(
        """update debit_files set state = 'filed', sha256 = %s, document = %s, event_id = %s
            where tenant_id = %s and file_id = %s""",
        (sha256, document, event_id, tenant, file_id),
    )
    await connection.execute(
        """update debits d set state = 'asked', line_digest = k.digest from unnest(%s::uuid[], %s::uuid[]) k(debit_id, digest)
            where d.tenant_id = %s and d.debit_id = k.debit_id""",
        ([one for one, _ in lines], [digest for _, digest in lines], tenant),
    )


# -- what becomes of debits


async def add_report(session: AsyncSession, file_id: int, *, sha256: str, name: str, document: bytes) -> bool:
    """Keep a report; False if the same bytes came before."""
    connection = await driver(session)
    cursor = await connection.execute(
        """insert into debit_reports (tenant_id, file_id, sha256, name, document) values (%s, %s, %s, %s, %s)
           on conflict (tenant_id, sha256) do nothing""",
        (session.info["tenant_id"], file_id, sha256, name, document),
    )
    return cursor.rowcount == 1


async def note(session: AsyncSession, rows: Sequence[tuple[UUID, str, str, int]]) -> None:
    """Keep what became of debits: number, state, reason, receipt (0: none)."""
    connection = await driver(session)
    await connection.execute(
        """update debits d set state = k.state, reason = k.reason, receipt = k.receipt
             from unnest(%s::uuid[], %s::text[], %s::text[], %s::bigint[]) k(debit_id, state, reason, receipt)
            where d.tenant_id = %s and d.debit_id = k.debit_id""",
        (*(list(column) for column in zip(*rows, strict=True)), session.info["tenant_id"]),
    )


async def received(session: AsyncSession, rail: str) -> list[tuple[UUID, int]]:
    """Return debits whose payment is in the books, by the event, and of which that is not noted: who was to note it died."""
    connection = await driver(session)
    cursor = await connection.execute(
        """select d.debit_id, c.event_id
             from debits d join debit_files f on f.tenant_id = d.tenant_id and f.file_id = d.file_id
             join claims c on c.tenant_id = d.tenant_id and c.digest = d.line_digest
            where d.tenant_id = %s and f.rail = %s and d.state in ('asked', 'pending', 'refused') order by d.debit_id""",
        (session.info["tenant_id"], rail),
    )
    return [(debit_id, event_id) for debit_id, event_id in await cursor.fetchall()]


@dataclass(frozen=True, slots=True)
class SeenDebit:
    """A debit that a waiting line of its account's statement shows, come or gone back."""

    debit_id: UUID
    member_id: int
    amount: int
    product: str
    receipt: int


async def seen(session: AsyncSession, account: str, rail: str, *, is_return: bool, most: int) -> list[SeenDebit]:
    """Return debits that a waiting line shows: of exactly their amount come in, or, of those that came, gone back."""
    connection = await driver(session)
    wanted = (
        "d.state = 'paid' and l.amount = -d.amount"
        if is_return
        else ("d.state in ('asked', 'pending', 'refused') and d.reason not like 'receipt:%%' and l.amount = d.amount")
    )
    cursor = await connection.execute(
        f"""select distinct on (d.debit_id) d.debit_id, d.member_id, d.amount, f.product, d.receipt
              from unmatched_lines u join statement_lines l using (tenant_id, statement_id, line_no)
              join statements s using (tenant_id, statement_id)
              join debits d on d.tenant_id = u.tenant_id and d.line_digest in (l.reference_digest, l.other_digest)
              join debit_files f on f.tenant_id = d.tenant_id and f.file_id = d.file_id
             where u.tenant_id = %s and s.account = %s and f.rail = %s and {wanted} order by d.debit_id limit %s""",
        (session.info["tenant_id"], account, rail, most),
    )
    return [SeenDebit(*row) for row in await cursor.fetchall()]
