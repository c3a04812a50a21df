"""What is used, counted in memory and written down every few seconds."""

import asyncio
import time
from collections import Counter
from typing import TypeAlias

from rap_serve.domain.catalogue import Usage
from rap_serve.domain.chat import Usage as Tokens
from rap_serve.domain.concept import Owner
from rap_serve.domain.errors import Unavailable
from rap_serve.domain.tenancy import Consumption

Key: TypeAlias = tuple[str, str, str, str]


class Meter:
    """Counts per tenant, user, day (UTC) and kind. A gateway that is killed loses the last ``flush_seconds``."""

    def __init__(self, usage: Usage, *, flush_seconds: float = 2.0) -> None:
        self._usage = usage
        self._flush_seconds = flush_seconds
        self._counts: dict[Key, Counter[str]] = {}

    def count(self, owner: Owner, kind: str, tokens: Tokens | None = None) -> None:
        """One request of a kind."""
        day = time.strftime("%Y-%m-%d", time.gmtime())
        counter = self._counts.setdefault((owner.tenant, owner.user, day, kind), Counter())
        counter["requests"] += 1
        if tokens is not None:
            counter["prompt_tokens"] += tokens.prompt_tokens
            counter["completion_tokens"] += tokens.completion_tokens

    async def watch(self) -> None:
        """Keeps writing down; for ever."""
        while True:
            await asyncio.sleep(self._flush_seconds)
            await self.flush()

    async def flush(self) -> None:
        """Writes down what has been counted; what cannot be, is kept for the next time."""
        counts, self._counts = self._counts, {}
        try:
            await self._usage.add([_consumption(key, counter) for key, counter in counts.items()])
        except Unavailable:
            for key, counter in counts.items():
                self._counts.setdefault(key, Counter()).update(counter)


def _consumption(key: Key, counter: Counter[str]) -> Consumption:
    tenant, user, day, kind = key
    return Consumption(tenant=tenant, user=user, day=day, kind=kind, **counter)
