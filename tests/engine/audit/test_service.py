"""Appending under concurrency, what is never signed, proofs, and the log's size at an instant."""

import asyncio
import base64
import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import metamorphic_log
import psycopg
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from engine.audit import queries, service
from engine.audit.errors import EntryTooLarge, LogForked, NotLogged, UnknownName
from engine.audit.rules.merkle import leaf_hash, root_of
from engine.audit.rules.notes import Checkpoint, parse_proof_file, sign_note, verifier_key
from engine.audit.rules.tiles import Tile, bundles_of, unbundle
from engine.audit.service.log import prove_consistency
from engine.kernel.errors import NotFound
from engine.kernel.ids import new_member_id
from engine.ledger import service as ledger
from engine.ledger.rules import Entry, EventKind
from engine.runtime.database import Database, Role
from engine.runtime.key_file import FileKeyStore
from tests.engine.audit.conftest import Scheme


async def append(scheme: Scheme, keys: FileKeyStore, **more: object) -> service.Appended:
    return await service.append(scheme.db, keys, scheme.tenant_id, scheme.origin, **more)  # type: ignore[arg-type]


async def read_all(scheme: Scheme) -> tuple[Checkpoint, str, list[bytes]]:
    """Return the checkpoint, its note, and all entries as the public path gives them."""
    async with scheme.db.unit_of_work(scheme.tenant_id) as session:
        note = await service.checkpoint_note(session)
        checkpoint = Checkpoint.parse(note.partition("\n\n")[0] + "\n")
        entries = [
            entry
            for tile in bundles_of(checkpoint.size)
            for entry in unbundle(await service.read_bundle(session, tile))
        ]
    return checkpoint, note, entries


async def check(scheme: Scheme, keys: FileKeyStore) -> list[bytes]:
    """Return the entries, after rows, tiles, checkpoint and laws were seen to agree."""
    checkpoint, note, entries = await read_all(scheme)
    key = verifier_key(scheme.origin, keys.tenant(scheme.tenant_id).log_signing_key)
    head = metamorphic_log.checkpoint_verify(note, [str(key)])
    assert head.root == checkpoint.root == root_of([leaf_hash(entry) for entry in entries])
    async with scheme.db.unit_of_work(scheme.tenant_id) as session:
        assert await ledger.check(session, queries.LAWS) == []
    return entries


def events_of(entries: list[bytes]) -> list[int]:
    return [int(json.loads(entry)["event"]) for entry in entries]


async def test_logs_events_of_every_kind(scheme: Scheme, keys: FileKeyStore) -> None:
    people = await scheme.year()

    done = await append(scheme, keys)

    assert (done.size, done.events, done.batches) == (13, 13, 5)
    entries = [json.loads(entry) for entry in await check(scheme, keys)]
    assert [entry["kind"] for entry in entries] == [
        *["member-enrolled"] * 5, *["contribution-received"] * 6, "order-placed", "units-allotted"
    ]  # fmt: skip
    first = entries[5]
    assert first["member"] == f"{people[0]:016x}"
    assert first["actor"] == "partner:7"
    assert first["decision"] == {"rules": ["contribution-amount@2010-04-01"], "limit": "1000"}
    assert first["body"] == {"amount": "10000", "channel": "upi", "tries": "1"}
    assert first["transfers"]["totals"] == [{"asset": "INR", "amount": "100.00"}]
    allotted = entries[-1]["transfers"]
    assert allotted["count"] == 11
    assert allotted["totals"] == [{"asset": "INR", "amount": "450.00"}, {"asset": "SM001009", "amount": "13.8027"}]


async def test_appending_nothing_changes_nothing(scheme: Scheme, keys: FileKeyStore) -> None:
    await scheme.year()
    first = await append(scheme, keys)
    before = await read_all(scheme)

    assert await append(scheme, keys) == service.Appended(first.size)
    assert await read_all(scheme) == before


