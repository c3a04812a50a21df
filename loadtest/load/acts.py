"""What users do: one function an act. Each is one or two requests, and a record of what came of it."""

import random
import time
from collections.abc import Callable

from loadtest.load.album import Album
from loadtest.load.done import Done
from loadtest.load.owners import FEWEST, MOST, Crowd, Held, Owner, Snapshot, violations
from loadtest.load.wire import Reply, Wire

CHAT = "/v1/chat/completions"
MAX_TOKENS = 48
LEFT_AFTER_PIECES = 2
QUESTIONS = ("What is this?", "What is in this picture?", "Describe this picture.")
NOT_READ = "not read back"
INFOS = ("A thing of mine.", "It stands on the shelf.", "It was a present.", "I have had it for years.")


class Acts:
    """All that can be done, by whoever the crowd picks."""

    def __init__(self, wire: Wire, crowd: Crowd, album: Album, *, model: str, rng: random.Random) -> None:
        self._wire = wire
        self._crowd = crowd
        self._album = album
        self._model = model
        self._rng = rng
        self._by_name: dict[str, Callable[[Owner], Done]] = {
            "stream known picture": lambda o: self._chat(o, "stream known picture", self._album.known, stream=True),
            "stream new picture": lambda o: self._chat(o, "stream new picture", self._album.new, stream=True),
            "plain known picture": lambda o: self._chat(o, "plain known picture", self._album.known, stream=False),
            "text question": self._text_question,
            "retrieve": self._retrieve,
            "enrol": lambda o: self._writing(o, self._enrol if len(o.held) < MOST else self._delete),
            "edit": lambda o: self._writing(o, self._edit),
            "delete": lambda o: self._writing(o, self._delete if len(o.held) > FEWEST else self._enrol),
            "list": self._list,
            "disconnect": self._disconnect,
        }

    def do(self, act: str) -> Done:
        """One act of somebody."""
        return self._by_name[act](self._crowd.pick(self._rng))

    def enrol(self, owner: Owner) -> Done:
        """One more concept of an owner's, as before the load begins."""
        return self._writing(owner, self._enrol)

    def _chat(self, owner: Owner, act: str, picture: Callable[[int, random.Random], str], *, stream: bool) -> Done:
        content = [
            {"type": "image_url", "image_url": {"url": picture(self._some_thing(owner), self._rng)}},
            {"type": "text", "text": self._rng.choice(QUESTIONS)},
        ]
        return self._asked(owner, act, content, stream=stream)

    def _text_question(self, owner: Owner) -> Done:
        name = self._rng.choice(list(owner.held))
        return self._asked(owner, "text question", f"What do you know about <{name}>?", stream=True)

    def _asked(self, owner: Owner, act: str, content: object, *, stream: bool) -> Done:
        sent, at = owner.snapshot(), time.time()
        body = self._chat_body(owner, content, stream=stream)
        if stream:
            reply = self._wire.stream(CHAT, owner.key, body)
        else:
            reply = self._wire.send("POST", CHAT, owner.key, body)
            if reply.error is None:
                reply.text = reply.body["choices"][0]["message"]["content"]
                reply.completion_tokens = reply.body["usage"]["completion_tokens"]
        return _done(act, at, reply, _checked(owner, sent, reply))

    def _disconnect(self, owner: Owner) -> Done:
        content = f"What do you know about <{self._rng.choice(list(owner.held))}>?"
        body, at = self._chat_body(owner, content, stream=True), time.time()
        return _done("disconnect", at, self._wire.stream(CHAT, owner.key, body, leave_after=LEFT_AFTER_PIECES))

    def _retrieve(self, owner: Owner) -> Done:
        picture = self._rng.choice((self._album.known, self._album.new))
        body = {"image": picture(self._some_thing(owner), self._rng)}
        sent, at = owner.snapshot(), time.time()
        reply = self._wire.send("POST", f"/v1/users/{owner.user}/retrieve", owner.key, body)
        return _done("retrieve", at, reply, _checked(owner, sent, reply))

    def _list(self, owner: Owner) -> Done:
        sent, at = owner.snapshot(), time.time()
        reply = self._wire.send("GET", f"/v1/users/{owner.user}/concepts?limit=100", owner.key)
        listed = {c["name"] for c in reply.body.get("data", [])}
        staying = {h.name for h in owner.held.values() if h.name in sent.versions and not h.leaving}
        lost = reply.error is None and not staying <= listed
        returned = reply.error is None and bool(listed & sent.gone)
        return _done("list", at, reply, ["concept lost"] * lost + ["deleted concept listed"] * returned)

    def _writing(self, owner: Owner, act: Callable[[Owner], Done]) -> Done:
        """One write of an owner's at a time; who finds another one under way reads instead."""
        if owner.writing:
            return self._list(owner)
        owner.writing = True
        try:
            return act(owner)
        finally:
            owner.writing = False

    def _enrol(self, owner: Owner) -> Done:
        used = {held.thing for held in owner.held.values()}
        free = [t for t in ((owner.first_thing + i) % len(self._album) for i in range(2 * MOST)) if t not in used]
        thing, name, info = free[0], owner.next_name(), self._rng.choice(INFOS)
        at, body = time.time(), self._album.enrolment(thing, name, info)
        reply = self._wire.send("POST", f"/v1/users/{owner.user}/concepts", owner.key, body)
        if reply.error is not None:
            return _done("enrol", at, reply)
        held = Held(reply.body["id"], name, thing, reply.body["version"], info)
        owner.held[name] = held
        return _done("enrol", at, reply, self._read_back(owner, held))

    def _edit(self, owner: Owner) -> Done:
        held = self._rng.choice(list(owner.held.values()))
        info, at = f"{self._rng.choice(INFOS)} Seen {self._rng.randrange(1_000)} times.", time.time()
        path = f"/v1/users/{owner.user}/concepts/{held.id}"
        reply = self._wire.send("PATCH", path, owner.key, {"info": info})
        if reply.error is not None:
            return _done("edit", at, reply)
        held.info, held.version = info, reply.body["version"]
        return _done("edit", at, reply, self._read_back(owner, held))

    def _delete(self, owner: Owner) -> Done:
        held, at = self._rng.choice(list(owner.held.values())), time.time()
        path = f"/v1/users/{owner.user}/concepts/{held.id}"
        held.leaving = True
        reply = self._wire.send("DELETE", path, owner.key)
        if reply.error is not None:
            held.leaving = not reply.rejected
            return _done("delete", at, reply)
        owner.forget(held.name)
        again = self._wire.send("GET", path, owner.key)
        return _done("delete", at, reply, [] if again.status == 404 or again.rejected else ["deleted concept read"])

    def _read_back(self, owner: Owner, held: Held) -> list[str]:
        """Whether a write is seen by the next request: the concept itself, or what retrieval knows of it."""
        if self._rng.random() < 0.5:
            again = self._wire.send("GET", f"/v1/users/{owner.user}/concepts/{held.id}", owner.key)
            seen = again.body.get("info") == held.info
        else:
            path, body = f"/v1/users/{owner.user}/retrieve", {"text": f"<{held.name}>"}
            again = self._wire.send("POST", path, owner.key, body)
            found = [(e["concept_id"], e["version"]) for e in again.body.get("evidence", ())]
            seen = (held.id, held.version) in found
        if again.error is not None:
            return [] if again.rejected else [f"{NOT_READ}: {again.error}"]
        return [] if seen else ["own write not read"]

    def _some_thing(self, owner: Owner) -> int:
        return self._rng.choice(list(owner.held.values())).thing

    def _chat_body(self, owner: Owner, content: object, *, stream: bool) -> dict[str, object]:
        body = {"model": self._model, "user": owner.user, "max_tokens": MAX_TOKENS, "stream": stream}
        options = {"stream_options": {"include_usage": True}} if stream else {}
        return {**body, **options, "messages": [{"role": "user", "content": content}]}


def _checked(owner: Owner, sent: Snapshot, reply: Reply) -> list[str]:
    if reply.error is not None:
        return []
    rap = reply.body.get("rap", reply.body)
    return violations(owner, sent, rap.get("evidence", ()), reply.text)


def _done(act: str, at: float, reply: Reply, wrong: list[str] | None = None) -> Done:
    rap = reply.body.get("rap", reply.body)
    first, tokens = reply.first_seconds, reply.completion_tokens
    return Done(
        at=round(at, 3),
        act=act,
        status=reply.status,
        total_ms=round(1_000 * reply.seconds, 2),
        first_ms=None if first is None else round(1_000 * first, 2),
        token_ms=round(1_000 * reply.later_seconds / (tokens - 1), 2) if tokens > 1 and first is not None else None,
        tokens=tokens,
        cache=str(rap.get("cache", "")),
        concepts=len(rap.get("evidence", ())),
        error=reply.error or (wrong[0] if wrong else None),
        rejected=reply.rejected,
        attempts=reply.attempts,
        cut=reply.cut,
        violated=reply.error is None and bool(wrong) and not wrong[0].startswith(NOT_READ),
    )
