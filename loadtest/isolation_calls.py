"""Calls of one of two tenants, as Hypothesis makes them up: every route, with ids of both and with nonsense."""

import random
from dataclasses import dataclass, field
from itertools import cycle, islice
from typing import Any, Literal, TypeAlias

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

Kind: TypeAlias = Literal["concept", "avatar", "job", "api_key", "name", "tenant"]

USERS = ("ann", "bo.b", "-", "A_9")
"""Both tenants have users of these names."""

BATCH = 20
_NASTY = (
    "../../etc/passwd",
    "..%2f..",
    '" or 1 == 1 or "" == "',
    "'; drop table replies; --",
    "{ann}",
    "*",
    "ann/concepts",
    "rap:1:{x/ann}:g",
    "\x00",
    "ａｎｎ",
    "İ",
    "a" * 65,
    "-" * 64,
    "\ud800",
    "<bo>",
    "null",
)


@dataclass(frozen=True, slots=True)
class Known:
    """Something that a tenant was told of, or called itself; which one is found out when the call is made."""

    kind: Kind
    whose: Literal["own", "other"]
    index: int
    action: str = ""


Word: TypeAlias = str | Known


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request of tenant 0 or 1. ``picture``: which of the pictures that both tenants have stands for PICTURE."""

    tenant: int
    name: str
    method: str
    path: tuple[Word, ...]
    params: dict[str, Word] = field(default_factory=dict)
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    picture: int = 0


@dataclass(frozen=True, slots=True)
class Own:
    """A text that bears the mark of the tenant that writes it."""

    rest: str


PICTURE, MODEL, ARCHIVE = "PICTURE", "MODEL", "ARCHIVE"
"""What stands for a picture, the model's name and a small archive."""

BRIEF_USER = "brief"
"""A user who is erased now and then."""

nasty = st.sampled_from(_NASTY) | st.text(max_size=24)
index = st.integers(0, 10_000)
whose: SearchStrategy[Literal["own", "other"]] = st.sampled_from(("own", "own", "other"))
own_text = st.builds(Own, nasty | st.just(""))
own_name = st.builds(Own, st.text("abcXYZ019 ._-", max_size=16) | st.just("é") | st.just("名"))
user = st.sampled_from([*USERS * 4, BRIEF_USER]) | nasty
keys = st.integers(0, 400).map(lambda n: {"Idempotency-Key": f"shared-{n}"})
headers = st.just(dict[str, str]()) | keys | st.sampled_from([{"If-Match": '"1"'}, {"If-Match": "*"}])


def known(kind: Kind, action: str = "") -> SearchStrategy[Word]:
    """An own id, the other's, or nonsense; ``action``: what the path says behind it."""
    ids = st.builds(Known, st.just(kind), whose, index, st.just(action))
    return st.one_of(*[ids] * 6, nasty.map(lambda word: word + action))


def _call(
    name: str,
    method: str,
    *path: str | SearchStrategy[Word],
    body: SearchStrategy[Any] | None = None,
    params: SearchStrategy[dict[str, Any]] | None = None,
    writes: bool = False,
) -> SearchStrategy[Call]:
    return st.builds(
        Call,
        tenant=st.integers(0, 1),
        name=st.just(name),
        method=st.just(method),
        path=st.tuples(*(st.just(part) if isinstance(part, str) else part for part in path)),
        params=params if params is not None else st.just({}),
        body=body if body is not None else st.none(),
        headers=headers if writes else st.just({}),
        picture=st.integers(0, 3),
    )


def _concept(*, avatars: bool) -> SearchStrategy[dict[str, Any]]:
    fields = {"name": own_name, "info": own_text, "category": own_name, "metadata": st.dictionaries(nasty, own_text)}
    box = st.none() | st.just([2, 2, 50, 50])
    avatar = st.fixed_dictionaries({"image": st.just(PICTURE), "box_xyxy": box})
    pictures = {"avatars": st.lists(avatar, min_size=1, max_size=2)} if avatars else {}
    required = {k: v for k, v in fields.items() if avatars and k in ("name", "info")}
    return st.fixed_dictionaries({**required, **pictures}, optional={k: fields[k] for k in fields if k not in required})


_OF_USER = ("v1", "users", user)
_CONCEPT = (*_OF_USER, "concepts", known("concept"))
_TENANT = ("admin", "v1", "tenants", known("tenant"))
_MOVED = ("admin", "v1", "tenants", known("tenant", ":move"))
_after = known("concept") | known("job")
_audit = st.fixed_dictionaries({}, optional={"tenant": known("tenant"), "after": nasty})
_avatar = st.fixed_dictionaries({"image": st.just(PICTURE)}, optional={"box_xyxy": st.just([2, 2, 50, 50])})
_page = st.fixed_dictionaries({}, optional={"after": _after, "limit": st.sampled_from(("1", "3", "100", "0", "x"))})
_filters = st.fixed_dictionaries(
    {}, optional={"name": known("name"), "category": known("name"), "after": known("concept"), "user": user}
)
_text = st.builds(lambda word: {"text": word}, known("name"))
_seen = st.fixed_dictionaries(
    {"image": st.just(PICTURE), "boxes_xyxy": st.just([[2, 2, 50, 50]])}, optional={"text": known("name")}
)
_looked = st.fixed_dictionaries({"image": st.just(PICTURE)})
_correction = st.fixed_dictionaries(
    {"concept_id": known("concept"), "image": st.just(PICTURE), "box_xyxy": st.just([2, 2, 50, 50])}
)
_chat = st.builds(
    lambda who, word, concepts: {
        "model": MODEL,
        "user": who,
        "max_tokens": 6,
        "messages": [
            {
                "role": "user",
                "content": [{"type": "image_url", "image_url": {"url": PICTURE}}, {"type": "text", "text": word}],
            }
        ],
        **({"rap": {"concepts": [concepts]}} if concepts else {}),
    },
    st.sampled_from(USERS),
    known("name"),
    st.none() | known("concept"),
)

