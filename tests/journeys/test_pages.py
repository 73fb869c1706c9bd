"""A morning at the operator's desk in a real browser, without JavaScript, on a telephone and on a desk."""

import asyncio
import shutil
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import date
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import uvicorn
from litestar import Litestar
from playwright.async_api import Browser, Page, Request, async_playwright, expect

from engine.runtime.database import Database
from tests.engine.reports.scheme import Scheme, open_scheme
from tests.engine.web.site import host_of, make_app, sign_in_token

CHROMIUM = shutil.which("chromium")
pytestmark = [
    pytest.mark.apt("chromium"),
    pytest.mark.skipif(CHROMIUM is None, reason="needs chromium"),
]
# What `scrollWidth` of the page exceeds its window by, and the elements too small to hit with a finger.
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
SMALL = """[...document.querySelectorAll('a, button, input:not([type=hidden])')].filter(e => {
  const box = e.getBoundingClientRect(); const inline = getComputedStyle(e).display === 'inline';
  return box.width > 0 && !inline && !e.classList.contains('skip') && (box.width < 24 || box.height < 24);
}).map(e => e.outerHTML)"""


@asynccontextmanager
async def serving(app: Litestar) -> AsyncIterator[int]:
    """Serve the application on a free port."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = int(listener.getsockname()[1])
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="on"))
        task = asyncio.create_task(server.serve(sockets=[listener]))
        while not server.started:  # noqa: ASYNC110 - uvicorn offers no event
            await asyncio.sleep(0.02)
        try:
            yield port
        finally:
            server.should_exit = True
            await task


@asynccontextmanager
async def browsing() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
        )
        try:
            yield browser
        finally:
            await browser.close()


async def two_schemes(db: Database, folder: Path) -> tuple[Scheme, str, Scheme, str]:
    india = await open_scheme(db, folder, "in-nps-lite")
    rwanda = await open_scheme(db, folder, "rw-ejoheza")
    rwanda.keys = india.keys
    for scheme in (india, rwanda):
        await scheme.advance(date(2023, 6, 1))
    asha = await india.enrol(group="sahyog", name="Asha Kumari", language="hi")
    receipt = await india.pay(asha, "1234.50")
    await india.reconcile([receipt])
    await india.advance(date(2023, 6, 2))
    await india.prices(date(2023, 6, 2), {"SM001009": "32.6034"})
    await india.deal(date(2023, 6, 1))
    await india.deal(date(2023, 6, 2))
    await india.pay("4711", "300.00")
    await india.pay(asha, "100.00")
    keza = await rwanda.enrol(name="Keza Uwase", language="rw")
    await rwanda.pay(keza, "1500")
    return india, asha, rwanda, keza


def noting(asked: list[str]) -> Callable[[Request], None]:
    return lambda request: asked.append(request.url)


async def checked(page: Page) -> None:
    """A page fits its window, its controls can be hit, and a table that is wider scrolls inside its own region."""
    assert await page.evaluate(OVERFLOW) <= 0, page.url
    assert await page.evaluate(SMALL) == [], page.url


@pytest.mark.parametrize("width", [320, 1200])
async def test_a_morning_at_the_desk(db: Database, tmp_path: Path, width: int) -> None:
    india, asha, rwanda, keza = await two_schemes(db, tmp_path)
    app = make_app(india, rwanda)
    async with serving(app) as port, browsing() as browser:
        bodies: dict[str, str] = {}
        for scheme, member, money, balance in (
            (india, asha, "₹400.00", "₹1,334.49"),
            (rwanda, keza, "RF\xa01.500", "RF\xa01.500"),
        ):
            origin = f"http://{host_of(scheme)}:{port}"
            context = await browser.new_context(
                java_script_enabled=False,
                viewport={"width": width, "height": 640},
                locale="en" if scheme is india else "rw",
            )
            asked: list[str] = []
            context.on("request", noting(asked))
            page = await context.new_page()

            await page.goto(origin)
            await checked(page)
            await page.screenshot(path=tmp_path / f"landing-{scheme.tenant.code[:2]}-{width}.png", full_page=True)
            await page.goto(f"{origin}/staff/enter/{await sign_in_token(scheme)}")
            await page.locator("main button").click()
            await expect(page).to_have_url(f"{origin}/staff")
            await checked(page)
            shown = [await page.content()]
            today = page.locator("ul.figures li").nth(1).locator(".value")
            await expect(today).to_have_text(money)
            await page.screenshot(path=tmp_path / f"staff-{scheme.tenant.code[:2]}-{width}.png", full_page=True)

            for index in range(await page.locator("nav.nav a").count()):
                await page.locator("nav.nav a").nth(index).click()
                await checked(page)
                await expect(page.locator("nav.nav a[aria-current]")).to_have_count(1)
                shown.append(await page.content())
                await page.screenshot(
                    path=tmp_path / f"page{index}-{scheme.tenant.code[:2]}-{width}.png", full_page=True
                )

            if scheme is india:
                await page.goto(f"{origin}/staff/suspense")
                await page.locator("#content tbody a").first.click()
                await checked(page)
                await page.locator("#member").fill(member)
                await page.locator("main form.row button").click()
                await expect(page.locator("main .notice")).to_be_visible()
                await checked(page)
                await page.screenshot(path=tmp_path / f"suspended-{width}.png", full_page=True)

            await page.goto(f"{origin}/staff/members")
            await page.get_by_role("link", name=member).click()
            await expect(page.locator("#balance")).to_have_text(balance)
            await checked(page)
            await page.screenshot(path=tmp_path / f"statement-{scheme.tenant.code[:2]}-{width}.png", full_page=True)
            await page.locator("#as_of").fill("2023-06-01")
            await page.locator("main form button").click()
            await expect(page).to_have_url(f"{origin}/staff/members/{member}/statement?as_of=2023-06-01")
            shown.append(await page.content())
            await page.locator("footer a").last.click()
            await checked(page)

            await page.locator("header button").click()
            await expect(page.locator("h1")).to_be_visible()
            assert (await page.goto(f"{origin}/staff")).status == 401  # type: ignore[union-attr]
            await checked(page)
            assert {urlsplit(url).netloc for url in asked} == {urlsplit(origin).netloc}
            bodies[scheme.tenant.code] = "\n".join(shown)
            await context.close()

        for scheme, foreign in ((india, ("EjoHeza", "RF", "Kinyarwanda")), (rwanda, ("NPS", "₹", "Pension"))):
            assert [word for word in foreign if word in bodies[scheme.tenant.code]] == []


async def test_the_keyboard_reaches_everything_in_reading_order(db: Database, tmp_path: Path) -> None:
    india, _, _, _ = await two_schemes(db, tmp_path)
    async with serving(make_app(india)) as port, browsing() as browser:
        context = await browser.new_context(viewport={"width": 1200, "height": 800}, locale="en")
        page = await context.new_page()
        origin = f"http://{host_of(india)}:{port}"
        await page.goto(f"{origin}/staff/enter/{await sign_in_token(india)}")
        await page.locator("main button").click()
        await page.goto(f"{origin}/staff/members")

        reached: list[tuple[str, bool]] = []
        for _ in range(60):
            await page.keyboard.press("Tab")
            found = await page.evaluate(
                """() => { const e = document.activeElement; if (e === document.body) return null;
                     const all = [...document.querySelectorAll('*')];
                     return [all.indexOf(e), getComputedStyle(e).outlineStyle !== 'none', e.className]; }"""
            )
            if found is None:
                break
            reached.append((found[0], found[1]))
            if len(reached) == 1:
                assert found[2] == "skip"
        places = [place for place, _ in reached]
        controls = await page.evaluate(
            "document.querySelectorAll('a[href], button, input:not([type=hidden]), .scroll').length"
        )

        assert places == sorted(places)
        assert len(places) == controls
        assert all(is_visible for _, is_visible in reached)
        await context.close()


@pytest.mark.apt("poppler-utils")
async def test_a_statement_page_prints_on_one_sheet(db: Database, tmp_path: Path) -> None:
    from pypdf import PdfReader

    india, asha, _, _ = await two_schemes(db, tmp_path)
    async with serving(make_app(india)) as port, browsing() as browser:
        page = await (await browser.new_context(locale="en")).new_page()
        origin = f"http://{host_of(india)}:{port}"
        await page.goto(f"{origin}/staff/enter/{await sign_in_token(india)}")
        await page.locator("main button").click()
        await page.goto(f"{origin}/staff/members/{asha}/statement")
        await page.pdf(path=tmp_path / "printed.pdf", format="A4", prefer_css_page_size=True)

    reader = PdfReader(tmp_path / "printed.pdf")
    text = reader.pages[0].extract_text()
    assert len(reader.pages) == 1
    assert "₹1,334.49" in text
    assert "What you may expect" in text
    assert "Sign out" not in text
