"""Prices that were wrong: the newest corrections, and each one's list, member by member."""

from collections.abc import Mapping
from urllib.parse import quote

from litestar import Controller, Response, get
from litestar.di import NamedDependency
from litestar.params import FromPath

from engine.access.rules import Caller
from engine.funds import service as funds
from engine.funds.service import Correction, CorrectionLine
from engine.identity import service as identity
from engine.kernel.permissions import Permission
from engine.kernel.text import N_
from engine.reports.service import Column, Letterhead, Table
from engine.runtime.database import Database
from engine.runtime.key_file import FileKeyStore
from engine.runtime.settings import Settings
from engine.tenancy.service import Tenant
from engine.web.frame import NONE, Frame, HTTPRequest
from engine.web.staff import staff_page

MOST_LINES = 500
STATES: Mapping[str, str] = {
    "proposed": N_("waits for a second person"),
    "rejected": N_("rejected"),
    "noted": N_("too small to be put right"),
    "approved": N_("being put right"),
    "done": N_("put right"),
}


class CorrectionPages(Controller):
    """Corrected prices, for staff."""

    path = "/staff/corrections"
    include_in_schema = False

    @get("/", operation_id="ListCorrectionsPage", opt={"permission": Permission.OPERATIONS_READ})
    async def corrections(
        self,
        request: HTTPRequest,
        tenant: NamedDependency[Tenant],
        caller: NamedDependency[Caller],
        db: NamedDependency[Database],
        settings: NamedDependency[Settings],
    ) -> Response[str]:
        """List the newest corrections, the newest first."""
        async with staff_page(request, db, tenant, caller, settings) as (session, frame):
            found = await funds.list_corrections(session)
        links = [(f"/staff/corrections/{one.number}", _title(frame, tenant, one)) for one in found]
        return frame.page("corrections.html", links=links)

    @get("/{number:int}", operation_id="ShowCorrectionPage", opt={"permission": Permission.STATEMENTS_READ})
    async def correction(
        self,
        request: HTTPRequest,
        number: FromPath[int],
        tenant: NamedDependency[Tenant],
        caller: NamedDependency[Caller],
        db: NamedDependency[Database],
        keys: NamedDependency[FileKeyStore],
        settings: NamedDependency[Settings],
    ) -> Response[str]:
        """Show a correction and its first 500 lines; all of them are in the file."""
        async with staff_page(request, db, tenant, caller, settings) as (session, frame):
            one = await funds.find_correction(session, number if 0 < number < 2**31 else 0)
            lines = await funds.correction_lines(session, one.number, most=MOST_LINES)
            people = await identity.read_people(
                session, keys, sorted({line.member_id for line in lines}), actor=caller.actor, reason="price correction"
            )
        numbers = {member: person.member_number for member, person in people.items()}
        return frame.page(
            "correction.html",
            title=_title(frame, tenant, one),
            facts=_facts(frame, tenant, one),
            lines=_lines(frame, tenant, lines, numbers),
            file=f"/v1/operations/price-corrections/{quote(str(one.number))}/members.csv",
        )


def _title(frame: Frame, tenant: Tenant, one: Correction) -> str:
    names = Letterhead.of(tenant, frame.language).fund_names
    return f"{names.get(one.fund, one.fund)} · {frame.day(one.price_on)} · {frame.words.gettext(STATES[one.state])}"


def _facts(frame: Frame, tenant: Tenant, one: Correction) -> list[tuple[str, str]]:
    say, done = frame.words.gettext, one.figures
    return [
        (say(N_("Wrong price")), frame.price(one.wrong)),
        (say(N_("Right price")), frame.price(one.right)),
        (say(N_("At fault")), tenant.pack.roles.get(one.party, one.party)),
        (say(N_("Reason")), one.reason),
        (say(N_("Members")), frame.number(one.members)),
        (say(N_("Units given")), frame.units(done.issued, one.unit_scale)),
        (say(N_("Units taken back")), frame.units(done.taken, one.unit_scale)),
        (say(N_("Money given")), frame.money(done.paid)),
        (say(N_("Owed by members")), frame.money(done.owed)),
        (say(N_("Borne by the party at fault")), frame.money(done.borne)),
    ]


def _lines(frame: Frame, tenant: Tenant, lines: list[CorrectionLine], numbers: Mapping[int, str]) -> Table:
    say, names = frame.words.gettext, Letterhead.of(tenant, frame.language).fund_names

    def row(line: CorrectionLine) -> tuple[str, ...]:
        done = line.done
        booked = (NONE,) * 5 if done is None else (
            frame.units(done.issued, line.unit_scale),
            frame.units(done.taken, line.unit_scale),
            frame.money(done.paid),
            frame.money(done.owed),
            frame.money(done.borne),
        )  # fmt: skip
        whose = numbers.get(line.member_id, NONE)
        fund = names.get(line.fund, line.fund)
        return (whose, fund, frame.units(line.bought, line.unit_scale), frame.money(line.sold), *booked)

    return Table(
        caption=say(N_("Member by member")),
        columns=(
            Column(say(N_("Member number"))),
            Column(say(N_("Fund"))),
            Column(say(N_("Units bought too few")), is_figure=True),
            Column(say(N_("Sold for too little")), is_figure=True),
            Column(say(N_("Units given")), is_figure=True),
            Column(say(N_("Units taken back")), is_figure=True),
            Column(say(N_("Money given")), is_figure=True),
            Column(say(N_("Owed by members")), is_figure=True),
            Column(say(N_("Borne by the party at fault")), is_figure=True),
        ),
        rows=tuple(row(line) for line in lines),
    )