_SHARES: list[tuple[int, SearchStrategy[Call]]] = [
    (220, _call("read concept", "GET", *_CONCEPT)),
    (120, _call("list concepts", "GET", *_OF_USER, "concepts", params=_page)),
    (120, _call("filter concepts", "GET", *_OF_USER, "concepts", params=_filters)),
    (90, _call("read history", "GET", *_CONCEPT, "history")),
    (110, _call("retrieve by text", "POST", *_OF_USER, "retrieve", body=_text)),
    (30, _call("list corrections", "GET", *_OF_USER, "corrections")),
    (60, _call("read job", "GET", "v1", "jobs", known("job"))),
    (20, _call("list jobs", "GET", "v1", "jobs", params=_page)),
    (10, _call("fetch archive", "GET", "v1", "jobs", known("job"), "archive")),
    (10, _call("cancel job", "POST", "v1", "jobs", known("job", ":cancel"), writes=True)),
    (10, _call("read usage", "GET", "v1", "usage", params=st.fixed_dictionaries({}, optional={"user": user}))),
    (20, _call("read tenant", "GET", *_TENANT)),
    (20, _call("list keys", "GET", *_TENANT, "keys")),
    (15, _call("read tenant's usage", "GET", *_TENANT, "usage")),
    (15, _call("read tenant's job", "GET", *_TENANT, "jobs", known("job"))),
    (15, _call("read audit", "GET", "admin", "v1", "audit", params=_audit)),
    (8, _call("change tenant", "PATCH", *_TENANT, body=st.just({"state": "suspended"}), writes=True)),
    (4, _call("erase tenant", "DELETE", *_TENANT, writes=True)),
    (4, _call("move tenant", "POST", *_MOVED, body=st.just({"shelf": "x"}), writes=True)),
    (3, _call("issue key", "POST", *_TENANT, "keys", body=st.builds(dict, label=own_name), writes=True)),
    (6, _call("rotate key", "POST", *_TENANT, "keys", known("api_key", ":rotate"), writes=True)),
    (4, _call("revoke key", "DELETE", *_TENANT, "keys", known("api_key"), writes=True)),
    (40, _call("edit concept", "PATCH", *_CONCEPT, body=_concept(avatars=False), writes=True)),
    (6, _call("delete concept", "DELETE", *_CONCEPT, writes=True)),
    (10, _call("remember", "POST", *_OF_USER, "concepts", body=_concept(avatars=True), writes=True)),
    (3, _call("replace concept", "PUT", *_CONCEPT, body=_concept(avatars=True), writes=True)),
    (3, _call("add avatar", "POST", *_CONCEPT, "avatars", body=_avatar, writes=True)),
    (3, _call("remove avatar", "DELETE", *_CONCEPT, "avatars", known("avatar"), writes=True)),
    (4, _call("correct", "POST", *_OF_USER, "corrections", body=_correction, writes=True)),
    (3, _call("withdraw correction", "DELETE", *_OF_USER, "corrections", known("avatar"), writes=True)),
    (8, _call("retrieve by boxes", "POST", *_OF_USER, "retrieve", body=_seen)),
    (5, _call("retrieve by picture", "POST", *_OF_USER, "retrieve", body=_looked)),
    (1, _call("chat", "POST", "v1", "chat", "completions", body=_chat)),
    (1, _call("export", "POST", "v1", "users", user, "concepts:export", writes=True)),
    (1, _call("import", "POST", "v1", "users", user, "concepts:import", body=st.just(ARCHIVE), writes=True)),
    (1, _call("erase user", "DELETE", "v1", "users", st.just(BRIEF_USER) | nasty, writes=True)),
]


def made_up(count: int, *, distinct: int, seeded: int) -> list[Call]:
    """``count`` calls in random order, each kind by its share; equal seeds, equal calls.

    About ``distinct`` of them are made up; the same call comes again later, when more is known.
    """
    total = sum(share for share, _ in _SHARES)
    made: list[Call] = []
    for share, strategy in _SHARES:
        some = _examples(strategy, max(BATCH, distinct * share // total), seeded)
        made += islice(cycle(some), -(-count * share // total))
    random.Random(seeded).shuffle(made)
    return made[:count]


def _examples(strategy: SearchStrategy[Call], count: int, seeded: int) -> list[Call]:
    found: list[Call] = []

    @seed(seeded)
    @settings(
        max_examples=-(-count // BATCH),
        phases=[Phase.generate],
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.lists(strategy, min_size=BATCH, max_size=BATCH))
    def take(some: list[Call]) -> None:
        found.extend(some)

    take()
    return found
