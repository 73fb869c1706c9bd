"""Money without an owner on staff's pages: what lies there, whose it may be, proposed by one person and given by another."""

from datetime import date, timedelta

from sqlalchemy import text

from engine.access.rules import Role
from tests.engine.contributions.test_owners import swapped
from tests.engine.reports.scheme import Scheme
from tests.engine.web.markup import every, rows_of, tree
from tests.engine.web.site import make_app, signed_in

DAY = date(2023, 6, 1)


async def test_a_payment_is_found_its_owner_by_two_people(india: Scheme) -> None:
    await india.advance(DAY)
    member = await india.enrol(group="sahyog")
    typo = await india.pay(swapped(member), "300.00")
    await india.pay("4711", "200.00")
    await india.advance(DAY + timedelta(days=40))
    app = make_app(india)
    officer = await signed_in(app, india, Role.CONTRIBUTIONS_OFFICER, label="officer")
    checker = await signed_in(app, india, Role.RECONCILIATION_OFFICER, label="checker")

    listed = tree((await officer.get("/staff/suspense")).text)
    assert [row[-1] for row in rows_of(listed, "suspense")] == ["₹300.00", "₹200.00"]
    assert rows_of(listed, "ages") == [["31-90", "2", "₹500.00"]]
    assert [row[1:] for row in rows_of(listed, "reasons")] in (
        [["1", "₹300.00"], ["1", "₹200.00"]],
        [["2", "₹500.00"]],
    )
    link = f"/staff/suspense/{typo.receipt}"
    assert link in {a.attrib["href"] for a in every(listed, "a")}
    assert link not in (await checker.get("/staff/suspense")).text
    assert (await checker.get(link)).status_code == 403

    shown = tree((await officer.get(link)).text)
    ((number, score, why, _),) = rows_of(shown, "owners")
    assert (number, score, why) == (member, "70", "Their number with two digits swapped")
    form = every(every(shown, "main")[0], "form")[0]
    sent = {one.attrib["name"]: one.attrib["value"] for one in every(form, "input", type="hidden")}
    assert sent["member"] == member
    forged = await officer.post(form.attrib["action"], data={"member": member}, follow_redirects=False)
    assert forged.status_code == 403
    done = await officer.post(form.attrib["action"], data=sent, follow_redirects=False)
    assert (done.status_code, done.headers["location"]) == (303, f"{link}?done=proposed")
    after = tree((await officer.get(done.headers["location"])).text)
    assert not every(every(after, "main")[0], "form"), "one proposal at a time"
    ((*_, state),) = rows_of(after, "proposals")
    assert state == "waits for a second person"

    ((what, item, *_),) = rows_of(tree((await checker.get("/staff/waiting")).text), "waiting")
    assert what == "Owner of a payment"
    page = tree((await checker.get(f"/staff/waiting/suspense/{item}")).text)
    (form,) = every(every(page, "main")[0], "form")
    sent = {one.attrib["name"]: one.attrib["value"] for one in every(form, "input", type="hidden")}
    approved = await checker.post(form.attrib["action"], data=sent | {"decision": "approve"}, follow_redirects=False)
    assert approved.status_code == 303
    assert (await officer.get(link)).status_code == 404
    assert [row[-1] for row in rows_of(tree((await officer.get("/staff/suspense")).text), "suspense")] == ["₹200.00"]


async def test_what_is_no_receipt_is_not_there(india: Scheme) -> None:
    await india.advance(DAY)
    officer = await signed_in(make_app(india), india, Role.CONTRIBUTIONS_OFFICER)
    for receipt in ("0", "1", "9" * 30, str(2**63 - 1)):
        assert (await officer.get(f"/staff/suspense/{receipt}")).status_code == 404
    async with india.db.unit_of_work(india.tenant.tenant_id) as session:
        assert await session.scalar(text("select count(*) from suspense_proposals")) == 0
