"""Claims of cover against PostgreSQL: by the day of the event, asked of whoever pays in files, answered once."""

import asyncio
import csv
import io
from datetime import date
from pathlib import Path

import pytest

from engine.app import LAWS
from engine.benefits import service
from engine.benefits.errors import NoCoverAsked, UnknownCoverFile
from engine.benefits.queries.claiming import ClaimRow
from engine.benefits.queries.covering import CoverFile
from engine.benefits.service.covering import CoverAnswer, CoverAnswered
from engine.identity.rules import MemberRef
from engine.kernel.errors import Invalid
from engine.ledger import service as ledger
from engine.runtime.database import Database
from tests.factories.claims import CHECKER, MAKER, Claims
from tests.factories.heirs import UNKEPT, Estates, nominee, open_estates

BORN = date(1983, 1, 1)
JOINED = date(2020, 6, 1)


@pytest.fixture
async def deaths(db: Database, tenant_id: int, tmp_path: Path) -> Estates:
    """EjoHeza on 1 March 2023: who saved 18,000 in class 3 in a year is covered in the next."""
    return await open_estates(db, tenant_id, tmp_path, "rw-ejoheza", "2023-03-01T08:00:00")


async def _saver(scheme: Claims, minor: int, on: date, *, nominees: bool = False) -> MemberRef:
    named = [nominee("Ineza Example", 10_000)] if nominees else []
    member = await scheme.member(JOINED, BORN, named)
    await scheme.pay(member, minor, pot="savings", on=on)
    await scheme.run(
        """insert into member_attributes (tenant_id, member_id, event_id, attribute, value, as_of, source)
           values (:t, :m, 1, 'class', 'ubudehe-3', date '2020-06-01', 'test')""",
        m=member.member_id,
    )
    return member


async def _claim(
    scheme: Claims, member: MemberRef, happened_on: date, *, peril: str = "funeral", key: str = "k"
) -> ClaimRow:
    return await scheme.claim(member, "cover", key=key, ground=peril, happened_on=happened_on, rule="life-and-funeral")


async def _file(scheme: Claims) -> CoverFile:
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        return await service.make_cover_file(session, scheme.tenant, scheme.product, "state", actor=CHECKER)


async def _answer(scheme: Claims, made: CoverFile, *answers: CoverAnswer) -> CoverAnswered:
    return await service.take_cover_answers(scheme.db, scheme.tenant, made.file_no, answers, actor=CHECKER)


async def _sound(scheme: Claims) -> None:
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        assert [one for one in await ledger.check(session, LAWS) if one.law not in UNKEPT] == []


async def test_whether_there_is_a_cover_is_decided_by_the_day_of_the_event(deaths: Estates) -> None:
    """Told of late, in March 2023: on 31 December 2021 the cover had not begun; from 1 January on it had, for a year."""
    scheme = deaths.scheme
    member = await _saver(scheme, 18_000, date(2021, 12, 31))
    before = await _claim(scheme, member, date(2021, 12, 31), key="k1")
    assert (before.state, before.reason) == ("refused", "benefits.not-covered")
    covered = await _claim(scheme, member, date(2022, 1, 1), key="k2")
    assert (covered.state, covered.amount, covered.tax) == ("decided", 250_000, 0)
    again = await _claim(scheme, member, date(2022, 1, 1), key="k3")
    assert again.reason == "benefits.already-claimed"
    assert (await _claim(scheme, member, date(2022, 1, 1), peril="flood", key="k4")).reason == "benefits.not-covered"
    assert (await _claim(scheme, member, date(2023, 3, 2), key="k5")).reason == "benefits.not-covered"
    assert (await _claim(scheme, member, date(2023, 1, 1), key="k7")).reason == "benefits.not-covered"
    short = await _saver(scheme, 17_999, date(2021, 12, 31))
    assert (await _claim(scheme, short, date(2022, 1, 1), key="k6")).reason == "benefits.not-covered"


