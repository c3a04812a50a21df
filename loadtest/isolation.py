"""Two tenants with users of the same names and the same pictures: does either ever see anything of the other's?

    python -m loadtest.isolation --home .rap --calls 100000 --distinct 20000 --clients 12 --pairs 2000

Hypothesis makes up calls on every route (``isolation_calls``). All texts that a tenant writes bear its mark, and every
answer is searched for the other's mark and for ids that only the other was given; what a request itself said may come
back in an error. Then follow: how long it takes to be told that an id does not exist that the other tenant has, and one
that nobody has; what pictures that the other has sent cost the engine; and what lies in Redis, in memory and on disk.
"""

import argparse
import asyncio
import io
import itertools
import json
import re
import secrets
import time
import zipfile
from collections import Counter, defaultdict
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlencode

import httpx
from tqdm import tqdm

from loadtest import drawn
from loadtest.gateways import METRICS_SECONDS, requests_by_gateway
from loadtest.isolation_calls import ARCHIVE, MODEL, PICTURE, USERS, Call, Kind, Known, Own, made_up
from loadtest.isolation_stores import stored
from loadtest.isolation_timings import of_pictures, of_refusals
from loadtest.limits import TENANTS, client
from rap_serve.domain.concept import new_ulid

PICTURES = 4
GIVES_IDS: dict[str, Kind] = {
    "remember": "concept",
    "export": "job",
    "import": "job",
    "erase user": "job",
    "issue key": "api_key",
    "rotate key": "api_key",
    "correct": "avatar",
}
_ID = re.compile(r"[0-9A-HJKMNP-TV-Z]{26}")


@dataclass(eq=False)
class Tenant:
    """One of the two: its clients, and all that only it should know."""

    id: str
    mark: str
    http: httpx.AsyncClient
    admin: httpx.AsyncClient
    known: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    ids: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Leak:
    """Something of the other tenant's in an answer, or an answer that should have been a refusal."""

    what: str
    call: str
    status: int
    answer: str


class Pair:
    """Both tenants, and what has come of their calls."""

    def __init__(self, tenants: tuple[Tenant, Tenant], model: str) -> None:
        self.tenants = tenants
        self._model = model
        self._turn = itertools.count()
        self._pictures = [drawn.scene([drawn.thing(n)], n).data_url for n in range(PICTURES)]
        self._archive = _archive(drawn.jpeg(drawn.scene([drawn.thing(9)], 9).image))
        self.leaks: list[Leak] = []
        self.answers: dict[str, Counter[str]] = defaultdict(Counter)

    async def make(self, call: Call) -> None:
        """One call, its answer searched and learned from."""
        own, other = self.tenants[call.tenant], self.tenants[1 - call.tenant]
        http = own.admin if call.path[0] == "admin" else own.http
        request = self._request(call, own, other, http)
        try:
            answer = await http.send(request)
        except httpx.TransportError as error:
            self.answers[call.name][type(error).__name__] += 1
            return
        self.answers[call.name][str(answer.status_code)] += 1
        said = unquote(str(request.url), errors="replace") + request.content.decode("latin-1")
        self._learn(call, own, said, answer)
        if what := wrong(call, other, said, answer):
            self.leaks.append(Leak(what, f"{call.name}: {said[:300]}", answer.status_code, answer.text[:300]))

    def _request(self, call: Call, own: Tenant, other: Tenant, http: httpx.AsyncClient) -> httpx.Request:
        def value(it: Any) -> Any:
            if isinstance(it, dict):
                return {value(k): value(v) for k, v in it.items()}
            if isinstance(it, list):
                return [value(each) for each in it]
            if isinstance(it, Own):
                return f"{own.mark} {it.rest}".strip()
            if isinstance(it, Known):
                return self._word(it, own, other, str(call.path[-1] if len(call.path) < 3 else call.path[2]))
            return {PICTURE: self._pictures[call.picture], MODEL: self._model}.get(it, it)

        path = "/".join(quote(value(part).encode(errors="surrogatepass"), safe=":") for part in call.path)
        query = urlencode({k: value(v).encode(errors="surrogatepass") for k, v in call.params.items()})
        url = f"/{path}?{query}" if query else f"/{path}"
        if call.body == ARCHIVE:
            headers = {**call.headers, "Content-Type": "application/zip"}
            return http.build_request(call.method, url, headers=headers, content=self._archive)
        if call.body is None:
            return http.build_request(call.method, url, headers=call.headers)
        headers = {**call.headers, "Content-Type": "application/json"}
        return http.build_request(call.method, url, headers=headers, content=json.dumps(value(call.body)))

    def _word(self, known: Known, own: Tenant, other: Tenant, user: str) -> str:
        """Mostly something that the user in the path has, at either tenant."""
        whose = own if known.whose == "own" else other
        ids = whose.known[f"{known.kind} of {user}"] or whose.known[known.kind] or ["0" * 26]
        return ids[(known.index + next(self._turn)) % len(ids)] + known.action

    def _learn(self, call: Call, own: Tenant, said: str, answer: httpx.Response) -> None:
        """Ids that this tenant was given are its own."""
        if call.name not in GIVES_IDS or answer.status_code >= 300:
            return
        made = answer.json()
        own.ids |= set(_ID.findall(answer.text)) - set(_ID.findall(said))
        own.known[GIVES_IDS[call.name]].append(made["id"])
        own.known[f"{GIVES_IDS[call.name]} of {call.path[2]}"].append(made["id"])
        own.known["avatar"] += [a["id"] for a in made.get("avatars", ())]
        if "name" in made:
            own.known["name"].append(made["name"])


