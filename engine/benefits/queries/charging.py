"""SQL of fees: runs, their ranges of members, and what was charged. Counting and taking are modules of their own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from engine.benefits.rules.charging import FeeTerms
from engine.funds.rules import Conversion

FEES = "fees"
"""The party of accounts that hold a member's units while they are sold for fees, and what they brought."""
MOST_MEMBERS = 10_000
"""How many members one range of a run holds, and one transaction counts or charges."""


@dataclass(frozen=True, slots=True)
class FeeTotal:
    """What a run says is due by one fee: of how many members, before tax and tax, in smallest units; `arrears` were owed before."""

    fee: str
    payee: str
    members: int
    net: int
    vat: int
    arrears: int


@dataclass(frozen=True, slots=True)
class FeeRun:
    """A run over a product's fees, and what it came to, in smallest units; what was `taken`, is `owed` and `waived` once approved."""

    run_no: int
    product: str
    charged_on: date
    year_from: date
    member_id: int
    left_on: date | None
    corrects: int
    reason: str
    state: str
    digest: str
    terms: tuple[FeeTerms, ...]
    by_fee: tuple[FeeTotal, ...]
    members: int
    net: int
    vat: int
    arrears: int
    taken: int
    owed: int
    waived: int
    maker: str
    checker: str

    @property
    def rules(self) -> list[str]:
        """Return the rules that decide it."""
        return sorted({rule for one in self.terms for rule in one.rules})

    @property
    def keys(self) -> Mapping[str, str]:
        """Return which rows of the pack's tables its caps stood in."""
        return {key: value for one in self.terms for key, value in one.keys.items()}


@dataclass(frozen=True, slots=True)
class NewRun:
    """What a run begins with; `year` is the scheme year whose caps it counts for."""

    product: str
    charged_on: date
    year_from: date
    terms: tuple[FeeTerms, ...]
    maker: int
    member_id: int = 0
    left_on: date | None = None
    corrects: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class FeeCodes:
    """The accounts that a range is booked over: what is owed by members, what is due by payee, and tax."""

    receivable: int
    payable: Mapping[str, int]
    vat: int


@dataclass(frozen=True, slots=True)
class SellingCodes:
    """Members' accounts of a product's units, side by side with those of units being sold for fees; funds' numbers by code."""

    units: Sequence[int]
    selling: Sequence[int]
    funds: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class UnitPrices:
    """What units are worth by fund: floor(units × multiplier ÷ divisor) smallest units of money."""

    funds: Sequence[str]
    conversions: Sequence[Conversion]

    def given(self) -> dict[str, object]:
        """Return them as a statement takes them."""
        return {
            "funds": list(self.funds),
            "multipliers": [one.multiplier for one in self.conversions],
            "divisors": [one.divisor for one in self.conversions],
        }


@dataclass(frozen=True, slots=True)
class FeePosting:
    """How a range is booked, and what its event says."""

    day: date
    actor: int
    pack: int
    decision: int
    codes: FeeCodes
    facts: Mapping[str, object]


OF_TERM = """((t ->> 'joined_from') is null or m.joined_on >= (t ->> 'joined_from')::date)
  and ((t ->> 'joined_until') is null or m.joined_on <= (t ->> 'joined_until')::date)"""
"""Whether the terms `t` of a fee are those of who joined on the day that the membership `m` says."""


_RUN = """
select r.run_no, r.product, r.charged_on, r.year_from, r.member_id, r.left_on, r.corrects, r.reason, r.state, r.digest, r.terms, r.by_fee,
       r.members, r.net, r.vat, r.arrears, r.taken, r.owed, r.waived, a.name as maker, coalesce(b.name, '') as checker
  from fee_runs r join actors a on a.tenant_id = r.tenant_id and a.actor_id = r.maker
  left join actors b on b.tenant_id = r.tenant_id and b.actor_id = r.checker
"""


def _run(row: Sequence[object]) -> FeeRun:
    head, terms, by_fee = row[:10], row[10], row[11]
    found = (msgspec.convert(terms, tuple[FeeTerms, ...]), msgspec.convert(by_fee, tuple[FeeTotal, ...]))
    return FeeRun(*head, *found, *row[12:])  # type: ignore[arg-type,call-arg]