async def test_nothing_is_payable_before_whoever_pays_has_agreed(deaths: Estates) -> None:
    scheme = deaths.scheme
    members = [await _saver(scheme, 18_000, date(2021, 12, 31)) for _ in range(2)]
    claims = [await _claim(scheme, one, date(2022, 12, 24), key=str(one.member_id)) for one in members]
    with pytest.raises(NoCoverAsked):
        await _file(scheme)
    for claim in claims:
        assert (await scheme.approve(claim)).state == "asked"
    assert await scheme.holds(members[0]) == {"cash:own": 18_000}
    made = await asyncio.gather(*(_file(scheme) for _ in range(3)), return_exceptions=True)
    [sent] = [one for one in made if isinstance(one, CoverFile)]
    assert (sent.claims, sent.total, sent.answered) == (2, 500_000, 0)
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        raw = await service.cover_file(session, scheme.keys, scheme.tenant, sent.file_no, actor=CHECKER)
    head, *lines, last = list(csv.reader(io.StringIO(raw.decode())))
    assert head[0] == "claim"
    assert [(line[0], line[4:]) for line in lines] == [
        (str(one.claim_id), ["funeral", "2022-12-24", "250000"]) for one in sorted(claims, key=lambda one: one.claim_id)
    ]
    assert last == ["total", "2", "state", "2023-03-01", "", "", "500000"]

    yes, no = CoverAnswer(claims[0].claim_id, "accepted"), CoverAnswer(claims[1].claim_id, "refused", "no proof")
    done = await asyncio.gather(*(_answer(scheme, sent, yes, no) for _ in range(3)))
    assert sum(one.accepted for one in done) == sum(one.refused for one in done) == 1
    assert sum(one.known for one in done) == 4
    assert [one.state for one in (await scheme.find(claims[0]), await scheme.find(claims[1]))] == ["payable", "refused"]
    assert await scheme.holds(members[0]) == {"cash:own": 18_000, "payable:insurer": 250_000}
    assert await scheme.holds(members[1]) == {"cash:own": 18_000}
    assert await scheme.control("guarantee-receivable") == -250_000
    other = await _answer(scheme, sent, CoverAnswer(claims[0].claim_id, "refused", "late"), CoverAnswer(17, "accepted"))
    assert other.unfit == (claims[0].claim_id, 17)
    with pytest.raises(UnknownCoverFile):
        await service.take_cover_answers(scheme.db, scheme.tenant, 9, [yes], actor=MAKER)
    await _sound(scheme)


async def test_what_a_life_was_insured_for_goes_to_the_heirs(deaths: Estates) -> None:
    scheme = deaths.scheme
    member = await _saver(scheme, 18_000, date(2022, 6, 30), nominees=True)
    await deaths.dies(member, on=date(2023, 1, 20))
    claim = await _claim(scheme, member, date(2023, 1, 20), peril="death")
    assert (claim.state, claim.amount) == ("decided", 1_000_000)
    await scheme.approve(claim)
    sent = await _file(scheme)
    await _answer(scheme, sent, CoverAnswer(claim.claim_id, "accepted"))
    await deaths.follow()
    [death] = await deaths.claims()
    assert death.state == "decided"
    await scheme.approve(death)
    assert await scheme.holds(member) == {"heirs:own": 18_000, "heirs:insurer": 1_000_000}
    await _sound(scheme)


@pytest.mark.parametrize(
    "raw",
    [b"claim,answer,reason\nx,accepted,\n", b"claim,answer,reason\n1,refused,\n", b"claim,answer\n1,maybe\n", b"\xff"],
)
def test_a_file_of_answers_that_is_none_is_refused_whole(raw: bytes) -> None:
    with pytest.raises(Invalid):
        service.read_answers(raw)


def test_answers_are_read() -> None:
    raw = b"claim,answer,reason\r\n17,accepted,\r\n18,refused,no proof\r\n"
    assert service.read_answers(raw) == [CoverAnswer(17, "accepted"), CoverAnswer(18, "refused", "no proof")]
