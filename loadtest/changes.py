"""What an operator does to a service while it is used: a tenant moved to another shelf, the embedder changed."""

import asyncio
import json
import random
import sys
import time
from pathlib import Path
from typing import Any

import httpx

from loadtest.outages import Outage

POLL_SECONDS = 0.5
GRACE_SECONDS = 1.0
SHELVES = ("", "spare")
TENANT = "default"
CHANGES = ("move", "re-embed")


class Operator:
    """Changes the service of a home, there and back; each call returns when the whole change is done."""

    def __init__(self, home: Path) -> None:
        service = json.loads((home / "service.json").read_text())
        headers = {"Authorization": f"Bearer {service['operator_key']}"}
        self._http = httpx.AsyncClient(base_url=service["url"], headers=headers, timeout=60, trust_env=False)

    async def move(self, _: random.Random) -> None:
        """The tenant goes to the other one of two shelves."""
        path = f"/admin/v1/tenants/{TENANT}"
        tenant = await self._called("GET", path)
        shelf = next(s for s in SHELVES if s != tenant["shelf"])
        await self._followed(f"{path}:move", {"shelf": shelf}, f"{path}/jobs")

    async def reembed(self, _: random.Random) -> None:
        """The other one of two embedders answers."""
        running = (await self._called("GET", "/admin/v1/embedders"))["data"]
        other = next(embedder["id"] for embedder in running if not embedder["answers"])
        await self._followed("/admin/v1/embedders", {"version": other}, "/admin/v1/jobs")

    async def _followed(self, path: str, body: dict[str, object], jobs: str) -> None:
        began = time.monotonic()
        job = await self._called("POST", path, {**body, "grace_seconds": GRACE_SECONDS})
        while job["state"] in ("queued", "running"):
            await asyncio.sleep(POLL_SECONDS)
            job = await self._called("GET", f"{jobs}/{job['id']}")
        if job["state"] != "done":
            raise RuntimeError(f"{job['id']} ended as {job['state']}: {job['result']}")
        print(json.dumps({"seconds": round(time.monotonic() - began, 1), **job["result"]}), file=sys.stderr)

    async def _called(self, method: str, path: str, body: dict[str, object] | None = None) -> dict[str, Any]:
        answer: dict[str, Any] = (await self._http.request(method, path, json=body)).raise_for_status().json()
        return answer


def change_of(home: Path, change: str) -> dict[str, Outage]:
    """One of CHANGES, as if it were an outage."""
    return {change: {"move": Operator(home).move, "re-embed": Operator(home).reembed}[change]}