async def find_run(session: AsyncSession, run_no: int, *, hold: bool = False) -> FeeRun | None:
    """Return a run; where asked nobody else can change it until the session ends."""
    if hold:
        await session.execute(text("select from fee_runs where run_no = :n for update"), {"n": run_no})
    row = (await session.execute(text(f"{_RUN} where r.run_no = :n"), {"n": run_no})).one_or_none()
    return None if row is None else _run(row)


async def list_runs(session: AsyncSession, *, most: int) -> list[FeeRun]:
    """Return the newest runs, newest first."""
    rows = await session.execute(text(f"{_RUN} order by r.run_no desc limit :most"), {"most": most})
    return [_run(row) for row in rows]


async def open_run(session: AsyncSession, product: str) -> FeeRun | None:
    """Return the product's run that is neither done nor rejected."""
    row = (
        await session.execute(
            text(f"{_RUN} where r.product = :p and r.state in ('counting', 'proposed', 'approved')"), {"p": product}
        )
    ).one_or_none()
    return None if row is None else _run(row)


async def standing_runs(session: AsyncSession) -> list[FeeRun]:
    """Return the runs over all members of a product that were taken and of which nothing was given back, the oldest first."""
    rows = await session.execute(
        text(f"""{_RUN} where r.state = 'done' and r.corrects = 0 and r.member_id = 0
                    and not exists (select from fee_runs c where c.tenant_id = r.tenant_id and c.corrects = r.run_no and c.state <> 'rejected')
                  order by r.charged_on, r.run_no""")
    )
    return [_run(row) for row in rows]


async def runs_mispriced(session: AsyncSession) -> set[int]:
    """Return the runs that counted units at the price of a fund and day that was corrected since."""
    rows = await session.scalars(
        text("""select r.run_no from fee_runs r
                 where r.state = 'done' and r.corrects = 0 and r.member_id = 0 and exists (
                   select from price_corrections c join funds f on f.tenant_id = c.tenant_id and f.fund_id = c.fund_id
                    where c.state = 'done' and c.decided_event > r.proposed_event
                      and exists (select from chart k where k.kind = 'units' and k.product = r.product and k.fund = f.code)
                      and c.price_on = (select max(p.price_on) from prices p
                                         where p.fund_id = c.fund_id and p.state = 'accepted' and p.price_on <= r.charged_on))""")
    )
    return set(rows)


async def refund_of(session: AsyncSession, run_no: int) -> FeeRun | None:
    """Return the run that gives back what a run charged every member, unless it was rejected."""
    row = (
        await session.execute(
            text(
                f"{_RUN} where r.corrects = :n and r.member_id = 0 and r.state <> 'rejected' order by r.run_no desc limit 1"
            ),
            {"n": run_no},
        )
    ).one_or_none()
    return None if row is None else _run(row)


async def charged_since(session: AsyncSession, product: str, charged_on: date, run_no: int) -> bool:
    """Return whether a run over all members charged a day anew after run `run_no`."""
    return bool(
        await session.scalar(
            text("""select exists (select from fee_runs where product = :p and charged_on = :on and corrects = 0 and member_id = 0
                                      and run_no > :n and state not in ('counting', 'rejected'))"""),
            {"p": product, "on": charged_on, "n": run_no},
        )
    )


async def hold_product(session: AsyncSession, product: str) -> None:
    """Let nobody else begin a run over the product until the session ends."""
    await session.execute(
        text("select pg_advisory_xact_lock(hashtextextended('fees:' || :t || ':' || :p, 0))"),
        {"t": str(session.info["tenant_id"]), "p": product},
    )