async def test_a_transaction_held_open_comes_later_and_is_not_lost(scheme: Scheme, keys: FileKeyStore) -> None:
    """Its id is the smaller one: an order inferred from ids would lose it or slip it in before what was signed."""
    a, b = new_member_id(), new_member_id()
    begun, finish = asyncio.Event(), asyncio.Event()

    async def hold() -> int:
        async with scheme.db.unit_of_work(scheme.tenant_id) as session:
            posted = await ledger.post(session, [scheme.paid(a, 100)])
            begun.set()
            await finish.wait()
        return posted[0].event_id

    held = asyncio.create_task(hold())
    await begun.wait()
    (event_b,) = await scheme.post([scheme.paid(b, 200)])
    first = await append(scheme, keys)
    _, note_b, entries_b = await read_all(scheme)
    finish.set()
    event_a = await held
    second = await append(scheme, keys)
    _, note_ba, _ = await read_all(scheme)

    assert event_a < event_b
    assert (first.size, second.size) == (1, 2)
    assert events_of(entries_b) == [event_b]
    assert events_of(await check(scheme, keys)) == [event_b, event_a]
    async with scheme.db.unit_of_work(scheme.tenant_id) as session:
        assert await service.index_of(session, event_b) == 0
        assert await service.index_of(session, event_a) == 1
        proof = await prove_consistency(session, 1, 2)
    key = str(verifier_key(scheme.origin, keys.tenant(scheme.tenant_id).log_signing_key))
    metamorphic_log.checkpoint_verify_consistency(note_b, note_ba, [key], proof)


async def test_events_posted_while_it_appends_are_neither_lost_nor_doubled(scheme: Scheme, keys: FileKeyStore) -> None:
    posted: list[int] = []

    async def post() -> None:
        for _ in range(12):
            posted.extend(await scheme.post([scheme.paid(new_member_id(), 100) for _ in range(5)]))

    async def sequence() -> None:
        while len(posted) < 180:
            await append(scheme, keys, limit_batches=2)

    await asyncio.gather(post(), post(), post(), sequence(), sequence())
    await append(scheme, keys)

    logged = events_of(await check(scheme, keys))
    assert len(logged) == 180
    assert sorted(logged) == sorted(posted)


async def test_two_appenders_at_once_log_everything_once(scheme: Scheme, keys: FileKeyStore) -> None:
    posted = await scheme.post([scheme.paid(new_member_id(), 100) for _ in range(40)])

    done = await asyncio.gather(*(append(scheme, keys) for _ in range(4)))

    assert sorted(appended.events for appended in done) == [0, 0, 0, 40]
    assert events_of(await check(scheme, keys)) == posted


async def test_small_transactions_give_the_same_log_as_one_large(scheme: Scheme, keys: FileKeyStore) -> None:
    posted = [event for _ in range(7) for event in await scheme.post([scheme.paid(new_member_id(), 5)] * 100)]

    done = await append(scheme, keys, limit_batches=2)

    assert (done.size, done.batches) == (700, 7)
    assert events_of(await check(scheme, keys)) == posted
    async with scheme.db.unit_of_work(scheme.tenant_id) as session:
        sizes = (await session.execute(text("select size from audit_checkpoints order by 1"))).scalars().all()
        assert list(sizes) == [200, 400, 600, 700]
        stored = await session.scalar(text("select sum(octet_length(hashes)) from audit_tiles"))
        assert stored == 32 * (700 + 2)
        assert len(await service.read_tile(session, Tile(1, 0, 1))) == 32
        for beyond in (Tile(0, 2, 189), Tile(None, 2, 189), Tile(1, 0, 3), Tile(2, 0, 1)):
            with pytest.raises(NotFound):
                await (service.read_bundle if beyond.level is None else service.read_tile)(session, beyond)


async def test_an_allotment_of_a_full_range_is_one_entry(scheme: Scheme, keys: FileKeyStore) -> None:
    people = sorted(new_member_id() for _ in range(10_000))
    await scheme.post([scheme.paid(person, 500) for person in people[:4_000]])
    await scheme.allot(people, 1, 1)

    await append(scheme, keys)

    entries = await check(scheme, keys)
    assert json.loads(entries[-1])["transfers"]["count"] == 20_001
    assert len(entries[-1]) < 1_000