def wrong(call: Call, other: Tenant, said: str, answer: httpx.Response) -> str:
    """What is wrong with an answer; nothing where nothing is."""
    if (set(_ID.findall(answer.text)) & other.ids) - set(_ID.findall(said)):
        return "an id of the other's"
    if other.id in answer.text and other.id not in said:
        return "the other's name"
    if other.mark in answer.text and (other.mark not in said or answer.status_code < 300):
        return "a text of the other's"
    if answer.status_code < 300 and any(isinstance(p, Known) and p.whose == "other" for p in call.path):
        return "an answer about the other's"
    if answer.status_code >= 500 and answer.status_code != 503:
        return "an error of the service's"
    return ""


def _archive(picture: bytes) -> bytes:
    """A concept to take in; it bears nobody's mark."""
    out = io.BytesIO()
    line = {"name": "packed", "category": "thing", "info": "Packed.", "avatars": [{"picture": "pictures/a.jpg"}]}
    with zipfile.ZipFile(out, "w") as pack:
        lines = [{"format": "rap-concepts", "version": 1}, line]
        pack.writestr("concepts.ndjson", "\n".join(map(json.dumps, lines)))
        pack.writestr("pictures/a.jpg", picture)
    return out.getvalue()


async def tenant(url: str, operator: httpx.AsyncClient, letter: str) -> Tenant:
    """A fresh one, with a concept of each user."""
    name, mark = f"iso-{letter}-{time.time_ns()}", f"qz{letter}{secrets.token_hex(6)}"
    (await operator.post(TENANTS, json={"id": name})).raise_for_status()
    key, admin = [
        (await operator.post(f"{TENANTS}/{name}/keys", json={"label": mark, "scopes": scopes}))
        .raise_for_status()
        .json()
        for scopes in (["read", "write"], ["admin"])
    ]
    made = Tenant(name, mark, client(url, key["secret"]), client(url, admin["secret"]))
    made.known["tenant"].append(name)
    return made


async def calls(pair: Pair, options: argparse.Namespace) -> None:
    """All of them, each client one after the other, or as many as there is time for."""
    made = await asyncio.to_thread(made_up, options.calls, distinct=options.distinct, seeded=options.seed)
    some, end = iter(tqdm(made, desc="calls", mininterval=20)), time.monotonic() + 60 * options.minutes

    async def work() -> None:
        for call in some:
            if time.monotonic() > end:
                return
            await pair.make(call)

    await asyncio.gather(*(work() for _ in range(options.clients)))


async def run(options: argparse.Namespace) -> dict[str, Any]:
    """The figures of all parts."""
    service = json.loads((options.home / "service.json").read_text())
    url = service["url"]
    before = await requests_by_gateway(url)
    async with client(url, service["operator_key"]) as operator:
        pair = Pair((await tenant(url, operator, "a"), await tenant(url, operator, "b")), options.model)
    began = time.monotonic()
    await filled(pair)
    await calls(pair, options)
    seconds = time.monotonic() - began
    names, marks = [t.id for t in pair.tenants], [t.mark for t in pair.tenants]
    found = {
        "calls": sum(counts.total() for counts in pair.answers.values()),
        "made_up": options.distinct,
        "seconds": round(seconds),
        "answers": {name: dict(sorted(counts.items())) for name, counts in sorted(pair.answers.items())},
        "ids": [len(tenant.ids) for tenant in pair.tenants],
        "leaks": dict(Counter(leak.what for leak in pair.leaks)),
        "first": [asdict(leak) for leak in pair.leaks[:10]],
        "timings": await timings(pair, options.pairs, options.model),
        "stores": await asyncio.to_thread(stored, names, marks, options.home, options.redis_port),
    }
    await asyncio.sleep(METRICS_SECONDS)
    return {**found, "requests_by_gateway": dict(await requests_by_gateway(url) - before)}


async def timings(pair: Pair, count: int, model: str) -> dict[str, Any]:
    """What the first tenant can tell of the second's ids and pictures by the clock."""
    one, other = pair.tenants
    concepts, jobs = other.known["concept"], other.known["job"]
    paths = {
        "concept": (
            [f"/v1/users/ann/concepts/{i}" for i in concepts],
            [f"/v1/users/ann/concepts/{new_ulid()}" for _ in concepts],
        ),
        "job": ([f"/v1/jobs/{i}" for i in jobs], [f"/v1/jobs/job_{new_ulid()}" for _ in jobs]),
    }
    return {
        **await of_refusals(one.http, paths, count, status=404),
        "picture": await of_pictures(one.http, other.http, max(20, count // 20), model),
    }


async def filled(pair: Pair) -> None:
    """The same pictures for users of the same names, and an export of them, at both."""
    for number, user in itertools.product((0, 1), USERS):
        concepts = ("v1", "users", user, "concepts")
        for picture in range(PICTURES):
            body = {"name": Own(f"thing {picture}"), "info": Own("first"), "avatars": [{"image": PICTURE}]}
            await pair.make(
                Call(tenant=number, name="remember", method="POST", path=concepts, body=body, picture=picture)
            )
        await pair.make(Call(tenant=number, name="export", method="POST", path=(*concepts[:-1], "concepts:export")))


def main() -> None:
    """Parses the command line and prints JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, default=Path(".rap"))
    parser.add_argument("--calls", type=int, default=100_000)
    parser.add_argument("--distinct", type=int, default=20_000, help="how many of them are made up")
    parser.add_argument("--clients", type=int, default=12)
    parser.add_argument("--minutes", type=float, default=120, help="at most")
    parser.add_argument("--pairs", type=int, default=2_000, help="of timings")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model", default="rap-tiny")
    parser.add_argument("--redis-port", type=int, default=6379)
    print(json.dumps(asyncio.run(run(parser.parse_args())), indent=1))


if __name__ == "__main__":
    main()
