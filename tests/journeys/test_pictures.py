"""Pictures of two schemes in three scripts: `make pictures` keeps them in `docs/pictures`, the tests look at them and forget."""

import os
import shutil
from pathlib import Path

import fontpkg_noto_sans
import fontpkg_noto_sans_arabic
import fontpkg_noto_sans_devanagari
import pytest
from playwright.async_api import Page, async_playwright

from engine.runtime.database import Database
from tests.engine.web.site import host_of, make_app, sign_in_token
from tests.journeys.test_pages import CHROMIUM, OVERFLOW, serving, two_schemes

KEPT = os.environ.get("AKIBA_PICTURES")
FONTS = (fontpkg_noto_sans, fontpkg_noto_sans_devanagari, fontpkg_noto_sans_arabic)

# Whether two letters of the script of the page's heading have one shape: boxes that stand for letters are alike.
ALIKE = """() => {
  const letters = [...new Set(document.querySelector('h1').innerText.match(/\\p{L}/gu))].slice(0, 6);
  const drawn = letters.map(letter => {
    const canvas = document.createElement('canvas'); const pen = canvas.getContext('2d');
    pen.font = '40px ' + getComputedStyle(document.body).fontFamily; pen.fillText(letter, 20, 60);
    return canvas.toDataURL();
  });
  return new Set(drawn).size < 2;
}"""


def with_fonts(home: Path) -> dict[str, str | float | bool]:
    """Give the browser the fonts that papers are printed in: a machine may have none for a script."""
    folder = home / "fonts"
    folder.mkdir(parents=True)
    for package in FONTS:
        for font in Path(package.__file__).parent.rglob("*.ttf"):
            shutil.copy(font, folder)
    return {**os.environ, "XDG_DATA_HOME": str(home), "XDG_CACHE_HOME": str(home / "cache")}


async def picture(page: Page, url: str, path: Path) -> None:
    await page.goto(url)
    assert await page.evaluate(OVERFLOW) <= 0, url
    assert await page.evaluate(ALIKE) is False, "letters without a font are all drawn as the same box"
    await page.screenshot(path=path, full_page=True)


@pytest.mark.apt("chromium")
@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")
async def test_two_schemes_are_pictured_in_their_scripts(db: Database, tmp_path: Path) -> None:
    """The same pages of two tenants, each in its colours and words; no two pictures are alike."""
    india, asha, rwanda, keza = await two_schemes(db, tmp_path)
    out = Path(KEPT) if KEPT else tmp_path
    out.mkdir(exist_ok=True)
    taken: list[Path] = []
    async with serving(make_app(india, rwanda)) as port, async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"],
            env=with_fonts(tmp_path / "home"),
        )
        for scheme, member, language, width in (
            (india, asha, "hi", 900),
            (rwanda, keza, "rw", 900),
            (india, asha, "hi", 320),
        ):
            origin = f"http://{host_of(scheme)}:{port}"
            context = await browser.new_context(viewport={"width": width, "height": 640}, locale=language)
            page = await context.new_page()
            await page.goto(f"{origin}/staff/enter/{await sign_in_token(scheme)}")
            await page.locator("main button").click()
            for what, path in (("desk", "/staff"), ("statement", f"/staff/members/{member}/statement")):
                taken.append(out / f"{what}-{scheme.tenant.code[:2]}-{language}-{width}.png")
                await picture(page, f"{origin}{path}?lang={language}", taken[-1])
            await context.close()
        await browser.close()

    assert len({one.read_bytes() for one in taken}) == len(taken) == 6
