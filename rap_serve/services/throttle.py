"""Limits per minute, of requests and of tokens."""

from collections.abc import Callable
from dataclasses import dataclass

from rap_serve.domain.catalogue import RateLimits
from rap_serve.domain.errors import RateLimited
from rap_serve.domain.tenancy import Allowance, Limits

CHARACTERS_PER_TOKEN = 4


@dataclass(frozen=True, slots=True)
class Charge:
    """Tokens taken before an answer whose length nobody knows yet. ``allowance``: None where there is no limit."""

    tenant: str
    tokens: int
    allowance: Allowance | None


class Throttle:
    """Keeps tenants within what they may ask for in a minute."""

    def __init__(self, rates: RateLimits, limits: Callable[[str], Limits]) -> None:
        """``limits``: what a tenant's limits are now."""
        self._rates = rates
        self._limits = limits

    async def request(self, tenant: str) -> Allowance | None:
        """Takes one request; None where there is no limit. What it refuses is in the allowance."""
        limit = self._limits(tenant).requests_per_minute
        if limit is None:
            return None
        return await self._rates.take(f"{tenant}:requests", 1, per_minute=limit)

    async def tokens(self, tenant: str, characters: int, max_tokens: int) -> Charge:
        """Takes what an answer may come to, by the length of its prompt and what is asked for at most."""
        limit = self._limits(tenant).tokens_per_minute
        if limit is None:
            return Charge(tenant, 0, None)
        tokens = min(limit, characters // CHARACTERS_PER_TOKEN + max_tokens)  # a long one waits for a full minute's
        return Charge(tenant, tokens, await self._rates.take(f"{tenant}:tokens", tokens, per_minute=limit))

    async def settle(self, charge: Charge, tokens: int) -> None:
        """``tokens`` it was in the end."""
        limit = self._limits(charge.tenant).tokens_per_minute
        if charge.allowance is not None and limit is not None:
            await self._rates.give_back(f"{charge.tenant}:tokens", charge.tokens - tokens, per_minute=limit)


def refusal(what: str, allowance: Allowance) -> RateLimited:
    """What to tell who was refused."""
    wait = allowance.retry_in or 0.0
    return RateLimited(f"The limit of {allowance.limit:,} {what} per minute is used up; try again in {wait:.1f} s.")
