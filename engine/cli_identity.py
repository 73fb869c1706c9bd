"""The commands `akiba identity`: what a person must decide, numbers of documents over time, signed files of members, files to an agency without an API."""

import asyncio
from datetime import datetime
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer
from msgspec import Struct

from engine.cli_frame import ACTOR, TenantOption, run, show
from engine.deployment import Deployment, adapter
from engine.enrolment import service as enrolment
from engine.enrolment.queries.batches import BatchRow
from engine.enrolment.rules import DocumentGiven
from engine.enrolment.service import BatchAnswers, NumberChange, NumberChangeSeen, NumberHeld, Verification, Verifiers
from engine.identity import service as members
from engine.identity.errors import UnknownMember
from engine.kernel.clock import business_date
from engine.kernel.files import NamedFile
from engine.ledger import service as ledger
from engine.outside import NoTransport, Outside
from engine.runtime.counterparty_file import CounterpartyFile
from engine.runtime.private_files import write_private
from engine.tenancy.service import Tenant

identity = typer.Typer(no_args_is_help=True, help="Who members are, where a person must look.")
numbers = typer.Typer(no_args_is_help=True, help="Numbers of members' documents over time.")
batches = typer.Typer(no_args_is_help=True, help="Files to and from an identity agency that has no API.")
identity.add_typer(numbers, name="numbers")
identity.add_typer(batches, name="batch")

MemberArgument = Annotated[str, typer.Argument(help="The member's number.")]
ChangeArgument = Annotated[UUID, typer.Argument(help="The change, as `identity numbers waiting` shows it.")]
ReasonOption = Annotated[str, typer.Option("--reason", help="A short word of the scheme's own.")]
DocumentOption = Annotated[str, typer.Option("--document", help="The kind of document, as the pack calls it.")]
FolderOption = Annotated[Path, typer.Option("--out", exists=True, file_okay=False, help="The folder it is written to.")]


def verifiers_of(deployment: Deployment, tenant: Tenant) -> Verifiers:
    """Return the tenant's authorities; this process opens exchanges, the worker calls."""
    file = CounterpartyFile(deployment.settings.counterparties_file)
    outside = Outside(deployment.db, deployment.keys, file, deployment.base_url, adapter, NoTransport())
    return outside.of(tenant).verifiers


def _line(one: NumberChange) -> str:
    other = f", known as member {one.other}" if one.other else ""
    check = f", agency: {one.check}" if one.check else ""
    finding = f", {one.finding}" if one.finding else ""
    return f"{one.change} member {one.member}, {one.document} {one.act} from {one.from_on}: {one.state}{other}{finding}{check}"


@identity.command("erase")
def identity_erase(
    context: typer.Context,
    member: MemberArgument,
    tenant: TenantOption,
    again: Annotated[str, typer.Option("--again", help="The member's number once more: it cannot be undone.")],
) -> None:
    """Erase a person for good: what names them is gone, the books keep their amounts under a number that leads to nobody."""
    if again.strip() != member.strip():
        raise typer.BadParameter("The two numbers differ.", param_hint="--again")

    async def use(deployment: Deployment) -> None:
        served = deployment.tenants.by_code(tenant)
        async with deployment.db.unit_of_work(served.tenant_id) as session:
            found = await members.members_by_number(session, deployment.keys, [member])
            if member not in found:
                raise UnknownMember
            today = business_date(await ledger.scheme_now(session), served.time_zone)
            await members.erase(session, found[member].member_id, actor=ACTOR, business_date=today, pack=served.pack_id)

    run(context, use)
    show(context, {"erased": True}, lambda: typer.echo("The member is erased."))


@numbers.command("show")
def numbers_show(context: typer.Context, member: MemberArgument, tenant: TenantOption) -> None:
    """Show of which kinds a member holds and held numbers, from when to when; never the numbers."""

    async def use(deployment: Deployment) -> list[NumberHeld]:
        served = deployment.tenants.by_code(tenant)
        async with deployment.db.unit_of_work(served.tenant_id) as session:
            return await enrolment.numbers_held(session, deployment.keys, member, actor=ACTOR)

    found = run(context, use)

    def lines() -> None:
        for one in found:
            until = f" until {one.to_on}" if one.to_on else ""
            typer.echo(f"{one.document} from {one.from_on}{until}, verified by {one.verified_by}")

    show(context, found, lines)


