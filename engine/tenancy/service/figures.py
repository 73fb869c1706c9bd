"""Reference series as they grow: points are proposed by one person, and count once another has accepted them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from sqlalchemy.ext.asyncio import AsyncSession

from engine.access.rules import checked_by_other
from engine.kernel.clock import business_date
from engine.kernel.ids import house_member
from engine.kernel.series import Figures, SeriesPoint
from engine.ledger import service as ledger
from engine.ledger.rules import Entry, EventKind
from engine.tenancy import queries
from engine.tenancy.errors import FigureDecided, FigureStands, FiguresUnreadable, UnknownFigure, UnknownSeries
from engine.tenancy.queries import StoredPoint
from engine.tenancy.rules.figures import read_points
from engine.tenancy.service.tenants import Tenant


@dataclass(frozen=True, slots=True)
class FiguresProposed:
    """What became of a file of points: their numbers, and those that stood already."""

    series: str
    proposed: tuple[int, ...]
    known: int


async def propose_figures(
    session: AsyncSession, tenant: Tenant, series: str, raw: bytes, *, name: str, actor: str
) -> FiguresProposed:
    """Put the points of a CSV file forward; they count for nothing until another person accepts them.

    A point that stands already, to the digit, is passed over; a revision bears a later day of publication.

    Raises:
        UnknownSeries: the pack names no such series.
        FiguresUnreadable: the file is refused whole, with row and field.
        FigureStands: another value stands for one of its days of effect and publication.
    """
    if series not in tenant.pack.series:
        raise UnknownSeries(series=series, allowed=", ".join(sorted(tenant.pack.series)) or "none")
    points, problems = read_points(name, raw)
    if problems:
        raise FiguresUnreadable(reason="; ".join(str(one) for one in problems[:20]))
    await queries.hold_series(session)
    stored = {(one.effective_from, one.published_on): one for one in await queries.series_points(session, series)}
    standing = {(one.effective_from, one.published_on): one.value for one in tenant.pack.series[series].points}
    standing |= {key: one.value for key, one in stored.items() if one.state != "rejected"}
    new = []
    for point in points:
        key = (point.effective_from, point.published_on)
        if key not in standing:
            new.append(point)
        elif standing[key] != point.value:
            raise FigureStands(series=series, day=point.effective_from.isoformat(), value=str(standing[key]))
    proposed = await _add(session, tenant, series, new, actor)
    return FiguresProposed(series, tuple(proposed), len(points) - len(new))


async def accept_figure(session: AsyncSession, tenant: Tenant, point_id: int, *, actor: str) -> StoredPoint:
    """Let a proposed point count, as a second person.

    Raises:
        UnknownFigure, FigureDecided: there is none of that number, or it was decided before.
        SamePerson: `actor` proposed it.
    """
    return await _decide(session, tenant, point_id, actor, state="accepted", kind=EventKind.FIGURE_ACCEPTED)


async def reject_figure(session: AsyncSession, tenant: Tenant, point_id: int, *, actor: str) -> StoredPoint:
    """Refuse a proposed point; raises as `accept_figure` does."""
    return await _decide(session, tenant, point_id, actor, state="rejected", kind=EventKind.FIGURE_REJECTED)


async def list_figures(session: AsyncSession, series: str | None = None) -> list[StoredPoint]:
    """Return the points that came after the pack, of one series or of all, oldest first."""
    return await queries.series_points(session, series)


async def figures_for(session: AsyncSession, tenant: Tenant, *, known_on: date | None = None) -> Figures:
    """Return what the scheme's figures are worth: the pack's own and those accepted since, as far as known then."""
    if not tenant.pack.series:
        return Figures(tenant.asset, known_on=known_on)
    accepted: dict[str, list[SeriesPoint]] = {}
    for one in await queries.series_points(session, None):
        if one.state == "accepted":
            accepted.setdefault(one.series, []).append(one.point())
    series = {code: one.with_points(accepted.get(code, ())) for code, one in tenant.pack.series.items()}
    return Figures(tenant.asset, series, known_on, accepted=sum(map(len, accepted.values())))


async def _add(
    session: AsyncSession, tenant: Tenant, series: str, points: Sequence[SeriesPoint], actor: str
) -> list[int]:
    if not points:
        return []
    now = await ledger.scheme_now(session)
    maker = await ledger.actor_id(session, actor)
    await ledger.post(
        session,
        [
            _entry(tenant, EventKind.FIGURE_PROPOSED, business_date(now, tenant.time_zone), maker, series, one)
            for one in points
        ],
    )
    return await queries.add_series_points(session, series, points, proposed_by=maker, proposed_at=now)


async def _decide(
    session: AsyncSession, tenant: Tenant, point_id: int, actor: str, *, state: str, kind: EventKind
) -> StoredPoint:
    await queries.hold_series(session)
    found = next((one for one in await queries.series_points(session, None) if one.point_id == point_id), None)
    if found is None:
        raise UnknownFigure
    if found.state != "proposed":
        raise FigureDecided(state=found.state)
    checked_by_other(maker=found.proposed_by, checker=actor)
    now = await ledger.scheme_now(session)
    checker = await ledger.actor_id(session, actor)
    day = business_date(now, tenant.time_zone)
    await ledger.post(session, [_entry(tenant, kind, day, checker, found.series, found.point())])
    return await queries.decide_series_point(session, point_id, state=state, decided_by=checker, decided_at=now)


def _entry(tenant: Tenant, kind: EventKind, day: date, actor: int, series: str, point: SeriesPoint) -> Entry:
    return Entry(
        member_id=house_member(tenant.tenant_id),
        kind=kind,
        business_date=day,
        actor=actor,
        pack=tenant.pack_id,
        body={
            "series": series,
            "effective_from": point.effective_from.isoformat(),
            "published_on": point.published_on.isoformat(),
            "value": f"{point.value:f}",
            "source": point.source,
        },
    )
