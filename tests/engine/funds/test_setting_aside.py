"""Breaks of confirmations that two people end: nothing but the break changes, and the manager's right word still confirms."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy.exc

from engine.access.errors import SamePerson
from engine.funds import errors
from engine.funds import service as funds
from engine.funds.api import SettingAsideController
from engine.kernel.amounts import Amount
from tests.engine.funds.conftest import UNMATCHED
from tests.engine.funds.test_confirming import INR, books, confirmation, file_of, ordered, outcomes, priced
from tests.engine.funds.test_ordering import small
from tests.factories.routes import routes
from tests.factories.trading import Trading

__all__ = ["small"]


async def broken(trading: Trading) -> funds.Confirmation:
    await ordered(trading)
    await priced(trading)
    report = await trading.confirm(file_of(trading, confirmation(trading, amount=Amount(500_01, INR))))
    (found,) = report.breaks
    return found


async def propose(trading: Trading, one: funds.Confirmation, *, actor: str = "staff:1") -> funds.SettingAside:
    async with trading.scheme.db.unit_of_work(trading.scheme.tenant.tenant_id) as session:
        return await funds.propose_setting_aside(
            session, one.file, one.place, cause="withdrawn-by-manager", actor=actor
        )


async def decide(
    trading: Trading, one: funds.SettingAside, use: Any, *, digest: str = "", actor: str = "staff:2"
) -> Any:
    scheme = trading.scheme
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        return await use(session, scheme.tenant, one.proposal, digest=digest or one.digest, actor=actor)


async def test_a_break_is_set_aside_by_two_and_nothing_else_changes(small: Trading) -> None:
    found = await broken(small)
    before = await books(small.scheme)
    proposed = await propose(small, found)
    assert await outcomes(small) == [("break", "another-amount")]
    with pytest.raises(errors.SettingAsideDecided):
        await propose(small, found, actor="staff:3")
    with pytest.raises(SamePerson):
        await decide(small, proposed, funds.approve_setting_aside, actor="staff:1")
    with pytest.raises(errors.SettingAsideDiffers):
        await decide(small, proposed, funds.approve_setting_aside, digest="0" * 64)
    with pytest.raises(errors.UnknownSettingAside):
        await decide(small, replace_number(proposed), funds.approve_setting_aside)

    decided = await asyncio.gather(
        *(decide(small, proposed, funds.approve_setting_aside) for _ in range(3)), return_exceptions=True
    )
    assert [type(one) for one in decided].count(funds.SettingAside) == 1
    assert [type(one) for one in decided].count(errors.SettingAsideDecided) == 2
    assert await outcomes(small) == [("set-aside", "")]
    assert await books(small.scheme) == before
    (told,) = await small.events(318)
    assert (told["reason"], told["cause"], told["maker"]) == ("another-amount", "withdrawn-by-manager", "staff:1")
    assert [confirmed for *_, confirmed in await small.files()] == [0], "the order still waits for its manager"
    with pytest.raises(errors.UnknownBreak):
        await propose(small, found)
    assert not await small.scheme.broken(but=UNMATCHED)


def replace_number(one: funds.SettingAside) -> funds.SettingAside:
    return funds.SettingAside(
        proposal=one.proposal + 7, file=one.file, place=one.place, cause=one.cause, state=one.state, maker=one.maker,
        checker=one.checker, digest=one.digest,
    )  # fmt: skip


async def test_the_right_word_confirms_after_the_wrong_one_was_set_aside_and_the_same_again_stays_so(
    small: Trading,
) -> None:
    found = await broken(small)
    await decide(small, await propose(small, found), funds.approve_setting_aside)
    again = confirmation(small, amount=Amount(500_01, INR))
    right = replace(confirmation(small), deal_ref="D-RIGHT")
    report = await small.confirm(file_of(small, again, right), "later.csv")
    assert (report.confirmed, report.repeated, report.broken) == (1, 1, 0)
    assert [confirmed for *_, confirmed in await small.files()] == [1]
    assert not await small.scheme.broken(but=UNMATCHED)


async def test_a_rejected_proposal_leaves_the_break_and_another_may_be_made(small: Trading) -> None:
    found = await broken(small)
    first = await propose(small, found)
    await decide(small, first, funds.reject_setting_aside)
    assert await outcomes(small) == [("break", "another-amount")]
    second = await propose(small, found)
    assert second.proposal == first.proposal + 1
    async with small.scheme.db.unit_of_work(small.scheme.tenant.tenant_id) as session:
        listed = await funds.list_settings_aside(session)
    assert [(one.state, one.maker, one.checker) for one in listed] == [
        ("proposed", "staff:1", ""),
        ("rejected", "staff:1", "staff:2"),
    ]


async def test_a_break_that_the_manager_ended_meanwhile_is_not_set_aside(small: Trading) -> None:
    found = await broken(small)
    proposed = await propose(small, found)
    await small.confirm(file_of(small, confirmation(small)), "corrected.csv")
    assert await outcomes(small) == [("superseded", ""), ("confirmed", "")]
    with pytest.raises(errors.SettingAsideDiffers):
        await decide(small, proposed, funds.approve_setting_aside)
    await decide(small, proposed, funds.reject_setting_aside)
    with pytest.raises(sqlalchemy.exc.ProgrammingError, match="permission denied"):
        await small.scheme.rows("update confirmation_proposals set cause = 'sent-in-error'")


async def test_a_break_is_proposed_and_set_aside_over_http(small: Trading) -> None:
    found = await broken(small)
    path, second = "/v1/confirmation-proposals", {"X-Actor": "staff:2"}
    wanted = {"file": found.file, "place": found.place, "cause": "sent-in-error"}
    async with routes(small.scheme.tenant, small.scheme.db, SettingAsideController) as client:
        made = await client.post(path, json=wanted)
        assert (made.status_code, made.json()["maker"]) == (201, "staff:1")
        twice = await client.post(path, json=wanted)
        assert (twice.status_code, twice.json()["code"]) == (409, "funds.setting-aside-decided")
        assert (await client.post(path, json=wanted | {"place": 99})).status_code == 404
        number, seen = made.json()["proposal"], {"digest": made.json()["digest"]}
        own = await client.post(f"{path}/{number}/approve", json=seen)
        assert (own.status_code, own.json()["code"]) == (403, "access.same-person")
        other = await client.post(f"{path}/{number}/approve", json={"digest": "0" * 64}, headers=second)
        assert (other.status_code, other.json()["code"]) == (409, "funds.setting-aside-differs")
        left = await client.post(f"{path}/{number}/reject", json=seen, headers=second)
        assert (left.status_code, left.json()["state"]) == (200, "rejected")
        again = (await client.post(path, json=wanted)).json()
        seen = {"digest": again["digest"]}
        done = await client.post(f"{path}/{again['proposal']}/approve", json=seen, headers=second)
        assert (done.status_code, done.json()["state"], done.json()["checker"]) == (200, "approved", "staff:2")
        assert (await client.post(f"{path}/99/approve", json=seen, headers=second)).status_code == 404
        assert [one["state"] for one in (await client.get(path)).json()] == ["approved", "rejected"]
    assert await outcomes(small) == [("set-aside", "")]
    assert not await small.scheme.broken(but=UNMATCHED)
