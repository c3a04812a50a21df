"""Do quotas hold to the unit over all gateways, and how long does a revoked key open anything?

    python -m loadtest.limits --home .rap --writers 32 --attempts 400 --quota 100 --keys 20

A crowd of writers, with connections of their own, tries to store more than a fresh tenant may hold. Then key after key
is used by a crowd of readers and revoked under them; the worst delay is that of the last request that began after the
revocation was answered and was let in all the same.
"""

import argparse
import asyncio
import json
import time
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
from tqdm import tqdm

from loadtest import drawn
from loadtest.gateways import METRICS_SECONDS, requests_by_gateway

TENANTS = "/admin/v1/tenants"
USERS = 3
READERS = 8
WATCHED_SECONDS = 8.0


def client(url: str, key: str) -> httpx.AsyncClient:
    """With connections of its own."""
    headers = {"Authorization": f"Bearer {key}"}
    return httpx.AsyncClient(base_url=url, headers=headers, timeout=120, trust_env=False)


async def issued(operator: httpx.AsyncClient, tenant: str) -> dict[str, Any]:
    """A fresh key."""
    return dict((await operator.post(f"{TENANTS}/{tenant}/keys", json={})).raise_for_status().json())


async def quota(url: str, operator: httpx.AsyncClient, options: argparse.Namespace) -> dict[str, Any]:
    """What became of all attempts, and what the tenant holds then by each account."""
    tenant = f"quota-{time.time_ns()}"
    (await operator.post(TENANTS, json={"id": tenant, "limits": {"concepts": options.quota}})).raise_for_status()
    key = (await issued(operator, tenant))["secret"]
    answers, numbers = Counter[str](), iter(tqdm(range(options.attempts), desc="attempts", mininterval=10))

    async def write() -> None:
        async with client(url, key) as http:
            for number in numbers:
                body = {**drawn.concept(f"thing-{number}", drawn.thing(number % 40), 1), "info": "A thing."}
                made = await http.post(f"/v1/users/u{number % USERS}/concepts", json=body)
                code = made.json()["error"]["code"] if made.status_code >= 400 else ""
                answers[f"{made.status_code} {code}".strip()] += 1

    await asyncio.gather(*(write() for _ in range(options.writers)))
    stored = 0
    async with client(url, key) as http:
        for user in range(USERS):
            after, more = "", True
            while more:
                params = {"limit": "100", **({"after": after} if after else {})}
                page = (await http.get(f"/v1/users/u{user}/concepts", params=params)).raise_for_status().json()
                stored, after, more = stored + len(page["data"]), page["last_id"], page["has_more"]
    held = (await operator.get(f"{TENANTS}/{tenant}")).raise_for_status().json()["held"]
    return {"quota": options.quota, "answers": dict(sorted(answers.items())), "stored": stored, "held": held}


async def revoked(url: str, operator: httpx.AsyncClient, tenant: str) -> tuple[float, int]:
    """Seconds until nothing was let in any more, and how many requests were turned away while that was watched."""
    key = await issued(operator, tenant)
    let_in: list[float] = []
    turned_away = 0
    end = float("inf")

    async def use(http: httpx.AsyncClient) -> None:
        nonlocal turned_away
        while (began := time.monotonic()) < end:
            status = (await http.get("/v1/models")).status_code
            if status == 200:
                let_in.append(began)
            turned_away += status == 401

    async with AsyncExitStack() as stack:
        readers = [await stack.enter_async_context(client(url, key["secret"])) for _ in range(READERS)]
        uses = asyncio.gather(*(use(http) for http in readers))
        await asyncio.sleep(1.0)
        (await operator.delete(f"{TENANTS}/{tenant}/keys/{key['id']}")).raise_for_status()
        at = time.monotonic()
        end = at + WATCHED_SECONDS
        await uses
    return max(0.0, max(let_in) - at), turned_away


async def revocations(url: str, operator: httpx.AsyncClient, keys: int) -> dict[str, Any]:
    """Of one key after the other."""
    tenant = f"keys-{time.time_ns()}"
    (await operator.post(TENANTS, json={"id": tenant})).raise_for_status()
    before = await requests_by_gateway(url)
    found = [await revoked(url, operator, tenant) for _ in tqdm(range(keys), desc="keys", mininterval=10)]
    await asyncio.sleep(METRICS_SECONDS)
    delays = sorted(delay for delay, _ in found)
    return {
        "keys": keys,
        "turned_away": sum(n for _, n in found),
        "requests_by_gateway": dict(await requests_by_gateway(url) - before),
        "seconds": {"median": round(delays[len(delays) // 2], 2), "worst": round(delays[-1], 2)},
    }


async def run(options: argparse.Namespace) -> dict[str, Any]:
    """The figures of both."""
    service = json.loads((options.home / "service.json").read_text())
    async with client(service["url"], service["operator_key"]) as operator:
        return {
            "quota": await quota(service["url"], operator, options),
            "revocation": await revocations(service["url"], operator, options.keys),
        }


def main() -> None:
    """Parses the command line and prints JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, default=Path(".rap"))
    parser.add_argument("--writers", type=int, default=32)
    parser.add_argument("--attempts", type=int, default=400)
    parser.add_argument("--quota", type=int, default=100)
    parser.add_argument("--keys", type=int, default=20)
    print(json.dumps(asyncio.run(run(parser.parse_args())), indent=1))


if __name__ == "__main__":
    main()
