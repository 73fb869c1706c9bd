"""The commands `akiba pack`: begin, check, explain, compare and put forward packs."""

import csv
from contextlib import nullcontext
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console

from engine.cli_frame import ACTOR, FAILED, PARTLY, TenantOption, console, fail, run, show
from engine.deployment import CHECKS, KINDS, RUNNERS, Deployment
from engine.kernel.clock import SystemClock, business_date
from engine.ledger import service as ledger
from engine.reports import service as reports
from engine.tenancy.errors import PackErrors, PackProblem
from engine.tenancy.queries import Proposal
from engine.tenancy.rules.assuming import assumptions_behind
from engine.tenancy.rules.differing import differences
from engine.tenancy.rules.dimensions import BLANK, DIMENSIONS, cells, dimension_table
from engine.tenancy.rules.places import line_of
from engine.tenancy.rules.schemas import PATTERNS, schemas
from engine.tenancy.service import NewPack, check_pack, checked_pack, load_pack, new_pack, pack_folders, propose_pack

packs = typer.Typer(no_args_is_help=True, help="Packs: schemes as data.")


@packs.command("new")
def pack_new(
    context: typer.Context,
    code: Annotated[str, typer.Argument(help="<country>-<scheme> in lower case, such as xx-example.")],
    folder: Annotated[Path, typer.Option("--dir", help="Where the pack's folder is made.")] = Path(),
    name: Annotated[str, typer.Option("--name", help="The scheme's name; from the code if absent.")] = "",
    country: Annotated[str, typer.Option("--country", help="ISO 3166-1; from the code if absent.")] = "",
    currency: Annotated[str, typer.Option("--currency", help="ISO 4217; the country's if absent.")] = "",
    language: Annotated[
        list[str] | None, typer.Option("--language", help="May be given again; en if absent, as the texts are.")
    ] = None,
    time_zone: Annotated[str, typer.Option("--time-zone", help="IANA; one of the country's if absent.")] = "",
    opened_on: Annotated[
        datetime | None,
        typer.Option("--opened-on", help="The product's first day; 1 January if absent.", formats=["%Y-%m-%d"]),
    ] = None,
) -> None:
    """Begin a pack: a small one, whole and proven, to be turned into a scheme rule by rule."""
    opened = opened_on.date() if opened_on else SystemClock().now().date().replace(month=1, day=1)
    wanted = NewPack(
        code=code,
        opened_on=opened,
        name=name,
        country=country.upper(),
        currency=currency.upper(),
        languages=tuple(language or ()),
        time_zone=time_zone,
    )
    made = new_pack(folder, wanted, KINDS)
    place = folder / code

    def lines() -> None:
        typer.echo(f"{place}: {made.name}, {made.currency}, {', '.join(made.languages)}, {made.time_zone}")
        typer.echo(f"{place}/README.md says what to replace, and in which order.")
        typer.echo(f"Next: akiba pack check {place}")
        typer.echo(f"To serve it: akiba --packs {place} serve")

    result = {"folder": str(place), "currency": made.currency, "time_zone": made.time_zone}
    show(context, result, lines)


@packs.command("check")
def pack_check(context: typer.Context, folder: Path) -> None:
    """Check a pack, run its worked examples, and prove its figures: each changed by one unit must fail an example."""
    report = check_pack(folder, KINDS, RUNNERS, checks=CHECKS, prove=True)

    def lines() -> None:
        for scenario in report.scenarios:
            typer.echo(f"{'ok  ' if scenario.ok else 'FAIL'} {scenario.file}: {scenario.name}")
        for problem in report.problems:
            typer.echo(_placed(folder, problem))
        for ref in report.not_carried_out:
            typer.echo(f"note: {ref}: kept and explained; nothing in the engine acts by it yet")
        for ref in report.unproven:
            typer.echo(f"{ref}: decides no example; write one that it decides")
        for one in report.untried:
            typer.echo(f"{one.rule}: {one.figure}: no example tries it {one.side}")
        for two in report.survivors:
            why = f"explained: {two.why}" if two.why else "no example fails; write one, or explain it as a [[survivor]]"
            typer.echo(f"{two.rule}: {two.figure}: {two.was} may as well be {two.became}: {why}")
        verdict = "proven" if report.is_proven else "good, not proven" if report.ok else "not good"
        unexplained = sum(not one.why for one in report.survivors)
        typer.echo(
            f"{report.code}: {verdict}; {len(report.scenarios)} examples, {report.mutants} changed figures, "
            f"{len(report.survivors)} survive, {unexplained} unexplained"
        )

    show(context, report, lines)
    if not report.is_proven:
        raise typer.Exit(PARTLY if report.ok else FAILED)