@numbers.command("propose")
def numbers_propose(
    context: typer.Context,
    member: MemberArgument,
    tenant: TenantOption,
    document: DocumentOption,
    reason: ReasonOption,
    number: Annotated[
        str, typer.Option("--number", prompt="The new number (empty: none any more)", prompt_required=False)
    ] = "",
    from_on: Annotated[
        datetime | None, typer.Option("--from", formats=["%Y-%m-%d"], help="Its first day; today if absent.")
    ] = None,
) -> None:
    """Propose another number of a member's document, or its end; another person approves."""

    async def use(deployment: Deployment) -> NumberChange:
        served = deployment.tenants.by_code(tenant)
        async with deployment.db.unit_of_work(served.tenant_id) as session:
            return await enrolment.propose_number(
                session,
                deployment.keys,
                served,
                verifiers_of(deployment, served),
                number=member,
                document=DocumentGiven(document, number),
                from_on=from_on.date() if from_on else None,
                reason=reason,
                actor=ACTOR,
            )

    found = run(context, use)
    show(context, found, lambda: typer.echo(f"{_line(found)}\ndigest {found.digest}"))


@numbers.command("waiting")
def numbers_waiting(context: typer.Context, tenant: TenantOption) -> None:
    """List the changes that wait for a person, the oldest first."""

    async def use(deployment: Deployment) -> list[NumberChangeSeen]:
        served = deployment.tenants.by_code(tenant)
        async with deployment.db.unit_of_work(served.tenant_id) as session:
            return await enrolment.list_number_changes(session, deployment.keys, most=100, actor=ACTOR)

    found = run(context, use)

    def lines() -> None:
        for one in found:
            alike = f"; {one.name} / {one.other_name}, alike by {one.score_bp}" if one.other_name else f"; {one.name}"
            typer.echo(f"{_line(one.change)}{alike}\n  digest {one.change.digest}")
        if not found:
            typer.echo("nothing waits for a person")

    show(context, found, lines)


@numbers.command("find")
def numbers_find(
    context: typer.Context,
    change: ChangeArgument,
    tenant: TenantOption,
    reason: ReasonOption,
    same: Annotated[bool, typer.Option("--same-person/--other-person", help="What was found.")],
) -> None:
    """Say whether two members who are known by one number are one person; another person approves that."""

    async def use(deployment: Deployment) -> NumberChange:
        served = deployment.tenants.by_code(tenant)
        async with deployment.db.unit_of_work(served.tenant_id) as session:
            return await enrolment.find_same_person(
                session, deployment.keys, served, change, is_same_person=same, reason=reason, actor=ACTOR
            )

    found = run(context, use)
    show(context, found, lambda: typer.echo(f"{_line(found)}\ndigest {found.digest}"))


@numbers.command("approve")
def numbers_approve(
    context: typer.Context,
    change: ChangeArgument,
    tenant: TenantOption,
    digest: Annotated[str, typer.Option("--digest", help="Of the change that you saw.")],
) -> None:
    """Approve a change as it was seen, or what was found of it."""

    async def use(deployment: Deployment) -> NumberChange:
        served = deployment.tenants.by_code(tenant)
        async with deployment.db.unit_of_work(served.tenant_id) as session:
            return await enrolment.approve_number(session, deployment.keys, served, change, digest=digest, actor=ACTOR)

    found = run(context, use)
    show(context, found, lambda: typer.echo(_line(found)))


@numbers.command("reject")
def numbers_reject(context: typer.Context, change: ChangeArgument, tenant: TenantOption, reason: ReasonOption) -> None:
    """Let a change not happen."""

    async def use(deployment: Deployment) -> NumberChange:
        served = deployment.tenants.by_code(tenant)
        async with deployment.db.unit_of_work(served.tenant_id) as session:
            return await enrolment.reject_number(session, deployment.keys, served, change, reason=reason, actor=ACTOR)

    found = run(context, use)
    show(context, found, lambda: typer.echo(_line(found)))


@identity.command("offline")
def identity_offline(
    context: typer.Context,
    member: MemberArgument,
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="The signed file of the authority.")],
    tenant: TenantOption,
    document: DocumentOption,
    share_code: Annotated[
        str, typer.Option("--share-code", prompt=True, hide_input=True, help="What the member sealed it with.")
    ],
) -> None:
    """Verify a member by a signed file that they obtained from an authority, such as Aadhaar's offline e-KYC."""

    async def use(deployment: Deployment) -> Verification:
        served = deployment.tenants.by_code(tenant)
        raw = await asyncio.to_thread(file.read_bytes)
        async with deployment.db.unit_of_work(served.tenant_id) as session:
            return await enrolment.verify_by_file(
                session,
                deployment.keys,
                served,
                verifiers_of(deployment, served),
                number=member,
                document=document,
                raw=raw,
                secret=share_code,
                actor=ACTOR,
            )

    found = run(context, use)
    why = f" ({found.why})" if found.why else ""
    show(context, found, lambda: typer.echo(f"{found.reference} member {found.member}: {found.state}{why}"))


