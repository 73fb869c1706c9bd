"""Every page, paper and refusal in a language that shows what is not translated, and in one from right to left."""

import re
import shutil
from collections.abc import Iterator
from datetime import date
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page
from pypdf import PdfReader
from sqlalchemy import text as sql

from engine.contributions import service as contributions
from engine.contributions.rules import Payment, lane_of
from engine.kernel.errors import EngineError
from engine.reports import service as reports
from engine.reports.rules.vocabulary import FACTS, PARAMETERS
from engine.runtime import locale
from engine.runtime.database import Database
from engine.runtime.http import problem_of
from engine.runtime.locale import translator
from engine.tenancy import service as tenancy
from engine.tenancy.rules.decided import Determination, RunDecided
from engine.tenancy.service import Tenant
from engine.worker import JOBS
from tests.architecture.test_catalogues import errors
from tests.engine.reports import scheme as schemes
from tests.engine.reports.scheme import Scheme, open_scheme
from tests.engine.reports.test_printing import letterhead, statement
from tests.engine.web.site import host_of, make_app, sign_in_token
from tests.factories.pseudo import CLOSE, OPEN, left_in_english, untranslated, write_pseudo
from tests.journeys.test_pages import CHROMIUM, OVERFLOW, browsing, serving

needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")
TEXTS = """() => {
  const found = [document.title];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) found.push(walk.currentNode.data);
  for (const e of document.querySelectorAll('[aria-label],[placeholder],[title]'))
    for (const name of ['aria-label', 'placeholder', 'title']) if (e.getAttribute(name)) found.push(e.getAttribute(name));
  return found.map(one => one.trim()).filter(one => one);
}"""
# Elements whose text is cut off or hangs out of their own box; a wide table scrolls in a region of its own.
HANGING = """() => [...document.querySelectorAll('body *')].filter(e => {
  const style = getComputedStyle(e);
  return style.display !== 'inline' && !e.closest('.scroll') && e.scrollWidth > e.clientWidth + 1 && e.clientWidth > 0;
}).map(e => e.outerHTML.slice(0, 200))"""
PAGES = ("", "/waiting", "/members", "/contributions", "/suspense", "/dealing", "/jobs")