async def test_proofs_are_believed_by_others(scheme: Scheme, keys: FileKeyStore) -> None:
    events = await scheme.post([scheme.paid(new_member_id(), 100) for _ in range(300)])
    async with scheme.db.unit_of_work(scheme.tenant_id) as session:
        with pytest.raises(NotLogged):
            await service.proof_of(session, events[0])
    await append(scheme, keys)

    _, note, entries = await read_all(scheme)
    key = str(verifier_key(scheme.origin, keys.tenant(scheme.tenant_id).log_signing_key))
    async with scheme.db.unit_of_work(scheme.tenant_id) as session:
        for index in (0, 255, 256, 299):
            found, proof, about = parse_proof_file(await service.proof_of(session, events[index]))
            assert (found, about) == (index, note)
            metamorphic_log.checkpoint_verify_inclusion(note, [key], index, leaf_hash(entries[index]), proof)
        with pytest.raises(NotLogged):
            await service.proof_of(session, events[-1] + 1)


async def test_another_tenants_event_is_not_found(scheme: Scheme, keys: FileKeyStore) -> None:
    (event,) = await scheme.post([scheme.paid(new_member_id(), 100)])
    await append(scheme, keys)
    async with scheme.db.unit_of_work(scheme.tenant_id + 1) as session:
        with pytest.raises(NotLogged):
            await service.proof_of(session, event)
        with pytest.raises(NotFound):
            await service.checkpoint_note(session)


async def test_tells_what_was_known_at_an_instant(scheme: Scheme, keys: FileKeyStore) -> None:
    start = datetime(2024, 1, 1, 6, tzinfo=UTC)
    for day in range(3):
        async with scheme.db.unit_of_work(scheme.tenant_id) as session:
            await session.execute(
                text("update tenants set clock_at = :at where tenant_id = :t"),
                {"at": start + timedelta(days=day), "t": scheme.tenant_id},
            )
        await scheme.post([scheme.paid(new_member_id(), 100)] * (day + 1))
        await append(scheme, keys)

    async with scheme.db.unit_of_work(scheme.tenant_id) as session:
        known = [
            await service.log_size_at(session, start + delta)
            for delta in (timedelta(seconds=-1), timedelta(0), timedelta(hours=30), timedelta(days=9))
        ]
    assert known == [0, 1, 3, 6]


async def test_refuses_an_entry_of_more_than_65_535_bytes(
    scheme: Scheme, keys: FileKeyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.ledger.queries.LONGEST_BODY", 100_000)  # the poster itself would not take it
    """The log stands still, and says at which event, rather than sign something without it."""
    await scheme.post([scheme.paid(new_member_id(), 100)])
    (event,) = await scheme.post([scheme.paid(new_member_id(), 100, body={"text": "x" * 65_536})])

    with pytest.raises(EntryTooLarge) as refused:
        await append(scheme, keys)

    assert refused.value.details["event_id"] == event
    async with scheme.db.unit_of_work(scheme.tenant_id) as session:
        assert await queries.is_waiting(session)
        with pytest.raises(NotFound):
            await service.checkpoint_note(session)


async def test_refuses_an_actor_that_does_not_exist(scheme: Scheme, keys: FileKeyStore) -> None:
    await scheme.post([Entry(member_id=5, kind=EventKind.MEMBER_ENROLLED, business_date=date(2024, 1, 1), actor=999)])
    with pytest.raises(UnknownName):
        await append(scheme, keys)


async def as_superuser(superuser_url: str, db_url: str, *statements: str) -> None:
    """What someone who holds the whole database server may do to it."""
    name = psycopg.conninfo.conninfo_to_dict(db_url)["dbname"]
    url = psycopg.conninfo.make_conninfo(superuser_url, dbname=name)
    async with await psycopg.AsyncConnection.connect(url) as connection:
        await connection.execute("set session_replication_role = replica")
        for statement in statements:
            await connection.execute(statement)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        ("update audit_tiles set hashes = set_byte(hashes, 40, get_byte(hashes, 40) # 1) where tenant_id = {t} and level = 0", "root"),
        ("delete from audit_tiles where tenant_id = {t}", "shorter"),
        ("update audit_checkpoints set root = decode(repeat('00', 32), 'hex') where tenant_id = {t}", "last checkpoint"),
        ("delete from audit_checkpoints where tenant_id = {t}", "no checkpoint covers"),
        ("delete from audit_batches where tenant_id = {t} and first_seq > 0", "last checkpoint"),
        ("update audit_checkpoints set note = replace(note, '/audit', '/other') where tenant_id = {t}", "signature"),
    ],
    ids=["tile edited", "tiles deleted", "root edited", "checkpoint deleted", "order truncated", "note edited"],
)  # fmt: skip
async def test_signs_nothing_over_a_damaged_log(
    scheme: Scheme, keys: FileKeyStore, superuser_url: str, database_urls: tuple[str, str], damage: str, reason: str
) -> None:
    await scheme.year()
    await append(scheme, keys)
    await scheme.post([scheme.paid(new_member_id(), 100)])
    await as_superuser(superuser_url, database_urls[1], damage.format(t=scheme.tenant_id))

    with pytest.raises(LogForked, match=reason):
        await append(scheme, keys)

    async with scheme.db.unit_of_work(scheme.tenant_id) as session:
        assert await queries.is_waiting(session)


