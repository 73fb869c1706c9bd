"""Contributions over HTTP from 64 connections, against a Litestar endpoint that parses the same body and does nothing.

All three servers are one uvicorn process each, loaded by the same `wrk` with one thread; ours checks a token and runs the
rules, on tables that already hold a million contributions. `wrk` comes from apt.
"""

import asyncio
import json
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx

from benchmarks.schemes import enrolled, keys_in_a_folder, tenant_on
from benchmarks.stage import Stage, fill, stage
from engine.access import service as access
from engine.access.rules import PARTNER_SCOPES
from engine.runtime.database import Database
from engine.runtime.key_file import FileKeyStore
from engine.runtime.settings import Settings

CONNECTIONS = 64
_LUA = """
local members = {}
for line in io.lines("%(members)s") do members[#members + 1] = line end
local count = 0
request = function()
  count = count + 1
  local reference = "%(run)s-" .. count
  local body = '{"member":"' .. members[count %% #members + 1] .. '","amount":"500.00","currency":"INR","channel":"upi","reference":"' .. reference .. '"}'
  return wrk.format("POST", "/v1/contributions", {["Content-Type"] = "application/json",
    ["Authorization"] = "Bearer %(token)s", ["Idempotency-Key"] = reference}, body)
end
"""


def measure(settings: Settings, scale: float) -> dict[str, Any]:
    """Return the ratio to doing nothing, latencies, and the mean number of contributions that shared a commit."""
    if shutil.which("wrk") is None:
        return {"skipped": "needs wrk from apt"}
    with stage(settings) as where:
        return asyncio.run(_measure(where, scale))


async def _measure(where: Stage, scale: float) -> dict[str, Any]:
    keys = keys_in_a_folder()
    db = Database(where.app_url)
    tenant, where = await tenant_on(where, db)
    async with db.unit_of_work(tenant.tenant_id) as session:
        partner = await access.create_partner(session, code="bench", name="bench", scopes=sorted(PARTNER_SCOPES))
    numbers = await enrolled(db, keys, tenant, 2_000)
    await db.dispose()
    await asyncio.to_thread(fill, where, int(1_000_000 * scale))
    with tempfile.TemporaryDirectory() as folder:
        members = Path(folder) / "members"
        members.write_text("\n".join(numbers) + "\n")
        runs: dict[str, list[dict[str, float]]] = {"ours": [], "single": [], "noop": []}
        seconds = max(3, round(8 * scale))
        for number in range(3):
            for kind, results in runs.items():
                results.append(_load(kind, where, keys, partner, members, f"{kind[0]}{number}", seconds))
    ours, single, noop = (
        {key: statistics.median(one[key] for one in runs[kind]) for key in runs[kind][0]} for kind in runs
    )
    return {
        "contributions_per_second": round(ours["rate"]),
        "noop_per_second": round(noop["rate"]),
        "ratio_to_noop": round(
            statistics.median(a["rate"] / b["rate"] for a, b in zip(runs["ours"], runs["noop"], strict=True)), 3
        ),
        "wanted_ratio": 0.333,
        "p99_ms": ours["p99"],
        "p99_ms_one_commit_a_request": single["p99"],
        "one_commit_a_request_per_second": round(single["rate"]),
        "mean_batch": ours["mean_batch"],
        "wanted_mean_batch": 5,
        "refused": sum(int(one["refused"]) for one in runs["ours"]),
        "connections": CONNECTIONS,
        "denominator": f"wrk -t1 -c{CONNECTIONS} -d{seconds}s against python -m benchmarks.servers noop",
    }


def _load(
    kind: str, where: Stage, keys: FileKeyStore, partner: access.NewPartner, members: Path, run: str, seconds: int
) -> dict[str, float]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {
        **os.environ,
        "DATABASE_URL": where.app_url,
        "AKIBA_KEYS_FILE": str(keys.path),
        "PYTHONPATH": str(Path.cwd()),
    }
    server = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.servers", kind, str(port)],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        base = f"http://127.0.0.1:{port}"
        _wait(base)
        token = "none" if kind == "noop" else _token(base, partner)
        script = members.with_suffix(".lua")
        script.write_text(_LUA % {"members": members, "run": run + os.urandom(3).hex(), "token": token})
        command = ["wrk", "-t1", f"-c{CONNECTIONS}", "--latency", "-s", str(script), base]
        subprocess.run([*command, "-d2s"], check=True, capture_output=True)
        script.write_text(_LUA % {"members": members, "run": run + os.urandom(3).hex(), "token": token})
        out = subprocess.run([*command, f"-d{seconds}s"], check=True, capture_output=True, text=True).stdout
    finally:
        server.send_signal(signal.SIGINT)
        printed, _ = server.communicate(timeout=60)
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", out)
    sizes = json.loads(printed) if printed.strip() else {"mean": 0}
    return {
        "rate": float(_found(r"Requests/sec:\s+([\d.]+)", out)),
        "p99": _milliseconds(_found(r"99%\s+([\d.]+\w+)", out)),
        "mean_batch": sizes["mean"],
        "refused": float(refused[1]) if refused else 0.0,
    }


def _found(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    assert match is not None, text
    return match[1]


def _milliseconds(text: str) -> float:
    number, unit = float(re.sub(r"[a-z]", "", text)), re.sub(r"[\d.]", "", text)
    return round(number * {"us": 0.001, "ms": 1.0, "s": 1000.0}[unit], 2)


def _wait(base: str) -> None:
    for _ in range(200):
        try:
            httpx.get(f"{base}/livez")
        except httpx.TransportError:
            time.sleep(0.1)
        else:
            return
    raise TimeoutError(base)


def _token(base: str, partner: access.NewPartner) -> str:
    answer = httpx.post(
        f"{base}/oauth/token",
        data={"grant_type": "client_credentials"},
        auth=(partner.client_id, partner.client_secret),
    )
    return str(answer.raise_for_status().json()["access_token"])