async def begin_run(session: AsyncSession, new: NewRun) -> int:
    """Begin a run over the members of a product, or one of them, by ranges; return its number."""
    tenant = session.info["tenant_id"]
    number = await session.scalar(
        text("""insert into fee_runs (tenant_id, run_no, product, charged_on, year_from, terms, maker, member_id, left_on, corrects, reason)
                select :t, coalesce(max(run_no), 0) + 1, :p, :on, :year, cast(:terms as jsonb), :maker, :m, :left, :corrects, :reason
                  from fee_runs returning run_no"""),
        {
            "t": tenant, "p": new.product, "on": new.charged_on, "year": new.year_from, "maker": new.maker, "m": new.member_id,
            "left": new.left_on, "corrects": new.corrects, "reason": new.reason, "terms": msgspec.json.encode(new.terms).decode(),
        },
    )  # fmt: skip
    await session.execute(
        text("""insert into fee_ranges (tenant_id, run_no, range_no, first_member, last_member)
                select :t, :run, row_number() over (order by min(member_id)), min(member_id), max(member_id)
                  from (select member_id, (row_number() over (order by member_id) - 1) / :most as part from memberships m
                         where product = :p and moved_to = '' and (:m = 0 or member_id = :m)
                           and (:corrects = 0 or exists (select from fee_charges c where c.member_id = m.member_id and c.run_no = :corrects))) n
                 group by part"""),
        {
            "t": tenant, "run": number, "p": new.product, "m": new.member_id, "corrects": new.corrects, "most": MOST_MEMBERS,
        },
    )  # fmt: skip
    assert number is not None
    return int(number)


def joined_between(one: FeeTerms) -> dict[str, object]:
    """Return what statements are given of who joined when a fee's terms say."""
    return {
        "all_joined": one.joined_from is None and one.joined_until is None,
        "joined_from": one.joined_from or date.min,
        "joined_until": one.joined_until or date.max,
    }


async def ranges_in(session: AsyncSession, run_no: int, state: str) -> list[int]:
    """Return the numbers of a run's ranges in a state."""
    rows = await session.execute(
        text("select range_no from fee_ranges where run_no = :run and state = :s order by range_no"),
        {"run": run_no, "s": state},
    )
    return [row.range_no for row in rows]


async def hold_range(session: AsyncSession, run_no: int, range_no: int, state: str) -> tuple[int, int] | None:
    """Return the first and last member of a range in that state, which nobody else can do then; else None."""
    row = (
        await session.execute(
            text("""select first_member, last_member from fee_ranges
                     where run_no = :run and range_no = :range and state = :s for update"""),
            {"run": run_no, "range": range_no, "s": state},
        )
    ).one_or_none()
    return None if row is None else (row.first_member, row.last_member)


async def runs_priced(session: AsyncSession, fund: str, price_on: date) -> list[FeeRun]:
    """Return the runs that are done, were not given back to all, and counted units of a fund at its price of a day."""
    rows = await session.scalars(
        text("""select r.run_no from fee_runs r
                 where r.state = 'done' and r.corrects = 0
                   and exists (select from chart c where c.kind = 'units' and c.product = r.product and c.fund = :fund)
                   and not exists (select from fee_runs b where b.corrects = r.run_no and b.member_id = 0 and b.state = 'done')
                   and :day = (select p.price_on from prices p join funds f on f.tenant_id = p.tenant_id and f.fund_id = p.fund_id
                                where f.code = :fund and p.state = 'accepted' and p.price_on <= r.charged_on
                                order by p.price_on desc limit 1)
                 order by 1"""),
        {"fund": fund, "day": price_on},
    )
    found = [await find_run(session, number) for number in rows]
    return [run for run in found if run is not None]


async def finish_counting(session: AsyncSession, run_no: int, digest_of: str) -> None:
    """Note what a run's ranges came to, and by fee; its digest is of what they are, and of `digest_of`."""
    await session.execute(
        text("""update fee_runs r set members = s.members, net = s.net, vat = s.vat, arrears = s.arrears, by_fee = f.by_fee,
                       digest = encode(sha256(convert_to(:of || s.digests, 'UTF8')), 'hex')
                  from (select coalesce(sum(members), 0)::int as members, coalesce(sum(net), 0)::bigint as net, coalesce(sum(vat), 0)::bigint as vat,
                               coalesce(sum(arrears), 0)::bigint as arrears, coalesce(string_agg(digest, E'\\n' order by range_no), '') as digests
                          from fee_ranges where run_no = :run) s,
                       (select coalesce(jsonb_agg(jsonb_build_object('fee', fee, 'payee', payees, 'members', members, 'net', net, 'vat', vat,
                                 'arrears', arrears) order by fee), '[]') as by_fee
                          from (select l.fee, count(*)::int as members, sum(l.net)::bigint as net, sum(l.vat)::bigint as vat, sum(l.arrears)::bigint as arrears,
                                       coalesce((select string_agg(distinct t ->> 'payee', ', ') from fee_runs o, jsonb_array_elements(o.terms) t
                                                  where o.run_no = :run and t ->> 'fee' = l.fee), '') as payees
                                  from fee_ranges g join fee_lines l on l.member_id between g.first_member and g.last_member and l.run_no = g.run_no
                                 where g.run_no = :run group by 1) l) f
                 where r.run_no = :run"""),
        {"run": run_no, "of": digest_of},
    )