async def test_signs_nothing_after_a_rollback_to_an_older_backup(
    scheme: Scheme, keys: FileKeyStore, superuser_url: str, database_urls: tuple[str, str], tmp_path: Path
) -> None:
    published = tmp_path / "published" / "checkpoint"
    await scheme.post([scheme.paid(new_member_id(), 100)])
    await append(scheme, keys, published=published)
    await scheme.post([scheme.paid(new_member_id(), 200)])
    await append(scheme, keys, published=published)
    kept = published.read_text()
    t = scheme.tenant_id
    await as_superuser(
        superuser_url,
        database_urls[1],
        f"delete from audit_batches where tenant_id = {t} and first_seq = 1",
        f"delete from audit_checkpoints where tenant_id = {t} and size = 2",
        f"update audit_tiles set hashes = substr(hashes, 1, 32) where tenant_id = {t}",
    )
    await scheme.post([scheme.paid(new_member_id(), 300)])

    with pytest.raises(LogForked, match="was a backup restored"):
        await append(scheme, keys, published=published)
    assert published.read_text() == kept

    # And if the log has meanwhile grown past the lost one, without the file: the file's root is not its own.
    await append(scheme, keys)
    await scheme.post([scheme.paid(new_member_id(), 400)])
    with pytest.raises(LogForked, match="does not extend"):
        await append(scheme, keys, published=published)


async def test_signs_nothing_with_another_key_or_name(scheme: Scheme, keys: FileKeyStore, tmp_path: Path) -> None:
    await scheme.post([scheme.paid(new_member_id(), 100)])
    await append(scheme, keys)
    await scheme.post([scheme.paid(new_member_id(), 100)])

    with pytest.raises(LogForked):
        await append(scheme, FileKeyStore(tmp_path / "other.toml"))
    with pytest.raises(LogForked):
        await service.append(scheme.db, keys, scheme.tenant_id, "another.example/audit")


