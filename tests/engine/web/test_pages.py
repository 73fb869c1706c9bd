"""The pages by their HTML: figures equal their lists, one tenant's words never stand on another's page."""

import html
import re
from datetime import date, time

import pytest
from sqlalchemy import text

from engine.runtime.database import Role
from tests.engine.reports.scheme import Scheme
from tests.engine.reports.test_service import sell
from tests.engine.web.markup import by_id, every, rows_of, tree, words
from tests.engine.web.site import Client, host_of, make_app, sign_in_token, signed_in

CSP = (
    "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)


def figures(page: str) -> dict[str, tuple[str, str, str]]:
    """Return label -> (value, note, link) of the figures on a page."""
    found = {}
    for item in every(every(tree(page), "ul", class_="figures")[0], "li"):
        (value,) = [part for part in item.iter() if part.get("class") == "value"]
        (label,) = every(item, "span", class_="label")
        note = "".join(words(part) for part in every(item, "span", class_="note"))
        found[words(label)] = (words(value), note, value.get("href") or "")
    return found


async def all_rows(client: Client, href: str, table: str) -> list[list[str]]:
    """Return the rows of a list, page after page."""
    rows: list[list[str]] = []
    seen = 0
    while href:
        answer = await client.get(href)
        assert answer.status_code == 200, answer.text
        page = tree(answer.text)
        rows += [row for row in rows_of(page, table) if len(row) > 1]
        href = "".join(link.attrib["href"] for link in every(page, "a", rel="next"))
        seen += 1
        assert seen < 20
    return rows


def rupees(texts: list[str]) -> int:
    return sum(int(re.sub(r"[^0-9]", "", text)) for text in texts)


async def lively(india: Scheme) -> list[str]:
    """A day before and a day with 57 payments, 3 of them nobody's, and 54 members."""
    await india.advance(date(2023, 6, 1))
    numbers = [await india.enrol(group="sahyog") for _ in range(54)]
    await india.pay(numbers[0], "1000.00")
    await india.advance(date(2023, 6, 8))
    for index, number in enumerate(numbers):
        await india.pay(number, f"{100 + index}.50")
    for index in range(3):
        await india.pay("4711", f"{200 + index}.00")
    return numbers


async def test_each_figure_is_what_its_list_adds_up_to(india: Scheme) -> None:
    await lively(india)
    client = await signed_in(make_app(india), india)

    today = figures((await client.get("/staff")).text)

    value, note, href = today["Money without an owner"]
    rows = await all_rows(client, href, "suspense")
    assert (value, note) == ("₹603.00", "3 payments · the oldest waits 0 days")
    assert [row[-1] for row in rows] == ["₹200.00", "₹201.00", "₹202.00"]
    for label, count in (("Received today", 57), ("Received this month", 58)):
        value, note, href = today[label]
        rows = await all_rows(client, href, "payments")
        assert note == f"{count} payments"
        assert len({row[0] for row in rows}) == len(rows) == count
        assert rupees([row[3] for row in rows]) == rupees([value])
    value, _, href = today["Members"]
    rows = await all_rows(client, href, "members")
    assert (value, len({row[0] for row in rows})) == ("54", 54)
    assert today["Entries in the signed log"][0] == "0"


async def test_the_last_checkpoint(india: Scheme) -> None:
    await india.advance(date(2023, 6, 1), time(18, 30))
    async with india.db.unit_of_work(india.tenant.tenant_id, role=Role.SEQUENCER) as session:
        await session.execute(
            text("""insert into audit_checkpoints (size, signed_at, tenant_id, root, note)
                    values (1234, '2023-06-01 13:05:00+00', :t, :root, 'note')"""),
            {"t": india.tenant.tenant_id, "root": b"\0" * 32},
        )
    client = await signed_in(make_app(india), india)

    today = figures((await client.get("/staff")).text)

    assert today["Entries in the signed log"] == (
        "1,234",
        "Signed on 1 Jun 2023 at 18:35",
        f"/log/{india.tenant.code}/checkpoint",
    )


async def test_orders_that_sell_units_are_listed(india: Scheme) -> None:
    await india.advance(date(2023, 6, 1))
    number = await india.enrol(group="sahyog")
    await india.reconcile([await india.pay(number, "500.00")])
    await india.deal(date(2023, 6, 1))
    await india.advance(date(2023, 6, 5))
    await india.prices(date(2023, 6, 5), {"SM001009": "25.0000"})
    await india.deal(date(2023, 6, 5))
    client = await signed_in(make_app(india), india, "price-checker")
    assert "orders-sold" not in (await client.get("/staff/dealing")).text

    await sell(india, number, 40_000)
    await india.deal(date(2023, 6, 5))
    await india.advance(date(2023, 6, 6))
    (waiting,) = rows_of(tree((await client.get("/staff/dealing")).text), "orders-sold")
    await india.prices(date(2023, 6, 6), {"SM001009": "25.5000"})
    await india.deal(date(2023, 6, 6))
    (priced,) = rows_of(tree((await client.get("/staff/dealing")).text), "orders-sold")

    assert waiting[2:] == ["4.0000", "waits for its price", "–", "–", "–"]
    assert priced[2:] == ["4.0000", "priced", "6 Jun 2023", "₹25.5000", "₹102.00"]
    await india.advance(date(2023, 6, 7))
    member = (await (await member_reader(india)).get(f"/staff/members/{number}/statement")).text
    assert "Payable to you" in member
    assert "₹102.00" in member


async def member_reader(scheme: Scheme) -> Client:
    return await signed_in(make_app(scheme), scheme, "operator", label="reader")


async def test_prices_and_orders_have_their_figures(india: Scheme) -> None:
    await india.advance(date(2023, 6, 1))
    number = await india.enrol(group="sahyog")
    await india.reconcile([await india.pay(number, "500.00")])
    await india.advance(date(2023, 6, 5))
    await india.prices(date(2023, 6, 1), {"SM001009": "25.0000", "SM002009": "25.0000"})
    await india.deal(date(2023, 6, 1))
    await india.prices(date(2023, 6, 5), {"SM001009": "50.0000", "SM002009": "25.1000"}, actor="staff:0")
    await india.deal(date(2023, 6, 5))
    app = make_app(india)
    checker = await signed_in(app, india, "price-checker")

    today = figures((await checker.get("/staff")).text)
    page = await checker.get("/staff/dealing")

    assert today["Prices that wait for a second person"][0] == "1"
    assert today["Orders that wait for their price"][:2] == ("₹500.00", "1 order")
    assert today["Last price"][0] == "5 Jun 2023"
    assert today["Money without an owner"][2] == "", "a price checker may not read contributions"
    held = by_id(tree(page.text), "held")
    assert len(every(held, "article")) == 1
    assert "50.0000" not in page.text, "the second person reads the price elsewhere"
    (row,) = rows_of(tree(page.text), "orders-waiting")
    assert "₹500.00" in row

    (form,) = every(held, "form")
    action = form.attrib["action"]
    token = every(form, "input", name="csrf_token")[0].attrib["value"]
    forged = await checker.post(action, data={"decision": "approve", "price": "50.0000"}, follow_redirects=False)
    wrong = await checker.post(
        action, data={"decision": "approve", "price": "5.0000", "csrf_token": token}, follow_redirects=False
    )
    right = await checker.post(
        action, data={"decision": "approve", "price": "50", "csrf_token": token}, follow_redirects=False
    )
    again = await checker.post(
        action, data={"decision": "approve", "price": "50", "csrf_token": token}, follow_redirects=False
    )
    assert [one.status_code for one in (forged, wrong, right, again)] == [403, 422, 303, 409]
    assert "The price was approved." in (await checker.get(right.headers["location"])).text
    assert figures((await checker.get("/staff")).text)["Prices that wait for a second person"][0] == "0"
    (job,) = rows_of(tree((await checker.get("/staff/jobs")).text), "jobs")
    assert job == ["funds.price_orders", "waiting", "1", "0"], "the orders that waited are allotted soon after"


async def test_who_brought_a_price_in_gets_no_form(india: Scheme) -> None:
    await india.advance(date(2023, 6, 5))
    app = make_app(india)
    client = await signed_in(app, india, "price-checker")
    async with india.db.unit_of_work(india.tenant.tenant_id) as session:
        own = await session.scalar(text("select 'staff:' || staff_id from staff"))
    await india.prices(date(2023, 6, 1), {"SM001009": "25.0000"})
    await india.prices(date(2023, 6, 5), {"SM001009": "50.0000"}, actor=own)

    page = (await client.get("/staff/dealing")).text
    assert not every(by_id(tree(page), "held"), "form")
    assert "another person decides" in page

    onlooker = await signed_in(app, india, "operator", label="onlooker")
    page = (await onlooker.get("/staff/dealing")).text
    assert not every(by_id(tree(page), "held"), "form")
    assert "Only a price checker decides on it." in page


async def test_the_statement_page_shows_what_the_books_hold(india: Scheme) -> None:
    await india.advance(date(2023, 6, 1))
    number = await india.enrol(group="sahyog", name="Sunita Devi")
    await india.pay(number, "1234.50")
    await india.advance(date(2023, 6, 2))
    await india.pay(number, "100.00")
    client = await signed_in(make_app(india), india)

    page = await client.get(f"/staff/members/{number}/statement")
    past = await client.get(f"/staff/members/{number}/statement?as_of=2023-06-01")
    hindi = await client.get(f"/staff/members/{number}/statement?lang=hi")

    assert words(by_id(tree(page.text), "balance")) == "₹1,334.50"
    assert words(by_id(tree(past.text), "balance")) == "₹1,234.50"
    assert "Sunita" not in page.text
    assert "आपकी बचत का विवरण" in hindi.text
    (actions,) = every(tree(past.text), "p", class_="actions")
    links = [link.attrib["href"] for link in every(actions, "a")]
    assert links == [
        f"/v1/members/{number}/statement.pdf?as_of=2023-06-01&lang=en",
        f"/v1/members/{number}/statement?as_of=2023-06-01",
    ]
    assert (await client.get(links[0])).content.startswith(b"%PDF-")
    assert (await client.get(links[1])).json()["totals"]["value"] == "1234.50"
    found = await client.get(f"/staff/members/find?number={number[:4]}%20{number[4:]}", follow_redirects=False)
    assert found.headers["location"] == f"/staff/members/{number}/statement"


async def test_every_page_is_safe_and_says_its_language(india: Scheme) -> None:
    await india.advance(date(2023, 6, 1))
    number = await india.enrol(group="sahyog")
    client = await signed_in(make_app(india), india)

    for path in (
        "/",
        "/staff",
        "/staff/members",
        "/staff/contributions",
        "/staff/suspense",
        "/staff/dealing",
        "/staff/jobs",
        f"/staff/members/{number}/statement",
        "/staff/nowhere",
    ):
        page = await client.get(path)
        root = tree(page.text)
        assert page.headers["content-security-policy"] == CSP, path
        assert page.headers["content-type"].startswith("text/html"), path
        assert ("no-store" in page.headers["cache-control"]) == path.startswith("/staff"), path
        assert root.get("lang") == page.headers["content-language"] == "en", path
        assert not [one.tag for one in root.iter() if one.tag in ("script", "style", "iframe")], path
        assert not [name for one in root.iter() for name in one.attrib if name == "style" or name.startswith("on")], (
            path
        )
        assert every(root, "a")[0].get("href") == "#content", path
        assert len(every(root, "h1")) == 1, path
        assert all(every(table, "caption") for table in every(root, "table")), path
        named = {label.get("for") for label in every(root, "label")}
        fields = [one for one in every(root, "input") if one.get("type") != "hidden"]
        assert {field.get("id") for field in fields} <= named, path
        ids = [one.attrib["id"] for one in root.iter() if "id" in one.attrib]
        assert len(ids) == len(set(ids)), path
        urls = [one.attrib[name] for one in root.iter() for name in ("href", "src", "action") if name in one.attrib]
        assert all(re.match(r"(/(?!/)|#|\?)", url) for url in urls), path


async def test_two_tenants_share_no_word_colour_or_money(india: Scheme, rwanda: Scheme) -> None:
    pages: list[str] = []
    app = make_app(india, rwanda)
    for scheme, amount in ((india, "123456.00"), (rwanda, "123456")):
        await scheme.advance(date(2023, 6, 1))
        number = await scheme.enrol(group="sahyog" if scheme is india else "")
        if scheme is rwanda:
            await scheme.pay(number, amount)
        client = await signed_in(app, scheme)
        shown = [await client.get(path) for path in ("/", "/staff", f"/staff/members/{number}/statement")]
        style = every(tree(shown[0].text), "link", rel="stylesheet")[0].attrib["href"]
        shown += [await client.get(style), await client.get(style.replace("style.css", "logo.svg"))]
        assert [one.status_code for one in shown] == [200] * 5
        pages.append("\n".join(html.unescape(one.text) for one in shown))

    brands = [scheme.tenant.pack.theme.colours.brand for scheme in (india, rwanda)]
    of_india = ["National Pension System", "₹", "हिन्दी", brands[0], "Aggregator", india.tenant.code]
    of_rwanda = ["EjoHeza", "RF\xa0123,456", "Ikinyarwanda", brands[1], "MTN", rwanda.tenant.code]
    for own_words, own, other in ((of_india, pages[0], pages[1]), (of_rwanda, pages[1], pages[0])):
        assert [word for word in own_words if word not in own] == []
        assert [word for word in own_words if word in other] == []


async def test_another_tenants_member_is_not_found_and_staff_stay_in_their_own(india: Scheme, rwanda: Scheme) -> None:
    keza = await rwanda.enrol()
    client = await signed_in(make_app(india, rwanda), india)

    other = await client.get(f"/staff/members/{keza}/statement")
    nobody = await client.get("/staff/members/123456789015/statement")
    elsewhere = await client.get("/staff", headers={"host": host_of(rwanda)})

    assert other.status_code == nobody.status_code == 404
    assert other.text.replace(keza, "#") == nobody.text.replace("123456789015", "#")
    assert "EjoHeza" not in elsewhere.text, "a session shows its own tenant whatever the host name"


@pytest.mark.parametrize(
    ("path", "cookie", "header", "language"),
    [
        ("/", None, None, "rw"),
        ("/", None, "fr-RW,fr;q=0.9,en;q=0.5", "fr"),
        ("/", None, "en;q=0.5, fr;q=0.8", "fr"),
        ("/", None, "de", "rw"),
        ("/", None, "fr;q=0, en", "en"),
        ("/", None, "fr;q=x,,;;", "rw"),
        ("/", "fr", "en", "fr"),
        ("/?lang=en", "fr", "rw", "en"),
        ("/?lang=hi", None, "fr", "fr"),
        ("/?lang=../x", "../y", "fr", "fr"),
    ],
)
async def test_the_language_of_a_page(
    rwanda: Scheme, path: str, cookie: str | None, header: str | None, language: str
) -> None:
    client = Client(make_app(rwanda), base_url=f"http://{host_of(rwanda)}")
    if cookie:
        client.cookies.set("akiba_language", cookie)

    page = await client.get(path, headers={"accept-language": header or "", "accept": "text/html"})

    assert tree(page.text).get("lang") == language
    chosen = path.startswith("/?lang=") and language == "en"
    assert ("akiba_language=en" in page.headers.get("set-cookie", "")) == chosen


async def test_refusals_are_pages_for_people_and_problems_for_programs(india: Scheme) -> None:
    await india.advance(date(2023, 6, 1))
    number = await india.enrol(group="sahyog")
    app = make_app(india)
    nobody = Client(app, base_url=f"http://{host_of(india)}")
    client = await signed_in(app, india)

    page = await nobody.get("/staff", headers={"accept": "text/html", "accept-language": "hi"})
    problem = await nobody.get("/staff", headers={"accept": "application/json"})
    tomorrow = await client.get(f"/staff/members/{number}/statement?as_of=2023-06-02")
    malformed = await client.get(f"/staff/members/{number}/statement?as_of=1.6.2023")
    api = await client.get(f"/v1/members/{number}/statement?as_of=1.6.2023", headers={"accept": "text/html"})
    forbidden = await (await signed_in(app, india, "price-maker", label="maker")).get("/staff/members")

    assert (page.status_code, problem.status_code) == (401, 401)
    assert page.headers["www-authenticate"] == problem.headers["www-authenticate"]
    assert "राष्ट्रीय पेंशन प्रणाली" in page.text
    assert tree(page.text).get("lang") == "hi"
    assert problem.headers["content-type"] == "application/problem+json"
    assert (tomorrow.status_code, malformed.status_code, forbidden.status_code) == (422, 400, 403)
    assert "2023-06-02 has not come yet." in tomorrow.text
    assert "reports.date-in-future" in tomorrow.text
    assert api.headers["content-type"] == "application/problem+json"
    assert api.json()["code"] == "reports.date-malformed"


async def test_a_host_nobody_serves_gets_a_plain_page(india: Scheme) -> None:
    client = Client(make_app(india), base_url="http://unknown.example")

    page = await client.get("/", headers={"accept": "text/html"})

    assert page.status_code == 404
    assert "National Pension" not in page.text
    assert not every(tree(page.text), "link")


async def test_stylesheets_are_small_and_kept_for_ever(india: Scheme) -> None:
    client = Client(make_app(india), base_url=f"http://{host_of(india)}")
    page = await client.get("/")
    style = every(tree(page.text), "link", rel="stylesheet")[0].attrib["href"]

    sheet = await client.get(style)
    old = await client.get(re.sub(r"/[0-9a-f]{16}/", "/0123456789abcdef/", style))

    assert len(sheet.content) < 9_000
    assert sheet.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert not re.search(
        r"(margin|padding|border|inset)-(left|right|top|bottom)|text-align:(left|right)|float:", sheet.text
    )
    assert "url(" not in sheet.text
    assert old.status_code == 404
    assert len(page.content) < 14_000


async def test_the_month_begins_at_midnight_of_the_scheme(india: Scheme) -> None:
    """Kolkata is ahead of UTC: the first hours of its month are still the last of the month before in UTC."""
    await india.advance(date(2023, 5, 31), time(23, 59))
    number = await india.enrol(group="sahyog")
    await india.pay(number, "100.00")
    await india.advance(date(2023, 6, 1), time(0, 1))
    await india.pay(number, "200.00")
    client = await signed_in(make_app(india), india)

    today = figures((await client.get("/staff")).text)

    assert today["Received this month"][0] == today["Received today"][0] == "₹200.00"


async def test_looking_at_a_sign_in_link_is_no_sign_in(india: Scheme) -> None:
    app = make_app(india)
    client = Client(app, base_url=f"http://{host_of(india)}")
    token = await sign_in_token(india)

    await client.get(f"/staff/enter/{token}")

    assert (await client.get("/staff", headers={"accept": "text/html"})).status_code == 401