async def propose_run(session: AsyncSession, run_no: int, event_id: int) -> None:
    """Note that a run is counted: it waits for a second person, or nothing is due by it where `event_id` is 0."""
    await session.execute(
        text("update fee_runs set state = :s, proposed_event = :e where run_no = :n and state = 'counting'"),
        {"n": run_no, "e": event_id, "s": "proposed" if event_id else "empty"},
    )


async def decide_run(session: AsyncSession, run_no: int, *, state: str, checker: int, event_id: int) -> None:
    """Note that a second person approved or rejected a run."""
    await session.execute(
        text(
            "update fee_runs set state = :s, checker = :c, decided_event = :e where run_no = :n and state = 'proposed'"
        ),
        {"n": run_no, "s": state, "c": checker, "e": event_id},
    )


async def finish_run(session: AsyncSession, run_no: int) -> None:
    """Note an approved run as done once all its ranges are taken, with what it came to."""
    await session.execute(
        text("""update fee_runs r set state = 'done', taken = s.taken, owed = s.owed, waived = s.waived
                  from (select coalesce(sum(taken), 0)::bigint as taken, coalesce(sum(owed), 0)::bigint as owed,
                               coalesce(sum(waived), 0)::bigint as waived, coalesce(bool_and(state = 'taken'), true) as is_done
                          from fee_ranges where run_no = :run) s
                 where r.run_no = :run and r.state = 'approved' and s.is_done"""),
        {"run": run_no},
    )


async def next_event(session: AsyncSession) -> int:
    """Return the number of an event that a statement over many members will write."""
    found = await session.scalar(text("select next_batch_id()"))
    assert found is not None
    return int(found)


async def sold_ranges(session: AsyncSession, run_no: int) -> list[int]:
    """Return the numbers of a run's ranges whose units are all sold."""
    rows = await session.execute(
        text("""select g.range_no from fee_ranges g where g.run_no = :run and g.state = 'selling' and not exists (
                  select from sales s where s.member_id between g.first_member and g.last_member and s.event_id = g.sale_event
                     and not exists (select from sale_ranges r where r.dealing_id = s.dealing_id and r.fund_id = s.fund_id
                                        and s.member_id between r.first_member and r.last_member and r.event_id <> 0))
                 order by 1"""),
        {"run": run_no},
    )
    return [row.range_no for row in rows]


async def selling_runs(session: AsyncSession) -> list[int]:
    """Return the numbers of approved runs that wait for the sale of units."""
    rows = await session.execute(
        text("""select run_no from fee_runs r where state = 'approved' and exists (
                  select from fee_ranges g where g.run_no = r.run_no and g.state = 'selling') order by 1""")
    )
    return [row.run_no for row in rows]


@dataclass(frozen=True, slots=True)
class MemberFee:
    """What one fee took of a member over a run, in smallest units; negative where it was given back."""

    fee: str
    payee: str
    charged_on: date
    run_no: int
    net: int
    vat: int
    taken: int
    owed: int


async def member_fees(session: AsyncSession, member_id: int) -> list[MemberFee]:
    """Return what every fee took of a member, newest first; what was waived whole is none."""
    rows = await session.execute(
        text(f"""select c.fee, coalesce((select t ->> 'payee' from jsonb_array_elements(r.terms) t join memberships m
                                          on m.member_id = c.member_id and m.product = r.product and {OF_TERM} where t ->> 'fee' = c.fee limit 1), '') as payee,
                       r.charged_on, r.run_no, c.net, c.vat, c.taken, c.owed
                  from fee_charges c join fee_runs r on r.tenant_id = c.tenant_id and r.run_no = c.run_no
                 where c.member_id in (select record_id from records_of(:m)) and (c.net <> 0 or c.vat <> 0 or c.taken <> 0) order by r.run_no desc, c.fee"""),
        {"m": member_id},
    )
    return [MemberFee(*row) for row in rows]