async def test_only_the_sequencer_writes_the_log_and_nobody_rewrites_it(
    scheme: Scheme, keys: FileKeyStore, database_urls: tuple[str, str]
) -> None:
    await scheme.year()
    await append(scheme, keys)
    t = scheme.tenant_id
    note = sign_note(Checkpoint("x/audit", 9999, bytes(32)).text, "x/audit", Ed25519PrivateKey.generate())
    as_app = [
        f"insert into audit_batches values (99, 4096, {t}, 1)",
        f"insert into audit_tiles values (9, {t}, 0, decode(repeat('00', 32), 'hex'))",
        f"insert into audit_checkpoints values (9999, now(), {t}, decode(repeat('00', 32), 'hex'), '{note}')",
        "delete from unsequenced",
        "update audit_tiles set hashes = hashes",
    ]
    as_sequencer = [
        "update audit_batches set n = 1",
        "delete from audit_checkpoints",
        "delete from audit_tiles",
        "update audit_tiles set hashes = decode(repeat('00', 64), 'hex')",
        "update audit_tiles set hashes = substr(hashes, 1, 32)",
        "update audit_tiles set tile_index = tile_index + 1",
        f"insert into audit_checkpoints values (1, now(), {t}, decode(repeat('00', 32), 'hex'), '{note}')",
        "insert into events select * from events limit 1",
    ]
    for role, statements in ((None, as_app), (Role.SEQUENCER, as_sequencer)):
        for statement in statements:
            with pytest.raises(DBAPIError, match=r"permission denied|append-only|may only grow|not larger"):
                async with scheme.db.unit_of_work(t, role=role) as session:
                    await session.execute(text(statement.replace(":", r"\:")))
    with psycopg.connect(database_urls[1]) as owner:
        owner.execute("select set_config('app.tenant', %s, true)", (str(t),))
        for table in ("audit_batches", "audit_tiles", "audit_checkpoints"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege), owner.transaction():
                owner.execute(f"delete from {table}")
            with pytest.raises(psycopg.errors.InsufficientPrivilege), owner.transaction():
                owner.execute(f"truncate {table}")
    await check(scheme, keys)


async def test_the_loop_serves_every_tenant_and_outlives_one_that_stands_still(
    scheme: Scheme, keys: FileKeyStore, db: Database, database_urls: tuple[str, str]
) -> None:
    with psycopg.connect(database_urls[0]) as connection:
        row = connection.execute("insert into tenants (code) values ('xx-still') returning tenant_id").fetchone()
        assert row is not None
    still = Scheme(db, row[0], {}, 999, 0, 0)
    await still.post([still.enrolled(7)])
    stop = asyncio.Event()

    async def origins() -> dict[int, str]:
        return {still.tenant_id: still.origin, scheme.tenant_id: scheme.origin}

    loop = asyncio.create_task(
        service.sequence_forever(db, keys, origins, stop=stop, poll_seconds=0.02, idle_seconds=0.05)
    )
    for size in (1, 2, 3):
        await scheme.post([scheme.paid(new_member_id(), 100)])
        await grown_to(scheme, size)
    stop.set()
    await asyncio.wait_for(loop, 20)
    assert len(await check(scheme, keys)) == 3
    assert await size_of(still) == 0


async def grown_to(scheme: Scheme, size: int) -> None:
    for _ in range(1000):
        if await size_of(scheme) >= size:
            return
        await asyncio.sleep(0.02)
    raise TimeoutError


async def size_of(scheme: Scheme) -> int:
    async with scheme.db.unit_of_work(scheme.tenant_id) as session:
        checkpoint = await queries.last_checkpoint(session)
    return 0 if checkpoint is None else checkpoint.size


async def test_the_laws_name_what_is_wrong(
    scheme: Scheme, keys: FileKeyStore, superuser_url: str, database_urls: tuple[str, str]
) -> None:
    await scheme.year()
    await append(scheme, keys)
    t = scheme.tenant_id
    await as_superuser(
        superuser_url,
        database_urls[1],
        f"delete from audit_batches where tenant_id = {t} and first_seq = 5",
        f"update audit_tiles set hashes = substr(hashes, 1, 32) where tenant_id = {t}",
    )

    async with scheme.db.unit_of_work(t) as session:
        broken = {offence.law for offence in await ledger.check(session, queries.LAWS)}

    assert broken == {"log-is-signed", "tiles-are-whole"}


async def test_roots_are_written_in_base64(scheme: Scheme, keys: FileKeyStore) -> None:
    await scheme.year()
    await append(scheme, keys)
    checkpoint, note, _ = await read_all(scheme)
    assert note.split("\n")[:3] == [scheme.origin, "13", base64.b64encode(checkpoint.root).decode()]