def _placed(folder: Path, problem: PackProblem) -> str:
    """Return a problem with the line it stands on, as editors follow it: "scenarios/a.toml:12: scenario[1].on: ..."."""
    file = folder / problem.file
    text = file.read_text(encoding="utf-8", errors="replace") if problem.key and file.is_file() else ""
    line = line_of(text, problem.key)
    return str(replace(problem, file=f"{problem.file}:{line}") if line else problem)


@packs.command("schema")
def pack_schema(
    context: typer.Context,
    out: Annotated[Path | None, typer.Option("--out", help="A folder to write the schemas into.")] = None,
) -> None:
    """Write JSON Schemas of a pack's files, with a configuration by which editors complete TOML from them."""
    found = schemas(KINDS, sorted(RUNNERS))
    if out is None:
        show(context, found, lambda: typer.echo(msgspec.json.format(msgspec.json.encode(found), indent=2).decode()))
        return
    out.mkdir(parents=True, exist_ok=True)
    associations = []
    for name, schema in found.items():
        (out / f"{name}.schema.json").write_bytes(msgspec.json.format(msgspec.json.encode(schema), indent=2) + b"\n")
        associations.append(f'[[rule]]\ninclude = ["{PATTERNS[name]}"]\n[rule.schema]\npath = "{name}.schema.json"\n')
    (out / ".taplo.toml").write_text("\n".join(associations), encoding="utf-8")
    show(context, sorted(found), lambda: typer.echo(f"{out}: {', '.join(sorted(found))}"))


@packs.command("dimensions")
def pack_dimensions(
    context: typer.Context,
    folders: Annotated[list[Path] | None, typer.Argument(help="Packs' folders; the packs served if absent.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Write the page here.")] = None,
) -> None:
    """Say for each dimension of a scheme's rules which rules of each pack express it, or why none does, as Markdown."""
    found = [load_pack(one, KINDS) for one in folders or pack_folders(context.obj.settings.packs)]
    page = dimension_table(found)
    if out is None:
        show(context, {one.code: cells(one) for one in found}, lambda: typer.echo(page, nl=False))
        return
    out.write_text(page, encoding="utf-8")
    blanks = page.count(BLANK)
    result = {"file": str(out), "packs": len(found), "blanks": blanks}
    show(
        context, result, lambda: typer.echo(f"{out}: {len(DIMENSIONS)} dimensions, {len(found)} packs, {blanks} blanks")
    )
    if blanks:
        raise typer.Exit(PARTLY)


@packs.command("diff")
def pack_diff(context: typer.Context, old: Path, new: Path) -> None:
    """Say in words what changed from one version of a pack to another."""
    try:
        found = differences(load_pack(old, KINDS), load_pack(new, KINDS))
    except PackErrors as errors:
        fail(str(errors))
    show(context, found, lambda: typer.echo("\n".join(found) or "nothing differs"))


@packs.command("show")
def pack_show(
    context: typer.Context,
    pack: Annotated[Path, typer.Argument(help="A pack's folder, or its code among the packs served.")],
    page: Annotated[Path | None, typer.Option("--page", help="Write the rule book as an HTML page.")] = None,
    pdf: Annotated[Path | None, typer.Option("--pdf", help="Write the rule book as a PDF.")] = None,
) -> None:
    """Show a rule book for people: every rule, its figures and their sources, as text, a page or a PDF."""
    folders = (
        [pack] if pack.is_dir() else [one for one in pack_folders(context.obj.settings.packs) if one.name == str(pack)]
    )
    if not folders:
        fail(f"there is no pack {pack}")
    try:
        shown = reports.rule_book_of(load_pack(folders[0], KINDS))
    except PackErrors as errors:
        fail(str(errors))
    if page is not None:
        page.write_text(reports.rule_book_page(shown), encoding="utf-8")
        console.print(f"{page}: the rule book as a page", highlight=False)
    if pdf is not None:
        pdf.write_bytes(reports.rule_book_pdf(shown, dated=SystemClock().now().date()))
        console.print(f"{pdf}: the rule book as a PDF", highlight=False)
    if page is None and pdf is None:
        show(context, shown, lambda: _print_rule_book(shown))