@batches.command("make")
def batches_make(
    context: typer.Context,
    tenant: TenantOption,
    out: FolderOption,
    most: Annotated[
        int, typer.Option("--most", min=1, help="Questions in the file, at most.")
    ] = enrolment.MOST_QUESTIONS,
) -> None:
    """Write a file that asks the agency about members of whom it has said nothing yet."""

    async def use(deployment: Deployment) -> NamedFile | None:
        served = deployment.tenants.by_code(tenant)
        async with deployment.db.unit_of_work(served.tenant_id) as session:
            return await enrolment.make_batch(
                session, deployment.keys, served, verifiers_of(deployment, served), actor=ACTOR, most=most
            )

    _written(context, run(context, use), out)


@batches.command("again")
def batches_again(
    context: typer.Context,
    batch: Annotated[int, typer.Argument(help="The file's number, as `identity batch list` shows it.")],
    tenant: TenantOption,
    out: FolderOption,
) -> None:
    """Write a file of questions once more."""

    async def use(deployment: Deployment) -> NamedFile | None:
        served = deployment.tenants.by_code(tenant)
        async with deployment.db.unit_of_work(served.tenant_id) as session:
            return await enrolment.batch_again(
                session, deployment.keys, served, verifiers_of(deployment, served), batch, actor=ACTOR
            )

    _written(context, run(context, use), out)


@batches.command("take")
def batches_take(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="The agency's file of answers.")],
    tenant: TenantOption,
) -> None:
    """Take the agency's answers, each row on its own and once."""

    async def use(deployment: Deployment) -> BatchAnswers:
        served = deployment.tenants.by_code(tenant)
        answers = NamedFile(file.name, await asyncio.to_thread(file.read_bytes))
        return await enrolment.take_answers(
            deployment.db, deployment.keys, served, verifiers_of(deployment, served), answers
        )

    found = run(context, use)

    def lines() -> None:
        states = ", ".join(f"{state} {count}" for state, count in sorted(found.states.items()))
        typer.echo(f"{found.batch}: taken {found.taken}, before {found.before}, unknown {found.unknown}  {states}")

    show(context, found, lines)


@batches.command("list")
def batches_list(context: typer.Context, tenant: TenantOption) -> None:
    """List the files of questions, the last first."""

    async def use(deployment: Deployment) -> list[BatchRow]:
        served = deployment.tenants.by_code(tenant)
        async with deployment.db.unit_of_work(served.tenant_id) as session:
            return await enrolment.list_batches(session)

    found = run(context, use)

    def lines() -> None:
        for one in found:
            typer.echo(
                f"{one.batch_no}  {one.name}  {one.made_at:%Y-%m-%d}  {one.questions} asked, {one.waiting} waiting"
            )

    show(context, found, lines)


def _written(context: typer.Context, file: NamedFile | None, out: Path) -> None:
    """Write a file that names people, for its owner alone."""
    if file is None:
        show(context, {"file": None}, lambda: typer.echo("nobody is to be asked about"))
        return
    path = out / file.name
    write_private(path, file.raw)
    show(context, {"file": str(path), "sha256": file.sha256}, lambda: typer.echo(str(path)))


class Doubts(Struct, frozen=True, kw_only=True):
    """What people must look at: checks of identities, and notices of deaths."""

    identities: list[enrolment.Doubt]
    deaths: list[enrolment.Death]


@identity.command("doubts")
def identity_doubts(context: typer.Context, tenant: TenantOption) -> None:
    """List the checks of identities and the notices of deaths that a person must decide, the oldest first."""

    async def use(deployment: Deployment) -> Doubts:
        served, keys = deployment.tenants.by_code(tenant), deployment.keys
        async with deployment.db.unit_of_work(served.tenant_id) as session:
            return Doubts(
                identities=await enrolment.list_doubts(session, keys, most=100, actor=ACTOR),
                deaths=await enrolment.list_deaths(session, keys, served, most=100, actor=ACTOR),
            )

    found = run(context, use)

    def lines() -> None:
        for one in found.identities:
            score = "" if one.score_bp is None else f", alike by {one.score_bp}"
            typer.echo(
                f"{one.reference} member {one.member}, {one.document}: {one.why}{score}, since {one.since:%Y-%m-%d}"
            )
        for death in found.deaths:
            whose = f"member {death.member}" if death.member else "nobody known"
            typer.echo(f"{death.notice} death, {whose}: {death.state} {death.why}, since {death.since:%Y-%m-%d}")
            for candidate in death.candidates:
                typer.echo(f"  perhaps member {candidate.member}, alike by {candidate.score_bp}")
        if not found.identities and not found.deaths:
            typer.echo("nothing waits for a person")

    show(context, found, lines)