@pytest.fixture
def pseudo_language(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """English is the pseudo-language."""
    write_pseudo(tmp_path / "pseudo", "en")
    monkeypatch.setattr(locale, "ENGINE_LOCALES", tmp_path / "pseudo")
    yield
    locale._chain.cache_clear()


def data_of(tenant: Tenant) -> set[str]:
    """Return the words of a scheme's own, which the engine's catalogues do not translate."""
    quoted = {
        text
        for path, content in tenant.pack.files.items()
        if path == "pack.toml" or "/rules/" in path
        for text in re.findall(r'"([^"\n]+)"', content.decode())
    }
    return {text for text in quoted if re.search(r"[^\W\d_]", text) and len(text) > 2} | {"Akiba", "Asha Kumari"}


async def lived(scheme: Scheme, language: str, name: str) -> str:
    """Bring the scheme to where every page has something to show; return a member."""
    await scheme.advance(date(2023, 6, 1))
    member = await scheme.enrol(group="sahyog", name=name, language=language)
    receipt = await scheme.pay(member, "1234.50")
    await scheme.reconcile([receipt])
    await scheme.advance(date(2023, 6, 2))
    await scheme.prices(date(2023, 6, 2), {"SM001009": "32.6034"})
    await scheme.deal(date(2023, 6, 1))
    await scheme.deal(date(2023, 6, 2))
    await scheme.pay("4711", "300.00")
    twice = await scheme.pay(member, "100.00")
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        await contributions.propose_reversal(
            session, scheme.tenant, int(twice.receipt), reason="paid-twice", actor="operator:desk"
        )
    return member


async def walk(scheme: Scheme, page: Page, origin: str, member: str, language: str) -> list[str]:
    """Return the texts of every page, after each was seen to fit its window."""
    found: list[str] = []

    async def look(path: str) -> None:
        await page.goto(f"{origin}{path}{'&' if '?' in path else '?'}lang={language}")
        assert await page.evaluate(OVERFLOW) <= 0, page.url
        assert await page.evaluate(HANGING) == [], page.url
        found.extend(await page.evaluate(TEXTS))

    await look("/")
    entry = f"/staff/enter/{await sign_in_token(scheme)}"
    await look(entry)
    await page.locator("main button").click()
    for path in PAGES:
        await look(f"/staff{path}")
    await page.goto(f"{origin}/staff/waiting")
    await look(await page.locator("main table a").first.get_attribute("href") or "")
    assert await page.locator("main dl dt").count() == 6
    await look(f"/staff/members/{member}/statement")
    assert await page.locator("#expected svg rect").count() == 3
    await look("/staff/members/find?number=000")
    await look(entry)
    return found


@pytest.mark.apt("chromium")
@needs_chromium
@pytest.mark.usefixtures("pseudo_language")
@pytest.mark.parametrize("width", [320, 1200])
async def test_every_page_is_translated_and_fits(db: Database, tmp_path: Path, width: int) -> None:
    india = await open_scheme(db, tmp_path, "in-nps-lite")
    member = await lived(india, "en", "Asha Kumari")
    data = data_of(india.tenant) | {"English", "हिन्दी", "2023-06-02.csv", "operator:desk", *JOBS}
    async with serving(make_app(india)) as port, browsing() as browser:
        context = await browser.new_context(viewport={"width": width, "height": 640}, locale="en")
        page = await context.new_page()
        shown = await walk(india, page, f"http://{host_of(india)}:{port}", member, "en")

    shown = [one for one in shown if not re.fullmatch("[0-9a-f]{64}", one)]
    assert sum(OPEN in one and CLOSE in one for one in shown) > 120
    assert sorted({left for one in shown if (left := untranslated(one, data))}) == []


@pytest.mark.usefixtures("pseudo_language")
def test_every_paper_is_translated_and_fits() -> None:
    head = letterhead("en")
    data = {"NPS-Lite", "Retirement", "Access", "SBI Pension Funds", "Asha Kumari"}
    for made in (statement(0), statement(30), statement(30, pots=2), statement(12, currency="RWF", scale=0)):
        sheet = reports.sheet_of(made, head, person_name="Asha Kumari")
        texts = list(strings(sheet))
        assert (
            sorted(
                {left for one in texts if (left := untranslated(one, data | {"en", "RF", "RWF"})) and one != sheet.page}
            )
            == []
        )
        reader = PdfReader(BytesIO(reports.render_pdf(made, head, person_name="Asha Kumari")))
        for page in reader.pages:
            found: list[tuple[float, str]] = []

            def note(text: str, _cm: Any, place: Any, _font: Any, _size: Any, found: Any = found) -> None:
                found.append((place[4], text))

            page.extract_text(visitor_text=note)
            assert len(found) > 10
            assert all(0 <= left <= float(page.mediabox.width) for left, text in found if text.strip())
        whole = "".join(page.extract_text() for page in reader.pages)
        assert "{" not in whole
        assert whole.count(OPEN) == whole.count(CLOSE) > 10


@pytest.mark.usefixtures("pseudo_language")
async def test_every_explanation_is_translated(db: Database, tmp_path: Path) -> None:
    """A payment, a refusal, what the rules give, what a run gave nothing by: only the pack's own words are not translated."""
    india = await open_scheme(db, tmp_path, "in-nps-lite")
    await india.advance(date(2023, 6, 1))
    number = await india.enrol(group="sahyog", language="en")
    receipt = await india.pay(number, "500.00")
    tenant, keys = india.tenant, india.keys
    small = Payment(member=number, amount="1.00", currency="INR", channel="upi", reference="R-1", sent_by="partner:1")
    (refusal,) = await contributions.receive(db, keys, tenant, [small], lane=lane_of(number))
    assert isinstance(refusal, EngineError)
    async with db.unit_of_work(tenant.tenant_id) as session:
        member = await reports.find_member(session, keys, number)
        _, given = await reports.tell_entitlements(session, tenant, member, on=date(2023, 6, 1))
        rules = [one.ref for one in tenant.book(member.product).latest() if one.rule.is_carried_out]
        everything = Determination(
            kind="projection", product=member.product, decided_on=date(2023, 6, 1), rules=rules,
            inputs=dict.fromkeys((*FACTS, *PARAMETERS), "7"), outcome={"expected": "7"},
        )  # fmt: skip
        (all_rules,) = await tenancy.record(session, tenant, [everything])
        run = RunDecided(
            kind="fee", run_no=1, product=member.product, decided_on=date(2023, 6, 1), rules=rules[:1], inputs={}
        )
        nothing = await tenancy.record_run(session, tenant, run)
        await session.execute(
            sql("insert into zero_results values (:m, :d, 900, :t, 'yearly', 'small-balance')"),
            {"m": member.member_id, "d": nothing, "t": tenant.tenant_id},
        )
        told = [
            await reports.tell_decision(session, keys, tenant, number_of, actor="staff:1", language="en", member=about)
            for number_of, about in (
                (int(receipt.receipt), None),
                (int(str(refusal.details["decision"])), None),
                (given, None),
                (all_rules, None),
                (nothing, number),
            )
        ]
    sentences = [sentence for one in told for sentence in one.sentences]
    assert len(sentences) > 250
    assert all(OPEN in sentence for sentence in sentences)
    assert sorted({word for one in sentences for word in left_in_english(one, data_of(tenant))}) == []


def strings(value: Any) -> Iterator[str]:
    """Return every text in a value, however deep."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, tuple):
        for one in value:
            yield from strings(one)
    elif hasattr(value, "__struct_fields__"):
        for name in value.__struct_fields__:
            yield from strings(getattr(value, name))


@pytest.mark.usefixtures("pseudo_language")
def test_every_refusal_is_translated_and_whole() -> None:
    say = translator("en").gettext
    kinds: list[type[EngineError]] = errors()
    for kind in kinds:
        details = dict.fromkeys(re.findall(r"{(\w+)}", kind.message), "7")
        problem = problem_of(kind(**details), say)
        for text in (problem.title, problem.detail):
            assert text.startswith(OPEN), (kind, text)
            assert text.endswith(CLOSE), (kind, text)
            assert "{" not in text, (kind, text)


@pytest.mark.apt("chromium")
@needs_chromium
@pytest.mark.parametrize("width", [320, 1200])
async def test_a_scheme_from_right_to_left(
    db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    """A scheme that speaks Arabic: its pages run from right to left, its figures in the digits its locale names."""
    pack = tmp_path / "packs" / "in-nps-lite"
    shutil.copytree(schemes.TENANTS / "in-nps-lite", pack)
    shutil.copytree(pack / "content/en", pack / "content/ar")
    manifest = (pack / "pack.toml").read_text(encoding="utf-8")
    manifest = manifest.replace('["en", "hi"]', '["en", "hi", "ar"]').replace(
        'hi = "hi_IN"', 'hi = "hi_IN"\nar = "ar_EG"'
    )
    (pack / "pack.toml").write_text(manifest, encoding="utf-8")
    monkeypatch.setattr(schemes, "TENANTS", tmp_path / "packs")
    india = await open_scheme(db, tmp_path, "in-nps-lite")
    member = await lived(india, "ar", "مريم عبد الله")
    async with serving(make_app(india)) as port, browsing() as browser:
        context = await browser.new_context(viewport={"width": width, "height": 640}, locale="ar")
        page = await context.new_page()
        origin = f"http://{host_of(india)}:{port}"
        shown = await walk(india, page, origin, member, "ar")
        await page.goto(f"{origin}/staff/members/{member}/statement?lang=ar")
        await page.screenshot(path=tmp_path / f"rtl-{width}.png", full_page=True)
        direction = await page.evaluate("getComputedStyle(document.body).direction")
        balance = await page.locator("#balance").inner_text()
        title, brand = [await page.locator(one).bounding_box() for one in ("h1", ".brand")]

    assert direction == "rtl"
    assert re.search(r"١٬٣٣٤٫٤٩", balance), balance
    assert title is not None
    assert brand is not None
    assert brand["x"] + brand["width"] >= width - 40
    assert sum(bool(re.search(r"[\u0600-\u06ff]", one)) for one in shown) > 120