def _print_rule_book(shown: reports.RuleBookShown) -> None:
    out = Console()
    out.print(f"{shown.scheme}: the rules", style="bold")
    for product in shown.products:
        out.print(f"\n{product.name}, open since {product.opened_on}", style="bold")
        for subject in product.subjects:
            out.print(f"\n{subject.title}", style="bold")
            for rule in subject.rules:
                _print_rule(out, rule)


def _print_rule(out: Console, rule: reports.RuleShown) -> None:
    lines = [f"\n{rule.title} ({rule.kind}), from {rule.since} {rule.reach}".rstrip()]
    lines += [f"  {rule.ended}"] if rule.ended else []
    lines += [f"  {rule.mark} assumed: {rule.assumption}"] if rule.assumption else []
    lines += [f"  {name}{rule.mark}: {one}" for name, values in rule.figures for one in values]
    for line in (*lines, f"  source: {rule.source} [{rule.confidence}]"):
        out.print(line, highlight=False, markup=False)


@packs.command("preview")
def pack_preview(
    context: typer.Context,
    folder: Path,
    tenant: TenantOption,
    on: Annotated[
        datetime | None,
        typer.Option("--on", help="The day whose figures are compared; today if absent.", formats=["%Y-%m-%d"]),
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Write every changed figure as CSV.")] = None,
    key: Annotated[
        list[str] | None, typer.Option("--key", help="Where a cap of fees stands in a table: agency=protean.")
    ] = None,
) -> None:
    """Run a pack against a tenant's real members: who would be affected, and by how much. Posts nothing."""
    try:
        new = load_pack(folder, KINDS)
    except PackErrors as errors:
        fail(str(errors))

    chosen = dict(pair.split("=", 1) for pair in key or () if "=" in pair)

    async def use(deployment: Deployment) -> tuple[reports.Preview, date, int]:
        served = deployment.tenants.by_code(tenant)
        async with deployment.db.unit_of_work(served.tenant_id) as session:
            today = business_date(await ledger.scheme_now(session), served.time_zone)
        day, totals = on.date() if on else today, reports.Preview()
        with open(out, "w", encoding="utf-8", newline="") if out else nullcontext() as file:  # noqa: ASYNC230, PTH123
            writer = csv.writer(file) if file else None
            if writer:
                writer.writerow(("member", "product", "figure", "before", "after"))
            async for one in reports.preview(
                deployment.db, served, new, on=day, totals=totals, keys=deployment.keys, actor=ACTOR, fee_keys=chosen
            ):
                if writer:
                    writer.writerow((one.member_id, one.product, one.figure, one.before or "", one.after or ""))
        return totals, day, served.asset.scale

    totals, day, scale = run(context, use)
    assumed = [
        one
        for product, rules in sorted(totals.rules.items())
        for one in assumptions_behind(new.books.get(product), sorted(rules))
    ]

    def lines() -> None:
        typer.echo(f"{tenant} on {day}: {totals.affected} of {totals.members} members are affected")
        for figure, (count, by) in sorted(totals.figures.items()):
            amount = Decimal(by).scaleb(-scale) if reports.is_money(figure) else by
            typer.echo(f"{figure}: {count} members, {amount:+} in all")
        for one in assumed:
            typer.echo(f"assumed by {one.rule}: {one.assumed}")

    told = {"on": day, "members": totals.members, "affected": totals.affected, "figures": totals.figures}
    show(context, {**told, "assumptions": assumed}, lines)


@packs.command("propose")
def pack_propose(
    context: typer.Context,
    folder: Path,
    tenant: TenantOption,
    since: Annotated[
        datetime, typer.Option("--from", help="The first business date it would decide on.", formats=["%Y-%m-%d"])
    ],
) -> None:
    """Put a version of a tenant's pack forward; it decides nothing before another person approves exactly it."""
    pack, report = checked_pack(folder, KINDS, RUNNERS, CHECKS)
    if pack is None:
        fail("\n".join(str(problem) for problem in report.problems))

    async def use(deployment: Deployment) -> Proposal:
        served = deployment.tenants.by_code(tenant)
        async with deployment.db.unit_of_work(served.tenant_id) as session:
            return await propose_pack(session, served, pack, in_force_from=since.date(), actor=ACTOR)

    found = run(context, use)
    show(
        context,
        found,
        lambda: typer.echo(
            f"{tenant}: proposal {found.proposal_id}, version {found.sha256}, from {found.in_force_from}"
        ),
    )
