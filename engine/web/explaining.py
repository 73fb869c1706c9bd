"""Why a decision came out as it did, for staff: the sentences of its explanation."""

from typing import Annotated

from litestar import Controller, Response, get
from litestar.di import NamedDependency
from litestar.params import FromPath
from msgspec import Meta

from engine.access.rules import Caller
from engine.kernel.permissions import Permission
from engine.reports import service as reports
from engine.reports.api import LAST_DECISION, AboutMember
from engine.runtime.database import Database
from engine.runtime.key_file import FileKeyStore
from engine.runtime.settings import Settings
from engine.tenancy.service import Tenant
from engine.web.frame import HTTPRequest
from engine.web.staff import staff_page


class ExplanationPages(Controller):
    """Decisions in the reader's language."""

    path = "/staff/decisions"
    include_in_schema = False

    @get("/{decision:int}", operation_id="ShowDecisionPage", opt={"permission": Permission.DECISIONS_READ})
    async def show(
        self,
        request: HTTPRequest,
        decision: FromPath[Annotated[int, Meta(ge=1, le=LAST_DECISION)]],
        tenant: NamedDependency[Tenant],
        caller: NamedDependency[Caller],
        db: NamedDependency[Database],
        keys: NamedDependency[FileKeyStore],
        settings: NamedDependency[Settings],
        member: AboutMember = None,
    ) -> Response[str]:
        """Explain a decision: how it came out, by which rules with their sources, from what."""
        async with staff_page(request, db, tenant, caller, settings) as (session, frame):
            told = await reports.tell_decision(
                session, keys, tenant, decision, actor=caller.actor, language=frame.language, member=member
            )
        return frame.page("explanation.html", number=decision, sentences=told.sentences)
