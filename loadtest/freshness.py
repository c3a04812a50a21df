"""Random edits and deletes through one client, each read back at once through others: is any answer stale?

    python -m loadtest.freshness --home .rap --edits 500

Reads by id, by list and by retrieval take turns; each reader is a connection of its own.
"""

import argparse
import json
import random
import time
from pathlib import Path

import httpx

from loadtest import drawn

CONCEPTS = 8
READERS = 4


class Memory:
    """One user's concepts, what they should be, and how to look."""

    def __init__(self, service: dict[str, str], seed: int) -> None:
        headers = {"Authorization": f"Bearer {service['api_key']}"}
        self._clients = [
            httpx.Client(base_url=service["url"], headers=headers, timeout=60, trust_env=False)
            for _ in range(READERS + 1)
        ]
        self._rng = random.Random(seed)
        self._user = f"fresh-{time.time_ns()}"
        self._made = 0
        self.names: dict[str, str] = {}
        self._gone = ""
        self._changed = ""
        for _ in range(CONCEPTS):
            self.add()

    def add(self) -> None:
        """Remembers one more thing."""
        self._made += 1
        name = f"thing-{self._made}"
        body = drawn.concept(name, drawn.thing(self._made), self._made)
        made = self._clients[0].post(f"/v1/users/{self._user}/concepts", json=body).raise_for_status()
        self._changed = made.json()["id"]
        self.names[self._changed] = name

    def change(self) -> None:
        """Renames a concept, or deletes it and adds another."""
        concept_id = self._rng.choice(sorted(self.names))
        address = f"/v1/users/{self._user}/concepts/{concept_id}"
        if self._rng.random() < 0.1:
            self._clients[0].delete(address).raise_for_status()
            self._gone = self.names.pop(concept_id)
            self.add()
            return
        self._made += 1
        name = f"thing-{self._made}"
        self._clients[0].patch(address, json={"name": name}).raise_for_status()
        self._gone, self._changed = self.names[concept_id], concept_id
        self.names[concept_id] = name

    def is_stale(self) -> bool:
        """Whether another client does not see the last change: by list, or by the name that is new and the one gone."""
        reader = self._rng.choice(self._clients[1:])
        if self._rng.random() < 0.5:
            page = reader.get(f"/v1/users/{self._user}/concepts", params={"limit": 100}).raise_for_status().json()
            return {c["id"]: c["name"] for c in page["data"]} != self.names
        new = self.names[self._changed]
        body = {"text": f"<{self._gone}> <{new}>"}
        found = reader.post(f"/v1/users/{self._user}/retrieve", json=body).raise_for_status().json()
        return {e["concept_id"]: e["name"] for e in found["evidence"]} != {self._changed: new}


def main() -> None:
    """Parses the command line and prints JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, default=Path(".rap"))
    parser.add_argument("--edits", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    memory = Memory(json.loads((options.home / "service.json").read_text()), options.seed)
    stale = 0
    for _ in range(options.edits):
        memory.change()
        stale += memory.is_stale()
    print(json.dumps({"edits": options.edits, "stale": stale}))


if __name__ == "__main__":
    main()
